"""The phrase files `tactics/<language>.toml`; the head of `en.toml` says how they are written.

`read(content, file, names)` gives what one file holds, and raises PhraseError, which names the
file, the entry and what is wanted there.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from classifier.phrases import STEM, WORD, Phrase, Place, fold, full

GAP = 5
"""Words that `...` in a phrase may stand for, at most."""
COMMON = "common"


class PhraseError(Exception):
    """A phrase file that cannot be used: names the file, the entry and what is wrong."""


@dataclass(frozen=True, slots=True)
class Language:
    """One file: its phrases, and the words by which a mail in this language is known."""

    phrases: tuple[Phrase, ...]
    common: frozenset[str] = frozenset()


def read(content: str, file: str, names: Iterable[str]) -> Language:
    """What one file's content says; its tactics are among `names`. Raises PhraseError."""
    try:
        data = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise PhraseError(f"{file}: no valid TOML: {error}") from None
    lists = _lists(data.pop("lists", {}), file)
    found: list[Phrase] = []
    for tactic, entry in data.items():
        if tactic not in names:
            known = ", ".join(names)
            raise PhraseError(f"{file}: [{tactic}] is no tactic; the names are {known}")
        for key, written in _written(entry, f"{file}: [{tactic}]"):
            where = f'{file}: [{tactic}] "{written}"'
            found.append(_phrase(tactic, fold(written), key == "in_pitch", lists, where))
    return Language(tuple(found), frozenset(lists.get(COMMON, ())))


def _lists(entry: Any, file: str) -> dict[str, list[str]]:
    if not isinstance(entry, dict):
        raise PhraseError(f'{file}: [lists] needs lines such as day = "monday|tuesday"')
    lists: dict[str, list[str]] = {}
    for name, words in entry.items():
        if not isinstance(words, str) or not words.split():
            raise PhraseError(f'{file}: [lists] {name} needs words: {name} = "one|other"')
        lists[name] = fold("|".join(words.split())).split("|")
    return lists


def _written(entry: Any, where: str) -> Iterator[tuple[str, str]]:
    """(key, phrase) for each phrase of a tactic."""
    lists = entry if isinstance(entry, dict) else {"": entry}
    for key, phrases in lists.items():
        known = key in ("phrases", "in_pitch") and isinstance(phrases, list)
        if not known or not all(isinstance(phrase, str) for phrase in phrases):
            raise PhraseError(f'{where} needs phrases = ["…", …], in_pitch = ["…", …] or both')
        yield from ((key, phrase) for phrase in phrases)


def _phrase(
    tactic: str, written: str, in_pitch: bool, lists: dict[str, list[str]], where: str
) -> Phrase:
    parts = written.split()
    unless = frozenset(chain(*(part[1:].split("|") for part in parts if part.startswith("!"))))
    _check(unless, where)
    parts = [part for part in parts if not part.startswith("!")]
    first, asked = parts[:1] == ["^"], parts[-1:] == ["?"]
    places = tuple(_places(parts[first : len(parts) - asked], lists, where))
    if not any(place.is_named for place in places):
        raise PhraseError(f"{where}: at least one place needs words without * and #")
    return Phrase(tactic, places, first, asked, in_pitch, unless)


def _places(parts: list[str], lists: dict[str, list[str]], where: str) -> Iterator[Place]:
    if not parts or "..." in (parts[0], parts[-1]) or "*" in (parts[0], parts[-1]):
        raise PhraseError(f"{where}: a phrase begins and ends with a word")
    reach = 0
    for part in parts:
        if part == "...":
            reach = GAP
            continue
        yield _place(part, reach, lists, where)
        reach = 0


def _place(part: str, reach: int, lists: dict[str, list[str]], where: str) -> Place:
    if part == "*":
        return Place(anything=True, reach=reach)
    options = [full(word) for option in part.split("|") for word in _named(option, lists, where)]
    stems = tuple(word[:-1] for word in options if word.endswith("*"))
    words = frozenset(word for word in options if word != "#" and not word.endswith("*"))
    _check((*words, *stems), where)
    if any(len(stem) < STEM for stem in stems):
        raise PhraseError(f"{where}: a word that ends in * has at least {STEM} letters before it")
    return Place(words, stems, number="#" in options, reach=reach)


def _check(words: Iterable[str], where: str) -> None:
    for word in words:
        if not WORD.fullmatch(word):
            raise PhraseError(f"{where}: {word!r}: only letters, digits and apostrophes")


def _named(word: str, lists: dict[str, list[str]], where: str) -> list[str]:
    if not word.startswith("@"):
        return [word]
    if word[1:] not in lists:
        raise PhraseError(f"{where}: {word} is in no line of [lists]")
    return lists[word[1:]]
