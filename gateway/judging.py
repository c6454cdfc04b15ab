"""Reading and judging in child processes, so that one mail can never hold up the relay.

A thread cannot be stopped, and a regular expression gone wild holds the interpreter lock: only a
process can be killed. Each worker keeps a few children (`[judge] processes`); one that overruns
its time or dies is killed and replaced, and its mail goes on unjudged.

Frames on the pipes are a 4-byte length and that many octets: the mail on the way in, a pickle of
our own values on the way back. Raises JudgeFailed, nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import struct
import sys
from dataclasses import replace
from typing import Any

import structlog

from classifier.message import Message
from classifier.verdict import Verdict
from config.settings import Judge

log = structlog.get_logger()

FRAME = struct.Struct(">I")
RESTART_SECONDS = 1.0
WAITING_SHARE = 0.5
"""Of a mail's time, what it may wait for a free child. Who waits longer gives up its place, so
that under too much load those who get one still have the time to be judged."""


class JudgeFailed(Exception):
    """A judge could not be started, died, overran its time, had no time, or reported an error."""


class _Reported(JudgeFailed):
    """The child said that it failed, and is ready for the next mail."""


class _Child:
    """One judging process. It takes one mail at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        if process.stdin is None or process.stdout is None:
            raise JudgeFailed("the judging process has no pipes")
        self._process, self._stdin, self._stdout = process, process.stdin, process.stdout
        self.model = ""

    @classmethod
    async def start(cls, command: tuple[str, ...]) -> _Child:
        pipe = asyncio.subprocess.PIPE
        child = cls(await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe))
        try:
            child.model = await child._receive()
        except BaseException:
            await child.kill()
            raise
        return child

    async def ask(self, content: bytes) -> tuple[Message, Verdict]:
        with contextlib.suppress(ConnectionError):  # a dead child shows when we read
            self._stdin.write(FRAME.pack(len(content)) + content)
            await self._stdin.drain()
        message, verdict = await self._receive()
        return message, verdict

    async def _receive(self) -> Any:
        try:
            (length,) = FRAME.unpack(await self._stdout.readexactly(FRAME.size))
            octets = await self._stdout.readexactly(length)
        except asyncio.IncompleteReadError as error:
            raise JudgeFailed("the judging process ended without an answer") from error
        fine, value = pickle.loads(octets)  # noqa: S301 - written by our own child, not by a sender
        if not fine:
            raise _Reported(value)
        return value

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


def command(settings: Judge) -> tuple[str, ...]:
    """How a judging process is started with these settings."""
    seconds = settings.timeout.total_seconds()
    arguments = str(settings.model or ""), str(settings.parse_limit), str(seconds)
    # -P: what lies in the directory the gateway was started in is nothing to import.
    return sys.executable, "-P", "-m", "gateway.judge_process", *arguments


class JudgePool:
    """The judging processes of one worker."""

    def __init__(self, settings: Judge, start: tuple[str, ...] | None = None) -> None:
        self._settings = settings
        self._seconds = settings.timeout.total_seconds()
        self._command = start or command(settings)
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Start them all; returns when each has loaded its model."""
        await asyncio.gather(*(self._add() for _ in range(self._settings.processes)))

    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        """Read and judge one mail. May be cancelled: the child then finishes on its own time, for
        starting a new one costs more than a mail that nobody waits for any more."""
        try:
            async with asyncio.timeout(self._seconds * WAITING_SHARE):
                child = await self._idle.get()
        except TimeoutError as error:
            raise JudgeFailed("every judging process is busy") from error
        return await asyncio.shield(self._background(self._asked(child, content)))

    async def close(self) -> None:
        """End every process."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in self._children))
        self._children.clear()

    async def _asked(self, child: _Child, content: bytes) -> tuple[Message, Verdict]:
        try:
            async with asyncio.timeout(self._seconds):
                # One octet over the limit is enough for the reader to see that there is more.
                message, verdict = await child.ask(content[: self._settings.parse_limit + 1])
        except _Reported:
            self._idle.put_nowait(child)
            raise
        except Exception as error:
            self._background(self._replace(child))
            raise JudgeFailed(str(error) or "the judging process overran its time") from error
        self._idle.put_nowait(child)
        return replace(message, size=len(content)), verdict

    def _background(self, work: Any) -> asyncio.Task[Any]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits hears it; nobody need complain if none does

    async def _add(self) -> None:
        child = await _Child.start(self._command)
        self._children.add(child)
        self._idle.put_nowait(child)

    async def _replace(self, child: _Child) -> None:
        log.warning("judge-replaced", model=child.model)
        await child.kill()
        self._children.discard(child)
        while True:
            try:
                return await self._add()
            except (JudgeFailed, OSError) as error:
                log.error("judge-start-failed", error=str(error))
                await asyncio.sleep(RESTART_SECONDS)
