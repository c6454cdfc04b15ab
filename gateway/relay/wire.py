"""One connection to a next hop: SMTP (RFC 5321) or LMTP (RFC 2033), octet for octet.

What is sent is what was given, with transparency dots and one CRLF at the end if it was missing.
Replies are bounded in lines and length, and reduced to printable ASCII.

Every method raises NextHopDown when the peer is unreachable, silent, closes or breaks the
protocol. The connection is then gone, as it is when a method is cancelled: a half-sent command or
message is never followed by another. Only `content` keeps replies that came before the end.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from config.settings import NextHop as Settings
from gateway.relay.intake import Intake, LineTooLong
from gateway.relay.nexthop import Capabilities, NextHopDown
from gateway.relay.responses import Reply, printable

_LINE_LIMIT = 4096  # RFC 5321 §4.5.3.1.5 says 512; EHLO lines of some servers are longer
_MOST_LINES = 100
_CHUNK = 2**18
_REPLY = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*?))?\r?\n", re.DOTALL)
_FOR_CONNECT = 10.0  # seconds; a next hop that is near answers at once or not at all


class _OutOfStep(Exception):
    """The peer does not speak SMTP, or answered what was not asked."""


class _Pipe(asyncio.StreamReaderProtocol):
    """Fills an Intake; the inherited protocol serves the StreamWriter's flow control."""

    def __init__(self, intake: Intake) -> None:
        super().__init__(asyncio.StreamReader())
        self._intake = intake

    def data_received(self, data: bytes) -> None:
        self._intake.feed(data)

    def eof_received(self) -> bool:
        self._intake.end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._intake.end()
        super().connection_lost(exc)


class Connection:
    """A greeted connection. `capabilities` is what it offered last."""

    def __init__(self, settings: Settings, hostname: str) -> None:
        self._settings = settings
        self._hostname = hostname
        self._timeout = settings.timeout.total_seconds()
        self._intake = Intake()
        self._writer: asyncio.StreamWriter | None = None
        self._keywords: dict[str, str] = {}
        self.capabilities = Capabilities()

    @classmethod
    async def open(
        cls, settings: Settings, hostname: str, context: ssl.SSLContext | None
    ) -> Connection:
        """Connect, greet and, with a `context`, go over to TLS.

        Where `tls` is `opportunistic` and the handshake fails, a second connection stays in the
        clear. Where it is `required`, that is NextHopDown."""
        connection = cls(settings, hostname)
        await connection._connect()
        if context is None:
            return connection
        if "STARTTLS" in connection._keywords:
            try:
                await connection._start_tls(context)
                return connection
            except NextHopDown:
                if settings.tls == "required":
                    raise
            return await cls.open(settings, hostname, None)
        if settings.tls == "required":
            connection.drop()
            raise NextHopDown(f"{settings.address}: STARTTLS is required and was not offered")
        return connection

    @property
    def usable(self) -> bool:
        """Still open, and nothing has arrived that was not asked for."""
        return self._writer is not None and self._intake.silent

    async def command(self, line: str) -> Reply:
        """Send one line, given without its CRLF, and read the reply. After 421 it is gone."""
        reply = await self._ask(line.encode() + b"\r\n")
        if reply.code == 421:
            self.drop()
        return reply

    async def content(self, data: bytes, replies: int) -> list[Reply]:
        """The message after 354, its end, and as many replies as LMTP owes (SMTP: one). Fewer
        when it broke off between them and one of them was positive: those are not lost."""
        view = memoryview(_transparent(data))
        for start in range(0, len(view), _CHUNK):
            async with self._in_step() as writer:
                writer.write(view[start : start + _CHUNK])
                await writer.drain()
        answers: list[Reply] = []
        try:
            while len(answers) < replies:
                async with self._in_step():
                    answers.append(await self._reply())
        except NextHopDown:
            if not any(answer.positive for answer in answers):
                raise
        return answers

    async def quit(self, seconds: float) -> None:
        """QUIT politely, but not for longer than this. Never raises."""
        try:
            async with asyncio.timeout(seconds):
                await self.command("QUIT")
        except (NextHopDown, TimeoutError):
            pass
        finally:
            self.drop()

    def drop(self) -> None:
        """Gone at once, unsent octets with it. Safe to repeat."""
        if self._writer is not None:
            self._writer.transport.abort()
            self._writer = None

    async def _connect(self) -> None:
        loop, address = asyncio.get_running_loop(), self._settings.address
        try:
            async with asyncio.timeout(min(_FOR_CONNECT, self._timeout)):
                transport, pipe = await loop.create_connection(
                    lambda: _Pipe(self._intake), address.host, address.port
                )
        except OSError as error:
            raise NextHopDown(f"{address}: {_said(error)}") from error
        self._intake.attach(transport)
        self._writer = asyncio.StreamWriter(transport, pipe, asyncio.StreamReader(), loop)
        async with self._in_step():
            greeting = await self._reply()
        if greeting.code != 220:
            self.drop()
            raise NextHopDown(f"{address}: greeted with {greeting.code}")
        await self._greet()

    async def _greet(self) -> None:
        verb = "LHLO" if self._settings.kind == "lmtp" else "EHLO"
        reply = await self.command(f"{verb} {self._hostname}")
        if verb == "EHLO" and 500 <= reply.code < 600:
            reply = await self.command(f"HELO {self._hostname}")
            reply = Reply(reply.code, reply.lines[:1])
        if not reply.positive:
            self.drop()
            raise NextHopDown(f"{self._settings.address}: {verb} was answered {reply.code}")
        self._keywords = _keywords(reply)
        self.capabilities = _capabilities(self._keywords)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        reply = await self.command("STARTTLS")
        if reply.code != 220:
            self.drop()
            raise NextHopDown(f"{self._settings.address}: STARTTLS was answered {reply.code}")
        # What came in the clear behind the 220 could have been put there by anyone on the path
        # and would be read as a reply inside TLS (the CVE-2011-0411 class).
        self._intake.clear()
        async with self._in_step() as writer:
            await writer.start_tls(context, server_hostname=self._settings.address.host)
            self._intake.attach(cast(asyncio.Transport, writer.transport))
        await self._greet()

    async def _ask(self, line: bytes) -> Reply:
        async with self._in_step() as writer:
            if not self._intake.silent:
                raise _OutOfStep("a reply to no command, or the connection was closed")
            writer.write(line)
            await writer.drain()
            return await self._reply()

    async def _reply(self) -> Reply:
        lines: list[str] = []
        codes: set[int] = set()
        while len(lines) < _MOST_LINES:
            match = _REPLY.fullmatch(await self._intake.line(_LINE_LIMIT))
            if not match:
                raise _OutOfStep("a reply that is none")
            codes.add(int(match[1]))
            lines.append(printable(match[3] or b""))
            if match[2] != b"-" and len(codes) == 1:
                return Reply(codes.pop(), tuple(lines))
            if len(codes) > 1:
                break
        raise _OutOfStep("a reply without end, or of two codes")

    @asynccontextmanager
    async def _in_step(self) -> AsyncIterator[asyncio.StreamWriter]:
        """The writer, under the timeout. Whatever goes wrong within drops the connection."""
        if self._writer is None:
            raise NextHopDown(f"{self._settings.address}: the connection is gone")
        try:
            async with asyncio.timeout(self._timeout):
                yield self._writer
        except (OSError, LineTooLong, _OutOfStep) as error:
            self.drop()
            raise NextHopDown(f"{self._settings.address}: {_said(error)}") from error
        except BaseException:
            self.drop()
            raise


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _transparent(data: bytes) -> bytes:
    """As it goes over the wire, with the final dot (RFC 5321 §4.5.2)."""
    stuffed = data.replace(b"\r\n.", b"\r\n..")
    first = b"." if stuffed.startswith(b".") else b""
    last = b".\r\n" if not data or data.endswith(b"\r\n") else b"\r\n.\r\n"
    return b"".join((first, stuffed, last))


def _keywords(reply: Reply) -> dict[str, str]:
    found = {}
    for line in reply.lines[1:]:
        keyword, _, value = line.partition(" ")
        found[keyword.upper()] = value.strip()
    return found


def _capabilities(keywords: dict[str, str]) -> Capabilities:
    size = keywords.get("SIZE")
    if size is not None:
        octets = int(size) if re.fullmatch(r"[0-9]{1,20}", size) else 0
    return Capabilities(
        eight_bit_mime="8BITMIME" in keywords,
        smtputf8="SMTPUTF8" in keywords,
        size=None if size is None else octets,
    )
