from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mail_peers import (
    HOSTNAME,
    LmtpSink,
    Script,
    answering,
    bound_socket,
    eventually,
    hop_settings,
    scripted,
    smtp_sink,
)

from config.settings import NextHop as Settings
from gateway.relay.client import SmtpNextHop, open_next_hop
from gateway.relay.local import MaildirNextHop
from gateway.relay.nexthop import Capabilities, NextHop, NextHopDown
from gateway.relay.responses import NEXT_HOP_DOWN, NOT_STORED, OK, Reply
from gateway.relay.tls import TlsError, server_context

CONTENT = b"Subject: hello\r\n\r\nbody\r\n"
EHLO = b"250-x\r\n250 8BITMIME\r\n"


@asynccontextmanager
async def hop_to(port: int, **options: Any) -> AsyncIterator[NextHop]:
    hop = open_next_hop(hop_settings(port, **options), HOSTNAME)
    try:
        yield hop
    finally:
        await hop.close()


async def send(
    hop: NextHop, content: bytes, *recipients: str, sender: str = "a@example.org"
) -> Mapping[str, Reply]:
    transaction = await hop.begin()
    try:
        assert (await transaction.mail(sender, ())).positive
        for one in recipients or ("user@example.com",):
            await transaction.rcpt(one)
        return await transaction.data(content)
    finally:
        await transaction.close()


async def test_a_transaction_over_smtp() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        sink.refusals["gone@example.com"] = "550 5.1.1 No such user"
        transaction = await hop.begin()
        assert await transaction.mail("", ["BODY=8BITMIME", "SIZE=30"]) == Reply.of(
            250, "2.1.0 Sender ok"
        )
        assert await transaction.rcpt("user@example.com") == Reply.of(250, "2.1.5 Recipient ok")
        assert await transaction.rcpt("gone@example.com") == Reply.of(550, "5.1.1 No such user")
        assert await transaction.rcpt("user@example.com") == OK
        replies = await transaction.data(CONTENT)
        await transaction.close()
        await transaction.close()
        assert replies == {"user@example.com": Reply.of(250, "2.0.0 Queued as 42")}
        assert sink.heard == [
            f"EHLO {HOSTNAME}",
            "MAIL <> BODY=8BITMIME SIZE=30",
            "RCPT user@example.com",
            "RCPT gone@example.com",
            "DATA",
        ]
        assert sink.mails[0].content == CONTENT


async def test_the_connection_is_used_again() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        for _ in range(3):
            await send(hop, CONTENT)
        assert len(sink.mails) == 3
        assert sum(line.startswith("EHLO") for line in sink.heard) == 1
        assert "RSET" not in sink.heard
        await hop.close()
        assert sink.heard[-1] == "QUIT"


async def test_a_transaction_without_data_is_reset() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        transaction = await hop.begin()
        await transaction.mail("a@example.org", ())
        await transaction.rcpt("user@example.com")
        await transaction.close()
        assert sink.heard[-1] == "RSET"
        await send(hop, CONTENT, "other@example.com")
        assert [mail.recipients for mail in sink.mails] == [["other@example.com"]]
        assert sum(line.startswith("EHLO") for line in sink.heard) == 1


async def test_mail_begins_afresh() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        transaction = await hop.begin()
        for recipient in ("one@example.com", "two@example.com"):
            await transaction.mail("a@example.org", ())
            await transaction.rcpt("never@example.com")
            await transaction.mail("a@example.org", ())
            await transaction.rcpt(recipient)
            await transaction.data(CONTENT)
        await transaction.close()
        assert [mail.recipients for mail in sink.mails] == [
            ["one@example.com"],
            ["two@example.com"],
        ]


async def test_data_to_nobody_says_nothing() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        transaction = await hop.begin()
        await transaction.mail("a@example.org", ())
        assert await transaction.data(CONTENT) == {}
        await transaction.close()
        assert "DATA" not in sink.heard


async def test_refusals_after_the_dot_and_at_mail() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        sink.data_reply = "554 5.7.1 Not this one"
        assert await send(hop, CONTENT) == {"user@example.com": Reply.of(554, "5.7.1 Not this one")}
        sink.mail_reply = "452 4.3.1 Disk full"
        transaction = await hop.begin()
        assert await transaction.mail("a@example.org", ()) == Reply.of(452, "4.3.1 Disk full")
        await transaction.close()


async def test_capabilities_and_options_follow_the_greeting() -> None:
    less = {"enable_SMTPUTF8": False, "data_size_limit": 5000}
    async with smtp_sink(**less) as sink, hop_to(sink.port) as hop:
        assert await hop.capabilities() == Capabilities(eight_bit_mime=True, size=5000)
        assert await hop.capabilities() == Capabilities(eight_bit_mime=True, size=5000)
        assert sink.heard == [f"EHLO {HOSTNAME}"]
        transaction = await hop.begin()
        assert (await transaction.mail("a@example.org", ["SMTPUTF8"])).code == 550
        assert (await transaction.mail("ä@example.org", [])).code == 553
        assert (await transaction.mail("a@example.org>\r\nRSET", [])).code == 553
        assert (await transaction.mail("a@example.org", [])).code == 250
        assert (await transaction.rcpt("ü@example.com")).code == 553
        await transaction.close()
    unlimited = answering(b"250-x\r\n250 SIZE\r\n", b"250 ok\r\n")
    async with scripted(unlimited) as port, hop_to(port) as hop:
        assert await hop.capabilities() == Capabilities(size=0)
    heard = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in (b"502 no\r\n", b"250 x\r\n", b"250 ok\r\n"):
            heard.append(await reader.readuntil(b"\n"))
            writer.write(reply)
        await reader.readuntil(b"\n")

    async with scripted(plain) as port, hop_to(port) as hop:
        transaction = await hop.begin()
        assert (await transaction.mail("a@example.org", ["BODY=8BITMIME", "SIZE=1"])).positive
        await transaction.close()
    assert heard[1:] == [f"HELO {HOSTNAME}\r\n".encode(), b"MAIL FROM:<a@example.org>\r\n"]


async def test_smtputf8_addresses_are_spoken_in_utf8() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        transaction = await hop.begin()
        assert (await transaction.mail("ä@example.org", ["SMTPUTF8"])).positive
        assert (await transaction.rcpt("ü@example.com")).positive
        await transaction.data(CONTENT)
        await transaction.close()
        assert (sink.mails[0].sender, sink.mails[0].recipients) == (
            "ä@example.org",
            ["ü@example.com"],
        )


async def test_lmtp_answers_for_each_recipient() -> None:
    sink = LmtpSink(after_dot={"full@example.com": b"452 4.2.2 Mailbox full\r\n"})
    async with scripted(sink) as port, hop_to(port, kind="lmtp") as hop:
        assert await hop.capabilities() == Capabilities(eight_bit_mime=True, size=5000)
        for _ in range(2):
            people = ("one@example.com", "full@example.com", "two@example.com")
            assert await send(hop, CONTENT, *people, "one@example.com") == {
                "one@example.com": Reply.of(250, "2.0.0 Saved"),
                "full@example.com": Reply.of(452, "4.2.2 Mailbox full"),
                "two@example.com": Reply.of(250, "2.0.0 Saved"),
            }
        assert sink.heard[0] == f"LHLO {HOSTNAME}"
        assert [recipients for recipients, _ in sink.mails] == [list(people)] * 2


SAVED, FULL = b"250 2.1.5 Saved\r\n", b"452 4.2.2 Full\r\n"


@pytest.mark.parametrize(
    ("said", "stays", "codes"),
    [
        (SAVED, False, [250, 451, 451]),
        (SAVED, True, [250, 451, 451]),
        (SAVED * 2, False, [250, 250, 451]),
        (FULL + SAVED, False, [452, 250, 451]),
        (SAVED + b"what?\r\n", True, [250, 451, 451]),
        (SAVED + b"250-half", False, [250, 451, 451]),
        (SAVED * 3, True, [250, 250, 250]),
        (FULL * 3, True, [452, 452, 452]),
        (b"", False, None),
        (FULL * 2, False, None),
    ],
)
async def test_lmtp_broken_off_between_the_replies_keeps_what_was_said(
    said: bytes, stays: bool, codes: list[int] | None
) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies = (EHLO, *[b"250 ok\r\n"] * 4, b"354 go\r\n")
        writer.write(b"220 hi\r\n")
        for reply in replies:
            await reader.readuntil(b"\n")
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(said)
        await writer.drain()
        if stays:
            await reader.read()

    people = ("ann@example.com", "bob@example.com", "eve@example.com")
    async with scripted(script) as port, hop_to(port, kind="lmtp", timeout=1) as hop:
        if codes is None:
            with pytest.raises(NextHopDown):
                await send(hop, CONTENT, *people)
            return
        replies = await send(hop, CONTENT, *people)
        assert [replies[one].code for one in people] == codes
        assert all(replies[one] == NEXT_HOP_DOWN for one in people if replies[one].code == 451)


async def test_broken_off_between_the_replies_it_stays_down() -> None:
    replies = (EHLO, *[b"250 ok\r\n"] * 3, b"354 go\r\n")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        for reply in replies:
            await reader.readuntil(b"\n")
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(SAVED)

    async with scripted(script) as port, hop_to(port, kind="lmtp", timeout=5) as hop:
        await hop.capabilities()  # the transaction begins on a connection from the pool
        transaction = await hop.begin()
        await transaction.mail("a@example.org", ())
        for one in ("ann@example.com", "bob@example.com"):
            await transaction.rcpt(one)
        assert [reply.code for reply in (await transaction.data(CONTENT)).values()] == [250, 451]
        with pytest.raises(NextHopDown):
            await transaction.mail("a@example.org", ())
        await transaction.close()
        assert hop._idle == {}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "on_the_wire"),
    [
        (b"", b".\r\n"),
        (b"a\r\n", b"a\r\n.\r\n"),
        (b"a", b"a\r\n.\r\n"),
        (b".", b"..\r\n.\r\n"),
        (b"a\r\n.\r\n..b\r\n", b"a\r\n..\r\n...b\r\n.\r\n"),
        (b"a\n.\nb\x00\xff\r\n", b"a\n.\nb\x00\xff\r\n.\r\n"),
    ],
)
async def test_content_is_sent_octet_for_octet(content: bytes, on_the_wire: bytes) -> None:
    got = b""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        writer.write(b"220 hi\r\n")
        for reply in (EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readuntil(b"\n")
            writer.write(reply)
        got = await reader.readexactly(len(on_the_wire))
        writer.write(b"250 done\r\n")
        await reader.readuntil(b"\n")

    async with scripted(script) as port, hop_to(port) as hop:
        assert await send(hop, content) == {"user@example.com": Reply.of(250, "done")}
    assert got == on_the_wire


PIECES = st.sampled_from([b".", b"..", b"\r\n", b"\r\n.", b"a", b"\x00\xff", b"x" * 2000])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(PIECES, st.binary(max_size=20)), max_size=20).map(b"".join))
@example(b"")
@example(b"y" * 600_000 + b"\r\n.\r\n" * 1000)
def test_any_content_arrives_as_it_was(content: bytes) -> None:
    content = content.replace(b"\r", b"").replace(b"\n", b"\r\n") + b"\r\n"

    async def transmit() -> bytes:
        async with smtp_sink() as sink, hop_to(sink.port) as hop:
            await send(hop, content)
            return sink.mails[0].content

    assert asyncio.run(transmit()) == content


@pytest.mark.parametrize(
    "script",
    [
        answering(greeting=b"554 go away\r\n"),
        answering(greeting=b"421 busy\r\n"),
        answering(greeting=b"SSH-2.0-x\r\n"),
        answering(greeting=b"220-a\r\n" * 200),
        answering(greeting=b"220 " + b"a" * 10_000 + b"\r\n"),
        answering(greeting=b"220-a\r\n250 b\r\n"),
        answering(greeting=b""),
        answering(b""),
        answering(b"500 no\r\n", b"500 neither\r\n"),
        answering(b"421 closing\r\n"),
    ],
    ids=["554", "421", "ssh", "lines", "long", "codes", "silent", "eof", "no-helo", "ehlo-421"],
)
async def test_a_next_hop_that_does_not_greet_is_down(script: Script) -> None:
    async with scripted(script) as port, hop_to(port, timeout=1) as hop:
        with pytest.raises(NextHopDown):
            await hop.begin()
        with pytest.raises(NextHopDown):
            await hop.capabilities()


async def test_nobody_listening_is_down() -> None:
    with bound_socket() as sock:
        async with hop_to(sock.getsockname()[1]) as hop:
            with pytest.raises(NextHopDown, match=r"127\.0\.0\.1"):
                await hop.begin()


@pytest.mark.parametrize(
    ("replies", "step"),
    [
        ((EHLO, b""), "mail"),
        ((EHLO, b"ok\r\n"), "mail"),
        ((EHLO, b"250 ok\r\n", b""), "rcpt"),
        ((EHLO, b"250 ok\r\n", b"250 ok\r\n250 again\r\n"), "data"),
        ((EHLO, b"250 ok\r\n", b"250 ok\r\n", b""), "data"),
        ((EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b""), "data"),
        ((EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"650 what\r\n"), "data"),
        ((EHLO, b"250 ok\r\n", b"421 enough\r\n"), "data"),
    ],
)
async def test_broken_off_is_down_and_stays_down(replies: tuple[bytes, ...], step: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(*replies)(reader, writer)

    async with scripted(script) as port, hop_to(port, timeout=1) as hop:
        transaction = await hop.begin()
        if step != "mail":
            assert (await transaction.mail("a@example.org", ())).positive
        if step == "data":
            await transaction.rcpt("user@example.com")
            transaction._accepted = ["user@example.com"]  # type: ignore[attr-defined]
        actions = {
            "mail": lambda: transaction.mail("a@example.org", ()),
            "rcpt": lambda: transaction.rcpt("user@example.com"),
            "data": lambda: transaction.data(CONTENT),
        }
        for _ in range(2):
            with pytest.raises(NextHopDown):
                await actions[step]()
        await transaction.close()
        assert hop._idle == {}  # type: ignore[attr-defined]


async def test_a_refused_data_leaves_the_connection_in_step() -> None:
    replies = (
        EHLO,
        b"250 a\r\n",
        b"250 b\r\n",
        b"451 4.3.0 no\r\n",
        b"250 reset\r\n",
        b"250 c\r\n",
    )
    async with scripted(answering(*replies)) as port, hop_to(port) as hop:
        assert await send(hop, CONTENT) == {"user@example.com": Reply.of(451, "4.3.0 no")}
        transaction = await hop.begin()
        assert await transaction.mail("a@example.org", ()) == Reply.of(250, "c")
        await transaction.close()


async def test_replies_are_made_printable() -> None:
    wild = b"250-one\x1b[31m\r\n250 \xc3\xbc\ttwo\r\n"
    async with scripted(answering(EHLO, wild)) as port, hop_to(port) as hop:
        transaction = await hop.begin()
        assert await transaction.mail("a@example.org", ()) == Reply(250, ("one?[31m", "???two"))
        await transaction.close()


@pytest.mark.parametrize("farewell", [b"", b"421 4.4.2 Idle too long\r\n"])
async def test_a_connection_that_died_idle_is_replaced(farewell: bytes) -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections == 1:
            await answering(EHLO, farewell or b"421 closing\r\n")(reader, writer)
        else:
            await answering(EHLO, *[b"250 ok\r\n"] * 2, b"354 go\r\n", b"250 done\r\n")(
                reader, writer
            )

    async with scripted(script) as port, hop_to(port) as hop:
        await hop.capabilities()  # leaves one connection in the pool
        assert list((await send(hop, CONTENT)).values()) == [Reply.of(250, "done")]
        assert connections == 2


async def test_a_connection_closed_by_the_next_hop_is_not_taken_from_the_pool() -> None:
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        await send(hop, CONTENT)
        for transport in list(sink.connections.values()):
            transport.abort()
        (idle,) = hop._idle  # type: ignore[attr-defined]
        await eventually(lambda: not idle.usable)
        await send(hop, CONTENT)
        assert len(sink.mails) == 2


async def test_a_new_connection_that_dies_is_not_tried_again() -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await answering(EHLO, b"")(reader, writer)

    async with scripted(script) as port, hop_to(port) as hop:
        transaction = await hop.begin()
        with pytest.raises(NextHopDown):
            await transaction.mail("a@example.org", ())
        await transaction.close()
        assert connections == 1


async def test_idle_connections_are_bounded_and_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.client._MOST_IDLE", 2)
    async with smtp_sink() as sink, hop_to(sink.port) as hop:
        transactions = [await hop.begin() for _ in range(4)]
        for transaction in transactions:
            await transaction.close()
        await eventually(lambda: sink.heard.count("QUIT") == 2)
        assert len(sink.connections) == 2
        monkeypatch.setattr("gateway.relay.client._IDLE_SECONDS", 0.01)
        await send(hop, CONTENT)
        await eventually(lambda: sink.heard.count("QUIT") == 3)


async def test_cancelled_in_data_no_final_dot_is_sent() -> None:
    got = b""
    started, ended = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        writer.write(b"220 hi\r\n")
        for reply in (EHLO, b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
            await reader.readuntil(b"\n")
            writer.write(reply)
        got = await reader.readexactly(1000)
        started.set()
        try:
            while chunk := await reader.read(2**16):
                got += chunk
        finally:
            ended.set()

    async def blocked_script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await script(reader, writer)

    async with scripted(blocked_script) as port, hop_to(port) as hop:
        task = asyncio.create_task(send(hop, b"z" * 50_000_000))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await ended.wait()
    assert not got.endswith(b".\r\n")
    assert len(got) < 50_000_000


async def test_a_silent_next_hop_times_out() -> None:
    async with scripted(answering(EHLO)) as port, hop_to(port, timeout=1) as hop:
        transaction = await hop.begin()
        with pytest.raises(NextHopDown, match="TimeoutError"):
            await transaction.mail("a@example.org", ())
        await transaction.close()


# TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def contexts(
    authority: trustme.CA, path: Path, name: str = "127.0.0.1"
) -> tuple[ssl.SSLContext, Path]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(str(path / "ca.pem"))
    return context, path / "ca.pem"


@pytest.mark.parametrize("kind", ["required", "opportunistic"])
async def test_starttls_to_the_next_hop(authority: trustme.CA, tmp_path: Path, kind: str) -> None:
    context, ca = contexts(authority, tmp_path)
    async with smtp_sink(tls_context=context) as sink:
        async with hop_to(sink.port, tls=kind, tls_ca=str(ca)) as hop:
            await send(hop, CONTENT)
            await send(hop, CONTENT)
        assert sink.heard[:2] == [f"EHLO {HOSTNAME}", f"EHLO {HOSTNAME} TLS"]
        assert [mail.content for mail in sink.mails] == [CONTENT] * 2


async def test_required_tls_refuses_a_false_name_or_none_offered(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context, ca = contexts(authority, tmp_path, name="other.example")
    strict = {"tls": "required", "tls_ca": str(ca)}
    async with smtp_sink(tls_context=context) as sink, hop_to(sink.port, **strict) as hop:
        with pytest.raises(NextHopDown, match="CERTIFICATE_VERIFY_FAILED"):
            await hop.begin()
    async with smtp_sink() as sink, hop_to(sink.port, **strict) as hop:
        with pytest.raises(NextHopDown, match="not offered"):
            await hop.begin()
        assert not any(line.startswith("MAIL") for line in sink.heard)


async def test_opportunistic_tls_goes_on_in_the_clear() -> None:
    async with smtp_sink() as sink, hop_to(sink.port, tls="opportunistic") as hop:
        await send(hop, CONTENT)
        assert len(sink.mails) == 1
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        replies = [b"250-x\r\n250 STARTTLS\r\n"]
        if connections == 1:
            replies += [b"220 go\r\nthis is no TLS at all\r\n", b""]
        else:
            replies += [b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 clear\r\n"]
        await answering(*replies)(reader, writer)

    async with scripted(script) as port, hop_to(port, tls="opportunistic", timeout=5) as hop:
        assert list((await send(hop, CONTENT)).values()) == [Reply.of(250, "clear")]


async def test_replies_put_in_before_the_handshake_are_thrown_away(
    authority: trustme.CA, tmp_path: Path
) -> None:
    context, ca = contexts(authority, tmp_path)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        await reader.readuntil(b"\n")
        writer.write(b"250-x\r\n250 STARTTLS\r\n")
        await reader.readuntil(b"\n")
        writer.write(b"220 go\r\n250-injected\r\n250 SIZE 1\r\n")
        await writer.start_tls(context)
        await reader.readuntil(b"\n")
        writer.write(b"250-x\r\n250 SIZE 777\r\n")
        await reader.readuntil(b"\n")

    async with scripted(script) as port, hop_to(port, tls="required", tls_ca=str(ca)) as hop:
        assert (await hop.capabilities()).size == 777


def test_unusable_tls_files_are_named(tmp_path: Path) -> None:
    from config.settings import Relay

    missing = tmp_path / "missing.pem"
    with pytest.raises(TlsError, match=r"\[next_hop\] tls_ca = .*missing\.pem"):
        open_next_hop(Settings(kind="smtp", tls="required", tls_ca=missing), HOSTNAME)
    with pytest.raises(TlsError, match=r"\[relay\] tls_certificate = .*missing\.pem"):
        server_context(Relay(tls_certificate=missing, tls_key=missing))
    assert server_context(Relay()) is None


def test_an_encrypted_key_does_not_ask_for_its_passphrase(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as pem
    from cryptography.hazmat.primitives.asymmetric import ec

    from config.settings import Relay

    key = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        pem.Encoding.PEM, pem.PrivateFormat.PKCS8, pem.BestAvailableEncryption(b"secret")
    )
    chain = trustme.CA().issue_cert("localhost").cert_chain_pems[0].bytes()
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "cert.pem").write_bytes(chain)
    settings = Relay(tls_certificate=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    with pytest.raises(TlsError, match="encrypted"):
        server_context(settings)


# Maildir


async def test_a_maildir_for_each_recipient(tmp_path: Path) -> None:
    hop = open_next_hop(Settings(kind="maildir", path=tmp_path), HOSTNAME)
    assert isinstance(hop, MaildirNextHop)
    assert await hop.capabilities() == Capabilities(eight_bit_mime=True, smtputf8=True)
    people = ("user@example.com", "USER@example.com", "../../up@example.com", "/etc/x@example.com")
    assert await send(hop, CONTENT, *people) == dict.fromkeys(people, OK)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert {path.parent.parent.parent for path in files} == {tmp_path}
    assert {path.parent.name for path in files} == {"new"}
    assert {path.read_bytes() for path in files} == {CONTENT}
    assert not (tmp_path.parent / "up@example.com").exists()
    await hop.close()


async def test_a_maildir_transaction_begins_afresh(tmp_path: Path) -> None:
    transaction = await MaildirNextHop(tmp_path).begin()
    await transaction.mail("a@example.org", ())
    await transaction.rcpt("first@example.com")
    await transaction.mail("a@example.org", ())
    await transaction.rcpt("second@example.com")
    assert await transaction.data(CONTENT) == {"second@example.com": OK}
    await transaction.close()
    assert [path.name for path in tmp_path.iterdir()] == ["second@example.com"]


async def test_a_disk_that_refuses_is_certain_and_transient(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    hop = MaildirNextHop(tmp_path / "file")
    assert await send(hop, CONTENT) == {"user@example.com": NOT_STORED}
    assert NOT_STORED.transient


@pytest.mark.parametrize("broken", ["ann", "bob", "eve"])
async def test_a_folder_that_fails_fails_for_its_recipients_only(
    tmp_path: Path, broken: str
) -> None:
    (tmp_path / f"{broken}@example.com").write_text("no directory")
    people = [f"{name}@example.com" for name in ("ann", "bob", "ANN", "BOB", "eve", "EVE")]
    assert await send(MaildirNextHop(tmp_path), CONTENT, *people) == {
        one: NOT_STORED if one.lower().startswith(broken) else OK for one in people
    }
    assert len(list(tmp_path.glob("*/new/*"))) == 2


def test_smtp_and_lmtp_share_one_client() -> None:
    for kind in ("smtp", "lmtp"):
        hop = open_next_hop(Settings.model_validate({"kind": kind}), HOSTNAME)
        assert isinstance(hop, SmtpNextHop)
        assert hop.lmtp == (kind == "lmtp")
