"""Moves values between the API's messages and this package's dataclasses, field by field of the same name.

The dataclasses say by their type hints what a field becomes, so that no second list of fields exists:

- `x_s: float` reads a Duration field `x` in seconds; `NanoUsd` an integer of nano-USD; `datetime` a
  Timestamp, in UTC;
- `str` reads an enum as its name in lower case without the prefix: `FINISH_REASON_STOP` is "stop", the
  unspecified value is "", a value newer than this client is its number;
- `T | None` is None exactly when the message does not hold the field; `tuple[T, ...]` reads a repeated field;
- a dataclass reads a message; its field `raw` keeps that message.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from naiad.client.money import NanoUsd

T = TypeVar("T")
Read = Callable[[Any], Any]


def enum_name(enum: EnumDescriptor, number: int) -> str:
    """Return an enum's value as a short name: "" for the unspecified value, the number if it is unknown."""
    value = enum.values_by_number.get(number)
    return value.name.removeprefix(_prefix(enum)).lower() if value and number else str(number or "")


def enum_number(enum: EnumDescriptor, name: str, field: str) -> int:
    """Return the number of a short name; "" is the unspecified value, digits are the number itself.

    Raises:
        ValueError: the enum has no such name.
    """
    if name.isdecimal():
        return int(name)
    prefix = _prefix(enum)
    value = enum.values_by_name.get(prefix + (name.upper() or "UNSPECIFIED"))
    if value is None or (name and value.number == 0):
        allowed = ", ".join(v.name.removeprefix(prefix).lower() for v in enum.values if v.number)
        raise ValueError(f"{field} is {name!r}; it must be one of: {allowed}")
    return value.number


def to_duration(seconds: float) -> Duration:
    """Return seconds as a Duration, rounded to whole nanoseconds; raises ValueError for NaN and infinity."""
    if not math.isfinite(seconds):
        raise ValueError(f"{seconds} seconds is no duration; give a finite number")
    nanos = round(seconds * 1e9)
    sign = -1 if nanos < 0 else 1
    whole, rest = divmod(abs(nanos), 1_000_000_000)
    return Duration(seconds=sign * whole, nanos=sign * rest)


def from_duration(duration: Duration) -> float:
    """Return a Duration in seconds."""
    return duration.seconds + duration.nanos / 1e9


def read(cls: type[T], message: Message, **extra: object) -> T:
    """Return the dataclass that the message amounts to; `extra` are fields that the message does not have."""
    values = {name: getter(message) for name, getter in _plan(typing.cast(Any, cls)) if name not in extra}
    return cls(**values, **extra)


def write(value: object, message: Message, fields: Mapping[str, object] | None = None) -> None:
    """Fill a message from a dataclass, or from the named fields alone; what is None stays unset.

    Raises:
        ValueError: a name is not one of its enum, or a duration is not finite.
        TypeError: a value is not of its field's type.
    """
    if fields is None:
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(typing.cast(Any, value))}
    descriptors = message.DESCRIPTOR.fields_by_name
    for name, item in fields.items():
        if name == "raw" or item is None:
            continue
        if name not in descriptors and name.endswith("_s"):
            try:
                getattr(message, name[:-2]).CopyFrom(to_duration(typing.cast(float, item)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            continue
        enum: Any = descriptors[name].enum_type
        target = getattr(message, name)
        if isinstance(item, Mapping):
            target.update(item)
        elif isinstance(item, datetime):
            target.FromDatetime(item)
        elif dataclasses.is_dataclass(item):
            target.SetInParent()
            write(item, target)
        elif isinstance(item, tuple | list):
            for element in item:
                if dataclasses.is_dataclass(element):
                    write(element, target.add())
                elif isinstance(element, Message):
                    target.add().CopyFrom(element)
                else:
                    target.append(enum_number(enum, element, name) if enum else element)
        elif isinstance(item, Message):
            target.CopyFrom(item)
        else:
            setattr(message, name, enum_number(enum, typing.cast(str, item), name) if enum else item)


def _prefix(enum: EnumDescriptor) -> str:
    """Return what all names of the enum begin with, taken from its unspecified value."""
    return enum.values_by_number[0].name.removesuffix("UNSPECIFIED")


@functools.cache
def _plan(cls: type[Any]) -> list[tuple[str, Read]]:
    """Return how to read each field of the dataclass from its message, whose class is the hint of `raw`."""
    hints = typing.get_type_hints(cls)
    fields = hints["raw"].DESCRIPTOR.fields_by_name
    plan: list[tuple[str, Read]] = []
    for field in dataclasses.fields(cls):
        name, hint = field.name, hints[field.name]
        if name.startswith("_"):
            continue
        if name == "raw":
            plan.append((name, lambda message: message))
            continue
        source = name if name in fields else name.removesuffix("_s")
        plan.append((name, _field(source, hint, fields[source].enum_type)))
    return plan


def _field(name: str, hint: Any, enum: EnumDescriptor | None) -> Read:
    """Return a function that reads one field of a message as its hint says."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        core = next(arg for arg in typing.get_args(hint) if arg is not types.NoneType)
        one = _one(core, enum)
        return lambda message: one(getattr(message, name)) if message.HasField(name) else None
    if typing.get_origin(hint) is tuple:
        one = _one(typing.get_args(hint)[0], enum)
        return lambda message: tuple(one(item) for item in getattr(message, name))
    if typing.get_origin(hint) is Mapping:
        return lambda message: dict(getattr(message, name))
    one = _one(hint, enum)
    return lambda message: one(getattr(message, name))


def _one(hint: Any, enum: EnumDescriptor | None) -> Read:
    """Return a function that converts one value as its hint says."""
    if enum is not None:
        return lambda number: enum_name(enum, number)
    if hint is NanoUsd:
        return NanoUsd
    if hint is datetime:
        return lambda stamp: stamp.ToDatetime(tzinfo=UTC)
    if dataclasses.is_dataclass(hint):
        return lambda message: read(typing.cast(type[Any], hint), message)
    if hint is float:
        return lambda value: from_duration(value) if isinstance(value, Duration) else value
    return lambda value: value
