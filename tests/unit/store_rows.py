"""Rows for the tests of the store: one pitch by Sam to Ann, and what was planned for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from classifier.verdict import Tactic, Term
from gateway.memory.rows import Answer, HeldMail, Touch

NOW = datetime(2026, 3, 3, 9, 30, 0, 123456, tzinfo=UTC)
MONTH = timedelta(days=30)
ANN, SAM = "ann@example.com", "sam@seller.example"


def held_mail(held_id: str = "m1", **changes: Any) -> HeldMail:
    mail = HeldMail(
        id=held_id,
        recipient=ANN,
        mail_from=SAM,
        sender="Sam <sam@seller.example>",
        subject="Quick question ☂",
        message_id=f"<{held_id}@seller.example>",
        received_at=NOW,
        score=0.97,
        label="pitch",
        model="m-1",
        reasons=("score 0.97 ≥ quarantine 0.80",),
        tactics=(Tactic("assumptive-close", "I've put you down for Tuesday"),),
        terms=(Term("quick question", 1.25), Term("ann", -0.5)),
        path=f"/folder/new/{held_id}",
        original_offset=120,
        sha256="0" * 64,
        mail_options=("BODY=8BITMIME",),
    )
    return replace(mail, **changes)


def pitch_answer(answer_id: str = "a1", held_id: str = "m1", **changes: Any) -> Answer:
    answer = Answer(
        id=answer_id,
        held_id=held_id,
        sender=SAM,
        recipient=ANN,
        rung=1,
        template="en/not-now",
        message_id=f"<{held_id}@seller.example>",
        state="planned",
        reasons=(),
        subject="Auto: Re: Quick question",
        text="Not right now.",
        content=b"Subject: Auto\r\n\r\n\xff\x00",
        due_at=NOW,
        created_at=NOW,
    )
    return replace(answer, **changes)


def pitch_touch(mail_id: str = "t1", **changes: Any) -> Touch:
    touch = Touch(NOW, SAM, ANN, "<1@seller.example>", "Quick question", 0.9, "quarantine", mail_id)
    return replace(touch, **changes)
