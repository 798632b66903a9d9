"""Periods of budgets in UTC: when the one began that a moment lies in, and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
_LAST_MS = 253_402_300_799_000  # of the year 9999: a clock beyond stays in its last period


class Period(IntEnum):
    """After which time a budget begins anew; numbered as BudgetPeriod in the API."""

    HOUR = 1
    DAY = 2
    WEEK = 3
    MONTH = 4
    ONCE = 5


def bounds_ms(period: int, at_ms: int) -> tuple[int, int | None]:
    """Return (beginning, end) of the period that a moment lies in, ms since 1970; the end is None for ONCE."""
    at_ms = min(max(at_ms, 0), _LAST_MS)
    match period:
        case Period.HOUR:
            start = at_ms - at_ms % HOUR_MS
            return start, start + HOUR_MS
        case Period.DAY:
            start = at_ms - at_ms % DAY_MS
            return start, start + DAY_MS
        case Period.WEEK:
            start = at_ms - (at_ms + 3 * DAY_MS) % (7 * DAY_MS)  # 1970 began on a Thursday
            return start, start + 7 * DAY_MS
        case Period.MONTH:
            now = datetime.fromtimestamp(at_ms // 1000, UTC)
            first = datetime(now.year, now.month, 1, tzinfo=UTC)
            if (now.year, now.month) == (9999, 12):
                return _ms(first), None
            return _ms(first), _ms(datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC))
        case _:
            return 0, None


def iso(at_ms: int) -> str:
    """Return a moment as RFC 3339 writes it, to the second."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000
