"""Held mails: the rows beside the files, and the states they pass through.

    held → releasing → released        releasing → held: the next hop did not take it
    held → discarded

Each step is a conditional UPDATE, so of two processes that try it at once one succeeds. A mail
found `releasing` although nobody releases it was perhaps handed over: a person decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime

from sqlalchemy import Connection, Select, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from gateway.memory.rows import HeldMail, HeldState, fold
from gateway.memory.tables import held

_COLUMNS = [held.c[field.name] for field in fields(HeldMail)]
_LAST_CHARACTER = "\U0010ffff"


def add(connection: Connection, mails: Sequence[HeldMail]) -> None:
    """Write these rows; an id that is there already stays as it is."""
    if mails:
        connection.execute(insert(held).on_conflict_do_nothing(), [_values(mail) for mail in mails])


def listed(
    connection: Connection,
    recipient: str | None,
    since: datetime | None,
    states: Sequence[HeldState],
) -> list[HeldMail]:
    query = select(*_COLUMNS).where(held.c.state.in_(states))
    if recipient is not None:
        query = query.where(held.c.recipient_key == fold(recipient))
    if since is not None:
        query = query.where(held.c.received_at >= since)
    return _mails(connection, query.order_by(held.c.received_at, held.c.id))


def recipients(connection: Connection) -> list[str]:
    query = select(held.c.recipient_key).where(held.c.state == "held").distinct()
    return sorted(connection.execute(query).scalars())


def find(connection: Connection, id_prefix: str) -> list[HeldMail]:
    query = select(*_COLUMNS).where(held.c.id >= id_prefix, held.c.id < id_prefix + _LAST_CHARACTER)
    return _mails(connection, query.order_by(held.c.id))


def step(
    connection: Connection, held_id: str, origins: Sequence[HeldState], state: HeldState
) -> HeldMail | None:
    """Move a mail to `state` if it is in one of `origins`: the mail as it is now, else None."""
    done = connection.execute(
        update(held)
        .where(held.c.id == held_id, held.c.state.in_(origins))
        .values(state=state, state_at=datetime.now(UTC))
    )
    if done.rowcount == 0:
        return None
    return _mails(connection, select(*_COLUMNS).where(held.c.id == held_id))[0]


def remove(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(delete(held).where(held.c.id.in_(ids)))


def _mails(connection: Connection, query: Select[*tuple[object, ...]]) -> list[HeldMail]:
    return [HeldMail(**row) for row in connection.execute(query).mappings()]


def _values(mail: HeldMail) -> dict[str, object]:
    own = {field.name: getattr(mail, field.name) for field in fields(HeldMail)}
    return own | {"recipient_key": fold(mail.recipient)}
