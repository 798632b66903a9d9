"""What every call passes first: drain, admission, deadline, size; a defect is told by its incident only."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from naiad.server.guard import Guard, Limits
from naiad.v1 import router_service_pb2
from tests.server.reasons import check

REQUEST = router_service_pb2.DecideRequest(task_class="a")


class Aborted(grpc.aio.AbortError):
    """How a call ended."""

    def __init__(self, status: status_pb2.Status, trailing: dict[str, Any]) -> None:
        super().__init__(status.message)
        self.status = status
        self.trailing = trailing
        info = error_details_pb2.ErrorInfo()
        status.details[0].Unpack(info)
        self.reason = info.reason.removeprefix("ERROR_REASON_")
        self.metadata = dict(info.metadata)


class Context:
    """Stands in for grpc.aio's context: how much time is left, and how the call was ended."""

    def __init__(self, left_s: float | None = 10.0) -> None:
        self._left_s = left_s

    def time_remaining(self) -> float | None:
        return self._left_s

    async def abort(self, code: grpc.StatusCode, message: str, trailing: Any) -> None:
        status = status_pb2.Status.FromString(dict(trailing)["grpc-status-details-bin"])
        assert status.code == code.value[0]
        raise Aborted(status, dict(trailing))


class Waiting:
    """Waits before it answers."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.cancelled = False

    async def Decide(self, request: Any, context: Any) -> str:
        try:
            await self.go_on.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return "answered"

    async def BatchDecide(self, request: Any, context: Any) -> str:
        return await self.Decide(request, context)


class Servicer:
    """Counts the calls that reach it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self._error = error

    async def Decide(self, request: Any, context: Any) -> str:
        self.calls += 1
        if self._error is not None:
            raise self._error
        return "answered"


def protected(servicer: Servicer, limits: Limits = Limits(), backlog: int = 0) -> tuple[Guard, Any]:  # noqa: B008
    """Return a guard and the servicer behind it."""
    guard = Guard(limits, lambda: backlog)
    return guard, guard.protect(servicer, "RouterService", ["Decide", "BatchDecide"])


async def refused(guarded: Any, context: Context, request: Any = REQUEST) -> Aborted:
    """Return how a call is refused; checks it against the catalogue."""
    with pytest.raises(Aborted) as caught:
        await guarded.Decide(request, context)
    error = caught.value
    code = next(c.name for c in grpc.StatusCode if c.value[0] == error.status.code)
    check(error.reason, code, error.metadata)
    return error


async def test_a_call_that_may_pass() -> None:
    servicer = Servicer()
    guard, guarded = protected(servicer)
    assert await guarded.Decide(REQUEST, Context()) == "answered"
    assert await guarded.Decide(REQUEST, Context(None)) == "answered"
    assert (servicer.calls, guard.in_flight) == (2, 0)


@pytest.mark.parametrize("left_s", [0.0, -1.0])
async def test_a_deadline_that_is_past(left_s: float) -> None:
    servicer = Servicer()
    guard, guarded = protected(servicer)
    assert (await refused(guarded, Context(left_s))).reason == "DEADLINE_ALREADY_PAST"
    assert (servicer.calls, guard.in_flight) == (0, 0)


@pytest.mark.parametrize("method", ["Decide", "BatchDecide"])
async def test_a_deadline_that_passes_meanwhile(method: str) -> None:
    """Decide seldom waits, but where it does it ends as all others do; the caller learns that the fate is open."""
    servicer = Waiting()
    guard = Guard(Limits(default_deadline_s=0.05), lambda: 0)
    guarded: Any = guard.protect(servicer, "RouterService", ["Decide", "BatchDecide"])
    with pytest.raises(Aborted) as caught:
        await getattr(guarded, method)(REQUEST, Context(None))
    assert caught.value.reason == "DEADLINE_PASSED_MIDWAY"
    check(caught.value.reason, "DEADLINE_EXCEEDED", caught.value.metadata)
    assert servicer.cancelled
    assert guard.in_flight == 0


@pytest.mark.parametrize("method", ["Decide", "BatchDecide"])
async def test_a_call_that_waits_and_goes_on_or_is_cancelled(method: str) -> None:
    servicer = Waiting()
    guard = Guard(Limits(), lambda: 0)
    guarded: Any = guard.protect(servicer, "RouterService", ["Decide", "BatchDecide"])
    calls = [asyncio.ensure_future(getattr(guarded, method)(REQUEST, Context())) for _ in range(2)]
    await asyncio.sleep(0.01)
    calls[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    assert servicer.cancelled
    servicer.go_on.set()
    assert await calls[1] == "answered"
    assert guard.in_flight == 0


async def test_draining_and_overload_say_when_to_come_back() -> None:
    servicer = Servicer()
    guard, guarded = protected(servicer, Limits(concurrent_calls=2))
    guard.in_flight = 2
    overloaded = await refused(guarded, Context())
    guard.in_flight = 0
    guard.draining = True
    draining = await refused(guarded, Context())
    behind = await refused(protected(servicer, backlog=20_001)[1], Context())
    assert [e.reason for e in (overloaded, draining, behind)] == ["OVERLOADED", "DRAINING", "OVERLOADED"]
    for error in (overloaded, draining, behind):
        assert error.status.details[1].Is(error_details_pb2.RetryInfo.DESCRIPTOR)
        assert int(error.trailing["grpc-retry-pushback-ms"]) > 0
    assert servicer.calls == 0


async def test_a_message_that_is_too_large() -> None:
    servicer = Servicer()
    _, guarded = protected(servicer, Limits(message_mib=1))
    request = router_service_pb2.DecideRequest(task_class="x" * (1 << 20))
    assert (await refused(guarded, Context(), request)).reason == "MESSAGE_TOO_LARGE"
    assert servicer.calls == 0


async def test_a_defect_is_told_by_its_incident_only() -> None:
    guard, guarded = protected(Servicer(ValueError("the prompt was: secret")))
    with structlog.testing.capture_logs() as lines:
        error = await refused(guarded, Context())
    assert error.reason == "INTERNAL"
    assert "secret" not in str(error.status)
    (line,) = lines
    assert line["incident_id"] == error.metadata["incident_id"]
    assert "secret" not in str({key: value for key, value in line.items() if key != "exc_info"})
    assert guard.in_flight == 0


async def test_a_method_that_is_not_built() -> None:
    _, guarded = protected(Servicer())
    with pytest.raises(Aborted) as caught:
        await guarded.BatchDecide(REQUEST, Context())
    assert (caught.value.reason, caught.value.metadata) == ("NOT_IMPLEMENTED", {"method": "RouterService/BatchDecide"})
