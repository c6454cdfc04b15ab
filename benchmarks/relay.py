"""How fast the gateway relays, beside the next hop alone and beside Postfix, in one run.

    python benchmarks/relay.py [--connections 10] [--seconds 3] [--rounds 5] [--json FILE]

Every round measures each of them once, in an order that turns from round to round, so that a slow
moment of the machine meets them all. The table shows medians over the rounds; a ratio is taken
within its round first. Exit code 1 when a mail was refused, lost or delivered twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import load
import peers
from rich.console import Console
from rich.table import Table

ALONE = "next hop alone"
DRAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Target:
    """Something to send to. `relays`: whether what it takes reaches the sink."""

    name: str
    port: int
    recipient: str
    relays: bool


@dataclass(frozen=True)
class Row:
    """One run. Rates in mails a second, latencies in milliseconds. `lost` is negative for mails
    that came twice."""

    name: str
    connections: int
    round: int
    accepted: int
    failed: int
    lost: int
    rate: float
    delivered_rate: float | None
    p50: float
    p99: float


def measure(
    target: Target, sink: int, number: int, connections: int, seconds: float, size: int
) -> Row:
    """Load a target once, and wait until the sink has everything it accepted."""
    before, begun = peers.taken(sink), time.perf_counter()
    result = asyncio.run(
        load.run(
            target.port,
            target.recipient,
            load.mails(size),
            connections=connections,
            seconds=seconds,
        )
    )
    lost, drained = 0, result.seconds
    if target.relays:
        arrived = _drained(sink, before + result.accepted)
        lost, drained = before + result.accepted - arrived, time.perf_counter() - begun
    latencies = sorted(result.latencies) or [0.0]
    return Row(
        name=target.name,
        connections=connections,
        round=number,
        accepted=result.accepted,
        failed=result.failed,
        lost=lost,
        rate=result.accepted / result.seconds,
        delivered_rate=result.accepted / drained if target.relays else None,
        p50=1000 * latencies[len(latencies) // 2],
        p99=1000 * latencies[int(len(latencies) * 0.99)],
    )


def _drained(sink: int, wanted: int) -> int:
    end = time.monotonic() + DRAIN_SECONDS
    while (arrived := peers.taken(sink)) < wanted and time.monotonic() < end:
        time.sleep(0.01)
    return arrived


def run_rounds(
    targets: Sequence[Target], sink: int, connections: int, seconds: float, rounds: int, size: int
) -> list[Row]:
    """Every target once a round, after a short warm-up of each."""
    for target in targets:
        measure(target, sink, -1, connections, min(1.0, seconds), size)
    rows = []
    for number in range(rounds):
        turn = number % len(targets)
        for target in [*targets[turn:], *targets[:turn]]:
            rows.append(measure(target, sink, number, connections, seconds, size))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return rows


def table(rows: Sequence[Row]) -> Table:
    """Medians over the rounds."""
    shown = Table(title="mails relayed on this machine, medians over the rounds")
    shown.add_column("target")
    for heading in ("conns", "mails/s", "arrived/s", "of hop", "p50 ms", "p99 ms"):
        shown.add_column(heading, justify="right")
    alone = {(row.connections, row.round): row.rate for row in rows if row.name == ALONE}
    for name, connections in dict.fromkeys((row.name, row.connections) for row in rows):
        own = [row for row in rows if (row.name, row.connections) == (name, connections)]
        ratios = [row.rate / alone[row.connections, row.round] for row in own]
        delivered = [row.delivered_rate for row in own if row.delivered_rate is not None]
        shown.add_row(
            name,
            str(connections),
            f"{statistics.median(row.rate for row in own):,.0f}",
            f"{statistics.median(delivered):,.0f}" if delivered else "-",
            f"{statistics.median(ratios):.1%}",
            f"{statistics.median(row.p50 for row in own):.1f}",
            f"{statistics.median(row.p99 for row in own):.1f}",
        )
    return shown


def _targets(stack: contextlib.ExitStack, sink: int, workers: int) -> list[Target]:
    gateway = stack.enter_context(peers.gateway(sink, workers))
    targets = [
        Target(ALONE, sink, peers.DELIVERED, relays=True),
        Target("raincheck, delivers", gateway, peers.DELIVERED, relays=True),
        Target("raincheck, holds", gateway, peers.HELD, relays=False),
    ]
    try:
        queue = stack.enter_context(peers.postfix(sink))
    except peers.Missing as reason:
        print(f"left out: Postfix. {reason}", file=sys.stderr)
    else:
        targets.append(Target("postfix, queues", queue, peers.DELIVERED, relays=True))
    return targets


def _report(rows: Sequence[Row], file: Path | None) -> None:
    Console().print(table(rows))
    if file:
        machine = {"cores": os.cpu_count(), "python": platform.python_version()}
        report = {"machine": machine, "rows": [asdict(row) for row in rows]}
        file.write_text(json.dumps(report, indent=1) + "\n")
    faults = [row for row in rows if row.failed or row.lost]
    for row in faults:
        print(f"fault: {row}", file=sys.stderr)
    sys.exit(1 if faults else 0)


@click.command(help=__doc__)
@click.option("--connections", "counts", default=[10], multiple=True, type=click.IntRange(1, 200))
@click.option("--seconds", default=3.0, type=click.FloatRange(0.2, 60), show_default=True)
@click.option("--rounds", default=5, type=click.IntRange(1, 50), show_default=True)
@click.option("--size", default=3000, type=click.IntRange(300, 1_000_000), help="octets a mail")
@click.option("--workers", default=0, type=click.IntRange(0, 64), help="0: one per core")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path))
def main(
    counts: Sequence[int], seconds: float, rounds: int, size: int, workers: int, file: Path | None
) -> None:
    rows: list[Row] = []
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(peers.sink())
        try:
            targets = _targets(stack, sink, workers)
        except peers.Missing as reason:
            raise click.ClickException(f"the gateway: {reason}") from reason
        for connections in counts:
            rows += run_rounds(targets, sink, connections, seconds, rounds, size)
    _report(rows, file)


if __name__ == "__main__":
    main()
