"""One training mail, and a collection of them: what the readers give and training takes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import getaddresses

from classifier import body
from classifier.message import Mailbox, Message
from classifier.text import CAP, name_tokens
from classifier.verdict import LABELS, Label

Progress = Callable[[str, float], None]
"""Hears what long work is doing, and the share of it that is done."""


_ANGLED = re.compile(r"([^<>]*)<([^<>\s]+@[^<>\s]+)>\s*")


class CorpusError(Exception):
    """The training data cannot be used: names the folder or file and what is missing."""


@dataclass(frozen=True, slots=True)
class Example:
    """One training mail.

    `text` is normalised. `group` is a campaign, a sequence or a sender; `block` is what never spans
    a split: a group of the archives, a whole author batch of our own corpus. `weight` is relative,
    with mean 1. `real` is False for templates, which are no evidence of quality. `acts` are the
    mail's pieces with what they do, where an author said so; `tactics` (name, quote) likewise.
    """

    id: str
    text: str
    label: Label
    kind: str
    group: str
    sender: str
    source: str
    block: str = ""
    weight: float = 1.0
    language: str = "en"
    year: int = 0  # 0: unknown
    step: int = 1  # of a sequence
    real: bool = True
    names: frozenset[str] = frozenset()  # words of the names on the mail
    acts: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    tactics: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Examples:
    """A corpus: the examples in a fixed order, and the SHA-256 of every file read."""

    items: tuple[Example, ...]
    files: dict[str, str]


def message_of(sender: str, subject: str, text: str) -> Message:
    """A message of which only these are known."""
    own, quoted, signature = body.split(text[: 2 * CAP])
    people = [pair for pair in getaddresses([sender]) if any(pair)]
    if not people and (match := _ANGLED.fullmatch(sender)):
        # From Python 3.13 on a display name that ought to be quoted is refused as a whole.
        people = [(match[1].strip(), match[2])]
    return Message(
        from_=tuple(_mailbox(name, address) for name, address in people),
        subject=subject,
        text=text,
        own_text=own,
        quoted=quoted,
        signature=signature,
    )


def _mailbox(name: str, address: str) -> Mailbox:
    # The record may know a name only, which the address parser then takes for an address.
    return Mailbox(name, address) if "@" in address else Mailbox(name or address, "")


def names_on(message: Message) -> frozenset[str]:
    """The words of the names of everybody on the mail."""
    return name_tokens((*message.from_, *message.to, *message.cc))


def checked_label(value: object, where: str) -> Label:
    """The label, if it is one. Raises ValueError."""
    for label in LABELS:
        if value == label:
            return label
    raise ValueError(f"{where}: label {value!r} is none of {', '.join(LABELS)}")
