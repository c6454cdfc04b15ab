"""mail-parser, wrapped: the only module that imports it.

mail-parser answers a misspelt attribute with '' and gives unnamed attachments random names, so
nothing of it leaves this module but the tree of parts and plain values. It reports what it reads
through `logging`, subjects included; that is turned off here.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone
from email.message import Message as Part
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

import mailparser
from mailparser.dates import parse_mail_date
from mailparser.utils import get_addresses

logging.getLogger("mailparser").setLevel(logging.CRITICAL + 1)

_DEFECTS = {
    "CloseBoundaryNotFoundDefect": "a multipart is not closed",
    "MissingHeaderBodySeparatorDefect": "the header of a part runs into its body",
    "StartBoundaryNotFoundDefect": "a multipart lacks its boundary",
    "NoBoundaryInMultipartDefect": "a multipart names no boundary",
    "MultipartInvariantViolationDefect": "a multipart has no parts",
    "FirstHeaderLineIsContinuationDefect": "a part begins with a continuation line",
    "MisplacedEnvelopeHeaderDefect": "an mbox line stands in a header",
}


def tree(raw: bytes) -> tuple[Part, list[str]]:
    """The parts of a mail, and what was wrong with its structure, in words.

    Falls back to the standard library where mail-parser raises. Raises what that raises
    (RecursionError on nesting that `classifier.defuse` lets through nowhere).
    """
    try:
        mail = mailparser.parse_from_bytes(raw)
        part: Part = mail.message
        found = set(mail.defects_categories)
    except Exception:  # its parts code raises whatever a hostile part provokes
        return BytesParser().parsebytes(raw), ["mail-parser could not read the parts"]
    return part, [words for name, words in _DEFECTS.items() if name in found]


def addresses(field: str) -> tuple[list[tuple[str, str]], bool]:
    """(name, address) of each mailbox in an address field (RFC 5322 §3.4), and whether all of the
    field was understood. Every candidate of an ambiguous entry is given, so that a field that can
    be read as two senders never counts as one."""
    defects: list[dict[str, object]] = []
    try:
        found = get_addresses(field, defects=defects, decode_names=True)
    except Exception:  # see tree()
        return [], False
    pairs = [(name, address) for name, address in found if address]
    lost = [defect for defect in defects if not defect.get("recovered")]
    for defect in lost:
        candidates = defect.get("candidates")
        if isinstance(candidates, list):
            pairs += [(each["display_name"], each["address"]) for each in candidates]
    return pairs, not lost


def date(field: str) -> datetime | None:
    """An aware time in the zone written. None: unreadable, or it names no zone; `-0000`
    (RFC 5322 §3.3, zone unknown) gives UTC."""
    try:
        read = parse_mail_date(field)
        if read.value is not None:
            zone: datetime = read.value
            return zone.astimezone(timezone(timedelta(hours=float(read.timezone))))
        # Sloppier than the standard allows, as much automatic mail is.
        loose = parsedate_to_datetime(field)
    except Exception:  # year 0, month 13, zone +9999 …
        return None
    return loose if loose.tzinfo else None
