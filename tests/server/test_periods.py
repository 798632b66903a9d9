"""Periods of budgets against the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.periods import Period, bounds_ms, iso

ENDING = [p for p in Period if p is not Period.ONCE]


def ms(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp() * 1000)  # type: ignore[misc,arg-type]


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.HOUR, (2024, 2, 29, 23), (2024, 3, 1, 0)),
        (Period.DAY, (2024, 2, 29), (2024, 3, 1)),
        (Period.WEEK, (2024, 2, 26), (2024, 3, 4)),  # from Monday
        (Period.MONTH, (2024, 2, 1), (2024, 3, 1)),
    ],
)
def test_a_moment_in_a_leap_year(period: Period, start: tuple[int, ...], end: tuple[int, ...]) -> None:
    assert bounds_ms(period, ms(2024, 2, 29, 23, 59, 59)) == (ms(*start), ms(*end))


def test_december_ends_with_the_year_and_once_never() -> None:
    assert bounds_ms(Period.MONTH, ms(2026, 12, 31)) == (ms(2026, 12, 1), ms(2027, 1, 1))
    assert bounds_ms(Period.ONCE, ms(2026, 12, 31)) == (0, None)


@given(st.sampled_from(ENDING), st.integers(0, ms(9999, 11, 1)))
def test_periods_hold_their_moments_and_meet(period: Period, at_ms: int) -> None:
    start, end = bounds_ms(period, at_ms)
    assert end is not None
    assert start <= at_ms < end
    assert bounds_ms(period, start) == bounds_ms(period, end - 1) == (start, end)
    assert bounds_ms(period, end)[0] == end
    begun = datetime.fromtimestamp(start // 1000, UTC)
    assert begun == begun.replace(minute=0, second=0, microsecond=0)
    if period is Period.WEEK:
        assert (begun.weekday(), end - start) == (0, timedelta(weeks=1).total_seconds() * 1000)


@given(st.sampled_from(list(Period)), st.integers(-(1 << 62), 1 << 62))
def test_no_clock_is_too_wrong(period: Period, at_ms: int) -> None:
    start, end = bounds_ms(period, at_ms)
    assert start <= max(at_ms, 0)
    assert end is None or end > start


def test_iso() -> None:
    assert iso(ms(2026, 1, 2, 3, 4, 5) + 999) == "2026-01-02T03:04:05Z"
