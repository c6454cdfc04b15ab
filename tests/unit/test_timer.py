"""When a digest is due, and that each mail is shown in one: neither lost nor repeated."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from datetime import UTC, datetime, time, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest
from lab import ANN, BOB, Lab, held, mail, running

from config.settings import Digest, NextHop
from config.units import Endpoint
from gateway.memory.store import StoreError
from gateway.timer import DigestTimer, last_due

BERLIN = Digest(at=time(8), timezone="Europe/Berlin")


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-01-10T07:00:00+00:00", "2026-01-10T07:00:00+00:00"),  # 08:00 in winter
        ("2026-01-10T06:59:59+00:00", "2026-01-09T07:00:00+00:00"),
        ("2026-07-10T06:00:00+00:00", "2026-07-10T06:00:00+00:00"),  # 08:00 in summer
        ("2026-07-10T05:59:59+00:00", "2026-07-09T06:00:00+00:00"),
        ("2026-03-29T05:59:59+00:00", "2026-03-28T07:00:00+00:00"),  # the clocks went forward
        ("2026-03-29T06:00:00+00:00", "2026-03-29T06:00:00+00:00"),
    ],
)
def test_due_once_a_day_in_the_zone(now: str, due: str) -> None:
    assert last_due(BERLIN, datetime.fromisoformat(now)) == datetime.fromisoformat(due)


def test_an_hour_that_the_clocks_skip_is_not_due_before_its_time() -> None:
    early = Digest(at=time(2, 30), timezone="Europe/Berlin")
    now = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)  # 03:00 there, an hour after 01:59
    assert last_due(early, now) <= now


async def sent(lab: Lab, now: datetime) -> list[EmailMessage]:
    """What a timer that looks at this moment sends."""
    before = len(lab.hop.mails)
    timer = DigestTimer(lambda: lab.settings, lab.store)
    count = await timer.send_due(now)
    count += await timer.send_due(now + timedelta(seconds=30))
    mails = [message_from_bytes(raw, policy=policy.default) for _, _, raw in lab.hop.mails[before:]]
    assert count == len(mails)
    return mails


def tomorrow(lab: Lab) -> datetime:
    """Just after the first time a digest is due for what is held now."""
    return last_due(lab.settings.digest, datetime.now(UTC)) + timedelta(days=1, minutes=2)


async def test_it_waits_for_its_hour_and_comes_once(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99, 1))
        await lab.send(mail(0.99, 2, to=BOB), BOB)
        assert await sent(lab, datetime.now(UTC)) == []
        mails = await sent(lab, tomorrow(lab))
        assert sorted(one["To"] for one in mails) == [ANN, BOB]
        assert {one["Subject"] for one in mails} == {"Raincheck: 1 mail held for you"}
        assert {sender for sender, _, _ in lab.hop.mails} == {""}
        assert await sent(lab, tomorrow(lab) + timedelta(days=1)) == []


async def test_only_what_is_new_is_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99, 1))
        (held,) = lab.store.held()
        lab.store.record_digest(ANN, held.received_at + timedelta(microseconds=1), 1)
        assert await sent(lab, tomorrow(lab)) == []
        await lab.send(mail(0.99, 2))
        (digest,) = await sent(lab, tomorrow(lab))
        text = digest.get_body(("plain",))
        assert text is not None
        assert "Offer 2" in text.get_content()
        assert "Offer 1" not in text.get_content()


async def test_a_digest_switched_off_is_not_sent(tmp_path: Path) -> None:
    async with running(tmp_path, digest={"enabled": False}) as lab:
        await lab.send(mail(0.99))
        assert await sent(lab, tomorrow(lab)) == []


async def test_one_refused_for_good_is_not_tried_again_before_the_next_hour(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        lab.hop.data_replies = ["550 5.7.1 No digests here"]
        assert await sent(lab, tomorrow(lab)) == []
        assert len(await sent(lab, tomorrow(lab) + timedelta(days=1))) == 1


async def test_one_refused_for_now_is_tried_again(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        lab.hop.data_replies = ["451 4.2.0 Later"]
        assert len(await sent(lab, tomorrow(lab))) == 1


async def test_a_next_hop_that_is_away_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        away = NextHop(kind="smtp", address=Endpoint("127.0.0.1", 1))
        settings = lab.settings.model_copy(update={"next_hop": away})
        timer = DigestTimer(lambda: settings, lab.store)
        assert await timer.send_due(tomorrow(lab)) == 0
        settings = lab.settings
        assert await timer.send_due(tomorrow(lab)) == 1


@pytest.mark.parametrize("odd", ["a..b@example.com", "ann.@example.com", "jörg@example.com"])
async def test_an_odd_address_does_not_cost_the_others_their_digest(
    tmp_path: Path, odd: str
) -> None:
    async with running(tmp_path) as lab:
        store_held(lab, 1, odd)
        store_held(lab, 2, "zoe@example.com")
        await sent(lab, tomorrow(lab))
        assert sorted(to[0] for _, to, _ in lab.hop.mails) == sorted([odd, "zoe@example.com"])


async def test_a_database_that_cannot_be_written_does_not_repeat_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StoreError("disk full")

    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        monkeypatch.setattr(lab.store, "record_digest", full)
        timer = DigestTimer(lambda: lab.settings, lab.store)
        for _ in range(3):
            await timer.send_due(tomorrow(lab))
        assert len(lab.hop.mails) == 1


async def test_a_digest_whose_reply_was_lost_is_not_repeated(tmp_path: Path) -> None:
    taken = 0

    async def takes_and_hangs_up(reader: StreamReader, writer: StreamWriter) -> None:
        nonlocal taken
        writer.write(b"220 hop\r\n")
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                taken += 1
                break
            writer.write(b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(takes_and_hangs_up, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with running(tmp_path) as lab:
        await lab.send(mail(0.99))
        hop = NextHop(kind="smtp", address=Endpoint("127.0.0.1", port))
        settings = lab.settings.model_copy(update={"next_hop": hop})
        timer = DigestTimer(lambda: settings, lab.store)
        for _ in range(3):
            assert await timer.send_due(tomorrow(lab)) == 0
    server.close()
    await server.wait_closed()
    assert taken == 1


def store_held(lab: Lab, number: int, recipient: str) -> None:
    found = held(number, recipient=recipient, received_at=datetime.now(UTC))
    lab.store.hold([found], (), (), timedelta(days=30))
