"""JSON texts of a request, as the APIs want them that take objects: schemas, and the arguments of tool calls."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import msgspec

from naiad.adapters.errors import UnsupportedContent
from naiad.adapters.exchange import Asked


def object_of(text: str, asked: Asked, what: str) -> dict[str, Any]:
    """Return a JSON text as an object.

    what: it in words, for the message, which does not quote the text. Raises UnsupportedContent for all that is none: a
    provider that takes texts may well take it.
    """
    with suppress(ValueError, RecursionError, UnicodeError):  # whose messages quote the text
        value = msgspec.json.decode(text)
        if isinstance(value, dict):
            return value
    del text  # no traceback shows it
    raise asked.error(UnsupportedContent, f"{what} is not the text of a JSON object, which this provider needs")


def text_of_json(value: Any) -> str:
    """Return a value that came as JSON as the text of it."""
    return msgspec.json.encode(value).decode()
