"""Postfix in front, Dovecot behind, Raincheck between: each layout of docs/postfix.md, driven by
swaks, with the very snippets of that page."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from clients import SENDER, Mail, swaks
from dovecot_part import Dovecot
from letters import name_of, ordinary, pitch
from postfix_part import SECTIONS, Postfix
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorder
from snippets import snippet
from waiting import wait_until

GRETA = "greta@friends.example"


def settings_of_the_page(postfix: Postfix) -> dict[str, Any]:
    """The raincheck.toml of docs/postfix.md for this layout."""
    numbers = {"_2525": postfix.raincheck_port, "_10026": postfix.way_back}
    if postfix.layout == "before-mailbox":
        numbers["_10024"] = postfix.lmtp_port
    return tomllib.loads(snippet(SECTIONS[postfix.layout], "raincheck.toml", **numbers))


@pytest.fixture(scope="module")
def gateway_of_the_page(
    postfix_server: Postfix, module_gateway: StartGateway
) -> Iterator[Raincheck]:
    raincheck = module_gateway(settings_of_the_page(postfix_server), postfix_server.raincheck_port)
    yield raincheck
    if raincheck.running:
        raincheck.stop()  # the next layout's comes before the end of the module


@pytest.fixture
def between(gateway_of_the_page: Raincheck, show_log: Callable[[Raincheck], None]) -> Raincheck:
    """The gateway where Postfix looks for it."""
    if not gateway_of_the_page.running:  # a test stopped it and failed
        gateway_of_the_page.start()
    show_log(gateway_of_the_page)
    return gateway_of_the_page


def arrived(mails: list[bytes], content: bytes) -> list[bytes]:
    """Those of the mails that are this one, whatever was done to it."""
    return [mail for mail in mails if name_of(mail) == name_of(content)]


def in_mailbox(dovecot: Dovecot, content: bytes) -> list[bytes]:
    return arrived(dovecot.mails("ann"), content)


def in_folder(raincheck: Raincheck, content: bytes) -> list[bytes]:
    return arrived(raincheck.held("ann"), content)


def test_a_pitch_ends_in_the_folder(postfix: Postfix, dovecot: Dovecot, between: Raincheck) -> None:
    content = pitch(unique="hard-sell")
    swaks(postfix.port, Mail(content))
    (held,) = wait_until("the pitch in the folder", partial(in_folder, between, content))
    assert held.endswith(content)
    assert held.startswith(b"X-Raincheck: pitch; score=")
    wait_until("an empty queue", lambda: not postfix.queued())
    assert not in_mailbox(dovecot, content)


def test_an_ordinary_mail_arrives_octet_by_octet(
    postfix: Postfix, dovecot: Dovecot, between: Raincheck
) -> None:
    for number in range(4):  # one of them is 8bit, so BODY=8BITMIME goes all the way
        content = ordinary(number, unique=f"plain{number}")
        swaks(postfix.port, Mail(content, mail_from=GRETA))
        (mail,) = wait_until("the mail", partial(in_mailbox, dovecot, content))
        assert mail.endswith(content)
        assert not in_folder(between, content)


def test_a_bounce_passes(postfix: Postfix, dovecot: Dovecot, between: Raincheck) -> None:
    content = pitch(sender="mailer-daemon@friends.example", unique="bounce")
    swaks(postfix.port, Mail(content, mail_from=""))
    (mail,) = wait_until("the bounce", partial(in_mailbox, dovecot, content))
    assert mail.endswith(content)
    assert mail.startswith(b"Return-Path: <>")
    assert not in_folder(between, content)


def test_an_unknown_user_is_refused_at_rcpt_and_nobody_is_bounced(
    postfix: Postfix, dovecot: Dovecot, between: Raincheck, outside: Recorder
) -> None:
    dialogue = swaks(postfix.port, Mail(ordinary(), ("nobody@example.com",), GRETA), ok=False)
    assert "<** 550 5.1.1 <nobody@example.com>" in dialogue
    assert "User doesn't exist" in dialogue  # the mailbox's own words, quoted by Postfix
    assert "-> DATA" not in dialogue
    wait_until("an empty queue", lambda: not postfix.queued())
    assert not outside.mails


def test_postfix_is_no_open_relay(postfix: Postfix, outside: Recorder) -> None:
    dialogue = swaks(postfix.port, Mail(ordinary(), ("ines@marten.example",), GRETA), ok=False)
    assert "Relay access denied" in dialogue
    assert not outside.mails


def test_an_answer_leaves_through_the_smart_host_of_the_page(
    postfix: Postfix, outside: Recorder
) -> None:
    _, port = settings_of_the_page(postfix)["answers"]["smart_host"].split(":")
    answer = ordinary(sender="ann@example.com", to=SENDER, unique="not-now")
    swaks(int(port), Mail(answer, (SENDER,), ""))
    (mail,) = outside.wait_for(1)
    assert (mail.mail_from, mail.rcpt_tos) == ("", (SENDER,))
    assert mail.content.endswith(answer)
    assert b"X-Raincheck:" not in mail.content  # it did not come past the gateway again


def test_mail_waits_in_the_queue_while_the_gateway_is_down(
    postfix: Postfix, dovecot: Dovecot, between: Raincheck, outside: Recorder
) -> None:
    first, second = (ordinary(number, unique=f"waits{number}") for number in range(2))
    swaks(postfix.port, Mail(first, mail_from=GRETA))
    wait_until("the first mail", partial(in_mailbox, dovecot, first))
    between.stop()
    swaks(postfix.port, Mail(second, mail_from=GRETA))
    wait_until("the mail deferred", lambda: "status=deferred" in postfix.log())
    assert len(postfix.queued()) == 1
    between.start()
    postfix.flush()
    (mail,) = wait_until("the second mail", partial(in_mailbox, dovecot, second))
    assert mail.endswith(second)
    wait_until("an empty queue", lambda: not postfix.queued())
    assert not outside.mails
