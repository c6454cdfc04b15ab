"""The sales manoeuvres in a mail, each with the words it was recognised by.

The phrases stand in `tactics/<language>.toml`; a mail is searched for those of the language whose
common words it has most of. Code are only the names, the merge fields and the false `Re:`. Phrases
do not see meaning: those that customers use as well need the model to see the tactic too, and what
the model sees clearly needs no phrase.

`find(message)` looks at the subject and at the first `CAP` characters of the sender's own text and
never raises. A broken phrase file raises `TacticsError`, which names the place and the way out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from classifier import phrase_files
from classifier.message import Message
from classifier.phrase_files import Language, PhraseError
from classifier.phrases import TOKEN, Found, Table, fold, search, table, tokens
from classifier.text import CAP
from classifier.verdict import Tactic

TacticsError = PhraseError

NAMES = (
    "assumptive-close",
    "criticism-opener",
    "networking-guise",
    "fake-thread",
    "guilt-bump",
    "breakup",
    "urgency",
    "name-drop",
    "flattery",
    "false-familiarity",
    "qualifying-questions",
    "calendar-push",
    "bait-offer",
    "persistence-after-no",
    "mass-merge",
)
FOLDER = Path(__file__).parent / "tactics"
QUOTE = 120
SAID, SHOWN = 2.0, -1.5
"""What a phrase adds to the log-odds that the model gives a tactic, and from which log-odds on it
is shown. Chosen on held-out batches: about seven of ten are then what the author tagged."""
SURE = 3
"""Common words of one language that tell a mail to be in it."""

REPLY = re.compile(r"\s*(?:re|aw|antw|rv|odp|rif|sv)\s?:", re.IGNORECASE)
_FIELD = re.compile(
    r"(?:\{\{?|\[|%%?|<<?|\*\|)\s?((?:[^\W\d_][\w .-]{1,30})?"
    r"(?:nam[en]|nom|prenom|nombre|nome|naam|imie|nazwisko|company|firma?|bedrijf|empresa|azienda"
    r"|entreprise|industry|branche|sector|settore|setor|branza|city|stadt)\w{0,12})"
    r"\s?(?:\}\}?|\]|%%?|>>?|\|\*)",
    re.IGNORECASE,
)
"""A merge field that nobody filled in: {{first_name}}, [Nachname], %FIRMA%, *|NOMBRE|*."""
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|\n")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


class Seen(NamedTuple):
    """How surely the model sees a tactic: in any sentence of the mail, and in the one from `start`
    to `end`, of those whose place in the own text is known the one that shows it most."""

    anywhere: float  # log-odds, as the next
    there: float
    start: int
    end: int


class _Place(NamedTuple):
    """Where a tactic stands: in the subject (0) or in the text (1), from which character on."""

    part: int
    start: int
    quote: str


def find(
    message: Message, pitch: bool = False, seen: Mapping[str, Seen] | None = None
) -> tuple[Tactic, ...]:
    """Each tactic at most once, in the order in which they appear in the mail. `pitch` tells that
    the mail is judged one: then phrases count that a customer or a colleague writes as well, if
    the model has `seen` the tactic too, or knows nothing of it."""
    texts = _text(message.subject[:1000]), _text(message.own_text[:CAP])
    found = _said(message, texts, pitch)
    if pitch and seen:
        found = _agreed(message, found, _said(message, texts, pitch=False), seen)
    ordered = sorted(found.items(), key=itemgetter(1))
    return tuple(Tactic(name, place.quote) for name, place in ordered)


def _agreed(
    message: Message,
    said: dict[str, _Place],
    sure: dict[str, _Place],
    seen: Mapping[str, Seen],
) -> dict[str, _Place]:
    """What phrases tell and the model does not deny, and what the model sees clearly: then its
    sentence is the one to be shown. The model does not look at the subject."""
    agreed = sure | {
        name: place
        for name, place in said.items()
        if not (place.part and name in seen) or seen[name].anywhere + SAID >= SHOWN
    }
    for name, (_, there, start, end) in seen.items():
        in_subject = name in agreed and not agreed[name].part
        real = name == "fake-thread" and _is_answer(message)
        if there >= SHOWN and not in_subject and not real:
            agreed[name] = _Place(1, start, _clean(message.own_text[start:end]))
    return agreed


def _is_answer(message: Message) -> bool:
    return bool(message.references or message.in_reply_to)


class _Text(NamedTuple):
    written: str
    folded: str
    words: list[str]


def _text(written: str) -> _Text:
    folded = fold(written)
    return _Text(written, folded, tokens(folded))


def _said(message: Message, texts: tuple[_Text, _Text], pitch: bool) -> dict[str, _Place]:
    """The tactics that phrases, merge fields and the subject tell of."""
    answers = _is_answer(message)
    subject, own = texts
    spoken = _spoken(frozenset(chain(subject.words, own.words)), pitch)
    # In a thread the subject may be the recipient's own words.
    found = {} if answers else _in_text(subject, spoken)
    # Not every client keeps the thread: a `Re:` alone is no reason to suspect anybody.
    if pitch and not answers and REPLY.match(subject.written):
        found["fake-thread"] = (0, _clean(subject.written))
    placed = {name: _Place(0, *place) for name, place in found.items()}
    for name, place in _in_text(own, spoken).items():
        if not (answers and name == "fake-thread"):
            placed.setdefault(name, _Place(1, *place))
    return placed


def _in_text(text: _Text, spoken: list[Table]) -> dict[str, tuple[int, str]]:
    """Where each tactic begins in the text, and its quote."""
    field = _FIELD.search(text.folded)
    at = {"mass-merge": field.span()} if field else {}
    first: dict[str, Found] = {}
    for phrases in spoken:
        first = search(text.words, phrases) | first
    spans = _spans(text.folded, max((found.last for found in first.values()), default=-1))
    for name, found in first.items():
        at.setdefault(name, (spans[found.first][0], spans[found.last][1]))
    return {name: (span[0], _quote(text.written, *span)) for name, span in at.items()}


def _spans(folded: str, last: int) -> list[tuple[int, int]]:
    """Where the words stand, up to the last that matters."""
    return [match.span() for match in islice(TOKEN.finditer(folded), last + 1)]


def _quote(text: str, start: int, end: int) -> str:
    """The sentence around the match if it is short, otherwise the words from the match on."""
    ends = [m.end() for m in _SENTENCE_END.finditer(text, max(0, start - QUOTE), start)]
    first = ends[-1] if ends else (0 if start <= QUOTE else start)
    stop = _SENTENCE_END.search(text, end, end + QUOTE)
    last = stop.start() if stop else min(len(text), end + QUOTE)
    sentence = _clean(text[first:last])
    return sentence if len(sentence) < QUOTE else _clean(text[start:last])


def _clean(text: str) -> str:
    """One line of at most `QUOTE` characters, without control and direction characters."""
    line = " ".join(_UNSEEN.sub(" ", text).split())
    return line if len(line) <= QUOTE else line[: QUOTE - 1].rstrip() + "…"


def _spoken(words: frozenset[str], pitch: bool) -> list[Table]:
    """The phrases of the language of these words: of each of which they hold at least half as many
    common words as of any. Two share a mail now and then; a line of a few words may be in any."""
    known = [(len(common & words), phrases) for common, phrases in _languages(pitch)]
    most = max((count for count, _ in known), default=0)
    return [phrases for count, phrases in known if most < SURE or count * 2 >= most]


@cache
def _languages(pitch: bool) -> tuple[tuple[frozenset[str], Table], ...]:
    """For each file its language's common words, and the phrases of it that count."""
    found = []
    for language in _read():
        phrases = [phrase for phrase in language.phrases if pitch or not phrase.in_pitch]
        found.append((language.common, table(phrases, language.common)))
    return tuple(found)


@cache
def _read() -> tuple[Language, ...]:
    return tuple(
        parse(path.read_text("utf-8"), path.name) for path in sorted(FOLDER.glob("*.toml"))
    )


def parse(content: str, name: str) -> Language:
    """What one file's content says; `name` is used in errors. Raises TacticsError."""
    return phrase_files.read(content, name, NAMES)
