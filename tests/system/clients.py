"""What hands mail to the gateway in the tests: swaks, and smtplib over one or many connections."""

from __future__ import annotations

import smtplib
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from debian import need

SENDER = "brad@growthrocket.example"


@dataclass(frozen=True)
class Mail:
    """A mail and its envelope."""

    content: bytes
    rcpt_tos: tuple[str, ...] = ("ann@example.com",)
    mail_from: str = SENDER


def swaks(port: int, mail: Mail, *options: str, ok: bool = True) -> str:
    """Send a mail with swaks, octets untouched; its transcript of the dialogue."""
    need("swaks")
    with tempfile.NamedTemporaryFile(suffix=".eml") as file:
        file.write(mail.content + b".\r\n")
        file.flush()
        done = subprocess.run(
            [
                "swaks",
                *("--server", "127.0.0.1", "--port", str(port), "--timeout", "60"),
                *("--ehlo", "client.example", "--from", mail.mail_from or "<>"),
                *("--to", ",".join(mail.rcpt_tos), "--no-data-fixup", "--data", f"@{file.name}"),
                *options,
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=90,
            check=False,
        )
    transcript = done.stdout + done.stderr
    assert not ok or done.returncode == 0, transcript
    return transcript


def connect(port: int) -> smtplib.SMTP:
    """A connection, greeted. Use it in a `with`."""
    client = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=60)
    client.ehlo()
    return client


def send(port: int, *mails: Mail) -> None:
    """Send mails one after the other over one connection; every recipient must be accepted."""
    with connect(port) as client:
        for mail in mails:
            hand_over(client, mail)


def hand_over(client: smtplib.SMTP, mail: Mail) -> None:
    """One transaction. Raises smtplib's exceptions; a partial refusal is one too."""
    options = ["BODY=8BITMIME"] if client.has_extn("8bitmime") else []
    refused = client.sendmail(mail.mail_from, mail.rcpt_tos, mail.content, options)
    if refused:
        raise smtplib.SMTPRecipientsRefused(refused)


@dataclass
class Tally:
    """What became of a load: the mails that got 250, and why the others did not."""

    accepted: list[Mail] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def send_all(
    port: int,
    mails: Sequence[Mail],
    *,
    connections: int,
    accepted: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Send every mail over so many connections at once. A connection that fails gives up its
    share; `accepted` is told the running count after every 250."""
    tally, lock = Tally(), threading.Lock()

    def share(part: Sequence[Mail]) -> None:
        try:
            with connect(port) as client:
                for mail in part:
                    hand_over(client, mail)
                    with lock:
                        tally.accepted.append(mail)
                        accepted(len(tally.accepted))
        except (OSError, smtplib.SMTPException) as error:
            with lock:
                tally.failures.append(repr(error))

    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(share, [mails[start::connections] for start in range(connections)]))
    return tally
