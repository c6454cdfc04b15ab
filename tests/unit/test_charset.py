"""Octets to clean text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.charset import clean, decode, one_line


@pytest.mark.parametrize(
    ("data", "charset", "text", "fault"),
    [
        (b"chairs", "us-ascii", "chairs", ""),
        ("Stühle".encode(), "utf-8", "Stühle", ""),
        ("Stühle".encode(), "us-ascii", "Stühle", ""),
        ("Stühle".encode(), None, "Stühle", ""),
        ("Stühle".encode("latin-1"), None, "Stühle", ""),
        ("Stühle".encode("latin-1"), "unknown-8bit", "Stühle", ""),
        ("Stühle €".encode("cp1252"), "ISO-8859-1", "Stühle €", ""),
        ("krzesła".encode("iso-8859-2"), '"iso-8859-2"', "krzesła", ""),
        ("椅子".encode("gb18030"), "GB2312", "椅子", ""),
        ("椅子".encode("gb18030"), "x-gbk", "椅子", ""),
        ("Stühle".encode("utf-16"), None, "Stühle", ""),
        (b"plain words", "utf-16", "plain words", ""),
        (b"plain words", "fakescii", "plain words", ""),
        ("Stühle".encode(), "charset=utf-8", "Stühle", ""),
        (b"Puvyq", "rot13", "Puvyq", ""),
        ("Stühle".encode(), "rot13", "Stühle", "not readable as charset 'rot13'; read as utf-8"),
        ("Stühle".encode("latin-1"), "us-ascii", "Stühle",
         "not readable as charset 'us-ascii'; read as windows-1252"),
        ("椅子".encode("big5") * 20 + b"\xff", "big5", "椅子" * 20 + "\ufffd",
         "not readable as charset 'big5'; read as big5 with gaps"),
        ("Stühle, Stühle, Stühle, äöüß".encode() + b"\xff", "utf-8",
         "Stühle, Stühle, Stühle, äöüß\ufffd",
         "not readable as charset 'utf-8'; read as utf-8 with gaps"),
        (b"", "utf-8", "", ""),
    ],
)  # fmt: skip
def test_decode(data: bytes, charset: str | None, text: str, fault: str) -> None:
    assert decode(data, charset) == (text, fault)


def test_no_lone_surrogates() -> None:
    text, _ = decode(b"+2AA-", "utf-7")
    text.encode()
    assert text


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=60),
    st.sampled_from(
        ["", "utf-8", "utf-7", "utf-16", "utf-32", "idna", "punycode", "hex", "big5", "\x00", "é"]
    )
    | st.text(max_size=12),
)
def test_decode_never_raises(data: bytes, charset: str) -> None:
    clean(decode(data, charset)[0]).encode()


@pytest.mark.parametrize(
    ("dirty", "tidy"),
    [
        ("a\r\nb\rc\u2028d\x0ce", "a\nb\nc\nd\ne"),
        ("ch\u200bai\u00adrs", "chairs"),
        ("a\x00b\x1bc\x9bd", "abcd"),
        ("a\u00a0b", "a b"),
        ("u\u0308", "ü"),
        ("\u202echairs", "chairs"),
        ("tab\tstays", "tab\tstays"),
    ],
)
def test_clean(dirty: str, tidy: str) -> None:
    assert clean(dirty) == tidy


def test_one_line_leaves_no_way_to_begin_a_field() -> None:
    assert one_line("a\r\nBcc: b\x00c\u2028d\x85e\x7f ") == "a  Bcc: b c d e"
