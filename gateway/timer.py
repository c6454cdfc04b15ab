"""When the digest is due, and the loop that sends it.

A digest is due once a day at `[digest] at` in the recipient's time zone. A gateway that was off at
that time catches up when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import structlog

from config.settings import Digest as DigestSettings
from config.settings import Settings
from gateway import digest
from gateway.memory.store import Store, StoreError
from gateway.relay.nexthop import NextHop, NextHopDown

log = structlog.get_logger()

CHECK_SECONDS = 30.0


def last_due(settings: DigestSettings, now: datetime) -> datetime:
    """The latest moment up to `now` at which a digest was due; aware, UTC."""
    local = now.astimezone(settings.zone)
    due = datetime.combine(local.date(), settings.at, tzinfo=settings.zone)
    if due > local:
        due = datetime.combine(local.date() - timedelta(days=1), settings.at, settings.zone)
    return due.astimezone(UTC)


class DigestTimer:
    """Sends each recipient's digest when it is due."""

    def __init__(self, settings: Settings, store: Store, next_hop: NextHop) -> None:
        self._settings = settings
        self._store = store
        self._next_hop = next_hop
        self._refused: dict[str, datetime] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Look now and then until told to stop."""
        while not stop.is_set():
            try:
                await self.send_due(datetime.now(UTC))
            except StoreError as error:
                log.error("digest-failed", error=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CHECK_SECONDS)

    async def send_due(self, now: datetime) -> int:
        """Send what is due; returns how many digests the next hop took."""
        sent = 0
        for recipient in await asyncio.to_thread(self._store.held_recipients):
            settings = self._settings.profile(recipient).digest
            # A little late, so that nothing from before the hour is still being written.
            due = last_due(settings, now - digest.SETTLED)
            if settings.enabled and self._refused.get(recipient) != due:
                sent += await self._send_if_new(recipient, due, now)
        return sent

    async def _send_if_new(self, recipient: str, due: datetime, now: datetime) -> bool:
        """Send, if something was held before `due` that no digest has shown."""
        since = await asyncio.to_thread(self._store.last_digest, recipient)
        built = await asyncio.to_thread(digest.build, self._settings, self._store, recipient, since)
        if built is None or built.oldest > due:
            return False
        try:
            reply = await digest.send(self._settings, self._store, self._next_hop, built, now)
        except NextHopDown as error:
            log.warning("digest-waits", recipient=recipient, error=str(error))
            return False
        log.info("digest", recipient=recipient, mails=built.count, reply=reply.code)
        if not (reply.positive or reply.transient):
            self._refused[recipient] = due  # the same answer would come every time until then
        return reply.positive
