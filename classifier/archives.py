"""Mail archives that stand beside our own corpus: `read(folder)` gives their examples.

Understood are, by name (all optional, at least one must be there):
- `pitches.jsonl.gz`, `genuine.jsonl.gz`, `junk.jsonl.gz`: one object a line with `id, label,
  subject, body` and, where known, `kind, sender, group, lang, year, real`
- `raw-pitches.tar.xz`: the same pitches as received; where one is there it is read instead
- `raw-list-ham.tar.xz`: discussion on mailing lists, label `personal`
- `raw-spamassassin.tar.xz`: folders `easy-ham-*` (personal), `hard-ham-*` (bulk), `spam-*` (junk)

Raises CorpusError when the folder holds nothing of this, or a file cannot be read.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from classifier.examples import CorpusError, Example, Progress, checked_label, message_of, names_on
from classifier.message import Message
from classifier.message import read as read_mail
from classifier.text import normalise
from classifier.verdict import Label

JSONL = ("pitches.jsonl.gz", "genuine.jsonl.gz", "junk.jsonl.gz")
RAW_PITCHES = "raw-pitches.tar.xz"
TARS = ("raw-list-ham.tar.xz", "raw-spamassassin.tar.xz")

MAIL_OCTETS = 512 * 1024  # of one mail in an archive
ARCHIVE_MAILS = 50_000


def read(folder: Path, progress: Progress | None = None) -> list[Example]:
    """Read the folder. `progress` hears (file name, share done)."""
    names = [name for name in (*JSONL, *TARS) if (folder / name).is_file()]
    if not names:
        raise CorpusError(
            f"{folder}: no training data here; expected one of {', '.join(JSONL + TARS)}"
        )
    found: list[Example] = []
    for done, name in enumerate(names):
        if progress:
            progress(name, done / len(names))
        found.extend(_from_file(folder, name, {example.id for example in found}))
    return found


def files(folder: Path) -> list[Path]:
    """The files of the folder that are read."""
    return [folder / name for name in (*JSONL, RAW_PITCHES, *TARS) if (folder / name).is_file()]


def _from_file(folder: Path, name: str, seen: set[str]) -> Iterator[Example]:
    try:
        if name in TARS:
            yield from _from_tar(folder / name, seen)
        else:
            raw = dict(_mails(folder / RAW_PITCHES)) if name == JSONL[0] else {}
            yield from _from_jsonl(folder / name, raw)
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError) as error:
        raise CorpusError(f"{folder / name}: cannot be read: {error}") from error


def _from_jsonl(path: Path, raw: dict[str, bytes]) -> Iterator[Example]:
    source = path.name.partition(".")[0]
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            mail = raw.get(str(record["id"]))
            message = read_mail(mail) if mail is not None else _message(record)
            yield _example(message, record, source)


def _message(record: dict[str, Any]) -> Message:
    known = (str(record.get(name) or "") for name in ("sender", "subject", "body"))
    return message_of(*known)


def _example(message: Message, record: dict[str, Any], source: str) -> Example:
    identity = str(record["id"])
    label = checked_label(record["label"], identity)
    # Templates and newsletters have no sender here; those of one collection count as one.
    sender = _sender(message) or "-".join(identity.split("-")[:2])
    return Example(
        id=identity,
        label=label,
        kind=str(record.get("kind") or label),
        group=str(record.get("group") or sender),
        sender=sender,
        source=source,
        language=str(record.get("lang") or "en"),
        year=int(record.get("year") or 0),
        step=2 if record.get("followup") else 1,
        real=bool(record.get("real", True)),
        text=normalise(message),
        names=names_on(message),
    )


def _sender(message: Message) -> str:
    for person in message.from_[:1]:
        # "Jo Doe via a-list <a-list@…>": the list's address would make all of them one sender.
        name, via, _ = person.name.partition(" via ")
        return (name if via else person.address or person.name).strip().lower()
    return ""


def _from_tar(path: Path, seen: set[str]) -> Iterator[Example]:
    source = path.name.removeprefix("raw-").partition(".")[0]
    for name, raw in _mails(path):
        label = _label(name)
        if label is None or seen & _aliases(name):
            continue
        message = read_mail(raw)
        if message.parse != "failed":
            kind = name.rpartition("/")[0].rstrip("-0123456789")
            yield _example(message, {"id": name, "label": label, "kind": kind}, source)


def _label(name: str) -> Label | None:
    folder = name.rpartition("/")[0]
    if folder.startswith("hard-ham"):
        return "bulk"
    if folder.startswith("spam-"):
        return "junk"
    return "personal" if folder and folder != "data" else None


def _aliases(name: str) -> set[str]:
    """How the JSONL files call the same mail: spam-2/00408.… is sa-spam-2-00408 there."""
    folder, _, leaf = name.rpartition("/")
    stem = leaf.partition(".")[0]
    ham = folder.rstrip("-0123456789").replace("-", "")
    return {f"sa-{folder}-{stem}", f"sa-{ham}-{stem}", f"genlist-{folder}-{stem[:10]}"}


def _mails(path: Path) -> Iterator[tuple[str, bytes]]:
    """(name without .eml, bytes) of the mails in an archive; nothing is written to disk."""
    if not path.is_file():
        return
    with tarfile.open(path, "r:xz") as archive:
        for count, member in enumerate(archive):
            if count >= ARCHIVE_MAILS:
                return
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and member.name.endswith((".eml", ".txt")):
                yield member.name.removesuffix(".eml"), file.read(MAIL_OCTETS)
