"""Messages and their parts into the adapters' words."""

from __future__ import annotations

from typing import Any

from naiad.adapters import base
from naiad.server.errors import NaiadError
from naiad.v1 import content_pb2

_ROLES = {
    content_pb2.ROLE_SYSTEM: base.Role.SYSTEM,
    content_pb2.ROLE_USER: base.Role.USER,
    content_pb2.ROLE_ASSISTANT: base.Role.ASSISTANT,
    content_pb2.ROLE_TOOL: base.Role.TOOL,
}


def messages_from_proto(messages: Any) -> tuple[base.Message, ...]:
    """Return the conversation in the adapters' words; raises NaiadError for a part without content."""
    for i, turn in enumerate(messages):
        _check_turn(turn, f"messages[{i}]")
    return tuple(
        base.Message(
            _ROLES[turn.role],
            tuple(_part(part, f"messages[{i}].parts[{j}]") for j, part in enumerate(turn.parts)),
        )
        for i, turn in enumerate(messages)
    )


_ONLY_IN = {"tool_call": content_pb2.ROLE_ASSISTANT, "tool_result": content_pb2.ROLE_TOOL}


def _check_turn(turn: content_pb2.Message, field: str) -> None:
    """Raise NaiadError for a message without parts, or with a part that its role does not have."""
    if not turn.parts:
        raise NaiadError("FIELD_REQUIRED", f"{field}.parts is empty; say something", field=f"{field}.parts")
    for j, part in enumerate(turn.parts):
        kind = part.WhichOneof("content")
        role = _ONLY_IN.get(kind or "")
        if role is not None and turn.role != role:
            rule = f"{kind} stands only in {content_pb2.Role.Name(role)}"
            raise NaiadError(
                "INVALID_COMBINATION",
                f"{field}.parts[{j}] is a {kind} in {content_pb2.Role.Name(turn.role)}; {rule}",
                metadata={"rule": rule},
                field=f"{field}.parts[{j}]",
            )


def _part(part: content_pb2.Part, field: str) -> base.Part:
    kind = part.WhichOneof("content")
    if kind == "text":
        return base.TextPart(part.text)
    if kind == "image":
        return _image(part.image, field)
    if kind == "tool_call":
        call = part.tool_call
        return base.ToolCallPart(call.tool_call_id, call.name, call.arguments_json)
    if kind == "tool_result":
        result = part.tool_result
        inner = tuple(_part(p, f"{field}.tool_result.parts[{k}]") for k, p in enumerate(result.parts))
        shown = tuple(p for p in inner if isinstance(p, base.TextPart | base.ImagePart))
        return base.ToolResultPart(result.tool_call_id, "", shown, result.failed)
    raise NaiadError(
        "FIELD_REQUIRED", f"{field} has no content; set text, image, tool_call or tool_result", field=field
    )


def _image(image: content_pb2.Image, field: str) -> base.ImagePart:
    source = image.WhichOneof("source")
    if source is None or (source == "data" and not (image.data and image.media_type)):
        raise NaiadError(
            "FIELD_REQUIRED", f"{field}.image needs either data with a media_type, or a uri", field=f"{field}.image"
        )
    if source == "data":
        return base.ImagePart(media_type=image.media_type, data=image.data)
    return base.ImagePart(media_type=image.media_type, url=image.uri)
