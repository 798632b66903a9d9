"""JSON texts: schemas and the arguments of tool calls, for the APIs that take objects, and as models write them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from naiad.adapters.base import Answer, FinishReason, ToolCallPart
from naiad.adapters.call_arguments import BY_ITSELF
from naiad.adapters.errors import MalformedAnswer, UnsupportedContent
from naiad.adapters.exchange import Asked


def object_of(text: str, asked: Asked, what: str) -> dict[str, Any]:
    """Return a JSON text as an object.

    what: it in words, for the message, which does not quote the text. Raises UnsupportedContent for all that is none: a
    provider that takes texts may well take it.
    """
    value = _object_in(text)
    if value is not None:
        return value
    del text  # no traceback shows it
    raise asked.error(UnsupportedContent, f"{what} is not the text of a JSON object, which this provider needs")


def check_calls(answer: Answer, asked: Asked) -> None:
    """Raise MalformedAnswer where a model that ended by itself wrote arguments that are no JSON object, or no calls.

    One that was stopped (by a limit, by a filter) has not finished them. Whoever ends because of tool calls has some.
    """
    if answer.finish not in BY_ITSELF:
        return
    calls = [part for part in answer.parts if isinstance(part, ToolCallPart)]
    if answer.finish is FinishReason.TOOL_CALLS and not calls:
        raise asked.error(MalformedAnswer, "the answer ends because of tool calls and has none", status=200)
    if any(_object_in(call.arguments) is None for call in calls):
        raise asked.error(MalformedAnswer, "the arguments of a tool call are not a JSON object", status=200)


def _object_in(text: str) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError, UnicodeError):  # whose messages quote the text
        value = msgspec.json.decode(text)
        if isinstance(value, dict):
            return value
    return None


def text_of_json(value: Any) -> str:
    """Return a value that came as JSON as the text of it."""
    return msgspec.json.encode(value).decode()
