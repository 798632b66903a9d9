"""What each strategy promises holds for any predictions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from naiad.bandit import objective as core
from naiad.bandit.objective import NANO, Exploration, Objective, Strategy
from naiad.bandit.thompson import Floats

WEIGHED = [strategy for strategy in Strategy if strategy != Strategy.FALLBACK]  # by what is believed of the models
FLOORED = [Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED]
QUIET = Exploration(floor=0.0, allowance=0.0)
SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Predictions:
    """The core's predictions as arrays, each (n_models,)."""

    quality: Floats
    quality_sd: Floats
    contrast_sd: Floats
    cost: Floats  # nano-USD
    cost_sd: Floats
    latency: Floats  # seconds
    latency_sd: Floats

    def lists(self) -> core.Predictions:
        return core.Predictions(*(getattr(self, name).tolist() for name in core.Predictions._fields))


@dataclass(frozen=True, slots=True)
class Serving:
    """The core's answer as arrays, each (n_models,)."""

    probabilities: Floats
    thompson: Floats
    utility: Floats
    utility_sd: Floats
    floor_met: bool


def serve(objective: Objective, seen: Predictions, exploration: Exploration) -> Serving:
    got = core.serve(objective, seen.lists(), exploration)
    return Serving(
        np.array(got.probabilities),
        np.array(got.thompson),
        np.array(got.utility),
        np.array(got.utility_sd),
        got.floor_met,
    )


def reach_probability(seen: Predictions, floor: float) -> Floats:
    return np.array(core.reach_probability(seen.lists(), floor))


def seen_of(
    quality: list[float],
    quality_sd: float | list[float],
    cost: list[float],
    latency: list[float] | None = None,
) -> Predictions:
    """Predictions from lists; cost in nano-USD, latency in seconds."""
    size = len(quality)
    sd = np.broadcast_to(np.array(quality_sd, dtype=np.float64), (size,)).copy()
    return Predictions(
        quality=np.array(quality),
        quality_sd=sd,
        contrast_sd=sd,
        cost=np.array(cost, dtype=np.float64),
        cost_sd=np.zeros(size),
        latency=np.ones(size) if latency is None else np.array(latency),
        latency_sd=np.zeros(size),
    )


def certain(seen: Predictions, sd: float) -> Predictions:
    """The same, quality known to within an sd."""
    return replace(seen, quality_sd=np.full_like(seen.quality, sd), contrast_sd=np.full_like(seen.quality, sd))


@st.composite
def predictions(draw: st.DrawFn) -> Predictions:
    """1 to 12 models, qualities around [0, 1], costs from nothing to 10 USD, ties in everything."""
    size = draw(st.integers(1, 12))

    def column(values: st.SearchStrategy[float]) -> Floats:
        return np.array(draw(st.lists(values, min_size=size, max_size=size)))

    quality = st.one_of(st.sampled_from([0.0, 0.5, 0.8, 1.0]), st.floats(-0.2, 1.2))
    sd = st.one_of(st.sampled_from([1e-6, 0.05]), st.floats(1e-4, 0.5))
    cost = st.one_of(st.sampled_from([0.0, 1e5, 1e6]), st.integers(0, 10**10).map(float))
    latency = st.one_of(st.just(1.0), st.integers(1, 60_000).map(lambda ms: ms / 1000))
    return Predictions(column(quality), column(sd), column(sd), column(cost), column(sd), column(latency), column(sd))


objectives = st.builds(
    Objective,
    strategy=st.sampled_from(WEIGHED),
    usd_per_quality=st.sampled_from([1e-4, 0.05, 1.0]),
    usd_per_second=st.sampled_from([0.0, 1e-4, 0.01]),
    quality_floor=st.sampled_from([0.0, 0.5, 0.8, 1.0]),
    confidence=st.sampled_from([0.1, 0.5, 0.9, 0.999]),
    margin=st.sampled_from([0.0, 0.01, 0.1]),
)
explorations = st.builds(
    Exploration,
    temper=st.sampled_from([0.25, 0.5, 1.0]),
    floor=st.sampled_from([0.0, 0.01, 0.2]),
    allowance=st.sampled_from([0.0, 0.05, 0.3]),
)


def price_of(objective: Objective, seen: Predictions) -> Floats:
    return seen.latency if objective.strategy == Strategy.LATENCY_OPTIMIZED else seen.cost


def safe_of(objective: Objective, seen: Predictions) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return who is safe, from scipy's normal tail; (n_models,)."""
    tail = stats.norm.sf((objective.quality_floor - seen.quality) / seen.quality_sd)
    return np.asarray(tail >= objective.confidence)


@given(objectives, predictions(), explorations)
@settings(max_examples=80)
def test_every_strategy_ends_in_a_distribution(objective: Objective, seen: Predictions, how: Exploration) -> None:
    served = serve(objective, seen, how)
    for vector in (served.probabilities, served.thompson, served.utility, served.utility_sd):
        assert vector.shape == seen.quality.shape
        assert np.isfinite(vector).all()
    assert served.thompson.sum() == pytest.approx(1.0, abs=1e-12)
    assert (served.utility_sd >= 0.0).all()
    assert (served.probabilities >= 0.0).all()
    assert served.probabilities.sum() == pytest.approx(1.0, abs=1e-12)


@given(predictions(), explorations, objectives, st.data())
@settings(max_examples=50)
def test_renaming_the_models_renames_the_probabilities(
    seen: Predictions, how: Exploration, objective: Objective, data: st.DataObject
) -> None:
    """No strategy cares for the order in which models come, ties in price aside."""
    order = np.array(data.draw(st.permutations(range(len(seen.quality)))))
    if len(set(price_of(objective, seen).tolist())) < len(order):
        return
    renamed = Predictions(*(getattr(seen, name)[order] for name in Predictions.__slots__))
    np.testing.assert_allclose(
        serve(objective, renamed, how).probabilities,
        serve(objective, seen, how).probabilities[order],
        atol=1e-9,
    )


# -- balanced --------------------------------------------------------------------------------------


@given(predictions(), objectives)
@settings(max_examples=80)
def test_balanced_takes_the_best_utility_when_nothing_is_uncertain(seen: Predictions, objective: Objective) -> None:
    objective = replace(objective, strategy=Strategy.BALANCED)
    utility = objective.usd_per_quality * seen.quality - seen.cost / NANO - objective.usd_per_second * seen.latency
    sure = certain(seen, 1e-9)
    served = serve(objective, sure, QUIET)
    np.testing.assert_allclose(served.utility, utility, atol=1e-15)
    assert served.probabilities[utility >= utility.max() - 1e-7].sum() >= 1.0 - SLACK
    assert served.floor_met


def test_balanced_pays_for_quality_what_it_is_told_and_no_more() -> None:
    """A tenth more quality for 4 thousandths of a dollar: worth it at 5 cents for 1.0, not at 3 cents."""
    seen = seen_of([0.8, 0.9], 1e-9, [1e6, 5e6])
    assert serve(Objective(usd_per_quality=0.05), seen, QUIET).probabilities.tolist() == [0.0, 1.0]
    assert serve(Objective(usd_per_quality=0.03), seen, QUIET).probabilities.tolist() == [1.0, 0.0]


def test_balanced_pays_for_time_what_it_is_told() -> None:
    seen = seen_of([0.8, 0.9], 1e-9, [0.0, 0.0], [1.0, 11.0])
    assert serve(Objective(usd_per_second=4e-4), seen, QUIET).probabilities.tolist() == [0.0, 1.0]
    assert serve(Objective(usd_per_second=6e-4), seen, QUIET).probabilities.tolist() == [1.0, 0.0]


@pytest.mark.parametrize("costs", [[0.0, 0.0], [1e6, 1e6 + 1], [1e6, 1e6 + 1e-6], [1e6, 1.1e6], [1e6, 1e6]])
def test_balanced_with_a_quality_worth_nothing_takes_the_cheapest(costs: list[float]) -> None:
    """With 0 USD for quality the utility has no uncertainty at all, however close the costs are."""
    served = serve(Objective(usd_per_quality=0.0, usd_per_second=0.0), seen_of([0.9, 0.1], 0.1, costs), QUIET)
    cheapest = (np.array(costs) == min(costs)) / costs.count(min(costs))
    np.testing.assert_allclose(served.probabilities, cheapest, atol=1e-3)


@given(predictions(), st.integers(0, 11), st.sampled_from(WEIGHED))
def test_a_price_changes_the_choice_at_once(seen: Predictions, which: int, strategy: Strategy) -> None:
    """The dearer one model gets, the less it is served by balanced; nothing is learned in between."""
    which %= len(seen.quality)
    dearer = replace(seen, cost=seen.cost + np.eye(len(seen.cost))[which] * 2e10)
    objective = Objective(strategy=Strategy.BALANCED, usd_per_quality=1.0, usd_per_second=0.0)
    before = serve(objective, seen, QUIET).probabilities[which]
    after = serve(objective, dearer, QUIET).probabilities[which]
    assert after <= before + 1e-3
    if len(seen.quality) > 1:
        assert after < 1e-3


# -- quality first ---------------------------------------------------------------------------------


@given(predictions(), st.sampled_from([0.0, 0.01, 0.1, 0.5]), st.floats(0.0, 0.2))
@settings(max_examples=80)
def test_quality_first_gives_up_at_most_its_margin(seen: Predictions, margin: float, floor: float) -> None:
    sure = certain(seen, 1e-12)
    served = serve(Objective(Strategy.QUALITY_FIRST, margin=margin), sure, Exploration(floor=floor))
    poor = seen.quality < seen.quality.max() - margin - 1e-9
    assert served.probabilities[poor].sum() <= floor + SLACK
    assert served.probabilities[~poor].sum() >= 1.0 - floor - SLACK


def test_quality_first_lets_cost_break_near_ties() -> None:
    objective = Objective(Strategy.QUALITY_FIRST, margin=0.01)
    near, far = seen_of([0.9, 0.905], 1e-9, [1e5, 1e7]), seen_of([0.9, 0.915], 1e-9, [1e5, 1e7])
    assert serve(objective, near, QUIET).probabilities.tolist() == [1.0, 0.0]
    assert serve(objective, far, QUIET).probabilities.tolist() == [0.0, 1.0]


def test_quality_first_ignores_costs_that_are_equal() -> None:
    served = serve(Objective(Strategy.QUALITY_FIRST), seen_of([0.5, 0.51], 1e-9, [7e6, 7e6]), QUIET)
    assert served.probabilities.tolist() == [0.0, 1.0]


# -- cheapest or fastest above a floor -------------------------------------------------------------


@given(predictions(), objectives, explorations, st.sampled_from(FLOORED))
@settings(max_examples=80)
def test_the_floor_holds(seen: Predictions, objective: Objective, how: Exploration, strategy: Strategy) -> None:
    """Outside the safe set: at most the allowance, only on cheaper models; inside: the cheapest."""
    objective = replace(objective, strategy=strategy, quality_floor=objective.quality_floor or 0.3)
    reach = reach_probability(seen, objective.quality_floor)
    if (np.abs(reach - objective.confidence) < 1e-9).any():
        return  # on the very border rounding decides who is safe
    safe, price = safe_of(objective, seen), price_of(objective, seen)
    served = serve(objective, seen, how)
    p = served.probabilities
    assert served.floor_met == bool(safe.any())
    if not safe.any():
        return
    assert p[~safe].sum() <= how.allowance + SLACK
    cheapest = price[safe].min()
    assert (p[~safe & (price >= cheapest)] == 0.0).all()
    assert p[safe & (price == cheapest)].sum() >= 1.0 - how.allowance - how.floor - SLACK
    assert p[safe & (price > cheapest)].sum() <= how.floor + SLACK
    assert (p[safe] >= how.floor / safe.sum() * (1 - SLACK)).all()
    winner = int(np.argmax(served.utility))
    assert safe[winner]
    assert price[winner] == cheapest
    assert served.utility[safe].min() > served.utility[~safe].max(initial=-1.0)


@given(predictions(), st.sampled_from(FLOORED))
def test_nothing_safe_means_quality_decides(seen: Predictions, strategy: Strategy) -> None:
    """With a floor out of reach, prices play no part and the answer says that the floor was not met."""
    low = replace(seen, quality=seen.quality - 3.0)
    objective = Objective(strategy, quality_floor=1.0)
    served = serve(objective, low, Exploration())
    repriced = replace(low, cost=low.cost[::-1] * 3.0 + 1.0, latency=low.latency[::-1] * 3.0 + 1.0)
    assert not served.floor_met
    np.testing.assert_array_equal(served.probabilities, serve(objective, repriced, Exploration()).probabilities)
    sure = certain(low, 1e-9)
    best = low.quality >= low.quality.max() - 1e-6
    assert serve(objective, sure, QUIET).probabilities[best].sum() >= 1.0 - SLACK


@pytest.mark.parametrize("strategy", FLOORED)
def test_a_floor_of_zero_accepts_every_model(strategy: Strategy) -> None:
    """Quality is never below 0, so even an unknown model is safe and the cheapest is served."""
    seen = seen_of([0.9, 0.1, 0.5], [0.05, 0.2, 0.4], [5e6, 1e6, 9e6], [2.0, 1.0, 3.0])
    served = serve(Objective(strategy, quality_floor=0.0, confidence=0.95), seen, QUIET)
    assert served.floor_met
    assert served.probabilities.tolist() == [0.0, 1.0, 0.0]


@pytest.mark.parametrize("strategy", FLOORED)
def test_a_floor_of_one_asks_for_perfection(strategy: Strategy) -> None:
    seen = seen_of([0.9, 0.99, 0.5], 0.01, [5e6, 9e6, 1e6], [2.0, 3.0, 1.0])
    served = serve(Objective(strategy, quality_floor=1.0), seen, QUIET)
    assert not served.floor_met
    assert int(np.argmax(served.probabilities)) == 1


def test_a_price_changes_the_cheapest_safe_model_at_once() -> None:
    objective = Objective(Strategy.COST_OPTIMIZED, quality_floor=0.7)
    before = seen_of([0.9, 0.85, 0.3], 0.01, [1e6, 5e6, 1e5])
    assert serve(objective, before, QUIET).probabilities.tolist() == [1.0, 0.0, 0.0]
    after = replace(before, cost=np.array([1e7, 5e6, 1e5]))
    assert serve(objective, after, QUIET).probabilities.tolist() == [0.0, 1.0, 0.0]


def test_equal_prices_serve_a_safe_model() -> None:
    served = serve(Objective(Strategy.COST_OPTIMIZED), seen_of([0.2, 0.9, 0.95], 0.01, [3e6] * 3), Exploration())
    assert served.probabilities[0] == 0.0
    assert served.floor_met


def test_the_allowance_goes_where_the_hope_is_and_shrinks_with_it() -> None:
    """A cheaper model that may be good enough is tried within the allowance; one that cannot is not."""
    objective, how = (
        Objective(Strategy.COST_OPTIMIZED, quality_floor=0.8),
        Exploration(floor=0.0, allowance=0.05),
    )

    def shares(quality: float, sd: float) -> Serving:
        return serve(objective, seen_of([0.9, quality], [0.01, sd], [5e6, 1e6]), how)

    hopeful, doubtful, hopeless = shares(0.78, 0.1), shares(0.6, 0.1), shares(0.3, 0.01)
    assert 0.05 >= hopeful.probabilities[1] > doubtful.probabilities[1] > 0.0
    assert hopeless.probabilities[1] < 1e-12


@given(predictions(), st.floats(0.0, 1.0))
def test_reach_is_the_normal_tail(seen: Predictions, floor: float) -> None:
    expected = stats.norm.sf((floor - seen.quality) / seen.quality_sd)
    got = reach_probability(seen, floor)
    if floor > 0.0:
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-300)


# -- a fixed order -----------------------------------------------------------------------------------------------------


@given(predictions(), explorations)
def test_fallback_serves_the_first_and_ranks_the_others_as_they_come(seen: Predictions, how: Exploration) -> None:
    served = serve(Objective(Strategy.FALLBACK), seen, how)
    assert list(served.probabilities) == [1.0] + [0.0] * (len(seen.quality) - 1)
    assert list(served.utility) == sorted(served.utility, reverse=True)
    assert len(set(served.utility)) == len(seen.quality)
