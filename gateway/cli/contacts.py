"""`raincheck contacts`."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from gateway.cli import Failure
from gateway.cli.common import (
    config_option,
    json_option,
    opened,
    print_json,
    progress,
    settings_from,
    show,
)
from gateway.envelope import Standing

_ADDRESS = re.compile(r"[^\s<>,;:\"'@]{0,64}@[^\s<>,;:\"'@]{1,255}")
"""Whatever looks like an address in a line of text: `@example.com` stands for a whole domain."""

for_option = click.option(
    "--for", "recipient", default="", metavar="A", help="Only for mail to this recipient of ours."
)


@click.group()
def contacts() -> None:
    """Whom you know, allow or block.

    Mail from known and allowed senders is always delivered, whatever its score. Mail from blocked
    ones is always held, and never answered. ADDRESS may be a whole domain: @example.com

    A release allows the sender for that recipient. What you decide without --for holds for
    everyone here and replaces all that was decided about ADDRESS before.
    """


@contacts.command("list")
@config_option
@json_option
def list_(config_path: Path | None, as_json: bool) -> None:
    """Everyone the gateway knows of."""
    with opened(settings_from(config_path)) as store:
        found = store.contacts()
    if as_json:
        return print_json([asdict(one) for one in found])
    rows = [
        (
            one.address,
            one.standing,
            one.recipient or "everyone",
            one.source,
            f"{one.created_at:%Y-%m-%d}",
        )
        for one in found
    ]
    return show(("Address", "Standing", "For", "Source", "Since"), rows, "No contacts yet.")


@contacts.command()
@config_option
@for_option
@click.argument("address")
def allow(config_path: Path | None, recipient: str, address: str) -> None:
    """Always deliver mail from ADDRESS. A waiting answer to them is cancelled."""
    _set(config_path, address, "allowed", recipient)


@contacts.command()
@config_option
@for_option
@click.argument("address")
def block(config_path: Path | None, recipient: str, address: str) -> None:
    """Always hold mail from ADDRESS, without an answer."""
    _set(config_path, address, "blocked", recipient)


@contacts.command()
@config_option
@for_option
@click.argument("address")
def forget(config_path: Path | None, recipient: str, address: str) -> None:
    """Take ADDRESS off the list: the score decides again.

    Without --for, for everyone here and for whomever it was decided.
    """
    with opened(settings_from(config_path)) as store:
        if not store.forget(_address(address), recipient):
            raise Failure(
                f"{address} is not on the list; see `raincheck contacts list`", os.EX_DATAERR
            )
    click.echo(f"{address}: forgotten")


@contacts.command("import")
@config_option
@for_option
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
def import_(config_path: Path | None, recipient: str, files: tuple[Path, ...]) -> None:
    """Mark every address in these text files as known.

    A plain list, a CSV or a vCard file will do: whatever looks like an address is taken. Addresses
    on the list already keep their standing, so a second run changes nothing.
    """
    found = {address for file in files for address in _addresses_in(file)}
    with opened(settings_from(config_path)) as store:
        listed = {one.address for one in store.contacts(recipient or None)}
        new = [one for one in sorted(found) if one not in listed]
        for address in progress("Importing", new):
            store.set_contact(address, "known", "import", recipient)
    click.echo(f"{len(new)} new, {len(found) - len(new)} already there")


def _addresses_in(file: Path) -> set[str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}", os.EX_NOINPUT) from error
    return {match.group().rstrip(".").lower() for match in _ADDRESS.finditer(text)}


def _address(text: str) -> str:
    if not _ADDRESS.fullmatch(text):
        raise click.BadParameter(
            f"{text!r} is neither an address nor a @domain", param_hint="ADDRESS"
        )
    return text.lower()


def _set(config_path: Path | None, address: str, standing: Standing, recipient: str) -> None:
    with opened(settings_from(config_path)) as store:
        store.set_contact(_address(address), standing, "cli", recipient)
    click.echo(f"{address}: {standing}{f' for {recipient}' if recipient else ''}")
