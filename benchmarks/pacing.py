"""A provider that streams an answer of so many pieces at a steady pace, to any number of connections at once.

    python -m benchmarks.pacing PIECES SECONDS

Every request gets a chunk of server-sent events for each piece, evenly over the seconds, then the end. On SIGTERM it
prints "late N": how many milliseconds after its time the latest piece was written, which tells whether the pace held.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import cast

import uvloop

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(delta: dict[str, str], finish: str | None = None, usage: int | None = None) -> bytes:
    """Return one event as a chunk of HTTP; usage: completion tokens of the last one."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    event = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    if usage is not None:
        counts = {"prompt_tokens": 12, "completion_tokens": usage, "total_tokens": 12 + usage}
        event |= {"choices": [], "usage": counts}
    return framed(json.dumps(event, separators=(",", ":")).encode())


def framed(data: bytes) -> bytes:
    """Return data as one event in one chunk."""
    body = b"data: %b\n\n" % data
    return b"%x\r\n%b\r\n" % (len(body), body)


def text(number: int) -> str:
    """Return the text of a piece: five to seven characters, all different within a stream."""
    return f" tok{number}"


class Pace:
    """How many pieces, how fast, and how well that was kept."""

    def __init__(self, pieces: int, seconds: float) -> None:
        self.each_s = seconds / pieces
        self.pieces = [chunk({"content": text(number)}) for number in range(pieces)]
        self.end = chunk({}, "stop") + chunk({}, usage=pieces) + framed(b"[DONE]") + b"0\r\n\r\n"
        self.latest_s = 0.0


class Pacing(asyncio.Protocol):
    """Reads requests of a known length, one after the other, and streams an answer to each."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._got = b""

    def data_received(self, data: bytes) -> None:
        """Begin to answer once the request is whole."""
        self._got += data
        end = self._got.find(b"\r\n\r\n")
        if end < 0 or self._timer is not None:
            return
        length = int(self._got[:end].lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._got) >= end + 4 + length:
            self._got = self._got[end + 4 + length :]
            self._transport.write(HEAD)
            self._began_s = self._loop.time()
            self._number = 0
            self._wait()

    def connection_lost(self, error: Exception | None) -> None:
        """Stop writing."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        due_s = self._began_s + self._number * self._pace.each_s
        self._timer = self._loop.call_at(due_s, self._write, due_s)

    def _write(self, due_s: float) -> None:
        pace = self._pace
        pace.latest_s = max(pace.latest_s, self._loop.time() - due_s)
        self._transport.write(pace.pieces[self._number])
        self._number += 1
        if self._number < len(pace.pieces):
            self._wait()
        else:
            self._transport.write(pace.end)
            self._timer = None


async def main(pieces: int, seconds: float) -> None:
    """Serve until SIGTERM."""
    loop, pace = asyncio.get_running_loop(), Pace(pieces, seconds)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(lambda: Pacing(pace), "127.0.0.1", 0, backlog=4_096)
    print(f"pacing listening on 127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await stop.wait()
    print(f"late {pace.latest_s * 1e3:.1f}", flush=True)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), float(sys.argv[2])))
