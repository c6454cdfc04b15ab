from __future__ import annotations

import itertools
import time

import pytest

from classifier.message import Mailbox, Message
from classifier.sentences import MOST, sentences
from classifier.text import CAP, name_tokens, normalise, subject


def text(own: str, **fields: object) -> str:
    whole = normalise(Message(own_text=own, **fields))  # type: ignore[arg-type]
    return whole.removeprefix("\n")  # the first line is the subject


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        ("Write to dana@example.com, please", "Write to xxaddressxx please"),
        ("As root@localhost: at @ noon", "As xxaddressxx at @ noon"),
        ("See https://shop.example/a?b=1 today", "See xxlinkxx today"),
        ("See www.shop.example today", "See xxlinkxx today"),
        ("See shop.example/deal today", "See xxlinkxx today"),
        ("Call +44 20 7946 0000 now", "Call xxphonexx now"),
        ("Only $499 for you", "Only xxmoneyxx for you"),
        ("It costs 1.200,00 EUR in all", "It costs xxmoneyxx in all"),
        ("Save 40% now", "Save xxpercentxx now"),
        ("In 2021 and on 2021-05-03", "In xxnumberxx and on xxnumberxx"),
        ("Order A4471-7 is ready", "Order xxnumberxx is ready"),
        ("Dear {{first_name}}, hello [Name]", "Dear xxblankxx , hello"),
        ("It costs EUR 5 or 6 usd, to be paid", "It costs xxmoneyxx or xxmoneyxx, to be paid"),
        ("Call (020) 7946 - 0000 - 1 now", "Call xxphonexx now"),
        ("From 5\nEUR 6 on", "From xxnumberxx xxmoneyxx on"),
        ("x" * 61 + ". no numbers at all", ". no numbers at all"),
    ],
)
def test_what_is_personal_becomes_a_placeholder(written: str, seen: str) -> None:
    assert " ".join(text(written).split()) == seen


@pytest.mark.parametrize(
    ("greeting", "seen"),
    [
        ("Hi Dana,", "Hi,"),
        ("Dear Ms. Lang,", "Dear,"),
        ("Hello Dana and Tom", "Hello"),
        ("Good morning Dana!", "Good morning!"),
        ("Hi there,", "Hi there,"),
        ("Dear customer,", "Dear customer,"),
        ("hi dana", "hi"),
        ("Hi, can we have lunch.", "Hi, can we have lunch."),
        ("Dear reader of our letter, hello", "Dear reader of our letter, hello"),
        ("Highly recommended.", "Highly recommended."),
        (
            "Hi Dana, can we have a quick call tomorrow?",
            "Hi, can we have a quick call tomorrow?",
        ),
    ],
)
def test_a_greeting_loses_whom_it_greets(greeting: str, seen: str) -> None:
    assert text(greeting) == seen


def test_the_names_on_the_mail_go_from_the_text() -> None:
    said = text(
        "My name is Quentin and Quentin's firm is ours. The mark is set.",
        from_=(Mailbox("Quentin Mark", "q@example.org"),),
    )
    assert said == "My name is and firm is ours. The mark is set."


def test_a_word_joined_of_names_and_initials_is_a_name() -> None:
    said = text(
        "I'm Hans-Peter. Our A-B test, at AC/DC, and Lang-K or Peter/Lang, for E-Mail.",
        from_=(Mailbox("Hans Peter Lang", "h@example.org"),),
    )
    assert said == "I'm . Our A-B test, at AC/DC, and or for E-Mail."


def test_the_names_of_many_recipients_go_as_well() -> None:
    people = tuple(Mailbox(f"Abe{letter}", "") for letter in "abcdefghijklmnopqrstuvwxyz")
    assert text("Abea and abeb met (Abez).", to=people) == "and abeb met ."


def test_generic_words_of_a_display_name_are_no_names() -> None:
    assert name_tokens((Mailbox("Sales Team, Al Kowalski", ""),)) == {"kowalski"}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("Re: Fwd: [printers] AW: Paper", "Paper"),
        ("Re[2]: Paper", "Paper"),
        ("Regarding paper", "Regarding paper"),
        ("Return of the paper [urgent]", "Return of the paper [urgent]"),
        ("", ""),
    ],
)
def test_a_subject_loses_its_prefixes(written: str, kept: str) -> None:
    assert subject(written) == kept


def test_what_lists_phones_and_scanners_add_is_dropped() -> None:
    said = text(
        "On Monday, Jo wrote:\n"
        "wrote:\n"
        "What we rewrote\n"
        "We meet at noon.\n"
        "Sent from my telephone\n"
        "This email has been checked for viruses\n"
        "_______________________________________________\n"
        "printers mailing list\n"
        "https://lists.example/listinfo/printers\n"
    )
    assert said == "What we rewrote\nWe meet at noon."


def test_a_ruler_without_a_list_footer_stays_and_so_does_what_follows() -> None:
    assert text("Above\n----------\nOur offer to you") == "Above\n----------\nOur offer to you"


def test_the_signature_is_seen_but_not_the_quotation() -> None:
    said = text("We meet at noon.", signature="Marketing Executive", quoted="Buy now")
    assert "Marketing Executive" in said
    assert "Buy" not in said


def test_a_mail_that_only_quotes_says_nothing_of_its_own() -> None:
    assert text("  \n", quoted="> Buy now") == ""


def test_an_empty_mail_gives_an_empty_text() -> None:
    assert normalise(Message()) == ""


@pytest.mark.parametrize(
    "hostile",
    [
        "a" * 1_000_000,
        "1" * 1_000_000,
        "1 (2) 3-" * 125_000,
        "a.a-" * 250_000,
        "<https:" * 140_000,
        "Hi " * 330_000,
        "_____\n" * 160_000,
        "\n" * 1_000_000,
        "$1." * 330_000,
        "1 a b c " * 120_000,
        "a\n" * 500_000,
    ],
)
def test_a_hostile_text_costs_little_and_is_cut(hostile: str) -> None:
    names = ("".join(letters) for letters in itertools.product("abcdefghijklm", repeat=3))
    people = tuple(Mailbox(name, "") for name in names)
    mail = Message(subject=hostile, own_text=hostile, signature=hostile, from_=people)
    start = time.process_time()
    assert len(normalise(mail)) <= CAP
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize("hostile", ["." * CAP, "?!" * CAP, '."' * CAP, "Mr. " * CAP, "\n" * CAP])
def test_a_hostile_text_is_taken_apart_at_little_cost(hostile: str) -> None:
    start = time.process_time()
    assert len(sentences(hostile)) <= MOST
    assert time.process_time() - start < 0.5
