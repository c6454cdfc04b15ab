"""Replays the conversations in tests/dialogues against a relay with a real next hop behind it.

    set KEY = VALUE   a [relay] setting            tls         offer STARTTLS
    C: text           the client says it, CRLF     R: text     raw octets, with Python's escapes
    R*9: text         the same nine times          S: regex    the next line from the relay
    S*9: regex        nine such lines              S* regex    a reply whose last line matches
    H:                the client half-closes       T:          handshake
    E:                the relay closes             M: a -> b, c | content   one accepted mail

The M lines are compared with everything the next hop accepted, in order.
"""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme
from mail_peers import HOSTNAME, Client, SmtpSink, client, relay, smtp_sink

DIALOGUES = sorted((Path(__file__).parent.parent / "dialogues").glob("*.txt"))
STEP = re.compile(r"(?P<what>[CRSTHEM])(?:\*(?P<times>\d+))?(?P<whole>\*)?:? ?(?P<text>.*)")
REFUSALS = {
    "unknown@example.com": "550 5.1.1 No such user here",
    "full@example.com": "452 4.2.2 Mailbox full",
    "closing@example.com": "451 4.3.2 Shutting down",
}


@dataclass
class Dialogue:
    settings: dict[str, object] = field(default_factory=lambda: {"max_message_size": 10000})
    tls: bool = False
    steps: list[re.Match[str]] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)


def parsed(path: Path) -> Dialogue:
    dialogue = Dialogue()
    for line in path.read_text().splitlines():
        step = STEP.fullmatch(line)
        if line.startswith("set "):
            key, _, value = line[4:].partition(" = ")
            dialogue.settings[key] = (value,) if key == "domains" else value
        elif line == "tls":
            dialogue.tls = True
        elif step and step["what"] == "M":
            dialogue.mails.append(step["text"].strip())
        elif step:
            dialogue.steps.append(step)
        else:
            assert not line or line.startswith("#"), line
    assert dialogue.steps
    return dialogue


def octets(text: str) -> bytes:
    return text.encode("latin-1").decode("unicode_escape").encode("latin-1")


async def play(step: re.Match[str], speaker: Client, trust: ssl.SSLContext) -> None:
    what, text, times = step["what"], step["text"], int(step["times"] or 1)
    if what == "C":
        await speaker.send(text.encode() + b"\r\n")
    elif what == "R":
        await speaker.send(octets(text) * times)
    elif what == "S" and step["whole"]:
        said = (await speaker.reply()).splitlines()
        assert re.fullmatch(text, said[-1]), (text, said)
    elif what == "S":
        for _ in range(times):
            said = await speaker.line()
            assert re.fullmatch(text + r"\r\n", said), (text, said)
    elif what == "H":
        speaker.half_close()
    elif what == "T":
        await speaker.start_tls(trust)
    else:
        assert await speaker.line() == ""


def accepted(sink: SmtpSink) -> list[str]:
    return [
        f"{mail.sender} -> {', '.join(mail.recipients)} | {shown(mail.content)}".strip()
        for mail in sink.mails
    ]


def shown(content: bytes) -> str:
    return content.decode("latin-1").encode("unicode_escape").decode()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize("path", DIALOGUES, ids=lambda path: path.stem)
async def test_dialogue(path: Path, authority: trustme.CA) -> None:
    dialogue = parsed(path)
    offered, trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(HOSTNAME).configure_cert(offered)
    authority.configure_trust(trust)
    tls = offered if dialogue.tls else None
    async with smtp_sink() as sink:
        sink.refusals |= REFUSALS
        async with (
            relay(sink.port, tls=tls, **dialogue.settings) as (_, port),
            client(port) as speaker,
        ):
            for step in dialogue.steps:
                await play(step, speaker, trust)
        assert accepted(sink) == dialogue.mails
