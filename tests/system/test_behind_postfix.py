"""Postfix in front, Dovecot behind, Raincheck between: each layout of docs/postfix.md, driven by
swaks, with the very snippets of that page."""

from __future__ import annotations

import tomllib
from functools import partial
from typing import Any

import pytest
from clients import Mail, swaks
from dovecot_part import Dovecot
from letters import ordinary, pitch
from postfix_part import SECTIONS, Postfix
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorder
from snippets import snippet
from waiting import wait_until

GRETA = "greta@friends.example"


def settings_of_the_page(postfix: Postfix) -> dict[str, Any]:
    """The raincheck.toml of docs/postfix.md for this layout."""
    section, numbers = SECTIONS[postfix.layout], {"_2525": postfix.raincheck_port}
    if postfix.layout == "after-queue":
        numbers["_10026"] = postfix.way_back
    else:
        numbers["_10024"] = postfix.lmtp_port
    return tomllib.loads(snippet(section, "raincheck.toml", **numbers))


@pytest.fixture
def between(postfix: Postfix, gateway: StartGateway) -> Raincheck:
    """The gateway where Postfix looks for it."""
    return gateway(settings_of_the_page(postfix), postfix.raincheck_port)


def one_more(dovecot: Dovecot, than: int) -> bool:
    return dovecot.count("ann") == than + 1


def test_a_pitch_ends_in_the_folder(postfix: Postfix, dovecot: Dovecot, between: Raincheck) -> None:
    content = pitch(to="ann@example.com", unique="hard-sell")
    swaks(postfix.port, Mail(content))
    wait_until("the pitch in the folder", lambda: between.held("ann"))
    (held,) = between.held("ann")
    assert held.endswith(content)
    assert b"\nX-Raincheck: pitch; " in held.removesuffix(content)
    wait_until("an empty queue", lambda: not postfix.queued())
    assert dovecot.count("ann") == 0


def test_an_ordinary_mail_arrives_octet_by_octet(
    postfix: Postfix, dovecot: Dovecot, between: Raincheck
) -> None:
    for number in range(4):  # one of them is 8bit, so BODY=8BITMIME goes all the way
        content = ordinary(number, unique=f"plain{number}")
        swaks(postfix.port, Mail(content, mail_from=GRETA))
        wait_until("the mail", partial(one_more, dovecot, number))
        assert any(mail.endswith(content) for mail in dovecot.mails("ann"))
    assert not between.held("ann")


def test_a_bounce_passes(postfix: Postfix, dovecot: Dovecot, between: Raincheck) -> None:
    content = pitch(sender="mailer-daemon@friends.example", unique="bounce")
    swaks(postfix.port, Mail(content, mail_from=""))
    wait_until("the bounce", lambda: dovecot.count("ann"))
    (mail,) = dovecot.mails("ann")
    assert mail.endswith(content)
    assert mail.startswith(b"Return-Path: <>")
    assert not between.held("ann")


def test_an_unknown_user_is_refused_at_rcpt_and_nobody_is_bounced(
    postfix: Postfix, dovecot: Dovecot, between: Raincheck, outside: Recorder
) -> None:
    dialogue = swaks(postfix.port, Mail(ordinary(), ("nobody@example.com",), GRETA), ok=False)
    assert "<** 550 5.1.1 <nobody@example.com>" in dialogue
    assert "DATA" not in dialogue
    assert not postfix.queued()
    assert not outside.mails


def test_mail_waits_in_the_queue_while_the_gateway_is_down(
    postfix: Postfix, dovecot: Dovecot, gateway: StartGateway, outside: Recorder
) -> None:
    raincheck = gateway(settings_of_the_page(postfix), postfix.raincheck_port)
    swaks(postfix.port, Mail(ordinary(0, unique="first"), mail_from=GRETA))
    wait_until("the first mail", lambda: dovecot.count("ann") == 1)
    raincheck.stop()
    content = ordinary(1, unique="second")
    swaks(postfix.port, Mail(content, mail_from=GRETA))
    wait_until("the mail deferred", lambda: "status=deferred" in postfix.log())
    assert len(postfix.queued()) == 1
    gateway(settings_of_the_page(postfix), postfix.raincheck_port)
    postfix.flush()
    wait_until("the second mail", lambda: dovecot.count("ann") == 2)
    assert any(mail.endswith(content) for mail in dovecot.mails("ann"))
    assert not outside.mails
