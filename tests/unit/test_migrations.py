from __future__ import annotations

import logging
import multiprocessing
import os
import sqlite3
import stat
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from gateway.memory import database
from gateway.memory.database import Database
from gateway.memory.store import Store, StoreError
from gateway.memory.tables import HEAD, metadata


def url(path: Path) -> str:
    return f"sqlite:///{path}"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_migrations_build_the_tables(tmp_path: Path) -> None:
    opened = Database.open(url(tmp_path / "db"))
    with opened.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        indexes = dict(
            connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            ).all()
        )
    opened.close()
    # compare_metadata does not look at WHERE, on which the answer slot hangs.
    assert indexes["answers_slot"].endswith("WHERE message_id != '' AND state != 'withheld'")


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", "gateway.memory:migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


def test_open_makes_directory_and_file_private_and_logs_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    levels = {name: logging.getLogger(name).level for name in ("", "alembic", "sqlalchemy")}
    path = tmp_path / "deep" / "50% of it" / "db"
    Store.open(url(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert levels == {name: logging.getLogger(name).level for name in levels}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_writes_are_immediate_durable_and_in_wal(tmp_path: Path) -> None:
    opened = Database.open(url(tmp_path / "db"))
    other = sqlite3.connect(tmp_path / "db", timeout=0)
    with opened.write() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 5000
        # Nothing is written yet, and still nobody else may begin to.
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")
    with opened.read():
        other.execute("BEGIN IMMEDIATE")
    other.close()
    opened.close()


def test_a_body_that_raises_leaves_nothing(tmp_path: Path) -> None:
    opened = Database.open(url(tmp_path / "db"))

    def break_off() -> None:
        with opened.write() as connection:
            connection.exec_driver_sql("INSERT INTO deliveries VALUES ('a', 'b', '2026-01-01')")
            raise KeyError

    with pytest.raises(KeyError):
        break_off()
    with opened.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM deliveries").scalar() == 0
    opened.close()


def test_an_up_to_date_database_is_opened_without_alembic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(url(tmp_path / "db")).close()

    def fail(*_: object) -> None:
        raise AssertionError("prepared twice")

    monkeypatch.setattr(Database, "_prepare", fail)
    Store.open(url(tmp_path / "db")).close()


def test_a_migration_that_breaks_off_leaves_the_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = database._migrate

    def broken(*arguments: object) -> None:
        honest(*arguments)  # type: ignore[arg-type]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(database, "_migrate", broken)
    with pytest.raises(StoreError, match="No space left"):
        Store.open(url(tmp_path / "db"))
    raw = sqlite3.connect(tmp_path / "db")
    assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()


def set_revision(path: Path, revision: str) -> None:
    raw = sqlite3.connect(path)
    with raw:
        raw.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    raw.close()


def test_a_newer_database_is_refused_with_a_way_out(tmp_path: Path) -> None:
    Store.open(url(tmp_path / "db")).close()
    set_revision(tmp_path / "db", "9999")
    for opening in (Store.open, Store.open_existing):
        with pytest.raises(StoreError, match=r"9999.*newer raincheck"):
            opening(url(tmp_path / "db"))


@pytest.mark.parametrize(
    "bad", ["sqlite://", "sqlite:///:memory:", "postgresql:///x", "nonsense", "sqlite:///"]
)
def test_a_url_that_names_no_file_is_refused(bad: str) -> None:
    with pytest.raises(StoreError, match="names no SQLite file"):
        Store.open(bad)


def test_a_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.write_bytes(b"not a database at all, but long enough to be read as one" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"db: file is not a database; name another file"):
        Store.open(url(path))
    assert path.read_bytes() == before


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="check that this user may write"):
        Store.open(url(tmp_path / "file" / "db"))


def test_a_look_at_what_is_not_there_creates_nothing(tmp_path: Path) -> None:
    assert Store.open_existing(url(tmp_path / "deep" / "db")) is None
    assert files(tmp_path) == set()
    (tmp_path / "db").touch()
    assert Store.open_existing(url(tmp_path / "db")) is None
    assert files(tmp_path) == {"db"}


def test_a_look_leaves_no_files_and_cannot_write(tmp_path: Path) -> None:
    store = Store.open(url(tmp_path / "db"))
    store.set_contact("ann@example.com", "allowed", "cli")
    store.close()
    assert files(tmp_path) == {"db"}
    before = (tmp_path / "db").read_bytes()
    look = Store.open_existing(url(tmp_path / "db"))
    assert look is not None
    assert look.recall("ann@example.com", "bob@example.com", "").standing == "allowed"
    with pytest.raises(StoreError, match="readonly database"):
        look.forget("ann@example.com")
    look.close()
    assert files(tmp_path) == {"db"}
    assert (tmp_path / "db").read_bytes() == before


def test_a_look_sees_what_a_running_gateway_just_committed(tmp_path: Path) -> None:
    store = Store.open(url(tmp_path / "db"))
    look = Store.open_existing(url(tmp_path / "db"))
    assert look is not None
    for standing in ("allowed", "blocked"):
        store.set_contact("ann@example.com", standing, "cli")
        assert look.recall("ann@example.com", "bob@example.com", "").standing == standing
    look.close()
    store.close()


def _open(path: str, barrier: object) -> None:
    barrier.wait(30)  # type: ignore[attr-defined]
    store = Store.open(f"sqlite:///{path}")
    store.set_contact(f"{os.getpid()}@example.com", "known", "cli")
    store.close()


def test_several_processes_open_a_new_database_at_once(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(4)
    path = tmp_path / "var" / "db"
    workers = [spawn.Process(target=_open, args=(str(path), barrier)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        worker.kill()
    assert [worker.exitcode for worker in workers] == [0] * 4
    store = Store.open(url(path))
    assert len(store.contacts()) == 4
    store.close()
