"""`raincheck quarantine`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from config import Settings
from gateway.cli import Failure
from gateway.cli.common import (
    Since,
    config_option,
    json_option,
    next_hop_of,
    opened,
    print_json,
    settings_from,
    show,
)
from gateway.digest import Row, row
from gateway.memory.rows import Answer, HeldMail, HeldState
from gateway.memory.store import Store
from gateway.quarantine import release as releasing
from gateway.quarantine.folder import MaildirFolder
from gateway.quarantine.release import Outcome, ReleaseResult
from gateway.relay.nexthop import NextHop

STATES: tuple[HeldState, ...] = ("held", "releasing", "released", "discarded")

EXIT_CODES: dict[Outcome, int] = {
    "unavailable": os.EX_DATAERR,
    "damaged": os.EX_NOINPUT,
    "refused": os.EX_TEMPFAIL,
    "unreachable": os.EX_TEMPFAIL,
    "in-doubt": os.EX_TEMPFAIL,
}

id_argument = click.argument("ids", nargs=-1, required=True, metavar="ID…")


@click.group()
def quarantine() -> None:
    """The folder of held mail: look, release, discard.

    ID is the name a mail has in the digest and in `quarantine list`; its beginning is enough.
    """


@quarantine.command("list")
@config_option
@click.option("--recipient", metavar="A", help="Only this recipient's.")
@click.option("--since", type=Since(), help="Only from this time on: 2026-03-01, 7d, 24h.")
@click.option("--all", "everything", is_flag=True, help="Released and discarded ones too.")
@json_option
def list_(
    config_path: Path | None,
    recipient: str | None,
    since: datetime | None,
    everything: bool,
    as_json: bool,
) -> None:
    """What is held, oldest first."""
    settings = settings_from(config_path)
    with opened(settings) as store:
        mails = store.held(recipient, since, STATES if everything else ("held", "releasing"))
        if as_json:
            return print_json(_plain(store, mails))
        rows = [_listed(settings, mail) for mail in mails]
    return show(
        ("Id", "Held", "For", "Score", "From", "Subject", "State"), rows, "Nothing is held."
    )


def _listed(settings: Settings, mail: HeldMail) -> tuple[str, ...]:
    said = _said(settings, mail, None)
    return (
        said.id,
        said.received,
        mail.recipient,
        f"{said.score:.2f}",
        said.sender,
        said.subject,
        mail.state,
    )


def _said(settings: Settings, mail: HeldMail, answer: Answer | None) -> Row:
    return row(mail, answer, settings.profile(mail.recipient).digest.zone)


def _plain(store: Store, mails: Sequence[HeldMail]) -> list[dict[str, Any]]:
    """For JSON: each mail with its answers, without their octets, of which `text` says the same."""
    answers = defaultdict(list)
    for answer in store.answers([mail.id for mail in mails]):
        answers[answer.held_id].append({**asdict(answer), "content": None})
    return [asdict(mail) | {"answers": answers[mail.id]} for mail in mails]


@quarantine.command("show")
@config_option
@click.option("--raw", is_flag=True, help="The mail itself, octet for octet as it was received.")
@json_option
@click.argument("id_", metavar="ID")
def show_(config_path: Path | None, raw: bool, as_json: bool, id_: str) -> None:
    """One held mail: why it was held, what is answered, and what it says."""
    settings = settings_from(config_path)
    with opened(settings) as store:
        mail = _one(store, id_)
        if as_json:
            return print_json(_plain(store, [mail])[0])
        answers = store.answers([mail.id])
    content = _original(settings, mail)
    if raw:
        sys.stdout.buffer.write(content)
        return None
    said = _said(settings, mail, answers[0] if answers else None)
    return click.echo(_in_words(mail, said, content))


def _in_words(mail: HeldMail, said: Row, content: bytes) -> str:
    from classifier.message import read

    text = "".join(c if c.isprintable() or c == "\n" else " " for c in read(content).text)
    lines = [
        f"Id:       {said.id} ({mail.state})",
        f"From:     {said.sender}",
        f"To:       {mail.recipient}",
        f"Subject:  {said.subject}",
        f"Held:     {said.received}   score {said.score:.2f}   {mail.label}   model {mail.model}",
        *(f"Why:      {reason}" for reason in said.why),
        f"Answer:   {said.answer}",
        *(f"          > {line}" for line in said.said),
        "",
        text.strip() or "(no text)",
    ]
    return "\n".join(lines)


def _original(settings: Settings, mail: HeldMail) -> bytes:
    try:
        return _folder(settings, mail).read(Path(mail.path))[mail.original_offset :]
    except OSError as error:
        raise Failure(f"{mail.path}: {error.strerror or error}", os.EX_NOINPUT) from error


@quarantine.command()
@config_option
@click.option("--again", is_flag=True, help="Also one whose last release broke off in doubt.")
@id_argument
def release(config_path: Path | None, again: bool, ids: tuple[str, ...]) -> None:
    """Deliver held mails after all, each once, and let their senders through from now on.

    The next hop gets the mail as it was received; a waiting answer to it is cancelled. What it
    says is kept to learn from, as `raincheck model learn` tells.
    """
    settings = settings_from(config_path)
    with opened(settings) as store:
        mails = [_one(store, one) for one in ids]
        results = asyncio.run(_release(settings, store, mails, again=again))
    for result in results:
        click.echo(f"{result.held_id}: {result.outcome}: {result.detail}")
    failed = [result for result in results if not result.released]
    if failed:
        raise Failure("not everything was released", EXIT_CODES[failed[0].outcome])


async def _release(
    settings: Settings, store: Store, mails: Iterable[HeldMail], *, again: bool
) -> list[ReleaseResult]:
    next_hop = next_hop_of(settings)
    try:
        return [await _released(settings, store, next_hop, mail, again=again) for mail in mails]
    finally:
        await next_hop.close()


async def _released(
    settings: Settings, store: Store, next_hop: NextHop, mail: HeldMail, *, again: bool
) -> ReleaseResult:
    """One release, and what it teaches: this was no pitch."""
    folder = _folder(settings, mail)
    try:
        stored = folder.read(Path(mail.path))
    except OSError:  # the release will say so
        stored = b""
    result = await releasing.release(store, folder, next_hop, mail.id, again=again)
    if result.released and settings.judge.learns:
        _learn(settings, mail, stored[mail.original_offset :])
    return result


def _learn(settings: Settings, mail: HeldMail, content: bytes) -> None:
    from gateway.cli.learn import record

    try:
        record(settings, content, "personal", "release")
    except Exception as error:  # the mail is delivered, and that must not look as if it failed
        click.echo(f"{mail.id}: nothing was learnt from it: {error}", err=True)


@quarantine.command()
@config_option
@id_argument
def discard(config_path: Path | None, ids: tuple[str, ...]) -> None:
    """Delete held mails for good, and cancel waiting answers to them."""
    settings = settings_from(config_path)
    with opened(settings) as store:
        for mail in [_one(store, one) for one in ids]:
            gone = asyncio.run(releasing.discard(store, _folder(settings, mail), mail.id))
            if gone is None:
                raise Failure(
                    f"{mail.id} is {mail.state}, not held; nothing was done", os.EX_DATAERR
                )
            click.echo(f"{mail.id}: discarded")


def _folder(settings: Settings, mail: HeldMail) -> MaildirFolder:
    return MaildirFolder(settings.profile(mail.recipient).folder.path)


def _one(store: Store, id_prefix: str) -> HeldMail:
    """The mail whose id begins so."""
    found = store.find(id_prefix)
    if len(found) == 1:
        return found[0]
    exact = [mail for mail in found if mail.id == id_prefix]
    if exact:
        return exact[0]
    if not found:
        raise Failure(
            f"{id_prefix}: no held mail has this id; see `raincheck quarantine list`", os.EX_DATAERR
        )
    raise Failure(f"{id_prefix}: begins several ids; write more of it", os.EX_DATAERR)
