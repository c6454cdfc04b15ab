"""One mail's way: judge, recall, decide, act. The only place where mail is acted upon.

The failure law holds here (docs/flow.md): whatever fails before acting, the mail is delivered
unjudged; what cannot be held is delivered; what the next hop refuses stays the client's. Mail
that is held is durable before 250 is said, and undone if the rest of the transaction fails.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from classifier.message import Message
from classifier.verdict import Verdict
from config.settings import Settings
from gateway import delivery
from gateway.envelope import Decision, Envelope, Memory
from gateway.holding import Holding, own_fields, touch
from gateway.memory.rows import HeldMail
from gateway.memory.store import Store, StoreError
from gateway.policy import MAX_HOPS, Case, decide
from gateway.relay import fields
from gateway.relay.nexthop import Transaction
from gateway.relay.responses import ROUTING_LOOP, UNFORESEEN, Reply
from gateway.senderauth.authresults import authenticate

log = structlog.get_logger()


class Judges(Protocol):
    """Reads and judges one mail. It may raise anything, hang, and be cancelled."""

    async def judge(self, content: bytes) -> tuple[Message, Verdict]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to become of one mail, recipient by recipient. `case` is None if it could not be
    judged."""

    decisions: tuple[Decision, ...]
    case: Case | None = None

    @property
    def held(self) -> list[Decision]:
        return self._with("quarantine")

    @property
    def tagged(self) -> list[Decision]:
        return self._with("tag")

    def _with(self, disposition: str) -> list[Decision]:
        return [one for one in self.decisions if one.disposition == disposition]

    def without(self, served: frozenset[str]) -> Plan:
        """The same for the others: these have the mail since an earlier try."""
        return replace(
            self, decisions=tuple(one for one in self.decisions if one.recipient not in served)
        )

    def without_holding(self) -> Plan:
        """The same, but what was to be held is delivered and tagged."""
        return replace(
            self,
            decisions=tuple(
                replace(one, disposition="tag") if one in self.held else one
                for one in self.decisions
            ),
        )


class Pipeline:
    """Carries mails from the relay to their outcome. One for each worker."""

    def __init__(self, settings: Settings, judges: Judges, store: Store) -> None:
        self._settings = settings
        self._judges = judges
        self._store = store
        self._holding = Holding(settings, store)

    async def process(self, envelope: Envelope, content: bytes, transaction: Transaction) -> Reply:
        """Carry out one mail; returns what the client hears."""
        if fields.hops(content) > MAX_HOPS:
            return ROUTING_LOOP
        content = fields.without_ours(content)
        digest = hashlib.sha256(content).hexdigest()
        served = await asyncio.to_thread(self._served, digest, envelope.rcpt_tos)
        plan = (await self._plan(envelope, content, digest)).without(served)
        plan, held = await self._hold(plan, envelope, content)
        try:
            reply = await self._deliver(plan, envelope, content, transaction, digest)
        except BaseException:  # the client will hear 451 and come again with the whole mail
            await self._settle(plan, held, UNFORESEEN)
            raise
        await self._settle(plan, held, reply)
        _report(plan, envelope, reply, len(content))
        return reply

    async def _plan(self, envelope: Envelope, content: bytes, digest: str) -> Plan:
        """Judge, recall and decide within the time one mail has; failing that, deliver."""
        try:
            async with asyncio.timeout(self._settings.judge.timeout.total_seconds()):
                return await self._considered(envelope, content, digest)
        except Exception as error:  # the failure law names no exceptions
            log.warning("mail-unjudged", id=envelope.id, error=repr(error))
            reasons = ("the mail could not be judged",)
            return Plan(tuple(Decision(one, "deliver", reasons) for one in envelope.rcpt_tos))

    async def _considered(self, envelope: Envelope, content: bytes, digest: str) -> Plan:
        message, verdict = await self._judges.judge(content)
        trusted = self._settings.relay.authserv_ids
        authentication = authenticate(message, envelope.mail_from, trusted)
        case = Case(envelope, message, verdict, self._settings, authentication, digest)
        return Plan(await asyncio.to_thread(self._decisions, case), case)

    def _decisions(self, case: Case) -> tuple[Decision, ...]:
        return tuple(
            decide(case, recipient, recall(self._store, case, recipient))
            for recipient in case.envelope.rcpt_tos
        )

    async def _hold(
        self, plan: Plan, envelope: Envelope, content: bytes
    ) -> tuple[Plan, list[HeldMail]]:
        if plan.case is None or not plan.held:
            return plan, []
        work = asyncio.to_thread(self._holding.hold, plan.case, plan.held, content)
        holding = asyncio.create_task(work)
        try:
            return plan, await asyncio.shield(holding)
        except asyncio.CancelledError:  # the thread goes on regardless, so what it did is undone
            await self._settle(plan, await holding, UNFORESEEN)
            raise
        except Exception as error:  # what cannot be held is delivered
            cause = f"{type(error).__name__}: {error}"  # repr() leaves out the path
            log.error("holding-failed", id=envelope.id, error=cause)
            return plan.without_holding(), []

    async def _deliver(
        self,
        plan: Plan,
        envelope: Envelope,
        content: bytes,
        transaction: Transaction,
        digest: str,
    ) -> Reply:
        """SMTP has one reply for all recipients, so a mail that only some got must come again:
        who got it is remembered, and they do not get it twice."""
        copies = self._copies(plan, envelope)
        replies = await delivery.hand_over(transaction, envelope, copies, content)
        reply = delivery.summary(replies)
        accepted = [recipient for recipient, said in replies.items() if said.positive]
        if accepted and not reply.positive:
            await asyncio.to_thread(self._store.note_delivered, digest, accepted)
        return reply

    def _served(self, digest: str, recipients: Sequence[str]) -> frozenset[str]:
        try:
            return self._store.delivered(digest, recipients)
        except StoreError:  # then better twice than not at all
            return frozenset()

    def _copies(self, plan: Plan, envelope: Envelope) -> dict[bytes, list[str]]:
        """The delivered recipients, by the fields their copy carries."""
        hostname = self._settings.relay.hostname
        copies: dict[bytes, list[str]] = defaultdict(list)
        for decision in plan.decisions:
            if decision.disposition == "quarantine":
                continue
            if plan.case is None or plan.case.message.parse == "failed":
                mark = fields.x_raincheck("unjudged", envelope.id)
                own = mark + fields.received(envelope, hostname)
            else:
                kind = "pitch" if decision.disposition == "tag" else "pass"
                own = own_fields(plan.case, kind, hostname)
            copies[own].append(decision.recipient)
        return copies

    async def _settle(self, plan: Plan, held: Sequence[HeldMail], reply: Reply) -> None:
        """After the reply is known: undo the holding, or remember the touches."""
        try:
            if held and not reply.positive:
                await asyncio.to_thread(self._holding.undo, held)
            elif plan.case and plan.tagged and reply.positive:
                touches = [touch(plan.case, one) for one in plan.tagged]
                await asyncio.to_thread(self._store.note_touches, touches)
        except Exception as error:  # the mail's fate is already decided
            log.error("not-noted", held=[mail.id for mail in held], error=repr(error))


def recall(store: Store, case: Case, recipient: str) -> Memory:
    """What is remembered of the sender of this mail, for one recipient."""
    shadow = case.settings.profile(recipient).answers.mode == "shadow"
    return store.recall(
        case.envelope.mail_from, recipient, case.known_by, case.message.author, shadow=shadow
    )


def _report(plan: Plan, envelope: Envelope, reply: Reply, size: int) -> None:
    log.info(
        "mail",
        id=envelope.id,
        client=envelope.client,
        mail_from=envelope.mail_from,
        size=size,
        score=round(plan.case.verdict.score, 4) if plan.case else None,
        outcome={one.recipient: one.disposition for one in plan.decisions},
        reply=reply.code,
    )
