"""The gateway's memory in a database.

Every method is one transaction, blocking, and safe to call from several threads and processes at
once; the event loop calls them in a thread. What a method wrote is on disk when it returns.
Raises StoreError when the database fails, with what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from gateway.envelope import Memory, Standing
from gateway.memory import answers as answer_rows
from gateway.memory import contacts, deliveries, held
from gateway.memory.database import Database, StoreError
from gateway.memory.rows import Answer, Contact, HeldMail, HeldState, Touch

__all__ = ["Store", "StoreError"]


class Store:
    """Opened with `Store.open(url)`, which also brings the tables up to date. Close it. A process
    that forks opens its own afterwards."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    def open(cls, url: str) -> Store:
        """Open "sqlite:///path", making the directory, the file and the tables as needed."""
        return cls(Database.open(url))

    @classmethod
    def open_existing(cls, url: str) -> Store | None:
        """A read-only look that creates and changes nothing; None: no database yet."""
        database = Database.open_existing(url)
        return None if database is None else cls(database)

    def close(self) -> None:
        self._database.close()

    # recall and hold

    def recall(
        self,
        sender: str,
        recipient: str,
        message_id: str,
        author: str = "",
        *,
        shadow: bool = False,
    ) -> Memory:
        """What is remembered of this envelope sender, for this recipient; their standing may also
        be the author's, whose address in From is the one that people see and decide about. Of
        the null sender nothing is remembered: its mails come from everywhere. Answers that were
        only shown count if the one to be decided is only shown, too (`shadow`)."""
        if not sender:
            return Memory()
        pair = (sender, recipient)
        with self._database.read() as connection:
            contact = contacts.standing_of_either(connection, sender, author, recipient)
            return Memory(
                standing=contact.standing if contact else None,
                standing_why=contacts.why(contact) if contact else "",
                touches=contacts.touch_count(connection, *pair),
                answered_at=answer_rows.answered_at(connection, *pair, shadow=shadow),
                answered_before=answer_rows.answered_before(
                    connection, sender, message_id, shadow=shadow
                ),
            )

    def hold(
        self,
        mails: Sequence[HeldMail],
        answers: Sequence[Answer],
        touches: Sequence[Touch],
        spacing: timedelta,
    ) -> tuple[Answer, ...]:
        """Keep all of this or nothing, and reserve the answers. Returns them as reserved: where
        the sender was answered within `spacing`, or this Message-ID was answered, the answer
        comes back `withheld`; what was only shown stands in the way of another `shadow` only.
        Repeating it with the same ids changes nothing."""
        with self._database.write() as connection:
            held.add(connection, mails)
            contacts.touch(connection, touches, mails)
            return tuple(answer_rows.reserve(connection, answers, spacing))

    def unhold(self, ids: Iterable[str]) -> None:
        """The transaction failed after the hold: forget these held mails, their touches and their
        answers. An answer that left, or may have left, stays on record."""
        gone = list(ids)
        with self._database.write() as connection:
            held.remove(connection, gone)
            contacts.untouch(connection, gone)
            answer_rows.remove(connection, gone)

    def note_touches(self, touches: Sequence[Touch]) -> None:
        """Pitches that were delivered, tagged."""
        with self._database.write() as connection:
            contacts.touch(connection, touches)

    def last_touch(self, sender: str, recipient: str, message_id: str) -> tuple[str, float] | None:
        """(disposition, score) of the latest pitch of this sender with this Message-ID."""
        with self._database.read() as connection:
            return contacts.last_touch(connection, sender, recipient, message_id)

    # the folder

    def held(
        self,
        recipient: str | None = None,
        since: datetime | None = None,
        states: Sequence[HeldState] = ("held",),
        limit: int | None = None,
    ) -> list[HeldMail]:
        """Held mails in these states, received at `since` or later, oldest first; with a `limit`
        the newest so many of them, oldest of these first."""
        with self._database.read() as connection:
            return held.listed(connection, recipient, since, states, limit)

    def held_count(self, recipient: str, since: datetime | None = None) -> int:
        """How many mails are held for this recipient, received at `since` or later."""
        with self._database.read() as connection:
            return held.count(connection, recipient, since)

    def oldest_held(self, recipient: str, since: datetime | None = None) -> datetime | None:
        """When the oldest mail held for this recipient was received, of those received at `since`
        or later; None: there is none."""
        with self._database.read() as connection:
            return held.oldest(connection, recipient, since)

    def held_recipients(self) -> list[str]:
        """Everyone for whom mail is held, by address."""
        with self._database.read() as connection:
            return held.recipients(connection)

    def find(self, id_prefix: str) -> list[HeldMail]:
        """Mails in any state whose id begins so, by id: the first 20, so that one whose id is
        just this is always among them. An empty prefix names none."""
        if not id_prefix:
            return []
        with self._database.read() as connection:
            return held.find(connection, id_prefix)

    def claim_release(self, held_id: str, *, again: bool = False) -> HeldMail | None:
        """held → releasing, for one caller only: None for everyone else. Answers planned for its
        sender are cancelled, and stay so however the release ends: it is wanted mail. `again`
        also takes a mail that is `releasing`, whose hand-over may or may not have happened."""
        origins: tuple[HeldState, ...] = ("held", "releasing") if again else ("held",)
        with self._database.write() as connection:
            mail = held.step(connection, held_id, origins, "releasing")
            if mail is not None:
                _stop_answers(connection, mail)
            return mail

    def finish_release(self, held_id: str) -> None:
        """releasing → released. The sender is allowed for this recipient from now on, and no
        answer to them leaves. A null sender stays unknown."""
        with self._database.write() as connection:
            mail = held.step(connection, held_id, ("releasing",), "released")
            if mail is None:
                return
            for address in _people(mail):
                contacts.put(connection, address, "allowed", "release", mail.recipient)
            _stop_answers(connection, mail)  # one may have been planned since the claim

    def abandon_release(self, held_id: str) -> None:
        """releasing → held: the next hop certainly does not have it."""
        with self._database.write() as connection:
            held.step(connection, held_id, ("releasing",), "held")

    def discard(self, held_id: str) -> HeldMail | None:
        """held → discarded, its answers cancelled. None when it is not held."""
        with self._database.write() as connection:
            mail = held.step(connection, held_id, ("held",), "discarded")
            if mail is not None:
                answer_rows.cancel_of(connection, held_id)
            return mail

    # contacts

    def contacts(self, recipient: str | None = None) -> list[Contact]:
        """By address: all of them, or those that count for one recipient."""
        with self._database.read() as connection:
            return contacts.every(connection, recipient)

    def set_contact(
        self, address: str, standing: Standing, source: str, recipient: str = ""
    ) -> None:
        """Decide about an address or "@domain", for one recipient or ('') for everyone here, which
        replaces what was decided for single recipients. An answer planned for them is cancelled."""
        if not address:
            raise ValueError("the null sender has no standing")
        with self._database.write() as connection:
            if not recipient:
                contacts.remove_all(connection, address)
            contacts.put(connection, address, standing, source, recipient)
            answer_rows.cancel_for(connection, address, recipient)

    def forget(self, address: str, recipient: str = "") -> bool:
        """For one recipient, or ('') for all of them. Whether there was such a contact."""
        with self._database.write() as connection:
            if not recipient:
                return contacts.remove_all(connection, address)
            return contacts.remove(connection, address, recipient)

    # answers

    def answers(self, held_ids: Iterable[str] | None = None) -> list[Answer]:
        """Oldest first: all of them, or those to these held mails."""
        with self._database.read() as connection:
            return answer_rows.listed(connection, held_ids)

    def claim_answer(self, now: datetime) -> Answer | None:
        """The planned answer longest due, now `sending`: committed before it is returned, so
        that no other process and no later one sends it as well. One whose mail is no longer held,
        or whose sender has a standing by now, is cancelled instead."""
        with self._database.write() as connection:
            return answer_rows.claim(connection, now)

    def settle_answer(
        self, answer_id: str, state: str, error: str = "", due_at: datetime | None = None
    ) -> str | None:
        """What became of a claimed answer. `planned` with a `due_at` tries again then, unless the
        user decided about the mail or its sender meanwhile: then it is cancelled. Returns the
        state it has now, None if there is no such answer."""
        with self._database.write() as connection:
            return answer_rows.settle(connection, answer_id, state, error, due_at)

    def doubt_unfinished(self) -> int:
        """sending → in-doubt, for those a dead process left; how many. Call it before the first
        claim, while no other outbox runs."""
        with self._database.write() as connection:
            return answer_rows.doubt(connection)

    # digest

    def last_digest(self, recipient: str) -> datetime | None:
        """Up to when the newest digest of this recipient reached."""
        with self._database.read() as connection:
            return deliveries.last_digest(connection, recipient)

    def record_digest(self, recipient: str, until: datetime, items: int) -> None:
        with self._database.write() as connection:
            deliveries.record_digest(connection, recipient, until, items)

    # partial deliveries (LMTP accepts one recipient and refuses the other)

    def delivered(self, sha256: str, recipients: Sequence[str]) -> frozenset[str]:
        """Those of the recipients who have these octets already, within the last 7 days."""
        with self._database.read() as connection:
            return deliveries.delivered(connection, sha256, recipients)

    def note_delivered(self, sha256: str, recipients: Sequence[str]) -> None:
        with self._database.write() as connection:
            deliveries.note(connection, sha256, recipients)


def _people(mail: HeldMail) -> set[str]:
    """Whom a release of this mail speaks for. The envelope sender may be a new one for every mail
    (VERP): the author stays. A bounce's author is no one to let through."""
    return {mail.mail_from, mail.author} - {""} if mail.mail_from else set()


def _stop_answers(connection: Connection, mail: HeldMail) -> None:
    answer_rows.cancel_of(connection, mail.id)
    for address in _people(mail):
        answer_rows.cancel_for(connection, address, mail.recipient)
