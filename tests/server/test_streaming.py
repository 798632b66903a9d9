"""StreamComplete over scripted providers: events in order, restarts, cuts, stalled readers, repetition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from naiad.adapters.base import Answer, FinishReason, Request, TextDelta, TextPart, ToolCallDelta, ToolCallPart, Usage
from naiad.adapters.errors import MalformedAnswer, Overloaded, Timeout, TimeoutKind, Truncated
from naiad.server.records import OutcomeReported, Reserved
from naiad.server.streaming import ROOM, Pipe
from naiad.server.walk import ReaderStalled
from naiad.v1 import admin_service_pb2, error_pb2, router_service_pb2
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.e2e.live import Refusal, refusal_of
from tests.server.reasons import check
from tests.server.test_completion import Running, Start, running, until  # noqa: F401 - running is a fixture
from tests.server.test_completion_budget import budget, logged, standing

WHO: dict[str, Any] = {"provider": "a", "model": "m"}
HALF = (TextDelta("half "), TextDelta("an "))
BUSY = Fail(Overloaded("busy", **WHO))
CUT = Fail(Truncated("cut", **WHO), deltas=HALF)
ABLE: dict[str, Any] = {"models": ({"capabilities": ["streaming"]}, {"capabilities": ["streaming"]})}
FAST = router_service_pb2.STREAM_FAILURE_MODE_FAIL_FAST
A: dict[str, Any] = {"allowed_models": ["a/m"]}


def asked(**fields: Any) -> router_service_pb2.StreamCompleteRequest:
    message = {"role": 2, "parts": [{"text": "hello"}]}
    return router_service_pb2.StreamCompleteRequest(task_class="t", messages=[message], **fields)


async def stream(now: Running, timeout_s: float = 20.0, **fields: Any) -> list[Any]:
    """Return the events of a stream; raises Refusal, with the events before it as `events`."""
    events: list[Any] = []
    try:
        async for event in RouterServiceStub(now.channel).StreamComplete(asked(**fields), timeout=timeout_s):
            events.append(event)
    except grpc.aio.AioRpcError as error:
        refusal: Any = refusal_of(error)
        if refusal.reason:
            check(refusal.reason, refusal.code, refusal.metadata)
        refusal.events = events
        raise refusal from error
    return events


async def refused(now: Running, **fields: Any) -> Any:
    with pytest.raises(Refusal) as caught:
        await stream(now, **fields)
    return caught.value


def kinds(events: list[Any]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


def text_of(events: list[Any]) -> str:
    """Return the text that a caller has who does as the events say."""
    text = ""
    for event in events:
        if event.WhichOneof("event") in ("started", "restarted"):
            text = ""
        text += event.text_delta.text
    return text


async def test_the_events_of_a_good_stream(running: Start) -> None:  # noqa: F811
    async with running([reply("one two three")], [reply("one two three")], **ABLE) as now:
        events = await stream(now)
        assert kinds(events) == ["started", "text_delta", "text_delta", "text_delta", "completed"]
        whole = events[-1].completed.response
        assert (text_of(events), whole.answer.parts[0].text) == ("one two three", "one two three")
        begun = events[0].started
        assert (begun.decision_id, begun.attempt_id, begun.model) == (whole.decision_id, "1", whole.model)
        assert (whole.finish_reason, whole.policy_version) == (1, begun.policy_version)
        assert whole.usage.output_tokens > 0
        assert whole.total_cost_nano_usd == whole.cost.total_nano_usd > 0
        (attempt,) = whole.attempts
        assert 0 < attempt.time_to_first_token.ToNanoseconds() <= attempt.latency.ToNanoseconds()
        arm = (await now.arms())[whole.model]
        assert arm.time_to_first_token_s.effective_observations == pytest.approx(1.0)
        assert arm.latency_s.effective_observations == pytest.approx(1.0)


async def test_it_agrees_with_complete(running: Start) -> None:  # noqa: F811
    """The same task, asked both ways, has the same facts but for what must differ."""
    async with running([reply("same")], [reply("same")], **ABLE) as now:
        whole = (await stream(now, **A))[-1].completed.response
        plain = await now.complete(**A)
        for response in (whole, plain):
            for name in ("decision_id", "attempts", "ranking", "propensity", "notices"):
                response.ClearField(name)
        assert whole == plain


async def test_only_a_model_that_can_stream_is_asked(running: Start) -> None:  # noqa: F811
    async with running([reply("a")], [reply("b")], models=({}, {"capabilities": ["streaming"]})) as now:
        for _ in range(6):
            assert (await stream(now))[0].started.model == "b/m"
        assert (await refused(now, **A)).reason == "NO_ELIGIBLE_MODEL"


async def test_tool_calls_come_in_pieces(running: Start) -> None:  # noqa: F811
    parts = (TextPart("I look. "), ToolCallPart("c1", "look", '{"at": 1}'), ToolCallPart("c2", "look", "{}"))
    calls = Reply(Answer(parts, FinishReason.TOOL_CALLS, Usage(5, 5), ""))
    async with running([calls], [calls], **ABLE) as now:
        for request_id in ("", "r", "r"):
            events = await stream(now, request_id=request_id)
            pieces = [e.tool_call_delta for e in events if e.WhichOneof("event") == "tool_call_delta"]
            assert [(p.index, p.tool_call_id, p.name, p.arguments_json) for p in pieces] == [
                (0, "c1", "look", '{"at": 1}'), (1, "c2", "look", "{}"),
            ]  # fmt: skip
            assert events[-1].completed.response.finish_reason == 3


@pytest.mark.parametrize(
    "error",
    [
        Truncated("cut", **WHO),
        MalformedAnswer("nonsense", **WHO),
        Timeout("silent", kind=TimeoutKind.IDLE, after_s=1.0, **WHO),
    ],
    ids=lambda e: type(e).__name__,
)
async def test_a_stream_that_breaks_restarts_on_the_next_model(running: Start, error: Any) -> None:  # noqa: F811
    async with running([Fail(error, deltas=HALF)], [reply("whole")], **ABLE) as now:
        restarts = 0
        for _ in range(60):  # each begins with either model, as drawn
            if restarts == 3:
                break
            events = await stream(now)
            assert (text_of(events), events[-1].completed.response.model) == ("whole", "b/m")
            if events[0].started.model == "b/m":
                continue
            restarts += 1
            assert kinds(events) == ["started", "text_delta", "text_delta", "restarted", "text_delta", "completed"]
            again = events[3].restarted
            assert (again.attempt_id, again.model, again.failed.model) == ("2", "b/m", "a/m")
            assert again.failed.error.kind in (1, 10, 11)
            assert again.failed.cost.total_nano_usd == 0
            assert len(now.adapters["a"].calls) == restarts, "what has spoken is not asked again while another can be"
        assert restarts
        arm = (await now.arms())["a/m"]
        assert (arm.failures, arm.quality.effective_observations) == (restarts, 0.0)
        assert arm.time_to_first_token_s.effective_observations == 0.0


async def test_without_another_model_the_same_is_asked_once_more(running: Start) -> None:  # noqa: F811
    async with running([CUT, reply("whole")], [BUSY], **ABLE) as now:
        events = await stream(now, **A)
        assert kinds(events) == ["started", "text_delta", "text_delta", "restarted", "text_delta", "completed"]
        assert text_of(events) == "whole"


async def test_fail_fast_ends_what_has_spoken(running: Start) -> None:  # noqa: F811
    async with running([CUT], [CUT], **ABLE) as now:
        refusal = await refused(now, failure_mode=FAST)
        assert (refusal.reason, refusal.code, now.calls()) == ("STREAM_CUT", "ABORTED", 1)
        assert kinds(refusal.events) == ["started", "text_delta", "text_delta"]
        detail = error_pb2.AttemptsFailedDetail()
        assert [d.Unpack(detail) for d in refusal.others] == [True]
        assert [a.error.kind for a in detail.attempts] == [10]


async def test_fail_fast_falls_back_before_the_first_piece(running: Start) -> None:  # noqa: F811
    async with running([BUSY], [reply("b")], **ABLE) as now:
        for _ in range(6):
            assert text_of(await stream(now, failure_mode=FAST)) == "b"


async def test_when_all_break_there_is_an_error_and_no_answer(running: Start) -> None:  # noqa: F811
    async with running([CUT], [CUT], **ABLE) as now:
        refusal = await refused(now)
        assert refusal.reason == "ALL_ATTEMPTS_FAILED"
        assert "completed" not in kinds(refusal.events)
        assert sum(a.success.effective_observations for a in (await now.arms()).values()) > 0


async def test_the_deadline_ends_a_stream_with_its_own_error(running: Start) -> None:  # noqa: F811
    slow = reply("one two three four", delta_delay_s=0.3)
    async with running([slow], [slow], **ABLE) as now:
        refusal = await refused(now, timeout_s=0.7)
        assert refusal.code == "DEADLINE_EXCEEDED"
        await until(lambda: not any(a.open_calls for a in now.adapters.values()))


async def test_hard_budgets_hold_and_settle_as_for_complete(running: Start) -> None:  # noqa: F811
    """The same script asked both ways leaves the same in the log and of the budget."""
    found = []
    for streams in (False, True):
        async with running([CUT, reply("whole", output_tokens=7)], [BUSY], **ABLE) as now:
            await budget(now, 10_000_000)
            await (stream(now, max_output_tokens=100, **A) if streams else now.complete(max_output_tokens=100, **A))
            events = await logged(now.server)
            holds = [(e.attempt, e.hold.nano_usd) for e in events if isinstance(e, Reserved)]
            outcomes = [(e.attempt, e.outcome.failed) for e in events if isinstance(e, OutcomeReported)]
            found.append((holds, outcomes, await standing(now)))
    assert found[0] == found[1]
    holds, outcomes, (spent, reserved) = found[1]
    assert ([name for name, _ in holds], outcomes) == (["1", "2"], [("1", True), ("2", False)])
    assert (spent, reserved) == (17_000 + holds[0][1], 0), "what was cut may be billed in full"


# -- repetition --------------------------------------------------------------------------------------------------------


async def test_the_same_request_id_gets_the_finished_answer_in_one_piece(running: Start) -> None:  # noqa: F811
    async with running([reply("one two")], [reply("one two")], **ABLE) as now:
        first = await stream(now, request_id="again")
        second = await stream(now, request_id="again")
        assert kinds(second) == ["started", "text_delta", "completed"]
        assert (text_of(second), now.calls()) == ("one two", 1)
        assert second[-1] == first[-1]
        assert second[0].started == first[0].started
        other = await refused(now, request_id="again", workflow="w")
        assert other.reason == "REQUEST_ID_REUSED"
        with pytest.raises(Refusal) as caught:
            await now.complete(request_id="again")
        assert caught.value.reason == "REQUEST_ID_REUSED", "Complete is another method"


async def test_two_at_a_time_share_one_call_and_the_first_may_leave(running: Start) -> None:  # noqa: F811
    slow = reply("one two three", delta_delay_s=0.15)
    async with running([slow], [slow], **ABLE) as now:
        first = asyncio.ensure_future(stream(now, request_id="same"))
        await until(lambda: now.calls() == 1)
        second = asyncio.ensure_future(stream(now, request_id="same"))
        await until(lambda: now.server.guard.in_flight == 2)
        first.cancel()
        events = await second
        assert (text_of(events), now.calls()) == ("one two three", 1)


# -- readers -----------------------------------------------------------------------------------------------------------


async def left(now: Running) -> Callable[[], Any]:
    """Return a condition: the attempt that was given up is recorded, and blames nobody."""

    async def recorded() -> bool:
        arms = (await now.arms()).values()
        assert all(a.success.effective_observations == 0.0 for a in arms)
        return bool(sum(a.pulls for a in arms) == 1)

    return recorded


async def test_a_caller_who_leaves_stops_the_provider(running: Start) -> None:  # noqa: F811
    slow = reply("one two three", delta_delay_s=30.0)
    async with running([slow], [slow], **ABLE) as now:
        call = RouterServiceStub(now.channel).StreamComplete(asked(), timeout=60.0)
        async for event in call:
            if event.WhichOneof("event") == "text_delta":
                break
        call.cancel()
        async with asyncio.timeout(2.0):
            await until(lambda: not any(a.open_calls for a in now.adapters.values()))
        await until(lambda: now.server.guard.in_flight == 0)
        await until(await left(now))


class Endless(Scripted):
    """Writes for ever, as fast as it is read."""

    def __init__(self) -> None:
        super().__init__([reply("x")], loop=True)
        self.written = 0

    async def stream(self, request: Request, *, timeout_s: float) -> Any:
        self.calls.append(request)
        self.open_calls += 1
        try:
            while True:
                yield TextDelta("x" * 1_000)
                self.written += 1_000
                await asyncio.sleep(0)
        finally:
            self.open_calls -= 1


async def test_a_reader_who_stalls_is_not_waited_for(running: Start) -> None:  # noqa: F811
    async with running([reply("x")], [reply("x")], **ABLE) as now:
        endless = Endless()
        now.server._domains[0].egress._Egress__adapters.update(a=endless, b=endless)
        options = [("grpc.http2.bdp_probe", 0)]  # or the reader's own window grows to megabytes
        async with grpc.aio.insecure_channel(now.server.address, options=options) as channel:
            call = RouterServiceStub(channel).StreamComplete(asked(), timeout=60.0)
            async for _ in call:
                break
            await until(lambda: endless.open_calls == 0)
            assert endless.written < 1 << 20, "what may wait is bounded"
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                async for _ in call:
                    pass
        refusal = refusal_of(caught.value)
        assert (refusal.code, refusal.reason) == ("ABORTED", "READER_STALLED")
        check(refusal.reason, refusal.code, refusal.metadata)
        await until(await left(now))


async def test_a_drain_finishes_the_streams_in_flight(running: Start) -> None:  # noqa: F811
    slow = reply("one two three", delta_delay_s=0.2)
    async with running([slow], [slow], **ABLE) as now:
        reading = asyncio.ensure_future(stream(now))
        await until(lambda: now.calls() == 1)
        stopping = asyncio.ensure_future(now.server.stop())
        await until(lambda: now.server.guard.draining)
        assert (await refused(now)).reason == "DRAINING"
        assert text_of(await reading) == "one two three"
        assert await stopping


async def test_streams_count_as_calls(running: Start) -> None:  # noqa: F811
    slow = reply("one two", delta_delay_s=0.6)
    async with running([slow], [slow], concurrent_calls=2, **ABLE) as now:
        taken = [asyncio.ensure_future(stream(now)) for _ in range(2)]
        await until(lambda: now.calls() == 2)
        refusal = await refused(now)
        assert (refusal.reason, refusal.metadata["limit"]) == ("OVERLOADED", "2")
        assert [text_of(await t) for t in taken] == ["one two"] * 2


async def test_a_stream_ends_with_the_key_that_opened_it(running: Start) -> None:  # noqa: F811
    slow = reply("one two three", delta_delay_s=30.0)
    async with running([slow], [slow], **ABLE) as now:
        admin = AdminServiceStub(now.channel)
        root = await admin.CreateKey(admin_service_pb2.CreateKeyRequest(name="root", role="KEY_ROLE_ADMIN"))
        as_root = (("authorization", f"Bearer {root.secret}"),)
        wanted = admin_service_pb2.CreateKeyRequest(name="n", role="KEY_ROLE_CLIENT")
        made = await admin.CreateKey(wanted, metadata=as_root)
        bearer = (("authorization", f"Bearer {made.secret}"),)
        call = RouterServiceStub(now.channel).StreamComplete(asked(), timeout=60.0, metadata=bearer)
        async for event in call:
            if event.WhichOneof("event") == "text_delta":
                break
        await admin.RevokeKey(admin_service_pb2.RevokeKeyRequest(key_id=made.key.key_id), metadata=as_root)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _ in call:
                pass
        assert refusal_of(caught.value).reason == "UNAUTHENTICATED"
        await until(lambda: not any(a.open_calls for a in now.adapters.values()))


# -- the pipe ----------------------------------------------------------------------------------------------------------


async def test_a_pipe_holds_so_much_and_no_more() -> None:
    pipe = Pipe(stalled_s=0.05)
    piece = TextDelta("é" * 500)
    put = 0
    with pytest.raises(ReaderStalled):
        while True:
            await pipe.put(piece)
            put += 1
    assert put == ROOM // (1_000 + 64)
    for _ in range(put):
        assert await pipe.get() == piece
    await pipe.put(TextDelta("x" * (2 * ROOM)))  # alone, a piece of any size fits
    pipe.end()
    assert await pipe.get()
    assert await pipe.get() is None


async def test_a_pipe_without_a_reader_takes_everything_and_keeps_nothing() -> None:
    pipe = Pipe()
    writing = asyncio.ensure_future(_write(pipe, 500))
    await asyncio.sleep(0)
    assert not writing.done()
    pipe.desert()
    await writing
    assert "waiting=0" in repr(pipe)


async def _write(pipe: Pipe, count: int) -> None:
    for _ in range(count):
        await pipe.put(ToolCallDelta(0, arguments="y" * 1_000))


async def test_a_slow_reader_is_waited_for() -> None:
    pipe = Pipe(room=10_000, stalled_s=1.0)
    writing = asyncio.ensure_future(_write(pipe, 30))
    for _ in range(30):
        await asyncio.sleep(0.005)
        assert await pipe.get() is not None
    await writing


STEPS: list[Step] = [CUT, BUSY, reply("x y z")]


@pytest.mark.parametrize("seed", range(4))
async def test_no_cut_stream_is_ever_called_an_answer(running: Start, seed: int) -> None:  # noqa: F811
    """Whatever the providers do: what is called complete is whole."""
    refusals: set[str] = set()
    rotated = STEPS[seed % 3 :] + STEPS[: seed % 3]
    async with running(rotated, [CUT, CUT, reply("x y z")], **ABLE) as now:
        for _ in range(6):
            try:
                events = await stream(now)
            except Refusal as refusal:
                refusals.add(refusal.reason)
                continue
            assert text_of(events) == events[-1].completed.response.answer.parts[0].text == "x y z"
    assert refusals <= {"ALL_ATTEMPTS_FAILED", "MODELS_UNAVAILABLE"}
