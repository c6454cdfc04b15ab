"""`raincheck model`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from classifier import corpus, evaluate, train
from classifier import model as models
from classifier.evaluate import Rate, Report
from classifier.model import Manifest
from gateway.cli import Failure
from gateway.cli.common import config_option, json_option, print_json, settings_from, show

data_option = click.option(
    "--data",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    metavar="FOLDER",
    help="The training data.",
)


@click.group()
def model() -> None:
    """The classifier: what it is, whether it may be loaded, how good it is, how to make one."""


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
def train_(data: Path, out: Path) -> None:
    """Make a model from a folder of labelled mail.

    \b
    Use it afterwards by naming it in the configuration:
      [judge]
      model = "FOLDER"
    """
    with _bar() as tell:
        manifest = train.train(data, out, tell)
    click.echo(f"{out}: model {manifest.id}, from {sum(manifest.examples.values())} mails")


@model.command("evaluate")
@data_option
@click.option(
    "--folds",
    default=evaluate.FOLDS,
    show_default=True,
    type=click.IntRange(2, 20),
    help="Parts the data is split into.",
)
@json_option
def evaluate_(data: Path, folds: int, as_json: bool) -> None:
    """How well mail is judged that the model has not seen, by cross-validation.

    The data is split by campaign, so that no campaign is both trained on and judged. Each figure
    stands with its 95 % interval.
    """
    with _bar() as tell:
        report = evaluate.evaluate(data, folds, tell)
    if as_json:
        return print_json(report.as_dict())
    return _print(report)


@contextmanager
def _bar() -> Iterator[Callable[[str, float], None]]:
    """Tells how far long work is; data that cannot be used is exit code 65."""
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=1.0)
        try:
            yield lambda stage, share: progress.update(task, description=stage, completed=share)
        except corpus.CorpusError as error:
            raise Failure(str(error), os.EX_DATAERR) from error


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


def _print(report: Report) -> None:
    marks = list(report.precision)
    rows = [
        (f"{label} found", *(_rate(rates[mark]) for mark in marks))
        for label, rates in report.recall.items()
    ]
    rows += [
        (f"false alarms: {kind}", *(_rate(rates[mark]) for mark in marks))
        for kind, rates in report.false_alarms.items()
    ]
    rows += [("of alarms, right", *(_rate(report.precision[mark]) for mark in marks))]
    show(("Score at least", *marks), rows, "")
    error, auc = report.calibration_error, report.auc
    click.echo(f"calibration error {error:.3f}, AUC {auc:.3f}, {report.folds} folds")


def _rate(rate: Rate) -> str:
    return f"{rate.hits}/{rate.n} = {rate.share:.1%} ({rate.low:.1%} to {rate.high:.1%})"
