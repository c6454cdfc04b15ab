"""Taking a body apart: own text, quoted text, signature."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.body import BodyParts, split

THEIRS = "> We need forty chairs by May.\n> Can you do that?"


def test_plain_text_is_all_own() -> None:
    assert split("Hello Ann,\n\nthe chairs are here.") == BodyParts(
        "Hello Ann,\n\nthe chairs are here.", "", ""
    )


def test_text_above_and_below_a_quotation_is_own() -> None:
    parts = split(f"Yes, we can.\n\n{THEIRS}\n\nShall I send an offer?")
    assert parts == BodyParts("Yes, we can.\n\nShall I send an offer?", THEIRS, "")


def test_marks_of_every_kind() -> None:
    parts = split("JD> by initials\n  > indented\n>> twice\nown -> arrow")
    assert parts.quoted.count("\n") == 2
    assert parts.own == "own -> arrow"


def test_mbox_escape_is_own_text() -> None:
    assert split("The report\n>From May on we close at six.\nBye").quoted == ""
    assert ">From" in split("> a\n>From b\n> c\n\nmine").quoted


ATTRIBUTIONS = [
    "On Mon, 3 May 2024 at 10:02, Ann Lee <ann@example.com> wrote:",
    "On Mon, 3 May 2024 at 10:02,\nAnn Lee <ann@example.com>\nwrote:",
    "Am 03.05.2024 um 10:02 schrieb Ann Lee <ann@example.com>:",
    "Le 3 mai 2024 à 10:02, Ann Lee <ann@example.com> a écrit :",
    "El 3 may 2024, a las 10:02, Ann Lee <ann@example.com> escribió:",
    "Op 3 mei 2024 om 10:02 schreef Ann Lee <ann@example.com>:",
    "Il giorno 3 mag 2024 alle 10:02 Ann Lee <ann@example.com> ha scritto:",
    "Em 3 de mai. de 2024 10:02, Ann Lee <ann@example.com> escreveu:",
    "W dniu 3.05.2024 o 10:02, Ann Lee <ann@example.com> napisał(a):",
]


@pytest.mark.parametrize("line", ATTRIBUTIONS)
def test_attribution_belongs_to_the_quotation(line: str) -> None:
    marked = split(f"Gladly.\n\n{line}\n\n{THEIRS}\n\nMore of mine.")
    assert marked.own == "Gladly.\n\nMore of mine."
    assert marked.quoted.startswith(line.split("\n")[0])
    unmarked = split(f"Gladly.\n\n{line}\n\nWe need forty chairs.\nCan you?")
    assert unmarked.own == "Gladly."
    assert unmarked.quoted.endswith("Can you?")


def test_a_short_attribution_counts_only_above_marks() -> None:
    assert split(f"Ann Lee wrote:\n{THEIRS}\n\nYes.").own == "Yes."
    sentence = "As our founder wrote:\nbuy low, sell high."
    assert split(sentence) == BodyParts(sentence, "", "")
    assert split("On the wall she wrote:\nmind the step").quoted == ""
    assert split("On 3 May 2024 she wrote:").quoted == ""


SEPARATORS = [
    "-----Original Message-----",
    "-----Ursprüngliche Nachricht-----",
    "-------- Message d'origine --------",
    "-----Mensaje original-----",
    "-----Oorspronkelijk bericht-----",
    "-----Messaggio originale-----",
    "-----Mensagem original-----",
    "-----Oryginalna wiadomość-----",
    "---------- Forwarded message ---------",
    "-------- Weitergeleitete Nachricht --------",
    "Begin forwarded message:",
]


@pytest.mark.parametrize("line", SEPARATORS)
def test_all_below_a_separator_is_quoted(line: str) -> None:
    parts = split(f"See below.\n\n{line}\nFrom: Ann\n\nWe need chairs.\n")
    assert parts.own == "See below."
    assert parts.quoted.startswith(line)
    assert parts.quoted.endswith("We need chairs.")


def test_answers_between_marked_lines_below_a_separator_are_own() -> None:
    parts = split(
        "----- Original Message -----\nFrom: Ann\nTo: Bob\n\n> May I?\n\nYes.\n\n> Now?\nNo."
    )
    assert parts.own == "Yes.\n\nNo."
    assert parts.quoted.startswith("----- Original")


@pytest.mark.parametrize("mark", ["--]", "# ", "| ", ":", "} "])
def test_marks_of_the_writers_own_making(mark: str) -> None:
    parts = split(
        f"On 3 May 2024, Ann wrote:\n\n{mark}May I?\n{mark}Now?\n\nYes.\n\n{mark}Sure?\nYes."
    )
    assert parts.own == "Yes.\n\nYes."
    alone = split(f"On 3 May 2024, Ann wrote:\n\n{mark}May I?\nNow?")
    assert alone.own == ""
    assert split(f"{mark}one\n{mark}two").quoted == ""


@pytest.mark.parametrize(
    "block",
    [
        "From: Ann Lee\nSent: Monday, 3 May 2024 10:02\nTo: Bob\nSubject: chairs",
        "*From:* Ann Lee\n*Date:* Monday\n*To:* Bob\n*Subject:* chairs",
        "Von: Ann Lee\nGesendet: Montag, 3. Mai 2024 10:02\nAn: Bob\nBetreff: Stühle",
        "De : Ann Lee\nEnvoyé : lundi 3 mai 2024\nÀ : Bob\nObjet : chaises",
        "De: Ann Lee\nEnviado el: lunes\nPara: Bob\nAsunto: sillas",
        "Van: Ann Lee\nVerzonden: maandag\nAan: Bob\nOnderwerp: stoelen",
        "Da: Ann Lee\nInviato: lunedì\nA: Bob\nOggetto: sedie",
        "De: Ann Lee\nEnviada: segunda\nPara: Bob\nAssunto: cadeiras",
        "Od: Ann Lee\nWysłano: poniedziałek\nDo: Bob\nTemat: krzesła",
    ],
)
def test_outlook_header_block(block: str) -> None:
    parts = split(f"Done.\n\n________________________________\n{block}\n\nWe need chairs.")
    assert parts.own == "Done."
    assert parts.quoted.startswith("____")
    assert parts.quoted.endswith("We need chairs.")


def test_a_line_that_only_looks_like_a_header_block_is_own() -> None:
    text = "From: the Alps\nit is a long way to the sea."
    assert split(text).own == text
    assert split("---- chairs ----\nfour legs").quoted == ""


def test_signature_below_the_dashes() -> None:
    parts = split(f"Yes.\n-- \nBob Ray\nChairs Ltd\n\n{THEIRS}\n\nBye.\n--\nBob")
    assert parts == BodyParts(
        "Yes.\n\nBye.", THEIRS, "-- \nBob Ray\nChairs Ltd\n\n--\nBob".replace("-- ", "--")
    )


def test_nothing_is_hidden_below_the_dashes() -> None:
    pitch = "\n".join(f"Reason {n} to buy our chairs today." for n in range(40))
    assert "Reason 39" in split(f"Hi\n-- \n{pitch}").own
    assert split("-- \nAll I have to say").own == "--\nAll I have to say"


def test_list_footer_is_signature() -> None:
    footer = "_______________________________________________\nchairs mailing list\nhttps://lists.example.org/listinfo/chairs"
    parts = split(f"I agree.\n\n{THEIRS}\n\n{footer}\n")
    assert parts == BodyParts("I agree.", THEIRS, footer)
    assert split("A\n____________________\nB").signature == ""


@pytest.mark.parametrize(
    "sign_off",
    ["Best regards,", "Mit freundlichen Grüßen", "Cordialement,", "Un saludo,", "Groeten,",
     "Cordiali saluti,", "Atenciosamente,", "Pozdrawiam,", "Thanks!"],
)  # fmt: skip
def test_sign_off_with_name_and_card(sign_off: str) -> None:
    card = f"{sign_off}\n\nBob Ray\nHead of Sales\n+1 555 010 0199\nwww.chairs.example"
    parts = split(f"Can we talk?\n\n{card}\n\nP.S. We also have tables, and they are lovely.")
    assert parts.signature == card
    assert parts.own == "Can we talk?\n\nP.S. We also have tables, and they are lovely."


def test_sign_off_without_a_name_stays() -> None:
    text = "Send me the list.\n\nThanks"
    assert split(text).own == text
    text = "Thanks\n\nI will call you on Monday at 9, is that all right?"
    assert split(text).own == text


def test_contact_card_without_a_sign_off() -> None:
    card = "Bob Ray\nChairs Ltd\nTel: +1 555 010 0199\nbob@chairs.example"
    assert split(f"Can we talk?\n\n{card}") == BodyParts("Can we talk?", "", card)
    assert split(card).own == card
    talk = "Call us on Monday.\n\nWe sell chairs at www.a.example and tables at www.b.example."
    assert split(talk).own == talk


def test_device_line() -> None:
    parts = split(
        "Yes.\n\nSent from my iPhone\n\nOn 3 May 2024, at 10:02, Ann <a@b.example> wrote:\n\n> ok?"
    )
    assert (parts.own, parts.signature) == ("Yes.", "Sent from my iPhone")
    assert split("Sent from my heart, this is long.\nReally.").signature == ""


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([
    "", "text", "> q", "-- ", "Best regards,", "Bob Ray", "On 3 May 2024 x@y wrote:", "From: a",
    "Sent: b", "To: c", "-----Original Message-----", "_" * 30, "listinfo", "\u00a0", "x" * 300,
]), max_size=30))  # fmt: skip
def test_every_filled_line_lands_in_exactly_one_piece(lines: list[str]) -> None:
    pieces = "\n".join(split("\n".join(lines))).split("\n")
    assert sorted(filter(None, pieces)) == sorted(filter(None, (line.rstrip() for line in lines)))


@pytest.mark.parametrize(
    "text",
    [
        "> " * 300_000,
        "\n" * 300_000,
        "On 2024 " * 60_000,
        "On 3 May 2024\n" * 20_000,
        "From: a\n" * 40_000,
        "-" * 600_000,
        "-- \n" * 100_000,
        "Best regards,\n" * 40_000,
        "a@" * 200_000,
        "1-" * 200_000,
        "__ a" * 100_000,
        "> q\nmine\n" * 30_000,
        "On 2024 a wrote:\n#a\n#b\n" * 15_000,
        "----- Original Message -----\nFrom: a\n> b\n" * 15_000,
    ],
)
def test_bombs_take_linear_time(text: str) -> None:
    started = time.process_time()
    split(text)
    assert time.process_time() - started < 2.0
