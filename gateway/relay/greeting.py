"""What HELO and EHLO settle: who the client says it is, and which extensions it was offered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.relay import responses as say
from gateway.relay.nexthop import Capabilities, NextHop, NextHopDown
from gateway.relay.responses import Refusal

_CAPABILITIES_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Greeting:
    """Empty before the client has introduced itself, and again after STARTTLS."""

    size_limit: int  # octets of a message
    helo: str = ""  # untrusted
    extended: bool = False  # EHLO, not HELO
    offered: Capabilities = field(default_factory=Capabilities)

    def keywords(self, *, starttls: bool) -> list[str]:
        """The extensions that both sides support."""
        keywords = {
            "PIPELINING": True,
            f"SIZE {self.size_limit}": True,
            "8BITMIME": self.offered.eight_bit_mime,
            "SMTPUTF8": self.offered.smtputf8,
            "STARTTLS": starttls,
        }
        return [keyword for keyword, offered in keywords.items() if offered]

    def protocol(self, *, utf8: bool, tls: bool) -> str:
        """RFC 3848, RFC 6531 §3.7.3."""
        if not self.extended:
            return "SMTP"
        return ("UTF8SMTP" if utf8 else "ESMTP") + ("S" if tls else "")


def host_name(name: str) -> str:
    """The argument of HELO or EHLO. Raises Refusal."""
    if not (name and name.isascii() and name.isprintable()) or len(name) > 255:
        raise Refusal(say.BAD_HELO)
    return name


async def extended(name: str, next_hop: NextHop, most: int) -> Greeting:
    """The greeting of a client that said EHLO; `most` is our own limit on a message."""
    offered = await _offered_by(next_hop)
    limit = min(most, offered.size) if offered.size else most
    return Greeting(limit, name, True, offered)


async def _offered_by(next_hop: NextHop) -> Capabilities:
    """While the next hop is away everything is offered, for MAIL will be answered 451: a client
    that found SMTPUTF8 missing would return its mail to the sender for good."""
    try:
        async with asyncio.timeout(_CAPABILITIES_SECONDS):
            return await next_hop.capabilities()
    except (NextHopDown, TimeoutError):
        return Capabilities(eight_bit_mime=True, smtputf8=True)
