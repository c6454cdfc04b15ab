"""One client's conversation: the verbs of SMTP (RFC 5321 §4.1), relayed live to the next hop.

Promises: MAIL and RCPT are answered with the next hop's own replies. Data ends at CRLF.CRLF only
and goes on without a bare CR or LF. From the final dot on, `process` runs to its end even when the
client has gone. What the client does wrong is counted, and too much of it ends the session.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from config.settings import Relay as Settings
from gateway.envelope import Envelope
from gateway.relay import greeting, openmail
from gateway.relay import responses as say
from gateway.relay.greeting import Greeting
from gateway.relay.nexthop import Capabilities, NextHop, NextHopDown, Transaction
from gateway.relay.openmail import OpenMail, passed_on
from gateway.relay.peer import Peer
from gateway.relay.responses import Refusal, Reply
from gateway.relay.tally import Tally

log = structlog.get_logger()

Process = Callable[[Envelope, bytes, Transaction], Awaitable[Reply]]
"""What becomes of a mail whose final dot was read; its reply is the client's answer to DATA."""

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


class Session(Peer):
    """The server's side of one connection."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.settings.hostname, desk.settings.timeout.total_seconds())
        self._desk = desk
        self._greeting = Greeting(desk.settings.max_message_size)
        self._tally = Tally()
        self._mail: OpenMail | None = None
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
            await self.say(self._tally.reply(reply, self.client))

    async def _obey(self, verb: str, argument: str) -> Reply | None:
        if verb in _WEB or verb == "BDAT":
            # What follows is a web request or a chunk, and would be read as commands.
            self.over = True
        method = self._verbs.get(verb)
        return await method(argument) if method else say.UNKNOWN_COMMAND

    # Greeting

    async def _hello(self, name: str) -> Reply:
        await self._hail(name, extended=False)
        return Reply.of(250, self.hostname)

    async def _extended_hello(self, name: str) -> Reply:
        await self._hail(name, extended=True)
        most = self._desk.settings.max_message_size
        self._greeting = await greeting.extended(name, self._desk.next_hop, most)
        starttls = self._desk.tls is not None and not self.over_tls
        return Reply(250, (self.hostname, *self._greeting.keywords(starttls=starttls)))

    async def _hail(self, name: str, *, extended: bool) -> None:
        self._tally.idle_command()
        helo = greeting.host_name(name)
        await self._drop_mail()
        self._greeting = replace(
            self._greeting, helo=helo, extended=extended, offered=Capabilities()
        )

    async def _starttls(self, argument: str) -> Reply | None:
        if self._desk.tls is None:
            return say.UNKNOWN_COMMAND
        if argument:
            return say.NO_ARGUMENT
        if self.over_tls or not self._greeting.extended:
            return say.BAD_SEQUENCE
        await self._drop_mail()
        await self.say(say.READY_FOR_TLS)
        await self.start_tls(self._desk.tls)
        self._greeting = replace(self._greeting, helo="", extended=False)
        return None

    # Envelope

    async def _mail_from(self, argument: str) -> Reply:
        self._tally.idle_command()
        if not self._greeting.helo or self._mail is not None:
            return say.BAD_SEQUENCE
        return await self._begin(*openmail.mail_from(argument, self._greeting))

    async def _begin(self, sender: str, options: tuple[str, ...]) -> Reply:
        try:
            transaction = await self._desk.next_hop.begin()
            self._mail = OpenMail(transaction, self._greeting, sender, options)
            reply = await transaction.mail(sender, options)
        except NextHopDown:
            reply = say.NEXT_HOP_DOWN
        if reply.positive:
            self._had_mail = True
        else:
            await self._drop_mail()
        return passed_on(reply)

    async def _rcpt_to(self, argument: str) -> Reply:
        mail = self._mail
        if mail is None:
            return say.BAD_SEQUENCE
        try:
            recipient = mail.rcpt_to(argument, self._desk.settings.domains)
        except Refusal as refusal:
            return self._tally.bad_recipient(refusal.reply, self.client)
        if mail.is_for(recipient):
            return say.OK  # one copy for one mailbox
        if len(mail.recipients) >= self._desk.settings.max_recipients:
            return say.TOO_MANY_RECIPIENTS
        reply = await mail.add(recipient)
        if reply.positive or reply.transient:
            return reply
        return self._tally.bad_recipient(reply, self.client)

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
            self._tally.wipe()
        return passed_on(reply)

    async def _content(self) -> bytes:
        content = await self.message(self._greeting.size_limit)
        return openmail.accepted(content, self._desk.settings.bare_newlines)

    async def _commit(self, mail: OpenMail, content: bytes) -> Reply:
        envelope = mail.envelope(self.client, tls=self.over_tls)
        with self.unbroken():
            try:
                reply = await self._desk.process(envelope, content, mail.transaction)
            except Exception as error:
                log.error("unforeseen", id=envelope.id, error=repr(error), exc_info=True)
                reply = say.UNFORESEEN
        if self.transport is None:
            log.warning("client-left-unanswered", id=envelope.id, code=reply.code)
        return reply

    # The rest

    async def _rset(self, argument: str) -> Reply:
        self._tally.idle_command()
        if argument:
            return say.NO_ARGUMENT
        await self._drop_mail()
        return say.OK

    async def _noop(self, _argument: str) -> Reply:
        self._tally.idle_command()
        return say.OK

    async def _vrfy(self, _argument: str) -> Reply:
        self._tally.idle_command()
        return say.CANNOT_VERIFY

    async def _help(self, _argument: str) -> Reply:
        self._tally.idle_command()
        return say.HELP

    async def _quit(self, argument: str) -> Reply:
        return say.NO_ARGUMENT if argument else say.BYE
