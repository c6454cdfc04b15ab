"""Real peers on loopback for the relay's tests: a recording SMTP server, an LMTP server, a server
that follows a script, and a client that speaks raw octets."""

# ruff: noqa: N802 (aiosmtpd names its hooks handle_VERB)

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP

from config.settings import NextHop
from config.settings import Relay as RelaySettings
from gateway.envelope import Envelope
from gateway.relay.client import open_next_hop
from gateway.relay.nexthop import Transaction
from gateway.relay.responses import Reply
from gateway.relay.server import Process, Relay

HOSTNAME = "gateway.example.com"
PATIENCE = 10.0


async def eventually(condition: Callable[[], object]) -> None:
    """Poll until it holds; fails after PATIENCE seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        await asyncio.sleep(0.005)


def bound_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@dataclass
class Mail:
    sender: str
    options: list[str]
    recipients: list[str]
    content: bytes


class _Recorder(SMTP):
    line_length_limit = 2**24

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # The first transport is the socket's own; the one of TLS may never come to life.
        self.event_handler.connections.setdefault(self, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.event_handler.connections.pop(self, None)
        super().connection_lost(error)


@dataclass
class SmtpSink:
    """aiosmtpd as a next hop that writes down what it hears."""

    port: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    mail_reply: str = "250 2.1.0 Sender ok"
    data_reply: str = "250 2.0.0 Queued as 42"
    mails: list[Mail] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)
    connections: dict[Any, Any] = field(default_factory=dict)

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, name: str, lines: Any
    ) -> Any:
        session.host_name = name
        self.heard.append(f"EHLO {name}" + (" TLS" if session.ssl else ""))
        return lines

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, path: str, options: Any
    ) -> str:
        self.heard.append(f"MAIL {path} {' '.join(options)}".strip())
        if self.mail_reply.startswith("250"):
            envelope.mail_from = path
            envelope.mail_options.extend(options)
        return self.mail_reply

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, path: str, options: Any
    ) -> str:
        self.heard.append(f"RCPT {path}")
        if path in self.refusals:
            return self.refusals[path]
        envelope.rcpt_tos.append(path)
        return "250 2.1.5 Recipient ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.heard.append("DATA")
        if self.data_reply.startswith("2"):
            sender = "" if envelope.mail_from == "<>" else envelope.mail_from
            mail = Mail(sender, envelope.mail_options, envelope.rcpt_tos, envelope.content)
            self.mails.append(mail)
        return self.data_reply

    async def handle_RSET(self, server: Any, session: Any, envelope: Any) -> str:
        self.heard.append("RSET")
        return "250 2.0.0 Ok"

    async def handle_QUIT(self, server: Any, session: Any, envelope: Any) -> str:
        self.heard.append("QUIT")
        return "221 2.0.0 Bye"


@asynccontextmanager
async def smtp_sink(**options: Any) -> AsyncIterator[SmtpSink]:
    """A recording SMTP server; `options` go to aiosmtpd."""
    loop, sink = asyncio.get_running_loop(), SmtpSink()
    sock = bound_socket()
    sink.port = sock.getsockname()[1]
    options = {"enable_SMTPUTF8": True, "hostname": "sink.example.com", "loop": loop} | options
    server = await loop.create_server(lambda: _Recorder(sink, **options), sock=sock)
    try:
        yield sink
    finally:
        server.close()
        for transport in list(sink.connections.values()):
            transport.abort()
        await asyncio.sleep(0)


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[int]:
    """A server that runs `script` for each connection; yields its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answering(*replies: bytes, greeting: bytes = b"220 hi\r\n") -> Script:
    """Greets, then answers each line with the next of `replies`; b'' closes. Silent afterwards, but
    for RSET and QUIT."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        for reply in replies:
            await reader.readuntil(b"\n")
            if not reply:
                return
            writer.write(reply)
        while (line := await reader.readuntil(b"\n")) != b"QUIT\r\n":
            if line == b"RSET\r\n":
                writer.write(b"250 reset\r\n")

    return script


@dataclass
class LmtpSink:
    """A small LMTP server: a reply per recipient after the final dot (RFC 2033 §4.2)."""

    after_dot: dict[str, bytes] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    mails: list[tuple[list[str], bytes]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 lmtp.example.com LMTP\r\n")
        recipients: list[str] = []
        while line := (await reader.readuntil(b"\r\n")).decode().strip():
            self.heard.append(line)
            verb = line.split(" ")[0]
            if verb == "LHLO":
                writer.write(b"250-lmtp.example.com\r\n250-8BITMIME\r\n250 SIZE 5000\r\n")
            elif verb == "RCPT":
                recipients.append(line.partition("<")[2].rstrip(">"))
                writer.write(b"250 2.1.5 Ok\r\n")
            elif verb == "DATA":
                writer.write(b"354 go\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                self.mails.append((recipients, content))
                for one in recipients:
                    writer.write(self.after_dot.get(one, b"250 2.0.0 Saved\r\n"))
                recipients = []
            else:
                writer.write(b"250 2.0.0 Ok\r\n")


class Client:
    """A client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def line(self) -> str:
        async with asyncio.timeout(PATIENCE):
            return (await self._reader.readline()).decode()

    async def reply(self) -> str:
        """The next reply, all its lines; '' when the connection is closed."""
        lines = [await self.line()]
        while lines[-1][3:4] == "-":
            lines.append(await self.line())
        return "".join(lines)

    async def ask(self, line: str) -> str:
        await self.send(line.encode() + b"\r\n")
        return await self.reply()

    async def up_to_data(self, *recipients: str, sender: str = "sender@example.org") -> None:
        assert (await self.reply()).startswith("220")
        lines = ["EHLO client.example", f"MAIL FROM:<{sender}>"]
        lines += [f"RCPT TO:<{one}>" for one in recipients or ("user@example.com",)]
        for line in lines:
            assert (await self.ask(line)).startswith("250"), line
        assert (await self.ask("DATA")).startswith("354")

    def half_close(self) -> None:
        self._writer.write_eof()

    def reset(self) -> None:
        """RST: gone without a word."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._writer.transport.abort()

    async def start_tls(self, context: ssl.SSLContext, name: str = HOSTNAME) -> None:
        await self._writer.start_tls(context, server_hostname=name)

    def close(self) -> None:
        self._writer.transport.abort()


@asynccontextmanager
async def client(port: int = 0, sock: socket.socket | None = None) -> AsyncIterator[Client]:
    """A client of that port on loopback, or on a socket that is connected already."""
    where = {"sock": sock} if sock else {"host": "127.0.0.1", "port": port}
    reader, writer = await asyncio.open_connection(**where)
    speaker = Client(reader, writer)
    try:
        yield speaker
    finally:
        speaker.close()
        await asyncio.sleep(0)


async def pass_through(envelope: Envelope, content: bytes, transaction: Transaction) -> Reply:
    """The plainest process: deliver it as it is."""
    replies = await transaction.data(content)
    return next(iter(replies.values()))


def hop_settings(port: int, **options: Any) -> NextHop:
    return NextHop.model_validate({"kind": "smtp", "address": f"127.0.0.1:{port}"} | options)


@asynccontextmanager
async def relay(
    hop_port: int,
    process: Process = pass_through,
    tls: ssl.SSLContext | None = None,
    hop: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[tuple[Relay, int]]:
    """A relay in front of the next hop at `hop_port`; yields it and its port."""
    next_hop = open_next_hop(hop_settings(hop_port, **(hop or {})), HOSTNAME)
    settings = RelaySettings.model_validate({"hostname": HOSTNAME} | options)
    gateway = Relay(settings, next_hop, process, tls)
    sock = bound_socket()
    await gateway.serve(sock)
    try:
        yield gateway, sock.getsockname()[1]
    finally:
        await gateway.drain(0)
        await next_hop.close()
