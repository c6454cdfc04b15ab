"""What a trusted Authentication-Results field proves, and what only looks like it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from occasions import PLAIN, SENDER, from_, with_headers

from classifier.message import Header, Mailbox, Message
from gateway.senderauth.authresults import authenticate

TRUSTED = ("mx.example.org", "Backup.Example.org")


def reported(*values: str, message: Message = PLAIN) -> Message:
    """The pitch with these Authentication-Results on top, the first one topmost."""
    top = tuple(Header("Authentication-Results", value, value) for value in values)
    return replace(message, headers=top + message.headers)


def passed(*values: str, sender: str = SENDER, message: Message = PLAIN) -> bool:
    return authenticate(reported(*values, message=message), sender, TRUSTED).passed


@pytest.mark.parametrize(
    "value",
    [
        "mx.example.org; dmarc=pass header.from=seller.example",
        "mx.example.org 1; dmarc=pass (p=none dis=none) header.from=seller.example",
        "mx.example.org (our own) ; (really) dmarc=pass (policy=none) header.from=seller.example",
        "mx.example.org; dmarc=pass header.from=seller.example;\r\n",
        "MX.EXAMPLE.ORG; DMARC=PASS HEADER.FROM=SELLER.EXAMPLE",
        "backup.example.org; dmarc=pass header.from=seller.example",
        "mx.example.org; dkim=pass (2048-bit key; unprotected) header.d=seller.example header.s=s1",
        "mx.example.org; dkim=pass header.i=@seller.example header.d=seller.example header.b=a/D+f",
        "mx.example.org; dkim=pass header.d=esp.example; dkim=pass header.d=seller.example",
        "mx.example.org; dkim=fail header.d=seller.example; dkim=pass header.d=seller.example",
        "mx.example.org; spf=pass smtp.mailfrom=jane.doe@seller.example",
        "mx.example.org; spf=pass smtp.mailfrom=seller.example smtp.helo=out.example",
        "mx.example.org; spf=fail smtp.mailfrom=a.example; dmarc=pass header.from=seller.example",
        "mx.example.org; dmarc=none header.from=a.example; spf=pass smtp.mailfrom=seller.example",
        "mx.example.org; iprev=pass policy.iprev=192.0.2.1; dmarc=pass header.from=seller.example",
        'mx.example.org; arc=none; dkim=pass reason="good signature" header.d=seller.example',
        "mx.example.org;\r\n\tdmarc=pass header.from=seller.example\r\n",
    ],
)
def test_an_aligned_pass(value: str) -> None:
    assert passed(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ";",
        "mx.example.org",
        "mx.example.org; none",
        "mx.example.org; dmarc=pass header.from=seller.example;;",
        # whose word it is
        "mx.example.org.evil.net; dmarc=pass header.from=seller.example",
        "evil.mx.example.org; dmarc=pass header.from=seller.example",
        "mx.example.or; dmarc=pass header.from=seller.example",
        "evil.net (mx.example.org); dmarc=pass header.from=seller.example",
        '"mx.example.org"; dmarc=pass header.from=seller.example',
        "mx.example.org (x) .evil.net; dmarc=pass header.from=seller.example",
        "mx.example.org 2; dmarc=pass header.from=seller.example",
        # whose domain it is
        "mx.example.org; dmarc=pass header.from=seller.example.evil.net",
        "mx.example.org; dmarc=pass header.from=example",
        "mx.example.org; dmarc=pass header.from=mail.seller.example",
        "mx.example.org; dmarc=pass",
        "mx.example.org; dkim=pass header.i=@seller.example",
        "mx.example.org; dkim=pass header.d=mail.seller.example",
        "mx.example.org; dkim=pass header.d=seller.example header.d=evil.net",
        "mx.example.org; spf=pass smtp.helo=seller.example",
        "mx.example.org; spf=pass smtp.mailfrom=seller.example@evil.net",
        "mx.example.org; spf=pass header.from=seller.example",
        # what it says
        "mx.example.org; dmarc=fail header.from=seller.example",
        "mx.example.org; dmarc=bestguesspass header.from=seller.example",
        "mx.example.org; dkim=neutral header.d=seller.example",
        "mx.example.org; spf=softfail smtp.mailfrom=seller.example",
        "mx.example.org; iprev=pass header.from=seller.example",
        "mx.example.org; arc=pass header.from=seller.example",
        "mx.example.org; dkim/2=pass header.d=seller.example",
        "mx.example.org; dkim=pass header.d=seller.example; dmarc=fail header.from=seller.example",
        "mx.example.org; spf=pass smtp.mailfrom=seller.example; dmarc=temperror",
        # a key in testing mode
        "mx.example.org; dkim=pass (test mode) header.d=seller.example",
        "mx.example.org; dkim=pass header.d=seller.example (t=y)",
        "mx.example.org; dkim=pass header.d=seller.example policy.t=y",
        'mx.example.org; dkim=pass reason="key in testing mode" header.d=seller.example',
        # words of the sender inside a value
        'mx.example.org; spf=fail smtp.mailfrom="; dmarc=pass header.from=seller.example"@evil.net',
        "mx.example.org; spf=fail (; dmarc=pass header.from=seller.example) smtp.mailfrom=evil.net",
        'mx.example.org; spf=fail smtp.mailfrom="x ; dmarc=pass header.from=seller.example',
        # malformed
        "mx.example.org; dmarc=pass header.from=seller.example trailing",
        "mx.example.org; dmarc=pass (never closed header.from=seller.example",
        "mx.example.org; dmarc pass header.from=seller.example",
        "mx.example.org dmarc=pass header.from=seller.example",
        "mx.example.org; dmarc=pass header.from=seller.example; spf=pass smtp.mailfrom=\u00fc",
        "(" * 4000 + "mx.example.org; dmarc=pass header.from=seller.example",
        "mx.example.org; dmarc=pass header.from=seller.example" + " " * 9000 + "(x)",
        "\0\udcff",
    ],
)
def test_no_pass(value: str) -> None:
    assert not passed(value)


def test_only_the_topmost_field_counts() -> None:
    good = "mx.example.org; dmarc=pass header.from=seller.example"
    assert passed(good, "mx.example.org; dmarc=fail header.from=seller.example")
    assert not passed("mx.example.org; dmarc=fail header.from=seller.example", good)
    assert not passed("other.example; none", good)
    assert not passed("mx.example.org; none", good)
    assert not passed("", good)


def test_no_field_and_no_trust() -> None:
    assert not authenticate(PLAIN, SENDER, TRUSTED).passed
    message = reported("mx.example.org; dmarc=pass header.from=seller.example")
    assert not authenticate(message, SENDER, ()).passed
    assert authenticate(message, SENDER, (" MX.example.org ",)).passed


def test_a_domain_that_begins_like_another() -> None:
    bank, evil = "ceo@bank.com", "ceo@bank.com-evil.net"
    report = "mx.example.org; dmarc=pass header.from=bank.com-evil.net"
    assert not passed(report, sender=bank, message=from_(bank))
    assert passed(report, sender=evil, message=from_(evil))
    report = "mx.example.org; dmarc=pass header.from=bank.com"
    assert not passed(report, sender=evil, message=from_(evil))


def test_an_international_domain_is_compared_by_its_a_labels() -> None:
    jane = "jane@bücher.example"
    report = "mx.example.org; dmarc=pass header.from=xn--bcher-kva.example"
    assert passed(report, sender=jane, message=from_(jane))


@pytest.mark.parametrize(
    "message",
    [
        from_("jane@other.example"),  # the proof is of From, the answer goes to the envelope sender
        from_(SENDER, SENDER),
        from_(),
        from_("seller.example"),
        with_headers(("From", SENDER)),
        replace(PLAIN, headers=()),
        replace(PLAIN, from_=(Mailbox("", "jane.doe@"),)),
    ],
)
def test_a_from_that_is_not_one_mailbox_of_the_senders_domain(message: Message) -> None:
    assert not passed("mx.example.org; dmarc=pass header.from=seller.example", message=message)


def test_the_detail_says_why() -> None:
    def detail(value: str) -> str:
        return authenticate(reported(value), SENDER, TRUSTED).detail

    assert detail("mx.example.org; dmarc=pass header.from=seller.example") == (
        "dmarc=pass for seller.example"
    )
    assert detail("mx.example.org; none") == "no aligned pass for seller.example"
    assert detail("mx.example.org; dmarc=fail") == "dmarc=fail"
    assert "trusted" in detail("evil.net; dmarc=pass header.from=seller.example")
    assert "malformed" in detail("mx.example.org; (")
    assert authenticate(PLAIN, SENDER, TRUSTED).detail == "no Authentication-Results"
    assert "another domain" in authenticate(PLAIN, "x@y.example", TRUSTED).detail
