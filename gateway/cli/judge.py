"""`raincheck judge`."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from classifier import model as models
from classifier.message import Limits, Mailbox, Message, read
from config import Settings
from gateway import mailfiles
from gateway.cli import Failure
from gateway.cli.common import config_option, progress, settings_from
from gateway.envelope import Decision, Envelope, Memory
from gateway.mailfiles import Source
from gateway.memory.store import Store, StoreError
from gateway.pipeline import recall
from gateway.plain import printable
from gateway.policy import Case, decide
from gateway.senderauth.authresults import authenticate
from replies.courtesy import explain


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--mail-from", metavar="A", help="Envelope sender. Default: Return-Path, then From.")
@click.option(
    "--rcpt-to", metavar="A", help="Recipient. Default: ours in To or Cc, else the first."
)
@click.option("--client-ip", metavar="IP", help="Who hands us the mail. Default: a trusted client.")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
def judge(
    config_path: Path | None,
    as_json: bool,
    mail_from: str | None,
    rcpt_to: str | None,
    client_ip: str | None,
    paths: tuple[Path, ...],
) -> None:
    """What would happen to these mails, and why. Changes nothing.

    PATH is an .eml file, a directory of files, a Maildir, an mbox, or - for standard input.
    What the gateway remembers (contacts, earlier answers) counts as it does for real mail.

    \b
    Examples:
      raincheck judge examples/1-pitch.eml
      raincheck judge --json ~/Maildir | jq 'select(.label == "pitch") | .subject'
    """
    settings = settings_from(config_path)
    envelope = Assumed(mail_from, rcpt_to, _trusted(settings, client_ip))
    sources = _sources(paths)
    if not sources:
        raise Failure(f"no mail in {', '.join(map(str, paths))}", os.EX_NOINPUT)
    with _opened(settings) as judging:
        for source in _watched(sources):
            line = judging.line(source, envelope)
            click.echo(json.dumps(line, ensure_ascii=False) if as_json else in_words(line))


@dataclass(frozen=True, slots=True)
class Assumed:
    """The envelope as far as the user gave it."""

    mail_from: str | None = None
    rcpt_to: str | None = None
    trusted_client: bool = True


def _trusted(settings: Settings, client_ip: str | None) -> bool:
    """Whether this client's Authentication-Results would count."""
    try:
        return client_ip is None or settings.relay.allows(client_ip)
    except ValueError:
        raise click.BadParameter(
            f"{client_ip!r} is no IP address", param_hint="--client-ip"
        ) from None


def _sources(paths: Sequence[Path]) -> list[Source]:
    try:
        return mailfiles.find(paths)
    except OSError as error:
        raise Failure(str(error), os.EX_NOINPUT) from error


def _watched(sources: Sequence[Source]) -> Iterable[Source]:
    """With a progress bar where it does not run into the output."""
    bar_fits = len(sources) > 1 and sys.stderr.isatty() and not sys.stdout.isatty()
    return progress("Judging", sources) if bar_fits else sources


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[Judging]:
    try:
        model = models.load(settings.judge.model)
    except models.ModelError as error:
        raise Failure(str(error), os.EX_CONFIG) from error
    try:
        store = Store.open_existing(settings.state.url)
    except StoreError as error:
        raise Failure(str(error), os.EX_UNAVAILABLE) from error
    try:
        yield Judging(settings, model, store)
    finally:
        if store:
            store.close()


class Judging:
    """Judges mails one after the other as the gateway would, without acting."""

    def __init__(self, settings: Settings, model: models.Model, store: Store | None) -> None:
        self._settings = settings
        self._model = model
        self._store = store
        self._limits = Limits(
            octets=settings.judge.parse_limit, seconds=settings.judge.timeout.total_seconds()
        )

    def line(self, source: Source, assumed: Assumed) -> dict[str, Any]:
        """The line of `judge --json` for one mail. What fails is said in its `error`."""
        try:
            content = source.read()
            message = read(content, self._limits)
            digest = hashlib.sha256(content).hexdigest()
            case, decision = self._decided(message, assumed, digest)
        except Exception as error:  # one bad file must not cost the rest their lines
            return _line(source, Message(parse="failed")) | {"error": str(error) or repr(error)}
        return _line(source, message) | _judged(case, decision)

    def _decided(self, message: Message, assumed: Assumed, digest: str) -> tuple[Case, Decision]:
        envelope = self._envelope(message, assumed)
        (recipient,) = envelope.rcpt_tos
        trusted_ids = self._settings.relay.authserv_ids if assumed.trusted_client else ()
        authentication = authenticate(message, envelope.mail_from, trusted_ids)
        verdict = self._model.judge(message, explain_from=0)
        case = Case(envelope, message, verdict, self._settings, authentication, digest)
        memory = Memory()
        if self._store:
            memory = recall(self._store, case, recipient)
        return case, decide(case, recipient, memory)

    def _envelope(self, message: Message, assumed: Assumed) -> Envelope:
        sender = assumed.mail_from
        recipient = assumed.rcpt_to or _our_recipient(message, self._settings.relay.domains)
        return Envelope(
            id="",
            client="",
            helo="",
            mail_from=_return_path(message) if sender is None else sender.strip("<>"),
            rcpt_tos=(recipient,),
            received_at=datetime.now(UTC),
        )


def _return_path(message: Message) -> str:
    """The envelope sender as the last server noted it; else the author."""
    for header in message.all("Return-Path"):
        return header.value.strip().strip("<>")
    return message.from_[0].address if message.from_ else ""


def _our_recipient(message: Message, domains: Sequence[str]) -> str:
    addressed: tuple[Mailbox, ...] = (*message.to, *message.cc)
    ours = (one.address for one in addressed if one.domain in domains)
    return next(ours, addressed[0].address if addressed else "")


def _line(source: Source, message: Message) -> dict[str, Any]:
    """What is known of a mail before it is judged; the rest of the keys, empty."""
    return {
        "path": source.name,
        "message_id": message.message_id,
        "from": message.from_[0].address if message.from_ else "",
        "subject": message.subject,
        "label": None,
        "score": None,
        "probabilities": {},
        "tactics": [],
        "terms": [],
        "disposition": "deliver",
        "reasons": [],
        "answer": {"would_send": False, "rung": 1, "template": "", "reasons": []},
        "parse": message.parse,
        "error": None,
    }


def _judged(case: Case, decision: Decision) -> dict[str, Any]:
    verdict, answer = case.verdict, decision.answer
    return {
        "label": verdict.label,
        "score": round(verdict.score, 4),
        "probabilities": {label: round(value, 4) for label, value in verdict.probabilities.items()},
        "tactics": [asdict(tactic) for tactic in verdict.tactics],
        "terms": [asdict(term) for term in verdict.terms],
        "disposition": decision.disposition,
        "reasons": list(decision.reasons),
        "answer": {
            "would_send": answer.would_send,
            "rung": answer.rung,
            "template": answer.template,
            "reasons": list(answer.reasons),
        },
        "error": "; ".join(case.message.faults) or None if case.message.parse == "failed" else None,
    }


def in_words(line: dict[str, Any]) -> str:
    """The same line for a reader."""
    if line["error"]:
        return f"{line['path']}: {line['disposition']} (not judged: {printable(line['error'])})\n"
    likest = f" (most like {line['label']})" if line["label"] != "pitch" else ""
    words = [f"{line['path']}: {line['disposition']}, pitch {line['score']:.2f}{likest}"]
    words += [f"  {printable(line['subject'], 90)}"] if line["subject"] else []
    words += [f"  why      {printable(reason)}" for reason in line["reasons"]]
    words += [f"  tactic   {t['name']}: “{printable(t['quote'], 90)}”" for t in line["tactics"]]
    words += [f"  {_push(t)}" for t in line["terms"] if t["act"]]
    single = [t for t in line["terms"] if not t["act"] and t["weight"] > 0]
    telling = [printable(t["text"], 30) for t in single][:6]
    words += [f"  words    {', '.join(telling)}"] if telling else []
    words += [f"  answer   {_answer_in_words(line['answer'])}"]
    return "\n".join(words) + "\n"


def _push(term: dict[str, Any]) -> str:
    """A sentence that moved the score, which way, and what it does."""
    act = f" ({term['act']})" if term["act"] != "unsure" else ""
    return f"{'for' if term['weight'] > 0 else 'against':8} “{printable(term['text'], 90)}”{act}"


def _answer_in_words(answer: dict[str, Any]) -> str:
    if answer["would_send"]:
        return f"would be sent ({answer['template']})"
    return "none: " + "; ".join(explain(reason) for reason in answer["reasons"])
