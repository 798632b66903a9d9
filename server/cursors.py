"""Cursors of watches: opaque to callers, bound to one life of the server and to one watch with its filter."""

from __future__ import annotations

import re
from typing import NamedTuple

from naiad.server.errors import NaiadError
from naiad.server.paging import scope_digest

_FORM = re.compile(r"([0-9a-f]{16})\.([0-9a-f]{1,15})\.([0-9a-f]{12})", re.ASCII)
_RULE = "the cursor of the last response, sent with the filter of its request"


class Cursor(NamedTuple):
    """Where a watch stands: `position` counts changes in the life that a random word names."""

    life: str  # 16 hex digits
    position: int


def encode(cursor: Cursor, *scope: object) -> str:
    """Return the text of a cursor of the watch and filter that the scope names."""
    return f"{cursor.life}.{cursor.position:x}.{scope_digest(*scope)}"


def decode(text: str, *scope: object) -> Cursor | None:
    """Return a cursor, None for ""; raises NaiadError CURSOR_INVALID for another watch's or filter's."""
    if not text:
        return None
    found = _FORM.fullmatch(text)
    if found is None or found[3] != scope_digest(*scope):
        raise invalid(text)
    return Cursor(found[1], int(found[2], 16))


def invalid(text: str) -> NaiadError:
    """The cursor is not one that this watch gave for this filter."""
    shown = text if len(text) <= 60 else text[:60] + "..."
    return NaiadError(
        "CURSOR_INVALID",
        f"cursor is {shown!r}, which this watch did not give for this filter; send {_RULE}, or begin again without it",
        metadata={"value": shown, "rule": _RULE},
        field="cursor",
    )
