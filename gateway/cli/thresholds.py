"""`raincheck model thresholds`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from classifier import model as models
from classifier.message import Limits, read
from config import Settings
from gateway import mailfiles
from gateway.cli import Failure, pictures
from gateway.cli.common import (
    config_option,
    drawn,
    json_option,
    picture_option,
    print_json,
    progress,
    settings_from,
    show,
)
from gateway.plain import printable

STEPS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99)
NEAR = 12
"""Mails shown just above the quarantine threshold: the first to be set free by raising it."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the table needs of a mail."""

    path: str
    sender: str
    subject: str
    score: float


@click.command()
@config_option
@picture_option
@json_option
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
def thresholds(
    config_path: Path | None, pictures_: tuple[Path, ...], as_json: bool, paths: tuple[Path, ...]
) -> None:
    """What each threshold would have done to your own mailbox. Changes nothing.

    PATH is an .eml file, a directory of files, a Maildir, or an mbox. Only the text is judged:
    contacts, and replies to your mail, are never held whatever they score.

    \b
    Examples:
      raincheck model thresholds ~/Maildir
      raincheck model thresholds --picture thresholds.png archive.mbox
    """
    settings = settings_from(config_path)
    mails = _judged(settings, paths)
    marks = {name: getattr(settings.thresholds, name) for name in ("tag", "quarantine", "answer")}
    if as_json:
        print_json(as_dict(mails, marks))
    else:
        _print(mails, marks)
    for path in pictures_:
        drawn(lambda where: pictures.thresholds([m.score for m in mails], marks, where), path)


def _print(mails: Sequence[Judged], marks: dict[str, float]) -> None:
    show(("Threshold", "Mails", "Share", "Is set as"), rows(mails, marks), "")
    click.echo(f"\nOf {len(mails)} mails, the nearest above quarantine = {marks['quarantine']:g}:")
    near = [
        (f"{one.score:.3f}", printable(one.sender, 40), printable(one.subject, 60), one.path)
        for one in nearest(mails, marks["quarantine"])
    ]
    show(("Score", "From", "Subject", "Path"), near, "none")


def _judged(settings: Settings, paths: Sequence[Path]) -> list[Judged]:
    try:
        sources = mailfiles.find(paths)
        model = models.load(settings.judge.model)
    except OSError as error:
        raise Failure(str(error), os.EX_NOINPUT) from error
    except models.ModelError as error:
        raise Failure(str(error), os.EX_CONFIG) from error
    if not sources:
        raise Failure(f"no mail in {', '.join(map(str, paths))}", os.EX_NOINPUT)
    seconds = settings.judge.timeout.total_seconds()
    limits = Limits(octets=settings.judge.parse_limit, seconds=seconds)
    mails = []
    for source in progress("Judging", sources):
        try:
            message = read(source.read(), limits)
        except OSError as error:
            click.echo(f"{source.name}: left out ({error.strerror})", err=True)
            continue
        score = model.judge(message).score
        mails.append(Judged(source.name, message.author, message.subject, score))
    return mails


def rows(mails: Sequence[Judged], marks: dict[str, float]) -> list[tuple[str, ...]]:
    """For each threshold how many mails score at least that, their share, and what it is set as."""
    return [
        (
            f"{step:g}",
            f"{taken:,}",
            f"{taken / max(1, len(mails)):.2%}",
            ", ".join(name for name, mark in marks.items() if mark == step),
        )
        for step in sorted({*STEPS, *marks.values()})
        for taken in [sum(one.score >= step for one in mails)]
    ]


def nearest(mails: Sequence[Judged], threshold: float) -> list[Judged]:
    """The mails that a slightly higher threshold would set free, the nearest first."""
    above = [one for one in mails if one.score >= threshold]
    return sorted(above, key=lambda one: one.score)[:NEAR]


def as_dict(mails: Sequence[Judged], marks: dict[str, float]) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "mails": len(mails),
        "set": marks,
        "taken": {
            f"{step:g}": sum(one.score >= step for one in mails)
            for step in sorted({*STEPS, *marks.values()})
        },
        "nearest": [
            {"path": m.path, "from": m.sender, "subject": m.subject, "score": round(m.score, 4)}
            for m in nearest(mails, marks["quarantine"])
        ],
    }
