"""When the same model is asked again, and after how long: no clock and no chance but what is given.

Only an error that says so itself (`retryable`) is tried again. Where another model can take over, the same one is asked
once more at most, and not at all when the provider asks for a longer wait than `QUICK_S`: whoever is ready answers
sooner. Where there is none, it is asked `TRIES` times, as long as the waits fit the deadline. Waits are what the
provider asked for, and on top of that "exponential backoff with full jitter".

Retries have a budget for each endpoint: a tenth of what it was asked in the last `WINDOW_S` seconds, and a few. So a
fault that lasts costs no more than that, whatever the breakers make of it.
"""

from __future__ import annotations

from collections import deque

from naiad.adapters.errors import ProviderError

TRIES = 3  # of one model for one request, the first included
QUICK_S = 1.0  # the longest Retry-After that is waited for though another model can take over
FIRST_S, LONGEST_S = 0.1, 2.0  # ceiling of the first wait, and of any
SHARE, FEW, WINDOW_S = 0.1, 3, 30


def again_in_s(error: ProviderError, *, tries: int, others: bool, left_s: float, uniform: float) -> float | None:
    """Return after how many seconds the same model is to be asked again, None for not at all.

    tries: how often it was asked for this request; others: whether another model can take over; left_s: until the
    deadline; uniform: a draw from [0, 1).
    """
    if not error.retryable or tries >= (2 if others else TRIES):
        return None
    asked_s = max(0.0, error.retry_after_s or 0.0)
    if others and asked_s > QUICK_S:
        return None
    wait_s = asked_s + uniform * float(min(LONGEST_S, FIRST_S * 2 ** (tries - 1)))
    return wait_s if wait_s < left_s else None


class RetryBudget:
    """How many retries an endpoint has left; counts by whole seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, int]] = deque()  # (second, first calls, retries)
        self._calls = self._retries = 0

    def __repr__(self) -> str:
        return f"RetryBudget(calls={self._calls}, retries={self._retries})"

    def called(self, now_s: float) -> None:
        """Count a call that is no retry."""
        self._count(now_s, 1, 0)

    def take(self, now_s: float) -> bool:
        """Count a retry if there is one left; return whether there was."""
        self._count(now_s, 0, 0)
        if self._retries >= max(FEW, SHARE * self._calls):
            return False
        self._count(now_s, 0, 1)
        return True

    def _count(self, now_s: float, calls: int, retries: int) -> None:
        second = int(now_s)
        while self._seconds and self._seconds[0][0] <= second - WINDOW_S:
            _, old_calls, old_retries = self._seconds.popleft()
            self._calls -= old_calls
            self._retries -= old_retries
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append((second, 0, 0))
        _, made, again = self._seconds[-1]
        self._seconds[-1] = second, made + calls, again + retries
        self._calls += calls
        self._retries += retries
