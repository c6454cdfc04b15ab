"""The gateway's memory in a database. (Being written; the signatures stand.)

Every method is one transaction, blocking, and safe to call from several processes at once.
The event loop calls them in a thread. Raises StoreError when the database fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from gateway.envelope import Memory, Standing
from gateway.memory.rows import Answer, Contact, HeldMail, HeldState, Touch


class StoreError(Exception):
    """The database could not be reached, read or written."""


class Store:
    """Opened with `Store.open(url)`, which also brings the tables up to date."""

    @classmethod
    def open(cls, url: str) -> Store: ...
    @classmethod
    def open_existing(cls, url: str) -> Store | None: ...  # read-only look; None: no database yet
    def close(self) -> None: ...

    # recall and hold
    def recall(self, sender: str, recipient: str, message_id: str) -> Memory: ...
    def hold(
        self,
        mails: Sequence[HeldMail],
        answers: Sequence[Answer],
        touches: Sequence[Touch],
        spacing: timedelta,
    ) -> tuple[Answer, ...]: ...  # the answers as reserved: a taken slot comes back `withheld`
    def unhold(self, ids: Iterable[str]) -> None: ...  # the transaction failed: as if never held
    def note_touches(self, touches: Sequence[Touch]) -> None: ...

    # the folder
    def held(
        self,
        recipient: str | None = None,
        since: datetime | None = None,
        states: Sequence[HeldState] = ("held",),
    ) -> list[HeldMail]: ...  # oldest first
    def find(self, id_prefix: str) -> list[HeldMail]: ...
    def claim_release(self, held_id: str, *, again: bool = False) -> HeldMail | None: ...
    def finish_release(self, held_id: str) -> None: ...  # also: sender allowed, answers cancelled
    def abandon_release(self, held_id: str) -> None: ...
    def discard(self, held_id: str) -> HeldMail | None: ...  # also: answers cancelled

    # contacts
    def contacts(self, recipient: str | None = None) -> list[Contact]: ...
    def set_contact(
        self, address: str, standing: Standing, source: str, recipient: str = ""
    ) -> None: ...
    def forget(self, address: str, recipient: str = "") -> bool: ...

    # answers
    def answers(self, held_ids: Iterable[str] | None = None) -> list[Answer]: ...
    def claim_answer(self, now: datetime) -> Answer | None: ...  # planned and due → sending
    def settle_answer(
        self, answer_id: str, state: str, error: str = "", due_at: datetime | None = None
    ) -> None: ...
    def doubt_unfinished(self) -> int: ...  # `sending` of a dead process → in-doubt

    # digest
    def last_digest(self, recipient: str) -> datetime | None: ...
    def record_digest(self, recipient: str, until: datetime, items: int) -> None: ...

    # partial deliveries (LMTP accepts one recipient and refuses the other)
    def delivered(self, sha256: str, recipients: Sequence[str]) -> frozenset[str]: ...
    def note_delivered(self, sha256: str, recipients: Sequence[str]) -> None: ...
