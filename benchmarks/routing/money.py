"""The second view: money in the objective, on ten models spread over price (R2).

utility = quality - 0.15 x normalised log cost, where the normalised log cost of a call is (log cost - log a) / (log b -
log a), a and b the smallest and the largest mean cost, clipped to [-0.5, 1.5]; 0 for all where a set has no costs.

The engine maximises quality minus dollars, so each call is billed 0.15 "dollars" for a whole unit of normalised log
cost, 0.5 units added to all, in tokens of one price: what it learns is tokens, as always.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.routing.outcomes import Floats, Ints, Outcomes

ARMS = 10
WEIGHT = 0.15
SHIFT = 0.5
_TOKENS = 1_000.0  # a unit of normalised log cost


def spread(outcomes: Outcomes) -> Outcomes:
    """Return the best model of each of ten bins of equal count by mean cost; all models where there are no more."""
    if len(outcomes.models) <= ARMS:
        return outcomes
    order: Ints = np.argsort(outcomes.cost.mean(axis=0), kind="stable")
    quality = outcomes.quality.mean(axis=0)
    return outcomes.arms([int(part[np.argmax(quality[part])]) for part in np.array_split(order, ARMS)])


def normalised_log_cost(outcomes: Outcomes) -> Floats:
    """Return the normalised log cost of every call, (N, M)."""
    if not outcomes.priced:
        return np.zeros_like(outcomes.cost)
    means = outcomes.cost.mean(axis=0)
    low, high = np.log(means.min()), np.log(means.max())
    logs = np.log(np.maximum(outcomes.cost, 1e-12))
    return np.asarray(np.clip((logs - low) / (high - low), -0.5, 1.5))


def utility(outcomes: Outcomes) -> Floats:
    """Return the utility of every call, (N, M)."""
    return np.asarray(outcomes.quality - WEIGHT * normalised_log_cost(outcomes))


def billed(outcomes: Outcomes) -> Outcomes:
    """Return the set with the bills that make the engine maximise the utility."""
    units = normalised_log_cost(outcomes) + SHIFT
    price = np.full(len(outcomes.models), WEIGHT / _TOKENS)
    return replace(
        outcomes,
        cost=units * WEIGHT,
        tokens_in=np.zeros(units.shape, dtype=np.int64),
        tokens_out=np.rint(units * _TOKENS).astype(np.int64),
        price_in=np.zeros_like(price),
        price_out=price,
    )
