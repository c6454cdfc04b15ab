"""Training: a folder of data → a model file and its manifest.

The model is a scikit-learn pipeline: TF-IDF over words and word pairs and over character n-grams
within words, then multinomial logistic regression over the four labels.

A term is kept only if it occurs in at least five mails, from at least two senders, in at least two
groups, and holds no word that is known only as somebody's name. So the file carries no address, no
number and no name that one correspondent brought in.

Calibration is by temperature: one number, fitted on predictions for groups the predicting model
had not seen, divides all coefficients. It keeps the model linear, so that explanations stay
exact, and one number cannot overfit the few hundred pitches as isotonic regression would. It is
fitted to the pitch score alone, on which all decisions rest: an unfamiliar newsletter taken for
a letter must not make the model doubt its pitches.

The same data gives the same file. Raises CorpusError when the data cannot be used.
"""

from __future__ import annotations

import hashlib
import io
import platform
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier import corpus
from classifier.corpus import CorpusError, Example
from classifier.model import MANIFEST_NAME, MODEL_NAME, SERIES, Manifest
from classifier.verdict import LABELS

Progress = Callable[[str, float], None]

LEAST_MAILS, LEAST_SENDERS = 5, 2
WORD_TERMS, CHARACTER_TERMS = 40_000, 40_000
"""How many terms are kept at most, the most frequent ones."""
FOLDS = 4
STRENGTH = 20.0  # C of the regression: the inverse of the regularisation
SEED = 20_261_122

PUBLIC = frozenset({"google", "facebook", "instagram", "amazon", "zoom", "internet", "english"})
"""Capitalised words that are nobody's name and that mails of every label use."""
_PERSONAL = re.compile(r"[\d@]|://|www\.")
"""What would come from a number, an address or a link that escaped `text.normalise`."""
_WORD = re.compile(r"[^\W\d_]{2,30}")
_WITHIN = re.compile(r"(?<=[a-z,] )[^\W\d_]{2,30}")

WORDS = {
    "analyzer": "word",
    "ngram_range": (1, 2),
    # Letters only: no number, address or hash can become a term.
    "token_pattern": r"(?u)\b[^\W\d_]+(?:'[^\W\d_]+)?\b",
    "lowercase": True,
}
CHARACTERS = {"analyzer": "char_wb", "ngram_range": (3, 5), "lowercase": True}


def train(data: Path, out: Path, progress: Progress | None = None) -> Manifest:
    """Train on the folder `data`, write model and manifest into the folder `out`."""
    tell = progress or (lambda _stage, _share: None)
    examples = corpus.read(data, lambda name, share: tell(f"reading {name}", 0.5 * share))
    tell("training", 0.5)
    pipeline, temperature = fit(examples.items)
    tell("writing", 0.95)
    content = _dump(pipeline)
    manifest = _manifest(examples, content, pipeline, temperature)
    out.mkdir(parents=True, exist_ok=True)
    (out / MODEL_NAME).write_bytes(content)
    (out / MANIFEST_NAME).write_text(manifest.dump(), "utf-8")
    tell("done", 1.0)
    return manifest


def fit(examples: Sequence[Example]) -> tuple[Any, float]:
    """The calibrated pipeline and its temperature."""
    from sklearn.pipeline import Pipeline

    _check(examples)
    features = _features(examples)
    matrix = features.fit_transform([example.text for example in examples])
    labels = [LABELS.index(example.label) for example in examples]
    weights = [example.weight for example in examples]
    temperature = _temperature(matrix, labels, weights, [e.group for e in examples])
    linear = _linear().fit(matrix, labels, sample_weight=weights)
    linear.coef_ = (linear.coef_ / temperature).astype("float32")
    linear.intercept_ = (linear.intercept_ / temperature).astype("float32")
    return Pipeline([("features", features), ("linear", linear)]), temperature


def _check(examples: Sequence[Example]) -> None:
    for label in LABELS:
        groups = {example.group for example in examples if example.label == label}
        if len(groups) < FOLDS:
            raise CorpusError(
                f"only {len(groups)} independent groups of label {label}; "
                f"training needs {FOLDS} of each label"
            )


def _linear() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=STRENGTH, max_iter=400, tol=1e-4, random_state=SEED)


def _features(examples: Sequence[Example]) -> Any:
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    def vectorizer(how: dict[str, Any], most: int) -> Any:
        terms = vocabulary(examples, how, most)
        return TfidfVectorizer(**how, vocabulary=terms, sublinear_tf=True, dtype=np.float32)

    return FeatureUnion(
        [
            ("words", vectorizer(WORDS, WORD_TERMS)),
            ("characters", vectorizer(CHARACTERS, CHARACTER_TERMS)),
        ],
        transformer_weights={"words": 1.0, "characters": 0.6},
    )


def vocabulary(examples: Sequence[Example], how: dict[str, Any], most: int) -> list[str]:
    """The terms that may be kept, sorted; see the module's promise."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(**how, binary=True, dtype=np.int32)
    matrix = counter.fit_transform([example.text for example in examples])
    mails = np.asarray(matrix.sum(axis=0)).ravel()
    senders = _distinct(matrix, [example.sender for example in examples])
    groups = _distinct(matrix, [example.group for example in examples])
    allowed = (mails >= LEAST_MAILS) & (senders >= LEAST_SENDERS) & (groups >= LEAST_SENDERS)
    names = only_names(examples)
    ranked = sorted(
        (-int(mails[at]), term)
        for term, at in counter.vocabulary_.items()
        if allowed[at] and not names.intersection(term.split()) and not _PERSONAL.search(term)
    )
    return sorted(term for _, term in ranked[:most])


def _distinct(matrix: Any, owners: list[str]) -> Any:
    """For each term (column) the number of different owners of the mails it occurs in."""
    import numpy as np
    from scipy.sparse import csr_matrix

    known = {owner: at for at, owner in enumerate(sorted(set(owners)))}
    rows = [known[owner] for owner in owners]
    ones = np.ones(len(rows), dtype=np.int32)
    belongs = csr_matrix((ones, (rows, range(len(rows)))), shape=(len(known), len(rows)))
    return np.asarray((belongs @ matrix > 0).sum(axis=0)).ravel()


def only_names(examples: Sequence[Example]) -> frozenset[str]:
    """Words that are names and nothing else: those from the names of senders and recipients that
    are not plainly common words too, and those that are written with a capital and hardly ever
    without. Places, months and makes go with them, which is as well: they tell where and when a
    mail was archived. Counted in senders, since one may never use capitals."""
    known = frozenset[str]().union(*(example.names for example in examples))
    small, title, inside, upper = (defaultdict[str, set[str]](set) for _ in range(4))
    for example in examples:
        for word in set(_WORD.findall(example.text)):
            form = small if word.islower() else title if word.istitle() else upper
            form[word.lower()].add(example.sender)
        for word in set(_WITHIN.findall(example.text)):
            if word.istitle():
                inside[word.lower()].add(example.sender)

    def is_name(word: str) -> bool:
        plain, named = len(small[word]), len(inside[word])
        if word in known and len(upper[word]) <= len(title[word]):
            return plain < max(2 * LEAST_MAILS, named)
        return 4 * plain < named or (not plain and bool(title[word]))

    return frozenset(word for word in {*known, *title} if is_name(word)) - PUBLIC


def _temperature(matrix: Any, labels: list[int], weights: list[float], groups: list[str]) -> float:
    """The divisor under which pitch or not is predicted with the least log loss for groups that
    the predicting model has not seen."""
    import numpy as np
    from scipy.optimize import minimize_scalar
    from scipy.special import log_expit, logsumexp
    from sklearn.model_selection import StratifiedGroupKFold

    logits = np.zeros((len(labels), len(LABELS)))
    truth, weight = np.asarray(labels), np.asarray(weights)
    splitter = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
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


def _manifest(
    examples: corpus.Examples, content: bytes, pipeline: Any, temperature: float
) -> Manifest:
    import sklearn

    digest = hashlib.sha256(content).hexdigest()
    counts = Counter(example.label for example in examples.items)
    groups = {label: {e.group for e in examples.items if e.label == label} for label in LABELS}
    parts = pipeline.named_steps["features"].transformer_list
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
        features={name: len(part.vocabulary) for name, part in parts},
        temperature=round(temperature, 4),
        data=examples.files,
    )
