from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl
import time
from typing import Any

import pytest
import trustme
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mail_peers import (
    HOSTNAME,
    PATIENCE,
    LmtpSink,
    SmtpSink,
    answering,
    bound_socket,
    client,
    eventually,
    pass_through,
    relay,
    scripted,
    smtp_sink,
)

from gateway.envelope import Envelope
from gateway.relay import paths
from gateway.relay.intake import EndOfStream, Intake, LineTooLong, has_bare_newlines, normalised
from gateway.relay.nexthop import Transaction
from gateway.relay.responses import OK, Refusal, Reply


class Gate:
    """A process that waits in the middle until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = asyncio.Event(), asyncio.Event()
        self.finished: list[bytes] = []
        self.envelopes: list[Envelope] = []

    async def __call__(self, envelope: Envelope, content: bytes, transaction: Transaction) -> Reply:
        self.envelopes.append(envelope)
        self.entered.set()
        await self.opened.wait()
        reply = await pass_through(envelope, content, transaction)
        self.finished.append(content)
        return reply


def opened() -> Gate:
    gate = Gate()
    gate.opened.set()
    return gate


# The envelope


async def test_the_envelope_tells_what_was_spoken() -> None:
    gate = opened()
    async with smtp_sink() as sink, relay(sink.port, gate) as (_, port), client(port) as speaker:
        await speaker.reply()
        await speaker.ask("EHLO client.example")
        await speaker.ask("MAIL FROM:<ä@example.org> BODY=8BITMIME SMTPUTF8 SIZE=007")
        await speaker.ask("RCPT TO:<one@example.com>")
        await speaker.ask("RCPT TO:<two@EXAMPLE.com>")
        await speaker.ask("DATA")
        assert await speaker.ask("x\r\n.") == "250 2.0.0 Queued as 42\r\n"
        await speaker.ask("HELO old.example")
        await speaker.ask("MAIL FROM:<>")
        await speaker.ask("RCPT TO:<one@example.com>")
        await speaker.ask("DATA")
        await speaker.ask("x\r\n.")
    first, second = gate.envelopes
    assert first.client == "127.0.0.1"
    assert (first.helo, first.mail_from) == ("client.example", "ä@example.org")
    assert first.rcpt_tos == ("one@example.com", "two@EXAMPLE.com")
    assert first.protocol == "UTF8SMTP"
    assert first.mail_options == ("BODY=8BITMIME", "SMTPUTF8", "SIZE=7")
    assert first.received_at.tzinfo is not None
    assert (second.protocol, second.mail_from, second.mail_options) == ("SMTP", "", ())
    assert first.id != second.id
    assert len(first.id) == len(second.id) == 16


async def test_the_protocol_inside_tls() -> None:
    authority, gate = trustme.CA(), opened()
    offered, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOSTNAME).configure_cert(offered)
    authority.configure_trust(trust)
    async with (
        smtp_sink() as sink,
        relay(sink.port, gate, offered) as (_, port),
        client(port) as speaker,
    ):
        await speaker.reply()
        assert "STARTTLS" in await speaker.ask("EHLO client.example")
        await speaker.ask("STARTTLS")
        await speaker.start_tls(trust)
        assert "STARTTLS" not in await speaker.ask("EHLO client.example")
        await speaker.ask("MAIL FROM:<a@example.org>")
        await speaker.ask("RCPT TO:<user@example.com>")
        await speaker.ask("DATA")
        await speaker.send(b"y" * 300_000 + b"\r\n.\r\n")
        assert (await speaker.reply()).startswith("250")
    assert [one.protocol for one in gate.envelopes] == ["ESMTPS"]
    assert sink.mails[0].content == b"y" * 300_000 + b"\r\n"


# What both sides support


async def test_only_what_the_next_hop_can_is_offered() -> None:
    less = {"enable_SMTPUTF8": False, "data_size_limit": 700}
    async with smtp_sink(**less) as sink, relay(sink.port) as (_, port), client(port) as speaker:
        await speaker.reply()
        offered = await speaker.ask("EHLO client.example")
        assert offered.split("\r\n")[1:-1] == ["250-PIPELINING", "250-SIZE 700", "250 8BITMIME"]
        assert (await speaker.ask("MAIL FROM:<a@example.org> SMTPUTF8")).startswith("555")
        assert (await speaker.ask("MAIL FROM:<a@example.org> SIZE=701")).startswith("552")


async def test_a_next_hop_without_extensions() -> None:
    hop = answering(b"250 plain\r\n", b"250 ok\r\n")
    async with scripted(hop) as hop_port, relay(hop_port) as (_, port), client(port) as speaker:
        await speaker.reply()
        offered = await speaker.ask("EHLO client.example")
        assert offered.split("\r\n")[1:-1] == ["250-PIPELINING", f"250 SIZE {25 * 2**20}"]
        assert (await speaker.ask("MAIL FROM:<a@example.org>")).startswith("250")


async def test_a_next_hop_that_is_away_is_a_451_at_mail() -> None:
    with bound_socket() as nobody:
        async with relay(nobody.getsockname()[1]) as (_, port), client(port) as speaker:
            await speaker.reply()
            # A client that did not find SMTPUTF8 here would bounce its mail for good.
            assert "SMTPUTF8" in await speaker.ask("EHLO client.example")
            for _ in range(2):
                assert (await speaker.ask("MAIL FROM:<ä@example.org> SMTPUTF8")).startswith(
                    "451 4.4.1"
                )


# The next hop goes away, or says odd things


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"421 4.3.2 Going down\r\n", "451 4.3.2 Going down\r\n"),
        (b"452 4.3.1 Full\r\n", "452 4.3.1 Full\r\n"),
        (b"550-5.7.1 No\r\n550 5.7.1 Never\r\n", "550-5.7.1 No\r\n550 5.7.1 Never\r\n"),
        (b"354 go on\r\n", "451 go on\r\n"),
        (b"250 ol\xc3\xa9\x07\r\n", "250 ol???\r\n"),
    ],
)
async def test_its_reply_to_mail_comes_back(said: bytes, heard: str) -> None:
    hop = answering(b"250 8BITMIME\r\n", said)
    async with scripted(hop) as hop_port, relay(hop_port) as (_, port), client(port) as speaker:
        await speaker.reply()
        await speaker.ask("HELO client.example")
        assert await speaker.ask("MAIL FROM:<a@example.org>") == heard
        assert (await speaker.ask("NOOP")).startswith("250")


async def test_lost_behind_an_open_transaction_every_step_is_transient() -> None:
    hop = answering(b"250 x\r\n", b"250 ok\r\n", b"250 ok\r\n", b"")
    async with scripted(hop) as hop_port, relay(hop_port) as (_, port), client(port) as speaker:
        await speaker.reply()
        await speaker.ask("HELO client.example")
        assert (await speaker.ask("MAIL FROM:<a@example.org>")).startswith("250")
        assert (await speaker.ask("RCPT TO:<one@example.com>")).startswith("250")
        assert (await speaker.ask("RCPT TO:<two@example.com>")).startswith("451")
        assert (await speaker.ask("RCPT TO:<three@example.com>")).startswith("451")
        await speaker.ask("DATA")
        assert (await speaker.ask("x\r\n.")).startswith("451 4.3.0")


async def test_its_refusal_of_the_data_comes_back() -> None:
    async with smtp_sink() as sink, relay(sink.port) as (_, port), client(port) as speaker:
        sink.data_reply = "550 5.7.1 Not this one"
        await speaker.up_to_data()
        assert await speaker.ask("x\r\n.") == "550 5.7.1 Not this one\r\n"
        sink.data_reply = "250 2.0.0 Ok"
        await speaker.ask("MAIL FROM:<a@example.org>")
        await speaker.ask("RCPT TO:<user@example.com>")
        await speaker.ask("DATA")
        assert await speaker.ask("x\r\n.") == "250 2.0.0 Ok\r\n"


async def test_lmtp_behind() -> None:
    sink = LmtpSink()
    async with (
        scripted(sink) as hop_port,
        relay(hop_port, hop={"kind": "lmtp"}) as (_, port),
        client(port) as speaker,
    ):
        await speaker.up_to_data("one@example.com", "two@example.com")
        assert await speaker.ask("x\r\n.") == "250 2.0.0 Saved\r\n"
    assert sink.mails == [(["one@example.com", "two@example.com"], b"x\r\n.\r\n")]


# process fails, and clients leave


async def test_a_process_that_raises_is_a_fixed_451_and_nothing_is_sent(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def process(*_: Any) -> Reply:
        raise RuntimeError("password=hunter2")

    async with smtp_sink() as sink, relay(sink.port, process) as (_, port), client(port) as speaker:
        await speaker.up_to_data()
        reply = await speaker.ask("x\r\n.")
        assert reply == "451 4.3.0 Temporary local problem, please try again later\r\n"
        assert (await speaker.ask("NOOP")).startswith("250")
        assert sink.heard[-1] == "RSET"
        assert sink.mails == []
    assert "password=hunter2" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["reset", "close", "half_close"])
async def test_behind_the_final_dot_the_mail_is_carried_out(how: str) -> None:
    gate = Gate()
    async with smtp_sink() as sink, relay(sink.port, gate) as (_, port):
        async with client(port) as speaker:
            await speaker.up_to_data()
            await speaker.send(b"x\r\n.\r\n")
            await gate.entered.wait()
            getattr(speaker, how)()
        gate.opened.set()
        await eventually(lambda: gate.finished)
        assert [mail.content for mail in sink.mails] == [b"x\r\n"]


@pytest.mark.parametrize("how", ["reset", "close", "half_close"])
async def test_before_the_final_dot_nothing_is(how: str) -> None:
    gate = opened()
    async with smtp_sink() as sink, relay(sink.port, gate) as (_, port), client(port) as speaker:
        await speaker.up_to_data()
        await speaker.send(b"x\r\n.\r")
        getattr(speaker, how)()
        await eventually(lambda: "RSET" in sink.heard)
        assert (gate.envelopes, sink.mails) == ([], [])


@pytest.mark.parametrize(
    "words", [["RSET"], ["EHLO again.example"], ["HELO again.example"], ["QUIT"]]
)
async def test_the_next_hop_hears_of_an_abandoned_transaction(words: list[str]) -> None:
    async with smtp_sink() as sink, relay(sink.port) as (_, port), client(port) as speaker:
        await speaker.reply()
        for line in ("HELO c.example", "MAIL FROM:<a@example.org>", *words):
            await speaker.ask(line)
        await eventually(lambda: sink.heard[-1] == "RSET")


# Who may come in


async def test_a_stranger_is_refused_at_the_greeting() -> None:
    async with (
        smtp_sink() as sink,
        relay(sink.port, clients=["192.0.2.0/24"]) as (_, port),
        client(port) as speaker,
    ):
        assert await speaker.reply() == "554 5.7.1 Access denied\r\n"
        assert await speaker.reply() == ""


async def test_too_many_connections() -> None:
    async with smtp_sink() as sink, relay(sink.port, max_connections=1) as (_, port):
        async with client(port) as first:
            assert (await first.reply()).startswith("220")
            async with client(port) as second:
                assert (await second.reply()).startswith("421 4.3.2")
                assert await second.reply() == ""
            assert (await first.ask("NOOP")).startswith("250")
            assert (await first.ask("QUIT")).startswith("221")
            assert await first.reply() == ""
        async with client(port) as third:
            assert (await third.reply()).startswith("220")


# Time


async def test_an_idle_client_is_told_and_closed() -> None:
    async with (
        smtp_sink() as sink,
        relay(sink.port, timeout=1) as (_, port),
        client(port) as speaker,
    ):
        await speaker.reply()
        assert (await speaker.reply()).startswith("421 4.4.2")
        assert await speaker.reply() == ""


async def test_an_idle_client_in_data_too() -> None:
    async with (
        smtp_sink() as sink,
        relay(sink.port, timeout=1) as (_, port),
        client(port) as speaker,
    ):
        await speaker.up_to_data()
        await speaker.send(b"half a mail")
        assert (await speaker.reply()).startswith("421 4.4.2")
        await eventually(lambda: sink.heard[-1] == "RSET")


async def test_data_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.relay.peer._DATA_PATIENCE", 0.3)
    async with (
        smtp_sink() as sink,
        relay(sink.port, timeout=2) as (_, port),
        client(port) as speaker,
    ):
        await speaker.up_to_data()

        async def drip() -> None:
            while True:
                await speaker.send(b"x\r\n")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())
        assert (await speaker.reply()).startswith("421 4.4.2")
        dripping.cancel()


async def test_no_timeout_while_the_mail_is_carried_out() -> None:
    gate = Gate()
    async with (
        smtp_sink() as sink,
        relay(sink.port, gate, timeout=1) as (_, port),
        client(port) as speaker,
    ):
        await speaker.up_to_data()
        await speaker.send(b"x\r\n.\r\n")
        await gate.entered.wait()
        await asyncio.sleep(1.2)  # longer than the client's patience would be worth
        gate.opened.set()
        assert (await speaker.reply()).startswith("250")


async def test_a_client_that_never_reads_is_cut_off() -> None:
    long = "".join(f"452-{'x' * 400}\r\n" for _ in range(40)) + "452 4.2.2 Full"
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    async with smtp_sink() as sink, relay(sink.port, timeout=1) as (gateway, port):
        sink.refusals["full@example.com"] = long
        deaf.connect(("127.0.0.1", port))
        async with client(sock=deaf) as speaker:
            await speaker.reply()
            await speaker.ask("HELO c.example")
            await speaker.ask("MAIL FROM:<a@example.org>")
            (session,) = gateway._sessions
            speaker._writer.transport.pause_reading()
            speaker._writer.write(b"RCPT TO:<full@example.com>\r\n" * 2000)
            await eventually(lambda: session not in gateway._sessions)
        assert sink.heard.count("RCPT full@example.com") < 2000


# Draining


async def test_drain_sends_idle_clients_away_and_lets_a_mail_finish() -> None:
    gate = Gate()
    async with smtp_sink() as sink, relay(sink.port, gate) as (gateway, port):
        async with client(port) as idle, client(port) as busy:
            await idle.reply()
            await busy.up_to_data()
            draining = asyncio.create_task(gateway.drain(30))
            assert (await idle.reply()).startswith("421 4.3.2")
            assert await idle.reply() == ""
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            await busy.send(b"x\r\n.\r\nMAIL FROM:<next@example.org>\r\n")
            await gate.entered.wait()
            assert not draining.done()
            gate.opened.set()
            assert (await busy.reply()).startswith("250 2.0.0")
            assert (await busy.reply()).startswith("421 4.3.2")
            await draining
        assert [mail.content for mail in sink.mails] == [b"x\r\n"]


async def test_drain_cuts_off_at_the_deadline() -> None:
    gate = Gate()
    async with (
        smtp_sink() as sink,
        relay(sink.port, gate) as (gateway, port),
        client(port) as inside,
        client(port) as working,
    ):
        await inside.up_to_data()
        await working.up_to_data()
        await working.send(b"x\r\n.\r\n")
        await gate.entered.wait()
        await gateway.drain(0.05)
        assert (await inside.reply()).startswith("421")
        assert (await working.reply()).startswith("421")
        assert (gate.finished, sink.mails, gateway._sessions) == ([], [], set())


async def test_drain_does_not_wait_for_a_leave_taking_in_progress() -> None:
    def deaf_to_rset() -> Any:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 hi\r\n")
            for reply in (b"250 x\r\n", b"250 ok\r\n"):
                await reader.readuntil(b"\n")
                writer.write(reply)
            resetting.set()
            await reader.read()

        return script

    resetting = asyncio.Event()
    async with scripted(deaf_to_rset()) as hop_port, relay(hop_port) as (gateway, port):
        async with client(port) as speaker:
            await speaker.reply()
            await speaker.ask("HELO c.example")
            await speaker.ask("MAIL FROM:<a@example.org>")
        await resetting.wait()
        started = time.monotonic()
        await gateway.drain(0)
        assert time.monotonic() - started < 3
        assert not gateway._sessions


async def test_drain_with_nobody_there() -> None:
    async with smtp_sink() as sink, relay(sink.port) as (gateway, _):
        await gateway.drain(30)
        await gateway.drain(30)


def everything(sock: socket.socket) -> bytes:
    """What has arrived on it up to the end of the connection."""
    sock.settimeout(PATIENCE)
    said = b""
    while chunk := sock.recv(1000):
        said += chunk
    return said


@pytest.mark.parametrize("turns", range(9))
async def test_a_client_that_has_just_connected_hears_of_the_drain(turns: int) -> None:
    for _ in range(10):
        async with relay(9) as (gateway, port):
            newcomers = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
            for _ in range(turns):  # from the kernel's queue to the greeting it takes some
                await asyncio.sleep(0)
            await gateway.drain(30)
            for newcomer in newcomers:
                with newcomer:
                    said = everything(newcomer)
                    assert re.fullmatch(rb"(220 [^\n]*\n)?421 4\.3\.2 [^\n]*\n", said), said
            assert gateway._sessions == set()


@pytest.mark.parametrize("turns", range(20))
async def test_a_client_that_connects_during_the_drain_is_not_left_without_a_word(
    turns: int,
) -> None:
    async with relay(9) as (gateway, port):
        draining = asyncio.create_task(gateway.drain(30))
        for _ in range(turns):
            await asyncio.sleep(0)
        newcomer = socket.socket()
        # Behind the closing the kernel says no, which a client takes for what it is.
        refused = newcomer.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED
        await draining
        with newcomer:
            try:
                assert refused or everything(newcomer).startswith(b"421 4.3.2 ")
            except ConnectionResetError:
                assert turns > 1  # it came too late to be let in


@pytest.mark.parametrize("turns", range(9))
async def test_a_patient_drain_serves_a_client_that_has_just_connected(turns: int) -> None:
    async with smtp_sink() as sink, relay(sink.port) as (gateway, port):
        sock = socket.create_connection(("127.0.0.1", port))
        for _ in range(turns):
            await asyncio.sleep(0)
        draining = asyncio.create_task(gateway.drain(30, patient=True))
        sock.setblocking(False)
        async with client(sock=sock) as newcomer:
            await newcomer.up_to_data()
            assert (await newcomer.ask("x\r\n.")).startswith("250")
            assert (await newcomer.reply()).startswith("421 4.3.2")
            assert await newcomer.reply() == ""
        await draining
        assert [mail.content for mail in sink.mails] == [b"x\r\n"]


async def test_a_patient_drain_allows_each_client_one_transaction() -> None:
    async with (
        smtp_sink() as sink,
        relay(sink.port) as (gateway, port),
        client(port) as served,
        client(port) as inside,
        client(port) as newcomer,
    ):
        await served.up_to_data()
        assert (await served.ask("x\r\n.")).startswith("250")
        await inside.up_to_data()
        await newcomer.reply()
        draining = asyncio.create_task(gateway.drain(30, patient=True))
        assert (await served.reply()).startswith("421 4.3.2")
        assert await served.reply() == ""
        assert (await inside.ask("y\r\n.")).startswith("250")
        assert (await inside.reply()).startswith("421 4.3.2")
        for line in ("NOOP", "EHLO c.example", "RSET", "MAIL FROM:<a@example.org>", "RSET"):
            assert not draining.done()
            assert (await newcomer.ask(line)).startswith("250"), line
        assert (await newcomer.reply()).startswith("421 4.3.2")
        await draining
        assert [mail.content for mail in sink.mails] == [b"x\r\n", b"y\r\n"]


async def test_a_refused_mail_is_no_transaction() -> None:
    async with (
        smtp_sink() as sink,
        relay(sink.port) as (gateway, port),
        client(port) as newcomer,
    ):
        await newcomer.reply()
        await newcomer.ask("EHLO c.example")
        draining = asyncio.create_task(gateway.drain(30, patient=True))
        sink.mail_reply = "451 4.3.0 Not now"
        assert (await newcomer.ask("MAIL FROM:<a@example.org>")).startswith("451")
        sink.mail_reply = "250 2.1.0 Ok"
        assert (await newcomer.ask("MAIL FROM:<a@example.org>")).startswith("250")
        assert (await newcomer.ask("QUIT")).startswith("221")
        await draining


async def test_patience_ends_at_the_deadline_or_with_a_stop() -> None:
    async with smtp_sink() as sink:
        async with relay(sink.port) as (gateway, port), client(port) as newcomer:
            await newcomer.reply()
            await gateway.drain(0.05, patient=True)
            assert (await newcomer.reply()).startswith("421 4.3.2")
        async with relay(sink.port) as (gateway, port), client(port) as newcomer:
            await newcomer.reply()
            waiting = asyncio.create_task(gateway.drain(30, patient=True))
            await newcomer.ask("NOOP")
            await gateway.drain(30)
            await waiting
            assert (await newcomer.reply()).startswith("421 4.3.2")


# Octets


LINES = st.lists(
    st.one_of(
        st.sampled_from([b"", b".", b"..", b".x", b"x.", b"\x00", b"a" * 5000]),
        st.binary(max_size=40).map(lambda raw: raw.replace(b"\r", b"").replace(b"\n", b"")),
    ),
    max_size=20,
)


def stuffed(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n"


async def relayed(content: bytes) -> SmtpSink:
    async with smtp_sink() as sink, relay(sink.port) as (_, port), client(port) as speaker:
        await speaker.up_to_data()
        await speaker.send(stuffed(content))
        assert (await speaker.reply()).startswith("250")
        return sink


@settings(max_examples=50, deadline=None)
@given(LINES)
@example([b"z" * 400_000] * 3)
def test_every_octet_passes(lines: list[bytes]) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    assert [mail.content for mail in asyncio.run(relayed(content)).mails] == [content]


@settings(deadline=None)
@given(LINES, st.binary(max_size=20), st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_the_end_of_data_is_found_in_any_segments(
    lines: list[bytes], rest: bytes, sizes: list[int]
) -> None:
    content = b"".join(line + b"\r\n" for line in lines)
    wire = stuffed(content) + rest

    async def read() -> tuple[bytes | None, bytes]:
        intake = Intake()
        reading = asyncio.create_task(intake.data(10**6))
        place = turn = 0
        while place < len(wire):
            size = sizes[turn % len(sizes)] * (100 if place > 100 else 1)
            intake.feed(wire[place : place + size])
            place, turn = place + size, turn + 1
            await asyncio.sleep(0)
        data = await reading
        intake.feed(b"\n")
        return data, await intake.line(100)

    data, line = asyncio.run(read())
    assert data == content
    assert line == (rest + b"\n")[: (rest + b"\n").index(b"\n") + 1]


@pytest.mark.parametrize(("size", "code"), [(1000, "250"), (1001, "552")])
async def test_the_size_is_counted_without_transparency_dots(size: int, code: str) -> None:
    content = b".\r\n" * 300 + b"x" * (size - 902) + b"\r\n"
    assert len(content) == size
    async with (
        smtp_sink() as sink,
        relay(sink.port, max_message_size=1000) as (_, port),
        client(port) as speaker,
    ):
        await speaker.up_to_data()
        await speaker.send(stuffed(content))
        assert (await speaker.reply())[:3] == code
        assert [mail.content for mail in sink.mails] == [content] * (code == "250")


async def test_an_endless_mail_is_read_but_not_kept() -> None:
    intake = Intake()
    reading = asyncio.create_task(intake.data(1000))
    for _ in range(2000):
        intake.feed(b"y" * 1000)
        await asyncio.sleep(0)
        assert len(intake._buffer) <= 1000
    intake.feed(b"\r\n.\r\nNEXT\n")
    assert await reading is None
    assert await intake.line(10) == b"NEXT\n"


class Pausable:
    """The part of a transport that an Intake uses."""

    def __init__(self) -> None:
        self.reading = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def test_a_fast_peer_is_paused_until_it_is_read() -> None:
    intake, transport = Intake(), Pausable()
    intake.attach(transport)  # type: ignore[arg-type]
    intake.feed(b"a\n" + b"b" * 300_000)
    assert not transport.reading
    assert await intake.line(10) == b"a\n"
    reading = asyncio.create_task(intake.line(10))
    await asyncio.sleep(0)
    assert transport.reading
    intake.feed(b"\nc\n")
    with pytest.raises(LineTooLong):
        await reading
    assert await intake.line(10) == b"c\n"
    assert intake.silent
    intake.end()
    assert not intake.silent
    with pytest.raises(EndOfStream):
        await intake.line(10)


@pytest.mark.parametrize(
    ("content", "bare", "normal"),
    [
        (b"", False, b""),
        (b"a\r\nb\r\n", False, b"a\r\nb\r\n"),
        (b"a\nb", True, b"a\r\nb"),
        (b"a\rb", True, b"a\r\nb"),
        (b"a\n\rb", True, b"a\r\n\r\nb"),
        (b"a\r\r\nb", True, b"a\r\n\r\nb"),
        (b"\r\n\n\r\r\n", True, b"\r\n" * 4),
    ],
)
def test_bare_newlines(content: bytes, bare: bool, normal: bytes) -> None:
    assert has_bare_newlines(content) == bare
    assert normalised(content) == normal
    assert not has_bare_newlines(normal)


# Addresses


@pytest.mark.parametrize(
    ("path", "sender"),
    [
        ("", ""),
        ("a@example.org", "a@example.org"),
        ("a..b.@example.org", "a..b.@example.org"),
        ("bounce+x=y@under_score.example", "bounce+x=y@under_score.example"),
        ('"a b"@example.org', '"a b"@example.org'),
        ('"a\\"b@c"@example.org', '"a\\"b@c"@example.org'),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("@one.example,@two.example:a@example.org", "a@example.org"),
        ("a", None),
        ("a@", None),
        ("@example.org", None),
        ("a@b@c", None),
        ("a b@example.org", None),
        ("a(c)@example.org", None),
        ("a@example..org", None),
        ("a@example.org.", None),
        ("a@[x", None),
        ('"a\x01"@example.org', None),
        ("a\u2028@example.org", None),
        ("a\x85@example.org", None),
        ("a" * 310 + "@example.org", None),
    ],
)
def test_reverse_path(path: str, sender: str | None) -> None:
    if sender is not None:
        assert paths.reverse_path(path) == sender
        return
    with pytest.raises(Refusal) as refused:
        paths.reverse_path(path)
    assert refused.value.reply.code == 553


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("FROM:<a@b>", ("a@b", [])),
        ("from: <a@b>  SIZE=1  X ", ("a@b", ["SIZE=1", "X"])),
        ('FROM:<"a>b"@c> X', ('"a>b"@c', ["X"])),
        ("FROM:<>", ("", [])),
        ("FROM:a@b", None),
        ("FROM:<a@b", None),
        ("FROM:<<a@b>>", None),
        ("FROM:<a@b>X", None),
        ("FROM <a@b>", None),
        ("TO:<a@b>", None),
        ("", None),
        ('FROM:<"' + "\\" * 999 + '"@b>', None),
    ],
)
def test_argument(text: str, result: tuple[str, list[str]] | None) -> None:
    if result is not None:
        assert paths.argument("FROM", text) == result
        return
    with pytest.raises(Refusal):
        paths.argument("FROM", text)


@settings(max_examples=200)
@given(st.text(max_size=60), st.sampled_from(["@example.com", "@other.example", ""]))
def test_an_accepted_recipient_is_ours_and_of_one_line(local: str, domain: str) -> None:
    try:
        recipient = paths.forward_path(local + domain, ("example.com",))
    except Refusal:
        return
    assert recipient.lower().endswith("@example.com")
    assert recipient.count("@") == 1
    assert not set(recipient) & set("\r\n\0<>%!")


def test_replies_on_the_wire() -> None:
    assert Reply(250, ("a", "b\r\n421 x", "ü")).encode() == b"250-a\r\n250-b??421 x\r\n250 ??\r\n"
    assert Reply(250, ()).encode() == b"250 \r\n"
    assert len(Reply.of(250, "x" * 2000).encode()) <= 512
    assert OK.encode() == b"250 2.0.0 Ok\r\n"
