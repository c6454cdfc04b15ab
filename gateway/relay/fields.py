"""The header fields a gateway adds, removes and counts, on raw octets.

A relayed message is never re-serialised: fields are put before the first octet or cut out, and
every other octet stays as it came. All functions run in linear time and never raise.
"""

from __future__ import annotations

import re
from email.utils import format_datetime

from gateway.envelope import Envelope

_EOL = rb"(?:\r\n|\r|\n)"
_BLANK_LINE = re.compile(rb"(?:\A|\r\n|\r(?!\n)|\n)" + _EOL)
_AT_LINE_START = rb"(?:\A|(?<=[\r\n]))"
_OURS = re.compile(
    _AT_LINE_START
    + rb"X-Raincheck(?:-[^\s:]*)?[ \t]*:[^\r\n]*(?:%b|\Z)(?:[ \t][^\r\n]*(?:%b|\Z))*"
    % (_EOL, _EOL),
    re.IGNORECASE,
)
_HOP = re.compile(_AT_LINE_START + rb"Received[ \t]*:", re.IGNORECASE)
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.:_\[\]-]")
_NOT_IN_VALUES = re.compile(r"[^A-Za-z0-9.:_+-]")
_PLAIN_ADDRESS = re.compile(r"[^\s\x00-\x20\x7f-\x9f()<>@,;:\\\"]+@[\w.-]+")


def received(envelope: Envelope, hostname: str) -> bytes:
    """The Received field of this transaction (RFC 5321 §4.4), CRLF at the end. `for` is named
    only with a single recipient, so that Bcc stays hidden."""
    helo = _NOT_IN_NAMES.sub("?", envelope.helo)[:128] or "unknown"
    literal = f"IPv6:{envelope.client}" if ":" in envelope.client else envelope.client
    lines = [
        f"Received: from {helo} ([{literal}])",
        f"by {hostname} with {envelope.protocol} id {envelope.id}{_for(envelope)};",
        format_datetime(envelope.received_at),
    ]
    return ("\r\n\t".join(lines) + "\r\n").encode()


def _for(envelope: Envelope) -> str:
    """Header text is ASCII unless the transaction said SMTPUTF8 (RFC 6532)."""
    recipient = envelope.rcpt_tos[0] if len(envelope.rcpt_tos) == 1 else ""
    speakable = recipient.isascii() or envelope.protocol.startswith("UTF8")
    if not speakable or not _PLAIN_ADDRESS.fullmatch(recipient):
        return ""
    return f"\r\n\tfor <{recipient}>"


def x_raincheck(kind: str, id: str, score: float | None = None, model: str = "") -> bytes:  # noqa: A002
    """`X-Raincheck: <kind>; score=0.97; model=…; id=…`, CRLF at the end. `score` is 0 to 1."""
    parts = [_value(kind)]
    if score is not None:
        parts.append(f"score={score:.2f}")
    if model:
        parts.append(f"model={_value(model)}")
    parts.append(f"id={_value(id)}")
    return f"X-Raincheck: {'; '.join(parts)}\r\n".encode()


def _value(text: str) -> str:
    return _NOT_IN_VALUES.sub("?", text)[:64]


def without_ours(content: bytes) -> bytes:
    """The message without its `X-Raincheck` and `X-Raincheck-*` fields, which only we may set."""
    end = _header_end(content)
    header = content[:end]
    if b"x-raincheck" not in header.lower():  # nearly always, and ten times as fast as the pattern
        return content
    return _OURS.sub(b"", header) + content[end:]


def hops(content: bytes) -> int:
    """How many Received fields the header section holds (RFC 5321 §6.3)."""
    return sum(1 for _ in _HOP.finditer(content, 0, _header_end(content)))


def _header_end(content: bytes) -> int:
    """Where the blank line after the header section begins; the length if there is none."""
    blank = _BLANK_LINE.search(content)
    if not blank:
        return len(content)
    return blank.start() + len(blank[0]) - len(_last_eol(blank[0]))


def _last_eol(eols: bytes) -> bytes:
    return b"\r\n" if eols.endswith(b"\r\n") else eols[-1:]
