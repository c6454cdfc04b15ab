"""`raincheck digest`."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from config import Settings
from gateway import digest as digests
from gateway.cli import Failure
from gateway.cli.common import Since, config_option, next_hop_of, opened, settings_from
from gateway.digest import Digest
from gateway.memory.store import Store
from gateway.relay.nexthop import InDoubt, NextHopDown


@click.command()
@config_option
@click.option("--recipient", metavar="A", help="Only this recipient's. Default: everyone's.")
@click.option(
    "--since",
    type=Since(),
    help="From this time on: 2026-03-01, 7d, 24h. Default: what no digest has shown yet.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="F",
    help="Write the page to this file.",
)
@click.option("--send", is_flag=True, help="Send it as a mail through the next hop.")
def digest(
    config_path: Path | None,
    recipient: str | None,
    since: datetime | None,
    html_file: Path | None,
    send: bool,
) -> None:
    """What was held since the last digest: who, why, what became of the answer, what to do.

    Without --send it is only shown, and the daily digest comes as usual. With --send it goes to
    each recipient with something new, and counts as their digest.

    \b
    Examples:
      raincheck digest --since 7d
      raincheck digest --recipient you@example.com --html digest.html
    """
    if send and html_file:
        raise click.UsageError("--html writes a file and --send sends a mail: choose one")
    settings = settings_from(config_path)
    with opened(settings) as store:
        built = _built(settings, store, recipient, since)
        if not built:
            click.echo(_nothing(store, recipient), err=True)
        elif send:
            asyncio.run(_send(settings, store, built))
        elif html_file:
            _write(html_file, built)
        else:
            click.echo("\n\n".join(digests.as_text(one) for one in built))


def _built(
    settings: Settings, store: Store, recipient: str | None, since: datetime | None
) -> list[Digest]:
    recipients = [recipient.lower()] if recipient else store.held_recipients()
    built = (
        digests.build(settings, store, one, since or store.last_digest(one)) for one in recipients
    )
    return [one for one in built if one]


def _nothing(store: Store, recipient: str | None) -> str:
    whose = [recipient] if recipient else store.held_recipients()
    still = sum(store.held_count(one) for one in whose)
    if not still:
        return "Nothing is held."
    return f"Nothing new was held; {still} from before: raincheck digest --since 30d"


def _write(path: Path, built: list[Digest]) -> None:
    if len(built) > 1:
        names = ", ".join(one.recipient for one in built)
        raise click.UsageError(f"--html writes one digest; choose one with --recipient: {names}")
    try:
        path.write_text(digests.as_html(built[0]), encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", os.EX_CANTCREAT) from error
    click.echo(f"{path}: {built[0].title}", err=True)


async def _send(settings: Settings, store: Store, built: list[Digest]) -> None:
    """Each recipient's; what is refused for one does not keep the others from theirs."""
    next_hop = next_hop_of(settings)
    refused = []
    try:
        for one in built:
            now = datetime.now(UTC)
            reply = await digests.hand_over(settings, next_hop, one, now)
            click.echo(f"{one.recipient}: {one.title}: {reply}")
            if reply.positive:
                digests.record(store, one, now)
            else:
                refused.append(one.recipient)
    except NextHopDown as error:
        raise Failure(f"the next hop cannot be reached: {error}", os.EX_TEMPFAIL) from error
    except InDoubt as error:
        raise Failure(f"the next hop may or may not have it: {error}", os.EX_TEMPFAIL) from error
    finally:
        await next_hop.close()
    if refused:
        raise Failure(f"the next hop refused: {', '.join(refused)}", os.EX_TEMPFAIL)
