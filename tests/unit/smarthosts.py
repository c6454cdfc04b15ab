"""Smart hosts on loopback sockets: a real aiosmtpd one, and one that follows a script."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from config.units import Endpoint


@dataclass
class Record:
    """What a smart host saw."""

    commands: list[str] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    tls: list[bool] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)


class Recorder:
    """aiosmtpd's handler: takes everything, notes it."""

    def __init__(self, record: Record, offers: tuple[str, ...]) -> None:
        self._record = record
        self._offers = offers

    async def handle_EHLO(  # noqa: N802  # aiosmtpd calls it so
        self, server: SMTP, session: Session, envelope: Envelope, name: str, replies: list[str]
    ) -> list[str]:
        session.host_name = name
        self._record.commands.append(f"EHLO {name}")
        return [*replies[:-1], *(f"250-{offer}" for offer in self._offers), replies[-1]]

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        assert isinstance(envelope.original_content, bytes)
        self._record.contents.append(envelope.original_content)
        self._record.tls.append(session.ssl is not None)
        self._record.arrived.set()
        return "250 2.0.0 Taken"


class RealHost(SMTP):
    """aiosmtpd, noting MAIL and RCPT as they were written; DSN parameters are taken."""

    def __init__(self, record: Record, offers: tuple[str, ...], **options: Any) -> None:
        super().__init__(Recorder(record, offers), **options)
        self._record = record

    async def smtp_MAIL(self, arg: str | None) -> None:  # noqa: N802
        self._record.commands.append(f"MAIL {arg}")
        await super().smtp_MAIL(arg)

    async def smtp_RCPT(self, arg: str | None) -> None:  # noqa: N802
        self._record.commands.append(f"RCPT {arg}")
        await super().smtp_RCPT((arg or "").removesuffix(" NOTIFY=NEVER"))


@contextlib.asynccontextmanager
async def real_host(
    *offers: str, tls: ssl.SSLContext | None = None, password: bytes = b"", utf8: bool = False
) -> AsyncIterator[tuple[Endpoint, Record]]:
    """A smart host that takes everything. With `password`, only after a login with it."""
    record = Record()

    def login(
        _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        record.logins.append((data.login, data.password))
        return AuthResult(success=data.password == password, handled=False)

    def protocol() -> RealHost:
        return RealHost(
            record,
            offers,
            tls_context=tls,
            enable_SMTPUTF8=utf8,
            auth_required=bool(password) and tls is not None,
            auth_require_tls=tls is not None,
            authenticator=login,
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    try:
        yield Endpoint(*server.sockets[0].getsockname()[:2]), record
    finally:
        server.close()
        await server.wait_closed()


DROP = b""
"""As a reply: close the connection instead."""

POLITE: dict[str, bytes | None] = {
    "greeting": b"220 scripted.example ESMTP",
    "EHLO": b"250-scripted.example\r\n250 DSN",
    "MAIL": b"250 2.1.0 Ok",
    "RCPT": b"250 2.1.5 Ok",
    "DATA": b"354 Go on",
    "dot": b"250 2.0.0 Taken",
    "QUIT": b"221 Bye",
}


class Scripted:
    """A smart host that says what it was told to say. `None` as a reply: it says nothing at all,
    and `silent` is set."""

    def __init__(self, replies: dict[str, bytes | None], on_connect: Callable[[], None]) -> None:
        self._replies = POLITE | replies
        self._on_connect = on_connect
        self.wire: list[bytes] = []
        self.silent = asyncio.Event()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._on_connect()
        try:
            await self._converse(reader, writer)
        except (ConnectionError, EOFError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        verb, reply = "greeting", self._replies["greeting"]
        while reply != DROP:
            if reply is None:
                self.silent.set()
            else:
                writer.write(reply + b"\r\n")
            if verb == "QUIT":
                return
            message = verb == "DATA" and reply is not None and reply.startswith(b"354")
            heard = await reader.readuntil(b"\r\n.\r\n" if message else b"\r\n")
            self.wire.append(heard)
            verb = "dot" if message else heard[:4].decode().upper()
            reply = self._replies[verb]


@contextlib.asynccontextmanager
async def scripted_host(
    on_connect: Callable[[], None] = lambda: None, **replies: bytes | None
) -> AsyncIterator[tuple[Endpoint, Scripted]]:
    """A smart host that answers by the script; what is not said there is polite."""
    host = Scripted(replies, on_connect)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await host.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Endpoint(*server.sockets[0].getsockname()[:2]), host
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
