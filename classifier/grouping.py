"""Which training mails belong together, and how much each of them counts."""

from __future__ import annotations

import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace

from classifier.examples import Example
from classifier.verdict import Label

SHINGLE = 6  # words that make one shingle
SKETCH = 12  # shingles that stand for a text
SAME, KIN = 10, 4  # shared shingles from which texts are one text, or one group
COMMON = 150  # a shingle in so many texts is a stock phrase and joins nothing

MIX: dict[Label, float] = {"pitch": 0.25, "personal": 0.45, "bulk": 0.17, "junk": 0.13}
"""The share each label gets in training, whatever the number of its mails."""
SOURCE_FACTOR = {"own": 2.5, "genuine": 3.0, "spamassassin": 2.0, "pitches": 2.0}
"""How much a source counts within its label, against 1: list discussion is easy to come by, and by
numbers alone it would define what `personal` means. Chosen on held-out blocks among seven sets."""


def regroup(examples: Iterable[Example]) -> list[Example]:
    """Near-identical and empty texts dropped, the first kept; kin joined into one group."""
    kept: list[Example] = []
    holders: dict[int, list[int]] = defaultdict(list)
    parent: list[int] = []
    for example in examples:
        sketch = _sketch(example.text)
        shared = Counter(at for shingle in sketch for at in holders[shingle])
        # A twin uses the same words for the opposite: that is what it is there for.
        same = [count for other, count in shared.items() if kept[other].label == example.label]
        if not sketch or max(same, default=0) >= min(SAME, len(sketch)):
            continue
        at = len(kept)
        kept.append(example)
        parent.append(at)
        for other in [other for other, count in shared.items() if count >= KIN]:
            parent[_root(parent, other)] = _root(parent, at)
        for shingle in sketch:
            if len(holders[shingle]) < COMMON:
                holders[shingle].append(at)
    _join_named(kept, parent)
    grouped = []
    for at, example in enumerate(kept):
        group = f"g{_root(parent, at)}"
        grouped.append(replace(example, group=group, block=example.block or group))
    return grouped


def _join_named(kept: list[Example], parent: list[int]) -> None:
    """Join what carries the same group name or the same sender."""
    first: dict[str, int] = {}
    for at, example in enumerate(kept):
        for key in (f"group {example.group}", f"sender {example.sender}"):
            other = first.setdefault(key, at)
            parent[_root(parent, other)] = _root(parent, at)


def _root(parent: list[int], at: int) -> int:
    while parent[at] != at:
        parent[at] = parent[parent[at]]
        at = parent[at]
    return at


def _sketch(text: str) -> list[int]:
    """The smallest hashes among the text's shingles: texts alike have many of them in common."""
    words = re.findall(r"\w+", text.lower())
    span = max(1, len(words) - SHINGLE + 1)
    shingles = (" ".join(words[at : at + SHINGLE]) for at in range(span))
    return sorted({zlib.crc32(shingle.encode()) for shingle in shingles if shingle})[:SKETCH]


def weigh(examples: list[Example]) -> list[Example]:
    """Weights so that each label has its share of `MIX`, a group of n mails counts as the square
    root of n, and so does a source, times its factor."""
    sizes = Counter(example.group for example in examples)
    raw = [sizes[example.group] ** -0.5 for example in examples]
    by_source: dict[tuple[Label, str], float] = defaultdict(float)
    for example, weight in zip(examples, raw, strict=True):
        by_source[example.label, example.source] += weight
    shares = _shares(by_source)
    return [
        replace(example, weight=len(examples) * weight * shares[key] / by_source[key])
        for example, weight in zip(examples, raw, strict=True)
        for key in [(example.label, example.source)]
    ]


def _shares(mass: dict[tuple[Label, str], float]) -> dict[tuple[Label, str], float]:
    """The share of all weight that each source of each label gets; they sum to 1."""
    counts = {key: SOURCE_FACTOR.get(key[1], 1.0) * mass[key] ** 0.5 for key in mass}
    total: dict[Label, float] = defaultdict(float)
    for (label, _), count in counts.items():
        total[label] += count
    mixed = sum(MIX[label] for label in total)
    return {key: MIX[key[0]] / mixed * count / total[key[0]] for key, count in counts.items()}
