"""A Naiad that answers from a script, over real sockets on 127.0.0.1, for the tests of the client.

It keeps every request with its metadata and the time left, and fails as often as it is told to. It decides nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from naiad.v1 import catalog_pb2, content_pb2, decision_pb2, insight_pb2
from naiad.v1 import catalog_service_pb2 as catalog_api
from naiad.v1 import feedback_service_pb2 as feedback_api
from naiad.v1 import insight_service_pb2 as insight_api
from naiad.v1 import router_service_pb2 as router_api
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceServicer, add_CatalogServiceServicer_to_server
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceServicer, add_FeedbackServiceServicer_to_server
from naiad.v1.insight_service_pb2_grpc import InsightServiceServicer, add_InsightServiceServicer_to_server
from naiad.v1.router_service_pb2_grpc import RouterServiceServicer, add_RouterServiceServicer_to_server

ADDERS: tuple[tuple[str, type, Callable[..., None]], ...] = (
    ("RouterService", RouterServiceServicer, add_RouterServiceServicer_to_server),
    ("FeedbackService", FeedbackServiceServicer, add_FeedbackServiceServicer_to_server),
    ("CatalogService", CatalogServiceServicer, add_CatalogServiceServicer_to_server),
    ("InsightService", InsightServiceServicer, add_InsightServiceServicer_to_server),
)


@dataclass(frozen=True)
class Failure:
    """How a call is to fail."""

    code: grpc.StatusCode
    message: str = "it failed"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    retry_after_s: float | None = None
    fields: dict[str, str] = field(default_factory=dict)
    details: tuple[Message, ...] = ()

    def trailers(self) -> tuple[tuple[str, bytes], ...]:
        """Return the trailing metadata, made with the common protos that the client does without."""
        packed: list[Message] = list(self.details)
        if self.reason:
            info = error_details_pb2.ErrorInfo(reason=self.reason, domain="naiad.v1", metadata=self.metadata)
            packed.append(info)
        if self.fields:
            bad = error_details_pb2.BadRequest()
            for name, description in self.fields.items():
                bad.field_violations.add(field=name, description=description)
            packed.append(bad)
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromNanoseconds(round(self.retry_after_s * 1e9))
            packed.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in packed:
            item = any_pb2.Any()
            item.Pack(detail)
            status.details.append(item)
        return (("grpc-status-details-bin", status.SerializeToString()),) if packed else ()


@dataclass(frozen=True)
class Seen:
    """One call as it arrived."""

    method: str
    request: Any
    metadata: dict[str, str | bytes]
    left_s: float | None


class FakeNaiad:
    """The server's script and what arrived; safe to use while calls are under way."""

    def __init__(self) -> None:
        self.target = ""
        self.seen: list[Seen] = []
        self.failures: dict[str, list[Failure]] = {}
        self.gate: dict[str, threading.Event] = {}
        self.watches: list[list[insight_api.WatchArmsResponse | Failure]] = []  # what the next streams send
        self.streams: list[list[router_api.StreamCompleteResponse | Failure | None]] = []  # of StreamComplete, likewise
        self.hung_up = threading.Event()  # a caller broke off a stream that was held open
        self.models = {"acme/small": catalog_pb2.Model(name="acme/small", provider="acme", revision=3)}
        self.arrived = threading.Condition()

    def fail(self, method: str, *failures: Failure) -> None:
        """Let the next calls of the method fail like this, one after the other."""
        self.failures.setdefault(method, []).extend(failures)

    def requests(self, method: str) -> list[Any]:
        """Return the requests of a method in the order of their arrival."""
        with self.arrived:
            return [seen.request for seen in self.seen if seen.method == method]

    def wait_for(self, method: str, count: int = 1, *, timeout_s: float = 10.0) -> list[Any]:
        """Return the requests of a method once there are so many."""
        with self.arrived:
            met = self.arrived.wait_for(lambda: len(self.requests(method)) >= count, timeout_s)
        assert met, f"{method} did not arrive {count} times: {[s.method for s in self.seen]}"
        return self.requests(method)

    def answer(self, method: str, request: Any, context: grpc.ServicerContext) -> Any:
        """Keep the call, fail if that is next, else reply."""
        metadata = {str(key): value for key, value in context.invocation_metadata()}
        with self.arrived:
            self.seen.append(Seen(method, request, metadata, context.time_remaining()))
            planned = self.failures.get(method)
            failure = planned.pop(0) if planned else None
            self.arrived.notify_all()
        if method in self.gate:
            self.gate[method].wait(10)
        if failure is not None:
            context.set_trailing_metadata(failure.trailers())
            context.abort(failure.code, failure.message)
        if method == "GetModel" and request.name not in self.models:
            unknown = Failure(
                grpc.StatusCode.NOT_FOUND, "no such model", "ERROR_REASON_UNKNOWN_MODEL", {"model": request.name}
            )
            context.set_trailing_metadata(unknown.trailers())
            context.abort(unknown.code, unknown.message)
        reply = REPLIES[method]
        return reply(self, request)

    def watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[insight_api.WatchArmsResponse]:
        """Keep the call and send what is next for a stream; without anything, hold it open until the caller goes."""
        held = [insight_api.WatchArmsResponse(cursor="held", checkpoint=True), None]
        yield from self._stream("WatchArms", request, context, self.watches, held)

    def write(self, request: Any, context: grpc.ServicerContext) -> Iterator[router_api.StreamCompleteResponse]:
        """Do the same for an answer that is written; without anything, write the one that Complete gives."""
        yield from self._stream("StreamComplete", request, context, self.streams, answer_events(self, request))

    def _stream(
        self, method: str, request: Any, context: grpc.ServicerContext, plans: list[Any], default: list[Any]
    ) -> Iterator[Any]:
        metadata = {str(key): value for key, value in context.invocation_metadata()}
        with self.arrived:
            self.seen.append(Seen(method, request, metadata, context.time_remaining()))
            planned = plans.pop(0) if plans else default
            self.arrived.notify_all()
        if None in planned and not context.add_callback(self.hung_up.set):
            self.hung_up.set()  # gone already
        for item in planned:
            if item is None:
                self.hung_up.wait(10)
                return
            if isinstance(item, Failure):
                context.set_trailing_metadata(item.trailers())
                context.abort(item.code, item.message)
            yield item


def _decide(fake: FakeNaiad, request: router_api.DecideRequest) -> router_api.DecideResponse:
    return router_api.DecideResponse(
        decision_id="d-" + (request.request_id or "none"),
        model="acme/small",
        propensity=0.75,
        ranking=[
            decision_pb2.Candidate(
                model="acme/small", propensity=0.75, quality=0.8, cost_nano_usd=1_250_000, latency_s=0.5
            ),
            decision_pb2.Candidate(model="acme/large", propensity=0.25, quality=0.9),
        ],
        excluded=[
            decision_pb2.Exclusion(
                model="acme/old", reason=decision_pb2.EXCLUSION_REASON_CONTEXT_WINDOW, detail="too small"
            )
        ],
        policy_version=7,
        task_class=request.task_class or "unclassified",
        notices=[decision_pb2.Notice(code=decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED, metadata={"task_class": "x"})],
    )


def _complete(fake: FakeNaiad, request: router_api.CompleteRequest) -> router_api.CompleteResponse:
    call = content_pb2.ToolCall(tool_call_id="t1", name="look", arguments_json='{"at":1}')
    parts = [content_pb2.Part(text="A fine "), content_pb2.Part(text="summary."), content_pb2.Part(tool_call=call)]
    return router_api.CompleteResponse(
        decision_id="d-complete",
        attempt_id="a1",
        model="acme/small",
        answer=content_pb2.Message(role=content_pb2.ROLE_ASSISTANT, parts=parts),
        finish_reason=content_pb2.FINISH_REASON_STOP,
        usage=content_pb2.Usage(input_tokens=10, output_tokens=4),
        cost=decision_pb2.CostBreakdown(total_nano_usd=1_250_000),
        total_cost_nano_usd=2_500_000,
        attempts=[
            decision_pb2.Attempt(
                attempt_id="a0",
                model="acme/large",
                error=decision_pb2.AttemptError(
                    kind=decision_pb2.ATTEMPT_ERROR_KIND_RATE_LIMITED,
                    http_status=429,
                    retry_after=duration_pb2.Duration(seconds=2),
                ),
                latency=duration_pb2.Duration(nanos=250_000_000),
            ),
            decision_pb2.Attempt(attempt_id="a1", model="acme/small"),
        ],
    )


def answer_events(fake: FakeNaiad, request: Any) -> list[router_api.StreamCompleteResponse | Failure | None]:
    """Return the events of the answer that Complete gives; None in such a list holds the stream open."""
    response = router_api.StreamCompleteResponse
    return [
        response(started={"decision_id": "d-complete", "attempt_id": "a0", "model": "acme/large", "policy_version": 7}),
        response(text_delta={"text": "A rough "}),
        response(restarted={"failed": {"attempt_id": "a0", "model": "acme/large", "error": {"kind": 10}},
                            "attempt_id": "a1", "model": "acme/small"}),
        response(text_delta={"text": "A fine "}),
        response(text_delta={"text": "summary."}),
        response(tool_call_delta={"tool_call_id": "t1", "name": "look", "arguments_json": '{"at":1}'}),
        response(completed={"response": _complete(fake, request)}),
    ]  # fmt: skip


def _outcome(fake: FakeNaiad, request: Any) -> feedback_api.ReportOutcomeResponse:
    cost = decision_pb2.CostBreakdown(total_nano_usd=request.cost_nano_usd)
    return feedback_api.ReportOutcomeResponse(attempt_id=request.attempt_id, cost=cost, sequence=5)


def _feedback(fake: FakeNaiad, request: Any) -> feedback_api.ReportFeedbackResponse:
    return feedback_api.ReportFeedbackResponse(
        feedback_id="f1", state="FEEDBACK_STATE_EFFECTIVE", effective_score=request.score, sequence=6
    )


def _retract(fake: FakeNaiad, request: Any) -> feedback_api.RetractFeedbackResponse:
    reply = feedback_api.RetractFeedbackResponse(sequence=7)
    reply.feedback.feedback_id = request.feedback_id
    reply.feedback.score = 0.5
    return reply


def _list_models(fake: FakeNaiad, request: Any) -> catalog_api.ListModelsResponse:
    """Three pages of two models, whatever was asked for; the token is the page's number."""
    page = int(request.page_token or 0)
    models = [catalog_pb2.Model(name=f"acme/m{page * 2 + i}") for i in range(2)]
    return catalog_api.ListModelsResponse(models=models, next_page_token=str(page + 1) if page < 2 else "")


def _list_arms(fake: FakeNaiad, request: Any) -> insight_api.ListArmsResponse:
    arm = insight_pb2.Arm(task_class="t", model="acme/small", pulls=4)
    arm.quality.mean = 0.5
    arm.latency_s.mean = 0.25
    return insight_api.ListArmsResponse(arms=[arm])


def _get_decision(fake: FakeNaiad, request: Any) -> insight_api.GetDecisionResponse:
    reply = insight_api.GetDecisionResponse()
    reply.decision.decision_id = request.decision_id
    reply.decision.decide_duration.nanos = 150_000
    reply.decision.create_time.seconds = 1_700_000_000
    reply.decision.objective.strategy = 1  # type: ignore[assignment]
    reply.decision.candidates.add().candidate.model = "acme/small"
    return reply


def _get_cost_report(fake: FakeNaiad, request: Any) -> insight_api.GetCostReportResponse:
    reply = insight_api.GetCostReportResponse(next_page_token="more")
    reply.rows.add(task_class="t", cost_nano_usd=7, input_nano_usd=9, adjustment_nano_usd=-2)
    reply.total.cost_nano_usd = 1_250_000
    reply.total.mean_score = 0.0
    reply.saving.baseline_model = "acme/large"
    reply.saving.lower_nano_usd = -5
    reply.start_time.seconds = 1_700_000_000
    return reply


REPLIES: dict[str, Callable[[FakeNaiad, Any], Message]] = {
    "Decide": _decide,
    "Complete": _complete,
    "ReportOutcome": _outcome,
    "ReportFeedback": _feedback,
    "RetractFeedback": _retract,
    "CreateModel": lambda fake, r: catalog_api.CreateModelResponse(model=r.model),
    "GetModel": lambda fake, r: catalog_api.GetModelResponse(model=fake.models[r.name]),
    "ListModels": _list_models,
    "ListProviderModels": lambda fake, r: catalog_api.ListProviderModelsResponse(
        models=[catalog_pb2.ProviderModel(name="m", context_window=5, capabilities=[2])],  # type: ignore[list-item]
        left_out=7,
    ),
    "UpdateModel": lambda fake, r: catalog_api.UpdateModelResponse(model=r.model),
    "DeleteModel": lambda fake, r: catalog_api.DeleteModelResponse(),
    "CreateTaskClass": lambda fake, r: catalog_api.CreateTaskClassResponse(task_class=r.task_class),
    "GetTaskClass": lambda fake, r: catalog_api.GetTaskClassResponse(task_class=catalog_pb2.TaskClass(name=r.name)),
    "ListTaskClasses": lambda fake, r: catalog_api.ListTaskClassesResponse(
        task_classes=[catalog_pb2.TaskClass(name="code.debug")]
    ),
    "UpdateTaskClass": lambda fake, r: catalog_api.UpdateTaskClassResponse(task_class=r.task_class),
    "DeleteTaskClass": lambda fake, r: catalog_api.DeleteTaskClassResponse(),
    "ListArms": _list_arms,
    "GetDecision": _get_decision,
    "ListDecisions": lambda fake, r: insight_api.ListDecisionsResponse(
        decisions=[insight_pb2.DecisionSummary(decision_id="d1", cost_nano_usd=0)]
    ),
    "GetCostReport": _get_cost_report,
}


def _servicer(fake: FakeNaiad, base: type) -> Any:
    """Return a servicer whose known methods answer from the script; the others are unimplemented."""

    def handler(name: str) -> Any:
        return lambda self, request, context: fake.answer(name, request, context)

    methods = {name: handler(name) for name in REPLIES if hasattr(base, name)}
    if hasattr(base, "StreamComplete"):
        methods["StreamComplete"] = lambda self, request, context: fake.write(request, context)
    if hasattr(base, "WatchArms"):
        methods["WatchArms"] = lambda self, request, context: fake.watch(request, context)
    return type(base.__name__, (base,), methods)()


@contextmanager
def serving() -> Iterator[FakeNaiad]:
    """Run the fake on a free port of 127.0.0.1."""
    fake = FakeNaiad()
    with futures.ThreadPoolExecutor(max_workers=8) as pool:
        server = grpc.server(pool)
        for _, base, add in ADDERS:
            add(_servicer(fake, base), server)
        fake.target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield fake
        finally:
            for event in fake.gate.values():
                event.set()
            server.stop(0).wait()
