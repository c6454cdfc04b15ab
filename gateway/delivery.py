"""Handing one mail to the next hop, when its copies may differ from recipient to recipient.

A copy differs only in the one field put before it (`X-Raincheck: pass` or `pitch`). Recipients
with the same field share a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from gateway.envelope import Envelope
from gateway.relay.nexthop import NextHopDown, Transaction
from gateway.relay.responses import NEXT_HOP_DOWN, OK, Reply

log = structlog.get_logger()

Copies = Mapping[bytes, Sequence[str]]
"""The fields to put before the mail, and the recipients who get that copy."""

PARTLY_DELIVERED = Reply.of(451, "4.3.0 Not every recipient could be served, please try again")


async def hand_over(
    transaction: Transaction, envelope: Envelope, copies: Copies, content: bytes
) -> dict[str, Reply]:
    """The next hop's final reply for each recipient.

    The recipients were accepted in `transaction` while the client named them. It is used as it
    stands when all of them get the same copy; otherwise each copy begins afresh.
    """
    replies: dict[str, Reply] = {}
    live = len(copies) == 1 and set(*copies.values()) == set(envelope.rcpt_tos)
    for fields, recipients in copies.items():
        try:
            if not live:
                replies |= await _begin(transaction, envelope, recipients)
            if any(one not in replies for one in recipients):
                replies |= await transaction.data(fields + content)
        except NextHopDown as error:
            log.warning("next-hop-down", id=envelope.id, error=str(error))
            replies |= dict.fromkeys(recipients, NEXT_HOP_DOWN)
    return replies


async def _begin(
    transaction: Transaction, envelope: Envelope, recipients: Sequence[str]
) -> dict[str, Reply]:
    """MAIL and RCPT anew; returns the refusals."""
    reply = await transaction.mail(envelope.mail_from, envelope.mail_options)
    if not reply.positive:
        return dict.fromkeys(recipients, reply)
    said = {one: await transaction.rcpt(one) for one in recipients}
    return {one: reply for one, reply in said.items() if not reply.positive}


def summary(replies: Mapping[str, Reply]) -> Reply:
    """The one reply that SMTP allows for all recipients.

    All accepted: the next hop's own. All refused: its own again, a transient one first, so that
    the client tries again. Some of each: transient, and the caller must remember who has it.
    """
    said = list(replies.values())
    refused = [reply for reply in said if not reply.positive]
    if not refused:
        return said[0] if said else OK
    transient = next((reply for reply in refused if reply.transient), None)
    if len(refused) < len(said):
        return transient or PARTLY_DELIVERED
    return transient or refused[0]
