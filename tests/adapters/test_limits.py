"""What headers say about waiting: seconds, dates, durations; nonsense says nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.limits import LONGEST_WAIT_S, Allowance, allowances, duration_s, retry_after_s

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


NONSENSE = ("-1", "nan", "inf", "1e9", "", "soon", "0x10", "1,5", "٣", "9" * 400)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 7.5 "}, 7.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "99999999"}, LONGEST_WAIT_S),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Sat, 28 Nov 2026 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Saturday, 28-Nov-26 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Sat Nov 28 12:01:00 2026"}, 60.0),
        ({"retry-after": "Sat, 28 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"}, LONGEST_WAIT_S),
        ({"retry-after": "Sat, 28 Nov 2026 13:00:05 GMT", "date": "Sat, 28 Nov 2026 13:00:00 GMT"}, 5.0),
        ({"retry-after": "Sat, 28 Nov 2026 12:01:00 GMT", "date": "nonsense"}, 60.0),
        *(({"retry-after": text}, None) for text in NONSENSE),
    ],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], expected: float | None) -> None:
    assert retry_after_s(headers, NOW) == expected


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=40)))
def test_any_text_is_a_wait_or_nothing(headers: dict[str, str]) -> None:
    wait_s = retry_after_s(headers, NOW)
    assert wait_s is None or 0.0 <= wait_s <= LONGEST_WAIT_S


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_a_date_counts_from_the_reply_s_own(date: datetime, until: datetime) -> None:
    form = "%a, %d %b %Y %H:%M:%S GMT"
    if min(date.year, until.year) < 1970:
        return
    wait_s = retry_after_s({"retry-after": until.strftime(form), "date": date.strftime(form)}, NOW)
    apart = until.replace(microsecond=0) - date.replace(microsecond=0)
    assert wait_s == min(max(apart, timedelta()).total_seconds(), LONGEST_WAIT_S)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("6m0s", 360.0), ("12ms", 0.012), ("1s", 1.0), ("1h2m3.5s", 3723.5), ("2d", LONGEST_WAIT_S), ("1m30s", 90.0),
        ("5m", 300.0), ("3.2", 3.2), ("", None), ("s", None), ("-1s", None), ("1x", None), ("1s1m", None),
        ("9" * 80 + "s", None),
    ],
)  # fmt: skip
def test_durations(text: str, expected: float | None) -> None:
    found = duration_s(text)
    assert found == expected if expected is None else found is not None and math.isclose(found, expected)


def test_each_provider_s_rate_limits_are_read() -> None:
    openai = {
        "x-ratelimit-limit-requests": "5000", "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms", "x-ratelimit-limit-tokens": "160000",
        "x-ratelimit-remaining-tokens": "nonsense", "x-ratelimit-reset-tokens": "6m0s",
    }  # fmt: skip
    assert allowances(openai, NOW) == {
        "requests": Allowance(5000, 4999, 0.012),
        "tokens": Allowance(160000, None, 360.0),
    }
    anthropic = {
        "anthropic-ratelimit-input-tokens-limit": "2000", "anthropic-ratelimit-input-tokens-remaining": "0",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-28T12:00:30Z", "anthropic-ratelimit-requests-reset": "never",
    }  # fmt: skip
    assert allowances(anthropic, NOW) == {"input-tokens": Allowance(2000, 0, 30.0), "requests": Allowance()}
    mistral = {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-tokens-minute": "100"}
    assert allowances(mistral, NOW) == {"requests": Allowance(limit=60), "tokens": Allowance(remaining=100)}
    assert allowances({"x-ratelimit-tokens-query-cost": "3", "content-type": "a"}, NOW) == {}


@given(st.text(max_size=40))
def test_any_reset_is_a_wait_or_nothing(text: str) -> None:
    found = allowances({"anthropic-ratelimit-tokens-reset": text, "x-ratelimit-reset-requests": text}, NOW)
    for allowance in found.values():
        assert allowance.reset_s is None or 0.0 <= allowance.reset_s <= LONGEST_WAIT_S
