"""`raincheck model`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from classifier import adapt, evaluate, figures, train
from classifier import model as models
from classifier.examples import CorpusError
from classifier.examples import Progress as Tell
from classifier.explain import shown
from classifier.figures import Rate, Report
from classifier.model import Manifest
from classifier.tactic_figures import Figures
from gateway.cli import Failure, pictures
from gateway.cli.common import (
    config_option,
    drawn,
    json_option,
    picture_option,
    print_json,
    settings_from,
    show,
)
from gateway.cli.learn import learn, lessons_file, rollback, say
from gateway.cli.thresholds import thresholds
from gateway.plain import printable

data_option = click.option(
    "--data",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="A folder of further labelled mail, beside the corpus that is shipped. May be repeated.",
)


@click.group()
def model() -> None:
    """The classifier: what it is, whether it may be loaded, how good it is, how to make one."""


model.add_command(thresholds)
model.add_command(learn)
model.add_command(rollback)


@model.command()
@config_option
@json_option
def info(config_path: Path | None, as_json: bool) -> None:
    """Which model judges, and what it was trained on."""
    manifest = _verified(config_path)
    if as_json:
        return print_json(asdict(manifest))
    return show(("What", "Value"), [(k, _shown(v)) for k, v in asdict(manifest).items()], "")


@model.command()
@config_option
def verify(config_path: Path | None) -> None:
    """Say whether the model may be loaded: its SHA-256 and the scikit-learn version must match."""
    manifest = _verified(config_path)
    click.echo(f"{manifest.id}: fine (sha256 {manifest.sha256}, scikit-learn {manifest.sklearn})")


@model.command("train")
@data_option
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Where the model and its manifest are put.",
)
@click.option("--with-feedback", is_flag=True, help="Also from what was released or taught.")
@config_option
def train_(
    config_path: Path | None, data: tuple[Path, ...], out: Path, with_feedback: bool
) -> None:
    """Make a model from the shipped corpus and further folders of labelled mail.

    A folder holds .jsonl files written as those in classifier/corpus are (its README.md gives the
    fields), or the archives that the model card names.

    The model that was in FOLDER is kept: `raincheck model rollback`. With --with-feedback the new
    one learns from this mailbox too, and replaces it only if it is no worse on mail set aside for
    that.

    \b
    Use it afterwards by naming it in the configuration:
      [judge]
      model = "FOLDER"
    """
    if with_feedback:
        taught = lessons_file(settings_from(config_path))
        with _bar() as tell:
            outcome = adapt.adapt(taught, data, out, tell)
        return say(outcome, out)
    with _bar() as tell:
        manifest = train.train(data, out, tell)
    return click.echo(f"{out}: model {manifest.id}, from {sum(manifest.examples.values())} mails")


@model.command("evaluate")
@data_option
@click.option(
    "--by",
    type=click.Choice(["blocks", "sources", "unseen"]),
    default="blocks",
    show_default=True,
    help="What is held out: authors' batches and campaigns, whole sources, or the batches that no "
    "model is trained on: these are judged by the model in use, in seconds.",
)
@click.option(
    "--folds",
    default=evaluate.FOLDS,
    show_default=True,
    type=click.IntRange(2, 20),
    help="Parts the data is split into, with --by blocks.",
)
@click.option(
    "--mistakes",
    default=0,
    type=click.IntRange(0, figures.MISTAKES),
    metavar="N",
    help=f"List the N worst mistakes, to read (at most {figures.MISTAKES}).",
)
@picture_option
@config_option
@json_option
def evaluate_(
    data: tuple[Path, ...],
    by: str,
    folds: int,
    mistakes: int,
    pictures_: tuple[Path, ...],
    config_path: Path | None,
    as_json: bool,
) -> None:
    """How well mail is judged that the model has not seen.

    The whole training is repeated without a part of the data, which is then judged: no author's
    batch and no campaign is both trained on and judged. That takes half an hour. With --by unseen
    the model in use judges mails that are kept apart for that, in seconds.

    Each line has the mails that score 0.50, 0.80 and 0.95 at least, their share, and its 95 %
    interval: of pitches the more the better, of all others the fewer.

    \b
    Examples:
      raincheck model evaluate --picture figures.svg
      raincheck model evaluate --data FOLDER --by sources --mistakes 20
      raincheck model evaluate --by unseen
    """
    if by == "unseen" and data:
        raise click.UsageError("--by unseen judges what is shipped: it takes no --data")
    if by == "sources" and not data:
        raise click.UsageError(
            "--by sources needs --data FOLDER: each source is judged by what the others teach, and "
            "the shipped corpus is one source"
        )
    report, tactics = _evaluated(by, data, folds, config_path)
    if as_json:
        print_json(report.as_dict() | ({"tactics": tactics.as_dict()} if tactics else {}))
    else:
        _print(report, tactics)
        show(("Score", "Is", "Id", "Mail"), _worst(report, mistakes), "")
    for path in pictures_:
        drawn(lambda where: pictures.evaluation(report, where), path)


def _evaluated(
    by: str, data: tuple[Path, ...], folds: int, config_path: Path | None
) -> tuple[Report, Figures | None]:
    """The figures, and those of tactics where they are taken."""
    with _bar() as tell:
        if by == "unseen":
            return evaluate.judge_unseen(models.load(_model(config_path)))
        if by == "sources":
            return evaluate.leave_sources_out(data, tell), None
        return evaluate.evaluate(data, folds, tell), None


def _worst(report: Report, count: int) -> list[tuple[str, str, str, str]]:
    return [
        (f"{one.score:.2f}", f"{one.label}/{one.kind}", one.id, printable(shown(one.text), 200))
        for one in report.mistakes[:count]
    ]


@contextmanager
def _bar() -> Iterator[Tell]:
    """Tells how far long work is; data that cannot be used is exit code 65, a folder that is no
    place for a model 73."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        try:
            yield lambda stage, share: progress.update(task, description=stage, completed=share)
        except CorpusError as error:
            raise Failure(str(error), os.EX_DATAERR) from error
        except models.ModelError as error:
            raise Failure(str(error), os.EX_CANTCREAT) from error


def _model(config_path: Path | None) -> Path | None:
    """The model in use, which may be loaded."""
    _verified(config_path)
    return settings_from(config_path).judge.model


def _verified(config_path: Path | None) -> Manifest:
    settings = settings_from(config_path)
    try:
        return models.verify(settings.judge.model)
    except models.ModelError as error:
        raise Failure(str(error), os.EX_CONFIG) from error


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {one}" for key, one in value.items())
    return ", ".join(value) if isinstance(value, tuple | list) else str(value)


def _print(report: Report, tactics: Figures | None) -> None:
    """The figures that matter most come last, where the eye is when it is done."""
    marks = list(report.precision)
    rows = [
        *((f"pitches found: {name}", rates) for name, rates in report.found.items()),
        *((f"false alarms: {name}", rates) for name, rates in report.false_alarms.items()),
        ("all pitches found", report.recall["pitch"]),
        ("all false alarms on genuine mail", report.false_alarms["genuine"]),
        ("of all alarms, right", report.precision),
    ]
    cells = [
        (name, *(_rate(rates[mark]) for mark in marks)) for name, rates in rows if rates[marks[0]].n
    ]
    show(("Score at least", *marks), cells, "")
    error, auc = report.calibration_error, report.auc
    folds = f", {report.folds} folds" if report.folds > 1 else ""
    click.echo(f"calibration error {error:.3f}, AUC {auc:.3f}{folds}")
    if tactics:
        found, right = tactics.recall(), tactics.precision()
        click.echo(
            f"tactics: of those the authors tagged {found:.0%} are shown; of those shown "
            f"{right:.0%} are tagged"
        )


def _rate(rate: Rate) -> str:
    if not rate.n:
        return "–"
    return f"{rate.hits}/{rate.n} = {rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"
