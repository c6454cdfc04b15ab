"""Fixtures that several tests of the rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

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
