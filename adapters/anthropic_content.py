"""A conversation in the words of Anthropic's Messages API: turns of blocks, the system prompt apart from them.

Neighbouring messages of one side become one turn; tool results come first in it, as the API wants. Blocks of text that
are empty are refused by the API and left out here, and so is a turn of nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from naiad.adapters.base import (
    ImagePart,
    Message,
    Part,
    Request,
    Role,
    TextPart,
    ToolCallPart,
    ToolChoice,
    ToolMode,
    ToolResultPart,
    ToolSpec,
)
from naiad.adapters.content import base64_of, misplaced, unsupported
from naiad.adapters.exchange import Asked
from naiad.adapters.json_text import object_of

Block = dict[str, Any]

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9_-]")


def system_of(messages: tuple[Message, ...], asked: Asked) -> str | list[Block]:
    """Return the system prompt, "" if there is none; several messages remain blocks of their own."""
    texts: list[str] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            for part in message.parts:
                if not isinstance(part, TextPart):
                    raise misplaced(asked, part, message.role)
            texts.append(message.text)
    texts = [text for text in texts if text]
    return "".join(texts) if len(texts) < 2 else [_text(text) for text in texts]


def has_late_system(messages: tuple[Message, ...]) -> bool:
    """Return whether a system message stands behind another one."""
    roles = [message.role is Role.SYSTEM for message in messages]
    return roles != sorted(roles, reverse=True)


def turns_of(messages: tuple[Message, ...], asked: Asked) -> list[dict[str, Any]]:
    """Return the turns; raises UnsupportedContent also where none is left."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role is Role.SYSTEM:
            continue
        role = "assistant" if message.role is Role.ASSISTANT else "user"
        blocks = [block for part in message.parts if (block := _block(part, message.role, asked))]
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": role, "content": blocks})
    for turn in turns:
        turn["content"].sort(key=lambda block: block["type"] != "tool_result")
    if not turns:
        raise unsupported(asked, "the conversation has nothing but system messages and empty ones; say something in it")
    return turns


def tools_of(tools: Iterable[ToolSpec], asked: Asked) -> list[dict[str, Any]]:
    """Return the tools; a schema without a type gets the one that the API demands."""
    return [
        {
            "name": tool.name,
            **({"description": tool.description} if tool.description else {}),
            "input_schema": {
                "type": "object",
                **object_of(tool.parameters or "{}", asked, f"tools[{index}].parameters"),
            },
        }
        for index, tool in enumerate(tools)
    ]


def choice_of(request: Request, asked: Asked) -> dict[str, Any] | None:
    """Return the wish about tools, None for what holds by itself."""
    choice: ToolChoice = request.tool_choice
    if choice.mode is ToolMode.AUTO or (choice.mode is ToolMode.NONE and not request.tools):
        return None
    if not request.tools:
        raise unsupported(asked, f"tool_choice is {choice.mode.value!r} and the request has no tools; give some")
    if choice.mode is ToolMode.NAMED:
        return {"type": "tool", "name": choice.name}
    return {"type": "none" if choice.mode is ToolMode.NONE else "any"}


def _text(text: str) -> Block:
    return {"type": "text", "text": text}


def _block(part: Part, role: Role, asked: Asked) -> Block | None:
    if isinstance(part, TextPart):
        return _text(part.text) if part.text else None
    if isinstance(part, ImagePart) and role is not Role.ASSISTANT:
        return _image(part, asked)
    if isinstance(part, ToolCallPart) and role is Role.ASSISTANT:
        return {
            "type": "tool_use",
            "id": _id(part.id, asked),
            "name": part.name,
            "input": object_of(part.arguments or "{}", asked, "the arguments of a tool call"),
        }
    if isinstance(part, ToolResultPart) and role is not Role.ASSISTANT:
        content = [block for piece in part.content if (block := _block(piece, Role.USER, asked))]
        return {
            "type": "tool_result",
            "tool_use_id": _id(part.call_id, asked),
            **({"content": content} if content else {}),
            **({"is_error": True} if part.is_error else {}),
        }
    raise misplaced(asked, part, role)


def _image(image: ImagePart, asked: Asked) -> Block:
    if image.url:
        if not image.url.startswith(("https://", "http://")):
            raise unsupported(asked, "an image's url is not https; give the image as data with its media_type")
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    if image.media_type not in IMAGES:
        raise unsupported(asked, f"an image is none of {', '.join(sorted(IMAGES))}; convert it to one of them")
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": image.media_type, "data": base64_of(image)},
    }


def _id(text: str, asked: Asked) -> str:
    """Return a call's id in the letters that the API takes: another provider may have made it."""
    if not text:
        raise unsupported(asked, "a tool call or its result has no id; give both the same one")
    return _NOT_IN_IDS.sub("_", text)
