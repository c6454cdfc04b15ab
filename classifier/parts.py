"""The body of a mail: its MIME parts brought together into one text.

Of a multipart/alternative the reader's choice is taken, of everything else all the text in order.
Promises that text which is there is found: when the usual places hold none, attached text,
enclosed messages and parts of unknown type are looked through. Raises nothing of its own; the
parser's errors and `Overrun` pass through.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from email.message import Message as Part
from itertools import chain, islice

from classifier.charset import clean, decode, one_line
from classifier.headers import decoded
from classifier.markup import Link, Page, bare_urls, read_html, strip_tags

_MAX_TEXT = 500_000  # characters
_MAX_DEPTH = 30
_MAX_LINKS = 200
_HTML_START = re.compile(
    r"\s*(?:<!--[^>]{0,200}-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE
)
_META = re.compile(rb"<meta[^>]{1,200}?charset\s*=\s*[\"']?([\w-]{2,40})", re.IGNORECASE)
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_WORD = re.compile(r"\w{3,30}")
_BINARY = frozenset(("image", "audio", "video", "font", "model"))


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part that is not body text. `size` is in octets, of an enclosed message those of its
    leaves; a part without a name is called after its number: `part-3`."""

    filename: str
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Body:
    """The parts, read. The fields are those of `Message`."""

    text: str = ""
    links: tuple[Link, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    content_types: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    enclosed: bool = False  # the text is that of an attachment or an enclosed message


@dataclass(slots=True)
class _Reading:
    """What has been come across so far on the walk over the parts."""

    numbers: dict[int, int]
    links: dict[Link, None] = field(default_factory=dict)
    attachments: list[Attachment] = field(default_factory=list)
    faults: dict[str, None] = field(default_factory=dict)
    found_text: bool = False
    spare: list[Part] = field(default_factory=list)  # leaves that are text only at need

    def fault(self, part: Part, words: str) -> None:
        self.faults[f"part {self.numbers.get(id(part), 0)}: {words}"] = None


def read_body(root: Part) -> Body:
    """Read the text of a mail from its tree of parts."""
    parts = list(root.walk())
    reading = _Reading({id(part): number for number, part in enumerate(parts, 1)})
    text = _text(root, reading, 0).strip("\n")
    enclosed = not text.strip()
    if enclosed:
        text = _at_need(parts, reading)
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT]
        reading.faults[f"only the first {_MAX_TEXT} characters of the text were read"] = None
    shown = {link.url for link in reading.links}
    bare = (link for link in bare_urls(text) if link.url not in shown)
    return Body(
        text=text,
        links=tuple(islice(chain(reading.links, bare), _MAX_LINKS)),
        attachments=tuple(reading.attachments),
        content_types=tuple(part.get_content_type() for part in parts),
        faults=tuple(reading.faults),
        enclosed=enclosed,
    )


def _text(part: Part, reading: _Reading, depth: int) -> str:
    if depth > _MAX_DEPTH:
        reading.faults["the parts are nested too deeply"] = None
        return ""
    if not part.is_multipart():
        return _leaf(part, reading)
    if part.get_content_maintype() == "message":
        _attach(part, reading)
        return ""
    if part.get_content_type() == "multipart/alternative":
        return _alternative(part, reading, depth)
    return _joined(_text(child, reading, depth + 1) for child in _children(part))


def _children(part: Part) -> list[Part]:
    payload = part.get_payload()
    return (
        [child for child in payload if isinstance(child, Part)] if isinstance(payload, list) else []
    )


def _joined(texts: Iterator[str]) -> str:
    return "\n\n".join(text.strip("\n") for text in texts if text.strip())


def _leaf(part: Part, reading: _Reading) -> str:
    """The text of a leaf that is body text; any other is noted as an attachment."""
    if part.get_content_maintype() == "multipart":
        return _page(part, reading).text  # its structure could not be read: one long text
    shown = part.get_content_type() in ("text/plain", "text/html")
    attached = part.get_content_disposition() == "attachment"
    # get_filename is asked last: it is the dearest question, and a body seldom has a name.
    if shown and not attached and not _asked(part, "filename", reading):
        reading.found_text = True
        return _page(part, reading).text
    _attach(part, reading)
    if shown and not attached and (not reading.found_text or part.get("Content-Disposition")):
        # Mail clients show a named text in its place when it is inline or comes first.
        reading.found_text = True
        return _page(part, reading).text
    reading.spare.append(part)
    return ""


def _alternative(part: Part, reading: _Reading, depth: int) -> str:
    """The reader sees the HTML; the plain text is taken when it says the same, being free of
    layout. One that says something else is a placeholder, or words put there for filters."""
    plain, rich = "", ""
    for child in _children(part):
        text = _text(child, reading, depth + 1)
        if child.get_content_type() == "text/plain":
            plain = plain or text
        else:
            rich = rich or text
    return plain if _says_the_same(plain, rich) else rich


def _says_the_same(plain: str, rich: str) -> bool:
    seen = set(islice((word[0] for word in _WORD.finditer(rich.lower())), 5000))
    said = set(islice((word[0] for word in _WORD.finditer(plain.lower())), 10_000))
    if not said:
        return not rich.strip()
    return len(seen & said) >= 0.5 * len(seen)


def _page(part: Part, reading: _Reading) -> Page:
    """One leaf as a reader sees it; its links and faults go into the reading."""
    html = part.get_content_type() == "text/html"
    charset = _asked(part, "charset", reading)
    octets = _octets(part, reading)
    if html and not charset and (meta := _META.search(octets[:2000])):
        charset = meta[1].decode("ascii")
    text, fault = decode(octets, charset)
    if fault:
        reading.fault(part, fault)
    text = clean(text)
    if not html and not _HTML_START.match(text[:500]):
        flowed = _asked(part, "format", reading).lower() == "flowed"
        return Page(_unflowed(text) if flowed else text)
    page = read_html(text)
    if page.fault:
        reading.fault(part, page.fault)
    if octets.strip() and not page.text.strip():
        reading.fault(part, "the HTML shows no text")
    reading.links |= dict.fromkeys(page.links)
    return Page(clean(page.text))


def _asked(part: Part, parameter: str, reading: _Reading) -> str:
    """A parameter of the part's Content fields, or `filename`; '' without it. The standard library
    raises TypeError on names split over contradictory pieces (RFC 2231 §3)."""
    try:
        if parameter == "filename":
            return part.get_filename() or ""
        if parameter == "charset":
            return part.get_content_charset() or ""
        return str(part.get_param(parameter) or "")
    except (TypeError, ValueError, LookupError):
        reading.fault(part, f"its {parameter} is malformed")
        return ""


def _octets(part: Part, reading: _Reading) -> bytes:
    """The part's content without its transfer encoding (RFC 2045 §6)."""
    # get_payload applies the charset on its way and raises on one like `idna` or a malformed one;
    # a shallow copy without Content-Type has none to apply.
    bare = copy(part)
    del bare["Content-Type"]
    found = len(bare.defects)
    octets = bare.get_payload(decode=True)
    if not isinstance(octets, bytes):
        return b""
    names = {type(defect).__name__ for defect in bare.defects[found:]}
    if not any("Base64" in name for name in names):
        return octets
    reading.fault(part, "its base64 is broken")
    raw = bare.get_payload()
    return _salvaged(raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else octets)


def _salvaged(written: bytes) -> bytes:
    """What the base64 in it says, then what was appended in clear, as mailing lists do with their
    footer; all of it as written when it only claims to be base64."""
    lines = written.split(b"\n")
    end = next((i for i, line in enumerate(lines) if line and not _is_base64(line)), len(lines))
    letters = _NOT_BASE64.sub(b"", b"".join(lines[:end]))
    letters = letters[: len(letters) - (len(letters) % 4 == 1)]
    octets = base64.b64decode(letters + b"=" * (-len(letters) % 4))
    sample = octets[:2000].translate(None, b"\t\n\r")
    odd = sum(octet < 32 or octet > 126 for octet in sample)
    if not octets or (b" " in written.strip() and odd > 0.3 * len(sample)):
        return written
    return b"\n".join([octets, *lines[end:]])


def _is_base64(line: bytes) -> bool:
    """Whether a line is base64, bar a few damaged octets if no space makes words of it."""
    packed = b"".join(line.split())
    strange = len(_NOT_BASE64.sub(b"", packed)) - len(packed.rstrip(b"="))
    return strange == 0 or (b" " not in line.strip() and -strange < 0.2 * len(packed))


def _unflowed(text: str) -> str:
    """Join soft line breaks (RFC 3676 §4.1); quoted lines stay as they are."""
    lines: list[str] = []
    soft = False
    for line in text.split("\n"):
        plain = not line.startswith(">") and line != "-- "
        unstuffed = line[1:] if plain and line.startswith(" ") else line
        if soft and plain:
            lines[-1] += unstuffed
        else:
            lines.append(unstuffed)
        soft = plain and line.endswith(" ")
    return "\n".join(lines)


def _attach(part: Part, reading: _Reading) -> None:
    name = one_line(decoded(_asked(part, "filename", reading))[0])[:255]
    leaves = (leaf for leaf in part.walk() if not leaf.is_multipart())
    size = sum(len(_octets(leaf, reading)) for leaf in leaves)
    name = name or f"part-{reading.numbers.get(id(part), 0)}"
    reading.attachments.append(Attachment(name, part.get_content_type(), size))


def _at_need(parts: list[Part], reading: _Reading) -> str:
    """Text from where it is not usually looked for: attached text, enclosed messages, parts of
    unknown type, what stands around the parts."""
    for part in reading.spare:
        if part.get_content_maintype() == "text" and (text := _page(part, reading).text).strip():
            return text
    enclosed = [part for part in parts if part.get_content_maintype() == "message"]
    for part in enclosed:
        if text := _joined(_text(child, reading, 1) for child in _children(part)):
            return text
    for part in reading.spare:
        if text := _readable(part, reading):
            return text
    around = [part.preamble for part in parts] + [part.epilogue for part in parts]
    return clean(_joined(iter(filter(None, around))))


def _readable(part: Part, reading: _Reading) -> str:
    """The text of a part of an unknown type, '' when it is no text."""
    main = part.get_content_maintype()
    if main in _BINARY or (main == "application" and _asked(part, "filename", reading)):
        return ""
    charset = _asked(part, "charset", reading)
    octets = _octets(part, reading)[:_MAX_TEXT]
    if b"\x00" in octets or sum(octet < 32 for octet in octets[:2000].translate(None, b"\t\n\r\f")):
        return ""
    text = clean(decode(octets, charset)[0])
    return strip_tags(text) if _HTML_START.match(text[:500]) else text
