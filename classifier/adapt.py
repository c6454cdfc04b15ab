"""Training with what the user taught, and the test a model has to pass before it replaces another.

A fixed fifth of the blocks of our own corpus is frozen. Two models are trained on the rest, one
with the lessons and one without, and both judge the frozen mails. If the lessons cost nothing (see
`no_worse`), a model is trained on everything and put in place; otherwise nothing is replaced. So
wrong lessons cannot undo what the corpus taught.

Raises CorpusError when there are too few lessons or the data cannot be used, ModelError when the
folder holds something else than a model, and OSError.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from classifier import corpus, feedback, install
from classifier.evaluate import judged
from classifier.examples import CorpusError, Example, Examples, Progress
from classifier.figures import Report, report
from classifier.model import Manifest
from classifier.train import fit, write
from classifier.verdict import LABELS

LEAST = 20
"""Lessons before anything is learnt."""
LEAST_OF_LABEL = 5
"""Lessons of each label that is taught at all."""
MOST = 0.1
"""What all lessons together may weigh, against the corpus."""
FROZEN = 5
"""One in so many blocks is frozen."""
HELD, ANSWERED = "0.80", "0.95"
"""The thresholds at which false alarms hurt."""
LOSS = 0.01
"""The share of pitches, of those found without the lessons, that may go unfound with them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the frozen mails were judged without the lessons and with them. `manifest` is that of
    the model now in place; None where it would have been worse, and nothing was replaced."""

    lessons: int
    before: Report
    after: Report
    manifest: Manifest | None


def adapt(
    lessons_file: Path, data: Sequence[Path], out: Path, progress: Progress | None = None
) -> Outcome:
    """Train with the lessons on our own corpus and the folders `data`, and put the model into
    `out` if it is no worse than one without them."""
    tell = progress or (lambda _stage, _share: None)
    lessons = feedback.examples(lessons_file)
    if short := shortage(lessons.items):
        raise CorpusError(f"{lessons_file}: {short}")
    install.check(out)
    examples = corpus.read(data, lambda name, share: tell(f"reading {name}", 0.05 * share))
    before, after = trial(examples.items, lessons.items, _part(tell, 0.05, 0.65))
    if not no_worse(before, after):
        tell("done", 1.0)
        return Outcome(len(lessons.items), before, after, None)
    taught = weighed(lessons.items, examples.items)
    whole = Examples((*examples.items, *taught), examples.files | lessons.files)
    pipeline, temperature = fit(whole.items, _part(tell, 0.65, 0.98))
    tell("putting it in place", 0.98)
    manifest = install.put(out, lambda folder: write(whole, pipeline, temperature, folder))
    tell("done", 1.0)
    return Outcome(len(taught), before, after, manifest)


def shortage(lessons: Sequence[Example]) -> str:
    """What is missing before anything is learnt, in words; '' when there are enough."""
    counts = Counter(one.label for one in lessons)
    if len(lessons) >= LEAST and min(counts.values()) >= LEAST_OF_LABEL:
        return ""
    there = ", ".join(f"{counts[label]} {label}" for label in LABELS if counts[label])
    return (
        f"{len(lessons)} different mails were taught{f' ({there})' if there else ''}; nothing is "
        f"learnt from fewer than {LEAST}, nor from fewer than {LEAST_OF_LABEL} of a label. Teach "
        "more: raincheck model learn --pitch PATH, or --genuine PATH"
    )


def trial(
    examples: Sequence[Example], lessons: Sequence[Example], progress: Progress
) -> tuple[Report, Report]:
    """The figures of the frozen mails, without the lessons and with them."""
    rest, frozen = parted(examples)
    without, _ = fit(rest, _part(progress, 0.0, 0.5))
    before = report(judged(without, frozen), 1, {})
    taught, _ = fit([*rest, *weighed(lessons, rest)], _part(progress, 0.5, 1.0))
    return before, report(judged(taught, frozen), 1, {})


def parted(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """(the rest, the frozen mails): by the hash of a block's name, so the same in every run."""
    blocks = {example.block for example in examples if example.source == "own"}
    ranked = sorted(blocks, key=lambda block: hashlib.sha256(block.encode()).digest())
    chosen = set(ranked[: max(1, len(blocks) // FROZEN)])
    frozen = [one.source == "own" and one.block in chosen for one in examples]
    return (
        [one for one, held_out in zip(examples, frozen, strict=True) if not held_out],
        [one for one, held_out in zip(examples, frozen, strict=True) if held_out],
    )


def weighed(lessons: Sequence[Example], examples: Sequence[Example]) -> list[Example]:
    """The lessons with their weights beside these examples: a lesson counts as a mail of the corpus
    does on average, a group of n as the square root of n, all of them as `MOST` at most."""
    sizes = Counter(one.group for one in lessons)
    each = [sizes[one.group] ** -0.5 for one in lessons]
    total = sum(one.weight for one in examples)
    scale = min(1.0, MOST * total / sum(each))
    return [replace(one, weight=scale * w) for one, w in zip(lessons, each, strict=True)]


def no_worse(before: Report, after: Report) -> bool:
    """Whether there is not one false alarm more, and hardly a pitch less."""
    was, now = before.recall["pitch"][HELD], after.recall["pitch"][HELD]
    return now.hits >= was.hits - LOSS * was.n and all(
        false_alarms(after, mark) <= false_alarms(before, mark) for mark in (HELD, ANSWERED)
    )


def false_alarms(figures: Report, mark: str) -> int:
    """Mails that are no pitch and score so much."""
    alarms = figures.precision[mark]
    return alarms.n - alarms.hits


def _part(tell: Progress, start: float, end: float) -> Progress:
    """Progress of a part of the work."""
    return lambda stage, share: tell(stage, start + (end - start) * share)
