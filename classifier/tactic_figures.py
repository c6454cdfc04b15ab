"""How many tactics are found, and how many of those shown are right, against the authors' tags.

`measure(mails)` counts per tactic on pitches, and on how many other mails any is shown;
`mails(path)` reads them from a file of our corpus. An author tags what stands out and seldom
everything, so the precision counted here is a lower bound.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from classifier import corpus, tactics
from classifier.acts import plain
from classifier.examples import Example, message_of
from classifier.message import Message
from classifier.verdict import Tactic

THREAD = "<earlier@thread.example>"


class Mail(NamedTuple):
    """A training mail with the message it was read from: `find` wants the words as written."""

    example: Example
    message: Message


@dataclass(frozen=True, slots=True)
class Figures:
    """Counts by tactic, on pitches; and of the other mails how many there are of a label, and
    how many of them show any tactic."""

    right: Counter[str] = field(default_factory=Counter)  # tagged and shown
    missed: Counter[str] = field(default_factory=Counter)  # tagged, not shown
    untagged: Counter[str] = field(default_factory=Counter)  # shown, not tagged
    others: Counter[str] = field(default_factory=Counter)
    showing: Counter[str] = field(default_factory=Counter)

    def recall(self, *names: str) -> float:
        """Of the tagged tactics of these names, or of all, the share shown; 0 where none is."""
        return _share(self.right, self.missed, names or tactics.NAMES)

    def precision(self, *names: str) -> float:
        """Of the tactics shown, the share tagged; 0 where none is."""
        return _share(self.right, self.untagged, names or tactics.NAMES)

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Recall and precision of each tactic and of all, to four places."""
        named = {name: (name,) for name in tactics.NAMES} | {"all": tactics.NAMES}
        return {
            name: {
                "found": round(self.recall(*names), 4),
                "right": round(self.precision(*names), 4),
            }
            for name, names in named.items()
        }

    def shown(self, label: str) -> float:
        """Of the mails of this label, the share on which any tactic is shown."""
        return self.showing[label] / self.others[label] if self.others[label] else 0.0


def measure(mails: Iterable[Mail]) -> Figures:
    """What the phrases alone show. A pitch is looked at as one that was recognised, any other mail
    as one that was not."""
    return count(
        (example, tactics.find(message, example.label == "pitch")) for example, message in mails
    )


def count(shown_on: Iterable[tuple[Example, tuple[Tactic, ...]]]) -> Figures:
    """The counts for mails with the tactics shown on each."""
    figures = Figures()
    for example, found in shown_on:
        shown = {tactic.name for tactic in found}
        if example.label == "pitch":
            tagged = {name for name, _ in example.tactics}
            figures.right.update(tagged & shown)
            figures.missed.update(tagged - shown)
            figures.untagged.update(shown - tagged)
        else:
            figures.others[example.label] += 1
            figures.showing[example.label] += bool(shown)
    return figures


def mails(path: Path) -> Iterator[Mail]:
    """The mails of one file of our corpus. Raises CorpusError."""
    lines = path.read_text("utf-8").splitlines()
    for example, line in zip(corpus.batch(path), lines, strict=True):
        yield Mail(example, message(json.loads(line)))


def message(record: dict[str, Any]) -> Message:
    """The mail of a record. The corpus holds no headers, so a subject `Re:` stands in a thread
    where one would: in every mail but a pitch, and in a pitch that follows an earlier one."""
    read = message_of(record["from"], record["subject"], plain(record["body"]))
    follows = int(record.get("step", 1)) > 1 or bool(read.quoted)
    if tactics.REPLY.match(read.subject) and (record["label"] != "pitch" or follows):
        return replace(read, in_reply_to=(THREAD,))
    return read


def _share(right: Counter[str], wrong: Counter[str], names: Iterable[str]) -> float:
    hits = sum(right[name] for name in names)
    total = hits + sum(wrong[name] for name in names)
    return hits / total if total else 0.0
