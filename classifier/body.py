"""A mail's text taken apart: what the writer wrote, what they quoted, how they signed.

`split` gives every line to exactly one of the three; nothing is lost and nothing is rewritten
but blank lines, which are dropped at the edges of a piece and reduced to one within. Text above
and below a quotation both count as the writer's own. Linear in the length; raises nothing.
"""

from __future__ import annotations

from itertools import groupby
from typing import NamedTuple

from classifier.quoting import quoted_lines
from classifier.signature import signature_lines


class BodyParts(NamedTuple):
    """The three pieces of a text, each with `\\n` line ends and without edge blanks."""

    own: str
    quoted: str
    signature: str


def split(text: str) -> BodyParts:
    """Take a plain text (`\\n` line ends) apart."""
    lines = text.split("\n")
    quoted = quoted_lines(lines)
    signed = _signed(lines, quoted)
    own = [
        line for line, theirs, sign in zip(lines, quoted, signed, strict=True) if not theirs | sign
    ]
    if not any(line.strip() for line in own) and not any(quoted):
        # A mail that is all signature says what it says: nothing would be left to judge.
        return BodyParts(_tidy(lines), "", "")
    return BodyParts(
        _tidy(own),
        _tidy([line for line, theirs in zip(lines, quoted, strict=True) if theirs]),
        _tidy([line for line, sign in zip(lines, signed, strict=True) if sign]),
    )


def _signed(lines: list[str], quoted: list[bool]) -> list[bool]:
    """Signature marks, looked for in each run of lines between quotations."""
    signed: list[bool] = []
    for theirs, run in groupby(range(len(lines)), key=quoted.__getitem__):
        numbers = list(run)
        signed += [False] * len(numbers) if theirs else signature_lines([lines[i] for i in numbers])
    return signed


def _tidy(lines: list[str]) -> str:
    kept: list[str] = []
    for line in lines:
        bare = line.rstrip()
        if bare or (kept and kept[-1]):
            kept.append(bare)
    return "\n".join(kept).strip("\n")
