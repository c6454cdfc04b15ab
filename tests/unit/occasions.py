"""A pitch that may be answered, for tests that change one thing about it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from classifier.message import Header, Mailbox, Message
from config.settings import Answers
from replies.courtesy import Authentication, Occasion

SENDER = "jane.doe@seller.example"
OURS = "alex@example.com"
NOW = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)  # a Wednesday

PLAIN = Message(
    headers=(
        Header("From", f"Jane Doe <{SENDER}>", f"Jane Doe <{SENDER}>"),
        Header("To", OURS, OURS),
        Header("Subject", "A quick question", "A quick question"),
    ),
    from_=(Mailbox("Jane Doe", SENDER),),
    to=(Mailbox("", OURS),),
    subject="A quick question",
    message_id="<first@seller.example>",
    content_types=("text/plain",),
    hops=3,
)


def with_headers(*fields: tuple[str, str], message: Message = PLAIN) -> Message:
    """The pitch with more header fields."""
    more = tuple(Header(name, value, value) for name, value in fields)
    return replace(message, headers=message.headers + more)


def occasion(message: Message = PLAIN, **changes: Any) -> Occasion:
    """An occasion for an answer that no rule forbids, but for the changes."""
    mode = changes.pop("mode", "live")
    base = Occasion(
        message=message,
        sender=SENDER,
        recipient=OURS,
        answers=Answers(mode=mode),
        now=NOW,
        own_domains=frozenset({"example.com"}),
        hostname="gateway.example.com",
        authentication=Authentication(passed=True, detail="dmarc=pass"),
    )
    return replace(base, **changes)


def from_(*addresses: str) -> Message:
    """The pitch with one From field that names these addresses."""
    return replace(PLAIN, from_=tuple(Mailbox("", address) for address in addresses))
