"""Load on Complete and StreamComplete: one prepared request in closed loop over one connection, as `http_load` does."""

from __future__ import annotations

from time import perf_counter

from benchmarks.http_load import Found
from benchmarks.wire import Connection, WireError

COMPLETE = "RouterService/Complete"
STREAM = "RouterService/StreamComplete"
_PATIENCE_S = 30.0


def closed_loop(
    connection: Connection, method: str, message: bytes, in_flight: int, seconds: float, *, first: bytes, last: bytes
) -> Found:
    """Keep so many calls in flight for so long, after one call each beforehand.

    first: the text that shows that the answer has begun; last: what must be in the last message of each. Raises
    WireError when a reply does not come.
    """
    _Loop(connection, method, message, first, last).run(in_flight, 0.0)
    return _Loop(connection, method, message, first, last).run(in_flight, seconds)


class _Loop:
    def __init__(self, connection: Connection, method: str, message: bytes, first: bytes, last: bytes) -> None:
        self._connection, self._method, self._message = connection, method, message
        self._first, self._last = first, last
        self._began_s: dict[int, float] = {}
        self._first_s: dict[int, float] = {}

    def run(self, in_flight: int, seconds: float) -> Found:
        took: list[float] = []
        begun: list[float] = []
        failed = within = 0
        self._connection.on_data = self._read
        began = perf_counter()
        stop, limit = began + seconds, began + seconds + _PATIENCE_S
        for _ in range(in_flight):
            self._ask()
        while self._began_s:
            if perf_counter() > limit:
                raise WireError(f"{len(self._began_s)} calls had no reply {_PATIENCE_S} s after the last")
            for reply in self._connection.receive(1.0):
                asked_s, first_s = self._began_s.pop(reply.stream), self._first_s.pop(reply.stream, None)
                if reply.status == "0" and self._last in reply.message and first_s is not None:
                    took.append(reply.at_s - asked_s)
                    begun.append(first_s - asked_s)
                    within += reply.at_s < stop
                else:
                    failed += 1
                if reply.at_s < stop:
                    self._ask()
        self._connection.on_data = None
        return Found(within / seconds if seconds else 0.0, took, begun, failed)

    def _ask(self) -> None:
        asked_s = perf_counter()
        self._began_s[self._connection.send(self._method, self._message)] = asked_s

    def _read(self, stream: int, data: bytes, at_s: float) -> None:
        if stream not in self._first_s and self._first in data:
            self._first_s[stream] = at_s
