"""Raincheck with Dovecot's LMTP or Postfix as its next hop, spoken to directly."""

from __future__ import annotations

import smtplib
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from clients import Mail, connect, hand_over, send, swaks
from dovecot_part import Dovecot
from letters import ordinary, pitch
from postfix_part import Postfix
from raincheck_part import StartGateway
from smarthost_part import Recorder

HOLD_ALL = {"tag": 0.0, "quarantine": 0.0, "answer": 0.0}
HOLD_NONE = {"tag": 1.0, "quarantine": 1.0, "answer": 1.0}


def before(dovecot: Dovecot, **tables: Any) -> dict[str, Any]:
    """Settings with Dovecot as the next hop."""
    return {"next_hop": {"kind": "lmtp", "address": f"127.0.0.1:{dovecot.port}"}} | tables


def test_an_unknown_user_gets_dovecots_own_words(dovecot: Dovecot, gateway: StartGateway) -> None:
    raincheck = gateway(before(dovecot))
    with connect(raincheck.port) as client:
        client.mail("greta@friends.example")
        refused = client.rcpt("nobody@example.com")
        assert refused == (
            550,
            b"5.1.1 <nobody@example.com> User doesn't exist: nobody@example.com",
        )
        assert client.rcpt("ann@example.com")[0] == 250
        assert client.data(ordinary())[0] == 250
    assert dovecot.count("ann") == 1


def test_recipients_of_one_mail_may_fare_differently(
    dovecot: Dovecot, gateway: StartGateway
) -> None:
    raincheck = gateway(
        before(
            dovecot,
            thresholds=HOLD_ALL,
            recipients=[{"match": "bob@example.com", "thresholds": HOLD_NONE}],
        )
    )
    content = pitch(to="ann@example.com, bob@example.com, carol@example.com")
    send(raincheck.port, Mail(content, tuple(f"{u}@example.com" for u in ("ann", "bob", "carol"))))
    assert [dovecot.count(user) for user in ("ann", "bob", "carol")] == [0, 1, 0]
    assert [len(raincheck.held(user)) for user in ("ann", "bob", "carol")] == [1, 0, 1]
    assert dovecot.mails("bob")[0].endswith(content)
    assert all(raincheck.held(user)[0].endswith(content) for user in ("ann", "carol"))


def test_8bitmime_is_offered_and_smtputf8_is_not_where_dovecot_lacks_it(
    dovecot: Dovecot, gateway: StartGateway
) -> None:
    with smtplib.LMTP("127.0.0.1", dovecot.port, local_hostname="client.example") as direct:
        direct.ehlo()
        offered = {name: direct.has_extn(name) for name in ("8bitmime", "smtputf8")}
    raincheck = gateway(before(dovecot))
    content = ordinary(3)
    with connect(raincheck.port) as client:
        assert {name: client.has_extn(name) for name in offered} == offered
        assert offered["8bitmime"]
        assert client.has_extn("pipelining")
        assert client.has_extn("size")
        hand_over(client, Mail(content))
    assert dovecot.mails("ann")[0].endswith(content)


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


def test_postfix_as_the_next_hop_offers_smtputf8(postfix: Postfix, gateway: StartGateway) -> None:
    if postfix.layout != "after-queue":
        pytest.skip("only this layout has a port that takes mail back")
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


def test_swaks_pipelines(dovecot: Dovecot, gateway: StartGateway) -> None:
    raincheck = gateway(before(dovecot))
    content = ordinary(1)
    dialogue = swaks(raincheck.port, Mail(content, mail_from="ines@marten.example"), "--pipeline")
    assert "250-PIPELINING" in dialogue or "250 PIPELINING" in dialogue
    assert dovecot.mails("ann")[0].endswith(content)


@pytest.mark.parametrize(
    "recipient",
    ["ann@elsewhere.example", "ann%elsewhere.example@relay.example", "@example.com:ann@x.example"],
)
def test_it_is_no_open_relay(dovecot: Dovecot, gateway: StartGateway, recipient: str) -> None:
    raincheck = gateway(before(dovecot))
    with connect(raincheck.port) as client:
        client.mail("greta@friends.example")
        assert client.rcpt(recipient)[0] >= 500


def test_a_released_mail_arrives_once_and_its_sender_from_then_on(
    dovecot: Dovecot, gateway: StartGateway
) -> None:
    raincheck = gateway(before(dovecot, thresholds=HOLD_ALL))
    content = pitch(unique="wanted-after-all")
    send(raincheck.port, Mail(content))
    (held_id,) = raincheck.held_ids()
    assert dovecot.count("ann") == 0

    raincheck.run("quarantine", "release", held_id)
    (mail,) = dovecot.mails("ann")
    assert mail.endswith(content)
    assert not raincheck.held("ann")
    raincheck.run("quarantine", "release", held_id, ok=False)
    assert dovecot.count("ann") == 1

    send(raincheck.port, Mail(pitch(1, unique="next")))
    assert dovecot.count("ann") == 2
    assert not raincheck.held("ann")
