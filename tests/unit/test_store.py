from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from store_rows import ANN, MONTH, NOW, SAM, held_mail, pitch_answer, pitch_touch

from classifier.message import Message
from classifier.verdict import LABELS, Tactic, Verdict
from config.settings import Settings
from gateway.envelope import Envelope, Memory
from gateway.memory import contacts, database, deliveries
from gateway.memory.rows import AnswerState, Contact
from gateway.memory.store import Store, StoreError
from gateway.pipeline import recall
from gateway.policy import Case


def state_of(store: Store, answer_id: str = "a1") -> str:
    return next(answer.state for answer in store.answers() if answer.id == answer_id)


# recall


@pytest.mark.parametrize(
    ("decided", "standing"),
    [
        ([], None),
        ([(SAM, "allowed", "")], "allowed"),
        ([("@seller.example", "blocked", "")], "blocked"),
        ([("@seller.example", "blocked", ANN)], "blocked"),
        ([("@seller.example", "blocked", "bob@example.com")], None),
        ([("@example", "blocked", ""), ("@other.seller.example", "blocked", "")], None),
        ([(SAM, "known", ""), ("@seller.example", "blocked", "")], "known"),
        # The address itself before its domain, even where the domain names the recipient.
        ([(SAM, "known", ""), ("@seller.example", "blocked", ANN)], "known"),
        ([(SAM, "blocked", ""), (SAM, "known", ANN)], "known"),
        ([("@seller.example", "blocked", ""), ("@seller.example", "known", ANN)], "known"),
        # What is decided for everyone replaces what was for one.
        ([(SAM, "known", ANN), (SAM, "blocked", "")], "blocked"),
        ([(SAM, "known", ""), (SAM, "blocked", "")], "blocked"),  # the newer word counts
    ],
)
def test_standing(store: Store, decided: list[tuple[str, Any, str]], standing: str | None) -> None:
    for address, word, recipient in decided:
        store.set_contact(address, word, "cli", recipient)
    assert store.recall("Sam@Seller.EXAMPLE", "ANN@example.com", "").standing == standing


@pytest.mark.parametrize(
    ("address", "words"),
    [(SAM, "allowed on 3 March 2026 (release)"), ("@b.example", "@b.example allowed on 3 March")],
)
def test_the_standing_in_words(address: str, words: str) -> None:
    assert contacts.why(Contact(address, "", "allowed", "release", NOW)).startswith(words)


def test_recall_says_why(store: Store) -> None:
    assert store.recall(SAM, ANN, "").standing_why == ""
    store.set_contact(SAM, "blocked", "cli")
    assert store.recall(SAM, ANN, "").standing_why.endswith(f"{datetime.now(UTC).year} (cli)")


def test_the_null_sender_is_never_known_or_counted(store: Store) -> None:
    store.note_touches([pitch_touch(sender="")])
    store.set_contact("@", "known", "cli")
    with pytest.raises(ValueError, match="null sender"):
        store.set_contact("", "known", "cli")
    assert store.recall("", ANN, "<1@seller.example>") == Memory()


def test_touches_count_for_this_pair_and_once_per_mail(store: Store) -> None:
    store.note_touches(
        [pitch_touch("t1"), pitch_touch("t1"), pitch_touch("t2", sender=SAM.upper())]
    )
    store.note_touches([pitch_touch("t2"), pitch_touch("t2", recipient="bob@example.com")])
    store.note_touches([])
    store.hold([held_mail()], [], [pitch_touch("t3")], MONTH)
    assert store.recall(SAM, ANN, "").touches == 3
    assert store.recall(SAM, "Bob@example.com", "").touches == 1
    assert store.recall("other@seller.example", ANN, "").touches == 0


@pytest.mark.parametrize(
    ("state", "recently", "before"),
    [
        ("withheld", False, False),
        ("shadow", False, False),
        ("planned", True, True),
        ("sending", True, True),
        ("sent", True, True),
        ("in-doubt", True, True),
        ("failed", False, True),
        ("cancelled", False, True),
    ],
)
def test_what_counts_as_answered(
    store: Store, state: AnswerState, recently: bool, before: bool
) -> None:
    store.hold([], [pitch_answer(state=state)], [], MONTH)
    memory = store.recall(SAM, ANN, "<m1@seller.example>")
    assert memory.answered_at == (NOW if recently else None)
    assert memory.answered_before is before
    assert not store.recall(SAM, ANN, "<m2@seller.example>").answered_before
    assert not store.recall(SAM, ANN, "").answered_before
    # One mail gets one answer, whoever of us received it; the spacing is between two people.
    colleague = store.recall(SAM, "bob@example.com", "<m1@seller.example>")
    assert colleague == Memory(answered_before=before)
    again = pitch_answer("a2", created_at=NOW + timedelta(days=1))
    (reserved,) = store.hold([], [again], [], MONTH)
    reasons = [
        code
        for code, holds in {"answered-recently": recently, "answered-before": before}.items()
        if holds
    ]
    assert list(reserved.reasons) == reasons
    assert reserved.state == ("withheld" if reasons else "planned")


@pytest.mark.parametrize(
    ("earlier", "wanted", "counts"),
    [
        ("shadow", "shadow", True),
        ("shadow", "planned", False),
        ("planned", "shadow", True),  # shadow shows what live would do
        ("planned", "planned", True),
        ("sent", "shadow", True),
    ],
)
@pytest.mark.parametrize("same_mail", [True, False])
def test_what_was_only_shown_counts_against_what_is_only_shown(
    store: Store, earlier: AnswerState, wanted: AnswerState, counts: bool, same_mail: bool
) -> None:
    store.hold([], [pitch_answer(state=earlier)], [], MONTH)
    # The same mail to somebody else, or another one to the same recipient.
    again = pitch_answer("a2", state=wanted, recipient="bob@example.com")
    if not same_mail:
        again = pitch_answer("a2", "m2", state=wanted, created_at=NOW + timedelta(days=3))
    shadow = wanted == "shadow"
    memory = store.recall(SAM, again.recipient, again.message_id, shadow=shadow)
    assert memory.answered_before is (same_mail and counts)
    assert memory.answered_at == (NOW if counts and not same_mail else None)
    (reserved,) = store.hold([], [again], [], MONTH)
    reason = "answered-before" if same_mail else "answered-recently"
    assert reserved.state == ("withheld" if counts else wanted)
    assert reserved.reasons == ((reason,) if counts else ())


@pytest.mark.parametrize(("mode", "counts"), [("shadow", True), ("live", False), ("off", False)])
def test_the_pipeline_recalls_for_the_mode_of_the_recipient(
    store: Store, mode: str, counts: bool
) -> None:
    store.hold([], [pitch_answer(state="shadow")], [], MONTH)
    answers = {"mode": mode, "smart_host": "127.0.0.1:25"}
    settings = Settings.model_validate({"recipients": [{"match": ANN, "answers": answers}]})
    envelope = Envelope("e1", "192.0.2.1", "client.example", SAM, (ANN,), NOW)
    verdict = Verdict("pitch", 0.97, dict.fromkeys(LABELS, 0.25), "m-1")
    case = Case(envelope, Message(message_id="<m1@seller.example>"), verdict, settings)
    memory = recall(store, case, ANN)
    assert (memory.answered_at is not None, memory.answered_before) == (counts, counts)


def test_cancelled_what_was_only_shown_still_is_none(store: Store) -> None:
    live = pitch_answer("a2", "m2", recipient="bob@example.com", message_id="<m1@seller.example>")
    shown = pitch_answer(state="shadow")
    store.hold([held_mail("m1"), held_mail("m2")], [shown, live], [], MONTH)
    store.discard("m1")  # beside a planned answer to the same mail
    store.discard("m2")
    assert [answer.state for answer in store.answers()] == ["cancelled", "cancelled"]
    later = pitch_answer("a3", "m3", state="shadow", message_id="<m3@seller.example>")
    store.hold([held_mail("m3")], [later], [], MONTH)
    store.discard("m3")
    assert not store.recall(SAM, ANN, "<m3@seller.example>").answered_before
    assert store.recall(SAM, ANN, "<m3@seller.example>", shadow=True).answered_before
    live_now = replace(later, id="a4", state="planned")
    assert store.hold([], [live_now], [], MONTH)[0].state == "planned"


# hold


def test_rows_come_back_as_they_went_in(store: Store) -> None:
    east = NOW.astimezone(timezone(timedelta(hours=5)))
    mail = held_mail(received_at=east, mail_from="Sam@Seller.example", state_at=NOW)
    answer = pitch_answer(reasons=("one", "two"), last_error="450 later", attempts=2)
    (reserved,) = store.hold([mail], [answer], [], MONTH)
    assert store.held() == [mail]
    assert store.held()[0].received_at.utcoffset() == timedelta(0)
    assert [reserved] == store.answers() == [replace(answer, updated_at=NOW)]


@pytest.mark.parametrize("awkward", ["\udcff", "\ud83d!", "a\x00b", "'; DROP TABLE held; --"])
def test_undecodable_text_is_still_held(store: Store, awkward: str) -> None:
    mail = held_mail(subject=awkward, reasons=(awkward,), tactics=(Tactic("x", awkward),), terms=())
    store.hold([mail], [pitch_answer(subject=awkward)], [pitch_touch(subject=awkward)], MONTH)
    (found,) = store.held()
    assert found.subject == awkward.encode(errors="replace").decode()
    assert store.recall(awkward, awkward, awkward) == Memory()


@pytest.mark.parametrize("state", ["planned", "shadow"])
@pytest.mark.parametrize(
    ("later", "taken"),
    [(timedelta(0), True), (MONTH - timedelta(seconds=1), True), (MONTH, False)],
)
def test_spacing(store: Store, state: AnswerState, later: timedelta, taken: bool) -> None:
    store.hold([held_mail()], [pitch_answer(state=state)], [], MONTH)
    second = pitch_answer("a2", "m2", created_at=NOW + later, sender=SAM.upper(), state=state)
    (reserved,) = store.hold([held_mail("m2")], [second], [], MONTH)
    assert reserved.state == ("withheld" if taken else state)
    assert reserved.reasons == (("answered-recently",) if taken else ())
    assert (reserved.due_at is None) is taken


def test_a_withheld_answer_is_kept_as_it_is(store: Store) -> None:
    store.hold([], [pitch_answer()], [], MONTH)
    wanted = pitch_answer("a2", state="withheld", reasons=("bulk-header",), due_at=None)
    (reserved,) = store.hold([], [wanted], [], MONTH)
    assert reserved == replace(wanted, updated_at=NOW)


def test_two_answers_of_one_hold_do_not_both_fit(store: Store) -> None:
    reserved = store.hold([], [pitch_answer("a1"), pitch_answer("a2")], [], MONTH)
    assert [answer.state for answer in reserved] == ["planned", "withheld"]


def test_one_mail_to_two_of_us_has_one_answer(store: Store) -> None:
    second = pitch_answer("a2", recipient="bob@example.com")
    reserved = [store.hold([], [answer], [], MONTH)[0] for answer in (pitch_answer(), second)]
    assert [answer.state for answer in reserved] == ["planned", "withheld"]
    assert reserved[1].reasons == ("answered-before",)


def test_without_a_message_id_only_the_spacing_counts(store: Store) -> None:
    store.hold([], [pitch_answer(message_id="")], [], MONTH)
    later = pitch_answer("a2", message_id="", created_at=NOW + MONTH)
    assert store.hold([], [later], [], MONTH)[0].state == "planned"


def test_times_are_filled_in(store: Store) -> None:
    bare = pitch_answer(created_at=None, due_at=None)
    before = datetime.now(UTC)
    (reserved,) = store.hold([], [bare], [], MONTH)
    assert reserved.created_at is not None
    assert before <= reserved.created_at == reserved.updated_at == reserved.due_at


def test_repeating_a_hold_changes_nothing(store: Store) -> None:
    once = ([held_mail()], [pitch_answer()], [pitch_touch()], MONTH)
    store.hold(*once)
    store.discard("m1")
    (answer,) = store.hold(*once)
    assert answer.state == "cancelled"
    assert [answer] == store.answers()
    assert [mail.state for mail in store.held(states=("held", "discarded"))] == ["discarded"]
    assert store.recall(SAM, ANN, "").touches == 1


def test_hold_is_all_or_nothing(store: Store) -> None:
    naive = pitch_touch(at=NOW.replace(tzinfo=None))
    with pytest.raises(StoreError, match=r"raincheck\.db: .*time without a zone"):
        store.hold([held_mail()], [pitch_answer()], [naive], MONTH)
    assert store.held() == []
    assert store.answers() == []


@pytest.mark.parametrize(
    ("state", "shadow", "taken"),
    [
        ("planned", 0, True),
        ("cancelled", 0, True),
        ("shadow", 1, False),
        ("cancelled", 1, False),
        ("withheld", 0, False),
    ],
)
def test_the_slot_is_held_by_the_database_too(
    store: Store, path: Path, state: str, shadow: int, taken: bool
) -> None:
    store.hold([], [pitch_answer()], [], MONTH)
    columns = "held_id, sender, sender_key, recipient, recipient_key, rung, template, message_id"
    rest = "reasons, subject, text, content, created_at, updated_at, attempts, last_error"
    raw = sqlite3.connect(path)
    refused = pytest.raises(sqlite3.IntegrityError, match="UNIQUE")
    with refused if taken else nullcontext():
        raw.execute(
            f"INSERT INTO answers (id, state, shadow, {columns}, {rest}) "
            f"SELECT 'a2', ?, ?, {columns}, {rest} FROM answers",
            (state, shadow),
        )
    raw.close()


def test_unhold_leaves_no_trace(store: Store) -> None:
    other = (
        [held_mail("m2", mail_from="other@b.example")],
        [pitch_answer("a2", "m2", sender="other@b.example")],
        [pitch_touch("t2", sender="other@b.example")],
        MONTH,
    )
    store.hold(*other)
    store.hold([held_mail("m1")], [pitch_answer()], [pitch_touch()], MONTH)
    store.unhold(iter(["m1", "unheard-of"]))
    assert store.recall(SAM, ANN, "<m1@seller.example>") == Memory()
    assert [mail.id for mail in store.held()] == ["m2"]
    assert [answer.id for answer in store.answers()] == ["a2"]
    assert store.recall("other@b.example", ANN, "").touches == 1


def test_unhold_keeps_an_answer_that_left(store: Store) -> None:
    store.hold([held_mail()], [pitch_answer()], [], MONTH)
    store.claim_answer(NOW)
    store.unhold(["m1"])
    assert store.held() == []
    assert state_of(store) == "sending"


# the folder


def _held(store: Store) -> None:
    store.hold([held_mail()], [pitch_answer()], [], MONTH)


def _releasing(store: Store) -> None:
    _held(store)
    store.claim_release("m1")


def _released(store: Store) -> None:
    _releasing(store)
    store.finish_release("m1")


def _discarded(store: Store) -> None:
    _held(store)
    store.discard("m1")


STATES = {"held": _held, "releasing": _releasing, "released": _released, "discarded": _discarded}
STEPS: dict[str, Callable[[Store], object]] = {
    "claim": lambda store: store.claim_release("m1"),
    "again": lambda store: store.claim_release("m1", again=True),
    "finish": lambda store: store.finish_release("m1"),
    "abandon": lambda store: store.abandon_release("m1"),
    "discard": lambda store: store.discard("m1"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("state", STATES)
def test_every_step_from_every_state(store: Store, state: str, step: str) -> None:
    allowed = {
        ("held", "claim"): "releasing",
        ("held", "again"): "releasing",
        ("held", "discard"): "discarded",
        ("releasing", "again"): "releasing",
        ("releasing", "finish"): "released",
        ("releasing", "abandon"): "held",
    }
    STATES[state](store)
    answered = STEPS[step](store)
    (mail,) = store.find("m1")
    assert mail.state == allowed.get((state, step), state)
    if step in ("claim", "again", "discard"):
        assert answered == (mail if (state, step) in allowed else None)


def test_steps_of_a_mail_that_is_not_there(store: Store) -> None:
    assert [step(store) for step in STEPS.values()] == [None] * len(STEPS)


def test_release_allows_the_sender_for_this_recipient_and_cancels(store: Store) -> None:
    store.set_contact(SAM, "blocked", "cli", ANN)
    later = NOW + MONTH
    store.hold([held_mail()], [pitch_answer(state="shadow")], [], MONTH)
    store.hold([], [pitch_answer("a2", "m2", created_at=later)], [], MONTH)
    store.hold([], [pitch_answer("a3", "m3", recipient="bob@example.com")], [], MONTH)
    store.claim_release("m1")
    states = [state_of(store, one) for one in ("a1", "a2", "a3")]
    assert states == ["cancelled", "cancelled", "planned"]  # before the next hop is spoken to
    store.hold([], [pitch_answer("a4", "m4", created_at=later)], [], MONTH)
    store.finish_release("m1")
    assert store.recall(SAM, ANN, "").standing == "allowed"
    assert store.recall(SAM, "bob@example.com", "").standing is None
    assert store.contacts()[0].source == "release"
    assert [state_of(store, one) for one in ("a3", "a4")] == ["planned", "cancelled"]


def test_release_cancels_what_is_planned_for_the_author_too(store: Store) -> None:
    store.hold([held_mail(mail_from="b-1@seller.example", author=SAM)], [], [], MONTH)
    store.hold([], [pitch_answer("a2", "m2")], [], MONTH)
    store.claim_release("m1")
    assert state_of(store, "a2") == "cancelled"


def test_a_release_that_was_not_to_be_had_cancels_nothing(store: Store) -> None:
    store.hold([held_mail()], [], [], MONTH)
    store.discard("m1")
    store.hold([], [pitch_answer("a2", "m2")], [], MONTH)
    assert store.claim_release("m1") is None
    assert state_of(store, "a2") == "planned"


def test_release_of_a_null_sender_allows_nobody(store: Store) -> None:
    store.hold([held_mail(mail_from="")], [pitch_answer(sender="")], [], MONTH)
    store.claim_release("m1")
    store.finish_release("m1")
    assert store.contacts() == []
    assert state_of(store) == "cancelled"
    assert store.find("m1")[0].state == "released"


@pytest.mark.parametrize(
    ("state", "becomes"),
    [("planned", "cancelled"), ("shadow", "cancelled"), ("sent", "sent"), ("withheld", "withheld")],
)
def test_discard_cancels_the_answer_of_this_mail(
    store: Store, state: AnswerState, becomes: str
) -> None:
    store.hold([held_mail()], [pitch_answer(state=state)], [], MONTH)
    store.hold([], [pitch_answer("a2", "m2", recipient="bob@example.com")], [], MONTH)
    assert store.discard("m1") is not None
    assert state_of(store) == becomes
    assert state_of(store, "a2") == "planned"


# contacts


def test_contacts(store: Store) -> None:
    store.set_contact("Zoe@B.example", "known", "import")
    store.set_contact("@b.example", "blocked", "cli", "Ann@example.com")
    store.set_contact("zoe@b.example", "allowed", "cli", "bob@example.com")

    def keys(recipient: str | None = None) -> list[tuple[str, str]]:
        return [(one.address, one.recipient) for one in store.contacts(recipient)]

    domain, everyone, bob = ("@b.example", ANN), ("zoe@b.example", ""), "bob@example.com"
    assert keys() == [domain, everyone, ("zoe@b.example", bob)]
    assert keys("ANN@example.com") == [domain, everyone]
    assert store.forget("ZOE@b.example", "Bob@example.com") is True
    assert store.forget("zoe@b.example", bob) is False
    assert keys() == [domain, everyone]
    store.set_contact("zoe@b.example", "allowed", "cli", bob)
    assert store.forget("zoe@b.example") is True
    assert store.forget("zoe@b.example") is False
    assert keys() == [domain]


@pytest.mark.parametrize(
    ("address", "recipient", "cancelled"),
    [
        (SAM, "", True),
        ("SAM@seller.example", "ANN@example.com", True),
        ("@seller.example", "", True),
        ("@Seller.example", ANN, True),
        (SAM, "bob@example.com", False),
        ("@example", "", False),
        ("@s_ller.example", "", False),
        ("am@seller.example", "", False),
    ],
)
@pytest.mark.parametrize("standing", ["allowed", "blocked", "known"])
def test_a_decision_cancels_what_is_planned(
    store: Store, address: str, recipient: str, cancelled: bool, standing: Any
) -> None:
    store.hold([], [pitch_answer()], [], MONTH)
    store.set_contact(address, standing, "cli", recipient)
    assert state_of(store) == ("cancelled" if cancelled else "planned")


def test_a_decision_leaves_what_left(store: Store) -> None:
    store.hold([held_mail()], [pitch_answer()], [], MONTH)
    store.claim_answer(NOW)
    store.set_contact(SAM, "blocked", "cli")
    assert state_of(store) == "sending"


# answers


def test_answers_by_held_mail(store: Store) -> None:
    store.hold([], [pitch_answer("a2", "m2", created_at=NOW + MONTH)], [], MONTH)
    store.hold([], [pitch_answer("a1", "m1", recipient="bob@example.com")], [], MONTH)
    assert [answer.id for answer in store.answers()] == ["a1", "a2"]
    assert [answer.id for answer in store.answers(iter(["m2", "m9"]))] == ["a2"]
    assert store.answers([]) == []
    assert len(store.answers([f"m{number}" for number in range(40_000)])) == 2


def test_claiming_takes_the_longest_due_once(store: Store) -> None:
    minute = timedelta(minutes=1)
    for number in (2, 1, 3):
        recipient = f"r{number}@example.com"
        due_at = NOW + number * minute
        answer = pitch_answer(f"a{number}", f"m{number}", recipient=recipient, due_at=due_at)
        store.hold([held_mail(f"m{number}")], [answer], [], MONTH)
    assert store.claim_answer(NOW) is None
    first, second = (store.claim_answer(NOW + 2 * minute) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.id, second.id) == ("a1", "a2")
    assert (first.state, first.attempts) == ("sending", 1)
    assert first in store.answers()
    assert store.claim_answer(NOW + 2 * minute) is None


@pytest.mark.parametrize(
    ("origin", "state", "becomes"),
    [
        ("sending", "sent", "sent"),
        ("sending", "failed", "failed"),
        ("sending", "in-doubt", "in-doubt"),
        ("sending", "planned", "planned"),
        ("sending", "cancelled", "cancelled"),
        ("in-doubt", "sent", "sent"),
        ("in-doubt", "failed", "failed"),
        ("in-doubt", "planned", "in-doubt"),
        ("planned", "sent", "planned"),
        ("sent", "planned", "sent"),
        ("cancelled", "planned", "cancelled"),
    ],
)
def test_settling(store: Store, origin: AnswerState, state: str, becomes: str) -> None:
    store.hold([held_mail()], [pitch_answer(state=origin)], [], MONTH)
    later = NOW + timedelta(hours=1)
    assert store.settle_answer("a1", state, "450 later", later) == becomes
    (answer,) = store.answers()
    assert answer.state == becomes
    settled = state == becomes
    assert answer.last_error == ("450 later" if settled else "")
    assert answer.due_at == (later if settled else NOW)


def test_settling_without_a_time_keeps_it_and_an_unknown_state_is_refused(store: Store) -> None:
    store.hold([held_mail()], [pitch_answer(state="sending")], [], MONTH)
    with pytest.raises(ValueError, match="'done' is no state"):
        store.settle_answer("a1", "done")
    store.settle_answer("a1", "planned")
    assert store.answers()[0].due_at == NOW
    assert store.settle_answer("a2", "sent") is None
    assert [answer.state for answer in store.answers()] == ["planned"]


def _release_fails(store: Store) -> None:
    store.claim_release("m1")
    store.abandon_release("m1")


DECISIONS: dict[str, Callable[[Store], object]] = {
    "release": lambda store: store.claim_release("m1"),
    "failed release": _release_fails,
    "discard": lambda store: store.discard("m1"),
    "allow": lambda store: store.set_contact(SAM, "allowed", "cli", ANN),
    "block": lambda store: store.set_contact(SAM, "blocked", "cli"),
    "know": lambda store: store.set_contact("@seller.example", "known", "import"),
    "author": lambda store: store.set_contact("june@author.example", "allowed", "cli"),
    "undone": lambda store: store.unhold(["m1"]),
}


@pytest.mark.parametrize("decided", DECISIONS)
def test_decided_about_while_handed_over_it_is_not_planned_again(
    store: Store, decided: str
) -> None:
    store.hold([held_mail(author="june@author.example")], [pitch_answer()], [], MONTH)
    store.claim_answer(NOW)
    DECISIONS[decided](store)
    assert store.settle_answer("a1", "planned", "451 later", NOW) == "cancelled"
    assert store.claim_answer(NOW + MONTH) is None
    assert (state_of(store), store.answers()[0].last_error) == ("cancelled", "451 later")


@pytest.mark.parametrize("became", ["sent", "failed", "in-doubt"])
def test_decided_about_while_handed_over_what_happened_happened(
    store: Store, became: AnswerState
) -> None:
    store.hold([held_mail()], [pitch_answer()], [], MONTH)
    store.claim_answer(NOW)
    store.claim_release("m1")
    assert store.settle_answer("a1", became) == became == state_of(store)


@pytest.mark.parametrize("decided", DECISIONS)
def test_decided_about_before_it_was_planned_it_is_not_claimed(store: Store, decided: str) -> None:
    store.hold([held_mail(author="june@author.example")], [], [], MONTH)
    DECISIONS[decided](store)
    other = pitch_answer("a2", "m2", recipient="bob@example.com", message_id="<2@x.example>")
    store.hold([held_mail("m2", recipient="bob@example.com")], [pitch_answer()], [], MONTH)
    store.hold([], [replace(other, due_at=NOW + timedelta(seconds=1))], [], MONTH)
    claimed = store.claim_answer(NOW + timedelta(hours=1))
    assert state_of(store, "a1") == "cancelled"
    # The one behind it is not held up.
    for_everyone = decided in ("block", "know")
    assert (claimed.id if claimed else None) == (None if for_everyone else "a2")


def test_what_is_decided_for_others_stops_nothing(store: Store) -> None:
    store.hold([held_mail(), held_mail("m2")], [pitch_answer()], [], MONTH)
    store.set_contact(SAM, "blocked", "cli", "bob@example.com")
    store.set_contact("june@seller.example", "blocked", "cli")
    store.discard("m2")
    assert store.claim_answer(NOW) is not None
    assert store.settle_answer("a1", "planned") == "planned"


def test_what_a_dead_process_was_sending_is_in_doubt(store: Store) -> None:
    store.hold([held_mail()], [pitch_answer()], [], MONTH)
    store.hold([], [pitch_answer("a2", "m2", recipient="bob@example.com")], [], MONTH)
    store.claim_answer(NOW)
    assert store.doubt_unfinished() == 1
    assert store.doubt_unfinished() == 0
    assert (state_of(store, "a1"), state_of(store, "a2")) == ("in-doubt", "planned")


# digests and deliveries


def test_digests(store: Store) -> None:
    assert store.last_digest(ANN) is None
    store.record_digest(ANN, NOW, 3)
    store.record_digest("Ann@example.com", NOW - MONTH, 1)
    store.record_digest(ANN, NOW, 4)
    assert store.last_digest("ANN@example.com") == NOW
    assert store.last_digest("bob@example.com") is None


def test_deliveries(store: Store) -> None:
    assert store.delivered("ab", [ANN]) == frozenset()
    store.note_delivered("ab", [ANN, "Bob@example.com"])
    store.note_delivered("ab", [ANN])
    store.note_delivered("ab", [])
    asked = ["ANN@example.com", "bob@example.com", "eve@example.com"]
    assert store.delivered("ab", asked) == {"ANN@example.com", "bob@example.com"}
    assert store.delivered("cd", asked) == frozenset()
    assert store.delivered("ab", []) == frozenset()


class Early(datetime):
    """The clock of a week and a second ago."""

    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=7, seconds=1)


class Yesterday(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) - timedelta(days=1)


def test_a_repeated_delivery_is_remembered_from_then_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for clock in (Early, Yesterday):
        with monkeypatch.context() as patch:
            patch.setattr(deliveries, "datetime", clock)
            store.note_delivered("ab", [ANN])
    assert store.delivered("ab", [ANN]) == {ANN}


def test_old_deliveries_are_forgotten(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(deliveries, "datetime", Early)
        store.note_delivered("ab", [ANN])
        assert store.delivered("ab", [ANN]) == {ANN}
    assert store.delivered("ab", [ANN]) == frozenset()
    store.note_delivered("cd", [ANN])
    raw = sqlite3.connect(path)
    assert raw.execute("SELECT sha256 FROM deliveries").fetchall() == [("cd",)]
    raw.close()


# faults


def test_a_locked_database_is_a_store_error_with_a_way_out(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    store = Store.open(f"sqlite:///{path}")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"raincheck\.db: database is locked; another process"):
        store.note_touches([pitch_touch()])
    assert store.recall(SAM, ANN, "").touches == 0  # a reader does not wait
    other.close()
    store.close()


def test_no_error_tells_what_was_in_the_row(store: Store, path: Path) -> None:
    raw = sqlite3.connect(path)
    raw.execute("DROP TABLE touches")
    raw.close()
    with pytest.raises(StoreError) as caught:
        store.note_touches([pitch_touch(subject="a secret offer")])
    cause = caught.value.__cause__
    assert "no such table: touches" in str(caught.value)
    assert "secret" not in f"{caught.value} {cause}"
    assert cause is not None
