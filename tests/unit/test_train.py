from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest
from mail_corpus import write_corpus

from classifier import corpus, train
from classifier.corpus import MIX, CorpusError, Example, regroup, weigh
from classifier.model import MANIFEST_NAME, MODEL_NAME


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


def kept(examples: list[Example]) -> list[str]:
    return train.vocabulary(examples, train.WORDS, 1000)


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


def test_a_name_is_not_kept_as_a_character_term_either() -> None:
    mails = [example(n, "Jutta comes", names=frozenset({"jutta"})) for n in range(6)]
    terms = train.vocabulary(mails, train.CHARACTERS, 1000)
    assert "come" in terms
    assert not [term for term in terms if term.strip() == "jutta"]


def test_no_number_or_address_can_become_a_word() -> None:
    mails = [example(n, "call 5550100 or a@b.example x99") for n in range(6)]
    assert not [term for term in kept(mails) if any(c.isdigit() or c == "@" for c in term)]


def test_neither_can_become_a_character_term() -> None:
    mails = [example(n, "root@host 555 http://x www.x") for n in range(6)]
    terms = train.vocabulary(mails, train.CHARACTERS, 1000)
    assert "root" in terms
    assert not [term for term in terms if set(term) & set("@5") or "://" in term or "www." in term]


def test_the_most_frequent_terms_are_kept_when_there_are_too_many() -> None:
    mails = [example(n, "often seldom" if n < 6 else "often") for n in range(9)]
    assert train.vocabulary(mails, train.WORDS | {"ngram_range": (1, 1)}, 1) == ["often"]


def test_near_identical_texts_are_kept_once_and_kin_is_one_group() -> None:
    words = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(200)]
    letter, same = " ".join(words), " ".join([*words, "bye"])
    kin = " ".join([*words[:150], *(f"k{word}" for word in words)])
    other = " ".join(f"o{word}" for word in words)
    found = regroup(example(n, text) for n, text in enumerate([letter, same, kin, other, "", "  "]))
    assert [e.id for e in found] == ["m0", "m2", "m3"]
    assert found[0].group == found[1].group != found[2].group


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


def test_training_twice_gives_the_same_file(tmp_path: Path) -> None:
    write_corpus(tmp_path / "data")
    heard: list[tuple[str, float]] = []
    first = train.train(tmp_path / "data", tmp_path / "a", lambda *at: heard.append(at))
    second = train.train(tmp_path / "data", tmp_path / "b")
    assert (tmp_path / "a" / MODEL_NAME).read_bytes() == (tmp_path / "b" / MODEL_NAME).read_bytes()
    assert first.id == second.id == f"2026.11-{first.sha256[:8]}"
    assert [share for _, share in heard] == sorted(share for _, share in heard)
    assert heard[-1] == ("done", 1.0)
    written = json.loads((tmp_path / "a" / MANIFEST_NAME).read_text())
    assert written["sha256"] == first.sha256
    assert set(written["data"]) == {"pitches.jsonl.gz", "genuine.jsonl.gz", "junk.jsonl.gz"}
    assert written["examples"]["pitch"] == 16


def test_a_folder_without_data_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no training data here; expected one of pitches"):
        train.train(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    write_corpus(tmp_path, labels=("pitch", "personal", "bulk"))
    with pytest.raises(CorpusError, match="only 0 independent groups of label junk"):
        train.train(tmp_path, tmp_path / "out")


@pytest.mark.parametrize(
    "content",
    [b"no gzip", gzip.compress(b"no json\n"), gzip.compress(b'{"id": "x", "label": "spam"}\n')],
)
def test_a_broken_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "junk.jsonl.gz").write_bytes(content)
    with pytest.raises(CorpusError, match=r"junk\.jsonl\.gz: cannot be read"):
        corpus.read(tmp_path)


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
    found = {e.id: (e.label, e.kind, e.source, e.sender) for e in corpus.read(tmp_path).items}
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
    read = corpus.read(tmp_path)
    assert [e.text for e in read.items] == ["About as received\n\nToday as received here."]
    assert set(read.files) == {"pitches.jsonl.gz", "raw-pitches.tar.xz"}


def test_a_pitch_in_a_language_without_genuine_mail_is_left_out(tmp_path: Path) -> None:
    records = [
        {
            "id": f"p-{lang}",
            "label": "pitch",
            "subject": lang,
            "body": f"mail in {lang}",
            "lang": lang,
        }
        for lang in ("en", "pl")
    ]
    lines = "\n".join(map(json.dumps, records)).encode()
    (tmp_path / "pitches.jsonl.gz").write_bytes(gzip.compress(lines))
    assert [e.id for e in corpus.read(tmp_path).items] == ["p-en"]
