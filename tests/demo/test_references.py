"""The references that the demo is compared with: what they must obey whatever the data."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.objective import Objective
from naiad.server.demo.outcomes import Table, group_of
from naiad.server.demo.references import (
    best_by_class,
    best_quality,
    cheapest,
    chosen,
    mixed,
    references,
    same_spend_mix,
)

OBJECTIVE = Objective()


def table(seed: int, n_prompts: int = 60, n_models: int = 3) -> Table:
    rng = np.random.default_rng(seed)
    dear = 10.0 ** -np.arange(2, 2 + n_models)
    return Table(
        tuple(f"acme/{i}" for i in range(n_models)),
        tuple(f"g{i % 2}/c{i % 4}" for i in range(n_prompts)),
        rng.uniform(size=(n_prompts, n_models)),
        dear * rng.uniform(0.5, 1.5, size=(n_prompts, n_models)),
        rng.uniform(0.1, 9.0, size=(n_prompts, n_models)),
    )


def test_utility_is_quality_in_money_less_cost_and_waiting() -> None:
    one = Table(("a/b",), ("x",), np.array([[0.5]]), np.array([[0.01]]), np.array([[20.0]]))
    assert one.utility(Objective(usd_per_quality=0.1, usd_per_second=0.001))[0, 0] == pytest.approx(0.05 - 0.01 - 0.02)


@given(st.integers(0, 10_000), st.integers(0, 2))
def test_always_one_model_is_the_mix_with_all_weight_on_it(seed: int, model: int) -> None:
    seen = table(seed)
    by_choice = chosen("x", seen, OBJECTIVE, [model] * len(seen))
    by_weight = mixed("x", seen, OBJECTIVE, np.eye(3)[model])
    assert by_choice.quality == pytest.approx(by_weight.quality)
    assert by_choice.spend_usd == pytest.approx(seen.cost_usd[:, model].sum())
    assert by_choice.utility_usd == pytest.approx(by_weight.utility_usd)


@given(st.integers(0, 10_000), st.floats(0.0, 1.2))
def test_the_static_mix_spends_what_it_may_and_no_single_model_at_that_spend_is_better(seed: int, part: float) -> None:
    seen = table(seed)
    spends = seen.cost_usd.sum(axis=0)
    spend = part * float(spends.max())
    low, high, share = same_spend_mix(seen, spend)
    weights = (1 - share) * np.eye(3)[low] + share * np.eye(3)[high]
    result = mixed("x", seen, OBJECTIVE, weights)
    if spends.min() <= spend <= spends.max():
        assert result.spend_usd == pytest.approx(spend)
    else:
        assert result.spend_usd == pytest.approx(float(np.clip(spend, spends.min(), spends.max())))
    assert 0.0 <= share <= 1.0


@given(st.integers(0, 10_000))
def test_hindsight_by_class_is_worth_at_least_every_single_model(seed: int) -> None:
    seen = table(seed)
    by_class = best_by_class(seen, OBJECTIVE)
    best = chosen("x", seen, OBJECTIVE, [by_class[name] for name in seen.task_classes])
    singles = [mixed("x", seen, OBJECTIVE, np.eye(3)[m]).utility_usd for m in range(3)]
    assert best.utility_usd >= max(singles) - 1e-12
    assert best.utility_usd <= float(seen.utility(OBJECTIVE).max(axis=1).mean()) + 1e-12


def test_best_and_cheapest_are_what_they_say() -> None:
    seen = table(5)
    assert seen.quality.mean(axis=0)[best_quality(seen)] == seen.quality.mean(axis=0).max()
    assert cheapest(seen) == 2


def test_references_that_looked_ahead_are_named_so() -> None:
    seen = table(7)
    names = [row.name for row in references(seen, OBJECTIVE, float(seen.cost_usd[:, 1].sum()))]
    assert [name for name in names if "(hindsight)" not in name] == ["always the cheapest", "random"]
    assert len(names) == 5


def test_a_price_rise_changes_one_column_and_rows_keep_their_order() -> None:
    seen = table(3)
    dearer = seen.repriced("acme/1", 10)
    assert np.array_equal(dearer.cost_usd[:, 1], 10 * seen.cost_usd[:, 1])
    assert np.array_equal(dearer.cost_usd[:, [0, 2]], seen.cost_usd[:, [0, 2]])
    assert np.array_equal(dearer.quality, seen.quality)
    part = seen.rows([4, 1])
    assert part.task_classes == (seen.task_classes[4], seen.task_classes[1])
    assert np.array_equal(part.latency_s, seen.latency_s[[4, 1]])
    assert group_of("bbh/snarks") == group_of("bbh") == "bbh"
