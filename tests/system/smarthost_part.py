"""A real SMTP server that writes down what it is given: the smart host of the tests, and a next
hop whose replies a test can choose."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP
from waiting import free_port, wait_until


@dataclass(frozen=True)
class Recorded:
    """One transaction as the client spoke it; `mail_from` is '' for the null sender."""

    mail_from: str
    mail_options: tuple[str, ...]
    rcpt_tos: tuple[str, ...]
    content: bytes


class Recorder:
    """Listens on loopback from `start` to `stop`; `answer` gives the reply to each DATA."""

    def __init__(self, answer: Callable[[Recorded], str] = lambda _: "250 2.0.0 Ok") -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self.port = free_port()
        self._recorded: list[Recorded] = []
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, ready_timeout=20, enable_SMTPUTF8=True
        )

    @property
    def mails(self) -> list[Recorded]:
        with self._lock:
            return list(self._recorded)

    def forget(self) -> None:
        """As if nothing had come yet."""
        with self._lock:
            self._recorded.clear()

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    def wait_for(self, count: int, seconds: float = 30) -> list[Recorded]:
        """At least so many mails."""
        return wait_until(
            f"{count} mails at the recording server",
            lambda: found if len(found := self.mails) >= count else None,
            seconds=seconds,
        )

    async def handle_DATA(  # noqa: N802 (aiosmtpd's name)
        self, server: SMTP, session: Any, envelope: Any
    ) -> str:
        null = envelope.mail_from == "<>"  # aiosmtpd's word for the null sender
        mail = Recorded(
            "" if null else envelope.mail_from,
            tuple(envelope.mail_options),
            tuple(envelope.rcpt_tos),
            envelope.original_content,
        )
        reply = self._answer(mail)
        if reply.startswith("2"):
            with self._lock:
                self._recorded.append(mail)
        return reply
