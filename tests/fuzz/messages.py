"""Arbitrary messages of any protobuf type, built from its descriptor: extremes, odd text, deep nesting.

`arbitrary` draws from a `random.Random`, so that a seed names a message; hypothesis passes `st.randoms()`.
`plausible` fills the fields that every method looks at first, so that the rest of a message is looked at too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from naiad.v1 import (
    admin_service_pb2,
    catalog_service_pb2,
    content_pb2,
    feedback_service_pb2,
    insight_service_pb2,
    policy_service_pb2,
    router_service_pb2,
)

_F = FieldDescriptor
DOUBLES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 0.5, 1.0, 1.0000001, -1e-300, 5e-324, 1e308, -1e308, 2.0**63)
TEXTS = (
    "",
    "a",
    "code.debug",
    "echo/small",
    "a/b",
    "/",
    "\x00",
    "\n",
    " ",
    "\u202e\u200b",
    "\ufffd\uffff",
    "e\u0301" * 40,
    "\U0001f9dc\u200d\u2640\ufe0f" * 30,
    "x" * 129,
    "y" * 5_000,
    "{}",
    "[[[[",
    "' OR 1=1; --",
    "%s%n{0}",
    "1",
    "f" * 17 + "-" + "f" * 16,
)
_INTS: Mapping[int, tuple[int, int]] = {
    _F.CPPTYPE_INT32: (-(1 << 31), (1 << 31) - 1),
    _F.CPPTYPE_INT64: (-(1 << 63), (1 << 63) - 1),
    _F.CPPTYPE_UINT32: (0, (1 << 32) - 1),
    _F.CPPTYPE_UINT64: (0, (1 << 64) - 1),
}


def services() -> list[ServiceDescriptor]:
    """Return the descriptors of all six services."""
    modules = (
        router_service_pb2, feedback_service_pb2, catalog_service_pb2, policy_service_pb2, insight_service_pb2,
        admin_service_pb2,
    )  # fmt: skip
    return [service for module in modules for service in module.DESCRIPTOR.services_by_name.values()]


def methods() -> dict[str, MethodDescriptor]:
    """Return every method by "Service/Method"."""
    return {f"{service.name}/{method.name}": method for service in services() for method in service.methods}


def _scalar(field: FieldDescriptor, rng: Random) -> Any:
    kind = field.cpp_type
    if kind in _INTS:
        low, high = _INTS[kind]
        return rng.choice((low, high, 0, 1, 2, 10, 100, 1_000, rng.randint(low, high)))
    if kind in (_F.CPPTYPE_DOUBLE, _F.CPPTYPE_FLOAT):
        return rng.choice((*DOUBLES, rng.random()))
    if kind == _F.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == _F.CPPTYPE_ENUM:
        numbers = () if field.enum_type is None else (v.number for v in field.enum_type.values)
        return rng.choice((*numbers, -1, 99, (1 << 31) - 1))
    if field.type == _F.TYPE_BYTES:
        return rng.randbytes(rng.choice((0, 1, 16, 300)))
    return rng.choice((*TEXTS, "".join(map(chr, (rng.randrange(1, 0xD800) for _ in range(rng.randrange(20)))))))


def fill(message: Message, rng: Random, depth: int = 4) -> Message:
    """Set some of a message's fields to arbitrary values and return it."""
    for field in message.DESCRIPTOR.fields:
        if rng.random() < 0.35:
            continue
        _set(message, field, rng, depth)
    return message


def _set(message: Message, field: Any, rng: Random, depth: int) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        target = getattr(message, field.name)
        value = entry.fields_by_name["value"]
        for _ in range(rng.randrange(3)):
            key = _scalar(entry.fields_by_name["key"], rng)
            if value.message_type is None:
                target[key] = _scalar(value, rng)
            else:
                fill(target[key], rng, depth - 1)
    elif entry is not None:
        if depth <= 0:
            return
        if field.is_repeated:
            for _ in range(rng.randrange(3)):
                fill(getattr(message, field.name).add(), rng, depth - 1)
        else:
            child = getattr(message, field.name)
            child.SetInParent()
            fill(child, rng, depth - 1)
    elif field.is_repeated:
        getattr(message, field.name).extend(_scalar(field, rng) for _ in range(rng.randrange(4)))
    else:
        setattr(message, field.name, _scalar(field, rng))


def arbitrary(descriptor: Descriptor, rng: Random, depth: int = 4) -> Message:
    """Return an arbitrary message of a type."""
    return fill(GetMessageClass(descriptor)(), rng, depth)


def plausible(message: Message, known: Mapping[str, Any], rng: Random) -> Message:
    """Put known good values into some of the fields that bear those names, and return the message."""
    for field in message.DESCRIPTOR.fields:
        scalar = field.message_type is None and not field.is_repeated
        if scalar and field.name in known and rng.random() < 0.8:
            setattr(message, field.name, rng.choice(known[field.name]))
        elif field.message_type is not None and not field.is_repeated and message.HasField(field.name):
            plausible(getattr(message, field.name), known, rng)
    return message


def deep(levels: int) -> Message:
    """Return a Decide request whose tool results are nested `levels` deep; one level is as it should be."""
    request = router_service_pb2.DecideRequest(task_class="deep")
    call = request.messages.add(role=content_pb2.ROLE_ASSISTANT).parts.add().tool_call
    call.tool_call_id, call.name = "1", "look"
    part = request.messages.add(role=content_pb2.ROLE_TOOL).parts.add()
    for _ in range(levels):
        part.tool_result.tool_call_id = "1"
        part = part.tool_result.parts.add()
    part.text = "bottom"
    return request


def _shown(part: content_pb2.Part, rng: Random) -> None:
    """Fill a part with a text or an image."""
    match rng.randrange(4):
        case 0:
            part.image.media_type, part.image.data = "image/png", rng.randbytes(8)
        case 1:
            part.image.uri = "https://example.org/a.png"
        case _:
            part.text = rng.choice(("a", "\u2603" * 9, "{}", "\x00"))


def conversation(rng: Random) -> list[content_pb2.Message]:
    """Return a conversation that keeps to the rules: calls with their results, texts, images; at least one message."""
    turns: list[content_pb2.Message] = []
    calls = 0
    for _ in range(rng.randint(1, 4)):
        role = rng.choice((content_pb2.ROLE_SYSTEM, content_pb2.ROLE_USER, content_pb2.ROLE_ASSISTANT))
        turn = content_pb2.Message(role=role)
        turns.append(turn)
        for _ in range(rng.randint(1, 3)):
            _shown(turn.parts.add(), rng)
        if role != content_pb2.ROLE_ASSISTANT:
            continue
        ids = [f"call-{calls + k}" for k in range(rng.randrange(4))]
        calls += len(ids)
        for call_id in ids:
            turn.parts.add().tool_call.MergeFrom(
                content_pb2.ToolCall(tool_call_id=call_id, name="look_up", arguments_json=rng.choice(("", "{}", "{")))
            )
        rng.shuffle(ids)
        answers = None
        for call_id in ids:
            if answers is None or rng.random() < 0.5:
                turns.append(answers := content_pb2.Message(role=content_pb2.ROLE_TOOL))
            result = answers.parts.add().tool_result
            result.tool_call_id, result.failed = call_id, rng.random() < 0.2
            for _ in range(rng.randrange(3)):
                _shown(result.parts.add(), rng)
    return turns


def disturbed(turns: list[content_pb2.Message], rng: Random) -> list[content_pb2.Message]:
    """Return a conversation with one thing in it moved, doubled, dropped or changed."""
    found = [content_pb2.Message.FromString(turn.SerializeToString()) for turn in turns]
    at = rng.randrange(len(found))
    match rng.randrange(6):
        case 0:
            del found[at]
        case 1:
            found.insert(rng.randrange(len(found) + 1), found[at])
        case 2:
            rng.shuffle(found)
        case 3:
            found[at].role = rng.choice(content_pb2.Role.values())  # type: ignore[assignment]
        case 4:
            fill(found[at].parts.add(), rng)
        case _:
            part = rng.choice(list(found[at].parts))
            fill(part, rng, 3)
    return found


def _tools(options: content_pb2.GenerationOptions, rng: Random) -> None:
    """Offer tools that are much as they should be."""
    del options.tools[:]
    schemas = ("", "{}", '{"type": "object", "properties": {}}', '{"type": "array"}', "[]", '{"type": {}}')
    for _ in range(rng.randrange(4)):
        options.tools.add(name=rng.choice(("look", "a-b_c", "look up")), parameters_json_schema=rng.choice(schemas))
    options.response_json_schema = rng.choice(schemas)


_DISTRACTIONS = ("required_capabilities", "allowed_models", "objective", "features", "max_output_tokens")


def conversing(message: Any, rng: Random) -> Message:
    """Put a conversation, often as it should be, into a message that has one, and return the message."""
    if "messages" in message.DESCRIPTOR.fields_by_name:
        turns = conversation(rng)
        del message.messages[:]
        message.messages.extend(disturbed(turns, rng) if rng.random() < 0.4 else turns)
        for name in _DISTRACTIONS:
            if rng.random() < 0.7:
                message.ClearField(name)
    if "generation" in message.DESCRIPTOR.fields_by_name and rng.random() < 0.7:
        message.generation.Clear()
        _tools(message.generation, rng)
    result: Message = message
    return result


def crowd(message: Any, rng: Random, count: int) -> bool:
    """Repeat the items of one list or map of a message up to a count; return whether there is one."""
    lists = [field for field in message.DESCRIPTOR.fields if field.is_repeated]
    inner = [f for f in message.DESCRIPTOR.fields if f.message_type is not None and not f.is_repeated]
    rng.shuffle(inner)
    if not lists or (inner and rng.random() < 0.3):
        if any(crowd(getattr(message, field.name), rng, count) for field in inner):
            return True
        if not lists:
            return False
    field = rng.choice(lists)
    target = getattr(message, field.name)
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        value = entry.fields_by_name["value"]
        for i in range(count):
            target[f"k{i}"] = _scalar(value, rng)
    elif entry is not None:
        if rng.random() < 0.5 and crowd(target.add(), rng, count):
            return True
        for _ in range(count):
            target.add()
    else:
        target.extend([_scalar(field, rng)] * count)
    return True


def mutant(data: bytes, rng: Random) -> bytes:
    """Return bytes near a message: flipped, cut, doubled, or noise."""
    if not data or rng.random() < 0.1:
        return rng.randbytes(rng.randrange(64))
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed))
        match rng.randrange(4):
            case 0:
                changed[at] ^= 1 << rng.randrange(8)
            case 1:
                changed[at] = rng.choice((0x00, 0x7F, 0x80, 0xFF))
            case 2:
                changed[at:at] = rng.randbytes(rng.randint(1, 12))
            case _:
                del changed[at : at + rng.randint(1, 12)]
        if not changed:
            return b""
    return bytes(changed)
