"""The load generator: many connections, one mail after the other on each, for a fixed time.

Closed loop: a connection sends its next mail when the last one was answered. Each step waits for
its reply (MAIL, RCPT, DATA, message), as most clients do; nothing is pipelined. The latency of a
mail is the time from its MAIL to the reply to its final dot.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

SENTENCES = (
    "The minutes of Monday are attached; please tell me by tonight if something is wrong.",
    "We agreed to move the release to the fourteenth.",
    "Could you send us a corrected invoice with the address of the new warehouse?",
    "The train was late again, so I read the whole report on the platform.",
    "I'd love to jump on a quick call this week to show you how we double your pipeline.",
    "Just bumping this to the top of your inbox, as I know how busy you are.",
    "Our clients see three times as many qualified leads within ninety days, guaranteed.",
    "The bicycle is ready and can be fetched from eight o'clock tomorrow.",
    "Olga asks the customer in Ghent about the missing fields.",
    "Are you free for lunch on Thursday, at the small place by the river?",
    "Sign up before Friday and the first month is free.",
    "The plant swap is behind the town hall, from ten o'clock; bring labels.",
    "My daughter starts school on Monday, so I am away in the morning.",
    "Please find our offer below; it stands until the end of the month.",
)
KINDS = 64
"""So many different mails are sent in turn, each with a Message-ID of its own."""


def mails(size: int) -> list[bytes]:
    """`KINDS` mails of about `size` octets, dot-stuffed, without Message-ID. Always the same."""
    chance = random.Random(1)
    return [_mail(number, size, chance) for number in range(KINDS)]


def _mail(number: int, size: int, chance: random.Random) -> bytes:
    head = (
        f"Date: Mon, 03 Jun 2024 10:{number % 60:02}:00 +0200\n"
        f"From: Sender {number} <sender{number}@origin{number % 7}.example>\n"
        f"To: ann@example.com\nSubject: {chance.choice(SENTENCES)[:40]}\n"
        "MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
    )
    body = "Hello Ann,\n\n"
    while len(head) + len(body) < size:
        body += " ".join(chance.choices(SENTENCES, k=1)) + chance.choice(("\n", "\n", "\n\n"))
    return (head + body).replace("\n", "\r\n").encode()


@dataclass
class Result:
    """One run. Times in seconds; `failed` counts mails that were refused or cut off."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    failed: int = 0

    @property
    def accepted(self) -> int:
        return len(self.latencies)


async def run(
    port: int, recipient: str, contents: list[bytes], *, connections: int, seconds: float
) -> Result:
    """Send to a port on loopback over so many connections until the time is up."""
    result, numbers = Result(), itertools.count(random.randrange(10**12))
    begun = time.perf_counter()
    end = begun + seconds
    await asyncio.gather(
        *(_connection(port, recipient, contents, numbers, end, result) for _ in range(connections))
    )
    result.seconds = time.perf_counter() - begun
    return result


async def _connection(
    port: int,
    recipient: str,
    contents: list[bytes],
    numbers: Iterator[int],
    end: float,
    result: Result,
) -> None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        result.failed += 1
        return
    peer = _Peer(reader, writer)
    try:
        await peer.expect(b"2")
        await peer.say(b"EHLO load.example\r\n", b"2")
        while time.perf_counter() < end:
            number = next(numbers)
            begun = time.perf_counter()
            await peer.mail(number, recipient, contents[number % len(contents)])
            result.latencies.append(time.perf_counter() - begun)
        await peer.say(b"QUIT\r\n", b"2")
    except (OSError, EOFError, _Refused):
        result.failed += 1
    finally:
        writer.close()


class _Refused(Exception):
    """Another reply than the one hoped for."""


class _Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def mail(self, number: int, recipient: str, content: bytes) -> None:
        sender = f"sender{number % KINDS}@origin{number % 7}.example"
        await self.say(f"MAIL FROM:<{sender}>\r\n".encode(), b"2")
        await self.say(f"RCPT TO:<{recipient}>\r\n".encode(), b"2")
        await self.say(b"DATA\r\n", b"3")
        await self.say(b"Message-ID: <%d@load.example>\r\n%b\r\n.\r\n" % (number, content), b"2")

    async def say(self, words: bytes, hoped: bytes) -> None:
        self._writer.write(words)
        await self.expect(hoped)

    async def expect(self, hoped: bytes) -> None:
        while True:
            line = await self._reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            if line[3:4] != b"-":
                break
        if not line.startswith(hoped):
            raise _Refused(line)
