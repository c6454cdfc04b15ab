"""The outbox: sends planned answers when they are due, each at most once.

An answer is claimed first, which commits it as `sending`, and only then handed over. A process
that dies in between leaves it so; the next `run` turns it into `in-doubt`, which is never sent.
Sent twice would be worse than not sent. The mode is asked for again at the moment of sending, so
that leaving `live` stops what is already planned. What the user decides during a hand-over counts
as far as it can: an answer that the smart host puts off is then cancelled, not tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from config.settings import Answers
from gateway.memory.rows import Answer
from gateway.memory.store import Store, StoreError
from gateway.outbox.handover import PATIENT, Outcome, Patience, hand_over
from gateway.outbox.schedule import answer_zone, due

log = structlog.get_logger()

POLL_SECONDS = 15.0
MAX_ATTEMPTS = 5
_BACKOFF = (timedelta(minutes=15), timedelta(hours=1), timedelta(hours=4))  # then the last again


def _now() -> datetime:
    return datetime.now(UTC)


class Outbox:
    """Sends what the store has planned.

    `answers_for` gives the present [answers] settings of a recipient; it is asked anew for every
    answer. `hostname` is ours, for EHLO. One process at a time may run an outbox on a store.
    """

    def __init__(
        self,
        store: Store,
        answers_for: Callable[[str], Answers],
        hostname: str,
        *,
        poll: float = POLL_SECONDS,
        patience: Patience = PATIENT,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._store = store
        self._answers_for = answers_for
        self._hostname = hostname
        self._poll = poll
        self._patience = patience
        self._clock = clock
        self._stopping = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Send what falls due until `stop` is set; an answer being handed over is finished first.

        Cancelled in the middle of a hand-over, the answer stays `sending`: the next start puts it
        in doubt.
        """
        self._stopping = stop
        await self._doubt_unfinished()
        while not stop.is_set():
            await self.send_due(self._clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._poll)

    async def send_due(self, now: datetime) -> int:
        """Send every answer due at `now`; how many the smart host took. A failing database is
        logged; the next round tries again."""
        sent = 0
        try:
            while not self._stopping.is_set():
                answer = await asyncio.to_thread(self._store.claim_answer, now)
                if answer is None:
                    break
                sent += await self._send(answer, now)
        except StoreError as fault:
            log.error("outbox-store-failed", error=str(fault))
        return sent

    async def _doubt_unfinished(self) -> None:
        try:
            doubtful = await asyncio.to_thread(self._store.doubt_unfinished)
        except StoreError as fault:
            log.error("outbox-store-failed", error=str(fault))
            return
        if doubtful:
            log.warning("answers-in-doubt", count=doubtful)

    async def _send(self, answer: Answer, now: datetime) -> bool:
        """One claimed answer, to its next state."""
        settings = self._answers_for(answer.recipient)
        if settings.mode != "live":
            # Not back to `planned`: going live again next month must not send last month's words.
            await self._settle(answer, "cancelled", f"answers.mode is {settings.mode}")
            return False
        zone = answer_zone(answer.content)
        opening = due(now, timedelta(), settings.hours, zone)
        if opening > now:
            # The gateway was down when it fell due; now it is night there, or the weekend.
            await self._settle(answer, "planned", "outside working hours", due_at=opening)
            return False
        outcome = await hand_over(answer, settings, self._hostname, self._patience)
        await self._conclude(answer, outcome, due(now, _backoff(answer), settings.hours, zone))
        return outcome.fate == "sent"

    async def _conclude(self, answer: Answer, outcome: Outcome, again: datetime) -> None:
        if outcome.fate == "retry" and answer.attempts < MAX_ATTEMPTS:
            await self._settle(answer, "planned", outcome.detail, outcome.code, due_at=again)
            return
        state = {"sent": "sent", "in-doubt": "in-doubt"}.get(outcome.fate, "failed")
        await self._settle(answer, state, outcome.detail, outcome.code)

    async def _settle(
        self,
        answer: Answer,
        state: str,
        error: str = "",
        code: int = 0,
        due_at: datetime | None = None,
    ) -> None:
        settle = self._store.settle_answer
        became = await asyncio.to_thread(settle, answer.id, state, error, due_at)
        # The smart host's words stand in the row: they may hold addresses and the subject.
        level = log.info if became in {"sent", "planned"} else log.warning
        level(f"answer-{became}", id=answer.id, attempts=answer.attempts, code=code)


def _backoff(answer: Answer) -> timedelta:
    return _BACKOFF[min(max(answer.attempts, 1), len(_BACKOFF)) - 1]
