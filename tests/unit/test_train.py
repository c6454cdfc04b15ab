from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from lessons import named, put
from mail_corpus import BATCHES, write_corpus, write_own
from threadpoolctl import threadpool_info, threadpool_limits

from classifier import archives, corpus, install, recogniser, train
from classifier import model as models
from classifier.card import CARD_NAME
from classifier.examples import CorpusError, Example, message_of
from classifier.feedback import SOURCE
from classifier.grouping import MIX, regroup, weigh
from classifier.model import MANIFEST_NAME, MODEL_NAME, ModelError
from classifier.vocabulary import vocabulary


def example(number: int, text: str | None = None, **fields: object) -> Example:
    letters = chr(97 + number % 26) * 3 + chr(97 + number // 26)
    whole = {
        "id": f"m{number}",
        "text": f"a{letters} b{letters} c{letters}" if text is None else text,
        "label": "personal",
        "kind": "personal",
        "group": f"group {number}",
        "sender": f"sender {number}",
        "source": "test",
    }
    return Example(**(whole | fields))  # type: ignore[arg-type]


LINE = {
    "id": "x",
    "label": "pitch",
    "kind": "saas",
    "language": "en",
    "from": "a@b.example",
    "subject": "",
    "body": "<meet>Call me?",
}


def write_further(folder: Path, name: str) -> None:
    """A file of one mail, written as ours are."""
    folder.mkdir(parents=True)
    (folder / name).write_text(json.dumps(LINE) + "\n", "utf-8")


def kept(examples: list[Example]) -> list[str]:
    """The words and pairs that may be kept."""
    return [term for term in vocabulary(examples, 1000) if term[0] != "~"]


def test_a_term_of_five_mails_from_two_senders_is_kept() -> None:
    mails = [example(n, "lantern", sender=f"s{n % 2}", group=f"g{n % 2}") for n in range(5)]
    assert kept(mails) == ["lantern"]


def test_a_term_of_four_mails_is_not_kept() -> None:
    assert kept([example(n, f"{'lantern' if n else 'other'} stays") for n in range(5)]) == ["stays"]


def test_a_term_of_a_single_sender_is_not_kept_however_often_it_comes() -> None:
    mails = [example(n, "lantern", sender="one") for n in range(50)]
    assert kept([*mails, *[example(n, "stays") for n in range(60, 65)]]) == ["stays"]


def test_a_term_of_a_single_campaign_is_not_kept_whoever_signs_it() -> None:
    mails = [example(n, "lantern", group="one") for n in range(50)]
    assert kept([*mails, *[example(n, "stays") for n in range(60, 65)]]) == ["stays"]


def test_a_name_is_not_kept_unless_it_is_a_common_word() -> None:
    names = frozenset({"quentin", "lowell", "mark"})
    mails = [
        example(n, "Yes, Quentin will mark it" + " with lowell" * (n < 8), names=names)
        for n in range(12)
    ]
    terms = kept(mails)
    assert {"mark", "mark it", "will mark"} <= set(terms)
    assert not [term for term in terms if "quentin" in term or "lowell" in term]


@pytest.mark.parametrize(
    ("sentence", "survives"),
    [
        ("we saw Quentin there", False),  # always a capital within the sentence
        ("Quentin was there", False),  # never without one
        ("we bring lanterns there", True),
        ("we sell SEO there", True),  # an abbreviation, not a name
        ("we use Google there", True),  # nobody's name
    ],
)
def test_a_name_in_the_text_is_not_kept_whoever_sent_it(sentence: str, survives: bool) -> None:
    rare = {"Quentin", "lanterns", "SEO", "Google"} & set(sentence.split())
    terms = kept([example(n, sentence) for n in range(6)])
    assert (rare.pop().lower() in terms) is survives


def test_a_term_of_our_own_needs_three_mails_of_two_authors_only() -> None:
    def ours(word: str, count: int, authors: int) -> list[Example]:
        return [
            example(n, word, source="own", block=f"b{n % authors}", sender="one", group="one")
            for n in range(count)
        ]

    assert kept([*ours("lantern", 3, 2), *ours("candle", 3, 1), *ours("torch", 2, 2)]) == [
        "lantern"
    ]


def test_lessons_add_no_term() -> None:
    """They carry no names, so a name in them could not be told."""
    mails = [example(n, "wir sehen den Brief", language="de") for n in range(6)]
    taught = [
        example(n, "wir sehen Quentin morgen", source=SOURCE, language="de") for n in range(10, 30)
    ]
    assert kept([*mails, *taught]) == kept(mails)
    assert "brief" in kept(mails)


def test_german_nouns_are_no_names() -> None:
    mails = [example(n, "wir sehen den Brief heute", language="de") for n in range(6)]
    assert "brief" in kept(mails)
    assert "brief" not in kept([example(n, "wir sehen den Brief heute") for n in range(6)])


def test_no_number_or_address_can_become_a_word() -> None:
    mails = [example(n, "call 5550100 or a@b.example x99") for n in range(6)]
    assert not [term for term in kept(mails) if any(c.isdigit() or c == "@" for c in term)]


def test_the_most_frequent_terms_are_kept_when_there_are_too_many() -> None:
    mails = [example(n, "often seldom" if n < 6 else "often") for n in range(9)]
    assert vocabulary(mails, 1) == ["often"]


def test_near_identical_texts_are_kept_once_and_kin_is_one_group() -> None:
    words = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]
    letter, same = " ".join(words), " ".join([*words, "bye"])
    kin = " ".join([*words[:150], *(f"k{word}" for word in words)])
    other = " ".join(f"o{word}" for word in words)
    found = regroup(example(n, text) for n, text in enumerate([letter, same, kin, other, "", "  "]))
    assert [e.id for e in found] == ["m0", "m2", "m3"]
    assert found[0].group == found[1].group != found[2].group


@pytest.mark.parametrize(
    "sender", ["Mick @ No. 9 <mick@motors.example>", "Mick <mick@motors.example>"]
)
def test_a_sender_is_known_whatever_the_parser_makes_of_the_name(sender: str) -> None:
    people = message_of(sender, "", "").from_
    assert people[-1].address == "mick@motors.example"


@pytest.mark.parametrize("sender", ["", "<>", "<no address>"])
def test_a_sender_without_address_has_none(sender: str) -> None:
    assert not [one for one in message_of(sender, "", "").from_ if "@" in one.address]


def test_a_twin_that_says_the_opposite_is_kept() -> None:
    words = " ".join(f"w{chr(97 + n)}" for n in range(20))
    pitch = example(1, f"{words} buy", label="pitch")
    assert len(regroup([pitch, example(2, f"{words} bye")])) == 2
    assert len(regroup([pitch, example(2, f"{words} bye", label="pitch")])) == 1


def test_one_sender_and_one_named_group_are_one_group() -> None:
    pairs = [{"sender": "x"}, {"sender": "x", "group": "y"}, {"group": "y"}, {}]
    found = regroup(example(n, f"text number {'i' * n} of four", **p) for n, p in enumerate(pairs))
    groups = [e.group for e in found]
    assert groups[0] == groups[1] == groups[2] != groups[3]


def test_each_label_has_its_share_and_a_campaign_counts_as_its_root() -> None:
    campaign = [example(n, label="pitch", group="big") for n in range(9)]
    single = example(50, label="pitch", group="small")
    weighed = weigh([*campaign, single, *[example(n) for n in range(60, 100)]])
    pitch = [e.weight for e in weighed if e.label == "pitch"]
    share = MIX["pitch"] / (MIX["pitch"] + MIX["personal"])
    assert sum(pitch) == pytest.approx(share * len(weighed))
    assert sum(pitch[:9]) == pytest.approx(3 * pitch[9])


@pytest.mark.usefixtures("own")
def test_training_twice_gives_the_same_file(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data")
    heard: list[tuple[str, float]] = []
    first = train.train([tmp_path / "data"], tmp_path / "a", lambda *at: heard.append(at))
    second = train.train([tmp_path / "data"], tmp_path / "b")
    assert (tmp_path / "a" / MODEL_NAME).read_bytes() == (tmp_path / "b" / MODEL_NAME).read_bytes()
    assert first.id == second.id == f"2026.13-{first.sha256[:8]}"
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert heard[-1] == ("done", 1.0)
    written = json.loads((tmp_path / "a" / MANIFEST_NAME).read_text())
    assert written["sha256"] == first.sha256
    archived = {"pitches.jsonl.gz", "genuine.jsonl.gz", "junk.jsonl.gz"}
    assert set(written["data"]) == archived | {f"{name}.jsonl" for name in BATCHES}
    assert written["examples"]["pitch"] == 32
    card = (tmp_path / "a" / CARD_NAME).read_text()
    assert f"# Model {first.id}" in card
    assert "| own | " in card
    assert all(f"| {name} | `{digest}` |" in card for name, digest in written["data"].items())


def test_sums_are_made_in_one_thread_whatever_the_cores(own: Path) -> None:
    threads: set[int] = set()

    def tell(_stage: str, _share: float) -> None:
        threads.update(library["num_threads"] for library in threadpool_info())

    with threadpool_limits(limits=2):
        train.fit(corpus.read([own]).items, tell)
    assert threads == {1}


@pytest.mark.usefixtures("own")
def test_the_model_that_was_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "model"
    put(out, "old")
    manifest = train.train([], out)
    assert models.verify(out) == manifest
    assert models.verify(install.previous(out)).id == named("old")
    assert {path.name for path in out.iterdir()} == {MODEL_NAME, MANIFEST_NAME, CARD_NAME}


@pytest.mark.usefixtures("own")
def test_a_folder_that_holds_something_else_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/raincheck.db").touch()
    heard: list[str] = []
    with pytest.raises(ModelError, match=r"out: holds raincheck\.db"):
        train.train([], tmp_path / "out", lambda stage, _: heard.append(stage))
    assert heard == []


def test_the_mails_of_a_further_folder_are_not_ours(own: Path, tmp_path: Path) -> None:
    write_further(tmp_path / "mine", "en01.jsonl")
    found = corpus.read([tmp_path / "mine"])
    (mail,) = (one for one in found.items if one.source == "data")
    assert mail.block == "mine/en01"
    assert {one.block for one in found.items if one.source == "own"} == set(BATCHES)
    ours, theirs = (found.files[name] for name in ("en01.jsonl", "mine/en01.jsonl"))
    assert ours == hashlib.sha256((own / "en01.jsonl").read_bytes()).hexdigest()
    assert theirs == hashlib.sha256((tmp_path / "mine/en01.jsonl").read_bytes()).hexdigest()


@pytest.mark.usefixtures("own")
def test_files_of_one_name_are_all_listed_and_one_given_twice_once(tmp_path: Path) -> None:
    folders = [tmp_path / name / "mine" for name in "ab"]
    for folder in folders:
        write_further(folder, "new.jsonl")
    found = corpus.read([*folders, folders[0]])
    names = {f"{name}.jsonl" for name in BATCHES}
    assert set(found.files) - names == {"new.jsonl", "mine/new.jsonl"}


def test_an_act_has_a_voice_where_there_are_enough_pieces_of_it() -> None:
    def mails(label: str, act: str, pieces: int) -> Example:
        return example(0, label=label, acts=((act, "We sell."),) * pieces)

    least = recogniser.LEAST_PIECES
    learnt = recogniser.voices(
        [
            mails("pitch", "offer", least + 2),
            mails("personal", "offer", least),
            mails("junk", "offer", least - 1),
            mails("personal", "thanks", 1),
            mails("personal", "quote", least),
        ]
    )
    assert learnt == {
        ("offer", "pitch"): ("offer", "pitch"),
        ("offer", "personal"): ("offer", "personal"),
        ("offer", "junk"): ("offer", "pitch"),
        ("thanks", "personal"): ("thanks", "personal"),
    }


def test_a_sentence_shows_the_tactics_whose_quote_it_shares() -> None:
    pitch = example(
        0,
        label="pitch",
        acts=(
            ("offer", "Only two places are left. They are large. "),
            ("meet", "Call me? Or https://cal.x.example"),
        ),
        tactics=(
            ("urgency", "two places are left"),
            ("bait-offer", "They are large. Call me?"),
            ("flattery", "all"),
            ("mass-merge", "4711"),
            ("calendar-push", "https://cal.x.example"),
        ),
    )
    numbers = {("offer", "pitch"): 1, ("meet", "pitch"): 0}
    marked = recogniser.marked_sentences(pitch, numbers)
    assert marked.voices == [1, 1, 0, 0]
    assert marked.tactics == [{"urgency"}, {"bait-offer"}, {"bait-offer"}, {"calendar-push"}]
    other = example(0, acts=(("offer", "Call me?"),), tactics=(("urgency", "Call me?"),))
    assert recogniser.marked_sentences(other, {("offer", "personal"): 0}).tactics is None


def test_a_tactic_is_learnt_where_there_are_examples_enough_of_it() -> None:
    least = recogniser.LEAST_PIECES
    urgent, free = frozenset({"urgency"}), frozenset({"bait-offer"})
    sentences = [
        *[(["only", "two", "left"], urgent)] * least,
        *[(["free", "audit"], free)] * (least - 1),
        *[(["we", "sell"], frozenset())] * least,
    ]
    marked = [
        recogniser.Marked([terms], [at % 3], [shown]) for at, (terms, shown) in enumerate(sentences)
    ]
    learnt = recogniser.learn(marked, (("close", "pitch"), ("meet", "pitch"), ("offer", "pitch")))
    found = recogniser.learn_tactics(learnt, marked)
    assert list(found) == ["urgency"]
    weights, terms = found["urgency"], learnt.vectorizer.vocabulary_
    assert weights[terms["left"]] > 0 > weights[terms["sell"]]
    assert recogniser.learn_tactics(learnt, [marked[0]._replace(tactics=None)]) == {}
    assert recogniser.learn_tactics(learnt, marked[:least]) == {}  # nothing to tell it from
    with pytest.raises(CorpusError, match="only 2 acts are marked"):
        recogniser.learn(marked[:2], learnt.voices)


def test_the_acts_of_two_mails_of_one_id_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    class Recogniser:
        def acts(self, texts: list[str]) -> list[str]:
            return texts

    monkeypatch.setattr(train, "learn", lambda _marked, _voices: Recogniser())
    monkeypatch.setattr(train, "summary", lambda text: np.array([len(text)]))
    acts = (("offer", "x"),)
    mails = [
        example(1, "a", acts=acts, block="one", source="own"),
        example(1, "bbb", acts=acts, block="two", source="own"),
        example(1, "ccccc"),
    ]
    _, rows = train._acts(mails, lambda *_: None)
    assert rows.tolist() == [[1], [3], [5]]


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0c"])
def test_a_mail_may_hold_what_else_ends_a_line(tmp_path: Path, character: str) -> None:
    path = tmp_path / "en90.jsonl"
    line = json.dumps(LINE | {"subject": f"One{character}two"}, ensure_ascii=False)
    path.write_text(f"{line}\n{json.dumps(LINE)}", "utf-8")
    assert len(list(corpus.batch(path))) == 2


@pytest.mark.usefixtures("own")
def test_the_shipped_corpus_alone_is_enough(tmp_path: Path) -> None:
    manifest = train.train([], tmp_path / "out")
    assert manifest.examples["pitch"] == 16
    assert set(manifest.data) == {f"{name}.jsonl" for name in BATCHES}


@pytest.mark.usefixtures("own")
def test_a_folder_without_data_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="empty: no training data here; expected"):
        train.train([tmp_path / "empty"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_groups_are_refused(own: Path, tmp_path: Path) -> None:
    for path in own.iterdir():
        path.unlink()
    write_own(own, labels=("pitch", "personal", "bulk"))
    with pytest.raises(CorpusError, match="only 0 independent groups of label junk"):
        train.train([], tmp_path / "out")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "Expecting property name"),
        ([], "list indices"),
        ({}, "'id'"),
        (LINE | {"label": "ham"}, "x: label 'ham' is none of"),
        (LINE | {"from": ""}, "x: 'from' names nobody"),
        (LINE | {"from": "<>"}, "x: 'from' names nobody"),
        (LINE | {"body": "plain"}, "no act before 'plain'"),
        (LINE | {"body": "<bogus>plain"}, "no act before '<bogus>plain'"),
    ],
)
def test_a_broken_line_of_our_corpus_is_named(own: Path, line: object, fault: str) -> None:
    path = own / "en01.jsonl"
    broken = line if isinstance(line, str) else json.dumps(line)
    path.write_text(path.read_text().splitlines()[0] + "\n" + broken + "\n")
    with pytest.raises(CorpusError, match=r"en01\.jsonl, line 2: .*" + re.escape(fault)):
        corpus.read()


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"no json\n"), gzip.compress(b'{"id": "x", "label": "spam"}\n')],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.jsonl.gz").write_bytes(content)
    with pytest.raises(CorpusError, match=r"junk\.jsonl\.gz: cannot be read"):
        archives.read(tmp_path)


def archive(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w:xz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("spam-1/link.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)


def mail(sender: str, text: str) -> bytes:
    return f"From: {sender}\r\nSubject: About {text}\r\n\r\nToday {text} here.\r\n".encode()


def test_archives_are_read_by_folder_and_what_is_no_mail_is_skipped(tmp_path: Path) -> None:
    record = {"id": "sa-spam-1-00002", "label": "pitch", "subject": "Offer", "body": "Our offer"}
    (tmp_path / "pitches.jsonl.gz").write_bytes(gzip.compress(json.dumps(record).encode()))
    archive(
        tmp_path / "raw-spamassassin.tar.xz",
        {
            "easy-ham-1/00001.a.txt": mail("Jo via a list <list@example.org>", "ham"),
            "hard-ham-1/00001.b.txt": mail("news@example.org", "news"),
            "spam-1/00001.c.txt": mail("x@example.org", "spam"),
            "spam-1/00002.d.txt": mail("y@example.org", "known as a pitch already"),
            "data/data.js": b"var x;",
            "data/list.txt": b"no mail",
        },
    )
    found = {e.id: (e.label, e.kind, e.source, e.sender) for e in archives.read(tmp_path)}
    assert found == {
        "sa-spam-1-00002": ("pitch", "pitch", "pitches", "sa-spam"),
        "easy-ham-1/00001.a.txt": ("personal", "easy-ham", "spamassassin", "jo"),
        "hard-ham-1/00001.b.txt": ("bulk", "hard-ham", "spamassassin", "news@example.org"),
        "spam-1/00001.c.txt": ("junk", "spam", "spamassassin", "x@example.org"),
    }


def test_a_pitch_is_read_as_received_where_that_is_known(tmp_path: Path) -> None:
    record = {"id": "p-1", "label": "pitch", "subject": "s", "body": "from the table"}
    (tmp_path / "pitches.jsonl.gz").write_bytes(gzip.compress(json.dumps(record).encode()))
    archive(tmp_path / "raw-pitches.tar.xz", {"p-1.eml": mail("x@example.org", "as received")})
    assert [e.text for e in archives.read(tmp_path)] == [
        "About as received\n\nToday as received here."
    ]
    assert [path.name for path in archives.files(tmp_path)] == [
        "pitches.jsonl.gz",
        "raw-pitches.tar.xz",
    ]
