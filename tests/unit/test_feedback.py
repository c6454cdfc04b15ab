"""What the user teaches: how it is kept, and read to train with."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
from lessons import taught, teach

from classifier.examples import CorpusError
from classifier.feedback import NothingSaid, append, examples, lesson, read
from classifier.vocabulary import only_names

LETTER = (
    b"From: Rosalind Quill <rosalind@press.example>\r\nTo: Ann Ember <ann@example.com>\r\n"
    b"Cc: Tobias Fenn <tobias@example.com>\r\nSubject: The proofs\r\n\r\n"
    b"Dear Ann,\r\n\r\nTobias and I have read the proofs, see https://press.example/p or call\r\n"
    b"+44 20 7946 0000. Write to me at rosalind@press.example.\r\n\r\nRosalind\r\n"
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "var" / "feedback.jsonl"


def test_a_lesson_is_kept_without_the_mail_and_the_people_on_it(file: Path) -> None:
    learnt = lesson(LETTER, "personal", "release")
    append(file, learnt)
    kept = file.read_text("utf-8")
    assert "have read the proofs, see xxlinkxx or call" in kept
    for personal in ("osalind", "Ann", "Tobias", "Ember", "@", "press.example", "7946"):
        assert personal not in kept
    assert set(json.loads(kept)) == {"id", "label", "text", "sender", "source", "time"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read(file) == [learnt]


def test_mails_of_one_author_have_one_sender_and_nobodys_have_their_own() -> None:
    def sender(content: bytes) -> str:
        return lesson(content, "pitch", "said").sender

    again = LETTER.replace(b"rosalind@press", b"Rosalind@PRESS").replace(b"proofs", b"plates")
    assert sender(LETTER) == sender(again)
    nobody = [b"Subject: One thing\r\n\r\nHello\r\n", b"Subject: Another\r\n\r\nHello\r\n"]
    assert sender(nobody[0]) != sender(nobody[1])


@pytest.mark.parametrize(
    "content", [b"", b"From: a@b.example\r\n\r\n\r\n", b"\x89PNG\r\n\x1a\nhello there"]
)
def test_a_mail_that_says_nothing_teaches_nothing(content: bytes) -> None:
    with pytest.raises(NothingSaid):
        lesson(content, "pitch", "said")


def test_of_a_mail_taught_twice_the_later_lesson_counts(file: Path) -> None:
    teach(file, [taught(1, "pitch"), taught(2), taught(1, "personal")])
    assert [(one.id, one.label) for one in read(file)] == [("id2", "personal"), ("id1", "personal")]


def test_of_mails_that_say_nearly_the_same_the_later_lesson_counts(file: Path) -> None:
    text = " ".join(f"word{chr(97 + n)}" for n in range(26))
    teach(file, [taught(1, "pitch", text), taught(2, "personal", f"{text} bye"), taught(3)])
    assert {(one.id, one.label) for one in examples(file).items} == {
        ("id2", "personal"),
        ("id3", "personal"),
    }


def test_lessons_are_grouped_by_sender_and_apart_from_the_corpus(file: Path) -> None:
    teach(file, [taught(1, sender="x"), taught(2, sender="x"), taught(3)])
    found = examples(file)
    groups = {one.id: one.group for one in found.items}
    assert groups["id1"] == groups["id2"] != groups["id3"]
    assert all(one.group.startswith("feedback ") and one.block == one.group for one in found.items)
    assert {(one.source, one.kind) for one in found.items} == {("feedback", "said")}
    assert list(found.files) == ["feedback.jsonl"]


def test_german_nouns_of_lessons_are_not_taken_for_names(file: Path) -> None:
    german = "wir haben den Vorschlag und die Rechnung für Sie"
    english = "we have read the Vorschlag for you"
    teach(file, [taught(1, text=german), taught(2, text=english)])
    by_id = {one.id: one for one in examples(file).items}
    assert "rechnung" not in only_names([by_id["id1"]])
    assert "vorschlag" in only_names([by_id["id2"]])


def test_no_file_is_no_lessons(file: Path) -> None:
    assert read(file) == []
    assert examples(file).items == ()
    assert not file.parent.exists()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[]", "is no lesson"),
        ('{"id": 1}', "is no lesson"),
        ('{"id": "x"}', "missing 5 required"),
        (json.dumps(asdict(taught(1, label="bulk"))), "'bulk' is none of pitch, personal"),
        (json.dumps(asdict(taught(1, source="heard"))), "'heard' is none of release, said"),
        ("\udcff", "can't decode"),
        ("\0\0\0x", "Expecting value"),  # octets that json would take for UTF-32
    ],
)
def test_a_broken_line_is_named(file: Path, line: str, fault: str) -> None:
    teach(file, [taught(1)])
    with file.open("ab") as out:
        out.write(line.encode(errors="surrogateescape") + b"\n")
    append(file, taught(2))
    with pytest.raises(CorpusError, match=rf"feedback\.jsonl, line 2: .*{fault}"):
        read(file)


def test_a_directory_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="cannot be read: Is a directory"):
        read(tmp_path)


# Appending, whatever happens.


def test_a_line_left_half_written_is_left_out_and_then_taken_away(file: Path) -> None:
    teach(file, [taught(1), taught(2)])
    whole = file.read_bytes()
    for cut in range(whole.index(b"\n") + 2, len(whole) - 1):
        file.write_bytes(whole[:cut])
        assert read(file) == [taught(1)]
        append(file, taught(3))
        assert read(file) == [taught(1), taught(3)]


def test_a_whole_line_without_its_line_feed_counts_and_stays(file: Path) -> None:
    teach(file, [taught(1)])
    file.write_bytes(file.read_bytes().rstrip(b"\n"))
    assert read(file) == [taught(1)]
    append(file, taught(2))
    assert read(file) == [taught(1), taught(2)]


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b", "a\nb", "zażółć", 'quote " and \\'])
def test_a_text_is_read_as_it_was_written(file: Path, text: str) -> None:
    teach(file, [taught(1, text=text), taught(2)])
    assert read(file)[0].text == text


APPENDING = """
import sys
from pathlib import Path
from classifier.feedback import Lesson, append
who = sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(100):
    append(Path(sys.argv[1]), Lesson(f"{who}-{n}", "pitch", who * 5000, who, "said", "now"))
"""


def test_processes_may_append_at_once(file: Path) -> None:
    pipe = subprocess.PIPE
    crowd = [
        subprocess.Popen([sys.executable, "-c", APPENDING, file, who], stdin=pipe, stdout=pipe)
        for who in "abcd"
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == b"ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write(b"\n")
        one.stdin.flush()
    for one in crowd:
        one.communicate(timeout=60)
        assert one.returncode == 0
    wanted = {f"{who}-{number}" for who, number in product("abcd", range(100))}
    assert {one.id for one in read(file)} == wanted


FULL = """
import resource, sys
from pathlib import Path
from classifier.feedback import Lesson, append
path = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 500,) * 2)
try:
    append(path, Lesson("big", "pitch", "x" * 5000, "s", "said", "now"))
except OSError as error:
    print(error)
"""


def test_a_full_disk_is_an_error_and_leaves_no_part_of_a_line(file: Path) -> None:
    teach(file, [taught(1)])
    before = file.read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(file)], capture_output=True, text=True, check=True
    )
    assert "took a part of a line only" in done.stdout
    assert file.read_bytes() == before
