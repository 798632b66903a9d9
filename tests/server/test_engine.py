"""Choosing: probabilities, the draw, ordinals, exclusions and the levels of the objective."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.objective import Strategy
from naiad.server.eligibility import Needs
from naiad.server.engine import Decision, Engine
from naiad.server.errors import NaiadError
from naiad.server.objectives import resolve
from naiad.server.records import Decided, ObjectiveSpec, Prices, TaskClassPut
from tests.server.builders import PRICES, engine, judge, model, policy, query

uniforms = st.floats(0.0, 1.0, exclude_max=True)
names = st.sampled_from(["echo/m0", "echo/m1", "echo/m2"])


def taught(seed: int) -> Engine:
    """Return an engine that has seen some judgements."""
    made = engine()
    rng = np.random.default_rng(seed)
    for uid in range(1, 25):
        arm = int(rng.integers(3))
        judge(made, 0, arm, float(np.clip(rng.normal(0.3 + 0.2 * arm, 0.1), 0, 1)), uid)
    return made


def drawn(record: Decided) -> int:
    """Return the model that the recorded uniform chooses from the recorded probabilities."""
    total = 0.0
    for position, probability in enumerate(record.probabilities):
        total += probability
        if total > record.uniform:
            return record.models[position]
    raise AssertionError(f"the probabilities sum to {total}, not above {record.uniform}")


@given(
    seed=st.integers(0, 5),
    uniform=uniforms,
    allowed=st.sets(names),
    strategy=st.sampled_from([s for s in Strategy if s not in (Strategy.ENSEMBLE, Strategy.CASCADE)]),
    worth=st.floats(0, 10),
    floor=st.floats(0, 1),
)
@settings(max_examples=120)
def test_the_laws_of_one_decision(
    seed: int, uniform: float, allowed: set[str], strategy: Strategy, worth: float, floor: float
) -> None:
    made = taught(seed)
    spec = ObjectiveSpec(
        strategy=int(strategy), usd_per_quality=worth, quality_floor=floor, models=("echo/m2", "echo/m0", "echo/m1")
    )
    needs = Needs(100, 100, allowed=frozenset(allowed))
    record = made.decide(query(needs=needs, objective=spec), at_ms=1, uniform=uniform).record
    assert sum(record.probabilities) == pytest.approx(1.0, abs=1e-12)
    assert all(p >= 0.0 for p in record.probabilities)
    assert record.model == drawn(record)
    assert record.propensity == record.probabilities[record.models.index(record.model)] > 0.0
    permitted = {m for m in range(3) if not allowed or f"echo/m{m}" in allowed}
    assert set(record.models) == permitted
    assert {e.model for e in record.excluded} == {0, 1, 2} - permitted
    assert all(e.reason and e.detail for e in record.excluded)
    assert sorted(record.rank) == list(range(len(record.models)))
    assert record.models[record.rank[0]] == record.model


def test_served_frequencies_match_the_logged_propensities() -> None:
    """Over a fixed belief the share of each model lies within five standard errors of its propensity."""
    made = taught(3)
    rng = np.random.default_rng(7)
    count = 4_000
    served = np.zeros(3)
    expected: list[float] = []
    for draw in rng.random(count):
        record = made.decide(query(), at_ms=1, uniform=float(draw)).record
        served[record.model] += 1
        expected = record.probabilities
    errors = np.sqrt(np.array(expected) * (1 - np.array(expected)) / count)
    assert np.all(np.abs(served / count - expected) <= 5 * errors + 1e-12)


def test_ordinals_grow_by_one_for_each_model() -> None:
    made = engine()
    rng = np.random.default_rng(1)
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for draw in rng.random(200):
        record = made.decide(query(), at_ms=1, uniform=float(draw)).record
        assert record.ordinal == record.ordinals[record.models.index(record.model)]
        seen[record.model].append(record.ordinal)
    for ordinals in seen.values():
        assert ordinals == list(range(len(ordinals)))
    assert min(map(len, seen.values())) > 0


def test_ordinals_of_decisions_in_the_log_are_not_handed_out_again() -> None:
    made, again = engine(), engine()
    for draw in (0.1, 0.5, 0.9, 0.2):
        record = made.decide(query(), at_ms=1, uniform=draw).record
        again.apply(again.sequence + 1, record)
    for draw in (0.1, 0.5, 0.9):
        one, other = (e.decide(query(), at_ms=1, uniform=draw).record for e in (made, again))
        assert (one.model, one.ordinal) == (other.model, other.ordinal)
        assert other.uid > record.uid


def test_ids_are_unique_within_one_millisecond() -> None:
    made = engine()
    ids = {made.decide(query(), at_ms=5, uniform=0.5).decision_id for _ in range(1_000)}
    assert len(ids) == 1_000


specs = st.builds(
    ObjectiveSpec,
    strategy=st.none() | st.sampled_from([int(s) for s in Strategy if s < Strategy.ENSEMBLE]),
    usd_per_quality=st.none() | st.floats(0, 9),
    quality_floor=st.none() | st.floats(0, 1),
    margin=st.none() | st.floats(0, 1),
)


@given(specs, specs, specs)
def test_request_over_class_over_policy_over_default(
    request_: ObjectiveSpec, of_class: ObjectiveSpec, of_policy: ObjectiveSpec
) -> None:
    made = engine(
        classes=[TaskClassPut(task_class=0, name="a", objective=of_class)], policy=policy(objective=of_policy)
    )
    strategy, worth, _, floor, _, margin = made.decide(query(objective=request_), at_ms=1, uniform=0.5).record.objective
    default = resolve()
    for found, name in (
        (strategy, "strategy"),
        (worth, "usd_per_quality"),
        (floor, "quality_floor"),
        (margin, "margin"),
    ):
        levels = [getattr(spec, name) for spec in (request_, of_class, of_policy)]
        assert found == next((v for v in levels if v is not None), float(getattr(default, name)))


def test_the_policy_s_models_bind_and_a_request_cannot_widen_them() -> None:
    made = engine(policy=policy(models=("echo/m1",)))
    record = made.decide(query(), at_ms=1, uniform=0.9).record
    assert record.models == [1]
    assert {(e.model, e.reason) for e in record.excluded} == {(0, 1), (2, 1)}
    with pytest.raises(NaiadError, match="no model") as caught:
        made.decide(query(needs=Needs(1, 1, allowed=frozenset({"echo/m0"}))), at_ms=1, uniform=0.9)
    assert caught.value.reason == "NO_ELIGIBLE_MODEL"


def sticky(made: Engine, session: str, uniform: float) -> Decision:
    """Decide within a session."""
    return made.decide(query(session=session), at_ms=1, uniform=uniform)


@given(st.lists(uniforms, min_size=2, max_size=12))
def test_a_session_keeps_its_model_and_does_not_explore(draws: list[float]) -> None:
    made = engine()
    first, *rest = (sticky(made, "s", draw).record for draw in draws)
    assert not first.sticky
    for record in rest:
        assert (record.model, record.propensity, record.sticky) == (first.model, 1.0, True)
        assert sum(record.probabilities) == 1.0


def test_a_new_price_moves_the_next_prediction() -> None:
    made = engine()
    before = made.decide(query(), at_ms=1, uniform=0.5).record.cost[0]
    made.apply(99, model(0, prices=Prices(input=PRICES.input * 10, output=PRICES.output * 10)))
    assert made.decide(query(), at_ms=1, uniform=0.5).record.cost[0] == pytest.approx(10 * before)


# -- a fixed order -----------------------------------------------------------------------------------------------------


def in_order(*listed: str) -> ObjectiveSpec:
    """Return an objective of a primary and its fallbacks."""
    return ObjectiveSpec(strategy=int(Strategy.FALLBACK), models=listed)


@given(order=st.permutations(["echo/m0", "echo/m1", "echo/m2"]), length=st.integers(1, 3), uniform=uniforms)
def test_fallback_takes_the_first_that_may_be_used_and_keeps_the_order(
    order: list[str], length: int, uniform: float
) -> None:
    """Whatever was learned and whatever is drawn; and what is not listed is excluded, with its reason."""
    made = taught(1)
    decision = made.decide(query(objective=in_order(*order[:length])), at_ms=1, uniform=uniform)
    names = [made.catalog.model_names[model] for model in decision.order]
    assert names == order[:length]
    assert decision.record.propensity == 1.0
    assert [made.catalog.model_names[e.model] for e in decision.record.excluded] == sorted(order[length:])
    assert all("not among the objective's models" in e.detail for e in decision.record.excluded)
    assert decision.permit is not None
    assert decision.permit.models == frozenset(decision.order)


def test_fallback_goes_to_the_next_where_the_primary_may_not_be_used() -> None:
    made = taught(1)
    needs = Needs(100, 100, allowed=frozenset({"echo/m1", "echo/m2"}))
    decision = made.decide(query(needs=needs, objective=in_order("echo/m0", "echo/m2", "echo/m1")), at_ms=1, uniform=0)
    assert [made.catalog.model_names[model] for model in decision.order] == ["echo/m2", "echo/m1"]
    with pytest.raises(NaiadError, match="no model may be used") as caught:
        made.decide(query(needs=needs, objective=in_order("echo/m0")), at_ms=1, uniform=0)
    assert caught.value.reason == "NO_ELIGIBLE_MODEL"


def test_fallback_is_not_held_to_a_session_and_still_learns() -> None:
    """The order is the operator's word: a model that answered while the primary was away does not keep the session."""
    made = taught(1)
    away = Needs(100, 100, allowed=frozenset({"echo/m1"}))
    spec = in_order("echo/m0", "echo/m1")
    assert made.decide(query(session="s", needs=away, objective=spec), at_ms=1, uniform=0).record.model == 1
    back = made.decide(query(session="s", objective=spec), at_ms=2, uniform=0).record
    assert (back.model, back.sticky) == (0, False)
    before = back.quality[0]
    judge(made, 0, 0, 1.0, 99)
    assert made.decide(query(objective=spec), at_ms=3, uniform=0).record.quality[0] > before


def test_the_nearest_level_that_lists_models_is_the_one_that_counts() -> None:
    listing = policy(objective=in_order("echo/m1", "echo/m0"))
    made = engine(policy=listing)
    assert made.decide(query(), at_ms=1, uniform=0.99).record.model == 1
    own = ObjectiveSpec(models=("echo/m2",))
    assert made.decide(query(objective=own), at_ms=1, uniform=0.99).record.model == 2
    other = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), models=("echo/m2",))
    assert len(made.decide(query(objective=other), at_ms=1, uniform=0.99).record.models) == 3, "no list for this one"


# -- plans -------------------------------------------------------------------------------------------------------------


@given(
    seed=st.integers(0, 5), uniform=uniforms, budget=st.none() | st.sampled_from([1e-6, 1e-3]), plans=st.integers(1, 5)
)
@settings(max_examples=40)
def test_a_plan_is_what_would_be_decided_and_leaves_no_trace(
    seed: int, uniform: float, budget: float | None, plans: int
) -> None:
    """Decisions after any number of plans are those without them, pacing, ordinals and sessions included."""
    spec = ObjectiveSpec(usd_per_request=budget)
    one, other = taught(seed), taught(seed)
    for made in (one, other):
        made.apply(made.sequence + 1, policy(objective=spec, newcomer_calls=50, newcomer_share=0.1))
    asked = query(session="s", needs=Needs(100, 100))
    for step in range(12):
        drawn_at = (uniform + 0.37 * step) % 1.0
        for _ in range(plans):
            plan = one.preview(asked, at_ms=step, uniform=drawn_at)
        mine, theirs = (made.decide(asked, at_ms=step, uniform=drawn_at) for made in (one, other))
        assert mine.record == theirs.record == plan.record
        assert plan.decision_id == ""
    assert one.sessions.state() == other.sessions.state()
