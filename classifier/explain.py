"""Why the model said so: the mail's words that moved the score most, in log-odds.

With p the pitch probability, the score's log-odds change by `weight · (pitch − mean of the other
labels' coefficients, weighted by what is left of the probability)` for each term: the exact
gradient, not an estimate. Only words and word pairs are named, and none of stop words alone:
character n-grams and "we" are no reasons anyone can read.
"""

from __future__ import annotations

import re
from typing import Any

from classifier.text import PLACEHOLDERS
from classifier.verdict import LABELS, Term

UP, DOWN = 8, 4
"""How many terms are named that speak for a pitch, and against one."""
FLOOR = 0.02
"""Log-odds below which a term is not worth naming."""


def terms(
    row: Any, coefficients: Any, probabilities: Any, words: list[str], text: str
) -> tuple[Term, ...]:
    """The strongest terms for a pitch, then the strongest against. `row` is the mail's one-row
    feature matrix, word features first; `words` names those."""
    weights = _gradient(coefficients, probabilities, row.indices) * row.data
    named = [
        (float(weight), words[at])
        for weight, at in zip(weights, row.indices, strict=True)
        if at < len(words) and abs(weight) >= FLOOR and _says_something(words[at])
    ]
    # Ties are broken by the word, so that the same mail is always explained in the same order.
    named.sort(key=lambda pair: (-pair[0], pair[1]))
    up = _distinct([pair for pair in named if pair[0] > 0], UP)
    down = _distinct([pair for pair in reversed(named) if pair[0] < 0], DOWN)
    return tuple(Term(_spelled(word, text), round(weight, 3)) for weight, word in (*up, *down))


def _gradient(coefficients: Any, probabilities: Any, columns: Any) -> Any:
    pitch = LABELS.index("pitch")
    others = [at for at in range(len(LABELS)) if at != pitch]
    rest = probabilities[others] / max(float(probabilities[others].sum()), 1e-9)
    chosen = coefficients[:, columns]
    return chosen[pitch] - rest @ chosen[others]


def _says_something(term: str) -> bool:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return not all(word in ENGLISH_STOP_WORDS or len(word) < 3 for word in term.split())


def _distinct(ranked: list[tuple[float, str]], count: int) -> list[tuple[float, str]]:
    """The first `count`, without a pair whose word is named already, or a word of a named pair."""
    kept: list[tuple[float, str]] = []
    seen: set[str] = set()
    for weight, word in ranked:
        parts = set(word.split())
        if not parts & seen:
            kept.append((weight, word))
            seen |= parts
        if len(kept) == count:
            break
    return kept


def _spelled(word: str, text: str) -> str:
    """The term as the mail spells it, where it stands there in one piece."""
    match = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
    shown = match[0] if match else word
    return " ".join(PLACEHOLDERS.get(part.lower(), part) for part in shown.split())
