"""What every call passes first: drain, admission, deadline, size; a defect is told by its incident only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import pytest
import structlog
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from naiad.server.audit import Act
from naiad.server.authorization import Role
from naiad.server.credentials import Caller, Key
from naiad.server.errors import NaiadError
from naiad.server.guard import Guard, Limits
from naiad.server.identity import Identity
from naiad.server.journal import Request
from naiad.server.keyring import Direct, KeyRing
from naiad.server.store.memory import MemoryStore
from naiad.server.wire import Received, Unread
from naiad.v1 import insight_service_pb2, router_service_pb2
from tests.server.reasons import check

REQUEST = router_service_pb2.DecideRequest(task_class="a")
UNREAD = Unread(NaiadError("INVALID_FORMAT", "no", metadata={"rule": "r"}, field="request"))


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
    """Stands in for grpc.aio's context: how much time is left, what was sent, and how the call was ended."""

    def __init__(self, left_s: float | None = 10.0) -> None:
        self._left_s = left_s
        self.metadata: tuple[tuple[str, str], ...] = ()
        self.replies: list[Any] = []  # of a stream
        self.reads = asyncio.Event()  # whether the caller reads them
        self.reads.set()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.metadata

    def peer(self) -> str:
        return "ipv4:192.0.2.7:50123"

    def time_remaining(self) -> float | None:
        return self._left_s

    async def abort(self, code: grpc.StatusCode, message: str, trailing: Any) -> None:
        status = status_pb2.Status.FromString(dict(trailing)["grpc-status-details-bin"])
        assert status.code == code.value[0]
        raise Aborted(status, dict(trailing))

    async def write(self, reply: Any) -> None:
        self.replies.append(reply)
        await self.reads.wait()


def open_guard(limits: Limits, backlog: Callable[[], int] = lambda: 0) -> Guard:
    """Return a guard of a server that has no keys, so that anybody may call."""
    keys = KeyRing(MemoryStore(), b"p" * 32, (), {0: "default"}, lambda: 0)
    keys.open_without_keys = True
    return Guard(limits, backlog, Identity(keys, lambda: 0))


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
    guard = open_guard(limits, lambda: backlog)
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
    guard = open_guard(Limits(default_deadline_s=0.05))
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
    guard = open_guard(Limits())
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


async def test_a_request_that_was_not_read() -> None:
    servicer = Servicer()
    _, guarded = protected(servicer)
    assert (await refused(guarded, Context(), UNREAD)).reason == "INVALID_FORMAT"
    assert servicer.calls == 0


def test_how_large_a_request_may_be() -> None:
    limits = Limits(message_mib=1, large_message_mib=2)
    assert limits.largest("RouterService/Decide") == 1 << 20
    assert limits.largest("RouterService/Complete") == 2 << 20


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


# -- streams -----------------------------------------------------------------------------------------------------------


class Streamer:
    """Streams two replies and then waits, or fails; knows whether it was closed."""

    def __init__(self, error: Exception | None = None, *, endless: bool = True) -> None:
        self.calls = 0
        self.closed = asyncio.Event()
        self._error = error
        self._endless = endless

    async def WatchArms(self, request: Any, context: Any) -> AsyncIterator[str]:
        self.calls += 1
        try:
            yield "one"
            if self._error is not None:
                raise self._error
            yield "two"
            if self._endless:
                await asyncio.Event().wait()
        finally:
            self.closed.set()


WATCH = insight_service_pb2.WatchArmsRequest()


def streaming(servicer: Streamer, limits: Limits = Limits()) -> tuple[Guard, Any]:  # noqa: B008
    """Return a guard and the streaming servicer behind it; the backlog of decisions is no business of streams."""
    guard = open_guard(limits, lambda: 1_000_000)
    return guard, guard.protect(servicer, "InsightService", ["WatchArms"])


async def ended(call: Awaitable[None]) -> Aborted:
    """Return how a stream is ended; checks it against the catalogue."""
    with pytest.raises(Aborted) as caught:
        await asyncio.wait_for(call, 30.0)
    error = caught.value
    check(error.reason, next(c.name for c in grpc.StatusCode if c.value[0] == error.status.code), error.metadata)
    return error


async def until(true: Callable[[], bool]) -> None:
    """Let other tasks run until something is so."""
    async with asyncio.timeout(30.0):
        while not true():  # noqa: ASYNC110 - what it waits for is told by no event
            await asyncio.sleep(0.001)


async def test_a_stream_that_ends_by_itself() -> None:
    guard, guarded = streaming(Streamer(endless=False))
    context = Context(None)
    await guarded.WatchArms(WATCH, context)
    assert context.replies == ["one", "two"]
    assert guard.streams == guard.in_flight == 0


@pytest.mark.parametrize("reads", [True, False])
async def test_a_drain_ends_streams_and_waits_for_them(reads: bool) -> None:
    """Also that of a caller who does not read; nothing of them is left."""
    servicer, context = Streamer(), Context(None)
    guard, guarded = streaming(servicer)
    if not reads:
        context.reads.clear()
    call = asyncio.ensure_future(guarded.WatchArms(WATCH, context))
    await until(lambda: len(context.replies) == (2 if reads else 1))
    await guard.drain(30.0)
    assert (await ended(call)).reason == "DRAINING"
    assert servicer.closed.is_set()
    assert guard.streams == 0
    assert (await ended(guarded.WatchArms(WATCH, context))).reason == "DRAINING"
    assert servicer.calls == 1


async def test_a_stream_has_its_caller_s_deadline_and_no_other() -> None:
    servicer = Streamer()
    guard, guarded = streaming(servicer, Limits(default_deadline_s=0.01, longest_deadline_s=0.01))
    assert (await ended(guarded.WatchArms(WATCH, Context(0.05)))).reason == "DEADLINE_PASSED_MIDWAY"
    assert servicer.closed.is_set()
    assert (await ended(guarded.WatchArms(WATCH, Context(-1.0)))).reason == "DEADLINE_ALREADY_PAST"
    call = asyncio.ensure_future(guarded.WatchArms(WATCH, Context(None)))
    await asyncio.sleep(0.1)
    assert not call.done()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert guard.streams == 0


async def test_streams_are_counted_apart() -> None:
    servicer = Streamer()
    guard, guarded = streaming(servicer, Limits(concurrent_calls=1, concurrent_streams=2))
    calls = [asyncio.ensure_future(guarded.WatchArms(WATCH, Context(None))) for _ in range(2)]
    await until(lambda: servicer.calls == 2)
    refusal = await ended(guarded.WatchArms(WATCH, Context(None)))
    assert (refusal.reason, refusal.metadata["limit"]) == ("OVERLOADED", "2")
    assert "concurrent_streams" in refusal.status.message
    assert guard.in_flight == 0
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    assert guard.streams == 0


async def test_a_defect_within_a_stream_is_told_by_its_incident_only() -> None:
    servicer = Streamer(ValueError("the prompt was: secret"))
    guard, guarded = streaming(servicer)
    context = Context(None)
    with structlog.testing.capture_logs() as lines:
        error = await ended(guarded.WatchArms(WATCH, context))
    assert (error.reason, context.replies) == ("INTERNAL", ["one"])
    assert "secret" not in str(error.status)
    assert lines[0]["incident_id"] == error.metadata["incident_id"]
    assert lines[0]["method"] == "InsightService/WatchArms"
    assert guard.streams == 0


async def test_a_stream_s_own_refusal_and_a_request_that_was_not_read() -> None:
    servicer = Streamer(NaiadError("CURSOR_INVALID", "no", metadata={"value": "x", "rule": "r"}, field="cursor"))
    _, guarded = streaming(servicer)
    assert (await ended(guarded.WatchArms(WATCH, Context()))).reason == "CURSOR_INVALID"
    assert (await ended(guarded.WatchArms(UNREAD, Context()))).reason == "INVALID_FORMAT"
    assert servicer.calls == 1


# -- who calls ---------------------------------------------------------------------------------------------------------


@dataclass
class Doors:
    """A guard with an admin's and a client's key, on a clock of its own."""

    guard: Guard
    keys: KeyRing
    now: list[int]  # ms
    secrets: dict[str, str]
    ids: dict[str, str]
    told: list[tuple[int | None, Act]]  # refusals: whose tenant, and what

    def context(self, name: str = "", left_s: float | None = 10.0) -> Context:
        """Return the context of a call with a key, "" for none."""
        context = Context(left_s)
        if name:
            context.metadata = (("user-agent", "x"), ("authorization", f"Bearer {self.secrets[name]}"))
        return context


async def doors(limits: Limits = Limits(), **client: Any) -> Doors:  # noqa: B008
    """Make the keys; client: what is wanted of the client's and the reviewer's."""
    now, store = [1_000], MemoryStore()
    await store.add_tenant(1, "other")
    keys = await KeyRing.open(store, lambda: now[0])
    keys.writers = {tenant: Direct(store.of(tenant), keys.now_ms) for tenant in (0, 1)}
    told: list[tuple[int | None, Act]] = []
    guard = Guard(limits, lambda: 0, Identity(keys, lambda: now[0]), lambda *refusal: told.append(refusal))
    secrets, ids = {}, {}
    for name, tenant, role in (
        ("admin", 0, Role.ADMIN), ("client", 0, Role.CLIENT), ("reviewer", 0, Role.REVIEWER), ("other", 1, Role.ADMIN),
    ):  # fmt: skip
        wanted = Key(key_id="", tenant=0, secret_hash=b"", created_ms=0, role=role)
        if role < Role.ADMIN:
            wanted = msgspec.structs.replace(wanted, **client)
        key, secret = await keys.create(Caller(tenant, Role.ADMIN), wanted, Request("AdminService/CreateKey"))
        assert secret is not None
        secrets[name], ids[name] = secret.reveal(), key.key_id
    return Doors(guard, keys, now, secrets, ids, told)


async def test_who_calls_is_asked_before_anything_else() -> None:
    """Not even that the server drains, or what the request holds, is told to a stranger."""
    here = await doors(Limits(concurrent_calls=1))
    servicer, looked = Servicer(), list[bytes]()
    guarded: Any = here.guard.protect(servicer, "RouterService", ["Decide"])

    def read(data: bytes) -> Unread:
        looked.append(data)
        return UNREAD

    request = Received(b"", read)
    here.guard.draining = True
    here.guard.in_flight = 5
    assert (await refused(guarded, here.context(left_s=0.0), request)).reason == "UNAUTHENTICATED"
    assert (await refused(guarded, here.context("client"), request)).reason == "DRAINING"
    here.guard.draining = False
    assert (await refused(guarded, here.context("client"), request)).reason == "OVERLOADED"
    assert looked == []
    here.guard.in_flight = 0
    assert (await refused(guarded, here.context("client"), request)).reason == "INVALID_FORMAT"
    assert (servicer.calls, here.guard.in_flight, looked) == (0, 0, [b""])


async def test_a_flood_of_strangers_takes_nobody_s_place() -> None:
    """Their refusals are still on their way out when somebody with a key calls."""
    here = await doors(Limits(concurrent_calls=1, concurrent_streams=1))
    servicer = Servicer()
    guarded: Any = here.guard.protect(servicer, "RouterService", ["Decide"])
    watch: Any = here.guard.protect(Streamer(endless=False), "InsightService", ["WatchArms"])
    gone = asyncio.Event()

    class Slow(Context):
        async def abort(self, code: grpc.StatusCode, message: str, trailing: Any) -> None:
            await gone.wait()
            await super().abort(code, message, trailing)

    flood = [asyncio.ensure_future(guarded.Decide(REQUEST, Slow())) for _ in range(600)]
    flood += [asyncio.ensure_future(watch.WatchArms(WATCH, Slow())) for _ in range(600)]
    await asyncio.sleep(0)
    assert (here.guard.in_flight, here.guard.streams) == (0, 0)
    assert await guarded.Decide(REQUEST, here.context("client")) == "answered"
    context = here.context("reviewer")
    await watch.WatchArms(WATCH, context)
    assert context.replies
    gone.set()
    refusals = await asyncio.gather(*flood, return_exceptions=True)
    assert {getattr(refusal, "reason", "") for refusal in refusals} == {"UNAUTHENTICATED"}
    assert (here.guard.in_flight, here.guard.streams, servicer.calls) == (0, 0, 1)


async def test_refusals_for_want_of_rights_are_told_with_their_tenant_and_key() -> None:
    here = await doors()
    servicer: Any = here.guard.protect(Servicer(), "RouterService", ["Decide"], {1: Servicer()})
    admin: Any = here.guard.protect(Servicer(), "AdminService", ["CreateBackup"])
    watch: Any = here.guard.protect(Streamer(), "InsightService", ["WatchArms"])
    await refused(servicer, here.context())
    stranger = here.context()
    stranger.metadata = (("authorization", "Bearer naiad_x"),)
    with pytest.raises(Aborted):
        await watch.WatchArms(WATCH, stranger)
    with pytest.raises(Aborted):
        await admin.CreateBackup(REQUEST, here.context("client"))
    await refused(servicer, here.context("client"), UNREAD)  # for another reason: not told
    with pytest.raises(Aborted):
        await admin.CreateBackup(REQUEST, here.context("admin"))  # may, and is told that it is not built
    await servicer.Decide(REQUEST, here.context("other"))
    nobody = {"peer": "192.0.2.7"}
    assert here.told == [
        (None, Act(action="naiad.v1.RouterService/Decide", reason="UNAUTHENTICATED", succeeded=False, facts=nobody)),
        (None, Act(action="naiad.v1.InsightService/WatchArms", reason="UNAUTHENTICATED", succeeded=False,
                   facts=nobody)),
        (0, Act(action="naiad.v1.AdminService/CreateBackup", reason="PERMISSION_DENIED", key=here.ids["client"],
                succeeded=False)),
    ]  # fmt: skip


async def test_a_call_reaches_its_tenants_servicer_and_no_other() -> None:
    here = await doors()
    first, second = Servicer(), Servicer()
    guarded: Any = here.guard.protect(first, "RouterService", ["Decide"], {1: second})
    for name, counts in (("client", (1, 0)), ("other", (1, 1)), ("admin", (2, 1))):
        await guarded.Decide(REQUEST, here.context(name))
        assert (first.calls, second.calls) == counts


async def test_a_key_s_calls_at_a_time_are_counted_out_however_they_end() -> None:
    here = await doors(Limits(default_deadline_s=0.05), concurrent_calls=1)
    servicer = Waiting()
    guarded: Any = here.guard.protect(servicer, "RouterService", ["Decide", "BatchDecide", "Complete"])
    throttle = here.keys.throttle(here.ids["client"])
    assert throttle is not None
    call = asyncio.ensure_future(guarded.Decide(REQUEST, here.context("client", None)))
    await asyncio.sleep(0)
    assert throttle.in_flight == 1
    assert (await refused(guarded, here.context("client"))).reason == "RATE_LIMITED"
    with pytest.raises(Aborted):  # by its deadline
        await call
    assert throttle.in_flight == 0
    with pytest.raises(Aborted):  # not built
        await guarded.Complete(REQUEST, here.context("client"))
    with pytest.raises(Aborted):  # not readable
        await guarded.Decide(UNREAD, here.context("client"))
    assert throttle.in_flight == 0


@pytest.mark.parametrize("way", ["revoked", "rotated", "expired"])
async def test_a_stream_ends_with_the_credential_that_began_it(way: str) -> None:
    here = await doors(expires_ms=1_030 if way == "expired" else None)
    streamer = Streamer(endless=True)
    guarded: Any = here.guard.protect(streamer, "InsightService", ["WatchArms"])
    admin = Caller(0, Role.ADMIN, here.ids["admin"])
    call = asyncio.ensure_future(guarded.WatchArms(WATCH, here.context("reviewer", None)))
    other = asyncio.ensure_future(guarded.WatchArms(WATCH, here.context("admin", None)))
    context = here.context("reviewer")
    await until(lambda: here.guard.streams == 2)
    if way == "revoked":
        await here.keys.revoke(admin, here.ids["reviewer"], "", Request("AdminService/RevokeKey"))
    elif way == "rotated":
        await here.keys.rotate(admin, here.ids["reviewer"], 0, Request("AdminService/RotateKey"))
    else:
        here.now[0] = 1_030
    assert (await ended(call)).reason == "UNAUTHENTICATED"
    assert (await ended(guarded.WatchArms(WATCH, context))).reason == "UNAUTHENTICATED"
    assert not other.done()
    other.cancel()
    with pytest.raises(asyncio.CancelledError):
        await other
    assert here.guard.streams == 0


@pytest.mark.parametrize(
    "metadata",
    [
        [("authorization", "")], [("authorization", "Bearer")], [("authorization", "Bearer ")],
        [("authorization", b"\xff\xfe")], [("authorization-bin", b"Bearer x")], [("authorization", "Bearer \udcff")],
        [("authorization", "Bearer " + "x" * 8_000)], [("Authorization", "Bearer x")],
    ],
)  # fmt: skip
async def test_odd_metadata_opens_nothing_and_ends_nothing(metadata: Any) -> None:
    here = await doors()
    guarded: Any = here.guard.protect(Servicer(), "RouterService", ["Decide"])
    context = here.context()
    context.metadata = tuple(metadata)
    assert (await refused(guarded, context)).reason == "UNAUTHENTICATED"
    context.metadata = (("authorization", f"bEaReR {here.secrets['client']}"),)
    assert await guarded.Decide(REQUEST, context) == "answered"
