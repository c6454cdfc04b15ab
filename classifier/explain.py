"""Why the model said so: the sentences and words that moved the score most, in log-odds.

With p the pitch probability, the score's log-odds change by `weight · (pitch − mean of the other
labels' coefficients, weighted by what is left of the probability)` for each feature: the exact
gradient of the mail as it stands. A sentence moves it by its terms, and by its acts: by how much
the summary of the mail's acts would be another without it. That a mail without the sentence would
also be shorter, and its neighbours be read otherwise, is left out: the weights rank the sentences
and do not add up. Of the words only words and pairs are named, and none of stop words alone: stems,
"we" and how somebody says hello are no reasons anyone can read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np

from classifier.features import Array, Voice
from classifier.message import Message
from classifier.scorer import Scorer, Scores
from classifier.tactics import Seen
from classifier.text import CAP, PLACEHOLDERS
from classifier.verdict import LABELS, Term

UP, DOWN = 8, 4
"""How many words are named that speak for a pitch, and against one."""
SENTENCES_UP, SENTENCES_DOWN = 4, 2
FLOOR = 0.02
"""Log-odds below which a word is not worth naming."""
SENTENCE_FLOOR = 0.1
ACT_FLOOR = 0.4
"""Probability from which on a sentence's act is named."""
AHEAD, NEAR = 12, 4
"""Words that normalising may have left out between two of a sentence's words, or its first two."""
REPLACED = 200
"""Characters that a placeholder stands for, at most."""

Spans = list[tuple[int, int]]
"""Where the subject and the sentences start and end in the message's own text."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_PLACEHOLDER = re.compile("|".join(PLACEHOLDERS), re.IGNORECASE)
_CLOSING = re.compile(r"[.!?…\"'»”)]{1,4}")


def terms(scorer: Scorer, scores: Scores, message: Message, spans: Spans) -> tuple[Term, ...]:
    """The sentences that moved the score, the strongest first, then the words."""
    pull = scores.values * _gradient(scorer.term_weights, scores.probabilities)[scores.columns]
    return (*_sentences(scorer, scores, pull, message, spans), *_words(scorer, scores, pull))


def seen(scorer: Scorer, scores: Scores, spans: Spans) -> dict[str, Seen]:
    """How surely the model sees each of the tactics it knows, and where."""
    if not len(scores.tactics):
        return {name: Seen(-math.inf, -math.inf, 0, 0) for name in scorer.tactics}
    # A sentence of the signature, or of a placeholder alone, stands nowhere sure.
    ends = np.array([end for _, end in spans[1:]])
    there = np.where(ends[:, None] > 0, scores.tactics, -np.inf)
    anywhere, best = scores.tactics.max(axis=0), there.argmax(axis=0)
    return {
        name: Seen(float(anywhere[column]), float(there[at, column]), *spans[at + 1])
        for column, (name, at) in enumerate(zip(scorer.tactics, best, strict=True))
    }


def _gradient(coefficients: Array, probabilities: Array) -> Array:
    pitch = LABELS.index("pitch")
    others = [at for at in range(len(LABELS)) if at != pitch]
    rest = probabilities[others] / max(float(probabilities[others].sum()), 1e-9)
    return np.asarray(coefficients[pitch] - rest @ coefficients[others])


def _sentences(
    scorer: Scorer, scores: Scores, pull: Array, message: Message, spans: Spans
) -> Iterator[Term]:
    weights = _by_terms(scores, pull)
    weights[1:] += _by_acts(_gradient(scorer.act_weights, scores.probabilities), scores.acts)
    acts = ["subject", *_named(scores.acts, scorer.voices)]
    told = [at for at in range(len(weights)) if acts[at] != "greet"]
    order = sorted(told, key=lambda at: (-weights[at], at))
    up = [at for at in order if weights[at] >= SENTENCE_FLOOR][:SENTENCES_UP]
    down = [at for at in reversed(order) if weights[at] <= -SENTENCE_FLOOR][:SENTENCES_DOWN]
    for at in (*up, *down):
        start, end = spans[at]
        verbatim = message.own_text[start:end] if end else scores.sentences[at]
        yield Term(shown(verbatim), round(float(weights[at]), 3), acts[at], start, end)


def _by_terms(scores: Scores, pull: Array) -> Array:
    """What each sentence's terms weigh; a term that several have is shared out among them."""
    where, columns = scores.holders
    weights = np.zeros(len(scores.sentences))
    if len(columns):
        at = np.searchsorted(scores.columns, columns)
        times = np.bincount(at, minlength=len(pull))
        np.add.at(weights, where, pull[at] / times[at])
    return weights


def _by_acts(gradient: Array, acts: Array) -> Array:
    """How far the summary of acts would move the score the other way without each sentence."""
    count = len(acts)
    if not count:
        return np.zeros(0)
    highest, summed, mean = gradient.reshape(3, -1)
    without = acts.sum(axis=0) - acts
    ranked = np.sort(acts, axis=0)
    second = ranked[-2] if count > 1 else np.zeros(acts.shape[1])
    lost = np.where(acts == ranked[-1], ranked[-1] - second, 0.0) @ highest
    lost += (np.log1p(acts.sum(axis=0)) - np.log1p(without)) @ summed
    lost += (acts.mean(axis=0) - without / max(1, count - 1)) @ mean
    return np.asarray(lost)


def _named(acts: Array, voices: tuple[Voice, ...]) -> list[str]:
    """The act that each sentence does most probably, in whatever voice."""
    names = sorted({act for act, _ in voices})
    shares = np.zeros((len(names), len(acts)))
    np.add.at(shares, [names.index(act) for act, _ in voices], acts.T)
    return [
        names[best] if share[best] >= ACT_FLOOR else "unsure"
        for share, best in zip(shares.T, shares.argmax(axis=0), strict=True)
    ]


def spans(scores: Scores, message: Message) -> Spans:
    """Where each sentence stands in the own text it was made from, the subject and what is not
    sure at (0, 0).

    The words of the sentences follow each other in the text as well, with some left out or
    replaced in between, so one walk along both finds them. A sentence is sure to be found when its
    first words stand together, and when it is not much longer there than here."""
    sentences, text = scores.sentences, message.own_text[:CAP]
    matches = list(_WORD.finditer(text.replace("’", "'")))
    there = [match[0].lower() for match in matches]
    found_at, at = [(0, 0)], 0
    for sentence in sentences[1:]:
        found = _walk(_WORD.findall(sentence.lower()), there, at)
        if not found:
            found_at.append((0, 0))
            continue
        at = found[-1] + 1
        start, end = matches[found[0]].start(), matches[found[-1]].end()
        sure = end - start <= 2 * len(sentence) + REPLACED
        found_at.append(_closed(text, start, end) if sure else (0, 0))
    after = (*found_at[1:], (0, 0))
    return [_to_the_next(text, *pair) for pair in zip(sentences, found_at, after, strict=True)]


def _walk(words: list[str], there: list[str], at: int) -> list[int]:
    """Where the words stand from `at` on: the first anywhere its neighbour follows, since pieces of
    the text may have been left out before it; the others close behind each other."""
    opening = [word for word in words if word not in PLACEHOLDERS][:2]
    if not opening:
        return []
    found: list[int] = []
    while True:
        try:
            at = there.index(opening[0], at)
        except ValueError:
            return []
        if opening[-1] in there[at : at + NEAR]:
            break
        at += 1
    for word in words:
        try:
            found.append(there.index(word, at, at + AHEAD))
        except ValueError:  # replaced by a placeholder, or a name that was taken out
            continue
        at = found[-1] + 1
    return found


def _closed(text: str, start: int, end: int) -> tuple[int, int]:
    """The span with the full stop, quotation mark or bracket behind it."""
    closing = _CLOSING.match(text, end)
    return start, closing.end() if closing else end


def _to_the_next(
    text: str, sentence: str, span: tuple[int, int], following: tuple[int, int]
) -> tuple[int, int]:
    """The span, with the link or number at its end that the sentence has a placeholder for."""
    last = (_WORD.findall(sentence.lower()) or [""])[-1]
    start, end = span
    stop = following[0] or len(text)
    if last not in PLACEHOLDERS or not end or not 0 <= stop - end <= REPLACED:
        return span
    return start, end + len(text[end:stop].rstrip())


def _words(scorer: Scorer, scores: Scores, pull: Array) -> Iterator[Term]:
    # Ties are broken by the word, so that the same mail is always explained in the same order.
    named = sorted(
        (-float(pull[at]), scorer.terms[scores.columns[at]])
        for at in np.flatnonzero(np.abs(pull) >= FLOOR)
    )
    up = _distinct((pair for pair in named if pair[0] < 0), UP)
    down = _distinct((pair for pair in reversed(named) if pair[0] > 0), DOWN)
    text = "\n".join(scores.sentences)
    # In lower case a text may be longer (İ): places would not agree.
    lowered = text.lower() if len(text.lower()) == len(text) else text
    for weight, word in (*up, *down):
        yield Term(_spelled(word, text, lowered), round(-weight, 3))


@cache
def _stop_words() -> Any:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    return ENGLISH_STOP_WORDS


def _says_something(term: str) -> bool:
    if term[0] == "~":
        return False
    return not all(word in _stop_words() or len(word) < 3 for word in term.split())


def _distinct(ranked: Iterable[tuple[float, str]], count: int) -> list[tuple[float, str]]:
    """The first `count` that say something, without a pair whose word is named already, or a word
    of a named pair."""
    kept: list[tuple[float, str]] = []
    seen: set[str] = set()
    for weight, word in ranked:
        parts = set(word.split())
        if not parts & seen and _says_something(word):
            kept.append((weight, word))
            seen |= parts
        if len(kept) == count:
            break
    return kept


def _spelled(word: str, text: str, lowered: str) -> str:
    """The term as the mail spells it, where it stands there in one piece."""
    at = lowered.find(word)
    while at >= 0:
        end = at + len(word)
        if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
            return shown(text[at:end])
        at = lowered.find(word, end)
    return shown(word)


def shown(text: str) -> str:
    """The text in one line, with readable placeholders."""
    return " ".join(_PLACEHOLDER.sub(lambda match: PLACEHOLDERS[match[0].lower()], text).split())
