"""The laws of a pacer: spend comes to the budget, a price change is answered at once, nothing is ever NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.objective import Objective, Pace, Predictions, Strategy, serve_paced
from naiad.bandit.pacing import Floats, Pacer, PacingSettings, Priced
from naiad.bandit.thompson import draw

QUALITY = np.array([[0.5, 0.7, 0.8, 0.95], [0.7, 0.75, 0.72, 0.9], [0.3, 0.6, 0.85, 0.8]])
COST = np.array([1e-4, 4e-4, 1e-3, 1e-2])  # USD
TAIL = 1.5  # sd of log bills: the dearest call in a thousand costs a hundred times the median
FIRST = Objective(Strategy.QUALITY_FIRST, margin=0.0)


class World:
    """A pacer among models whose qualities and mean costs are known, with heavy-tailed bills."""

    def __init__(self, budget: float, seed: int, cost: Floats = COST) -> None:
        self.pacer, self.cost = Pacer(budget), cost
        self.rng = np.random.default_rng(seed)
        self.due = True

    def priced(self) -> Priced:
        mix = self.pacer.mix()
        rows = [k for k, _ in mix]
        cost = np.tile(self.cost, (len(rows), 1))
        sd = np.full(cost.shape, 0.01)
        return Priced(np.array([f for _, f in mix]), QUALITY[rows], sd, cost, cost, cost > 0, 0.0)

    def request(self) -> tuple[float, float]:
        """Serve one request; return (quality, bill)."""
        pacer, k = self.pacer, int(self.rng.integers(3))
        if pacer.seen(k) or self.due:
            pacer.solve(self.priced())
            self.due = False
        permitted = pacer.permitted(self.cost.tolist(), self.cost.tolist())
        at = [m for m, fits in enumerate(permitted) if fits]
        costs = [c * 1e9 for c in self.cost[at].tolist()]
        none = [0.0] * len(at)
        seen = Predictions(QUALITY[k, at].tolist(), [0.01] * len(at), [0.01] * len(at), costs, costs, none, none)
        pace = Pace(pacer.price, [1.0] * len(at), none, pacer.lower_price, pacer.lower_share)
        p = serve_paced(FIRST, seen, pace).probabilities
        model = at[draw(p, self.rng.random())]
        bill = float(self.cost[model] * self.rng.lognormal(-TAIL * TAIL / 2, TAIL))
        pacer.reserve(float(self.cost[model]))
        pacer.settle(float(self.cost[model]), bill)
        return float(QUALITY[k, model]), bill

    def run(self, steps: int) -> tuple[float, float]:
        """Return mean quality and mean bill of so many requests."""
        found = np.array([self.request() for _ in range(steps)])
        return float(found[:, 0].mean()), float(found[:, 1].mean())


@pytest.mark.parametrize("budget", [2e-4, 7e-4, 3e-3])
@pytest.mark.parametrize("seed", range(3))
def test_spend_comes_to_the_budget_and_buys_quality(budget: float, seed: int) -> None:
    quality, spend = World(budget, seed).run(3_000)
    assert 0.85 * budget <= spend <= 1.03 * budget
    mix = np.interp(budget, COST, QUALITY.mean(axis=0))  # of two models, blind to the class
    assert quality > mix - 0.01


@given(st.data(), st.integers(1, 4), st.integers(2, 4), st.floats(0.02, 0.98), st.sampled_from([1e-6, 1e-3, 0.1]))
def test_the_mixture_served_spends_what_is_to_be_spent(
    data: st.DataObject, classes: int, models: int, share: float, sd: float
) -> None:
    """As the linear programme does, also where beliefs are sure and any one price spends too little or too much."""
    values = st.lists(st.floats(0.05, 1.0), min_size=classes * models, max_size=classes * models)
    quality = np.array(data.draw(values)).reshape(classes, models)
    cost = np.array(data.draw(values)).reshape(classes, models) * 1e-3
    eligible = np.ones(cost.shape, dtype=np.bool_)
    at_best, at_least = cost[np.arange(classes), quality.argmax(axis=1)].mean(), cost.min(axis=1).mean()
    budget = at_least + share * (at_best - at_least)
    pacer = Pacer(budget)
    pacer.bank = pacer.settings.reserve * budget  # where the budget itself is what is to be spent
    even = np.full(classes, 1 / classes)
    pacer.solve(Priced(even, quality, np.full(cost.shape, sd), cost, cost * 0.1, eligible, 0.0))
    served, none, ones = 0.0, [0.0] * models, [1.0] * models
    for q, c in zip(quality.tolist(), cost.tolist(), strict=True):
        seen = Predictions(q, [sd] * models, [sd] * models, [v * 1e9 for v in c], none, none, none)
        pace = Pace(pacer.price, ones, none, pacer.lower_price, pacer.lower_share)
        served += float(np.dot(serve_paced(FIRST, seen, pace).probabilities, c)) / classes
    if pacer.price < 2e-4 / budget:  # none, or as good as none: equally good models
        assert served <= budget * 1.15
    elif pacer.price < 9e3 / budget:
        assert served == pytest.approx(budget, rel=0.02 if sd == 1e-6 else 0.15)  # so few draws stand for the law


def test_a_price_change_is_answered_by_the_next_solution() -> None:
    """Told of a tenfold price, the very next solution expects no more than it is to spend."""
    world = World(7e-4, 1)
    world.run(500)
    before = world.pacer.price
    world.cost = COST * np.array([1.0, 1.0, 10.0, 1.0])
    world.pacer.solve(world.priced())
    assert world.pacer.price != before
    _, spend = world.run(1_000)
    assert spend <= 1.05 * 7e-4
    world.cost = COST
    world.pacer.solve(world.priced())
    _, again = world.run(1_000)
    assert again <= 1.05 * 7e-4


def test_below_the_cheapest_the_cheapest_is_served_and_it_is_said() -> None:
    world = World(2e-5, 1)
    world.run(300)
    assert world.pacer.short
    assert world.pacer.bank >= -world.pacer.settings.debt * 2e-5
    assert world.pacer.permitted(COST.tolist(), COST.tolist()) == [True, False, False, False]
    _, spend = world.run(1_000)
    assert spend == pytest.approx(COST[0], rel=0.3)


def test_in_debt_dear_calls_wait_and_the_price_decides_between_the_others() -> None:
    """A call of a few budgets is never refused: what is owed is saved where it costs the least quality."""
    world = World(7e-4, 1)
    world.run(300)
    pacer = world.pacer
    pacer.bank = 0.0
    before = pacer.solve(world.priced())
    pacer.bank = -100.0 * pacer.budget
    for cost in (COST, COST * 1.5):  # the third model costs 1.4 budgets, then 2.1
        assert pacer.permitted(cost.tolist(), cost.tolist()) == [True, True, True, False]
    after = pacer.solve(world.priced())
    assert after > before > 0.0


def test_a_debt_of_a_stretch_that_nothing_could_pay_is_forgiven_in_the_end() -> None:
    world = World(2e-4, 1, COST * 20)
    world.run(2_000)
    before = world.pacer.short
    world.cost, world.due = COST, True
    world.run(1_000)
    assert (before, world.pacer.short) == (True, False)
    assert world.pacer.bank > 0.0


def test_with_a_huge_budget_money_has_no_price() -> None:
    world = World(1.0, 1)
    world.run(50)
    assert world.pacer.price == 0.0
    assert all(world.pacer.permitted(COST.tolist(), COST.tolist()))
    assert not world.pacer.short


tables = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.floats(-10, 10), min_size=n, max_size=n),
        st.lists(st.floats(0, 1), min_size=n, max_size=n),
        st.lists(st.floats(0, 1e3), min_size=n, max_size=n),
    )
)


@given(tables, st.floats(1e-9, 1e6), st.lists(st.floats(0, 1e6), max_size=20))
@settings(max_examples=150, deadline=None)
def test_nothing_is_ever_nan_and_the_price_never_exceeds_its_end(
    table: tuple[list[float], list[float], list[float]], budget: float, bills: list[float]
) -> None:
    quality, sd, cost = table
    pacer = Pacer(budget)
    for bill in bills:
        pacer.reserve(cost[0])
        pacer.settle(cost[0], bill)
        pacer.compare(0, cost[0], bill)
        assert math.isfinite(pacer.bank)
        assert 0.0 < pacer.target() <= 2.0 * budget
        assert math.isfinite(pacer.correction(0))
    assert pacer.correction(0) >= 0.0
    pacer.seen(0)
    permitted = pacer.permitted(cost, cost)
    assert permitted[cost.index(min(cost))]
    affordable = [c for c, fits in zip(cost, permitted, strict=True) if fits]
    floor = pacer.floor(affordable, 0.1)
    assert all(0.0 <= share <= 0.1 / len(floor) + 1e-15 for share in floor)
    rows = [np.array([row]) for row in (quality, sd, cost)]
    given_ = Priced(np.ones(1), rows[0], rows[1], rows[2], rows[2], np.ones((1, len(cost)), dtype=np.bool_), 0.1)
    of_all, floors = pacer.table(given_)
    assert of_all[0].tolist() == permitted
    np.testing.assert_allclose(floors[0][of_all[0]], floor)
    price = pacer.solve(given_)
    assert 0.0 <= price <= 1.01e4 / budget


@given(st.floats(math.ldexp(1, -60), 1e3), st.floats(0, 1e9))
def test_a_correction_lies_between_one_and_the_ratio_of_bills_to_predictions(raw: float, bill: float) -> None:
    pacer = Pacer(1.0)
    for _ in range(7):
        pacer.compare(3, raw, bill)
    low, high = sorted((1.0, bill / raw))
    assert low * (1 - 1e-9) <= pacer.correction(3) <= high * (1 + 1e-9)
    assert pacer.correction(2) == 1.0


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_a_bill_that_is_no_amount_changes_nothing(bad: float) -> None:
    pacer = Pacer(1.0)
    pacer.compare(0, 1.0, bad)
    pacer.settle(1.0, 1.0 if bad < 0 else bad)
    assert pacer.correction(0) == 1.0
    assert pacer.bank == 10.0


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_a_positive_amount(bad: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Pacer(bad)


def test_a_call_in_flight_counts_at_its_prediction_and_its_bill_replaces_it() -> None:
    pacer = Pacer(1.0)
    before = pacer.bank
    pacer.reserve(3.0)
    assert pacer.bank == pytest.approx(before - 2.0)
    pacer.settle(3.0, 0.5)
    assert pacer.bank == pytest.approx(before + 0.5)


def test_permuting_the_models_changes_the_price_by_no_more_than_its_draws() -> None:
    """Each model has draws of its own, so an order may move the price a little; permissions and floors not at all."""
    rng = np.random.default_rng(4)
    for _ in range(20):
        order = rng.permutation(4)
        one, other = World(7e-4, 1), World(7e-4, 1)
        one.pacer.seen(0)
        other.pacer.seen(0)
        given_ = one.priced()
        moved = Priced(
            given_.share, given_.quality[:, order], given_.sd[:, order], given_.cost[:, order],
            given_.cost_sd[:, order], given_.eligible[:, order], 0.0,
        )  # fmt: skip
        low = one.pacer.solve(given_)
        high = other.pacer.solve(moved)
        assert high == pytest.approx(low, rel=0.25)
        permitted = np.array(one.pacer.permitted(COST.tolist(), COST.tolist()))
        assert one.pacer.permitted(COST[order].tolist(), COST[order].tolist()) == permitted[order].tolist()


def test_a_restored_pacer_goes_on_as_the_one_before() -> None:
    world = World(7e-4, 3)
    world.run(400)
    world.pacer.compare(1, 1.0, 2.0)
    again = Pacer(7e-4)
    again.restore(world.pacer.state())
    assert again.bank == pytest.approx(world.pacer.bank)
    assert (again.price, again.requests) == (world.pacer.price, world.pacer.requests)
    assert again.correction(1) == world.pacer.correction(1)
    for (k, share), (other_k, other) in zip(again.mix(), world.pacer.mix(), strict=True):
        assert k == other_k
        assert share == pytest.approx(other)


def test_the_mix_follows_the_traffic_and_keeps_the_largest_classes() -> None:
    pacer = Pacer(1.0, PacingSettings(classes=2))
    for step in range(20_000):
        pacer.seen(step % 3 if step % 10 else 0)
    shares = dict(pacer.mix())
    assert len(shares) == 2
    assert sum(shares.values()) == pytest.approx(1.0)
    for _ in range(3_000):
        pacer.seen(7)
    assert dict(pacer.mix())[7] > 0.99
