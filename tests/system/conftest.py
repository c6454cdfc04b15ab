"""The test bed: a real Dovecot and Postfix for the session, and a gateway for each test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from dovecot_part import Dovecot, mail_ids
from postfix_part import Postfix
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorder

_report = pytest.StashKey[list[Callable[[], str]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory needs the real parts."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.system)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """A failure shows what the servers wrote."""
    report = yield
    if report.failed:
        for log in item.stash.get(_report, []):
            report.sections.append(("server log", _tail(log())))
    return report


def _tail(text: str, lines: int = 120) -> str:
    return "\n".join(text.splitlines()[-lines:])


def _show(request: pytest.FixtureRequest, log: Callable[[], str]) -> None:
    request.node.stash.setdefault(_report, []).append(log)


@pytest.fixture(scope="session")
def dovecot_server() -> Iterator[Dovecot]:
    server = Dovecot()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def dovecot(dovecot_server: Dovecot, request: pytest.FixtureRequest) -> Dovecot:
    """Dovecot with every mailbox empty."""
    _show(request, dovecot_server.log)
    dovecot_server.empty()
    return dovecot_server


@pytest.fixture(scope="module")
def imap_server() -> Iterator[Dovecot]:
    """A Dovecot of its own that speaks IMAP, and shows what is held below its `quarantine`."""
    server = Dovecot(imap=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def outside_server() -> Iterator[Recorder]:
    server = Recorder()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def outside(outside_server: Recorder) -> Recorder:
    """Where Postfix sends what is not for example.com: the world, which writes it down."""
    outside_server.forget()
    return outside_server


@pytest.fixture(scope="session", params=["after-queue", "before-mailbox"])
def postfix_server(
    request: pytest.FixtureRequest, dovecot_server: Dovecot, outside_server: Recorder
) -> Iterator[Postfix]:
    server = Postfix(request.param, lmtp_port=dovecot_server.port, relayhost=outside_server.port)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def postfix(postfix_server: Postfix, request: pytest.FixtureRequest) -> Iterator[Postfix]:
    """Postfix with an empty queue, in each layout of docs/postfix.md."""
    _show(request, postfix_server.log)
    yield postfix_server
    if postfix_server.queued():
        postfix_server.discard()


@pytest.fixture
def recorder(request: pytest.FixtureRequest) -> Iterator[Recorder]:
    """A smart host that writes down what it is given."""
    server = Recorder()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StartGateway]:
    """Call it with the tables of raincheck.toml to start a gateway. Each is ended with SIGTERM,
    and must then end with 0."""
    with gateways(tmp_path) as start:

        def shown(settings: Mapping[str, Any]) -> Raincheck:
            raincheck = start(settings)
            _show(request, raincheck.log)
            return raincheck

        yield shown


@pytest.fixture(scope="module")
def module_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """As `gateway`, for one that the tests of a module share: starting costs seconds."""
    with gateways(tmp_path_factory.mktemp("gateways")) as start:
        yield start


@pytest.fixture(scope="module")
def owners_gateway(imap_server: Dovecot) -> Iterator[StartGateway]:
    """As `module_gateway`, for one that runs as the user who owns the mailboxes of `imap_server`.
    It lives beside them: pytest's own directories are closed to that user."""
    with gateways(imap_server.home, mail_ids()) as start:
        yield start


@contextlib.contextmanager
def gateways(directory: Path, owner: tuple[int, int] | None = None) -> Iterator[StartGateway]:
    """Starts gateways below a directory; at the end those still running must stop as they ought.
    With `owner` (uid, gid) they run as that user, who must be able to reach the directory."""
    started: list[Raincheck] = []

    def start(settings: Mapping[str, Any], port: int | None = None) -> Raincheck:
        home = directory / f"gateway{len(started)}"
        home.mkdir()
        started.append(Raincheck(home, settings, port, owner))
        started[-1].start()
        return started[-1]

    try:
        yield start
        for raincheck in started:
            if raincheck.running:
                raincheck.stop()
    finally:
        for raincheck in started:
            if raincheck.running:
                raincheck.kill()


@pytest.fixture
def show_log(request: pytest.FixtureRequest) -> Callable[[Raincheck], None]:
    """Call it with a shared gateway whose log a failure of this test should show."""
    return lambda raincheck: _show(request, raincheck.log)
