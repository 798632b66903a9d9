"""What is said to a model, as callers like to write it, and how the answer is to be written.

A conversation is a string (one message of the user), or a sequence of (role, text) pairs and of messages of
the API, which can also hold images and tool results:

>>> [m.role for m in to_messages([("system", "Be brief."), ("user", "Why is the sky blue?")])]
[1, 2]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from naiad.client.convert import enum_number
from naiad.v1 import content_pb2
from naiad.v1.content_pb2 import Message

Conversation = str | Message | Iterable[Message | tuple[str, str]]


def to_messages(conversation: Conversation) -> list[Message]:
    """Return a conversation as messages of the API.

    Raises:
        TypeError: an item is neither a message nor a (role, text) pair. The error does not hold the text.
        ValueError: a role is none of "system", "user", "assistant" and "tool".
    """
    if isinstance(conversation, str):
        return [_message("user", conversation)] if conversation else []
    if isinstance(conversation, Message):
        return [conversation]
    return [_item(index, item) for index, item in enumerate(conversation)]


def text_of(message: Message) -> str:
    """Return the text parts of a message, joined."""
    return "".join(part.text for part in message.parts if part.WhichOneof("content") == "text")


def _item(index: int, item: object) -> Message:
    """Return one item of a conversation as a message."""
    if isinstance(item, Message):
        return item
    match item:
        case (str(role), str(text)):
            return _message(role, text)
        case _:
            kind = type(item).__name__
            raise TypeError(f"messages[{index}] is a {kind}; give a (role, text) pair or a Message")


def _message(role: str, text: str) -> Message:
    """Return a message of one text."""
    number = enum_number(content_pb2.Role.DESCRIPTOR, role, "role")
    message = Message(parts=[content_pb2.Part(text=text)])
    message.role = number  # type: ignore[assignment]  # a plain int at runtime
    return message


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that the model may ask to be called. The caller runs it."""

    name: str
    description: str = ""
    parameters_json_schema: str = ""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """How the answer is to be written. What is not set is left to the provider."""

    tools: tuple[Tool, ...] = ()
    tool_choice: str = ""  # "auto", "none", "required"
    response_json_schema: str = ""
    temperature: float | None = None  # 0 to 2
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool that the model asks for."""

    tool_call_id: str
    name: str
    arguments_json: str = field(repr=False)  # an answer: never in a log by accident
    raw: content_pb2.ToolCall = field(default_factory=content_pb2.ToolCall, repr=False, compare=False)
