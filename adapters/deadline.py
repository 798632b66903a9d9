"""The time of one exchange: a moment at which all of it must be over, and steps that may end sooner."""

from __future__ import annotations

import asyncio
import math

from naiad.adapters.errors import Timeout, TimeoutKind
from naiad.adapters.exchange import Asked

_LONGEST_S = 86_400.0  # of any exchange
_MISSING = {TimeoutKind.FIRST_BYTE: "no reply", TimeoutKind.IDLE: "nothing more of the reply"}


class Deadline:
    """When an exchange must be over, on the event loop's clock."""

    def __init__(self, asked: Asked, timeout_s: float) -> None:
        self.asked = asked
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._timeout_s = min(timeout_s, _LONGEST_S)
        self._whole = True  # the last step ends with all of it

    def next(self, limit_s: float) -> float:
        """Return the moment at which a step of at most `limit_s` seconds is over."""
        step, whole = self._loop.time() + limit_s, self._began + self._timeout_s
        self._whole = whole <= step
        return min(step, whole)

    def check(self) -> None:
        """Raise Timeout if all of it must be over."""
        if self.next(math.inf) <= self._loop.time():
            raise self.passed(TimeoutKind.TOTAL, self._timeout_s)

    def passed(self, kind: TimeoutKind, limit_s: float) -> Timeout:
        """Return the error for the last step, which took too long: the whole time's, if that came first."""
        after_s = self._loop.time() - self._began
        if self._whole:
            kind, limit_s = TimeoutKind.TOTAL, self._timeout_s
        what = _MISSING.get(kind, "no answer")
        return Timeout(
            f"{what} within {limit_s:g} s",
            provider=self.asked.provider, model=self.asked.model, kind=kind, after_s=after_s,
        )  # fmt: skip
