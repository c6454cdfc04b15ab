"""When an answer leaves: in the sender's working hours, never at night, never at the weekend.

Pure: `due` takes the present time and returns a time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime

from config.units import Hours

_WESTMOST, _EASTMOST = timedelta(hours=-12), timedelta(hours=14)


def due(now: datetime, delay: timedelta, hours: Hours, zone: tzinfo | None) -> datetime:
    """The first moment from `now + delay` on that lies within `hours` of a weekday, Monday to
    Friday, in `zone` (UTC when unknown). Aware, in that zone."""
    local = (now + delay).astimezone(zone or UTC)
    day = local.date()
    if local.weekday() < 5 and hours.start <= local.time() < hours.end:
        return local
    if local.time() >= hours.start:
        day += timedelta(days=1)
    while day.weekday() >= 5:
        day += timedelta(days=1)
    return datetime.combine(day, hours.start, tzinfo=local.tzinfo)


def sender_zone(date: datetime | None) -> tzinfo:
    """The zone a mail's Date was written in; UTC when there is none or no place on earth has it."""
    offset = date.utcoffset() if date else None
    if date is None or date.tzinfo is None or offset is None:
        return UTC
    return date.tzinfo if _WESTMOST <= offset <= _EASTMOST else UTC


def answer_zone(content: bytes) -> tzinfo:
    """The zone a composed answer was scheduled in, which is the one its Date is written in."""
    date = str(BytesHeaderParser().parsebytes(content)["Date"])
    try:
        return sender_zone(parsedate_to_datetime(date))
    except ValueError:
        return UTC
