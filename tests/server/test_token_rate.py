"""Tokens of a key in a minute: never more than permitted in any minute, and what is told of waiting is true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.eligibility import Needs
from naiad.server.errors import NaiadError
from naiad.server.token_rate import WINDOW_S, TokenRate, TokenRates
from tests.server.reasons import check

STEPS = st.lists(st.tuples(st.floats(0.0, 40.0), st.integers(1, 100)), max_size=60)


def refusal(rate: TokenRate, tokens: int, now_s: float) -> NaiadError | None:
    """Take tokens; return why none were taken, None if they were."""
    try:
        rate.take(tokens, now_s)
    except NaiadError as error:
        check(error.reason, error.code, error.metadata)
        return error
    return None


@given(limit=st.integers(1, 150), steps=STEPS)
def test_in_no_minute_are_more_tokens_admitted_than_permitted(limit: int, steps: list[tuple[float, int]]) -> None:
    rate, now, admitted = TokenRate("k", limit), 1_000.0, []
    for wait, tokens in steps:
        now += wait
        error = refusal(rate, tokens, now)
        if error is None:
            admitted.append((now, tokens))
        else:
            assert error.reason == ("INVALID_COMBINATION" if tokens > limit else "RATE_LIMITED")
    for end, _ in admitted:
        assert sum(tokens for at, tokens in admitted if end - WINDOW_S < at <= end) <= limit


@given(limit=st.integers(100, 150), steps=STEPS)
def test_waiting_as_told_helps_and_not_much_less_does(limit: int, steps: list[tuple[float, int]]) -> None:
    rate, now = TokenRate("k", limit), 1_000.0
    for wait, tokens in steps:
        now += wait
        error = refusal(rate, tokens, now)
        if error is None:
            continue
        told = error.metadata
        assert told["limit"] == "tokens_per_minute"
        assert (int(told["value"]), int(told["needed"])) == (limit, tokens)
        assert int(told["left"]) == rate.left(now) < tokens
        assert error.retry_after_s is not None
        assert 0.0 < error.retry_after_s <= WINDOW_S + 1
        assert refusal(rate, tokens, now + error.retry_after_s - 0.01) is not None
        now += error.retry_after_s + 1e-6
        assert refusal(rate, tokens, now) is None


class Clock:
    """Seconds that a test moves."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def rates(limit: int) -> tuple[TokenRates, TokenRate, Clock]:
    clock, rate = Clock(), TokenRate("k", limit)
    return TokenRates(lambda key: rate if key == "k" else None, clock), rate, clock


def test_what_was_used_takes_the_place_of_what_was_held() -> None:
    tenant, rate, clock = rates(100)
    charge = tenant.admit("k", Needs(30, 50))
    assert charge is not None
    assert rate.left(clock.now) == 20
    charge.settle(35)
    assert rate.left(clock.now) == 65
    tenant.expect(7, charge)
    tenant.reported(7, 130)
    assert rate.left(clock.now) == -30
    tenant.reported(7, 0)
    assert rate.left(clock.now) == -30, "only the first report counts"
    with pytest.raises(NaiadError) as caught:
        tenant.admit("k", Needs(1, 0))
    assert caught.value.metadata["left"] == "0"


def test_a_report_after_the_minute_changes_nothing() -> None:
    tenant, rate, clock = rates(100)
    charge = tenant.admit("k", Needs(30, 50))
    assert charge is not None
    tenant.expect(7, charge)
    clock.now += 61.0
    assert rate.left(clock.now) == 100
    tenant.reported(7, 10_000)
    assert rate.left(clock.now) == 100
    later = tenant.admit("k", Needs(1, 0))
    assert later is not None
    tenant.expect(8, later)
    charge.settle(0)
    assert rate.left(clock.now) == 99


def test_a_key_without_a_limit_and_no_key_are_not_counted() -> None:
    tenant, rate, clock = rates(1)
    assert tenant.admit("other", Needs(5, 5)) is None
    assert tenant.admit("", Needs(5, 5)) is None
    assert rate.left(clock.now) == 1
    assert repr(tenant) == "TokenRates(expected=0)"


def test_what_can_never_fit_is_not_told_to_wait() -> None:
    tenant, _, _ = rates(10)
    with pytest.raises(NaiadError) as caught:
        tenant.admit("k", Needs(6, 5))
    assert (caught.value.reason, caught.value.retry_after_s) == ("INVALID_COMBINATION", None)
    check(caught.value.reason, caught.value.code, caught.value.metadata)
