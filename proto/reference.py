"""Write the API reference as Markdown from a compiled API definition.

Usage: reference.py DESCRIPTOR_SET, a file from protoc's --descriptor_set_out with --include_source_info.
Every comment of the .proto files appears once, under its service, message or enum; types are linked.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    ServiceDescriptorProto,
)

PACKAGE = ".naiad.v1."
MESSAGE, ENUM, SERVICE = 4, 5, 6  # field numbers in FileDescriptorProto, of which paths to comments are made
ESCAPES = str.maketrans({character: f"\\{character}" for character in "|*<"})
Comments = dict[tuple[int, ...], str]


def comments_of(file: FileDescriptorProto) -> Comments:
    """Comments by path (field numbers and indices, as in SourceCodeInfo), each as one line of Markdown."""
    return {
        tuple(place.path): " ".join(place.leading_comments.split()).translate(ESCAPES)
        for place in file.source_code_info.location
        if place.leading_comments
    }


def link(type_name: str) -> str:
    """A type's name, linked when it is one of ours."""
    if type_name.startswith(PACKAGE):
        name = type_name.removeprefix(PACKAGE)
        return f"[{name}](#{name.lower()})"
    return f"`{type_name.removeprefix('.')}`"


def type_of(field: FieldDescriptorProto, owner: DescriptorProto) -> str:
    """The type as it stands in the .proto file: with repeated, optional and map."""
    name = (
        link(field.type_name)
        if field.type_name
        else f"`{FieldDescriptorProto.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    )
    for nested in owner.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{owner.name}.{nested.name}"):
            return f"map of {type_of(nested.field[0], nested)} to {type_of(nested.field[1], nested)}"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    if field.proto3_optional:
        return f"optional {name}"
    if field.HasField("oneof_index"):
        return f"{name}, one of *{owner.oneof_decl[field.oneof_index].name}*"
    return name


def service_lines(service: ServiceDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    """A service as a heading and a table of its methods."""
    yield from (
        f"## {service.name}",
        "",
        comments[path],
        "",
        "| Method | Request | Response | |",
        "|---|---|---|---|",
    )
    for i, method in enumerate(service.method):
        types = f"{request_of(method)} | {response_of(method)}"
        yield f"| `{method.name}` | {types} | {comments[(*path, 2, i)]} |"
    yield ""


def request_of(method: MethodDescriptorProto) -> str:
    """The request type, and whether it is a stream."""
    return ("stream of " if method.client_streaming else "") + link(method.input_type)


def response_of(method: MethodDescriptorProto) -> str:
    """The response type, and whether it is a stream."""
    return ("stream of " if method.server_streaming else "") + link(method.output_type)


def message_lines(message: DescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    """A message as a heading and a table of its fields."""
    yield from (f"### {message.name}", "", comments[path], "")
    if message.field:
        yield from ("| Field | Type | |", "|---|---|---|")
        for i, field in enumerate(message.field):
            yield f"| `{field.name}` | {type_of(field, message)} | {comments[(*path, 2, i)]} |"
        yield ""


def enum_lines(enum: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> Iterator[str]:
    """An enum as a heading and a table of its values."""
    yield from (f"### {enum.name}", "", comments[path], "", "| Value | Number | |", "|---|---|---|")
    for i, value in enumerate(enum.value):
        yield f"| `{value.name}` | {value.number} | {comments[(*path, 2, i)]} |"
    yield ""


def types_of(file: FileDescriptorProto) -> Iterator[str]:
    """The messages of a file, then its enums."""
    comments = comments_of(file)
    for i, message in enumerate(file.message_type):
        yield from message_lines(message, comments, (MESSAGE, i))
    for i, enum in enumerate(file.enum_type):
        yield from enum_lines(enum, comments, (ENUM, i))


def reference(files: FileDescriptorSet) -> str:
    """The whole reference: each service with its messages, then the shared types, then the errors."""
    lines = [
        "# API reference",
        "",
        "Generated from `proto/naiad/v1` by `make proto`. See [proto/README.md](../proto/README.md) first.",
        "",
    ]
    ours = sorted((file for file in files.file if file.package == "naiad.v1"), key=lambda file: file.name)
    for file in ours:
        for i, service in enumerate(file.service):
            lines += [*service_lines(service, comments_of(file), (SERVICE, i)), *types_of(file)]
    lines += ["## Shared types", ""]
    for file in ours:
        if not file.service:
            lines += types_of(file)
    return "\n".join(lines)


def main() -> None:
    """Read the descriptor set named on the command line; write the reference to standard output."""
    sys.stdout.write(reference(FileDescriptorSet.FromString(Path(sys.argv[1]).read_bytes())))


if __name__ == "__main__":
    main()
