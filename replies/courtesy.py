"""Whether a pitch may be answered. (Being written.)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from classifier.message import Message
from config.settings import Answers


@dataclass(frozen=True, slots=True)
class Authentication:
    """Whether the sender's domain is proven: `passed` needs an aligned pass (courtesy C1)."""

    passed: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Everything the rules look at, for one mail and one recipient. Plain data, no effects."""

    message: Message
    sender: str  # envelope sender, '' for null
    recipient: str  # our recipient, as in RCPT TO
    answers: Answers
    now: datetime
    own_domains: frozenset[str] = frozenset()
    hostname: str = ""  # ours; Message-IDs and loop tokens carry it
    authentication: Authentication = Authentication()
    answered_at: datetime | None = None
    answered_before: bool = False


@dataclass(frozen=True, slots=True)
class AnswerDecision:
    """Whether an answer leaves. `reasons` are codes of docs/reasons.md, in the order of the
    rules; empty exactly when `would_send`. `compose` also holds in shadow mode, where the text
    is written and shown although nothing is sent."""

    would_send: bool = False
    compose: bool = False
    rung: int = 1
    template: str = ""
    reasons: tuple[str, ...] = ()
