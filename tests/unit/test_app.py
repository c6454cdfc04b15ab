"""The supervisor's sockets. What it does with them is tested on the running program, under
tests/system/."""

from __future__ import annotations

import os
import socket

import pytest

from config.settings import Settings
from gateway.app import Refused, listening_sockets


def settings(listen: str, workers: int = 2) -> Settings:
    return Settings.model_validate({"relay": {"listen": listen, "workers": workers}})


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_every_worker_has_a_socket_on_the_same_port(host: str) -> None:
    sockets = listening_sockets(settings(f"{host}:0", 3))
    try:
        assert len(sockets) == 3
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_no_number_means_one_for_each_core() -> None:
    sockets = listening_sockets(settings("127.0.0.1:0", 0))
    for sock in sockets:
        sock.close()
    assert len(sockets) == os.cpu_count()


def test_a_second_gateway_does_not_quietly_share_the_port() -> None:
    sockets = listening_sockets(settings("127.0.0.1:0"))
    port = sockets[0].getsockname()[1]
    try:
        with pytest.raises(Refused, match=rf"127.0.0.1:{port}.*another gateway") as refused:
            listening_sockets(settings(f"127.0.0.1:{port}"))
        assert refused.value.exitcode == os.EX_UNAVAILABLE
    finally:
        for sock in sockets:
            sock.close()
    with socket.create_server(("127.0.0.1", port)), pytest.raises(Refused):
        listening_sockets(settings(f"127.0.0.1:{port}"))


def test_an_address_that_is_not_ours_is_refused() -> None:
    with pytest.raises(Refused, match=r"192\.0\.2\.1:25.*no address of this machine"):
        listening_sockets(settings("192.0.2.1:25"))
