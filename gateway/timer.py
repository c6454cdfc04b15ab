"""When the digest is due, and the loop that sends it.

A digest is due once a day at `[digest] at` in the recipient's time zone. A gateway that was off at
that time catches up when it starts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from config.settings import Digest as DigestSettings
from config.settings import Settings
from gateway import digest
from gateway.memory.store import Store, StoreError
from gateway.relay.client import open_next_hop
from gateway.relay.nexthop import InDoubt, NextHop

log = structlog.get_logger()

CHECK_SECONDS = 30.0


def last_due(settings: DigestSettings, now: datetime) -> datetime:
    """The latest moment up to `now` at which a digest was due; aware, UTC."""
    local = now.astimezone(settings.zone)
    due = datetime.combine(local.date(), settings.at, tzinfo=settings.zone)
    if due.astimezone(UTC) > now:  # in UTC: one zone's times are compared by the clock on the wall
        due = datetime.combine(local.date() - timedelta(days=1), settings.at, settings.zone)
    return due.astimezone(UTC)


class DigestTimer:
    """Sends each recipient's digest when it is due. `settings` gives those of the moment."""

    def __init__(self, settings: Callable[[], Settings], store: Store) -> None:
        self._settings = settings
        self._store = store
        self._done: dict[str, datetime] = {}

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
        settings = self._settings()
        next_hop = open_next_hop(settings.next_hop, settings.relay.hostname)
        sent = 0
        try:
            for recipient in await asyncio.to_thread(self._due, settings, now):
                sent += await self._send(settings, next_hop, recipient, now)
        finally:
            await next_hop.close()
        return sent

    def _due(self, settings: Settings, now: datetime) -> list[str]:
        """Those for whom something was held before their hour that no digest has shown."""
        return [one for one in self._store.held_recipients() if self._is_due(settings, one, now)]

    def _is_due(self, settings: Settings, recipient: str, now: datetime) -> bool:
        own = settings.profile(recipient).digest
        due = _hour(own, now)
        if not own.enabled or self._done.get(recipient) == due:
            return False
        oldest = self._store.oldest_held(recipient, self._store.last_digest(recipient))
        return oldest is not None and oldest <= due

    async def _send(
        self, settings: Settings, next_hop: NextHop, recipient: str, now: datetime
    ) -> bool:
        """Whatever goes wrong with one recipient's digest, the others get theirs."""
        hour = _hour(settings.profile(recipient).digest, now)
        try:
            since = await asyncio.to_thread(self._store.last_digest, recipient)
            built = await asyncio.to_thread(digest.build, settings, self._store, recipient, since)
            if built is None:  # released or discarded this moment
                return False
            reply = await digest.hand_over(settings, next_hop, built, now)
            if not reply.transient:
                # Taken, or refused for good. Remembered here as well, so that a database that
                # cannot be written does not send the same digest again and again.
                self._done[recipient] = hour
            if reply.positive:
                await asyncio.to_thread(digest.record, self._store, built, now)
        except InDoubt as error:  # not again today; tomorrow's shows the same mails
            self._done[recipient] = hour
            log.warning("digest-in-doubt", recipient=recipient, error=str(error))
            return False
        except Exception as error:
            log.warning("digest-failed", recipient=recipient, error=repr(error))
            return False
        log.info("digest", recipient=recipient, mails=built.count, reply=reply.code)
        return reply.positive


def _hour(settings: DigestSettings, now: datetime) -> datetime:
    """When a digest was last due; seen a little late, so that nothing from before the hour is
    still being written."""
    return last_due(settings, now - digest.SETTLED)
