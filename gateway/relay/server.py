"""The relay: SMTP clients on one side, the next hop on the other.

Listens on a socket it is given, so that several processes can share a port. Admits clients by
address and number, and drains: with `drain` no mail is cut off that can still finish in time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl

import structlog

from config.settings import Relay as Settings
from gateway.relay import responses as say
from gateway.relay.nexthop import NextHop
from gateway.relay.responses import Reply
from gateway.relay.session import Desk, Process, Session

__all__ = ["Process", "Relay"]

log = structlog.get_logger()

_BACKLOG = 512
_TURNS_TO_GREET = 8  # of the event loop, from a connection in the kernel's queue to its session
_LAST_SECONDS = 8.0  # for sessions that were cut off to let go of what they hold


class Relay:
    """One listener and its sessions.

    `process` is called for each mail with the Envelope, the content (CRLF line ends) and the open
    Transaction, in which the next hop has accepted the envelope's recipients. If it raises, the
    client hears 451 and the transaction ends without a final dot.
    """

    def __init__(
        self,
        settings: Settings,
        next_hop: NextHop,
        process: Process,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        # aiosmtpd logs command lines, addresses and data; what is worth a line we log ourselves.
        logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
        self._settings = settings
        self._desk = Desk(settings, next_hop, process, tls, self._admit, self._leave)
        self._sessions: set[Session] = set()
        self._server: asyncio.Server | None = None
        self._refusing = False
        self._empty = asyncio.Event()

    async def serve(self, sock: socket.socket) -> None:
        """Listen on `sock`, bound already; returns once clients can connect."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Session(self._desk), sock=sock, backlog=_BACKLOG
        )

    async def drain(self, seconds: float, *, patient: bool = False) -> None:
        """Take no more clients; 421 to those without a transaction at once, to the others when
        theirs is done or after `seconds`. Returns when all are gone.

        With `patient`, for a reload, who has had no transaction yet may still begin one. A
        second call may be less patient than the first."""
        self._refusing = not patient
        await self._stop_listening()
        for session in list(self._sessions):
            session.wind_down(patient=patient)
        if not await self._emptied(seconds):
            log.warning("drain-cut-off", sessions=len(self._sessions))
            for session in list(self._sessions):
                session.stop(say.SHUTTING_DOWN)
            await self._emptied(_LAST_SECONDS)

    async def _stop_listening(self) -> None:
        """Close the listener, but first let everyone in who has connected.

        asyncio accepts a connection in one turn of its loop and gives it a transport in the next,
        which fails without a word once the server is closed: the client would find its
        connection ended and no greeting. So the accepting ends first, then the server."""
        if self._server is None:
            return
        await _turns(_TURNS_TO_GREET)
        for sock in self._server.sockets:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        await _turns(_TURNS_TO_GREET)
        self._server.close()

    async def _emptied(self, seconds: float) -> bool:
        if not self._sessions:
            return True
        self._empty.clear()
        try:
            async with asyncio.timeout(seconds):
                return await self._empty.wait()
        except TimeoutError:
            return False

    def _admit(self, session: Session) -> Reply | None:
        self._sessions.add(session)
        if self._refusing:
            return say.SHUTTING_DOWN
        if not session.client or not self._settings.allows(session.client):
            log.warning("client-refused", client=session.client)
            return say.NOT_OUR_CLIENT
        if len(self._sessions) > self._settings.max_connections:
            log.warning("too-many-connections", connections=len(self._sessions))
            return say.TOO_MANY_CONNECTIONS
        return None

    def _leave(self, session: Session) -> None:
        self._sessions.discard(session)
        if not self._sessions:
            self._empty.set()


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
