"""Mails in files: an .eml file, a directory of them, a Maildir, an mbox, or standard input.

`find` turns the paths a user gives into sources; nothing is read before `Source.read`. Raises
OSError from `read` when a file has gone or may not be read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Source:
    """One mail that can be read: its name for the user, and how to get its octets."""

    name: str
    read: Callable[[], bytes]


def find(paths: Iterable[Path]) -> list[Source]:
    """Every mail under these paths, in the order given, directories sorted by name.

    Raises FileNotFoundError for a path that does not exist.
    """
    return [source for path in paths for source in _under(path)]


def _under(path: Path) -> Iterator[Source]:
    if str(path) == "-":
        yield Source("-", sys.stdin.buffer.read)
    elif path.is_dir():
        yield from (_file(one) for one in sorted(_mail_files(path)))
    elif not path.exists():
        raise FileNotFoundError(f"{path}: no such file or directory")
    elif _is_mbox(path):
        yield from _in_mbox(path)
    else:
        yield _file(path)


def _mail_files(folder: Path) -> Iterator[Path]:
    """The files of a directory tree; of a Maildir, what is in new/ and cur/ but not in tmp/."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in parts[-1:])
        unfinished = len(parts) > 1 and parts[-2] == "tmp"
        if path.is_file() and not hidden and not unfinished:
            yield path


def _file(path: Path) -> Source:
    return Source(_shown(path), path.read_bytes)


def _shown(path: Path) -> str:
    """The path as text that can be printed: names on disk are octets, and need not be UTF-8."""
    return os.fsencode(path).decode(errors="replace")


def _is_mbox(path: Path) -> bool:
    """An mbox begins with a From_ line (RFC 4155); a saved mail may too, and is then one mail."""
    with path.open("rb") as file:
        return file.read(5) == b"From "


def _in_mbox(path: Path) -> Iterator[Source]:
    """The mails of an mbox, by their offsets, so that a large one is never read whole."""
    bounds = _bounds(path)
    for number, (start, end) in enumerate(bounds, 1):
        yield Source(f"{_shown(path)}#{number}", _reader(path, start, end))


def _bounds(path: Path) -> list[tuple[int, int]]:
    """Where each mail begins (after its From_ line) and ends, in octets."""
    starts: list[tuple[int, int]] = []
    offset, blank = 0, True
    with path.open("rb") as file:
        for line in file:
            if blank and line.startswith(b"From "):
                starts.append((offset, offset + len(line)))
            blank = not line.strip(b"\r\n")
            offset += len(line)
    ends = [start for start, _ in starts[1:]] + [offset]
    return [(after, end) for (_, after), end in zip(starts, ends, strict=True)]


def _reader(path: Path, start: int, end: int) -> Callable[[], bytes]:
    def read() -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    return read
