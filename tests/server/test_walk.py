"""The walk along the ranking: retries, fallbacks, deadlines, windows and breakers, over scripted providers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from naiad.adapters.base import FinishReason
from naiad.adapters.errors import (
    ContextTooLong,
    MalformedAnswer,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Timeout,
    TimeoutKind,
)
from naiad.v1 import decision_pb2, error_pb2, insight_service_pb2, router_service_pb2
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Step, reply
from tests.server.test_completion import Running, Start, running, until  # noqa: F401 - running is a fixture

WHO: dict[str, Any] = {"provider": "a", "model": "m"}
BROKEN = Fail(MalformedAnswer("nonsense", **WHO))
DOWN = Fail(ServerError("down", **WHO))
A = {"allowed_models": ["a/m"]}


def limited(retry_after_s: float | None) -> Fail:
    return Fail(RateLimited("slow down", retry_after_s=retry_after_s, **WHO))


async def test_a_model_alone_is_asked_three_times(running: Start) -> None:  # noqa: F811
    async with running([DOWN], [reply("b")]) as now:
        refusal = await now.refused(**A)
        assert (refusal.reason, now.calls()) == ("ALL_ATTEMPTS_FAILED", 3)
    async with running([DOWN, DOWN, reply("third")], [reply("b")]) as now:
        answer = await now.complete(**A)
        assert [a.HasField("error") for a in answer.attempts] == [True, True, False]
        assert (answer.answer.parts[0].text, answer.attempt_id) == ("third", "3")
        assert answer.total_cost_nano_usd == answer.cost.total_nano_usd, "failures are not billed as answers"


async def test_a_short_retry_after_is_waited_for_and_a_long_one_is_not(running: Start) -> None:  # noqa: F811
    async with running([limited(0.3), reply("again")], [reply("b")]) as now:
        began = time.monotonic()
        answer = await now.complete(**A)
        assert answer.answer.parts[0].text == "again"
        assert time.monotonic() - began >= 0.3
    async with running([limited(30.0)], [limited(20.0)]) as now:
        refusal = await now.refused(timeout_s=10.0)
        assert (refusal.reason, refusal.retry_after_s, now.calls()) == ("ALL_ATTEMPTS_FAILED", 20.0, 2)


async def test_a_quota_is_never_retried_and_leaves_the_model_alone_for_long(running: Start) -> None:  # noqa: F811
    spent = Fail(QuotaExhausted("the day's quota", retry_after_s=0.01, **WHO))
    async with running([spent], [reply("b")]) as now:
        refusal = await now.refused(**A)
        assert (refusal.reason, refusal.retry_after_s, now.calls()) == ("ALL_ATTEMPTS_FAILED", None, 1)
        refusal = await now.refused(**A)
        assert (refusal.reason, now.calls()) == ("MODELS_UNAVAILABLE", 1)
        assert refusal.retry_after_s == pytest.approx(3_600, abs=60)
        for _ in range(5):
            answer = await now.complete()
            assert [c.model for c in answer.ranking] == ["b/m"]
            assert [(e.model, e.reason) for e in answer.excluded] == [
                ("a/m", decision_pb2.EXCLUSION_REASON_UNAVAILABLE)
            ]


async def decide(now: Running, **fields: Any) -> router_service_pb2.DecideResponse:
    request = router_service_pb2.DecideRequest(task_class="t", input_tokens=10, **fields)
    return await RouterServiceStub(now.channel).Decide(request)


async def test_an_open_breaker_shows_in_decisions_and_ends_by_a_probe(running: Start) -> None:  # noqa: F811
    async with running([*[BROKEN] * 5, reply("well")], [reply("b")]) as now:
        for _ in range(5):
            assert (await now.refused(**A)).reason == "ALL_ATTEMPTS_FAILED"
        made = await decide(now)
        assert [c.model for c in made.ranking] == ["b/m"]
        assert [(e.reason, e.detail) for e in made.excluded] == [
            (decision_pb2.EXCLUSION_REASON_UNAVAILABLE, "its breaker is open: 5 calls in a row failed")
        ]
        await until(lambda: now.server.journal.backlog == 0)
        request = insight_service_pb2.GetDecisionRequest(decision_id=made.decision_id)
        kept = (await InsightServiceStub(now.channel).GetDecision(request)).decision
        assert [e.reason for e in kept.excluded] == [decision_pb2.EXCLUSION_REASON_UNAVAILABLE]
        refusal = await now.refused(**A)
        assert (refusal.reason, refusal.code, now.calls()) == ("MODELS_UNAVAILABLE", "UNAVAILABLE", 5)
        assert refusal.retry_after_s is not None
        assert 0.0 < refusal.retry_after_s <= 1.0
        detail = error_pb2.NoEligibleModelDetail()
        assert [d.Unpack(detail) for d in refusal.others] == [True]
        await asyncio.sleep(refusal.retry_after_s)
        assert (await now.complete(**A)).answer.parts[0].text == "well"
        assert not (await decide(now)).excluded


async def test_an_input_that_is_too_long_goes_to_a_larger_window_only(running: Start) -> None:  # noqa: F811
    full = Fail(ContextTooLong("too long", status=400, **WHO))
    small, large = {"context_window": 8_000}, {"context_window": 128_000}
    async with running([full], [reply("it fits")], models=(small, large)) as now:
        for _ in range(8):
            answer = await now.complete()
            assert (answer.model, len(now.adapters["a"].calls)) == ("b/m", now.calls() - len(now.adapters["b"].calls))
            assert [a.error.kind for a in answer.attempts[:-1]] in ([], [7]), "and once, for it is not retried"
    for windows in ((large, small), (small, small)):
        async with running([full], [reply("never")], models=windows) as now:
            while (refusal := await leading(now)) is None:
                pass
            assert (refusal.reason, len(now.adapters["a"].calls)) == ("ALL_ATTEMPTS_REJECTED", 1)


async def leading(now: Running) -> Any:
    """Complete, and return how it was refused; None where the second model was the choice."""
    try:
        await now.complete()
    except Exception as refusal:
        return refusal
    return None


@pytest.mark.parametrize("finish", [FinishReason.CONTENT_FILTER, FinishReason.REFUSAL])
async def test_a_refusal_is_an_answer(running: Start, finish: FinishReason) -> None:  # noqa: F811
    declined = reply("", finish=finish)
    async with running([declined], [declined]) as now:
        answer = await now.complete()
        assert (len(answer.attempts), now.calls()) == (1, 1)
        assert answer.finish_reason == {FinishReason.CONTENT_FILTER: 4, FinishReason.REFUSAL: 5}[finish]


async def test_time_is_kept_back_for_the_next_model(running: Start) -> None:  # noqa: F811
    """One that hangs does not take all the time that another needs."""
    async with running([reply("late", delay_s=60.0)], [reply("in time")]) as now:
        for _ in range(6):
            answer = await now.complete(timeout_s=1.0)
            assert answer.model == "b/m"


async def test_a_failure_teaches_nothing_of_quality(running: Start) -> None:  # noqa: F811
    steps: list[Step] = [
        DOWN, BROKEN, limited(0.0), Fail(Overloaded("busy", **WHO)),
        Fail(Timeout("late", kind=TimeoutKind.FIRST_BYTE, after_s=1.0, **WHO)),
    ]  # fmt: skip
    async with running(steps, [reply("b")]) as now:
        for _ in range(10):
            await now.complete()
        arm = (await now.arms())["a/m"]
        assert arm.failures == len(now.adapters["a"].calls) > 0
        assert (arm.quality.effective_observations, arm.latency_s.effective_observations) == (0.0, 0.0)


async def test_under_a_lasting_fault_the_attempts_stay_few(running: Start) -> None:  # noqa: F811
    async with running([DOWN], [reply("b")]) as now:
        for _ in range(200):
            assert (await now.complete()).model == "b/m"
        assert now.calls() <= 1.10 * 200
