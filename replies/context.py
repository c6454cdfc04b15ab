"""What an answer's template sees: a few cleaned words, never the message.

Everything a stranger wrote passes `clean` before it comes near a template or a header: no control,
format or bidirectional characters, no line breaks, capped in length.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, fields
from email.errors import HeaderParseError
from email.header import decode_header

from classifier.message import Mailbox
from replies.courtesy import Occasion

MAX_NAME = 64
MAX_SUBJECT = 120
_ENCODED_WORD = re.compile(r"=\?[^?\s]+\?[bq]\?[^?]*\?=", re.IGNORECASE)
_FIRST_NAME = re.compile(r"[^\W\d_]+(?:[-'’][^\W\d_]+)?")
_PREFIXES = re.compile(r"(?:(?:re|aw|sv|fwd?|wg|auto)(?:\[\d+\])?\s*:\s*)+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ReplyContext:
    """The names a template may use. Plain, cleaned strings; '' where nothing is safely known."""

    first_name: str  # theirs
    name: str  # ours, in whose name the answer speaks
    recipient: str  # our address
    subject: str  # of their mail, without Re: and the like


VARIABLES = frozenset(field.name for field in fields(ReplyContext))


def reply_context(occasion: Occasion, name: str) -> ReplyContext:
    """The context for one answer; `name` is the recipient's own, from the settings."""
    mailboxes = occasion.message.from_
    return ReplyContext(
        first_name=first_name(mailboxes[0]) if len(mailboxes) == 1 else "",
        name=clean(name, MAX_NAME),
        recipient=clean(occasion.recipient, 254),
        subject=clean_subject(occasion.message.subject),
    )


def clean(text: str, limit: int) -> str:
    """One line of visible characters, at most `limit` of them, with encoded words decoded.

    What still looks like an encoded word afterwards is broken up: the email package decodes one
    wherever it stands, and the decoded text may hold a line break and a header of its own.
    """
    for _ in range(3):
        text = decoded(text)
    text = "".join(char if _visible(char) else " " for char in text)
    text = " ".join(text.replace("=?", "= ?").split())
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def decoded(text: str) -> str:
    """RFC 2047 decoding, wherever an encoded word stands, as lenient as the email package's.

    What cannot be decoded stays. Word by word: `decode_header` fails on a text that also holds
    characters outside ASCII.
    """
    return _ENCODED_WORD.sub(lambda word: _decoded_word(word[0]), text)


def _decoded_word(word: str) -> str:
    try:
        return "".join(
            part if isinstance(part, str) else part.decode(charset or "ascii", "replace")
            for part, charset in decode_header(word)
        )
    except (HeaderParseError, LookupError, ValueError):
        return word


def _visible(char: str) -> bool:
    # C*: control, format (bidi among them), surrogate, unassigned; Zl, Zp: U+2028 and U+2029.
    kind = unicodedata.category(char)
    return kind[0] != "C" and kind not in {"Zl", "Zp"}


def clean_subject(subject: str) -> str:
    """Their subject without the `Re:` and `Auto:` in front of it."""
    text = clean(subject, 998)
    prefix = _PREFIXES.match(text)
    return clean(text[prefix.end() :] if prefix else text, MAX_SUBJECT)


_NO_NAMES = frozenset(
    """
    mr mrs ms miss mx dr prof sir herr frau fr mme mlle m sr sra srta sig dhr mevr pan pani dear
    sales support info team office contact kontakt marketing vertrieb verkauf kundenservice service
    customer client seo web admin hello hi mail email news newsletter the your our business company
    accounts accounting account billing success growth partner partners press media events hr jobs
    career careers recruiting recruitment it help desk group agency studio digital shop store online
    official manager director head ltd gmbh inc llc no reply noreply
    """.split()  # noqa: SIM905 - a list of ninety quoted words reads worse
)


def first_name(mailbox: Mailbox) -> str:
    """Their first name, when the address confirms the display name; else ''.

    Greeting "Acme", "Sales" or "Mr" by first name is worse than no name at all. So a name of two
    or three words counts only if it is written like one, none of its words is a title or a role,
    the domain does not begin with it, and the local part holds the first word, or its initial and
    the last.
    """
    words = clean(mailbox.name, MAX_NAME).split()
    local = _plain(mailbox.address.rpartition("@")[0])
    if not 2 <= len(words) <= 3 or not _FIRST_NAME.fullmatch(words[0]) or len(words[0]) < 2:
        return ""
    if not words[0].istitle() or any(_plain(word) in _NO_NAMES for word in words):
        return ""
    if _plain(mailbox.domain).startswith(_plain(words[0])):
        return ""
    first, last = _plain(words[0]), _plain(words[-1])
    confirmed = local.startswith(first) or _initial_and_last(first, last, local)
    return words[0] if len(first) > 1 and confirmed else ""


def _initial_and_last(first: str, last: str, local: str) -> bool:
    return len(last) > 2 and local in {first[:1] + last, last, last + first[:1]}


def _plain(text: str) -> str:
    """Letters only, no accents, lower case: `Zoë-Ann` → `zoeann`."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in folded if char.isascii() and char.isalpha())
