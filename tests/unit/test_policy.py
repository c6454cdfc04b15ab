"""The decision, row by row: pure, so a table says it all."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from classifier.message import Header, Mailbox, Message
from classifier.verdict import LABELS, Verdict
from config.settings import Settings
from gateway.envelope import Decision, Envelope, Memory
from gateway.policy import MAX_HOPS, Case, decide

ANN = "ann@example.com"
SELLER = "brad@growth.example"
KNOWN = Memory(standing="known", standing_why="imported")
ALLOWED = Memory(standing="allowed")
BLOCKED = Memory(standing="blocked", standing_why="blocked on 3 March 2026")


def decision(
    score: float,
    memory: Memory = Memory(),  # noqa: B008
    *,
    sender: str = SELLER,
    parse: str = "ok",
    hops: int = 1,
    thresholds: dict[str, float] | None = None,
    in_reply_to: tuple[str, ...] = (),
    references: tuple[str, ...] = (),
) -> Decision:
    settings = Settings.model_validate(
        {"thresholds": thresholds or {}, "recipients": [{"match": ANN, "name": "Ann"}]}
    )
    envelope = Envelope("id", "127.0.0.1", "seller", sender, (ANN,), datetime.now(UTC))
    message = Message(
        parse=parse,  # type: ignore[arg-type]
        headers=(Header("From", sender, sender),),
        from_=(Mailbox("Brad", sender),),
        to=(Mailbox("", ANN),),
        message_id="<1@growth.example>",
        hops=hops,
        in_reply_to=in_reply_to,
        references=references,
    )
    verdict = Verdict("pitch", score, dict.fromkeys(LABELS, 0.25), "m")
    return decide(Case(envelope, message, verdict, settings), ANN, memory)


@pytest.mark.parametrize(
    ("score", "disposition", "reason"),
    [
        (0.0, "deliver", "score 0.00 < tag 0.50"),
        (0.4999, "deliver", "score 0.4999 < tag 0.5000"),
        (0.5, "tag", "score 0.50 ≥ tag 0.50"),
        (0.7999, "tag", "score 0.80 ≥ tag 0.50"),
        (0.8, "quarantine", "score 0.80 ≥ quarantine 0.80"),
        (1.0, "quarantine", "score 1.00 ≥ quarantine 0.80"),
    ],
)
def test_the_score_decides(score: float, disposition: str, reason: str) -> None:
    found = decision(score)
    assert (found.disposition, found.reasons) == (disposition, (reason,))


@pytest.mark.parametrize(
    ("named", "disposition"),
    [
        ({"in_reply_to": ("<1@Example.com>",)}, "tag"),
        ({"references": ("<0@growth.example>", "<1@example.com>")}, "tag"),
        ({"in_reply_to": ("<1@growth.example>",)}, "quarantine"),
        ({"in_reply_to": ("<1@notexample.com>",)}, "quarantine"),
        # Our own answers carry the gateway's name: who pushes on after one is still held.
        ({"in_reply_to": ("<1-answer@gateway.example.com>",)}, "quarantine"),
    ],
)
def test_a_reply_to_a_mail_of_ours_is_not_held(
    named: dict[str, tuple[str, ...]], disposition: str
) -> None:
    found = decision(0.99, **named)
    assert found.disposition == disposition
    assert ("not-held" in found.answer.reasons) is (disposition == "tag")
    assert decision(0.1, **named).disposition == "deliver"


def test_thresholds_are_the_recipients_own() -> None:
    strict = {"tag": 0.1, "quarantine": 0.2, "answer": 0.3}
    assert decision(0.25, thresholds=strict).disposition == "quarantine"


@pytest.mark.parametrize(
    ("memory", "disposition", "reason"),
    [
        (KNOWN, "deliver", "imported"),
        (ALLOWED, "deliver", "you know this sender"),
        (BLOCKED, "quarantine", "blocked on 3 March 2026"),
        (Memory(touches=7), "quarantine", "score 0.99 ≥ quarantine 0.80"),
    ],
)
def test_a_standing_outweighs_the_score(memory: Memory, disposition: str, reason: str) -> None:
    found = decision(0.99, memory)
    assert (found.disposition, found.reasons) == (disposition, (reason,))


@pytest.mark.parametrize("memory", [KNOWN, ALLOWED])
def test_whom_you_know_is_not_answered(memory: Memory) -> None:
    assert decision(0.99, memory).answer.reasons == ("known-sender",)


def test_a_blocked_sender_is_held_at_any_score_and_never_answered() -> None:
    found = decision(0.01, BLOCKED)
    assert found.disposition == "quarantine"
    assert found.answer.reasons == ("blocked-sender",)
    assert not found.answer.compose


@pytest.mark.parametrize("memory", [Memory(), BLOCKED])
def test_bounces_always_pass(memory: Memory) -> None:
    assert decision(0.99, memory, sender="").disposition == "deliver"


@pytest.mark.parametrize("memory", [Memory(), BLOCKED])
def test_what_cannot_be_read_is_delivered(memory: Memory) -> None:
    assert decision(0.99, memory, parse="failed").disposition == "deliver"


def test_what_is_read_in_part_is_judged_and_never_answered() -> None:
    found = decision(0.99, parse="partial")
    assert found.disposition == "quarantine"
    assert "parse-incomplete" in found.answer.reasons
    assert not found.answer.compose


@pytest.mark.parametrize(("hops", "disposition"), [(MAX_HOPS, "deliver"), (MAX_HOPS + 1, "reject")])
def test_a_loop_is_refused(hops: int, disposition: str) -> None:
    assert decision(0.1, hops=hops).disposition == disposition


def test_nothing_that_is_not_held_is_answered() -> None:
    assert decision(0.6).answer.reasons == ("not-held",)
    assert decision(0.1).answer.reasons == ("not-held",)


@pytest.mark.parametrize(("score", "below"), [(0.94, True), (0.95, False)])
def test_an_answer_needs_its_threshold(score: float, below: bool) -> None:
    answer = decision(score).answer
    assert ("below-answer-threshold" in answer.reasons) is below
    assert answer.compose is not below
    assert not answer.would_send
