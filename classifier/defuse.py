"""A mail's octets made safe to hand to the MIME parser.

The parser's cost grows with the square of nesting, of parameters in a Content-Type and of parts;
each is counted here by a linear scan and cut where it goes beyond what mail people read ever has.
Pure; raises nothing.
"""

from __future__ import annotations

import re
from itertools import islice

MAX_NESTING = 50  # multiparts and enclosed messages in one mail, whatever their depth
MAX_PARTS = 1000
MAX_FIELD = 2000  # octets of one Content-* field

_CONTENT = re.compile(
    rb"^content-[a-z-]{2,30}[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE
)
_CONTAINER = re.compile(
    rb"^content-type[ \t]*:\s*(?:multipart|message)/", re.IGNORECASE | re.MULTILINE
)
_BOUNDARY = re.compile(
    rb"boundary\*?0?\*?[ \t\n]*=[ \t\n]*(?:\"([^\"\n]{1,200})|([^\s;\"]{1,200}))", re.IGNORECASE
)


def defuse(raw: bytes) -> tuple[bytes, list[str]]:
    """The octets (line ends `\\n`) without what would blow up the parser, and what was cut."""
    faults: list[str] = []
    if len(raw) > MAX_FIELD:
        raw = _shorten_fields(raw, faults)
    raw = _cut_containers(raw, faults)
    return _cut_parts(raw, faults), faults


def _shorten_fields(raw: bytes, faults: list[str]) -> bytes:
    pieces, done = [], 0
    for field in _CONTENT.finditer(raw):
        if field.end() - field.start() > MAX_FIELD:
            pieces.append(raw[done : field.start() + MAX_FIELD])
            done = field.end()
    if not pieces:
        return raw
    faults.append(f"a Content field is longer than {MAX_FIELD} octets")
    return b"".join([*pieces, raw[done:]])


def _cut_containers(raw: bytes, faults: list[str]) -> bytes:
    for number, container in enumerate(_CONTAINER.finditer(raw)):
        if number >= MAX_NESTING:
            faults.append(
                f"only the first {MAX_NESTING} enclosed messages and multiparts were read"
            )
            return raw[: container.start()]
    return raw


def _cut_parts(raw: bytes, faults: list[str]) -> bytes:
    named = dict.fromkeys(match[1] or match[2] for match in _BOUNDARY.finditer(raw))
    # No mail has more containers than this by now; the rest are words in somebody's text.
    alternatives = b"|".join(re.escape(each) for each in islice(named, 2 * MAX_NESTING))
    if not alternatives:
        return raw
    for number, line in enumerate(
        re.finditer(rb"^--(?:" + alternatives + rb")", raw, re.MULTILINE)
    ):
        if number >= MAX_PARTS:
            faults.append(f"only the first {MAX_PARTS} parts were read")
            return raw[: line.start()]
    return raw
