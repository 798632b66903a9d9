"""Hard budgets: no period's spend exceeds its limit while calls cost at most what was held for them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from naiad.server.attempt_error import AttemptError
from naiad.server.bills import bill_of
from naiad.server.ceilings import Ceilings, Shortage, exhausted
from naiad.server.eligibility import Needs, Reason
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.money import cost_of, most_of
from naiad.server.periods import DAY_MS, HOUR_MS, Period
from naiad.server.records import (
    BudgetPut,
    Cost,
    Decided,
    Event,
    Hold,
    Outcome,
    OutcomeReported,
    Prices,
    PriceTier,
    Released,
    Reserved,
    TaskClassPut,
    Usage,
    decode,
    encode,
    head_of,
)
from naiad.server.replay import Digests
from naiad.server.snapshot import dump, load
from tests.server.builders import engine, model, query
from tests.server.reasons import check

NOW = 1_700_000_000_000
CALL = most_of(Prices(input=100_000_000, output=400_000_000), 100, 100)  # of the builders' models and query


def budget(number: int = 0, limit: int = CALL, period: Period = Period.DAY, **fields: Any) -> BudgetPut:
    return BudgetPut(budget=number, budget_id=f"b{number}", limit_nano_usd=limit, period=period, **fields)


def world(*budgets: BudgetPut) -> Engine:
    made = engine(classes=(TaskClassPut(task_class=0, name="a"), TaskClassPut(task_class=1, name="b")))
    for entry in budgets:
        made.apply(made.sequence + 1, entry)
    return made


def outcome(cost: int | None, **fields: Any) -> Outcome:
    return Outcome(model=0, ordinal=0, cost=None if cost is None else Cost(total=cost), **fields)


def reported(uid: int, cost: int | None, at_ms: int = NOW, hold: Hold | None = None, **fields: Any) -> OutcomeReported:
    return OutcomeReported(
        at_ms=at_ms, uid=uid, task_class=0, first_model=0, first_ordinal=0, attempt="1", hold=hold,
        outcome=outcome(cost, **fields),
    )  # fmt: skip


def decide(made: Engine, at_ms: int = NOW, **fields: Any) -> Decided:
    needs = Needs(100, 100, explicit_output=True)
    return made.decide(query(needs=needs, **fields), at_ms=at_ms, uniform=0.5).record


def spent(made: Engine, number: int = 0, at_ms: int = NOW) -> tuple[int, int]:
    entries = made.ceilings.entries()
    return made.ceilings.standings([entries[number]], at_ms)[0][:2]


def uncertain(made: Engine, at_ms: int = NOW) -> int:
    return made.ceilings.standings(made.ceilings.entries()[:1], at_ms)[0].uncertain


# -- one at a time -----------------------------------------------------------------------------------------------------


def test_the_last_unit_goes_to_one_though_nothing_is_committed_yet() -> None:
    made = world(budget())
    first = decide(made)
    assert first.hold is not None
    assert (first.hold.nano_usd, first.hold.windows) == (CALL, ((0, NOW - NOW % DAY_MS),))
    with pytest.raises(NaiadError) as refused:
        decide(made)
    error = refused.value
    check("BUDGET_EXHAUSTED", error.code, error.metadata)
    assert error.metadata["left_nano_usd"] == "0"
    assert "held for calls under way" in error.message
    assert spent(made) == (0, CALL)


def test_a_bill_takes_the_place_of_the_hold() -> None:
    made = world(budget(limit=2 * CALL))
    first = decide(made)
    made.apply(made.sequence + 1, head_of(first))
    assert spent(made) == (0, CALL)
    made.apply(made.sequence + 1, reported(first.uid, CALL // 4))
    assert spent(made) == (CALL // 4, 0)
    decide(made)
    with pytest.raises(NaiadError):
        decide(made)


def test_the_next_period_begins_anew_and_old_bills_stay_in_theirs() -> None:
    made = world(budget())
    first = decide(made)
    made.apply(made.sequence + 1, first)
    later = NOW + DAY_MS
    second = decide(made, later)
    made.apply(made.sequence + 1, second)
    made.apply(made.sequence + 1, reported(first.uid, CALL, later))
    assert spent(made) == (CALL, 0)
    assert spent(made, at_ms=later) == (0, CALL)
    with pytest.raises(NaiadError):
        decide(made, NOW)  # a clock set back finds its period as it was


def test_an_overdue_hold_is_spent_and_a_late_bill_corrects_it() -> None:
    made = world(budget())
    first = decide(made)
    made.apply(made.sequence + 1, first)
    assert first.hold is not None
    late = first.hold.until_ms
    assert uncertain(made, at_ms=NOW) == 0, "under way"
    assert spent(made, at_ms=late) == (CALL, 0), "told by the clock"
    assert uncertain(made, at_ms=late) == CALL
    made.apply(made.sequence + 1, TaskClassPut(task_class=2, name="c", at_ms=late))
    assert spent(made, at_ms=late) == (CALL, 0), "and folded"
    assert uncertain(made, at_ms=late) == CALL
    made.apply(made.sequence + 1, reported(first.uid, 10, late, first.hold))
    assert spent(made, at_ms=late) == (10, 0)
    assert uncertain(made, at_ms=late) == 0
    more = msgspec.structs.replace(first.hold, nano_usd=0)
    again = msgspec.structs.replace(reported(first.uid, 7, late, more), attempt="2")
    made.apply(made.sequence + 1, again)
    assert spent(made, at_ms=late) == (17, 0), "a further attempt counts too"


@pytest.mark.parametrize("late", [False, True])
def test_a_bill_that_nobody_knows_is_spent_and_uncertain(late: bool) -> None:
    """Whether the report of the failure comes in time or after the hold, and in a snapshot as well."""
    made = world(budget())
    first = decide(made)
    made.apply(made.sequence + 1, first)
    assert first.hold is not None
    at_ms = first.hold.until_ms if late else NOW
    lost = reported(first.uid, None, at_ms, first.hold, failed=True, error=AttemptError.TIMEOUT)
    made.apply(made.sequence + 1, lost)
    assert (spent(made, at_ms=at_ms), uncertain(made, at_ms)) == ((CALL, 0), CALL)
    again = world(budget())
    again.ceilings = Ceilings(again.catalog)
    again.ceilings.restore(made.ceilings.state())
    assert uncertain(again, at_ms) == CALL
    assert again.ceilings.digest() == made.ceilings.digest()


def test_what_is_uncertain_goes_with_a_period_that_is_forgotten() -> None:
    made = world(budget())
    for day in range(40):
        at_ms = NOW + day * DAY_MS
        first = decide(made, at_ms)
        made.apply(made.sequence + 1, first)
        lost = reported(first.uid, None, at_ms, first.hold, failed=True, error=AttemptError.TIMEOUT)
        made.apply(made.sequence + 1, lost)
    state = made.ceilings.state()
    assert sorted(state.uncertain) == sorted(state.periods)
    assert len(state.periods) < 40


def test_a_call_that_was_never_made_gives_back_what_it_held() -> None:
    made = world(budget())
    first = decide(made)
    made.apply(made.sequence + 1, first)
    made.apply(made.sequence + 1, Released(at_ms=NOW, uid=first.uid))
    assert spent(made) == (0, 0)
    decide(made)


@pytest.mark.parametrize(
    ("seen", "bill"),
    [
        (outcome(7), 7),
        (outcome(None), 100),
        (outcome(None, failed=True, error=AttemptError.TIMEOUT), 100),
        (outcome(None, failed=True, error=AttemptError.CANCELLED), 100),
        (outcome(None, failed=True, error=AttemptError.TRUNCATED), 100),
        (outcome(None, failed=True, error=AttemptError.RATE_LIMITED), 0),
        (outcome(None, failed=True, error=AttemptError.CONNECTION), 0),
        (outcome(0, failed=True, error=AttemptError.TIMEOUT), 0),
    ],
)
def test_what_is_not_known_counts_as_the_most_that_it_may_be(seen: Outcome, bill: int) -> None:
    assert bill_of(seen, 100) == bill


def test_a_call_dearer_than_its_hold_stops_what_follows() -> None:
    made = world(budget(limit=3 * CALL))
    first = decide(made)
    made.apply(made.sequence + 1, first)
    made.apply(made.sequence + 1, reported(first.uid, 5 * CALL))
    assert spent(made) == (5 * CALL, 0)
    with pytest.raises(NaiadError) as refused:
        decide(made)
    assert refused.value.metadata["left_nano_usd"] == "0"


def test_scopes_each_count_their_own_and_all_must_fit() -> None:
    made = world(
        budget(0, 10 * CALL),
        budget(1, CALL, workflow="w"),
        budget(2, CALL, task_class="b"),
        budget(3, CALL, key="k"),
    )
    assert windows(decide(made)) == [0]
    assert windows(decide(made, workflow="w")) == [0, 1]
    assert windows(decide(made, task_class="b")) == [0, 2]
    assert windows(decide(made, key_id="k", workflow="v")) == [0, 3]
    full: tuple[tuple[dict[str, Any], str], ...] = (
        ({"workflow": "w"}, "b1"), ({"task_class": "b"}, "b2"), ({"key_id": "k"}, "b3"),
    )  # fmt: skip
    for fields, name in full:
        with pytest.raises(NaiadError) as refused:
            decide(made, **fields)
        assert refused.value.metadata["budget_id"] == name
    assert windows(decide(made)) == [0]
    assert spent(made) == (0, 5 * CALL)


def windows(record: Decided) -> list[int]:
    return [] if record.hold is None else [number for number, _ in record.hold.windows]


def test_of_two_of_one_scope_both_hold() -> None:
    made = world(budget(0, 5 * CALL), budget(1, CALL))
    decide(made)
    with pytest.raises(NaiadError) as refused:
        decide(made)
    assert refused.value.metadata["budget_id"] == "b1"


def test_dear_models_are_excluded_with_the_reason() -> None:
    dear = model(1, prices=Prices(input=900_000_000, output=900_000_000))
    made = engine(models=(model(0), dear))
    made.apply(made.sequence + 1, budget())
    record = decide(made)
    assert record.models == [0]
    (excluded,) = record.excluded
    assert (excluded.model, excluded.reason) == (1, Reason.BUDGET)
    assert "budget 'b0' has" in excluded.detail


def test_nothing_may_be_spent_of_a_budget_of_zero_but_free_calls_may_be_made() -> None:
    free = model(1, prices=Prices(input=0, output=0))
    made = engine(models=(model(0), free))
    made.apply(made.sequence + 1, budget(limit=0))
    assert [decide(made).model for _ in range(5)] == [1] * 5
    assert spent(made) == (0, 0)


def test_a_budget_that_renews_soon_says_when_to_come_back() -> None:
    for wait_ms, retry in ((59_000, 59.0), (61_000, None)):
        short = Shortage(budget(), 0, NOW + wait_ms, CALL, 0)
        assert exhausted(short, NOW).retry_after_s == retry
    assert exhausted(Shortage(budget(), 0, None, CALL, 0), NOW).metadata["reset_time"] == ""


def test_of_several_that_are_short_the_one_that_renews_last_is_named() -> None:
    made = world(budget(0, 0, Period.HOUR), budget(1, 0, Period.ONCE), budget(2, 0, Period.MONTH))
    with pytest.raises(NaiadError) as refused:
        decide(made)
    assert refused.value.metadata["budget_id"] == "b1"


def test_a_deleted_budget_binds_no_more_and_bills_of_it_meet_no_successor() -> None:
    made = world(budget())
    first = decide(made)
    made.apply(made.sequence + 1, first)
    made.apply(made.sequence + 1, msgspec.structs.replace(budget(), deleted=True))
    assert not made.ceilings.active
    assert decide(made).hold is None
    made.apply(made.sequence + 1, msgspec.structs.replace(budget(1), budget_id="b0"))
    made.apply(made.sequence + 1, reported(first.uid, CALL))
    assert spent(made) == (0, 0)


def test_without_budgets_nothing_is_held() -> None:
    assert decide(world()).hold is None


@pytest.mark.parametrize(
    ("configured", "fields", "needs", "bound"),
    [
        (None, {}, Needs(10, 1_024), 4_096),
        (None, {"max_output_tokens": 9_000}, Needs(10, 1_024), 9_000),
        (500, {"max_output_tokens": 9_000}, Needs(10, 1_024), 500),
        (9_999, {"max_output_tokens": 9_000}, Needs(10, 1_024), 9_000),
        (500, {}, Needs(10, 700, explicit_output=True), 700),
        (None, {"max_output_tokens": 9_000, "context_window": 3_000}, Needs(1_000, 1_024), 2_000),
    ],
)
def test_the_bound_of_the_output(configured: int | None, fields: dict[str, Any], needs: Needs, bound: int) -> None:
    made = engine(models=(model(0, **fields),))
    assert Ceilings(made.catalog, configured).output_bound(made.catalog.models[0], needs) == bound


RATES = st.integers(0, 10**11)


@given(
    st.builds(
        Prices, input=RATES, output=RATES, cached_input=st.none() | RATES, cache_write=st.none() | RATES,
        request=st.integers(0, 10**9),
        tiers=st.builds(
            lambda at, i, o, c: (PriceTier(above_input_tokens=at, input=i, output=o, cache_write=c),),
            st.integers(0, 2_000), RATES, RATES, st.none() | RATES,
        ) | st.just(()),
    ),
    st.integers(0, 4_000), st.integers(0, 4_000), st.data(),
)  # fmt: skip
def test_no_bill_within_the_tokens_exceeds_what_is_held(
    prices: Prices, most_in: int, most_out: int, data: st.DataObject
) -> None:
    tokens_in = data.draw(st.integers(0, most_in))
    cached = data.draw(st.integers(0, tokens_in))
    usage = Usage(
        input_tokens=tokens_in,
        output_tokens=data.draw(st.integers(0, most_out)),
        cached_input_tokens=cached,
        cache_write_tokens=data.draw(st.integers(0, tokens_in - cached)),
    )
    bill = cost_of(usage, prices)
    assert bill is not None
    assert bill.total <= most_of(prices, most_in, most_out)


# -- any history -------------------------------------------------------------------------------------------------------


class Histories(RuleBasedStateMachine):
    """Callers, commits, bills, crashes and snapshots in any order, held against a plain count by period."""

    def __init__(self) -> None:
        super().__init__()
        self.made = world()
        self.log: list[bytes] = []
        self.now = NOW
        self.uid = 0
        self.queued: list[Event] = []  # on its way to the disk
        self.open: dict[tuple[int, str], Hold] = {}  # calls under way, their events committed
        self.bills: dict[tuple[int, int], int] = {}  # (budget, period) -> what truly was spent
        for entry in (budget(0, 40, Period.HOUR), budget(1, 90, Period.DAY), budget(2, 25, Period.HOUR, workflow="w")):
            self.commit(entry)

    def commit(self, event: Event) -> None:
        self.log.append(encode(event))
        self.made.apply(self.made.sequence + 1, event)

    @rule(workflow=st.sampled_from(["", "w"]), need=st.integers(1, 30))
    def reserve(self, workflow: str, need: int) -> None:
        self.uid += 1
        priced = model(0, prices=Prices(input=0, output=0, request=need))
        key = (self.uid, "1")
        held = self.made.ceilings.reserve(key, (workflow, 0, ""), priced, Needs(0, 1), self.now, self.now + 600_000)
        assert held is not None
        if isinstance(held, Hold):
            self.queued.append(Reserved(at_ms=self.now, uid=self.uid, attempt="1", model=0, hold=held))

    @precondition(lambda self: self.queued)
    @rule(data=st.data())
    def committed(self, data: st.DataObject) -> None:
        event = self.queued.pop(data.draw(st.integers(0, len(self.queued) - 1)))
        self.commit(event)
        assert isinstance(event, Reserved)
        self.open[event.uid, event.attempt] = event.hold

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0.0, 1.0))
    def bill(self, data: st.DataObject, share: float) -> None:
        uid, attempt = key = data.draw(st.sampled_from(sorted(self.open)))
        hold = self.open.pop(key)
        cost = int(hold.nano_usd * share)
        for window in hold.windows:
            self.bills[window] = self.bills.get(window, 0) + cost
        self.commit(msgspec.structs.replace(reported(uid, cost, self.now, hold), attempt=attempt))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def never_made(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.open)))
        if self.open[key].until_ms > self.now:
            del self.open[key]
            self.commit(Released(at_ms=self.now, uid=key[0], attempt=key[1]))

    @rule(step_ms=st.integers(-HOUR_MS, 3 * HOUR_MS))
    def time_passes(self, step_ms: int) -> None:
        self.now += step_ms

    @rule(snapshot=st.booleans())
    def crash(self, snapshot: bool) -> None:
        """What was not committed is gone, and its calls were never made; calls under way were, and cost all of it."""
        before = Digests.of(self.made)
        fresh = engine(classes=(TaskClassPut(task_class=0, name="a"), TaskClassPut(task_class=1, name="b")))
        if snapshot:
            fresh = Engine(self.made.settings, self.made.signer)
            load(fresh, dump(self.made))
        else:
            for payload in self.log:
                fresh.apply(fresh.sequence + 1, decode(payload))
        self.made, self.queued = fresh, []
        assert Digests.of(self.made) == before
        for hold in self.open.values():
            for window in hold.windows:
                self.bills[window] = self.bills.get(window, 0) + hold.nano_usd
        self.open = {}

    @invariant()
    def no_period_is_overspent(self) -> None:
        limits = {entry.budget: entry.limit_nano_usd for entry in self.made.ceilings.entries()}
        for (number, _), amount in self.bills.items():
            assert amount <= limits[number]

    @invariant()
    def nothing_is_stuck(self) -> None:
        late = self.now + 4 * DAY_MS
        for entry, standing in zip(
            self.made.ceilings.entries(),
            self.made.ceilings.standings(self.made.ceilings.entries(), late),
            strict=True,
        ):
            assert standing.reserved == 0, entry


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
