"""The outbox over real sockets and a real database: what stands on the wire, and at most once."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme
from occasions import NOW, OURS, SENDER, from_, occasion
from pydantic import SecretStr
from smarthosts import DROP, real_host, scripted_host
from store_rows import held_mail

from config.settings import Answers
from config.units import Endpoint
from gateway.memory.rows import Answer
from gateway.memory.store import Store
from gateway.outbox import handover
from gateway.outbox.handover import Patience
from gateway.outbox.sender import MAX_ATTEMPTS, Outbox
from replies.courtesy import decide
from replies.render import compose

HOST = "gateway.example.com"
PATIENCE = Patience(command=5, final=5)
NOWHERE = Endpoint("127.0.0.1", 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/raincheck.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def server_tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def answer(number: int = 1, sender: str = SENDER, **changes: Any) -> Answer:
    case = occasion(from_(sender), sender=sender, smtputf8=True, now=NOW)
    composed = compose(case, decide(case), "Alex Example", f"answer-{number}", HOST)
    base = Answer(
        id=f"answer-{number}",
        held_id=f"held-{number}",
        sender=sender,
        recipient=OURS,
        rung=1,
        template="en/not-now",
        message_id=f"<pitch-{number}@seller.example>",
        state="planned",
        reasons=(),
        subject=composed.subject,
        text=composed.text,
        content=composed.content,
        due_at=NOW - timedelta(minutes=1),
    )
    return replace(base, **changes)


def plan(store: Store, *answers: Answer) -> None:
    mails = [held_mail(one.held_id, mail_from=one.sender, recipient=OURS) for one in answers]
    store.hold(mails, answers, [], timedelta(days=7))
    assert [kept.state for kept in store.answers()] == ["planned"] * len(answers)


def live(smart_host: Endpoint = NOWHERE, **changes: Any) -> Answers:
    return Answers(**{"mode": "live", "smart_host": smart_host, "tls": "off", **changes})


def outbox(store: Store, settings: Answers, **options: Any) -> Outbox:
    return Outbox(store, lambda _: settings, HOST, patience=PATIENCE, **options)


def only(store: Store) -> Answer:
    (kept,) = store.answers()
    return kept


def answered(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# On the wire


async def test_a_due_answer_is_sent_with_a_null_sender_and_no_reports(store: Store) -> None:
    planned = answer()
    plan(store, planned)
    async with real_host("DSN") as (address, record):
        assert await outbox(store, live(address)).send_due(NOW) == 1
    assert record.commands == [
        f"EHLO {HOST}",
        "MAIL FROM:<>",
        f"RCPT TO:<{SENDER}> NOTIFY=NEVER",
    ]
    assert record.contents == [planned.content]
    assert only(store).state == "sent"


async def test_every_octet_of_the_conversation(store: Store) -> None:
    content = answer().content.replace(b"Happy", b".\r\n..\r\n.Happy")
    plan(store, answer(content=content))
    async with scripted_host() as (address, host):
        assert await outbox(store, live(address)).send_due(NOW) == 1
    assert b"".join(host.wire) == (
        f"EHLO {HOST}\r\nMAIL FROM:<>\r\nRCPT TO:<{SENDER}> NOTIFY=NEVER\r\nDATA\r\n".encode()
        + content.replace(b"\r\n.", b"\r\n..")
        + b".\r\nQUIT\r\n"
    )


async def test_no_dsn_parameter_where_none_is_offered(store: Store) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        assert await outbox(store, live(address)).send_due(NOW) == 1
    assert record.commands[-1] == f"RCPT TO:<{SENDER}>"


@pytest.mark.parametrize("mode", ["opportunistic", "required"])
async def test_starttls_and_login(
    store: Store, server_tls: ssl.SSLContext, ca_file: Path, mode: str
) -> None:
    plan(store, answer())
    async with real_host("DSN", tls=server_tls, password=b"secret") as (address, record):
        settings = live(
            address, tls=mode, tls_ca=ca_file, username="gw", password=SecretStr("secret")
        )
        assert await outbox(store, settings).send_due(NOW) == 1
    assert record.tls == [True]
    assert record.logins == [(b"gw", b"secret")]
    # Greeted again after STARTTLS: what was offered in clear counts for nothing (RFC 3207 §4.2).
    assert record.commands[:2] == [f"EHLO {HOST}"] * 2
    assert record.commands[-1].endswith("NOTIFY=NEVER")


async def test_login_without_tls_on_this_machine_only(store: Store) -> None:
    plan(store, answer())
    async with real_host(password=b"secret") as (address, record):
        settings = live(address, username="gw", password=SecretStr("secret"))
        assert await outbox(store, settings).send_due(NOW) == 1
    assert record.logins == [(b"gw", b"secret")]


async def test_a_wrong_password_is_worth_another_try(
    store: Store, server_tls: Any, ca_file: Path
) -> None:
    plan(store, answer())
    async with real_host(tls=server_tls, password=b"secret") as (address, record):
        settings = live(
            address, tls="required", tls_ca=ca_file, username="gw", password=SecretStr("old")
        )
        assert await outbox(store, settings).send_due(NOW) == 0
    assert record.contents == []
    assert only(store).state == "planned"
    assert only(store).last_error.startswith("535 ")


async def test_a_password_never_leaves_this_machine_in_clear(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The only host a test can reach is this one; let it count as another.
    monkeypatch.setattr(handover, "_is_loopback", lambda _: False)
    plan(store, answer())
    async with real_host(password=b"secret") as (address, record):
        settings = live(address, tls="opportunistic", username="gw", password=SecretStr("secret"))
        assert await outbox(store, settings).send_due(NOW) == 0
    assert record.logins == []
    assert only(store).state == "planned"
    assert "no TLS" in only(store).last_error


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("::1", True), ("LocalHost", True), ("192.0.2.1", False), ("mx", False)],
)
def test_is_loopback(host: str, loopback: bool) -> None:
    assert handover._is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("tls", "ca", "username", "verified"),
    [
        ("opportunistic", False, "", False),
        ("opportunistic", True, "", True),
        ("opportunistic", False, "gw", True),
        ("required", False, "", True),
        ("required", True, "", True),
    ],
)
def test_when_the_certificate_must_be_right(
    ca_file: Path, tls: str, ca: bool, username: str, verified: bool
) -> None:
    elsewhere = Endpoint("smtp.example.org", 587)
    settings = live(elsewhere, tls=tls, tls_ca=ca_file if ca else None, username=username)
    context = handover._tls(settings)
    assert context is not None
    assert context.check_hostname is verified
    assert (context.verify_mode == ssl.CERT_REQUIRED) is verified


def test_no_tls_context_without_tls() -> None:
    assert handover._tls(live()) is None


async def test_opportunistic_takes_any_certificate(
    store: Store, server_tls: ssl.SSLContext
) -> None:
    plan(store, answer())
    async with real_host(tls=server_tls) as (address, record):
        assert await outbox(store, live(address, tls="opportunistic")).send_due(NOW) == 1
    assert record.tls == [True]


async def test_required_takes_no_unknown_certificate(
    store: Store, server_tls: ssl.SSLContext
) -> None:
    plan(store, answer())
    async with real_host(tls=server_tls) as (address, record):
        assert await outbox(store, live(address, tls="required")).send_due(NOW) == 0
    assert record.contents == []
    assert only(store).state == "planned"


async def test_required_sends_nothing_without_tls(store: Store, ca_file: Path) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        settings = live(address, tls="required", tls_ca=ca_file)
        assert await outbox(store, settings).send_due(NOW) == 0
    assert record.contents == []
    assert only(store).state == "planned"


async def test_a_ca_file_that_is_missing(store: Store, tmp_path: Path) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        settings = live(address, tls="required", tls_ca=tmp_path / "none.pem")
        assert await outbox(store, settings).send_due(NOW) == 0
    assert record.commands == []
    assert only(store).state == "planned"


ZOE = "zoë@bücher.example"


async def test_an_international_address_with_smtputf8(store: Store) -> None:
    plan(store, answer(sender=ZOE))
    async with real_host(utf8=True) as (address, record):
        assert await outbox(store, live(address)).send_due(NOW) == 1
    assert record.commands[1:] == ["MAIL FROM:<> SMTPUTF8", f"RCPT TO:<{ZOE}>"]


async def test_an_international_address_without_smtputf8(store: Store) -> None:
    plan(store, answer(sender=ZOE))
    async with real_host() as (address, record):
        assert await outbox(store, live(address)).send_due(NOW) == 0
    assert record.commands == [f"EHLO {HOST}"]
    assert only(store).state == "failed"


@pytest.mark.parametrize(
    "changes",
    [
        {"sender": "a@b.example> NOTIFY=SUCCESS"},
        {"sender": "a@b.example\r\nRCPT TO:<x@y.example>"},
        {"sender": ""},
        {"content": b""},
        {"content": b"cut off"},
    ],
)
async def test_what_should_not_stand_in_the_row_is_not_sent(
    store: Store, changes: dict[str, Any]
) -> None:
    plan(store, replace(answer(), **changes))
    async with real_host() as (address, record):
        assert await outbox(store, live(address)).send_due(NOW) == 0
    assert record.commands == []
    assert only(store).state == "failed"


# What became of it

AGAIN, NEVER, DOUBT = "planned", "failed", "in-doubt"


@pytest.mark.parametrize(
    ("step", "reply", "state"),
    [
        ("greeting", b"421 Busy", AGAIN),
        ("greeting", b"554 No", AGAIN),  # about us, not about this answer
        ("greeting", DROP, AGAIN),
        ("greeting", b"hello", AGAIN),
        ("EHLO", b"421 Busy", AGAIN),
        ("EHLO", DROP, AGAIN),
        ("MAIL", b"451 Later", AGAIN),
        ("MAIL", b"421 Busy", AGAIN),
        ("MAIL", b"550 No", NEVER),
        ("MAIL", b"354 What", AGAIN),
        ("MAIL", DROP, AGAIN),
        ("RCPT", b"450 Later", AGAIN),
        ("RCPT", b"550 No such user", NEVER),
        ("RCPT", DROP, AGAIN),
        ("DATA", b"451 Later", AGAIN),
        ("DATA", b"554 No", NEVER),
        ("DATA", b"250 What", AGAIN),
        ("DATA", DROP, AGAIN),
        ("dot", b"451 Later", AGAIN),
        ("dot", b"550 Spam", NEVER),
        ("dot", b"354 What", DOUBT),
        ("dot", b"what", DOUBT),
        ("dot", DROP, DOUBT),
    ],
)
async def test_a_failure_at_each_step(store: Store, step: str, reply: bytes, state: str) -> None:
    plan(store, answer())
    async with scripted_host(**{step: reply}) as (address, host):
        assert await outbox(store, live(address)).send_due(NOW) == 0
        assert host.connections == 1
    kept = only(store)
    assert kept.state == state
    assert kept.last_error
    assert kept.attempts == 1
    assert kept.due_at == (NOW + timedelta(minutes=15) if state == AGAIN else answer().due_at)


@pytest.mark.parametrize("reply", [b"221 Bye", b"500 What", DROP, b"bye"])
async def test_a_bad_good_bye_changes_nothing(store: Store, reply: bytes) -> None:
    plan(store, answer())
    async with scripted_host(QUIT=reply) as (address, _):
        assert await outbox(store, live(address)).send_due(NOW) == 1
    assert only(store).state == "sent"


@pytest.mark.parametrize(("step", "state"), [("DATA", AGAIN), ("dot", DOUBT)])
async def test_silence(store: Store, step: str, state: str) -> None:
    plan(store, answer())
    async with scripted_host(**{step: None}) as (address, host):
        box = Outbox(
            store, lambda _: live(address), HOST, patience=Patience(command=0.2, final=0.2)
        )
        assert await box.send_due(NOW) == 0
        assert host.silent.is_set()
    assert only(store).state == state


async def test_an_unreachable_smart_host(store: Store) -> None:
    plan(store, answer())
    assert await outbox(store, live()).send_due(NOW) == 0
    kept = only(store)
    assert kept.state == "planned"
    assert "ConnectError" in kept.last_error


async def test_what_the_smart_host_says_is_kept_on_one_line(store: Store) -> None:
    plan(store, answer())
    reply = b"550-No\r\n550 \x1b[31m" + b"x" * 500
    async with scripted_host(RCPT=reply) as (address, _):
        await outbox(store, live(address)).send_due(NOW)
    error = only(store).last_error
    assert error.startswith("550 No ")
    assert error.isprintable()
    assert len(error) < 220


async def test_tries_are_bounded_and_further_apart_each_time(store: Store) -> None:
    plan(store, answer())
    now, waits = NOW, []
    async with scripted_host(MAIL=b"451 Later") as (address, host):
        for _ in range(MAX_ATTEMPTS):
            await outbox(store, live(address)).send_due(now)
            due_at = only(store).due_at
            assert due_at is not None
            waits.append(due_at - now)
            now = max(due_at, now)
        assert only(store).state == "failed"
        await outbox(store, live(address)).send_due(now + timedelta(days=30))
        assert host.connections == MAX_ATTEMPTS
    # 4 h after 11:45 is 15:45; 4 h after that lies beyond 17:00: the next morning.
    assert waits[:4] == [
        timedelta(minutes=15),
        timedelta(hours=1),
        timedelta(hours=4),
        timedelta(hours=17, minutes=15),
    ]


# At most once


async def test_the_claim_is_committed_before_connecting(store: Store, tmp_path: Path) -> None:
    plan(store, answer())
    seen: list[str] = []
    other = Store.open(f"sqlite:///{tmp_path}/raincheck.db")
    async with scripted_host(lambda: seen.append(only(other).state)) as (address, _):
        await outbox(store, live(address)).send_due(NOW)
    other.close()
    assert seen == ["sending"]


async def test_what_is_in_doubt_is_never_sent_again(store: Store) -> None:
    plan(store, answer())
    async with scripted_host(dot=DROP) as (address, host):
        await outbox(store, live(address)).send_due(NOW)
        for days in range(1, 10):
            await outbox(store, live(address)).send_due(NOW + timedelta(days=days))
        assert host.connections == 1
    assert only(store).state == "in-doubt"


async def test_a_hand_over_cut_off_by_the_end_of_the_process(store: Store) -> None:
    plan(store, answer())
    async with scripted_host(dot=None) as (address, host):
        running = asyncio.create_task(outbox(store, live(address), clock=lambda: NOW).run(idle()))
        await asyncio.wait_for(host.silent.wait(), 10)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert only(store).state == "sending"
        await run_once(outbox(store, live(address), clock=lambda: NOW), store, "in-doubt")
        assert host.connections == 1


def idle() -> asyncio.Event:
    return asyncio.Event()


async def run_once(box: Outbox, store: Store, state: str) -> None:
    """Run until the only answer is in this state."""
    stop = asyncio.Event()
    running = asyncio.create_task(box.run(stop))
    async with asyncio.timeout(10):
        while only(store).state != state:
            await asyncio.sleep(0.01)
    stop.set()
    await running


async def test_two_outboxes_on_one_store_send_each_answer_once(store: Store) -> None:
    senders = [f"jane{number}@seller.example" for number in range(6)]
    plan(store, *(answer(number, sender) for number, sender in enumerate(senders)))
    async with real_host() as (address, record):
        boxes = [outbox(store, live(address)) for _ in range(3)]
        sent = await asyncio.gather(*(box.send_due(NOW) for box in boxes))
    assert sum(sent) == len(senders)
    recipients = [command for command in record.commands if command.startswith("RCPT")]
    assert sorted(recipients) == [f"RCPT TO:<{sender}>" for sender in senders]


@pytest.mark.parametrize(
    "decide_so",
    [
        lambda store: store.claim_release("held-1"),
        lambda store: store.discard("held-1"),
        lambda store: store.set_contact(SENDER, "allowed", "cli"),
    ],
)
async def test_decided_about_during_a_hand_over_that_is_put_off(
    store: Store, tmp_path: Path, decide_so: Callable[[Store], object]
) -> None:
    plan(store, answer())
    other = Store.open(f"sqlite:///{tmp_path}/raincheck.db")
    async with scripted_host(lambda: decide_so(other), dot=b"451 Later") as (address, host):
        with structlog.testing.capture_logs() as logged:
            await outbox(store, live(address)).send_due(NOW)
        await outbox(store, live(address)).send_due(NOW + timedelta(days=1))
        assert host.connections == 1
    other.close()
    assert (only(store).state, only(store).last_error) == ("cancelled", "451 Later")
    assert [line["event"] for line in logged] == ["answer-cancelled"]


# When


@pytest.mark.parametrize("mode", ["off", "shadow"])
async def test_nothing_leaves_unless_live(store: Store, mode: str) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        assert await outbox(store, live(address, mode=mode)).send_due(NOW) == 0
        assert only(store).state == "cancelled"
        assert mode in only(store).last_error
        assert await outbox(store, live(address)).send_due(NOW + timedelta(days=1)) == 0
    assert record.commands == []


async def test_the_mode_is_asked_for_at_the_moment_of_sending(store: Store) -> None:
    plan(store, answer(1), answer(2, "joe@other.example"))
    async with real_host() as (address, record):
        settings = {OURS: live(address)}

        def present(recipient: str) -> Answers:
            now = settings[recipient]
            settings[recipient] = live(address, mode="off")
            return now

        assert await Outbox(store, present, HOST, patience=PATIENCE).send_due(NOW) == 1
    assert len(record.contents) == 1
    assert {kept.state for kept in store.answers()} == {"sent", "cancelled"}


async def test_what_is_not_due_waits(store: Store) -> None:
    plan(store, answer(due_at=NOW + timedelta(minutes=1)))
    assert await outbox(store, live()).send_due(NOW) == 0
    assert only(store).state == "planned"
    assert only(store).attempts == 0


@pytest.mark.parametrize(
    ("now", "due_at"),
    [
        ("2026-03-05 02:00", "2026-03-05 09:00"),  # the gateway was down and starts at night
        ("2026-03-07 12:00", "2026-03-09 09:00"),
        ("2026-03-05 17:00", "2026-03-06 09:00"),
    ],
)
async def test_an_overdue_answer_waits_for_working_hours(
    store: Store, now: str, due_at: str
) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        assert await outbox(store, live(address)).send_due(answered(now)) == 0
        assert record.commands == []
        assert only(store).due_at == answered(due_at)
        assert await outbox(store, live(address)).send_due(answered(due_at)) == 1


async def test_the_hours_are_those_of_the_senders_zone(store: Store) -> None:
    west = re.sub(rb"Date: [^\r]*", b"Date: Wed, 04 Mar 2026 09:00:00 -0800", answer().content)
    plan(store, answer(content=west))
    assert await outbox(store, live()).send_due(NOW) == 0  # 02:30 there
    assert only(store).due_at == answered("2026-03-04 17:00")


# The loop


async def test_the_loop_sends_what_is_due_and_stops(store: Store) -> None:
    plan(store, answer())
    async with real_host() as (address, record):
        await run_once(outbox(store, live(address), clock=lambda: NOW), store, "sent")
    assert len(record.contents) == 1


async def test_the_loop_comes_round_again(store: Store) -> None:
    plan(store, answer(due_at=NOW + timedelta(minutes=1)))
    times = iter([NOW])
    async with real_host() as (address, _):
        box = outbox(
            store,
            live(address),
            poll=0.01,
            clock=lambda: next(times, NOW + timedelta(minutes=2)),
        )
        await run_once(box, store, "sent")


async def test_asked_to_stop_the_loop_finishes_one_hand_over_and_no_more(store: Store) -> None:
    plan(store, answer(1), answer(2, "joe@other.example"))
    stop = asyncio.Event()
    async with scripted_host(stop.set) as (address, host):
        await asyncio.wait_for(outbox(store, live(address), clock=lambda: NOW).run(stop), 10)
        assert host.connections == 1
    assert sorted(kept.state for kept in store.answers()) == ["planned", "sent"]


async def test_a_stopped_loop_sends_nothing(store: Store) -> None:
    plan(store, answer())
    stop = asyncio.Event()
    stop.set()
    await outbox(store, live(), clock=lambda: NOW).run(stop)
    assert only(store).state == "planned"


async def test_a_failing_database_does_not_end_the_loop(store: Store, tmp_path: Path) -> None:
    plan(store, answer())
    rename(tmp_path, "answers", "mislaid")
    rounds: list[datetime] = []

    def clock() -> datetime:
        rounds.append(NOW)
        if len(rounds) == 3:
            rename(tmp_path, "mislaid", "answers")
        return NOW

    async with real_host() as (address, record):
        stop = asyncio.Event()
        running = asyncio.create_task(
            outbox(store, live(address), poll=0.01, clock=clock).run(stop)
        )
        await asyncio.wait_for(record.arrived.wait(), 10)
        stop.set()
        await running
    assert len(rounds) >= 3
    assert only(store).state == "sent"


def rename(folder: Path, table: str, other: str) -> None:
    connection = sqlite3.connect(folder / "raincheck.db")
    connection.execute(f"ALTER TABLE {table} RENAME TO {other}")
    connection.commit()
    connection.close()
