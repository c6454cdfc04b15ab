"""Reading and judging in child processes, so that one mail can never hold up the relay.

A thread cannot be stopped, and a regular expression gone wild holds the interpreter lock: only a
process can be killed. Each worker keeps a few children (`[judge] processes`); one that is
interrupted or dies is killed and replaced, and its mail goes on unjudged.

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


class JudgeFailed(Exception):
    """A judge could not be started, died, or reported an error."""


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
            raise JudgeFailed(value)
        return value

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.communicate()


def command(settings: Judge) -> tuple[str, ...]:
    """How a judging process is started with these settings."""
    seconds = settings.timeout.total_seconds()
    arguments = str(settings.model or ""), str(settings.parse_limit), str(seconds)
    return sys.executable, "-m", "gateway.judge_process", *arguments


class JudgePool:
    """The judging processes of one worker."""

    def __init__(self, settings: Judge, start: tuple[str, ...] | None = None) -> None:
        self._settings = settings
        self._command = start or command(settings)
        self._idle: asyncio.Queue[_Child] = asyncio.Queue()
        self._children: set[_Child] = set()
        self._restarts: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Start them all; returns when each has loaded its model."""
        await asyncio.gather(*(self._add() for _ in range(self._settings.processes)))

    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        """Read and judge one mail. Cancelled (a deadline passed), the process is killed."""
        child = await self._idle.get()
        try:
            # One octet over the limit is enough for the reader to see that the mail is longer.
            message, verdict = await child.ask(content[: self._settings.parse_limit + 1])
        except BaseException:
            self._replace(child)
            raise
        self._idle.put_nowait(child)
        return replace(message, size=len(content)), verdict

    async def close(self) -> None:
        """End every process."""
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)
        await asyncio.gather(*(child.kill() for child in self._children))
        self._children.clear()

    async def _add(self) -> None:
        child = await _Child.start(self._command)
        self._children.add(child)
        self._idle.put_nowait(child)

    def _replace(self, child: _Child) -> None:
        log.warning("judge-replaced", model=child.model)
        task = asyncio.create_task(self._restart(child))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self, child: _Child) -> None:
        await child.kill()
        self._children.discard(child)
        while True:
            try:
                return await self._add()
            except (JudgeFailed, OSError) as error:
                log.error("judge-start-failed", error=str(error))
                await asyncio.sleep(RESTART_SECONDS)
