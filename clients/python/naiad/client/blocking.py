"""The synchronous client: carries out calls on a grpc.Channel. Safe to share between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import grpc

from naiad.client.calls import Call, Listing, Streaming
from naiad.client.convert import read
from naiad.client.errors import DeadlineExceeded
from naiad.client.operations import catalog, feedback, insight, keys, router
from naiad.client.recording import Progress, Recorder, TrackedDecision
from naiad.client.results import Completion, Decision, OutcomeReceipt
from naiad.client.status import error_of
from naiad.client.streams import follow, pieces
from naiad.client.surface import ClientBase, dress, next_token
from naiad.client.watching import Watch

P = ParamSpec("P")
T = TypeVar("T")


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """Return the method that carries out the call that a function builds."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(build(*args, **kwargs))

    return dress(method, build, "T")


def _listing(build: Callable[P, Listing[T]]) -> Callable[Concatenate[Client, P], Iterator[T]]:
    """Return the method that iterates over the list that a function builds."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return self._iterate(build(*args, **kwargs))

    return dress(method, build, "Iterator[T]")


def _streaming(build: Callable[P, Streaming[T]]) -> Callable[Concatenate[Client, P], Generator[T, None, None]]:
    """Return the method that yields the pieces of the reply that a function asks for."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return pieces(self, build(*args, **kwargs))

    return dress(method, build, "Generator[T, None, None]")


def _watching(build: Callable[P, Watch[T]]) -> Callable[Concatenate[Client, P], Generator[T, None, None]]:
    """Return the method that follows the watch that a function builds."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return follow(self, build(*args, **kwargs))

    return dress(method, build, "Generator[T, None, None]")


def _deciding(build: Callable[P, Call[Decision]]) -> Callable[Concatenate[Client, P], BoundDecision]:
    """Return the method that decides and binds the decision to the client."""

    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> BoundDecision:
        return self._run(build(*args, **kwargs).read_as(lambda r: read(BoundDecision, r, _client=self)))

    return dress(method, build, "BoundDecision")


def _judging(
    build: Callable[Concatenate[str | Decision | Completion, P], Call[T]],
) -> Callable[Concatenate[BoundDecision, P], T]:
    """Return the method of a decision that carries out a call about it."""

    def method(self: BoundDecision, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._client._run(build(self, *args, **kwargs))

    return dress(method, build, "T", drop=1)


class Client(ClientBase):
    """A connection to Naiad. Close it, or use it as a context manager.

    with Client("127.0.0.1:50051") as client:
        with client.decide("Why does this fail?", task_class="code.debug") as decision:
            answer = call_provider(decision.model)
            decision.record(output_tokens=answer.output_tokens)
        decision.feedback(0.9)
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

    _channel: grpc.Channel | None = None
    _lock = threading.Lock()  # held only while a channel is made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled. Closing again does nothing."""
        self._closed = True
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _run(self, call: Call[T]) -> T:
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
                reply = self._rpc(call)(call.request, timeout=left_s, metadata=settings.metadata)
            except grpc.RpcError as failure:
                error = error_of(failure, request_id=call.request_id)
                wait = attempts.after(error, now_s=settings.clock(), uniform=settings.uniform())
                if wait is None or self._closed:
                    raise error from failure
            else:
                return call.parse(reply)
            self._sleep(wait.delay_s)
            attempts = wait.then

    def _rpc(self, call: Call[Any], *, streams: bool = False) -> Any:
        """Return the function that sends a call's request; the connection is made when it is first needed."""
        self._refuse_if_closed()
        if call.method not in self._methods:
            channel = self._connected()
            self._methods[call.method] = (channel.unary_stream if streams else channel.unary_unary)(
                call.method,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.response.FromString,
            )
        return self._methods[call.method]

    def _connected(self) -> grpc.Channel:
        """Return the channel."""
        with self._lock:
            if self._channel is None:
                settings, credentials = self._settings, self._settings.channel_credentials
                if credentials is None:
                    self._channel = grpc.insecure_channel(settings.target, settings.options)
                else:
                    self._channel = grpc.secure_channel(settings.target, credentials, settings.options)
            return self._channel

    def _iterate(self, listing: Listing[T]) -> Iterator[T]:
        """Yield the items of all pages."""
        token = ""
        while True:
            page = self._run(listing.page(token))
            yield from page.items
            token = next_token(page, token)
            if not token:
                return

    def _report(self, call: Call[OutcomeReceipt], progress: Progress, error: BaseException | None) -> None:
        """Report an outcome on leaving a block that raised `error`, or nothing."""
        try:
            self._run(call)
        except Exception as failure:
            self._report_failed(failure, progress, error)


@dataclass(frozen=True, kw_only=True)
class BoundDecision(TrackedDecision):
    """A decision that reports its outcome: as a context manager it measures the time of the block.

    On leaving, success is reported, or, if the block raised, a failure of a fitting kind; the exception goes
    on.
    """

    _client: Client = field(repr=False, compare=False)

    feedback = _judging(feedback.report_feedback)

    def __enter__(self) -> Self:
        self._open(self._client._settings.clock())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outcome = self._close(error, self._client._settings.clock())
        if outcome is not None:
            self._client._report(outcome, self._progress, error)

    def attempt(self, model: str = "") -> AttemptScope:
        """Return a context manager for one of several attempts, with the given model of the ranking."""
        return AttemptScope(self, model)

    def __hash__(self) -> int:
        return hash(self.decision_id)


class AttemptScope(Recorder):
    """One of several attempts for a decision: measures and reports its own outcome; exceptions go on."""

    def __init__(self, decision: BoundDecision, model: str) -> None:
        super().__init__(decision, model)
        self._decision = decision

    def __enter__(self) -> Self:
        self._decision._progress.explicit_attempts += 1
        self.started_s = self._decision._client._settings.clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        client = self._decision._client
        outcome = self.outcome(error, now_s=client._settings.clock())
        client._report(outcome, self._decision._progress, error)


__all__ = ["AttemptScope", "BoundDecision", "Client"]
