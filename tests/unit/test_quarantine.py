from __future__ import annotations

import asyncio
import hashlib
import mailbox
import multiprocessing
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from config.settings import NextHop as Settings
from config.units import Endpoint
from gateway.memory.rows import Answer, HeldMail
from gateway.memory.store import Store
from gateway.quarantine.folder import MaildirFolder
from gateway.quarantine.release import discard, release
from gateway.relay.client import open_next_hop
from gateway.relay.local import MaildirNextHop
from gateway.relay.nexthop import NextHop, NextHopDown
from gateway.relay.responses import Reply

ANN, SAM = "ann@example.com", "sam@seller.example"
NOW = datetime(2026, 3, 3, 9, 30, tzinfo=UTC)
RECEIVED = b"Received: from client.example ([192.0.2.1])\r\n\tby gateway.example.com; today\r\n"
MARK = b"X-Raincheck: pitch; score=0.97; model=m-1; id=t1\r\n"
PREFIX = MARK + RECEIVED
PITCH = (
    b"Received: from seller.example; yesterday\r\nFrom: Sam <sam@seller.example>\r\n"
    b"Subject: =?utf-8?q?Quick_question?=\r\nDKIM-Signature:  v=1;\r\n\t b=abc\r\n\r\n"
    b"..dots\r\n.\r\nEight bits: \xc3\xa4\xff and trailing blanks  \r\n\r\n"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path / 'raincheck.db'}")
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> MaildirFolder:
    return MaildirFolder(tmp_path / "quarantine")


def hold(store: Store, folder: MaildirFolder, original: bytes = PITCH, **changes: Any) -> HeldMail:
    path = folder.store(ANN, PREFIX + original)
    mail = HeldMail(
        id="m1",
        recipient=ANN,
        mail_from=SAM,
        sender="Sam <sam@seller.example>",
        subject="Quick question",
        message_id="<1@seller.example>",
        received_at=NOW,
        score=0.97,
        label="pitch",
        model="m-1",
        reasons=(),
        tactics=(),
        terms=(),
        path=str(path),
        original_offset=len(PREFIX),
        sha256=hashlib.sha256(original).hexdigest(),
        mail_options=("BODY=8BITMIME",),
    )
    mail = replace(mail, **changes)
    answer = Answer(
        id="a1",
        held_id=mail.id,
        sender=mail.mail_from,
        recipient=ANN,
        rung=1,
        template="en/not-now",
        message_id=mail.message_id,
        state="planned",
        reasons=(),
        due_at=NOW,
    )
    store.hold([mail], [answer], [], timedelta(days=30))
    return mail


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def state(store: Store) -> str:
    return store.find("m1")[0].state


class Recorder:
    """An SMTP server that keeps what it takes. `refuse` gives the reply to one command; `abort`
    drops the connection once the final dot is there."""

    def __init__(self, refuse: Mapping[str, str] | None = None, *, abort: bool = False) -> None:
        self.refuse = refuse or {}
        self.abort = abort
        self.mails: list[tuple[str | None, list[str], list[str], bytes | str | None]] = []

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.refuse:
            return self.refuse["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.refuse:
            return self.refuse["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        if "DATA" in self.refuse:
            return self.refuse["DATA"]
        self.mails.append(
            (envelope.mail_from, envelope.rcpt_tos, envelope.mail_options, envelope.content)
        )
        if self.abort and server.transport is not None:
            server.transport.abort()
        return "250 2.0.0 Taken"


@asynccontextmanager
async def smtp_next_hop(recorder: Recorder) -> AsyncIterator[NextHop]:
    loop = asyncio.get_running_loop()
    sessions: list[SMTP] = []

    def protocol() -> SMTP:
        sessions.append(SMTP(recorder, hostname="hop.example", loop=loop))
        return sessions[-1]

    server = await loop.create_server(protocol, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    hop = open_next_hop(Settings(kind="smtp", address=Endpoint(host, port)), "gateway.example.com")
    try:
        yield hop
    finally:
        await hop.close()
        server.close()
        for session in sessions:
            if session.transport is not None:
                session.transport.abort()
            handler = session._handler_coroutine
            if handler is not None:
                await asyncio.wait([handler], timeout=10)


async def test_a_release_hands_over_the_original_octets(
    store: Store, folder: MaildirFolder
) -> None:
    hold(store, folder)
    recorder = Recorder()
    async with smtp_next_hop(recorder) as hop:
        result = await release(store, folder, hop, "m1")
    assert result.released
    assert (result.reply, result.detail) == (
        Reply.of(250, "2.0.0 Taken"),
        "delivered to ann@example.com",
    )
    ((mail_from, recipients, options, content),) = recorder.mails
    assert (mail_from, recipients, options) == (SAM, [ANN], ["BODY=8BITMIME"])
    assert content == RECEIVED + b"X-Raincheck: released; id=m1\r\n" + PITCH
    assert state(store) == "released"
    assert files(folder.root) == []
    assert store.recall(SAM, ANN, "").standing == "allowed"
    assert [answer.state for answer in store.answers()] == ["cancelled"]


@pytest.mark.parametrize(
    "original",
    [
        b"",
        b"no header, no newline",
        b"\r\n\r\n",
        b"X-Raincheck-Like: x\r\n\r\n\x00\xff\n\r.\r\n",
        PITCH,
    ],
)
async def test_any_octets_pass(
    store: Store, folder: MaildirFolder, tmp_path: Path, original: bytes
) -> None:
    hold(store, folder, original)
    assert (await release(store, folder, MaildirNextHop(tmp_path / "mail"), "m1")).released
    (delivered,) = files(tmp_path / "mail")
    assert delivered.read_bytes() == RECEIVED + b"X-Raincheck: released; id=m1\r\n" + original


async def test_the_null_sender_stays_null(store: Store, folder: MaildirFolder) -> None:
    hold(store, folder, mail_from="", mail_options=())
    recorder = Recorder()
    async with smtp_next_hop(recorder) as hop:
        assert (await release(store, folder, hop, "m1")).released
    assert recorder.mails[0][0] in ("", "<>")
    assert store.contacts() == []


@pytest.mark.parametrize("moved", [True, False])
async def test_a_mail_that_was_read_is_released(
    store: Store, folder: MaildirFolder, tmp_path: Path, moved: bool
) -> None:
    path = Path(hold(store, folder).path)
    if moved:
        path.rename(path.parent.parent / "cur" / f"{path.name}:2,S")
    assert (await release(store, folder, MaildirNextHop(tmp_path / "mail"), "m1")).released
    assert files(folder.root) == []


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("code", [450, 550])
async def test_a_refusal_leaves_it_held(
    store: Store, folder: MaildirFolder, command: str, code: int
) -> None:
    mail = hold(store, folder)
    recorder = Recorder({command: f"{code} {code // 100}.7.1 No"})
    async with smtp_next_hop(recorder) as hop:
        result = await release(store, folder, hop, "m1")
        assert (result.outcome, result.reply) == (
            "refused",
            Reply.of(code, f"{code // 100}.7.1 No"),
        )
        assert "still held" in result.detail
        assert state(store) == "held"
        assert store.contacts() == []
        assert folder.read(Path(mail.path)) == PREFIX + PITCH
        recorder.refuse = {}
        assert (await release(store, folder, hop, "m1")).released
    assert len(recorder.mails) == 1


async def test_an_unreachable_next_hop_leaves_it_held(store: Store, folder: MaildirFolder) -> None:
    hold(store, folder)
    async with smtp_next_hop(Recorder()) as hop:
        pass
    result = await release(store, folder, hop, "m1")
    assert result.outcome == "unreachable"
    assert result.reply is not None
    assert result.reply.code == 451
    assert state(store) == "held"


async def test_a_connection_that_breaks_in_data_is_in_doubt(
    store: Store, folder: MaildirFolder
) -> None:
    mail = hold(store, folder)
    recorder = Recorder(abort=True)
    async with smtp_next_hop(recorder) as hop:
        result = await release(store, folder, hop, "m1")
        assert (result.outcome, result.reply) == ("in-doubt", None)
        assert "--again" in result.detail
        assert state(store) == "releasing"
        result = await release(store, folder, hop, "m1")
        assert result.outcome == "unavailable"
        assert "--again" in result.detail
        assert len(recorder.mails) == 1
        # A refusal now says nothing about the first time: it stays in doubt.
        recorder.abort, recorder.refuse = False, {"RCPT": "450 4.2.1 Later"}
        assert (await release(store, folder, hop, "m1", again=True)).outcome == "refused"
        assert state(store) == "releasing"
        recorder.refuse = {}
        assert folder.read(Path(mail.path)) == PREFIX + PITCH
        assert (await release(store, folder, hop, "m1", again=True)).released
    assert state(store) == "released"


async def test_again_takes_an_ordinary_one_too(
    store: Store, folder: MaildirFolder, tmp_path: Path
) -> None:
    hold(store, folder)
    result = await release(store, folder, MaildirNextHop(tmp_path / "mail"), "m1", again=True)
    assert result.released


@pytest.mark.parametrize("fault", ["changed", "cut", "gone"])
async def test_a_damaged_file_is_not_sent(
    store: Store, folder: MaildirFolder, tmp_path: Path, fault: str
) -> None:
    path = Path(hold(store, folder).path)
    if fault == "gone":
        path.unlink()
    else:
        path.write_bytes((PREFIX + PITCH)[:-2] + (b"!!" if fault == "changed" else b""))
    result = await release(store, folder, MaildirNextHop(tmp_path / "mail"), "m1")
    assert result.outcome == "damaged"
    assert "nothing was sent" in result.detail
    assert path.name in result.detail
    assert files(tmp_path / "mail") == []
    assert state(store) == "held"


async def test_what_cannot_be_released(store: Store, folder: MaildirFolder, tmp_path: Path) -> None:
    hop = MaildirNextHop(tmp_path / "mail")
    hold(store, folder)
    for held_id in ("m", "m11", ""):
        result = await release(store, folder, hop, held_id)
        assert (result.outcome, result.mail) == ("unavailable", None)
    assert (await release(store, folder, hop, "m1")).released
    for again in (False, True):
        result = await release(store, folder, hop, "m1", again=again)
        assert (result.outcome, result.detail) == ("unavailable", "it is already released")
    assert len(files(tmp_path / "mail")) == 1


class Faulty:
    """A next hop that fails at one step, or answers so; elsewhere it takes everything."""

    def __init__(self, step: str, how: Exception | Reply | None = None) -> None:
        self.step = step
        self.how = how or NextHopDown(step)
        self.closed = 0

    async def begin(self) -> Faulty:
        self._maybe("begin")
        return self

    async def mail(self, sender: str, options: Sequence[str]) -> Reply:
        return self._maybe("mail")

    async def rcpt(self, recipient: str) -> Reply:
        return self._maybe("rcpt")

    async def data(self, content: bytes) -> Mapping[str, Reply]:
        return {ANN: self._maybe("data")}

    async def capabilities(self) -> Any:
        raise NotImplementedError

    async def close(self) -> None:
        self.closed += 1

    def _maybe(self, step: str) -> Reply:
        if step != self.step:
            return Reply.of(250, "Ok")
        if isinstance(self.how, Exception):
            raise self.how
        return self.how


@pytest.mark.parametrize(
    ("step", "outcome", "stays"),
    [
        ("begin", "unreachable", "held"),
        ("mail", "unreachable", "held"),
        ("rcpt", "unreachable", "held"),
        ("data", "in-doubt", "releasing"),
        ("none", "released", "released"),
    ],
)
async def test_where_the_next_hop_goes_down(
    store: Store, folder: MaildirFolder, step: str, outcome: str, stays: str
) -> None:
    hold(store, folder)
    hop = Faulty(step)
    result = await release(store, folder, hop, "m1")
    assert (result.outcome, state(store)) == (outcome, stays)
    # Asked for, the mail is wanted: "not now" must not follow because the next hop was down.
    assert [answer.state for answer in store.answers()] == ["cancelled"]
    assert store.claim_answer(NOW + timedelta(days=1)) is None
    assert hop.closed == (0 if step == "begin" else 1)


@pytest.mark.parametrize("step", ["mail", "rcpt"])
async def test_what_was_in_doubt_is_not_called_held(
    store: Store, folder: MaildirFolder, step: str
) -> None:
    hold(store, folder)
    assert (await release(store, folder, Faulty("data"), "m1")).outcome == "in-doubt"
    result = await release(store, folder, Faulty(step), "m1", again=True)
    assert (result.outcome, state(store)) == ("unreachable", "releasing")
    assert result.detail.endswith("; its earlier release stays in doubt")
    result = await release(store, folder, Faulty(step, Reply.of(550, "5.7.1 No")), "m1", again=True)
    assert (result.outcome, state(store)) == ("refused", "releasing")
    assert result.detail.endswith("; its earlier release stays in doubt")


async def test_a_fault_of_the_connection_is_not_one_of_the_file(
    store: Store, folder: MaildirFolder
) -> None:
    hold(store, folder)
    with pytest.raises(TimeoutError):
        await release(store, folder, Faulty("data", TimeoutError()), "m1")
    assert state(store) == "releasing"  # and not held, from where it could be sent again


async def test_a_file_that_cannot_be_deleted_does_not_undo_the_release(
    store: Store, folder: MaildirFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(store, folder)

    def fail(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(folder, "remove", fail)
    assert (await release(store, folder, MaildirNextHop(tmp_path / "mail"), "m1")).released
    assert state(store) == "released"
    assert len(files(folder.root)) == 1


async def test_discard(store: Store, folder: MaildirFolder) -> None:
    hold(store, folder)
    dropped = await discard(store, folder, "m1")
    assert dropped is not None
    assert dropped.state == state(store) == "discarded"
    assert files(folder.root) == []
    assert [answer.state for answer in store.answers()] == ["cancelled"]
    assert await discard(store, folder, "m1") is None


async def test_discard_leaves_a_mail_alone_that_is_being_released(
    store: Store, folder: MaildirFolder
) -> None:
    hold(store, folder)
    store.claim_release("m1")
    assert await discard(store, folder, "m1") is None
    assert len(files(folder.root)) == 1


def test_one_readable_maildir_per_recipient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = MaildirFolder(Path("quarantine"))
    paths = [
        folder.store(to, PREFIX + PITCH) for to in (ANN, "ANN@Example.com", "../bob@b.example")
    ]
    assert all(path.is_absolute() for path in paths)
    first, second = sorted((tmp_path / "quarantine").iterdir(), key=lambda path: path.name)
    assert second.name == ANN
    assert first.name.startswith("_._bob@b.example~")
    box = mailbox.Maildir(second, create=False)
    assert [message["From"] for message in box] == ["Sam <sam@seller.example>"] * 2
    folder.remove(paths[0])
    folder.remove(paths[0])
    with pytest.raises(FileNotFoundError):
        folder.read(paths[0])
    assert folder.read(paths[1]) == PREFIX + PITCH


def _release(base: str, barrier: Any, outcomes: Any) -> None:
    here = Path(base)
    store = Store.open(f"sqlite:///{here / 'raincheck.db'}")
    hop = MaildirNextHop(here / "mail")
    barrier.wait(60)
    result = asyncio.run(release(store, MaildirFolder(here / "quarantine"), hop, "m1"))
    outcomes.put(result.outcome)
    store.close()


def test_two_processes_release_one_mail_once(
    store: Store, folder: MaildirFolder, tmp_path: Path
) -> None:
    hold(store, folder)
    spawn = multiprocessing.get_context("spawn")
    barrier, outcomes = spawn.Barrier(2), spawn.SimpleQueue()
    arguments = (str(tmp_path), barrier, outcomes)
    workers = [spawn.Process(target=_release, args=arguments) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(90)
        worker.kill()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert sorted(outcomes.get() for _ in workers) == ["released", "unavailable"]
    outcomes.close()
    assert len(files(tmp_path / "mail")) == 1


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from gateway.memory.store import Store
from gateway.quarantine.folder import MaildirFolder
from gateway.quarantine.release import release
from gateway.relay.local import MaildirNextHop

here = Path(sys.argv[1])
store = Store.open(f"sqlite:///{here / 'raincheck.db'}")
store.finish_release = lambda _: os.kill(os.getpid(), signal.SIGKILL)
hop = MaildirNextHop(here / "mail")
asyncio.run(release(store, MaildirFolder(here / "quarantine"), hop, "m1"))
"""


async def test_a_crash_after_the_hand_over_does_not_deliver_again(
    store: Store, folder: MaildirFolder, tmp_path: Path
) -> None:
    hold(store, folder)
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    assert state(store) == "releasing"
    hop = MaildirNextHop(tmp_path / "mail")
    assert (await release(store, folder, hop, "m1")).outcome == "unavailable"
    assert len(files(tmp_path / "mail")) == 1
    assert (await release(store, folder, hop, "m1", again=True)).released
    assert len(files(tmp_path / "mail")) == 2
