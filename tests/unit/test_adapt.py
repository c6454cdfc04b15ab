"""Training with what the user taught."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from lessons import content, example, figures, letter, taught, teach, write

from classifier import adapt, corpus, install
from classifier import model as models
from classifier.examples import CorpusError, Example
from classifier.feedback import lesson
from classifier.message import read as read_mail
from classifier.train import train


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "feedback.jsonl"


def learnt_letters(file: Path, count: int = 22) -> Path:
    return teach(file, [lesson(letter(n), "personal", "said") for n in range(count)])


@pytest.mark.parametrize(
    ("pitches", "personal", "enough"),
    [(0, 0, False), (0, 19, False), (0, 20, True), (20, 0, True), (4, 30, False), (5, 15, True)],
)
def test_nothing_is_learnt_below_the_least_count(pitches: int, personal: int, enough: bool) -> None:
    labels = ["pitch"] * pitches + ["personal"] * personal
    said = adapt.shortage([example(n, label=label) for n, label in enumerate(labels)])
    assert (said == "") is enough
    assert enough or said.startswith(f"{pitches + personal} different mails were taught")
    assert enough or "fewer than 20, nor from fewer than 5 of a label" in said


def test_a_lesson_weighs_as_a_mail_and_a_sender_as_the_root_of_his_mails() -> None:
    lessons = [*(example(n, group="one") for n in range(4)), example(9)]
    weights = [one.weight for one in adapt.weighed(lessons, [example(n) for n in range(1000)])]
    assert weights == pytest.approx([0.5] * 4 + [1.0])


def test_all_lessons_together_weigh_a_tenth_of_the_corpus_at_most() -> None:
    many = adapt.weighed([example(n) for n in range(500)], [example(n) for n in range(100)])
    assert sum(one.weight for one in many) == pytest.approx(10)


def test_the_frozen_mails_are_a_fixed_fifth_of_our_own_blocks() -> None:
    mails = [example(n, block=f"batch{n % 31}") for n in range(310)]
    others = [example(n, block="batch1", source="archive") for n in range(400, 420)]
    rest, frozen = adapt.parted([*mails, *others])
    blocks = {one.block for one in frozen}
    assert len(blocks) == 6
    assert len(frozen) == 60
    assert sorted(one.id for one in [*rest, *frozen]) == sorted(o.id for o in [*mails, *others])
    assert not blocks & {one.block for one in rest if one.source == "own"}
    again = adapt.parted([*reversed(others), *reversed(mails)])[1]
    assert {one.id for one in again} == {one.id for one in frozen}


FOUND = [0.9] * 100


@pytest.mark.parametrize(
    ("pitches", "others", "fine"),
    [
        (FOUND, [0.85, 0.1, 0.1], True),
        (FOUND, [0.1, 0.1, 0.1], True),
        ([0.79, *FOUND[1:]], [0.1, 0.85, 0.1], True),  # a hundredth less is found
        ([0.79, 0.79, *FOUND[2:]], [0.1, 0.1, 0.1], False),
        (FOUND, [0.85, 0.8, 0.1], False),  # one more is held
        (FOUND, [0.95, 0.1, 0.1], False),  # one more is answered
    ],
)
def test_no_worse_is_no_false_alarm_more_and_hardly_a_pitch_less(
    pitches: list[float], others: list[float], fine: bool
) -> None:
    assert adapt.no_worse(figures(FOUND, [0.85, 0.1, 0.1]), figures(pitches, others)) is fine


@pytest.mark.usefixtures("own")
def test_lessons_move_the_score_and_the_old_model_is_kept(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    old = train([], out)
    unseen = read_mail(letter(23))
    before = models.load(out).judge(unseen).score
    heard: list[tuple[str, float]] = []
    outcome = adapt.adapt(learnt_letters(file), [], out, lambda *at: heard.append(at))
    assert outcome.manifest is not None
    new = models.load(out)
    assert new.id == outcome.manifest.id
    assert new.judge(unseen).score < before - 0.2
    assert new.manifest.examples["personal"] == 16 + 22
    assert "feedback.jsonl" in new.manifest.data
    assert models.verify(install.previous(out)) == old
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("model", "model.previous", "own", "var"),
    ]
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert heard[-1] == ("done", 1.0)
    assert install.rollback(out) == old
    assert models.load(out).judge(unseen).score == before


@pytest.mark.usefixtures("own")
def test_the_frozen_mails_are_not_trained_on_and_both_models_are(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[Example]] = []
    fit = adapt.fit

    def noting(items: list[Example], progress: Any) -> Any:
        seen.append(list(items))
        return fit(items, progress)

    monkeypatch.setattr(adapt, "fit", noting)
    adapt.adapt(learnt_letters(file), [], tmp_path / "model")
    without, taught_, whole = seen
    frozen = {one.block for one in whole} - {one.block for one in taught_}
    assert len(frozen) == 1
    assert not frozen & {one.block for one in without}
    lessons = [{one.id for one in part if one.source == "feedback"} for part in seen]
    assert [len(ids) for ids in lessons] == [0, 22, 22]
    assert len(taught_) - len(without) == 22


@pytest.mark.usefixtures("own")
def test_what_would_be_worse_replaces_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lessons without the cap on their weight that call the corpus's own pitches personal."""
    monkeypatch.setattr(adapt, "MOST", 100.0)
    wrong = [one for one in corpus.read().items if one.label == "pitch"]
    texts = [f"{one.text} {two.text}" for one, two in product(wrong, wrong[:4])]
    teach(file, [taught(n, text=f"{text} qq{chr(97 + n % 26)}") for n, text in enumerate(texts)])
    out = tmp_path / "model"
    write(out, "old")
    outcome = adapt.adapt(file, [], out)
    assert outcome.manifest is None
    assert outcome.after.recall["pitch"]["0.80"].hits < outcome.before.recall["pitch"]["0.80"].hits
    assert content(out) == b"old"
    assert not install.previous(out).exists()


def test_too_few_lessons_are_refused_before_anything_is_trained(file: Path, tmp_path: Path) -> None:
    teach(file, [taught(n) for n in range(19)])
    with pytest.raises(CorpusError, match=r"feedback\.jsonl: 19 different mails were taught"):
        adapt.adapt(file, [], tmp_path / "model")
    assert not (tmp_path / "model").exists()
