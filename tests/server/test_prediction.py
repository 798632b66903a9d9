"""Predictions: cost is tokens times price, limits hold, qualities stay on their scale."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.belief import Belief
from naiad.bandit.statistics import Measure, Observation, Statistics, to_fixed
from naiad.server.catalog import Catalog
from naiad.server.prediction import Predictor
from naiad.server.records import ModelPut, Prices
from naiad.server.steps import Steps

amounts, prices = st.integers(0, 10**6), st.integers(0, 10**9)


def predictor(price: Prices, *, limit: int | None = None, scores: tuple[float, ...] = ()) -> Predictor:
    """Return a predictor for two models of one price, the first of which has shown some scores."""
    catalog = Catalog()
    for model in range(2):
        name = f"p/m{model}"
        catalog.put_model(ModelPut(model=model, name=name, upstream_model=name, prices=price, max_output_tokens=limit))
    statistics, belief = Statistics(), Belief()
    belief.resize(statistics, 2)
    for score in scores:
        statistics.add(Observation(0, 0, Measure.QUALITY, 1, 0, to_fixed(score)))
    belief.refresh(statistics, statistics.groups())
    return Predictor(belief, catalog, Steps())


@given(amounts, prices, prices, st.integers(0, 10**9))
def test_cost_is_tokens_times_price(tokens_in: int, price_in: int, price_out: int, request: int) -> None:
    found = predictor(Prices(input=price_in, output=price_out, request=request))
    seen = found.predict(0, [0, 1], tokens_in, 1 << 40)
    written, spread = found.output_tokens(0)[0]
    assert seen.cost[0] == pytest.approx((tokens_in * price_in + written * price_out) / 1e6 + request)
    assert seen.cost_sd[0] == pytest.approx(spread * price_out / 1e6)


@given(amounts, prices, prices)
def test_tenfold_prices_cost_tenfold(tokens_in: int, price_in: int, price_out: int) -> None:
    low = predictor(Prices(input=price_in, output=price_out)).predict(0, [0], tokens_in, 1 << 40)
    high = predictor(Prices(input=10 * price_in, output=10 * price_out)).predict(0, [0], tokens_in, 1 << 40)
    assert high.cost[0] == pytest.approx(10 * low.cost[0])


@pytest.mark.parametrize(("limit", "asked"), [(7, 1_000), (1_000, 7), (None, 7)])
def test_no_more_tokens_are_expected_than_may_be_written(limit: int | None, asked: int) -> None:
    seen = predictor(Prices(input=0, output=1_000_000), limit=limit).predict(0, [0, 1], 0, asked)
    assert seen.cost == [7.0, 7.0]
    assert max(seen.cost_sd) <= 7.0


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_qualities_stay_on_their_scale(score: float) -> None:
    seen = predictor(Prices(input=0, output=0), scores=(score,) * 5_000).predict(0, [0, 1], 0, 10)
    assert all(0.0 <= quality <= 1.0 for quality in seen.quality)


def test_predictions_are_in_the_order_asked_for() -> None:
    found = predictor(Prices(input=0, output=0), scores=(0.9,) * 50)
    assert found.predict(0, [1, 0], 0, 10).quality == found.predict(0, [0, 1], 0, 10).quality[::-1]


@pytest.mark.parametrize("change", [None, Measure.QUALITY, Measure.OUTPUT_TOKENS, Measure.LATENCY])
def test_what_was_prepared_follows_every_change(change: Measure | None) -> None:
    """After a price or a measure moved, a predictor that predicted before says what a new one says."""
    catalog, statistics, belief = Catalog(), Statistics(), Belief()
    for model in range(2):
        catalog.put_model(
            ModelPut(model=model, name=f"p/m{model}", upstream_model="m", prices=Prices(input=9, output=9))
        )
    belief.resize(statistics, 2)
    models, kept = [0, 1], Predictor(belief, catalog, Steps())
    before = kept.predict(0, models, 100, 100)
    if change is None:
        catalog.put_model(ModelPut(model=1, name="p/m1", upstream_model="m", prices=Prices(input=8 * 10**6, output=9)))
    else:
        statistics.add(Observation(0, 1, change, 1, 0, to_fixed(0.9)))
        belief.refresh(statistics, statistics.groups())
    after = kept.predict(0, models, 100, 100)
    assert after == Predictor(belief, catalog, Steps()).predict(0, models, 100, 100)
    assert after != before
