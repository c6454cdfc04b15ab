"""Reading whole mails: `read` at its edge, bytes in and a Message out."""

from __future__ import annotations

import base64
import logging
import pickle
import threading
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import message as module
from classifier.message import Attachment, Limits, Link, Message, read

HEAD = b"From: Ann Lee <ann@example.com>\r\nTo: bob@example.org\r\nSubject: chairs\r\n"


def mail(fields: str, body: str | bytes) -> bytes:
    octets = body if isinstance(body, bytes) else body.encode()
    return (
        HEAD + fields.replace("\n", "\r\n").encode() + b"\r\n\r\n" + octets.replace(b"\n", b"\r\n")
    )


def multipart(kind: str, *parts: str) -> bytes:
    inner = "".join(f"--B\n{part}\n" for part in parts)
    return mail(f'Content-Type: multipart/{kind}; boundary="B"', f"{inner}--B--\n")


PLAIN = "Content-Type: text/plain; charset=utf-8\n\n"
HTML = "Content-Type: text/html; charset=utf-8\n\n"


def test_a_plain_letter() -> None:
    got = read(mail("Message-ID: <1@example.com>", "Hello Bob,\n\nforty chairs?\n-- \nAnn\n"))
    assert got.parse == "ok"
    assert got.faults == ()
    assert got.from_[0].address == "ann@example.com"
    assert got.subject == "chairs"
    assert got.own_text == "Hello Bob,\n\nforty chairs?"
    assert got.signature == "--\nAnn"
    assert got.content_types == ("text/plain",)
    assert [header.value for header in got.all("SUBJECT")] == ["chairs"]
    assert got.all("cc") == ()


def test_size_is_that_of_the_octets_received() -> None:
    raw = mail("X: y", "body\n")
    assert read(raw).size == len(raw)


def test_what_the_standard_library_writes() -> None:
    made = EmailMessage()
    made["From"], made["Subject"] = "Jürgen <j@example.org>", "Stühle für " + "viele " * 20
    made.set_content("Grüße aus Köln, wo die Stühle stehen.\n" * 5)
    made.add_alternative(
        "<p>Grüße aus Köln, wo die <a href='https://a.example/'>Stühle</a> stehen.</p>",
        subtype="html",
    )
    made.add_attachment(b"%PDF-1", maintype="application", subtype="pdf", filename="Stühle.pdf")
    got = read(bytes(made))
    assert got.parse == "ok"
    assert got.subject == "Stühle für " + ("viele " * 20).strip()
    assert got.text.startswith("Grüße aus Köln")
    assert got.links == (Link("https://a.example/", "Stühle"),)
    assert got.attachments == (Attachment("Stühle.pdf", "application/pdf", 6),)
    assert got.content_types == (
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plain", "html", "text"),
    [
        ("Forty chairs, please.", "<p>Forty chairs, please.</p>", "Forty chairs, please."),
        ("", "<p>Forty chairs</p>", "Forty chairs"),
        ("Your program cannot show HTML.", "<p>Forty <b>chairs</b>, May</p>", "Forty chairs, May"),
        ("Botany herring quilt", "<p>Buy our list of makers</p>", "Buy our list of makers"),
        ("Forty chairs", "<img src=x>", "Forty chairs"),
    ],
)  # fmt: skip
def test_alternatives(plain: str, html: str, text: str) -> None:
    assert read(multipart("alternative", PLAIN + plain, HTML + html)).text == text


def test_all_text_of_a_mixed_mail_is_read_in_order() -> None:
    got = read(multipart("mixed", PLAIN + "one", HTML + "<p>two</p>", PLAIN + "three"))
    assert got.text.split() == ["one", "two", "three"]


def test_a_named_text_shown_inline_is_read_and_listed() -> None:
    named = "Content-Type: text/plain; name=note.txt\nContent-Disposition: inline\n\ntwo"
    got = read(multipart("mixed", PLAIN + "one", named))
    assert got.text.split() == ["one", "two"]
    assert got.attachments == (Attachment("note.txt", "text/plain", 3),)
    only = read(mail("Content-Type: text/plain; name=body.txt", "forty chairs"))
    assert only.text == "forty chairs"


def test_attached_text_is_not_the_body_unless_there_is_no_other() -> None:
    attached = (
        "Content-Type: text/plain\nContent-Disposition: attachment; filename=a.txt\n\nattached"
    )
    assert read(multipart("mixed", PLAIN + "one", attached)).text == "one"
    assert read(multipart("mixed", attached)).text == "attached"


def test_names_of_unnamed_parts_are_stable() -> None:
    raw = multipart(
        "mixed", PLAIN + "one", "Content-Type: image/png\n\nPNG", "Content-Type: text/rtf\n\n{}"
    )
    names = [each.filename for each in read(raw).attachments]
    assert names == ["part-3", "part-4"]
    assert names == [each.filename for each in read(raw).attachments]


def test_a_filename_cannot_break_a_line() -> None:
    part = (
        "Content-Type: image/png\nContent-Disposition: inline; filename*=utf-8''a%0D%0Ab.png\n\nx"
    )
    assert read(multipart("mixed", part)).attachments[0].filename == "a  b.png"


def test_an_enclosed_message_is_an_attachment_and_read_at_need() -> None:
    inner = (
        "Content-Type: message/rfc822\n\nSubject: old\nContent-Type: text/plain\n\nthe old words"
    )
    got = read(multipart("mixed", PLAIN + "see below", inner))
    assert got.text == "see below"
    assert got.attachments == (Attachment("part-3", "message/rfc822", 13),)
    assert read(multipart("mixed", inner)).text == "the old words"


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ("Content-Type: text/html", "<p>forty chairs</p>"),
        ("Content-Type: text/plain", "<!DOCTYPE html><html><p>forty chairs</p>"),
        ("Content-Type: html", "<html><p>forty chairs</p>"),
        ("Content-Type: unknown/stuff", "forty chairs"),
        ("Content-Type: text/markdown", "forty chairs"),
        ("Content-Type: application/octet-stream", "forty chairs"),
        ("Content-Transfer-Encoding: quoted-printable", "forty=20chai=\nrs"),
        ("Content-Transfer-Encoding: BASE64", "Zm9ydHkgY2hhaXJz"),
        ("Content-Transfer-Encoding: odd", "forty chairs"),
        ("Content-Type: text/plain; format=flowed", "forty \nchairs"),
        ("X: y", "for\u200bty chai\u00adrs"),
    ],
)
def test_bodies_of_odd_kinds_are_read(fields: str, body: str) -> None:
    got = read(mail(fields, body))
    assert got.text.strip() == "forty chairs"
    assert got.parse == "ok"


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (mail("Content-Type: multipart/mixed", "forty chairs"), "names no boundary"),
        (mail("Content-Type: multipart/mixed; boundary=C", "forty chairs"), "lacks its boundary"),
        (mail("Content-Type: multipart/mixed; boundary=B", "--B\n\nforty chairs"), "not closed"),
        (mail("Content-Transfer-Encoding: base64", "forty chairs, please!"), "base64"),
        (mail("Content-Transfer-Encoding: base64", "Zm9ydHkgY2hhaXJzI"), "base64"),
        (mail("Content-Transfer-Encoding: base64", "Zm9ydHkg\n\n_\nchairs list"), "base64"),
        (mail("Content-Type: text/plain; charset=us-ascii", b"forty chairs \xfc"), "us-ascii"),
        (HEAD + b"forty chairs\r\n\r\nby May\r\n", "runs into the body"),
        (b"\r\nforty chairs", "no header fields"),
        (multipart("mixed", HTML + "<div>" * 400 + "forty chairs"), "nested"),
    ],
)  # fmt: skip
def test_what_is_damaged_is_read_and_said(raw: bytes, fault: str) -> None:
    got = read(raw)
    assert "chairs" in got.text
    assert "forty" in got.text
    assert got.parse == "partial"
    assert any(fault in each for each in got.faults), got.faults


@pytest.mark.parametrize(
    "fields",
    [
        "Content-Type: text/plain; name*=a; name*1=b",
        "Content-Type: text/plain; format*=a; format*1=b",
        "Content-Type: text/plain; charset*=a; charset*1=b",
        "Content-Type: text/plain; charset*=''x\nContent-Transfer-Encoding: base64",
        "Content-Type: text/plain; charset=idna",
        "Content-Type: text/plain; name*=a; name*1=b\nContent-Transfer-Encoding: base64",
    ],
)
def test_parameters_the_standard_library_stumbles_over(fields: str) -> None:
    got = read(mail(fields, b"forty chairs \xff"))
    assert got.text.startswith("forty chairs")
    assert got.parse == "partial"
    assert not any("could not be read (" in fault for fault in got.faults)


def test_a_list_footer_below_base64_is_read_too() -> None:
    body = (
        base64.encodebytes(b"forty chairs for the hall, please\n").decode()
        + "___\nchairs mailing list\n"
    )
    assert read(mail("Content-Transfer-Encoding: base64", body)).text.split("\n") == [
        "forty chairs for the hall, please", "", "___", "chairs mailing list",
    ]  # fmt: skip


def test_a_page_that_shows_nothing_is_no_clean_reading() -> None:
    got = read(mail("Content-Type: text/html", "<script>document.write('chairs')</script>"))
    assert (got.text, got.parse) == ("", "partial")


def test_an_empty_body_is_fine_and_nothing_at_all_is_failed() -> None:
    assert read(mail("X: y", "")).parse == "ok"
    assert read(b"").parse == "failed"
    assert read(b"\r\n\r\n").parse == "failed"


def test_the_octet_limit_counts() -> None:
    raw = mail("X: y", "forty chairs\n" * 1000)
    got = read(raw, Limits(octets=500))
    assert got.parse == "partial"
    assert got.size == len(raw)
    assert 0 < len(got.text) < 500
    assert read(raw, Limits(octets=len(raw))).parse == "ok"
    endless = HEAD + b"X: " + b"y" * 50_000 + b"\r\n\r\nforty chairs"
    assert read(endless, Limits(octets=20_000)).text == "forty chairs"


def test_the_clock_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(_root: object) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            pass

    monkeypatch.setattr(module, "read_body", slow)
    started = time.monotonic()
    got = read(mail("X: y", "forty chairs"), Limits(seconds=0.1))
    assert time.monotonic() - started < 5
    assert got.parse == "partial"
    assert got.faults == ("reading took longer than 0.1 s",)
    assert got.subject == "chairs"


@pytest.mark.parametrize("step", ["read_head", "defuse", "read_body"])
def test_an_error_in_any_step_is_a_fault(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RecursionError

    monkeypatch.setattr(module, step, broken)
    got = read(mail("X: y", "forty chairs"))
    assert got.parse == ("failed" if step == "read_head" else "partial")
    assert any("RecursionError" in fault for fault in got.faults)
    assert got.text == ("" if step == "read_head" else "forty chairs")


def test_where_mail_parser_raises_the_standard_library_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_raw: bytes) -> None:
        raise ValueError

    monkeypatch.setattr("mailparser.parse_from_bytes", broken)
    got = read(mail("X: y", "forty chairs"))
    assert (got.text, got.faults) == ("forty chairs", ("mail-parser could not read the parts",))


def test_it_reads_in_any_thread() -> None:
    got: list[Message] = []
    thread = threading.Thread(target=lambda: got.append(read(mail("X: y", "forty chairs"))))
    thread.start()
    thread.join(30)
    assert got[0].text == "forty chairs"


def nested(depth: int) -> bytes:
    opening = "".join(
        f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(depth)
    )
    return HEAD + opening.encode() + b"\nforty chairs\n"


BOMBS = {
    "nested multiparts": nested(3000),
    "nested messages": HEAD + b"Content-Type: message/rfc822\n\n" * 20_000 + b"forty chairs",
    "empty parts": mail("Content-Type: multipart/mixed; boundary=B", "--B\n\n" * 200_000),
    "parts": mail("Content-Type: multipart/mixed; boundary=B", "--B\n\nx\n" * 100_000),
    "semicolons": HEAD + b"Content-Type: text/plain" + b";" * 1_000_000 + b"\n\nforty chairs",
    "open quote": HEAD + b'Content-Type: text/plain; x="' + b";a=" * 500_000 + b"\n\nforty chairs",
    "semicolons inside": multipart("mixed", 'Content-Type: a/b;x="' + ";" * 500_000 + "\n\nx"),
    "continuations": HEAD + b"X: y\n" + b" z\n" * 500_000 + b"\nforty chairs",
    "encoded words": HEAD + b"X: " + b"=?utf-8?q?a?= " * 100_000 + b"\n\nforty chairs",
    "addresses": HEAD + b"Cc: " + b"a@example.org, " * 100_000 + b"\n\nforty chairs",
    "angles": HEAD + b"Cc: " + b"<" * 1_000_000 + b"\n\nforty chairs",
    "ids": HEAD + b"References: " + b"<a@b> " * 200_000 + b"\n\nforty chairs",
    "received": HEAD + b"Received: from a by b; x\n" * 40_000 + b"\nforty chairs",
    "table": mail("Content-Type: text/html", "<table>" + "<tr><td>x" * 100_000),
    "one line": mail("X: y", "x" * 2_000_000),
    "quotes": mail("X: y", "> " * 900_000),
    "boundaries": mail("Content-Type: multipart/mixed; boundary=B", "boundary=x\n" * 150_000),
    "uuencoded": mail("Content-Transfer-Encoding: uuencode", "begin 644 a\nM" + "\n" * 900_000),
    "NULs": HEAD + b"\0" * 1_000_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_over_long_before_the_clock(name: str) -> None:
    started = time.process_time()
    got = read(BOMBS[name], Limits(seconds=30))
    assert time.process_time() - started < 2.5
    assert got.subject == "chairs"


@pytest.mark.parametrize("name", ["nested multiparts", "nested messages", "semicolons", "received"])
def test_the_text_behind_a_bomb_is_found(name: str) -> None:
    got = read(BOMBS[name])
    assert "forty chairs" in got.text
    assert got.parse == "partial"


def test_it_crosses_a_process_boundary() -> None:
    got = read(
        multipart("alternative", PLAIN + "one https://a.example/", HTML + "<a href=x>one</a>")
    )
    assert pickle.loads(pickle.dumps(got)) == got


def test_nothing_of_a_mail_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="root"):
        read(mail("Subject: =?shift_jis?b?////?=\nFrom: <<secret>>\nDate: secret", "secret"))
    assert "secret" not in caplog.text


SEEDS = [
    multipart(
        "alternative", PLAIN + "Grüße =?utf-8?q?x?=\n> a\n-- \nb", HTML + "<p>Grüße<a href=x>y</a>"
    ),
    multipart("mixed", PLAIN + "one", "Content-Type: message/rfc822\n\nSubject: x\n\ny"),
    mail(
        "Content-Type: text/html; charset=utf-16\nDate: Fri, 3 May 2024 10:02:00 +0200",
        "<table><tr><td>x",
    ),
    mail(
        "Content-Transfer-Encoding: base64\nReferences: <a@b>\nDKIM-Signature: d=x",
        "Zm9ydHkgY2hhaXJz",
    ),
]
CONTROLS = {chr(code) for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}
CHUNKS = [
    b"\r\n", b"\n\n", b"\0", b"\xff\xfe", b"=?utf-8?b?", b"?=", b'"', b";", b"--B", b"--B--",
    b"<", b"(", b"charset*0*=", b"Content-Type: multipart/mixed; boundary=", b"begin 644 x\n",
    b"\xe2\x80\xae", b"+2AA-",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(raw)))
        until = min(len(raw), at + draw(st.integers(0, 20)))
        raw[at:until] = draw(st.sampled_from(CHUNKS) | st.binary(max_size=4))
    return bytes(raw)


@settings(max_examples=200, deadline=None)
@given(mutated())
def test_read_never_raises_and_gives_clean_values(raw: bytes) -> None:
    got = read(raw)
    assert got.size == len(raw)
    assert (got.parse == "ok") == (not got.faults)
    for header in got.headers:
        assert not CONTROLS.intersection(header.value)
    for text in (got.text, got.subject, got.own_text, *(each.filename for each in got.attachments)):
        text.encode("utf-8")
    assert pickle.loads(pickle.dumps(got)) == got
