"""One mail's way over real sockets: what is delivered, tagged, held and answered."""

from __future__ import annotations

import asyncio
import email
from pathlib import Path
from typing import Any

from lab import ANN, BOB, SELLER, ScoreField, mail, running

from classifier.message import Message
from classifier.verdict import Verdict

LENIENT = {"match": BOB, "thresholds": {"tag": 0.99, "quarantine": 1, "answer": 1}}
AUTHENTICATED = "Authentication-Results: mx.example.com; dmarc=pass header.from=growth.example\r\n"
LIVE: dict[str, Any] = {
    "relay": {"authserv_ids": ["mx.example.com"]},
    "answers": {"mode": "live", "delay": "20m"},
}


async def test_an_ordinary_mail_passes_octet_for_octet(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await lab.send(mail(0.02)) == (250, {})
        ((sender, recipients, content),) = lab.hop.mails
        assert (sender, recipients) == (SELLER, [ANN])
        assert content.endswith(mail(0.02))
        own = content.removesuffix(mail(0.02)).decode()
        assert own.startswith("X-Raincheck: pass; score=0.02; model=test-model; id=")
        assert [line.partition(":")[0] for line in own.splitlines() if line[0] not in " \t"] == [
            "X-Raincheck",
            "Received",
        ]


async def test_the_next_hops_own_reply_answers_the_data(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(f"EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<{ANN}>\r\nDATA\r\n".encode())
        writer.write(mail() + b".\r\nQUIT\r\n")
        said = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert "250 2.0.0 Taken by the next hop" in said


async def test_between_the_thresholds_it_is_delivered_and_tagged(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.6))
        ((_, _, content),) = lab.hop.mails
        assert content.startswith(b"X-Raincheck: pitch; score=0.6")
        assert lab.store.recall(SELLER, ANN, "").touches == 1
        assert lab.store.held() == []


async def test_a_pitch_is_held_untouched_and_its_answer_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await lab.send(mail(0.97)) == (250, {})
        assert lab.hop.mails == []
        (held,) = lab.store.held()
        (file,) = lab.held_files()
        stored = file.read_bytes()
        assert stored[held.original_offset :] == mail(0.97)
        assert email.message_from_bytes(stored)["X-Raincheck"].startswith("pitch; score=0.97")
        assert (held.sender, held.subject) == (f"Brad <{SELLER}>", "Offer 1")
        assert held.reasons == ("score 0.97 ≥ quarantine 0.80",)
        assert held.recipient == ANN
        assert lab.store.recall(SELLER, ANN, "").touches == 1
        (answer,) = lab.store.answers([held.id])
        assert (answer.state, answer.sender, answer.recipient) == ("shadow", SELLER, ANN)
        assert answer.reasons == ("shadow-mode", "not-authenticated")
        assert "Right now is not the right time" in answer.text


async def test_live_and_authenticated_the_answer_is_planned_for_later(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        await lab.send(mail(0.97, extra=AUTHENTICATED))
        (answer,) = lab.store.answers()
        (held,) = lab.store.held()
        assert (answer.state, answer.reasons) == ("planned", ())
        assert answer.due_at is not None
        assert (answer.due_at - held.received_at).total_seconds() >= 20 * 60
        assert b"\r\nAuto-Submitted: auto-replied\r\n" in answer.content


async def test_live_and_unproven_there_is_no_answer(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        await lab.send(mail(0.97))
        (answer,) = lab.store.answers()
        assert (answer.state, answer.reasons) == ("withheld", ("not-authenticated",))
        assert answer.content == b""


async def test_the_same_pitch_again_has_no_second_answer(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        for number in (1, 1, 2):
            await lab.send(mail(0.97, number, extra=AUTHENTICATED))
        states = [(answer.state, answer.reasons) for answer in lab.store.answers()]
        assert states[0] == ("planned", ())
        assert [state for state, _ in states] == ["planned", "withheld", "withheld"]
        assert "answered-before" in states[1][1]
        assert states[2][1] == ("answered-recently",)


async def test_many_deliveries_at_once_reserve_one_answer(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        pitch = mail(0.97, extra=AUTHENTICATED)
        codes = await asyncio.gather(*(lab.send(pitch) for _ in range(8)))
        assert codes == [(250, {})] * 8
        assert len(lab.held_files()) == len(lab.store.held()) == 8
        assert [a.state for a in lab.store.answers()].count("planned") == 1


async def test_one_mail_to_two_of_us_has_one_answer(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        await lab.send(mail(0.97, to=f"{ANN}, {BOB}", extra=AUTHENTICATED), ANN, BOB)
        answers = {answer.recipient: answer for answer in lab.store.answers()}
        assert (answers[ANN].state, answers[BOB].state) == ("planned", "withheld")
        assert answers[BOB].reasons == ("answered-before",)
        assert answers[BOB].content == b""


async def test_and_also_when_it_comes_in_two_transactions(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        pitch = mail(0.97, to=f"{ANN}, {BOB}", extra=AUTHENTICATED)
        await lab.send(pitch, ANN)
        await lab.send(pitch, BOB)
        assert [answer.state for answer in lab.store.answers()] == ["planned", "withheld"]


async def test_recipients_of_one_mail_may_differ(tmp_path: Path) -> None:
    async with running(tmp_path, recipients=[LENIENT]) as lab:
        assert await lab.send(mail(0.97), ANN, BOB) == (250, {})
        assert [mail.recipient for mail in lab.store.held()] == [ANN]
        ((_, recipients, content),) = lab.hop.mails
        assert recipients == [BOB]
        assert content.startswith(b"X-Raincheck: pass; score=0.97")
        assert content.endswith(mail(0.97))


async def test_copies_that_differ_go_in_transactions_of_their_own(tmp_path: Path) -> None:
    async with running(tmp_path, recipients=[LENIENT]) as lab:
        assert await lab.send(mail(0.6), ANN, BOB) == (250, {})
        marks = {to[0]: content.split(b";")[0] for _, to, content in lab.hop.mails}
        assert marks == {ANN: b"X-Raincheck: pitch", BOB: b"X-Raincheck: pass"}


async def test_what_only_some_got_comes_again_and_nobody_gets_it_twice(tmp_path: Path) -> None:
    async with running(tmp_path, recipients=[LENIENT]) as lab:
        lab.hop.data_replies = ["250 2.0.0 Ok", "452 4.2.2 Bob is full"]
        assert await lab.send(mail(0.6), ANN, BOB) == (452, {})
        assert await lab.send(mail(0.6), ANN, BOB) == (250, {})
        assert sorted(to[0] for _, to, _ in lab.hop.mails) == [ANN, BOB]


async def test_forged_fields_are_removed(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.1, extra="X-Raincheck: pass;\r\n folded\r\nx-raincheck-x: y\r\n"))
        ((_, _, content),) = lab.hop.mails
        assert content.endswith(mail(0.1))
        assert content.lower().count(b"x-raincheck") == 1


async def test_a_mail_that_goes_in_circles_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        loop = "Received: by here\r\n" * 101
        assert await lab.send(mail(0.1, extra=loop)) == (554, {})
        assert await lab.send(mail(0.1, extra="Received: by here\r\n" * 99)) == (250, {})


async def test_a_bounce_passes_whatever_its_score(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await lab.send(mail(0.99), sender="") == (250, {})
        ((sender, _, content),) = lab.hop.mails
        assert sender == ""
        assert content.startswith(b"X-Raincheck: pass; score=0.99")


async def test_whom_you_know_is_delivered_and_whom_you_block_is_held(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        lab.store.set_contact("@growth.example", "known", "test")
        await lab.send(mail(0.99))
        assert len(lab.hop.mails) == 1
        lab.store.set_contact(SELLER, "blocked", "test")
        await lab.send(mail(0.01, 2))
        (held,) = lab.store.held()
        (answer,) = lab.store.answers([held.id])
        assert answer.reasons == ("blocked-sender",)


async def test_an_empty_mail_is_delivered(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await lab.send(b"") == (250, {})
        assert len(lab.hop.mails) == 1


async def test_released_is_let_through_though_every_mail_has_its_own_return_path(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99, 1), sender="bounce+1@list.example")
        (held,) = lab.store.held()
        lab.store.claim_release(held.id)
        lab.store.finish_release(held.id)
        await lab.send(mail(0.99, 2), sender="bounce+2@list.example")
        assert lab.store.held() == []
        assert len(lab.hop.mails) == 1


async def test_a_blocked_author_is_held_whatever_the_return_path(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        lab.store.set_contact(SELLER, "blocked", "test")
        lab.store.set_contact("bounce+1@list.example", "allowed", "test")
        await lab.send(mail(0.01, 1), sender="bounce+1@list.example")
        assert len(lab.store.held()) == 1


async def test_nor_when_it_comes_again_for_one_of_them_alone(tmp_path: Path) -> None:
    async with running(tmp_path, recipients=[LENIENT]) as lab:
        lab.hop.data_replies = ["250 2.0.0 Ok", "452 4.2.2 Bob is full"]
        assert await lab.send(mail(0.6), ANN, BOB) == (452, {})
        lab.hop.rcpt[BOB] = "550 5.1.1 No Bob any more"
        code, refused = await lab.send(mail(0.6), ANN, BOB)
        assert (code, list(refused)) == (250, [BOB])
        assert [to for _, to, _ in lab.hop.mails] == [[ANN]]


async def test_without_a_message_id_a_mail_is_known_by_its_octets(tmp_path: Path) -> None:
    async with running(tmp_path, **LIVE) as lab:
        pitch = mail(0.97, to=f"{ANN}, {BOB}", extra=AUTHENTICATED)
        pitch = pitch.replace(b"Message-ID: <1@growth.example>\r\n", b"")
        for recipient in (ANN, BOB):
            await lab.send(pitch, recipient)
        answers = [(answer.state, answer.reasons) for answer in lab.store.answers()]
        assert answers == [("planned", ()), ("withheld", ("answered-before",))]


class Unsure(ScoreField):
    """Cannot judge the first mail it sees."""

    seen = 0

    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        self.seen += 1
        if self.seen == 1:
            raise TimeoutError
        return await super().judge(content)


async def test_whoever_has_the_mail_already_is_neither_held_for_nor_answered(
    tmp_path: Path,
) -> None:
    """The first try could not judge the mail and reached one of two recipients."""
    other = {"next_hop": {"kind": "maildir", "path": str(tmp_path / "mail")}}
    (tmp_path / "mail").mkdir()
    (tmp_path / "mail" / BOB).write_text("a file where Bob's folder should be")
    async with running(tmp_path, Unsure(), **LIVE | other) as lab:
        pitch = mail(0.97, to=f"{ANN}, {BOB}", extra=AUTHENTICATED)
        assert await lab.send(pitch, ANN, BOB) == (451, {})
        assert await lab.send(pitch, ANN, BOB) == (250, {})
        assert len(list((tmp_path / "mail" / ANN / "new").iterdir())) == 1
        assert [held.recipient for held in lab.store.held()] == [BOB]
