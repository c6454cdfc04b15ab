"""A private Postfix with its own configuration, queue and data directories, on loopback.

Two layouts, both of them the snippets of docs/postfix.md: `after-queue` (content_filter with
re-injection) and `before-mailbox` (Raincheck as the virtual transport). It needs root, as Postfix
does, and never reads /etc/postfix except for the list of files that belong to Postfix.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from debian import need
from snippets import snippet
from waiting import free_port, greeting, wait_until

# What Postfix needs to take, queue and pass on mail; the rest of its daemons stays out.
DAEMONS = """\
pickup    unix  n  -  n  60   1  pickup
cleanup   unix  n  -  n  -    0  cleanup
qmgr      unix  n  -  n  300  1  qmgr
rewrite   unix  -  -  n  -    -  trivial-rewrite
bounce    unix  -  -  n  -    0  bounce
defer     unix  -  -  n  -    0  bounce
trace     unix  -  -  n  -    0  bounce
verify    unix  -  -  n  -    1  verify
flush     unix  n  -  n  1000? 0 flush
proxymap  unix  -  -  n  -    -  proxymap
smtp      unix  -  -  n  -    -  smtp
showq     unix  n  -  n  -    -  showq
error     unix  -  -  n  -    -  error
retry     unix  -  -  n  -    -  error
discard   unix  -  -  n  -    -  discard
lmtp      unix  -  -  n  -    -  lmtp
anvil     unix  -  -  n  -    1  anvil
scache    unix  -  -  n  -    1  scache
tlsmgr    unix  -  -  n  1000? 1  tlsmgr
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
myhostname = mx.example.com
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtp_host_lookup = native
disable_dns_lookups = yes
smtpd_peername_lookup = no
local_recipient_maps =
local_transport = error:none
alias_maps =
alias_database =
address_verify_map =
address_verify_poll_delay = 1s
minimal_backoff_time = 2s
maximal_backoff_time = 4s
queue_run_delay = 2s
transport_retry_time = 2s
relayhost = [127.0.0.1]:{relayhost}
"""
SECTIONS = {"after-queue": "After the queue", "before-mailbox": "Before the mailbox"}


class Postfix:
    """A running Postfix. `port` is its front; it hands mail to `raincheck_port`, where nothing
    need listen yet; `way_back` takes it again in the first layout, and answers in both. With a
    certificate (a PEM file with its key) users may send through `submission`; they sign in at
    `auth_socket`, where Dovecot has to listen."""

    def __init__(
        self, layout: str, *, lmtp_port: int, relayhost: int, certificate: Path | None = None
    ) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rc-postfix-"))
        self.layout, self.lmtp_port, self.relayhost = layout, lmtp_port, relayhost
        self.port, self.raincheck_port, self.way_back = free_port(), free_port(), free_port()
        self.submission, self.certificate = free_port(), certificate
        self.auth_socket = self.home / "queue" / "private" / "auth"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("Postfix must be started by root")
        need("postfix")
        self._lay_out()
        with (self.home / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                ["postfix", "-c", str(self.home / "conf"), "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        try:
            wait_until("Postfix", lambda: greeting(self.port).startswith("220"), seconds=30)
        except AssertionError:
            pytest.fail(f"Postfix did not start:\n{self.log()}")

    def stop(self) -> None:
        if self._process is not None:
            self._command("stop")
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def queued(self) -> list[str]:
        """The names of the mails in the queue, waiting or being delivered."""
        names = []
        for queue in ("maildrop", "incoming", "active", "deferred", "hold"):
            for _, _, files in os.walk(self.home / "queue" / queue):
                names += files
        return names

    def flush(self) -> None:
        """Try every deferred mail now."""
        subprocess.run(
            ["postqueue", "-c", str(self.home / "conf"), "-f"], capture_output=True, check=True
        )

    def discard(self) -> None:
        """Throw the queue away."""
        subprocess.run(
            ["postsuper", "-c", str(self.home / "conf"), "-d", "ALL"],
            capture_output=True,
            check=True,
        )

    def log(self) -> str:
        return "\n".join(
            f"--- {name}\n{path.read_text(errors='replace')}"
            for name in ("stderr", "mail.log")
            if (path := self.home / name).exists()
        )

    def _lay_out(self) -> None:
        self.home.chmod(0o755)
        for name in ("conf", "queue", "data"):
            (self.home / name).mkdir(mode=0o755)
        os.chown(self.home / "data", pwd.getpwnam("postfix").pw_uid, -1)
        main, master = self._main(), self._master()
        (self.home / "conf" / "main.cf").write_text(main)
        (self.home / "conf" / "master.cf").write_text(master)

    def _main(self) -> str:
        numbers = (
            {"_10024": self.lmtp_port}
            if self.layout == "after-queue"
            else {"_2525": self.raincheck_port}
        )
        text = MAIN.format(home=self.home, relayhost=self.relayhost)
        if self.certificate:
            text += f"smtpd_tls_chain_files = {self.certificate}\n"
        return text + snippet(SECTIONS[self.layout], "main.cf", **numbers)

    def _master(self) -> str:
        numbers = {"_10026": self.way_back}
        if self.layout == "after-queue":
            numbers["_2525"] = self.raincheck_port
        text = snippet(SECTIONS[self.layout], "master.cf", **numbers)
        text, count = re.subn(r"(?m)^smtp +inet", f"127.0.0.1:{self.port} inet", text)
        assert count == 1, "docs/postfix.md must replace the smtp inet entry of master.cf"
        return DAEMONS + text + (self._submission() if self.certificate else "")

    def _submission(self) -> str:
        text = snippet("Submission", "master.cf")
        text, count = re.subn(r"(?m)^submission inet", f"127.0.0.1:{self.submission} inet", text)
        assert count == 1, "docs/postfix.md must have a submission entry for master.cf"
        return text

    def _command(self, name: str) -> None:
        subprocess.run(
            ["postfix", "-c", str(self.home / "conf"), name],
            capture_output=True,
            timeout=30,
            check=False,
        )
