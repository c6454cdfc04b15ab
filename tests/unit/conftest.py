"""Fixtures that several tests of the rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mail_corpus import write_own

from classifier import corpus, train
from gateway.memory.store import Store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store's database lies."""
    return tmp_path / "raincheck.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """A real store, empty."""
    opened = Store.open(f"sqlite:///{path}")
    yield opened
    opened.close()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small corpus in the place of the shipped one."""
    folder = tmp_path / "own"
    write_own(folder)
    monkeypatch.setattr(corpus, "OWN", folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model, to be read only."""
    folder = tmp_path_factory.mktemp("model")
    write_own(folder / "own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "OWN", folder / "own")
        train.train([], folder / "model")
    return folder / "model"
