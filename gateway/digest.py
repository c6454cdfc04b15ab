"""The digest: what was held for one recipient since the last one, as a mail.

`build` gathers the rows, `as_text` and `as_html` render them, `mail` puts both into one message,
`hand_over` gives it to the next hop, `record` remembers that it was. Nothing new means no digest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

import css_inline
import jinja2

from config.settings import Settings
from gateway.memory.rows import Answer, HeldMail
from gateway.memory.store import Store
from gateway.plain import printable
from gateway.relay import nexthop
from gateway.relay.nexthop import NextHop
from gateway.relay.responses import Reply
from replies.courtesy import explain

MAX_ROWS = 200
"""Rows in one digest; the rest is counted, and `raincheck quarantine list` shows it."""

SETTLED = timedelta(minutes=1)
"""A mail may be committed a little after the time it carries. A digest that is sent counts as
having shown only what is older than this, so that a straggler is shown twice rather than never."""

_ENVIRONMENT = jinja2.Environment(
    loader=jinja2.PackageLoader("gateway", "templates"),
    autoescape=jinja2.select_autoescape(["html"], default=False),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One held mail, in words. Every string is printable text on one line."""

    id: str
    sender: str
    subject: str
    score: float
    received: str
    why: tuple[str, ...]
    answer: str
    said: tuple[str, ...]  # the answer's own words, line by line


@dataclass(frozen=True, slots=True)
class Digest:
    """Everything one digest says; rows newest first, `more` of them left out."""

    recipient: str
    name: str
    rows: tuple[Row, ...]
    more: int
    newest: datetime

    @property
    def count(self) -> int:
        return len(self.rows) + self.more

    @property
    def title(self) -> str:
        return f"{self.count} mail{'' if self.count == 1 else 's'} held for you"


def build(
    settings: Settings, store: Store, recipient: str, since: datetime | None
) -> Digest | None:
    """What was held for this recipient from `since` on (None: ever) and still is. None: nothing."""
    mails = store.held(recipient, since, limit=MAX_ROWS)
    if not mails:
        return None
    profile = settings.profile(recipient)
    answers = {answer.held_id: answer for answer in store.answers([mail.id for mail in mails])}
    rows = (row(mail, answers.get(mail.id), profile.digest.zone) for mail in reversed(mails))
    more = max(0, store.held_count(recipient, since) - len(mails))
    newest = max(mail.received_at for mail in mails)
    return Digest(recipient, profile.name, tuple(rows), more, newest)


def row(mail: HeldMail, answer: Answer | None, zone: tzinfo) -> Row:
    """The words for one held mail."""
    return Row(
        id=mail.id,
        sender=printable(mail.sender, 100),
        subject=printable(mail.subject, 150) or "(no subject)",
        score=mail.score,
        received=f"{mail.received_at.astimezone(zone):%a %d %b %H:%M %Z}",
        why=why(mail),
        answer=fate(answer, zone),
        said=tuple(printable(line, 200) for line in answer.text.splitlines()) if answer else (),
    )


def why(mail: HeldMail) -> tuple[str, ...]:
    """Why it was held: the reason, the sales manoeuvres quoted, the sentences and words that
    weighed most."""
    tactics = (f"{one.name}: “{printable(one.quote, 100)}”" for one in mail.tactics[:3])
    pushing = [term for term in mail.terms if term.weight > 0]
    said = (f"“{printable(one.text, 100)}”" for one in pushing if one.is_sentence)
    words = [printable(term.text, 40) for term in pushing if not term.is_sentence][:5]
    sentences = tuple(f"telling: {one}" for one in said)[:2]
    telling = (f"telling words: {', '.join(words)}",) if words else ()
    return (*(printable(reason, 120) for reason in mail.reasons), *tactics, *sentences, *telling)


def fate(answer: Answer | None, zone: tzinfo) -> str:
    """What became of the answer, in a sentence."""
    if answer is None:
        return "none was considered"
    if answer.state == "withheld":
        return "none: " + "; ".join(explain(reason) for reason in answer.reasons)
    if answer.state == "shadow":
        others = [explain(one) for one in answer.reasons if one != "shadow-mode"]
        also = f"; live, it would be kept back: {'; '.join(others)}" if others else ""
        return "written and not sent (mode shadow)" + also
    if answer.state == "planned" and answer.due_at:
        return f"leaves {answer.due_at.astimezone(zone):%a %d %b at %H:%M}"
    return {
        "sending": "leaving right now",
        "sent": "sent",
        "in-doubt": "may have been sent; it will not be tried again",
        "failed": "could not be sent",
        "cancelled": "cancelled",
    }.get(answer.state, answer.state)


def as_text(digest: Digest) -> str:
    """The digest as plain text."""
    return _ENVIRONMENT.get_template("digest.txt").render(digest=digest)


def as_html(digest: Digest) -> str:
    """The digest as one HTML page, styles inlined, nothing loaded from elsewhere."""
    page = _ENVIRONMENT.get_template("digest.html").render(digest=digest)
    return css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True).inline(page)


def mail(digest: Digest, hostname: str, now: datetime) -> EmailMessage:
    """The digest as a mail. Its header fields hold nothing a sender wrote."""
    message = EmailMessage(policy=SMTP)
    message["From"] = Address("Raincheck", "raincheck", hostname)
    message["To"] = _to(digest.recipient)
    message["Subject"] = f"Raincheck: {digest.title}"
    message["Date"] = format_datetime(now)
    message["Message-ID"] = make_msgid("digest", hostname)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(as_text(digest))
    message.add_alternative(as_html(digest), subtype="html")
    return message


def _to(recipient: str) -> Address | str:
    try:
        return Address(addr_spec=recipient)
    except ValueError:  # an address that SMTP carries and a header field does not: `a..b@c`
        return "undisclosed-recipients:;"


async def hand_over(settings: Settings, next_hop: NextHop, digest: Digest, now: datetime) -> Reply:
    """Give the digest to the next hop; its last word. Raises NextHopDown when it has nothing,
    InDoubt when it may have it."""
    content = mail(digest, settings.relay.hostname, now).as_bytes()
    options = () if digest.recipient.isascii() else ("SMTPUTF8",)
    # Null sender: a digest that cannot be delivered must not make a bounce.
    return await nexthop.hand_over(next_hop, "", options, digest.recipient, content)


def record(store: Store, digest: Digest, now: datetime) -> None:
    """Remember what the recipient has been shown. Raises StoreError."""
    shown_until = min(digest.newest + timedelta(microseconds=1), now - SETTLED)
    store.record_digest(digest.recipient, shown_until, digest.count)
