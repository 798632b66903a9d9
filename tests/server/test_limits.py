"""Limits on learning in the engine: who is new, what newcomers get and cost, what exploring below the floor costs."""

from __future__ import annotations

import random
from typing import Any

import pytest

from naiad.bandit.objective import Strategy
from naiad.bandit.statistics import Measure
from naiad.server import render, snapshot
from naiad.server.eligibility import Needs, Reason
from naiad.server.engine import Engine
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome
from naiad.server.records import Cost, Decided, Event, ObjectiveSpec, Outcome, Prices, Usage, decode, encode
from naiad.server.spending import DAY_MS
from naiad.v1 import decision_pb2
from tests.server.builders import engine, judge, model, policy, query

TOKENS = 1_000  # written at most
QUALITY_FIRST = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)
CHEAP = ObjectiveSpec(strategy=int(Strategy.COST_OPTIMIZED), quality_floor=0.7, confidence=0.9)
CAPS: dict[str, Any] = {"newcomer_calls": 20, "newcomer_share": 0.1}


def priced(index: int, nano_a_token: int, **fields: Any) -> Any:
    """Return a model that costs so much a token that it writes."""
    return model(index, prices=Prices(input=0, output=nano_a_token * 1_000_000), **fields)


class World:
    """An engine, and a log of all that happened to it."""

    def __init__(self, made: Engine, seed: int = 0) -> None:
        self.engine, self.rng = made, random.Random(seed)
        self.now_ms = 10 * DAY_MS
        self.log: list[Event] = []
        self.uids = 0

    def apply(self, event: Event) -> None:
        """Fold an event, and keep it as the log would."""
        self.log.append(event)
        self.engine.apply(self.engine.sequence + 1, event)

    def decide(self, **fields: Any) -> Decided:
        """Decide, and fold the decision."""
        asked = query(**{"needs": Needs(0, TOKENS)} | fields)
        record = self.engine.decide(asked, at_ms=self.now_ms, uniform=self.rng.random()).record
        self.apply(record)
        return record

    def bill(self, record: Decided, nano: int | None, failed: bool = False) -> None:
        """Fold the outcome of a decision."""
        cost = None if nano is None else Cost(total=nano, billed=nano)
        outcome = Outcome(model=record.model, ordinal=record.ordinal, cost=cost, failed=failed, usage=Usage())
        self.apply(take_outcome(entry_of(record), FIRST_ATTEMPT, outcome, 0)[1])

    def judge(self, model_id: int, score: float, task_class: int = 0) -> None:
        """Fold a full judgement of one call."""
        self.uids += 1
        judge(self.engine, task_class, model_id, score, self.uids)


def entry_of(record: Decided) -> Entry:
    return Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)


def grown(**fields: Any) -> World:
    """Return a world of two known models, good and less so, to which a newcomer was added."""
    wanted = policy(**{"objective": QUALITY_FIRST} | CAPS | fields)
    world = World(engine([priced(0, 100), priced(1, 1_000)], policy=wanted))
    for _ in range(20):
        world.judge(0, 0.5)
        world.judge(1, 0.55)
    world.apply(priced(2, 1_000))
    return world


def chance(record: Decided, model_id: int) -> float:
    """Return with which probability a model was served, 0 where it was no candidate."""
    return record.probabilities[record.models.index(model_id)] if model_id in record.models else 0.0


def test_a_newcomer_is_served_at_its_cap_until_enough_of_its_calls_are_judged() -> None:
    world = grown()
    record = world.decide()
    assert chance(record, 2) == pytest.approx(0.1, abs=1e-12)
    assert sum(record.probabilities) == pytest.approx(1.0, abs=1e-12)
    assert record.limits is not None
    assert (record.limits.new, record.limits.share) == ([2], 0.1)
    assert record.limits.would is not None
    assert record.limits.would > 0.2
    (notice,) = render.notices_of(world.engine.catalog, record)
    assert notice.code == decision_pb2.NOTICE_CODE_NEWCOMERS_CAPPED
    assert dict(notice.metadata) == {
        "models": "echo/m2", "share": "0.1", "uncapped_share": f"{record.limits.would:g}",
    }  # fmt: skip
    for _ in range(19):
        world.judge(2, 0.95)
    assert chance(world.decide(), 2) == pytest.approx(0.1, abs=1e-12)
    world.judge(2, 0.95)
    after = world.decide()
    assert chance(after, 2) > 0.9
    assert after.limits is None


def tempers(world: World) -> list[float]:
    """Return the factors by which the next decision draws less than is uncertain, (n_models,)."""
    record = world.decide()
    seen = world.engine.belief.marginals(record.task_class, Measure.QUALITY).contrast_sd
    return [sd / seen[model] for model, sd in zip(record.models, record.utility_sd, strict=True)]


@pytest.mark.parametrize("budget", [None, 1.0])
def test_a_newcomer_is_sampled_without_tempering_while_its_cap_bounds_that(budget: float | None) -> None:
    """So a few bad answers do not keep it from the calls that would show what it can do."""
    world = grown(objective=ObjectiveSpec(strategy=3, margin=0.0, usd_per_request=budget), temper=0.1)
    factors = tempers(world)
    assert factors[2] == pytest.approx(1.0)
    assert max(factors[:2]) < 0.7
    for _ in range(20):
        world.judge(2, 0.5)
    assert tempers(world)[2] < 0.7


def test_judgements_of_another_class_count_and_a_retraction_makes_a_model_new_again() -> None:
    made = grown().engine
    assert made._judged.calls(2) == 0.0
    judge(made, 0, 2, 0.9, 77)
    assert made._judged.calls(2) == 1.0
    fresh = grown().engine
    snapshot.load(blank := Engine(made.settings, made.signer), snapshot.dump(made))
    assert blank._judged.calls(2) == 1.0
    assert fresh._judged.calls(2) == 0.0


def test_where_all_candidates_are_new_nothing_is_capped() -> None:
    world = World(engine([priced(0, 100), priced(1, 1_000)], policy=policy(objective=QUALITY_FIRST, **CAPS)))
    record = world.decide()
    assert record.limits is None
    assert record.probabilities == pytest.approx([0.5, 0.5], abs=0.01)


def test_one_who_asks_for_a_newcomer_alone_gets_it() -> None:
    record = grown(newcomer_nano_usd=0).decide(needs=Needs(0, TOKENS, allowed=frozenset({"echo/m2"})))
    assert record.models == [2]


@pytest.mark.parametrize("strategy", [s for s in Strategy if s.value < Strategy.ENSEMBLE])
def test_the_cap_holds_under_every_strategy_that_explores_and_under_a_budget(strategy: Strategy) -> None:
    for budget in (None, 1e-3):
        objective = ObjectiveSpec(strategy=int(strategy), margin=0.0, quality_floor=0.45, usd_per_request=budget)
        record = grown(objective=objective, newcomer_share=0.01).decide()
        assert chance(record, 2) <= 0.01 + 1e-12
        assert sum(record.probabilities) == pytest.approx(1.0, abs=1e-12)
        assert min(record.probabilities) >= 0.0


def test_a_newcomers_dollars_hold_with_every_call_in_flight() -> None:
    """Each call is held at the most that it may cost until its bill is known; then the newcomer is left out."""
    cap = 10 * TOKENS * 1_000  # ten calls
    world = grown(newcomer_share=1.0, newcomer_nano_usd=cap)
    calls = [world.decide() for _ in range(300)]
    mine = [record for record in calls if record.model == 2]
    assert len(mine) == 10
    last = calls[-1]
    (excluded,) = last.excluded
    assert (excluded.model, excluded.reason, last.models) == (2, Reason.NEWCOMER_CAP, [0, 1])
    assert (
        "is new (0 of 20 judged calls) and may cost $0.01 in all until it is not; $0 of that is left" in excluded.detail
    )
    for record in mine:
        world.bill(record, 300 * 1_000)
    assert 2 in world.decide().models, "bills below the most make room again"


class Calls:
    """Calls of some models under random bills, losses, failures and prices; keeps what they really cost."""

    def __init__(self, world: World, prices: dict[int, int]) -> None:
        self.world, self.rng, self.prices = world, world.rng, prices
        self.open: list[tuple[Decided, int]] = []
        self.spent = 0

    def step(self) -> None:
        """Let one thing happen."""
        kind = self.rng.choices(("decide", "bill", "silent", "fail", "price"), (50, 30, 3, 5, 3))[0]
        if kind == "price":
            which = self.rng.choice(list(self.prices))
            self.prices[which] = self.rng.choice((1, 500, 1_000, 2_000, 5_000, 9_000))
            self.world.apply(priced(which, self.prices[which]))
        elif kind == "decide" or not self.open:
            record = self.world.decide(session=self.rng.choice(("s", "", "", "", "")))
            if record.model in self.prices:
                self.open.append((record, self.prices[record.model]))
        else:
            record, price = self.open.pop(self.rng.randrange(len(self.open)))
            bill = round(self.rng.uniform(0.5, 1.0) * TOKENS * price)  # at the price of the call
            if kind == "silent":
                bill = round(record.cost[record.models.index(record.model)])
            self.spent += 0 if kind == "fail" else bill
            self.world.bill(record, None if kind in ("silent", "fail") else bill, failed=kind == "fail")


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_calls_bills_and_prices_spends_more_on_a_newcomer_than_its_cap(seed: int) -> None:
    cap = seed * TOKENS * 2_000
    world = grown(newcomer_share=1.0, newcomer_nano_usd=cap)
    world.rng.seed(seed)
    calls = Calls(world, {2: 1_000})
    for _ in range(300):
        calls.step()
        assert calls.spent <= cap
    for record, price in calls.open:
        world.bill(record, TOKENS * price)
        calls.spent += TOKENS * price
    assert calls.spent <= cap
    assert seed == 0 or calls.spent > 0.5 * cap, "and most of it was used"
    other = Engine(world.engine.settings, world.engine.signer)
    snapshot.load(other, snapshot.dump(world.engine))
    assert other.spending.state() == world.engine.spending.state()


# -- the allowance below the floor ---------------------------------------------------------------------------------


def floored(**fields: Any) -> World:
    """Return a world where the dear model surely holds the floor, and two cheap ones may."""
    wanted: dict[str, Any] = {"objective": CHEAP, "allowance": 0.5, "exploration": 0.0} | fields
    made = engine([priced(0, 10_000), priced(1, 1_000), priced(2, 2_000)], policy=policy(**wanted))
    world = World(made)
    for _ in range(60):
        world.judge(0, 0.95)
        world.judge(1, 0.68)
        world.judge(2, 0.68)
    return world


def outside(record: Decided) -> bool:
    """Return whether a decision explored below the floor."""
    return record.model != 0


def test_without_an_allowance_in_dollars_nothing_is_kept_of_it() -> None:
    world = floored()
    records = [world.decide() for _ in range(50)]
    assert any(map(outside, records))
    assert all(record.limits is None for record in records)


@pytest.mark.parametrize("strategy", [Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED])
def test_the_allowance_ends_exploring_below_the_floor_for_the_day(strategy: Strategy) -> None:
    world = floored(allowance_nano_usd=8 * TOKENS * 1_000)
    objective = ObjectiveSpec(strategy=int(strategy))
    for day in range(3):
        world.now_ms = (10 + day) * DAY_MS + 5
        records = [world.decide(objective=objective) for _ in range(200)]
        spent = sum(TOKENS * {1: 1_000, 2: 2_000}[r.model] for r in records if outside(r))
        if strategy == Strategy.COST_OPTIMIZED:
            assert spent >= 7 * TOKENS * 1_000
        assert spent <= 8 * TOKENS * 1_000
    if strategy == Strategy.COST_OPTIMIZED:
        last = records[-1]
        assert last.probabilities == [1.0, 0.0, 0.0]
        assert last.limits is not None
        assert last.limits.barred == [1, 2]
        (notice,) = render.notices_of(world.engine.catalog, last)
        assert notice.code == decision_pb2.NOTICE_CODE_ALLOWANCE_SPENT
        assert notice.metadata["models"] == "echo/m1,echo/m2"


def test_a_clock_that_goes_back_over_midnight_does_not_open_a_second_allowance() -> None:
    world = floored(allowance_nano_usd=8 * TOKENS * 1_000)
    spent = 0
    for i in range(300):
        world.now_ms = 10 * DAY_MS - i % 2
        record = world.decide()
        spent += TOKENS * {0: 0, 1: 1_000, 2: 2_000}[record.model]
        if outside(record) and i % 3:
            world.bill(record, TOKENS * {1: 1_000, 2: 2_000}[record.model])
    assert 0 < spent <= 2 * 8 * TOKENS * 1_000 - 1, "what came before the first midnight may stand beside it"
    assert world.engine.spending.of_day(9) == world.engine.spending.of_day(10) <= 8 * TOKENS * 1_000
    for _ in range(100):
        world.now_ms = 9 * DAY_MS
        assert not outside(world.decide())


@pytest.mark.parametrize("seed", range(12))
def test_no_order_of_calls_bills_and_prices_spends_more_below_the_floor_than_the_allowance(seed: int) -> None:
    allowance = seed * TOKENS * 2_000
    world = floored(allowance_nano_usd=allowance, allowance=1.0)
    world.rng.seed(seed)
    calls = Calls(world, {1: 1_000, 2: 2_000})
    for _ in range(400):
        calls.step()
        assert calls.spent <= allowance
    for record, price in calls.open:
        world.bill(record, TOKENS * price)
        calls.spent += TOKENS * price
    assert calls.spent <= allowance
    assert seed == 0 or calls.spent > 0.5 * allowance, "and most of it was used"


def test_a_session_leaves_a_model_below_the_floor_when_the_allowance_cannot_pay_for_another_turn() -> None:
    for seed in range(50):
        world = floored(allowance_nano_usd=2 * TOKENS * 1_000, allowance=1.0)
        for _ in range(20):
            world.judge(1, 0.73)  # so that it may well reach the floor: sessions leave what hardly does
        world.rng = random.Random(seed)
        if world.decide(session="s").model == 1:
            break
    turns = [world.decide(session="s") for _ in range(3)]
    assert [turn.model for turn in turns] == [1, 0, 0]
    assert [turn.sticky for turn in turns] == [True, False, True]


# -- the log -------------------------------------------------------------------------------------------------------


def test_a_fold_of_the_log_comes_to_the_same_accounts_and_beliefs() -> None:
    world = floored(allowance_nano_usd=10**8, newcomer_calls=100, newcomer_nano_usd=10**8)
    for i in range(80):
        record = world.decide(session=f"s{i % 7}" if i % 3 else "")
        if i % 2:
            world.bill(record, 10 * i)
    replayed = floored(allowance_nano_usd=10**8, newcomer_calls=100, newcomer_nano_usd=10**8).engine
    for event in world.log:
        replayed.apply(replayed.sequence + 1, decode(encode(event)))
    assert replayed.spending.state() == world.engine.spending.state()
    assert replayed.belief_digest() == world.engine.belief_digest()
    assert replayed.statistics_digest() == world.engine.statistics_digest()
    assert [replayed._judged.calls(m) for m in range(3)] == [world.engine._judged.calls(m) for m in range(3)]
