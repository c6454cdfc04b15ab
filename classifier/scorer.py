"""The model's pipeline in one pass over a mail: the same figures in a fraction of the time.

scikit-learn takes a text through two vectorizers and two regressions, each with its own passes
and copies. Here every word is looked up once; its number leads to its columns in both
vocabularies, alone, as a stem, and as a neighbour's word, and two numbers lead to those of the
pair. What remains is arithmetic on small arrays. A property test holds that
`Scorer(pipeline).score(text)` is what `pipeline.predict_proba([text])` says.

The tables are made once from the vocabularies and never grow. Safe to use from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.features import (
    EDGE,
    Array,
    Voice,
    places,
    shape,
    stem,
    subject_and_sentences,
    summary,
    words,
)
from classifier.verdict import LABELS, Label

Indices = NDArray[np.int64]
NONE = -1
"""Stands for a column where there is none."""
ENOUGH = 28
"""Known terms from which a mail is judged by them alone. A shorter one says less, and is drawn
towards `NOTHING_SAID`: two words are no ground to hold a mail on."""
NOTHING_SAID: dict[Label, float] = {"pitch": 0.02, "personal": 0.9, "bulk": 0.05, "junk": 0.03}
"""What is said of an empty mail: deliver it."""
SHIFT = np.int64(1 << 32)


@dataclass(frozen=True, slots=True)
class Scores:
    """What the model makes of a text. `acts` is (sentences x voices), probabilities; `tactics` is
    (sentences x tactics), log-odds; `columns` are
    the mail's terms and `values` their TF-IDF; `holders` are pairs (sentence, column): 0 is the
    subject, 1 the first sentence of the body."""

    probabilities: Array
    sentences: tuple[str, ...]
    acts: Array
    tactics: Array
    columns: Indices
    values: Array
    holders: Indices


class Scorer:
    """A pipeline's figures, laid out for one mail at a time."""

    def __init__(self, pipeline: Any) -> None:
        union = pipeline.named_steps["features"]
        mail, acts, shaped = (part for _, part in union.transformer_list)
        weights = union.transformer_weights
        linear = pipeline.named_steps["linear"]
        size = len(mail.vocabulary_)
        self.terms: list[str] = list(mail.get_feature_names_out())
        self._idf = mail.idf_
        self.term_weights: Array = weights["words"] * linear.coef_[:, :size]
        end = size + len(acts.scale)
        self.act_weights: Array = weights["acts"] * linear.coef_[:, size:end] / acts.scale
        self.shape_weights: Array = weights["shape"] * linear.coef_[:, end:] / shaped.scale
        shift = self.act_weights @ acts.mean + self.shape_weights @ shaped.mean
        self._start = linear.intercept_ - shift
        recogniser = acts.recogniser
        self.voices: tuple[Voice, ...] = recogniser.voices
        self._act_idf = recogniser.vectorizer.idf_
        self.tactics: tuple[str, ...] = tuple(recogniser.tactics)
        size, known = len(self.voices), recogniser.linear.classes_
        self._act_weights = np.zeros((len(self._act_idf), size + len(self.tactics)))
        self._act_start = np.full(size + len(self.tactics), -np.inf)
        self._act_weights[:, known] = recogniser.linear.coef_.T
        self._act_start[known] = recogniser.linear.intercept_
        for column, weights in enumerate(recogniser.tactics.values(), size):
            self._act_weights[:, column], self._act_start[column] = weights[:-1], weights[-1]
        self._lay_out(mail.vocabulary_, recogniser.vectorizer.vocabulary_)

    def _lay_out(self, mail: dict[str, int], sentence: dict[str, int]) -> None:
        """Number the words of both vocabularies and list each word's and each pair's columns."""
        singles = {term.lstrip("<>") for term in (*mail, *sentence) if _is_word(term)}
        singles |= {part for term in (*mail, *sentence) for part in term.split(" ") if " " in term}
        stems = sorted({term for term in (*mail, *sentence) if term[0] == "~"})
        ordered = [*sorted(singles), *stems]
        self._numbers = {word: number for number, word in enumerate(ordered)}
        # The last row stands for every word that is not known.
        rooted = [word if word[:1] == "~" else stem(word) for word in [*ordered, ""]]
        self._mail = _columns(mail, [*ordered, ""])
        self._mail[[*(word[0] == "~" for word in ordered), True]] = NONE
        self._mail_stem = _columns(mail, rooted)
        own = [word if word[:1] != "~" else "" for word in [*ordered, ""]]
        self._own = _columns(sentence, own)
        self._own_stem = _columns(sentence, rooted)
        self._before = _columns(sentence, [f"<{word}" for word in own])
        self._after = _columns(sentence, [f">{word}" for word in own])
        pairs = sorted(
            (int(self._numbers[one] * SHIFT + self._numbers[two]), term)
            for term in {term for term in (*mail, *sentence) if " " in term}
            for one, two in [term.split(" ")]
        )
        self._pairs = np.array([key for key, _ in pairs] or [NONE], dtype=np.int64)
        self._mail_pair = _columns(mail, [term for _, term in pairs] or [""])
        self._own_pair = _columns(sentence, [term for _, term in pairs] or [""])
        self._places = {
            place: sentence.get(place, NONE)
            for place in (f"{kind}{at}" for kind in "@$#" for at in range(max(EDGE, 5) + 1))
        }

    def score(self, text: str) -> Scores:
        """The figures for one normalised text."""
        subject, body = subject_and_sentences(text)
        found = [words(sentence) for sentence in (subject, *body)]
        numbers, holder = self._numbered(found)
        pair, pair_holder = self._paired(numbers, holder)
        columns, values, holders = self._mail_row(numbers, holder, pair, pair_holder)
        acts, tactics = self._acts(found, numbers, holder, pair, pair_holder)
        logits = self._start + self.term_weights[:, columns] @ values
        logits += self.act_weights @ summary(acts) + self.shape_weights @ shape(text, found)
        probabilities = _softmax(logits)
        return Scores(probabilities, (subject, *body), acts, tactics, columns, values, holders)

    def _numbered(self, found: list[list[str]]) -> tuple[Indices, Indices]:
        """The number of each word, and of the sentence it stands in."""
        get, unknown = self._numbers.get, len(self._numbers)
        numbers = [
            number if (number := get(word)) is not None else get(stem(word), unknown)
            for sentence in found
            for word in sentence
        ]
        holder = np.repeat(np.arange(len(found)), [len(sentence) for sentence in found])
        return np.array(numbers, dtype=np.int64), holder

    def _paired(self, numbers: Indices, holder: Indices) -> tuple[Indices, Indices]:
        """The pairs of neighbours that are known, and their sentences."""
        keys = numbers[:-1] * SHIFT + numbers[1:]
        at = np.minimum(np.searchsorted(self._pairs, keys), len(self._pairs) - 1)
        known = (self._pairs[at] == keys) & (holder[:-1] == holder[1:])
        return at[known], holder[:-1][known]

    def _mail_row(
        self, numbers: Indices, holder: Indices, pair: Indices, pair_holder: Indices
    ) -> tuple[Indices, Array, Indices]:
        every = np.concatenate(
            [self._mail[numbers], self._mail_stem[numbers], self._mail_pair[pair]]
        )
        where = np.concatenate([holder, holder, pair_holder])
        kept = every != NONE
        every, where = every[kept], where[kept]
        columns, counts = np.unique(every, return_counts=True)
        values = (np.log(counts) + 1.0) * self._idf[columns]
        length = float(np.sqrt(values @ values)) or 1.0
        return columns, values / length, np.stack([where, every])

    def _acts(
        self,
        found: list[list[str]],
        numbers: Indices,
        holder: Indices,
        pair: Indices,
        pair_holder: Indices,
    ) -> tuple[Array, Array]:
        """Probabilities (sentences of the body x voices), log-odds (sentences x tactics)."""
        count = len(found) - 1
        if not count:
            return np.zeros((0, len(self.voices))), np.zeros((0, len(self.tactics)))
        places_ = [
            self._places[place]
            for at, sentence in enumerate(found[1:])
            for place in places(at, count, len(sentence))
        ]
        # Row 0 of the body is sentence 1; a neighbour's words count for the rows beside it.
        rows = np.concatenate(
            [
                holder - 1,
                holder - 1,
                pair_holder - 1,
                holder,
                holder - 2,
                np.repeat(np.arange(count), 3),
            ]
        )
        columns = np.concatenate(
            [
                self._own[numbers],
                self._own_stem[numbers],
                self._own_pair[pair],
                self._before[numbers],
                self._after[numbers],
                np.array(places_, dtype=np.int64),
            ]
        )
        kept = (columns != NONE) & (rows >= 0) & (rows < count)
        return self._recognised(rows[kept], columns[kept], count)

    def _recognised(self, rows: Indices, columns: Indices, count: int) -> tuple[Array, Array]:
        from scipy.sparse import csr_matrix

        size = len(self._act_idf)
        keys, counts = np.unique(rows * size + columns, return_counts=True)
        rows, columns = np.divmod(keys, size)
        values = (np.log(counts) + 1.0) * self._act_idf[columns]
        lengths = np.sqrt(np.bincount(rows, values * values, minlength=count))
        values /= lengths[rows]
        ends = np.searchsorted(rows, np.arange(count + 1))
        table = csr_matrix((values, columns, ends), shape=(count, size))
        logits = np.asarray(table @ self._act_weights) + self._act_start
        return _softmax(logits[:, : len(self.voices)]), logits[:, len(self.voices) :]


def settled(scores: Scores) -> dict[Label, float]:
    """The probabilities by label, drawn towards `NOTHING_SAID` where the mail says too little."""
    said = min(1.0, len(scores.columns) / ENOUGH)
    return {
        label: said * float(share) + (1 - said) * NOTHING_SAID[label]
        for label, share in zip(LABELS, scores.probabilities, strict=True)
    }


def _is_word(term: str) -> bool:
    return term[0] not in "~@$#" and " " not in term


def _columns(vocabulary: dict[str, int], wanted: list[str]) -> Indices:
    return np.array([vocabulary.get(term, NONE) for term in wanted], dtype=np.int64)


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))
