"""Sessions: the same model while that pays, true propensities, a word when it is left, bounded memory, no sharing."""

from __future__ import annotations

import tracemalloc
from math import erf, sqrt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.objective import Objective, Predictions, Serving, Strategy
from naiad.bandit.statistics import SCALE, Measure
from naiad.bandit.staying import leaves_for
from naiad.server import render
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings
from naiad.server.ledger import Entry, take_ratings
from naiad.server.records import Decided, Event, ObjectiveSpec, Prices, Rating, TaskClassPut, decode, encode
from naiad.server.sessions import Left, Sessions, SessionSettings, Turn
from naiad.v1 import decision_pb2
from tests.server.builders import SIGNER, engine, judge, model, policy, query

LONG = Needs(10_000, 100)
MILLION = 1_000_000_000  # nano-USD a million tokens: 1 USD
BALANCED = ObjectiveSpec(strategy=int(Strategy.BALANCED), usd_per_quality=0.05, usd_per_second=0.0)


def priced(index: int, usd: float, cached: float | None = None, **fields: Any) -> Any:
    """Return a model of so many USD a million tokens, read or written."""
    return model(
        index,
        prices=Prices(
            input=round(usd * MILLION), output=round(usd * MILLION),
            cached_input=None if cached is None else round(cached * MILLION),
        ),
        **fields,
    )  # fmt: skip


def turn(made: Engine, session: str = "s", uniform: float = 0.5, at_ms: int = 1_000, **fields: Any) -> Decided:
    """Decide a turn."""
    asked = query(**{"session": session, "needs": LONG} | fields)
    return made.decide(asked, at_ms=at_ms, uniform=uniform).record


def known(*models: Any, scores: tuple[float, ...] = (), **fields: Any) -> Engine:
    """Return an engine that is sure of its models' quality: the same for all, unless said otherwise."""
    made = engine(models, policy=policy(**{"objective": BALANCED} | fields))
    for index in range(len(models)):
        for uid in range(60):
            judge(made, 0, index, scores[index] if scores else 0.7, 1_000 * index + uid + 1)
    return made


def on(made: Engine, model_id: int, at_ms: int = 1_000, tokens: int = 10_000, session: str = "s") -> None:
    """Put a session onto a model."""
    made.sessions.take(session, Turn(model_id, made.last_uid + 1, at_ms, tokens))
    made.last_uid += 1


def notice_of(made: Engine, record: Decided) -> tuple[int, dict[str, str]]:
    (found,) = render.notices_of(made.catalog, record)
    return found.code, dict(found.metadata)


# -- staying -----------------------------------------------------------------------------------------------------------


def test_a_session_stays_while_its_model_is_as_good_as_another_and_says_so() -> None:
    made = known(priced(0, 1.0), priced(1, 1.0))
    for first in (0, 1):
        on(made, first)
        for uniform in (0.0, 0.3, 0.6, 0.999):
            record = turn(made, uniform=uniform)
            assert (record.model, record.propensity, record.sticky, record.moved) == (first, 1.0, True, None)
            assert sum(record.probabilities) == 1.0
            assert notice_of(made, record) == (
                decision_pb2.NOTICE_CODE_STICKY_SESSION, {"session_id": "s", "model": f"echo/m{first}"}
            )  # fmt: skip


def test_what_the_prompt_cache_saves_keeps_a_session_with_a_dearer_model() -> None:
    """10,000 tokens at 1 instead of 10 USD a million: 0.09 USD, which is more than what the other is cheaper."""
    made = known(priced(0, 10.0, cached=1.0), priced(1, 3.0))
    fresh = turn(made, session="other")
    assert fresh.probabilities[1] > 0.9, "a first turn goes to the cheaper one"
    on(made, 0)
    record = turn(made)
    assert (record.model, record.sticky) == (0, True)
    assert record.session_saving == pytest.approx(0.09 * MILLION)
    assert record.cost[0] == pytest.approx(fresh.cost[0] - 0.09 * MILLION)
    assert record.cost[1] == fresh.cost[1]
    assert notice_of(made, record)[1]["saving_nano_usd"] == str(round(0.09 * MILLION))
    assert decode(encode(record)) == record


@pytest.mark.parametrize(
    ("fields", "tokens", "needs"),
    [
        ({"at_ms": 1_000 + 300_000}, 10_000, LONG),  # too long ago for the provider
        ({}, 1_023, LONG),  # what came before is too short to be cached
        ({}, 10_000, Needs(1_023, 100)),
    ],
    ids=["cold", "short before", "short now"],
)
def test_nothing_is_saved_where_the_provider_has_nothing_cached(
    fields: dict[str, Any], tokens: int, needs: Needs
) -> None:
    made = known(priced(0, 10.0, cached=1.0), priced(1, 3.0))
    on(made, 0, tokens=tokens)
    record = turn(made, needs=needs, **fields)
    assert record.session_saving == 0.0
    if needs is LONG:
        assert record.model == 1


def test_a_price_that_makes_staying_dear_moves_the_session() -> None:
    made = known(priced(0, 1.0, cached=0.1), priced(1, 1.0))
    on(made, 0)
    assert turn(made).sticky
    made.apply(99, priced(0, 100.0, cached=90.0))
    record = turn(made)
    assert (record.model, record.sticky) == (1, False)
    assert record.moved is not None
    assert (record.moved.model, record.moved.why) == (0, Left.BETTER)
    assert notice_of(made, record) == (
        decision_pb2.NOTICE_CODE_SESSION_MOVED,
        {"session_id": "s", "from": "echo/m0", "model": "echo/m1", "reason": "better"},
    )
    after = turn(made)
    assert (after.model, after.sticky) == (1, True)


def test_what_is_learned_moves_a_session_once_it_is_sure() -> None:
    made = engine((priced(0, 1.0), priced(1, 1.0)), policy=policy(objective=BALANCED))
    on(made, 0)
    judge(made, 0, 0, 0.5, 1)
    judge(made, 0, 1, 0.55, 2)
    assert turn(made).sticky, "a little is no reason"
    for uid in range(3, 300):
        judge(made, 0, uid % 2, 0.9 if uid % 2 else 0.3, uid)
    record = turn(made)
    assert (record.sticky, record.model) == (False, 1)


@pytest.mark.parametrize("change", [{"disabled": True}, {"prices": None}, {"context_window": 10}, {"deleted": True}])
def test_a_session_leaves_a_model_that_may_not_be_used_and_says_why(change: dict[str, Any]) -> None:
    made = known(priced(0, 1.0), priced(1, 1.0))
    on(made, 0)
    made.apply(99, model(0, **change))
    record = turn(made)
    assert (record.model, record.sticky, record.moved is not None) == (1, False, True)
    code, facts = notice_of(made, record)
    assert (code, facts["from"], facts["reason"]) == (
        decision_pb2.NOTICE_CODE_SESSION_MOVED, "echo/m0", "ineligible",
    )  # fmt: skip
    assert turn(made).sticky


def test_a_session_that_was_idle_for_long_begins_anew_and_says_nothing() -> None:
    made = known(priced(0, 50.0), priced(1, 1.0))
    on(made, 0, at_ms=1_000)
    record = turn(made, at_ms=1_000 + 3_600_001)
    assert (record.model, record.sticky, record.moved) == (1, False, None)


def test_a_turn_that_stayed_is_learned_from() -> None:
    made = engine((priced(0, 1.0), priced(1, 1.0)), policy=policy(objective=BALANCED))
    on(made, 0)
    record = turn(made)
    assert record.sticky
    before = made.belief.marginals(0, Measure.QUALITY).mean[0]
    entry = Entry(uid=record.uid, task_class=0, model=record.model, ordinal=record.ordinal)
    for score in (0.0, 1.0):
        rating = Rating(source=1, rater="", value=round(score * SCALE))
        entry, event = take_ratings(entry, ("1",), (rating,), 0)
        made.apply(made.sequence + 1, event)
        after = made.belief.marginals(0, Measure.QUALITY).mean[0]
        assert (after > before) is (score == 1.0)


# -- propensities ------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.sampled_from([0.2, 1.0, 5.0, 40.0]), min_size=2, max_size=4),
    st.integers(0, 3),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([s for s in Strategy if s < Strategy.ENSEMBLE]),
)
def test_whether_a_session_stays_does_not_depend_on_the_draw(
    prices: list[float], first: int, one: float, other: float, strategy: Strategy
) -> None:
    """So a turn that leaves is drawn from the logged vector, and that vector is the one of a first turn."""
    spec = ObjectiveSpec(strategy=int(strategy), quality_floor=0.4, usd_per_quality=0.05)

    def again(uniform: float) -> Decided:
        made = engine([priced(i, usd, cached=usd / 2) for i, usd in enumerate(prices)], policy=policy(objective=spec))
        for index in range(len(prices)):
            for uid in range(5):
                judge(made, 0, index, 0.5 + 0.1 * index, 100 * index + uid + 1)
        on(made, first % len(prices))
        return turn(made, uniform=uniform)

    a, b = again(one), again(other)
    assert (a.sticky, a.probabilities) == (b.sticky, b.probabilities)
    for record in (a, b):
        assert record.propensity == record.probabilities[record.models.index(record.model)] > 0.0
        assert sum(record.probabilities) == pytest.approx(1.0, abs=1e-12)
        if record.sticky:
            assert (record.model, record.propensity) == (first % len(prices), 1.0)


def test_the_frequencies_of_turns_that_leave_are_the_propensities() -> None:
    made = known(priced(0, 40.0), priced(1, 1.0), priced(2, 1.05))
    counts: dict[int, int] = {}
    n = 400
    for i in range(n):
        on(made, 0, session=f"s{i}")
        record = turn(made, session=f"s{i}", uniform=(i + 0.5) / n)
        assert not record.sticky
        counts[record.model] = counts.get(record.model, 0) + 1
    for position, model_id in enumerate(record.models):
        assert counts.get(model_id, 0) / n == pytest.approx(record.probabilities[position], abs=1.0 / n)


def seen(n: int, cost: list[float] | None = None) -> Predictions:
    return Predictions([0.5] * n, [0.1] * n, [0.1] * n, cost or [1.0] * n, [0.1] * n, [1.0] * n, [0.1] * n)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_one_in_ten(u: float, v: float, sd: float, sd_other: float) -> None:
    served = Serving([0.5, 0.5], [0.5, 0.5], [u, v], [sd, sd_other])
    chance = 0.5 * (1.0 + erf((u - v) / sqrt(2.0 * (sd * sd + sd_other * sd_other))))
    if abs(chance - 0.1) > 1e-9:
        assert (leaves_for(Objective(), seen(2), served, 0) is not None) == (chance < 0.1)


@pytest.mark.parametrize(
    ("cost", "safe", "value", "leaves"),
    [
        ([1.1, 1.0], [True, True], [0.6, 1.0], False),  # dearer by a tenth
        ([1.2, 1.0], [True, True], [0.5, 1.0], True),
        ([0.5, 1.0], [False, True], [0.3, 1.0], False),  # cheaper, and may reach the floor
        ([0.5, 1.0], [False, True], [0.04, 1.0], True),  # and hardly does
    ],
)
def test_under_a_floor(cost: list[float], safe: list[bool], value: list[float], leaves: bool) -> None:
    served = Serving([0.0, 1.0], [0.0, 1.0], value, [0.0, 0.0], safe=safe)
    objective = Objective(Strategy.COST_OPTIMIZED)
    assert (leaves_for(objective, seen(2, cost), served, 0) is not None) is leaves
    assert leaves_for(objective, seen(2, cost), served, 1) is None


# -- the table ---------------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_sessions_take_bounded_memory() -> None:
    table = Sessions(SessionSettings(entries=10_000))
    tracemalloc.start()
    try:
        for i in range(100_000):
            table.take(f"session-{i:030}", Turn(i % 7, i + 1, 1_000_000 + i, 5_000 + i))
            assert len(table) <= 10_000
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 10_000 * 500
    assert table.latest(f"session-{89_999:030}", 1_100_000) is None
    assert table.latest(f"session-{90_000:030}", 1_100_000) == Turn(90_000 % 7, 90_001, 1_090_000, 95_000)


def test_sessions_that_are_idle_for_too_long_go() -> None:
    table = Sessions(SessionSettings(idle_ms=1_000))
    for i in range(50):
        table.take(f"s{i}", Turn(0, i + 1, 100 * i, 0))
    assert len(table) == 11
    assert table.latest("s39", 4_900) == Turn(0, 40, 3_900, 0)
    assert table.latest("s39", 4_901) is None


def test_a_decision_that_is_folded_after_a_later_one_changes_nothing() -> None:
    table = Sessions(SessionSettings())
    table.take("s", Turn(0, 1, 1, 0))
    table.take("s", Turn(1, 2, 2, 0))
    table.take("s", Turn(0, 1, 1, 0))
    assert table.latest("s", 2) == Turn(1, 2, 2, 0)
    again = Sessions(SessionSettings())
    again.restore(table.state())
    assert again.state() == table.state()


def test_tenants_share_no_session() -> None:
    ours, theirs = (
        Engine(EngineSettings(endpoints=frozenset({"echo"})), SIGNER, tenant) for tenant in (0, 1)
    )  # fmt: skip
    events: tuple[Event, ...] = (model(0), model(1), TaskClassPut(task_class=0, name="a"))
    for made in (ours, theirs):
        for sequence, event in enumerate(events, start=1):
            made.apply(sequence, event)
    on(ours, 0)
    on(theirs, 1)
    assert [turn(ours).model, turn(theirs).model] == [0, 1]
    assert theirs.sessions.latest("t", 1_000) is None
    turn(ours, session="t")
    assert theirs.sessions.latest("t", 1_000) is None


def test_a_fold_of_the_log_knows_the_same_sessions() -> None:
    made = known(priced(0, 1.0), priced(1, 2.0, cached=0.1))
    again = known(priced(0, 1.0), priced(1, 2.0, cached=0.1))
    log = [turn(made, session=f"s{i % 5}", uniform=i / 30, at_ms=1_000 + i) for i in range(30)]
    for sequence, record in enumerate(log, start=200):
        made.apply(sequence, record)
        again.apply(sequence, decode(encode(record)))
    assert made.sessions.state() == again.sessions.state()
