"""The tables, as SQLAlchemy Core sees them, and the column types that SQLite lacks.

The migrations in `migrations/versions/` build the same tables; a test compares the two.
`HEAD` is the migration these tables correspond to.

A `*_key` column holds an address in its folded form; the column beside it keeps the address as
it was spoken, because a release and an answer have to say it again.
"""

from __future__ import annotations

from dataclasses import astuple
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    text,
)

from classifier.verdict import Tactic, Term

HEAD = "0001"


class Utc(TypeDecorator[datetime]):
    """An aware time, kept in UTC. SQLite drops the zone, so a naive one could mean anything."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone; the store keeps aware times only")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC)


class Words(TypeDecorator[str]):
    """Text. A lone surrogate, which undecodable mail can leave in a string, becomes `?`: SQLite
    takes UTF-8 only, and a pitch must not escape the folder by being unwritable."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.encode(errors="replace").decode()


class Tuple(TypeDecorator[tuple[Any, ...]]):
    """A tuple of strings, of Tactics or of Terms, as a JSON list."""

    impl = JSON
    cache_ok = True

    def __init__(self, kind: type[str] | type[Tactic] | type[Term]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: tuple[Any, ...] | None, dialect: Dialect) -> list[Any]:  # noqa: ARG002
        return [self._plain(item) for item in value or ()]

    def process_result_value(self, value: Any, dialect: Dialect) -> tuple[Any, ...]:  # noqa: ARG002
        if self.kind is str:
            return tuple(value)
        return tuple(self.kind(*item) for item in value)

    def _plain(self, item: Any) -> Any:
        return list(astuple(item)) if isinstance(item, Tactic | Term) else item


metadata = MetaData()

contacts = Table(
    "contacts",
    metadata,
    Column("address", Words, primary_key=True),  # folded; "@example.com" for a domain
    Column("recipient", Words, primary_key=True),  # folded; "" for everyone here
    Column("standing", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("created_at", Utc, nullable=False),
)

touches = Table(
    "touches",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Utc, nullable=False),
    Column("sender", Words, nullable=False),  # folded
    Column("recipient", Words, nullable=False),  # folded
    Column("message_id", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("score", Float, nullable=False),
    Column("disposition", Words, nullable=False),
    Column("mail_id", Words, nullable=False),
    Column("held_id", Words),  # what `unhold` takes back goes by this
    Index("touches_held", "held_id"),
    Index("touches_pair", "sender", "recipient"),
    # One mail touches one recipient once, however often the same hold is repeated.
    Index("touches_once", "mail_id", "sender", "recipient", unique=True),
)

held = Table(
    "held",
    metadata,
    Column("id", Words, primary_key=True),
    Column("recipient", Words, nullable=False),
    Column("recipient_key", Words, nullable=False),
    Column("mail_from", Words, nullable=False),
    Column("sender", Words, nullable=False),
    Column("subject", Words, nullable=False),
    Column("message_id", Words, nullable=False),
    Column("received_at", Utc, nullable=False),
    Column("score", Float, nullable=False),
    Column("label", Words, nullable=False),
    Column("model", Words, nullable=False),
    Column("reasons", Tuple(str), nullable=False),
    Column("tactics", Tuple(Tactic), nullable=False),
    Column("terms", Tuple(Term), nullable=False),
    Column("path", Words, nullable=False),
    Column("original_offset", Integer, nullable=False),
    Column("sha256", Words, nullable=False),
    Column("mail_options", Tuple(str), nullable=False),
    Column("author", Words, nullable=False),
    Column("state", Words, nullable=False),
    Column("state_at", Utc),
    # In the order in which a folder is looked at; the id makes it the whole order.
    Index("held_folder", "state", "recipient_key", "received_at", "id"),
    Index("held_received", "received_at"),
)

answers = Table(
    "answers",
    metadata,
    Column("id", Words, primary_key=True),
    Column("held_id", Words, nullable=False),
    Column("sender", Words, nullable=False),
    Column("sender_key", Words, nullable=False),
    Column("recipient", Words, nullable=False),
    Column("recipient_key", Words, nullable=False),
    Column("rung", Integer, nullable=False),
    Column("template", Words, nullable=False),
    Column("message_id", Words, nullable=False),
    Column("state", Words, nullable=False),
    # Written to be shown only. The state forgets it when such an answer is cancelled.
    Column("shadow", Boolean, nullable=False),
    Column("reasons", Tuple(str), nullable=False),
    Column("subject", Words, nullable=False),
    Column("text", Words, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("due_at", Utc),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("last_error", Words, nullable=False),
    Index("answers_pair", "sender_key", "recipient_key", "updated_at"),
    Index("answers_due", "state", "due_at"),
    Index("answers_held", "held_id"),
    # One mail has one answer, whatever the code above it believes and whoever here received it;
    # one that was only shown is none.
    Index(
        "answers_slot",
        "sender_key",
        "message_id",
        "shadow",
        unique=True,
        sqlite_where=text("message_id != '' AND state != 'withheld'"),
    ),
)

digests = Table(
    "digests",
    metadata,
    Column("recipient", Words, primary_key=True),  # folded
    Column("until", Utc, primary_key=True),
    Column("items", Integer, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("sha256", Words, primary_key=True),
    Column("recipient", Words, primary_key=True),  # folded
    Column("at", Utc, nullable=False),
    Index("deliveries_at", "at"),
)
