"""The supervisor: opens the sockets, keeps the workers running, sends answers and digests.

A reload starts a second set of workers with the new settings on the same sockets, then drains the
first: no connection is refused, and a client in mid-conversation may finish its mail before it
hears 421 and comes again. If the new set cannot start, the old one stays. A stop drains all of
them. Raises Refused when serving cannot begin.
"""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine
from multiprocessing.process import BaseProcess

import structlog

from config import Settings
from config.units import Endpoint
from gateway import worker
from gateway.memory.store import Store, StoreError
from gateway.services import Services

log = structlog.get_logger()

STARTED_SECONDS = 60.0
"""How long a worker may take to load its model and begin to serve."""
STOPPED_SECONDS = 27.0
"""After that a draining worker is killed: a stop takes 30 s at most."""
RESTART_SECONDS = 5.0
"""Pause before a worker that died young is started again."""
BACKLOG = 512


class Refused(Exception):
    """Serving cannot begin; the message says why and what to do, `exitcode` is sysexits'."""

    def __init__(self, message: str, exitcode: int = os.EX_CONFIG) -> None:
        super().__init__(message)
        self.exitcode = exitcode


class _Worker:
    """A worker process, from its start to its end."""

    def __init__(self, settings: Settings, sock: socket.socket) -> None:
        # spawn: a child made by fork would share locks of threads that do not exist in it.
        context = multiprocessing.get_context("spawn")
        self._ready, theirs = context.Pipe(duplex=False)
        self._process: BaseProcess = context.Process(
            target=worker.main, args=(settings, sock, theirs), name="raincheck-worker"
        )
        self._process.start()
        theirs.close()
        self.sock = sock
        self.started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        return self._process.exitcode

    async def serving(self) -> None:
        """Wait until it serves; raises Refused with its reason if it will not."""
        try:
            async with asyncio.timeout(STARTED_SECONDS):
                await _readable(self._ready.fileno())
            refusal = self._ready.recv()
        except (TimeoutError, EOFError):
            refusal = "a worker ended or hung while starting; the log says more"
        finally:
            self._ready.close()
        if refusal is not None:
            raise Refused(refusal)

    async def ended(self) -> None:
        """Wait until the process is gone."""
        if self._process.exitcode is None:
            await _readable(self._process.sentinel)
        self._process.join()

    async def stop(self, *, patient: bool = False) -> None:
        """Drain it; kill it when that takes too long. Patiently: its clients may still hand over
        a mail before they hear 421."""
        if patient and self.pid is not None and self.exitcode is None:
            os.kill(self.pid, signal.SIGUSR1)
        else:
            self._process.terminate()
        try:
            async with asyncio.timeout(STOPPED_SECONDS):
                await self.ended()
        except TimeoutError:
            log.error("worker-killed", pid=self.pid)
            await self.kill()

    async def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        await self.ended()


async def _readable(descriptor: int) -> None:
    # A duplicate, since a loop watches a descriptor once and `ended` may have several callers.
    ours = os.dup(descriptor)
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(ours, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(ours)
        os.close(ours)


class Supervisor:
    """`raincheck serve`. `reload` reads the configuration again; it may raise ConfigError."""

    def __init__(self, settings: Settings, reload: Callable[[], Settings]) -> None:
        self._settings = settings
        self._reload = reload
        self._workers: list[_Worker] = []
        self._leaving: list[_Worker] = []
        self._stopping = asyncio.Event()
        self._reloads = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        self._handle_signals()
        sockets = listening_sockets(self._settings)
        try:
            store = await asyncio.to_thread(Store.open, self._settings.state.url)
        except StoreError as error:
            raise Refused(str(error), os.EX_UNAVAILABLE) from error
        services = Services(self._settings, store)
        try:
            _make_maildir(self._settings)
            self._workers = await self._start(self._settings, sockets)
            services.start()
            self._say_serving(sockets)
            await self._until_stopped(services)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
        finally:
            await self._stop(services, sockets)
            store.close()
        log.info("stopped")

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.set)

    def _say_serving(self, sockets: list[socket.socket]) -> None:
        host, port = sockets[0].getsockname()[:2]
        log.info("serving", listen=str(Endpoint(host, port)), workers=len(sockets), pid=os.getpid())

    async def _until_stopped(self, services: Services) -> None:
        while not self._stopping.is_set():
            await _either(self._stopping, self._reloads)
            if self._reloads.is_set() and not self._stopping.is_set():
                self._reloads.clear()
                await self._reload_into(services)

    async def _stop(self, services: Services, sockets: list[socket.socket]) -> None:
        """Everything at once, so that all of it fits into the time a stop may take."""
        self._stopping.set()
        for sock in sockets:
            sock.close()
        everyone = [*self._workers, *self._leaving]
        await asyncio.gather(services.stop(), *(one.stop() for one in everyone))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reload_into(self, services: Services) -> None:
        """Change over to the settings as they now stand, or keep what we have."""
        try:
            settings = _with_fixed(self._settings, self._reload())
            fresh = await self._start(settings, [one.sock for one in self._workers])
        except Exception as error:  # whatever is wrong with the new settings, the old ones serve
            log.error("reload-refused", error=str(error) or repr(error))
            return
        old, self._workers, self._settings = self._workers, fresh, settings
        services.settings = settings
        log.info("reloaded")
        for one in old:
            self._background(self._let_go(one))

    async def _let_go(self, old: _Worker) -> None:
        self._leaving.append(old)
        await old.stop(patient=True)
        self._leaving.remove(old)

    async def _start(self, settings: Settings, sockets: list[socket.socket]) -> list[_Worker]:
        """A worker for each socket; all of them serve, or Refused and none is left. Cancelled
        when the gateway is told to stop meanwhile."""
        started: list[_Worker] = []
        try:
            for sock in sockets:
                started.append(_Worker(settings, sock))  # noqa: PERF401 - stopped if one fails
            await self._unless_stopped(asyncio.gather(*(one.serving() for one in started)))
        except OSError as error:
            await asyncio.gather(*(one.kill() for one in started))
            raise Refused(f"a worker cannot be started: {error}", os.EX_OSERR) from error
        except BaseException:
            # They have served nobody yet, so there is nothing to drain.
            await asyncio.gather(*(one.kill() for one in started))
            raise
        for one in started:
            self._background(self._restart_when_dead(one))
        return started

    async def _unless_stopped(self, work: asyncio.Future[list[None]]) -> None:
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
            if not work.done():
                work.cancel()
        await work

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _restart_when_dead(self, dead: _Worker) -> None:
        await dead.ended()
        while dead in self._workers and not self._stopping.is_set():
            log.error("worker-died", pid=dead.pid, exitcode=dead.exitcode)
            if time.monotonic() - dead.started_at < RESTART_SECONDS:
                await asyncio.sleep(RESTART_SECONDS)
            try:
                (fresh,) = await self._start(self._settings, [dead.sock])
            except Refused as error:
                log.error("worker-refused", error=str(error))
                await asyncio.sleep(RESTART_SECONDS)
                continue
            if dead not in self._workers or self._stopping.is_set():  # reloaded meanwhile
                return await fresh.stop()
            self._workers[self._workers.index(dead)] = fresh
            return None
        return None


FIXED = (("relay", "listen"), ("relay", "workers"), ("relay", "hostname"), ("state", "url"))
"""What a reload leaves as it is."""


def _with_fixed(old: Settings, new: Settings) -> Settings:
    """The new settings, but for what only a restart can change: the sockets are open, and the
    outbox and the workers must agree on one database and one name."""
    for table, key in FIXED:
        was, wanted = (getattr(getattr(one, table), key) for one in (old, new))
        if was != wanted:
            log.warning("restart-needed", table=table, key=key)
            changed = getattr(new, table).model_copy(update={key: was})
            new = new.model_copy(update={table: changed})
    return new


async def _either(*events: asyncio.Event) -> None:
    """Wait until one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()


def _make_maildir(settings: Settings) -> None:
    """Before the first mail, so that commands run elsewhere can tell that they are elsewhere."""
    if settings.next_hop.kind == "maildir":
        try:
            settings.next_hop.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"[next_hop] path: {error}", os.EX_CANTCREAT) from error


def listening_sockets(settings: Settings) -> list[socket.socket]:
    """One socket for each worker, all on the same port (SO_REUSEPORT: the kernel shares out the
    connections). They belong to the supervisor, so that they outlive a worker."""
    listen = settings.relay.listen
    sockets: list[socket.socket] = []
    try:
        # Without SO_REUSEPORT first: with it, a second gateway would quietly share the port.
        _socket(listen, shared=False).close()
        for _ in range(settings.relay.workers or os.cpu_count() or 1):
            sockets.append(_socket(listen, shared=True))
            listen = Endpoint(listen.host, sockets[0].getsockname()[1])
    except OSError as error:
        for sock in sockets:
            sock.close()
        raise Refused(
            f"[relay] listen = {listen}: {error.strerror or error}; {_way_out(error)}, or give "
            "another address in the config file or in RAINCHECK_RELAY__LISTEN",
            os.EX_UNAVAILABLE,
        ) from error
    return sockets


def _way_out(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "is another gateway running there? End it"
    if error.errno == errno.EACCES:
        return "ports below 1024 need root"
    return "it is no address of this machine: use one that is"


def _socket(listen: Endpoint, *, shared: bool) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        listen.host, listen.port, type=socket.SOCK_STREAM
    )[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        sock.bind(address)
        if shared:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
