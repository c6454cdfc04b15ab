"""`raincheck model learn` and `raincheck model rollback`; what a release teaches, and what came of
training with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from classifier import adapt, feedback, install
from classifier.adapt import ANSWERED, HELD, Outcome
from classifier.examples import CorpusError
from classifier.feedback import How, NothingSaid, Taught
from classifier.figures import Report
from classifier.message import Limits
from classifier.model import ModelError
from config import Settings
from gateway import mailfiles
from gateway.cli import Failure
from gateway.cli.common import config_option, progress, settings_from, show

RELOAD = "a running gateway takes it up on reload: systemctl reload raincheck, or SIGHUP"


@click.command()
@config_option
@click.option("--pitch", is_flag=True, help="These mails are hard sells.")
@click.option("--genuine", is_flag=True, help="These mails are wanted.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATH…]")
def learn(config_path: Path | None, pitch: bool, genuine: bool, paths: tuple[Path, ...]) -> None:
    """Teach what mails are, or show what was taught. Training makes use of it, nothing before.

    PATH is an .eml file, a directory of files, a Maildir, an mbox, or - for standard input. A
    release from the quarantine teaches by itself. What is kept, text without names and addresses,
    stays in the file that [judge] feedback names; of a mail taught twice the last word counts.

    \b
    Examples:
      raincheck model learn --pitch slipped-through.eml
      raincheck model learn --genuine ~/Maildir/.Clients
      raincheck model learn
      raincheck model train --with-feedback --out FOLDER
    """
    settings = settings_from(config_path)
    if not paths and not pitch and not genuine:
        return _show(lessons_file(settings))
    if not paths or pitch == genuine:
        raise click.UsageError("Name mails, and say what they are: --pitch or --genuine.")
    return _teach(settings, paths, "pitch" if pitch else "personal")


def lessons_file(settings: Settings) -> Path:
    """Where lessons are kept, or an error that says that none are (exit code 78)."""
    if not settings.judge.learns:
        raise Failure('[judge] feedback = "": nothing is kept to learn from', os.EX_CONFIG)
    return settings.judge.feedback


def record(settings: Settings, content: bytes, label: Taught, source: How) -> None:
    """Keep what this mail teaches. Raises NothingSaid and OSError."""
    seconds = settings.judge.timeout.total_seconds()
    limits = Limits(octets=settings.judge.parse_limit, seconds=seconds)
    feedback.append(settings.judge.feedback, feedback.lesson(content, label, source, limits))


def _teach(settings: Settings, paths: Sequence[Path], label: Taught) -> None:
    path = lessons_file(settings)
    try:
        sources = mailfiles.find(paths)
    except OSError as error:
        raise Failure(str(error), os.EX_NOINPUT) from error
    taught = 0
    for source in progress("Learning", sources):
        try:
            content = source.read()
        except OSError as error:
            click.echo(f"{source.name}: left out ({error.strerror})", err=True)
            continue
        try:
            record(settings, content, label, "said")
            taught += 1
        except NothingSaid as error:
            click.echo(f"{source.name}: left out ({error})", err=True)
    if not taught:
        raise Failure(f"no mail to learn from in {', '.join(map(str, paths))}", os.EX_NOINPUT)
    click.echo(f"{path.absolute()}: {taught} taught as {label}")


def _show(path: Path) -> None:
    try:
        counts = Counter((one.label, one.source) for one in feedback.read(path))
        short = adapt.shortage(feedback.examples(path).items)
    except CorpusError as error:
        raise Failure(str(error), os.EX_DATAERR) from error
    rows = [(label, source, str(count)) for (label, source), count in sorted(counts.items())]
    show(("Label", "Taught by", "Mails"), rows, f"{path}: nothing was taught yet.")
    said = short or "Enough to train with: raincheck model train --with-feedback --out FOLDER"
    click.echo(said, err=True)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="FOLDER")
def rollback(folder: Path) -> None:
    """Go back to the model that was in FOLDER before. Twice is as it was.

    `raincheck model train` keeps what it replaces as FOLDER.previous, which this exchanges with
    FOLDER.

    \b
    Example:
      raincheck model rollback var/model && systemctl reload raincheck
    """
    try:
        manifest = install.rollback(folder)
    except ModelError as error:
        raise Failure(str(error), os.EX_NOINPUT) from error
    click.echo(f"{folder}: model {manifest.id} again, of {manifest.created}; {RELOAD}")


def say(outcome: Outcome, folder: Path) -> None:
    """Say what came of training with feedback; exit code 75 when nothing was replaced."""
    rows = [
        (f"pitches found at {HELD}", *map(_found, (outcome.before, outcome.after))),
        *(
            (
                f"false alarms at {mark}",
                *(_alarms(one, mark) for one in (outcome.before, outcome.after)),
            )
            for mark in (HELD, ANSWERED)
        ),
    ]
    show(("On frozen mail", "Without what you taught", "With it"), rows, "")
    if outcome.manifest is None:
        raise Failure(
            f"{folder}: nothing was replaced: with what you taught the model would be worse on "
            "mail it must know; teach more mails, or look for wrong lessons, and train again",
            os.EX_TEMPFAIL,
        )
    count = sum(outcome.manifest.examples.values())
    click.echo(
        f"{folder}: model {outcome.manifest.id}, from {count} mails, {outcome.lessons} yours"
    )
    click.echo(RELOAD)


def _found(figures: Report) -> str:
    rate = figures.recall["pitch"][HELD]
    return f"{rate.hits}/{rate.n}"


def _alarms(figures: Report, mark: str) -> str:
    others = sum(figures.examples.values()) - figures.examples["pitch"]
    return f"{adapt.false_alarms(figures, mark)}/{others}"
