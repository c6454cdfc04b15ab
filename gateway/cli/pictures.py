"""Figures as pictures: PNG or SVG, by the file's name.

Raises OSError when the file cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from classifier.figures import Report

INK, PALE, ALARM = "#1d3557", "#a8b8c8", "#c1502e"


def evaluation(report: Report, path: Path) -> None:
    """Precision against recall, and how true the scores are, side by side."""
    with _figure(path, 2) as (left, right):
        _precision_recall(left, report)
        _calibration(right, report)


def _precision_recall(axes: Any, report: Report) -> None:
    recall = [point[1] for point in report.curve]
    precision = [point[2] for point in report.curve]
    axes.plot(recall, precision, color=INK)
    for threshold, found in report.recall["pitch"].items():
        right = report.precision[threshold]
        axes.plot(found.share, right.share, "o", color=ALARM)
        axes.annotate(
            threshold, (found.share, right.share), (-6, -14), textcoords="offset points", ha="right"
        )
    axes.set(
        xlim=(0, 1.01),
        ylim=(min(0.5, *precision), 1.01),
        xlabel="recall: of the pitches, those found",
        ylabel="precision: of those found, the pitches",
        title="Found, and found rightly",
    )


def _calibration(axes: Any, report: Report) -> None:
    axes.plot((0, 1), (0, 1), color=PALE, linestyle="--")
    scores = [one.score for one in report.calibration]
    axes.plot(scores, [one.share for one in report.calibration], "o-", color=INK)
    for one in report.calibration:
        axes.annotate(f"{one.n:,}", (one.score, one.share), (4, -12), textcoords="offset points")
    axes.set(
        xlim=(0, 1),
        ylim=(-0.02, 1.02),
        xlabel="score",
        ylabel="share of pitches among the mails with it",
        title=f"Is a score a probability? (error {report.calibration_error:.3f})",
    )


def thresholds(scores: Sequence[float], marks: dict[str, float], path: Path) -> None:
    """How many of a mailbox's mails each threshold would take, with those that are set."""
    with _figure(path, 1) as (axes,):
        steps = [at / 100 for at in range(1, 100)]
        axes.plot(steps, [sum(score >= step for score in scores) for step in steps], color=INK)
        for name, threshold in marks.items():
            axes.axvline(threshold, color=ALARM, linestyle=":")
            axes.annotate(
                f" {name} {threshold:g}",
                (threshold, 0.03),
                xycoords=("data", "axes fraction"),
                rotation=90,
                va="bottom",
            )
        axes.set_yscale("symlog")
        axes.set(
            xlim=(0, 1),
            ylim=(0, None),
            xlabel="threshold",
            ylabel=f"mails of {len(scores):,} that score at least this",
            title="What each threshold would take",
        )


@contextmanager
def _figure(path: Path, count: int) -> Iterator[Sequence[Any]]:
    """So many panels, written to the path at the end."""
    # The object interface alone: pyplot keeps figures and picks a window system.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * count, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    yield figure.subplots(1, count, squeeze=False)[0]
    figure.savefig(path, dpi=120)
