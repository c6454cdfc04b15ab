"""The folder of held mail in a mail client: what a user sees of it over IMAP, and may do to it,
with the very snippets of docs/postfix.md."""

from __future__ import annotations

import contextlib
import imaplib
from collections.abc import Iterator
from typing import Any

import pytest
from clients import Mail, send
from dovecot_part import PASSWORD, USERS, Dovecot, mail_ids
from letters import pitch
from raincheck_part import Raincheck, StartGateway


@pytest.fixture(scope="module")
def holding(imap_server: Dovecot, owners_gateway: StartGateway) -> Raincheck:
    """A gateway that runs as the user who owns the mailboxes, as the page asks, and holds all."""
    settings = {
        "next_hop": {"kind": "lmtp", "address": f"127.0.0.1:{imap_server.port}"},
        "thresholds": {"tag": 0.0, "quarantine": 0.0, "answer": 0.0},
        "folder": {"path": str(imap_server.quarantine)},
    }
    return owners_gateway(settings)


@pytest.fixture(scope="module")
def pitches(holding: Raincheck) -> dict[str, bytes]:
    """A held mail for each user but erin."""
    mails = {user: pitch(to=f"{user}@example.com", unique=f"for-{user}") for user in USERS[:-1]}
    for user, content in mails.items():
        send(holding.port, Mail(content, (f"{user}@example.com",)))
    return mails


@contextlib.contextmanager
def signed_in(server: Dovecot, user: str) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", server.imap_port, timeout=30) as client:
        client.login(f"{user}@example.com", PASSWORD)
        yield client


def in_folder(client: imaplib.IMAP4, folder: str = "Pitches") -> list[bytes]:
    """Every mail in a folder, as the client gets it."""
    assert client.select(folder)[0] == "OK"
    _, found = client.uid("SEARCH", "ALL")
    fetched: list[Any] = [
        client.uid("FETCH", uid.decode(), "(BODY.PEEK[])")[1][0] for uid in found[0].split()
    ]
    return [parts[1] for parts in fetched]


def test_the_files_are_the_gateways_alone(imap_server: Dovecot, pitches: dict[str, bytes]) -> None:
    (held,) = (imap_server.quarantine / "dave@example.com" / "new").iterdir()
    assert held.stat().st_mode & 0o777 == 0o600
    assert held.parent.stat().st_mode & 0o777 == 0o700
    assert (held.stat().st_uid, held.stat().st_gid) == mail_ids()


def test_a_user_lists_the_folder_and_reads_the_mail(
    imap_server: Dovecot, pitches: dict[str, bytes]
) -> None:
    with signed_in(imap_server, "ann") as client:
        _, listed = client.list()
        assert any(line.endswith(b" Pitches") and b"Noselect" not in line for line in listed)
        (mail,) = in_folder(client)
    assert mail.endswith(pitches["ann"])
    assert mail.startswith(b"X-Raincheck: pitch; score=")


def test_nobody_sees_anothers(imap_server: Dovecot, pitches: dict[str, bytes]) -> None:
    with signed_in(imap_server, "bob") as client:
        (mail,) = in_folder(client)
        assert mail.endswith(pitches["bob"])
        _, listed = client.list()
        names = {line.rpartition(b" ")[2] for line in listed}
        assert names == {b"Pitches", b"INBOX"}


def test_a_user_may_copy_a_mail_out_and_not_take_it_away(
    imap_server: Dovecot, pitches: dict[str, bytes], holding: Raincheck
) -> None:
    with signed_in(imap_server, "carol") as client:
        client.select("Pitches")
        client.store("1", "+FLAGS", r"(\Deleted)")
        client.expunge()
        assert client.uid("MOVE", "1", "INBOX")[0] == "NO"
        assert client.append("Pitches", "", "", b"Subject: mine\r\n\r\nmine\r\n")[0] == "NO"
        assert client.create("Pitches.mine")[0] == "NO"
        assert client.copy("1", "INBOX")[0] == "OK"
        (copied,) = in_folder(client, "INBOX")
    assert copied.endswith(pitches["carol"])
    (held,) = holding_files(imap_server, "carol")
    assert held == copied


def test_a_mail_the_user_has_read_is_released_as_any_other(
    imap_server: Dovecot, pitches: dict[str, bytes], holding: Raincheck
) -> None:
    with signed_in(imap_server, "dave") as client:
        client.select("Pitches")
        client.fetch("1", "(BODY[])")  # without PEEK: the file moves to cur/ and is marked seen
        assert holding_files(imap_server, "dave")
        (held_id,) = (one["id"] for one in holding.listed() if "dave" in one["recipient"])
        holding.run("quarantine", "release", held_id)
        (delivered,) = imap_server.mails("dave")
        assert delivered.endswith(pitches["dave"])
        assert in_folder(client) == []


def test_the_folder_opens_with_the_first_held_mail(
    imap_server: Dovecot, holding: Raincheck
) -> None:
    with signed_in(imap_server, "erin") as client:
        assert client.select("Pitches")[0] == "NO"
        content = pitch(to="erin@example.com", unique="for-erin")
        send(holding.port, Mail(content, ("erin@example.com",)))
        (mail,) = in_folder(client)
    assert mail.endswith(content)


def holding_files(server: Dovecot, user: str) -> list[bytes]:
    """What the gateway holds for a user at example.com, on disk."""
    box = server.quarantine / f"{user}@example.com"
    return [path.read_bytes() for sub in ("new", "cur") for path in (box / sub).iterdir()]
