"""A request as the body of a chat completion."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    Request,
    ResponseSchema,
    Role,
    TextPart,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    text_of,
)
from naiad.adapters.errors import InvalidRequest, ProviderError, UnsupportedContent
from naiad.adapters.exchange import Asked

if TYPE_CHECKING:
    from naiad.adapters.openai_chat import OpenAIChat

_CALL_ID = 9  # characters of an id that replaces one that is not taken


def body_of(wire: OpenAIChat, request: Request, asked: Asked, *, stream: bool) -> tuple[dict[str, Any], list[str]]:
    """Return the body, and what was left out; raises UnsupportedContent, InvalidRequest for JSON that is none."""
    notices: list[str] = []
    body: dict[str, Any] = {
        "model": request.model,
        "messages": [turn for message in request.messages for turn in _Turns(wire, request, asked).of(message)],
    }
    if any(part.is_error for m in request.messages for part in m.parts if isinstance(part, ToolResultPart)):
        notices.append(f"{asked.provider} is not told which tool results are failures: it has no field for that.")
    if request.max_output_tokens is not None:
        body[wire.max_tokens] = request.max_output_tokens
    body |= _sampling(wire, request, asked, notices)
    body |= _tools(wire, request, asked, notices)
    if request.response_schema is not None:
        body["response_format"] = _format(wire, request.response_schema, asked)
    if wire.bill is not None:
        body |= wire.bill.request()
    if stream:
        body["stream"] = True
        if wire.include_usage:
            body["stream_options"] = {"include_usage": True}
    return body, notices


def _sampling(wire: OpenAIChat, request: Request, asked: Asked, notices: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if request.temperature is not None:
        found["temperature"] = min(request.temperature, wire.most_temperature)
        if request.temperature > wire.most_temperature:
            notices.append(f"temperature was lowered to {wire.most_temperature:g}, the most {asked.provider} takes.")
    if request.top_p is not None:
        found["top_p"] = request.top_p
    if request.stop:
        found["stop"] = list(request.stop[: wire.most_stops])
        if len(found["stop"]) < len(request.stop):
            notices.append(f"{asked.provider} takes {wire.most_stops} stop sequences; the others were left out.")
    if wire.reasons(request.model):
        notices += [f"{name} was left out: {asked.provider} takes none for models that reason." for name in found]
        found = {}
    if request.seed is not None:
        if wire.seed and (wire.least_seed is None or request.seed >= wire.least_seed):
            found[wire.seed] = request.seed
        else:
            what = "no such seed" if wire.seed else "none"
            notices.append(f"seed was left out: {asked.provider} takes {what}.")
    return found


def _tools(wire: OpenAIChat, request: Request, asked: Asked, notices: list[str]) -> dict[str, Any]:
    choice = request.tool_choice
    if not request.tools or (choice.mode is ToolMode.NONE and not wire.tool_choice):
        return {}
    found: dict[str, Any] = {"tools": [_tool(tool, asked) for tool in request.tools]}
    if choice.mode is ToolMode.AUTO:
        return found
    if not wire.tool_choice:
        notices.append(f"tool_choice was left out: {asked.provider} leaves the choice to the model.")
    elif choice.mode is ToolMode.NAMED:
        found["tool_choice"] = {"type": "function", "function": {"name": choice.name}}
    else:
        found["tool_choice"] = choice.mode.value
    return found


def _tool(tool: ToolSpec, asked: Asked) -> dict[str, Any]:
    said = {"name": tool.name, **({"description": tool.description} if tool.description else {})}
    parameters = _schema(tool.parameters or '{"type":"object","properties":{}}', f"parameters of {tool.name!r}", asked)
    return {"type": "function", "function": {**said, "parameters": parameters}}


def _format(wire: OpenAIChat, wanted: ResponseSchema, asked: Asked) -> dict[str, Any]:
    if not wire.json_schema:
        raise asked.error(
            UnsupportedContent, f"{asked.provider} cannot hold an answer to a JSON schema; leave response_schema out"
        )
    schema = _schema(wanted.schema, "response_schema", asked)
    return {"type": "json_schema", "json_schema": {"name": wanted.name, "schema": schema, "strict": wanted.strict}}


def _schema(text: str, what: str, asked: Asked) -> dict[str, Any]:
    found: Any = None
    with suppress(ValueError, RecursionError):  # whose messages quote the text
        found = msgspec.json.decode(text)
    if not isinstance(found, dict):
        raise asked.error(InvalidRequest, f"{what} is not a JSON object; give a JSON Schema as JSON text")
    return found


class _Turns:
    """Messages as this vendor wants them."""

    def __init__(self, wire: OpenAIChat, request: Request, asked: Asked) -> None:
        self._wire = wire
        self._asked = asked
        self._system = wire.reasoning_system_role if wire.reasons(request.model) else wire.system_role

    def of(self, message: Message) -> Iterator[dict[str, Any]]:
        """Yield a message as one or more: each tool result is a message of its own."""
        if message.role is Role.SYSTEM:
            self._only(message, TextPart)
            yield {"role": self._system, "content": message.text}
        elif message.role is Role.ASSISTANT:
            yield self._assistant(message)
        else:
            self._only(message, TextPart, ImagePart, ToolResultPart)
            said: list[Part] = []
            for part in message.parts:
                if not isinstance(part, ToolResultPart):
                    said.append(part)
                    continue
                if said:
                    yield {"role": "user", "content": self._content(said)}
                    said = []
                yield self._result(part)
            if said or not message.parts:
                yield {"role": "user", "content": self._content(said)}

    def _assistant(self, message: Message) -> dict[str, Any]:
        self._only(message, TextPart, ToolCallPart)
        calls = [
            {
                "id": self._call_id(part.id),
                "type": "function",
                "function": {"name": part.name, "arguments": part.arguments},
            }
            for part in message.parts
            if isinstance(part, ToolCallPart)
        ]
        if not calls:
            return {"role": "assistant", "content": message.text}
        return {"role": "assistant", "content": message.text or None, "tool_calls": calls}

    def _result(self, part: ToolResultPart) -> dict[str, Any]:
        images = any(isinstance(inner, ImagePart) for inner in part.content)
        if images and not self._wire.tool_images:
            raise self._refused("an image in a tool result", "put it into a user message after the result")
        content = self._content(list(part.content))
        return {"role": "tool", "tool_call_id": self._call_id(part.call_id), "content": content}

    def _content(self, parts: list[Part]) -> str | list[dict[str, Any]]:
        """Return plain text where there is nothing else, which every server takes."""
        if not any(isinstance(part, ImagePart) for part in parts):
            return text_of(tuple(parts))
        return [self._image(part) if isinstance(part, ImagePart) else _text(part) for part in parts]

    def _image(self, part: ImagePart) -> dict[str, Any]:
        if part.url and not self._wire.image_urls:
            raise self._refused("an image by its address", "send its bytes")
        url = part.url or f"data:{part.media_type};base64,{base64.b64encode(part.data).decode()}"
        return {"type": "image_url", "image_url": {"url": url}}

    def _call_id(self, name: str) -> str:
        """Return an id that the vendor takes, the same for a call and its result."""
        if not self._wire.call_ids or re.fullmatch(self._wire.call_ids, name):
            return name
        return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_CALL_ID]

    def _only(self, message: Message, *kinds: type[Part]) -> None:
        for part in message.parts:
            if not isinstance(part, kinds):
                what = {ImagePart: "an image", ToolCallPart: "a tool call", ToolResultPart: "a tool result"}[type(part)]
                raise self._refused(f"{what} in a message of role {message.role.value}", "put it where it belongs")

    def _refused(self, what: str, remedy: str) -> ProviderError:
        return self._asked.error(UnsupportedContent, f"{self._asked.provider} does not take {what}; {remedy}")


def _text(part: Part) -> dict[str, Any]:
    return {"type": "text", "text": text_of((part,))}
