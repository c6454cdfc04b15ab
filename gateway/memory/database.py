"""The SQLite file under the store: opened, brought up to date, and its transactions.

Promises: a write begins with BEGIN IMMEDIATE, so that what it read cannot have changed by the
time it writes (a deferred transaction reads a snapshot, and two processes would overwrite each
other); a committed write is on disk (WAL with synchronous=FULL); several processes may open a
new database at the same instant. Every failure is a StoreError. A Database is opened after a
fork, never carried through one.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, NullPool, QueuePool, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError, StatementError

from gateway.memory.tables import HEAD

BUSY_SECONDS = 5.0
_MIGRATIONS = "gateway.memory:migrations"


class StoreError(Exception):
    """The database could not be reached, read or written."""


class Database:
    """One file, its pool of connections, and the two kinds of transaction."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path = path
        self._engine = engine
        self._reader = engine.execution_options(raincheck_begin="BEGIN")

    @classmethod
    def open(cls, url: str) -> Database:
        """Open for reading and writing; makes the directory, the file and the tables."""
        path = _path(url)
        database = cls(path, _engine(path, read_only=False))
        try:
            with _explained(path):
                _create(path)
                if not database._is_ready():
                    database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_existing(cls, url: str) -> Database | None:
        """Open for reading only; creates and changes nothing. None: there is no database yet."""
        path = _path(url)
        if not path.is_file():
            return None
        database = cls(path, _engine(path, read_only=True))
        try:
            with database.read() as connection:
                revision = _revision(connection)
            _refuse_other(revision, path)
        except BaseException:
            database.close()
            raise
        if revision is None:
            database.close()
            return None
        return database

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database and never waits for a writer."""
        with _explained(self.path), self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """The one write transaction of the moment. Committed and on disk at its end, rolled
        back when the body raises."""
        with _explained(self.path), self._engine.begin() as connection:
            yield connection

    def _is_ready(self) -> bool:
        with self._reader.begin() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
            return mode == "wal" and _revision(connection) == HEAD

    def _prepare(self) -> None:
        # The switch to WAL fails at once when another process makes it too, whatever the busy
        # timeout says; so the set-up as a whole is taken in turns.
        with _turn(self.path.parent):
            raw = self._engine.raw_connection()
            try:
                raw.cursor().execute("PRAGMA journal_mode=WAL").close()
            finally:
                raw.close()
            with self._engine.begin() as connection:
                if _revision(connection) != HEAD:
                    _migrate(connection, self.path)


def _path(url: str) -> Path:
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.drivername != "sqlite" or parsed.database in (None, "", ":memory:"):
        raise StoreError(f'{url!r} names no SQLite file; write it as "sqlite:///var/raincheck.db"')
    return Path(str(parsed.database))


def _create(path: Path) -> None:
    # The rows hold addresses and subjects: nobody else's to read. -wal and -shm take the mode
    # of the file.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _engine(path: Path, *, read_only: bool) -> Engine:
    """An engine whose transactions begin with what `raincheck_begin` says."""

    def connect() -> sqlite3.Connection:
        # isolation_level=None: the driver begins nothing of its own, only our BEGIN counts.
        connection = sqlite3.connect(
            _uri(path, read_only=read_only),
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            connection.execute("PRAGMA synchronous=FULL").close()
        except BaseException:
            connection.close()
            raise
        return connection

    # A read-only look keeps no connection: each decides anew how to open, see _uri.
    pool = {"poolclass": NullPool} if read_only else {"poolclass": QueuePool, "max_overflow": -1}
    # hide_parameters: the text of an error must not carry addresses and subjects into the log.
    engine = create_engine("sqlite://", creator=connect, hide_parameters=True, **pool)
    event.listen(engine, "begin", _begin)
    return engine


def _uri(path: Path, *, read_only: bool) -> str:
    base = f"file:{quote(str(path.absolute()))}"
    if not read_only:
        return f"{base}?mode=rw"
    # Even mode=ro makes a -wal and a -shm file, owned by whoever looks, and leaves them. When
    # there is no -wal, no gateway has the database open and the file alone is the whole truth.
    live = path.with_name(path.name + "-wal").exists()
    return f"{base}?mode=ro" if live else f"{base}?mode=ro&immutable=1"


def _begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    connection.exec_driver_sql(options.get("raincheck_begin", "BEGIN IMMEDIATE"))


@contextmanager
def _turn(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql(
        "SELECT version_num FROM alembic_version"
    ).scalar()
    return found


def _refuse_other(revision: str | None, path: Path) -> None:
    if revision not in (None, HEAD):
        raise StoreError(
            f"{path}: its tables are at revision {revision}, this raincheck reads {HEAD}; start "
            "`raincheck serve` once to bring older ones up to date, or use the newer raincheck "
            "that wrote them"
        )


def _migrate(connection: Connection, path: Path) -> None:
    # Imported here: a database that is up to date, the usual one, does not need it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", _MIGRATIONS)
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise StoreError(
            f"{path}: this raincheck cannot read its tables ({error}); use the newer raincheck "
            "that wrote them, or name another file under [state] url"
        ) from error


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        cause = error.orig if isinstance(error, StatementError) else error
        raise StoreError(f"{path}: {cause}; {_way_out(str(cause))}") from error


def _way_out(cause: str) -> str:
    for sign, way_out in _WAYS_OUT:
        if sign in cause:
            return way_out
    return "check that this user may write the file and its directory, and that the disk has room"


_WAYS_OUT = (
    ("locked", f"another process kept it for over {BUSY_SECONDS:.0f} seconds; end that one"),
    ("malformed", "the file is damaged; restore a copy, or move it away to begin afresh"),
    ("not a database", "name another file under [state] url"),
    ("without a zone", "this is a fault in raincheck; please report it"),
    ("constraint failed", "this is a fault in raincheck; please report it"),
)
