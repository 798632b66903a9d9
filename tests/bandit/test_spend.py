"""Tokens and latency follow the log-normal's moments and stay finite."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from naiad.bandit.spend import log_normal

logs = st.floats(-12.0, 12.0)
wild = st.floats(-1e6, 1e6)


@given(logs, st.floats(1e-9, 8.0))
def test_moments_are_scipys(mean: float, variance: float) -> None:
    expected, sd = log_normal(mean, variance)
    reference = stats.lognorm(s=math.sqrt(variance), scale=math.exp(mean))
    assert expected == pytest.approx(reference.mean(), rel=1e-9)
    assert sd == pytest.approx(reference.std(), rel=1e-4 if variance < 1e-6 else 1e-8)


@given(logs)
def test_without_variance_the_value_is_known(mean: float) -> None:
    expected, sd = log_normal(mean, 0.0)
    assert expected == pytest.approx(math.exp(mean))
    assert sd == 0.0


@given(wild, st.floats(0.0, 1e12))
def test_wild_beliefs_stay_finite(mean: float, variance: float) -> None:
    """Whatever is believed, the moments are numbers, not below 0, and products with prices still are."""
    expected, sd = log_normal(mean, variance)
    usd_a_token = 1e9
    for value in (expected, sd, expected * usd_a_token, sd * usd_a_token):
        assert math.isfinite(value)
        assert value >= 0.0


@given(st.floats(-1.0, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 0.5))
def test_less_certain_means_dearer_and_wider(mean: float, variance: float, more: float) -> None:
    """The mean, not the median: uncertainty about a log adds to what is expected."""
    narrow, wide = log_normal(mean, variance), log_normal(mean, variance + more)
    assert wide[0] >= narrow[0]
    assert wide[1] >= narrow[1]
