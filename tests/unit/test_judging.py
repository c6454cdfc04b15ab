"""The judging processes: real children, killed when they overrun, replaced when they die."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from config.settings import Judge
from gateway.judging import JudgeFailed, JudgePool, command

PITCH = (
    b"From: brad@growth.example\r\nTo: ann@example.com\r\nSubject: Rank your website first\r\n\r\n"
    b"We are an SEO agency and offer link building, web design and qualified leads.\r\n"
)

CHILD = """
import os, pickle, struct, sys, time
from classifier.message import read
from classifier.verdict import Verdict
source, sink = sys.stdin.buffer, sys.stdout.buffer
def send(value):
    octets = pickle.dumps(value)
    sink.write(struct.pack(">I", len(octets)) + octets)
    sink.flush()
send((True, "child"))
while header := source.read(4):
    content = source.read(*struct.unpack(">I", header))
    if b"die" in content:
        os._exit(3)
    if b"sleep" in content:
        time.sleep(600)
    if b"pause" in content:
        time.sleep(0.5)
    if b"report" in content:
        send((False, "no luck"))
        continue
    send((True, (read(content), Verdict("pitch", 0.5, {}, str(os.getpid())))))
"""


@asynccontextmanager
async def pool(child: str = CHILD, **settings: Any) -> AsyncIterator[JudgePool]:
    judges = JudgePool(Judge.model_validate(settings), (sys.executable, "-c", child))
    await judges.start()
    try:
        yield judges
    finally:
        await judges.close()


async def pid(judges: JudgePool) -> str:
    return (await judges.judge(b"Subject: x\r\n\r\nhello"))[1].model


async def test_a_child_judges_one_mail_after_the_other() -> None:
    async with pool() as judges:
        assert await pid(judges) == await pid(judges)


async def test_children_work_side_by_side() -> None:
    async with pool(processes=2) as judges:
        pids = await asyncio.gather(*(pid(judges) for _ in range(8)))
        assert len(set(pids)) == 2


async def test_a_child_that_dies_is_replaced() -> None:
    async with pool(timeout="30s") as judges:
        before = await pid(judges)
        with pytest.raises(JudgeFailed, match="without an answer"):
            await judges.judge(b"die")
        assert await pid(judges) != before


async def test_a_child_that_says_it_failed_goes_on() -> None:
    async with pool() as judges:
        before = await pid(judges)
        with pytest.raises(JudgeFailed, match="no luck"):
            await judges.judge(b"report")
        assert await pid(judges) == before


async def test_a_child_that_overruns_its_time_is_killed_and_replaced() -> None:
    async with pool(timeout="1s") as judges:
        before = await pid(judges)
        with pytest.raises(JudgeFailed, match="overran"):
            await judges.judge(b"sleep")
        after = None
        while after is None:  # starting a process may take longer than a mail may wait for one
            with contextlib.suppress(JudgeFailed):
                after = await pid(judges)
        assert after != before


async def test_a_mail_nobody_waits_for_costs_no_child() -> None:
    async with pool(timeout="30s") as judges:
        before = await pid(judges)
        task = asyncio.create_task(judges.judge(b"pause"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await pid(judges) == before


async def test_who_waits_too_long_gives_up_its_place() -> None:
    async with pool(timeout="2s") as judges:
        busy = asyncio.create_task(judges.judge(b"sleep"))
        await asyncio.sleep(0)
        with pytest.raises(JudgeFailed, match="every judging process is busy"):
            await judges.judge(b"hello")
        with pytest.raises(JudgeFailed, match="overran"):
            await busy


async def test_closing_ends_a_child_that_is_busy() -> None:
    async with pool(timeout="60s") as judges:
        task = asyncio.create_task(judges.judge(b"sleep"))
        await asyncio.sleep(0.1)
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_size_is_that_of_the_whole_mail() -> None:
    judges = JudgePool(Judge(parse_limit=100), (sys.executable, "-c", CHILD))
    await judges.start()
    try:
        message, _ = await judges.judge(b"Subject: x\r\n\r\n" + b"a" * 500)
        assert message.size == 514
    finally:
        await judges.close()


async def test_a_child_that_cannot_start_says_why() -> None:
    judges = JudgePool(Judge(model="/nowhere/model"))  # type: ignore[arg-type]
    with pytest.raises(JudgeFailed, match=r"/nowhere/.*raincheck model train"):
        await judges.start()
    await judges.close()


async def test_the_real_child_judges_with_the_shipped_model() -> None:
    judges = JudgePool(Judge(parse_limit=1000), command(Judge(parse_limit=1000)))
    await judges.start()
    try:
        message, verdict = await judges.judge(PITCH)
        assert (message.subject, message.parse) == ("Rank your website first", "ok")
        assert verdict.score > 0.5
        assert abs(sum(verdict.probabilities.values()) - 1) < 1e-6
        empty, verdict = await judges.judge(b"")
        assert verdict.score < 0.5
        assert empty.size == 0
        long, _ = await judges.judge(PITCH + b"more of it\r\n" * 200)
        assert long.parse == "partial"
    finally:
        await judges.close()


async def test_what_lies_in_the_working_directory_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('imported from here')")
    monkeypatch.chdir(tmp_path)
    judges = JudgePool(Judge())
    await judges.start()
    await judges.close()


def test_a_child_that_spins_ends_by_itself_when_its_worker_is_gone() -> None:
    """No worker is left to kill it, and it never comes back to see the end of its input."""
    spin = """
from gateway import judge_process
judge_process.GRACE_SECONDS = 0.0
def spin(*_):
    while True:
        pass
judge_process.read = spin
judge_process.main("", "1000", "0.2")
"""
    mail = struct.pack(">I", 5) + b"hello"
    done = subprocess.run([sys.executable, "-c", spin], input=mail, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGPROF
