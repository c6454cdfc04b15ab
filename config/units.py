"""Durations, sizes and addresses as people write them in a config file.

Every function takes the text and returns the value, or raises ValueError with the accepted form
in its message, which pydantic turns into one fault among the others.
"""

from __future__ import annotations

import re
from datetime import time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import NamedTuple

from pydantic import SecretStr

_DURATION = re.compile(r"(\d{1,12})\s*(s|m|h|d|w)", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = 100 * 365 * 86400
_SIZE = re.compile(r"(\d{1,15})\s*(B|KiB|MiB|GiB)?", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_DOMAIN = re.compile(r"[^\s@<>\"\\/]{1,253}")
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Endpoint(NamedTuple):
    """A TCP address: host (name, IPv4, or IPv6 without brackets) and port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Hours(NamedTuple):
    """A span of the day, `start` included, `end` excluded."""

    start: time
    end: time

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def duration(value: object) -> timedelta:
    """`"90s"`, `"20m"`, `"24h"`, `"30d"` or a bare number of seconds."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return _seconds(value)
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError('write a duration as a number and a unit: "90s", "20m", "24h", "30d"')
    return _seconds(int(match[1]) * _SECONDS[match[2]])


def _seconds(count: int) -> timedelta:
    if count > _LONGEST:
        raise ValueError("no longer than 100 years")
    return timedelta(seconds=count)


def at_least(value: timedelta, least: timedelta) -> timedelta:
    """The duration, if it is no shorter than `least`."""
    if value < least:
        raise ValueError(f"at least {written(least)}")
    return value


def size(value: object) -> int:
    """`"25MiB"`, `"512KiB"` or a bare number of bytes."""
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match or int(match[1]) == 0:
        raise ValueError('write a size as a number and a unit: "512KiB", "25MiB"')
    return int(match[1]) * _BYTES[match[2] or "B"]


def endpoint(value: object) -> Endpoint:
    """`"127.0.0.1:2525"`, `"[::1]:2525"`, `"mx.example.com:25"`; port 0 lets the system choose."""
    if isinstance(value, Endpoint):
        return value
    if isinstance(value, str):
        host, colon, port = value.strip().rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        host = host[1:-1] if bracketed else host
        plain = host and (bracketed or ":" not in host)
        if colon and plain and port.isascii() and port.isdigit() and int(port) < 65536:
            return Endpoint(host, int(port))
    raise ValueError('write an address as host and port: "127.0.0.1:2525", "[::1]:2525"')


def domain(value: object) -> str:
    """A mail domain, lower case. An international one may be written either way."""
    name = value.strip().rstrip(".").lower() if isinstance(value, str) else ""
    if not _DOMAIN.fullmatch(name):
        raise ValueError('write a domain as "example.com", without an @')
    return name


def network(value: object) -> IPv4Network | IPv6Network:
    """`"192.0.2.0/24"`, `"2001:db8::/32"`, or a single address."""
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    try:
        return ip_network(str(value).strip())
    except ValueError:
        raise ValueError(
            'write an address or a network as "192.0.2.7", "192.0.2.0/24", "2001:db8::/32"'
        ) from None


def probability(value: float) -> float:
    """From 0 to 1."""
    if not 0 <= value <= 1:
        raise ValueError("a score lies from 0 to 1: write 0.80 for 80 %")
    return value


def hostname(value: object) -> str:
    """An ASCII host name; an international one is written in its `xn--` form (RFC 5890)."""
    name = value.strip().rstrip(".").lower() if isinstance(value, str) else ""
    if not _HOSTNAME.fullmatch(name) or len(name) > 253:
        raise ValueError('write a host name as "gateway.example.com"')
    return name


def clock(value: object) -> time:
    """`"08:00"`; 24 hours."""
    try:
        read = value if isinstance(value, time) else time.fromisoformat(str(value).strip())
    except ValueError:
        read = None
    if read is None or read.tzinfo is not None:
        raise ValueError('write a time of day as "08:00", without a zone')
    return read


def hours(value: object) -> Hours:
    """`"09:00-17:00"`; the end lies after the start, so a span never crosses midnight."""
    if isinstance(value, Hours):
        return value
    start, _, end = str(value).partition("-")
    try:
        span = Hours(clock(start), clock(end))
    except ValueError:
        span = Hours(time(), time())
    if span.start < span.end:
        return span
    raise ValueError('write hours as "09:00-17:00", the end after the start')


def written(value: object) -> object:
    """A setting as one writes it in the file: `"20m"`, `"127.0.0.1:2525"`, `0.8`. Secrets are
    masked."""
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    if isinstance(value, timedelta):
        return _duration_text(int(value.total_seconds()))
    if isinstance(value, time):
        return f"{value:%H:%M}"
    if isinstance(value, Endpoint | Hours):
        return str(value)
    if isinstance(value, tuple):
        return [written(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)


def _duration_text(seconds: int) -> str:
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"
