"""What failed calls cost: by the provider's own count where it is of the whole, else uncertain, and told as that."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import grpc
import pytest

from naiad.adapters.base import Bill, Claim, Spent, TextDelta, Usage
from naiad.adapters.errors import (
    InvalidRequest,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    ServerError,
    Timeout,
    TimeoutKind,
    Truncated,
)
from naiad.adapters.wire_format import at_least
from naiad.server.attempt_error import AttemptError
from naiad.server.bills import bill_of, uncertain_of, with_uncertain
from naiad.server.costs import rebuild
from naiad.server.money import is_free
from naiad.server.records import Claim as Claimed
from naiad.server.records import Cost, Hold, Outcome, OutcomeReported, Prices, PriceTier
from naiad.server.records import Usage as Used
from naiad.v1 import (
    admin_pb2,
    admin_service_pb2,
    error_pb2,
    feedback_service_pb2,
    router_service_pb2,
)
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, reply
from tests.e2e.live import Refusal
from tests.journal.test_costs import kept, total
from tests.server.test_completion import Running, Start, running, until  # noqa: F401 - running is a fixture
from tests.server.test_completion_budget import budget, logged, standing
from tests.server.test_doubts import costs, explained
from tests.server.test_streaming import ABLE

ONE: dict[str, Any] = {"max_output_tokens": 100, "max_attempts": 1}
PRICED = 10_000 + 9_000  # nano-USD, of 10 tokens read and 9 written


def failing(how: type[ProviderError], spent: Spent | None = None, delta: str = "", **facts: Any) -> Fail:
    """Fail; spent: what the provider counted all the same. delta: what a stream says before."""
    error = how("it failed", provider="a", model="m", **facts)
    error.spent = spent
    return Fail(error, deltas=(TextDelta(delta),) if delta else ())


def whole(usage: Usage, bill: Bill | None = None, written_bytes: int = 20) -> Spent:
    return Spent(usage, True, bill, written_bytes)


async def shown(now: Running) -> admin_pb2.Budget:
    return (await AdminServiceStub(now.channel).GetBudget(admin_service_pb2.GetBudgetRequest(budget_id="b"))).budget


async def streaming(now: Running) -> None:
    """Stream to the end, whatever that is."""
    request = router_service_pb2.StreamCompleteRequest(
        task_class="t", messages=[{"role": 2, "parts": [{"text": "hello"}]}], **ONE
    )
    async for _ in RouterServiceStub(now.channel).StreamComplete(request):
        pass


# -- what an attempt counts as -----------------------------------------------------------------------------------------


def outcome(cost: int | None, kind: int = 0, **fields: Any) -> Outcome:
    billed = None if cost is None else Cost(total=cost)
    return Outcome(model=0, ordinal=0, failed=bool(kind), error=kind, cost=billed, **fields)


CLAIM = Used(input_tokens=1, output_tokens=1, claim=Claimed(reason=1, input_tokens=-1, output_tokens=-1))


@pytest.mark.parametrize(
    ("seen", "held", "bill", "uncertain"),
    [
        (outcome(7), 100, 7, None),
        (outcome(7, AttemptError.MALFORMED_ANSWER), 100, 7, None),
        (outcome(0, AttemptError.TIMEOUT), 100, 0, None),
        (outcome(None, AttemptError.TIMEOUT), 100, 100, 100),
        (outcome(None, AttemptError.CANCELLED), 0, 0, 0),
        (outcome(None, AttemptError.OVERLOADED), 100, 0, None),
        (outcome(None, AttemptError.OVERLOADED, first_token_s=0.1), 100, 100, 100),
        (outcome(None, AttemptError.SERVER, usage=Used(input_tokens=5)), 100, 100, 100),
        (outcome(None), 100, 100, 100),
        (outcome(None), 0, 0, None),  # a success without prices: it is counted as unpriced
        (outcome(7, usage=CLAIM), 100, 100, 93),
        (outcome(7, usage=CLAIM), 5, 7, None),
        (outcome(7, AttemptError.MALFORMED_ANSWER, usage=CLAIM), 100, 100, 93),
    ],
)
def test_the_bill_and_what_of_it_nobody_knows(seen: Outcome, held: int, bill: int, uncertain: int | None) -> None:
    assert (bill_of(seen, held), uncertain_of(seen, held)) == (bill, uncertain)
    assert with_uncertain(seen, Hold(nano_usd=held)).uncertain == uncertain
    known = 0 if seen.cost is None else seen.cost.total
    assert known + (uncertain or 0) == bill


@pytest.mark.parametrize(
    ("prices", "free"),
    [
        (None, False),
        (Prices(input=0, output=0), True),
        (Prices(input=0, output=0, request=1), False),
        (Prices(input=0, output=1), False),
        (Prices(input=1, output=0), False),
        (Prices(input=0, output=0, cache_write=1), False),
        (Prices(input=0, output=0, tiers=(PriceTier(above_input_tokens=9, input=0, output=1),)), False),
    ],
)
def test_what_costs_nothing(prices: Prices | None, free: bool) -> None:
    assert is_free(prices) is free


# -- a count of the whole call -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("ask", ["whole", "streamed"])
@pytest.mark.parametrize("kind", [MalformedAnswer, Truncated, ServerError])
async def test_a_failure_whose_provider_counted_it_to_the_end_is_billed_by_that(
    running: Start,  # noqa: F811
    kind: type[ProviderError],
    ask: str,
) -> None:
    step = failing(kind, whole(Usage(10, 9)), "Paris is the capital" if ask == "streamed" else "")
    async with running([step], [step], **ABLE) as now:
        await budget(now, 1_000_000)
        if ask == "streamed":
            with pytest.raises(grpc.aio.AioRpcError):
                await streaming(now)
        else:
            (detail,) = [
                detail for other in (await now.refused(**ONE)).others
                if other.Unpack(detail := error_pb2.AttemptsFailedDetail())
            ]  # fmt: skip
            (attempt,) = detail.attempts
            assert (attempt.usage.input_tokens, attempt.usage.output_tokens) == (10, 9)
            assert (attempt.cost.total_nano_usd, attempt.cost.input_nano_usd) == (PRICED, 10_000)
            assert not attempt.HasField("uncertain_nano_usd")
            record = await explained(now, detail.decision_id)
            assert record.attempts[0] == attempt
        assert await standing(now) == (PRICED, 0), "the bill takes the place of the hold"
        assert (await shown(now)).uncertain_nano_usd == 0
        row = await costs(now)
        assert (row.cost_nano_usd, row.failed_nano_usd) == (PRICED, PRICED)
        assert (row.failed_attempts, row.uncertain_attempts, row.uncertain_nano_usd) == (1, 0, 0)
        assert (row.input_tokens, row.output_tokens) == (10, 9)


async def test_all_attempts_together_hold_it_and_nothing_but_availability_is_learned(running: Start) -> None:  # noqa: F811
    lost = failing(MalformedAnswer, whole(Usage(10, 9)))
    async with running([lost], [reply("yes", output_tokens=7)]) as now:
        await budget(now, 100_000_000)
        answers = [await now.complete(max_output_tokens=100) for _ in range(8)]
        failures = sum(attempt.HasField("error") for answer in answers for attempt in answer.attempts)
        assert failures > 0
        for answer in answers:
            lost_here = sum(attempt.HasField("error") for attempt in answer.attempts)
            assert answer.cost.total_nano_usd == 17_000
            assert answer.total_cost_nano_usd == 17_000 + lost_here * PRICED
        row = await costs(now)
        spent = sum(answer.total_cost_nano_usd for answer in answers)
        assert (row.cost_nano_usd, row.failed_nano_usd) == (spent, failures * PRICED)
        assert await standing(now) == (spent, 0)
        arm = (await now.arms())["a/m"]
        assert arm.failures == failures
        for learned in (arm.quality, arm.output_tokens, arm.latency_s):
            assert learned.effective_observations == 0
        events = [event for event in await logged(now.server) if isinstance(event, OutcomeReported)]
        assert {event.text_tokens for event in events if event.outcome.failed} == {0}


async def test_a_vendors_own_bill_holds_for_a_failure_too(running: Start) -> None:  # noqa: F811
    step = failing(MalformedAnswer, whole(Usage(10, 9), Bill(123_456, "0.000123456 USD")))
    async with running([step], [step]) as now:
        await budget(now, 1_000_000)
        await now.refused(**ONE)
        row = await costs(now)
        assert (row.failed_nano_usd, row.adjustment_nano_usd) == (123_456, 123_456 - PRICED)
        assert await standing(now) == (123_456, 0)


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        (Usage(10, 1_000_000), 110_000),  # more than it was allowed to write
        (at_least(Usage(10, 5, estimated=True), Claim(70, 20, 71)), 90_000),  # contradicts itself
    ],
)
async def test_a_count_that_cannot_be_true_is_booked_as_that_of_a_success_would_be(
    running: Start,  # noqa: F811
    usage: Usage,
    cost: int,
) -> None:
    step = failing(MalformedAnswer, whole(usage))
    async with running([step], [step]) as now:
        await budget(now, 1_000_000)
        await now.refused(**ONE)
        (event,) = [e for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        assert event.hold is not None
        row = await costs(now)
        assert (row.doubted_attempts, row.failed_nano_usd) == (1, cost)
        assert (await standing(now))[0] == max(cost, event.hold.nano_usd) == cost + row.uncertain_nano_usd


# -- nobody knows ------------------------------------------------------------------------------------------------------


SOME = Spent(Usage(10, 1), False, None, 20)


@pytest.mark.parametrize(
    ("step", "streams"),
    [
        (failing(Timeout, kind=TimeoutKind.TOTAL, after_s=1.0), False),
        (failing(MalformedAnswer), False),
        (failing(Truncated, SOME, "Paris is the capital"), True),
        (failing(Overloaded, SOME), True),  # an error came in the stream, when tokens were counted
        (failing(ServerError, delta="Paris is the capital"), True),  # or text had come
    ],
)
async def test_a_bill_that_nobody_knows_is_held_and_told_everywhere(
    running: Start,  # noqa: F811
    step: Fail,
    streams: bool,
) -> None:
    async with running([step], [step], **ABLE) as now:
        await budget(now, 1_000_000)
        if streams:
            with pytest.raises(grpc.aio.AioRpcError):
                await streaming(now)
        else:
            await now.refused(**ONE)
        (event,) = [e for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        assert event.hold is not None
        held = event.hold.nano_usd
        assert held > 100_000
        assert (event.outcome.uncertain, event.outcome.cost) == (held, None)
        assert (event.outcome.usage.input_tokens == 10) == (step.error.spent is not None), "what is known is kept"
        assert await standing(now) == (held, 0)
        assert (await shown(now)).uncertain_nano_usd == held
        row = await costs(now)
        assert (row.cost_nano_usd, row.failed_nano_usd) == (0, 0)
        assert (row.uncertain_attempts, row.uncertain_nano_usd) == (1, held)


@pytest.mark.parametrize("kind", [Overloaded, InvalidRequest])
async def test_what_was_refused_before_anything_was_made_cost_nothing(
    running: Start,  # noqa: F811
    kind: type[ProviderError],
) -> None:
    async with running([failing(kind)], [failing(kind)]) as now:
        await budget(now, 1_000_000)
        await now.refused(**ONE)
        row = await costs(now)
        assert (row.failed_attempts, row.uncertain_attempts) == (1, 0)
        assert await standing(now) == (0, 0)


async def test_without_a_budget_it_is_counted_and_nothing_is_held(running: Start) -> None:  # noqa: F811
    step = failing(Truncated)
    async with running([step], [step]) as now:
        detail = error_pb2.AttemptsFailedDetail()
        assert any(other.Unpack(detail) for other in (await now.refused(**ONE)).others)
        assert detail.attempts[0].HasField("uncertain_nano_usd")
        row = await costs(now)
        assert (row.uncertain_attempts, row.uncertain_nano_usd) == (1, 0)


async def test_a_model_that_costs_nothing_leaves_no_doubt(running: Start) -> None:  # noqa: F811
    free = {"input_usd_per_million": 0.0, "output_usd_per_million": 0.0}
    async with running([failing(Truncated)], [failing(Truncated)], models=(free, free)) as now:
        await now.refused(**ONE)
        assert (await costs(now)).uncertain_attempts == 0


async def test_callers_who_leave_use_a_budget_up_and_the_report_says_so(running: Start) -> None:  # noqa: F811
    async with running([reply("late", delay_s=60.0)], [reply("late", delay_s=60.0)]) as now:
        await budget(now, 1_000_000)
        leaving = [asyncio.ensure_future(now.complete(max_output_tokens=100)) for _ in range(5)]
        await until(lambda: now.calls() == 5)
        for call in leaving:
            call.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)

        async def settled() -> bool:
            return (await costs(now)).attempts == 5

        await until(settled)
        row, (spent, reserved) = await costs(now), await standing(now)
        assert (row.uncertain_attempts, row.cost_nano_usd, reserved) == (5, 0, 0)
        assert row.uncertain_nano_usd == spent == (await shown(now)).uncertain_nano_usd > 500_000


async def test_cost_and_uncertain_together_are_what_a_budget_counts_and_the_report_is_the_sum(
    running: Start,  # noqa: F811
) -> None:
    """Of everything at once; the sums made anew from the log are the same."""
    steps = [
        failing(MalformedAnswer, whole(Usage(10, 9))),
        reply("yes", output_tokens=7),
        failing(Truncated, SOME),
        failing(Overloaded),
        reply("yes", output_tokens=8),
        failing(MalformedAnswer, whole(Usage(10, 1_000_000))),
        failing(Timeout, kind=TimeoutKind.IDLE, after_s=1.0),
    ]
    async with running([*steps, reply("end")], [*steps, reply("end")]) as now:
        await budget(now, 100_000_000)
        for _ in range(10):
            with suppress(Refusal):
                await now.complete(max_output_tokens=100)
        outcomes = [e.outcome for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        row = await costs(now)
        assert row.cost_nano_usd == sum(o.cost.total for o in outcomes if o.cost)
        assert row.failed_nano_usd == sum(o.cost.total for o in outcomes if o.cost and o.failed) > 0
        assert row.uncertain_nano_usd == sum(o.uncertain or 0 for o in outcomes) > 0
        assert row.uncertain_attempts == sum(o.uncertain is not None for o in outcomes)
        spent, reserved = await standing(now)
        assert (spent, reserved) == (row.cost_nano_usd + row.uncertain_nano_usd, 0)
        assert (await shown(now)).uncertain_nano_usd == row.uncertain_nano_usd
        assert await rebuild(now.server.store) == await kept(now.server.store)
        assert total(await kept(now.server.store)).uncertain == row.uncertain_nano_usd


# -- callers' own calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "spent", "uncertain"),
    [
        ({"error": {"kind": 1}}, None, None),  # a timeout: all that was held
        ({"error": {"kind": 1}, "cost_nano_usd": 4}, 4, 0),
        ({"error": {"kind": 11}, "input_tokens": 10, "output_tokens": 9}, PRICED, 0),
        ({"error": {"kind": 3}}, 0, 0),  # refused
        ({"cost_nano_usd": 4}, 4, 0),
    ],
)
async def test_what_a_caller_reports_settles_it(
    running: Start,  # noqa: F811
    report: dict[str, Any],
    spent: int | None,
    uncertain: int | None,
) -> None:
    async with running([reply("x")], [reply("x")]) as now:
        await budget(now, 1_000_000)
        made = await RouterServiceStub(now.channel).Decide(
            router_service_pb2.DecideRequest(task_class="t", input_tokens=10, max_output_tokens=100)
        )
        held = (await shown(now)).reserved_nano_usd
        assert held > 0
        request = feedback_service_pb2.ReportOutcomeRequest(decision_id=made.decision_id, attempt_id="x", **report)
        for _ in range(2):  # the same again changes nothing
            await FeedbackServiceStub(now.channel).ReportOutcome(request)
        seen, row = await shown(now), await costs(now)
        assert seen.spent_nano_usd == (held if spent is None else spent)
        assert seen.uncertain_nano_usd == row.uncertain_nano_usd == (held if uncertain is None else uncertain)
        assert row.cost_nano_usd + row.uncertain_nano_usd == seen.spent_nano_usd
