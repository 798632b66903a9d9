"""Output tokens, cost and latency from log-normal beliefs.

Dollars are never learned: prices are configuration and known at once when they change; only tokens are learned.
If log X ~ N(m, v) then E[X] = exp(m + v/2) and sd[X] = E[X] sqrt(exp(v) - 1); v is the posterior variance of m plus
the learned noise of one observation, so an unknown model is predicted with the uncertainty it has.
"""

from __future__ import annotations

import numpy as np

from naiad.bandit.thompson import Floats

_LARGEST_LOG = 25.0  # e^25 = 7e10 tokens or seconds: keeps a wild belief finite


def log_normal(mean: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Return (E[X], sd[X]) for log X ~ N(mean, variance); all (n_models,)."""
    expected = np.exp(np.minimum(mean + 0.5 * variance, _LARGEST_LOG))
    return expected, np.asarray(expected * np.sqrt(np.expm1(np.minimum(variance, _LARGEST_LOG))))


def cost(
    input_tokens: float, tokens: Floats, tokens_sd: Floats, input_price: Floats, output_price: Floats
) -> tuple[Floats, Floats]:
    """Return expected cost and its sd in nano-USD; prices in nano-USD per token, all (n_models,)."""
    expected = tokens * output_price
    expected += input_price * input_tokens
    return expected, tokens_sd * output_price
