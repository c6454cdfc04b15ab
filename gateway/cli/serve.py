"""`raincheck serve`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import click

from gateway import app, log
from gateway.cli import Failure
from gateway.cli.common import config_option, servable, servable_or_fail


@click.command()
@config_option
def serve(config_path: Path | None) -> None:
    """Run the gateway: the relay, the outbox for answers, and the digest timer.

    It logs to standard error, one line an event. SIGHUP reads the configuration again (a bad
    file is refused and the old settings stay). SIGTERM and Ctrl-C finish the mails in hand and
    end within 30 seconds; nothing that was acknowledged is lost.
    """
    settings = servable_or_fail(config_path)
    log.configure()
    try:
        asyncio.run(app.Supervisor(settings, partial(servable, config_path)).run())
    except app.Refused as error:
        raise Failure(str(error), error.exitcode) from error
