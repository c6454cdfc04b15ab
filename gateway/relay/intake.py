"""What a peer has sent and nobody has read yet: lines, and message data up to its end.

Serves both sides: commands and DATA of a client, replies of a next hop. Reading in bulk costs the
same for one long line as for a thousand short ones. The transport is paused while more than
`HIGH_WATER` octets wait, so a fast peer cannot fill the memory.

Raises EndOfStream when the peer has finished, LineTooLong for a line over the limit.
"""

from __future__ import annotations

import asyncio

HIGH_WATER = 2**18
_END_OF_DATA = b"\r\n.\r\n"


class EndOfStream(ConnectionError):
    """The peer has sent its last octet."""


class LineTooLong(Exception):
    """A line over the limit; all of it has been read and thrown away."""


class Intake:
    """A buffer between a protocol (`feed`, `end`) and the one task that reads from it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._paused = False
        self._transport: asyncio.ReadTransport | None = None
        self._waiter: asyncio.Future[None] | None = None

    def attach(self, transport: asyncio.ReadTransport) -> None:
        """The transport to pause; again after STARTTLS."""
        self._transport = transport

    def feed(self, data: bytes) -> None:
        """Octets have arrived."""
        self._buffer += data
        if len(self._buffer) > HIGH_WATER and not self._paused and self._transport:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def end(self) -> None:
        """No more will arrive."""
        self._ended = True
        self._wake()

    def clear(self) -> None:
        """Throw away what has not been read."""
        self._buffer.clear()

    @property
    def silent(self) -> bool:
        """Nothing unread, and the peer may still send."""
        return not self._buffer and not self._ended

    async def line(self, limit: int) -> bytes:
        """The next line with its LF. Raises LineTooLong over `limit` octets, EndOfStream."""
        scanned, overlong = 0, False
        while (end := self._buffer.find(b"\n", scanned)) < 0:
            if len(self._buffer) > limit:
                overlong = True
                self._buffer.clear()
            scanned = len(self._buffer)
            await self._more()
        line = self._take(end + 1)
        if overlong or len(line) > limit:
            raise LineTooLong
        return line

    async def data(self, limit: int) -> bytes | None:
        """Message data up to CRLF.CRLF, and up to nothing else, with the transparency dots
        removed (RFC 5321 §4.5.2). None when it was over `limit` octets: it is then read to its
        end without being kept. Raises EndOfStream."""
        # A line of ".\r\n" is stored as "..\r\n": four octets on the wire for three counted.
        most = limit + limit // 3 + len(_END_OF_DATA)
        body, scanned, kept = bytearray(b"\r\n"), 0, True
        while (end := self._drain_into(body, scanned)) < 0:
            if len(body) > most:
                kept = False
                del body[: -len(_END_OF_DATA)]
            scanned = max(0, len(body) - len(_END_OF_DATA) + 1)
            await self._more()
        self._buffer += memoryview(body)[end + len(_END_OF_DATA) :]
        content = bytes(body[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        return content if kept and len(content) <= limit else None

    def _drain_into(self, body: bytearray, scanned: int) -> int:
        body += self._buffer
        self._buffer.clear()
        return body.find(_END_OF_DATA, scanned)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def _more(self) -> None:
        if self._ended:
            raise EndOfStream
        if self._paused and self._transport:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


def has_bare_newlines(content: bytes) -> bool:
    """Whether a CR or an LF stands anywhere but in CRLF."""
    pairs = content.count(b"\r\n")
    return not pairs == content.count(b"\r") == content.count(b"\n")


def normalised(content: bytes) -> bytes:
    """Every bare CR and every bare LF as CRLF."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
