"""Whether a pitch may be answered.

`decide` asks every rule of `RULES`, in order, and lists the codes of those that forbid an answer.
A rule is a function of the `Occasion` alone: no clock, no network, no database. Nothing here
raises: a rule that breaks on odd input forbids.

The rules follow RFC 3834 (automatic responses), RFC 5230 (vacation) and RFC 5321.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from classifier.message import Attachment, Message
from config.settings import Answers
from replies import suppress
from replies.fields import (
    address_domain,
    ascii_domain,
    bare,
    is_plain_address,
    local_part,
    same_address,
)

TEMPLATE = "en/not-now"
LOOP_FIELD = "X-Raincheck-Loop"
MAX_HOPS = 25


@dataclass(frozen=True, slots=True)
class Authentication:
    """Whether the sender's domain is proven: `passed` needs an aligned pass (courtesy C1)."""

    passed: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Everything the rules look at, for one mail and one recipient. Plain data, no effects."""

    message: Message
    sender: str  # envelope sender, '' for null
    recipient: str  # our recipient, as in RCPT TO
    answers: Answers
    now: datetime
    own_domains: frozenset[str] = frozenset()
    hostname: str = ""  # ours; Message-IDs and loop tokens carry it
    authentication: Authentication = Authentication()
    answered_at: datetime | None = None
    answered_before: bool = False
    smtputf8: bool = False  # the smart host is known to take non-ASCII addresses


@dataclass(frozen=True, slots=True)
class AnswerDecision:
    """Whether an answer leaves. `reasons` are codes of docs/reasons.md, in the order of the
    rules; empty exactly when `would_send`. `compose` also holds in shadow mode, where the text
    is written and shown although nothing is sent."""

    would_send: bool = False
    compose: bool = False
    rung: int = 1
    template: str = ""
    reasons: tuple[str, ...] = ()


class Rule(NamedTuple):
    """One rule: its reason code, the section of the courtesy contract it keeps, the test that
    says whether it forbids an answer, and the sentence a user reads."""

    code: str
    section: str
    forbids: Callable[[Occasion], bool]
    explanation: str


def answers_off(occasion: Occasion) -> bool:
    return occasion.answers.mode == "off"


def shadow_mode(occasion: Occasion) -> bool:
    return occasion.answers.mode == "shadow"


def null_sender(occasion: Occasion) -> bool:
    return occasion.sender in {"", "<>"}


def bad_address(occasion: Occasion) -> bool:
    return not null_sender(occasion) and not is_plain_address(occasion.sender)


def non_ascii_address(occasion: Occasion) -> bool:
    # Our own recipient counts too: it stands in the From field of the answer.
    ascii_only = occasion.sender.isascii() and occasion.recipient.isascii()
    return not (ascii_only or occasion.smtputf8)


def auto_submitted(occasion: Occasion) -> bool:
    fields = occasion.message.all("Auto-Submitted")
    return bool(fields) and [bare(field.raw) for field in fields] != ["no"]


def bulk_header(occasion: Occasion) -> bool:
    message = occasion.message
    present = any(header.name.lower() in suppress.PRESENT for header in message.headers)
    return present or _says_bulk(message) or _is_delivery_report(message)


def _says_bulk(message: Message) -> bool:
    return any(
        pattern.fullmatch(bare(text))
        for name, pattern in suppress.VALUES
        for header in message.all(name)
        for text in (header.raw, header.value)
    )


def _is_delivery_report(message: Message) -> bool:
    return any(suppress.DELIVERY_REPORT.search(field.raw) for field in message.all("Content-Type"))


def suppressed_subject(occasion: Occasion) -> bool:
    # NFC: a decomposed å would otherwise slip past the list.
    subject = unicodedata.normalize("NFC", occasion.message.subject).strip().casefold()
    return subject.startswith(suppress.SUBJECTS)


def role_sender(occasion: Occasion) -> bool:
    local = local_part(occasion.sender).casefold()
    return local in suppress.ROLES or bool(suppress.ROLE_SHAPES.fullmatch(local))


def recipient_not_addressed(occasion: Occasion) -> bool:
    ours = occasion.recipient.casefold()
    addressed = (*occasion.message.to, *occasion.message.cc)
    return all(mailbox.address.casefold() != ours for mailbox in addressed)


def own_address(occasion: Occasion) -> bool:
    writers = (occasion.sender, *(mailbox.address for mailbox in occasion.message.from_))
    own = {ascii_domain(domain) for domain in (*occasion.own_domains, occasion.hostname) if domain}
    ours = occasion.recipient.casefold()
    return any(
        writer.casefold() == ours or address_domain(writer) in own for writer in writers if writer
    )


def message_loop(occasion: Occasion) -> bool:
    # Any loop token counts, not only one that we issued: two gateways of this kind facing each
    # other must fall silent as well.
    own = {ascii_domain(domain) for domain in (*occasion.own_domains, occasion.hostname) if domain}
    origin = address_domain(occasion.message.message_id.strip("<>"))
    return bool(occasion.message.all(LOOP_FIELD)) or origin in own


def from_mismatch(occasion: Occasion) -> bool:
    message = occasion.message
    if len(message.all("From")) != 1 or len(message.from_) != 1:
        return True
    return not same_address(message.from_[0].address, occasion.sender)


def spam_flagged(occasion: Occasion) -> bool:
    return any(
        header.value.strip().lower().startswith("yes")
        for name in suppress.SPAM_FLAGS
        for header in occasion.message.all(name)
    )


def report_or_calendar(occasion: Occasion) -> bool:
    return any(kind in {"multipart/report", "text/calendar"} for kind in _kinds(occasion.message))


def executable_attachment(occasion: Occasion) -> bool:
    message = occasion.message
    named = any(_runs(attachment) for attachment in message.attachments)
    return named or any(kind in suppress.EXECUTABLE_TYPES for kind in _kinds(message))


def _kinds(message: Message) -> set[str]:
    parts = {attachment.content_type for attachment in message.attachments}
    return {kind.strip().lower() for kind in parts | set(message.content_types)}


def _runs(attachment: Attachment) -> bool:
    # Windows drops closing dots and spaces, so `invoice.exe. ` still runs.
    name = attachment.filename.lower().rstrip(". \t\r\n\0")
    return name.rpartition(".")[2] in suppress.EXECUTABLE_SUFFIXES


def answered_recently(occasion: Occasion) -> bool:
    if occasion.answered_at is None:
        return False
    return occasion.now - occasion.answered_at < occasion.answers.spacing


def answered_before(occasion: Occasion) -> bool:
    return occasion.answered_before


def not_authenticated(occasion: Occasion) -> bool:
    return not occasion.authentication.passed


def parse_incomplete(occasion: Occasion) -> bool:
    return occasion.message.parse != "ok"


def too_many_hops(occasion: Occasion) -> bool:
    return occasion.message.hops > MAX_HOPS


RULES: tuple[Rule, ...] = (
    Rule("answers-off", "A1", answers_off, "answers are switched off for this recipient"),
    Rule("shadow-mode", "A1", shadow_mode, "answers are only shown, not sent (mode shadow)"),
    Rule("null-sender", "A2", null_sender, "the mail has no return address, as bounces have"),
    Rule("auto-submitted", "A3", auto_submitted, "the mail says that a machine sent it"),
    Rule("bulk-header", "A4", bulk_header, "a header marks it as list, bulk or machine mail"),
    Rule("suppressed-subject", "A4", suppressed_subject, "the subject is that of an auto-reply"),
    Rule("role-sender", "A5", role_sender, "the sender is a system, role or no-reply address"),
    Rule(
        "recipient-not-addressed",
        "A6",
        recipient_not_addressed,
        "your address stands neither in To nor in Cc",
    ),
    Rule("own-address", "A7", own_address, "the sender is one of your own addresses or domains"),
    Rule("message-loop", "A7", message_loop, "the mail comes from this or another Raincheck"),
    Rule("bad-address", "A8", bad_address, "the return address is no ordinary mail address"),
    Rule(
        "from-mismatch",
        "A9",
        from_mismatch,
        "From is not the one address that sent the mail",
    ),
    Rule("spam-flagged", "A10", spam_flagged, "a spam filter before us flagged the mail"),
    Rule("report-or-calendar", "A10", report_or_calendar, "it is a report or an invitation"),
    Rule("executable-attachment", "A10", executable_attachment, "it carries a file that can run"),
    Rule(
        "answered-recently",
        "A12",
        answered_recently,
        "this sender had an answer (sent or shown) not long ago",
    ),
    Rule(
        "answered-before",
        "A15",
        answered_before,
        "this very mail already has its answer (sent or shown)",
    ),
    Rule("not-authenticated", "A16", not_authenticated, "nothing proves who sent the mail"),
    Rule("parse-incomplete", "A17", parse_incomplete, "the mail could not be read completely"),
    Rule("too-many-hops", "A18", too_many_hops, "the mail passed through too many servers"),
    Rule(
        "non-ascii-address", "B9", non_ascii_address, "an address is not ASCII and may not arrive"
    ),
)

ELSEWHERE = {
    "not-held": "the mail was not held, so there is nothing to answer",
    "below-answer-threshold": "the score is below the threshold for an answer",
    "known-sender": "you know this sender",
    "blocked-sender": "you blocked this sender",
    "render-failed": "the answer could not be written from its template",
}
"""Reasons for no answer that other steps give, with the sentence a user reads."""

# In shadow mode the user decides whether to go live by reading what would be said, usually before
# the mail server in front has been told to report authentication. These two reasons alone keep
# an answer back there without keeping its text from being seen.
SHOWN_DESPITE = frozenset({"shadow-mode", "not-authenticated"})


def decide(occasion: Occasion) -> AnswerDecision:
    """Ask every rule; none forbidding means the answer may leave."""
    reasons = tuple(rule.code for rule in RULES if _forbids(rule, occasion))
    shown = shadow_mode(occasion) and SHOWN_DESPITE.issuperset(reasons)
    return AnswerDecision(
        would_send=not reasons,
        compose=not reasons or shown,
        rung=1,
        template=TEMPLATE,
        reasons=reasons,
    )


def _forbids(rule: Rule, occasion: Occasion) -> bool:
    try:
        return rule.forbids(occasion)
    except Exception:  # what cannot be checked is not answered; the mail itself is delivered
        return True


_EXPLANATIONS = {rule.code: rule.explanation for rule in RULES} | ELSEWHERE


def explain(code: str) -> str:
    """The sentence for a reason code; the code itself when it is none of ours."""
    return _EXPLANATIONS.get(code, code)
