"""When an answer leaves: working hours, working days, the sender's zone."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo

import pytest

from config.units import Hours
from gateway.outbox.schedule import answer_zone, due, sender_zone

OFFICE = Hours(time(9), time(17))


def zone(hours: float) -> timezone:
    return timezone(timedelta(hours=hours))


def at(text: str, offset: float = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone(offset))


# 2026-03-02 is a Monday.
@pytest.mark.parametrize(
    ("now", "delay", "where", "expected"),
    [
        # within the hours: only the delay
        (at("2026-03-02 10:00"), 20, UTC, at("2026-03-02 10:20")),
        (at("2026-03-02 09:00"), 0, UTC, at("2026-03-02 09:00")),
        (at("2026-03-02 16:39:59"), 20, UTC, at("2026-03-02 16:59:59")),
        # before them, after them
        (at("2026-03-02 08:30"), 20, UTC, at("2026-03-02 09:00")),
        (at("2026-03-02 08:50"), 20, UTC, at("2026-03-02 09:10")),
        (at("2026-03-02 16:40"), 20, UTC, at("2026-03-03 09:00")),
        (at("2026-03-02 02:00"), 20, UTC, at("2026-03-02 09:00")),
        (at("2026-03-02 23:50"), 20, UTC, at("2026-03-03 09:00")),
        # the weekend
        (at("2026-03-06 16:50"), 20, UTC, at("2026-03-09 09:00")),
        (at("2026-03-07 12:00"), 20, UTC, at("2026-03-09 09:00")),
        (at("2026-03-08 12:00"), 20, UTC, at("2026-03-09 09:00")),
        (at("2026-03-08 03:00"), 20, UTC, at("2026-03-09 09:00")),
        (at("2026-03-06 10:00"), 3 * 1440, UTC, at("2026-03-09 10:00")),
        # the sender's zone decides
        (at("2026-03-02 10:00"), 20, zone(-8), at("2026-03-02 09:00", -8)),
        (at("2026-03-02 18:00"), 20, zone(-8), at("2026-03-02 10:20", -8)),
        (at("2026-03-02 10:00"), 20, zone(9), at("2026-03-03 09:00", 9)),
        (at("2026-03-08 23:30"), 20, zone(14), at("2026-03-09 13:50", 14)),  # Monday there already
        (at("2026-03-09 09:00"), 20, zone(-12), at("2026-03-09 09:00", -12)),  # Sunday there
        (at("2026-03-06 12:00"), 20, zone(5.75), at("2026-03-09 09:00", 5.75)),
        (at("2026-03-02 10:00", 5.5), 20, None, at("2026-03-02 09:00")),  # unknown: UTC
        # the end of a year
        (at("2026-12-31 23:50"), 20, UTC, at("2027-01-01 09:00")),
    ],
)
def test_due(now: datetime, delay: int, where: tzinfo | None, expected: datetime) -> None:
    found = due(now, timedelta(minutes=delay), OFFICE, where)
    assert found == expected
    assert found.utcoffset() == expected.utcoffset()


def test_due_is_never_early_at_night_or_at_the_weekend() -> None:
    delay = timedelta(minutes=20)
    for offset in range(-12, 15):
        for step in range(0, 8 * 24 * 60, 47):
            now = at("2026-03-01 00:00") + timedelta(minutes=step)
            found = due(now, delay, OFFICE, zone(offset))
            local = found.astimezone(zone(offset))
            assert found >= now + delay
            assert local.weekday() < 5
            assert OFFICE.start <= local.time() < OFFICE.end
            assert due(found, timedelta(), OFFICE, zone(offset)) == found


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (at("2026-03-02 10:00", -5), -5),
        (at("2026-03-02 10:00", 14), 14),
        (at("2026-03-02 10:00", 14.25), 0),  # nobody lives there
        (at("2026-03-02 10:00", -12.5), 0),
        (datetime(2026, 3, 2, 10), 0),  # noqa: DTZ001
        (None, 0),
    ],
)
def test_sender_zone(date: datetime | None, expected: float) -> None:
    assert sender_zone(date).utcoffset(None) == timedelta(hours=expected)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"Date: Mon, 02 Mar 2026 09:00:00 -0800\r\n\r\nDate: x", -8),
        (b"Date: Mon, 02 Mar 2026 09:00:00 +0000\r\n\r\n", 0),
        (b"Date: Mon, 02 Mar 2026 09:00:00 -0000\r\n\r\n", 0),
        (b"Date: soon\r\n\r\n", 0),
        (b"Subject: x\r\n\r\n", 0),
        (b"", 0),
    ],
)
def test_answer_zone(content: bytes, expected: float) -> None:
    assert answer_zone(content).utcoffset(None) == timedelta(hours=expected)
