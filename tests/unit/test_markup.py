"""HTML to the text a reader sees, and its links."""

from __future__ import annotations

import time

import pytest

from classifier.markup import Link, bare_urls, read_html, strip_tags


def words(source: str) -> str:
    return " ".join(read_html(source).text.split())


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>Hello <b>Ann</b>,</p><p>chairs</p>", "Hello Ann, chairs"),
        ("<style>p{}</style><script>x()</script><p>chairs</p>", "chairs"),
        ('<p>chairs</p><p style="display:none">tables</p>', "chairs"),
        ("<?xml version='1.0' encoding='utf-8'?><p>chairs</p>", "chairs"),
        ("<p>one<?xml:namespace prefix = o />two</p>", "onetwo"),
        ("<p>ch<!-- x -->airs</p>", "chairs"),
        ("<html><body><p>one</p></body></html>\n\ntwo", "one two"),
        ("<body><p>one</body><div>two</div>", "one two"),
        ("one <!-- two <b>three</b>", "one two three"),
        ("<table><tr><td>one</td><td>two</td></tr></table>three", "one two three"),
        ('<img alt="Buy chairs"><img src="x">', "Buy chairs"),
        ('<p>see</p><img alt="Buy chairs">', "see"),
        ("a < b and c > d", "a < b and c > d"),
        ("", ""),
        ("<!-- nothing -->", ""),
        ("\x00<p>chairs</p>", "chairs"),
    ],
)
def test_what_a_reader_sees(source: str, text: str) -> None:
    assert words(source) == text
    assert read_html(source).fault == ""


def test_quotations_are_marked() -> None:
    page = read_html(
        "<p>Yes</p><blockquote type='cite'><p>May I?</p><p>Ann</p></blockquote><p>Bob</p>"
    )
    lines = [line.strip() for line in page.text.split("\n") if line.strip(" >")]
    assert lines == ["Yes", "> May I?", "> Ann", "Bob"]
    assert ">" not in read_html("<blockquote>a saying</blockquote>").text
    gmail = read_html(
        '<div>Yes</div><div class="gmail_quote">On 3 May 2024 a@b wrote:<br>ok?</div>'
    )
    assert "> ok?" in gmail.text


def test_links_with_their_words() -> None:
    page = read_html(
        '<a href="https://a.example/x?y=1">book <b>a call</b></a> <a href="#top">up</a>'
        '<a href=" mailto:b@example.org ">us</a><a name="x">none</a>'
    )
    assert page.links == (
        Link("https://a.example/x?y=1", "book a call"),
        Link("mailto:b@example.org", "us"),
    )
    assert (
        len(read_html("<a href=x>y</a>" * 5 + "".join(f"<a href={n}>" for n in range(900))).links)
        == 200
    )


def test_bare_urls() -> None:
    found = bare_urls(
        "see https://a.example/x, (www.b.example) <http://c.example/?q=1> https://a.example/x."
    )
    assert [link.url for link in found] == [
        "https://a.example/x",
        "www.b.example",
        "http://c.example/?q=1",
    ]
    assert bare_urls("http:// nothing") == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one</p><p>two &amp; three</p>", "one\ntwo & three"),
        ("<SCRIPT>x</SCRIPT >one", "one"),
        ("<style>x", "x"),
        ("a<!-- b -->c", "ac"),
        ("İ<script>x</script>y", "İy"),
    ],
)
def test_strip_tags(source: str, text: str) -> None:
    assert strip_tags(source) == text


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("<div>" * 5000 + "chairs", "nested too deeply"),
        ("<p>chairs</p>" + "x" * 300_000, "too long"),
        ("chairs<table>" + "<tr><td>x</td></tr>" * 6000, "too intricate"),
    ],
)
def test_what_cannot_be_laid_out_is_still_read(source: str, fault: str) -> None:
    page = read_html(source)
    assert "chairs" in page.text
    assert fault in page.fault


@pytest.mark.parametrize(
    "source",
    [
        "<" * 1_000_000,
        "<!--" * 250_000,
        "<a " * 300_000,
        "&#" * 500_000,
        "<script" * 100_000,
        "<table><tr><td>" * 13_000,
        "<blockquote type=cite>" * 9_000,
        "<td colspan=99999999 rowspan=99999999>" * 4_900,
        "<ul><li>" * 20_000,
        "<a href=x>" * 19_000,
    ],
)
def test_bombs_are_over_quickly(source: str) -> None:
    started = time.process_time()
    read_html(source)
    assert time.process_time() - started < 1.5
