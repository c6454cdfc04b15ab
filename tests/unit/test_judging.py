"""The judging processes: real children, killed when they overrun, replaced when they die."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

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
    if b"report" in content:
        send((False, "no luck"))
        continue
    send((True, (read(content), Verdict("pitch", 0.5, {}, str(os.getpid())))))
"""


@asynccontextmanager
async def pool(child: str = CHILD, processes: int = 1) -> AsyncIterator[JudgePool]:
    judges = JudgePool(Judge(processes=processes), (sys.executable, "-c", child))
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


@pytest.mark.parametrize(
    ("content", "why"), [(b"die", "without an answer"), (b"report", "no luck")]
)
async def test_a_failure_is_told_and_the_next_mail_is_judged(content: bytes, why: str) -> None:
    async with pool() as judges:
        before = await pid(judges)
        with pytest.raises(JudgeFailed, match=why):
            await judges.judge(content)
        assert await pid(judges) != before


async def test_an_overrun_child_is_killed_and_replaced() -> None:
    async with pool() as judges:
        before = await pid(judges)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await judges.judge(b"sleep")
        assert await pid(judges) != before


async def test_closing_ends_a_child_that_is_busy() -> None:
    async with pool() as judges:
        task = asyncio.create_task(judges.judge(b"sleep"))
        await asyncio.sleep(0)
    with pytest.raises(JudgeFailed):
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
    with pytest.raises(JudgeFailed, match=r"/nowhere/model.*raincheck model train"):
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
