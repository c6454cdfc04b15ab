"""SMTP replies as values (RFC 5321 §4.2, enhanced codes RFC 3463).

What a client hears is short, generic and coded; what happened stands in the log. Two voices.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply code and its lines of text, without the code."""

    code: int
    lines: tuple[str, ...]

    @classmethod
    def of(cls, code: int, text: str) -> Reply:
        return cls(code, (text,))

    @property
    def positive(self) -> bool:
        """2yz: done."""
        return 200 <= self.code < 300

    @property
    def transient(self) -> bool:
        """4yz: the client keeps the mail and tries again."""
        return 400 <= self.code < 500

    def __str__(self) -> str:
        """As it stands on the wire, lines joined by CRLF, without the last CRLF."""
        *first, last = self.lines or ("",)
        return "\r\n".join([*(f"{self.code}-{line}" for line in first), f"{self.code} {last}"])


OK = Reply.of(250, "2.0.0 Ok")
UNFORESEEN = Reply.of(451, "4.3.0 Temporary local problem, please try again later")
NEXT_HOP_DOWN = Reply.of(451, "4.4.1 Next hop is not reachable, please try again later")
NOT_OUR_CLIENT = Reply.of(554, "5.7.1 Access denied")
NOT_OUR_DOMAIN = Reply.of(550, "5.7.1 Relaying denied")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3 Too many recipients")
TOO_BIG = Reply.of(552, "5.3.4 Message size exceeds the limit")
ROUTING_LOOP = Reply.of(554, "5.4.6 Routing loop detected")
BARE_NEWLINES = Reply.of(550, "5.5.2 Bare CR or LF is not allowed in message data")
SHUTTING_DOWN = Reply.of(421, "4.3.2 Service is shutting down, please try again later")
