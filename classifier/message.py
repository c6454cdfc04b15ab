"""One mail, read: raw bytes → a frozen `Message`.

`read` never raises and stays within `Limits`: what cannot be read is left out and said in
`faults`. The raw bytes are not touched; a mail is passed on as it came, whatever is made of it
here. The clock runs in the main thread only (see `classifier.limits`); sizes and counts are capped
everywhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Literal

from classifier import mime
from classifier.body import split
from classifier.charset import clean, decode
from classifier.defuse import defuse
from classifier.headers import Head, Header, Mailbox, read_head
from classifier.limits import Limits, Overrun, deadline
from classifier.markup import Link, strip_tags
from classifier.parts import Attachment, Body, read_body

__all__ = ["Attachment", "Header", "Limits", "Link", "Mailbox", "Message", "Parse", "read"]

Parse = Literal["ok", "partial", "failed"]
"""How much was read. `ok`: everything. `partial`: something is missing or was guessed, see
`faults`. `failed`: neither a header field nor any text."""

# Boundaries, part headers and encoded lines.
_FURNITURE = re.compile(
    rb"^(?:--[^\n]*|content-[a-z-]+:[^\n]*(?:\n[ \t][^\n]*)*|[^\s<>]{60,})$",
    re.IGNORECASE | re.MULTILINE,
)


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
    message_id: str = ""  # with its angle brackets; '' when absent, repeated or malformed
    references: tuple[str, ...] = ()
    in_reply_to: tuple[str, ...] = ()
    date: datetime | None = None  # aware, in the zone the sender wrote; UTC for `-0000`
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

    @property
    def author(self) -> str:
        """The address in From where there is exactly one mailbox, else ''."""
        return self.from_[0].address if len(self.from_) == 1 else ""

    def all(self, name: str) -> tuple[Header, ...]:
        """Every field of this name, topmost first."""
        folded = name.lower()
        return tuple(header for header in self.headers if header.name.lower() == folded)


class _Reading:
    """What has been read so far, kept step by step so that running out of time loses no more
    than the step at hand."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self.raw = raw
        self.limits = limits
        self.head = Head()
        self.body = Body()
        self.faults: list[str] = []

    def run(self) -> None:
        octets = _first(self.raw, self.limits.octets)
        if len(octets) < len(self.raw):
            self.faults.append(f"only the first {self.limits.octets} octets were read")
        octets = octets.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self.head = read_head(octets)
        self.faults += self.head.faults
        try:
            self.body = self._structured(octets)
        except Exception as error:  # the parser raises whatever a hostile part provokes
            self.faults.append(f"the parts could not be read ({type(error).__name__})")
        self.faults += self.body.faults
        if self.faults and not self.body.text.strip():
            self.body = replace(self.body, text=_plainly(octets[self.head.body :]))

    def _structured(self, octets: bytes) -> Body:
        """The parser gets the fields that shape the parts and none of the rest: what the other
        fields say has been read, and they are where most of its time goes."""
        shaping = "".join(
            f"{header.name}: {header.raw}\n"
            for header in self.head.headers
            if header.name.lower().startswith(("content-", "mime-version"))
        )
        view, cut = defuse(shaping.encode() + b"\n" + octets[self.head.body :])
        self.faults += cut
        root, defects = mime.tree(view)
        self.faults += defects
        return read_body(root)


def read(raw: bytes, limits: Limits = Limits()) -> Message:  # noqa: B008 - frozen
    """Read a mail. Never raises."""
    reading = _Reading(raw, limits)
    try:
        with deadline(limits.seconds):
            reading.run()
    except Overrun:
        reading.faults.append(f"reading took longer than {limits.seconds:g} s")
    except Exception as error:  # a mail must never stop the gateway
        reading.faults.append(f"could not be read ({type(error).__name__})")
    return _message(reading)


_FROM_HEAD = tuple(f.name for f in fields(Head) if f.name not in ("body", "faults"))
_FROM_BODY = tuple(f.name for f in fields(Body) if f.name not in ("faults", "enclosed"))


def _message(reading: _Reading) -> Message:
    head, body = reading.head, reading.body
    # What is only enclosed are somebody else's words, as a quotation is: a forwarded mail.
    own, quoted, signature = ("", body.text, "") if body.enclosed else split(body.text)
    return Message(
        parse=_parse(reading),
        faults=tuple(dict.fromkeys(reading.faults)),
        size=len(reading.raw),
        own_text=own,
        quoted=quoted,
        signature=signature,
        **{name: getattr(head, name) for name in _FROM_HEAD},
        **{name: getattr(body, name) for name in _FROM_BODY},
    )


def _parse(reading: _Reading) -> Parse:
    if not reading.head.headers and not reading.body.text:
        return "failed"
    return "partial" if reading.faults else "ok"


def _first(raw: bytes, limit: int) -> bytes:
    """The first octets; half of them from the body where the header alone exceeds the limit."""
    if len(raw) <= limit:
        return raw
    end = min((at for at in (raw.find(b"\n\n"), raw.find(b"\r\n\r\n")) if at >= 0), default=0)
    if end < limit:
        return raw[:limit]
    return raw[: limit // 2] + raw[end : end + limit // 2]


def _plainly(octets: bytes) -> str:
    """The body as it stands on the wire, less what only a mail reader reads."""
    text = clean(decode(_FURNITURE.sub(b"", octets)[:200_000], "")[0])
    return (strip_tags(text) if "</" in text else text).strip()
