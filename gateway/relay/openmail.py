"""The mail a client is handing over, from MAIL to its content, and what the next hop says to it.

What the client may not say raises Refusal with the reply for it. A next hop that is down is a
reply, 451.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from gateway.envelope import Envelope
from gateway.relay import paths
from gateway.relay import responses as say
from gateway.relay.greeting import Greeting
from gateway.relay.intake import has_bare_newlines, normalised
from gateway.relay.nexthop import NextHopDown, Transaction
from gateway.relay.responses import Refusal, Reply


@dataclass(slots=True)
class OpenMail:
    """The transaction that is open. `recipients` are those the next hop has accepted."""

    transaction: Transaction
    greeting: Greeting
    sender: str
    options: tuple[str, ...]
    recipients: list[str] = field(default_factory=list)

    @property
    def utf8(self) -> bool:
        """SMTPUTF8 was asked for."""
        return "SMTPUTF8" in self.options

    def rcpt_to(self, argument: str, domains: Sequence[str]) -> str:
        """The recipient of a RCPT command."""
        path, parameters = paths.argument("TO", argument)
        if parameters:  # no RCPT parameter is offered
            raise Refusal(say.UNKNOWN_PARAMETER)
        recipient = paths.forward_path(path, domains)
        if not recipient.isascii() and not self.utf8:
            raise Refusal(say.NEEDS_SMTPUTF8)
        return recipient

    def is_for(self, recipient: str) -> bool:
        """Whether that mailbox is among the recipients, however it is spelled."""
        return recipient.lower() in (one.lower() for one in self.recipients)

    async def add(self, recipient: str) -> Reply:
        """RCPT at the next hop."""
        try:
            reply = await self.transaction.rcpt(recipient)
        except NextHopDown:
            return say.NEXT_HOP_DOWN
        if reply.positive:
            self.recipients.append(recipient)
        return passed_on(reply)

    def envelope(self, client: str, *, tls: bool) -> Envelope:
        """As it stands now, under a new id."""
        return Envelope(
            id=_new_id(),
            client=client,
            helo=self.greeting.helo,
            mail_from=self.sender,
            rcpt_tos=tuple(self.recipients),
            received_at=datetime.now(UTC),
            protocol=self.greeting.protocol(utf8=self.utf8, tls=tls),
            mail_options=self.options,
        )


def mail_from(argument: str, greeting: Greeting) -> tuple[str, tuple[str, ...]]:
    """The sender and the options of a MAIL command."""
    path, parameters = paths.argument("FROM", argument)
    sender = paths.reverse_path(path)
    if parameters and not greeting.extended:
        raise Refusal(say.UNKNOWN_PARAMETER)
    limit, smtputf8 = greeting.size_limit, greeting.offered.smtputf8
    options = paths.mail_options(parameters, limit=limit, smtputf8=smtputf8)
    if not sender.isascii() and "SMTPUTF8" not in options:
        raise Refusal(say.NEEDS_SMTPUTF8)
    return sender, options


def accepted(content: bytes | None, bare_newlines: Literal["refuse", "normalise"]) -> bytes:
    """The content with CRLF at every line's end and nowhere a bare CR or LF; None: too big."""
    if content is None:
        raise Refusal(say.TOO_BIG)
    if not has_bare_newlines(content):
        return content
    if bare_newlines == "refuse":
        raise Refusal(say.BARE_NEWLINES)
    return normalised(content)


def passed_on(reply: Reply) -> Reply:
    """A next hop's reply as our own. Its 421 is about its connection, not about the client's;
    anything that is neither yes nor no counts as not now."""
    if reply.positive or (reply.code >= 400 and reply.code != 421):
        return reply
    return Reply(451, reply.lines)


def _new_id() -> str:
    """16 hexadecimal digits, random from the first on, so that the beginning of one is enough to
    name a mail."""
    return secrets.token_hex(8)
