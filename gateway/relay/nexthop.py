"""The next hop: where delivered mail goes. One shape for SMTP, LMTP and a local Maildir.

A `Transaction` is one MAIL…DATA downstream. MAIL and RCPT are relayed as the client speaks them,
so the next hop's own codes come back per recipient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.relay.responses import Reply


class NextHopDown(Exception):
    """The next hop cannot be reached, went silent, or broke the protocol. The mail is still the
    client's; answer 451 and keep nothing."""


class InDoubt(Exception):
    """The connection broke when the next hop may have had the whole mail."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the next hop offered in EHLO or LHLO."""

    eight_bit_mime: bool = False
    smtputf8: bool = False
    size: int | None = None  # octets; 0: offered without a limit


class Transaction(Protocol):
    """One transaction with the next hop. Every method raises NextHopDown."""

    async def mail(self, sender: str, options: Sequence[str]) -> Reply:
        """MAIL FROM; begins afresh (RSET) if a transaction is open. '' is the null sender."""

    async def rcpt(self, recipient: str) -> Reply:
        """RCPT TO."""

    async def data(self, content: bytes) -> Mapping[str, Reply]:
        """DATA, to every accepted recipient; the final reply for each of them (SMTP: the same
        one). Cancelled or broken off before the final dot, the next hop has nothing.

        Where some have accepted and it then breaks off, theirs are returned and the others get
        NEXT_HOP_DOWN: a caller who did not learn who has the mail would send it to them again.
        NextHopDown is raised only when nobody is known to have accepted; behind the final dot
        that leaves in doubt who has the mail. A refusal, of any recipient, is certain."""

    async def close(self) -> None:
        """End it: back to the pool after RSET, or dropped. Never raises, safe to repeat."""


class NextHop(Protocol):
    """Opens transactions; keeps idle connections."""

    async def capabilities(self) -> Capabilities:
        """From the newest greeting; connects when there was none yet. Raises NextHopDown."""

    async def begin(self) -> Transaction:
        """A transaction on an idle or a new connection. Raises NextHopDown."""

    async def close(self) -> None:
        """Drop every idle connection."""


async def hand_over(
    next_hop: NextHop, sender: str, options: Sequence[str], recipient: str, content: bytes
) -> Reply:
    """One mail of our own accord, to one recipient; the next hop's last word on it. Raises
    NextHopDown when it has nothing, InDoubt when it may have the mail."""
    transaction = await next_hop.begin()
    try:
        reply = await transaction.mail(sender, options)
        if reply.positive:
            reply = await transaction.rcpt(recipient)
        return await _data(transaction, recipient, content) if reply.positive else reply
    finally:
        await transaction.close()


async def _data(transaction: Transaction, recipient: str, content: bytes) -> Reply:
    try:
        return (await transaction.data(content))[recipient]
    except NextHopDown as error:
        # It may have broken off before the final dot or after it, when only the reply was lost.
        raise InDoubt(str(error)) from error
