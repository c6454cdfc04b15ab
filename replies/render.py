"""Writing the answer: a template's text, and the mail around it.

`compose` gives the whole mail as it would leave. It promises that the mail has exactly the header
fields listed here, once each, with nothing in them that could start another field or turn the
reading direction, that it goes to the envelope sender alone, and that it quotes nothing of the
original but the subject. Whatever cannot be promised raises `RenderError`, and no answer is sent.

`check_templates` finds the faults of a user's own templates before a mail meets them.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from email import message_from_string
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, EmailPolicy
from pathlib import Path

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, meta
from jinja2.exceptions import TemplateSyntaxError
from jinja2.sandbox import SandboxedEnvironment

from replies.context import VARIABLES, ReplyContext, decoded, reply_context
from replies.courtesy import LOOP_FIELD, AnswerDecision, Occasion
from replies.fields import is_plain_address

SHIPPED = Path(__file__).with_name("templates")
MAX_TEXT = 2000  # characters; one short note (RFC 3834 §3.2)
MAX_REFERENCES = 900  # octets; no line may pass 998 (RFC 5322 §2.1.1), not even unfolded
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,120}@[!-;=?-~]{1,120}>")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_FORBIDDEN = re.compile(  # C0, DEL, C1; bidi controls, U+2028 and U+2029; surrogates
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_BODY_FIELDS = ("MIME-Version", "Content-Type", "Content-Transfer-Encoding")
_SAMPLE = ReplyContext("Jane", "Alex Example", "alex@example.com", "A quick question")


class RenderError(Exception):
    """The answer cannot be written as promised; it must not be sent."""


@dataclass(frozen=True, slots=True)
class Composed:
    """An answer: its subject, its text, and the whole mail with CRLF line ends."""

    subject: str
    text: str
    content: bytes


class _Policy(EmailPolicy):
    """SMTP policy that leaves message ids whole: the standard one turns an id longer than a line
    into encoded words, which no mail reader matches to the original."""

    def fold(self, name: str, value: str) -> str:
        if name in {"Message-ID", "In-Reply-To", "References"}:
            return f"{name}: " + "\r\n ".join(str(value).split()) + "\r\n"
        folded: str = super().fold(name, value)
        return folded

    def fold_binary(self, name: str, value: str) -> bytes:
        return self.fold(name, value).encode("utf-8" if self.utf8 else "ascii")


_ASCII_POLICY = _Policy(linesep=SMTP.linesep, max_line_length=SMTP.max_line_length)


def compose(
    occasion: Occasion,
    decision: AnswerDecision,
    name: str,
    answer_id: str,
    hostname: str,
    *,
    date: datetime | None = None,
) -> Composed:
    """Write the answer that `decision` chose, in the name `name` (the recipient's own; may be '').

    `date` is when it is due, in the sender's zone: the reader sees it as the time of sending, and
    the outbox takes the zone from it. `answer_id` and `hostname` make the Message-ID.
    Raises RenderError.
    """
    try:
        context = reply_context(occasion, name)
        text = render(decision.template, context, occasion.answers.templates)
        headers = tuple(_headers(occasion, context, answer_id, hostname))
        content = _serialise(headers, date or occasion.now, text, utf8=_needs_utf8(occasion))
        _verify(content, [field for field, _ in headers], occasion, text)
    except RenderError:
        raise
    except Exception as fault:
        raise RenderError(f"{decision.template}: {type(fault).__name__}: {fault}") from fault
    return Composed(subject=_subject(context), text=text, content=content)


def render(template: str, context: ReplyContext, folder: Path) -> str:
    """The text of `template`: the user's own from `folder` if it is there, else the shipped one.
    Raises RenderError, or what Jinja raises."""
    text = _environment(folder).get_template(f"{template}.txt").render(asdict(context))
    lines = [line.rstrip() for line in text.strip().splitlines()]
    text = "\n".join(lines) + "\n"
    if not text.strip():
        raise RenderError(f"{template}: the text is empty")
    if len(text) > MAX_TEXT:
        raise RenderError(f"{template}: the text is longer than {MAX_TEXT} characters")
    if _FORBIDDEN.search(text.replace("\n", "")):
        raise RenderError(f"{template}: the text holds a control or direction character")
    return text


def _environment(folder: Path) -> SandboxedEnvironment:
    # Made afresh each time: a cached one keeps the shipped text after the user dropped in a file.
    # Text, not HTML: escaping would show people `&#39;`.
    return SandboxedEnvironment(
        loader=ChoiceLoader([FileSystemLoader(folder), FileSystemLoader(SHIPPED)]),
        undefined=StrictUndefined,
        autoescape=False,
        cache_size=0,
    )


def _subject(context: ReplyContext) -> str:
    """RFC 3834 §3.1.5."""
    return f"Auto: Re: {context.subject or 'your message'}"


def _headers(
    occasion: Occasion, context: ReplyContext, answer_id: str, hostname: str
) -> Iterator[tuple[str, str | Address]]:
    """Every field but Date and those of the body, in order. Checked values only."""
    if not is_plain_address(occasion.sender) or not is_plain_address(occasion.recipient):
        raise RenderError("the answer would go to or come from no ordinary address")
    if not _HOSTNAME.fullmatch(hostname):
        raise RenderError("the gateway's hostname cannot stand in a Message-ID")
    token = hashlib.sha256(f"{answer_id}@{hostname}".encode()).hexdigest()[:32]
    yield "From", _address(occasion.recipient, _checked(context.name))
    yield "To", _address(occasion.sender)
    yield "Subject", _checked(_subject(context))
    yield "Message-ID", _checked_id(f"<{answer_id}@{hostname}>")
    if _valid_id(occasion.message.message_id):
        yield "In-Reply-To", occasion.message.message_id
        yield "References", _references(occasion)
    yield "Auto-Submitted", "auto-replied"
    yield "Precedence", "bulk"
    yield "X-Auto-Response-Suppress", "All"
    yield LOOP_FIELD, token


def _address(address: str, name: str = "") -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)  # addr_spec= refuses what SMTPUTF8 allows


def _checked(value: str) -> str:
    """The value, if it holds no control or direction character, as it stands or decoded.

    `=?utf-8?q?a=0D=0ABcc:_x=40y?=` is harmless as it stands; CPython 3.11 and 3.12 decode it on
    assignment and write a Bcc field.
    """
    if "=?" in value or _FORBIDDEN.search(value) or _FORBIDDEN.search(decoded(value)):
        raise RenderError("a header value holds a control or direction character")
    return value


def _checked_id(value: str) -> str:
    if not _valid_id(value):
        raise RenderError("the answer's Message-ID would be malformed")
    return value


def _valid_id(value: str) -> bool:
    # The email package decodes an encoded word even inside a message id.
    return bool(_MESSAGE_ID.fullmatch(value)) and "=?" not in value


def _references(occasion: Occasion) -> str:
    """Their chain and their mail, the oldest left out where it grows too long (RFC 5322 §3.6.4)."""
    own = occasion.message.message_id
    chain = [own]
    for reference in reversed(occasion.message.references):
        if not _valid_id(reference) or reference == own:
            continue
        if len(" ".join([*chain, reference])) > MAX_REFERENCES:
            break
        chain.insert(0, reference)
    return " ".join(chain)


def _needs_utf8(occasion: Occasion) -> bool:
    return not (occasion.sender.isascii() and occasion.recipient.isascii())


def _serialise(
    headers: Iterable[tuple[str, str | Address]], date: datetime, text: str, *, utf8: bool
) -> bytes:
    mail = EmailMessage(policy=_ASCII_POLICY.clone(utf8=utf8))
    for name, value in headers:
        mail[name] = value
    mail["Date"] = date
    # Never 8bit: the smart host need not offer 8BITMIME then.
    encoding = "7bit" if text.isascii() else "quoted-printable"
    mail.set_content(text, charset="utf-8", cte=encoding)
    return mail.as_bytes()


def _verify(content: bytes, names: list[str], occasion: Occasion, text: str) -> None:
    """Read the mail back as its receiver would and hold it against what was meant."""
    _verify_octets(content, names)
    if not (content.isascii() or _needs_utf8(occasion)):
        raise RenderError("octets outside ASCII in an answer that needs none")
    mail = message_from_string(content.decode(), policy=SMTP)
    for name, value in mail.items():
        if _FORBIDDEN.search(str(value)) or _FORBIDDEN.search(decoded(str(value))):
            raise RenderError(f"{name} holds a control or direction character")
    for name, address in (("To", occasion.sender), ("From", occasion.recipient)):
        if [written.addr_spec for written in mail[name].addresses] != [address]:
            raise RenderError(f"{name} would not be {address} alone")
    if mail.get_content_type() != "text/plain" or mail.get_content().replace("\r\n", "\n") != text:
        raise RenderError("the text did not survive being written as a mail")


def _verify_octets(content: bytes, names: list[str]) -> None:
    """CRLF line ends only, and exactly these header fields besides Date and those of the body."""
    if set(b"\r\n") & set(content.replace(b"\r\n", b"")):
        raise RenderError("a bare CR or LF in the answer")
    head = content.partition(b"\r\n\r\n")[0]
    written = [line.partition(b":")[0].decode() for line in re.split(rb"\r\n(?![ \t])", head)]
    if Counter(written) != Counter([*names, "Date", *_BODY_FIELDS]):
        raise RenderError("the answer would have other header fields than meant")


def check_templates(folder: Path) -> list[str]:
    """The faults of the user's templates in `folder`, each with file, place and way out; none
    when there is no folder. Files whose name begins with `_` are parts that others include."""
    if not folder.is_dir():
        return []
    shipped = {path.relative_to(SHIPPED).as_posix() for path in SHIPPED.rglob("*.txt")}
    problems: list[str] = []
    for path in sorted(folder.rglob("*.txt")):
        name = path.relative_to(folder).as_posix()
        if path.name.startswith("_"):
            continue
        if name not in shipped:
            known = ", ".join(sorted(shipped))
            problems.append(f"{path}: no answer uses this template; there are: {known}")
        else:
            problems.extend(_faults(path, name, folder))
    return problems


def _faults(path: Path, name: str, folder: Path) -> list[str]:
    try:
        tree = _environment(folder).parse(path.read_text(encoding="utf-8"), filename=str(path))
    except TemplateSyntaxError as fault:
        return [f"{path}:{fault.lineno}: {fault.message}"]
    except (OSError, UnicodeError) as fault:
        return [f"{path}: cannot be read as UTF-8 text: {fault}"]
    unknown = sorted(meta.find_undeclared_variables(tree) - VARIABLES)
    if unknown:
        known = ", ".join(sorted(VARIABLES))
        return [f"{path}: unknown name {', '.join(unknown)}; a template may use {known}"]
    try:
        render(name.removesuffix(".txt"), _SAMPLE, folder)
    except Exception as fault:  # a template raises whatever its expressions raise
        return [f"{path}: {fault}"]
    return []
