"""When to try again, as a pure state machine: no clock, no sleep, no random numbers of its own.

A call is tried again only if that is safe and may help: the server was UNAVAILABLE, or RESOURCE_EXHAUSTED
with a time to wait (RetryInfo), or it stopped with the call in its hands, which gRPC tells as a CANCELLED
without details; that only by its request id. Calls that change something carry a request id, so that a
repetition cannot do it twice. A Complete whose providers all failed is not repeated unless a provider named
a time: the server has already retried and fallen back, and would give the same error again.

How often: `max_attempts` in all, and beyond that, while there is no server (it is not reached, it stops, it cut the
call off), for `reconnect_s` from when it was first missed. So a restart of some seconds costs a call time and not its
life, as far as its own deadline reaches, and 4 attempts within a second do not pass for patience.

Waiting follows "exponential backoff with full jitter": before attempt n + 1 it is uniform in
[0, min(max_backoff_s, initial_backoff_s * multiplier ** (n - 1))], on top of the time that the server asks
for.

>>> state = Attempts(RetryPolicy(), deadline_s=10.0)
>>> state.after(Unavailable("down"), now_s=0.0, uniform=0.5)
Wait(delay_s=0.05, then=Attempts(policy=RetryPolicy(...), deadline_s=10.0, made=1, missed_s=0.0))
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from naiad.client.errors import Cancelled, NaiadError, ResourceExhausted, Unavailable


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently to try again.

    Raises:
        ValueError: there is no attempt at all, or a wait is negative or not finite.
    """

    max_attempts: int = 4  # the first included; 1 never tries again
    reconnect_s: float = 10.0  # how long a missing server is waited for, however many attempts that takes
    initial_backoff_s: float = 0.1
    max_backoff_s: float = 1.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; it must be at least 1")
        if not self.reconnect_s >= 0:
            raise ValueError(f"reconnect_s is {self.reconnect_s}; it must be at least 0 seconds")
        for name in ("initial_backoff_s", "max_backoff_s", "multiplier"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} is {value}; it must be finite and at least 0")

    def ceiling_s(self, made: int) -> float:
        """Return the longest wait after `made` failed attempts."""
        try:
            grown = self.initial_backoff_s * self.multiplier ** (made - 1)
        except OverflowError:
            grown = math.inf
        return min(self.max_backoff_s, grown)


@dataclass(frozen=True)
class Attempts:
    """The attempts of one logical call: how many have failed, and when its time is up on the caller's clock."""

    policy: RetryPolicy
    deadline_s: float  # math.inf: never
    made: int = 0
    missed_s: float | None = None  # since when there is no server; None: the last attempt found one

    def left_s(self, now_s: float) -> float | None:
        """Return the time that the next attempt may take; None is without bound."""
        return None if math.isinf(self.deadline_s) else max(0.0, self.deadline_s - now_s)

    def after(self, error: NaiadError, *, now_s: float, uniform: float) -> Wait | None:
        """Return how long to wait before the next attempt, or None to give up with the error.

        Args:
            error: what the attempt failed with.
            now_s: the time now.
            uniform: a draw from [0, 1).
        """
        made, policy = self.made + 1, self.policy
        if policy.max_attempts == 1 or not retryable(error):
            return None
        delay_s = (error.retry_after_s or 0.0) + uniform * policy.ceiling_s(made)
        missed_s = (now_s if self.missed_s is None else self.missed_s) if missing(error) else None
        waited_for = missed_s is not None and now_s + delay_s < missed_s + policy.reconnect_s
        if (made >= policy.max_attempts and not waited_for) or now_s + delay_s >= self.deadline_s:
            return None
        return Wait(delay_s, replace(self, made=made, missed_s=missed_s))


@dataclass(frozen=True)
class Wait:
    """Sleep, then make the next attempt."""

    delay_s: float
    then: Attempts


_PROVIDERS = ("ERROR_REASON_ALL_ATTEMPTS_FAILED", "ERROR_REASON_MODELS_UNAVAILABLE")


def retryable(error: NaiadError) -> bool:
    """Return whether repeating the call is safe and may help."""
    if error.reason == "ERROR_REASON_ALL_ATTEMPTS_FAILED":
        return error.retry_after_s is not None
    if isinstance(error, ResourceExhausted):
        return error.retry_after_s is not None
    if isinstance(error, Cancelled):
        return bool(error.request_id) and not error.reason
    return isinstance(error, Unavailable)


def missing(error: NaiadError) -> bool:
    """Return whether an error that may be retried says that there is no server, or soon none."""
    if error.reason in _PROVIDERS:  # who were asked and may want money, or are known not to be well
        return False
    return isinstance(error, Cancelled | Unavailable)
