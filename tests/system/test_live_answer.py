"""Live answers over real parts: a pitch comes in, and a real SMTP server catches what leaves."""

from __future__ import annotations

import email
import email.policy
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from clients import SENDER, Mail, send
from dovecot_part import Dovecot
from letters import pitch
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorder
from waiting import wait_until

HOLD_ALL = {"tag": 0.0, "quarantine": 0.0, "answer": 0.0}
PROVEN = "mx.example.com; dmarc=pass (p=reject) header.from=growthrocket.example"
ALL_DAY = "00:00-23:59"


def live(dovecot: Dovecot, recorder: Recorder, **answers: Any) -> dict[str, Any]:
    """Everything is held and, where the rules allow, answered at once."""
    return {
        "relay": {"authserv_ids": ["mx.example.com"]},
        "next_hop": {"kind": "lmtp", "address": f"127.0.0.1:{dovecot.port}"},
        "thresholds": HOLD_ALL,
        "answers": {
            "mode": "live",
            "smart_host": f"127.0.0.1:{recorder.port}",
            "tls": "off",
            "delay": "0s",
            "hours": ALL_DAY,
        }
        | answers,
        "recipients": [{"match": "ann@example.com", "name": "Ann Example"}],
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


def closed_hours() -> str:
    """Working hours, as the sender's zone UTC has them, that are not now and not soon."""
    return "22:00-23:00" if datetime.now(UTC).hour < 12 else "00:00-01:00"


def answers(raincheck: Raincheck) -> list[tuple[str, str, datetime | None]]:
    """State, reasons and due time (UTC) of every answer in the database, oldest first."""
    database = sqlite3.connect(raincheck.home / "var" / "raincheck.db")
    try:
        rows = database.execute("SELECT state, reasons, due_at FROM answers ORDER BY created_at")
        return [
            (state, reasons, datetime.fromisoformat(due).replace(tzinfo=UTC) if due else None)
            for state, reasons, due in rows
        ]
    finally:
        database.close()


def states(raincheck: Raincheck) -> Counter[str]:
    """How many answers are in which state."""
    return Counter(state for state, _, _ in answers(raincheck))


def test_a_pitch_is_answered_once_and_courteously(
    dovecot: Dovecot, recorder: Recorder, gateway: StartGateway
) -> None:
    written = on_a_weekday_now()
    raincheck = gateway(live(dovecot, recorder))
    content = proven_pitch(unique="answer-me", date=written)
    send(raincheck.port, Mail(content))
    (answer, *_) = recorder.wait_for(1)
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
    send(raincheck.port, Mail(content), Mail(proven_pitch(1, unique="again", date=written)))
    assert len(raincheck.held("ann")) == 3
    wait_until("the answer's state", lambda: states(raincheck)["sent"] == 1)
    assert states(raincheck) == {"sent": 1, "withheld": 2}
    assert len(recorder.mails) == 1
    assert dovecot.count("ann") == 0


def test_outside_the_senders_working_hours_the_answer_waits(
    dovecot: Dovecot, recorder: Recorder, gateway: StartGateway
) -> None:
    raincheck = gateway(live(dovecot, recorder, hours=closed_hours()))
    send(raincheck.port, Mail(proven_pitch(date=datetime.now(UTC))))
    ((state, _, due),) = answers(raincheck)
    assert state == "planned"
    assert due is not None
    assert due > datetime.now(UTC)
    assert due.weekday() < 5
    assert due.strftime("%H:%M") == closed_hours()[:5]
    raincheck.stop()
    assert not recorder.mails
    assert states(raincheck) == {"planned": 1}


@pytest.mark.parametrize(
    ("changed", "forged", "reason"),
    [
        ({"mode": "shadow"}, PROVEN, "shadow"),
        ({}, PROVEN.replace("mx.example.com", "mx.example.com.evil.example"), "not-auth"),
        ({}, PROVEN.replace("dmarc=pass", "dmarc=fail"), "not-auth"),
    ],
    ids=["shadow mode", "a verifier with a similar name", "dmarc failed"],
)
def test_no_answer_leaves(
    dovecot: Dovecot,
    recorder: Recorder,
    gateway: StartGateway,
    changed: dict[str, Any],
    forged: str,
    reason: str,
) -> None:
    raincheck = gateway(live(dovecot, recorder, **changed))
    send(raincheck.port, Mail(pitch(headers={"Authentication-Results": forged})))
    ((state, reasons, _),) = answers(raincheck)
    assert state == ("shadow" if reason == "shadow" else "withheld")
    assert reason in reasons
    raincheck.stop()
    assert not recorder.mails
