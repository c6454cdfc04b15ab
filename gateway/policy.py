"""What becomes of a mail for one recipient. Pure: values in, a `Decision` out, no effects.

Every decision carries its reasons in words. When in doubt the mail is delivered: a wrong "no" to
a genuine person is worse than a missed pitch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from classifier.message import Message
from classifier.verdict import Verdict
from config.settings import Settings, Thresholds
from gateway.envelope import Decision, Disposition, Envelope, Memory
from replies import courtesy
from replies.courtesy import AnswerDecision, Authentication, Occasion

MAX_HOPS = 100
"""Received fields from which a mail is refused as looping (RFC 5321 §6.3)."""


@dataclass(frozen=True, slots=True)
class Case:
    """Everything known of one mail, before anyone is asked what becomes of it."""

    envelope: Envelope
    message: Message
    verdict: Verdict
    settings: Settings
    authentication: Authentication = field(default_factory=Authentication)
    sha256: str = ""  # of the octets as received

    @property
    def known_by(self) -> str:
        """What a second delivery of this mail is recognised by: its Message-ID, or its octets
        where that is missing, malformed or repeated."""
        return self.message.message_id or f"sha256:{self.sha256}"


def decide(case: Case, recipient: str, memory: Memory) -> Decision:
    """The decision for one recipient."""
    profile = case.settings.profile(recipient)
    disposition, reasons = _disposition(case, memory, profile.thresholds)
    return Decision(recipient, disposition, reasons, _answer(case, recipient, memory, disposition))


def _disposition(
    case: Case, memory: Memory, thresholds: Thresholds
) -> tuple[Disposition, tuple[str, ...]]:
    if case.message.hops > MAX_HOPS:
        return "reject", (
            f"{case.message.hops} Received fields: the mail is going round in circles",
        )
    if case.message.parse == "failed":
        return "deliver", ("the mail could not be read", *case.message.faults)
    if not case.envelope.mail_from:
        return "deliver", ("null reverse-path: bounces and notices always pass",)
    if memory.standing == "blocked":
        return "quarantine", (memory.standing_why or "you blocked this sender",)
    if memory.standing is not None:
        return "deliver", (memory.standing_why or "you know this sender",)
    disposition, reasons = _by_score(case.verdict.score, thresholds)
    if disposition == "quarantine" and _answers_us(case):
        # Somebody we wrote to may well use a seller's words: "please send me your price list".
        return "tag", ("it answers a mail of yours, so it is not held", *reasons)
    return disposition, reasons


def _answers_us(case: Case) -> bool:
    """Whether the mail names a Message-ID of our domains as the one it replies to. Anybody can
    write that; whoever does is delivered, and not answered."""
    named = (*case.message.in_reply_to, *case.message.references)
    domains = {name.rstrip(">").rpartition("@")[2].lower() for name in named}
    return not domains.isdisjoint(case.settings.relay.domains)


def _by_score(score: float, thresholds: Thresholds) -> tuple[Disposition, tuple[str, ...]]:
    if score >= thresholds.quarantine:
        return "quarantine", (_compared(score, "≥", "quarantine", thresholds.quarantine),)
    if score >= thresholds.tag:
        return "tag", (_compared(score, "≥", "tag", thresholds.tag),)
    return "deliver", (_compared(score, "<", "tag", thresholds.tag),)


def _compared(score: float, sign: str, name: str, threshold: float) -> str:
    """`score 0.97 ≥ quarantine 0.80`, with as many digits as the comparison needs to look true."""
    for digits in (2, 4, 8):
        shown, limit = f"{score:.{digits}f}", f"{threshold:.{digits}f}"
        if sign == "≥" or shown != limit:
            break
    return f"score {shown} {sign} {name} {limit}"


def _answer(case: Case, recipient: str, memory: Memory, disposition: Disposition) -> AnswerDecision:
    if memory.standing is not None:
        known = "blocked-sender" if memory.standing == "blocked" else "known-sender"
        return AnswerDecision(reasons=(known,))
    if disposition != "quarantine":
        return AnswerDecision(reasons=("not-held",))
    answer = courtesy.decide(occasion(case, recipient, memory))
    profile = case.settings.profile(recipient)
    if case.verdict.score < profile.thresholds.answer:
        reasons = ("below-answer-threshold", *answer.reasons)
        return replace(answer, would_send=False, compose=False, reasons=reasons)
    return answer


def occasion(case: Case, recipient: str, memory: Memory) -> Occasion:
    """The same facts, laid out for the rules of courtesy."""
    return Occasion(
        message=case.message,
        sender=case.envelope.mail_from,
        recipient=recipient,
        answers=case.settings.profile(recipient).answers,
        now=case.envelope.received_at,
        own_domains=frozenset(case.settings.relay.domains),
        hostname=case.settings.relay.hostname,
        authentication=case.authentication,
        answered_at=memory.answered_at,
        answered_before=memory.answered_before,
    )
