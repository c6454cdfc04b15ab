"""What the user taught: mails labelled by a release or by hand, kept in a local file.

One lesson is one line of JSON: the SHA-256 of the mail's octets, the label, the mail's normalised
text, a hash of its sender, how it was taught, and when. The mail itself is not kept. In the text
addresses, links, numbers and the names of everybody on the mail have been taken out; what else it
says stands there, so the file is its owner's alone (mode 0600). The hash only tells which lessons
come from one sender: whoever guesses the address can confirm it.

`append` returns when the line is on disk; several processes may append at once, and a line that a
crash left half-written is taken away by the next. Raises OSError. `read` raises CorpusError, which
names the file and the line.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from classifier.examples import CorpusError, Example, Examples
from classifier.grouping import regroup
from classifier.install import sync
from classifier.message import Limits, Message
from classifier.message import read as read_mail
from classifier.text import normalise

Taught = Literal["pitch", "personal"]
How = Literal["release", "said"]

SOURCE = "feedback"
"""The `source` of an example that is a lesson."""
GERMAN = frozenset("und der die das ist nicht wir ich sie mit für auf ein eine zu den".split())  # noqa: SIM905
GERMAN_SHARE = 0.06
"""Those words are more of a text in German: of our corpus's other mails none comes to so much, of
its German ones 19 in 20 do."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One mail and what it was. `id` is the SHA-256 of its octets, `sender` a hash."""

    id: str
    label: Taught
    text: str
    sender: str
    source: How
    time: str  # ISO 8601, UTC


class NothingSaid(ValueError):
    """The mail has no text of its own, or is none, so there is nothing to learn from it."""


def lesson(content: bytes, label: Taught, source: How, limits: Limits = Limits()) -> Lesson:  # noqa: B008 - frozen
    """What this mail teaches. Raises NothingSaid."""
    message = read_mail(content, limits)
    if not (message.from_ or message.subject):
        raise NothingSaid("it has neither sender nor subject: it is no mail")
    # A copied colleague's name is taken out as the addressee's is.
    named = replace(message, to=(*message.to, *message.cc, *message.reply_to))
    text = normalise(named)
    if not text.strip():
        raise NothingSaid("it has no text of its own")
    identity = hashlib.sha256(content).hexdigest()
    return Lesson(
        id=identity,
        label=label,
        text=text,
        sender=_sender(message, identity),
        source=source,
        time=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _sender(message: Message, identity: str) -> str:
    """A hash of the author's address; of the mail where it names none."""
    address = message.from_[0].address.lower() if message.from_ else ""
    return hashlib.sha256((address or identity).encode(errors="replace")).hexdigest()[:16]


def append(path: Path, learnt: Lesson) -> None:
    """Add a lesson; it is on disk when this returns."""
    line = json.dumps(asdict(learnt), ensure_ascii=False).encode(errors="replace") + b"\n"
    fresh = not path.exists()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path) as descriptor:
        start = _end(descriptor)
        if os.pwrite(descriptor, line, start) != len(line):  # the disk is full
            os.ftruncate(descriptor, start)
            raise OSError(f"{path}: the disk took a part of a line only; nothing was kept")
        os.fsync(descriptor)
    if fresh:
        sync(path.parent)
        sync(path.parent.absolute().parent)


@contextmanager
def _alone(path: Path) -> Iterator[int]:
    """The open file, with nobody else appending to it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _end(descriptor: int) -> int:
    """Where the next line begins: behind the last whole one, which an editor may have left
    without its line feed. What a crash left behind it goes."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    whole, tail = _parted(os.pread(descriptor, size, 0))
    if _is_whole(tail):
        return size + os.pwrite(descriptor, b"\n", size)
    os.ftruncate(descriptor, len(whole))
    return len(whole)


def _parted(content: bytes) -> tuple[bytes, bytes]:
    """The lines that end in a line feed, and what stands behind the last of them."""
    end = content.rfind(b"\n") + 1
    return content[:end], content[end:]


def _is_whole(line: bytes) -> bool:
    # No beginning of a JSON object is one.
    try:
        json.loads(line.decode())
    except ValueError:
        return False
    return True


def read(path: Path) -> list[Lesson]:
    """Every mail's last lesson, in the order they were taught; none where there is no file."""
    return _read(path)[0]


def _read(path: Path) -> tuple[list[Lesson], str]:
    """The lessons, and the SHA-256 of the very octets they were read from."""
    try:
        content = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise CorpusError(f"{path}: cannot be read: {error.strerror}") from error
    whole, tail = _parted(content)
    lines = whole.split(b"\n")[:-1] + ([tail] if _is_whole(tail) else [])
    last: dict[str, Lesson] = {}
    for number, line in enumerate(lines, 1):
        try:
            learnt = _lesson(json.loads(line.decode()))
        except (ValueError, TypeError) as error:
            raise CorpusError(f"{path}, line {number}: {error}; take the line out") from error
        last.pop(learnt.id, None)
        last[learnt.id] = learnt
    return list(last.values()), hashlib.sha256(content).hexdigest()


def _lesson(record: object) -> Lesson:
    if not isinstance(record, dict) or not all(isinstance(one, str) for one in record.values()):
        raise ValueError("is no lesson")
    learnt = Lesson(**record)
    for value, allowed in ((learnt.label, get_args(Taught)), (learnt.source, get_args(How))):
        if value not in allowed:
            raise ValueError(f"{value!r} is none of {', '.join(allowed)}")
    return learnt


def examples(path: Path) -> Examples:
    """The lessons as training mails; of mails that say nearly the same, the last one taught. What
    shares much text or a sender is one group, and one block."""
    lessons, digest = _read(path)
    labels: dict[str, Taught] = {one.id: one.label for one in lessons}
    # Under one label: of two labels `regroup` would keep both, as twins that are told apart.
    alike = (replace(_example(one), label="personal") for one in reversed(lessons))
    apart = (
        replace(
            one,
            label=labels[one.id],
            group=f"{SOURCE} {one.group}",
            block=f"{SOURCE} {one.group}",
        )
        for one in regroup(alike)
    )
    return Examples(tuple(apart), {path.name: digest})


def _example(learnt: Lesson) -> Example:
    return Example(
        id=learnt.id,
        text=learnt.text,
        label=learnt.label,
        kind=learnt.source,
        group=learnt.sender,
        sender=learnt.sender,
        source=SOURCE,
        language="de" if _is_german(learnt.text) else "und",  # undetermined, as ISO 639 has it
    )


def _is_german(text: str) -> bool:
    """German capitalises every noun, and training would take the nouns for names."""
    found = re.findall(r"[^\W\d_]+", text.lower())
    return sum(word in GERMAN for word in found) > GERMAN_SHARE * len(found)
