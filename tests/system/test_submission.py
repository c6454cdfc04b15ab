"""Users who send: through port 587 as docs/postfix.md has it, signed in, and past Raincheck."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from dovecot_part import PASSWORD, Dovecot
from letters import ordinary
from postfix_part import SECTIONS, Postfix
from smarthost_part import Recorder
from waiting import free_port

USER, WORLD = "ann@example.com", "ines@marten.example"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module", params=list(SECTIONS))
def submission(
    request: pytest.FixtureRequest,
    authority: trustme.CA,
    outside_server: Recorder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[int]:
    """The port of a Postfix, in each layout, that asks Dovecot for passwords. No gateway runs."""
    certificate: Path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    issued = authority.issue_cert("localhost").private_key_and_cert_chain_pem
    issued.write_to_path(str(certificate))
    postfix = Postfix(
        request.param,
        lmtp_port=free_port(),
        relayhost=outside_server.port,
        certificate=certificate,
    )
    dovecot = Dovecot(auth_socket=postfix.auth_socket)
    try:
        postfix.start()
        dovecot.start()
        yield postfix.submission
    finally:
        dovecot.stop()
        postfix.stop()


@pytest.fixture
def client(submission: int, authority: trustme.CA) -> Iterator[smtplib.SMTP]:
    """A connection, encrypted, not signed in."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with smtplib.SMTP("localhost", submission, timeout=60) as connection:
        connection.starttls(context=context)
        yield connection


def test_a_user_who_signs_in_sends_to_the_world(client: smtplib.SMTP, outside: Recorder) -> None:
    content = ordinary(sender=USER, to=WORLD)
    client.login(USER, PASSWORD)
    client.sendmail(USER, [WORLD], content)
    (mail,) = outside.wait_for(1)
    assert (mail.mail_from, mail.rcpt_tos) == (USER, (WORLD,))
    assert mail.content.endswith(content)
    assert b"X-Raincheck:" not in mail.content


@pytest.mark.parametrize("recipient", [USER, WORLD])
def test_nobody_else_sends(client: smtplib.SMTP, outside: Recorder, recipient: str) -> None:
    with pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(USER, "wrong")
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail(USER, [recipient], ordinary())
    assert not outside.mails


def test_no_password_is_taken_in_the_clear(submission: int) -> None:
    with smtplib.SMTP("localhost", submission, timeout=60) as connection:
        connection.ehlo()
        assert not connection.has_extn("auth")
        assert connection.mail(USER)[0] == 530
