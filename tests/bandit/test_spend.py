"""Tokens, cost and latency follow the log-normal's moments and stay finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from naiad.bandit.spend import cost, log_normal

logs = st.floats(-12.0, 12.0)
variances = st.one_of(st.just(0.0), st.floats(1e-9, 8.0))
wild = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(logs, variances), min_size=1, max_size=8))
def test_moments_are_scipys(cases: list[tuple[float, float]]) -> None:
    mean, variance = (np.array(column) for column in zip(*cases, strict=True))
    expected, sd = log_normal(mean, variance)
    for i, (m, v) in enumerate(cases):
        if v == 0.0:
            assert (expected[i], sd[i]) == (pytest.approx(np.exp(m)), 0.0)
            continue
        reference = stats.lognorm(s=np.sqrt(v), scale=np.exp(m))
        assert expected[i] == pytest.approx(reference.mean(), rel=1e-9)
        assert sd[i] == pytest.approx(reference.std(), rel=1e-4 if v < 1e-6 else 1e-8)


@given(st.lists(st.tuples(wild, st.floats(0.0, 1e12)), min_size=1, max_size=8))
def test_wild_beliefs_stay_finite(cases: list[tuple[float, float]]) -> None:
    """Whatever is believed, the moments are numbers, not below 0, and products with prices still are."""
    mean, variance = (np.array(column) for column in zip(*cases, strict=True))
    expected, sd = log_normal(mean, variance)
    price = np.full_like(expected, 1e9)  # a USD a token
    for value in (expected, sd, *cost(1e7, expected, sd, price, price)):
        assert np.isfinite(value).all()
        assert (value >= 0.0).all()


@given(st.floats(-1.0, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_less_certain_means_dearer_and_wider(mean: float, variance: float, more: float) -> None:
    """The mean, not the median: uncertainty about a log adds to what is expected."""
    narrow, wide = (log_normal(np.array([mean]), np.array([v])) for v in (variance, variance + more))
    assert wide[0][0] >= narrow[0][0]
    assert wide[1][0] >= narrow[1][0]


def test_cost_is_tokens_times_price() -> None:
    """1,000 tokens in at 3 USD and 200 (sd 50) out at 15 USD a million: 6,000,000 nano-USD, sd 750,000."""
    tokens, tokens_sd, input_price, output_price = (np.array([v]) for v in (200.0, 50.0, 3e3, 15e3))
    expected, sd = cost(1000.0, tokens, tokens_sd, input_price, output_price)
    assert expected[0] == pytest.approx(3e6 + 3e6)
    assert sd[0] == pytest.approx(750_000.0)


@given(
    st.integers(0, 10**7),
    st.lists(st.tuples(*[st.integers(0, 10**6)] * 2, *[st.integers(0, 10**6)] * 2), min_size=1, max_size=8),
)
def test_cost_is_linear_in_prices(input_tokens: int, cases: list[tuple[int, int, int, int]]) -> None:
    tokens, tokens_sd, price_in, price_out = np.array(cases, dtype=np.float64).T
    expected, sd = cost(input_tokens, tokens, tokens_sd, price_in, price_out)
    tenfold, tenfold_sd = cost(input_tokens, tokens, tokens_sd, price_in * 10.0, price_out * 10.0)
    np.testing.assert_allclose(tenfold, 10.0 * expected, rtol=1e-12)
    np.testing.assert_allclose(tenfold_sd, 10.0 * sd, rtol=1e-12)
    for i, (out, out_sd, in_price, out_price) in enumerate(cases):
        assert expected[i] == pytest.approx(input_tokens * in_price + out * out_price)
        assert sd[i] == pytest.approx(out_sd * out_price)
