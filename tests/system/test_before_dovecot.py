"""Raincheck with Dovecot's LMTP or Postfix as its next hop, spoken to directly."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from clients import Mail, connect, hand_over, send, swaks
from dovecot_part import Dovecot
from letters import name_of, ordinary, pitch
from postfix_part import Postfix
from raincheck_part import Raincheck, StartGateway
from smarthost_part import Recorder

HOLD_ALL = {"tag": 0.0, "quarantine": 0.0, "answer": 0.0}
HOLD_NONE = {"tag": 1.0, "quarantine": 1.0, "answer": 1.0}


def before(dovecot: Dovecot, **tables: Any) -> dict[str, Any]:
    """Dovecot as the next hop; of ann and bob nothing is held, of everyone else everything."""
    recipients = [
        {"match": f"{user}@example.com", "thresholds": HOLD_NONE} for user in ("ann", "bob")
    ]
    return {
        "next_hop": {"kind": "lmtp", "address": f"127.0.0.1:{dovecot.port}"},
        "thresholds": HOLD_ALL,
        "recipients": recipients,
    } | tables


@pytest.fixture(scope="module")
def gateway_before_dovecot(dovecot_server: Dovecot, module_gateway: StartGateway) -> Raincheck:
    return module_gateway(before(dovecot_server))


@pytest.fixture
def raincheck(
    gateway_before_dovecot: Raincheck, show_log: Callable[[Raincheck], None]
) -> Raincheck:
    """A gateway before Dovecot, shared by the tests that leave it as it is."""
    show_log(gateway_before_dovecot)
    return gateway_before_dovecot


def named(mails: list[bytes], name: str) -> list[bytes]:
    """The mails that were given this name."""
    return [mail for mail in mails if name_of(mail) == name]


def test_an_unknown_user_gets_dovecots_own_words(dovecot: Dovecot, raincheck: Raincheck) -> None:
    with connect(raincheck.port) as client:
        client.mail("greta@friends.example")
        refused = client.rcpt("nobody@example.com")
        words = b"5.1.1 <nobody@example.com> User doesn't exist: nobody@example.com"
        assert refused == (550, words)
        assert client.rcpt("ann@example.com")[0] == 250
        assert client.data(ordinary())[0] == 250
    assert dovecot.count("ann") == 1


def test_recipients_of_one_mail_may_fare_differently(
    dovecot: Dovecot, raincheck: Raincheck
) -> None:
    users = ("bob", "carol", "dave", "ann")
    addresses = tuple(f"{user}@example.com" for user in users)
    content = pitch(to=", ".join(addresses), unique="to-four")
    send(raincheck.port, Mail(content, addresses))
    delivered = {user: named(dovecot.mails(user), "to-four") for user in users}
    held = {user: named(raincheck.held(user), "to-four") for user in users}
    assert {user: len(mails) for user, mails in delivered.items()} == {
        "ann": 1,
        "bob": 1,
        "carol": 0,
        "dave": 0,
    }
    assert {user: len(mails) for user, mails in held.items()} == {
        "ann": 0,
        "bob": 0,
        "carol": 1,
        "dave": 1,
    }
    for copy in (*delivered["ann"], *delivered["bob"], *held["carol"], *held["dave"]):
        assert copy.endswith(content)


def test_8bitmime_is_offered_and_smtputf8_is_not_where_dovecot_lacks_it(
    dovecot: Dovecot, raincheck: Raincheck
) -> None:
    with smtplib.LMTP("127.0.0.1", dovecot.port, local_hostname="client.example") as direct:
        direct.ehlo()
        offered = {name: direct.has_extn(name) for name in ("8bitmime", "smtputf8")}
    content = ordinary(3)
    with connect(raincheck.port) as client:
        assert {name: client.has_extn(name) for name in offered} == offered
        assert offered["8bitmime"]
        assert client.has_extn("pipelining")
        assert client.has_extn("size")
        hand_over(client, Mail(content))
    assert dovecot.mails("ann")[0].endswith(content)


def test_swaks_pipelines(dovecot: Dovecot, raincheck: Raincheck) -> None:
    content = ordinary(1)
    dialogue = swaks(raincheck.port, Mail(content, mail_from="ines@marten.example"), "--pipeline")
    assert "PIPELINING" in dialogue
    assert dovecot.mails("ann")[0].endswith(content)


@pytest.mark.parametrize(
    "recipient",
    ["ann@elsewhere.example", "ann%elsewhere.example@relay.example", "@example.com:ann@x.example"],
)
def test_it_is_no_open_relay(raincheck: Raincheck, recipient: str) -> None:
    with connect(raincheck.port) as client:
        client.mail("greta@friends.example")
        assert client.rcpt(recipient)[0] >= 500


def test_a_released_mail_arrives_once_and_its_sender_from_then_on(
    dovecot: Dovecot, raincheck: Raincheck
) -> None:
    sender = "maya@ranktop.example"
    content = pitch(sender=sender, to="erin@example.com", unique="wanted-after-all")
    send(raincheck.port, Mail(content, ("erin@example.com",), sender))
    (held_id,) = (one["id"] for one in raincheck.listed() if one["mail_from"] == sender)
    assert dovecot.count("erin") == 0

    raincheck.run("quarantine", "release", held_id)
    (mail,) = dovecot.mails("erin")
    assert mail.endswith(content)
    assert not raincheck.held("erin")
    raincheck.run("quarantine", "release", held_id, ok=False)
    assert dovecot.count("erin") == 1

    again = pitch(1, sender=sender, to="erin@example.com", unique="the-next-one")
    send(raincheck.port, Mail(again, ("erin@example.com",), sender))
    assert dovecot.count("erin") == 2
    assert not raincheck.held("erin")


def test_smtputf8_is_offered_and_relayed_where_the_next_hop_has_it(
    recorder: Recorder, gateway: StartGateway
) -> None:
    raincheck = gateway({"next_hop": {"kind": "smtp", "address": f"127.0.0.1:{recorder.port}"}})
    content = ordinary().replace(b"Subject: Lunch", "Subject: Déjeuner".encode())
    with connect(raincheck.port) as client:
        assert client.has_extn("smtputf8")
        options = ["SMTPUTF8", "BODY=8BITMIME"]
        client.sendmail("grétà@friends.example", ["ann@example.com"], content, options)
    (mail,) = recorder.mails
    assert mail.mail_from == "grétà@friends.example"
    assert set(options) <= set(mail.mail_options)
    assert mail.content.endswith(content)


@pytest.mark.parametrize("postfix_server", ["after-queue"], indirect=True)
def test_postfix_as_the_next_hop_offers_smtputf8(postfix: Postfix, gateway: StartGateway) -> None:
    raincheck = gateway({"next_hop": {"kind": "smtp", "address": f"127.0.0.1:{postfix.way_back}"}})
    with connect(raincheck.port) as client:
        assert client.has_extn("smtputf8")
        assert client.has_extn("8bitmime")


def test_starttls_from_the_client(dovecot: Dovecot, gateway: StartGateway, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("gateway.example.com", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "gateway.pem"))
    file = str(tmp_path / "gateway.pem")
    raincheck = gateway(before(dovecot, relay={"tls_certificate": file, "tls_key": file}))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    content = ordinary()
    with connect(raincheck.port) as client:
        assert client.has_extn("starttls")
        assert client.starttls(context=context)[0] == 220
        client.ehlo()
        assert not client.has_extn("starttls")
        hand_over(client, Mail(content))
    (mail,) = dovecot.mails("ann")
    assert mail.endswith(content)
    assert b"with ESMTPS id" in mail.removesuffix(content)
