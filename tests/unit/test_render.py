"""The answer as a mail: exactly these fields, to exactly that address, whatever the pitch holds."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from occasions import NOW, OURS, PLAIN, SENDER, from_, occasion

from classifier.message import Mailbox, Message
from config.settings import Answers
from replies import render
from replies.context import clean, clean_subject, first_name, reply_context
from replies.courtesy import Occasion, decide
from replies.render import Composed, RenderError, check_templates, compose

FIELDS = [
    "From",
    "To",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Auto-Submitted",
    "Precedence",
    "X-Auto-Response-Suppress",
    "X-Raincheck-Loop",
    "Date",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
]
BIDI = "\u202e\u2066\u200f\u061c"


def written(case: Occasion, name: str = "Alex Example", **more: Any) -> Composed:
    return compose(case, decide(case), name, "a1b2", "gateway.example.com", **more)


def about(subject: str) -> Occasion:
    return occasion(replace(PLAIN, subject=subject))


def parsed(composed: Composed) -> EmailMessage:
    mail = message_from_bytes(composed.content, policy=policy.default)
    assert isinstance(mail, EmailMessage)
    assert not mail.defects
    return mail


def field_names(composed: Composed) -> Counter[str]:
    head = composed.content.partition(b"\r\n\r\n")[0]
    return Counter(re.findall(r"^([!-9;-~]+):", head.decode(), re.MULTILINE))


def test_the_whole_answer_on_the_wire() -> None:
    case = occasion(now=datetime(2026, 3, 4, 10, 30, tzinfo=timezone(timedelta(hours=-5))))
    expected = (
        "From: Alex Example <alex@example.com>\n"
        "To: jane.doe@seller.example\n"
        "Subject: Auto: Re: A quick question\n"
        "Message-ID: <a1b2@gateway.example.com>\n"
        "In-Reply-To: <first@seller.example>\n"
        "References: <first@seller.example>\n"
        "Auto-Submitted: auto-replied\n"
        "Precedence: bulk\n"
        "X-Auto-Response-Suppress: All\n"
        "X-Raincheck-Loop: TOKEN\n"
        "Date: Wed, 04 Mar 2026 10:30:00 -0500\n"
        'Content-Type: text/plain; charset="utf-8"\n'
        "Content-Transfer-Encoding: 7bit\n"
        "MIME-Version: 1.0\n"
        "\n"
        "Hello Jane,\n"
        "\n"
        "Thank you for writing. Right now is not the right time, so I won't be\n"
        "taking this up. If that time comes, I'll be in touch.\n"
        "Happy to share stories when our paths cross.\n"
        "\n"
        "Alex Example\n"
        "(This is an automatic reply, sent in my name.)\n"
    )
    content = re.sub(r"(?m)^(X-Raincheck-Loop: )[0-9a-f]{32}\r$", r"\1TOKEN\r", ascii_text(case))
    assert content == expected.replace("\n", "\r\n")


def ascii_text(case: Occasion) -> str:
    return written(case).content.decode("ascii")


def test_the_loop_token_is_opaque_and_stable() -> None:
    token = parsed(written(occasion()))["X-Raincheck-Loop"]
    assert token == parsed(written(occasion()))["X-Raincheck-Loop"]
    assert "a1b2" not in token
    assert "gateway" not in token
    other = compose(occasion(), decide(occasion()), "", "a1b3", "gateway.example.com")
    assert parsed(other)["X-Raincheck-Loop"] != token


def test_the_answer_is_dated_when_it_is_due() -> None:
    due = NOW + timedelta(days=1)
    assert parsed(written(occasion()))["Date"].datetime == NOW
    assert parsed(written(occasion(), date=due))["Date"].datetime == due


def test_the_answer_goes_to_the_envelope_sender_alone() -> None:
    message = replace(
        PLAIN,
        from_=(Mailbox("Boss", "boss@other.example"),),
        reply_to=(Mailbox("Reply", "reply@other.example"),),
        cc=(Mailbox("Cc", "cc@other.example"),),
        text="Write to body@other.example",
    )
    composed = written(occasion(message))
    assert parsed(composed)["To"] == SENDER
    assert b"other.example" not in composed.content


def test_our_name_in_from() -> None:
    def shown(name: str) -> tuple[str, str]:
        (address,) = parsed(written(occasion(), name))["From"].addresses
        return address.display_name, address.addr_spec

    assert shown("Álex “Ex” Example, Jr.") == ("Álex “Ex” Example, Jr.", OURS)
    assert shown('A "B" <c@d.example>, E') == ('A "B" <c@d.example>, E', OURS)
    assert shown("") == ("", OURS)
    assert shown("Alex\r\nBcc: x@y.example") == ("Alex Bcc: x@y.example", OURS)
    assert f"\n{OURS}\n" in written(occasion(), "").text


HOSTILE = [
    "=?utf-8?q?a=0D=0ABcc:_x=40y?=",
    "x =?utf-8?q?a=0D=0ABcc:_x=40y?= \u00e9",
    "=?utf-8?b?YQ0KQmNjOiB4QHk=?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3D0D=3D0ABcc=3A=5Fx=3D40y=3F=3D?=",
    "=?utf-8?q?=3D=3Futf-8=3Fq=3F=3D3D=3D3Futf-8=3D3Fq=3D3Fa=3D3D0ABcc:x=3D3F=3D3D=3F=3D?=",
    "=?=?utf-8?q?x?==?=",
    "=?utf-8?q?a\r\nBcc: x@y",
    "a\r\nBcc: x@y",
    "a\nBcc: x@y",
    "a\rBcc: x@y",
    "a\x85Bcc: x@y",
    "a\u2028Bcc: x@y\u2029",
    "a\x00b\x1b[31m\x7f\x9f",
    BIDI + "moc.live",
    "\ud800\udcff",
    "x" * 5000,
    "ü" * 5000,
    "Re: " * 300 + "x",
    "",
    " ",
    "=?unknown-8bit?q?=ff?=",
    "=?utf-8?b?!!!?=",
    "{{ 7 * 7 }} {% raise %}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_subject_adds_nothing(text: str) -> None:
    composed = written(about(text))
    mail = parsed(composed)
    assert field_names(composed) == Counter(FIELDS)
    assert mail["Subject"].startswith("Auto: Re: ")
    assert len(mail["Subject"]) <= 140
    assert all(char.isprintable() for char in mail["Subject"])
    assert mail["Bcc"] is None
    assert "49" not in mail["Subject"]
    assert all(len(line) <= 998 for line in composed.content.split(b"\r\n"))


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_add_nothing(text: str) -> None:
    message = replace(PLAIN, from_=(Mailbox(text, SENDER),))
    assert field_names(written(occasion(message), name=text)) == Counter(FIELDS)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_ids_are_left_out(text: str) -> None:
    ids = (text, f"<{text}>", f"<{text}@x.example>", f"<x@{text}>")
    for one in ids:
        message = replace(PLAIN, message_id=one, references=ids)
        composed = written(occasion(message))
        mail = parsed(composed)
        assert field_names(composed) - Counter(FIELDS) == Counter()
        for name in ("In-Reply-To", "References"):
            assert all(re.fullmatch("<[!-~]+@[!-~]+>", one) for one in (mail[name] or "").split())
            assert "=?" not in (mail[name] or "")


def test_the_original_trap_is_real_or_mended_but_never_ours() -> None:
    """What the check after serialising is for: a value nobody cleaned does not get through."""
    with pytest.raises(RenderError):
        render._checked("=?utf-8?q?a=0D=0ABcc:_x=40y?=")
    with pytest.raises(RenderError):
        render._checked("a\x85")
    with pytest.raises(RenderError):
        render._checked(BIDI)
    assert render._checked("plain = fine?") == "plain = fine?"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"Bcc: x@y.example\r\n" + content,
        lambda content: content.replace(b"Precedence: bulk\r\n", b""),
        lambda content: content.replace(b"Precedence: bulk", b"Precedence: bulk\r\nprecedence: x"),
        lambda content: content.replace(b"To: jane", b"To: x@y.example, jane"),
        lambda content: content.replace(b"From: Alex Example <alex@", b"From: <alec@"),
        lambda content: content.replace(b"A quick", b"=?utf-8?q?a=0Db?="),
        lambda content: content.replace(b"A quick", "A \u202e quick".encode()),
        lambda content: content.replace(b"A quick", "Ä quick".encode()),
        lambda content: content.replace(b"Hello", b"Hallo"),
        lambda content: content.replace(b"Hello", b"\nHello"),
        lambda content: content.replace(b"text/plain", b"multipart/mixed"),
    ],
)
def test_what_was_not_meant_is_not_sent(spoil: Any) -> None:
    case = occasion()
    composed = written(case)
    names = FIELDS[:10]
    render._verify(composed.content, names, case, composed.text)
    with pytest.raises(RenderError):
        render._verify(spoil(composed.content), names, case, composed.text)


def test_references_keep_the_chain_and_are_capped() -> None:
    chain = tuple(f"<{number}{'x' * 60}@seller.example>" for number in range(40))
    message = replace(PLAIN, references=("nonsense", *chain, PLAIN.message_id))
    composed = written(occasion(message))
    references = parsed(composed)["References"].split()
    assert references[-1] == PLAIN.message_id
    assert references[:-1] == list(chain[-len(references) + 1 :])
    assert 5 < len(references) < 15


def test_a_long_id_stays_whole() -> None:
    long = f"<{'a' * 110}@{'b' * 100}.example>"
    composed = written(occasion(replace(PLAIN, message_id=long)))
    assert f"In-Reply-To: {long}\r\n".encode() in composed.content


@pytest.mark.parametrize("message_id", ["", "first@seller.example", "<a b@c>", "<a@b", "<a@b>x"])
def test_no_threading_without_a_valid_id(message_id: str) -> None:
    composed = written(
        occasion(replace(PLAIN, message_id=message_id, references=("<r@x.example>",)))
    )
    assert field_names(composed) == Counter(FIELDS) - Counter(["In-Reply-To", "References"])


def test_an_international_address_is_written_for_smtputf8() -> None:
    zoe = "zoë@bücher.example"
    composed = written(occasion(from_(zoe), sender=zoe, smtputf8=True))
    assert f"To: {zoe}\r\n".encode() in composed.content
    assert field_names(composed) == Counter(FIELDS)
    alex = "älex@example.com"
    message = replace(PLAIN, to=(Mailbox("", alex),))
    composed = written(occasion(message, recipient=alex, smtputf8=True), "Älex Example")
    assert f"<{alex}>\r\n".encode() in composed.content


@pytest.mark.parametrize(
    ("case", "answer_id", "hostname"),
    [
        (occasion(sender="a@b.example\r\nBcc: x@y.example"), "a", "gateway.example.com"),
        (occasion(sender=""), "a", "gateway.example.com"),
        (occasion(recipient="x@[192.0.2.1]"), "a", "gateway.example.com"),
        (occasion(), "a b", "gateway.example.com"),
        (occasion(), "a", "gateway\r\n.example.com"),
        (occasion(), "a", ""),
    ],
)
def test_what_cannot_be_promised_is_refused(case: Occasion, answer_id: str, hostname: str) -> None:
    with pytest.raises(RenderError):
        compose(case, decide(occasion()), "Alex", answer_id, hostname)


def test_a_missing_template_is_refused() -> None:
    with pytest.raises(RenderError, match="xx/none"):
        compose(occasion(), replace(decide(occasion()), template="xx/none"), "", "a", "g.example")


# The words


def test_the_words_are_kind_short_and_agree_to_nothing() -> None:
    text = written(occasion()).text
    assert len(text.splitlines()) <= 8
    assert max(map(len, text.splitlines())) <= 72
    assert "not the right time" in text
    assert "I'll be in touch" in text
    assert "share stories" in text
    assert "automatic" in text
    assert "?" not in text  # a question would invite the next pitch


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("Jane Doe", "jane.doe@seller.example", "Jane"),
        ("Jane Doe", "jane@seller.example", "Jane"),
        ("Jane van Doe", "jdoe@seller.example", "Jane"),
        ("Jane Doe", "doe@seller.example", "Jane"),
        ("Zoë Fünf", "zoe.fuenf@seller.example", "Zoë"),
        ("Anne-Marie Doe", "annemarie@seller.example", "Anne-Marie"),
        ("Acme Sales", "jane@seller.example", ""),
        ("Sales Team", "sales@seller.example", ""),
        ("Info Acme", "info@acme.example", ""),
        ("Herr Müller", "herr.mueller@seller.example", ""),
        ("Mr Smith", "mr.smith@seller.example", ""),
        ("Growth Rocket", "growth@growthrocket.example", ""),
        ("Rocket Science", "rocket@rocketscience.example", ""),
        ("BRAD STERLING", "brad@seller.example", ""),
        ("brad sterling", "brad@seller.example", ""),
        ("Acme", "acme@seller.example", ""),
        ("Doe, Jane", "jane.doe@seller.example", ""),
        ("Dr. Jane Doe", "jane.doe@seller.example", ""),
        ("J Doe", "jdoe@seller.example", ""),
        ("Jane Doe from Acme Inc", "jane@seller.example", ""),
        ("jane.doe@seller.example via X", "jane.doe@seller.example", ""),
        ("{{ 7 }} Doe", "doe@seller.example", ""),
        ("王 小明", "wang@seller.example", ""),
        ("", "jane@seller.example", ""),
        ("Jane Doe", "", ""),
    ],
)
def test_first_name(name: str, address: str, expected: str) -> None:
    assert first_name(Mailbox(name, address)) == expected


@pytest.mark.parametrize("message", [from_(), from_(SENDER, SENDER)])
def test_no_name_without_one_author(message: Message) -> None:
    assert reply_context(occasion(message), "Alex").first_name == ""


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("Re: Fwd: RE[2]: a question", "a question"),
        ("AW: SV: WG: Hallo", "Hallo"),
        ("Auto: Re: hello", "hello"),
        ("Regarding: us", "Regarding: us"),
        ("Re:", ""),
        ("=?utf-8?q?Re=3A_caf=C3=A9?=", "café"),
        ("a =?utf-8?b?YQ0KQg==?= c", "a a B c"),
    ],
)
def test_clean_subject(subject: str, expected: str) -> None:
    assert clean_subject(subject) == expected


def test_an_empty_subject_still_reads_well() -> None:
    assert written(about("Re: ")).subject == "Auto: Re: your message"


def test_clean_caps_the_length() -> None:
    assert clean("abcdef", 6) == "abcdef"
    assert clean("abcdefg", 6) == "abcde…"
    assert clean("a\tb\u200bc  d", 20) == "a b c d"


# The user's own templates


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "en").mkdir()
    return tmp_path


def with_template(folder: Path, text: str) -> Occasion:
    (folder / "en" / "not-now.txt").write_text(text, encoding="utf-8")
    return occasion(answers=Answers(mode="live", templates=folder))


def test_a_users_template_goes_before_the_shipped_one(folder: Path) -> None:
    case = occasion(answers=Answers(mode="live", templates=folder))
    assert "not the right time" in written(case).text
    case = with_template(folder, "Não, {{ first_name }}.\n{{ subject }}\n\n\n")
    composed = written(case)
    assert composed.text == "Não, Jane.\nA quick question\n"
    assert parsed(composed).get_content().replace("\r\n", "\n") == composed.text


def test_text_is_not_escaped_and_values_are_no_templates(folder: Path) -> None:
    case = with_template(folder, "{{ subject }}")
    case = replace(case, message=replace(PLAIN, subject="<O'Neil> {{ 7 * 7 }}"))
    assert written(case).text == "<O'Neil> {{ 7 * 7 }}\n"


FAULTY = [
    ("Hello {{ first_name", "unexpected end of template"),
    ("one\ntwo {% if %}", r":2: "),
    ("{{ message.text }}", "unknown name message"),
    ("{{ name.__class__.__mro__ }}", "unsafe"),
    ("{{ first_name.nope }}", "no attribute"),
    ("{{ 1 // 0 }}", "division"),
    ("{% include 'missing.txt' %}", "missing.txt"),
    ("", "empty"),
    (" \n{# nothing #}\n", "empty"),
    ("x" * 2001, "longer"),
    ("a\u202eb", "direction"),
]


@pytest.mark.parametrize(("text", "words"), FAULTY)
def test_a_faulty_template_is_found_and_never_sent(folder: Path, text: str, words: str) -> None:
    case = with_template(folder, text)
    (problem,) = check_templates(folder)
    assert str(folder / "en" / "not-now.txt") in problem
    assert re.search(words, problem)
    with pytest.raises(RenderError):
        written(case)


def test_a_template_that_is_not_utf8(folder: Path) -> None:
    (folder / "en" / "not-now.txt").write_bytes(b"\xff")
    (problem,) = check_templates(folder)
    assert "UTF-8" in problem


def test_a_template_under_a_wrong_name(folder: Path) -> None:
    (folder / "en" / "notnow.txt").write_text("Hello")
    (problem,) = check_templates(folder)
    assert "notnow.txt" in problem
    assert "en/not-now.txt" in problem


def test_good_templates_and_parts_have_no_problems(folder: Path) -> None:
    (folder / "en" / "_name.txt").write_text("{{ name }}")
    with_template(folder, "Hello {{ first_name }}, {{ recipient }}\n{% include 'en/_name.txt' %}")
    assert check_templates(folder) == []
    assert check_templates(folder / "none") == []
    assert check_templates(render.SHIPPED) == []
