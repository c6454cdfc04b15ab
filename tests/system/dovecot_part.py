"""A private Dovecot: LMTP, and IMAP if wanted, on loopback; Maildirs in a directory of its own,
users ann to erin.

It never reads or writes /etc/dovecot or /var/mail, and runs as root or as anyone. Mail is stored
with CRLF, so that what is read back can be compared octet by octet with what was sent.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from debian import need
from snippets import snippet, with_path
from waiting import free_port, greeting, wait_until

USERS = ("ann", "bob", "carol", "dave", "erin")
LMTP_PORT_IN_DOCS = "_10024"
PASSWORD = "x"
IMAP = """\
service imap-login {{
 inet_listener imap {{
  port = {port}
 }}
 inet_listener imaps {{
  port = 0
 }}
}}
"""


class Dovecot:
    """A running server. Use `start`, then `stop`. With `imap`, it speaks IMAP as well, and shows
    each user what the gateway holds below `quarantine`, as the page has it. At `auth_socket` it
    tells Postfix who may send."""

    def __init__(self, *, imap: bool = False, auth_socket: Path | None = None) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="rc-dovecot-"))
        self.quarantine = self.home / "quarantine"
        self.port = free_port()
        self.imap_port = free_port() if imap else 0
        self.auth_socket = auth_socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        need("dovecot")
        if self.imap_port:
            need("imap")
        _skip_unless_2_3()
        # The server's unprivileged processes must reach their sockets and the mail.
        self.home.chmod(0o755)
        for name in ("mail", "run"):
            (self.home / name).mkdir(mode=0o755)
        self.quarantine.mkdir(mode=0o700)
        for name in ("mail", "quarantine"):
            os.chown(self.home / name, *mail_ids())
        config = self.home / "dovecot.conf"
        config.write_text(self._config())
        with (self.home / "stderr").open("wb") as errors:
            self._process = subprocess.Popen(
                ["dovecot", "-F", "-c", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        try:
            wait_until("Dovecot's LMTP", lambda: greeting(self.port).startswith("220"), seconds=20)
        except AssertionError:
            pytest.fail(f"Dovecot did not start:\n{self.log()}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def mails(self, user: str) -> list[bytes]:
        """Every mail in a user's mailbox, as stored, in no particular order."""
        return [path.read_bytes() for path in self._files(user)]

    def count(self, user: str) -> int:
        """How many mails a user has."""
        return len(self._files(user))

    def empty(self) -> None:
        """Forget all mail; the next delivery makes the mailbox anew."""
        for user in USERS:
            shutil.rmtree(self.home / "mail" / user, ignore_errors=True)

    def log(self) -> str:
        return "\n".join(
            f"--- {name}\n{path.read_text(errors='replace')}"
            for name in ("stderr", "dovecot.log")
            if (path := self.home / name).exists()
        )

    def _files(self, user: str) -> list[Path]:
        box = self.home / "mail" / user / "Maildir"
        return [path for sub in ("new", "cur") for path in (box / sub).glob("*")]

    def _config(self) -> str:
        uid, gid = mail_ids()
        users = self.home / "users"
        users.write_text(
            "".join(f"{user}@example.com:{{PLAIN}}{PASSWORD}::::::\n" for user in USERS)
        )
        return "\n".join(
            [
                f"base_dir = {self.home}/run",
                f"state_dir = {self.home}/run",
                f"log_path = {self.home}/dovecot.log",
                "listen = 127.0.0.1",
                "ssl = no",
                f"protocols = {'imap' if self.imap_port else ''}",
                snippet("Dovecot", "local.conf", **{LMTP_PORT_IN_DOCS: self.port}),
                "mail_location = maildir:~/Maildir",
                "mail_save_crlf = yes",
                f"mail_uid = {uid}",
                f"mail_gid = {gid}",
                "first_valid_uid = 1",
                "first_valid_gid = 1",
                *_unprivileged(),
                *(self._imap() if self.imap_port else ()),
                self._auth() if self.auth_socket else "",
                f"passdb {{\n driver = passwd-file\n args = {users}\n}}",
                f"userdb {{\n driver = passwd-file\n args = {users}",
                f" default_fields = uid={uid} gid={gid} home={self.home}/mail/%n\n}}",
                "",
            ]
        )

    def _auth(self) -> str:
        assert self.auth_socket
        text = snippet("Submission", "local.conf")
        return with_path(text, "/var/spool/postfix/private/auth", self.auth_socket)

    def _imap(self) -> list[str]:
        section, acl = "Held mail in the mail client", self.home / "raincheck.acl"
        acl.write_text(snippet(section, "raincheck.acl"))
        folder = with_path(
            snippet(section, "local.conf"), "/var/lib/raincheck/quarantine", self.quarantine
        )
        return [
            IMAP.format(port=self.imap_port),
            with_path(folder, "/etc/dovecot/raincheck.acl", acl),
        ]


def mail_ids() -> tuple[int, int]:
    """Who owns the mail: nobody when we are root (Dovecot refuses to store as root), else we."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _unprivileged() -> list[str]:
    """What makes Dovecot run without root: everything as ourselves, nothing in a chroot."""
    if os.geteuid() == 0:
        return []
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    return [
        f"default_internal_user = {user}",
        f"default_login_user = {user}",
        f"default_internal_group = {group}",
        "service anvil {\n chroot =\n}",
        "service stats {\n chroot =\n}",
        "service imap-login {\n chroot =\n}",
        f"service lmtp {{\n user = {user}\n}}",
    ]


def _skip_unless_2_3() -> None:
    version = subprocess.run(
        ["dovecot", "--version"], capture_output=True, text=True, check=True
    ).stdout.split()[0]
    if not version.startswith("2.3."):
        pytest.skip(f"the tests configure Dovecot 2.3; here is {version}, another dialect")
