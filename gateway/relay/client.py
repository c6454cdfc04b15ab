"""The next hop over SMTP or LMTP, and the choice of a next hop from the settings.

Connections are kept for the next transaction: at most `_MOST_IDLE`, for `_IDLE_SECONDS` each. One
that died meanwhile is replaced once, at MAIL, before anything depends on it.

Own code instead of a client library: LMTP's reply per recipient is needed, and not one octet of
the content may change. Everything here raises NextHopDown.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence

import structlog

from config.settings import NextHop as Settings
from gateway.relay import tls
from gateway.relay.local import MaildirNextHop
from gateway.relay.nexthop import Capabilities, NextHop, NextHopDown
from gateway.relay.responses import (
    NEXT_HOP_DOWN,
    NO_SMTPUTF8_BEHIND,
    OK,
    UNSPEAKABLE_ADDRESS,
    Reply,
)
from gateway.relay.wire import Connection

log = structlog.get_logger()

_MOST_IDLE = 20
_IDLE_SECONDS = 30.0
_GOODBYE_SECONDS = 5.0  # for RSET and QUIT, where nothing is at stake


def open_next_hop(settings: Settings, hostname: str) -> NextHop:
    """The next hop that `settings` names; connects when it is first needed. `hostname` is what
    we call ourselves. Raises tls.TlsError for an unusable `tls_ca`."""
    if settings.kind == "maildir":
        return MaildirNextHop(settings.path)
    return SmtpNextHop(settings, hostname)


class SmtpNextHop:
    """A NextHop for `kind` smtp and lmtp, with a pool of idle connections."""

    def __init__(self, settings: Settings, hostname: str) -> None:
        self.lmtp = settings.kind == "lmtp"
        self._settings = settings
        self._hostname = hostname
        self._tls = tls.client_context(settings)
        self._idle: dict[Connection, asyncio.TimerHandle] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._capabilities: Capabilities | None = None

    async def capabilities(self) -> Capabilities:
        """From the newest greeting; connects when there was none yet."""
        if self._capabilities is None:
            connection = await self.connect()
            self.keep(connection)
        return self._capabilities or Capabilities()

    async def begin(self) -> SmtpTransaction:
        """A transaction on an idle connection, or on a new one."""
        connection = self._take()
        if connection is not None:
            return SmtpTransaction(self, connection, reused=True)
        return SmtpTransaction(self, await self.connect(), reused=False)

    async def close(self) -> None:
        """QUIT every idle connection."""
        for connection in list(self._idle):
            self._let_go(connection)
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def connect(self) -> Connection:
        """A new connection, greeted."""
        try:
            connection = await Connection.open(self._settings, self._hostname, self._tls)
        except NextHopDown as error:
            log.warning("next-hop-down", detail=str(error))
            raise
        self._capabilities = connection.capabilities
        return connection

    def keep(self, connection: Connection) -> None:
        """Put a connection back that has no transaction open."""
        if not connection.usable:
            connection.drop()
            return
        loop = asyncio.get_running_loop()
        self._idle[connection] = loop.call_later(_IDLE_SECONDS, self._let_go, connection)
        if len(self._idle) > _MOST_IDLE:
            self._let_go(next(iter(self._idle)))

    def _take(self) -> Connection | None:
        # The newest first, so that the others grow old and leave when the load falls.
        while self._idle:
            connection, timer = self._idle.popitem()
            timer.cancel()
            if connection.usable:
                return connection
            connection.drop()
        return None

    def _let_go(self, connection: Connection) -> None:
        timer = self._idle.pop(connection)
        timer.cancel()
        leaving = asyncio.get_running_loop().create_task(connection.quit(_GOODBYE_SECONDS))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)


class SmtpTransaction:
    """One MAIL…DATA on one connection."""

    def __init__(self, hop: SmtpNextHop, connection: Connection, *, reused: bool) -> None:
        self._hop = hop
        self._connection = connection
        self._reused = reused
        self._open = False
        self._closed = False
        self._utf8 = False
        self._accepted: list[str] = []

    async def mail(self, sender: str, options: Sequence[str]) -> Reply:
        """MAIL FROM, with those of BODY, SMTPUTF8 and SIZE that this connection offers. Only a
        missing SMTPUTF8 is a refusal: without BODY the content passes as it is all the same."""
        await self._reset()
        if "SMTPUTF8" in options and not self._connection.capabilities.smtputf8:
            return NO_SMTPUTF8_BEHIND
        self._utf8 = "SMTPUTF8" in options
        if not _speakable(sender, utf8=self._utf8):
            return UNSPEAKABLE_ADDRESS
        reply = await self._mail(sender, options)
        self._open = reply.positive
        return reply

    async def rcpt(self, recipient: str) -> Reply:
        """RCPT TO. One that was accepted already is not said again: LMTP would deliver twice."""
        if recipient in self._accepted:
            return OK
        if not _speakable(recipient, utf8=self._utf8):
            return UNSPEAKABLE_ADDRESS
        reply = await self._connection.command(f"RCPT TO:<{recipient}>")
        if reply.positive:
            self._accepted.append(recipient)
        return reply

    async def data(self, content: bytes) -> Mapping[str, Reply]:
        """DATA, to every accepted recipient. Those whose reply is missing get NEXT_HOP_DOWN."""
        recipients = tuple(self._accepted)
        if not recipients:
            return {}
        reply = await self._connection.command("DATA")
        if reply.code != 354:
            return dict.fromkeys(recipients, _refused(reply))
        owed = len(recipients) if self._hop.lmtp else 1
        replies = await self._connection.content(content, owed)
        if not self._hop.lmtp:
            replies *= len(recipients)
        missing = len(recipients) - len(replies)
        # Broken off it stays open, so that a next MAIL does not take the connection for idle.
        self._open, self._accepted = missing > 0, []
        return dict(zip(recipients, replies + [NEXT_HOP_DOWN] * missing, strict=True))

    async def close(self) -> None:
        """Back to the pool after RSET, or dropped."""
        if self._closed:
            return
        self._closed, connection = True, self._connection
        if self._open and connection.usable:
            with contextlib.suppress(NextHopDown, TimeoutError):
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._reset()
        if self._open:
            connection.drop()
        else:
            self._hop.keep(connection)

    async def _mail(self, sender: str, options: Sequence[str]) -> Reply:
        try:
            reply = await self._connection.command(self._mail_line(sender, options))
            if reply.code != 421:
                return reply
        except NextHopDown:
            if not self._reused:
                raise
        if not self._reused:
            return reply
        # It had died while idle, and nothing was begun on it.
        self._reused = False
        self._connection = await self._hop.connect()
        return await self._connection.command(self._mail_line(sender, options))

    def _mail_line(self, sender: str, options: Sequence[str]) -> str:
        offered = self._connection.capabilities
        supported = {
            "BODY": offered.eight_bit_mime,
            "SMTPUTF8": offered.smtputf8,
            "SIZE": offered.size is not None,
        }
        said = [option for option in options if supported.get(option.partition("=")[0])]
        return " ".join([f"MAIL FROM:<{sender}>", *said])

    async def _reset(self) -> None:
        if not self._open:
            return
        reply = await self._connection.command("RSET")
        if not reply.positive:
            self._connection.drop()
            raise NextHopDown(f"RSET was answered {reply.code}")
        self._open, self._accepted = False, []


def _speakable(address: str, *, utf8: bool) -> bool:
    """No character that would end the path or the line."""
    return (utf8 or address.isascii()) and address.isprintable() and not set(address) & set("<>")


def _refused(reply: Reply) -> Reply:
    """A reply to DATA that is neither 354 nor a refusal is taken for a passing one."""
    return reply if reply.code >= 400 else Reply(451, reply.lines)
