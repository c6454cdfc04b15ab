"""What the store keeps, as frozen values. Times are aware and in UTC. Addresses are compared in
the form `fold` gives; held mails and answers keep them as they were spoken, because a release and
an answer have to say them again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from classifier.verdict import Tactic, Term
from gateway.envelope import Standing

HeldState = Literal["held", "releasing", "released", "discarded"]
AnswerState = Literal[
    "withheld",  # a rule forbade it: `reasons` say which
    "shadow",  # composed and shown, never sent
    "planned",  # waits for its time
    "sending",  # being handed over; found after a crash it becomes in-doubt
    "sent",
    "in-doubt",  # the hand-over broke off; never sent again
    "failed",  # the smart host refused it for good
    "cancelled",  # released, allowed, blocked or discarded before it left
]


def fold(address: str) -> str:
    """The form in which addresses are compared: lower case throughout."""
    return address.lower()


@dataclass(frozen=True, slots=True)
class HeldMail:
    """A mail in the folder of one recipient."""

    id: str
    recipient: str
    mail_from: str
    sender: str  # the From mailbox as shown, "Name <address>"
    subject: str
    message_id: str
    received_at: datetime
    score: float
    label: str
    model: str
    reasons: tuple[str, ...]
    tactics: tuple[Tactic, ...]
    terms: tuple[Term, ...]
    path: str  # of the file in the folder
    original_offset: int  # octets of our own fields before the sender's first octet
    sha256: str  # of the original octets
    mail_options: tuple[str, ...]
    author: str = ""  # the address in From, where it is exactly one
    state: HeldState = "held"
    state_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Touch:
    """One pitch by one sender to one recipient, held or only tagged."""

    at: datetime
    sender: str
    recipient: str
    message_id: str
    subject: str
    score: float
    disposition: str
    mail_id: str  # the transaction's id


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or the record of why there is none."""

    id: str
    held_id: str
    sender: str  # of the pitch: whom the answer goes to
    recipient: str  # of the pitch: in whose name it speaks
    rung: int
    template: str
    message_id: str  # of the pitch
    state: AnswerState
    reasons: tuple[str, ...]
    subject: str = ""
    text: str = ""
    content: bytes = b""  # the whole mail as it would leave
    due_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    attempts: int = 0
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class Contact:
    """Someone the user has decided about, or is known to have written to."""

    address: str  # or "@example.com" for a whole domain
    recipient: str  # '' for everyone here
    standing: Standing
    source: str  # "cli", "release", "import"
    created_at: datetime


def withheld(answer: Answer, *reasons: str) -> Answer:
    """The same answer, not to be given for these reasons; its text is dropped."""
    return replace(
        answer,
        state="withheld",
        reasons=(*answer.reasons, *reasons),
        subject="",
        text="",
        content=b"",
        due_at=None,
    )
