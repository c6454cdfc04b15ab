"""Contacts and touches: who someone is to a recipient, and how often they pitched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, RowMapping, case, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from gateway.envelope import Standing
from gateway.memory.rows import Contact, HeldMail, Touch, fold
from gateway.memory.tables import contacts, touches

_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)


def standing(connection: Connection, sender: str, recipient: str) -> Contact | None:
    """The contact that decides: the address itself before its domain, then the one for this
    recipient before the one for everyone."""
    address, domain = fold(sender), "@" + fold(sender).rpartition("@")[2]
    found = connection.execute(
        select(contacts)
        .where(
            contacts.c.address.in_((address, domain)),
            contacts.c.recipient.in_((fold(recipient), "")),
        )
        .order_by(case((contacts.c.address == address, 0), else_=1), contacts.c.recipient.desc())
        .limit(1)
    )
    row = found.mappings().first()
    return None if row is None else _contact(row)


def standing_of_either(
    connection: Connection, sender: str, author: str, recipient: str
) -> Contact | None:
    """The contact that decides about a mail: one that blocks, else the envelope sender's, else the
    author's."""
    found = [standing(connection, one, recipient) for one in dict.fromkeys((sender, author)) if one]
    contacts = [contact for contact in found if contact is not None]
    blocked = (contact for contact in contacts if contact.standing == "blocked")
    return next(blocked, contacts[0] if contacts else None)


def why(contact: Contact) -> str:
    """In words: "allowed on 3 March 2026 (release)", naming the domain if that is what counts."""
    day = contact.created_at
    whom = f"{contact.address} " if contact.address.startswith("@") else ""
    month = _MONTHS[day.month - 1]  # not strftime: the words must not follow the locale
    return f"{whom}{contact.standing} on {day.day} {month} {day.year} ({contact.source})"


def every(connection: Connection, recipient: str | None) -> list[Contact]:
    query = select(contacts).order_by(contacts.c.address, contacts.c.recipient)
    if recipient is not None:
        query = query.where(contacts.c.recipient.in_((fold(recipient), "")))
    return [_contact(row) for row in connection.execute(query).mappings()]


def put(
    connection: Connection, address: str, standing: Standing, source: str, recipient: str
) -> None:
    changed = {"standing": standing, "source": source, "created_at": datetime.now(UTC)}
    key = {"address": fold(address), "recipient": fold(recipient)}
    connection.execute(
        insert(contacts)
        .values(**key, **changed)
        .on_conflict_do_update(index_elements=list(key), set_=changed)
    )


def remove(connection: Connection, address: str, recipient: str) -> bool:
    done = connection.execute(
        delete(contacts).where(
            contacts.c.address == fold(address), contacts.c.recipient == fold(recipient)
        )
    )
    return done.rowcount > 0


def remove_all(connection: Connection, address: str) -> bool:
    """For whomever they were decided."""
    done = connection.execute(delete(contacts).where(contacts.c.address == fold(address)))
    return done.rowcount > 0


def last_touch(
    connection: Connection, sender: str, recipient: str, message_id: str
) -> tuple[str, float] | None:
    """(disposition, score) of the latest pitch with this Message-ID."""
    found = connection.execute(
        select(touches.c.disposition, touches.c.score)
        .where(
            touches.c.sender == fold(sender),
            touches.c.recipient == fold(recipient),
            touches.c.message_id == message_id,
        )
        .order_by(touches.c.id.desc())
        .limit(1)
    )
    row = found.first()
    return None if row is None else (row.disposition, row.score)


def touch_count(connection: Connection, sender: str, recipient: str) -> int:
    found = connection.execute(
        select(func.count())
        .select_from(touches)
        .where(touches.c.sender == fold(sender), touches.c.recipient == fold(recipient))
    )
    return found.scalar_one()


def touch(connection: Connection, rows: Sequence[Touch], mails: Sequence[HeldMail] = ()) -> None:
    """Note these pitches; one that was noted already stays one. Those held among `mails`, which
    are of the same transaction, are tied to them by the recipient."""
    ids = {fold(mail.recipient): mail.id for mail in mails}
    if rows:
        connection.execute(
            insert(touches).on_conflict_do_nothing(), [_touch_values(row, ids) for row in rows]
        )


def untouch(connection: Connection, held_ids: Sequence[str]) -> None:
    """Forget the pitches that were noted when these mails were held."""
    connection.execute(delete(touches).where(touches.c.held_id.in_(held_ids)))


def _touch_values(row: Touch, ids: Mapping[str, str]) -> dict[str, object]:
    return {
        "at": row.at,
        "sender": fold(row.sender),
        "recipient": fold(row.recipient),
        "message_id": row.message_id,
        "subject": row.subject,
        "score": row.score,
        "disposition": row.disposition,
        "mail_id": row.mail_id,
        "held_id": ids.get(fold(row.recipient)),
    }


def _contact(row: RowMapping) -> Contact:
    return Contact(**row)
