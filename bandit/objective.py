"""What "best" means: exchange rates, floors and confidence turned into one vector of serving probabilities.

Only quality is random here; cost and latency enter as numbers that the decision records. Every strategy ends in a
vector over the eligible models from which the choice is drawn, so its propensities are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import IntEnum
from functools import cached_property
from math import erfc, sqrt
from typing import NamedTuple

from naiad.bandit.thompson import best_probabilities, mix_exploration

NANO = 1e9  # nano-USD in a USD
_ROOT_2 = sqrt(2.0)
_SMALLEST_SD = 1e-12
_LEAST_WORTH = 1e-6  # USD; below it a budget is paid in this unit


class Strategy(IntEnum):
    """How to trade quality, cost and latency; numbered as in the API."""

    BALANCED = 1
    COST_OPTIMIZED = 2
    QUALITY_FIRST = 3
    LATENCY_OPTIMIZED = 4
    ENSEMBLE = 5
    FALLBACK = 6
    CASCADE = 7


IN_MONEY = (Strategy.BALANCED, Strategy.ENSEMBLE, Strategy.CASCADE)  # quality, cost and latency at exchange rates
PACED = (*IN_MONEY, Strategy.QUALITY_FIRST)  # quality against money, so that a budget has a price


@dataclass(frozen=True)
class Objective:
    """One strategy and its parameters; parameters that a strategy does not read are ignored."""

    strategy: Strategy = Strategy.BALANCED
    usd_per_quality: float = 0.05  # what a perfect answer is worth beyond a useless one, USD
    usd_per_second: float = 0.0001  # what one second of waiting costs, USD
    quality_floor: float = 0.8  # in [0, 1]
    confidence: float = 0.9  # a model is safe when P(quality >= floor) >= confidence
    margin: float = 0.01  # quality that quality_first gives up, at most, for the whole range of costs

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """Strategy and parameters, in the order of the fields."""
        return tuple(map(float, astuple(self)))


@dataclass(frozen=True, slots=True)
class Exploration:
    """How much traffic may be spent on learning."""

    temper: float = 0.5  # posterior sds are multiplied by it before Thompson sampling
    floor: float = 0.002  # share of traffic drawn uniformly from the permitted models
    allowance: float = 0.05  # share of traffic that may leave the floor set to look for a cheaper model


class Predictions(NamedTuple):
    """What is believed of each eligible model for this request; all of length n_models."""

    quality: list[float]
    quality_sd: list[float]
    contrast_sd: list[float]  # of quality, the level of the task class held fixed: what Thompson sampling draws
    cost: list[float]  # nano-USD
    cost_sd: list[float]
    latency: list[float]  # seconds
    latency_sd: list[float]

    def few(self, at: Sequence[int]) -> Predictions:
        """Return the predictions of some of the models, by position."""
        return Predictions(*([values[i] for i in at] for values in self))


class Serving(NamedTuple):
    """Serving probabilities and what they rest on; all of length n_models."""

    probabilities: list[float]
    thompson: list[float]  # before floors, allowances and the share of exploration
    utility: list[float]  # by which alternatives are ranked; USD for BALANCED, the quantity compared otherwise
    utility_sd: list[float]
    floor_met: bool = True  # False when no model reaches the quality floor with the confidence asked for
    safe: Sequence[bool] = ()  # who reaches it; empty without a floor, and where nobody does


def serve(
    objective: Objective,
    seen: Predictions,
    exploration: Exploration,
    barred: Sequence[bool] | None = None,
    temper: Sequence[float] | None = None,
) -> Serving:
    """Return the serving probabilities of the eligible models under an objective.

    ENSEMBLE and CASCADE differ from BALANCED only in which models are eligible. Under FALLBACK the models stand in the
    order in which they are to be tried.

    barred: (n_models,), which models may not be explored outside the floor set, for want of dollars.
    temper: (n_models,), factors on the posterior sds where they are not the exploration's for all.
    """
    if objective.strategy in IN_MONEY:
        return _sample(_in_money(objective, seen), seen.contrast_sd, objective.usd_per_quality, exploration, temper)
    if objective.strategy == Strategy.QUALITY_FIRST:
        return _sample(_in_quality(objective, seen), seen.contrast_sd, 1.0, exploration, temper)
    if objective.strategy == Strategy.FALLBACK:
        return _in_order(len(seen.quality))
    price = seen.cost if objective.strategy == Strategy.COST_OPTIMIZED else seen.latency
    return _above_floor(objective, seen, price, exploration, barred, temper)


def _in_order(n_models: int) -> Serving:
    """Serve the first of models that come in a fixed order; the others are its alternatives, as they come."""
    certain = [1.0] + [0.0] * (n_models - 1)
    return Serving(certain, certain, [-float(place) for place in range(n_models)], [0.0] * n_models)


def _in_money(objective: Objective, seen: Predictions) -> list[float]:
    """Return what each model is worth at the objective's exchange rates, USD."""
    worth, second = objective.usd_per_quality, objective.usd_per_second
    return [
        worth * quality - cost / NANO - second * latency
        for quality, cost, latency in zip(seen.quality, seen.cost, seen.latency, strict=True)
    ]


def _in_quality(objective: Objective, seen: Predictions) -> list[float]:
    """Return the quality of each model under QUALITY_FIRST, less what the margin takes for its cost."""
    margin = objective.margin
    return [quality - margin * cost for quality, cost in zip(seen.quality, _unit(seen.cost), strict=True)]


class Pace(NamedTuple):
    """What a budget adds to an objective; lists of length n_models."""

    price: float  # of the budget: quality per USD
    temper: list[float]  # factor on each model's posterior sd
    floor: list[float]  # probability of each model beside Thompson sampling
    lower_price: float = 0.0  # paid instead by a share of the traffic
    lower_share: float = 0.0

    def few(self, at: Sequence[int]) -> Pace:
        """Return the pace of some of the models, by position."""
        return self._replace(temper=[self.temper[i] for i in at], floor=[self.floor[i] for i in at])


def worth_of_quality(objective: Objective) -> float:
    """Return the unit of the utility in which a budget's price is paid; above 0."""
    return max(objective.usd_per_quality, _LEAST_WORTH) if objective.strategy in IN_MONEY else 1.0


def utilities(objective: Objective, seen: Predictions) -> tuple[list[float], float]:
    """Return (utility of each model, utility of one unit of quality) of a strategy that weighs quality and money."""
    if objective.strategy in IN_MONEY:
        return _in_money(objective, seen), objective.usd_per_quality
    return _in_quality(objective, seen), 1.0


def serve_paced(objective: Objective, seen: Predictions, pace: Pace) -> Serving:
    """Return the serving probabilities under a budget: every dollar also costs `price` units of quality.

    They are a mixture where a share of the traffic pays `lower_price`; utilities are those at `price`.

    BALANCED: U = w q - (1 + w lambda) c - latency term.  QUALITY_FIRST: U = q - margin term - lambda c.
    Only for strategies of PACED.
    """
    value, scale = utilities(objective, seen)
    unit = worth_of_quality(objective) / NANO
    sd = [scale * t * s for t, s in zip(pace.temper, seen.contrast_sd, strict=True)]
    paid = [v - pace.price * unit * cost for v, cost in zip(value, seen.cost, strict=True)]
    p = best_probabilities(paid, sd)
    if pace.lower_share > 0.0:
        eased = [v - pace.lower_price * unit * cost for v, cost in zip(value, seen.cost, strict=True)]
        other = best_probabilities(eased, sd)
        p = [own + pace.lower_share * (lower - own) for own, lower in zip(p, other, strict=True)]
    kept = 1.0 - sum(pace.floor)
    mixed = [kept * own + floor for own, floor in zip(p, pace.floor, strict=True)]
    total = sum(mixed)
    return Serving([own / total for own in mixed], p, paid, sd)


def _sample(
    value: list[float],
    contrast_sd: list[float],
    worth: float,
    exploration: Exploration,
    temper: Sequence[float] | None,
) -> Serving:
    """Sample by Thompson; worth: utility of one unit of quality, the only thing that is random in it."""
    if temper is None:
        scale = worth * exploration.temper
        sd = [scale * s for s in contrast_sd]
    else:
        sd = [worth * t * s for t, s in zip(temper, contrast_sd, strict=True)]
    p = best_probabilities(value, sd)
    return Serving(mix_exploration(p, exploration.floor), p, value, sd)


def _unit(cost: list[float]) -> list[float]:
    """Scale costs to [0, 1]; zeros when they are all equal."""
    low = min(cost)
    span = max(cost) - low
    return [(c - low) / span for c in cost] if span > 0.0 else [0.0] * len(cost)


def reach_probability(seen: Predictions, floor: float) -> list[float]:
    """Return P(quality >= floor) for each model; 1 for a floor of 0, which no quality lies below."""
    if floor <= 0.0:
        return [1.0] * len(seen.quality)
    return [
        0.5 * erfc((floor - quality) / (_ROOT_2 * max(sd, _SMALLEST_SD)))
        for quality, sd in zip(seen.quality, seen.quality_sd, strict=True)
    ]


def _above_floor(
    objective: Objective,
    seen: Predictions,
    price: list[float],
    exploration: Exploration,
    barred: Sequence[bool] | None,
    temper: Sequence[float] | None,
) -> Serving:
    """Serve the cheapest (or fastest) model that is safe; spend the allowance on cheaper ones that may be.

    Where no model is safe yet, quality decides, so that the floor is approached from above.
    """
    reach = reach_probability(seen, objective.quality_floor)
    safe = [r >= objective.confidence for r in reach]
    if not any(safe):
        return _sample(seen.quality, seen.contrast_sd, 1.0, exploration, temper)._replace(floor_met=False)
    # safe first and cheap first, then by the chance to be good enough
    value = [1.0 - 0.5 * c if s else 0.5 * r for c, s, r in zip(_unit(price), safe, reach, strict=True)]
    choice = value.index(max(value))
    hopes = [r if not s and c < price[choice] else 0.0 for r, s, c in zip(reach, safe, price, strict=True)]
    if barred is not None:
        hopes = [0.0 if stop else h for h, stop in zip(hopes, barred, strict=True)]
    hope = sum(hopes)
    outside = exploration.allowance * min(1.0, hope)  # shrinks to nothing as the hopes do
    share = exploration.floor / sum(safe)
    p = [share if s else 0.0 for s in safe]
    p[choice] += 1.0 - outside - exploration.floor
    if hope > 0.0:
        p = [own + outside * h / hope for own, h in zip(p, hopes, strict=True)]
    total = sum(p)
    certain = [0.0] * len(p)
    certain[choice] = 1.0
    return Serving([own / total for own in p], certain, value, [0.0] * len(p), safe=safe)
