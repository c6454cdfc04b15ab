"""A gateway put together in one process for the tests of the failure law: the real relay, pipeline
and store, a next hop on a real socket that can be told to misbehave, and a judge of our own that
scores a mail by its `X-Score` field, so that a test decides what is a pitch.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from classifier.message import Message, read
from classifier.verdict import Tactic, Term, Verdict
from config.settings import Settings
from gateway.memory.rows import HeldMail
from gateway.memory.store import Store
from gateway.pipeline import Judges, Pipeline
from gateway.relay.client import open_next_hop
from gateway.relay.server import Relay

NOW = datetime(2026, 3, 3, 8, 30, tzinfo=UTC)
SELLER, ANN, BOB = "brad@growth.example", "ann@example.com", "bob@example.com"


class ScoreField:
    """A judge that believes the mail: `X-Score: 0.97`."""

    async def judge(self, content: bytes) -> tuple[Message, Verdict]:
        message = read(content)
        score = float(next((one.value for one in message.all("X-Score")), "0"))
        rest = (1 - score) / 3
        shares = {"pitch": score, "personal": rest, "bulk": rest, "junk": rest}
        terms = (Term("offer", 2.5),)
        return message, Verdict("pitch", score, shares, "test-model", terms=terms)  # type: ignore[arg-type]


def mail(score: float = 0.0, number: int = 1, to: str = ANN, extra: str = "") -> bytes:
    """A small mail of the seller's. Each number has its own Message-ID."""
    return (
        f"From: Brad <{SELLER}>\r\nTo: {to}\r\nSubject: Offer {number}\r\n"
        f"Message-ID: <{number}@growth.example>\r\nX-Score: {score}\r\n{extra}\r\n"
        "Dear Ann,\r\n..\r\n"
    ).encode()


def held(number: int = 1, **changes: Any) -> HeldMail:
    plain = HeldMail(
        id=f"m{number}-1",
        recipient=ANN,
        mail_from=SELLER,
        sender=f"Brad <{SELLER}>",
        subject=f"Offer {number}",
        message_id=f"<{number}@growth.example>",
        received_at=NOW + timedelta(minutes=number),
        score=0.973,
        label="pitch",
        model="test",
        reasons=("score 0.97 ≥ quarantine 0.80",),
        tactics=(Tactic("assumptive-close", "I have put you down for Tuesday"),),
        terms=(Term("offer", 2.0), Term("quote", 1.0), Term("thanks", -1.0)),
        path="/nowhere",
        original_offset=0,
        sha256="",
        mail_options=(),
    )
    return replace(plain, **changes)


@dataclass
class Hop:
    """A next hop that records, and says what it is told to."""

    port: int = 0
    mails: list[tuple[str, list[str], bytes]] = field(default_factory=list)
    rcpt: dict[str, str] = field(default_factory=dict)
    data: str = "250 2.0.0 Taken by the next hop"
    data_replies: list[str] = field(default_factory=list)  # used up first

    async def handle_RCPT(  # noqa: N802
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        reply = self.rcpt.get(address, "250 2.1.5 Recipient ok")
        if reply.startswith("250"):
            envelope.rcpt_tos.append(address)
        return reply

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        reply = self.data_replies.pop(0) if self.data_replies else self.data
        if reply.startswith("250"):
            sender = "" if envelope.mail_from == "<>" else envelope.mail_from or ""
            self.mails.append((sender, list(envelope.rcpt_tos), bytes(envelope.content or b"")))
        return reply


@dataclass
class Lab:
    """The running gateway. `send` speaks to it as a client does."""

    settings: Settings
    store: Store
    hop: Hop
    port: int
    folder: Path

    async def send(
        self, content: bytes, *to: str, sender: str = SELLER
    ) -> tuple[int, dict[str, tuple[int, bytes]]]:
        """(reply code to DATA, or 0 if there was none; refused recipients)."""
        loop = asyncio.get_running_loop()
        # Threads of our own: the gateway in this process needs those of the loop.
        with ThreadPoolExecutor(1) as pool:
            return await loop.run_in_executor(pool, self._send, content, to or (ANN,), sender)

    def _send(self, content: bytes, to: tuple[str, ...], sender: str) -> tuple[int, dict[str, Any]]:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as client:
            client.ehlo()
            code, _ = client.mail(sender)
            if code != 250:
                return code, {}
            said = {one: client.rcpt(one) for one in to}
            refused = {one: reply for one, reply in said.items() if reply[0] != 250}
            if len(refused) == len(to):
                return 0, refused
            return client.data(content)[0], refused

    def held_files(self) -> list[Path]:
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


def free_socket() -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


@asynccontextmanager
async def running(
    tmp_path: Path,
    judges: Judges | None = None,
    store: Store | None = None,
    **tables: Any,
) -> AsyncIterator[Lab]:
    """The gateway with these settings laid over the test's own."""
    hop = Hop()
    loop = asyncio.get_running_loop()
    downstream = await loop.create_server(
        lambda: SMTP(hop, hostname="hop.example", enable_SMTPUTF8=True, loop=loop), "127.0.0.1", 0
    )
    hop.port = downstream.sockets[0].getsockname()[1]
    folder = tmp_path / "quarantine"
    own: dict[str, Any] = {
        "next_hop": {"kind": "smtp", "address": f"127.0.0.1:{hop.port}", "timeout": "5s"},
        "folder": {"path": str(folder)},
        "state": {"url": f"sqlite:///{tmp_path}/state.db"},
        "judge": {"timeout": "30s"},
    }
    for table, keys in tables.items():
        own[table] = own.get(table, {}) | keys if isinstance(keys, dict) else keys
    settings = Settings.model_validate(own)
    memory = store or Store.open(settings.state.url)
    next_hop = open_next_hop(settings.next_hop, settings.relay.hostname)
    pipeline = Pipeline(settings, judges or ScoreField(), memory)
    relay = Relay(settings.relay, next_hop, pipeline.process)
    sock = free_socket()
    await relay.serve(sock)
    try:
        yield Lab(settings, memory, hop, sock.getsockname()[1], folder)
    finally:
        await relay.drain(5)
        await next_hop.close()
        downstream.close()
        await downstream.wait_closed()
        memory.close()
        sock.close()
