"""`raincheck serve`."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import click

from config import load
from gateway import app, log
from gateway.cli import Failure
from gateway.cli.common import config_option, settings_from
from replies.render import check_templates


@click.command()
@config_option
def serve(config_path: Path | None) -> None:
    """Run the gateway: the relay, the outbox for answers, and the digest timer.

    It logs to standard error, one line an event. SIGHUP reads the configuration again (a bad
    file is refused and the old settings stay). SIGTERM and Ctrl-C finish the mails in hand and
    end within 30 seconds; nothing that was acknowledged is lost.
    """
    settings = settings_from(config_path)
    if problems := check_templates(settings.answers.templates):
        raise Failure("\n".join(problems), os.EX_CONFIG)
    log.configure()
    try:
        asyncio.run(app.Supervisor(settings, reload=lambda: load(config_path)).run())
    except app.Refused as error:
        raise Failure(str(error), error.exitcode) from error
