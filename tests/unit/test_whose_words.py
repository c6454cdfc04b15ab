"""A mail is judged by its sender's own words, never by those it quotes, forwards or encloses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from classifier import model
from classifier.message import Message, read

PITCH = (Path(__file__).parents[2] / "examples/1-pitch.eml").read_text().split("\n\n", 1)[1]
HEAD = "From: Jane <jane@customer.example>\nTo: ann@example.com\nSubject: Re: our talk\n"
QUOTED = "On Mon, 2 Mar 2026 at 09:14, Ann <ann@example.com> wrote:\n" + "".join(
    f"> {line}\n" for line in PITCH.splitlines()
)
ORIGINAL = (
    "-----Original Message-----\nFrom: Ann <ann@example.com>\nSent: Monday, 2 March 2026 09:14\n"
    f"To: Jane <jane@customer.example>\nSubject: our talk\n\n{PITCH}"
)
ENCLOSED = (
    HEAD
    + "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    + "--b\nContent-Type: text/plain\n\n{own}\n"
    + "--b\nContent-Type: message/rfc822\n\nFrom: b@x.example\nSubject: Hi\n\n"
    + PITCH
    + "\n--b--\n"
)
ATTACHED = ENCLOSED.replace(
    "message/rfc822\n\nFrom: b@x.example\nSubject: Hi\n",
    "text/plain\nContent-Disposition: attachment; filename=pitch.txt\n",
)


@pytest.fixture(scope="module")
def score() -> Callable[[Message], float]:
    judge = model.load()
    return lambda message: judge.judge(message).score


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}\nThanks,\nJane\n\n{QUOTED}",
        f"{HEAD}\nThank you!\nJane Miller\n\n{ORIGINAL}",
        f"{HEAD}\nDanke! Viele Grüße\nJane\n\n{QUOTED}",
        f"{HEAD}\n{QUOTED}",
        f"{HEAD}\nSent from my iPhone\n\n{ORIGINAL}",
        ENCLOSED.format(own=""),
        ENCLOSED.format(own="What do you think?"),
        ATTACHED.format(own=""),
    ],
)
def test_other_peoples_words_are_not_held_against_the_sender(
    score: Callable[[Message], float], text: str
) -> None:
    message = read(text.encode())
    assert "SEO services" not in message.own_text
    assert "SEO services" in message.text or "What do you think" in message.text
    assert score(message) < 0.8
    assert not [tactic for tactic in model.load().judge(message).tactics if "SEO" in tactic.quote]


def test_the_same_words_as_the_senders_own_are(score: Callable[[Message], float]) -> None:
    assert score(read(f"{HEAD}\n{PITCH}".encode())) > 0.95


def test_fields_of_a_journey_are_no_quotation() -> None:
    body = "please book my trip:\n\nFrom: London\nTo: Berlin\nDate: 3 May\n\nI need a hotel too.\n"
    message = read(f"{HEAD}\n{body}".encode())
    assert "I need a hotel too." in message.own_text
    assert message.quoted == ""
