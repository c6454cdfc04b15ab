"""Which lines of a writer's own text are a signature.

Knows the `-- ` line (RFC 3676 §4.3), mailing list footers, "Sent from my …" lines, a sign-off
with a name below it, and a contact card at the end, in eight languages. Cautious: what may be a
sentence stays text, and a "signature" longer than one plausibly is stays text too, so that
nothing is hidden by putting it below a dash line. Linear in the number of lines; raises nothing.
"""

from __future__ import annotations

import re

_LOOK = 200  # characters of a line that a test looks at
_MAX_LINES = 20  # filled lines
_MAX_CHARS = 2000
_CARD_LINE = 70  # characters; longer lines are sentences

_FOOTER_RULE = re.compile(r"[ \t]{0,4}[_=*-]{10,}[ \t]*")
_FOOTER_WORDS = re.compile(
    r"listinfo|mailing[ -]?list|mailman|/lists?/|unsubscribe|lists\.", re.IGNORECASE
)

_DEVICES = (
    "sent from my ",
    "sent from mail for windows",
    "get outlook for ",
    "von meinem iphone gesendet",
    "von meinem ipad gesendet",
    "gesendet mit der ",
    "envoyé de mon ",
    "envoyé depuis mon ",
    "enviado desde mi ",
    "verzonden vanaf mijn ",
    "verstuurd vanaf mijn ",
    "inviato da iphone",
    "inviato dal mio ",
    "enviado do meu ",
    "wysłane z iphone",
    "wysłane z mojego ",
)

_SIGN_OFFS = frozenset(
    phrase.strip()
    for phrase in """best|best regards|kind regards|warm regards|warmest regards|regards|many thanks
    best wishes|all the best|sincerely|yours sincerely|sincerely yours|yours truly|yours faithfully
    cheers|thanks|thank you|thanks again|thank you in advance|thanks in advance|cordially
    respectfully|with best regards|with kind regards|with regards|thanks and regards
    thanks & regards|take care|warmly|talk soon|looking forward|rgds|brgds|br|kr|to your success
    mit freundlichen grüßen|mit freundlichem gruß|mit freundlichen grüssen|freundliche grüße
    viele grüße|beste grüße|liebe grüße|herzliche grüße|schöne grüße|mfg|vg|lg|grüße|gruß|danke
    cordialement|bien cordialement|bien à vous|sincères salutations|salutations|amicalement|merci
    saludos|un saludo|saludos cordiales|atentamente|un cordial saludo|cordialmente|gracias
    met vriendelijke groet|met vriendelijke groeten|vriendelijke groet|groeten|mvg|hartelijke groet
    cordiali saluti|distinti saluti|saluti|un saluto|grazie
    atenciosamente|cumprimentos|com os melhores cumprimentos|abraços|obrigado|obrigada|att
    pozdrawiam|z poważaniem|z wyrazami szacunku|pozdrowienia|dziękuję""".replace("\n", "|").split(
        "|"
    )
)

_CONTACT = re.compile(
    r"\+?\(?\d[\d ()./-]{6,20}\d|[\w.+-]{1,64}@[\w-]{1,63}\.|https?://|www\.|linkedin"
    r"|\b(?:tel|phone|mobile|mob|fax|office|cell|handy|telefon|móvil|gsm)\b\.?:?",
    re.IGNORECASE,
)
_POSTSCRIPT = re.compile(r"[ \t]{0,4}(?:p\.?[ ]?s\b|n\.?b\b)", re.IGNORECASE)
_NAME = re.compile(r"[^\W\d_][^\d@:/?!]{0,48}")


def signature_start(lines: list[str]) -> int:
    """Where the trailing signature of this run of lines begins; `len(lines)` when it has none."""
    end = _footer(lines)
    return min(end, _delimiter(lines, end))


def signature_lines(lines: list[str]) -> list[bool]:
    """For each line of a run of own text, whether it belongs to a signature."""
    end = signature_start(lines)
    marks = [i >= end for i in range(len(lines))]
    end = _strip_devices(lines, marks, end)
    first, last = _sign_off(lines, end)
    if first == last:
        first, last = _card(lines, end), end
    marks[first:last] = [True] * (last - first)
    return marks


def _footer(lines: list[str]) -> int:
    """A rule with list talk below it, near the end, is the list's own footer."""
    for i in range(max(0, len(lines) - _MAX_LINES), len(lines)):
        if _FOOTER_RULE.fullmatch(lines[i][:_LOOK]) and any(
            _FOOTER_WORDS.search(line[:_LOOK]) for line in lines[i + 1 : i + 7]
        ):
            return i
    return len(lines)


def _delimiter(lines: list[str], end: int) -> int:
    """The earliest `--` line below which no more stands than a signature holds."""
    found, filled, chars = end, 0, 0
    for i in range(end - 1, -1, -1):
        bare = lines[i].strip()
        if bare == "--":
            found = i
        filled, chars = filled + bool(bare), chars + len(bare)
        if filled > _MAX_LINES or chars > _MAX_CHARS:
            break
    return found


def _strip_devices(lines: list[str], marks: list[bool], end: int) -> int:
    """Mark "Sent from my …" lines at the end; gives where the filled lines above them end."""
    found = False
    while end and (not lines[end - 1].strip() or _is_device(lines[end - 1])):
        end -= 1
        found = found or bool(lines[end].strip())
        marks[end] = marks[end] or found
    return end


def _is_device(line: str) -> bool:
    return len(line) < _LOOK and line.strip(" \t*_").casefold().startswith(_DEVICES)


def _sign_off(lines: list[str], end: int) -> tuple[int, int]:
    """The span from a sign-off over the name and card below it; empty when there is none."""
    for i in range(end - 1, max(-1, end - 1 - 2 * _MAX_LINES), -1):
        if lines[i][:_LOOK].strip(" \t,.!–—-").casefold() not in _SIGN_OFFS:
            continue
        name = next((k for k in range(i + 1, min(end, i + 4)) if lines[k].strip()), end)
        if name == end or not _is_name(lines[name]):
            continue
        return i, _card_end(lines, name + 1, end)
    return end, end


def _is_name(line: str) -> bool:
    bare = line[:_LOOK].strip(" \t*-–—")
    return len(bare.split()) <= 6 and _NAME.fullmatch(bare) is not None


def _card_end(lines: list[str], start: int, end: int) -> int:
    """The first line that is no contact card any more: a postscript or a sentence."""
    filled = 0
    for i in range(start, end):
        bare = lines[i].strip()
        filled += bool(bare)
        if _POSTSCRIPT.match(bare[:_LOOK]) or _is_sentence(bare) or filled > _MAX_LINES:
            return i
    return end


def _is_sentence(line: str) -> bool:
    if _CONTACT.search(line[:_LOOK]) and len(line) <= _LOOK:
        return False
    words = len(line.split())
    return len(line) > _CARD_LINE or (words > 5 and line.endswith((".", "!", "?", ":")))


def _card(lines: list[str], end: int) -> int:
    """Where a last paragraph of short lines with at least two ways to make contact begins."""
    start = end
    while start and lines[start - 1].strip():
        start -= 1
    card = lines[start:end]
    if not any(line.strip() for line in lines[:start]) or not 2 <= len(card) <= 10:
        return end
    contacts = sum(_CONTACT.search(line[:_LOOK]) is not None for line in card)
    if contacts < 2 or not _is_name(card[0]) or any(_is_sentence(line.strip()) for line in card):
        return end
    return start
