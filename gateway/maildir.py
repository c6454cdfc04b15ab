"""Maildir files: written so that a crash loses nothing, found wherever a mail client put them.

A write is first complete and on disk in `tmp/`, then renamed into `new/`, and both the file and
the directory entry are fsynced before the path is returned. A mail client may then move the file
to `cur/` and append flags (`name:2,S`); `find`, `read` and `remove` follow it by its unique name.

Everything here blocks. Raises OSError (FileNotFoundError when the mail is gone). Nothing is left
behind by a write that raised. A process killed during a write may leave a file in `tmp/`, which
no client shows and which mail clients clear after 36 hours, as the convention asks.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import re
import secrets
import socket
import time
from pathlib import Path

_counter = itertools.count(1)
_NAME_LIMIT = 200  # octets; file systems stop at 255
_HASH_LENGTH = 16
_FLAGS = re.compile("[:,]")  # ':2,S' by any client, ',S=1234' by Dovecot


def write(folder: Path, content: bytes) -> Path:
    """Deliver one mail into the Maildir `folder`, made when missing (0700; the file is 0600).

    Returns the path in `new/`. Durable on return; on OSError there is no file."""
    _make(folder)
    name = _unique_name()
    partial, final = folder / "tmp" / name, folder / "new" / name
    try:
        _write_durably(partial, content)
        partial.rename(final)
        _sync_directory(final.parent)
    except BaseException:
        for path in (partial, final):
            with contextlib.suppress(OSError):
                path.unlink()
        raise
    return final


def find(path: Path) -> Path | None:
    """Where the mail written to `path` lies now: in `new/`, or in `cur/` under any flags. None
    when it was deleted or moved to another folder."""
    if path.is_file():
        return path
    unique = _unique_part(path.name)
    for directory in (path.parent.parent / "new", path.parent.parent / "cur"):
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            for entry in entries:
                if _unique_part(entry.name) == unique:
                    return Path(entry.path)
    return None


def read(path: Path) -> bytes:
    """The octets of the mail written to `path`."""
    # A client may rename the file between finding and opening it; it can do so only so often.
    for _ in range(3):
        found = find(path)
        if found is None:
            break
        with contextlib.suppress(FileNotFoundError):
            return found.read_bytes()
    raise FileNotFoundError(f"{path}: the mail is no longer in its folder")


def remove(path: Path) -> None:
    """Delete the mail written to `path`, durably. One that is gone already is fine."""
    while found := find(path):
        with contextlib.suppress(FileNotFoundError):
            found.unlink()
            _sync_directory(found.parent)


def folder_name(address: str) -> str:
    """The directory name for an address: lower case, at most 200 octets, no separator, no leading
    dot. An ordinary address is its own name. Where a character had to give way, `~` and a hash
    follow; as `~` itself always gives way, two addresses never share a name."""
    folded = address.lower()
    kept = "".join(char if char.isalnum() or char in "@.+=_-" else "_" for char in folded)
    if kept[:1] in ("", ".", "-"):
        kept = "_" + kept[1:]
    if kept == folded and len(kept.encode()) <= _NAME_LIMIT:
        return kept
    digest = hashlib.sha256(folded.encode(errors="surrogatepass")).hexdigest()[:_HASH_LENGTH]
    room = _NAME_LIMIT - _HASH_LENGTH - 1
    return f"{kept.encode()[:room].decode(errors='ignore')}~{digest}"


def _unique_name() -> str:
    """`<seconds>.M<µs>P<pid>Q<count>R<random>.<host>`, as the Maildir convention builds it."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    host = re.sub(r"[^A-Za-z0-9.-]", "_", socket.gethostname())[:64] or "localhost"
    return (
        f"{seconds}.M{nanoseconds // 1000}P{os.getpid()}Q{next(_counter)}"
        f"R{secrets.token_hex(8)}.{host}"
    )


def _unique_part(name: str) -> str:
    return _FLAGS.split(name, maxsplit=1)[0]


def _make(folder: Path) -> None:
    # tmp/ is made last: whoever finds it may rely on the other directories being on disk.
    if (folder / "tmp").is_dir():
        return
    for directory in (folder, folder / "cur", folder / "new"):
        _make_directory(directory)
        _sync_directory(directory.parent)
    (folder / "tmp").mkdir(mode=0o700, exist_ok=True)


def _make_directory(directory: Path) -> None:
    if directory.is_dir():
        return
    if not directory.parent.is_dir():
        _make_directory(directory.parent)
        _sync_directory(directory.parent.parent)
    directory.mkdir(mode=0o700, exist_ok=True)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
