"""The connection of one client: lines in, message data in, replies out, TLS, and its end.

aiosmtpd carries it; its command loop is replaced, because it takes commands that end in a bare LF,
cancels a mail whose client has said everything and half-closes, and puts the text of an exception
into a reply. `converse` is what a session says; it runs once for each connection.

Raises EndOfStream and ConnectionError when the client has gone, TimeoutError when it took too
long over its data, Refusal for a line that is no command.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import cast

import structlog
from aiosmtpd.smtp import SMTP

from gateway.relay import responses as say
from gateway.relay.intake import EndOfStream, Intake, LineTooLong
from gateway.relay.responses import Refusal, Reply

log = structlog.get_logger()

_COMMAND_LIMIT = 1024  # octets; RFC 5321 §4.5.3.1.4 asks for 512 and some for each extension
_DATA_PATIENCE = 4  # times the idle timeout, for the whole of DATA
_HANDSHAKE_SECONDS = 30.0


class Peer(SMTP):
    """One connection. `client` is the peer's IP address, '' when it left before we looked."""

    line_length_limit = 2**16

    def __init__(self, hostname: str, timeout: float) -> None:
        super().__init__(
            None,
            hostname=hostname,
            timeout=timeout,
            auth_exclude_mechanism=("LOGIN", "PLAIN"),
            loop=asyncio.get_running_loop(),
        )
        self.client = ""
        self.over_tls = False
        self.over = False  # no further command is read
        self._intake = Intake()
        self._listening = self._reading_data = self._committing = self._finished = False

    async def converse(self) -> None:
        """From the greeting on. Sets `over`, or returns, to close."""
        raise NotImplementedError

    async def depart(self) -> None:
        """The conversation is over: let go of what it holds. Never raises."""

    def gone(self) -> None:
        """Connection and conversation have both ended."""

    @property
    def listening(self) -> bool:
        """Waiting for a command."""
        return self._listening

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        peer = transport.get_extra_info("peername")
        self.client = _plain_ip(peer[0]) if peer else ""
        self._intake.attach(cast(asyncio.Transport, transport))
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Octets, in the clear or out of TLS."""
        self._intake.feed(data)
        if self._reading_data:
            self._reset_timeout()

    def eof_received(self) -> bool:
        """The client will send no more; what it has sent is still carried out and answered."""
        self._intake.end()
        return not self.over_tls

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone. A mail behind its final dot is still carried out."""
        self._stop_timeout()
        self._intake.end()
        # Past aiosmtpd's own method, which cancels the handler whatever it is doing.
        super(SMTP, self).connection_lost(error)
        self.transport = None
        if not self._committing and self._handler_coroutine is not None:
            self._handler_coroutine.cancel()
        if self._finished:
            self.gone()

    def cut(self, reply: Reply) -> None:
        """A last word, then the end. A client that does not read is not waited for."""
        if self.transport is None:
            return
        transport = cast(asyncio.Transport, self.transport)
        if transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            return
        transport.write(reply.encode())
        transport.close()

    def stop(self, reply: Reply) -> None:
        """A last word, and gone now, whatever was going on."""
        self.cut(reply)
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
        if self._handler_coroutine is not None:
            self._handler_coroutine.cancel()

    async def say(self, reply: Reply) -> None:
        """Send a reply; 221 and 421 are the last."""
        if self.transport is None:
            raise EndOfStream
        self.over = self.over or reply.code in {221, 421}
        self._reset_timeout()
        self._writer.write(reply.encode())
        await self._writer.drain()
        self._stop_timeout()

    async def command(self) -> tuple[str, str]:
        """The verb of the next command in capitals, and the rest of its line."""
        self._reset_timeout()
        self._listening = True
        try:
            line = await self._intake.line(_COMMAND_LIMIT)
        except LineTooLong:
            raise Refusal(say.LINE_TOO_LONG) from None
        finally:
            self._listening = False
            self._stop_timeout()
        return _understood(line)

    async def message(self, limit: int) -> bytes | None:
        """The message data after 354; None when it was over `limit` octets."""
        self._reading_data = True
        self._reset_timeout()
        try:
            async with asyncio.timeout(_DATA_PATIENCE * self._timeout_duration):
                return await self._intake.data(limit)
        finally:
            self._reading_data = False
            self._stop_timeout()

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """What runs within is not cancelled when the client leaves."""
        self._committing = True
        try:
            yield
        finally:
            self._committing = False

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """The handshake after the 220."""
        # What was put behind STARTTLS in the clear could be anybody's (RFC 3207 §4.2).
        self._intake.clear()
        try:
            await self._writer.start_tls(context, ssl_handshake_timeout=_HANDSHAKE_SECONDS)
        except OSError as error:
            log.info("tls-handshake-failed", client=self.client, error=repr(error))
            raise EndOfStream from error
        self.over_tls = True
        self.transport = self._writer.transport
        self._intake.attach(cast(asyncio.Transport, self.transport))

    async def _handle_client(self) -> None:
        try:
            await self.converse()
        except ConnectionError:
            log.debug("client-gone", client=self.client)
        except TimeoutError:
            self._timeout_cb()
        finally:
            try:
                await self.depart()
            finally:  # a drain may cut off the leave-taking too
                self._close()

    def _close(self) -> None:
        self._finished = True
        if self.transport is None:
            self.gone()
        else:
            self.transport.close()
            self._reset_timeout()  # for a client that does not take its last reply

    def _timeout_cb(self) -> None:
        log.info("client-timed-out", client=self.client)
        self.cut(say.TIMED_OUT)

    def _stop_timeout(self) -> None:
        if self._timeout_handle is not None:
            self._timeout_handle.cancel()


def _understood(line: bytes) -> tuple[str, str]:
    """A command is a line of printable text that ends in CRLF; nothing else ends it."""
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise Refusal(say.BAD_COMMAND) from None
    text, end = text[:-2], text[-2:]
    if end != "\r\n" or any(char < " " or char == "\x7f" for char in text):
        raise Refusal(say.BAD_COMMAND)
    verb, _, argument = text.partition(" ")
    return verb.upper(), argument.strip(" ")


def _plain_ip(address: str) -> str:
    """Without a zone, and an IPv4 client of an IPv6 socket as IPv4."""
    ip = ip_address(address.partition("%")[0])
    return str(getattr(ip, "ipv4_mapped", None) or ip)
