"""Answers: reserved once, claimed once, never sent again when in doubt.

    withheld            a rule forbade it
    shadow              composed and shown, never sent
    planned → sending → sent | failed | in-doubt | cancelled | planned (try again later)
    shadow, planned → cancelled

An answer is planned, or planned again, only while its mail waits untouched in the folder and its
sender has no standing: what the user decides counts, also in the middle of a hand-over.

A slot is reserved in the transaction that holds the pitch, so two deliveries at the same instant
give one answer, and it is committed before anything is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    delete,
    func,
    insert,
    select,
    true,
    update,
)

from gateway.memory.contacts import standing_of_either
from gateway.memory.rows import Answer, AnswerState, fold, withheld
from gateway.memory.tables import answers, held

_COLUMNS = [answers.c[field.name] for field in fields(Answer)]
_ANSWERED = ("shadow", "planned", "sending", "sent", "in-doubt")
_NEVER_LEFT = ("withheld", "shadow", "planned", "failed", "cancelled")


def reserve(connection: Connection, wanted: Sequence[Answer], spacing: timedelta) -> list[Answer]:
    """Write these answers. One whose slot is taken is written `withheld` with the reason; one
    whose id is there already comes back as it stands."""
    return [_reserved(connection, answer, spacing) for answer in wanted]


def answered_at(
    connection: Connection, sender: str, recipient: str, *, shadow: bool
) -> datetime | None:
    """When an answer to this sender for this recipient was last planned or sent. For an answer
    that is itself only shown (`shadow`), also when one was last shown."""
    found = connection.execute(
        select(func.max(answers.c.updated_at, type_=answers.c.updated_at.type)).where(
            _pair(sender, recipient), answers.c.state.in_(_ANSWERED), _counts(shadow=shadow)
        )
    )
    newest: datetime | None = found.scalar_one()
    return newest


def answered_before(connection: Connection, sender: str, message_id: str, *, shadow: bool) -> bool:
    """Whether this mail has an answer, in whatever state but `withheld` and in whose name ever:
    one mail is answered once (RFC 3834 §3.1.3), also where the host in front splits it into a
    transaction per recipient. One that failed or was cancelled is not tried again because the
    same mail comes in again. What was only shown counts for another that is only shown
    (`shadow`)."""
    if not message_id:
        return False
    found = connection.execute(
        select(answers.c.id)
        .where(
            answers.c.sender_key == fold(sender),
            answers.c.message_id == message_id,
            answers.c.state != "withheld",
            _counts(shadow=shadow),
        )
        .limit(1)
    )
    return found.first() is not None


def listed(connection: Connection, held_ids: Iterable[str] | None) -> list[Answer]:
    query = select(*_COLUMNS).order_by(answers.c.created_at, answers.c.id)
    if held_ids is not None:
        query = query.where(answers.c.held_id.in_(_each(held_ids)))
    return [_answer(row) for row in connection.execute(query).mappings()]


def claim(connection: Connection, now: datetime) -> Answer | None:
    """The planned answer that is due longest, now `sending`. Those that a decision of the user
    overtook are cancelled on the way."""
    while (planned := _longest_due(connection, now)) is not None:
        if not _is_overtaken(connection, planned):
            break
        _cancel(connection, answers.c.id == planned.id, ("planned",))
    if planned is None:
        return None
    claimed = replace(planned, state="sending", attempts=planned.attempts + 1, updated_at=now)
    connection.execute(
        update(answers)
        .where(answers.c.id == claimed.id)
        .values(state=claimed.state, attempts=claimed.attempts, updated_at=claimed.updated_at)
    )
    return claimed


def settle(
    connection: Connection, answer_id: str, state: str, error: str, due_at: datetime | None
) -> str | None:
    """What became of an answer that was `sending`; the state it has now, None if there is no such
    answer. One declared in doubt meanwhile may still turn out sent or failed, but is never planned
    again; nor is one that a decision of the user overtook: that one is cancelled."""
    if state not in get_args(AnswerState):
        raise ValueError(f"{state!r} is no state of an answer")
    answer = _by_id(connection, answer_id)
    origins = ("sending", "in-doubt") if state in ("sent", "failed") else ("sending",)
    if answer is None or answer.state not in origins:
        return None if answer is None else answer.state
    if state == "planned" and _is_overtaken(connection, answer):
        state = "cancelled"
    changed = {"state": state, "last_error": error, "updated_at": datetime.now(UTC)}
    if due_at is not None:
        changed["due_at"] = due_at
    connection.execute(update(answers).where(answers.c.id == answer_id).values(**changed))
    return state


def doubt(connection: Connection) -> int:
    done = connection.execute(
        update(answers)
        .where(answers.c.state == "sending")
        .values(state="in-doubt", updated_at=datetime.now(UTC))
    )
    return done.rowcount


def cancel_for(connection: Connection, address: str, recipient: str) -> None:
    """Cancel what is planned for this address (or "@domain"), in the name of this recipient
    ('' for any)."""
    folded = fold(address)
    whom = answers.c.sender_key == folded
    if folded.startswith("@"):
        whom = answers.c.sender_key.endswith(folded, autoescape=True)
    if recipient:
        whom &= answers.c.recipient_key == fold(recipient)
    _cancel(connection, whom, ("planned",))


def cancel_of(connection: Connection, held_id: str) -> None:
    """Cancel what was composed for this held mail."""
    _cancel(connection, answers.c.held_id == held_id, ("planned", "shadow"))


def remove(connection: Connection, held_ids: Sequence[str]) -> None:
    """Delete the answers to these mails, but for those that left or may have left: forgotten,
    they could be sent a second time."""
    connection.execute(
        delete(answers).where(answers.c.held_id.in_(held_ids), answers.c.state.in_(_NEVER_LEFT))
    )


def _reserved(connection: Connection, answer: Answer, spacing: timedelta) -> Answer:
    there = _by_id(connection, answer.id)
    if there is not None:
        return there
    created_at = answer.created_at or datetime.now(UTC)
    stored = replace(answer, created_at=created_at, updated_at=answer.updated_at or created_at)
    if stored.state in ("planned", "shadow"):
        stored = _checked(connection, stored, created_at - spacing)
    if stored.state == "planned" and stored.due_at is None:
        stored = replace(stored, due_at=created_at)
    connection.execute(insert(answers), [_values(stored)])
    return stored


def _checked(connection: Connection, answer: Answer, spaced: datetime) -> Answer:
    shadow = answer.state == "shadow"
    newest = answered_at(connection, answer.sender, answer.recipient, shadow=shadow)
    before = answered_before(connection, answer.sender, answer.message_id, shadow=shadow)
    taken = {
        "answered-recently": newest is not None and newest > spaced,
        "answered-before": before,
    }
    reasons = tuple(code for code, holds in taken.items() if holds)
    if not reasons:
        return answer
    return withheld(answer, *reasons)


def _by_id(connection: Connection, answer_id: str) -> Answer | None:
    found = connection.execute(select(*_COLUMNS).where(answers.c.id == answer_id))
    row = found.mappings().first()
    return None if row is None else _answer(row)


def _longest_due(connection: Connection, now: datetime) -> Answer | None:
    found = connection.execute(
        select(*_COLUMNS)
        .where(answers.c.state == "planned", answers.c.due_at <= now)
        .order_by(answers.c.due_at, answers.c.id)
        .limit(1)
    )
    row = found.mappings().first()
    return None if row is None else _answer(row)


def _is_overtaken(connection: Connection, answer: Answer) -> bool:
    """Whether the user decided about this mail or its sender after the answer was planned. What
    was `sending` then could not be cancelled, and what was planned meanwhile was not there yet."""
    found = connection.execute(
        select(held.c.author, held.c.state, held.c.state_at).where(held.c.id == answer.held_id)
    )
    mail = found.first()
    # A mail whose release failed is held again; only the time of that step tells it was wanted.
    if mail is None or mail.state != "held" or mail.state_at is not None:
        return True
    contact = standing_of_either(connection, answer.sender, mail.author, answer.recipient)
    return contact is not None


def _cancel(connection: Connection, which: ColumnElement[bool], states: Sequence[str]) -> None:
    connection.execute(
        update(answers)
        .where(which, answers.c.state.in_(states))
        .values(state="cancelled", updated_at=datetime.now(UTC))
    )


def _pair(sender: str, recipient: str) -> ColumnElement[bool]:
    return (answers.c.sender_key == fold(sender)) & (answers.c.recipient_key == fold(recipient))


def _counts(*, shadow: bool) -> ColumnElement[bool]:
    # Live, nobody heard what was only shown. In shadow mode what was sent counts as well: it
    # shows what live would do, and live would count it.
    return true() if shadow else answers.c.shadow.is_(False)


def _each(ids: Iterable[str]) -> Any:
    # One parameter however many ids there are; SQLite takes 32,766 at most.
    return select(func.json_each(json.dumps(list(ids))).table_valued("value").c.value)


def _values(answer: Answer) -> dict[str, object]:
    own = {field.name: getattr(answer, field.name) for field in fields(Answer)}
    keys = {"sender_key": fold(answer.sender), "recipient_key": fold(answer.recipient)}
    return own | keys | {"shadow": answer.state == "shadow"}


def _answer(row: RowMapping) -> Answer:
    return Answer(**row)
