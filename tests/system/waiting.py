"""Ports, and waiting for something to become true, with a deadline and without luck."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def free_port() -> int:
    """A TCP port on loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(
    what: str, look: Callable[[], T | None], *, seconds: float = 30, every: float = 0.05
) -> T:
    """Look again and again until something true is seen, and return it.

    `what` ends the sentence "waited … for"; it stands in the failure with the last thing seen.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}; last saw {seen!r}"
        time.sleep(every)
    return seen


def greeting(port: int) -> str:
    """The first line a server on this loopback port says, or '' when it says none."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            line = peer.makefile("rb").readline().decode("ascii", "replace")
            peer.sendall(b"QUIT\r\n")
            peer.recv(512)  # let it say goodbye: closing first leaves noise in its log
            return line
    except OSError:
        return ""
