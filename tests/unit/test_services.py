"""The supervisor's services: one that breaks is started again, and a stop ends them all."""

from __future__ import annotations

import asyncio

import pytest

from config.settings import Settings
from gateway import services
from gateway.memory.store import Store
from gateway.services import Services


async def test_they_start_and_stop(store: Store) -> None:
    running = Services(Settings(), store)
    running.start()
    await asyncio.sleep(0)
    await running.stop()


async def test_stopping_what_never_started(store: Store) -> None:
    await Services(Settings(), store).stop()


async def test_one_that_breaks_is_started_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "AGAIN_SECONDS", 0.0)
    tries = 0
    third = asyncio.Event()

    async def breaks(stop: asyncio.Event) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("no luck")
        third.set()
        await stop.wait()

    running = Services(Settings(), store)
    running._services = {"broken": breaks}
    running.start()
    async with asyncio.timeout(10):
        await third.wait()
    await running.stop()
    assert tries == 3


async def test_one_that_does_not_end_is_cut_off(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "STOP_SECONDS", 0.0)

    async def deaf(_stop: asyncio.Event) -> None:
        await asyncio.Event().wait()

    running = Services(Settings(), store)
    running._services = {"deaf": deaf}
    running.start()
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await running.stop()


async def test_a_reload_reaches_the_outbox(store: Store) -> None:
    running = Services(Settings(), store)
    live = Settings.model_validate({"answers": {"mode": "live"}})
    assert running._answers_for("ann@example.com").mode == "shadow"
    running.settings = live
    assert running._answers_for("ann@example.com").mode == "live"
