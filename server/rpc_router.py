"""RouterService: convert, call, convert."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

import msgspec

from naiad.adapters.base import Delta, Message, TextDelta, TextPart, ToolCallDelta, ToolCallPart
from naiad.server import render
from naiad.server.completion import Completion
from naiad.server.convert import enum_value
from naiad.server.doubts import doubts
from naiad.server.engine import Decision, Query
from naiad.server.generation import task_from_proto
from naiad.server.journal import Request
from naiad.server.notices import Notice, estimated
from naiad.server.outcomes import FINISH
from naiad.server.pii import Detector
from naiad.server.query import query_from_proto
from naiad.server.records import Outcome
from naiad.server.refusals import REFUSED
from naiad.server.routing import Routing
from naiad.server.streaming import Began
from naiad.server.walk import Task
from naiad.server.walk_notices import walk_notices
from naiad.v1 import content_pb2, decision_pb2, router_service_pb2, router_service_pb2_grpc


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """Choosing a model, and calling it."""

    def __init__(
        self, routing: Routing, default_timeout_s: float, longest_timeout_s: float, detector: Detector | None = None
    ) -> None:
        self._routing = routing
        self._detector = detector
        self._default_timeout_s = default_timeout_s
        self._longest_timeout_s = longest_timeout_s

    async def Decide(self, request: Any, context: Any) -> router_service_pb2.DecideResponse:
        """Choose a model."""
        catalog = self._routing.engine.catalog
        query, _ = await self._asked(request, "RouterService/Decide")
        decision = await self._routing.decide(query)
        return render.decision_to_proto(catalog, decision, render.notices_of(catalog, decision.record))

    async def Complete(self, request: Any, context: Any) -> router_service_pb2.CompleteResponse:
        """Choose a model, call it, fall back where that helps, and answer."""
        query, task, called = await self._task(request, "RouterService/Complete")
        if request.dry_run:
            return self._planned(self._routing.plan(query))
        completion = await self._routing.complete(query, task, called, timeout_s=self._timeout_s(context))
        return self._completed(completion)

    async def StreamComplete(
        self, request: Any, context: Any
    ) -> AsyncGenerator[router_service_pb2.StreamCompleteResponse, None]:
        """Do the same, and send the answer as it is written."""
        query, task, called = await self._task(request, "RouterService/StreamComplete", streams=True)
        modes = router_service_pb2.StreamFailureMode
        mode = enum_value(request.failure_mode, modes, "failure_mode", required=False)
        answer = self._routing.stream(
            query,
            task,
            called,
            timeout_s=self._timeout_s(context),
            fail_fast=mode == modes.STREAM_FAILURE_MODE_FAIL_FAST,
        )
        begun = False
        async with aclosing(answer) as events:
            async for event in events:
                if not isinstance(event, Completion):
                    begun = True
                    yield self._event(event)
                    continue
                for whole in () if begun else self._in_one_piece(event):
                    yield whole
                done = router_service_pb2.StreamCompleted(response=self._completed(event))
                yield router_service_pb2.StreamCompleteResponse(completed=done)

    async def _task(self, request: Any, method: str, *, streams: bool = False) -> tuple[Query, Task, Request]:
        """Return what Complete or StreamComplete asks for."""
        query, messages = await self._asked(request, method)
        task = task_from_proto(request, query, messages, streams=streams)
        called = Request(method, query.request_id, query.request_digest)
        return msgspec.structs.replace(query, needs=task.needs), task, called

    def _timeout_s(self, context: Any) -> float:
        left: float | None = context.time_remaining()
        return self._default_timeout_s if left is None else min(left, self._longest_timeout_s)

    def _event(self, event: Began | Delta) -> router_service_pb2.StreamCompleteResponse:
        if isinstance(event, TextDelta):
            return router_service_pb2.StreamCompleteResponse(text_delta=router_service_pb2.TextDelta(text=event.text))
        if not isinstance(event, Began):
            call = router_service_pb2.ToolCallDelta(
                index=event.index, tool_call_id=event.id, name=event.name, arguments_json=event.arguments
            )
            return router_service_pb2.StreamCompleteResponse(tool_call_delta=call)
        if event.failed is None:
            started = router_service_pb2.StreamStarted(
                decision_id=event.decision.decision_id, attempt_id=event.attempt, model=event.model.name,
                policy_version=event.decision.record.policy,
            )  # fmt: skip
            return router_service_pb2.StreamCompleteResponse(started=started)
        failed = render.attempt(self._routing.engine.catalog, *event.failed)
        again = router_service_pb2.StreamRestarted(failed=failed, attempt_id=event.attempt, model=event.model.name)
        return router_service_pb2.StreamCompleteResponse(restarted=again)

    def _in_one_piece(self, completion: Completion) -> Iterator[router_service_pb2.StreamCompleteResponse]:
        """Yield the events of an answer that was written for an earlier call."""
        yield self._event(Began(completion.decision, completion.attempt, completion.model))
        calls = 0
        for part in completion.answer.parts:
            if isinstance(part, TextPart) and part.text:
                yield self._event(TextDelta(part.text))
            elif isinstance(part, ToolCallPart):
                yield self._event(ToolCallDelta(calls, part.id, part.name, part.arguments))
                calls += 1

    async def _asked(self, request: Any, method: str) -> tuple[Query, tuple[Message, ...]]:
        """Return a request's query and messages, the query with what the messages call for."""
        query, messages = query_from_proto(request, method, self._routing.engine.catalog)
        if self._detector is not None and messages:
            query = msgspec.structs.replace(query, content_data_class=await self._detector.raises(messages))
        return query, messages

    def _planned(self, decision: Decision) -> router_service_pb2.CompleteResponse:
        """Return a plan: what would be asked, in which order, and who may not be."""
        catalog, record = self._routing.engine.catalog, decision.record
        names = [catalog.model_names[model] for model in decision.order]
        cost = round(record.cost[record.rank[0]])
        then = f"; if it fails, {', then '.join(names[1:])}" if len(names) > 1 else ""
        dry = decision_pb2.Notice(
            code=decision_pb2.NOTICE_CODE_DRY_RUN,
            message=f"nothing was called: {names[0]} would be asked, for an expected ${cost / 1e9:.4g}{then}",
            metadata={"model": names[0], "expected_nano_usd": str(cost)},
        )
        return router_service_pb2.CompleteResponse(
            model=names[0],
            propensity=record.propensity,
            ranking=render.candidates(catalog, record),
            excluded=render.exclusions(catalog, record.excluded),
            policy_version=record.policy,
            task_class=catalog.task_classes[record.task_class].name,
            notices=[dry, *render.notices_of(catalog, record)],
        )

    def _completed(self, completion: Completion) -> router_service_pb2.CompleteResponse:
        catalog = self._routing.engine.catalog
        record = completion.decision.record
        nothing = Outcome(model=completion.model.model, ordinal=0)  # was used for an answer that was kept
        answered = next((o for name, o in completion.attempts if name == completion.attempt), nothing)
        response = router_service_pb2.CompleteResponse(
            decision_id=completion.decision.decision_id,
            attempt_id=completion.attempt,
            model=completion.model.name,
            answer=_answer(completion),
            finish_reason=FINISH.get(completion.answer.finish, 0),  # type: ignore[arg-type]
            usage=render.usage(answered),
            cost=render.cost(completion.cost),
            total_cost_nano_usd=sum(o.cost.total for _, o in completion.attempts if o.cost),
            attempts=[render.attempt(catalog, attempt, outcome) for attempt, outcome in completion.attempts],
            propensity=record.propensity,
            ranking=render.candidates(catalog, record),
            excluded=render.exclusions(catalog, record.excluded),
            policy_version=record.policy,
            task_class=catalog.task_classes[record.task_class].name,
            notices=render.notices_of(catalog, record) if completion.age_s is None else [_cached(completion.age_s)],
        )
        told = [*completion.notices, *estimated(catalog, completion.model, answered, completion.attempts)]
        response.notices.extend(map(_notice, told))
        response.notices.extend(doubts(catalog, completion.attempts))
        if completion.age_s is None:
            refuses = completion.answer.finish in REFUSED
            response.notices.extend(
                walk_notices(
                    catalog, record, completion.model.model, completion.attempts, completion.passed_over, refuses
                )
            )
        return response


def _notice(told: Notice) -> decision_pb2.Notice:
    """Return what is told of an answer."""
    return decision_pb2.Notice(code=int(told.code), message=told.message, metadata=told.metadata)  # type: ignore[arg-type]


def _cached(age_s: float) -> decision_pb2.Notice:
    """Return the notice of an answer that was given before."""
    return decision_pb2.Notice(
        code=decision_pb2.NOTICE_CODE_CACHED_ANSWER,
        message=f"the answer was made {age_s:.0f} s ago for an identical request, and kept; nothing was called, and "
        "decision_id and attempt_id are those of that request",
        metadata={"age_s": f"{age_s:.3f}"},
    )


def _answer(completion: Completion) -> content_pb2.Message:
    message = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT)
    for part in completion.answer.parts:
        if isinstance(part, TextPart):
            message.parts.add(text=part.text)
        elif isinstance(part, ToolCallPart):
            call = content_pb2.ToolCall(tool_call_id=part.id, name=part.name, arguments_json=part.arguments)
            message.parts.add(tool_call=call)
    return message
