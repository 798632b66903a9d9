"""Providers that lie about tokens and money: nothing is learned, nothing is lost to a budget, and all are told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from naiad.adapters.base import Bill, Claim, Request, Usage
from naiad.adapters.wire_format import at_least
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.server.records import OutcomeReported
from naiad.v1 import content_pb2, decision_pb2, insight_pb2, insight_service_pb2, router_service_pb2
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Reply, Scripted, reply
from tests.server.test_completion import DATA, Running, Start, running  # noqa: F401 - running is a fixture
from tests.server.test_completion_budget import budget, logged, standing

ONLY = {"allowed_models": ["a/m"]}
SMALL: tuple[dict[str, Any], ...] = ({"context_window": 8_000}, {})
USAGE_NOT_CREDIBLE = decision_pb2.NOTICE_CODE_USAGE_NOT_CREDIBLE
BILL_NOT_CREDIBLE = decision_pb2.NOTICE_CODE_BILL_NOT_CREDIBLE


def counting(usage: Usage, bill: Bill | None = None) -> Reply:
    """Answer with a count, and perhaps a bill."""
    made = reply("four words of text")
    return replace(made, answer=replace(made.answer, usage=usage, bill=bill))


def noticed(answer: router_service_pb2.CompleteResponse) -> dict[int, dict[str, str]]:
    """Return the metadata of the notices by their code."""
    return {notice.code: dict(notice.metadata) for notice in answer.notices}


async def explained(now: Running, decision_id: str) -> Any:
    request = insight_service_pb2.GetDecisionRequest(decision_id=decision_id)
    return (await InsightServiceStub(now.channel).GetDecision(request)).decision


async def costs(now: Running) -> insight_pb2.CostRow:
    return (await InsightServiceStub(now.channel).GetCostReport(insight_service_pb2.GetCostReportRequest())).total


CONTRADICTION = at_least(Usage(12, 5, estimated=True), Claim(70, 20, 71))


@pytest.mark.parametrize(
    ("usage", "reason", "claimed", "booked"),
    [
        (Usage(10, 1_000_000), "output_limit", (10, 1_000_000), (10, 100)),
        (Usage(1_000_000, 7), "context_window", (1_000_000, 7), (8_000, 7)),
        (Usage(10, 90_007, reasoning_tokens=90_000), "context_window", (10, 90_007), (10, 8_000)),
        (CONTRADICTION, "contradiction", (70, 20), (70, 20)),
    ],
)
async def test_a_count_that_cannot_be_true_is_told_everywhere_and_teaches_nothing(
    running: Start,  # noqa: F811
    usage: Usage,
    reason: str,
    claimed: tuple[int, int],
    booked: tuple[int, int],
) -> None:
    async with running([counting(usage)], [reply("no")], models=SMALL) as now:
        with capture_logs() as lines:
            answer = await now.complete(max_output_tokens=100, **ONLY)
        facts = {
            "reason": reason, "claimed_input_tokens": claimed[0], "claimed_output_tokens": claimed[1],
            "input_tokens": booked[0], "output_tokens": booked[1],
        }  # fmt: skip
        (line,) = [line for line in lines if line["event"] == "usage_not_credible"]
        assert {key: line[key] for key in facts} == facts
        assert (line["model"], line["attempt"]) == ("a/m", "1")
        told = noticed(answer)
        assert told[USAGE_NOT_CREDIBLE] == {k: str(v) for k, v in facts.items()} | {"model": "a/m", "attempt_id": "1"}
        assert decision_pb2.NOTICE_CODE_USAGE_ESTIMATED not in told, "once is enough"
        record = await explained(now, answer.decision_id)
        for seen in (answer.usage, answer.attempts[0].usage, record.attempts[0].usage):
            assert seen.estimated
            assert (seen.input_tokens, seen.output_tokens) == booked
            assert content_pb2.UsageDoubt.Name(seen.doubted.reason) == f"USAGE_DOUBT_{reason.upper()}"
            assert (seen.doubted.input_tokens, seen.doubted.output_tokens) == claimed
        assert answer.cost.total_nano_usd == sum(booked) * 1_000
        arm = (await now.arms())["a/m"]
        assert arm.output_tokens.effective_observations == 0, "nothing is learned of tokens"
        assert arm.latency_s.effective_observations == 1, "what was measured here is"
        (event,) = [e for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        assert (event.text_bytes, event.text_tokens) == (0, 0), "nor of bytes a token"
        total = await costs(now)
        assert (total.doubted_attempts, total.output_tokens, total.cost_nano_usd) == (1, booked[1], sum(booked) * 1_000)


async def test_an_honest_count_is_told_nowhere_and_learned(running: Start) -> None:  # noqa: F811
    async with running([counting(Usage(10, 100, reasoning_tokens=60))], [reply("no")], models=SMALL) as now:
        with capture_logs() as lines:
            answer = await now.complete(max_output_tokens=100, **ONLY)
        assert not [line for line in lines if line["event"].endswith("not_credible")]
        assert noticed(answer).keys() <= {decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED}
        assert not answer.usage.HasField("doubted")
        assert (answer.cost.output_nano_usd, answer.cost.reasoning_nano_usd) == (100_000, 60_000)
        assert answer.attempts[0].cost == answer.cost
        assert (await now.arms())["a/m"].output_tokens.effective_observations == 1
        total = await costs(now)
        assert (total.reasoning_nano_usd, total.output_nano_usd, total.doubted_attempts) == (60_000, 100_000, 0)


async def test_a_hard_budget_counts_a_doubted_call_at_what_was_held(running: Start) -> None:  # noqa: F811
    """Its answer may have cost less or as much: nobody knows, so the budget takes the most."""
    negative = at_least(Usage(12, 5, estimated=True), Claim(-1, -1))
    async with running([counting(negative)], [reply("no")], models=SMALL) as now:
        await budget(now, 1_000_000)
        answer = await now.complete(max_output_tokens=100, **ONLY)
        assert answer.total_cost_nano_usd == 17_000
        (event,) = [e for e in await logged(now.server) if isinstance(e, OutcomeReported)]
        assert event.hold is not None
        assert event.hold.nano_usd >= 100_000
        assert await standing(now) == (event.hold.nano_usd, 0)


async def test_a_liar_does_not_use_a_budget_up(running: Start) -> None:  # noqa: F811
    async with running([counting(Usage(10, 1 << 40))], [reply("no")], models=SMALL) as now:
        await budget(now, 1_000_000)
        for _ in range(5):
            await now.complete(max_output_tokens=100, **ONLY)
        spent, reserved = await standing(now)
        assert reserved == 0
        assert 500_000 <= spent <= 1_000_000


async def test_a_bill_takes_the_place_of_the_prices_and_both_stand_side_by_side(running: Start) -> None:  # noqa: F811
    honest = counting(Usage(10, 100), Bill(123_456, "0.000123456 USD"))
    async with running([honest], [reply("no")]) as now:
        await budget(now, 1_000_000)
        answer = await now.complete(max_output_tokens=100, **ONLY)
        for cost in (answer.cost, answer.attempts[0].cost, (await explained(now, answer.decision_id)).attempts[0].cost):
            assert (cost.total_nano_usd, cost.billed_nano_usd) == (123_456, 123_456)
            assert (cost.input_nano_usd, cost.output_nano_usd, cost.adjustment_nano_usd) == (10_000, 100_000, 13_456)
            assert not cost.doubted_bill
        assert noticed(answer).keys() <= {decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED}
        assert answer.total_cost_nano_usd == 123_456
        assert await standing(now) == (123_456, 0), "a hard budget counts the bill"
        total = await costs(now)
        assert (total.cost_nano_usd, total.adjustment_nano_usd) == (123_456, 13_456)
        assert total.estimated_nano_usd == 123_456
        assert total.estimate_nano_usd == answer.ranking[0].cost_nano_usd, "the estimate beside the bill"


@pytest.mark.parametrize(
    "bill",
    [Bill(None, "no number"), Bill(None, "-1 USD"), Bill(2_000_000_000, "2 USD"), Bill(10**16, "1e+07 USD")],
    ids=lambda bill: bill.said,
)
async def test_a_bill_that_cannot_be_true_gives_way_to_the_prices(running: Start, bill: Bill) -> None:  # noqa: F811
    async with running([counting(Usage(10, 100), bill)], [reply("no")]) as now:
        with capture_logs() as lines:
            answer = await now.complete(max_output_tokens=100, **ONLY)
        (line,) = [line for line in lines if line["event"] == "bill_not_credible"]
        assert (line["billed"], line["nano_usd"]) == (bill.said, 110_000)
        for cost in (answer.cost, (await explained(now, answer.decision_id)).attempts[0].cost):
            assert cost.total_nano_usd == 110_000
            assert not cost.HasField("billed_nano_usd")
            assert cost.doubted_bill == bill.said
        assert noticed(answer)[BILL_NOT_CREDIBLE] == {
            "model": "a/m", "attempt_id": "1", "billed": bill.said, "nano_usd": "110000",
        }  # fmt: skip
        assert (await costs(now)).adjustment_nano_usd == 0


async def test_streamed_answers_are_looked_at_alike(running: Start) -> None:  # noqa: F811
    liar = counting(Usage(10, 1_000_000), Bill(None, "no number"))
    async with running([liar], [reply("no")], models=({"capabilities": ["streaming"]}, {})) as now:
        request = router_service_pb2.StreamCompleteRequest(
            task_class="t",
            messages=[{"role": 2, "parts": [{"text": "hello"}]}],
            max_output_tokens=100,
            allowed_models=["a/m"],
        )
        events = [event async for event in RouterServiceStub(now.channel).StreamComplete(request, timeout=20.0)]
        answer = events[-1].completed.response
        assert answer.usage.output_tokens == 100
        assert {USAGE_NOT_CREDIBLE, BILL_NOT_CREDIBLE} <= noticed(answer).keys()


async def test_the_limit_that_a_hard_budget_set_bounds_the_count_too(running: Start) -> None:  # noqa: F811
    """Where the caller gave none: what was really sent counts."""
    seen: list[int | None] = []

    def look(request: Request) -> Reply:
        seen.append(request.max_output_tokens)
        return counting(Usage(10, 3_000))

    async with running([look], [look], models=({"max_output_tokens": 1_000}, {})) as now:
        answer = await now.complete(**ONLY)
        assert answer.usage.output_tokens == 3_000, "no limit was sent, and the window is not known"
        await budget(now, 100_000_000)
        answer = await now.complete(**ONLY)
        assert seen == [None, 1_000]
        assert answer.usage.output_tokens == 1_000


async def test_what_is_replayed_was_made_under_limits_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    replayed = Scripted([counting(Usage(10, 5_000, estimated=True))], provider="replay", loop=True)
    monkeypatch.setattr(providers, "build", lambda profiles: {"replay": replayed})
    model = DATA["models"][0] | {"endpoint": "replay", "context_window": 1_000}
    server = await Server.start(parse(DATA | {"models": [model]}, "test"))
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            answer = await Running(server, channel, {}).complete(max_output_tokens=10)
            assert (answer.usage.output_tokens, answer.usage.HasField("doubted")) == (5_000, False)
    finally:
        await server.stop()
