"""The training data: our own corpus, and mail archives beside it where there are any.

Our own stands in `corpus/*.jsonl`, one file for each batch that one author wrote in one go, one
mail a line; `corpus/README.md` gives the fields. `read(folders)` gives it together with the mails
of further folders: archives (see `classifier.archives`) or `.jsonl` files written as ours are,
whose mails have the source "data".

Every text goes through `text.normalise`, near-identical ones are kept once, and what shares much
text or a sender is one group. Raises CorpusError, which names the file and the line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from classifier import archives
from classifier.acts import plain, segments
from classifier.examples import (
    CorpusError,
    Example,
    Examples,
    Progress,
    checked_label,
    message_of,
    names_on,
)
from classifier.grouping import regroup, weigh
from classifier.text import normalise

OWN = Path(__file__).parent / "corpus"


def read(folders: Sequence[Path] = (), progress: Progress | None = None) -> Examples:
    """Our own corpus and the mails of the folders. `progress` hears (what is read, share done)."""
    found: list[Example] = []
    files: list[Path] = []
    for folder in (OWN, *folders):
        written = sorted(folder.glob("*.jsonl"))
        mails = batch if folder is OWN else _further
        found.extend(example for path in written for example in mails(path))
        if not written:
            found.extend(archives.read(folder, progress))
        files.extend(written or archives.files(folder))
    return Examples(tuple(weigh(regroup(found))), digests(files))


def unseen() -> list[Path]:
    """The files of ours that are never trained on."""
    return sorted((OWN / "unseen").glob("*.jsonl"))


def batch(path: Path) -> Iterator[Example]:
    """The mails of one file of ours."""
    return _mails(path, "own", path.stem)


def _further(path: Path) -> Iterator[Example]:
    """The mails of a file that is not ours; no batch of ours is called as its block is."""
    return _mails(path, "data", f"{path.parent.resolve().name}/{path.stem}")


def _mails(path: Path, source: str, block: str) -> Iterator[Example]:
    try:
        # By line feeds alone: a JSON string may hold the other characters that end a line.
        with path.open(encoding="utf-8", newline="\n") as file:
            lines = list(file)
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        try:
            yield _example(json.loads(line), source, block)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorpusError(f"{path}, line {number}: {error}") from error


def _example(record: dict[str, Any], source: str, block: str) -> Example:
    identity = record["id"]
    message = message_of(record["from"], record["subject"], plain(record["body"]))
    sender = next((one.address or one.name for one in message.from_), "")
    if not sender:
        raise ValueError(f"{identity}: 'from' names nobody")
    sequence = record.get("sequence")
    return Example(
        id=identity,
        label=checked_label(record["label"], identity),
        kind=record["kind"],
        group=f"{block}/{sequence or identity}",
        block=block,
        sender=sender,
        source=source,
        language=record["language"],
        step=int(record.get("step", 1)),
        acts=tuple(segments(record["body"])),
        tactics=tuple(
            (name, quote) for name, quotes in record.get("tactics", {}).items() for quote in quotes
        ),
        text=normalise(message),
        names=names_on(message),
    )


def digests(files: Iterable[Path]) -> dict[str, str]:
    """Each file's SHA-256 by its name, with its folder's where an earlier file has the same."""
    found: dict[str, str] = {}
    for path in dict.fromkeys(path.parent.resolve() / path.name for path in files):
        ends = ("/".join(path.parts[at:]) for at in range(len(path.parts) - 1, -1, -1))
        found[next(end for end in ends if end not in found)] = _sha256(path)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
