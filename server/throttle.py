"""What one key may take of the server: a rate, as a bucket of tokens, and calls at a time."""

from __future__ import annotations

from naiad.server.errors import NaiadError

BURST_S = 10.0  # the bucket holds what the rate gives in so many seconds, at least one call
_RETRY_AFTER_S = 0.5  # a call that ends makes room; nobody knows when


class Throttle:
    """The limits of one key; 0 is unbounded. Times in seconds of the monotonic clock."""

    __slots__ = ("_allowance_s", "_concurrent", "_full_s", "_interval_s", "_key_id", "_per_minute", "in_flight")

    def __init__(self, key_id: str, per_minute: int, concurrent: int) -> None:
        self._key_id = key_id
        self._per_minute = per_minute
        self._concurrent = concurrent
        self._interval_s = 60.0 / per_minute if per_minute else 0.0
        self._allowance_s = max(0.0, BURST_S - self._interval_s)
        self._full_s = 0.0  # when the bucket will be full again (GCRA's theoretical arrival time)
        self.in_flight = 0

    def __repr__(self) -> str:
        return f"Throttle({self._key_id!r}, {self._per_minute}, {self._concurrent}, in_flight={self.in_flight})"

    def enter(self, now_s: float) -> None:
        """Count a call in; raises NaiadError RATE_LIMITED, and then counts nothing."""
        if self._concurrent and self.in_flight >= self._concurrent:
            raise _limited(self._key_id, "concurrent_calls", self._concurrent, _RETRY_AFTER_S)
        if self._per_minute:
            wait_s = self._full_s - now_s - self._allowance_s
            if wait_s > 1e-9:
                raise _limited(self._key_id, "requests_per_minute", self._per_minute, wait_s)
            self._full_s = max(self._full_s, now_s) + self._interval_s
        self.in_flight += 1

    def leave(self) -> None:
        """Count a call out."""
        self.in_flight -= 1


def _limited(key_id: str, limit: str, value: int, wait_s: float) -> NaiadError:
    what = "calls a minute" if limit == "requests_per_minute" else "calls at a time"
    return NaiadError(
        "RATE_LIMITED",
        f"the key {key_id} permits {value} {what}; wait as long as RetryInfo says, or use a key with a higher {limit}",
        code="RESOURCE_EXHAUSTED",
        metadata={"key_id": key_id, "limit": limit, "value": value},
        retry_after_s=wait_s,
    )
