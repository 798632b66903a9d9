"""Page tokens: opaque, bound to the list and its filter, checked when they come back."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import TypeVar

from naiad.server.convert import number
from naiad.server.errors import NaiadError

DEFAULT_PAGE = 100
LARGEST_PAGE = 1_000
_LONGEST = 200
Item = TypeVar("Item")


def page_size(wanted: int) -> int:
    """Return how many items to give; 0 takes the default, more than the largest is refused."""
    return int(number(wanted, "page_size", 0, LARGEST_PAGE)) or DEFAULT_PAGE


def scope_digest(*parts: object) -> str:
    """Return 12 hex digits that tell a list, or a watch, and its filter."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


def encode(position: int, *scope: object) -> str:
    """Return the token of the page that begins at a position."""
    return base64.urlsafe_b64encode(json.dumps([position, scope_digest(*scope)]).encode()).decode("ascii")


def decode(token: str, *scope: object) -> int | None:
    """Return the position of a token, None for the first page; raises PAGE_TOKEN_INVALID."""
    if not token:
        return None
    try:
        if len(token) > _LONGEST:
            raise ValueError("too long")
        position, of = json.loads(base64.urlsafe_b64decode(token.encode("ascii")))
        if of == scope_digest(*scope) and isinstance(position, int) and 0 <= position < 1 << 63:
            return position
    except (ValueError, TypeError):
        pass
    raise NaiadError(
        "PAGE_TOKEN_INVALID",
        "page_token is not one that this list gave for this filter; begin again without it",
        field="page_token",
    )


def slice_page(items: Sequence[Item], size: int, token: str, *scope: object) -> tuple[Sequence[Item], str]:
    """Return one page of a list held in memory, and the token of the next ("" for none)."""
    wanted = page_size(size)
    start = decode(token, *scope) or 0
    page = items[start : start + wanted]
    following = start + wanted
    return page, encode(following, *scope) if following < len(items) else ""
