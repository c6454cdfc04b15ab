"""The model: a file, the manifest beside it, and the judgement of one mail.

`load()` reads the file once, compares its SHA-256 and the scikit-learn version with the manifest
and only then unpickles those same bytes: an unpickled file runs code, so one that nobody vouches
for is never opened. Raises ModelError, whose message names the file, what differs and the way out.
`Model.judge` never raises on any text, and an empty mail is never a pitch.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from classifier import tactics
from classifier.message import Message
from classifier.text import normalise
from classifier.verdict import LABELS, Verdict

MODELS = Path(__file__).parent / "models"
MODEL_NAME = "raincheck.joblib"
MANIFEST_NAME = "manifest.json"
SERIES = "2026.13"
"""First half of a model's id: changes with the features and the rules of the text."""
RETRAIN = (
    "retrain it (raincheck model train --out FOLDER), or take [judge] model out of the "
    "configuration to use the shipped one"
)

EXPLAINED = 0.2
"""Score from which on it is said what moved it."""


class ModelError(Exception):
    """The model cannot be used. The message names the file, what differs and the way out."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest beside a model says of it."""

    id: str
    file: str
    sha256: str
    sklearn: str
    python: str
    created: str  # ISO 8601, UTC
    labels: tuple[str, ...]
    examples: dict[str, int]  # training mails by label
    groups: dict[str, int]  # independent groups by label
    features: dict[str, int]  # mail terms, sentence terms, voices, tactics
    temperature: float
    data: dict[str, str]  # SHA-256 of every data file

    def dump(self) -> str:
        """As it is written to disk."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


class Model:
    """A loaded model. Safe to use from several threads."""

    def __init__(self, manifest: Manifest, pipeline: Any) -> None:
        from classifier.scorer import Scorer  # numpy takes its time to load

        self.manifest = manifest
        self._scorer = Scorer(pipeline)

    @property
    def id(self) -> str:
        return self.manifest.id

    def warm(self) -> None:
        """Judge one mail, so that the first real one does not pay for lazy imports."""
        self.judge(Message(own_text="Would you have time for a short call about your website?"))

    def judge(self, message: Message, explain_from: float = EXPLAINED) -> Verdict:
        """The verdict on one mail. What moved the score is said from `explain_from` on: for most
        mail nobody asks why it is none, and saying it costs as much as judging."""
        from classifier import explain
        from classifier.scorer import settled

        scores = self._scorer.score(normalise(message))
        probabilities = settled(scores)
        label = max(LABELS, key=lambda label: probabilities[label])
        pitch, explained = label == "pitch", probabilities["pitch"] >= explain_from
        spans = explain.spans(scores, message) if pitch or explained else []
        seen = explain.seen(self._scorer, scores, spans) if pitch else None
        return Verdict(
            label=label,
            score=probabilities["pitch"],
            probabilities=probabilities,
            model=self.id,
            tactics=tactics.find(message, pitch, seen),
            terms=explain.terms(self._scorer, scores, message, spans) if explained else (),
        )


def verify(path: Path | None = None) -> Manifest:
    """Check a model without opening it; the shipped one when no path is given. `path` is the
    model file, or the folder it lies in. Raises ModelError."""
    return _verified(_file(path))[0]


def load(path: Path | None = None) -> Model:
    """Check a model and load it. Raises ModelError."""
    file = _file(path)
    manifest, content = _verified(file)
    return Model(manifest, _unpickle(file, content))


def _file(path: Path | None) -> Path:
    path = path or MODELS
    if not path.exists():
        raise ModelError(f"{path}: there is no model; {RETRAIN}")
    return path / MODEL_NAME if path.is_dir() else path


def _verified(file: Path) -> tuple[Manifest, bytes]:
    """The manifest and the very bytes it vouches for."""
    manifest = _manifest(file.with_name(MANIFEST_NAME))
    content = _bytes(file)
    actual = hashlib.sha256(content).hexdigest()
    if actual != manifest.sha256:
        raise ModelError(
            f"{file}: its SHA-256 is {actual}, but {MANIFEST_NAME} beside it says "
            f"{manifest.sha256}: the file was changed or damaged and is not opened; "
            f"restore it, or {RETRAIN}"
        )
    _check_sklearn(file, manifest)
    return manifest, content


def _check_sklearn(file: Path, manifest: Manifest) -> None:
    # The metadata knows the version without the 1.6 s that importing the library takes.
    from importlib.metadata import version

    installed = version("scikit-learn")
    if installed != manifest.sklearn:
        raise ModelError(
            f"{file}: trained with scikit-learn {manifest.sklearn}, but {installed} is installed; "
            f"install {manifest.sklearn}, or {RETRAIN}"
        )
    if not manifest.id.startswith(f"{SERIES}-"):
        raise ModelError(
            f"{file}: {manifest.id} is not of this program's series {SERIES}; {RETRAIN}"
        )
    if manifest.labels != LABELS:
        raise ModelError(f"{file}: its labels are {', '.join(manifest.labels)}; {RETRAIN}")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror}); {RETRAIN}") from None


def _manifest(path: Path) -> Manifest:
    try:
        data = json.loads(_bytes(path))
        return Manifest(**(data | {"labels": tuple(data["labels"])}))
    except (ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: is no manifest of a model ({error}); {RETRAIN}") from None


def _unpickle(file: Path, content: bytes) -> Any:
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning
    from sklearn.pipeline import Pipeline

    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            pipeline = joblib.load(io.BytesIO(content))
        except Exception as error:
            raise ModelError(f"{file}: cannot be loaded ({error}); {RETRAIN}") from error
    if not isinstance(pipeline, Pipeline):
        raise ModelError(f"{file}: holds no model of ours; {RETRAIN}")
    return pipeline
