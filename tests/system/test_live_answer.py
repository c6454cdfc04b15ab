"""Live answers over real parts: a pitch comes in, and a real SMTP server catches what leaves."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from clients import SENDER, Mail, send
from dovecot_part import Dovecot
from letters import pitch
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorded, Recorder
from waiting import wait_until

HOLD_ALL = {"tag": 0.0, "quarantine": 0.0, "answer": 0.0}
CLOSED_HOURS = "22:00-23:00" if datetime.now(UTC).hour < 12 else "00:00-01:00"
"""Working hours, in a sender's zone that is UTC, that are not now and not soon."""
PROVEN = "mx.example.com; dmarc=pass (p=reject) header.from=growthrocket.example"


@pytest.fixture(scope="module")
def smart_host() -> Iterator[Recorder]:
    server = Recorder()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def live_gateway(
    dovecot_server: Dovecot, smart_host: Recorder, module_gateway: StartGateway
) -> Raincheck:
    return module_gateway(live(dovecot_server, smart_host))


@pytest.fixture
def raincheck(live_gateway: Raincheck, show_log: Callable[[Raincheck], None]) -> Raincheck:
    """A gateway in live mode. Every test has a recipient of its own, who got no mail before."""
    show_log(live_gateway)
    return live_gateway


def live(dovecot: Dovecot, smart_host: Recorder) -> dict[str, Any]:
    """Everything is held and, where the rules allow, answered at once."""
    answers = {
        "mode": "live",
        "smart_host": f"127.0.0.1:{smart_host.port}",
        "tls": "off",
        "delay": "0s",
        "hours": "00:00-23:59",
    }
    return {
        "relay": {"authserv_ids": ["mx.example.com"]},
        "next_hop": {"kind": "lmtp", "address": f"127.0.0.1:{dovecot.port}"},
        "thresholds": HOLD_ALL,
        "answers": answers,
        "recipients": [
            {"match": "ann@example.com", "name": "Ann Example"},
            {"match": "bob@example.com", "answers": {"hours": CLOSED_HOURS}},
            {"match": "carol@example.com", "answers": {"mode": "shadow"}},
        ],
    }


def proven_pitch(number: int = 0, **given: Any) -> bytes:
    """A pitch whose sender a trusted verifier vouches for."""
    return pitch(number, headers={"Authentication-Results": PROVEN}, **given)


def on_a_weekday_now() -> datetime:
    """The present time in a zone where it is Monday to Friday, well inside the day."""
    now = datetime.now(UTC)
    for offset in range(-11, 15):
        local = now.astimezone(timezone(timedelta(hours=offset)))
        soon = local + timedelta(minutes=5)  # the test is over by then
        if local.weekday() < 5 and soon.date() == local.date():
            return local
    pytest.skip("it is the weekend everywhere on earth; no answer leaves")


@dataclass(frozen=True)
class Row:
    """What the database says of one answer; `due` in UTC."""

    state: str
    reasons: list[str]
    due: datetime | None


def answers(raincheck: Raincheck, recipient: str) -> list[Row]:
    """The answers in this recipient's name, oldest first."""
    query = "SELECT state, reasons, due_at FROM answers WHERE recipient = ? ORDER BY created_at"
    with contextlib.closing(sqlite3.connect(raincheck.home / "var" / "raincheck.db")) as database:
        rows = database.execute(query, (recipient,)).fetchall()
    return [
        Row(
            state,
            json.loads(reasons),
            datetime.fromisoformat(due).replace(tzinfo=UTC) if due else None,
        )
        for state, reasons, due in rows
    ]


def caught(smart_host: Recorder, recipient: str) -> list[Recorded]:
    """What has left in this recipient's name."""
    return [mail for mail in smart_host.mails if recipient.encode() in mail.content]


def test_a_pitch_is_answered_once_and_courteously(
    raincheck: Raincheck, smart_host: Recorder
) -> None:
    ann, written = "ann@example.com", on_a_weekday_now()
    content = proven_pitch(1, unique="answer-me", date=written)
    send(raincheck.port, Mail(content, (ann,)))
    (answer,) = wait_until("the answer", lambda: caught(smart_host, ann))
    assert answer.mail_from == ""
    assert answer.rcpt_tos == (SENDER,)

    mail = email.message_from_bytes(answer.content, policy=email.policy.default)
    assert sorted(mail.keys()) == sorted(
        [
            *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
            *("Auto-Submitted", "Precedence", "X-Auto-Response-Suppress", "X-Raincheck-Loop"),
            *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
        ]
    )
    assert mail["From"] == "Ann Example <ann@example.com>"
    assert mail["To"] == SENDER
    assert mail["Subject"] == "Auto: Re: Quick call this week?"
    assert mail["In-Reply-To"] == "<answer-me@mail.growthrocket.example>"
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail.get_content_type() == "text/plain"
    text = " ".join(mail.get_content().split()).lower()
    assert "right now" in text
    assert "stories" in text
    assert "guaranteed" not in text  # nothing of theirs is quoted

    # The same mail again, as after a lost 250, and their next one: held, and met with silence.
    send(raincheck.port, Mail(content, (ann,)))
    send(raincheck.port, Mail(proven_pitch(2, unique="again", date=written), (ann,)))
    assert len(raincheck.held("ann")) == 3
    wait_until("the hand-over noted", lambda: answers(raincheck, ann)[0].state == "sent")
    assert [one.state for one in answers(raincheck, ann)] == ["sent", "withheld", "withheld"]
    assert len(caught(smart_host, ann)) == 1


def test_outside_the_senders_working_hours_the_answer_waits(
    raincheck: Raincheck, smart_host: Recorder
) -> None:
    bob = "bob@example.com"
    content = proven_pitch(to=bob, unique="at-night", date=datetime.now(UTC))
    send(raincheck.port, Mail(content, (bob,)))
    (answer,) = answers(raincheck, bob)
    assert answer.state == "planned"
    assert answer.due is not None
    assert answer.due > datetime.now(UTC)
    assert answer.due.weekday() < 5
    assert answer.due.strftime("%H:%M") == CLOSED_HOURS[:5]
    assert not caught(smart_host, bob)


@pytest.mark.parametrize(
    ("recipient", "results", "state", "reason"),
    [
        ("carol@example.com", PROVEN, "shadow", "shadow-mode"),
        ("dave@example.com", PROVEN.replace("pass", "fail"), "withheld", "not-authenticated"),
        (
            "erin@example.com",
            PROVEN.replace("mx.example.com", "mx.example.com.evil.example"),
            "withheld",
            "not-authenticated",
        ),
    ],
    ids=["shadow mode", "dmarc failed", "a verifier with a similar name"],
)
def test_no_answer_leaves(
    raincheck: Raincheck,
    smart_host: Recorder,
    recipient: str,
    results: str,
    state: str,
    reason: str,
) -> None:
    content = pitch(to=recipient, headers={"Authentication-Results": results})
    send(raincheck.port, Mail(content, (recipient,)))
    (answer,) = answers(raincheck, recipient)
    assert answer.state == state  # from neither of them does anything lead to `sent`
    assert answer.reasons == [reason]
    assert not caught(smart_host, recipient)
