"""Out of the folder: release hands the untouched original to the next hop, discard drops it.

A release delivers at most once: the mail is claimed in the database before the next hop is
spoken to, and unclaimed only when the next hop certainly does not have it. Where that is unknown
(the connection broke while the content was on its way, or the gateway died there) the mail stays
`releasing`, and only a person who looked releases it `again`.

What is sent is the sender's octets as they were held, checked by their hash, behind the Received
field they were held with and one `X-Raincheck: released`. Raises StoreError; everything else that
can go wrong is a ReleaseResult.
"""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from gateway.memory.rows import HeldMail
from gateway.memory.store import Store
from gateway.quarantine.folder import MaildirFolder
from gateway.relay import fields
from gateway.relay.nexthop import InDoubt, NextHop, NextHopDown, hand_over
from gateway.relay.responses import NEXT_HOP_DOWN, Reply

log = structlog.get_logger()

Outcome = Literal[
    "released",
    "unavailable",  # there is no such mail, or it is not in a state to be released
    "damaged",  # its file is gone or is not what was held; nothing was sent
    "refused",  # the next hop said 4xx or 5xx; it is held or in doubt as before
    "unreachable",  # the next hop could not be spoken to; it is held or in doubt as before
    "in-doubt",  # the connection broke in DATA; it stays `releasing`
]


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """What became of a release. `detail` says it in words, with the way out; `reply` is the next
    hop's, where it gave one."""

    outcome: Outcome
    held_id: str
    detail: str
    mail: HeldMail | None = None
    reply: Reply | None = None

    @property
    def released(self) -> bool:
        return self.outcome == "released"


class _Damaged(Exception):
    """The file is gone or is not what was held."""


async def release(
    store: Store,
    folder: MaildirFolder,
    next_hop: NextHop,
    held_id: str,
    *,
    again: bool = False,
    released_by: str = "cli",
) -> ReleaseResult:
    """Hand a held mail to the next hop, and remember its sender as allowed. Answers planned for
    them are cancelled first, whatever comes of it. `again` also takes one whose last release broke
    off in doubt; `released_by` goes into the log."""
    mail = await asyncio.to_thread(store.claim_release, held_id)
    doubted = mail is None and again
    if doubted:
        mail = await asyncio.to_thread(store.claim_release, held_id, again=True)
    if mail is None:
        return await asyncio.to_thread(_unavailable, store, held_id)
    left = "its earlier release stays in doubt" if doubted else "the mail is still held"
    result = await _attempt(folder, next_hop, mail, left)
    if result.released:
        await asyncio.to_thread(_finish, store, folder, mail)
    elif result.outcome != "in-doubt" and not doubted:
        # Claimed out of doubt, it stays there: the first hand-over may still have happened.
        await asyncio.to_thread(store.abandon_release, mail.id)
    code = result.reply.code if result.reply else None
    log.info("mail-release", id=mail.id, outcome=result.outcome, code=code, by=released_by)
    return result


async def discard(store: Store, folder: MaildirFolder, held_id: str) -> HeldMail | None:
    """Drop a held mail and its file, and cancel its answer. None when it is not held."""
    mail = await asyncio.to_thread(store.discard, held_id)
    if mail is not None:
        await asyncio.to_thread(_remove_file, folder, mail)
        log.info("mail-discarded", id=mail.id)
    return mail


async def _attempt(
    folder: MaildirFolder, next_hop: NextHop, mail: HeldMail, left: str
) -> ReleaseResult:
    """One hand-over; `left` says how it leaves the mail when the next hop does not take it."""
    try:
        content = await asyncio.to_thread(_content, folder, mail)
        reply = await hand_over(
            next_hop, mail.mail_from, mail.mail_options, mail.recipient, content
        )
    except _Damaged as error:
        detail = f"nothing was sent: {error}"
        return ReleaseResult("damaged", mail.id, detail, mail)
    except NextHopDown as error:
        detail = f"the next hop cannot be reached ({error}); {left}"
        return ReleaseResult("unreachable", mail.id, detail, mail, NEXT_HOP_DOWN)
    except InDoubt as error:
        detail = (
            f"the connection broke while the next hop took it ({error}); look into "
            f"{mail.recipient}'s mailbox, and if it is not there release it with --again"
        )
        return ReleaseResult("in-doubt", mail.id, detail, mail)
    if reply.positive:
        return ReleaseResult("released", mail.id, f"delivered to {mail.recipient}", mail, reply)
    detail = f"the next hop refused it: {reply}; {left}"
    return ReleaseResult("refused", mail.id, detail, mail, reply)


def _content(folder: MaildirFolder, mail: HeldMail) -> bytes:
    """What is handed over: the Received field of the hold, our mark, the sender's octets."""
    try:
        stored = folder.read(Path(mail.path))
    except OSError as error:
        raise _Damaged(str(error)) from error
    ours, original = stored[: mail.original_offset], stored[mail.original_offset :]
    if hashlib.sha256(original).hexdigest() != mail.sha256:
        raise _Damaged(f"{mail.path} was changed after it was held")
    return fields.without_ours(ours) + fields.x_raincheck("released", mail.id) + original


def _finish(store: Store, folder: MaildirFolder, mail: HeldMail) -> None:
    store.finish_release(mail.id)
    _remove_file(folder, mail)


def _remove_file(folder: MaildirFolder, mail: HeldMail) -> None:
    # After the row: a file too many can be seen and deleted, a row without its file cannot be
    # released.
    try:
        folder.remove(Path(mail.path))
    except OSError as error:
        log.warning("file-left-behind", id=mail.id, path=mail.path, detail=str(error))


def _unavailable(store: Store, held_id: str) -> ReleaseResult:
    mail = next((mail for mail in store.find(held_id) if mail.id == held_id), None)
    if mail is None:
        return ReleaseResult("unavailable", held_id, "no held mail has this id")
    if mail.state == "releasing":
        detail = (
            "its release is under way, or broke off when the next hop may have had it; if the "
            f"mail is not in {mail.recipient}'s mailbox release it with --again"
        )
    else:
        detail = f"it is already {mail.state}"
    return ReleaseResult("unavailable", held_id, detail, mail)
