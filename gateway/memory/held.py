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

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from gateway.memory.rows import HeldMail, HeldState, fold
from gateway.memory.tables import held

_COLUMNS = [held.c[field.name] for field in fields(HeldMail)]
FOUND_AT_MOST = 20
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
    limit: int | None,
) -> list[HeldMail]:
    query = select(*_COLUMNS).where(_folder(recipient, since, states))
    if limit is None:
        return _mails(connection, query.order_by(held.c.received_at, held.c.id))
    newest_first = query.order_by(held.c.received_at.desc(), held.c.id.desc()).limit(limit)
    return _mails(connection, newest_first)[::-1]


def recipients(connection: Connection) -> list[str]:
    """One look-up in the index for each recipient: DISTINCT would walk over every held mail."""
    key = select(func.min(held.c.recipient_key).label("key"))
    each = key.where(held.c.state == "held").cte("each", recursive=True)
    following = key.where(held.c.state == "held", held.c.recipient_key > each.c.key)
    each = each.union_all(select(following.scalar_subquery()).where(each.c.key.is_not(None)))
    return list(connection.execute(select(each.c.key).where(each.c.key.is_not(None))).scalars())


def oldest(connection: Connection, recipient: str, since: datetime | None) -> datetime | None:
    first = func.min(held.c.received_at, type_=held.c.received_at.type)
    query = select(first).where(_folder(recipient, since, ("held",)))
    found: datetime | None = connection.execute(query).scalar_one()
    return found


def count(connection: Connection, recipient: str, since: datetime | None) -> int:
    query = select(func.count()).select_from(held).where(_folder(recipient, since, ("held",)))
    return connection.execute(query).scalar_one()


def find(connection: Connection, id_prefix: str) -> list[HeldMail]:
    query = select(*_COLUMNS).where(held.c.id >= id_prefix, held.c.id < id_prefix + _LAST_CHARACTER)
    return _mails(connection, query.order_by(held.c.id).limit(FOUND_AT_MOST))


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


def _folder(
    recipient: str | None, since: datetime | None, states: Sequence[HeldState]
) -> ColumnElement[bool]:
    which: ColumnElement[bool] = held.c.state.in_(states)
    if recipient is not None:
        which &= held.c.recipient_key == fold(recipient)
    if since is not None:
        which &= held.c.received_at >= since
    return which


def _mails(connection: Connection, query: Select[*tuple[object, ...]]) -> list[HeldMail]:
    return [HeldMail(**row) for row in connection.execute(query).mappings()]


def _values(mail: HeldMail) -> dict[str, object]:
    own = {field.name: getattr(mail, field.name) for field in fields(HeldMail)}
    return own | {"recipient_key": fold(mail.recipient)}
