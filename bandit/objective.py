"""What "best" means: exchange rates, floors and confidence turned into one vector of serving probabilities.

Only quality is random here; cost and latency enter as numbers that the decision records. Every strategy ends in a
vector over the eligible models from which the choice is drawn, so its propensities are exact.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from math import erfc, sqrt

import numpy as np

from naiad.bandit.thompson import Floats, mix_exploration, thompson_probabilities

NANO = 1e9  # nano-USD in a USD


class Strategy(IntEnum):
    """How to trade quality, cost and latency; numbered as in the API."""

    BALANCED = 1
    COST_OPTIMIZED = 2
    QUALITY_FIRST = 3
    LATENCY_OPTIMIZED = 4


@dataclass(frozen=True, slots=True)
class Objective:
    """One strategy and its parameters; parameters that a strategy does not read are ignored."""

    strategy: Strategy = Strategy.BALANCED
    usd_per_quality: float = 0.05  # what a perfect answer is worth beyond a useless one, USD
    usd_per_second: float = 0.0001  # what one second of waiting costs, USD
    quality_floor: float = 0.8  # in [0, 1]
    confidence: float = 0.9  # a model is safe when P(quality >= floor) >= confidence
    margin: float = 0.01  # quality that quality_first gives up, at most, for the whole range of costs


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much traffic may be spent on learning."""

    temper: float = 0.5  # posterior sds are multiplied by it before Thompson sampling
    floor: float = 0.01  # share of traffic drawn uniformly from the permitted models
    allowance: float = 0.05  # share of traffic that may leave the floor set to look for a cheaper model


@dataclass(frozen=True, slots=True)
class Predictions:
    """What is believed of each eligible model for this request; all (n_models,)."""

    quality: Floats
    quality_sd: Floats
    cost: Floats  # nano-USD
    cost_sd: Floats
    latency: Floats  # seconds
    latency_sd: Floats


@dataclass(frozen=True, slots=True)
class Serving:
    """Serving probabilities and what they rest on; all (n_models,)."""

    probabilities: Floats
    thompson: Floats  # before floors, allowances and the share of exploration
    utility: Floats  # by which alternatives are ranked; USD for BALANCED, the quantity compared otherwise
    utility_sd: Floats
    floor_met: bool = True  # False when no model reaches the quality floor with the confidence asked for


def serve(objective: Objective, seen: Predictions, exploration: Exploration) -> Serving:
    """Return the serving probabilities of the eligible models under an objective."""
    if objective.strategy == Strategy.BALANCED:
        worth = objective.usd_per_quality
        value = worth * seen.quality - seen.cost / NANO - objective.usd_per_second * seen.latency
        return _sample(value, worth * seen.quality_sd, exploration)
    if objective.strategy == Strategy.QUALITY_FIRST:
        return _sample(seen.quality - objective.margin * _unit(seen.cost), seen.quality_sd, exploration)
    price = seen.cost if objective.strategy == Strategy.COST_OPTIMIZED else seen.latency
    return _above_floor(objective, seen, price, exploration)


def _sample(value: Floats, sd: Floats, exploration: Exploration) -> Serving:
    sd = sd * exploration.temper
    p = thompson_probabilities(value, sd)
    return Serving(mix_exploration(p, exploration.floor), p, value, sd)


def _unit(cost: Floats) -> Floats:
    """Scale costs to [0, 1]; zeros when they are all equal."""
    low = cost.min()
    span = cost.max() - low
    return np.asarray((cost - low) / span) if span > 0.0 else np.zeros_like(cost)


def reach_probability(seen: Predictions, floor: float) -> Floats:
    """Return P(quality >= floor) for each model, (n_models,); 1 for a floor of 0, which no quality lies below."""
    if floor <= 0.0:
        return np.ones_like(seen.quality)
    gaps = ((floor - seen.quality) / np.maximum(seen.quality_sd, 1e-12)).tolist()
    return np.array([0.5 * erfc(gap / sqrt(2.0)) for gap in gaps])


def _above_floor(objective: Objective, seen: Predictions, price: Floats, exploration: Exploration) -> Serving:
    """Serve the cheapest (or fastest) model that is safe; spend the allowance on cheaper ones that may be.

    Where no model is safe yet, quality decides, so that the floor is approached from above.
    """
    reach = reach_probability(seen, objective.quality_floor)
    safe = reach >= objective.confidence
    if not safe.any():
        sampled = _sample(seen.quality, seen.quality_sd, exploration)
        return replace(sampled, floor_met=False)
    value = np.where(safe, 1.0 - _unit(price) * 0.5, reach * 0.5)  # safe first and cheap first, then by reach
    choice = int(np.argmax(value))
    hopes = np.where(~safe & (price < price[choice]), reach, 0.0)
    total = float(hopes.sum())
    outside = exploration.allowance * min(1.0, total)  # shrinks to nothing as the hopes do
    p = np.zeros_like(value)
    p[choice] = 1.0 - outside - exploration.floor
    p[safe] += exploration.floor / int(safe.sum())
    if total > 0.0:
        p += outside * hopes / total
    certain = np.zeros_like(value)
    certain[choice] = 1.0
    return Serving(np.asarray(p / p.sum()), certain, value, np.zeros_like(value))
