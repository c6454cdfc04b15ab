"""A normalised text taken apart into sentences.

A sentence ends at `.`, `!`, `?` or `…` before a blank, and at a line break unless the line is so
long that the break is a wrap. Abbreviations of the eight languages do not end one. Linear in the
text; a sentence is cut at `LONGEST` characters and there are `MOST` at most, so that no text
costs more than a page does. Never raises.
"""

from __future__ import annotations

import re

LONGEST = 600
MOST = 150
WRAPPED = 50
FULL = 60
"""Characters from which on a line may have been wrapped, so that its end says nothing; and from
which on it is taken to be even where the next line begins with a capital."""

_END = re.compile(r"[.!?…\n](?:(?<=\n)|(?<![.!?…]{2})[.!?…]*+[\"'»”)]{0,2}+(?=\s))")
"""Begins with a set of signs, which is found fast, and tries a run of them once only, since trying
it from each of its signs would be quadratic."""
_LAST_WORD = re.compile(r"\b(?:m\.in|[^\W\d_]{1,6})\Z", re.IGNORECASE)
_ABBREVIATIONS = frozenset(
    """
    mr mrs ms dr prof st no vs etc approx inc ltd nr bzw ca ggf inkl zzgl evtl usw str abs tel sr
    sra ud uds av art núm dott sig egr spett pag ecc mme mlle env réf dhr mevr bijv exm exmo dra np
    ul ok godz tzn wg pl sp m.in itd itp
    """.split()  # noqa: SIM905
)
"""Single letters, as the last of "e.g.", are no end either."""


def sentences(text: str) -> list[str]:
    """The sentences in their order, without blank ones."""
    found: list[str] = []
    start = 0
    for match in _END.finditer(text):
        if match[0] == "\n":
            if _is_wrap(text, match.start()):
                continue
        elif match[0] == "." and _is_abbreviated(text, start, match.start()):
            continue
        _add(found, text[start : match.end()])
        start = match.end()
        if len(found) >= MOST:
            return found
    _add(found, text[start:])
    return found


def _is_wrap(text: str, at: int) -> bool:
    """Whether the line break at `at` is there for the width of the line only."""
    length = at - text.rfind("\n", 0, at) - 1
    following = text[at + 1 : at + 2]
    if length < WRAPPED or text[at - 1] in ":;.!?":
        return False
    return following.islower() or (length >= FULL and following.isalnum())


def _is_abbreviated(text: str, start: int, end: int) -> bool:
    """Whether the last word of `text[start:end]` is one that a full stop follows anyway."""
    word = _LAST_WORD.search(text, max(start, end - 7), end)
    return word is not None and (word[0].lower() in _ABBREVIATIONS or len(word[0]) == 1)


def _add(found: list[str], sentence: str) -> None:
    bare = sentence.strip()
    if bare:
        found.append(bare[:LONGEST])
