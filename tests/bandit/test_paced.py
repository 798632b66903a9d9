"""What a budget's price does to a choice, for any predictions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.objective import Exploration, Objective, Pace, Predictions, Strategy, serve, serve_paced

paced_worlds = st.lists(
    st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 1e9), st.floats(0, 60)), min_size=1, max_size=6
)


@given(paced_worlds, st.sampled_from([Strategy.BALANCED, Strategy.QUALITY_FIRST]), st.floats(0, 1e7), st.floats(0, 10))
def test_a_paced_vector_is_a_distribution_over_the_models(
    world: list[tuple[float, float, float, float]], strategy: Strategy, price: float, worth: float
) -> None:
    q, sd, cost, latency = (list(column) for column in zip(*world, strict=True))
    seen = Predictions(q, sd, sd, cost, cost, latency, latency)
    n = len(world)
    found = serve_paced(Objective(strategy, usd_per_quality=worth), seen, Pace(price, [0.5] * n, [0.01 / n] * n))
    assert sum(found.probabilities) == pytest.approx(1.0)
    assert all(p > 0.0 for p in found.probabilities)
    assert all(math.isfinite(u) for u in (*found.utility, *found.utility_sd))


@given(paced_worlds, st.sampled_from([Strategy.BALANCED, Strategy.QUALITY_FIRST]), st.floats(0.01, 10))
def test_a_budget_that_does_not_bind_is_no_budget(
    world: list[tuple[float, float, float, float]], strategy: Strategy, worth: float
) -> None:
    q, sd, cost, latency = (list(column) for column in zip(*world, strict=True))
    seen = Predictions(q, sd, sd, cost, cost, latency, latency)
    n, objective = len(world), Objective(strategy, usd_per_quality=worth)
    exploration = Exploration(temper=0.5, floor=0.01)
    plain = serve(objective, seen, exploration)
    paced = serve_paced(objective, seen, Pace(0.0, [0.5] * n, [0.01 / n] * n))
    assert paced.probabilities == pytest.approx(plain.probabilities)
    assert paced.utility == pytest.approx(plain.utility)


@given(paced_worlds, st.floats(0, 1e3), st.floats(0, 1e3))
def test_a_higher_price_never_makes_the_expected_bill_larger(
    world: list[tuple[float, float, float, float]], price: float, more: float
) -> None:
    q, _, cost, latency = (list(column) for column in zip(*world, strict=True))
    n = len(world)
    seen = Predictions(q, [0.1] * n, [0.1] * n, cost, cost, latency, latency)
    bills = []
    for one in (price, price + more):
        p = serve_paced(Objective(Strategy.QUALITY_FIRST), seen, Pace(one, [1.0] * n, [0.0] * n)).probabilities
        bills.append(sum(share * c for share, c in zip(p, cost, strict=True)))
    assert bills[1] <= bills[0] * 1.005 + 1e-3 * max(cost)
