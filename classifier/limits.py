"""What reading one mail may cost, and the clock that holds it to that.

`deadline` bounds pure Python and short C calls alike by an interval timer's signal. It works in
the main thread of a process only, because only there does Python run signal handlers; in any
other thread it does nothing. The gateway reads mail in the main thread of a child process that
is killed from outside when it overruns all the same.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_AGAIN = 0.05  # seconds until the signal is repeated


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one mail may cost."""

    octets: int = 2 * 2**20  # only the first so many are read; more: `partial`
    seconds: float = 3.0


class Overrun(BaseException):
    """The time is up. No `Exception`, so that no library's `except Exception` swallows it."""


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `Overrun` inside the block once so much wall time has passed.

    An earlier handler and timer are put back, the timer less the time spent here.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    armed = True

    def ring(_number: int, _frame: FrameType | None) -> None:
        if armed:
            raise Overrun

    started = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    # Repeated, because an Overrun raised inside a destructor or a C callback is lost.
    delay, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        # None: the earlier handler was not set from Python and cannot be put back.
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if delay:
            left = delay - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001), interval)
