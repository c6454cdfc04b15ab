"""Lessons, letters and models for the tests of what the user teaches."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from classifier import install
from classifier import model as models
from classifier.examples import Example
from classifier.feedback import Lesson, append
from classifier.figures import Report, Scored, report
from classifier.verdict import LABELS, Label


def taught(number: int, label: str = "personal", text: str = "", **fields: str) -> Lesson:
    mark = f"{chr(97 + number % 26)}{chr(97 + number // 26)}"
    words = text or " ".join(f"{word}{mark}" for word in ("lantern", "harvest", "meadow", "quarry"))
    plain = Lesson(f"id{number}", label, words, f"s{number}", "said", "2026-03-03T08:00:00+00:00")  # type: ignore[arg-type]
    return replace(plain, **fields)  # type: ignore[arg-type]


def teach(path: Path, lessons: list[Lesson]) -> Path:
    for one in lessons:
        append(path, one)
    return path


def example(number: int, **fields: Any) -> Example:
    whole = {
        "label": "personal",
        "kind": "k",
        "group": f"g{number}",
        "sender": "s",
        "source": "own",
    }
    return Example(id=str(number), text=f"text {number}", **(whole | fields))


def figures(pitches: list[float], others: list[float]) -> Report:
    def scored(label: Label, score: float, number: int) -> Scored:
        rest = dict.fromkeys(LABELS, (1 - score) / 3)
        return Scored(example(number, label=label), rest | {"pitch": score})

    mails = [scored("pitch", score, n) for n, score in enumerate(pitches)]
    return report([*mails, *(scored("bulk", s, n) for n, s in enumerate(others, 900))], 1, {})


def letter(number: int) -> bytes:
    """A genuine mail in the words of a pitch, each with words of its own."""
    places = ("choir", "parish", "allotment", "rowing", "village", "history", "bridge", "chess")
    mark = f"{places[number % 8]}{chr(97 + number // 8)}"
    words = "We offer {m} your company {m} a free quote {m} for SEO {m} and a call about {m} sales"
    return (
        f"From: Jo <jo{number}@club{number}.example>\r\nSubject: The {mark}\r\n\r\n"
        f"{words.format(m=mark)} at the society.\r\n"
    ).encode()


def named(words: str) -> str:
    """The id of the model that `write` makes of these words."""
    return f"{models.SERIES}-{words}"


def write(folder: Path, words: str) -> models.Manifest:
    """A model as far as `verify` looks."""
    octets = words.encode()
    manifest = models.Manifest(
        id=named(words),
        file=models.MODEL_NAME,
        sha256=hashlib.sha256(octets).hexdigest(),
        sklearn=version("scikit-learn"),
        python="3",
        created="2026-03-03",
        labels=LABELS,
        examples={},
        groups={},
        features={},
        temperature=1.0,
        data={},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / models.MODEL_NAME).write_bytes(octets)
    (folder / models.MANIFEST_NAME).write_text(manifest.dump())
    return manifest


def content(folder: Path) -> bytes:
    models.verify(folder)
    return (folder / models.MODEL_NAME).read_bytes()


def put(folder: Path, words: str) -> None:
    install.put(folder, lambda fresh: write(fresh, words))
