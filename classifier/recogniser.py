"""What the sentences of our own corpus teach: which act each does, in whose voice, and with which
tactic.

`learn` gives the recogniser that `classifier.features` uses; `learn_tactics` what it knows of
tactics. Only the marks and tags of our own corpus are learnt from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from classifier.examples import CorpusError, Example
from classifier.features import JUDGED, ActRecogniser, Voice, itself, sentence_terms, words
from classifier.message import Message
from classifier.sentences import sentences
from classifier.tactics import NAMES
from classifier.text import PLACEHOLDERS, normalise
from classifier.verdict import LABELS

LEAST_PIECES = 25
"""How many pieces of an act the mails of a label must hold for the act to have a voice there; and
how many sentences must show a tactic for it to be learnt."""
LEAST_VOICES = 3
"""With two classes the regression has one row of weights for both."""
SHARED = 3
"""Words from which on a sentence within the quote of a tactic shows it."""
MUTE = frozenset(PLACEHOLDERS) - {"xxlinkxx", "xxblankxx"}
"""What says nothing as the whole quote of a tactic: a number does not, a calendar's link does."""
LEAST_SENTENCES = 2
"""How many sentences must hold a term."""
SENTENCE_TERMS = 60_000
ACT_STRENGTH, TACTIC_STRENGTH = 8.0, 30.0  # C: the inverse of the regularisation
ACT_TOLERANCE = 3e-3  # where predictions for unseen mail no longer change
GRAIN = 2.0**-5
"""What the weights are rounded to; it moves no score by a thousandth."""
SEED = 20_261_122


class Marked(NamedTuple):
    """A mail's sentences as terms, the numbers of the voices in which they act, and the tactics
    that each shows: None if the mail is no pitch."""

    terms: list[list[str]]
    voices: list[int]
    tactics: list[frozenset[str]] | None


def voices(examples: Iterable[Example]) -> dict[Voice, Voice]:
    """For each act and label the voice it is learnt in: its own where there are enough pieces of
    it, otherwise that of the label that most of the act's pieces have."""
    pieces = Counter(
        (act, example.label) for example in examples for act, _ in example.acts if act in JUDGED
    )
    most = {act: max(LABELS, key=lambda label: pieces[act, label]) for act in JUDGED}
    return {
        (act, label): (act, label if count >= LEAST_PIECES else most[act])
        for (act, label), count in pieces.items()
    }


def learn(marked: Sequence[Marked], voices: tuple[Voice, ...]) -> ActRecogniser:
    """An `ActRecogniser` of these mails' sentences."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = [row for one in marked for row in one.terms]
    acts = [voice for one in marked for voice in one.voices]
    if len(set(acts)) < LEAST_VOICES:
        raise CorpusError(f"only {len(set(acts))} acts are marked; training needs {LEAST_VOICES}")
    # Single precision halves the time; what is learnt is kept in double precision.
    vectorizer = TfidfVectorizer(
        analyzer=itself,
        min_df=LEAST_SENTENCES,
        max_features=SENTENCE_TERMS,
        sublinear_tf=True,
        dtype=np.float32,
    )
    matrix = vectorizer.fit_transform(rows)
    linear = LogisticRegression(C=ACT_STRENGTH, max_iter=200, tol=ACT_TOLERANCE, random_state=SEED)
    linear.fit(matrix, acts)
    linear.coef_ = rounded(linear.coef_, GRAIN)
    vectorizer.set_params(dtype=np.float64)
    return ActRecogniser(vectorizer, linear, voices)


def marked_sentences(example: Example, numbers: Mapping[Voice, int]) -> Marked:
    """Every sentence whose act the author named."""
    named = [
        (sentence, numbers[act, example.label])
        for act, piece in example.acts
        if act in JUDGED
        for sentence in sentences(normalise(Message(own_text=piece)))
    ]
    subject = example.text.partition("\n")[0]
    rows = sentence_terms(subject, [sentence for sentence, _ in named])
    return Marked(
        rows,
        [voice for _, voice in named],
        _tactics_of(example, [sentence for sentence, _ in named]),
    )


def _tactics_of(example: Example, found: Sequence[str]) -> list[frozenset[str]] | None:
    """The tactics that each of a pitch's sentences shows: those with a sentence of whose quote it
    holds all words in a row, or the other way round if it has `SHARED` words."""
    if example.label != "pitch":
        return None
    quotes = [
        (name, _in_a_row(part))
        for name, quote in example.tactics
        for part in sentences(normalise(Message(own_text=quote)))
        if not set(words(part)) <= MUTE
    ]
    return [
        frozenset(
            name
            for name, part in quotes
            if part in row or (len(row.split()) >= SHARED and row in part)
        )
        for row in map(_in_a_row, found)
    ]


def _in_a_row(sentence: str) -> str:
    """The sentence's words between blanks, so that only whole words are found in it."""
    return f" {' '.join(word for word in words(sentence) if word.isalnum())} "


def learn_tactics(recogniser: ActRecogniser, marked: Sequence[Marked]) -> dict[str, Any]:
    """For each tactic with examples enough the weights of the terms and the intercept."""
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    pitches = [(one.terms, one.tactics) for one in marked if one.tactics is not None]
    if not pitches:
        return {}
    shown = [tactics for _, each in pitches for tactics in each]
    matrix = recogniser.vectorizer.transform([row for terms, _ in pitches for row in terms])
    weights = {}
    for name in NAMES:
        does = [name in tactics for tactics in shown]
        if not LEAST_PIECES <= sum(does) < len(does):
            continue
        linear = LogisticRegression(C=TACTIC_STRENGTH, max_iter=200, tol=1e-5, random_state=SEED)
        linear.fit(matrix, does)
        weights[name] = np.append(rounded(linear.coef_[0], GRAIN), linear.intercept_)
    return weights


def rounded(weights: Any, grain: float) -> Any:
    """The weights as multiples of the grain, which compress to a third."""
    import numpy as np

    return np.round(np.asarray(weights, dtype=np.float64) / grain) * grain
