"""Load on an HTTP/1.1 server: one prepared request again and again over plain sockets, in closed loop.

As `wire` does for gRPC, it costs next to nothing beside what it measures, and it looks at every reply: the status, the
whole body, and the text that must be in it.
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter

_PATIENCE_S = 30.0
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Found:
    """What a closed loop came to. Times are in seconds, from just before a request was written."""

    per_s: float  # good replies that ended within the time
    took_s: list[float] = field(repr=False)  # to the end of the reply, of every good one
    first_s: list[float] = field(repr=False)  # to the first text of the answer
    failed: int = 0  # replies that are no success, or lack what must be in them


def post(address: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a whole POST request with a JSON body."""
    fields = {"host": address, "content-type": "application/json", **headers, "content-length": str(len(body))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


class Reading:
    """One reply on its way in.

    first: the text that shows that the answer has begun; last: what must be there once it is whole.
    """

    def __init__(self, first: bytes, last: bytes) -> None:
        self._first, self._last = first, last
        self._got = b""
        self._body_at = self._length = -1  # length -1: in chunks
        self.first_at: float | None = None

    def feed(self, data: bytes, at_s: float) -> bool:
        """Take bytes in; return whether the reply is whole. Raises ValueError for one that does not say how long."""
        self._got += data
        if self._body_at < 0 and (end := self._got.find(_END)) >= 0:
            self._body_at = end + len(_END)
            self._length = _length(self._got[:end].lower())
        if self.first_at is None and self._first in self._got:
            self.first_at = at_s
        if self._body_at < 0:
            return False
        if self._length >= 0:
            return len(self._got) >= self._body_at + self._length
        return self._got.endswith(b"\r\n0" + _END) or self._got[self._body_at :] == b"0" + _END

    @property
    def good(self) -> bool:
        """Return whether it is a success with the answer in it, from its first text to its last."""
        head, _, body = self._got.partition(_END)
        return head.split(b" ", 2)[1:2] == [b"200"] and self._first in body and self._last in body

    def __repr__(self) -> str:
        return f"Reading({self._got[:400]!r})"


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name == b"content-length":
            return int(value)
        if name == b"transfer-encoding" and value.strip() == b"chunked":
            return -1
    raise ValueError(f"a reply says neither content-length nor chunked: {head[:200]!r}")


class _Caller:
    """One connection, which asks again as soon as it has its answer."""

    def __init__(self, address: str, request: bytes, first: bytes, last: bytes) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=_PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request, self._marks = request, (first, last)
        self.began_s = 0.0
        self.reading = Reading(first, last)

    def ask(self) -> None:
        self.reading = Reading(*self._marks)
        self.began_s = perf_counter()
        self.socket.sendall(self._request)

    def read(self) -> float | None:
        """Read what there is; return when the reply was whole, None while it is not."""
        data = self.socket.recv(1 << 16)
        at_s = perf_counter()
        if not data:
            raise ConnectionError(f"the server closed the connection after {self.reading!r}")
        return at_s if self.reading.feed(data, at_s) else None


def closed_loop(address: str, request: bytes, in_flight: int, seconds: float, *, first: bytes, last: bytes) -> Found:
    """Keep so many requests in flight for so long, over as many connections; each makes one call beforehand.

    Raises OSError, and ValueError for a reply that cannot be read.
    """
    callers = [_Caller(address, request, first, last) for _ in range(in_flight)]
    try:
        for caller in callers:
            caller.ask()
            while caller.read() is None:
                pass
        return _loop(callers, seconds)
    finally:
        for caller in callers:
            caller.socket.close()


def _loop(callers: list[_Caller], seconds: float) -> Found:
    took: list[float] = []
    begun: list[float] = []
    failed = within = 0
    with selectors.DefaultSelector() as selector:
        for caller in callers:
            selector.register(caller.socket, selectors.EVENT_READ, caller)
        began = perf_counter()
        stop, limit = began + seconds, began + seconds + _PATIENCE_S
        for caller in callers:
            caller.ask()
        waiting = len(callers)
        while waiting:
            ready = selector.select(1.0)
            if perf_counter() > limit:
                raise TimeoutError(f"{waiting} requests had no reply {_PATIENCE_S} s after the last")
            for key, _ in ready:
                caller = key.data
                at_s = caller.read()
                if at_s is None:
                    continue
                if caller.reading.good and caller.reading.first_at is not None:
                    took.append(at_s - caller.began_s)
                    begun.append(caller.reading.first_at - caller.began_s)
                    within += at_s < stop
                else:
                    failed += 1
                if at_s < stop:
                    caller.ask()
                else:
                    waiting -= 1
    return Found(within / seconds, took, begun, failed)
