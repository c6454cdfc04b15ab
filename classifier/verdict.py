"""What the judge says of one mail. Plain values, cheap to import and to pickle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Label = Literal["pitch", "personal", "bulk", "junk"]
LABELS: tuple[Label, ...] = ("pitch", "personal", "bulk", "junk")


@dataclass(frozen=True, slots=True)
class Tactic:
    """A sales manoeuvre, with the words it was recognised by."""

    name: str
    quote: str


@dataclass(frozen=True, slots=True)
class Term:
    """Words of the mail and how far they moved the score towards `pitch`, in log-odds.

    With an `act` it is a whole sentence: one of `classifier.acts`, `subject` for the subject line,
    or `unsure`. It stands at `start` to `end` of the message's own text; elsewhere when `end` is 0.
    """

    text: str
    weight: float
    act: str = ""
    start: int = 0
    end: int = 0

    @property
    def is_sentence(self) -> bool:
        return bool(self.act)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement. `score` is the calibrated probability of an unsolicited hard sell, 0 to 1;
    `probabilities` sums to 1 over the four labels; `terms` are the strongest first."""

    label: Label
    score: float
    probabilities: dict[Label, float]
    model: str
    tactics: tuple[Tactic, ...] = ()
    terms: tuple[Term, ...] = field(default=())
