"""What attempts and answers cost: parts add up exactly, whatever was used, priced, billed, failed and cancelled."""

from __future__ import annotations

from random import Random

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import Bill
from naiad.server import render
from naiad.server.bills import bill_of
from naiad.server.composites import Role
from naiad.server.costs import Gathered, Sums, sums_of
from naiad.server.ledger import AttemptEntry, Entry, effects, take_outcome
from naiad.server.money import adjustment_of, charged, cost_of, reasoning_of, shares_of, sum_of
from naiad.server.records import Claim, Cost, Decided, Outcome, Prices, PriceTier, Usage

count = st.integers(0, 3_000_000)
rate = st.integers(0, 200_000_000_000)
optional_rate = st.none() | rate
PARTS = ("input", "cached_input", "cache_write", "output", "request")
WHOLE = 9  # the composite


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    plain, cached, written, output = (draw(count) for _ in range(4))
    return Usage(
        input_tokens=plain + cached + written,
        output_tokens=output,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        reasoning_tokens=draw(st.integers(0, output)),
        claim=draw(st.none() | st.just(Claim(reason=2, input_tokens=1, output_tokens=1 << 50))),
    )


@st.composite
def prices(draw: st.DrawFn) -> Prices:
    tier = PriceTier(above_input_tokens=draw(count), input=draw(rate), output=draw(rate))
    return Prices(
        input=draw(rate), output=draw(rate), cached_input=draw(optional_rate), cache_write=draw(optional_rate),
        request=draw(st.integers(0, 10**9)), tiers=draw(st.sampled_from(((), (tier,)))), version="v",
    )  # fmt: skip


bills = st.none() | st.builds(Bill, st.none() | st.integers(0, 10**13), st.just("so much"))


@st.composite
def attempts(draw: st.DrawFn) -> list[tuple[str, Outcome]]:
    """Attempts of a composite, of which some failed, some were cancelled and one may have been returned."""
    found = []
    for place in range(draw(st.integers(0, 5))):
        usage, failed = draw(usages()), draw(st.booleans())
        cost = draw(st.sampled_from((None, Cost()))) if failed else charged(usage, draw(prices()), draw(bills))
        role = draw(st.sampled_from((Role.MEMBER, Role.JUDGE)))
        made = Outcome(
            model=place % 3, ordinal=0, part_of=WHOLE, role=role, failed=failed, usage=Usage() if failed else usage,
            cost=cost,
        )  # fmt: skip
        found.append((str(place + 1), made))
    return found


@given(usages(), prices(), bills)
def test_parts_add_up_and_reasoning_is_of_the_output(usage: Usage, price: Prices, bill: Bill | None) -> None:
    cost = charged(usage, price, bill)
    assert cost is not None
    assert cost.total == sum(getattr(cost, part) for part in PARTS) + adjustment_of(cost)
    assert 0 <= cost.reasoning <= cost.output
    if usage.output_tokens:
        exact = cost.output * usage.reasoning_tokens / usage.output_tokens
        assert abs(cost.reasoning - exact) <= 0.5 + 1e-9 * exact
        assert (cost.reasoning == cost.output) >= (usage.reasoning_tokens == usage.output_tokens)
    told = render.cost(cost)
    amounts = [getattr(told, f"{part}_nano_usd") for part in (*PARTS, "adjustment")]
    assert told.total_nano_usd == sum(amounts)
    assert told.reasoning_nano_usd <= told.output_nano_usd
    if cost.billed is not None:
        assert (cost.total, cost.doubted_bill) == (cost.billed, "")
        assert bill is not None
        assert cost.billed == bill.nano_usd
    else:
        assert adjustment_of(cost) == 0
        assert bool(cost.doubted_bill) == (bill is not None)
    by_prices = cost_of(usage, price)
    assert by_prices is not None
    assert [getattr(cost, part) for part in PARTS] == [getattr(by_prices, part) for part in PARTS], "parts stay"


@given(usages(), prices())
def test_what_was_recorded_without_reasoning_has_the_same_share(usage: Usage, price: Prices) -> None:
    cost = cost_of(usage, price)
    assert cost is not None
    earlier = msgspec.structs.replace(cost, reasoning=0)
    assert reasoning_of(usage, earlier) == reasoning_of(usage, cost) == cost.reasoning


@given(attempts(), st.integers(0, 6))
def test_an_answer_s_shares_and_the_report_s_are_the_attempts_own(made: list[tuple[str, Outcome]], which: int) -> None:
    """The same sums by three ways: the answer's cost, its attempts one by one, and the report's rows."""
    members = [name for name, o in made if o.role == Role.MEMBER and not o.failed]
    returned = members[which % len(members)] if members else ""
    whole = sum_of(made, returned)
    spent = {name: 0 if o.cost is None else o.cost.total for name, o in made}
    roles = {name: o.role for name, o in made}
    assert whole.total == sum(spent.values())
    assert whole.judge == sum(spent[name] for name in spent if roles[name] == Role.JUDGE)
    assert whole.total == whole.judge + whole.other_members + spent.get(returned, 0)
    assert whole.total == sum(getattr(whole, part) for part in PARTS) + adjustment_of(whole)
    assert 0 <= whole.reasoning <= whole.output
    answer = Outcome(model=WHOLE, ordinal=0, cost=Cost(), failed=not returned, returned=returned)
    parts = tuple(AttemptEntry(attempt=name, outcome=outcome) for name, outcome in made)
    entry = Entry(
        uid=1 << 50, task_class=0, model=WHOLE, ordinal=0, attempts=(*parts, AttemptEntry(attempt="9", outcome=answer))
    )
    rows = sums_of(entry, None)
    total = Sums()
    for sums in rows.values():
        total = total.plus(sums)
    assert (total.cost, total.judge_cost, total.other_members_cost) == (whole.total, whole.judge, whole.other_members)
    assert (total.reasoning_cost, total.output_cost) == (whole.reasoning, whole.output)
    for key, sums in rows.items():
        own = [(name, o) for name, o in made if o.model == key.model]
        assert (sums.judge_cost, sums.other_members_cost) == tuple(
            sum(shares) for shares in zip((0, 0), *(shares_of(name, o, {returned}) for name, o in own), strict=True)
        ), "each at the model that was called"


def test_before_the_whole_has_answered_nothing_was_returned() -> None:
    usage, price = Usage(input_tokens=10, output_tokens=10), Prices(input=10**6, output=10**6)
    member = Outcome(model=1, ordinal=0, part_of=WHOLE, role=Role.MEMBER, usage=usage, cost=cost_of(usage, price))
    unknown = msgspec.structs.replace(member, role=0)
    for outcome, other in ((member, 20), (unknown, 0)):
        entry = Entry(
            uid=1 << 50, task_class=0, model=WHOLE, ordinal=0, attempts=(AttemptEntry(attempt="1", outcome=outcome),)
        )
        (sums,) = sums_of(entry, None).values()
        assert (sums.cost, sums.other_members_cost, sums.judge_cost) == (20, other, 0)


@given(usages(), prices(), st.integers(0, 1 << 50))
def test_a_hard_budget_books_what_is_doubted_at_no_less_than_was_held(usage: Usage, price: Prices, held: int) -> None:
    outcome = Outcome(model=0, ordinal=0, usage=usage, cost=cost_of(usage, price))
    assert outcome.cost is not None
    expected = outcome.cost.total if usage.claim is None else max(held, outcome.cost.total)
    assert bill_of(outcome, held) == expected


@given(usages())
def test_what_is_doubted_teaches_no_tokens(usage: Usage) -> None:
    attempt = AttemptEntry(attempt="1", outcome=Outcome(model=0, ordinal=0, usage=usage, latency_s=1.0))
    entry = Entry(uid=1 << 50, task_class=0, model=0, ordinal=0, attempts=(attempt,))
    doubted = msgspec.structs.replace(usage, claim=None)
    learned = {measure for _, measure, _ in effects(entry, attempt)}
    believed = {
        measure
        for _, measure, _ in effects(
            entry,
            msgspec.structs.replace(attempt, outcome=Outcome(model=0, ordinal=0, usage=doubted, latency_s=1.0)),
        )
    }
    assert len(believed - learned) == (usage.claim is not None)


def test_what_is_doubted_is_no_measure_of_what_other_models_would_have_written() -> None:
    """The comparison of a report takes the input that was decided on, and counts the output for nobody."""
    decided = Decided(
        uid=1 << 50, task_class=0, model=0, ordinal=0, propensity=1.0, uniform=0.5, policy=1, input_tokens=7,
        models=[0, 1], cost=[1.0, 1.0], price_in=[10**6, 10**6], price_out=[10**6, 10**6],
    )  # fmt: skip
    for claim, counted, fixed in ((None, 1, 1_000), (Claim(reason=3, input_tokens=9, output_tokens=9), 0, 7)):
        usage = Usage(input_tokens=1_000, output_tokens=50, claim=claim)
        outcome = Outcome(model=0, ordinal=0, usage=usage, cost=Cost(total=5))
        attempts = (AttemptEntry(attempt="1", outcome=outcome),)
        rows = sums_of(Entry(uid=1 << 50, task_class=0, model=0, ordinal=0, attempts=attempts), decided)
        mine, other = (next(s for k, s in rows.items() if k.model == m) for m in (0, 1))
        assert (mine.answered, mine.counted, mine.counted_output) == (1, counted, 50 * counted)
        assert (other.could, other.could_fixed) == (1, fixed)


@given(attempts(), attempts(), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_order_or_on_what_was_said_before(
    made: list[tuple[str, Outcome]], revised: list[tuple[str, Outcome]], random: Random
) -> None:
    """Outcomes in any order, the answer's before its parts' or after, each perhaps told otherwise at first."""
    answer = Outcome(model=WHOLE, ordinal=0, cost=Cost(), returned="1")
    final = dict(made) | {"9": answer}
    told = [(name, outcome) for name, outcome in revised if name in final]
    random.shuffle(told)
    last = list(final.items())
    random.shuffle(last)
    gathered, entry = Gathered(), Entry(uid=1 << 50, task_class=0, model=WHOLE, ordinal=0)
    for name, outcome in (*told, *last):
        after, _ = take_outcome(entry, name, outcome, 1)
        gathered.amended(entry, after, None)
        entry = after
    kept = {key: sums for key, sums in gathered.rows.items() if any(sums)}
    again = sums_of(entry, None)
    assert kept == {key: sums for key, sums in again.items() if any(sums)}
    assert sum(s.judge_cost + s.other_members_cost for s in kept.values()) == sum(
        sum(shares_of(name, outcome, {"1"})) for name, outcome in made
    )
