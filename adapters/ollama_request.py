"""What Ollama's /api/chat is asked: a request in its words.

Images are base64 in a message of their own field, results of tools messages that name the tool. There is nothing by
which the model could be made to call a tool.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    Request,
    Role,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    text_of,
)
from naiad.adapters.errors import UnsupportedContent
from naiad.adapters.exchange import Asked
from naiad.adapters.json_text import object_of

_ANY = '{"type":"object","properties":{}}'  # a tool must have a schema


def body_of(request: Request, asked: Asked, *, stream: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a request's body, and sentences about what was left out of it; raises UnsupportedContent."""
    names = {part.id: part.name for m in request.messages for part in m.parts if isinstance(part, ToolCallPart)}
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [said for message in request.messages for said in _messages(message, names, asked)],
        "stream": stream,
    }
    tools, notices = _offered(request)
    if tools:
        body["tools"] = [
            {"type": "function", "function": {
                "name": tool.name,
                "description": tool.description,
                "parameters": object_of(tool.parameters or _ANY, asked, f"the schema of the tool {tool.name!r}"),
            }}
            for tool in tools
        ]  # fmt: skip
    if request.response_schema is not None:
        schema = request.response_schema.schema
        body["format"] = object_of(schema, asked, "the schema that the answer is to have") if schema else "json"
    options: dict[str, Any] = {
        key: value
        for key, value in (
            ("num_predict", request.max_output_tokens),
            ("temperature", request.temperature),
            ("top_p", request.top_p),
            ("seed", request.seed),
            ("stop", list(request.stop) or None),
        )
        if value is not None
    }
    if options:
        body["options"] = options
    return body, notices


def _offered(request: Request) -> tuple[tuple[ToolSpec, ...], tuple[str, ...]]:
    """Return the tools that the model is shown, and what of the caller's choice cannot be said."""
    choice = request.tool_choice
    if choice.mode is ToolMode.NONE or not request.tools:
        return (), ()
    if choice.mode is ToolMode.AUTO:
        return request.tools, ()
    if choice.mode is ToolMode.NAMED:
        only = tuple(tool for tool in request.tools if tool.name == choice.name)
        return only, ("Ollama cannot be made to call a tool; the model was shown only the one that was chosen.",)
    return request.tools, ("Ollama cannot be made to call a tool; the model was free not to.",)


def _messages(message: Message, names: dict[str, str], asked: Asked) -> Iterator[dict[str, Any]]:
    """Yield a turn as messages: results of tools, then what else it says."""
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    rest = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
    for result in results:
        name = result.name or names.get(result.call_id, "")
        yield {
            **_said(Role.TOOL, result.content, asked),
            **({"tool_name": name} if name else {}),
            **({"tool_call_id": result.call_id} if result.call_id else {}),
        }
    if rest or not results:
        yield _said(message.role, rest, asked)


def _said(role: Role, parts: tuple[Part, ...], asked: Asked) -> dict[str, Any]:
    images = [_image(part, asked) for part in parts if isinstance(part, ImagePart)]
    calls = [_call(part, asked) for part in parts if isinstance(part, ToolCallPart)]
    return {
        "role": role.value,
        "content": text_of(parts),
        **({"images": images} if images else {}),
        **({"tool_calls": calls} if calls else {}),
    }


def _call(call: ToolCallPart, asked: Asked) -> dict[str, Any]:
    args = object_of(call.arguments or "{}", asked, f"the arguments of a call of {call.name!r}")
    return {**({"id": call.id} if call.id else {}), "function": {"name": call.name, "arguments": args}}


def _image(part: ImagePart, asked: Asked) -> str:
    if part.url:
        raise asked.error(
            UnsupportedContent, "Ollama fetches no images: give an image by its bytes, not by its address"
        )
    return base64.b64encode(part.data).decode()
