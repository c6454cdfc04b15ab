"""What the commands share: the --config option, the store, times, and tables.

Tables are drawn on a terminal, tab-separated when piped, JSON with --json.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from config import ConfigError, Settings, load
from config.load import default_path
from config.units import duration
from gateway import preflight
from gateway.cli import Failure
from gateway.memory.store import Store, StoreError
from gateway.plain import printable
from gateway.relay.client import open_next_hop
from gateway.relay.nexthop import NextHop

T = TypeVar("T")

config_option = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file. Default: $RAINCHECK_CONFIG, then config/raincheck.toml here, "
    "then the one shipped with the program.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
PICTURES = (".png", ".svg")


def _drawable(
    _context: click.Context, _option: click.Parameter, paths: tuple[Path, ...]
) -> tuple[Path, ...]:
    """Refused before the work begins, not after."""
    for path in paths:
        if path.suffix.lower() not in PICTURES:
            raise click.BadParameter(f"{path}: a picture ends in {' or '.join(PICTURES)}")
        if not os.access(path.parent, os.W_OK):
            raise click.BadParameter(f"{path.parent} is no folder that can be written to")
    return paths


picture_option = click.option(
    "--picture",
    "pictures_",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_drawable,
    metavar="FILE",
    help="Draw the figures into a .png or .svg file. May be repeated.",
)


def settings_from(path: Path | None) -> Settings:
    """The settings, or an error that lists every fault (exit code 78)."""
    return _or_fail(load, path)


def servable(path: Path | None) -> Settings:
    """The settings, if a gateway could serve with them. Raises ConfigError."""
    return preflight.checked(load(path), str(path or default_path(os.environ)))


def servable_or_fail(path: Path | None) -> Settings:
    """The same, as an error that lists every fault (exit code 78)."""
    return _or_fail(servable, path)


def _or_fail(read: Callable[[Path | None], Settings], path: Path | None) -> Settings:
    try:
        return read(path)
    except ConfigError as error:
        raise Failure(str(error), os.EX_CONFIG) from error


@contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The gateway's memory. One that is not there is exit code 66 (a command never makes it: in
    the wrong directory it would show an empty one), one that fails 69."""
    path = Path(settings.state.url.removeprefix("sqlite:///"))
    if not path.exists():
        raise Failure(
            f"{path}: no gateway has kept its state here; run this in the directory the gateway "
            "runs in, name its configuration with --config, or start it once: raincheck serve",
            os.EX_NOINPUT,
        )
    try:
        store = Store.open(settings.state.url)
    except StoreError as error:
        raise Failure(str(error), os.EX_UNAVAILABLE) from error
    try:
        yield store
    except StoreError as error:
        raise Failure(str(error), os.EX_UNAVAILABLE) from error
    finally:
        store.close()


def next_hop_of(settings: Settings) -> NextHop:
    """The gateway's next hop. A relative Maildir path means another place in every directory, and
    a mail delivered to the wrong one would be as good as lost: it has to be there already."""
    hop = settings.next_hop
    if hop.kind == "maildir" and not hop.path.is_dir():
        raise Failure(
            f"[next_hop] path = {str(hop.path)!r} is not here; run this in the directory the "
            "gateway runs in, or write the path in full",
            os.EX_CONFIG,
        )
    return open_next_hop(hop, settings.relay.hostname)


class Since(click.ParamType[datetime]):
    """A moment: ISO 8601, or how long ago (`7d`, `24h`). Without a zone it is local time."""

    name = "TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            if re.fullmatch(r"\d+\s*[smhdw]", str(value)):
                return datetime.now(UTC) - duration(value)
            return datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time; write 2026-03-01, 2026-03-01T08:00 or 7d, 24h", param, ctx
            )


def drawn(draw: Callable[[Path], None], path: Path) -> None:
    """Draw a picture, or say why not (exit code 73)."""
    try:
        draw(path)
    except OSError as error:
        raise Failure(str(error), os.EX_CANTCREAT) from error
    click.echo(f"drawn: {path}", err=True)


def show(columns: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table: drawn on a terminal, tab-separated otherwise; without rows, `empty` is said."""
    if not rows:
        click.echo(empty, err=True)
    elif sys.stdout.isatty():
        Console().print(_table(columns, rows))
    else:
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        # Ids are copied, so they stay in one piece however narrow the terminal is.
        table.add_column(column, overflow="fold", no_wrap=column == "Id")
    for row in rows:
        # Text, not str: a sender's "[red]" is not markup.
        table.add_row(*(Text(printable(cell)) for cell in row))
    return table


def print_json(value: Mapping[str, Any] | Sequence[Any]) -> None:
    """One JSON document; times in ISO 8601."""
    click.echo(json.dumps(value, ensure_ascii=False, default=_plain))


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)


def progress(label: str, items: Sequence[T]) -> Iterator[T]:
    """The items one by one, with a bar on standard error."""
    if not sys.stderr.isatty():
        yield from items
        return
    with click.progressbar(items, label=label, file=sys.stderr) as bar:
        yield from bar
