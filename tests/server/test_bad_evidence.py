"""What is degenerate, through the engine that serves: defined behaviour each, and never a number that is none."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.belief import BeliefSettings
from naiad.bandit.objective import Strategy
from naiad.bandit.statistics import Measure, to_fixed
from naiad.server.eligibility import Needs, Reason
from naiad.server.engine import Engine, EngineSettings
from naiad.server.errors import NaiadError
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome, take_ratings
from naiad.server.records import Decided, ObjectiveSpec, Outcome, Prices, Rating, TaskClassPut, Usage
from tests.server.builders import PRICES, SIGNER, engine, judge, model, policy, query

FREE = Prices(input=0, output=0)
_OTHERS = (Strategy.FALLBACK, Strategy.ENSEMBLE, Strategy.CASCADE)
LEARNING = [s for s in Strategy if s not in _OTHERS]  # one follows a list; the others are balanced among composites


def assert_sound(made: Engine) -> None:
    """Every belief of every arm is a finite number, and sds and noise are above 0."""
    for measure in Measure:
        noise = made.belief.noise(measure)
        assert math.isfinite(noise)
        assert noise > 0.0
        for task_class in range(len(made.catalog.task_classes) + 1):  # and a class never seen
            seen = made.belief.marginals(task_class, measure)
            assert all(map(math.isfinite, (*seen.mean, *seen.sd, *seen.contrast_sd, *seen.n, *seen.decay)))
            assert all(sd > 0.0 for sd in (*seen.sd, *seen.contrast_sd))


def assert_lawful(made: Engine, record: Decided) -> None:
    """The vector is a distribution over the permitted models, and every number of the record is one."""
    assert sum(record.probabilities) == pytest.approx(1.0, abs=1e-12)
    assert all(p >= 0.0 for p in record.probabilities)
    assert record.propensity == record.probabilities[record.models.index(record.model)] > 0.0
    permitted = {m.model for m in made.catalog.models if m.prices and not (m.disabled or m.deleted)}
    assert set(record.models) <= permitted
    assert set(record.models).isdisjoint(e.model for e in record.excluded)
    numbers = (
        *record.quality, *record.quality_sd, *record.cost, *record.cost_sd, *record.latency, *record.latency_sd,
        *record.utility, *record.utility_sd, *record.thompson,
    )  # fmt: skip
    assert all(map(math.isfinite, numbers))


def decide(
    made: Engine, objective: ObjectiveSpec | None = None, task_class: str = "a", uniform: float = 0.5
) -> Decided:
    asked = query(task_class, objective=objective or ObjectiveSpec())
    record = made.decide(asked, at_ms=1, uniform=uniform).record
    assert_lawful(made, record)
    return record


@pytest.mark.parametrize("strategy", LEARNING)
def test_a_model_without_a_price_is_not_served_and_is_as_soon_as_it_has_one(strategy: Strategy) -> None:
    made = engine([model(0), model(1, prices=None), model(2)])
    for uid in range(1, 30):
        judge(made, 0, 1, 1.0, uid)  # however good it is
    objective = ObjectiveSpec(strategy=int(strategy))
    record = decide(made, objective)
    assert record.models == [0, 2]
    assert [(e.model, e.reason) for e in record.excluded] == [(1, Reason.NO_PRICE)]
    made.apply(made.sequence + 1, model(1, prices=FREE))  # nothing is a price
    assert decide(made, objective).models == [0, 1, 2]
    assert_sound(made)


def test_where_no_model_has_a_price_it_is_said() -> None:
    made = engine([model(0, prices=None), model(1, prices=None)])
    with pytest.raises(NaiadError, match="has no price"):
        made.decide(query(), at_ms=1, uniform=0.5)


@pytest.mark.parametrize("strategy", LEARNING)
@pytest.mark.parametrize(
    "scores",
    [[0.0] * 200, [1.0] * 200, [0.3] * 200, [0.0, 1.0] * 100, [0.7]],
    ids=["all 0", "all 1", "identical", "0 and 1", "one"],
)
def test_scores_without_spread_leave_lawful_choices(strategy: Strategy, scores: list[float]) -> None:
    """With zero variance too: the noise has a floor, and models never judged keep a chance."""
    made = engine()
    for uid, score in enumerate(scores, 1):
        judge(made, 0, 0, score, uid)
    assert_sound(made)
    for floor in (0.0, 0.5, 1.0):
        record = decide(made, ObjectiveSpec(strategy=int(strategy), quality_floor=floor))
        if strategy in (Strategy.BALANCED, Strategy.QUALITY_FIRST):
            assert min(record.probabilities) > 0.0
    judged, *others = decide(made, ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)).quality
    if len(set(scores)) == 1 and len(scores) == 200:
        assert judged == pytest.approx(scores[0], abs=0.05)
        assert all(min(scores[0], 0.7) - 0.05 <= other <= max(scores[0], 0.7) + 0.05 for other in others)


def test_a_thousand_classes_of_one_event_each() -> None:
    made = engine([model(i) for i in range(5)], [TaskClassPut(task_class=k, name=f"c{k}") for k in range(1_000)])
    for k in range(1_000):
        judge(made, k, k % 5, float(k % 2), k + 1)
    assert_sound(made)
    for k in (0, 500, 999):
        assert len(decide(made, task_class=f"c{k}").models) == 5


def test_exchange_rates_that_sum_to_nothing_take_the_cheapest_and_free_ones_share() -> None:
    """Neither quality nor time is worth anything: money decides; where nothing costs anything, nobody is preferred."""
    nothing = ObjectiveSpec(strategy=int(Strategy.BALANCED), usd_per_quality=0.0, usd_per_second=0.0)
    made = engine([model(0), model(1, prices=Prices(input=1, output=1)), model(2)])
    record = decide(made, nothing)
    assert record.thompson == [0.0, 1.0, 0.0]
    free = engine([model(i, prices=FREE) for i in range(3)])
    assert decide(free, nothing).thompson == pytest.approx([1 / 3] * 3)


@pytest.mark.parametrize("weight", [0.0, 5e-324, 1e-300])
def test_sources_whose_weights_sum_to_nothing_teach_nothing(weight: float) -> None:
    settings_ = EngineSettings(belief=BeliefSettings(trust=dict.fromkeys(range(8), weight)))
    made = Engine(settings_, SIGNER)
    for event in (model(0), model(1), TaskClassPut(task_class=0, name="a")):
        made.apply(made.sequence + 1, event)
    before = decide(made)
    for uid in range(1, 50):
        judge(made, 0, 0, 0.0, uid)
    assert_sound(made)
    after = decide(made)
    assert after.quality == pytest.approx(before.quality)
    assert after.quality_sd == pytest.approx(before.quality_sd)


@pytest.mark.parametrize("strategy", [Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED])
def test_a_floor_of_one_that_nobody_reaches_lets_quality_decide_and_says_so(strategy: Strategy) -> None:
    made = engine()
    for uid in range(1, 301):
        judge(made, 0, uid % 3, (0.2, 0.9, 0.4)[uid % 3], uid)
    record = decide(made, ObjectiveSpec(strategy=int(strategy), quality_floor=1.0))
    assert not record.floor_met
    assert max(zip(record.probabilities, record.models, strict=True))[1] == 1


@pytest.mark.parametrize("strategy", LEARNING)
def test_a_budget_of_zero_is_refused_at_every_level(strategy: Strategy) -> None:
    spec = ObjectiveSpec(strategy=int(strategy), usd_per_request=0.0)
    with pytest.raises(NaiadError) as caught:
        engine().decide(query(objective=spec), at_ms=1, uniform=0.5)
    assert caught.value.reason == "OBJECTIVE_NOT_ALLOWED"
    with pytest.raises(ValueError, match="above 0"):
        engine(policy=policy(objective=ObjectiveSpec(strategy=3, usd_per_request=0.0))).decide(
            query(), at_ms=1, uniform=0.5
        )


steps = st.lists(
    st.tuples(
        st.sampled_from(
            ["decide"] * 4 + ["outcome"] * 3 + ["judge"] * 5 + ["add", "vanish", "price", "class", "policy"]
        ),
        st.floats(0, 1),
        st.integers(0, 2**31),
    ),
    min_size=1,
    max_size=80,
)


@given(steps)
@settings(max_examples=60, deadline=None)
def test_no_history_of_models_that_appear_and_vanish_breaks_a_belief(history: list[tuple[str, float, int]]) -> None:
    """Models come, lose their price, are disabled and deleted between decisions, bills and judgements of any kind."""
    made = engine([model(0), model(1)])
    decided: list[tuple[Entry, Decided]] = []
    for kind, x, number in history:
        rng = Random(number)
        count, classes = len(made.catalog.models), len(made.catalog.task_classes)
        which = number % count
        if kind == "add":
            made.apply(made.sequence + 1, model(count, prices=rng.choice([PRICES, FREE, None])))
        elif kind == "vanish":
            made.apply(made.sequence + 1, model(which, disabled=x < 0.5, deleted=x >= 0.5))
        elif kind == "price":
            made.apply(
                made.sequence + 1, model(which, prices=rng.choice([PRICES, FREE, Prices(input=0, output=10**15)]))
            )
        elif kind == "class":
            made.apply(made.sequence + 1, TaskClassPut(task_class=classes, name=f"c{classes}"))
        elif kind == "policy":
            spec = ObjectiveSpec(
                strategy=int(rng.choice((*LEARNING, Strategy.FALLBACK))), usd_per_quality=rng.choice([0.0, 1.0, 1e6]),
                usd_per_second=rng.choice([0.0, 1e6]), quality_floor=rng.choice([0.0, 0.5, 1.0]),
                margin=rng.choice([0.0, 1.0]), usd_per_request=rng.choice([None, 1e-9, 1e6]),
                models=("echo/m1", "echo/m0"),
            )  # fmt: skip
            made.apply(made.sequence + 1, policy(objective=spec, temper=rng.choice([0.0, 0.5, 1.0])))
        elif kind == "decide":
            name = made.catalog.task_classes[number % classes].name
            needs = Needs(rng.choice([0, 1, 10**9]), rng.choice([1, 10**9]))
            try:
                record = made.decide(query(name, needs=needs), at_ms=1, uniform=min(x, 1 - 1e-12)).record
            except NaiadError as error:
                if error.reason != "NO_ELIGIBLE_MODEL":  # nobody is left
                    raise
                continue
            assert_lawful(made, record)
            made.apply(made.sequence + 1, record)
            first = Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)
            decided.append((first, record))
        elif decided:
            at = number % len(decided)
            entry, record = decided[at]
            if kind == "outcome":
                outcome = Outcome(
                    model=record.model, ordinal=record.ordinal, failed=x < 0.3, error=int(x < 0.3),
                    usage=Usage(input_tokens=rng.choice([0, 10**9]), output_tokens=rng.choice([None, 0, 10**9])),
                    latency_s=rng.choice([None, 0.0, 1e-9, 1e9]), first_token_s=rng.choice([None, 0.0, 1e9]),
                )  # fmt: skip
                entry, event = take_outcome(entry, FIRST_ATTEMPT, outcome, 1)
                made.apply(made.sequence + 1, event)
            else:
                rating = Rating(source=rng.choice([1, 2, 4]), rater=rng.choice(["", "r"]), value=to_fixed(round(x, 1)))
                entry, judged = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 1)
                made.apply(made.sequence + 1, judged)
            decided[at] = (entry, record)
        for alarm in made.drift.take():
            made.apply(made.sequence + 1, alarm)
    assert_sound(made)
