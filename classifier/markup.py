"""HTML to the text a reader sees, and its links.

inscriptis lays out what is visible; quotations are handed on with `> ` marks, so that HTML and
plain text are taken apart by the same rules. HTML beyond a size that any letter has, and HTML
inscriptis cannot digest, is stripped of its tags instead, in linear time. Raises nothing but
`Overrun`.
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

import lxml.html  # type: ignore[import-untyped]
from inscriptis import Inscriptis
from inscriptis.css_profiles import STRICT_CSS_PROFILE
from inscriptis.model.config import ParserConfig
from lxml.etree import ParserError  # type: ignore[import-untyped]

_MAX_HTML = 200_000  # characters; inscriptis needs 6 s for a table of 1 MB
_MAX_CELLS = 5000  # table cells; inscriptis lays each table out in a square of its cells
_MAX_LINKS = 200
_MAX_URL = 2000

# Private-use characters that stand for the edges of a quotation while inscriptis works.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"

_CONFIG = ParserConfig(css=STRICT_CSS_PROFILE, display_links=False, display_images=False)
_QUOTE_CLASSES = re.compile(r"\b(?:gmail_quote|protonmail_quote|yahoo_quoted|moz-cite)")
_END = re.compile(r"</(?:body|html)\s{0,20}>", re.IGNORECASE)
_DECLARATION = re.compile(r"\s*<\?xml[^<>]*\?>")
_TAG = re.compile(r"<[!/?a-zA-Z][^<>]*>")
_BREAK = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6]|p|div|tr)\b[^<>]*>", re.IGNORECASE)
_CELL = re.compile(r"<t[dh]\b", re.IGNORECASE)
_BARE_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"'\]\[{}|\\^`]{2,2000}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the body: where it goes and the text a reader sees ('' for a bare URL)."""

    url: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """What an HTML part says. `fault` in words when it could not be laid out whole."""

    text: str
    links: tuple[Link, ...] = ()
    fault: str = ""


def read_html(source: str) -> Page:
    """Lay out an HTML text."""
    source = source.replace(_OPEN, "").replace(_CLOSE, "").replace("\x00", "")
    if not source.strip():
        return Page("")
    if len(source) > _MAX_HTML:
        return Page(strip_tags(source), (), "the HTML is too long to be laid out")
    if len(_CELL.findall(source)) > _MAX_CELLS:
        return Page(strip_tags(source), (), "the HTML is too intricate to be laid out")
    try:
        return _laid_out(source)
    except (ParserError, ValueError):
        return Page(strip_tags(source))  # nothing but comments, or no HTML at all
    except Exception:  # inscriptis raises IndexError and more on odd tables
        return Page(strip_tags(source), (), "the HTML could not be laid out")


def _laid_out(source: str) -> Page:
    # inscriptis forgets the text that follows a processing instruction (Word writes them).
    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True)
    root = lxml.html.fromstring(_mended(source), parser=parser)
    if any("Excessive depth" in entry.message for entry in parser.error_log):
        # libxml2 stops at 256 levels and forgets what stands deeper.
        return Page(strip_tags(source), (), "the HTML is nested too deeply to be laid out")
    links = _anchors(root)
    if "quote" in source or "cite" in source:
        for element in root.iter("blockquote", "div"):
            if _is_quotation(element):
                _mark(element)
    text = _with_marks(Inscriptis(root, _CONFIG).get_text())
    return Page(text if text.strip(" \n*") else _described(root), links)


def _described(root: Any) -> str:
    """What a page of nothing but pictures says to a reader whose client does not load them."""
    said = [image.get("alt") or image.get("title") or "" for image in islice(root.iter("img"), 200)]
    return "\n".join(" ".join(words.split())[:500] for words in said if words.strip())


def _mended(source: str) -> str:
    """Without what makes libxml2 lose text: it drops all that follows the document's end tags
    (mailing lists append their footer there) or an unclosed comment."""
    source = _DECLARATION.sub("", _END.sub("", source), count=1)
    unclosed = source.find("<!--", source.rfind("-->") + 1)
    if unclosed < 0:
        return source
    return source[:unclosed] + source[unclosed:].replace("<!--", "")


def _anchors(root: Any) -> tuple[Link, ...]:
    found: dict[Link, None] = {}
    for anchor in islice(root.iter("a", "area"), 5 * _MAX_LINKS):
        url = (anchor.get("href") or "").strip()[:_MAX_URL]
        if url and not url.startswith("#"):
            text = " ".join(" ".join(islice(anchor.itertext(), 50)).split())
            found[Link(url, text[:300])] = None
    return tuple(islice(found, _MAX_LINKS))


def _is_quotation(element: Any) -> bool:
    if element.tag == "blockquote" and (element.get("type") or "").lower() == "cite":
        return True
    return _QUOTE_CLASSES.search(element.get("class") or "") is not None


def _mark(element: Any) -> None:
    """Put the edge marks inside, on lines of their own."""
    opening, closing = element.makeelement("div"), element.makeelement("div")
    opening.text, closing.text = _OPEN, _CLOSE
    opening.tail, element.text = element.text, None
    element.insert(0, opening)
    element.append(closing)


def _with_marks(text: str) -> str:
    if _OPEN not in text:
        return text
    lines, depth = [], 0
    for line in text.split("\n"):
        depth += line.count(_OPEN) - line.count(_CLOSE)
        bare = line.replace(_OPEN, "").replace(_CLOSE, "")
        if bare == line or bare.strip():
            lines.append("> " * min(depth, 5) + bare if depth > 0 else bare)
    return "\n".join(lines)


def strip_tags(source: str) -> str:
    """The text of an HTML source without layout: tags, comments, scripts and styles removed."""
    for opening, closing in (("<!--", "-->"), ("<script", "</script"), ("<style", "</style")):
        source = _without(source, opening, closing)
    text = html.unescape(_TAG.sub(" ", _BREAK.sub("\n", source)))
    return "\n".join(filter(None, (" ".join(line.split()) for line in text.split("\n"))))


def _without(source: str, opening: str, closing: str) -> str:
    lowered = source.lower()
    if len(lowered) != len(source):  # a few capitals have longer small letters
        lowered = source
    kept, done = [], 0
    while (start := lowered.find(opening, done)) >= 0:
        kept.append(source[done:start])
        end = lowered.find(closing, start)
        if end < 0:
            # Unclosed: a browser would hide the rest, but losing a body is worse than noise.
            done = source.find(">", start) + 1 or start + len(opening)
            break
        done = source.find(">", end) + 1 or end + len(closing)
    return "".join([*kept, source[done:]])


def bare_urls(text: str) -> tuple[Link, ...]:
    """The URLs written out in a text."""
    found: dict[Link, None] = {}
    for match in islice(_BARE_URL.finditer(text), 5 * _MAX_LINKS):
        found[Link(match[0].rstrip(".,;:!?)>*"))] = None
    return tuple(islice(found, _MAX_LINKS))
