"""When the same model is asked again, and how many retries an endpoint has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters import errors as provider
from naiad.adapters.errors import ProviderError, Timeout, TimeoutKind
from naiad.server.retrying import FEW, FIRST_S, LONGEST_S, QUICK_S, SHARE, TRIES, WINDOW_S, RetryBudget, again_in_s

WHO: dict[str, Any] = {"provider": "p", "model": "m"}
AGAIN: tuple[ProviderError, ...] = (
    provider.RateLimited("x", **WHO), provider.Overloaded("x", **WHO), provider.ServerError("x", **WHO),
    provider.ConnectionFailed("x", **WHO), provider.Truncated("x", **WHO),
    Timeout("x", kind=TimeoutKind.CONNECT, after_s=1.0, **WHO),
)  # fmt: skip
NEVER: tuple[ProviderError, ...] = (
    provider.QuotaExhausted("x", retry_after_s=0.0, **WHO), provider.InvalidRequest("x", **WHO),
    provider.ContextTooLong("x", **WHO), provider.AuthenticationFailed("x", **WHO),
    provider.ModelNotFound("x", **WHO), provider.MalformedAnswer("x", **WHO), provider.EgressRefused("x", **WHO),
    Timeout("x", kind=TimeoutKind.FIRST_BYTE, after_s=1.0, **WHO),
    Timeout("x", kind=TimeoutKind.TOTAL, after_s=1.0, **WHO),
)  # fmt: skip


def again(error: ProviderError, **facts: Any) -> float | None:
    given: dict[str, Any] = {"tries": 1, "others": False, "left_s": 60.0, "uniform": 0.5} | facts
    return again_in_s(error, **given)


@pytest.mark.parametrize("error", AGAIN, ids=lambda e: type(e).__name__)
def test_what_says_so_is_tried_again(error: ProviderError) -> None:
    assert again(error) == 0.5 * FIRST_S
    assert again(error, tries=TRIES) is None
    assert again(error, others=True) is not None
    assert again(error, others=True, tries=2) is None, "the other is ready"


@pytest.mark.parametrize("error", NEVER, ids=lambda e: type(e).__name__)
def test_nothing_else_is(error: ProviderError) -> None:
    assert again(error) is None


def test_a_time_that_the_provider_names_is_waited_for_where_it_fits() -> None:
    error = provider.RateLimited("x", retry_after_s=5.0, **WHO)
    assert again(error) == 5.0 + 0.5 * FIRST_S
    assert again(error, left_s=5.0) is None
    assert again(error, others=True) is None, "longer than one waits where another can answer"
    soon = provider.RateLimited("x", retry_after_s=QUICK_S, **WHO)
    assert again(soon, others=True) == QUICK_S + 0.5 * FIRST_S


@given(st.integers(1, 2), st.floats(0.0, 1.0, exclude_max=True), st.floats(0.0, 100.0), st.floats(0.0, 100.0))
def test_a_wait_is_never_less_than_asked_nor_past_the_deadline(
    tries: int, uniform: float, asked_s: float, left_s: float
) -> None:
    error = provider.Overloaded("x", retry_after_s=asked_s, **WHO)
    wait_s = again(error, tries=tries, uniform=uniform, left_s=left_s)
    if wait_s is not None:
        assert asked_s <= wait_s < left_s
        assert wait_s - asked_s <= LONGEST_S + 1e-9


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.booleans()), max_size=300))
def test_retries_stay_within_their_share(steps: list[tuple[float, bool]]) -> None:
    """In every window, whatever the traffic: no more than a tenth of the calls, or a few."""
    budget, now_s = RetryBudget(), 0.0
    calls: list[int] = []
    taken: list[int] = []
    for pause_s, retry in steps:
        now_s += pause_s
        if not retry:
            budget.called(now_s)
            calls.append(int(now_s))
            continue
        first = int(now_s) - WINDOW_S + 1
        made = sum(second >= first for second in calls)
        used = sum(second >= first for second in taken)
        left = used < max(FEW, SHARE * made)
        assert budget.take(now_s) == left
        if left:
            taken.append(int(now_s))
