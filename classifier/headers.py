"""The header of a mail: its fields in order, and the facts read from them.

Fields are cut from the octets here, not taken from the MIME parser: that one merges, re-encodes
and drops fields, and what an answer depends on (how many From fields there are) must be exact.
`read_head` promises to raise nothing but `Overrun`; every loop and every length is capped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from email.errors import HeaderParseError
from email.header import decode_header

from classifier import mime
from classifier.charset import decode, one_line

_MAX_FIELDS = 1000
_MAX_FIELD = 32 * 2**10  # octets of one field
_MAX_MAILBOXES = 500
_MAX_IDS = 200

_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)\n?")
_MBOX = re.compile(rb">?From [^\n]*\n")
_ID = re.compile(r"<[!-;=?A-~]{1,500}@[!-;=?A-~]{1,500}>")
_COMMENT = re.compile(r"\([^()]*\)")


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
        """What stands behind the last `@`; '' without one."""
        return self.address.rpartition("@")[2] if "@" in self.address else ""


@dataclass(frozen=True, slots=True)
class Head:
    """The header, read. The fields are those of `Message`; `body` is the offset of the body."""

    body: int = 0
    faults: tuple[str, ...] = ()
    headers: tuple[Header, ...] = ()
    from_: tuple[Mailbox, ...] = ()
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    subject: str = ""
    message_id: str = ""
    references: tuple[str, ...] = ()
    in_reply_to: tuple[str, ...] = ()
    date: datetime | None = None
    dkim_domains: tuple[str, ...] = ()
    is_list: bool = False
    is_auto: bool = False
    hops: int = 0


def read_head(raw: bytes) -> Head:
    """Read the header of a mail whose line ends are `\\n`."""
    headers, body, faults = fields(raw)
    raws: dict[str, list[str]] = {}
    for header in headers:
        raws.setdefault(header.name.lower(), []).append(header.raw)
    from_, whole = _mailboxes(raws.get("from", ()))
    if not whole:
        faults.append("a From field is malformed or can be read in more than one way")
    return Head(
        body=body,
        faults=tuple(faults),
        headers=headers,
        from_=from_,
        to=_mailboxes(raws.get("to", ()))[0],
        cc=_mailboxes(raws.get("cc", ()))[0],
        reply_to=_mailboxes(raws.get("reply-to", ()))[0],
        subject=next((h.value for h in headers if h.name.lower() == "subject"), ""),
        message_id=_message_id(raws.get("message-id", [])),
        references=_ids(raws.get("references", ())),
        in_reply_to=_ids(raws.get("in-reply-to", ())),
        date=mime.date(raws["date"][0][:200]) if "date" in raws else None,
        dkim_domains=_dkim_domains(raws.get("dkim-signature", ())),
        is_list=any(name.startswith("list-") for name in raws),
        is_auto=any(_is_auto(value) for value in raws.get("auto-submitted", ())),
        hops=len(raws.get("received", ())),
    )


def fields(raw: bytes) -> tuple[tuple[Header, ...], int, list[str]]:
    """The fields, the offset of the body, and what was wrong, in words.

    The header ends at the first empty line or, as for every MTA, at the first line that is
    neither a field nor a continuation.
    """
    headers: list[Header] = []
    faults: dict[str, None] = {}
    pos = 0
    while pos < len(raw) and raw[pos] != 0x0A:
        if mbox := _MBOX.match(raw, pos):
            pos = mbox.end()
            continue
        field = _FIELD.match(raw, pos)
        if not field:
            faults["the header runs into the body"] = None
            return tuple(headers), pos, list(faults)
        if len(headers) >= _MAX_FIELDS:
            faults[f"only the first {_MAX_FIELDS} header fields were read"] = None
            end = raw.find(b"\n\n", pos)
            return tuple(headers), len(raw) if end < 0 else end + 2, list(faults)
        header, fault = _header(field[1], field[2])
        headers.append(header)
        faults |= dict.fromkeys(fault)
        pos = field.end()
    if not headers:
        faults["there are no header fields"] = None
    return tuple(headers), min(pos + 1, len(raw)), list(faults)


def _header(name: bytes, octets: bytes) -> tuple[Header, list[str]]:
    label = name.decode("ascii")
    faults = []
    if len(octets) > _MAX_FIELD:
        octets = octets[:_MAX_FIELD]
        faults.append(f"{label[:40]}: only the first {_MAX_FIELD} octets were read")
    try:
        raw = octets.replace(b"\n", b"").strip().decode("utf-8")
    except UnicodeDecodeError:
        raw = octets.replace(b"\n", b"").strip().decode("latin-1")
    value, fault = decoded(raw)
    if fault:
        faults.append(f"{label[:40]}: {fault}")
    return Header(label, raw, value), faults


def decoded(raw: str) -> tuple[str, str]:
    """A field's text with its encoded words read (RFC 2047), and what was wrong, in words."""
    if "=?" not in raw:
        return one_line(raw), ""
    try:
        chunks = decode_header(raw)
    except (HeaderParseError, ValueError):
        return one_line(raw), "a broken encoded word"
    words, faults = [], []
    for chunk, charset in chunks:
        # decode_header gives the plain stretches as raw-unicode-escape octets.
        if isinstance(chunk, str):
            text, fault = chunk, ""
        elif charset is None:
            text, fault = chunk.decode("raw-unicode-escape", "replace"), ""
        else:
            text, fault = decode(chunk, charset.partition("*")[0])
        words.append(text)
        faults.append(fault)
    return one_line("".join(words)), next(filter(None, faults), "")


def _mailboxes(values: Iterable[str]) -> tuple[tuple[Mailbox, ...], bool]:
    """The mailboxes of these fields together, and whether all of them were understood."""
    found: list[Mailbox] = []
    whole = True
    for value in values:
        pairs, understood = mime.addresses(value)
        # An empty group (`undisclosed-recipients:;`) holds no mailbox and is no fault.
        whole = whole and understood
        found += [_mailbox(name, address) for name, address in pairs[:_MAX_MAILBOXES]]
        if len(found) >= _MAX_MAILBOXES:
            return tuple(found[:_MAX_MAILBOXES]), whole
    return tuple(found), whole


def _mailbox(name: str, address: str) -> Mailbox:
    local, at, domain = one_line(address).rpartition("@")
    return Mailbox(one_line(name), local + at + domain.lower() if at else domain)


def _message_id(values: list[str]) -> str:
    """The one Message-ID when it is a single valid token of at most 998 octets, else ''."""
    if len(values) != 1 or len(values[0]) > 998 or not _ID.fullmatch(values[0]):
        return ""
    return values[0]


def _ids(values: Iterable[str]) -> tuple[str, ...]:
    found = [each for value in values for each in _ID.findall(value) if len(each) <= 998]
    return tuple(found[-_MAX_IDS:])


def _dkim_domains(values: Iterable[str]) -> tuple[str, ...]:
    """d= of each signature (RFC 6376 §3.5)."""
    found: dict[str, None] = {}
    for value in values:
        for tag in value.split(";"):
            name, _, text = tag.partition("=")
            domain = "".join(text.split()).lower()
            if name.strip() == "d" and domain:
                found[one_line(domain)] = None
    return tuple(found)


def _is_auto(value: str) -> bool:
    """Whether Auto-Submitted says other than `no`, comments and parameters aside (RFC 3834 §5)."""
    return _COMMENT.sub("", value).partition(";")[0].strip().lower() != "no"
