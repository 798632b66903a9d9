"""The last moment before a request leaves: whoever sends it asks here, and whoever let it go may say no.

A call may wait a long time between the decision to make it and its first byte: for a name, for an address, for TLS, for
a place in the pool. The choke point puts its check around the call (`checked`), and the transport asks it when there is
a connection, right before the request's head and again before each piece of a large body (`depart`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeAlias

Check: TypeAlias = Callable[[], None]
"""Returns if the call may leave at this moment; raises `Withheld` if not."""

_CHECK: ContextVar[Check | None] = ContextVar("check", default=None)


class Withheld(Exception):
    """The call may not leave any more. Whoever checked knows why; an adapter lets it pass."""


@contextmanager
def checked(check: Check) -> Iterator[None]:
    """Let a check be asked for what is sent within."""
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)


def checking() -> Check | None:
    """Return the check of the call under way, None outside of one."""
    return _CHECK.get()


def depart() -> None:
    """Ask whether the call under way may leave; raises Withheld. Nothing may be awaited between this and sending."""
    check = _CHECK.get()
    if check is not None:
        check()
