"""Types of an SDK made strict: what they do not name is refused, and every list is looked into.

Runs in the SDKs' own environment. As they are, the SDKs' types let everything through: `Iterable` is never checked,
models take any further field, unions end in `Any`.
"""

from __future__ import annotations

import os
import types
import typing
from typing import IO, Annotated, Any, NotRequired, Required, Union

import pydantic
from pydantic import ConfigDict, TypeAdapter, create_model
from typing_extensions import TypedDict, get_type_hints, is_typeddict

_FILES = (IO, os.PathLike)  # what no JSON holds


class Strict:
    """Rewrites types, each class once."""

    def __init__(self) -> None:
        self._made: dict[Any, Any] = {}

    def adapter(self, kind: Any) -> TypeAdapter[Any]:
        """Return what validates JSON against the strict form of a type."""
        return TypeAdapter(self.of(kind))

    def of(self, kind: Any) -> Any:
        """Return the strict form of a type."""
        origin: Any = typing.get_origin(kind)
        args = typing.get_args(kind)
        if origin is Annotated:
            return self.of(args[0])
        if origin in (Required, NotRequired, typing.Required, typing.NotRequired):
            return origin[self.of(args[0])]
        if origin in (Union, types.UnionType):
            kept = [
                arg for arg in args if arg is not Any and arg not in _FILES and typing.get_origin(arg) not in _FILES
            ]
            return Union[tuple(self.of(arg) for arg in kept)]  # noqa: UP007 - made of values
        if origin is dict:
            return types.GenericAlias(dict, (args[0], self.of(args[1])))
        name = getattr(origin, "__name__", "")
        if name in ("Iterable", "Sequence", "SequenceNotStr", "list", "List"):
            return types.GenericAlias(list, (self.of(args[0]),))
        if is_typeddict(kind):
            return self._once(kind, self._typed_dict)
        if isinstance(kind, type) and issubclass(kind, pydantic.BaseModel):
            return self._once(kind, self._model)
        return kind

    def _once(self, kind: Any, make: Any) -> Any:
        if kind not in self._made:
            self._made[kind] = Any  # of a type within itself
            self._made[kind] = make(kind)
        return self._made[kind]

    def _typed_dict(self, kind: Any) -> Any:
        hints = get_type_hints(kind, include_extras=True)
        alone = [base.__name__ for base in getattr(kind, "__orig_bases__", ())] == ["TypedDict"]
        fields = {}
        for name, hint in hints.items():
            marked: Any = typing.get_origin(hint)  # __required_keys__ does not see marks within texts
            need = (
                marked if marked in (Required, NotRequired) else Required if kind.__total__ and alone else NotRequired
            )
            fields[name] = need[self.of(typing.get_args(hint)[0] if need is marked else hint)]
        make: Any = TypedDict  # by its call, which is not to be read as a definition
        made = make(kind.__name__, fields)
        extra = getattr(kind, "__pydantic_config__", {}).get("extra", "forbid")
        made.__pydantic_config__ = ConfigDict(extra=extra, strict=True)
        return made

    def _model(self, kind: Any) -> Any:
        fields: Any = {
            field.alias or name: (self.of(field.annotation), field.get_default(call_default_factory=True))
            if not field.is_required()
            else (self.of(field.annotation), ...)
            for name, field in kind.model_fields.items()
        }
        return create_model(kind.__name__, __config__=ConfigDict(extra="forbid", strict=True), **fields)
