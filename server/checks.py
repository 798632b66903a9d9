"""Checks of answers: whether one fits a JSON Schema, or contains a pattern. Both take time linear in what they read.

Schemas are checked by jsonschema-rs, which is kept from fetching anything; patterns by RE2, which never backtracks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NoReturn

import msgspec

from naiad.server.records import Check

Checker = Callable[[str], bool]


class Malformed(ValueError):
    """A check that cannot be made; the text says what is wrong with it and the remedy."""


@lru_cache(256)
def checker_of(check: Check) -> Checker | None:
    """Return what says whether a text passes, None where a judge or a callback says it; raises Malformed."""
    if check.json_schema:
        return _fits(check.json_schema)
    if check.pattern:
        return _contains(check.pattern)
    return None


def _fits(schema: str) -> Checker:
    import jsonschema_rs

    try:
        held = jsonschema_rs.validator_for(msgspec.json.decode(schema), retriever=_fetch_nothing)
    except (ValueError, RecursionError):  # jsonschema_rs.ValidationError is one
        raise Malformed("is no JSON Schema that stands alone; send one without references to elsewhere") from None

    def fits(text: str) -> bool:
        try:
            return held.is_valid(msgspec.json.decode(text))
        except (ValueError, RecursionError):
            return False

    return fits


def _fetch_nothing(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is elsewhere")


def _contains(pattern: str) -> Checker:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    try:
        held = re2.compile(pattern, options)
    except re2.error:
        raise Malformed(
            "is no regular expression in RE2's language; look-around and back references are not in it"
        ) from None
    return lambda text: held.search(text) is not None
