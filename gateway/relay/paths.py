"""Reverse-paths, forward-paths and their parameters, as spoken in MAIL and RCPT (RFC 5321 §4.1.2).

Addresses pass on exactly as they were spoken; here it is decided only whether they may. What could
be routed elsewhere by a next hop that still knows source routes, percent or bang paths is refused.
Raises Refusal with the reply for the client.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.relay import responses as say
from gateway.relay.responses import Refusal

# Dots are taken anywhere: mailboxes such as a..b@ exist, and the next hop knows them.
_ATOM = r"[^\s\x00-\x20\x7f-\x9f()<>@,;:\\\"\[\]]+"
_QUOTED = r'"(?:[^\x00-\x1f\x7f-\x9f"\\]|\\[\x20-\x7e])*"'
_DOMAIN = r"[\w-]{1,63}(?:\.[\w-]{1,63})*"
_LITERAL = r"\[[A-Za-z0-9:.-]{1,60}\]"
_MAILBOX = re.compile(rf"(?P<local>{_ATOM}|{_QUOTED})@(?P<domain>{_DOMAIN}|{_LITERAL})")
_ARGUMENT = re.compile(
    r'(?P<word>FROM|TO):[ \t]*<(?P<path>(?:"(?:[^"\\]|\\.)*"|[^"<>])*)>'
    r"(?P<parameters>(?:[ \t]+[^ \t]+)*)[ \t]*",
    re.IGNORECASE,
)
_SIZE = re.compile(r"[0-9]{1,20}")
_LONGEST = 320  # local part 64, @, domain 255 (RFC 5321 §4.5.3.1)


def argument(word: str, text: str) -> tuple[str, list[str]]:
    """The path between the angle brackets and the parameters after it; `word` is FROM or TO."""
    match = _ARGUMENT.fullmatch(text)
    if not match or match["word"].upper() != word:
        raise Refusal(say.BAD_SYNTAX)
    return match["path"], match["parameters"].split()


def reverse_path(path: str) -> str:
    """The sender's mailbox, '' for the null sender. A source route is dropped (RFC 5321 §C)."""
    if not path:
        return ""
    mailbox = path.partition(":")[2] if path.startswith("@") else path
    if len(mailbox) > _LONGEST or not _MAILBOX.fullmatch(mailbox):
        raise Refusal(say.BAD_SENDER)
    return mailbox


def forward_path(path: str, domains: Sequence[str]) -> str:
    """The recipient's mailbox, which stands in one of `domains` (lower case) and names no other
    place to go. `postmaster` alone is ours (RFC 5321 §4.5.1)."""
    if path.lower() == "postmaster" and domains:
        return f"{path}@{domains[0]}"
    if path.startswith("@"):
        raise Refusal(say.NOT_OUR_DOMAIN)
    match = _MAILBOX.fullmatch(path)
    if not match or len(path) > _LONGEST:
        raise Refusal(say.BAD_RECIPIENT)
    if not _ours(match["domain"], domains) or set(match["local"]) & set("@%!"):
        raise Refusal(say.NOT_OUR_DOMAIN)
    return path


def _ours(domain: str, domains: Sequence[str]) -> bool:
    # Some letters outside ASCII fold into it: a KELVIN SIGN domain would pass for one with a k.
    folded = domain.lower()
    return folded in domains and folded.isascii() == domain.isascii()


def mail_options(parameters: Sequence[str], *, limit: int, smtputf8: bool) -> tuple[str, ...]:
    """BODY, SMTPUTF8 and SIZE in canonical form, each once. `limit` is the largest SIZE taken,
    `smtputf8` whether that extension was offered."""
    options: dict[str, str] = {}
    for parameter in parameters:
        name, equals, value = parameter.upper().partition("=")
        if name in options:
            raise Refusal(say.BAD_SYNTAX)
        options[name] = _option(name, value if equals else None, limit, smtputf8=smtputf8)
    return tuple(options.values())


def _option(name: str, value: str | None, limit: int, *, smtputf8: bool) -> str:
    if name == "BODY" and value in {"7BIT", "8BITMIME"}:
        return f"BODY={value}"
    if name == "SMTPUTF8" and value is None and smtputf8:
        return "SMTPUTF8"
    if name == "SIZE" and value is not None and _SIZE.fullmatch(value):
        if int(value) > limit:
            raise Refusal(say.TOO_BIG)
        return f"SIZE={int(value)}"
    known = name in {"BODY", "SIZE"} or (name == "SMTPUTF8" and smtputf8)
    raise Refusal(say.BAD_SYNTAX if known else say.UNKNOWN_PARAMETER)
