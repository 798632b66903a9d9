"""A conversation in the words of Cohere's chat API, version 2: one message for each turn and for each tool result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    Request,
    Role,
    TextPart,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    text_of,
)
from naiad.adapters.content import base64_of, misplaced, unsupported
from naiad.adapters.exchange import Asked
from naiad.adapters.json_text import object_of


def messages_of(messages: Iterable[Message], asked: Asked) -> list[dict[str, Any]]:
    """Return the messages; raises UnsupportedContent for a part that has no place."""
    return [said for message in messages for said in _said(message, asked)]


def tools_of(request: Request, asked: Asked) -> list[dict[str, Any]]:
    """Return the tools; of those, only the one that must be called, where one is named."""
    choice = request.tool_choice
    if not request.tools and choice.mode in (ToolMode.REQUIRED, ToolMode.NAMED):
        raise unsupported(asked, f"tool_choice is {choice.mode.value!r} and the request has no tools; give some")
    tools = [(index, tool) for index, tool in enumerate(request.tools) if choice.name in ("", tool.name)]
    if request.tools and not tools:
        raise unsupported(asked, "tool_choice names a tool that is not among the request's; give it there")
    return [_tool(tool, index, asked) for index, tool in tools]


def _tool(tool: ToolSpec, index: int, asked: Asked) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    parameters = object_of(tool.parameters or "{}", asked, f"tools[{index}].parameters")
    return {"type": "function", "function": {"name": tool.name, **described, "parameters": parameters}}


def _said(message: Message, asked: Asked) -> Iterator[dict[str, Any]]:
    results = [part for part in message.parts if isinstance(part, ToolResultPart)]
    others = tuple(part for part in message.parts if not isinstance(part, ToolResultPart))
    if message.role in (Role.USER, Role.TOOL):
        for result in results:
            yield _result(result, asked)
    elif results:
        raise misplaced(asked, results[0], message.role)
    if message.role is Role.USER:
        if others or not results:
            yield {"role": "user", "content": _content(others, message.role, asked)}
    elif message.role is Role.ASSISTANT:
        yield _assistant(others, asked)
    elif message.role is Role.SYSTEM:
        _only_text(others, message.role, asked)
        yield {"role": "system", "content": text_of(others)}
    else:
        for part in others:
            raise misplaced(asked, part, message.role)


def _assistant(parts: tuple[Part, ...], asked: Asked) -> dict[str, Any]:
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    texts = tuple(part for part in parts if not isinstance(part, ToolCallPart))
    _only_text(texts, Role.ASSISTANT, asked)
    text = text_of(texts)
    return {
        "role": "assistant",
        **({"content": text} if text or not calls else {}),
        **({"tool_calls": [_call(call, asked) for call in calls]} if calls else {}),
    }


def _call(call: ToolCallPart, asked: Asked) -> dict[str, Any]:
    return {
        "id": _id(call.id, asked),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }


def _result(result: ToolResultPart, asked: Asked) -> dict[str, Any]:
    _only_text(result.content, Role.TOOL, asked)
    texts = [part.text for part in result.content if isinstance(part, TextPart)]
    content = "".join(texts) if len(texts) < 2 else [{"type": "text", "text": text} for text in texts]
    return {"role": "tool", "tool_call_id": _id(result.call_id, asked), "content": content}


def _content(parts: tuple[Part, ...], role: Role, asked: Asked) -> str | list[dict[str, Any]]:
    if len(parts) < 2 and all(isinstance(part, TextPart) for part in parts):
        return text_of(parts)
    return [_piece(part, role, asked) for part in parts]


def _piece(part: Part, role: Role, asked: Asked) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        url = part.url or f"data:{part.media_type};base64,{base64_of(part)}"
        return {"type": "image_url", "image_url": {"url": url}}
    raise misplaced(asked, part, role)


def _only_text(parts: Iterable[Part], role: Role, asked: Asked) -> None:
    for part in parts:
        if not isinstance(part, TextPart):
            raise misplaced(asked, part, role)


def _id(text: str, asked: Asked) -> str:
    if not text:
        raise unsupported(asked, "a tool call or its result has no id; give both the same one")
    return text
