"""SMTP replies as values (RFC 5321 §4.2, enhanced codes RFC 3463).

What a client hears is short, generic and coded; what happened stands in the log. Two voices.
"""

from __future__ import annotations

from dataclasses import dataclass

_TEXT_LIMIT = 500  # octets of a line without code and CRLF (RFC 5321 §4.5.3.1.5: 512 in all)
_PRINTABLE = bytes(octet if 32 <= octet < 127 else ord("?") for octet in range(256))


def printable(text: bytes) -> str:
    """Somebody else's reply text as printable ASCII, `?` for every other octet, bounded."""
    return text[:_TEXT_LIMIT].translate(_PRINTABLE).decode("ascii")


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

    def encode(self) -> bytes:
        """As it is sent: printable ASCII only, with the last CRLF."""
        lines = tuple(printable(line.encode(errors="replace")) for line in self.lines)
        return f"{Reply(self.code, lines)}\r\n".encode()


class Refusal(Exception):
    """A command gets `reply` and changes nothing."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


OK = Reply.of(250, "2.0.0 Ok")
UNFORESEEN = Reply.of(451, "4.3.0 Temporary local problem, please try again later")
NEXT_HOP_DOWN = Reply.of(451, "4.4.1 Next hop is not reachable, please try again later")
NOT_STORED = Reply.of(451, "4.3.0 Mailbox cannot be written now, please try again later")
NOT_OUR_CLIENT = Reply.of(554, "5.7.1 Access denied")
NOT_OUR_DOMAIN = Reply.of(550, "5.7.1 Relaying denied")
TOO_MANY_RECIPIENTS = Reply.of(452, "4.5.3 Too many recipients")
TOO_BIG = Reply.of(552, "5.3.4 Message size exceeds the limit")
ROUTING_LOOP = Reply.of(554, "5.4.6 Routing loop detected")
BARE_NEWLINES = Reply.of(550, "5.5.2 Bare CR or LF is not allowed in message data")
SHUTTING_DOWN = Reply.of(421, "4.3.2 Service is shutting down, please try again later")
NO_SMTPUTF8_BEHIND = Reply.of(550, "5.6.7 Next hop does not support SMTPUTF8")
UNSPEAKABLE_ADDRESS = Reply.of(553, "5.6.7 Address cannot be passed on to the next hop")
TIMED_OUT = Reply.of(421, "4.4.2 Timed out waiting for you")
TOO_MANY_CONNECTIONS = Reply.of(421, "4.3.2 Too many connections, please try again later")
TOO_MANY_FAULTS = Reply.of(421, "4.7.0 Too many errors, closing connection")
TOO_MANY_BAD_RECIPIENTS = Reply.of(421, "4.7.0 Too many bad recipients, closing connection")
READY_FOR_TLS = Reply.of(220, "2.0.0 Ready to start TLS")
BYE = Reply.of(221, "2.0.0 Bye")
HELP = Reply.of(214, "2.0.0 See RFC 5321")
CANNOT_VERIFY = Reply.of(252, "2.5.0 Cannot verify, but will pass mail on")
SEND_DATA = Reply.of(354, "End data with <CR><LF>.<CR><LF>")
LINE_TOO_LONG = Reply.of(500, "5.5.2 Command line too long")
BAD_COMMAND = Reply.of(500, "5.5.2 Commands are printable text and end in CRLF")
UNKNOWN_COMMAND = Reply.of(500, "5.5.1 Command not recognized")
BAD_HELO = Reply.of(501, "5.5.4 Say who you are: HELO or EHLO and a host name")
NO_ARGUMENT = Reply.of(501, "5.5.4 This command takes no argument")
BAD_SYNTAX = Reply.of(501, "5.5.4 Syntax error in parameters")
BAD_SEQUENCE = Reply.of(503, "5.5.1 Bad sequence of commands")
BAD_SENDER = Reply.of(553, "5.1.7 Bad sender address syntax")
BAD_RECIPIENT = Reply.of(553, "5.1.3 Bad recipient address syntax")
NEEDS_SMTPUTF8 = Reply.of(553, "5.6.7 Non-ASCII address needs SMTPUTF8")
NO_RECIPIENTS = Reply.of(554, "5.5.1 No valid recipients")
UNKNOWN_PARAMETER = Reply.of(555, "5.5.4 Parameter not recognized or not implemented")
