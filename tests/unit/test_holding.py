"""Of the answers to one mail, which may be given."""

from __future__ import annotations

import pytest

from gateway.holding import only_one
from gateway.memory.rows import Answer, AnswerState


def answers(*states: AnswerState) -> list[Answer]:
    return [
        Answer(f"a{n}", f"m{n}", "s@x.example", f"r{n}@example.com", 1, "t", "<1@x>", state, ())
        for n, state in enumerate(states)
    ]


@pytest.mark.parametrize(
    ("states", "kept"),
    [
        (["planned"], ["planned"]),
        (["planned", "planned", "planned"], ["planned", "withheld", "withheld"]),
        (["shadow", "shadow"], ["shadow", "withheld"]),
        (["withheld", "planned"], ["withheld", "planned"]),
        (["shadow", "planned"], ["shadow", "planned"]),
        (["planned", "shadow"], ["planned", "withheld"]),
        (["shadow", "planned", "planned"], ["shadow", "planned", "withheld"]),
        ([], []),
    ],
)
def test_one_mail_has_one_answer(states: list[AnswerState], kept: list[AnswerState]) -> None:
    found = only_one(answers(*states))
    assert [answer.state for answer in found] == kept
    for before, after in zip(answers(*states), found, strict=True):
        expected = before.reasons if before.state == after.state else ("answered-before",)
        assert after.reasons == expected
