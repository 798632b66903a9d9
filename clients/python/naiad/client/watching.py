"""Following a watch through breaks, as a pure state machine: no clock, no sleep, no I/O.

A watch is a stream without an end. When it breaks in a way that may pass (see `retry.retryable`), it is opened again
with the cursor of the last response, so that nothing is missed. It is given up when nothing has been received for
`reconnect_s`, however often it was tried; a response begins that time anew. Waits between tries are those of
RetryPolicy, whose `max_attempts` and `reconnect_s` do not apply.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from naiad.client.calls import Call
from naiad.client.errors import Cancelled, DeadlineExceeded, NaiadError
from naiad.client.retry import RetryPolicy, retryable

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Watch(Generic[T]):
    """A stream to follow: how to open it at a cursor, and how long to try again after a break.

    Raises:
        ValueError: a time is negative or not a number.
    """

    open: Callable[[str], Call[T]] = field(repr=False)
    cursor_of: Callable[[T], str] = field(repr=False)
    cursor: str
    reconnect_s: float
    timeout_s: float  # math.inf: for ever

    def __post_init__(self) -> None:
        for name in ("reconnect_s", "timeout_s"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} is {value}; it must be at least 0 seconds")

    def begin(self, policy: RetryPolicy, *, now_s: float) -> Following[T]:
        """Return the state of a watch that begins now."""
        return Following(self, policy, self.cursor, now_s + self.timeout_s, now_s + self.reconnect_s)


@dataclass(frozen=True)
class Following(Generic[T]):
    """Where a watch stands. Times are of the caller's clock, in seconds."""

    watch: Watch[T]
    policy: RetryPolicy
    cursor: str
    deadline_s: float  # of the whole watch
    patience_s: float  # until when it is tried again
    broken: int = 0  # how often in a row, without a response

    def next_call(self, now_s: float) -> tuple[Call[T], float | None]:
        """Return the call that opens the stream and the time that it may take, None without bound.

        Raises:
            DeadlineExceeded: the time is up.
        """
        if math.isinf(self.deadline_s):
            return self.watch.open(self.cursor), None
        if now_s >= self.deadline_s:
            raise DeadlineExceeded("the time of the watch was up")
        return self.watch.open(self.cursor), self.deadline_s - now_s

    def received(self, item: T, *, now_s: float) -> Following[T]:
        """Return the state after a response."""
        cursor = self.watch.cursor_of(item) or self.cursor
        return replace(self, cursor=cursor, patience_s=now_s + self.watch.reconnect_s, broken=0)

    def after(self, error: NaiadError, *, now_s: float, uniform: float) -> Break[T] | None:
        """Return how long to wait before the stream is opened again, or None to give up with the error.

        Args:
            error: how the stream ended.
            now_s: the time now.
            uniform: a draw from [0, 1).
        """
        broken = self.broken + 1
        if not (retryable(error) or (isinstance(error, Cancelled) and not error.reason)):
            return None
        delay_s = (error.retry_after_s or 0.0) + uniform * self.policy.ceiling_s(broken)
        if now_s + delay_s >= min(self.patience_s, self.deadline_s):
            return None
        return Break(delay_s, replace(self, broken=broken))


@dataclass(frozen=True)
class Break(Generic[T]):
    """Sleep, then open the stream again."""

    delay_s: float
    then: Following[T]
