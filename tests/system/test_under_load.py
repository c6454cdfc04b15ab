"""Many mails at once, and a gateway that is stopped, reloaded or hurt meanwhile: no mail is lost,
none comes twice."""

from __future__ import annotations

import os
import signal
import smtplib
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

from clients import Mail, connect, send, send_all
from dovecot_part import USERS, Dovecot
from letters import mixed, name_of, ordinary, pitch
from raincheck_part import EXIT_SECONDS, Raincheck, StartGateway
from waiting import wait_until

MAILS = 1000
CONNECTIONS = 10
HOLD_ALL = {"tag": 0.0, "quarantine": 0.0, "answer": 0.0}
HOLD_NONE = {"tag": 1.0, "quarantine": 1.0, "answer": 1.0}


def before(dovecot: Dovecot, **tables: Any) -> dict[str, Any]:
    """Dovecot as the next hop; of dave everything is held, of erin nothing."""
    recipients = [
        {"match": "dave@example.com", "thresholds": HOLD_ALL},
        {"match": "erin@example.com", "thresholds": HOLD_NONE},
    ]
    hop = {"kind": "lmtp", "address": f"127.0.0.1:{dovecot.port}"}
    return {"relay": {"workers": 2}, "next_hop": hop, "recipients": recipients} | tables


def addressed(contents: list[bytes]) -> list[Mail]:
    """Each mail to one user in turn, every seventh to all five."""
    everyone = tuple(f"{user}@example.com" for user in USERS)
    return [
        Mail(content, everyone if number % 7 == 0 else (everyone[number % len(everyone)],))
        for number, content in enumerate(contents)
    ]


def copies(dovecot: Dovecot, raincheck: Raincheck) -> dict[tuple[str, str], list[bytes]]:
    """Every copy anywhere, by recipient and name of the mail."""
    found: dict[tuple[str, str], list[bytes]] = {}
    for user in USERS:
        for content in dovecot.mails(user) + raincheck.held(user):
            found.setdefault((f"{user}@example.com", name_of(content)), []).append(content)
    return found


def test_a_thousand_mails_over_ten_connections(dovecot: Dovecot, gateway: StartGateway) -> None:
    raincheck = gateway(before(dovecot))
    mails = addressed(mixed(MAILS))
    tally = send_all(raincheck.port, mails, connections=CONNECTIONS)
    assert not tally.failures
    assert len(tally.accepted) == MAILS
    found = copies(dovecot, raincheck)
    wanted = {
        (recipient, name_of(mail.content)): mail.content
        for mail in mails
        for recipient in mail.rcpt_tos
    }
    assert found.keys() == wanted.keys()
    assert Counter(map(len, found.values())) == {1: len(wanted)}
    changed = [key for key, content in wanted.items() if not found[key][0].endswith(content)]
    assert not changed
    assert dovecot.count("dave") == 0
    assert not raincheck.held("erin")
    assert len(raincheck.listed()) == sum(len(raincheck.held(user)) for user in USERS)


def test_sigterm_under_load_loses_nothing(dovecot: Dovecot, gateway: StartGateway) -> None:
    raincheck = gateway(before(dovecot))
    mails = addressed(mixed(600))
    enough = threading.Event()

    def note(count: int) -> None:
        if count >= 60:
            enough.set()

    stopped: list[float] = []

    def stop() -> None:
        if enough.wait(60):
            stopped.append(raincheck.stop())

    stopper = threading.Thread(target=stop)
    stopper.start()
    tally = send_all(raincheck.port, mails, connections=CONNECTIONS, accepted=note)
    stopper.join()
    assert stopped, f"not stopped; failures: {tally.failures}"
    assert stopped[0] < EXIT_SECONDS
    assert 60 <= len(tally.accepted) < len(mails)
    found = copies(dovecot, raincheck)
    for mail in tally.accepted:
        for recipient in mail.rcpt_tos:
            (copy,) = found[(recipient, name_of(mail.content))]
            assert copy.endswith(mail.content)


def test_a_bad_file_changes_nothing_and_a_good_one_acts(
    dovecot: Dovecot, gateway: StartGateway
) -> None:
    raincheck = gateway(before(dovecot, thresholds=HOLD_NONE))
    send(raincheck.port, Mail(pitch(0, unique="one")))
    assert dovecot.count("ann") == 1

    good = raincheck.config.read_text()
    raincheck.config.write_text(good.replace("quarantine = 1.0", 'quarantine = "nonsense"'))
    raincheck.signal(signal.SIGHUP)
    wait_until("the refusal in the log", lambda: raincheck.events("reload-refused"))
    send(raincheck.port, Mail(pitch(1, unique="two")))
    assert dovecot.count("ann") == 2

    raincheck.write(before(dovecot, thresholds=HOLD_ALL))
    raincheck.signal(signal.SIGHUP)
    wait_until("the reload", lambda: raincheck.events("reloaded"), seconds=60)
    again = partial(held_after_another, raincheck, pitch(2, unique="three"))
    wait_until("the new thresholds", again)


def held_after_another(raincheck: Raincheck, content: bytes) -> list[bytes]:
    """What ann has in the folder when one more mail was sent. It may meet a worker that is leaving,
    which says 421 or hangs up; then a client comes again."""
    try:
        send(raincheck.port, Mail(content))
    except smtplib.SMTPServerDisconnected:
        pass
    except smtplib.SMTPResponseException as refusal:
        if refusal.smtp_code != 421:
            raise
    return raincheck.held("ann")


def test_sigterm_while_the_workers_start(dovecot: Dovecot, gateway: StartGateway) -> None:
    raincheck = gateway(before(dovecot))
    raincheck.stop()
    raincheck.launch()
    wait_until("a worker", lambda: workers(raincheck), seconds=60)
    raincheck.stop()
    assert not workers(raincheck)


def test_a_killed_worker_is_replaced_while_the_others_serve(
    dovecot: Dovecot, gateway: StartGateway
) -> None:
    raincheck = gateway(before(dovecot))
    assert raincheck.process is not None
    before_it = workers(raincheck)
    assert len(before_it) == 2
    victim = min(before_it)
    os.kill(victim, signal.SIGKILL)
    for number in range(12):  # each on a connection of its own, so that the kernel chooses anew
        send(raincheck.port, Mail(ordinary(number, unique=f"after-kill{number}")))
    assert dovecot.count("ann") == 12
    wait_until(
        "a new worker",
        lambda: len(now := workers(raincheck)) == 2 and victim not in now,
    )
    with connect(raincheck.port) as client:
        assert client.noop()[0] == 250


def workers(raincheck: Raincheck) -> set[int]:
    """The processes under `serve` that listen on its port, itself left out."""
    assert raincheck.process is not None
    sockets = _listening(raincheck.port)
    return {
        process for process in _descendants(raincheck.process.pid) if sockets & _sockets(process)
    }


def _listening(port: int) -> set[str]:
    """Inodes of the sockets in state LISTEN on a port (proc(5), /proc/net/tcp)."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and int(local.rpartition(":")[2], 16) == port:
            inodes.add(f"socket:[{inode}]")
    return inodes


def _sockets(process: int) -> set[str]:
    found = set()
    try:
        for link in Path(f"/proc/{process}/fd").iterdir():
            found.add(str(link.readlink()))
    except OSError:  # it ended while we looked
        pass
    return found


def _descendants(parent: int) -> set[int]:
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        children.setdefault(int(rest.split()[1]), set()).add(int(stat.parent.name))
    found: set[int] = set()
    waiting = [parent]
    while waiting:
        new = children.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found
