"""The asynchronous client: carries out calls on a grpc.aio.Channel, in the event loop that first uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc
import grpc.aio

from naiad.client.calls import Call, Listing, Streaming
from naiad.client.convert import read
from naiad.client.errors import DeadlineExceeded
from naiad.client.loops import home, log_failure
from naiad.client.operations import catalog, feedback, insight, keys, router
from naiad.client.recording import Progress, Recorder, TrackedDecision
from naiad.client.results import Completion, Decision, OutcomeReceipt
from naiad.client.status import error_of
from naiad.client.streams import follow_async, pieces_async
from naiad.client.surface import ClientBase, dress, next_token
from naiad.client.watching import Watch

P = ParamSpec("P")
T = TypeVar("T")

CANCEL_GRACE_S = 1.0  # how long a cancelled block waits for its report to be sent
CLOSE_GRACE_S = 5.0  # how long closing waits for reports that a cancelled block left behind


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """Return the coroutine method that carries out the call that a function builds."""

    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(build(*args, **kwargs))

    return dress(method, build, "T")


def _listing(build: Callable[P, Listing[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    """Return the method that iterates over the list that a function builds."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        return self._iterate(build(*args, **kwargs))

    return dress(method, build, "AsyncIterator[T]")


def _streaming(build: Callable[P, Streaming[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]:
    """Return the method that yields the pieces of the reply that a function asks for."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return pieces_async(self, build(*args, **kwargs))

    return dress(method, build, "AsyncGenerator[T, None]")


def _watching(build: Callable[P, Watch[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncGenerator[T, None]]:
    """Return the method that follows the watch that a function builds."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[T, None]:
        return follow_async(self, build(*args, **kwargs))

    return dress(method, build, "AsyncGenerator[T, None]")


def _deciding(build: Callable[P, Call[Decision]]) -> Callable[Concatenate[AsyncClient, P], Deciding]:
    """Return the method that begins to decide."""

    def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> Deciding:
        return Deciding(self, build(*args, **kwargs).read_as(lambda r: read(AsyncBoundDecision, r, _client=self)))

    return dress(method, build, "Deciding")


def _judging(
    build: Callable[Concatenate[str | Decision | Completion, P], Call[T]],
) -> Callable[Concatenate[AsyncBoundDecision, P], Coroutine[Any, Any, T]]:
    """Return the coroutine method of a decision that carries out a call about it."""

    async def method(self: AsyncBoundDecision, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._client._run(build(self, *args, **kwargs))

    return dress(method, build, "T", drop=1)


class AsyncClient(ClientBase):
    """A connection to Naiad for asyncio. Close it, or use it as a context manager.

    It belongs to the event loop that first uses it; every asyncio.run has a loop of its own.

    async with AsyncClient("127.0.0.1:50051") as client:
        async with client.decide("Why does this fail?", task_class="code.debug") as decision:
            answer = await call_provider(decision.model)
            decision.record(output_tokens=answer.output_tokens)
        await decision.feedback(0.9)
    """

    decide = _deciding(router.decide)
    complete = _method(router.complete)
    stream = _streaming(router.stream)
    report_outcome = _method(feedback.report_outcome)
    report_feedback = _method(feedback.report_feedback)
    retract_feedback = _method(feedback.retract_feedback)
    create_model = _method(catalog.create_model)
    get_model = _method(catalog.get_model)
    list_models = _listing(catalog.list_models)
    list_provider_models = _method(catalog.list_provider_models)
    update_model = _method(catalog.update_model)
    delete_model = _method(catalog.delete_model)
    create_task_class = _method(catalog.create_task_class)
    get_task_class = _method(catalog.get_task_class)
    list_task_classes = _listing(catalog.list_task_classes)
    update_task_class = _method(catalog.update_task_class)
    delete_task_class = _method(catalog.delete_task_class)
    list_arms = _listing(insight.list_arms)
    watch_arms = _watching(insight.watch_arms)
    get_decision = _method(insight.get_decision)
    list_decisions = _listing(insight.list_decisions)
    cost_report = _method(insight.cost_report)
    create_key, rotate_key = _method(keys.create_key), _method(keys.rotate_key)
    revoke_key, list_keys = _method(keys.revoke_key), _listing(keys.list_keys)

    _default_sleep = staticmethod(asyncio.sleep)
    _channel: grpc.aio.Channel | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _reports: set[asyncio.Task[OutcomeReceipt]] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Send what is still to be reported, for a few seconds at most, and close the connection."""
        self._loop = home(self._loop)
        self._closed = True
        if self._reports:
            await asyncio.wait(self._reports, timeout=CLOSE_GRACE_S)
        if self._channel is not None:
            channel, self._channel = self._channel, None
            await channel.close()

    async def _run(self, call: Call[T]) -> T:
        """Carry out a call, trying again where that is safe.

        Raises:
            NaiadError: it failed.
        """
        settings = self._settings
        attempts = settings.begin(call)
        while True:
            left_s = attempts.left_s(settings.clock())
            if left_s == 0:
                raise DeadlineExceeded("the time was up before the call", request_id=call.request_id)
            try:
                reply = await self._rpc(call)(call.request, timeout=left_s, metadata=settings.metadata)
            except grpc.aio.AioRpcError as failure:
                error = error_of(failure, request_id=call.request_id)
                wait = attempts.after(error, now_s=settings.clock(), uniform=settings.uniform())
                if wait is None or self._closed:
                    raise error from failure
            else:
                return call.parse(reply)
            await self._sleep(wait.delay_s)
            attempts = wait.then

    def _rpc(self, call: Call[Any], *, streams: bool = False) -> Any:
        """Return the function that sends a call's request; the connection is made when it is first needed."""
        self._loop = home(self._loop)
        if self._channel is None:
            self._refuse_if_closed()
            settings, credentials = self._settings, self._settings.channel_credentials
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(settings.target, settings.options)
            else:
                self._channel = grpc.aio.secure_channel(settings.target, credentials, settings.options)
        if call.method not in self._methods:
            self._methods[call.method] = (self._channel.unary_stream if streams else self._channel.unary_unary)(
                call.method,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.response.FromString,
            )
        return self._methods[call.method]

    async def _iterate(self, listing: Listing[T]) -> AsyncIterator[T]:
        """Yield the items of all pages."""
        token = ""
        while True:
            page = await self._run(listing.page(token))
            for item in page.items:
                yield item
            token = next_token(page, token)
            if not token:
                return

    async def _report(self, call: Call[OutcomeReceipt], progress: Progress, error: BaseException | None) -> None:
        """Report an outcome on leaving a block that raised `error`, or nothing.

        The report is a task of its own, so that cancelling the caller, even a second time, does not cancel
        it. A cancelled block waits for it for a moment only; close() waits for the rest.
        """
        task = asyncio.create_task(self._run(call))
        if self._reports is None:
            self._reports = set()
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
        cancelled = isinstance(error, asyncio.CancelledError | GeneratorExit)
        try:
            await asyncio.wait({task}, timeout=CANCEL_GRACE_S if cancelled else None)
        finally:
            if not task.done():
                task.add_done_callback(log_failure)
        if task.done() and not task.cancelled() and isinstance(failure := task.exception(), Exception):
            self._report_failed(failure, progress, error)


class Deciding:
    """A decision to come: `await` it, or open its block with `async with`, which reports the outcome."""

    def __init__(self, client: AsyncClient, call: Call[AsyncBoundDecision]) -> None:
        self._client, self._call = client, call
        self._decision: AsyncBoundDecision | None = None

    def __repr__(self) -> str:
        return f"<Deciding by {self._client!r}>"

    def __await__(self) -> Generator[Any, None, AsyncBoundDecision]:
        return self._client._run(self._call).__await__()

    async def __aenter__(self) -> AsyncBoundDecision:
        self._decision = await self
        return await self._decision.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._decision is not None:
            await self._decision.__aexit__(kind, error, trace)


@dataclass(frozen=True, kw_only=True)
class AsyncBoundDecision(TrackedDecision):
    """A decision that reports its outcome: as a context manager it measures the time of the block.

    On leaving, success is reported, or, if the block raised, a failure of a fitting kind; the exception goes
    on.
    """

    _client: AsyncClient = field(repr=False, compare=False)

    feedback = _judging(feedback.report_feedback)

    async def __aenter__(self) -> Self:
        self._open(self._client._settings.clock())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = self._close(error, self._client._settings.clock())
        if outcome is not None:
            await self._client._report(outcome, self._progress, error)

    def attempt(self, model: str = "") -> AsyncAttemptScope:
        """Return a context manager for one of several attempts, with the given model of the ranking."""
        return AsyncAttemptScope(self, model)

    def __hash__(self) -> int:
        return hash(self.decision_id)


class AsyncAttemptScope(Recorder):
    """One of several attempts for a decision: measures and reports its own outcome; exceptions go on."""

    def __init__(self, decision: AsyncBoundDecision, model: str) -> None:
        super().__init__(decision, model)
        self._decision = decision

    async def __aenter__(self) -> Self:
        self._decision._progress.explicit_attempts += 1
        self.started_s = self._decision._client._settings.clock()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._decision._client
        outcome = self.outcome(error, now_s=client._settings.clock())
        await client._report(outcome, self._decision._progress, error)
