"""Conversations: the rules that hold for every provider, and messages and their parts into the adapters' words.

Counts come first: how many messages, parts and bytes there are is known before anything is looked at, so that a request
costs time in proportion to what is allowed and not to what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from naiad.adapters import base
from naiad.server.convert import enum_value, items, text, text_id
from naiad.server.errors import NaiadError
from naiad.v1 import content_pb2

MOST_MESSAGES = 1_000
MOST_PARTS = 256  # of a message, and of a tool's result
MOST_PARTS_IN_ALL = 2_000  # of a conversation, those in tools' results included
_LONGEST_URI = 4_096
_TOOL_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_MEDIA_TYPE = re.compile(r"image/[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}\Z")

_ROLES = {
    content_pb2.ROLE_SYSTEM: base.Role.SYSTEM,
    content_pb2.ROLE_USER: base.Role.USER,
    content_pb2.ROLE_ASSISTANT: base.Role.ASSISTANT,
    content_pb2.ROLE_TOOL: base.Role.TOOL,
}
_ONLY_IN = {"tool_call": content_pb2.ROLE_ASSISTANT, "tool_result": content_pb2.ROLE_TOOL}


class _Calls(NamedTuple):
    """The tool calls of a conversation so far: all ids, and where those stand that have no result yet."""

    made: set[str]
    unanswered: dict[str, str]


def messages_from_proto(messages: Any) -> tuple[base.Message, ...]:
    """Return a conversation in the adapters' words.

    Raises NaiadError for one that no provider would take, or that is too large to be looked at.
    """
    _check_counts(messages)
    calls = _Calls(set(), {})
    for i, turn in enumerate(messages):
        _check_turn(turn, f"messages[{i}]", calls)
    _check_answered(calls)
    return tuple(_message(turn, i) for i, turn in enumerate(messages))


def _check_counts(messages: Any) -> None:
    """Raise TOO_MANY_ITEMS; costs a step for each message that may be there, and for each part that may."""
    total = 0
    for i, turn in enumerate(items(messages, "messages", MOST_MESSAGES)):
        field = f"messages[{i}].parts"
        total += len(items(turn.parts, field, MOST_PARTS))
        if total <= MOST_PARTS_IN_ALL and turn.role == content_pb2.ROLE_TOOL:
            for j, part in enumerate(turn.parts):
                if part.WhichOneof("content") == "tool_result":
                    total += len(items(part.tool_result.parts, f"{field}[{j}].tool_result.parts", MOST_PARTS))
        if total > MOST_PARTS_IN_ALL:
            raise NaiadError(
                "TOO_MANY_ITEMS",
                f"the messages up to {field} have {total} parts together; the limit is {MOST_PARTS_IN_ALL}: "
                "join texts, or leave out old turns",
                metadata={"count": total, "maximum": MOST_PARTS_IN_ALL},
                field=field,
            )


def _check_turn(turn: content_pb2.Message, field: str, calls: _Calls) -> None:
    """Raise NaiadError for a message of an unknown role, or with a part malformed or out of its place."""
    role = enum_value(turn.role, content_pb2.Role, f"{field}.role")
    if role != content_pb2.ROLE_TOOL:
        _check_answered(calls)
    for j, part in enumerate(turn.parts):
        where = f"{field}.parts[{j}]"
        kind = part.WhichOneof("content")
        own = _ONLY_IN.get(kind or "", role)
        if role != own:
            raise _misplaced(kind, role, where, f"{kind} stands only in {content_pb2.Role.Name(own)}")
        if role == content_pb2.ROLE_TOOL and kind not in ("tool_result", None):
            raise _misplaced(kind, role, where, "ROLE_TOOL holds only tool_result")
        if kind == "tool_call":
            _check_call(part.tool_call, f"{where}.tool_call", calls)
        elif kind == "tool_result":
            _check_result(part.tool_result, f"{where}.tool_result", calls)
        else:
            _check_shown(part, kind, where)


def _check_answered(calls: _Calls) -> None:
    """Raise NaiadError if a tool was called and its result does not follow."""
    if calls.unanswered:
        where = next(iter(calls.unanswered.values()))
        rule = "the results of all tool calls of a message follow it, before anybody else speaks"
        raise NaiadError(
            "INVALID_COMBINATION", f"{where} has no tool_result after it; {rule}", metadata={"rule": rule}, field=where
        )


def _check_call(call: content_pb2.ToolCall, field: str, calls: _Calls) -> None:
    """Take note of a tool call; raises NaiadError."""
    call_id = text_id(call.tool_call_id, f"{field}.tool_call_id", required=True)
    tool_name(call.name, f"{field}.name")
    if call_id in calls.made:
        raise _contradiction(f"{field}.tool_call_id", "is that of an earlier call", "ids of tool calls are unique")
    calls.made.add(call_id)
    calls.unanswered[call_id] = field


def _check_result(result: content_pb2.ToolResult, field: str, calls: _Calls) -> None:
    """Take note of a tool's result; raises NaiadError."""
    call_id = text_id(result.tool_call_id, f"{field}.tool_call_id", required=True)
    if calls.unanswered.pop(call_id, None) is None:
        said = "has a result already" if call_id in calls.made else "names no call before it"
        rule = "each tool_result answers one tool_call of the assistant's message before it"
        raise _contradiction(f"{field}.tool_call_id", said, rule)
    for k, part in enumerate(result.parts):
        where = f"{field}.parts[{k}]"
        kind = part.WhichOneof("content")
        if kind in _ONLY_IN:
            rule = "a tool_result holds text and images"
            raise NaiadError(
                "INVALID_COMBINATION", f"{where} is a {kind}; {rule}", metadata={"rule": rule}, field=where
            )
        _check_shown(part, kind, where)


def _check_shown(part: content_pb2.Part, kind: str | None, field: str) -> None:
    """Raise NaiadError for a part that holds neither text nor an image as it must be."""
    if kind is None:
        raise NaiadError(
            "FIELD_REQUIRED", f"{field} has no content; set text, image, tool_call or tool_result", field=field
        )
    if kind == "image":
        _check_image(part.image, f"{field}.image")


def _check_image(image: content_pb2.Image, field: str) -> None:
    source = image.WhichOneof("source")
    if source is None or (source == "data" and not (image.data and image.media_type)):
        raise NaiadError("FIELD_REQUIRED", f"{field} needs either data with a media_type, or a uri", field=field)
    if image.media_type and not _MEDIA_TYPE.match(image.media_type):
        raise _malformed(f"{field}.media_type", "a media type of images, such as 'image/png'")
    if source == "uri" and not _is_https(text(image.uri, f"{field}.uri", _LONGEST_URI)):
        raise _malformed(f"{field}.uri", "an https address with a host and without spaces; send others as data")


def _is_https(uri: str) -> bool:
    if not (uri.isascii() and uri.isprintable()) or " " in uri:
        return False
    try:
        parts = urlsplit(uri)
        return parts.scheme == "https" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def tool_name(value: str, field: str) -> str:
    """Return the name of a tool; raises NaiadError."""
    if not value:
        raise NaiadError("FIELD_REQUIRED", f"{field} is empty; set it", field=field)
    if not _TOOL_NAME.match(value):
        rule = "letters, digits, '_' and '-', at most 64 characters"
        raise NaiadError(
            "INVALID_ID",
            f"{field} is {value[:60]!r} ({len(value)} characters); the rule is: {rule}",
            metadata={"value": value[:60], "rule": rule},
            field=field,
        )
    return value


def _misplaced(kind: str | None, role: int, field: str, rule: str) -> NaiadError:
    name = content_pb2.Role.Name(role)
    return NaiadError(
        "INVALID_COMBINATION", f"{field} is a {kind} in {name}; {rule}", metadata={"rule": rule}, field=field
    )


def _contradiction(field: str, said: str, rule: str) -> NaiadError:
    return NaiadError("INVALID_COMBINATION", f"{field} {said}; {rule}", metadata={"rule": rule}, field=field)


def _malformed(field: str, rule: str) -> NaiadError:
    return NaiadError("INVALID_FORMAT", f"{field} is not {rule}", metadata={"rule": rule}, field=field)


def _message(turn: content_pb2.Message, index: int) -> base.Message:
    parts = tuple(_part(part) for part in turn.parts)
    if all(isinstance(part, base.TextPart) and not part.text for part in parts):
        field = f"messages[{index}].parts"
        raise NaiadError("FIELD_REQUIRED", f"{field} is empty; say something", field=field)
    return base.Message(_ROLES[turn.role], parts)


def _part(part: content_pb2.Part) -> base.Part:
    kind = part.WhichOneof("content")
    if kind == "tool_call":
        call = part.tool_call
        return base.ToolCallPart(call.tool_call_id, call.name, call.arguments_json)
    if kind == "tool_result":
        result = part.tool_result
        return base.ToolResultPart(result.tool_call_id, "", tuple(_shown(p) for p in result.parts), result.failed)
    return _shown(part)


def _shown(part: content_pb2.Part) -> base.TextPart | base.ImagePart:
    if part.WhichOneof("content") == "text":
        return base.TextPart(part.text)
    image = part.image
    if image.WhichOneof("source") == "data":
        return base.ImagePart(media_type=image.media_type, data=image.data)
    return base.ImagePart(media_type=image.media_type, url=image.uri)


def has_image(messages: Sequence[base.Message]) -> bool:
    """Return whether there is an image, also in a tool's result."""
    return any(
        isinstance(part, base.ImagePart)
        or (isinstance(part, base.ToolResultPart) and any(isinstance(p, base.ImagePart) for p in part.content))
        for turn in messages
        for part in turn.parts
    )
