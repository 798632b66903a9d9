"""What a completion is to be like, beyond the choice of its model: tools, schema, sampling, limits."""

from __future__ import annotations

from typing import Any

import msgspec

from naiad.adapters.base import Message, ResponseSchema, ToolChoice, ToolMode, ToolSpec
from naiad.adapters.base import Request as ProviderRequest
from naiad.adapters.tokens import estimate_offered, estimate_tokens
from naiad.server.bounds import LONGEST_SCHEMA
from naiad.server.conversation import tool_name
from naiad.server.convert import enum_value, items, number, optional_count, optional_money, text
from naiad.server.eligibility import Capability
from naiad.server.engine import Query
from naiad.server.errors import NaiadError
from naiad.server.walk import MAX_ATTEMPTS, Task
from naiad.v1 import content_pb2

_MOST_TOOLS = 128
_LONGEST_DESCRIPTION = 16_384
_LONGEST_SCHEMAS = 524_288  # of all tools together
_MOST_STOPS, _LONGEST_STOP = 4, 256
_MOST_ATTEMPTS = 1_000
_TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

_TOOL_MODES: dict[int, ToolMode] = {
    content_pb2.TOOL_CHOICE_UNSPECIFIED: ToolMode.AUTO,
    content_pb2.TOOL_CHOICE_AUTO: ToolMode.AUTO,
    content_pb2.TOOL_CHOICE_NONE: ToolMode.NONE,
    content_pb2.TOOL_CHOICE_REQUIRED: ToolMode.REQUIRED,
}


def task_from_proto(request: Any, query: Query, messages: tuple[Message, ...], *, streams: bool = False) -> Task:
    """Return what is to be answered, and what that needs beyond the query's needs; raises NaiadError.

    Query and messages are those of the same request; streams: whether its answer is to come piece by piece.
    """
    if not messages:
        raise NaiadError("FIELD_REQUIRED", "messages is empty; send at least one message", field="messages")
    options = request.generation
    temperature = None
    if options.HasField("temperature"):
        temperature = number(options.temperature, "generation.temperature", 0.0, 2.0)
    top_p = number(options.top_p, "generation.top_p", 1e-9, 1.0) if options.HasField("top_p") else None
    max_attempts = optional_count(request, "max_attempts", 1, most=_MOST_ATTEMPTS)
    capabilities = set(query.needs.capabilities)
    if options.tools:
        capabilities.add(int(Capability.TOOLS))
    if options.response_json_schema:
        capabilities.add(int(Capability.JSON_SCHEMA))
    if streams:
        capabilities.add(int(Capability.STREAMING))
    tools, schema = _tools(options), _response_schema(options.response_json_schema)
    offered = estimate_offered(tools, schema)
    input_tokens = query.needs.input_tokens + offered
    if request.HasField("input_tokens") and not query.needs.text_bytes:  # a count of everything, which may be higher
        input_tokens = max(query.needs.input_tokens, estimate_tokens(messages) + offered)
    return Task(
        needs=query.needs._replace(capabilities=frozenset(capabilities), input_tokens=input_tokens),
        request=ProviderRequest(
            model="unset",
            messages=messages,
            tools=tools,
            tool_choice=_tool_choice(options),
            response_schema=schema,
            max_output_tokens=optional_count(request, "max_output_tokens", 1),
            temperature=temperature,
            top_p=top_p,
            stop=_stop(options),
            seed=options.seed if options.HasField("seed") else None,
        ),
        max_attempts=MAX_ATTEMPTS if max_attempts is None else max_attempts,
        counts_parts=max_attempts is not None,
        max_cost_nano_usd=optional_money(request, "max_cost_nano_usd"),
    )


def _tools(options: content_pb2.GenerationOptions) -> tuple[ToolSpec, ...]:
    tools = items(options.tools, "generation.tools", _MOST_TOOLS)
    written = sum(len(tool.parameters_json_schema) for tool in tools)
    if written > _LONGEST_SCHEMAS:
        raise NaiadError(
            "FIELD_TOO_LONG",
            f"the schemas of generation.tools have {written} characters together; the limit is {_LONGEST_SCHEMAS}: "
            "shorten them, or offer fewer tools",
            metadata={"size": written, "maximum": _LONGEST_SCHEMAS},
            field="generation.tools",
        )
    found: dict[str, ToolSpec] = {}
    for index, tool in enumerate(tools):
        where = f"generation.tools[{index}]"
        if tool_name(tool.name, f"{where}.name") in found:
            raise NaiadError(
                "INVALID_COMBINATION",
                f"{where}.name is {tool.name!r}, as that of another tool; names must be unique",
                metadata={"rule": "names are unique"},
                field=f"{where}.name",
            )
        found[tool.name] = ToolSpec(
            tool.name,
            text(tool.description, f"{where}.description", _LONGEST_DESCRIPTION),
            _schema(tool.parameters_json_schema, f"{where}.parameters_json_schema", ("object",)),
        )
    return tuple(found.values())


def _tool_choice(options: content_pb2.GenerationOptions) -> ToolChoice:
    field = "generation.tool_choice"
    choice = enum_value(options.tool_choice, content_pb2.ToolChoice, field, required=False)
    if choice == content_pb2.TOOL_CHOICE_REQUIRED and not options.tools:
        rule = "TOOL_CHOICE_REQUIRED needs tools"
        raise NaiadError(
            "INVALID_COMBINATION", f"{field} is TOOL_CHOICE_REQUIRED and generation.tools is empty; {rule}",
            metadata={"rule": rule}, field=field,
        )  # fmt: skip
    return ToolChoice(_TOOL_MODES[choice])


def _response_schema(schema: str) -> ResponseSchema | None:
    return ResponseSchema("answer", _schema(schema, "generation.response_json_schema", _TYPES)) if schema else None


def _stop(options: content_pb2.GenerationOptions) -> tuple[str, ...]:
    stops = items(options.stop, "generation.stop", _MOST_STOPS)
    if "" in stops:
        raise NaiadError("FIELD_REQUIRED", "generation.stop has an empty text; leave it out", field="generation.stop")
    return tuple(text(stop, f"generation.stop[{i}]", _LONGEST_STOP) for i, stop in enumerate(stops))


def _schema(value: str, field: str, types: tuple[str, ...]) -> str:
    """Return a text that holds a JSON Schema of one of these types, or is empty; raises NaiadError.

    Checked is what every provider relies on: that it is one object, and the form of `type`, `properties` and `required`
    at its top.
    """
    if not value:
        return value
    try:
        schema = msgspec.json.decode(text(value, field, LONGEST_SCHEMA))
    except (msgspec.DecodeError, RecursionError):
        schema = None
    if not isinstance(schema, dict):
        raise _malformed(field, "one JSON object")
    kind = schema.get("type", types[0])
    kinds = kind if isinstance(kind, list) and types is _TYPES else [kind]
    if not kinds or any(k not in types for k in kinds):
        raise _malformed(field, f"a JSON Schema whose type is {' or '.join(types)}")
    if not isinstance(schema.get("properties", {}), dict):
        raise _malformed(field, "a JSON Schema whose properties is an object")
    required = schema.get("required", [])
    if not (isinstance(required, list) and all(isinstance(name, str) for name in required)):
        raise _malformed(field, "a JSON Schema whose required is a list of names")
    return value


def _malformed(field: str, rule: str) -> NaiadError:
    return NaiadError(
        "INVALID_FORMAT", f"{field} is not {rule}; send a JSON Schema", metadata={"rule": rule}, field=field
    )
