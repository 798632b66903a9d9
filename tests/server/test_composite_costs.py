"""Who was paid for an answer of an ensemble or a cascade: the bill, its attempts and the report say the same."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from naiad.adapters.base import Bill, Usage
from naiad.server.costs import Sums, rebuild
from naiad.v1 import (
    admin_service_pb2,
    decision_pb2,
    feedback_pb2,
    feedback_service_pb2,
    insight_pb2,
    insight_service_pb2,
)
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from tests.adapters.scripted import Reply, Step, reply
from tests.e2e.live import Refusal
from tests.journal.test_costs import kept
from tests.server.test_composing import (  # noqa: F401 - running is a fixture
    BUSY,
    NEVER,
    Running,
    Start,
    cascade,
    ensemble,
    running,
    text,
)

PARTS = ("input", "cached_input", "cache_write", "output", "request", "adjustment")
SHARES = ("cost_nano_usd", "judge_nano_usd", "other_members_nano_usd", "reasoning_nano_usd", "adjustment_nano_usd")


def paid(said: str, cost: int, bill: int | None = None) -> Reply:
    """Answer for so many tokens, that are nano-USD times 1,000, four tenths of them for reasoning."""
    made = reply(said)
    usage = Usage(10, cost - 10, reasoning_tokens=(cost - 10) * 4 // 10)
    return replace(
        made, answer=replace(made.answer, usage=usage, bill=None if bill is None else Bill(bill * 1_000, "so much"))
    )


def shares(cost: decision_pb2.CostBreakdown) -> tuple[int, int, int]:
    """Return (total, other members, judge) of an answer's cost, in thousands; its parts add up."""
    assert cost.total_nano_usd == sum(getattr(cost, f"{part}_nano_usd") for part in PARTS)
    assert 0 <= cost.reasoning_nano_usd <= cost.output_nano_usd
    return tuple(  # type: ignore[return-value]
        amount // 1_000 for amount in (cost.total_nano_usd, cost.other_members_nano_usd, cost.judge_nano_usd)
    )


async def rows(now: Running) -> tuple[dict[str, insight_pb2.CostRow], insight_pb2.CostRow]:
    """Return the report's rows by model, and its total."""
    asked = insight_service_pb2.GetCostReportRequest(group_by=[insight_pb2.COST_DIMENSION_MODEL])
    report = await InsightServiceStub(now.channel).GetCostReport(asked)
    return {row.model: row for row in report.rows}, report.total


async def proved(now: Running, answers: list[str]) -> None:
    """Assert that the report is the sum over the decisions, that it is what the log says, and that it folds again."""
    by_model, total = await rows(now)
    summed: Counter[str] = Counter()
    for decision in answers:
        attempts = (await now.record(decision)).attempts
        returned = {attempt.returned_attempt_id for attempt in attempts}
        for attempt in attempts:
            cost = attempt.cost
            assert cost.total_nano_usd == sum(getattr(cost, f"{part}_nano_usd") for part in PARTS)
            found = {"cost_nano_usd": cost.total_nano_usd} | {
                name: getattr(cost, name) for name in ("reasoning_nano_usd", "adjustment_nano_usd")
            }
            if attempt.judge:
                found["judge_nano_usd"] = cost.total_nano_usd
            elif attempt.part_of and attempt.attempt_id not in returned:
                found["other_members_nano_usd"] = cost.total_nano_usd
            summed.update(found)
    for name in SHARES:
        assert getattr(total, name) == sum(getattr(row, name) for row in by_model.values()) == summed[name], name
    store = now.server.store
    sums = await kept(store)
    assert sums == await rebuild(store)
    whole = Sums()
    for one in sums.values():
        whole = whole.plus(one)
    assert (whole.judge_cost, whole.other_members_cost) == (total.judge_nano_usd, total.other_members_nano_usd)
    reply = await AdminServiceStub(now.channel).VerifyLog(admin_service_pb2.VerifyLogRequest())
    assert (reply.statistics_equal, reply.beliefs_equal, reply.budgets_equal) == (True, True, True)


THREE = {"a": [paid("x", 100)], "b": [paid("y", 200)], "c": [paid("z", 400)]}
AGREE = {"a": [paid("x", 100)], "b": [paid("y", 200)], "c": [replace(paid("x", 400), delay_s=0.05)]}


@pytest.mark.parametrize(
    ("composite", "scripts", "said", "expected", "returned"),
    [
        (ensemble(), AGREE, "x", (700, (300, 600)), "ac"),
        (ensemble("judge", judge="j/m"), THREE | {"j": [paid("3", 50)]}, "z", (750, (300,)), "c"),
        (ensemble("judge", judge="j/m"), THREE | {"j": [BUSY], "b": [paid("x", 200)]}, "x", (700, (500, 600)), "ab"),
        (ensemble("judge", judge="j/m"), THREE | {"j": [paid("2", 50)], "c": [BUSY]}, "y", (350, (100,)), "b"),
        (ensemble("judge", judge="j/m"), THREE | {"j": [paid("1", 50, 90)], "b": [paid("y", 200, 10)]}, "x",
         (600, (410,)), "a"),
        (ensemble("first_agreement", agree=2), {"a": [paid("x", 100)], "b": [paid("x", 200)], "c": [NEVER]}, "x",
         (300, (100, 200)), "ab"),
        (cascade(pattern="[0-9]"), {"a": [paid("x", 100)], "b": [BUSY], "c": [paid("7", 400)]}, "7",
         (500, (100,)), "c"),
        (cascade(pattern="[0-9]"), {"a": [paid("x", 100)], "b": [paid("y", 200)], "c": [BUSY]}, "y",
         (300, (100,)), "b"),
        (cascade(judge="j/m", threshold=0.7), THREE | {"j": [paid("0.4", 50), paid("0.8", 60)]}, "y",
         (410, (100,)), "b"),
    ],
    ids=["majority", "judge", "judge-fails", "member-fails", "bills", "cancelled", "cascade", "unchecked", "judged"],
)  # fmt: skip
async def test_the_bill_says_who_was_paid(
    running: Start, composite: Any, scripts: dict[str, list[Step]], said: str, expected: tuple[int, tuple[int, ...]],  # noqa: F811
    returned: str,
) -> None:  # fmt: skip
    async with running(composite, **scripts) as now:
        answer = await now.complete()
        assert text(answer) == said
        total, others, judge = shares(answer.cost)
        assert total == expected[0]
        assert others in expected[1]
        attempts = {a.attempt_id: a for a in answer.attempts}
        assert judge * 1_000 == sum(a.cost.total_nano_usd for a in attempts.values() if a.judge)
        assert {a.model for a in attempts.values() if a.judge} <= {"j/m"}
        whole = attempts[answer.attempt_id]
        got = attempts[whole.returned_attempt_id]
        assert got.model[0] in returned
        assert got.cost.total_nano_usd == (total - others - judge) * 1_000, "what is left is the answer's own"
        assert got.part_of == "team/e"
        assert answer.total_cost_nano_usd == answer.cost.total_nano_usd
        by_model, _ = await rows(now)
        assert by_model["team/e"].judge_nano_usd == by_model["team/e"].other_members_nano_usd == 0
        if judge:
            assert by_model["j/m"].judge_nano_usd == judge * 1_000 == by_model["j/m"].cost_nano_usd
        await proved(now, [answer.decision_id])


async def test_bills_stand_beside_what_the_prices_would_give(running: Start) -> None:  # noqa: F811
    scripts: Any = {"a": [paid("x", 100)], "b": [paid("x", 200, 150)], "c": [paid("x", 400, 500)]}
    async with running(ensemble(), **scripts) as now:
        cost = (await now.complete()).cost
        assert (cost.total_nano_usd, cost.billed_nano_usd, cost.adjustment_nano_usd) == (750_000, 650_000, 50_000)
        assert cost.output_nano_usd == 670_000
        assert cost.reasoning_nano_usd == (36 + 76 + 156) * 1_000


async def test_a_model_may_be_member_and_judge(running: Start) -> None:  # noqa: F811
    scripts: Any = {"a": [paid("x", 100), paid("2", 30)], "b": [paid("y", 200)], "c": [paid("z", 400)]}
    async with running(ensemble("judge", judge="a/m"), **scripts) as now:
        answer = await now.complete()
        assert (text(answer), shares(answer.cost)) == ("y", (730, 500, 30))
        by_model, _ = await rows(now)
        assert (by_model["a/m"].judge_nano_usd, by_model["a/m"].other_members_nano_usd) == (30_000, 100_000)


async def test_where_nothing_is_returned_every_member_is_another(running: Start) -> None:  # noqa: F811
    async with running(cascade(pattern="x"), a=[BUSY], b=[BUSY], c=[BUSY]) as now:
        with pytest.raises(Refusal):
            await now.complete()
        _, total = await rows(now)
        assert (total.failed_attempts, total.other_members_nano_usd, total.judge_nano_usd) == (4, 0, 0)


async def test_the_shares_stay_when_answers_are_judged_and_judgements_taken_back(running: Start) -> None:  # noqa: F811
    scripts: Any = THREE | {"j": [paid("3", 50)]}
    async with running(ensemble("judge", judge="j/m"), **scripts) as now:
        answers = [await now.complete() for _ in range(4)]
        before = await rows(now)
        stub = FeedbackServiceStub(now.channel)
        for answer in answers:
            given = feedback_service_pb2.ReportFeedbackRequest(
                decision_id=answer.decision_id, source=feedback_pb2.FEEDBACK_SOURCE_HUMAN, score=0.25
            )
            kept_id = (await stub.ReportFeedback(given)).feedback_id
            given.score = 0.75
            await stub.ReportFeedback(given)
            await stub.RetractFeedback(feedback_service_pb2.RetractFeedbackRequest(feedback_id=kept_id))
        assert await rows(now) == before
        await proved(now, [answer.decision_id for answer in answers])


async def test_a_member_that_lies_is_doubted_and_so_is_the_whole(running: Start) -> None:  # noqa: F811
    liar = replace(reply("x"), answer=replace(reply("x").answer, usage=Usage(10, 1_000_000)))
    async with running(ensemble(), a=[liar], b=[reply("x")], c=[reply("x")]) as now:
        answer = await now.complete(max_output_tokens=100)
        attempts = {a.model: a for a in answer.attempts}
        assert attempts["a/m"].usage.output_tokens == 100
        assert [m for m, a in attempts.items() if a.usage.HasField("doubted")] == ["a/m", "team/e"]
        assert answer.usage.doubted.output_tokens == 1_000_002
        told = [n for n in answer.notices if n.code == decision_pb2.NOTICE_CODE_USAGE_NOT_CREDIBLE]
        assert [n.metadata["model"] for n in told] == ["a/m"], "once, by who lied"
        arms = await now.arms()
        learned = {m: arms[m].output_tokens.effective_observations for m in ("a/m", "b/m", "c/m", "team/e")}
        assert learned == {"a/m": 0, "b/m": 1, "c/m": 1, "team/e": 0}
        _, total = await rows(now)
        assert total.doubted_attempts == 1
