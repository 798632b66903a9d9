"""What every call passes before it reaches its method: authorization row, drain, deadline, size and admission.

The limit is our own: gRPC's pending queue is raised above it, because what gRPC sheds ends as a bare CANCELLED that
clients take for their own. Refusals carry RetryInfo.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import types
import uuid
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.message import Message

from naiad.server.audit import Act, is_refusal
from naiad.server.authorization import REQUIRED
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.status import abort
from naiad.server.wire import Unread

log = structlog.get_logger(__name__)

MEBIBYTE = 1 << 20
_LARGE = frozenset({"RouterService/Complete", "RouterService/StreamComplete"})  # carry images and long documents
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
        self, limits: Limits, backlog: Callable[[], int], audit: Callable[[Act], None] = lambda act: None
    ) -> None:
        self._limits = limits
        self._backlog = backlog
        self._audit = audit  # is told of refusals for want of rights
        self.in_flight = 0
        self.streams = 0
        self.draining = False
        self._open: set[asyncio.Timeout] = set()  # of the streams
        self._idle = asyncio.Event()

    def __repr__(self) -> str:
        return f"Guard(in_flight={self.in_flight}, streams={self.streams}, draining={self.draining})"

    def protect(self, servicer: Servicer, service: str, methods: list[str]) -> Servicer:
        """Wrap the servicer's methods; those that it does not have answer UNIMPLEMENTED with an ErrorInfo.

        A method that is an async generator streams its replies.
        """
        for method in methods:
            name = f"{service}/{method}"
            if name not in REQUIRED:
                raise RuntimeError(f"{name} has no row in naiad.server.authorization: add the role that it asks for")
            own = type(servicer).__dict__.get(method)
            wrap = self._wrap_stream if inspect.isasyncgenfunction(own) else self._wrap
            setattr(servicer, method, _unimplemented(name) if own is None else wrap(name, getattr(servicer, method)))
        return servicer

    async def drain(self, patience_s: float) -> None:
        """Refuse new calls, end streams as DRAINING, and wait for those in flight, so long and no longer."""
        self.draining = True
        now_s = asyncio.get_running_loop().time()
        for stream in self._open:
            stream.reschedule(now_s)
        if self.in_flight or self.streams:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await self._idle.wait()

    def _wrap(self, name: str, handler: Method) -> Method:
        seldom_waits = name == "RouterService/Decide"  # only for a task class that is new, or where the setting says so

        async def call(request: Message, context: grpc.aio.ServicerContext) -> Message:  # type: ignore[type-arg]
            self.in_flight += 1
            try:
                left = self._admit(name, request, context)
                work = handler(request, context)
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
                await self._refuse(context, name, _error_of(name, error, _passed_midway))
            finally:
                self.in_flight -= 1
                self._left()

        return call

    def _wrap_stream(self, name: str, handler: Stream) -> Callable[[Any, Any], Coroutine[Any, Any, None]]:
        """Guard a method that streams its replies: it has the caller's deadline or none, and ends with the drain."""

        async def call(request: Message, context: grpc.aio.ServicerContext) -> None:  # type: ignore[type-arg]
            self.streams += 1
            scope = None
            try:
                self._admit_stream(name, request, context)
                async with asyncio.timeout(context.time_remaining()) as scope:
                    self._open.add(scope)
                    async with contextlib.aclosing(handler(request, context)) as replies:
                        async for reply in replies:
                            await context.write(reply)
            except (asyncio.CancelledError, grpc.aio.AbortError):
                raise
            except Exception as error:
                passed = _draining if self.draining else _stream_passed
                await self._refuse(context, name, _error_of(name, error, passed))
            finally:
                if scope is not None:
                    self._open.discard(scope)
                self.streams -= 1
                self._left()

        return call

    async def _refuse(self, context: Any, name: str, error: NaiadError) -> NoReturn:
        if is_refusal(error.reason, error.metadata):
            self._audit(Act(action=f"naiad.v1.{name}", reason=error.reason, succeeded=False))
        await abort(context, error)

    def _left(self) -> None:
        if self.draining and not self.in_flight and not self.streams:
            self._idle.set()

    def _admit(self, name: str, request: Message | Unread, context: Any) -> float:
        """Return how many seconds the call may take; raises NaiadError when it may not begin."""
        limits = self._limits
        if self.draining:
            raise _draining(name)
        if self.in_flight > limits.concurrent_calls or self._backlog() > limits.backlog:
            raise _overloaded(name, limits.concurrent_calls, "calls", "concurrent_calls")
        left = _readable(name, request, context)
        return limits.default_deadline_s if left is None else min(left, limits.longest_deadline_s)

    def _admit_stream(self, name: str, request: Message | Unread, context: Any) -> None:
        """Raise NaiadError when a stream may not begin."""
        if self.draining:
            raise _draining(name)
        if self.streams > self._limits.concurrent_streams:
            raise _overloaded(name, self._limits.concurrent_streams, "streams", "concurrent_streams")
        _readable(name, request, context)


def _readable(name: str, request: Message | Unread, context: Any) -> float | None:
    """Return how many seconds the caller gives, None for no end; raises NaiadError for what cannot be served."""
    left: float | None = context.time_remaining()
    if left is not None and left <= 0.0:
        raise _too_late(name)
    if isinstance(request, Unread):
        raise request.error
    return left


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


def _unimplemented(name: str) -> Method:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Message:  # type: ignore[type-arg]
        await abort(context, not_implemented(name))

    return call
