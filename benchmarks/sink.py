"""The next hop of the benchmark: an SMTP server that takes every mail and counts it.

    python sink.py        prints its port, then serves until standard input ends

As little as possible happens for each mail, so that the sink is not what is measured. `XCOUNT` is
answered with the number of mails taken so far.
"""

from __future__ import annotations

import asyncio
import sys

END = b"\r\n.\r\n"
OFFERED = (b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"ENHANCEDSTATUSCODES", b"SIZE 104857600")
HELLO = b"".join(b"250-%b\r\n" % line for line in (b"sink.example", *OFFERED[:-1]))
REPLIES = {
    b"EHLO": HELLO + b"250 " + OFFERED[-1] + b"\r\n",
    b"HELO": b"250 sink.example\r\n",
    b"MAIL": b"250 2.1.0 Ok\r\n",
    b"RCPT": b"250 2.1.5 Ok\r\n",
    b"RSET": b"250 2.0.0 Ok\r\n",
    b"NOOP": b"250 2.0.0 Ok\r\n",
    b"DATA": b"354 Go on\r\n",
    b"QUIT": b"221 2.0.0 Bye\r\n",
}


class Sink(asyncio.Protocol):
    """One connection."""

    taken = 0  # mails, over all connections

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink.example ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while self._mail() if self._in_data else self._command():
            pass

    def _mail(self) -> bool:
        """Take a whole mail off what is waiting; whether there was one."""
        end = self._waiting.find(END)
        if end < 0:
            return False
        del self._waiting[: end + len(END)]
        self._in_data = False
        Sink.taken += 1
        self._transport.write(b"250 2.0.0 Ok\r\n")
        return True

    def _command(self) -> bool:
        """Answer one command; whether there was one."""
        end = self._waiting.find(b"\n")
        if end < 0:
            return False
        verb = bytes(self._waiting[:4]).upper()
        counting = self._waiting[:6].upper() == b"XCOUNT"
        del self._waiting[: end + 1]
        reply = b"250 %d\r\n" % Sink.taken if counting else REPLIES.get(verb)
        self._transport.write(reply or b"500 5.5.2 What?\r\n")
        self._in_data = verb == b"DATA"
        if verb == b"QUIT":
            self._transport.close()
        return True


async def main() -> None:
    """Serve until standard input ends, which it does when the benchmark is gone."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
