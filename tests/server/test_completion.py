"""Complete over scripted providers: fallback, failure, deadlines, cancellation; every attempt is recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from naiad.adapters.errors import AuthenticationFailed, InvalidRequest, Overloaded
from naiad.adapters.scripted import Fail, Scripted, Step, reply
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.v1 import error_pb2, insight_service_pb2, router_service_pb2
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
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
    """Return a function that starts a server over two providers, each with its script."""

    @asynccontextmanager
    async def start(a: list[Step], b: list[Step], **server: Any) -> AsyncIterator[Running]:
        adapters = {"a": Scripted(a, provider="a", loop=True), "b": Scripted(b, provider="b", loop=True)}
        monkeypatch.setattr(providers, "build", lambda profiles: dict(adapters))
        served = await Server.start(parse(DATA | {"server": DATA["server"] | server}, "test"))
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
            assert [a.error.kind for a in failed] == [4] * (answer.ranking[0].model == "a/m")
            assert answer.attempt_id == str(len(answer.attempts))
        arms = await now.arms()
        assert arms["a/m"].failures == len(now.adapters["a"].calls) > 0
        assert arms["a/m"].success.mean < arms["b/m"].success.mean
        assert arms["a/m"].quality.effective_observations == 0.0


@pytest.mark.parametrize(
    ("step", "reason", "kind", "calls"),
    [
        (BUSY, "ALL_ATTEMPTS_FAILED", 4, 2),
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


async def test_max_attempts_binds(running: Start) -> None:
    async with running([BUSY], [BUSY]) as now:
        await now.refused(max_attempts=1)
        assert now.calls() == 1


async def test_a_cost_limit_binds_the_first_attempt_too(running: Start) -> None:
    async with running([reply("a")], [reply("b")]) as now:
        refusal = await now.refused(max_cost_nano_usd=0)
        assert refusal.reason
        assert now.calls() == 0


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


async def test_a_failed_request_may_be_tried_again(running: Start) -> None:
    async with running([BUSY, reply("better")], [BUSY, reply("better")]) as now:
        await now.refused(request_id="again", max_attempts=2)
        refusal_or_answer = await asyncio.gather(now.complete(request_id="again"), return_exceptions=True)
        assert [getattr(r, "model", None) in ("a/m", "b/m") for r in refusal_or_answer] == [True]


async def test_a_drain_finishes_the_calls_in_flight(running: Start) -> None:
    slow = reply("in time", delay_s=0.5)
    async with running([slow], [slow]) as now:
        answering = asyncio.ensure_future(now.complete())
        await until(lambda: now.calls() == 1)
        assert await now.server.stop()
        assert (await answering).answer.parts[0].text == "in time"


async def test_too_many_calls_are_refused(running: Start) -> None:
    slow = reply("slow", delay_s=0.5)
    async with running([slow], [slow], concurrent_calls=3) as now:
        taken = [asyncio.ensure_future(now.complete()) for _ in range(3)]
        await until(lambda: now.calls() == 3)
        refusal = await now.refused()
        assert (refusal.reason, refusal.metadata["limit"]) == ("OVERLOADED", "3")
        assert refusal.retry_after_s
        assert [(await t).model for t in taken]
