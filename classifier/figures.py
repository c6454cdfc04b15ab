"""The figures of judged mails: shares with their intervals, slices, calibration, mistakes.

Plain arithmetic on scores; nothing here trains or reads anything.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from classifier.examples import Example
from classifier.verdict import LABELS, Label

THRESHOLDS = (0.5, 0.8, 0.95)
BINS = 10
MISTAKES = 50
EXCERPT = 300
GENUINE = ("personal", "bulk")
"""What a mail must be for a wrong no to hurt: junk is nobody's loss."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `n`, with the Wilson 95 % interval of the share."""

    hits: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A mail and the probabilities that a model gave which had not seen its block."""

    example: Example
    probabilities: dict[Label, float]

    @property
    def score(self) -> float:
        return self.probabilities["pitch"]

    @property
    def is_pitch(self) -> bool:
        return self.example.label == "pitch"


@dataclass(frozen=True, slots=True)
class Bin:
    """The mails whose score lies in one tenth: their mean score, and the share of pitches."""

    n: int
    score: float
    share: float


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mail whose score is far from the truth, with how it begins."""

    id: str
    label: Label
    kind: str
    score: float
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """The figures. Keys of the inner tables are thresholds as text: "0.50", "0.80", "0.95"."""

    split: str  # "blocks" or "sources"
    examples: dict[str, int]  # counted mails by label
    groups: dict[str, int]
    folds: int
    recall: dict[str, dict[str, Rate]]  # label → mails of it given that label with so much
    precision: dict[str, Rate]  # of mails scored a pitch, those that are; not of your mailbox
    found: dict[str, dict[str, Rate]]  # slice → its pitches scored a pitch
    false_alarms: dict[str, dict[str, Rate]]  # "label/kind" or slice → others scored a pitch
    calibration: list[Bin]
    calibration_error: float  # expected calibration error of the score, all mails alike
    auc: float  # area under the ROC curve, pitch against the rest
    curve: list[tuple[float, float, float]]  # (threshold, recall, precision), downwards
    mistakes: list[Mistake]  # the worst first
    data: dict[str, str]  # SHA-256 of every file read

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def report(
    scored: Sequence[Scored], folds: int, files: dict[str, str], split: str = "blocks"
) -> Report:
    """The figures of judged mails."""
    by_label: dict[str, list[Scored]] = {label: [] for label in LABELS}
    for item in scored:
        by_label[item.example.label].append(item)
    pitches = sliced(by_label["pitch"])
    others: dict[str, list[Scored]] = {}
    for label in LABELS[1:]:
        others |= {f"{label}/{name}": items for name, items in _kinds(by_label[label]).items()}
    others["genuine"] = [item for item in scored if item.example.label in GENUINE]
    others |= sliced([item for item in scored if not item.is_pitch])
    return Report(
        split=split,
        examples={label: len(items) for label, items in by_label.items()},
        groups={label: len({i.example.group for i in by_label[label]}) for label in LABELS},
        folds=folds,
        recall={label: _rates(by_label[label], label) for label in LABELS},
        precision=_precision(scored),
        found={name: _rates(pitches[name], "pitch") for name in sorted(pitches)},
        false_alarms={name: _rates(others[name], "pitch") for name in sorted(others)},
        calibration=calibration(scored),
        calibration_error=round(calibration_error(scored), 4),
        auc=round(_auc(scored), 4),
        curve=curve(scored),
        mistakes=mistakes(scored),
        data=files,
    )


def _kinds(items: Sequence[Scored]) -> dict[str, list[Scored]]:
    found: dict[str, list[Scored]] = {"all": list(items)} if items else {}
    for item in items:
        found.setdefault(item.example.kind, []).append(item)
    return found


def sliced(items: Sequence[Scored]) -> dict[str, list[Scored]]:
    """The mails by source, language, length, year, step of a sequence and, pitches only, kind."""
    found: dict[str, list[Scored]] = defaultdict(list)
    for item in items:
        one = item.example
        found[f"source {one.source}"].append(item)
        found[f"language {one.language}"].append(item)
        found[f"length {_length(len(one.text.split()))}"].append(item)
        found[f"step {'1' if one.step == 1 else '2 and later'}"].append(item)
        if one.year:
            found[f"year {one.year}"].append(item)
        if one.label == "pitch":
            found[f"kind {one.kind}"].append(item)
    return dict(found)


def _length(words: int) -> str:
    limits = (20, 50, 100, 200)
    below = next((limit for limit in limits if words <= limit), None)
    return f"up to {below} words" if below else f"over {limits[-1]} words"


def mistakes(scored: Sequence[Scored]) -> list[Mistake]:
    """The mails whose score is farthest from the truth."""
    worst = sorted(scored, key=lambda item: (-abs(item.is_pitch - item.score), item.example.id))
    return [
        Mistake(e.id, e.label, e.kind, round(item.score, 4), " ".join(e.text.split())[:EXCERPT])
        for item in worst[:MISTAKES]
        for e in [item.example]
    ]


def calibration(scored: Sequence[Scored]) -> list[Bin]:
    """The ten bins of the score, without empty ones."""
    bins: dict[int, list[Scored]] = defaultdict(list)
    for item in scored:
        bins[min(BINS - 1, int(item.score * BINS))].append(item)
    return [
        Bin(
            len(items),
            round(sum(item.score for item in items) / len(items), 4),
            round(sum(item.is_pitch for item in items) / len(items), 4),
        )
        for _, items in sorted(bins.items())
    ]


def calibration_error(scored: Sequence[Scored]) -> float:
    """Mean distance between score and truth over the bins, by the mails in them (ECE)."""
    bins = calibration(scored)
    return sum(one.n * abs(one.score - one.share) for one in bins) / max(1, len(scored))


def curve(scored: Sequence[Scored]) -> list[tuple[float, float, float]]:
    """Recall and precision at every hundredth of a threshold, from 0.99 down to 0.01."""
    pitches = sum(item.is_pitch for item in scored)
    points = []
    for hundredth in range(99, 0, -1):
        over = [item for item in scored if item.score >= hundredth / 100]
        hits = sum(item.is_pitch for item in over)
        precision = hits / len(over) if over else 1.0
        points.append((hundredth / 100, hits / max(1, pitches), precision))
    return points


def _rates(items: Sequence[Scored], label: Label) -> dict[str, Rate]:
    return {
        f"{threshold:.2f}": rate(
            sum(item.probabilities[label] >= threshold for item in items), len(items)
        )
        for threshold in THRESHOLDS
    }


def _precision(scored: Sequence[Scored]) -> dict[str, Rate]:
    table = {}
    for threshold in THRESHOLDS:
        hits = [item for item in scored if item.score >= threshold]
        right = sum(item.is_pitch for item in hits)
        table[f"{threshold:.2f}"] = rate(right, len(hits))
    return table


def rate(hits: int, n: int) -> Rate:
    """The share and its Wilson score interval (z = 1.96); 0 to 1 when there is nothing to count."""
    if n == 0:
        return Rate(0, 0, 0.0, 0.0, 1.0)
    z, share = 1.96, hits / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return Rate(hits, n, round(share, 4), round(low, 4), round(high, 4))


def _auc(scored: Sequence[Scored]) -> float:
    from sklearn.metrics import roc_auc_score

    truth = [item.is_pitch for item in scored]
    if all(truth) or not any(truth):
        return 0.0
    return float(roc_auc_score(truth, [item.score for item in scored]))
