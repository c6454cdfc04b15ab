"""The digest: what it says, in text and in HTML, and that a sender's words stay words in it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from lab import ANN, NOW, SELLER, held, mail, running

from classifier.verdict import Tactic, Term
from config.settings import Settings
from gateway import digest
from gateway.digest import fate, row, why
from gateway.memory.rows import Answer, HeldMail
from gateway.memory.store import Store
from gateway.relay.client import open_next_hop

BERLIN = ZoneInfo("Europe/Berlin")
HOSTILE = '<img src=x onerror=alert(1)> {{ 7*7 }} "quoted" \x1b[31m\u202egnp.exe & more'


def answer(**changes: Any) -> Answer:
    plain = Answer(
        id="m1-1-answer",
        held_id="m1-1",
        sender=SELLER,
        recipient=ANN,
        rung=1,
        template="en/not-now",
        message_id="<1@growth.example>",
        state="shadow",
        reasons=("shadow-mode",),
        text="Right now is not the right time.",
        due_at=NOW,
    )
    return replace(plain, **changes)


def built(store: Store, *mails: HeldMail, answers: tuple[Answer, ...] = ()) -> digest.Digest:
    store.hold(mails, answers, (), timedelta(days=30))
    settings = Settings.model_validate({"recipients": [{"match": ANN, "name": "Ann"}]})
    found = digest.build(settings, store, ANN, None)
    assert found is not None
    return found


class Tags(HTMLParser):
    """The tags and attributes of a page, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_nothing_held_is_no_digest(store: Store) -> None:
    assert digest.build(Settings(), store, ANN, None) is None


def test_a_row_says_who_why_what_became_of_the_answer_and_what_to_do(store: Store) -> None:
    text = digest.as_text(built(store, held(), answers=(answer(),)))
    for words in (
        "1 mail held for you, Ann.",
        f"From:     Brad <{SELLER}>",
        "Subject:  Offer 1",
        "Tue 03 Mar 09:31 CET   score 0.97",
        "score 0.97 ≥ quarantine 0.80",
        "assumptive-close: “I have put you down for Tuesday”",
        "telling words: offer, quote",
        "written and not sent (mode shadow)",
        "> Right now is not the right time.",
        "raincheck quarantine release m1-1",
        "raincheck quarantine show m1-1",
        "raincheck quarantine discard m1-1",
    ):
        assert words in text
        page_text = " ".join(Tags(digest.as_html(built(store, held()))).text.split())
    for words in ("1 mail held for you", "Offer 1", "raincheck quarantine release m1-1"):
        assert words in page_text


def test_newest_first_and_the_rest_is_counted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "MAX_ROWS", 2)
    found = built(store, *(held(number) for number in range(1, 6)))
    assert [one.id for one in found.rows] == ["m5-1", "m4-1"]
    assert (found.more, found.count) == (3, 5)
    assert found.newest == held(5).received_at
    assert "3 older ones" in digest.as_text(found)
    assert "3 older ones" in digest.as_html(found)


def test_only_what_is_held_since_then(store: Store) -> None:
    store.hold([held(1), held(2)], (), (), timedelta(days=30))
    since = held(2).received_at
    found = digest.build(Settings(), store, ANN, since)
    assert found is not None
    assert [one.id for one in found.rows] == ["m2-1"]
    store.discard("m2-1")
    assert digest.build(Settings(), store, ANN, since) is None


def test_a_senders_words_stay_words(store: Store) -> None:
    mails = held(
        sender=HOSTILE,
        subject=HOSTILE,
        tactics=(Tactic("urgency", HOSTILE),),
        terms=(Term("<script>", 1.0),),
    )
    found = built(store, mails)
    page = Tags(digest.as_html(found))
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "div", "h1", "h2", "p", "span", "ul"),
        *("li", "b", "br", "code"),
    }
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "{{ 7*7 }}" in page.text
    assert "<img src=x onerror=alert(1)>" in page.text
    for rendered in (digest.as_text(found), page.text):
        assert "\x1b" not in rendered
        assert "\u202e" not in rendered


def test_the_page_loads_nothing_from_elsewhere(store: Store) -> None:
    page = Tags(digest.as_html(built(store, held())))
    assert not [tag for tag, attributes in page.tags if {"src", "href"} & set(attributes)]


def test_the_mail_has_both_forms_and_no_header_of_a_senders(store: Store) -> None:
    found = built(store, held(subject="x\r\nBcc: eve@evil.example"))
    raw = digest.mail(found, "gateway.example.com", NOW).as_bytes()
    parsed = message_from_bytes(raw, policy=policy.default)
    assert sorted(parsed.keys()) == [
        *("Auto-Submitted", "Content-Type", "Date", "From", "MIME-Version", "Message-ID"),
        *("Subject", "To"),
    ]
    assert parsed["From"] == "Raincheck <raincheck@gateway.example.com>"
    assert (parsed["To"], parsed["Auto-Submitted"]) == (ANN, "auto-generated")
    assert parsed["Subject"] == "Raincheck: 1 mail held for you"
    assert [part.get_content_type() for part in parsed.iter_parts()] == ["text/plain", "text/html"]
    assert max(len(line) for line in raw.split(b"\r\n")) < 998


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (None, "none was considered"),
        (answer(state="withheld", reasons=("bulk-header",)), "none: a header marks it"),
        (answer(), "written and not sent (mode shadow)"),
        (
            answer(reasons=("shadow-mode", "not-authenticated")),
            "live, it would be kept back: nothing proves",
        ),
        (answer(state="planned"), "leaves Tue 03 Mar at 09:30"),
        (answer(state="planned", due_at=None), "planned"),
        (answer(state="sending"), "leaving right now"),
        (answer(state="sent"), "sent"),
        (answer(state="in-doubt"), "may have been sent"),
        (answer(state="failed"), "could not be sent"),
        (answer(state="cancelled"), "cancelled"),
    ],
)
def test_the_fate_of_an_answer(found: Answer | None, words: str) -> None:
    assert words in fate(found, BERLIN)


def test_reasons_without_tactics_or_telling_words() -> None:
    assert why(held(tactics=(), terms=(Term("thanks", -1.0),))) == held().reasons


def test_a_mail_without_a_subject_has_a_name() -> None:
    assert row(held(subject=" \t"), None, BERLIN).subject == "(no subject)"


async def test_a_recorded_digest_is_not_shown_again(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        next_hop = open_next_hop(lab.settings.next_hop, "gateway.example.com")
        found = digest.build(lab.settings, lab.store, ANN, None)
        assert found is not None
        later = datetime.now(UTC) + timedelta(hours=1)
        try:
            lab.hop.rcpt[ANN] = "550 5.1.1 No"
            assert (await digest.hand_over(lab.settings, next_hop, found, later)).code == 550
            lab.hop.rcpt.clear()
            assert (await digest.hand_over(lab.settings, next_hop, found, later)).positive
        finally:
            await next_hop.close()
        digest.record(lab.store, found, later)
        until = lab.store.last_digest(ANN)
        assert until is not None
        assert digest.build(lab.settings, lab.store, ANN, until) is None
