"""`raincheck send`."""

from __future__ import annotations

import os
import smtplib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from classifier.message import Message, read
from config import Settings
from config.units import Endpoint
from gateway import mailfiles
from gateway.cli import Failure
from gateway.cli.common import config_option, opened, settings_from, show
from gateway.digest import fate
from gateway.memory.store import Store

TIMEOUT_SECONDS = 60

Refusals = Mapping[str, tuple[int, bytes | str]]


@click.command()
@config_option
@click.option("--mail-from", metavar="A", help="Envelope sender. Default: each mail's author.")
@click.option("--rcpt-to", metavar="A", multiple=True, help="Recipients. Default: ours in To, Cc.")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
def send(
    config_path: Path | None,
    mail_from: str | None,
    rcpt_to: tuple[str, ...],
    files: tuple[Path, ...],
) -> None:
    """Hand mails to the running gateway over SMTP, and show what became of each.

    \b
    Example:
      raincheck send examples/*.eml
    """
    settings = settings_from(config_path)
    try:
        sources = mailfiles.find(files)
        mails = [_mail(one, mail_from, rcpt_to, settings.relay.domains) for one in sources]
    except OSError as error:
        raise Failure(str(error), os.EX_NOINPUT) from error
    with _connected(settings.relay.listen) as client, opened(settings) as store:
        rows = [row for mail in mails for row in _sent(client, store, settings, mail)]
    show(("Mail", "Recipient", "Id", "What became of it", "Answer"), rows, "No mail in there.")
    if any(fate.startswith("refused") for *_, fate, _ in rows):
        raise Failure("not every mail was taken", os.EX_TEMPFAIL)
    if any(fate.startswith("not sent") for *_, fate, _ in rows):
        raise Failure("not every mail was sent", os.EX_DATAERR)


@dataclass(frozen=True, slots=True)
class _Mail:
    name: str
    content: bytes
    message: Message
    sender: str
    recipients: tuple[str, ...]


def _mail(
    source: mailfiles.Source,
    mail_from: str | None,
    rcpt_to: tuple[str, ...],
    domains: tuple[str, ...],
) -> _Mail:
    content = source.read()
    message = read(content)
    author = message.from_[0].address if message.from_ else ""
    ours = (one.address for one in (*message.to, *message.cc) if one.domain in domains)
    sender = author if mail_from is None else mail_from.strip("<>")
    return _Mail(source.name, content, message, sender, rcpt_to or tuple(dict.fromkeys(ours)))


def _connected(listen: Endpoint) -> smtplib.SMTP:
    try:
        return smtplib.SMTP(listen.host, listen.port, timeout=TIMEOUT_SECONDS)
    except (OSError, smtplib.SMTPException) as error:
        raise Failure(
            f"nothing takes mail at {listen} ({error}); start the gateway with `raincheck serve`",
            os.EX_UNAVAILABLE,
        ) from error


def _sent(
    client: smtplib.SMTP, store: Store, settings: Settings, mail: _Mail
) -> list[tuple[str, ...]]:
    """A table row for each recipient."""
    if not mail.recipients:
        why = "not sent: nobody of [relay] domains in To or Cc; give --rcpt-to"
        return [(mail.name, "", "", why, "")]
    began = datetime.now(UTC)
    refused: Refusals
    try:
        refused = client.sendmail(mail.sender, mail.recipients, _with_crlf(mail.content))
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPResponseException as error:
        refused = dict.fromkeys(mail.recipients, (error.smtp_code, error.smtp_error))
    except (OSError, smtplib.SMTPException) as error:
        raise Failure(f"{mail.name}: the gateway broke off: {error}", os.EX_TEMPFAIL) from error
    return [
        (mail.name, one, *_fate(store, settings, mail, one, began, refused.get(one)))
        for one in mail.recipients
    ]


def _with_crlf(content: bytes) -> bytes:
    """Lines end in CRLF on the wire; files from an editor have LF (RFC 5321 §2.3.8)."""
    return b"\r\n".join(content.replace(b"\r\n", b"\n").split(b"\n"))


def _fate(
    store: Store,
    settings: Settings,
    mail: _Mail,
    recipient: str,
    began: datetime,
    refusal: tuple[int, bytes | str] | None,
) -> tuple[str, str, str]:
    """(id, what became of the mail, and of its answer), as the gateway's memory has it."""
    if refusal is not None:
        code, words = refusal
        said = words.decode(errors="replace") if isinstance(words, bytes) else words
        return "", f"refused: {code} {said}", ""
    zone = settings.profile(recipient).digest.zone
    for held in store.held(recipient, began):
        if held.message_id == mail.message.message_id and held.mail_from == mail.sender:
            answers = store.answers([held.id])
            why = "; ".join(held.reasons)
            return held.id, f"held: {why}", fate(answers[0] if answers else None, zone)
    touch = store.last_touch(mail.sender, recipient, mail.message.message_id)
    if touch and touch[0] == "tag":
        return "", f"delivered, marked as a pitch: score {touch[1]:.2f}", ""
    return "", "delivered", ""
