from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib
import pytest

from classifier.message import Mailbox, Message
from classifier.model import (
    EXPLAINED,
    MANIFEST_NAME,
    MODEL_NAME,
    MODELS,
    Model,
    ModelError,
    load,
    verify,
)
from classifier.text import PLACEHOLDERS
from classifier.verdict import LABELS

PITCH = Message(
    from_=(Mailbox("Sam Carter", "sam@growth.example"),),
    subject="Your website on Google",
    own_text="""Hi Dana,

I was looking at your website and found several errors that keep it from ranking on the first page
of Google. We are an SEO and web design company, and we can increase your traffic and your sales at
affordable prices. Our packages start at $299 a month.

Would you be interested? Please share your phone number, and I will send you a free audit and a
quote.

Best regards,""",
    signature="Sam Carter\nBusiness Development Manager",
)
WALK = Message(
    subject="Sunday",
    own_text="""Hey Dana,

are you still up for the walk on Sunday? The weather looks fine, I think. I could pick you up at
ten, and we could have lunch at the mill afterwards, if it is open. Anna says hello.

Jo""",
)


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of the small model that a test may spoil."""
    for name in (MODEL_NAME, MANIFEST_NAME):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    return tmp_path


@pytest.fixture(scope="module")
def shipped() -> Model:
    model = load()
    model.warm()
    return model


def rewrite(folder: Path, **fields: Any) -> None:
    path = folder / MANIFEST_NAME
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def vouch(folder: Path) -> None:
    """Make the manifest vouch for whatever lies there now."""
    content = (folder / MODEL_NAME).read_bytes()
    rewrite(folder, sha256=hashlib.sha256(content).hexdigest())


def test_train_verify_load_judge(trained: Path) -> None:
    manifest = verify(trained)
    assert verify(trained / MODEL_NAME) == manifest
    model = load(trained / MODEL_NAME)
    verdict = model.judge(PITCH)
    assert verdict.label == "pitch"
    assert verdict.score == verdict.probabilities["pitch"] > 0.5
    assert verdict.model == model.id == manifest.id
    assert set(verdict.probabilities) == set(LABELS)
    assert sum(verdict.probabilities.values()) == pytest.approx(1)
    assert model.judge(WALK).label == "personal"


class Touch:
    """Pickled, it is a program that leaves a file behind when opened."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def test_a_file_nobody_vouches_for_is_never_opened(copied: Path) -> None:
    trace = copied / "opened"
    content = pickle.dumps(Touch(trace))
    (copied / MODEL_NAME).write_bytes(content)
    with pytest.raises(ModelError) as error:
        load(copied)
    said = str(error.value)
    assert f"{copied / MODEL_NAME}: its SHA-256 is {hashlib.sha256(content).hexdigest()}" in said
    assert "raincheck model train --out" in said
    assert not trace.exists()
    # The same file, vouched for, is opened: what kept it shut was the hash and nothing else.
    vouch(copied)
    with pytest.raises(ModelError, match="holds no model of ours"):
        load(copied)
    assert trace.exists()


@pytest.mark.parametrize("at", [0, 1000, -1])
def test_one_changed_byte_is_noticed(copied: Path, at: int) -> None:
    content = bytearray((copied / MODEL_NAME).read_bytes())
    content[at] ^= 1
    (copied / MODEL_NAME).write_bytes(content)
    for check in (verify, load):
        with pytest.raises(ModelError, match="SHA-256"):
            check(copied)


def test_another_sklearn_is_refused_before_the_file_is_opened(copied: Path) -> None:
    trace = copied / "opened"
    (copied / MODEL_NAME).write_bytes(pickle.dumps(Touch(trace)))
    vouch(copied)
    rewrite(copied, sklearn="0.24.2")
    with pytest.raises(ModelError) as error:
        load(copied)
    said = str(error.value)
    assert "trained with scikit-learn 0.24.2, but " in said
    assert "install 0.24.2, or retrain it (raincheck model train --out" in said
    assert not trace.exists()


def test_a_version_warning_while_loading_is_an_error(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = joblib.load(copied / MODEL_NAME)
    monkeypatch.setattr("sklearn.base.__version__", "0.24.2")
    joblib.dump(pipeline, copied / MODEL_NAME)
    monkeypatch.undo()
    vouch(copied)
    with pytest.raises(ModelError, match=r"cannot be loaded \(.*version 0\.24\.2"):
        load(copied)


@pytest.mark.parametrize("name", [MODEL_NAME, MANIFEST_NAME])
def test_a_missing_file_is_named_with_the_way_out(copied: Path, name: str) -> None:
    (copied / name).unlink()
    with pytest.raises(ModelError) as error:
        load(copied / MODEL_NAME)
    assert str(copied / name) in str(error.value)
    assert "raincheck model train --out" in str(error.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"labels": ["pitch"]}', "\udcff"])
def test_a_broken_manifest_is_refused(copied: Path, content: str) -> None:
    (copied / MANIFEST_NAME).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError, match="is no manifest of a model"):
        verify(copied)


def test_a_model_of_another_series_is_refused(copied: Path) -> None:
    """It may be whole, and yet of features that this program does not have."""
    rewrite(copied, id="2026.11-98e6d59b")
    with pytest.raises(ModelError, match=r"2026\.11-98e6d59b is not of this program's series"):
        verify(copied)


def test_what_moved_the_score_is_said_only_where_somebody_asks(trained: Path) -> None:
    model = load(trained)
    assert model.judge(PITCH).terms
    assert model.judge(WALK).score < EXPLAINED
    assert model.judge(WALK).terms == ()
    assert model.judge(WALK, explain_from=0).terms


def test_other_labels_are_refused(copied: Path) -> None:
    rewrite(copied, labels=["pitch", "ham"])
    with pytest.raises(ModelError, match="its labels are pitch, ham"):
        verify(copied)


def test_checking_a_model_does_not_import_the_library() -> None:
    code = (
        "import sys; from classifier import model; model.verify(); "
        "sys.exit(any(name in sys.modules for name in ('sklearn', 'joblib', 'numpy')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_shipped_model_is_small_and_is_the_one_its_manifest_names(shipped: Model) -> None:
    assert shipped.manifest == verify()
    assert shipped.manifest.file == MODEL_NAME
    assert (MODELS / MODEL_NAME).stat().st_size < 8 * 2**20
    assert shipped.id in (MODELS / "CARD.md").read_text("utf-8")


def test_the_shipped_model_keeps_no_personal_data(shipped: Model) -> None:
    scorer = shipped._scorer
    terms = [*scorer.terms, *scorer._numbers]
    assert len(terms) > 10_000
    assert not [term for term in terms if any(c.isdecimal() for c in term) or "@" in term]
    assert not [term for term in terms if "://" in term or "www." in term]


def test_the_shipped_model_knows_a_hard_sell_and_a_friend(shipped: Model) -> None:
    pitch, walk = shipped.judge(PITCH), shipped.judge(WALK)
    assert pitch.label == "pitch"
    assert pitch.score >= 0.8
    assert "bait-offer" in [tactic.name for tactic in pitch.tactics]
    assert walk.score < 0.5
    assert walk.label == "personal"


@pytest.mark.parametrize("sentences", [True, False])
def test_a_verdict_names_what_moved_it_the_strongest_first(
    shipped: Model, *, sentences: bool
) -> None:
    terms = [term for term in shipped.judge(PITCH).terms if term.is_sentence is sentences]
    up = [term.weight for term in terms if term.weight > 0]
    down = [term.weight for term in terms if term.weight < 0]
    assert len(up) >= 3
    assert up == sorted(up, reverse=True)
    assert down == sorted(down)
    assert [term.weight for term in terms] == up + down


def test_what_it_names_stands_in_the_mail(shipped: Model) -> None:
    said = PITCH.subject + " " + " ".join(PITCH.own_text.split()) + PITCH.signature
    terms = shipped.judge(PITCH).terms
    assert not [term.text for term in terms if term.text in PLACEHOLDERS]
    assert all(term.text in said for term in terms if term.end)
    # In the mail's own spelling, but for pairs that a comma or a sentence end parts.
    named = [term.text for term in terms if not term.is_sentence]
    assert sum(name in said or name.startswith("[") for name in named) >= len(named) / 2


def test_the_same_mail_is_judged_the_same(shipped: Model) -> None:
    assert shipped.judge(PITCH) == shipped.judge(PITCH)


@pytest.mark.parametrize(
    "mail",
    [
        Message(),
        Message(parse="failed", faults=("unreadable",)),
        Message(own_text="   \n"),
        Message(own_text="12 34 56"),
        Message(own_text="是的，谢谢"),
        Message(own_text="\x00\ud800\uffff"),
        Message(subject="Hi", own_text="Interested?"),
        Message(own_text="Offer"),
    ],
)
def test_a_mail_that_says_next_to_nothing_is_no_pitch(shipped: Model, mail: Message) -> None:
    verdict = shipped.judge(mail)
    assert verdict.label == "personal"
    assert verdict.score < 0.2


@pytest.mark.parametrize("unit", ["offer ", "a", "www.x.example ", "\n", "1 ", "é\u0301"])
def test_a_megabyte_is_judged_within_a_second(shipped: Model, unit: str) -> None:
    text = unit * (1_000_000 // len(unit))
    start = time.process_time()
    shipped.judge(Message(subject=text, own_text=text, signature=text))
    assert time.process_time() - start < 1
