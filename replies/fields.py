"""Addresses and field values in the form in which they are compared. Nothing here raises."""

from __future__ import annotations

import re

_ATEXT = r"[A-Za-z0-9#$&'*+/=?^_`{|}~\-\u0080-\U0010ffff]+"
_LABEL = r"(?!-)[A-Za-z0-9\-\u0080-\U0010ffff]{1,63}(?<!-)"
_PLAIN = re.compile(rf"{_ATEXT}(?:\.{_ATEXT})*@(?:{_LABEL}\.)+{_LABEL}")
_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*\)", re.DOTALL)


def bare(value: str) -> str:
    """A field's value without comments and parameters, lower case: `No (sic); x=y` → `no`.

    An unbalanced comment stays, so that the value equals no keyword (RFC 5322 §3.2.2).
    """
    # A depth no mailer writes: what is nested deeper keeps its parentheses and equals nothing.
    for _ in range(8):
        value, found = _COMMENT.subn(" ", value)
        if not found:
            break
    return " ".join(value.partition(";")[0].split()).lower()


def local_part(address: str) -> str:
    """What stands before the last @, unquoted."""
    local = address.rpartition("@")[0]
    return local[1:-1] if len(local) > 1 and local[0] == local[-1] == '"' else local


def ascii_domain(domain: str) -> str:
    """Lower case, A-labels, no closing dot: the form in which domains are equal (RFC 5890 §2.3).

    The standard library maps by IDNA 2003, where `straße` becomes `strasse`, another domain today.
    A label is therefore encoded only when it comes back unchanged; else it stays as written.
    """
    return ".".join(map(_a_label, domain.strip().removesuffix(".").lower().split(".")))


def _a_label(label: str) -> str:
    if label.isascii() or len(label) > 63:
        return label
    try:
        encoded = label.encode("idna").decode("ascii")
        return encoded if encoded.encode("ascii").decode("idna") == label else label
    except UnicodeError:
        return label


def address_domain(address: str) -> str:
    """The domain of an address, ready to compare; '' when there is none."""
    return ascii_domain(address.rpartition("@")[2]) if "@" in address else ""


def same_address(one: str, other: str) -> bool:
    """Equal but for the writing of the domain. The local part is the receiver's (RFC 5321 §2.3.11),
    so its case counts."""
    return bool(one) and (_canonical(one) == _canonical(other))


def _canonical(address: str) -> tuple[str, str]:
    return address.rpartition("@")[0], address_domain(address)


def is_plain_address(address: str) -> bool:
    """Whether this is one ordinary `local@domain` that can stand on an SMTP command line and in
    a To field and mean the same in both.

    No quoting, no literal, no route (`@relay:user@dest`), no `%` or `!` hacks, no encoded word
    (a mail reader would decode it into another address), at most 254 octets (RFC 5321 §4.5.3.1).
    """
    local = address.rpartition("@")[0]
    return (
        bool(_PLAIN.fullmatch(address))
        and address.isprintable()
        and "=?" not in address
        and len(local.encode()) <= 64
        and len(address.encode()) <= 254
    )
