"""The sales manoeuvres in a mail, each with the words it was recognised by.

The phrases stand in `tactics/<language>.toml`; nothing but the list of names below is code.
`find(message)` looks at the subject and the sender's own text, one pass over the first `CAP`
characters, and never raises. A broken phrase file raises `TacticsError`, which names the place.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from classifier.message import Message
from classifier.text import CAP
from classifier.verdict import Tactic

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
)
PHRASES = Path(__file__).parent / "tactics"
QUOTE = 120
GAP = 5
"""Words that `...` in a phrase may stand for, at most."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_REPLY = re.compile(r"\s*re\s?:", re.IGNORECASE)
_SENTENCE_END = re.compile(r"[.!?\n]")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")


class TacticsError(Exception):
    """A phrase file that cannot be used: names the file, the entry and what is wrong."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A tactic's phrase: for each place the words that fit there; None is a gap."""

    tactic: str
    places: tuple[frozenset[str] | None, ...]


class _Word(NamedTuple):
    text: str
    start: int
    end: int


def find(message: Message) -> tuple[Tactic, ...]:
    """Each tactic at most once, in the order in which they appear in the mail."""
    subject, own = message.subject[:1000], message.own_text[:CAP]
    found = dict(_in_text(subject)) if not _answers(message) else {}
    if _fakes_thread(message):
        found = {"fake-thread": _clean(subject)} | found
    for name, quote in _in_text(own):
        found.setdefault(name, quote)
    return tuple(Tactic(name, quote) for name, quote in found.items())


def _answers(message: Message) -> bool:
    """Whether the mail stands in a thread: its subject may then be the recipient's own words."""
    return bool(message.references or message.in_reply_to)


def _fakes_thread(message: Message) -> bool:
    return bool(_REPLY.match(message.subject)) and not _answers(message)


def _in_text(text: str) -> Iterator[tuple[str, str]]:
    folded = text.replace("’", "'")
    words = [_Word(m[0].lower(), m.start(), m.end()) for m in _WORD.finditer(folded)]
    phrases, seen = _by_first_word(), set()
    for at, word in enumerate(words):
        for phrase in phrases.get(word.text, ()):
            end = None if phrase.tactic in seen else _match(phrase.places, words, at)
            if end is not None:
                seen.add(phrase.tactic)
                yield phrase.tactic, _quote(text, word.start, words[end].end)


def _match(places: tuple[frozenset[str] | None, ...], words: list[_Word], at: int) -> int | None:
    """The index of the last word when the phrase stands at `at`. Takes the first word after a
    gap that fits and never goes back, so the cost is bounded by the phrase's length."""
    reach, last = 0, len(words)
    for place in places:
        if place is None:
            reach = GAP
            continue
        stop = min(at + 1 + reach, last)
        while at < stop and place and words[at].text not in place:
            at += 1
        if at >= stop:
            return None
        at, reach = at + 1, 0
    return at - 1


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


@cache
def _by_first_word() -> dict[str, tuple[Phrase, ...]]:
    table: dict[str, list[Phrase]] = {}
    for path in sorted(PHRASES.glob("*.toml")):
        for phrase in parse(path.read_text("utf-8"), path.name):
            for word in sorted(phrase.places[0] or ()):
                table.setdefault(word, []).append(phrase)
    return {word: tuple(phrases) for word, phrases in table.items()}


def parse(content: str, name: str) -> tuple[Phrase, ...]:
    """The phrases of one file's content; `name` is used in errors. Raises TacticsError."""
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise TacticsError(f"{name}: no valid TOML: {error}") from None
    return tuple(
        Phrase(tactic, _places(written, f"{name}: [{tactic}]"))
        for tactic, table in data.items()
        for written in _written(name, tactic, table)
    )


def _written(name: str, tactic: str, table: Any) -> Iterable[str]:
    if tactic not in NAMES:
        raise TacticsError(f"{name}: [{tactic}] is no tactic; the names are {', '.join(NAMES)}")
    phrases = table.get("phrases") if isinstance(table, dict) else None
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise TacticsError(f'{name}: [{tactic}] needs phrases = ["…", …]')
    return phrases


def _places(written: str, where: str) -> tuple[frozenset[str] | None, ...]:
    places = tuple(_place(part) for part in written.lower().replace("’", "'").split())
    if not places or not places[0] or places[-1] is None:
        raise TacticsError(f'{where} "{written}": a phrase begins and ends with a word')
    for place in places:
        if place and not all(_WORD.fullmatch(word) for word in place):
            raise TacticsError(f'{where} "{written}": only letters, digits and apostrophes')
    return places


def _place(part: str) -> frozenset[str] | None:
    if part == "...":
        return None
    return frozenset() if part == "*" else frozenset(part.split("|"))
