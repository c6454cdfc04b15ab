"""The clock that bounds the reading of a mail."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from classifier.limits import Overrun, deadline


@pytest.fixture(autouse=True)
def _handler_is_put_back() -> Iterator[None]:
    before = signal.getsignal(signal.SIGALRM)
    yield
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def _spin(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def test_work_that_ends_in_time_is_left_alone() -> None:
    with deadline(5):
        pass


def test_work_that_overruns_is_stopped() -> None:
    started = time.monotonic()
    with pytest.raises(Overrun), deadline(0.05):
        _spin(5)
    assert time.monotonic() - started < 2


def test_the_bell_rings_again_when_somebody_swallows_it() -> None:
    swallowed = 0

    def deaf_once() -> None:
        nonlocal swallowed
        try:
            _spin(5)
        except BaseException:
            swallowed += 1
        _spin(5)

    with pytest.raises(Overrun), deadline(0.02):
        deaf_once()
    assert swallowed == 1


def test_except_exception_does_not_swallow_it() -> None:
    def library() -> None:
        try:
            _spin(5)
        except Exception:
            pytest.fail("swallowed")

    with pytest.raises(Overrun), deadline(0.02):
        library()


def test_an_error_inside_passes_and_disarms() -> None:
    with pytest.raises(KeyError), deadline(5):
        raise KeyError


def test_an_earlier_alarm_still_rings() -> None:
    rung = threading.Event()
    before = signal.signal(signal.SIGALRM, lambda *_: rung.set())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with deadline(5):
            _spin(0.05)
        assert rung.wait(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_other_threads_have_no_clock() -> None:
    done: list[bool] = []

    def work() -> None:
        with deadline(0.001):
            _spin(0.02)
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done == [True]
