"""The values that flow through the gateway, from mail in to outcome out. All frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from replies.courtesy import AnswerDecision

Disposition = Literal["deliver", "tag", "quarantine", "reject"]
Standing = Literal["known", "allowed", "blocked"]


@dataclass(frozen=True, slots=True)
class Envelope:
    """One SMTP transaction as it was spoken (RFC 5321 §2.3.1)."""

    id: str  # our name for this transaction, in logs and fields
    client: str  # IP address of the peer
    helo: str  # what it called itself; untrusted
    mail_from: str  # reverse-path, '' for the null sender
    rcpt_tos: tuple[str, ...]  # the forward-paths the next hop accepted, in order
    received_at: datetime  # aware, UTC
    protocol: str = "ESMTP"  # SMTP, ESMTP, ESMTPS, UTF8SMTP… (RFC 3848, RFC 6531)
    mail_options: tuple[str, ...] = ()  # BODY=8BITMIME, SMTPUTF8, as relayed


@dataclass(frozen=True, slots=True)
class Memory:
    """What we remember of this sender, for one recipient."""

    standing: Standing | None = None
    standing_why: str = ""  # "you allowed them on 3 March"
    touches: int = 0  # earlier pitches by this sender to this recipient
    answered_at: datetime | None = None  # when an answer to them was last planned or sent
    answered_before: bool = False  # this very Message-ID already has an answer


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of the mail for one recipient, and why."""

    recipient: str
    disposition: Disposition
    reasons: tuple[str, ...]
    answer: AnswerDecision = field(default_factory=AnswerDecision)
