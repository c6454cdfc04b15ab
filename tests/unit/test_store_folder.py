"""What the store finds in a folder, and that it finds it without walking through all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from store_rows import ANN, MONTH, NOW, SAM, held_mail, pitch_answer

from gateway.memory.store import Store


def test_held_lists_by_recipient_time_and_state_oldest_first(store: Store) -> None:
    hour = timedelta(hours=1)
    mails = [
        held_mail("m3", received_at=NOW + 2 * hour),
        held_mail("m1", received_at=NOW, recipient="Ann@Example.com"),
        held_mail("m2", received_at=NOW + hour, recipient="bob@example.com"),
        held_mail("m4", received_at=NOW + 3 * hour),
    ]
    store.hold(mails, [], [], MONTH)
    store.discard("m4")

    def ids(*arguments: Any, **named: Any) -> list[str]:
        return [mail.id for mail in store.held(*arguments, **named)]

    assert ids() == ["m1", "m2", "m3"]
    assert ids(ANN) == ["m1", "m3"]
    assert ids(since=NOW + hour) == ["m2", "m3"]
    assert ids("ANN@example.com", NOW + hour) == ["m3"]
    assert ids(states=("held", "discarded")) == ["m1", "m2", "m3", "m4"]
    assert ids(states=("released",)) == []


@pytest.mark.parametrize(
    ("prefix", "ids"),
    [("a", ["ab1", "ab2"]), ("ab1", ["ab1"]), ("", []), ("A", []), ("%", []), ("b", ["b"])],
)
def test_find_by_the_beginning_of_an_id(store: Store, prefix: str, ids: list[str]) -> None:
    store.hold([held_mail(one) for one in ("ab1", "ab2", "b")], [], [], MONTH)
    store.discard("ab2")
    assert [mail.id for mail in store.find(prefix)] == ids


def test_a_limit_keeps_the_newest(store: Store) -> None:
    minutes = [timedelta(minutes=number) for number in (3, 1, 2, 2)]
    store.hold(
        [held_mail(f"m{n}", received_at=NOW + late) for n, late in enumerate(minutes)],
        [],
        [],
        MONTH,
    )
    store.hold([held_mail("b1", recipient="bob@example.com")], [], [], MONTH)

    def ids(recipient: str | None, limit: int | None) -> list[str]:
        return [mail.id for mail in store.held(recipient, limit=limit)]

    assert ids(ANN, 1) == ["m0"]
    assert ids(ANN, 2) == ["m3", "m0"]  # of two at the same instant the one that a list has last
    assert ids(ANN, 9) == ids(ANN, None) == ["m1", "m2", "m3", "m0"]
    assert ids(None, 4) == ["m1", "m2", "m3", "m0"]
    assert ids(ANN, 0) == []


def test_the_oldest_held_and_how_many(store: Store) -> None:
    hour = timedelta(hours=1)
    assert (store.oldest_held(ANN), store.held_count(ANN)) == (None, 0)
    mails = [held_mail(f"m{number}", received_at=NOW + number * hour) for number in range(4)]
    store.hold(mails, [], [], MONTH)
    store.hold([held_mail("b1", recipient="bob@example.com")], [], [], MONTH)
    store.discard("m0")
    store.claim_release("m3")
    assert store.oldest_held("ANN@example.com") == NOW + hour
    assert store.held_count("ANN@example.com") == 2
    assert store.oldest_held(ANN, NOW + 2 * hour) == NOW + 2 * hour
    assert store.held_count(ANN, NOW + 2 * hour) == 1
    assert store.oldest_held(ANN, NOW + 3 * hour) is None
    assert store.held_count(ANN, NOW + 3 * hour) == 0


def test_for_whom_mail_is_held(store: Store) -> None:
    assert store.held_recipients() == []
    to = ("bob@example.com", "Ann@Example.com", "zoe@example.com", ANN, "", "eve@example.com")
    mails = [held_mail(f"m{number}", recipient=one) for number, one in enumerate(to)]
    store.hold(mails, [], [], MONTH)
    store.discard("m2")
    store.claim_release("m5")
    assert store.held_recipients() == ["", ANN, "bob@example.com"]


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """What SQLite is asked, in its words."""
    seen: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        seen.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    yield seen
    event.remove(Engine, "before_cursor_execute", note)


LOOKS: dict[str, Callable[[Store], object]] = {
    "recall": lambda store: store.recall(SAM, ANN, "<m1@seller.example>", "june@author.example"),
    "held": lambda store: store.held(ANN, NOW),
    "held newest": lambda store: store.held(ANN, limit=200),
    "held and releasing": lambda store: store.held(ANN, states=("held", "releasing")),
    "held count": lambda store: store.held_count(ANN, NOW),
    "oldest held": lambda store: store.oldest_held(ANN, NOW),
    "recipients": lambda store: store.held_recipients(),
    "find": lambda store: store.find("m1"),
    "last digest": lambda store: store.last_digest(ANN),
    "answers": lambda store: store.answers(["m1", "m2"]),
    "claim": lambda store: store.claim_answer(NOW),
    "settle": lambda store: store.settle_answer("a1", "planned"),
    "release": lambda store: store.claim_release("m1"),
    "delivered": lambda store: store.delivered("ab", [ANN]),
}


@pytest.mark.parametrize("look", LOOKS)
def test_no_look_at_a_full_folder_walks_through_all_of_it(
    store: Store, path: Path, statements: list[tuple[str, Any]], look: str
) -> None:
    tables = ("held", "answers", "touches", "contacts", "digests", "deliveries")
    store.hold([held_mail()], [pitch_answer()], [], MONTH)
    statements.clear()
    LOOKS[look](store)
    raw = sqlite3.connect(path)
    asked = [one for one in statements if not one[0].startswith(("BEGIN", "COMMIT", "ROLLBACK"))]
    plans = [
        step for one in asked for *_, step in raw.execute(f"EXPLAIN QUERY PLAN {one[0]}", one[1])
    ]
    raw.close()
    assert [step for step in plans if step.startswith("SEARCH")]
    assert [step for step in plans for one in tables if step.startswith(f"SCAN {one}")] == []


@pytest.mark.parametrize("limit", [None, 200])
def test_the_folder_comes_out_of_the_index_in_order(
    store: Store, path: Path, statements: list[tuple[str, Any]], limit: int | None
) -> None:
    store.held(ANN, NOW, limit=limit)
    statement, parameters = next(one for one in statements if one[0].startswith("SELECT held"))
    raw = sqlite3.connect(path)
    (plan,) = raw.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)  # no sorting afterwards
    raw.close()
    assert plan[-1].startswith("SEARCH held USING INDEX held_folder (state=? AND recipient_key=? ")


def test_find_stops_at_twenty_and_has_the_very_one_first(store: Store) -> None:
    store.hold([held_mail(f"m{number}") for number in range(100)], [], [], MONTH)
    found = [mail.id for mail in store.find("m")]
    assert found == sorted(f"m{number}" for number in range(100))[:20]
    assert store.find("m1")[0].id == "m1"
