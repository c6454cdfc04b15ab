"""What the supervisor does besides keeping workers: sending answers and digests.

Each service runs on its own; one that breaks is logged and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import structlog

from config.settings import Answers, Settings
from gateway.memory.store import Store
from gateway.outbox.sender import Outbox
from gateway.timer import DigestTimer

log = structlog.get_logger()

AGAIN_SECONDS = 30.0
STOP_SECONDS = 20.0

Service = Callable[[asyncio.Event], Awaitable[None]]


class Services:
    """The outbox and the digest timer, under one stop. `settings` may be set anew at any time."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self._services: dict[str, Service] = {
            "outbox": Outbox(store, self._answers_for, settings.relay.hostname).run,
            "digest": DigestTimer(lambda: self.settings, store).run,
        }
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _answers_for(self, recipient: str) -> Answers:
        return self.settings.profile(recipient).answers

    def start(self) -> None:
        """Start them all."""
        self._tasks = [
            asyncio.create_task(self._keep(name, run)) for name, run in self._services.items()
        ]

    async def stop(self) -> None:
        """Let them finish what they are handing over; returns when all have ended."""
        self._stop.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, name: str, run: Service) -> None:
        while not self._stop.is_set():
            try:
                await run(self._stop)
            except Exception as error:
                log.error("service-failed", service=name, error=repr(error))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), AGAIN_SECONDS)
