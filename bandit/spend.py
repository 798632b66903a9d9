"""Output tokens and latency from log-normal beliefs; cost follows from tokens and prices.

Dollars are never learned: prices are configuration and known at once when they change; only tokens are learned.
If log X ~ N(m, v) then E[X] = exp(m + v/2) and sd[X] = E[X] sqrt(exp(v) - 1); v is the posterior variance of m plus
the learned noise of one observation, so an unknown model is predicted with the uncertainty it has.
"""

from __future__ import annotations

import math

_LARGEST_LOG = 25.0  # e^25 = 7e10 tokens or seconds: keeps a wild belief finite


def log_normal(mean: float, variance: float) -> tuple[float, float]:
    """Return (E[X], sd[X]) for log X ~ N(mean, variance)."""
    expected = math.exp(min(mean + 0.5 * variance, _LARGEST_LOG))
    return expected, expected * math.sqrt(math.expm1(min(variance, _LARGEST_LOG)))
