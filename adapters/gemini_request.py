"""What Gemini's generateContent is asked: a request in its words.

Contents are those of `user` and `model` by turns, so neighbouring messages of one side become one; results of tools are
parts of a user's turn, named by the tool and, where there is one, by the id of the call. System prompts stand apart, in
`systemInstruction`.
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
    TextPart,
    ToolCallPart,
    ToolMode,
    ToolResultPart,
    ToolSpec,
    text_of,
)
from naiad.adapters.errors import UnsupportedContent
from naiad.adapters.exchange import Asked
from naiad.adapters.json_text import object_of

MOST_STOPS = 5
UNSIGNED = base64.b64encode(b"skip_thought_signature_validator").decode()
"""Documented stand-in for the signature of thoughts that belongs to a call of an earlier turn.

Models from Gemini 3 on refuse a call in the history without one. Tool calls of ours carry none: conversations move
between providers, none of which takes another's, and a signature is kilobytes long. What it costs is that the model
does not see its own thoughts of earlier turns again.
"""


def body_of(request: Request, asked: Asked) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return a request's body, and sentences about what was left out of it; raises UnsupportedContent."""
    system = [m for m in request.messages if m.role is Role.SYSTEM]
    turns = [m for m in request.messages if m.role is not Role.SYSTEM]
    if not turns:
        raise asked.error(
            UnsupportedContent, "the request has system messages alone; Gemini needs one of a user: add it"
        )
    body: dict[str, Any] = {"contents": _contents(turns, asked)}
    if system:
        body["systemInstruction"] = {"parts": [_text(part, asked) for m in system for part in m.parts]}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool, asked) for tool in request.tools]}]
        if choice := _choice(request):
            body["toolConfig"] = {"functionCallingConfig": choice}
    config, notices = _config(request, asked)
    if config:
        body["generationConfig"] = config
    return body, notices


def _declaration(tool: ToolSpec, asked: Asked) -> dict[str, Any]:
    said = {"name": tool.name, "description": tool.description}
    if not tool.parameters:
        return said
    return {**said, "parametersJsonSchema": object_of(tool.parameters, asked, f"the schema of the tool {tool.name!r}")}


def _config(request: Request, asked: Asked) -> tuple[dict[str, Any], tuple[str, ...]]:
    config: dict[str, Any] = {
        key: value
        for key, value in (
            ("maxOutputTokens", request.max_output_tokens),
            ("temperature", request.temperature),
            ("topP", request.top_p),
            ("seed", request.seed),
        )
        if value is not None
    }
    notices: list[str] = []
    if request.stop:
        config["stopSequences"] = list(request.stop[:MOST_STOPS])
    if (left := len(request.stop) - MOST_STOPS) > 0:
        notices.append(f"Gemini takes {MOST_STOPS} stop sequences; the last {left} of the request were left out.")
    if request.seed is not None and not -(1 << 31) <= request.seed < 1 << 31:
        del config["seed"]
        notices.append("Gemini takes seeds of 32 bits; that of the request was left out.")
    if request.response_schema is not None:
        config["responseMimeType"] = "application/json"
        if schema := request.response_schema.schema:
            config["responseJsonSchema"] = object_of(schema, asked, "the schema that the answer is to have")
    return config, tuple(notices)


def _choice(request: Request) -> dict[str, Any] | None:
    match request.tool_choice.mode:
        case ToolMode.NONE:
            return {"mode": "NONE"}
        case ToolMode.REQUIRED:
            return {"mode": "ANY"}
        case ToolMode.NAMED:
            return {"mode": "ANY", "allowedFunctionNames": [request.tool_choice.name]}
        case _:
            return None


def _contents(turns: list[Message], asked: Asked) -> list[dict[str, Any]]:
    names = {part.id: part.name for m in turns for part in m.parts if isinstance(part, ToolCallPart)}
    contents: list[dict[str, Any]] = []
    for message in turns:
        role = "model" if message.role is Role.ASSISTANT else "user"
        parts = list(_parts(message.parts, names, asked))
        if contents and contents[-1]["role"] == role:
            contents[-1]["parts"] += parts
        else:
            contents.append({"role": role, "parts": parts})
    return contents


def _parts(parts: tuple[Part, ...], names: dict[str, str], asked: Asked) -> Iterator[dict[str, Any]]:
    signed = False
    for part in parts:
        match part:
            case TextPart(text):
                yield {"text": text}
            case ImagePart():
                yield _image(part)
            case ToolCallPart(id, name, arguments):
                args = object_of(arguments or "{}", asked, f"the arguments of a call of {name!r}")
                call = {"functionCall": {"name": name, "args": args, **({"id": id} if id else {})}}
                yield call if signed else {**call, "thoughtSignature": UNSIGNED}
                signed = True  # the first of parallel calls has the signature of all
            case ToolResultPart():
                yield {"functionResponse": _result(part, names, asked)}


def _result(result: ToolResultPart, names: dict[str, str], asked: Asked) -> dict[str, Any]:
    name = result.name or names.get(result.call_id, "")
    if not name:
        raise asked.error(
            UnsupportedContent, "a tool result belongs to no call of the conversation; Gemini needs the tool's name"
        )
    images = [_image(part) for part in result.content if isinstance(part, ImagePart)]
    return {
        "name": name,
        "response": {"error" if result.is_error else "output": text_of(result.content)},
        **({"id": result.call_id} if result.call_id else {}),
        **({"parts": images} if images else {}),
    }


def _text(part: Part, asked: Asked) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    raise asked.error(UnsupportedContent, "a system message holds more than text; Gemini takes nothing else there")


def _image(part: ImagePart) -> dict[str, Any]:
    if part.url:
        return {"fileData": {"fileUri": part.url, **({"mimeType": part.media_type} if part.media_type else {})}}
    return {"inlineData": {"mimeType": part.media_type, "data": base64.b64encode(part.data).decode()}}
