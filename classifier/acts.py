"""What the sentences of a mail do: the acts, and how the corpus marks them.

A mail of the corpus is written as `<greet>Hi Ana,\\n\\n<offer>We make …`: a mark says what the text
up to the next mark does. `segments` reads that; `plain` gives the mail without the marks.
"""

from __future__ import annotations

import re

ACTS = {
    "greet": "salutation",
    "close": "sign-off, name, signature, footer",
    "social": "small talk and wishes",
    "intro": "says who the writer is",
    "praise": "compliments the reader, or remarks on something about them",
    "pain": "names a problem, fault or fear on the reader's side",
    "offer": "offers or describes the writer's own product, service, candidate or list",
    "proof": "proves the offer by numbers, customers or awards",
    "bait": "a gift, discount or free audit, or the deadline of an offer",
    "qualify": "asks about the reader's business, needs or who is responsible",
    "meet": "asks for a meeting, a call, a demo or a mere answer, so as to sell",
    "presume": "treats the sale or the meeting as agreed",
    "chase": "refers to the writer's earlier mail that nobody answered",
    "namedrop": "uses a shared contact or a competitor as a lever",
    "optout": "offers a way out",
    "answer": "does or answers what the reader had asked for",
    "shared": "refers to a history that both share: a contract, an order, a meeting",
    "request": "asks the reader for their product, help, job or opinion",
    "report": "tells facts, status, news or a problem of the writer's own",
    "instruct": "asks for something within work that is under way",
    "debt": "an invoice, a payment, a claim",
    "schedule": "arranges a meeting that both want",
    "thanks": "thanks",
    "decline": "says no, or ends something",
    "notice": "automated or newsletter content",
    "quote": "somebody's earlier mail",
    "other": "anything else",
}
"""The acts and what a sentence of each does. `quote` is never judged."""

_MARK = re.compile(rf"<({'|'.join(ACTS)})>")


def segments(marked: str) -> list[tuple[str, str]]:
    """(act, text) in order. Raises ValueError when the text does not begin with a mark."""
    first, *rest = _MARK.split(marked)
    if first.strip() or not rest:
        raise ValueError(f"no act before {first[:40]!r}")
    return list(zip(rest[::2], rest[1::2], strict=True))


def plain(marked: str) -> str:
    """The text without its marks."""
    return _MARK.sub("", marked)
