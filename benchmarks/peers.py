"""What is measured: the gateway, and a private Postfix that queues, both before the sink.

Each is a context manager that yields the port to send to. Everything lies in a directory of its
own under the system's temporary directory, which is removed at the end.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DELIVERED, HELD = "ann@example.com", "bob@example.com"

GATEWAY = """\
[relay]
listen = "127.0.0.1:{port}"
workers = {workers}
[next_hop]
kind = "smtp"
address = "127.0.0.1:{sink}"
[thresholds]
tag = 1.0
quarantine = 1.0
answer = 1.0
[digest]
enabled = false
[[recipients]]
match = "{held}"
thresholds = {{ tag = 0.0, quarantine = 0.0, answer = 1.0 }}
"""
MASTER = """\
127.0.0.1:{port} inet n - n - 200 smtpd
cleanup   unix  n  -  n  -    0  cleanup
qmgr      unix  n  -  n  300  1  qmgr
rewrite   unix  -  -  n  -    -  trivial-rewrite
bounce    unix  -  -  n  -    0  bounce
defer     unix  -  -  n  -    0  bounce
trace     unix  -  -  n  -    0  bounce
proxymap  unix  -  -  n  -    -  proxymap
smtp      unix  -  -  n  -    -  smtp
error     unix  -  -  n  -    -  error
retry     unix  -  -  n  -    -  error
anvil     unix  -  -  n  -    1  anvil
scache    unix  -  -  n  -    1  scache
postlog   unix-dgram n - n -  1  postlogd
"""
MAIN = """\
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {home}/mail.log
maillog_file_prefixes = {home}
myhostname = peer.example
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{sink}
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
local_recipient_maps =
alias_maps =
alias_database =
"""


class Missing(Exception):
    """This peer cannot run here; the message says why."""


@contextlib.contextmanager
def gateway(sink: int, workers: int) -> Iterator[int]:
    """`raincheck serve` with the sink as its next hop: what is for DELIVERED is relayed, what is
    for HELD goes into the folder; both are read and judged."""
    port = free_port()
    with _directory() as home:
        config = home / "raincheck.toml"
        config.write_text(GATEWAY.format(port=port, workers=workers, sink=sink, held=HELD))
        environ = {key: text for key, text in os.environ.items() if key[:10] != "RAINCHECK_"}
        command = [sys.executable, "-m", "gateway", "serve", "--config", str(config)]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=home, env=environ | {"PYTHONPATH": str(ROOT)}, stderr=log, stdout=log
            )
        try:
            _await_greeting(port, process, home / "log")
            yield port
        finally:
            _end(process)


@contextlib.contextmanager
def postfix(sink: int) -> Iterator[int]:
    """Postfix with its queue on disk and the sink as its relay host."""
    if not shutil.which("postfix") or os.geteuid() != 0:
        raise Missing("Postfix is not installed, or we are not root")
    port = free_port()
    with _directory() as home:
        home.chmod(0o755)
        for name in ("conf", "queue", "data"):
            (home / name).mkdir(mode=0o755)
        os.chown(home / "data", pwd.getpwnam("postfix").pw_uid, -1)
        (home / "conf" / "main.cf").write_text(MAIN.format(home=home, sink=sink))
        (home / "conf" / "master.cf").write_text(MASTER.format(port=port))
        command = ["postfix", "-c", str(home / "conf")]
        process = subprocess.Popen(
            [*command, "start-fg"], stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _await_greeting(port, process, home / "mail.log")
            yield port
        finally:
            subprocess.run([*command, "stop"], stderr=subprocess.DEVNULL, check=False)
            _end(process)


@contextlib.contextmanager
def sink() -> Iterator[int]:
    """The next hop."""
    command = [sys.executable, str(Path(__file__).with_name("sink.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


def taken(sink_port: int) -> int:
    """How many mails the sink has."""
    with socket.create_connection(("127.0.0.1", sink_port), timeout=10) as peer:
        lines = peer.makefile("rwb")
        lines.readline()
        lines.write(b"XCOUNT\r\n")
        lines.flush()
        return int(lines.readline().split()[1])


def free_port() -> int:
    """A port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="rc-bench-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _await_greeting(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=5) as peer,
        ):
            if peer.recv(3) == b"220":
                return
        time.sleep(0.1)
    text = log.read_text(errors="replace") if log.exists() else "it wrote no log"
    raise Missing(f"it did not start: {text[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
