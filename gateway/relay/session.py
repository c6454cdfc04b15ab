"""One client's conversation: the verbs of SMTP (RFC 5321 §4.1), relayed live to the next hop.

Promises: MAIL and RCPT are answered with the next hop's own replies. Data ends at CRLF.CRLF only
and goes on without a bare CR or LF. From the final dot on, `process` runs to its end even when the
client has gone. What the client does wrong is counted, and too much of it ends the session.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from config.settings import Relay as Settings
from gateway.envelope import Envelope
from gateway.relay import paths
from gateway.relay import responses as say
from gateway.relay.intake import has_bare_newlines, normalised
from gateway.relay.nexthop import Capabilities, NextHop, NextHopDown, Transaction
from gateway.relay.peer import Peer
from gateway.relay.responses import Refusal, Reply

log = structlog.get_logger()

Process = Callable[[Envelope, bytes, Transaction], Awaitable[Reply]]
"""What becomes of a mail whose final dot was read; its reply is the client's answer to DATA."""

_MOST_FAULTS = 10  # commands refused for their form or order
_MOST_BAD_RECIPIENTS = 25  # after that somebody is guessing addresses
_MOST_IDLE_COMMANDS = 1000  # NOOP, RSET, EHLO, MAIL… without a mail accepted
_CAPABILITIES_SECONDS = 5.0
_WEB = frozenset({"GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "PATCH", "DELETE", "TRACE"})


@dataclass(frozen=True, slots=True)
class Desk:
    """What the sessions of one relay share."""

    settings: Settings
    next_hop: NextHop
    process: Process
    tls: ssl.SSLContext | None
    admit: Callable[[Session], Reply | None]  # None, or why this client cannot come in
    leave: Callable[[Session], None]


@dataclass(slots=True)
class _Mail:
    """The transaction that is open, from MAIL on."""

    transaction: Transaction
    sender: str
    options: tuple[str, ...]
    recipients: list[str] = field(default_factory=list)


class Session(Peer):
    """The server's side of one connection."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.settings.hostname, desk.settings.timeout.total_seconds())
        self._desk = desk
        self._helo = ""
        self._extended = False
        self._offered = Capabilities()
        self._size_limit = desk.settings.max_message_size
        self._mail: _Mail | None = None
        self._faults = self._bad_recipients = self._idle_commands = 0
        self._winding_down = self._patient = self._had_mail = False
        self._verbs: dict[str, Callable[[str], Awaitable[Reply | None]]] = {
            "HELO": self._hello,
            "EHLO": self._extended_hello,
            "STARTTLS": self._starttls,
            "MAIL": self._mail_from,
            "RCPT": self._rcpt_to,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": self._noop,
            "VRFY": self._vrfy,
            "HELP": self._help,
            "QUIT": self._quit,
        }

    def wind_down(self, *, patient: bool) -> None:
        """No new transaction; the open one may finish, and with `patient` a first one begin."""
        self._winding_down, self._patient = True, patient
        if self.listening and self._dismissed:
            self.cut(say.SHUTTING_DOWN)

    @property
    def _dismissed(self) -> bool:
        may_begin = not self._winding_down or (self._patient and not self._had_mail)
        return self._mail is None and not may_begin

    async def converse(self) -> None:
        """The greeting, then command by command."""
        refusal = self._desk.admit(self)
        if refusal is not None:
            await self.say(refusal)
            return
        await self.say(Reply.of(220, f"{self.hostname} ESMTP"))
        while not self.over:
            if self._dismissed:
                await self.say(say.SHUTTING_DOWN)
            else:
                await self._turn()

    async def depart(self) -> None:
        """The next hop forgets the open transaction."""
        await self._drop_mail()

    async def _drop_mail(self) -> None:
        mail, self._mail = self._mail, None
        if mail is not None:
            await mail.transaction.close()

    def gone(self) -> None:
        """Tell the relay."""
        self._desk.leave(self)

    async def _turn(self) -> None:
        """Read one command, carry it out, answer it."""
        try:
            reply = await self._obey(*await self.command())
        except Refusal as refusal:
            reply = refusal.reply
        except (ConnectionError, TimeoutError):  # the client's; a next hop's is NextHopDown
            raise
        except Exception as error:
            log.error("unforeseen", client=self.client, error=repr(error), exc_info=True)
            reply = say.UNFORESEEN
        if reply is not None:
            await self.say(self._counted(reply))

    async def _obey(self, verb: str, argument: str) -> Reply | None:
        if verb in _WEB or verb == "BDAT":
            # What follows is a web request or a chunk, and would be read as commands.
            self.over = True
        method = self._verbs.get(verb)
        return await method(argument) if method else say.UNKNOWN_COMMAND

    def _counted(self, reply: Reply) -> Reply:
        """The reply, or 421 for one fault too many. An accepted mail wipes the slate."""
        self._faults += 500 <= reply.code <= 505 or reply is say.NO_RECIPIENTS
        if self._faults > _MOST_FAULTS or self._idle_commands > _MOST_IDLE_COMMANDS:
            log.warning("client-cut-off", client=self.client, faults=self._faults)
            return say.TOO_MANY_FAULTS
        return reply

    # Greeting

    async def _hello(self, name: str) -> Reply:
        await self._hail(name, extended=False)
        return Reply.of(250, self.hostname)

    async def _extended_hello(self, name: str) -> Reply:
        await self._hail(name, extended=True)
        self._offered = await self._next_hop_offers()
        ours, theirs = self._desk.settings.max_message_size, self._offered.size
        self._size_limit = min(ours, theirs) if theirs else ours
        return Reply(250, (self.hostname, *self._keywords()))

    def _keywords(self) -> list[str]:
        """What both sides support (courtesy D6)."""
        keywords = {
            "PIPELINING": True,
            f"SIZE {self._size_limit}": True,
            "8BITMIME": self._offered.eight_bit_mime,
            "SMTPUTF8": self._offered.smtputf8,
            "STARTTLS": self._desk.tls is not None and not self.over_tls,
        }
        return [keyword for keyword, offered in keywords.items() if offered]

    async def _hail(self, name: str, *, extended: bool) -> None:
        self._idle_commands += 1
        if not (name and name.isascii() and name.isprintable()) or len(name) > 255:
            raise Refusal(say.BAD_HELO)
        await self._drop_mail()
        self._helo, self._extended = name, extended
        self._offered = Capabilities()

    async def _next_hop_offers(self) -> Capabilities:
        """While the next hop is away everything is offered, for MAIL will be answered 451: a
        client that found SMTPUTF8 missing would return its mail to the sender for good."""
        try:
            async with asyncio.timeout(_CAPABILITIES_SECONDS):
                return await self._desk.next_hop.capabilities()
        except (NextHopDown, TimeoutError):
            return Capabilities(eight_bit_mime=True, smtputf8=True)

    async def _starttls(self, argument: str) -> Reply | None:
        if self._desk.tls is None:
            return say.UNKNOWN_COMMAND
        if argument:
            return say.NO_ARGUMENT
        if self.over_tls or not self._extended:
            return say.BAD_SEQUENCE
        await self._drop_mail()
        await self.say(say.READY_FOR_TLS)
        await self.start_tls(self._desk.tls)
        self._helo, self._extended = "", False
        return None

    # Envelope

    async def _mail_from(self, argument: str) -> Reply:
        self._idle_commands += 1
        if not self._helo or self._mail is not None:
            return say.BAD_SEQUENCE
        path, parameters = paths.argument("FROM", argument)
        sender = paths.reverse_path(path)
        if parameters and not self._extended:
            return say.UNKNOWN_PARAMETER
        options = paths.mail_options(
            parameters, limit=self._size_limit, smtputf8=self._offered.smtputf8
        )
        if not sender.isascii() and "SMTPUTF8" not in options:
            return say.NEEDS_SMTPUTF8
        return await self._begin(sender, options)

    async def _begin(self, sender: str, options: tuple[str, ...]) -> Reply:
        try:
            transaction = await self._desk.next_hop.begin()
            self._mail = _Mail(transaction, sender, options)
            reply = await transaction.mail(sender, options)
        except NextHopDown:
            reply = say.NEXT_HOP_DOWN
        if reply.positive:
            self._had_mail = True
        else:
            await self._drop_mail()
        return _passed_on(reply)

    async def _rcpt_to(self, argument: str) -> Reply:
        mail = self._mail
        if mail is None:
            return say.BAD_SEQUENCE
        try:
            recipient = self._recipient(argument, mail)
        except Refusal as refusal:
            return self._bad_recipient(refusal.reply)
        if recipient.lower() in (one.lower() for one in mail.recipients):
            return say.OK  # one copy for one mailbox
        if len(mail.recipients) >= self._desk.settings.max_recipients:
            return say.TOO_MANY_RECIPIENTS
        return await self._relayed(mail, recipient)

    def _recipient(self, argument: str, mail: _Mail) -> str:
        path, parameters = paths.argument("TO", argument)
        if parameters:  # no RCPT parameter is offered
            raise Refusal(say.UNKNOWN_PARAMETER)
        recipient = paths.forward_path(path, self._desk.settings.domains)
        if not recipient.isascii() and "SMTPUTF8" not in mail.options:
            raise Refusal(say.NEEDS_SMTPUTF8)
        return recipient

    async def _relayed(self, mail: _Mail, recipient: str) -> Reply:
        try:
            reply = await mail.transaction.rcpt(recipient)
        except NextHopDown:
            return say.NEXT_HOP_DOWN
        if reply.positive:
            mail.recipients.append(recipient)
            return reply
        passed_on = _passed_on(reply)
        return passed_on if passed_on.transient else self._bad_recipient(passed_on)

    def _bad_recipient(self, reply: Reply) -> Reply:
        self._bad_recipients += 1
        if self._bad_recipients > _MOST_BAD_RECIPIENTS:
            log.warning("client-cut-off", client=self.client, bad_recipients=self._bad_recipients)
            return say.TOO_MANY_BAD_RECIPIENTS
        return reply

    # Message

    async def _data(self, argument: str) -> Reply:
        mail = self._mail
        if mail is None:
            return say.BAD_SEQUENCE
        if argument:
            return say.NO_ARGUMENT
        if not mail.recipients:
            return say.NO_RECIPIENTS
        await self.say(say.SEND_DATA)
        try:
            reply = await self._commit(mail, await self._content())
        finally:
            await self._drop_mail()
        if reply.positive:
            self._faults = self._bad_recipients = self._idle_commands = 0
        return _passed_on(reply)

    async def _content(self) -> bytes:
        """The message, with CRLF at every line's end and nowhere a bare CR or LF."""
        content = await self.message(self._size_limit)
        if content is None:
            raise Refusal(say.TOO_BIG)
        if not has_bare_newlines(content):
            return content
        if self._desk.settings.bare_newlines == "refuse":
            raise Refusal(say.BARE_NEWLINES)
        return normalised(content)

    async def _commit(self, mail: _Mail, content: bytes) -> Reply:
        envelope = self._envelope_of(mail)
        with self.unbroken():
            try:
                reply = await self._desk.process(envelope, content, mail.transaction)
            except Exception as error:
                log.error("unforeseen", id=envelope.id, error=repr(error), exc_info=True)
                reply = say.UNFORESEEN
        if self.transport is None:
            log.warning("client-left-unanswered", id=envelope.id, code=reply.code)
        return reply

    def _envelope_of(self, mail: _Mail) -> Envelope:
        return Envelope(
            id=_new_id(),
            client=self.client,
            helo=self._helo,
            mail_from=mail.sender,
            rcpt_tos=tuple(mail.recipients),
            received_at=datetime.now(UTC),
            protocol=self._protocol(utf8="SMTPUTF8" in mail.options),
            mail_options=mail.options,
        )

    def _protocol(self, *, utf8: bool) -> str:
        """RFC 3848, RFC 6531 §3.7.3."""
        if not self._extended:
            return "SMTP"
        return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if self.over_tls else "")

    # The rest

    async def _rset(self, argument: str) -> Reply:
        self._idle_commands += 1
        if argument:
            return say.NO_ARGUMENT
        await self._drop_mail()
        return say.OK

    async def _noop(self, _argument: str) -> Reply:
        self._idle_commands += 1
        return say.OK

    async def _vrfy(self, _argument: str) -> Reply:
        self._idle_commands += 1
        return say.CANNOT_VERIFY

    async def _help(self, _argument: str) -> Reply:
        self._idle_commands += 1
        return say.HELP

    async def _quit(self, argument: str) -> Reply:
        return say.NO_ARGUMENT if argument else say.BYE


def _passed_on(reply: Reply) -> Reply:
    """A next hop's reply as our own. Its 421 is about its connection, not about the client's;
    anything that is neither yes nor no counts as not now."""
    if reply.positive or (reply.code >= 400 and reply.code != 421):
        return reply
    return Reply(451, reply.lines)


def _new_id() -> str:
    """Sorts by time: milliseconds since 1970 and a random part, 17 hexadecimal digits."""
    return f"{time.time_ns() // 1_000_000:011x}{secrets.token_hex(3)}"
