"""RouterService: convert, call, convert."""

from __future__ import annotations

from typing import Any

import msgspec

from naiad.adapters.base import (
    FinishReason,
    ResponseSchema,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolSpec,
)
from naiad.adapters.base import Request as ProviderRequest
from naiad.server import render
from naiad.server.completion import MAX_ATTEMPTS, Completion, Task
from naiad.server.conversation import messages_from_proto
from naiad.server.convert import (
    enum_value,
    items,
    json_object,
    model_name,
    name,
    number,
    optional_count,
    optional_money,
    query_from_proto,
    request_of,
    text,
)
from naiad.server.eligibility import Capability
from naiad.server.engine import Query
from naiad.server.errors import NaiadError
from naiad.server.routing import Routing
from naiad.v1 import content_pb2, decision_pb2, router_service_pb2, router_service_pb2_grpc

_TOOL_MODES: dict[int, ToolMode] = {
    content_pb2.TOOL_CHOICE_UNSPECIFIED: ToolMode.AUTO,
    content_pb2.TOOL_CHOICE_AUTO: ToolMode.AUTO,
    content_pb2.TOOL_CHOICE_NONE: ToolMode.NONE,
    content_pb2.TOOL_CHOICE_REQUIRED: ToolMode.REQUIRED,
}
_FINISH = {
    FinishReason.STOP: content_pb2.FINISH_REASON_STOP,
    FinishReason.LENGTH: content_pb2.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: content_pb2.FINISH_REASON_TOOL_CALLS,
    FinishReason.CONTENT_FILTER: content_pb2.FINISH_REASON_CONTENT_FILTER,
    FinishReason.REFUSAL: content_pb2.FINISH_REASON_REFUSAL,
}


class RouterServicer(router_service_pb2_grpc.RouterServiceServicer):
    """Choosing a model, and calling it."""

    def __init__(self, routing: Routing, default_timeout_s: float) -> None:
        self._routing = routing
        self._default_timeout_s = default_timeout_s

    async def Decide(self, request: Any, context: Any) -> router_service_pb2.DecideResponse:
        """Choose a model."""
        decision = await self._routing.decide(self._query(request, "RouterService/Decide"))
        catalog = self._routing.engine.catalog
        return render.decision_to_proto(catalog, decision, render.notices_of(catalog, decision.record))

    async def Complete(self, request: Any, context: Any) -> router_service_pb2.CompleteResponse:
        """Choose a model, call it, fall back where that helps, and answer."""
        query = self._query(request, "RouterService/Complete")
        task = task_from_proto(request, query)
        left = context.time_remaining()
        completion = await self._routing.complete(
            msgspec.structs.replace(query, needs=task.needs), task, request_of("RouterService/Complete", request),
            timeout_s=self._default_timeout_s if left is None else left,
        )  # fmt: skip
        return self._completed(completion)

    def _query(self, request: Any, method: str) -> Query:
        catalog = self._routing.engine.catalog
        if request.task_class and catalog.find_task_class(request.task_class) is None:
            name(request.task_class, "task_class")
        for index, model in enumerate(request.allowed_models):
            model_name(model, f"allowed_models[{index}]")
        return query_from_proto(request, method)

    def _completed(self, completion: Completion) -> router_service_pb2.CompleteResponse:
        catalog = self._routing.engine.catalog
        record = completion.decision.record
        answered = completion.attempts[-1][1]
        response = router_service_pb2.CompleteResponse(
            decision_id=completion.decision.decision_id,
            attempt_id=completion.attempt,
            model=completion.model.name,
            answer=_answer(completion),
            finish_reason=_FINISH.get(completion.answer.finish, content_pb2.FINISH_REASON_UNSPECIFIED),
            usage=render.usage(answered),
            cost=render.cost(answered.cost),
            total_cost_nano_usd=sum(o.cost.total for _, o in completion.attempts if o.cost),
            attempts=[render.attempt(catalog, attempt, outcome) for attempt, outcome in completion.attempts],
            propensity=record.propensity,
            ranking=render.candidates(catalog, record),
            excluded=render.exclusions(catalog, record.excluded),
            policy_version=record.policy,
            task_class=catalog.task_classes[record.task_class].name,
            notices=render.notices_of(catalog, record),
        )
        for sentence in completion.answer.notices:
            code = decision_pb2.NOTICE_CODE_UNSPECIFIED
            if completion.model.endpoint == "replay":
                code = decision_pb2.NOTICE_CODE_REPLAYED_ANSWER
            response.notices.add(code=code, message=sentence, metadata={"model": completion.model.name})
        if completion.model.model != record.model:
            first = catalog.models[record.model].name
            why = next((e.detail for e in completion.passed_over if e.model == record.model), "")
            response.notices.add(
                code=decision_pb2.NOTICE_CODE_FALLBACK,
                message=f"{first} {f'was not called ({why})' if why else 'failed'}; {completion.model.name} answered",
                metadata={"first_choice": first, "model": completion.model.name},
            )
        return response


def _answer(completion: Completion) -> content_pb2.Message:
    message = content_pb2.Message(role=content_pb2.ROLE_ASSISTANT)
    for part in completion.answer.parts:
        if isinstance(part, TextPart):
            message.parts.add(text=part.text)
        elif isinstance(part, ToolCallPart):
            call = content_pb2.ToolCall(tool_call_id=part.id, name=part.name, arguments_json=part.arguments)
            message.parts.add(tool_call=call)
    return message


def _parameters(tool: content_pb2.Tool, index: int) -> str:
    schema = tool.parameters_json_schema
    return json_object(schema, f"generation.tools[{index}].parameters_json_schema") if schema else schema


def task_from_proto(request: Any, query: Query) -> Task:
    """Return what is to be answered, and what that needs beyond the query's needs; raises NaiadError."""
    if not request.messages:
        raise NaiadError("FIELD_REQUIRED", "messages is empty; send at least one message", field="messages")
    options = request.generation
    tool_choice = enum_value(options.tool_choice, content_pb2.ToolChoice, "generation.tool_choice", required=False)
    temperature = None
    if options.HasField("temperature"):
        temperature = number(options.temperature, "generation.temperature", 0.0, 2.0)
    top_p = number(options.top_p, "generation.top_p", 1e-9, 1.0) if options.HasField("top_p") else None
    max_attempts = optional_count(request, "max_attempts", 1)
    capabilities = set(query.needs.capabilities)
    if options.tools:
        capabilities.add(int(Capability.TOOLS))
    if options.response_json_schema:
        capabilities.add(int(Capability.JSON_SCHEMA))
    stop = tuple(text(s, f"generation.stop[{i}]", 256) for i, s in enumerate(items(options.stop, "generation.stop", 4)))
    if "" in stop:
        raise NaiadError("FIELD_REQUIRED", "generation.stop has an empty text; leave it out", field="generation.stop")
    schema = None
    if options.response_json_schema:
        field = "generation.response_json_schema"
        schema = ResponseSchema("answer", json_object(options.response_json_schema, field))
    return Task(
        needs=query.needs._replace(capabilities=frozenset(capabilities)),
        request=ProviderRequest(
            model="unset",
            messages=messages_from_proto(request.messages),
            tools=tuple(
                ToolSpec(name(t.name, f"generation.tools[{i}].name"), t.description, _parameters(t, i))
                for i, t in enumerate(items(options.tools, "generation.tools", 256))
            ),
            tool_choice=ToolChoice(_TOOL_MODES[tool_choice]),
            response_schema=schema,
            max_output_tokens=optional_count(request, "max_output_tokens", 1),
            temperature=temperature,
            top_p=top_p,
            stop=stop,
            seed=options.seed if options.HasField("seed") else None,
        ),
        max_attempts=MAX_ATTEMPTS if max_attempts is None else max_attempts,
        max_cost_nano_usd=optional_money(request, "max_cost_nano_usd"),
    )
