"""Reads what a failed gRPC call carries: google.rpc.Status and its details, from `grpc-status-details-bin`.

The messages of google.rpc are built in a descriptor pool of their own. They have the same wire format as
those of googleapis-common-protos, and can never collide with them, whichever version of it the application
has.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, duration_pb2, message_factory
from google.protobuf.message import DecodeError, Message

from naiad.client.convert import from_duration, read
from naiad.client.errors import ERRORS, FieldViolation, NaiadError, NoEligibleModel
from naiad.client.values import Attempt, Exclusion
from naiad.v1 import error_pb2

DETAILS_KEY = "grpc-status-details-bin"

_FIELDS: Mapping[str, tuple[tuple[str, int, str], ...]] = {
    # message -> (field, number, type); "*" repeats; a name beginning with "." is a message
    "Status": (("code", 1, "int32"), ("message", 2, "string"), ("details", 3, "*.google.protobuf.Any")),
    "ErrorInfo": (("reason", 1, "string"), ("domain", 2, "string"), ("metadata", 3, "map")),
    "BadRequest": (("field_violations", 1, "*.google.rpc.BadRequest.FieldViolation"),),
    "BadRequest.FieldViolation": (("field", 1, "string"), ("description", 2, "string")),
    "RetryInfo": (("retry_delay", 1, ".google.protobuf.Duration"),),
}

M = TypeVar("M", bound=Message)


class RpcFailure(Protocol):
    """A failed call, as grpc and grpc.aio raise it."""

    def code(self) -> grpc.StatusCode: ...
    def details(self) -> str | None: ...
    def trailing_metadata(self) -> Any: ...


def error_of(failure: RpcFailure, *, request_id: str = "") -> NaiadError:
    """Return the typed error for a failed call. Details that cannot be read are left out."""
    code, details = failure.code(), Details(_serialized(failure.trailing_metadata()))
    facts: dict[str, Any] = {"code": code, "request_id": request_id}
    if info := details.find("google.rpc.ErrorInfo", rpc_class("ErrorInfo")):
        facts |= {"reason": info.reason, "metadata": dict(info.metadata)}
    if bad := details.find("google.rpc.BadRequest", rpc_class("BadRequest")):
        violations = (FieldViolation(v.field, v.description) for v in bad.field_violations)
        facts["field_violations"] = tuple(violations)
    if retry := details.find("google.rpc.RetryInfo", rpc_class("RetryInfo")):
        facts["retry_after_s"] = max(0.0, from_duration(retry.retry_delay))
    failed = details.find("naiad.v1.AttemptsFailedDetail", error_pb2.AttemptsFailedDetail)
    if failed:
        facts["attempts"] = tuple(read(Attempt, attempt) for attempt in failed.attempts)
    message = failure.details() or code.name
    excluded = details.find("naiad.v1.NoEligibleModelDetail", error_pb2.NoEligibleModelDetail)
    if facts.get("reason") == "ERROR_REASON_NO_ELIGIBLE_MODEL":
        models = excluded.excluded if excluded else ()
        return NoEligibleModel(message, excluded=tuple(read(Exclusion, m) for m in models), **facts)
    return ERRORS.get(code, NaiadError)(message, **facts)


class Details:
    """The details of a serialized google.rpc.Status."""

    def __init__(self, serialized: bytes) -> None:
        status: Any = rpc_class("Status")()
        try:
            status.ParseFromString(serialized)
        except DecodeError:
            status.Clear()
        self._values = {item.type_url.rpartition("/")[2]: item.value for item in status.details}

    def find(self, name: str, parse: Callable[[], M]) -> M | None:
        """Return the detail with this full name as a message; None if there is none that can be read."""
        if name not in self._values:
            return None
        message = parse()
        try:
            message.ParseFromString(self._values[name])
        except DecodeError:
            return None
        return message


def rpc_class(name: str) -> type[Any]:
    """Return the class of a message of google.rpc: Status, ErrorInfo, BadRequest or RetryInfo."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"google.rpc.{name}"))


def _serialized(metadata: Iterable[Any] | None) -> bytes:
    """Return the serialized status from trailing metadata; empty when there is none."""
    for key, value in metadata or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            return value
    return b""


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    """Return a pool that holds the messages of _FIELDS and nothing of the application's."""
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(
        name="google/rpc/naiad_client.proto", package="google.rpc", syntax="proto3"
    )
    for dependency in (any_pb2.DESCRIPTOR, duration_pb2.DESCRIPTOR):
        pool.AddSerializedFile(dependency.serialized_pb)
        file.dependency.append(dependency.name)
    built: dict[str, descriptor_pb2.DescriptorProto] = {}
    for name, fields in _FIELDS.items():
        outer, _, inner = name.rpartition(".")
        message = built[outer].nested_type.add(name=inner) if outer else file.message_type.add(name=name)
        built[name] = message
        for field, number, kind in fields:
            _add_field(message, name, field, number, kind)
    pool.AddSerializedFile(file.SerializeToString())
    return pool


def _add_field(message: descriptor_pb2.DescriptorProto, owner: str, name: str, number: int, kind: str) -> None:
    """Add one field, as _FIELDS states it, to a message."""
    proto = descriptor_pb2.FieldDescriptorProto
    if kind == "map":  # a map is a repeated nested message of key and value
        entry = message.nested_type.add(name=f"{name.capitalize()}Entry")
        entry.options.map_entry = True
        _add_field(entry, owner, "key", 1, "string")
        _add_field(entry, owner, "value", 2, "string")
        kind = f"*.google.rpc.{owner}.{entry.name}"
    field = message.field.add(name=name, number=number, label=proto.LABEL_OPTIONAL)
    if kind.startswith("*"):
        field.label = proto.LABEL_REPEATED
    kind = kind.removeprefix("*")
    if kind.startswith("."):
        field.type, field.type_name = proto.TYPE_MESSAGE, kind
    else:
        field.type = proto.TYPE_INT32 if kind == "int32" else proto.TYPE_STRING
