"""Bytes of requests into messages: only once the guard knows who calls, and what is too large, too crowded or malformed
is refused there.

Reading costs time for each field rather than each byte: 32 MiB of empty parts take a second, of map entries five. So
the fields of a large request are counted first, by walking over its tags, and no further than may be.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from naiad.server.errors import NaiadError

MOST_FIELDS = 32_768  # of a request, those of its messages, parts and map entries included
_SMALL = 16_384  # bytes that are read without counting
_VARINT, _EIGHT, _LENGTH, _FOUR = 0, 1, 2, 5
_TEXT = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands for a request that was not read, with why."""

    error: NaiadError


@dataclass(frozen=True, slots=True)
class Received:
    """The bytes of a request, and what reads them."""

    data: bytes
    reader: Callable[[bytes], Message | Unread]

    def read(self) -> Message | Unread:
        """Return the message."""
        return self.reader(self.data)


def handlers_of(servicer: object, service: ServiceDescriptor, largest: Callable[[str], int]) -> grpc.GenericRpcHandler:
    """Return the methods of a protected servicer for gRPC; requests reach it as `Received`.

    gRPC itself would read them before anybody has asked who calls, and would end those that cannot be read as UNKNOWN
    without details. largest: bytes that a method's request may have.
    """
    makers = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    methods = {}
    for method in service.methods:
        name = f"{service.name}/{method.name}"
        methods[method.name] = makers[method.client_streaming, method.server_streaming](
            getattr(servicer, method.name),
            request_deserializer=functools.partial(Received, reader=reader(name, method.input_type, largest(name))),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def reader(name: str, descriptor: Descriptor, largest: int) -> Callable[[bytes], Message | Unread]:
    """Return what reads the requests of a method; largest: bytes."""
    parse = GetMessageClass(descriptor).FromString

    def read(data: bytes) -> Message | Unread:
        size = len(data)
        if size > _SMALL:
            if size > largest:
                return Unread(_too_large(name, size, largest))
            if crowded(data, descriptor, MOST_FIELDS):
                return Unread(_crowded(name))
        try:
            return parse(data)
        except DecodeError:
            return Unread(_malformed(name))

    return read


@functools.cache
def _inner(descriptor: Descriptor) -> dict[int, Descriptor | None]:
    """Return what is in fields of a length: the type of a message, None for numbers packed together; texts left out."""
    return {
        field.number: field.message_type
        for field in descriptor.fields
        if field.message_type is not None or (field.is_repeated and field.type not in _TEXT)
    }


def crowded(data: bytes, descriptor: Descriptor, most: int) -> bool:
    """Return whether a message has more than so many fields, inner ones and packed numbers included.

    Costs a step for each field up to so many. What is malformed ends the message that it stands in.
    """
    left = most
    todo: list[tuple[int, int, Descriptor]] = [(0, len(data), descriptor)]
    while todo:
        at, end, kind = todo.pop()
        inner = _inner(kind)
        try:
            while at < end:
                left -= 1
                if left < 0:
                    return True
                tag, at = _varint(data, at)
                form = tag & 7
                if form == _LENGTH:
                    size, at = _varint(data, at)
                    if tag >> 3 in inner:
                        child = inner[tag >> 3]
                        if child is None:
                            left -= size
                        else:
                            todo.append((at, min(at + size, end), child))
                    at += size
                elif form == _VARINT:
                    _, at = _varint(data, at)
                elif form in (_EIGHT, _FOUR):
                    at += 8 if form == _EIGHT else 4
        except IndexError:
            continue
    return left < 0


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return (value, position after it); raises IndexError beyond the end, and for more than ten bytes."""
    value = data[at]
    if value < 128:
        return value, at + 1
    value &= 127
    for place in range(1, 10):
        byte = data[at + place]
        value |= (byte & 127) << (7 * place)
        if byte < 128:
            return value, at + place + 1
    raise IndexError(at)


def _too_large(name: str, size: int, largest: int) -> NaiadError:
    return NaiadError(
        "MESSAGE_TOO_LARGE", f"the request has {size} bytes; {name} takes up to {largest}: send less, "
        "or raise [server] message_mib",
        code="RESOURCE_EXHAUSTED", metadata={"size": size, "maximum": largest, "method": name},
    )  # fmt: skip


def _crowded(name: str) -> NaiadError:
    return NaiadError(
        "TOO_MANY_ITEMS",
        f"the request of {name} has more than {MOST_FIELDS} fields, those within others included; send fewer items",
        metadata={"count": MOST_FIELDS + 1, "maximum": MOST_FIELDS},
        field="request",
    )


def _malformed(name: str) -> NaiadError:
    rule = f"the bytes of one request message of {name}"
    return NaiadError(
        "INVALID_FORMAT", f"the request cannot be read; send {rule}", metadata={"rule": rule}, field="request"
    )
