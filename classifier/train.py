"""Training: our own corpus, and mail archives beside it → a model file and its manifest.

The model is a scikit-learn pipeline. Three kinds of features stand side by side: a TF-IDF of
the mail's terms, what its sentences do, and its shape (`classifier.features`); a multinomial
logistic regression over the four labels reads all three.

The acts of a training mail are predicted by a recogniser that has not seen its batch, as those of
a real mail will be: with the recogniser's own training mails the regression would learn to trust
acts that are never so clear again.

Calibration is by temperature: one number, fitted on predictions for groups the predicting model
had not seen, divides all coefficients. It keeps the model linear, so that explanations stay
exact. It is fitted to the pitch score alone, on which all decisions rest.

The same data gives the same file on the same kind of processor, however many cores it has: sums
are made in one thread, since several would add up in another order. Raises CorpusError when the
data cannot be used, ModelError when the folder holds something else than a model, and OSError.
"""

from __future__ import annotations

import hashlib
import io
import math
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier import corpus, install
from classifier.card import CARD_NAME, card
from classifier.examples import CorpusError, Example, Examples, Progress
from classifier.features import ActFeatures, ShapeFeatures, mail_terms, shapes, summary
from classifier.grouping import MIX
from classifier.model import MANIFEST_NAME, MODEL_NAME, SERIES, Manifest
from classifier.recogniser import SEED, learn, learn_tactics, marked_sentences, rounded, voices
from classifier.verdict import LABELS
from classifier.vocabulary import vocabulary

MAIL_TERMS = 50_000
"""How many terms are kept at most, the most frequent ones."""
ACT_WEIGHT = 0.1
"""How far a standard deviation of an act's column counts against a TF-IDF row of length 1."""
SHAPE_WEIGHT = 0.1
LEAST_SCALE = 0.02
"""Keeps a column that is nearly always the same from being blown up."""
FOLDS = 4
STRENGTH = 20.0  # C of the mail's regression: the inverse of the regularisation
PRIOR = 0.26
"""The share of pitches for which the score is a probability. Chosen on held-out groups: with it the
calibration error over corpus and archives is 0.03, and under one in a hundred of our own genuine
mails, which are written to be mistaken, scores 0.80."""
GRAIN = 2.0**-10
"""What the weights are rounded to; it moves no score by a thousandth."""


def train(data: Sequence[Path], out: Path, progress: Progress | None = None) -> Manifest:
    """Train on our own corpus and the folders `data`, put the model into `out`."""
    tell = progress or (lambda _stage, _share: None)
    install.check(out)
    examples = corpus.read(data, lambda name, share: tell(f"reading {name}", 0.3 * share))
    pipeline, temperature = fit(
        examples.items, lambda stage, share: tell(stage, 0.3 + 0.65 * share)
    )
    tell("putting it in place", 0.95)
    manifest = install.put(out, lambda folder: write(examples, pipeline, temperature, folder))
    tell("done", 1.0)
    return manifest


def write(examples: Examples, pipeline: Any, temperature: float, folder: Path) -> Manifest:
    """Write a model of these examples into the folder, with its manifest and its card."""
    content = _dump(pipeline)
    manifest = _manifest(examples, content, pipeline, temperature)
    (folder / MODEL_NAME).write_bytes(content)
    (folder / MANIFEST_NAME).write_text(manifest.dump(), "utf-8")
    (folder / CARD_NAME).write_text(card(manifest, examples.items), "utf-8")
    return manifest


def fit(examples: Sequence[Example], progress: Progress | None = None) -> tuple[Any, float]:
    """The calibrated pipeline and its temperature."""
    import sklearn.linear_model  # noqa: F401 - a limit reaches what is loaded by then
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1):
        return _fitted(examples, progress or (lambda _stage, _share: None))


def _fitted(examples: Sequence[Example], tell: Progress) -> tuple[Any, float]:
    from scipy.sparse import csr_matrix, hstack
    from sklearn.pipeline import FeatureUnion, Pipeline

    _check(examples)
    tell("choosing terms", 0.0)
    words = _words(examples)
    acts, summaries = _acts(examples, tell)
    tell("weighing", 0.7)
    texts = [example.text for example in examples]
    shape = _shape(texts)
    rows = [
        words.fit_transform(texts),
        ACT_WEIGHT * csr_matrix((summaries - acts.mean) / acts.scale),
        SHAPE_WEIGHT * csr_matrix(shape.transform(texts)),
    ]
    linear, temperature = _calibrated(hstack(rows).tocsr(), examples)
    features = FeatureUnion(
        [("words", words), ("acts", acts), ("shape", shape)],
        transformer_weights={"words": 1.0, "acts": ACT_WEIGHT, "shape": SHAPE_WEIGHT},
    )
    return Pipeline([("features", features), ("linear", linear)]), temperature


def _check(examples: Sequence[Example]) -> None:
    for label in LABELS:
        groups = {example.group for example in examples if example.label == label}
        if len(groups) < FOLDS:
            raise CorpusError(
                f"only {len(groups)} independent groups of label {label}; "
                f"training needs {FOLDS} of each label"
            )


def _words(examples: Sequence[Example]) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        analyzer=mail_terms, vocabulary=vocabulary(examples, MAIL_TERMS), sublinear_tf=True
    )


def _acts(examples: Sequence[Example], tell: Progress) -> tuple[Any, Any]:
    """The transformer, and the summaries of the examples' acts, each predicted without having
    seen the example's block."""
    import numpy as np
    from sklearn.model_selection import GroupKFold

    # Our own alone: the recogniser's terms pass no filter for names.
    own = [at for at, example in enumerate(examples) if example.source == "own"]
    others = [at for at, example in enumerate(examples) if example.source != "own"]
    tell("learning acts", 0.1)
    learnt = voices([examples[at] for at in own])
    numbered = tuple(sorted(set(learnt.values())))
    numbers = {voice: numbered.index(one) for voice, one in learnt.items()}
    marked = [marked_sentences(examples[at], numbers) for at in own]
    recogniser = learn(marked, numbered)
    recogniser.tactics = learn_tactics(recogniser, marked)
    table = _summaries(recogniser, examples, others)
    blocks = [examples[at].block for at in own]
    parts = GroupKFold(min(FOLDS, len(set(blocks)))).split(blocks, groups=blocks)
    for number, (inside, outside) in enumerate(parts):
        tell(f"acts as unseen mail shows them, {number + 1} of {FOLDS}", 0.2 + 0.12 * number)
        partial = learn([marked[at] for at in inside], numbered)
        table |= _summaries(partial, examples, [own[at] for at in outside])
    rows = np.array([table[at] for at in range(len(examples))])
    return ActFeatures(recogniser, rows.mean(axis=0), rows.std(axis=0) + LEAST_SCALE), rows


def _shape(texts: Sequence[str]) -> Any:
    rows = shapes(texts)
    return ShapeFeatures(rows.mean(axis=0), rows.std(axis=0) + LEAST_SCALE)


def _summaries(recogniser: Any, examples: Sequence[Example], places: list[int]) -> dict[int, Any]:
    """By place, since mails of two files may share an id."""
    recognised = recogniser.acts([examples[at].text for at in places])
    return {at: summary(acts) for at, acts in zip(places, recognised, strict=True)}


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=STRENGTH, max_iter=300, tol=1e-4, random_state=SEED)


def _calibrated(matrix: Any, examples: Sequence[Example]) -> tuple[Any, float]:
    """The mail's regression with its coefficients divided by the temperature."""
    labels = [LABELS.index(example.label) for example in examples]
    weights = [example.weight for example in examples]
    temperature = _temperature(matrix, labels, weights, [e.block for e in examples])
    linear = _linear().fit(matrix, labels, sample_weight=weights)
    linear.coef_ = rounded(linear.coef_ / temperature, GRAIN)
    linear.intercept_ = linear.intercept_ / temperature
    linear.intercept_[LABELS.index("pitch")] += _log_odds(PRIOR) - _log_odds(MIX["pitch"])
    return linear, temperature


def _log_odds(share: float) -> float:
    return math.log(share / (1 - share))


def _temperature(matrix: Any, labels: list[int], weights: list[float], groups: list[str]) -> float:
    """The divisor under which pitch or not is predicted with the least log loss for groups that
    the predicting model has not seen."""
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import log_expit, logsumexp
    from sklearn.model_selection import StratifiedGroupKFold

    logits = np.zeros((len(labels), len(LABELS)))
    truth, weight = np.asarray(labels), np.asarray(weights)
    folds = min(FOLDS, len(set(groups)))
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    for inside, outside in splitter.split(matrix, truth, groups):
        linear = _linear().fit(matrix[inside], truth[inside], sample_weight=weight[inside])
        logits[np.ix_(outside, linear.classes_)] = linear.decision_function(matrix[outside])

    pitch = LABELS.index("pitch")

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        odds = scaled[:, pitch] - logsumexp(np.delete(scaled, pitch, axis=1), axis=1)
        return -float((weight * log_expit(np.where(truth == pitch, odds, -odds))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=(-3.0, 3.0), method="bounded").x))


def _dump(pipeline: Any) -> bytes:
    import joblib

    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer, compress=("zlib", 9), protocol=5)
    return buffer.getvalue()


def _manifest(examples: Examples, content: bytes, pipeline: Any, temperature: float) -> Manifest:
    import sklearn

    digest = hashlib.sha256(content).hexdigest()
    counts = Counter(example.label for example in examples.items)
    groups = {label: {e.group for e in examples.items if e.label == label} for label in LABELS}
    words, acts, _ = (part for _, part in pipeline.named_steps["features"].transformer_list)
    return Manifest(
        id=f"{SERIES}-{digest[:8]}",
        file=MODEL_NAME,
        sha256=digest,
        sklearn=sklearn.__version__,
        python=platform.python_version(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=LABELS,
        examples={label: counts[label] for label in LABELS},
        groups={label: len(groups[label]) for label in LABELS},
        features={
            "mail terms": len(words.vocabulary),
            "sentence terms": len(acts.recogniser.vectorizer.vocabulary_),
            "voices": len(acts.recogniser.voices),
            "tactics": len(acts.recogniser.tactics),
        },
        temperature=round(temperature, 4),
        data=examples.files,
    )
