"""Phrases, and where they stand in a text.

`classifier.phrase_files` reads them. `search(words, table)` costs one look-up for each word
and at most `TRIES` comparisons, whatever the text; a comparison costs no more than its phrase is
long. Never raises.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from unicodedata import normalize

TRIES = 4000
STEM = 4
"""Letters that a word with `*` at its end has at least."""
ASKED = 40
"""Words after a phrase within which its sentence ends."""
RARE = 200
"""How many phrases a word must be in to be as bad to look up as a common word."""

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
TOKEN = re.compile(
    r"\w+(?:'\w+)*|[!?…](?=\s|\Z)|(?<!\d)\.(?=\s|\Z)|\n(?=[^\S\n]*\n)",
)
"""A word, or what ends a sentence: a full stop after a number rarely does."""

_ENDS = frozenset("!?….\n")
_ELIDED = frozenset("cdjlmnst") | {"qu", "lorsqu", "un", "dell", "nell", "dall", "all"}
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_PLAIN = {
    chr(code): base
    for code in range(0xC0, 0x250)
    if (base := normalize("NFD", chr(code))[0]).isascii()
} | {"ł": "l", "ø": "o", "’": "'"}


@dataclass(frozen=True, slots=True)
class Place:
    """What may stand at one place of a phrase, after up to `reach` other words."""

    words: frozenset[str] = frozenset()
    stems: tuple[str, ...] = ()
    number: bool = False
    anything: bool = False
    reach: int = 0

    @property
    def is_named(self) -> bool:
        """Whether it can be looked up."""
        return not (self.number or self.anything)

    def fits(self, word: str) -> bool:
        if word in self.words or self.anything:
            return True
        if self.stems and word.startswith(self.stems):
            return True
        return self.number and word[0].isdigit()


@dataclass(frozen=True, slots=True)
class Phrase:
    """A tactic's phrase. `anchor` is the place that is looked up, see `table`."""

    tactic: str
    places: tuple[Place, ...]
    first: bool = False  # at the beginning of a sentence only
    asked: bool = False  # in a question only
    in_pitch: bool = False  # counts only in a mail that is judged a pitch
    unless: frozenset[str] = frozenset()  # words that the sentence must not hold
    anchor: int = 0
    before: tuple[Place, ...] = ()  # the places before the anchor, from there backwards
    after: tuple[Place, ...] = ()


class Found(NamedTuple):
    """Where a phrase stands: the index of its first and of its last word."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Table:
    """Phrases by the words of their anchors, and by the first letters of its stems."""

    words: dict[str, tuple[Phrase, ...]]
    stems: dict[str, tuple[Phrase, ...]]


def fold(text: str) -> str:
    """In lower case, without accents, and with straight apostrophes: as long as before, character
    by character."""
    lower = text.lower()
    if len(lower) != len(text):  # a few letters have a lower case of two characters
        lower = "".join(c.lower() if len(c.lower()) == 1 else c for c in text)
    return _NOT_ASCII.sub(lambda found: _PLAIN.get(found[0], found[0]), lower)


def tokens(folded: str) -> list[str]:
    """The words and sentence ends of a folded text: one for each match of TOKEN."""
    found: list[str] = TOKEN.findall(folded)
    return [full(word) if "'" in word else word for word in found]


def full(word: str) -> str:
    """A word without what French and Italian put before it: audit for l'audit."""
    start, _, rest = word.partition("'")
    return rest if rest and start in _ELIDED else word


def search(words: Sequence[str], table: Table) -> dict[str, Found]:
    """For each tactic the first of its phrases that stands."""
    done: dict[str, Found] = {}
    met, left = _met(frozenset(words), table), TRIES
    for at, word in enumerate(words):
        if word not in met:
            continue
        for phrase in met[word]:
            if phrase.tactic in done:
                continue
            left -= 1
            if left < 0:
                return done
            found = _stands(phrase, words, at)
            if found:
                done[phrase.tactic] = found
    return done


def _met(words: frozenset[str], table: Table) -> dict[str, tuple[Phrase, ...]]:
    """By each of the words the phrases whose anchor it is."""
    met = {word: table.words[word] for word in words & table.words.keys()}
    for word in words:
        if word[:STEM] in table.stems:
            stemmed = table.stems[word[:STEM]]
            fitting = [p for p in stemmed if word.startswith(p.places[p.anchor].stems)]
            met[word] = (*met.get(word, ()), *fitting)
    return met


def _stands(phrase: Phrase, words: Sequence[str], at: int) -> Found | None:
    last = _walk(phrase.after, words, at, 1)
    first = _walk(phrase.before, words, at, -1) if last is not None else None
    if first is None or last is None:
        return None
    if phrase.first and first and words[first - 1] not in _ENDS:
        return None
    if phrase.asked and not _is_asked(words, last):
        return None
    if phrase.unless and not phrase.unless.isdisjoint(_sentence(words, first, last)):
        return None
    return Found(first, last)


def _walk(places: tuple[Place, ...], words: Sequence[str], at: int, step: int) -> int | None:
    """The index of the word at the last of the places, reached from `at`. Takes the first word
    that fits and never goes back, so the cost is bounded by the phrase's length."""
    end = len(words)
    for place in places:
        for _ in range(place.reach + 1):
            at += step
            if not 0 <= at < end or words[at] in _ENDS:
                return None
            if words[at] in place.words or place.fits(words[at]):
                break
        else:
            return None
    return at


def _is_asked(words: Sequence[str], last: int) -> bool:
    return next((word for word in words[last + 1 : last + ASKED] if word in _ENDS), "") == "?"


def _sentence(words: Sequence[str], first: int, last: int) -> Iterator[str]:
    """The words of the sentence, at most `ASKED` on either side."""
    yield from words[first : last + 1]
    for side in (reversed(words[max(0, first - ASKED) : first]), words[last + 1 : last + ASKED]):
        for word in side:
            if word in _ENDS:
                break
            yield word


def table(phrases: Sequence[Phrase], common: frozenset[str] = frozenset()) -> Table:
    """The phrases, each to be found by the place whose words are the rarest: none of the `common`
    ones of the language, if possible, and none of those that many phrases have."""
    counts = Counter(word for phrase in phrases for p in phrase.places for word in p.words)
    counts.update(dict.fromkeys(common, RARE))
    words: dict[str, list[Phrase]] = {}
    stems: dict[str, list[Phrase]] = {}
    for phrase in phrases:
        ready = _anchored(phrase, counts)
        place = ready.places[ready.anchor]
        for word in sorted(place.words):
            words.setdefault(word, []).append(ready)
        for stem in sorted({stem[:STEM] for stem in place.stems}):
            stems.setdefault(stem, []).append(ready)
    return Table(
        {word: tuple(found) for word, found in words.items()},
        {stem: tuple(found) for stem, found in stems.items()},
    )


def _anchored(phrase: Phrase, counts: Counter[str]) -> Phrase:
    def commonness(at: int) -> int:
        place = phrase.places[at]
        return sum(counts[word] for word in place.words) + 5 * len(place.stems)

    can_be = [at for at, place in enumerate(phrase.places) if place.is_named]
    at = min(can_be, key=commonness)
    # A gap belongs to the place after it; seen backwards, to the place before it.
    reaches = [place.reach for place in phrase.places]
    before = [replace(phrase.places[n], reach=reaches[n + 1]) for n in range(at)]
    return replace(phrase, anchor=at, before=tuple(reversed(before)), after=phrase.places[at + 1 :])
