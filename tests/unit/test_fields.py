from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.envelope import Envelope
from gateway.relay import fields

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)


def envelope(**changes: object) -> Envelope:
    values: dict[str, object] = {
        "id": "abc123",
        "client": "192.0.2.1",
        "helo": "mx.example.org",
        "mail_from": "a@example.org",
        "rcpt_tos": ("user@example.com",),
        "received_at": AT,
    }
    return Envelope(**(values | changes))  # type: ignore[arg-type]


def test_received_is_one_folded_field() -> None:
    assert fields.received(envelope(), "gateway.example.com") == (
        b"Received: from mx.example.org ([192.0.2.1])\r\n"
        b"\tby gateway.example.com with ESMTP id abc123\r\n"
        b"\tfor <user@example.com>;\r\n"
        b"\tSun, 01 Mar 2026 12:30:00 +0000\r\n"
    )


@pytest.mark.parametrize(
    "recipients",
    [
        ("a@example.com", "b@example.com"),
        ("x;y@example.com",),
        ('"a b"@example.com',),
        ("ü@example.com",),
    ],
)
def test_received_names_no_recipient_among_several_or_of_odd_form(
    recipients: tuple[str, ...],
) -> None:
    assert b"for " not in fields.received(envelope(rcpt_tos=recipients), "gw.example")


def test_received_names_a_utf8_recipient_in_a_utf8_transaction() -> None:
    field = fields.received(
        envelope(rcpt_tos=("ü@example.com",), protocol="UTF8SMTP"), "gw.example"
    )
    assert "for <ü@example.com>".encode() in field


def test_received_marks_an_ipv6_client() -> None:
    assert b"([IPv6:2001:db8::1])" in fields.received(envelope(client="2001:db8::1"), "gw.example")


@given(st.text(max_size=400))
def test_helo_never_leaves_its_place(helo: str) -> None:
    field = fields.received(envelope(helo=helo), "gateway.example.com")
    lines = field.split(b"\r\n")
    assert len(lines) == 5
    assert field.count(b"\r") == field.count(b"\n") == 4
    assert lines[0].startswith(b"Received: from ")
    assert lines[0].endswith(b" ([192.0.2.1])")
    assert not set(lines[0][len(b"Received: from ") : -len(b" ([192.0.2.1])")]) & set(b"() \t;")
    assert max(map(len, lines)) < 200


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (("pass", "id1", 0.1, "m-1"), b"X-Raincheck: pass; score=0.10; model=m-1; id=id1\r\n"),
        (("pitch", "id1", 0.966), b"X-Raincheck: pitch; score=0.97; id=id1\r\n"),
        (("unjudged", "id1"), b"X-Raincheck: unjudged; id=id1\r\n"),
        (
            ("pass", "a\r\nb: c", 1.0, "m;x"),
            b"X-Raincheck: pass; score=1.00; model=m?x; id=a??b:?c\r\n",
        ),
    ],
)
def test_x_raincheck(arguments: tuple[object, ...], field: bytes) -> None:
    assert fields.x_raincheck(*arguments) == field  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "clean"),
    [
        (b"X-Raincheck: pass\r\nA: b\r\n\r\nbody", b"A: b\r\n\r\nbody"),
        (b"A: b\r\nx-RAINcheck-Score: 1\r\nC: d\r\n\r\n", b"A: b\r\nC: d\r\n\r\n"),
        (b"A: b\r\nX-Raincheck: a\r\n\tb\r\n  c\r\nC: d\r\n\r\n", b"A: b\r\nC: d\r\n\r\n"),
        (b"A: b\r\nX-Raincheck : a\r\n\r\n", b"A: b\r\n\r\n"),
        (b"A: b\r\n folded\r\nX-Raincheck: a\r\n\r\n", b"A: b\r\n folded\r\n\r\n"),
        (b"A: b\nX-Raincheck: a\nC: d\n\nx", b"A: b\nC: d\n\nx"),
        (b"A: b\rX-Raincheck: a\rC: d\r\rx", b"A: b\rC: d\r\rx"),
        (b"X-Raincheck: a", b""),
        (b"X-Raincheck:\r\n \r\n still\r\n\r\nx", b"\r\nx"),
        # Not ours, or not a header field
        (b"X-Rainchecks: a\r\n\r\n", b"X-Rainchecks: a\r\n\r\n"),
        (b"A: X-Raincheck: a\r\n\r\n", b"A: X-Raincheck: a\r\n\r\n"),
        (b"A: b\r\n X-Raincheck: a\r\n\r\n", b"A: b\r\n X-Raincheck: a\r\n\r\n"),
        (b"A: b\r\n\r\nX-Raincheck: a\r\n", b"A: b\r\n\r\nX-Raincheck: a\r\n"),
        (b"\r\nX-Raincheck: a\r\n", b"\r\nX-Raincheck: a\r\n"),
        (b"A: b\n\r\nX-Raincheck: a\r\n", b"A: b\n\r\nX-Raincheck: a\r\n"),
        (b"X-Raincheck\r\n\r\n", b"X-Raincheck\r\n\r\n"),
        (b"", b""),
    ],
)
def test_forged_fields_are_cut_out(content: bytes, clean: bytes) -> None:
    assert fields.without_ours(content) == clean
    assert fields.without_ours(clean) == clean


EOLS = st.sampled_from([b"\r\n", b"\n", b"\r"])
TEXT = st.binary(max_size=30).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b""))
FIELDS = st.lists(
    st.tuples(st.sampled_from([b"From", b"Subject", b"X-Rain", b"Received"]), TEXT, EOLS),
    max_size=8,
)
FORGED = st.tuples(
    st.sampled_from([b"X-Raincheck", b"x-raincheck", b"X-RAINCHECK-Score", b"X-Raincheck-"]),
    st.sampled_from([b":", b" :", b"\t:"]),
    TEXT,
    st.lists(st.tuples(st.sampled_from([b" ", b"\t"]), TEXT), max_size=3),
)


def forged_field(parts: tuple[bytes, bytes, bytes, list[tuple[bytes, bytes]]], eol: bytes) -> bytes:
    name, colon, value, folded = parts
    return name + colon + value + eol + b"".join(blank + text + eol for blank, text in folded)


@given(st.binary())
def test_other_octets_are_the_very_same(content: bytes) -> None:
    assert b"raincheck" in content.lower() or fields.without_ours(content) is content


@given(
    FIELDS,
    st.lists(st.tuples(FORGED, EOLS), min_size=1, max_size=4),
    st.binary(max_size=60),
    st.randoms(),
)
def test_forged_ones_put_in_anywhere_come_out_again(
    header: list[tuple[bytes, bytes, bytes]], forged: list, body: bytes, random: object
) -> None:
    # Lone CRs before an LF of the next piece would merge into a CRLF that was not there.
    lines = [name + b": " + text + (b"\n" if eol == b"\r" else eol) for name, text, eol in header]
    original = b"".join(lines) + b"\r\n" + body
    for parts, eol in forged:
        place = random.randint(0, len(lines))  # type: ignore[attr-defined]
        lines.insert(place, forged_field(parts, b"\r\n" if eol == b"\r" else eol))
    assert fields.without_ours(b"".join(lines) + b"\r\n" + body) == original


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (b"", 0),
        (b"Received: a\r\nreceived : b\r\n c\r\nX: d\r\n\r\nReceived: body\r\n", 2),
        (b"X-Received: a\r\n Received: b\r\n\r\n", 0),
        (b"\r\nReceived: a\r\n", 0),
        (b"Received: a\n" * 101, 101),
    ],
)
def test_hops(content: bytes, count: int) -> None:
    assert fields.hops(content) == count


@pytest.mark.parametrize(
    "content",
    [
        b"X-Raincheck-" + b"a" * 3_000_000,
        b"X-Raincheck" + b" " * 3_000_000,
        b"X-Raincheck: a\r\n" * 200_000,
        b"X-Raincheck:" + b"\r\n " * 1_000_000,
        b"\r" * 3_000_000 + b"x-raincheck",
        b"a" * 3_000_000 + b"X-Raincheck:",
    ],
)
def test_hostile_headers_take_linear_time(content: bytes) -> None:
    started = time.process_time()
    fields.without_ours(content)
    fields.hops(content)
    assert time.process_time() - started < 3
