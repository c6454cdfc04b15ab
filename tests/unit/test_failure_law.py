"""The failure law, row by row, each provoked over a real socket.

| what fails | what happens |
| parse, judge, recall or decide | delivered unchanged, marked unjudged; nothing held or answered |
| holding | delivered instead |
| the next hop | its code goes back to the client; nothing is kept |
| anything unforeseen | a fixed 451 4.3.0 |
"""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from lab import ANN, BOB, SELLER, Lab, ScoreField, mail, running

from classifier.message import Message
from classifier.verdict import Verdict
from config.settings import Judge
from gateway.envelope import Envelope
from gateway.judging import JudgePool
from gateway.memory.store import Store
from gateway.pipeline import Pipeline
from gateway.relay.client import open_next_hop


class Broken(ScoreField):
    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        raise ZeroDivisionError("db password=hunter2")


class Hanging(ScoreField):
    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        await asyncio.Event().wait()
        raise AssertionError


def damage(tmp_path: Path, statement: str) -> None:
    """Do this to the gateway's database behind its back."""
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute(statement)


def only_delivered(lab: Lab, original: bytes, mark: bytes) -> None:
    """One mail at the next hop, with the mark, octet for octet; nothing held, nothing answered."""
    ((_, recipients, content),) = lab.hop.mails
    assert recipients == [ANN]
    assert content.endswith(original)
    assert content.startswith(b"X-Raincheck: " + mark)
    assert content.count(b"\nReceived:") == 1
    assert lab.held_files() == []
    assert lab.store.held() == []
    assert lab.store.answers() == []


@pytest.mark.parametrize("judges", [Broken(), Hanging()])
async def test_what_cannot_be_judged_is_delivered_unjudged(
    tmp_path: Path, judges: ScoreField
) -> None:
    async with running(tmp_path, judges, judge={"timeout": "1s"}) as lab:
        assert await lab.send(mail(0.99)) == (250, {})
        only_delivered(lab, mail(0.99), b"unjudged; id=")


async def test_a_judging_process_that_hangs_is_killed_and_the_next_mail_is_judged(
    tmp_path: Path,
) -> None:
    # Speaks the frames of a judging process; spins on a mail that says so, where no signal and
    # no thread could stop it.
    child = f"""
import pickle, struct, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import asyncio
from lab import ScoreField
source, sink = sys.stdin.buffer, sys.stdout.buffer
def send(value):
    octets = pickle.dumps(value)
    sink.write(struct.pack(">I", len(octets)) + octets); sink.flush()
send((True, "spinning"))
while header := source.read(4):
    content = source.read(*struct.unpack(">I", header))
    while b"spin" in content:
        pass
    send((True, asyncio.run(ScoreField().judge(content))))
"""
    pool = JudgePool(Judge(), (sys.executable, "-c", child))
    await pool.start()
    try:
        async with running(tmp_path, pool, judge={"timeout": "3s"}) as lab:
            assert await lab.send(mail(0.99, extra="X-Do: spin\r\n")) == (250, {})
            only_delivered(lab, mail(0.99, extra="X-Do: spin\r\n"), b"unjudged; id=")
            await asyncio.sleep(0)
            while not lab.store.held():  # the fresh process may take longer than one mail has
                assert await lab.send(mail(0.99, 2)) == (250, {})
            assert len(lab.held_files()) == 1
    finally:
        await pool.close()


async def test_a_mail_that_cannot_be_recalled_is_delivered_unjudged(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        damage(tmp_path, "ALTER TABLE contacts RENAME TO gone")
        assert await lab.send(mail(0.99)) == (250, {})
        ((_, _, content),) = lab.hop.mails
        assert content.startswith(b"X-Raincheck: unjudged; id=")
        assert lab.held_files() == []


async def test_when_the_folder_cannot_be_written_the_mail_is_delivered(tmp_path: Path) -> None:
    (tmp_path / "quarantine").write_text("a file stands where the folder should be")
    async with running(tmp_path) as lab:
        assert await lab.send(mail(0.99)) == (250, {})
        ((_, _, content),) = lab.hop.mails
        assert content.startswith(b"X-Raincheck: pitch; score=0.9")
        assert content.endswith(mail(0.99))
        assert lab.store.held() == []


async def test_when_the_database_cannot_keep_it_the_mail_is_delivered(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        damage(tmp_path, "ALTER TABLE held RENAME TO gone")
        assert await lab.send(mail(0.99)) == (250, {})
        ((_, _, content),) = lab.hop.mails
        assert content.startswith(b"X-Raincheck: pitch; score=0.9")
        assert lab.held_files() == []


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        ("452 4.3.1 Disk full", 452),
        ("552 5.2.2 Mailbox full", 552),
        ("550 5.7.1 Not this one", 550),
    ],
)
async def test_the_next_hops_code_goes_back_and_nothing_is_kept(
    tmp_path: Path, reply: str, code: int
) -> None:
    async with running(tmp_path) as lab:
        lab.hop.data = reply
        assert await lab.send(mail(0.1)) == (code, {})
        assert lab.hop.mails == []
        assert lab.held_files() == []


async def test_a_refused_recipient_hears_the_next_hops_words(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        lab.hop.rcpt[BOB] = "550 5.1.1 No Bob here"
        assert await lab.send(mail(0.1), ANN, BOB) == (250, {BOB: (550, b"5.1.1 No Bob here")})
        assert [to for _, to, _ in lab.hop.mails] == [[ANN]]


async def test_an_unreachable_next_hop_is_451(tmp_path: Path) -> None:
    async with running(tmp_path, next_hop={"address": "127.0.0.1:1"}) as lab:
        code, _ = await lab.send(mail(0.99))
        assert code == 451
        assert lab.held_files() == []


async def test_held_for_one_and_refused_for_the_other_nothing_is_kept(tmp_path: Path) -> None:
    """The client hears one code for all, so it must be able to come again with all."""
    narrowed = [{"match": BOB, "thresholds": {"tag": 1, "quarantine": 1, "answer": 1}}]
    async with running(tmp_path, recipients=narrowed) as lab:
        lab.hop.data_replies = ["451 4.2.0 Later"]
        assert await lab.send(mail(0.99), ANN, BOB) == (451, {})
        assert (lab.held_files(), lab.store.held(), lab.hop.mails) == ([], [], [])
        assert lab.store.answers() == []
        assert await lab.send(mail(0.99), ANN, BOB) == (250, {})
        assert [mail.recipient for mail in lab.store.held()] == [ANN]
        assert [to for _, to, _ in lab.hop.mails] == [[BOB]]


async def test_the_unforeseen_is_a_fixed_451(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path) as lab:

        def forbidden(*_: object) -> frozenset[str]:
            raise RuntimeError("db password=hunter2 refused")

        monkeypatch.setattr(Store, "delivered", forbidden)
        reader, writer = await asyncio.open_connection("127.0.0.1", lab.port)
        writer.write(b"EHLO c\r\nMAIL FROM:<s@x.example>\r\n")
        writer.write(f"RCPT TO:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n".encode())
        writer.write(mail(0.1) + b".\r\nQUIT\r\n")
        said = (await reader.read()).decode()
        writer.close()
        await writer.wait_closed()
        assert "451 4.3.0 Temporary local problem, please try again later\r\n221" in said
        assert "hunter2" not in said
        assert lab.hop.mails == []


async def test_when_the_disk_of_the_folder_is_gone_midway_nothing_is_lost(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await lab.send(mail(0.99, 1)) == (250, {})
        assert len(lab.held_files()) == 1
        shutil.rmtree(lab.folder)
        lab.folder.write_text("not a directory")
        assert await lab.send(mail(0.99, 2)) == (250, {})
        assert [content.endswith(mail(0.99, 2)) for _, _, content in lab.hop.mails] == [True]


async def test_a_mail_cut_off_while_it_is_held_is_not_kept(tmp_path: Path) -> None:
    """The client hears no 250 and comes again, so a copy that stayed would be a second one."""
    async with running(tmp_path) as lab:
        pipeline = Pipeline(lab.settings, ScoreField(), lab.store)
        next_hop = open_next_hop(lab.settings.next_hop, "gateway.example.com")
        transaction = await next_hop.begin()
        now = datetime.now(UTC)
        envelope = Envelope("cut-off", "127.0.0.1", "c", SELLER, (ANN,), now)
        with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")  # the hold waits for its turn
            task = asyncio.create_task(pipeline.process(envelope, mail(0.99), transaction))
            while not lab.held_files():
                await asyncio.sleep(0.01)
            task.cancel()
            await asyncio.sleep(0.01)
            database.execute("COMMIT")
        with pytest.raises(asyncio.CancelledError):
            await task
        await transaction.close()
        await next_hop.close()
        assert lab.store.held() == []
        assert lab.held_files() == []
