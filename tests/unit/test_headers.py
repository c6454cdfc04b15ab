"""The header of a mail: fields, participants, ids, facts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from classifier.headers import Mailbox, read_head


def head(*lines: str):  # type: ignore[no-untyped-def]
    return read_head("\n".join([*lines, "", "body"]).encode())


def test_fields_come_in_order_unfolded_and_decoded() -> None:
    got = head("Subject: =?utf-8?q?St=C3=BChle?=\n for you", "X-A: 1", "x-a: 2")
    assert [(h.name, h.raw, h.value) for h in got.headers] == [
        ("Subject", "=?utf-8?q?St=C3=BChle?= for you", "Stühle for you"),
        ("X-A", "1", "1"),
        ("x-a", "2", "2"),
    ]
    assert got.subject == "Stühle for you"
    assert got.faults == ()


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("=?utf-8?q?a=0D=0ABcc:_x=40y?=", "a  Bcc: x@y"),
        ("=?utf-8?b?YQBi?=", "a b"),
        ("=?utf-8?q?St=C3?= =?utf-8?q?=BChle?=", "Stühle"),
        ("=?iso-8859-1*de?q?St=FChle?=", "Stühle"),
        ("=?unknown-8bit?q?St=C3=BChle?=", "Stühle"),
        ("50% =? off", "50% =? off"),
        ("Stühle =?utf-8?q?und?= Bänke", "Stühle und Bänke"),
    ],
)
def test_decoded_values(raw: str, value: str) -> None:
    assert head(f"Subject: {raw}").subject == value


def test_octets_that_are_no_utf8_are_latin1() -> None:
    assert read_head(b"Subject: St\xfchle\n\n").subject == "Stühle"


def test_a_broken_encoded_word_is_said() -> None:
    got = head("Subject: =?utf-8?b?abcde?=")
    assert got.subject == "=?utf-8?b?abcde?="
    assert got.faults == ("Subject: a broken encoded word",)


def test_every_from_field_counts() -> None:
    got = head("From: Ann Lee <ann@Example.COM>", "From: b@example.org, c@example.org")
    assert got.from_ == (
        Mailbox("Ann Lee", "ann@example.com"),
        Mailbox("", "b@example.org"),
        Mailbox("", "c@example.org"),
    )
    assert sum(h.name == "From" for h in got.headers) == 2


@pytest.mark.parametrize(
    ("field", "mailbox"),
    [
        ("=?utf-8?q?J=C3=BCrgen?= <j@example.org>", Mailbox("Jürgen", "j@example.org")),
        ('"Lee, Ann" <ann@example.org>', Mailbox("Lee, Ann", "ann@example.org")),
        ("ann@example.org (Ann Lee)", Mailbox("Ann Lee", "ann@example.org")),
        ("ann@bücher.example", Mailbox("", "ann@bücher.example")),
        ('"=?utf-8?q?a?=\x07" <a@example.org>', Mailbox("=?utf-8?q?a?=", "a@example.org")),
    ],
)
def test_one_mailbox(field: str, mailbox: Mailbox) -> None:
    assert head(f"From: {field}").from_ == (mailbox,)


@pytest.mark.parametrize(
    ("field", "count"),
    [
        ("Ann <a@example.org> Bob <b@example.org>", 2),
        ("<a@example.org> <b@example.org>", 2),
        ("Ann a@example.org", 0),
        ("<ann", 0),
    ],
)
def test_a_from_that_reads_two_ways_is_no_single_sender(field: str, count: int) -> None:
    got = head(f"From: {field}")
    assert len(got.from_) == count
    assert any("From field" in fault for fault in got.faults)


def test_an_empty_group_is_no_fault() -> None:
    got = head("From: a@example.org", "To: undisclosed-recipients:;")
    assert (got.to, got.faults) == ((), ())


def test_domain_of_a_mailbox() -> None:
    assert Mailbox("", "a@b@example.org").domain == "example.org"
    assert Mailbox("", "root").domain == ""


LONG_ID = "<" + "a" * 490 + "@" + "b" * 500 + ">"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Message-ID: <a@b.example>"], "<a@b.example>"),
        (["Message-ID:\n <a@b.example>"], "<a@b.example>"),
        (["Message-ID: <a b@c.example>"], ""),
        (["Message-ID: a@b.example"], ""),
        (["Message-ID: <a@b.example> <c@d.example>"], ""),
        (["Message-ID: <a@b.example>", "Message-ID: <c@d.example>"], ""),
        (["Message-ID: <ä@b.example>"], ""),
        (["Message-ID: <" + "a" * 500 + "@" + "b" * 500 + ">"], ""),
        ([f"Message-ID: {LONG_ID}"], LONG_ID),
        ([], ""),
    ],
)  # fmt: skip
def test_message_id(lines: list[str], expected: str) -> None:
    assert head("X: y", *lines).message_id == expected


def test_references_keep_only_ids() -> None:
    got = head(
        "References: <a@b.example> junk\n <c@d.example>", "In-Reply-To: your mail <c@d.example>"
    )
    assert got.references == ("<a@b.example>", "<c@d.example>")
    assert got.in_reply_to == ("<c@d.example>",)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("Fri, 3 May 2024 10:02:00 +0200",
         datetime(2024, 5, 3, 10, 2, tzinfo=timezone(timedelta(hours=2)))),
        ("Fri, 3 May 2024 10:02:00 -0330 (NDT)",
         datetime(2024, 5, 3, 10, 2, tzinfo=timezone(-timedelta(hours=3, minutes=30)))),
        ("Fri, 3 May 2024 10:02:00 -0000", datetime(2024, 5, 3, 10, 2, tzinfo=UTC)),
        ("Fri, 3 May 2024 10:02:00", None),
        ("next Friday", None),
        ("Fri, 32 May 2024 10:02:00 +0200", None),
        ("Fri, 3 May 2024 10:02:00 +9999", None),
        ("", None),
    ],
)  # fmt: skip
def test_date(field: str, expected: datetime | None) -> None:
    got = head(f"Date: {field}").date
    assert got == expected
    if expected is not None:
        assert got.utcoffset() == expected.utcoffset()


def test_dkim_domains() -> None:
    got = head(
        "DKIM-Signature: v=1; a=rsa-sha256; d=Example.\n com; s=x; bh=d=evil.example; b=a",
        "DKIM-Signature: v=1;d=example.org;s=y",
        "DKIM-Signature: nonsense",
    )
    assert got.dkim_domains == ("example.com", "example.org")


@pytest.mark.parametrize(
    ("value", "auto"),
    [
        ("no", False),
        ("No", False),
        ("no (really); x=y", False),
        ("auto-replied", True),
        ("auto-generated; x", True),
        ("", True),
        ("nope", True),
    ],
)
def test_is_auto(value: str, auto: bool) -> None:
    assert head(f"Auto-Submitted: {value}").is_auto is auto
    assert head("Auto-Submitted: no", f"Auto-Submitted: {value}").is_auto is auto


def test_list_and_hops() -> None:
    got = head("Received: a", "Received: b", "List-Id: <chairs.example.org>")
    assert (got.is_list, got.hops, got.is_auto) == (True, 2, False)
    assert head("Listing: x").is_list is False


def test_where_the_header_ends() -> None:
    raw = b"From a@b Mon\nSubject: x\n>From me\nX: y\n\nbody\n"
    assert raw[read_head(raw).body :] == b"body\n"
    raw = b"Subject: x\nno field here\nX: y\n\nbody"
    got = read_head(raw)
    assert raw[got.body :].startswith(b"no field here")
    assert got.faults == ("the header runs into the body",)
    assert read_head(b"\nbody").faults == ("there are no header fields",)
    assert read_head(b"").body == 0
    assert read_head(b"Subject: x").subject == "x"


def test_floods_are_cut_and_said() -> None:
    many = b"".join(b"X-%d: y\n" % n for n in range(5000)) + b"\nbody"
    got = read_head(many)
    assert (len(got.headers), many[got.body :]) == (1000, b"body")
    assert got.faults == ("only the first 1000 header fields were read",)
    long = read_head(b"Subject: " + b"a" * 100_000 + b"\nTo: b@example.org\n\n")
    assert (len(long.subject), len(long.to)) == (32_767, 1)
    assert long.faults == ("Subject: only the first 32768 octets were read",)
    assert len(head("To: " + "a@example.org, " * 2000).to) == 500
