"""Handing one answer to the smart host over SMTP, and saying exactly what became of it.

`hand_over` returns an `Outcome`; of network and protocol it raises nothing. The line that matters
is the one after which the smart host may have the mail: the moment the message is written to the
connection. Before it every failure is safe to repeat. After it only a reply tells; without one
the outcome is in doubt. aiosmtplib's own `data()` raises the same error on both sides of that
line, so DATA and the message are two steps here.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import ssl
from dataclasses import dataclass
from typing import Literal

from aiosmtplib import SMTP
from aiosmtplib.errors import (
    SMTPConnectError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from config.settings import Answers
from gateway.memory.rows import Answer
from gateway.plain import printable
from replies.fields import is_plain_address

COMMAND_SECONDS = 60.0
FINAL_SECONDS = 600.0  # for the reply to the message itself (RFC 5321 §4.5.3.2.6)

Fate = Literal["sent", "retry", "refused", "in-doubt"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a hand-over: `retry` means that the smart host surely does not have the
    mail; `refused` that it never will. `code` is its reply code, 0 without one."""

    fate: Fate
    detail: str = ""
    code: int = 0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a reply to a command, and for the one to the message; seconds."""

    command: float = COMMAND_SECONDS
    final: float = FINAL_SECONDS


PATIENT = Patience()


class _Refused(Exception):
    """The smart host will not take this answer, now or later."""


async def hand_over(
    answer: Answer, settings: Answers, hostname: str, patience: Patience = PATIENT
) -> Outcome:
    """Give `answer` to the smart host of `settings`; `hostname` is ours, for EHLO."""
    try:
        client = _client(settings, hostname, patience)
    except (OSError, ValueError) as fault:  # tls_ca missing or no certificate
        return Outcome("retry", _words(fault))
    try:
        outcome = await _converse(client, answer, settings, patience)
        await _leave(client)
        return outcome
    finally:
        client.close()  # at once when cancelled: no time for a QUIT then


async def _converse(client: SMTP, answer: Answer, settings: Answers, patience: Patience) -> Outcome:
    """The whole conversation but for QUIT."""
    try:
        await _open(client, settings)
        await _envelope(client, answer)
    except _Refused as fault:
        return Outcome("refused", _words(fault))
    except (SMTPSenderRefused, SMTPRecipientRefused) as fault:
        return _refusal(fault.code, fault.message)
    except (SMTPException, OSError, ValueError) as fault:
        return Outcome("retry", _words(fault), getattr(fault, "code", 0))
    return await _message(client, answer.content, patience)


def _client(settings: Answers, hostname: str, patience: Patience) -> SMTP:
    return SMTP(
        hostname=settings.smart_host.host,
        port=settings.smart_host.port,
        local_hostname=hostname,
        timeout=patience.command,
        start_tls={"off": False, "opportunistic": None, "required": True}[settings.tls],
        tls_context=_tls(settings),
    )


def _tls(settings: Answers) -> ssl.SSLContext | None:
    """Opportunistic TLS takes any certificate: the choice is between that and no TLS at all
    (RFC 7435). With a CA named, or a password to lose, the certificate must be right."""
    if settings.tls == "off":
        return None
    context = ssl.create_default_context(cafile=settings.tls_ca)
    if settings.tls == "opportunistic" and not settings.tls_ca and not _guards_password(settings):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _guards_password(settings: Answers) -> bool:
    return bool(settings.username) and not _is_loopback(settings.smart_host.host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


async def _open(client: SMTP, settings: Answers) -> None:
    """Connect, upgrade to TLS and log in. A refusal here concerns the smart host's settings, not
    this answer, so it is worth another try once they are mended."""
    await client.connect()
    if not settings.username:
        return
    if _guards_password(settings) and client.get_transport_info("sslcontext") is None:
        raise SMTPConnectError("answers.username is set, but the smart host offers no TLS")
    await client.login(settings.username, settings.password.get_secret_value())


async def _envelope(client: SMTP, answer: Answer) -> None:
    """MAIL FROM:<>, one RCPT TO, DATA. Raises _Refused and what aiosmtplib raises."""
    if not is_plain_address(answer.sender) or not answer.content.endswith(b"\r\n"):
        raise _Refused("no ordinary address to answer to, or no mail to send")
    if client.is_ehlo_or_helo_needed:  # not yet greeted, or greeted before STARTTLS
        await client.ehlo()
    utf8 = _needs_utf8(answer)
    if utf8 and not client.supports_extension("smtputf8"):
        raise _Refused("an address is not ASCII and the smart host does not offer SMTPUTF8")
    # RFC 3834 §3.3: the null sender, so that nothing can answer or bounce the answer. RFC 3461
    # §4.1: and no report about it either.
    await client.mail("", options=["SMTPUTF8"] if utf8 else [])
    never = ["NOTIFY=NEVER"] if client.supports_extension("dsn") else []
    await client.rcpt(answer.sender, options=never, encoding="utf-8" if utf8 else "ascii")
    reply = await client.execute_command(b"DATA")
    if reply.code != 354:
        raise SMTPSenderRefused(reply.code, reply.message, "")


def _needs_utf8(answer: Answer) -> bool:
    head = answer.content.partition(b"\r\n\r\n")[0]
    return not (answer.sender.isascii() and head.isascii())


async def _message(client: SMTP, content: bytes, patience: Patience) -> Outcome:
    """The message and the final dot, after a 354."""
    protocol = client.protocol
    try:
        if protocol is None:
            return Outcome("retry", "connection lost before the message")
        protocol.write(re.sub(rb"(?m)^\.", b"..", content) + b".\r\n")
    except SMTPException as fault:  # nothing was written: the connection was already closed
        return Outcome("retry", _words(fault))
    try:
        reply = await protocol.read_response(timeout=patience.final)
    except (SMTPException, OSError) as fault:
        return Outcome("in-doubt", _words(fault))
    if 200 <= reply.code < 300:
        return Outcome("sent", code=reply.code)
    return _refusal(reply.code, reply.message, otherwise="in-doubt")


def _refusal(code: int, message: str, otherwise: Fate = "retry") -> Outcome:
    """A reply as an outcome; `otherwise` is for one that is neither 4yz nor 5yz."""
    fate: Fate = "refused" if 500 <= code < 600 else "retry" if 400 <= code < 500 else otherwise
    return Outcome(fate, f"{code} {_clean(message)}", code)


def _words(fault: Exception) -> str:
    if isinstance(fault, SMTPResponseException):
        return f"{fault.code} {_clean(fault.message)}"
    return _clean(f"{type(fault).__name__.lstrip('_')}: {fault}")


def _clean(text: str) -> str:
    """What a server said, fit for a database row and a terminal."""
    return printable(text)[:200]


async def _leave(client: SMTP) -> None:
    """QUIT, not waiting long for the good-bye: the outcome stands already."""
    with contextlib.suppress(SMTPException, OSError, asyncio.TimeoutError):
        await client.quit(timeout=5)
