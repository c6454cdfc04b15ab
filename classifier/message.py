"""One mail, read: raw bytes → a frozen `Message`. (Being written.)"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Parse = Literal["ok", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Header:
    """One header field: its name as written, its raw text unfolded, and that text decoded
    (RFC 2047) with control characters replaced by spaces."""

    name: str
    raw: str
    value: str


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A display name (decoded, may be empty) and an address (domain lower-cased)."""

    name: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the body: where it goes and the text a reader sees ('' for a bare URL)."""

    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not body text."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """What a mail says. Everything the later steps know about it."""

    parse: Parse = "ok"
    faults: tuple[str, ...] = ()  # what could not be read, in words
    size: int = 0  # octets, as received
    headers: tuple[Header, ...] = ()  # every field, in order
    from_: tuple[Mailbox, ...] = ()  # mailboxes of all From fields together
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    message_id: str = ""  # with its angle brackets; '' when absent or malformed
    references: tuple[str, ...] = ()
    in_reply_to: tuple[str, ...] = ()
    date: datetime | None = None  # aware, in the zone the sender wrote
    text: str = ""  # the whole body as a reader sees it
    own_text: str = ""  # without quoted text and signature
    quoted: str = ""
    signature: str = ""
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    content_types: tuple[str, ...] = ()  # of every MIME part, lower case, in order
    dkim_domains: tuple[str, ...] = ()  # d= of every DKIM-Signature, unverified
    is_list: bool = False  # carries a List-* field
    is_auto: bool = False  # Auto-Submitted says other than `no`
    hops: int = 0  # Received fields

    def all(self, name: str) -> tuple[Header, ...]:
        """Every field of this name, topmost first."""
        folded = name.lower()
        return tuple(header for header in self.headers if header.name.lower() == folded)


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one mail may cost."""

    octets: int = 2 * 2**20  # only the first so many are read; more: `partial`
    seconds: float = 3.0


def read(raw: bytes, limits: Limits = Limits()) -> Message:
    """Read a mail. Never raises."""
    raise NotImplementedError
