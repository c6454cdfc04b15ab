"""Which lines of a mail somebody else wrote.

Knows `>` marks, the attribution lines mail clients put above a quotation ("On … wrote:"), the
separators above an original or a forwarded message, and the header blocks Outlook writes, in
English, German, French, Spanish, Dutch, Italian, Portuguese and Polish.

Every test looks at a bounded piece of a bounded number of lines, so the time is linear in the
number of lines. Raises nothing.
"""

from __future__ import annotations

import re

_LOOK = 400  # characters of a line that a test looks at; marks stand at the front
_WRAP = 3  # lines an attribution may be wrapped over

# Initials before the mark ("JD> text") are the supercite habit.
_MARK = re.compile(r"[ \t]{0,4}[A-Z]{0,3}>")

_ODD_MARK = re.compile(r"[-=]{0,2}[\]|#:}%]")

_RULE = re.compile(r"[ \t]{0,8}[-_=]{2,40}[ \t]*([^-_=]{5,60}?)[ \t]*[-_=]{2,40}[ \t]*")

_SEPARATORS = frozenset(
    words.strip()
    for words in """original message|original email|forwarded message|forwarded by
    ursprüngliche nachricht|originalnachricht|weitergeleitete nachricht
    message d'origine|message original|message transféré|message réexpédié
    mensaje original|mensaje reenviado|oorspronkelijk bericht|doorgestuurd bericht
    messaggio originale|messaggio inoltrato|mensagem original|mensagem encaminhada
    mensagem reencaminhada|oryginalna wiadomość|wiadomość oryginalna|wiadomość przekazana
    treść przekazanej wiadomości|przekazana wiadomość""".replace("\n", "|").split("|")
)

_BEGINNINGS = (
    "begin forwarded message:",
    "anfang der weitergeleiteten nachricht:",
    "début du message réexpédié",
    "début du message transféré",
    "inicio del mensaje reenviado:",
    "begin doorgestuurd bericht:",
    "inizio messaggio inoltrato:",
    "início da mensagem encaminhada:",
    "início da mensagem reencaminhada:",
    "początek przekazywanej wiadomości:",
)

# (opening words, verbs): a line such as "On 3 May 2024 at 10:02, Ann <a@x> wrote:".
_OPENERS = ("on ", "am ", "le ", "el ", "op ", "il ", "em ", "w dniu ", "dnia ", "at ", "in ")
_VERBS = re.compile(
    r"\b(?:wrote|writes|schrieb|a écrit|escribió|schreef|ha scritto|escreveu|napisał(?:\(a\)|a)?"
    r"|pisze)\b"
)
# What tells a client's attribution from a sentence: a year, a clock time or an address.
_STAMP = re.compile(r"\b(?:19|20)\d\d\b|\b\d{1,2}[:.]\d\d\b|@")

_FROM = frozenset(("from", "von", "de", "van", "da", "od"))
_FIELDS = frozenset(
    field.strip()
    for field in """sent|date|to|cc|subject|reply-to|gesendet|datum|an|betreff|envoyé|envoyé le|à
    objet|copie à|enviado|enviado el|fecha|para|asunto|verzonden|aan|onderwerp|inviato|data|a
    oggetto|enviada|assunto|wysłano|data wysłania|do|temat""".replace("\n", "|").split("|")
)
_SUBJECT = frozenset(
    ("subject", "betreff", "objet", "asunto", "onderwerp", "oggetto", "assunto", "temat")
)
_ANY_FIELD = _FROM | _FIELDS


def quoted_lines(lines: list[str]) -> list[bool]:
    """For each line, whether it is quoted or introduces a quotation."""
    marked = [is_marked(line) for line in lines]
    _spare_mbox_escapes(lines, marked)
    quoted = list(marked)
    for i, line in enumerate(lines):
        if marked[i] or not line.strip():
            continue
        if _opens_original(lines, i):
            below = _past_fields(lines, i)
            if below == len(lines) or not marked[below]:
                return _to_the_end(quoted, _before_rule(lines, i))
            quoted[i:below] = [True] * (below - i)
            continue
        span = _attribution(lines, marked, i)
        if not span:
            continue
        following = _next_filled(lines, i + span)
        _mark_oddly(lines, following, marked, quoted)
        if following < len(lines) and marked[following]:
            quoted[i:following] = [True] * (following - i)
        elif _is_strong(lines, i, span) and following < len(lines):
            # Clients that quote by indentation leave no mark in plain text: the rest is theirs.
            return _to_the_end(quoted, i)
    return quoted


def is_marked(line: str) -> bool:
    """Whether the line carries a quote mark at its front."""
    return _MARK.match(line[:_LOOK]) is not None


def _mark_oddly(lines: list[str], start: int, marked: list[bool], quoted: list[bool]) -> None:
    """Take the writer's own kind of quote mark ("| ", "# ", "--]") for one from here on, when the
    first two lines below an attribution share it."""
    odd = _ODD_MARK.match(lines[start][:_LOOK]) if start < len(lines) else None
    # Marked already: this mark was taken before. Going over all lines again for each attribution
    # would cost the square of their number.
    if not odd or marked[start] or start + 1 == len(lines):
        return
    if not lines[start + 1].startswith(odd[0]):
        return
    for i in range(start, len(lines)):
        if lines[i].startswith(odd[0]):
            marked[i] = quoted[i] = True


def _spare_mbox_escapes(lines: list[str], marked: list[bool]) -> None:
    """`>From ` on a line of its own is an mbox escape of the writer's own sentence."""
    for i, line in enumerate(lines):
        if line.startswith(">From ") and not any(marked[max(0, i - 1) : i] + marked[i + 1 : i + 2]):
            marked[i] = False


def _to_the_end(quoted: list[bool], start: int) -> list[bool]:
    return quoted[:start] + [True] * (len(quoted) - start)


def _next_filled(lines: list[str], start: int) -> int:
    while start < len(lines) and not lines[start].strip():
        start += 1
    return start


def _past_fields(lines: list[str], i: int) -> int:
    """The first filled line below a separator that is no header field of the original."""
    below = _next_filled(lines, i + 1)
    while below < min(len(lines), i + 12) and _label(lines[below]) in _ANY_FIELD:
        below = _next_filled(lines, below + 1)
    return below


def _before_rule(lines: list[str], i: int) -> int:
    """Take in the line of underscores that Outlook draws above its header block."""
    above = i - 1
    while above >= 0 and not lines[above].strip():
        above -= 1
    if above >= 0 and len(lines[above].strip()) >= 10 and not lines[above].strip(" \t_-"):
        return above
    return i


def _opens_original(lines: list[str], i: int) -> bool:
    line = lines[i][:_LOOK].strip()
    if line[:2] in ("--", "__", "=="):
        rule = _RULE.fullmatch(line)
        words = rule[1].casefold() if rule else ""
        return words in _SEPARATORS or words.startswith("forwarded by ")
    return line.casefold().startswith(_BEGINNINGS) or _is_header_block(lines, i)


def _is_header_block(lines: list[str], i: int) -> bool:
    """ "From: … Sent: … To: … Subject: …", one field a line, maybe in bold."""
    if _label(lines[i]) not in _FROM:
        return False
    block = [line[:_LOOK] for line in lines[i : i + 8]]
    found = {label for line in block[1:] if (label := _label(line)) in _FIELDS}
    # A travel request has "From: London, To: Berlin, Date: 3 May" as well.
    return len(found) >= 2 and (any("@" in line for line in block) or bool(found & _SUBJECT))


def _label(line: str) -> str:
    label, colon, _ = line[:40].partition(":")
    return label.strip(" \t*\u00a0").casefold() if colon else ""


def _joined(lines: list[str], i: int, span: int) -> str:
    return " ".join(line[:_LOOK].strip() for line in lines[i : i + span])


def _attribution(lines: list[str], marked: list[bool], i: int) -> int:
    """How many lines from here make an attribution; 0 when none does."""
    opener = lines[i].lstrip()[:8].casefold().startswith(_OPENERS)
    for span in range(1, _WRAP + 1 if opener else 2):
        end = i + span - 1
        if end >= len(lines) or marked[end] or not lines[end].strip():
            return 0
        if lines[end][:_LOOK].rstrip("\u00a0 \t>").endswith((":", "\uff1a")):
            return span if _VERBS.search(_joined(lines, i, span).casefold()) else 0
    return 0


def _is_strong(lines: list[str], i: int, span: int) -> bool:
    joined = _joined(lines, i, span)
    return joined.casefold().startswith(_OPENERS) and _STAMP.search(joined) is not None
