"""What leaves no answer behind: partial deliveries, and when each recipient had a digest."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from gateway.memory.rows import fold
from gateway.memory.tables import deliveries, digests

REMEMBERED = timedelta(days=7)
"""For so long a client may retry (RFC 5321 §4.5.4.1 asks for 4 to 5 days); after that the same
octets are a new mail."""


def delivered(connection: Connection, sha256: str, recipients: Sequence[str]) -> frozenset[str]:
    keys = {fold(recipient): recipient for recipient in recipients}
    found = connection.execute(
        select(deliveries.c.recipient).where(
            deliveries.c.sha256 == sha256,
            deliveries.c.recipient.in_(keys),
            deliveries.c.at >= datetime.now(UTC) - REMEMBERED,
        )
    )
    there = set(found.scalars())
    return frozenset(recipient for recipient in recipients if fold(recipient) in there)


def note(connection: Connection, sha256: str, recipients: Sequence[str]) -> None:
    """Note these deliveries, anew if need be, and drop those that are too old to matter."""
    now = datetime.now(UTC)
    connection.execute(delete(deliveries).where(deliveries.c.at < now - REMEMBERED))
    if recipients:
        connection.execute(
            insert(deliveries).on_conflict_do_update(
                index_elements=["sha256", "recipient"], set_={"at": now}
            ),
            [{"sha256": sha256, "recipient": fold(one), "at": now} for one in recipients],
        )


def last_digest(connection: Connection, recipient: str) -> datetime | None:
    found = connection.execute(
        select(func.max(digests.c.until, type_=digests.c.until.type)).where(
            digests.c.recipient == fold(recipient)
        )
    )
    newest: datetime | None = found.scalar_one()
    return newest


def record_digest(connection: Connection, recipient: str, until: datetime, items: int) -> None:
    key = {"recipient": fold(recipient), "until": until}
    connection.execute(
        insert(digests)
        .values(**key, items=items)
        .on_conflict_do_update(index_elements=list(key), set_={"items": items})
    )
