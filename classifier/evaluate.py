"""How well the training does on senders it has not seen: group-split cross-validation.

`evaluate(folder)` trains with the very code of `train` on all groups but a fold's, judges that
fold's mails, and so judges every mail once by a model that saw neither it, nor its sender, nor its
campaign. Templates are trained on but not counted. The figures hold for the archives in the
folder and for no other mail. Raises CorpusError.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from classifier import corpus
from classifier.corpus import Example
from classifier.train import SEED, fit
from classifier.verdict import LABELS, Label

THRESHOLDS = (0.5, 0.8, 0.95)
FOLDS = 5
BINS = 10

Progress = Callable[[str, float], None]


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
    """A mail and the probabilities that a model gave which had not seen its group."""

    example: Example
    probabilities: dict[Label, float]


@dataclass(frozen=True, slots=True)
class Report:
    """The figures. Keys of the inner tables are thresholds as text: "0.50", "0.80", "0.95"."""

    examples: dict[str, int]  # counted mails by label
    groups: dict[str, int]
    folds: int
    recall: dict[str, dict[str, Rate]]  # label → mails of it given that label with so much
    precision: dict[str, Rate]  # of mails scored a pitch, those that are; not of your mailbox
    false_alarms: dict[str, dict[str, Rate]]  # "label/kind" → mails of it scored a pitch
    calibration_error: float  # expected calibration error of the score, all mails alike
    auc: float  # area under the ROC curve, pitch against the rest
    data: dict[str, str]  # SHA-256 of every file read

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def evaluate(data: Path, folds: int = FOLDS, progress: Progress | None = None) -> Report:
    """Cross-validate on the folder `data`. `progress` hears (stage, share done)."""
    tell = progress or (lambda _stage, _share: None)
    examples = corpus.read(data, lambda name, share: tell(f"reading {name}", 0.1 * share))
    scored: list[Scored] = []
    for number, (inside, outside) in enumerate(split(examples.items, folds)):
        tell(f"fold {number + 1} of {folds}", 0.1 + 0.9 * number / folds)
        scored.extend(_judged(inside, outside))
    tell("done", 1.0)
    return report(scored, folds, examples.files)


def split(examples: Sequence[Example], folds: int) -> Iterator[tuple[list[Example], list[Example]]]:
    """(trained on, judged) of each fold; a group is never on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    labels = [example.label for example in examples]
    groups = [example.group for example in examples]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=SEED)
    for inside, outside in splitter.split(labels, labels, groups):
        yield [examples[at] for at in inside], [examples[at] for at in outside]


def _judged(inside: list[Example], outside: list[Example]) -> Iterator[Scored]:
    pipeline, _ = fit(inside)
    counted = [example for example in outside if example.real]
    rows = pipeline.predict_proba([example.text for example in counted])
    for example, row in zip(counted, rows, strict=True):
        yield Scored(example, {label: float(p) for label, p in zip(LABELS, row, strict=True)})


def report(scored: Sequence[Scored], folds: int, files: dict[str, str]) -> Report:
    """The figures of judged mails."""
    by_label: dict[str, list[Scored]] = {label: [] for label in LABELS}
    by_kind: dict[str, list[Scored]] = defaultdict(list)
    for item in scored:
        by_label[item.example.label].append(item)
        if item.example.label != "pitch":
            by_kind[f"{item.example.label}/{item.example.kind}"].append(item)
    alarms = {f"{label}/all": by_label[label] for label in LABELS[1:]} | dict(by_kind)
    return Report(
        examples={label: len(items) for label, items in by_label.items()},
        groups={label: len({i.example.group for i in by_label[label]}) for label in LABELS},
        folds=folds,
        recall={label: _rates(by_label[label], label) for label in LABELS},
        precision=_precision(scored),
        false_alarms={name: _rates(alarms[name], "pitch") for name in sorted(alarms)},
        calibration_error=round(_calibration_error(scored), 4),
        auc=round(_auc(scored), 4),
        data=files,
    )


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
        hits = [item for item in scored if item.probabilities["pitch"] >= threshold]
        right = sum(item.example.label == "pitch" for item in hits)
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


def _calibration_error(scored: Sequence[Scored]) -> float:
    """Mean distance between score and truth over ten equal bins, by the mails in them."""
    bins: dict[int, list[Scored]] = defaultdict(list)
    for item in scored:
        bins[min(BINS - 1, int(item.probabilities["pitch"] * BINS))].append(item)
    gaps = (
        abs(sum(i.probabilities["pitch"] - (i.example.label == "pitch") for i in items))
        for items in bins.values()
    )
    return sum(gaps) / max(1, len(scored))


def _auc(scored: Sequence[Scored]) -> float:
    from sklearn.metrics import roc_auc_score

    truth = [item.example.label == "pitch" for item in scored]
    if all(truth) or not any(truth):
        return 0.0
    return float(roc_auc_score(truth, [item.probabilities["pitch"] for item in scored]))
