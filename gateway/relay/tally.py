"""What one client did wrong or to no purpose, counted; too much of it ends the session.

The methods return what the client hears: the reply they are given, or 421 for one too many.
"""

from __future__ import annotations

import structlog

from gateway.relay import responses as say
from gateway.relay.responses import Reply

log = structlog.get_logger()

_MOST_FAULTS = 10  # commands refused for their form or order
_MOST_BAD_RECIPIENTS = 25  # after that somebody is guessing addresses
_MOST_IDLE_COMMANDS = 1000  # NOOP, RSET, EHLO, MAIL… without a mail accepted


class Tally:
    """The counters of one session, all at zero again after an accepted mail."""

    def __init__(self) -> None:
        self._faults = self._bad_recipients = self._idle_commands = 0

    def wipe(self) -> None:
        """A mail was accepted."""
        self._faults = self._bad_recipients = self._idle_commands = 0

    def idle_command(self) -> None:
        """A command that by itself brings no mail forward."""
        self._idle_commands += 1

    def reply(self, reply: Reply, client: str) -> Reply:
        """Any reply, just before it is said."""
        self._faults += 500 <= reply.code <= 505 or reply is say.NO_RECIPIENTS
        if self._faults > _MOST_FAULTS or self._idle_commands > _MOST_IDLE_COMMANDS:
            log.warning("client-cut-off", client=client, faults=self._faults)
            return say.TOO_MANY_FAULTS
        return reply

    def bad_recipient(self, reply: Reply, client: str) -> Reply:
        """A recipient refused for good."""
        self._bad_recipients += 1
        if self._bad_recipients > _MOST_BAD_RECIPIENTS:
            log.warning("client-cut-off", client=client, bad_recipients=self._bad_recipients)
            return say.TOO_MANY_BAD_RECIPIENTS
        return reply
