"""Many streams at a time through StreamComplete: what each takes of memory, and whether one ever stalls.

    python -m benchmarks.streams [--streams N] [--tokens N] [--seconds S] [--ramp S] [--json FILE]

What is measured, and how
- 1,000 calls of StreamComplete begin, evenly over the ramp, on 16 connections. The provider (`pacing.py`, a process of
  its own on the loopback) answers each with 200 pieces at a steady pace, spread over the seconds. The ramp is shorter,
  so that all are under way at a time; `raw.most_at_a_time` says so.
- The server is `naiad serve` with its OpenAI-compatible adapter and SQLite on disk, on a core of its own; as many
  connections to the provider are allowed as there are streams.
- Every stream must end with grpc-status 0, all its pieces in order, and the whole answer in its last message.
- `stream_kib`: the server's peak of resident memory during the run, less its resident memory before, over the streams.
  Before, 32 streams have run, so that what is loaded once is there.
- `stream_stall_ms`: the longest time between two arrivals of text in one stream, at the reader. The reader's own pauses
  count against the server; `raw.provider_late_ms` tells how late the provider itself was at worst.
- A server that cannot keep the pace ends later; `raw.took_s` tells by how much. Time to the first text is not a stall
  and stands beside.
"""

from __future__ import annotations

import argparse
import os
import resource
import selectors
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

if not __package__:  # run as a file: its folder is on the path instead of the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import pacing
from benchmarks.children import Child, running, separate_cores
from benchmarks.gateways import asked
from benchmarks.report import Figure, at_most, finish, machine, middle, quantile
from benchmarks.rpc_load import STREAM
from benchmarks.serving import naiad, rows
from benchmarks.wire import Connection, messages_of
from naiad.v1 import router_service_pb2

CONNECTIONS = 16
WARM = 32
_SPARE = 200  # open files beside those of the streams
_PATIENCE_S = 120.0  # beyond the provider's own time


@dataclass(slots=True)
class One:
    """One stream as its reader saw it; times of perf_counter, in seconds."""

    asked_s: float
    data: bytearray = field(default_factory=bytearray)
    first_s: float | None = None
    latest_s: float = 0.0
    stall_s: float = 0.0
    ended_s: float = 0.0
    status: str = "none"

    def read(self, data: bytes, at_s: float) -> None:
        """Take in data of the stream."""
        self.data += data
        if b" tok" not in data:
            return
        if self.first_s is None:
            self.first_s = at_s
        else:
            self.stall_s = max(self.stall_s, at_s - self.latest_s)
        self.latest_s = at_s

    def whole(self, tokens: int) -> bool:
        """Return whether every piece came in order, and the whole answer after them."""
        pieces, answer = [], ""
        for message in messages_of(bytes(self.data)):
            event = router_service_pb2.StreamCompleteResponse.FromString(message)
            pieces += [event.text_delta.text] if event.HasField("text_delta") else []
            if event.HasField("completed"):
                answer = "".join(part.text for part in event.completed.response.answer.parts)
        expected = "".join(map(pacing.text, range(tokens)))
        return self.status == "0" and "".join(pieces) == expected == answer


class Readers:
    """Reads all streams from a few connections."""

    def __init__(self, address: str, timeout_s: int) -> None:
        self._connections = [Connection(address, timeout_s=timeout_s) for _ in range(CONNECTIONS)]
        self.most = 0  # streams under way at a time
        self.arrivals = 0  # of text, in the run

    def run(
        self, streams: int, seconds: float, ramp_s: float = 0.0, each_second: Callable[[], None] = lambda: None
    ) -> list[One]:
        """Begin so many streams evenly over the ramp, and read them; one that does not end in time stays "none"."""
        message, began = asked("stream"), perf_counter()
        found: list[One] = []
        self.most = self.arrivals = seconds_seen = 0
        known: list[dict[int, One]] = [{} for _ in self._connections]
        with selectors.DefaultSelector() as selector:
            for connection, mine in zip(self._connections, known, strict=True):
                connection.on_data = partial(self._read, mine)
                selector.register(connection, selectors.EVENT_READ, (connection, mine))
            while perf_counter() - began < ramp_s + seconds:
                at_s = perf_counter() - began
                if at_s >= seconds_seen:
                    seconds_seen = int(at_s) + 1
                    each_second()
                due = streams if at_s >= ramp_s else int(streams * at_s / ramp_s)
                while len(found) < due:
                    number = len(found) % CONNECTIONS
                    one = One(perf_counter())
                    known[number][self._connections[number].send(STREAM, message)] = one
                    found.append(one)
                    self._take(self._connections[number], known[number])
                self.most = max(self.most, sum(c.in_flight for c in self._connections))
                if len(found) == streams and not any(c.in_flight for c in self._connections):
                    break
                for key, _ in selector.select(0.005 if len(found) < streams else 1.0):
                    self._take(*key.data)
        return found

    def _read(self, mine: dict[int, One], stream: int, data: bytes, at_s: float) -> None:
        self.arrivals += b" tok" in data
        mine[stream].read(data, at_s)

    def _take(self, connection: Connection, mine: dict[int, One]) -> None:
        for reply in connection.receive(0.0):
            mine[reply.stream].status, mine[reply.stream].ended_s = reply.status, reply.at_s

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections:
            connection.close()


def configuration(upstream: str, streams: int) -> str:
    """Return a naiad.toml with one model that streams, and room for all streams at once."""
    return (
        f"[server]\nconcurrent_calls = {streams + WARM}\n"
        f'[endpoints.paced]\nkind = "openai_compatible"\nbase_url = "http://{upstream}/v1"\nprivate = true\n'
        f"connections = {streams}\nconnect_s = 30.0\n"
        '[[models]]\nname = "paced/model"\nendpoint = "paced"\ninput_usd_per_million = 0.1\n'
        'output_usd_per_million = 0.4\ncontext_window = 128000\ncapabilities = ["streaming"]\n'
        '[[task_classes]]\nname = "class.0"\n'
    )


def need_files(streams: int) -> None:
    """Raise the limit of open files to what the server needs; raises SystemExit where that is not allowed."""
    needed = streams + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        if hard != resource.RLIM_INFINITY and hard < needed:
            raise SystemExit(
                f"{streams} streams need {needed} open files and this process may have {hard}; "
                f"raise the limit (ulimit -Hn {needed}, as root) or give --streams {max(1, hard - _SPARE)}"
            )
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))  # children inherit it


def peak_from_now(child: Child) -> bool:
    """Let the process's peak of resident memory begin anew; return whether the system allows it."""
    try:
        Path(f"/proc/{child.process.pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def measure(
    folder: Path, cores: set[int], streams: int, tokens: int, seconds: float, ramp_s: float
) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Run the streams; return figures and raw numbers."""
    provider = Child(
        "benchmarks.pacing", str(tokens), str(seconds), log=folder / "provider.log", cores=os.sched_getaffinity(0)
    )
    with running(provider):
        (folder / "naiad.toml").write_text(configuration(provider.address, streams), encoding="utf-8")
        with running(naiad(folder, cores, "--config", str(folder / "naiad.toml"))) as server:
            readers = Readers(server.address, int(seconds + ramp_s + _PATIENCE_S))
            warm = readers.run(min(WARM, streams), seconds + _PATIENCE_S)
            before_mib, fresh, cpu_s = server.resident_mib(), peak_from_now(server), server.cpu_s()
            course: list[dict[str, float]] = []
            began = perf_counter()

            def look() -> None:
                course.append({
                    "at_s": perf_counter() - began, "arrivals": readers.arrivals, "server_cpu_s": server.cpu_s(),
                    "provider_cpu_s": provider.cpu_s(), "reader_cpu_s": process_time(),
                    "resident_mib": server.resident_mib(),
                })  # fmt: skip

            found = readers.run(streams, seconds + _PATIENCE_S, ramp_s, look)
            took_s, cpu_s = perf_counter() - began, server.cpu_s() - cpu_s
            peak_mib, after_mib = server.resident_mib("VmHWM"), server.resident_mib()
            readers.close()
            code = server.stop()
        provider.process.terminate()
        assert provider.process.stdout is not None
        late_ms = float(provider.process.stdout.readline().removeprefix("late "))
    good = sum(one.whole(tokens) for one in found)
    first = [one.first_s - one.asked_s for one in found if one.first_s is not None] or [0.0]
    stalls = [one.stall_s for one in found]
    value = {"streams": streams, "good": good, "decided_rows": rows(folder / "data" / "naiad.db"), "exit_code": code}
    figures: dict[str, Figure] = {
        "stream_kib": at_most((peak_mib - before_mib) * 1024 / streams, 100.0, "KiB"),
        "stream_stall_ms": at_most(max(stalls) * 1e3, 1_000.0, "ms"),
        "streams_whole": {
            "value": value, "reach": "all good, each decided once, a clean stop",
            "pass": good == streams and value["decided_rows"] == streams + len(warm) and code == 0,
        },
    }  # fmt: skip
    statuses: dict[str, int] = {}
    for one in found:
        statuses[one.status] = statuses.get(one.status, 0) + 1
    raw: dict[str, Any] = {
        "streams": streams, "tokens": tokens, "provider_s": seconds, "ramp_s": ramp_s,
        "most_at_a_time": readers.most, "provider_late_ms": late_ms, "took_s": took_s,
        "server_cpu_s": cpu_s, "pieces_per_s": streams * tokens / took_s, "statuses": statuses,
        "course": course,
        "resident_mib": {"before": before_mib, "peak": peak_mib, "after": after_mib, "peak_began_anew": fresh},
        "first_text_ms": {f"p{q:g}": quantile(first, q / 100) * 1e3 for q in (50, 90, 99, 100)},
        "stall_ms": {f"p{q:g}": quantile(stalls, q / 100) * 1e3 for q in (50, 90, 99, 100)},
    }  # fmt: skip
    print(f"{streams} streams of {tokens} pieces: {took_s:.1f} s (ramp {ramp_s:g}, provider {seconds:g} s), ", end="")
    print(f"{raw['pieces_per_s']:.0f} pieces a second, {cpu_s:.1f} s of the server's processor time")
    print(f"memory         {before_mib:.0f} MiB before, {peak_mib:.0f} at its peak, {after_mib:.0f} after")
    print("first text     " + "  ".join(f"{key} {item:.0f} ms" for key, item in raw["first_text_ms"].items()))
    print("longest stall  " + "  ".join(f"{key} {item:.0f} ms" for key, item in raw["stall_ms"].items()), end="")
    print(f"  (middle {middle(stalls) * 1e3:.0f} ms; the provider was {late_ms:.0f} ms late at worst)")
    return figures, raw


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.streams", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--streams", type=int, default=1_000, metavar="N", help="at a time, default 1000")
    parser.add_argument("--tokens", type=int, default=200, metavar="N", help="pieces of each, default 200")
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="that the provider takes, default 10")
    parser.add_argument("--ramp", type=float, default=5.0, metavar="S", help="in which all streams begin, default 5")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    options = parser.parse_args(arguments)
    if not (1 <= options.streams <= 9_000 and options.tokens >= 1 and options.seconds > 0 and options.ramp >= 0):
        parser.error("--streams is from 1 to 9000, --tokens at least 1, --seconds more than 0, --ramp at least 0")
    need_files(options.streams)
    cores, rest = separate_cores()
    where = machine() | {"separate": not cores & rest}
    os.sched_setaffinity(0, rest)
    with tempfile.TemporaryDirectory(prefix="naiad-streams-") as name:
        figures, raw = measure(Path(name), cores, options.streams, options.tokens, options.seconds, options.ramp)
    packages = ("naiad", "grpcio", "protobuf", "msgspec", "aiohttp", "httpx", "httpx-aiohttp", "aiosqlite")
    return finish(figures, raw, where=where, packages=packages, path=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
