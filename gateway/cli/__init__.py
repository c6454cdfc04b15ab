"""The command `raincheck`.

Each command lives in a module of its own, imported only when it is called, so that `--help` is
quick. Exit codes follow sysexits: 0 fine, 64 usage, 65 bad data, 66 no input, 69 unavailable,
75 try again, 78 configuration.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from importlib.metadata import version

import click

from gateway import log

COMMANDS = {
    "serve": "gateway.cli.serve:serve",
    "send": "gateway.cli.send:send",
    "judge": "gateway.cli.judge:judge",
    "digest": "gateway.cli.digest:digest",
    "quarantine": "gateway.cli.quarantine:quarantine",
    "contacts": "gateway.cli.contacts:contacts",
    "model": "gateway.cli.model:model",
    "config": "gateway.cli.config:config",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("raincheck"), prog_name="raincheck")
def root() -> None:
    """Raincheck, the mail gateway that says "not right now" for you.

    It stands in front of a mailbox. Unsolicited hard-sell mail is put into a folder and answered
    once, courteously; everything else passes through untouched.

    \b
    Begin here:
      raincheck serve                  run the gateway
      raincheck send examples/*.eml    hand it a few mails and see what becomes of them
      raincheck digest                 see what was held, and why
    """


class Failure(click.ClickException):
    """A command cannot do what was asked: the message for the user, the exit code of sysexits."""

    def __init__(self, message: str, exitcode: int) -> None:
        super().__init__(message)
        self.exitcode = exitcode


def main() -> None:
    """Run the command line; never returns."""
    log.configure(logging.WARNING)  # `serve` says more
    try:
        root.main(standalone_mode=False, prog_name="raincheck")
    except click.UsageError as error:
        error.show()
        sys.exit(os.EX_USAGE)
    except Failure as error:
        error.show()
        sys.exit(error.exitcode)
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:  # `raincheck quarantine list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except OSError as error:
        click.echo(f"Error: {error}", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(os.EX_IOERR)
    sys.exit(0)
