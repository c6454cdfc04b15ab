"""Putting mail into the folder: durable on disk, then in the database, its answer with it.

Blocking; the pipeline calls it in a thread. Raises OSError or StoreError when a mail could not be
made durable; nothing of it is left behind then.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from classifier.message import Message
from config.settings import Profile, Settings
from gateway import policy
from gateway.envelope import Decision, Memory
from gateway.memory.rows import Answer, HeldMail, Touch, withheld
from gateway.memory.store import Store
from gateway.outbox import schedule
from gateway.policy import Case
from gateway.quarantine.folder import MaildirFolder
from gateway.relay import fields
from replies import render

log = structlog.get_logger()


class Holding:
    """The folder side of the pipeline."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    def hold(self, case: Case, decisions: Sequence[Decision], content: bytes) -> list[HeldMail]:
        """Hold the mail for each of these recipients, and plan at most one answer to it.

        `content` is the mail as received, without fields of ours.
        """
        mails: list[HeldMail] = []
        try:
            for number, decision in enumerate(decisions, 1):
                mails.append(self._file(case, decision, content, f"{case.envelope.id}-{number}"))
            pairs = list(zip(decisions, mails, strict=True))
            answers = only_one([self._answer(case, decision, mail) for decision, mail in pairs])
            touches = [touch(case, decision) for decision in decisions]
            spacing = max(self._profile(decision).answers.spacing for decision in decisions)
            self._store.hold(mails, answers, touches, spacing)
        except BaseException:
            self._remove_files(mails)
            raise
        return mails

    def undo(self, mails: Sequence[HeldMail]) -> None:
        """The transaction failed after all: as if they had never been held."""
        self._store.unhold([mail.id for mail in mails])
        self._remove_files(mails)

    def _profile(self, decision: Decision) -> Profile:
        return self._settings.profile(decision.recipient)

    def _file(self, case: Case, decision: Decision, content: bytes, held_id: str) -> HeldMail:
        prefix = own_fields(case, "pitch", self._settings.relay.hostname)
        folder = MaildirFolder(self._profile(decision).folder.path)
        path = folder.store(decision.recipient, prefix + content)
        return HeldMail(
            id=held_id,
            recipient=decision.recipient,
            mail_from=case.envelope.mail_from,
            sender=shown_sender(case.message, case.envelope.mail_from),
            subject=case.message.subject,
            message_id=case.message.message_id,
            received_at=case.envelope.received_at,
            score=case.verdict.score,
            label=case.verdict.label,
            model=case.verdict.model,
            reasons=decision.reasons,
            tactics=case.verdict.tactics,
            terms=case.verdict.terms,
            path=str(path),
            original_offset=len(prefix),
            sha256=case.sha256,
            mail_options=case.envelope.mail_options,
            author=case.message.author,
        )

    def _remove_files(self, mails: Sequence[HeldMail]) -> None:
        for mail in mails:
            folder = MaildirFolder(self._settings.profile(mail.recipient).folder.path)
            with contextlib.suppress(OSError):  # an orphan file loses nothing
                folder.remove(Path(mail.path))

    def _answer(self, case: Case, decision: Decision, mail: HeldMail) -> Answer:
        """The answer to this mail, or the record of why there is none."""
        answer = Answer(
            id=f"{mail.id}-answer",
            held_id=mail.id,
            sender=mail.mail_from,
            recipient=mail.recipient,
            rung=decision.answer.rung,
            template=decision.answer.template,
            message_id=case.known_by,
            state="withheld",
            reasons=decision.answer.reasons,
        )
        return self._composed(case, decision, answer) if decision.answer.compose else answer

    def _composed(self, case: Case, decision: Decision, answer: Answer) -> Answer:
        profile = self._profile(decision)
        due_at = schedule.due(
            case.envelope.received_at,
            profile.answers.delay,
            profile.answers.hours,
            schedule.sender_zone(case.message.date),
        )
        try:
            composed = render.compose(
                policy.occasion(case, decision.recipient, Memory()),
                decision.answer,
                profile.name,
                answer.id,
                self._settings.relay.hostname,
                date=due_at,
            )
        except render.RenderError as error:
            log.warning("answer-not-rendered", id=answer.id, error=str(error))
            return withheld(answer, "render-failed")
        return replace(
            answer,
            state="planned" if decision.answer.would_send else "shadow",
            subject=composed.subject,
            text=composed.text,
            content=composed.content,
            due_at=due_at,
        )


def only_one(answers: Sequence[Answer]) -> list[Answer]:
    """At most one answer per inbound mail, whoever else here received it (RFC 3834 §3.1.3). One
    that is only shown keeps back others that are, and none that leaves."""
    kept: list[Answer] = []
    for answer in answers:
        spoken = {one.state for one in kept}
        taken = "planned" in spoken or (answer.state == "shadow" and "shadow" in spoken)
        keep_back = taken and answer.state != "withheld"
        kept.append(withheld(answer, "answered-before") if keep_back else answer)
    return kept


def touch(case: Case, decision: Decision) -> Touch:
    """This pitch, for the memory of who came how often."""
    return Touch(
        at=case.envelope.received_at,
        sender=case.envelope.mail_from,
        recipient=decision.recipient,
        message_id=case.message.message_id,
        subject=case.message.subject,
        score=case.verdict.score,
        disposition=decision.disposition,
        mail_id=case.envelope.id,
    )


def own_fields(case: Case, kind: str, hostname: str) -> bytes:
    """What we put before a judged mail: its `X-Raincheck` and `Received` fields."""
    mark = fields.x_raincheck(kind, case.envelope.id, case.verdict.score, case.verdict.model)
    return mark + fields.received(case.envelope, hostname)


def shown_sender(message: Message, mail_from: str) -> str:
    """`Name <address>` of the author, as a list of mails shows it."""
    if not message.from_:
        return mail_from
    author = message.from_[0]
    return f"{author.name} <{author.address}>" if author.name else author.address
