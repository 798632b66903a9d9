"""What every call passes before it reaches its method: who calls, drain, deadline, size and admission.

Who calls, for which tenant and in what role, comes from the credential only, and is asked before anything of the
request is looked at. A method without a row in the table of roles cannot be served.

The limit is our own: gRPC's pending queue is raised above it, because what gRPC sheds ends as a bare CANCELLED that
clients take for their own. Refusals carry RetryInfo. Calls without a valid key are refused at once and counted nowhere,
so that a flood of them does not make a good key OVERLOADED.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import types
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
import msgspec
import structlog
from google.protobuf.message import Message

from naiad.server.audit import Act, is_refusal
from naiad.server.auditor import PEER, address_of
from naiad.server.authorization import REQUIRED, Role
from naiad.server.credentials import Caller
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.identity import CALLER, Identity, unauthenticated
from naiad.server.status import abort
from naiad.server.throttle import Throttle
from naiad.server.wire import Received, Unread

log = structlog.get_logger(__name__)

MEBIBYTE = 1 << 20
_LARGE = frozenset({"RouterService/Complete", "RouterService/StreamComplete"})  # carry images and long documents
_FINITE = frozenset({"RouterService/StreamComplete"})  # streams that end by themselves: calls in all but form
_RETRY_AFTER_S = 0.5

Servicer = TypeVar("Servicer")
Method = Callable[[Any, Any], Coroutine[Any, Any, Message]]
Stream = Callable[[Any, Any], AsyncGenerator[Message, None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a server takes on at a time."""

    concurrent_calls: int = 512
    concurrent_streams: int = 128  # apart from calls: whoever watches takes nobody's place
    backlog: int = 20_000  # decisions waiting to be written
    message_mib: int = 4
    large_message_mib: int = 32
    default_deadline_s: float = 60.0
    longest_deadline_s: float = 600.0

    def largest(self, name: str) -> int:
        """Return how many bytes a request of a method may have."""
        return (self.large_message_mib if name in _LARGE else self.message_mib) * MEBIBYTE


class Guard:
    """Counts the calls in flight and refuses what is too much, too large, too late or too early."""

    def __init__(
        self,
        limits: Limits,
        backlog: Callable[[], int],
        identity: Identity,
        audit: Callable[[int | None, Act], None] = lambda tenant, act: None,
    ) -> None:
        self._limits = limits
        self._identity = identity
        identity.keys.changed = self.recheck
        self._backlog = backlog
        self._audit = audit  # is told of refusals for want of rights, and whose tenant asked; None is nobody known
        self.in_flight = 0
        self.streams = 0
        self.draining = False
        self.turned_away = 0  # calls refused because of the drain
        self._open: dict[asyncio.Timeout, tuple[Caller, float | None, bool]] = {}  # streams: whose, own end, finite
        self._idle = asyncio.Event()

    def __repr__(self) -> str:
        return f"Guard(in_flight={self.in_flight}, streams={self.streams}, draining={self.draining})"

    def protect(
        self,
        servicer: Servicer,
        service: str,
        methods: list[str],
        others: Mapping[int, Servicer] = {},
    ) -> Servicer:
        """Wrap the servicer's methods; those that it does not have answer UNIMPLEMENTED with an ErrorInfo.

        A method that is an async generator streams its replies. others: the servicers of the tenants but the first, 0;
        a call reaches that of its caller's tenant, and no other.
        """
        for method in methods:
            name = f"{service}/{method}"
            if name not in REQUIRED:
                raise RuntimeError(f"{name} has no row in naiad.server.authorization: add the role that it asks for")
            own = type(servicer).__dict__.get(method)
            wrap = self._wrap_stream if inspect.isasyncgenfunction(own) else self._wrap
            if own is None:
                setattr(servicer, method, self._wrap_missing(name))
                continue
            handlers = {0: getattr(servicer, method)}
            handlers.update((tenant, getattr(other, method)) for tenant, other in others.items())
            setattr(servicer, method, wrap(name, handlers))
        return servicer

    async def drain(self, patience_s: float) -> None:
        """Refuse new calls, end watches as DRAINING, and wait for those in flight, so long and no longer."""
        self.draining = True
        now_s = asyncio.get_running_loop().time()
        for stream, (_, _, finite) in self._open.items():
            if not stream.expired() and not finite:
                stream.reschedule(now_s)
        if self.in_flight or self.streams:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._idle.wait()

    def recheck(self) -> None:
        """End the streams whose credential has ended, and set the end of those whose credential ends otherwise now."""
        for stream, (caller, end_s, _) in self._open.items():
            if not stream.expired() and not self.draining:
                stream.reschedule(self._identity.end_s(caller, end_s))

    def _caller(self, name: str, context: Any) -> Caller:
        """Return who calls, whatever they may do; raises NaiadError for nobody known."""
        caller = self._identity.caller(name, context.invocation_metadata())
        CALLER.set(caller)
        return caller

    def _enter(self, name: str, role: Role, caller: Caller) -> Throttle | None:
        """Count a call into the limits of the caller's key; raises NaiadError when the caller may not."""
        self._identity.check(caller, name, role)
        throttle = self._identity.keys.throttle(caller.key_id)
        if throttle is not None:
            throttle.enter(asyncio.get_running_loop().time())
        return throttle

    def _wrap_missing(self, name: str) -> Method:
        role = REQUIRED[name]

        async def call(request: Any, context: grpc.aio.ServicerContext) -> Message:  # type: ignore[type-arg]
            caller = None
            try:
                caller = self._caller(name, context)
                throttle = self._enter(name, role, caller)
                if throttle is not None:
                    throttle.leave()
                error = not_implemented(name)
            except NaiadError as refused:
                error = refused
            await self._refuse(context, name, error, caller)

        return call

    def _wrap(self, name: str, handlers: Mapping[int, Method]) -> Method:
        role = REQUIRED[name]
        seldom_waits = name == "RouterService/Decide"  # only for a task class that is new, or where the setting says so

        async def call(request: Message | Received, context: grpc.aio.ServicerContext) -> Message:  # type: ignore[type-arg]
            caller = throttle = None
            try:
                caller = self._caller(name, context)
                self.in_flight += 1  # strangers take nobody's place
                throttle = self._enter(name, role, caller)
                left = self._admit(name, context)
                work = handlers[caller.tenant](_read(request), context)
                if seldom_waits:  # a timer would cost more than much of what Decide does
                    try:
                        pending = work.send(None)
                    except StopIteration as done:
                        answer: Message = done.value
                        return answer
                    work = _resumed(work, pending)
                async with asyncio.timeout(left):
                    return await work
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                await self._refuse(context, name, _error_of(name, error, _passed_midway), caller)
            finally:
                if throttle is not None:
                    throttle.leave()
                if caller is not None:
                    self.in_flight -= 1
                    self._left()

        return call

    def _wrap_stream(
        self, name: str, handlers: Mapping[int, Stream]
    ) -> Callable[[Any, Any], Coroutine[Any, Any, None]]:
        """Guard a method that streams its replies: it has the caller's deadline or none.

        It ends with the drain, and with the credential that began it. One that ends by itself counts and is bounded as
        a call is, and the drain waits for it.
        """
        role, finite = REQUIRED[name], name in _FINITE

        async def call(request: Message | Received, context: grpc.aio.ServicerContext) -> None:  # type: ignore[type-arg]
            scope: asyncio.Timeout | None = None
            throttle: Throttle | None = None
            caller: Caller | None = None
            try:
                caller = self._caller(name, context)
                self.streams += not finite
                self.in_flight += finite
                throttle = self._enter(name, role, caller)
                left = self._admit(name, context) if finite else self._admit_stream(name, context)
                wanted = _read(request)
                end_s = None if left is None else asyncio.get_running_loop().time() + left
                async with asyncio.timeout_at(self._identity.end_s(caller, end_s)) as scope:
                    self._open[scope] = caller, end_s, finite
                    async with contextlib.aclosing(handlers[caller.tenant](wanted, context)) as replies:
                        async for reply in replies:
                            await context.write(reply)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                passed = _error_of(name, error, lambda name: self._stream_over(name, caller))
                await self._refuse(context, name, passed, caller)
            finally:
                if scope is not None:
                    self._open.pop(scope, None)
                if throttle is not None:
                    throttle.leave()
                if caller is not None:
                    self.streams -= not finite
                    self.in_flight -= finite
                    self._left()

        return call

    async def _refuse(self, context: Any, name: str, error: NaiadError, caller: Caller | None) -> NoReturn:
        if is_refusal(error.reason, error.metadata):
            act = Act(action=f"naiad.v1.{name}", reason=error.reason, succeeded=False)
            if caller is None:
                self._audit(None, msgspec.structs.replace(act, facts={PEER: address_of(context.peer())}))
            else:
                self._audit(caller.tenant, msgspec.structs.replace(act, key=caller.key_id))
        await abort(context, error)

    def _stream_over(self, name: str, caller: Caller | None) -> NaiadError:
        """Return why the time of a stream is up."""
        if self.draining and name not in _FINITE:
            return _draining(name)
        if caller is not None and self._identity.over(caller):
            return unauthenticated(given=True)
        return _passed_midway(name) if name in _FINITE else _stream_passed(name)

    def _left(self) -> None:
        if self.draining and not self.in_flight and not self.streams:
            self._idle.set()

    def _admit(self, name: str, context: Any) -> float:
        """Return how many seconds the call may take; raises NaiadError when it may not begin."""
        limits = self._limits
        if self.draining:
            self.turned_away += 1
            raise _draining(name)
        if self.in_flight > limits.concurrent_calls or self._backlog() > limits.backlog:
            raise _overloaded(name, limits.concurrent_calls, "calls", "concurrent_calls")
        left = _time_left(name, context)
        return limits.default_deadline_s if left is None else min(left, limits.longest_deadline_s)

    def _admit_stream(self, name: str, context: Any) -> float | None:
        """Return how many seconds a watch may take, None for no end; raises NaiadError when it may not begin."""
        if self.draining:
            self.turned_away += 1
            raise _draining(name)
        if self.streams > self._limits.concurrent_streams:
            raise _overloaded(name, self._limits.concurrent_streams, "streams", "concurrent_streams")
        return _time_left(name, context)


def _time_left(name: str, context: Any) -> float | None:
    """Return how many seconds the caller gives, None for no end; raises NaiadError where there are none."""
    left: float | None = context.time_remaining()
    if left is not None and left <= 0.0:
        raise _too_late(name)
    return left


def _read(request: Message | Received) -> Message:
    """Return the message of a request; raises NaiadError for one that cannot be read."""
    message = request.read() if isinstance(request, Received) else request
    if isinstance(message, Unread):
        raise message.error
    return message


def _error_of(name: str, error: Exception, passed: Callable[[str], NaiadError]) -> NaiadError:
    """Return what a call ends with: its own refusal, what `passed` says of its time, or a defect by its incident."""
    if isinstance(error, NaiadError):
        if error.metadata.get("method") == "":  # raised where nobody knew
            error.metadata["method"] = name
        return error
    if isinstance(error, TimeoutError):
        return passed(name)
    incident = uuid.uuid4().hex
    log.error("call_failed", method=name, incident_id=incident, error=type(error).__name__, exc_info=error)
    return NaiadError(
        "INTERNAL", f"a defect of Naiad ended this call; report it with incident_id {incident}",
        code="INTERNAL", metadata={"incident_id": incident},
    )  # fmt: skip


def _draining(name: str) -> NaiadError:
    return NaiadError(
        "DRAINING", "the server is shutting down; try again, another or the restarted one will answer",
        code="UNAVAILABLE", metadata={"method": name}, retry_after_s=1.0,
    )  # fmt: skip


def _overloaded(name: str, limit: int, what: str, key: str) -> NaiadError:
    return NaiadError(
        "OVERLOADED", f"{limit} {what} are being served, as many as this server takes; "
        f"wait as long as RetryInfo says, or raise [server] {key}",
        code="RESOURCE_EXHAUSTED", metadata={"method": name, "limit": limit}, retry_after_s=_RETRY_AFTER_S,
    )  # fmt: skip


def _too_late(name: str) -> NaiadError:
    return NaiadError(
        "DEADLINE_ALREADY_PAST", f"the deadline of {name} has passed; call with a longer one",
        code="DEADLINE_EXCEEDED", metadata={"method": name, "left_ms": 0, "needed_ms": 1},
    )  # fmt: skip


def _passed_midway(name: str) -> NaiadError:
    return NaiadError(
        "DEADLINE_PASSED_MIDWAY",
        f"the deadline passed while {name} was under way; whether a change was kept is not known: repeat the request "
        "with the same request_id and a longer deadline",
        code="DEADLINE_EXCEEDED", metadata={"method": name},
    )  # fmt: skip


def _stream_passed(name: str) -> NaiadError:
    return NaiadError(
        "DEADLINE_PASSED_MIDWAY",
        f"the deadline of {name} has passed; go on from the last cursor with a longer one, or with none",
        code="DEADLINE_EXCEEDED", metadata={"method": name},
    )  # fmt: skip


@types.coroutine
def _resumed(work: Coroutine[Any, Any, Message], pending: Any) -> Generator[Any, Any, Message]:
    """Go on with a coroutine that was begun by hand, and waits for `pending`."""
    try:
        while True:
            try:
                sent = yield pending
            except BaseException as error:  # a cancellation, for the most part: it belongs to the work
                pending = work.throw(error)
            else:
                pending = work.send(sent)
    except StopIteration as done:
        answer: Message = done.value
        return answer
