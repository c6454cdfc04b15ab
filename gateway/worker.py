"""One worker process: a relay on its socket, its judges, its connection to the database.

The supervisor starts it and is told `None` when it serves, or the reason why it cannot. It ends
on SIGTERM after a drain, and at once when the supervisor is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection

import structlog

from config.settings import Settings
from gateway import log as logging_setup
from gateway.judging import JudgeFailed, JudgePool
from gateway.memory.store import Store, StoreError
from gateway.pipeline import Pipeline
from gateway.relay import tls
from gateway.relay.client import open_next_hop
from gateway.relay.server import Relay

log = structlog.get_logger()

DRAIN_SECONDS = 15.0
"""Within the 30 s that a stop may take: sessions cut off after it get a few seconds to let go."""

BLOCKING_CALLS = 16
"""Threads for disk and database; each waits on fsync most of its time."""


def main(settings: Settings, sock: socket.socket, ready: Connection) -> None:
    """Run a worker until it is told to stop."""
    logging_setup.configure()
    try:
        asyncio.run(_serve(settings, sock, ready))
    except (JudgeFailed, StoreError, tls.TlsError, OSError) as error:
        _tell(ready, str(error))


async def _serve(settings: Settings, sock: socket.socket, ready: Connection) -> None:
    stop = _stop_requested()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(BLOCKING_CALLS))
    store = await asyncio.to_thread(Store.open, settings.state.url)
    judges = JudgePool(settings.judge)
    next_hop = open_next_hop(settings.next_hop, settings.relay.hostname)
    relay = Relay(
        settings.relay,
        next_hop,
        Pipeline(settings, judges, store).process,
        tls.server_context(settings.relay),
    )
    try:
        await judges.start()
        if stop.is_set():
            return
        await relay.serve(sock)
        _tell(ready, None)
        await stop.wait()
        await relay.drain(DRAIN_SECONDS, patient=stop.patient)
    finally:
        await judges.close()
        await next_hop.close()
        store.close()


def _tell(ready: Connection, refusal: str | None) -> None:
    with contextlib.suppress(BrokenPipeError):  # the supervisor no longer waits for us
        ready.send(refusal)


class _Stop(asyncio.Event):
    """Set when the worker is to end; `patient` when others serve already in its place."""

    patient = False

    def patiently(self) -> None:
        self.patient = True
        self.set()


def _stop_requested() -> _Stop:
    """Set by SIGTERM, by SIGUSR1 after a reload, or when the supervisor is gone (nobody else
    could stop us then)."""
    stop = _Stop()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGUSR1, stop.patiently)
    for ignored in (signal.SIGINT, signal.SIGHUP):  # meant for the supervisor
        signal.signal(ignored, signal.SIG_IGN)
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        loop.add_reader(supervisor.sentinel, _supervisor_gone, stop, supervisor.sentinel)
    return stop


def _supervisor_gone(stop: _Stop, sentinel: int) -> None:
    asyncio.get_running_loop().remove_reader(sentinel)
    log.error("supervisor-gone")
    stop.set()
