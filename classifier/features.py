"""What the model sees in a normalised text: its terms, what its sentences do, and its shape.

A text's first line is the subject; the rest is taken apart into sentences. Terms are words, pairs
of neighbouring words and the first `STEM` letters of long words, all within a sentence. The acts
are recognised sentence by sentence, from the sentence's own terms, its place in the mail, and the
words of its neighbours, and each in its voice: a seller introduces himself, praises or signs
otherwise than a customer does. What the mail as a whole does is then, for each act and voice, how
surely it occurs at all, how often, and what share of the mail it is.

The transformers take lists of texts, as scikit-learn's do.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.acts import ACTS
from classifier.sentences import sentences
from classifier.text import PLACEHOLDERS
from classifier.verdict import Label

JUDGED = tuple(act for act in ACTS if act != "quote")
"""The acts that are recognised."""
Voice = tuple[str, Label]
"""An act, as it is done in mails of one label."""
STEM = 5
CAPITALS = string.ascii_uppercase.encode()
LETTERS = string.ascii_letters.encode()
BULLETS = ("\n- ", "\n* ", "\n• ")
EDGE = 3
"""Sentences from either end whose place is told apart."""

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[?!]")

Array = NDArray[np.float64]


def subject_and_sentences(text: str) -> tuple[str, list[str]]:
    """The first line, and the sentences below it."""
    subject, _, rest = text.partition("\n")
    return subject, sentences(rest)


def words(sentence: str) -> list[str]:
    """The words in lower case; question and exclamation marks count as words."""
    return _WORD.findall(sentence.lower())


def terms(found: list[str]) -> list[str]:
    """The terms of one sentence's words."""
    pairs = [f"{one} {two}" for one, two in pairwise(found)]
    return [*found, *pairs, *(stem(word) for word in found if len(word) > STEM)]


def stem(word: str) -> str:
    """The term of a word's stem; '', which no vocabulary has, where the word is too short."""
    return f"~{word[:STEM]}" if len(word) > STEM else ""


def mail_terms(text: str) -> list[str]:
    """The terms of a text. An analyzer for scikit-learn's vectorizers."""
    subject, rest = subject_and_sentences(text)
    return [term for sentence in (subject, *rest) for term in terms(words(sentence))]


def sentence_terms(subject: str, body: Sequence[str]) -> list[list[str]]:
    """For each sentence of the body its terms, its place and its neighbours' words."""
    found = [words(sentence) for sentence in body]
    before, after = [words(subject), *found], [*found[1:], []]
    return [
        [
            *terms(one),
            *places(at, len(found), len(one)),
            *(f"<{word}" for word in previous),
            *(f">{word}" for word in following),
        ]
        for at, (one, previous, following) in enumerate(zip(found, before, after, strict=False))
    ]


def places(at: int, count: int, length: int) -> tuple[str, str, str]:
    """Where sentence `at` of `count` stands, and how long it is."""
    return f"@{min(at, EDGE)}", f"${min(count - 1 - at, EDGE)}", f"#{min(5, length // 4)}"


def itself(value: Any) -> Any:
    """The analyzer for what is in terms already."""
    return value


def summary(acts: Array) -> Array:
    """A mail's acts (sentences x voices, probabilities) as one row: for each voice the highest, the
    logarithm of one plus the sum, and the mean."""
    if not len(acts):
        return np.zeros(3 * acts.shape[1])
    return np.concatenate([acts.max(axis=0), np.log1p(acts.sum(axis=0)), acts.mean(axis=0)])


SHAPE = (
    "words",
    "sentences",
    "mean sentence",
    "longest sentence",
    "questions",
    "exclamations",
    "ends with a question",
    "capitals",
    "subject words",
    "subject in small letters",
    "subject asks",
    "paragraphs",
    "list items",
    *(f"{shown[1:-1]}s" for shown in PLACEHOLDERS.values()),
)
"""The columns of `shape`."""


def shape(text: str, found: Sequence[Sequence[str]]) -> Array:
    """How the mail is built, apart from what it says. `found` are the words of the subject and of
    each sentence of the body; counts are logarithms of one plus the count."""
    subject, _, below = text.partition("\n")
    body = found[1:]
    lengths = [len(sentence) for sentence in body] or [0]
    tally = Counter(chain.from_iterable(found))
    octets = below.encode(errors="replace")  # lone surrogates have no encoding
    letters = len(octets) - len(octets.translate(None, LETTERS))
    capitals = len(octets) - len(octets.translate(None, CAPITALS))
    counts = (
        sum(lengths),
        len(body),
        tally["?"],
        tally["!"],
        len(found[0]),
        below.count("\n\n"),
        sum(map(below.count, BULLETS)),
        *(tally[name] for name in PLACEHOLDERS),
    )
    words, count, asks, shouts, subject_words, paragraphs, items, *places = np.log1p(counts)
    return np.array(
        [
            words,
            count,
            sum(lengths) / len(lengths) / 10,
            max(lengths) / 20,
            asks,
            shouts,
            float(bool(body) and "?" in body[-1]),
            capitals / (letters or 1),
            subject_words,
            float(subject.islower()),
            float("?" in subject),
            paragraphs,
            items,
            *places,
        ]
    )


class ActRecogniser:
    """Recognises acts: a TF-IDF of `sentence_terms` and a multinomial logistic regression, whose
    classes are places in `voices`; it need not know them all. `tactics` has for each tactic that
    there were examples enough of the weights of the terms, and the intercept behind them: a binary
    regression on the same terms."""

    def __init__(
        self,
        vectorizer: Any,
        linear: Any,
        voices: tuple[Voice, ...],
        tactics: dict[str, Array] | None = None,
    ) -> None:
        self.vectorizer = vectorizer
        self.linear = linear
        self.voices = voices
        self.tactics = tactics or {}

    def acts(self, texts: Sequence[str]) -> list[Array]:
        """For each text an array (sentences x voices) of probabilities; the subject has no row."""
        parts = [sentence_terms(*subject_and_sentences(text)) for text in texts]
        rows = [row for part in parts for row in part]
        table = np.zeros((len(rows), len(self.voices)))
        if rows:
            known = self.linear.classes_
            table[:, known] = self.linear.predict_proba(self.vectorizer.transform(rows))
        ends = np.cumsum([0, *(len(part) for part in parts)])
        return [table[start:end] for start, end in pairwise(ends)]


class ActFeatures:
    """The summary of a mail's acts, each column brought to mean 0 and standard deviation 1 over
    the training mails, as a transformer."""

    def __init__(self, recogniser: ActRecogniser, mean: Array, scale: Array) -> None:
        self.recogniser = recogniser
        self.mean = mean
        self.scale = scale

    def fit(self, _texts: Iterable[str], _labels: Any = None) -> ActFeatures:
        """Nothing is left to be learnt."""
        return self

    def transform(self, texts: Sequence[str]) -> Array:
        """One row a text."""
        rows = np.array([summary(acts) for acts in self.recogniser.acts(texts)])
        return np.asarray((rows - self.mean) / self.scale)


class ShapeFeatures:
    """The shape of a mail, scaled like the acts, as a transformer."""

    def __init__(self, mean: Array, scale: Array) -> None:
        self.mean = mean
        self.scale = scale

    def fit(self, _texts: Iterable[str], _labels: Any = None) -> ShapeFeatures:
        """Nothing is left to be learnt."""
        return self

    def transform(self, texts: Sequence[str]) -> Array:
        """One row a text."""
        return np.asarray((shapes(texts) - self.mean) / self.scale)


def shapes(texts: Sequence[str]) -> Array:
    """The shape of each text, one row a text."""
    parted = ((text, subject_and_sentences(text)) for text in texts)
    return np.array(
        [shape(text, [words(one) for one in (subject, *body)]) for text, (subject, body) in parted]
    )
