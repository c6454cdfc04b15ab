"""The next hop that is no server: one Maildir per recipient below a directory.

Every recipient is accepted. Durable on return: file and directory are fsynced. Where the disk
refuses, the recipients of that folder get 451 and nothing is left there; raises nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from gateway import maildir
from gateway.relay.nexthop import Capabilities
from gateway.relay.responses import NOT_STORED, OK, Reply

log = structlog.get_logger()


class MaildirNextHop:
    """A NextHop for `kind` maildir."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def capabilities(self) -> Capabilities:
        """A file takes any octets."""
        return Capabilities(eight_bit_mime=True, smtputf8=True)

    async def begin(self) -> MaildirTransaction:
        """A transaction; nothing is opened before DATA."""
        return MaildirTransaction(self._path)

    async def close(self) -> None:
        """Nothing is kept open."""


class MaildirTransaction:
    """One mail for several Maildirs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._recipients: list[str] = []

    async def mail(self, sender: str, options: Sequence[str]) -> Reply:  # noqa: ARG002
        """Begins afresh; the sender is not checked."""
        self._recipients = []
        return OK

    async def rcpt(self, recipient: str) -> Reply:
        """Any recipient."""
        if recipient not in self._recipients:
            self._recipients.append(recipient)
        return OK

    async def data(self, content: bytes) -> Mapping[str, Reply]:
        """One file per folder; two spellings of one mailbox share a folder and get one."""
        recipients, self._recipients = self._recipients, []
        names = {recipient: maildir.folder_name(recipient) for recipient in recipients}
        replies = {name: await self._write(name, content) for name in sorted(set(names.values()))}
        return {recipient: replies[name] for recipient, name in names.items()}

    async def _write(self, name: str, content: bytes) -> Reply:
        try:
            await asyncio.to_thread(maildir.write, self._path / name, content)
        except OSError as error:
            log.warning("mail-not-stored", folder=name, error=repr(error))
            return NOT_STORED
        return OK

    async def close(self) -> None:
        """Nothing was begun that would have to be undone."""
        self._recipients = []
