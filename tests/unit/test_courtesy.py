"""Every rule on both sides, and what the rules add up to."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from occasions import NOW, OURS, PLAIN, SENDER, from_, occasion, with_headers

from classifier.message import Attachment, Header, Mailbox, Message
from replies import courtesy
from replies.courtesy import ELSEWHERE, RULES, Authentication, Occasion, decide, explain

REASONS = Path(__file__).parents[2] / "docs" / "reasons.md"
SECTIONS = "A1 A2 A3 A4 A5 A6 A7 A8 A9 A10 A12 A15 A16 A17 A18 B9"


def to(*addresses: str) -> Message:
    return replace(PLAIN, to=tuple(Mailbox("", address) for address in addresses))


def cc(*addresses: str) -> Message:
    return replace(to(), cc=tuple(Mailbox("", address) for address in addresses))


def auto(*values: str) -> Occasion:
    return occasion(with_headers(*(("Auto-Submitted", value) for value in values)))


FIRES: list[tuple[str, Occasion]] = [
    ("answers-off", occasion(mode="off")),
    ("shadow-mode", occasion(mode="shadow")),
    ("null-sender", occasion(sender="")),
    ("null-sender", occasion(sender="<>")),
    ("auto-submitted", auto("auto-replied")),
    ("auto-submitted", auto("auto-generated (by cron); x=y")),
    ("auto-submitted", auto("no", "no")),
    ("auto-submitted", auto("no no")),
    ("auto-submitted", auto("")),
    ("auto-submitted", auto("(no)")),
    ("auto-submitted", auto("no (open")),
    ("bulk-header", occasion(with_headers(("List-Id", "<x.example>")))),
    ("bulk-header", occasion(with_headers(("Precedence", "bulk")))),
    ("suppressed-subject", occasion(replace(PLAIN, subject="Out of Office: away"))),
    ("role-sender", occasion(from_("noreply@seller.example"), sender="noreply@seller.example")),
    ("recipient-not-addressed", occasion(to("someone@example.com"))),
    ("recipient-not-addressed", occasion(to())),
    ("recipient-not-addressed", occasion(to("alexx@example.com", "alex@example.org"))),
    ("own-address", occasion(from_("bob@example.com"), sender="bob@example.com")),
    ("own-address", occasion(from_("bob@EXAMPLE.com."), sender="bob@EXAMPLE.com.")),
    ("own-address", occasion(from_("bob@example.com"))),
    ("own-address", occasion(sender="x@gateway.example.com")),
    ("own-address", occasion(to(SENDER), recipient=SENDER, own_domains=frozenset())),
    ("message-loop", occasion(with_headers(("X-Raincheck-Loop", "0123")))),
    ("message-loop", occasion(with_headers(("x-raincheck-loop", "")))),
    ("message-loop", occasion(replace(PLAIN, message_id="<a1@gateway.example.com>"))),
    ("message-loop", occasion(replace(PLAIN, message_id="<a1@Example.com>"))),
    ("bad-address", occasion(sender="jane%evil@seller.example")),
    ("bad-address", occasion(sender='"jane doe"@seller.example')),
    ("from-mismatch", occasion(from_("ceo@seller.example"))),
    ("from-mismatch", occasion(from_("Jane.Doe@seller.example"))),
    ("from-mismatch", occasion(from_("jane.doe@seller.example.org"))),
    ("from-mismatch", occasion(from_(SENDER, SENDER))),
    ("from-mismatch", occasion(from_())),
    ("from-mismatch", occasion(with_headers(("From", SENDER)))),
    ("from-mismatch", occasion(replace(PLAIN, headers=()))),
    ("spam-flagged", occasion(with_headers(("X-Spam-Flag", "YES")))),
    ("spam-flagged", occasion(with_headers(("X-Spam-Status", "Yes, score=7.1 required=5.0")))),
    ("report-or-calendar", occasion(replace(PLAIN, content_types=("multipart/report",)))),
    ("report-or-calendar", occasion(replace(PLAIN, content_types=("text/plain", "TEXT/Calendar")))),
    (
        "report-or-calendar",
        occasion(replace(PLAIN, attachments=(Attachment("i.ics", "text/calendar", 9),))),
    ),
    (
        "executable-attachment",
        occasion(replace(PLAIN, attachments=(Attachment("a.scr", "application/x", 9),))),
    ),
    ("answered-recently", occasion(answered_at=NOW - timedelta(days=29, hours=23))),
    ("answered-recently", occasion(answered_at=NOW + timedelta(hours=1))),  # clocks disagree
    ("answered-recently", occasion(answered_at=datetime(2020, 1, 1))),  # noqa: DTZ001
    ("answered-before", occasion(answered_before=True)),
    ("not-authenticated", occasion(authentication=Authentication())),
    ("parse-incomplete", occasion(replace(PLAIN, parse="partial"))),
    ("parse-incomplete", occasion(replace(PLAIN, parse="failed"))),
    ("too-many-hops", occasion(replace(PLAIN, hops=26))),
    ("non-ascii-address", occasion(from_("zoë@seller.example"), sender="zoë@seller.example")),
    ("non-ascii-address", occasion(to("älex@example.com"), recipient="älex@example.com")),
]

SILENT: list[tuple[str, Occasion]] = [
    ("answers-off", occasion(mode="live")),
    ("answers-off", occasion(mode="shadow")),
    ("shadow-mode", occasion(mode="live")),
    ("null-sender", occasion()),
    ("auto-submitted", auto()),
    ("auto-submitted", auto("no")),
    ("auto-submitted", auto(" No (by hand) ; x=y")),
    ("bulk-header", occasion(with_headers(("Precedence", "normal")))),
    ("suppressed-subject", occasion(replace(PLAIN, subject="Your office"))),
    ("role-sender", occasion()),
    ("recipient-not-addressed", occasion(to("x@example.org", "Alex@Example.com"))),
    ("recipient-not-addressed", occasion(cc(OURS))),
    ("own-address", occasion()),
    ("own-address", occasion(own_domains=frozenset(), hostname="")),
    ("own-address", occasion(from_("a@notexample.com"), sender="a@notexample.com")),
    ("message-loop", occasion()),
    ("message-loop", occasion(replace(PLAIN, message_id=""))),
    ("message-loop", occasion(with_headers(("X-Raincheck", "pass")))),
    ("bad-address", occasion()),
    ("bad-address", occasion(sender="")),
    ("from-mismatch", occasion()),
    ("from-mismatch", occasion(from_("jane.doe@SELLER.example"))),
    (
        "from-mismatch",
        occasion(from_("jane@bücher.example"), sender="jane@xn--bcher-kva.example"),
    ),
    ("spam-flagged", occasion(with_headers(("X-Spam-Flag", "NO")))),
    ("spam-flagged", occasion(with_headers(("X-Spam-Status", "No, score=-1 tests=YES")))),
    ("report-or-calendar", occasion(replace(PLAIN, content_types=("text/html",)))),
    (
        "executable-attachment",
        occasion(replace(PLAIN, attachments=(Attachment("a.pdf", "application/pdf", 9),))),
    ),
    ("answered-recently", occasion(answered_at=NOW - timedelta(days=30))),
    ("answered-recently", occasion()),
    ("answered-before", occasion()),
    ("not-authenticated", occasion()),
    ("parse-incomplete", occasion()),
    ("too-many-hops", occasion(replace(PLAIN, hops=25))),
    ("non-ascii-address", occasion()),
    (
        "non-ascii-address",
        occasion(from_("zoë@seller.example"), sender="zoë@seller.example", smtputf8=True),
    ),
]


@pytest.mark.parametrize(("code", "case"), FIRES)
def test_a_rule_fires(code: str, case: Occasion) -> None:
    decision = decide(case)
    assert code in decision.reasons
    assert not decision.would_send


@pytest.mark.parametrize(("code", "case"), SILENT)
def test_a_rule_does_not_fire(code: str, case: Occasion) -> None:
    assert code not in decide(case).reasons


def test_the_tables_show_both_sides_of_every_rule() -> None:
    codes = {rule.code for rule in RULES}
    assert {code for code, _ in FIRES} == codes
    assert {code for code, _ in SILENT} == codes


@pytest.mark.parametrize("section", SECTIONS.split())
def test_every_section_has_a_rule(section: str) -> None:
    assert any(rule.section == section for rule in RULES)


def test_codes_are_stable_in_form_and_unique() -> None:
    codes = [rule.code for rule in RULES]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in [*codes, *ELSEWHERE])
    assert not set(codes) & set(ELSEWHERE)


def test_nothing_forbids_the_plain_case() -> None:
    decision = decide(occasion())
    assert (decision.would_send, decision.compose, decision.reasons) == (True, True, ())
    assert (decision.rung, decision.template) == (1, "en/not-now")


def test_all_reasons_are_listed_in_the_order_of_the_rules() -> None:
    message = with_headers(("List-Id", "x"), message=replace(PLAIN, parse="partial", hops=99))
    reasons = decide(occasion(message, mode="off", authentication=Authentication())).reasons
    assert reasons == (
        "answers-off",
        "bulk-header",
        "not-authenticated",
        "parse-incomplete",
        "too-many-hops",
    )


@pytest.mark.parametrize(
    ("case", "compose"),
    [
        (occasion(mode="shadow"), True),
        (occasion(mode="shadow", authentication=Authentication()), True),
        (occasion(mode="shadow", answered_before=True), False),
        (occasion(with_headers(("List-Id", "x")), mode="shadow"), False),
        (occasion(mode="live", authentication=Authentication()), False),
        (occasion(mode="off"), False),
    ],
)
def test_what_is_composed_though_not_sent(case: Occasion, compose: bool) -> None:
    decision = decide(case)
    assert decision.compose is compose
    assert not decision.would_send


@pytest.mark.parametrize(
    "text",
    ["", "\0", "\udcff", "@", "@@", "<>", "(" * 5000, '"' * 99, "=?utf-8?q?=0D=0A?=", "x" * 70000],
)
def test_no_rule_breaks_on_odd_input(text: str) -> None:
    names = ("From", "To", "Auto-Submitted", "Precedence", "X-Spam-Flag", "Content-Type", text)
    message = Message(
        headers=tuple(Header(name, text, text) for name in names),
        from_=(Mailbox(text, text),),
        to=(Mailbox(text, text),),
        subject=text,
        message_id=text,
        content_types=(text,),
        attachments=(Attachment(text, text, 0),),
    )
    case = occasion(message, sender=text, recipient=text, hostname=text)
    for rule in RULES:
        rule.forbids(case)
    assert not decide(case).would_send


def test_a_rule_that_cannot_be_checked_forbids() -> None:
    naive = datetime(2000, 1, 1)  # noqa: DTZ001  # cannot be subtracted from an aware time
    with pytest.raises(TypeError):
        courtesy.answered_recently(occasion(answered_at=naive))
    assert decide(occasion(answered_at=naive)).reasons == ("answered-recently",)


def test_every_code_has_its_sentence() -> None:
    for code in [rule.code for rule in RULES] + list(ELSEWHERE):
        assert " " in explain(code)
    assert explain("no-such-code") == "no-such-code"


def test_the_manual_lists_exactly_these_codes() -> None:
    answers = REASONS.read_text(encoding="utf-8").partition("\n## Why no answer was sent")[2]
    rows = re.findall(r"^\| `([a-z-]+)` \| (\S+) \|", answers.partition("\n## ")[0], re.MULTILINE)
    assert dict(rows) == {rule.code: rule.section for rule in RULES} | dict.fromkeys(ELSEWHERE, "–")
    assert len(rows) == len(dict(rows))
