"""A model put in its place whole, with the one before kept beside it as `FOLDER.previous`.

Whenever a process is killed, `FOLDER` is a whole model, the old one or the new, and `rollback`
leads to the one that was in use before it. Two directories are exchanged in one step (renameat2,
Linux); where the file system cannot, as over NFS, `FOLDER` is missing between two renames, and the
next `put` or `rollback` brings it back.

Raises ModelError where there is nothing to go back to or the folder holds something else, and
OSError.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier import model as models
from classifier.card import CARD_NAME
from classifier.model import MANIFEST_NAME, MODEL_NAME, Manifest, ModelError

WAITING = "waiting"
"""An empty file in a new model until it is in use: found in the place of the one before, this is
not the one before."""
OURS = {MODEL_NAME, MANIFEST_NAME, CARD_NAME, WAITING}
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def previous(folder: Path) -> Path:
    """Where the model lies that this one replaced."""
    folder = folder.resolve()
    return folder.with_name(f"{folder.name}.previous")


def put(folder: Path, write: Callable[[Path], Manifest]) -> Manifest:
    """Replace the folder's model by what `write` writes into a folder it is given."""
    check(folder)
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _turn(folder.parent):
        _mend(folder)
        fresh = _hidden(folder, "new")
        fresh.mkdir()
        manifest = write(fresh)
        models.verify(fresh)
        (fresh / WAITING).touch()
        _sync_files(fresh)
        _place(fresh, folder)
        sync(folder.parent)
    return manifest


def check(folder: Path) -> None:
    """Raise ModelError where the folder or the one before holds anything but a model: as a whole
    it would be moved, and deleted in the end."""
    for place in (folder.resolve(), previous(folder)):
        there = {path.name for path in place.iterdir()} if place.is_dir() else set()
        if others := there - OURS:
            raise ModelError(f"{place}: holds {min(others)}; a model needs a folder of its own")


def rollback(folder: Path) -> Manifest:
    """Exchange the model and the one before; twice is as it was."""
    before, folder = previous(folder), folder.resolve()
    if not folder.parent.is_dir():
        raise ModelError(f"{folder}: there is no model")
    with _turn(folder.parent):
        missing = not folder.exists()
        _mend(folder)
        if not missing:
            if not before.exists():
                raise ModelError(f"{before}: there is no earlier model to go back to")
            models.verify(before)
            _exchange(before, folder)
            sync(folder.parent)
        return models.verify(folder)


def _place(fresh: Path, folder: Path) -> None:
    """Put `fresh` where `folder` is, and that where the one before it was."""
    before, spare = previous(folder), _hidden(folder, "spare")
    if not folder.exists() or not any(folder.iterdir()):
        fresh.rename(folder)
    else:
        if before.exists():
            before.rename(spare)
        # The new one waits in the place of the one before, which is kept until the exchange is
        # done. Who is killed here finds the old model in use, and starts anew with nothing lost.
        fresh.rename(before)
        _exchange(before, folder)
    (folder / WAITING).unlink()
    _remove(spare)


def _mend(folder: Path) -> None:
    """Finish or undo what a killed process began."""
    before, fresh = previous(folder), _hidden(folder, "new")
    aside, spare = _hidden(folder, "aside"), _hidden(folder, "spare")
    _remove(fresh)
    if not folder.exists() and before.exists():
        before.rename(folder)
    if (before / WAITING).exists():
        before.rename(fresh)
    for kept in (aside, spare):
        if kept.exists() and not before.exists():
            kept.rename(before)
    (folder / WAITING).unlink(missing_ok=True)
    _remove(spare)
    _remove(fresh)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _hidden(folder: Path, purpose: str) -> Path:
    return folder.with_name(f".{folder.name}.raincheck-{purpose}")


def _exchange(before: Path, folder: Path) -> None:
    if not _exchanged(before, folder):
        aside = _hidden(folder, "aside")
        folder.rename(aside)
        before.rename(folder)
        aside.rename(before)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two directories in one step; False where system or file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(one), os.fsencode(other)
    done: int = renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE)
    return done == 0


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    """Nobody else changes the models in this directory meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync_files(folder: Path) -> None:
    for path in (*folder.iterdir(), folder):
        sync(path)


def sync(path: Path) -> None:
    """Make a file, or the entries of a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
