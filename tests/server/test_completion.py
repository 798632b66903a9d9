"""Complete over scripted providers: fallback, failure, deadlines, cancellation; every attempt is recorded."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from naiad.adapters.base import Answer, FinishReason, TextPart, Usage
from naiad.adapters.errors import AuthenticationFailed, InvalidRequest, Overloaded
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.v1 import catalog_service_pb2, decision_pb2, error_pb2, insight_service_pb2, router_service_pb2
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.e2e.live import Refusal, refusal_of
from tests.server.reasons import check

BUSY = Fail(Overloaded("busy", provider="a", model="m"))
WRONG = Fail(InvalidRequest("wrong", provider="a", model="m"))
DENIED = Fail(AuthenticationFailed("denied", provider="a", model="m"))
DATA: dict[str, Any] = {
    "server": {"listen": "127.0.0.1:0", "drain_s": 5.0},
    "storage": {"path": ":memory:"},
    "endpoints": {"a": {"kind": "echo"}, "b": {"kind": "echo"}},
    "models": [
        {"name": f"{p}/m", "endpoint": p, "input_usd_per_million": 1.0, "output_usd_per_million": 1.0} for p in "ab"
    ],
}  # fmt: skip


@dataclass
class Running:
    """A server over scripted providers, and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    adapters: dict[str, Scripted]

    async def complete(self, timeout_s: float = 20.0, **fields: Any) -> router_service_pb2.CompleteResponse:
        """Complete; raises Refusal."""
        request = router_service_pb2.CompleteRequest(
            task_class="t", messages=[{"role": 2, "parts": [{"text": "hello"}]}], **fields
        )
        try:
            return await RouterServiceStub(self.channel).Complete(request, timeout=timeout_s)
        except grpc.aio.AioRpcError as error:
            refusal = refusal_of(error)
            if refusal.reason:
                check(refusal.reason, refusal.code, refusal.metadata)
            raise refusal from error

    async def refused(self, **fields: Any) -> Refusal:
        """Return how a completion is refused."""
        with pytest.raises(Refusal) as caught:
            await self.complete(**fields)
        return caught.value

    async def arms(self) -> dict[str, Any]:
        """Return the arms by model."""
        request = insight_service_pb2.ListArmsRequest(task_class="t")
        return {a.model: a for a in (await InsightServiceStub(self.channel).ListArms(request)).arms}

    def calls(self) -> int:
        """Return how many calls reached the providers."""
        return sum(len(adapter.calls) for adapter in self.adapters.values())


Start = Callable[..., Any]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts a server over two providers, each with its script and changes to its model."""

    @asynccontextmanager
    async def start(
        a: list[Step], b: list[Step], *, models: tuple[dict[str, Any], ...] = ({}, {}), **server: Any
    ) -> AsyncIterator[Running]:
        adapters = {"a": Scripted(a, provider="a", loop=True), "b": Scripted(b, provider="b", loop=True)}
        monkeypatch.setattr(providers, "build", lambda profiles: dict(adapters))
        changed = [known | of for known, of in zip(DATA["models"], models, strict=True)]
        served = await Server.start(parse(DATA | {"server": DATA["server"] | server, "models": changed}, "test"))
        async with grpc.aio.insecure_channel(served.address) as channel:
            try:
                yield Running(served, channel, adapters)
            finally:
                await served.stop()

    return start


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait for a condition, for ten seconds at most."""
    for _ in range(1_000):
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


async def test_a_failure_falls_back_and_teaches_availability(running: Start) -> None:
    async with running([BUSY], [reply("from b")]) as now:
        for _ in range(12):
            answer = await now.complete()
            assert (answer.model, answer.answer.parts[0].text) == ("b/m", "from b")
            failed = [a for a in answer.attempts if a.HasField("error")]
            assert {a.error.kind for a in failed} <= {4}
            assert (len(failed) > 0) == (answer.ranking[0].model == "a/m"), "none of a model that was not the choice"
            assert answer.attempt_id == str(len(answer.attempts))
        arms = await now.arms()
        assert arms["a/m"].failures == len(now.adapters["a"].calls) > 0
        assert arms["a/m"].success.mean < arms["b/m"].success.mean
        assert arms["a/m"].quality.effective_observations == 0.0


@pytest.mark.parametrize(
    ("step", "reason", "kind", "calls"),
    [
        (BUSY, "ALL_ATTEMPTS_FAILED", 4, 3),  # once more of the first, then the second
        (WRONG, "ALL_ATTEMPTS_REJECTED", 6, None),
        (DENIED, "ALL_ATTEMPTS_REJECTED", 8, None),
    ],
    ids=["overloaded", "invalid", "denied"],
)
async def test_when_all_fail_the_error_tells_of_every_attempt(
    running: Start, step: Step, reason: str, kind: int, calls: int | None
) -> None:
    async with running([step], [step]) as now:
        refusal = await now.refused()
        assert refusal.reason == reason
        assert int(refusal.metadata["attempts"]) == now.calls() == (calls or now.calls())
        detail = error_pb2.AttemptsFailedDetail()
        assert [d.Unpack(detail) for d in refusal.others] == [True], "the documented detail"
        assert detail.decision_id == refusal.metadata["decision_id"]
        assert [a.error.kind for a in detail.attempts] == [kind] * now.calls()
        last = detail.attempts[-1]
        assert re.fullmatch(r"[A-Z]\w+: .+", last.error.detail), "what happened, not its kind alone"
        assert f"The last, {last.model}, failed with {last.error.detail}" in refusal.message


async def test_max_attempts_binds(running: Start) -> None:
    async with running([BUSY], [BUSY]) as now:
        await now.refused(max_attempts=1)
        assert now.calls() == 1


async def test_a_cost_limit_binds_the_first_attempt_too(running: Start) -> None:
    async with running([reply("a")], [reply("b")]) as now:
        refusal = await now.refused(max_cost_nano_usd=0)
        assert (refusal.reason, refusal.metadata["reasons"]) == ("NO_ELIGIBLE_MODEL", "BUDGET x 2")
        detail = error_pb2.NoEligibleModelDetail()
        assert [d.Unpack(detail) for d in refusal.others] == [True]
        assert [e.reason for e in detail.excluded] == [decision_pb2.EXCLUSION_REASON_BUDGET] * 2
        assert "max_cost_nano_usd is 0" in detail.excluded[0].detail
        assert now.calls() == 0


async def test_a_cost_limit_passes_over_what_is_too_dear(running: Start) -> None:
    """A model that is affordable is called, whichever was drawn first, and the notice says why the other was not."""
    dear = {"input_usd_per_million": 1_000.0, "output_usd_per_million": 1_000.0}
    async with running([reply("cheap")], [reply("dear")], models=({}, dear)) as now:
        seen = set()
        for _ in range(20):
            answer = await now.complete(max_cost_nano_usd=2_000_000, objective={"usd_per_quality": 1_000.0})
            assert (answer.model, len(answer.attempts)) == ("a/m", 1)
            first = answer.ranking[0].model
            seen.add(first)
            said = [n.message for n in answer.notices if n.code == decision_pb2.NOTICE_CODE_FALLBACK]
            assert len(said) == (first == "b/m")
            assert all("max_cost_nano_usd is 2000000" in text and "failed" not in text for text in said)
        assert "b/m" in seen, "it was drawn first at least once"


async def test_what_is_too_dear_takes_no_place_among_the_attempts(running: Start) -> None:
    dear = {"input_usd_per_million": 1_000.0, "output_usd_per_million": 1_000.0}
    async with running([reply("cheap")], [reply("dear")], models=({}, dear)) as now:
        for _ in range(12):
            assert (await now.complete(max_cost_nano_usd=2_000_000, max_attempts=1)).model == "a/m"


@pytest.mark.parametrize(
    ("generation", "needed"),
    [
        ({"tools": [{"name": "f", "parameters_json_schema": "{}"}]}, "tools"),
        ({"response_json_schema": '{"type": "object"}'}, "json_schema"),
    ],
)
async def test_only_a_model_that_can_do_what_generation_asks_for_is_called(
    running: Start, generation: dict[str, Any], needed: str
) -> None:
    able = {"capabilities": [needed]}
    async with running([reply("a")], [reply("b")], models=({}, able)) as now:
        for _ in range(8):
            answer = await now.complete(generation=generation)
            assert [c.model for c in answer.ranking] == ["b/m"]
            assert [(e.model, e.reason) for e in answer.excluded] == [("a/m", decision_pb2.EXCLUSION_REASON_CAPABILITY)]
        refusal = await now.refused(generation=generation, allowed_models=["a/m"])
        assert refusal.reason == "NO_ELIGIBLE_MODEL"


async def test_a_slow_provider_meets_the_caller_s_deadline(running: Start) -> None:
    slow = reply("late", delay_s=30.0)
    async with running([slow], [slow]) as now:
        refusal = await now.refused(timeout_s=0.6)
        assert refusal.code == "DEADLINE_EXCEEDED"
        await until(lambda: not any(a.open_calls for a in now.adapters.values()))


async def test_a_caller_who_leaves_stops_the_call_and_blames_nobody(running: Start) -> None:
    slow = reply("late", delay_s=30.0)
    async with running([slow], [slow]) as now:
        leaving = asyncio.ensure_future(now.complete())
        await until(lambda: now.calls() == 1)
        leaving.cancel()
        await until(lambda: not any(a.open_calls for a in now.adapters.values()))
        await until(lambda: now.server.guard.in_flight == 0)

        async def recorded() -> bool:
            return bool(sum(a.pulls for a in (await now.arms()).values()) == 1)

        await until(recorded)
        assert all(a.success.effective_observations == 0.0 for a in (await now.arms()).values())


async def test_two_callers_of_one_request_share_one_call(running: Start) -> None:
    slow = reply("shared", delay_s=0.3)
    async with running([slow], [slow]) as now:
        answers = await asyncio.gather(*(now.complete(request_id="same") for _ in range(20)))
        assert now.calls() == 1
        assert all(answer == answers[0] for answer in answers)


async def test_the_first_of_two_callers_may_leave_without_harm_to_the_second(running: Start) -> None:
    slow = reply("shared", delay_s=0.5)
    async with running([slow], [slow]) as now:
        first = asyncio.ensure_future(now.complete(request_id="same"))
        await until(lambda: now.calls() == 1)
        second = asyncio.ensure_future(now.complete(request_id="same"))
        await until(lambda: now.server.guard.in_flight == 2)
        first.cancel()
        assert (await second).answer.parts[0].text == "shared"
        assert now.calls() == 1


async def test_a_request_that_all_providers_failed_gets_the_same_error_again(running: Start) -> None:
    """Repeating the id calls nobody; another id is another request."""
    async with running([BUSY, reply("better")], [BUSY, reply("better")]) as now:
        refusals = [await now.refused(request_id="again", max_attempts=2) for _ in range(3)]
        assert {(r.reason, r.metadata["decision_id"]) for r in refusals} == {
            ("ALL_ATTEMPTS_FAILED", refusals[0].metadata["decision_id"])
        }
        assert now.calls() == 2
        assert (await now.complete(request_id="other")).answer.parts[0].text == "better"


async def test_a_request_that_reached_no_provider_may_be_tried_again(running: Start) -> None:
    slow = reply("in time", delay_s=0.4)
    async with running([slow], [slow]) as now:
        refusal = await now.refused(request_id="again", timeout_s=0.2)
        assert refusal.code == "DEADLINE_EXCEEDED"
        assert (await now.complete(request_id="again")).answer.parts[0].text == "in time"


async def test_an_answer_is_kept_though_another_method_took_its_request_id_meanwhile(running: Start) -> None:
    slow = reply("paid for", delay_s=0.5)
    async with running([slow], [slow]) as now:
        answering = asyncio.ensure_future(now.complete(request_id="taken"))
        await until(lambda: now.calls() == 1)
        request = catalog_service_pb2.CreateTaskClassRequest(task_class={"name": "other"}, request_id="taken")
        await CatalogServiceStub(now.channel).CreateTaskClass(request)
        assert (await answering).answer.parts[0].text == "paid for"
        assert sum(a.success.effective_observations for a in (await now.arms()).values()) == pytest.approx(1.0)


async def test_a_drain_finishes_the_calls_in_flight(running: Start) -> None:
    slow = reply("in time", delay_s=0.5)
    async with running([slow], [slow]) as now:
        answering = asyncio.ensure_future(now.complete())
        await until(lambda: now.calls() == 1)
        assert await now.server.stop()
        assert (await answering).answer.parts[0].text == "in time"


async def test_a_server_that_stops_says_so_before_it_is_gone(running: Start) -> None:
    """A call that comes then gets DRAINING and a time to come back, not a bare CANCELLED."""
    async with running([reply("a")], [reply("b")]) as now:
        await now.complete()
        stopping = asyncio.ensure_future(now.server.stop())
        await until(lambda: now.server.guard.draining)
        refusals = await asyncio.gather(*(now.refused() for _ in range(20)))
        assert {(r.code, r.reason) for r in refusals} == {("UNAVAILABLE", "DRAINING")}
        assert await stopping


async def test_too_many_calls_are_refused(running: Start) -> None:
    slow = reply("slow", delay_s=0.5)
    async with running([slow], [slow], concurrent_calls=3) as now:
        taken = [asyncio.ensure_future(now.complete()) for _ in range(3)]
        await until(lambda: now.calls() == 3)
        refusal = await now.refused()
        assert (refusal.reason, refusal.metadata["limit"]) == ("OVERLOADED", "3")
        assert refusal.retry_after_s
        assert [(await t).model for t in taken]


async def test_a_dry_run_shows_the_plan_and_nothing_happens(running: Start) -> None:
    async with running([reply("a")], [reply("b")]) as now:
        await now.complete()
        before, sequence = now.calls(), now.server.engine.sequence
        for _ in range(3):
            plan = await now.complete(dry_run=True)
            assert (plan.decision_id, plan.attempt_id, len(plan.attempts)) == ("", "", 0)
            assert not plan.HasField("answer")
            assert plan.ranking[0].model == plan.model
            (notice,) = (n for n in plan.notices if n.code == decision_pb2.NOTICE_CODE_DRY_RUN)
            assert notice.metadata["model"] == plan.model
            assert int(notice.metadata["expected_nano_usd"]) > 0
            assert "if it fails" in notice.message
        assert (now.calls(), now.server.engine.sequence) == (before, sequence)
        refused = await now.refused(dry_run=True, allowed_models=["none/such"])
        assert refused.reason == "UNKNOWN_MODEL"


async def test_a_model_that_is_retired_soon_is_told(running: Start) -> None:
    async with running([reply("a")], [reply("b")]) as now:
        for days, told in ((-1, True), (30, True), (90, False)):
            model = {"name": "a/m", "retire_time": {"seconds": int(time.time()) + days * 86_400}}
            stub = CatalogServiceStub(now.channel)
            await stub.UpdateModel(catalog_service_pb2.UpdateModelRequest(model=model))
            answer = await now.complete(allowed_models=["a/m"])
            codes = [n.code for n in answer.notices]
            assert (decision_pb2.NOTICE_CODE_MODEL_RETIRING in codes) == told


async def test_what_is_odd_about_an_answer_has_codes(running: Start) -> None:
    words = "a temperature is not taken and was left out"
    made = Reply(
        Answer(
            (TextPart("x"),),
            FinishReason.STOP,
            Usage(1, 1, estimated=True),
            "m",
            notices=(words, "y", "why", "what"),
            dropped=(words,),
            unexplained=("why",),
            unshown=("what",),
        )
    )
    async with running([made], [made]) as now:
        codes = {n.message: n.code for n in (await now.complete()).notices}
        assert codes[words] == decision_pb2.NOTICE_CODE_PARAMETER_DROPPED
        assert codes["y"] == decision_pb2.NOTICE_CODE_UNSPECIFIED
        assert codes["why"] == decision_pb2.NOTICE_CODE_FINISH_REASON_UNKNOWN
        assert codes["what"] == decision_pb2.NOTICE_CODE_CONTENT_NOT_SHOWN
        assert decision_pb2.NOTICE_CODE_USAGE_ESTIMATED in codes.values()
