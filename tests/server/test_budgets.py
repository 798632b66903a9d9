"""Budgets in the engine: whose holds, what it does to a decision, the bills, and that no belief depends on them."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.objective import Strategy
from naiad.bandit.pacing import PacingSettings
from naiad.bandit.statistics import to_fixed
from naiad.server import render, snapshot
from naiad.server.eligibility import Needs, Reason
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome, take_ratings
from naiad.server.objectives import Level
from naiad.server.records import (
    Claim,
    Cost,
    Decided,
    Event,
    ModelPut,
    ObjectiveSpec,
    Outcome,
    PolicySet,
    Prices,
    Rating,
    TaskClassPut,
    Usage,
    decode,
    encode,
)
from naiad.server.sessions import Turn
from naiad.v1 import decision_pb2
from tests.server.builders import engine, judge, model, policy, query

NANO = 1e9
PRICE = (100, 1_000, 10_000)  # nano-USD a token out
TOKENS = 200
MODELS = [model(i, prices=Prices(input=0, output=price * 1_000_000)) for i, price in enumerate(PRICE)]
QUALITY = (0.5, 0.7, 0.9)
BUDGET = 1e-4  # USD: the second model costs twice as much
CLASSES = [TaskClassPut(task_class=0, name="a"), TaskClassPut(task_class=1, name="b")]
POLICY = Level("policy", "", BUDGET)


def spec(**fields: Any) -> ObjectiveSpec:
    """Return quality_first without a margin, and these parameters."""
    return ObjectiveSpec(**{"strategy": int(Strategy.QUALITY_FIRST), "margin": 0.0} | fields)


def budgeted(usd: float | None = BUDGET, **fields: Any) -> Engine:
    """Return an engine of three models a decade apart in price, whose policy holds a budget."""
    return engine(MODELS, CLASSES, policy=policy(objective=spec(usd_per_request=usd), **fields))


class World:
    """An engine with callers that report what calls cost and how good they were."""

    def __init__(self, made: Engine, seed: int = 0) -> None:
        self.engine, self.rng = made, random.Random(seed)
        self.log: list[Event] = []
        self.factor = 1.0

    def apply(self, event: Event) -> None:
        """Fold an event, and keep it."""
        self.log.append(event)
        self.engine.apply(self.engine.sequence + 1, event)

    def decide(self, **fields: Any) -> Decided:
        """Decide, and fold the decision."""
        asked = query(**{"needs": Needs(100, 10_000)} | fields)
        record = self.engine.decide(asked, at_ms=1, uniform=self.rng.random()).record
        self.apply(record)
        return record

    def report(self, record: Decided, usd: float | None = None) -> float:
        """Fold the outcome of a decision and its judgement; return the bill, USD."""
        tokens = round(TOKENS * self.rng.lognormvariate(-0.5, 1.0))
        bill = usd if usd is not None else tokens * PRICE[record.model % 3] / NANO * self.factor
        outcome = Outcome(
            model=record.model, ordinal=record.ordinal, usage=Usage(input_tokens=100, output_tokens=tokens),
            cost=Cost(total=round(bill * NANO)),
        )  # fmt: skip
        self.apply(take_outcome(entry(record), FIRST_ATTEMPT, outcome, 1)[1])
        rating = Rating(source=1, rater="", value=to_fixed(QUALITY[record.model % 3]))
        self.apply(take_ratings(entry(record), (FIRST_ATTEMPT,), (rating,), 1)[1])
        return bill

    def run(self, steps: int, **fields: Any) -> float:
        """Serve so many requests; return the mean bill, USD."""
        return sum(self.report(self.decide(task_class=self.rng.choice("ab"), **fields)) for _ in range(steps)) / steps


def entry(record: Decided) -> Entry:
    return Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)


# -- what is held ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Strategy.QUALITY_FIRST, Strategy.BALANCED])
@pytest.mark.parametrize("seed", range(2))
def test_mean_spend_comes_to_the_budget(strategy: Strategy, seed: int) -> None:
    objective = spec(strategy=int(strategy), usd_per_request=BUDGET, usd_per_quality=1.0, usd_per_second=0.0)
    world = World(engine(MODELS, CLASSES, policy=policy(objective=objective)), seed)
    world.run(200)
    swing = PacingSettings().full + PacingSettings().lending  # what was saved before and what may be owed after
    assert 0.85 * BUDGET <= world.run(1_200) <= (1.0 + swing / 1_200) * BUDGET
    last = [event for event in world.log if isinstance(event, Decided)][-200:]
    budgets = [record.budget for record in last if len(record.models) > 1]  # the ceiling may leave one, at no price
    assert len(budgets) > 100
    assert all(budget is not None and budget.price > 0.0 and not budget.short for budget in budgets)


@pytest.mark.parametrize("seed", range(2))
def test_one_dear_bill_is_paid_back_where_two_models_are_known_for_sure(seed: int) -> None:
    """No price spends the budget there, only a mixture of the two: a debt of fifteen budgets is not kept for ever."""
    dear = (0.9, 4.5)  # of a budget, a call
    two = [model(i, prices=Prices(input=0, output=round(c * BUDGET / TOKENS * NANO * 1e6))) for i, c in enumerate(dear)]
    world = World(engine(two, CLASSES, policy=policy(objective=spec(usd_per_request=BUDGET))), seed)
    spent: list[float] = []
    for step in range(1_500):
        record = world.decide()
        usd = 15.0 * BUDGET if step == 200 else dear[record.model] * BUDGET
        world.report(record, usd)
        spent.append(usd)
    banks = [event.budget.bank / BUDGET for event in world.log if isinstance(event, Decided) and event.budget]
    assert 0.95 <= sum(spent) / len(spent) / BUDGET <= 1.01
    assert 0.95 <= sum(spent[-500:]) / 500 / BUDGET <= 1.02
    assert sum(banks[-500:]) / 500 > 0.0


def test_a_price_change_is_answered_by_the_next_decision() -> None:
    world = World(budgeted())
    world.run(300)
    before = world.decide().budget
    world.apply(model(1, prices=Prices(input=0, output=PRICE[1] * 10_000_000)))
    after = world.decide().budget
    assert before is not None
    assert after is not None
    assert after.price != before.price


def test_what_bills_say_beyond_prices_is_learned() -> None:
    """Bills at half the price: the budget buys twice as much, and the record says what a call is expected to cost."""
    world = World(budgeted(), 3)
    world.factor = 0.5
    world.run(400)
    assert 0.8 * BUDGET <= world.run(1_000) <= 1.03 * BUDGET
    pacer = world.engine.budgets.pacer(POLICY)
    assert pacer.correction(1) == pytest.approx(0.5, abs=0.12)


def test_below_the_cheapest_it_is_served_and_said() -> None:
    world = World(budgeted(1e-6))
    world.run(60)
    record = world.decide()
    assert record.budget is not None
    assert record.budget.short
    assert record.models == [0]
    assert {(e.model, e.reason) for e in record.excluded} == {(1, Reason.BUDGET), (2, Reason.BUDGET)}
    codes = [notice.code for notice in render.notices_of(world.engine.catalog, record)]
    assert codes == [decision_pb2.NOTICE_CODE_BUDGET_BELOW_CHEAPEST]


def test_a_model_that_cannot_be_paid_is_excluded_with_its_reason() -> None:
    world = World(budgeted(2e-5))
    world.run(100)
    record = world.decide()
    assert 2 not in record.models
    (gone,) = (e for e in record.excluded if e.model == 2)
    assert gone.reason == Reason.BUDGET
    assert "a request" in gone.detail
    assert sum(record.probabilities) == pytest.approx(1.0)
    assert record.propensity == record.probabilities[record.models.index(record.model)]
    lists = (record.ordinals, record.quality, record.cost, record.latency, record.thompson, record.utility, record.rank)
    assert {len(values) for values in lists} == {len(record.models)}


def test_a_budget_that_does_not_bind_changes_no_probability() -> None:
    """But for the temper of young models: with many calls the vectors are the same."""
    plain, loose = World(budgeted(None)), World(budgeted(1e3))
    for world in (plain, loose):
        for uid in range(1, 40):
            judge(world.engine, 0, uid % 3, QUALITY[uid % 3], uid)
        world.engine._ordinals.update({0: 10**9, 1: 10**9, 2: 10**9})
    one, other = plain.decide(), loose.decide()
    assert one.budget is None
    assert other.budget is not None
    assert other.budget.price == 0.0
    assert other.probabilities == pytest.approx(one.probabilities, abs=1e-6)
    assert other.cost == one.cost


# -- whose budget it is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("of_policy", "of_workflow", "of_class", "expected"),
    [
        (1.0, None, None, ("policy", 1.0)),
        (1.0, 2.0, None, ("workflow", 2.0)),
        (1.0, 2.0, 3.0, ("task_class", 3.0)),
        (None, 2.0, None, ("workflow", 2.0)),
        (None, None, None, None),
    ],
)
def test_task_class_over_workflow_over_policy(
    of_policy: float | None, of_workflow: float | None, of_class: float | None, expected: tuple[str, float] | None
) -> None:
    classes = [TaskClassPut(task_class=0, name="a", objective=ObjectiveSpec(usd_per_request=of_class))]
    wanted = PolicySet(
        version=1, objective=spec(usd_per_request=of_policy), temper=0.5, exploration=0.01, allowance=0.05,
        workflows={"batch": ObjectiveSpec(usd_per_request=of_workflow)},
    )  # fmt: skip
    budget = World(engine(MODELS, classes, policy=wanted)).decide(workflow="batch").budget
    assert (None if budget is None else (budget.scope, budget.usd_per_request)) == expected


def test_a_workflow_s_objective_lies_between_class_and_policy() -> None:
    classes = [TaskClassPut(task_class=0, name="a", objective=ObjectiveSpec(margin=0.3))]
    wanted = PolicySet(
        version=1, objective=ObjectiveSpec(strategy=2, confidence=0.6), temper=0.5, exploration=0.01, allowance=0.05,
        workflows={"batch": ObjectiveSpec(strategy=4, quality_floor=0.7, margin=0.2)},
    )  # fmt: skip
    world = World(engine(MODELS, classes, policy=wanted))
    strategy, _, _, floor, confidence, margin = world.decide(workflow="batch").objective
    assert (strategy, floor, confidence, margin) == (4, 0.7, 0.6, 0.3)
    assert world.decide(workflow="other").objective[0] == 2
    assert world.decide(workflow="batch", objective=ObjectiveSpec(strategy=3)).objective[0] == 3


def test_each_scope_has_a_bank_of_its_own() -> None:
    wanted = policy(objective=spec(usd_per_request=1.0))
    classes = [CLASSES[0], TaskClassPut(task_class=1, name="b", objective=ObjectiveSpec(usd_per_request=2.0))]
    world = World(engine(MODELS, classes, policy=wanted))
    world.report(world.decide(), 7.0)
    here, there = world.decide().budget, world.decide(task_class="b").budget
    assert here is not None
    assert there is not None
    assert here.bank == pytest.approx(10.0 + 1.0 - 7.0)
    assert there.bank == pytest.approx(20.0)


@pytest.mark.parametrize("strategy", [Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED])
def test_strategies_that_do_not_weigh_quality_ignore_a_budget(strategy: Strategy) -> None:
    made = engine(MODELS, CLASSES, policy=policy(objective=spec(strategy=int(strategy), usd_per_request=1e-9)))
    record = World(made).decide()
    assert record.budget is None
    assert len(record.models) == 3


def test_a_request_may_not_bring_a_budget() -> None:
    made = budgeted()
    asked = query(objective=ObjectiveSpec(usd_per_request=1.0))
    for call in (lambda: made.decide(asked, at_ms=1, uniform=0.5), lambda: made.check_servable(asked)):
        with pytest.raises(NaiadError, match="held over many requests") as caught:
            call()
        assert caught.value.reason == "OBJECTIVE_NOT_ALLOWED"


def test_a_session_leaves_a_model_that_cannot_be_paid_any_more() -> None:
    world = World(budgeted(2e-5))
    world.run(100)
    world.engine.sessions.take("s", Turn(2, world.engine.last_uid + 1, 1, 0))
    record = world.decide(session="s")
    assert not record.sticky
    assert record.model != 2


# -- bills -------------------------------------------------------------------------------------------------------------


def outcome(record: Decided, **fields: Any) -> Outcome:
    return Outcome(**{"model": record.model, "ordinal": record.ordinal} | fields)


def test_the_bank_follows_the_bills_of_all_attempts() -> None:
    world = World(budgeted(1.0))
    pacer = world.engine.budgets.pacer(Level("policy", "", 1.0))
    start = pacer.bank
    record = world.decide()
    predicted = record.cost[record.models.index(record.model)] / NANO
    assert pacer.bank == pytest.approx(start + 1.0 - predicted)
    other = (record.model + 1) % 3
    for attempt, told, spent in (
        ("1", outcome(record, failed=True), 0.0),  # nothing is known of its cost: it cost nothing
        ("2", outcome(record, model=other, cost=Cost(total=3 * 10**9)), 3.0),
        ("2", outcome(record, model=other, cost=Cost(total=2 * 10**9)), 2.0),  # corrected
        ("1", outcome(record, failed=True, cost=Cost(total=10**9)), 3.0),
    ):
        world.apply(take_outcome(entry(record), attempt, told, 1)[1])
        assert pacer.bank == pytest.approx(start + 1.0 - spent)
    assert pacer.correction(other) == 1.0  # only the model that was predicted is compared


def test_a_bill_for_a_count_that_is_doubted_is_spent_and_corrects_no_prediction() -> None:
    world = World(budgeted(1.0))
    pacer = world.engine.budgets.pacer(Level("policy", "", 1.0))
    start, record = pacer.bank, world.decide()
    doubted = Usage(input_tokens=1, output_tokens=1, claim=Claim(reason=2, input_tokens=1, output_tokens=10**9))
    for usage, corrects in ((doubted, False), (Usage(input_tokens=1, output_tokens=1), True)):
        told = outcome(record, usage=usage, cost=Cost(total=3 * 10**9))
        world.apply(take_outcome(entry(record), "1", told, 1)[1])
        assert pacer.bank == pytest.approx(start + 1.0 - 3.0)
        assert (pacer.correction(record.model) != 1.0) is corrects


def test_a_success_without_a_bill_stays_at_its_prediction() -> None:
    world = World(budgeted(1.0))
    pacer = world.engine.budgets.pacer(Level("policy", "", 1.0))
    record = world.decide()
    before = pacer.bank
    world.apply(take_outcome(entry(record), "1", outcome(record), 1)[1])
    assert pacer.bank == before


# -- replay ------------------------------------------------------------------------------------------------------------


def test_beliefs_and_statistics_replay_to_the_bit_and_banks_closely() -> None:
    world = World(budgeted(), 5)
    world.run(300)
    again = budgeted()
    for event in world.log:
        again.apply(again.sequence + 1, decode(encode(event)))
    assert again.statistics_digest() == world.engine.statistics_digest()
    assert again.belief_digest() == world.engine.belief_digest()
    live, folded = world.engine.budgets.pacer(POLICY), again.budgets.pacer(POLICY)
    assert folded.bank == pytest.approx(live.bank)
    assert folded.requests == live.requests
    assert folded.correction(1) == pytest.approx(live.correction(1), rel=0.05)


def test_a_snapshot_keeps_the_bank_and_its_tail_goes_on_from_it() -> None:
    world = World(budgeted(), 6)
    world.run(200)
    in_flight = world.decide()
    data = snapshot.dump(world.engine)
    tail = [world.decide()]
    again = Engine(world.engine.settings, world.engine.signer)
    snapshot.load(again, data)
    before = again.budgets.pacer(POLICY).bank
    again.apply(again.sequence + 1, in_flight)  # was booked before: nothing happens
    assert again.budgets.pacer(POLICY).bank == before
    again.apply(again.sequence + 1, tail[0])
    live = world.engine.budgets.pacer(POLICY)
    assert again.budgets.pacer(POLICY).bank == pytest.approx(live.bank)
    world.report(in_flight, 1e-3)
    for event in world.log[-2:]:
        again.apply(again.sequence + 1, event)
    assert again.budgets.pacer(POLICY).bank == pytest.approx(live.bank)


def test_another_budget_begins_anew() -> None:
    world = World(budgeted(), 7)
    world.run(100)
    world.apply(policy(objective=spec(usd_per_request=1.0)))
    budget = world.decide().budget
    assert budget is not None
    assert budget.bank == 10.0


@given(
    st.lists(
        st.tuples(st.sampled_from(["decide", "bill", "fail", "price", "policy", "judge", "model"]), st.floats(0, 1)),
        max_size=60,
    ),
    st.sampled_from([1e-9, 1e-4, 1.0, 1e6]),
)
@settings(max_examples=60, deadline=None)
def test_no_history_makes_a_number_that_is_none(history: list[tuple[str, float]], usd: float) -> None:
    world = World(budgeted(usd))
    made = [world.decide()]
    for kind, x in history:
        record = made[int(x * (len(made) - 1))]
        count = len(world.engine.catalog.models)
        if kind == "decide":
            strategy = Strategy.BALANCED if x < 0.5 else Strategy.QUALITY_FIRST
            objective = ObjectiveSpec(strategy=int(strategy), usd_per_quality=x)
            needs = Needs(int(x * 1e9), 1 + int(x * 1e9))
            made.append(world.decide(task_class="ab"[x > 0.3], needs=needs, objective=objective))
        elif kind == "bill":
            world.report(record, x * 1e6)
        elif kind == "fail":
            world.apply(take_outcome(entry(record), "2", outcome(record, failed=True), 1)[1])
        elif kind == "price":
            at = int(x * (count - 1))
            world.apply(model(at, prices=Prices(input=int(x * 1e12), output=0), disabled=x > 0.9))
        elif kind == "policy":
            world.apply(policy(objective=spec(usd_per_request=usd if x < 0.5 else None)))
        elif kind == "judge":
            judge(world.engine, record.task_class, record.model, float(x > 0.5), record.uid)
        else:
            world.apply(
                ModelPut(
                    model=count, name=f"echo/x{count}", upstream_model="x", prices=MODELS[0].prices, endpoint="echo"
                )
            )
    for record in made:
        numbers = (*record.probabilities, *record.cost, *record.utility, *record.utility_sd)
        assert all(math.isfinite(number) for number in numbers)
        assert sum(record.probabilities) == pytest.approx(1.0)
        assert record.propensity > 0.0
        if record.budget is not None:
            assert math.isfinite(record.budget.price)
            assert math.isfinite(record.budget.bank)
