"""The server process under load, side by side with a bare grpc.aio echo of the same messages.

    python -m benchmarks.serving [--json FILE]

What is measured, and how
- The server is `naiad serve` with SQLite on disk, 10 priced models and 14 task classes, beliefs filled by judgements.
  The echo is `benchmarks.echo`; its replies are messages that this very server gave before. Each is a process of its
  own on one core; this process makes the load on the others (`machine.separate` says whether there were two).
- The load is `benchmarks.wire`: prebuilt frames, every reply's grpc-status read from its trailers. `load_cpu_share` is
  the part of its core that it used at the echo's peak: well below 1 means that it was not the limit.
- Requests are 4,096 different contexts; every 8th decision is judged by ReportFeedback on the same connection, for the
  echo as for the server. Rates and times are those of Decide.
- `decide_p50_ratio_to_echo`: one call at a time; medians of blocks, server and echo in turns; median of the ratios.
- `decide_throughput_ratio_to_echo`: closed loop, the best of several numbers in flight; median of the rounds' ratios.
- `decide_p99_ms`: open loop, Poisson arrivals at 80% of the peak just found; times count from when a request was due,
  so that a stall is charged to all who would have come meanwhile. Median of the rounds. The echo gets 80% of its own
  peak: a machine that loses a fifth of its speed for a second overloads either.
- `feedback_to_choice_ms`: from the reply to ReportFeedback (it is sent after the commit) to the reply to the first
  Decide whose ranking shows another quality for the judged model. `from_send` counts the commit as well.
- `log_rows_equal_requests`: rows of kind `decided` after the server stopped, against Decides answered OK.
- `memory_at_rest_mib`: VmRSS of a server with the built-in configuration after 300 calls and a pause.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: its folder is on the path instead of the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import os

from benchmarks import load
from benchmarks.children import Child, running, separate_cores
from benchmarks.load import DECIDE, FEEDBACK, Work, closed_loop, drain, one_at_a_time, open_loop
from benchmarks.report import Figure, at_least, at_most, finish, machine, middle, quantile
from benchmarks.wire import Connection, Reply
from naiad.v1 import router_service_pb2

CLASSES = [f"class.{i}" for i in range(14)]
QUALITIES = {f"echo/m{i}": 0.45 + 0.05 * i for i in range(10)}
IN_FLIGHT = (8, 32, 128)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    rounds: int = 5
    calls: int = 300  # one at a time, in each round, of each server
    closed_s: float = 1.2  # each number in flight, in each round, of each server
    open_s: float = 5.0  # each round
    trials: int = 300  # of feedback to choice
    rest_s: float = 2.0


class Target:
    """A server under load: its connection and the work on it, one for the whole run so that nothing goes uncounted."""

    def __init__(self, child: Child, key: str = "") -> None:
        self.child = child
        self.connection = Connection(child.address, key)
        self.work = Work(CLASSES, QUALITIES)


def configuration() -> str:
    """Return a naiad.toml with 10 models of different prices and 14 task classes."""
    models = (
        f'[[models]]\nname = "{name}"\nendpoint = "echo"\ninput_usd_per_million = {0.05 * 1.6**i:.4f}\n'
        f"output_usd_per_million = {0.2 * 1.6**i:.4f}\n"
        for i, name in enumerate(QUALITIES)
    )
    classes = (f'[[task_classes]]\nname = "{name}"\n' for name in CLASSES)
    return "\n".join((*models, *classes))


def naiad(folder: Path, cores: set[int], *arguments: str) -> Child:
    """Start `naiad serve` with its database in a folder."""
    return Child(
        "naiad.server", "serve", "--listen", "127.0.0.1:0", "--data-dir", str(folder / "data"), *arguments,
        log=folder / "server.log", cores=cores,
    )  # fmt: skip


def call(connection: Connection, method: str, message: bytes) -> Reply:
    """Make one call and return its reply; raises RuntimeError unless it is OK."""
    reply = _only(connection, connection.send(method, message))
    if reply.status != "0":
        raise RuntimeError(f"{method} ended with grpc-status {reply.status}")
    return reply


def _only(connection: Connection, stream: int) -> Reply:
    limit = time.perf_counter() + 20.0
    while time.perf_counter() < limit:
        for reply in connection.receive(1.0):
            if reply.stream == stream:
                return reply
    raise TimeoutError(f"no reply on stream {stream} of {connection.in_flight} in flight")


def warm(target: Target, calls: int) -> tuple[bytes, bytes]:
    """Fill the beliefs: decide and judge each decision. Return a DecideResponse and a ReportFeedbackResponse."""
    decided = judged = b""
    every = Work(CLASSES, QUALITIES, every=1)
    for _ in range(calls):
        reply = _only(target.connection, every.decide(target.connection))
        decided = reply.message
        every.answered(target.connection, reply)
        judged = next((r.message for r in target.connection.receive(20.0) if r.method == FEEDBACK), judged)
        drain(target.connection)
    return decided, judged


def measure_p50(server: Target, echo: Target, effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Call one at a time, in turns."""
    blocks: dict[str, list[float]] = {"server": [], "echo": []}
    for _ in range(2 * effort.rounds):
        for name, target in (("server", server), ("echo", echo)):
            took = one_at_a_time(target.connection, target.work, max(1, effort.calls // 2))
            blocks[name].append(middle(took) * 1e3)
    ratios = [s / e for s, e in zip(blocks["server"], blocks["echo"], strict=True)]
    print(f"one at a time   server {middle(blocks['server']):7.3f} ms   echo {middle(blocks['echo']):7.3f} ms", end="")
    print(f"   ratio {middle(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    return {"decide_p50_ratio_to_echo": at_most(middle(ratios), 1.6)}, {"p50_ms": blocks}


def measure_throughput(server: Target, echo: Target, effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Find the peaks, in turns."""
    rates: dict[str, dict[int, list[float]]] = {n: {k: [] for k in IN_FLIGHT} for n in ("server", "echo")}
    shares: list[float] = []
    work_us: dict[str, list[float]] = {"server": [], "echo": []}  # the server's own processor time for a Decide
    for _ in range(effort.rounds):
        for in_flight in IN_FLIGHT:
            for name, target in (("server", server), ("echo", echo)):
                before = target.child.cpu_s()
                found = closed_loop(target.connection, target.work, in_flight, effort.closed_s)
                work_us[name].append((target.child.cpu_s() - before) / found.calls * 1e6)
                rates[name][in_flight].append(found.per_s)
                if name == "echo":
                    shares.append(found.load_share)
    for in_flight in IN_FLIGHT:
        print(f"{in_flight:4} in flight  ", end="")
        print("   ".join(f"{name} {middle(rates[name][in_flight]):6.0f}/s" for name in rates))
    peaks = {name: [max(at) for at in zip(*rates[name].values(), strict=True)] for name in rates}
    ratios = [s / e for s, e in zip(peaks["server"], peaks["echo"], strict=True)]
    share = middle(shares)
    print(f"peak            server {middle(peaks['server']):6.0f}/s   echo {middle(peaks['echo']):6.0f}/s   ", end="")
    print(f"ratio {middle(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); the load used {share:.0%} of a core")
    print("processor time  " + "   ".join(f"{name} {middle(work_us[name]):6.0f} us" for name in work_us), end="")
    print(" a Decide with its part of the judgements")
    figures = {
        "decide_throughput_ratio_to_echo": at_least(middle(ratios), 0.5),
        "load_cpu_share": at_most(share, 0.9),
    }
    return figures, {"per_s": rates, "cpu_us": work_us, "load_share_at_echo": shares}


def measure_p99(server: Target, echo: Target, effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Offer 80% of the server's peak in open loop; what the echo does with its own 80% tells the machine's noise."""
    rounds: dict[str, list[dict[str, float]]] = {"server": [], "echo": []}
    for _ in range(effort.rounds):
        for name, target in (("server", server), ("echo", echo)):
            peak = max(closed_loop(target.connection, target.work, n, effort.closed_s / 2).per_s for n in IN_FLIGHT)
            found = open_loop(target.connection, target.work, 0.8 * peak, effort.open_s)
            quantiles = {f"p{q:g}": quantile(found.took_s, q / 100) * 1e3 for q in (50, 90, 99, 99.9)}
            facts = {"offered_per_s": 0.8 * peak, "calls": len(found.took_s), "latest_send": found.latest_send_s * 1e3}
            rounds[name].append(quantiles | facts)
    for name, found_rounds in rounds.items():
        row = {key: middle(r[key] for r in found_rounds) for key in found_rounds[0]}
        print(f"{row['offered_per_s']:6.0f}/s offered  {name:6}  ", end="")
        print("  ".join(f"{key} {row[key]:.2f} ms" for key in row if key not in ("calls", "offered_per_s")), end="")
        print(f"  (p99 of the rounds: {', '.join(format(r['p99'], '.0f') for r in found_rounds)})")
    figure = at_most(middle(r["p99"] for r in rounds["server"]), 20.0, "ms")
    return {"decide_p99_ms": figure}, {"open_loop_ms": rounds}


def measure_learning(server: Target, effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Judge a decision, and decide again until the judged model's predicted quality has moved."""
    connection, work = server.connection, server.work
    after_reply: list[float] = []
    after_send: list[float] = []
    decides: list[int] = []
    for trial in range(effort.trials):
        ask = router_service_pb2.DecideRequest(
            task_class=CLASSES[trial % len(CLASSES)], input_tokens=60 + trial
        ).SerializeToString()
        decided = router_service_pb2.DecideResponse.FromString(call(connection, DECIDE, ask).message)
        before = decided.ranking[0].quality
        decides.append(0)
        sent = time.perf_counter()
        acknowledged = _only(connection, work.judge(connection, decided.decision_id, float(before < 0.5)))
        for _ in range(200):
            decides[-1] += 1
            reply = call(connection, DECIDE, ask)
            ranking = router_service_pb2.DecideResponse.FromString(reply.message).ranking
            if any(c.model == decided.model and c.quality != before for c in ranking):
                break
        else:
            raise RuntimeError(f"200 decisions after a judgement, {decided.model} is believed as good as before it")
        after_reply.append((reply.at_s - acknowledged.at_s) * 1e3)
        after_send.append((reply.at_s - sent) * 1e3)
    value = {
        "p99": quantile(after_reply, 0.99),
        "p50": middle(after_reply),
        "from_send_p99": quantile(after_send, 0.99),
        "from_send_p50": middle(after_send),
    }
    print("feedback to choice  " + "  ".join(f"{key} {item:.2f} ms" for key, item in value.items()), end="")
    print(f"  (changed in the first Decide in {decides.count(1)} of {len(decides)} trials)")
    figure: Figure = {"value": value, "reach": "p99 <= 5 ms after the commit", "pass": value["p99"] <= 5.0}
    return {"feedback_to_choice_ms": figure}, {"after_reply_ms": after_reply, "after_send_ms": after_send}


def measure_memory(folder: Path, cores: set[int], effort: Effort) -> dict[str, Figure]:
    """Start a server as it comes, call it a few hundred times, let it rest, and look."""
    folder.mkdir()
    with running(naiad(folder, cores)) as child:
        connection = Connection(child.address)
        work = Work(CLASSES, {})
        for _ in range(300):
            _only(connection, work.decide(connection))
        drain(connection)
        time.sleep(effort.rest_s)
        resident = child.resident_mib()
        connection.close()
    print(f"memory at rest  {resident:.0f} MiB")
    return {"memory_at_rest_mib": at_most(resident, 150.0, "MiB")}


def rows(database: Path) -> int:
    """Return how many decisions a stopped server's log holds."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM events WHERE kind = 'decided'").fetchone()[0])
    finally:
        connection.close()


def run(folder: Path, cores: set[int], effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Measure everything; return figures and raw numbers."""
    (folder / "naiad.toml").write_text(configuration(), encoding="utf-8")
    with ExitStack() as stack:
        child = stack.enter_context(running(naiad(folder, cores, "--config", str(folder / "naiad.toml"))))
        server = Target(child)
        messages = warm(server, max(2 * len(CLASSES), effort.calls))
        files = [folder / "decide.bin", folder / "feedback.bin"]
        for file, message in zip(files, messages, strict=True):
            file.write_bytes(message)
        echo = Target(
            stack.enter_context(
                running(Child("benchmarks.echo", *map(str, files), log=folder / "echo.log", cores=cores))
            )
        )
        for target in (server, echo):
            one_at_a_time(target.connection, target.work, effort.calls)  # warm
        figures: dict[str, Figure] = {}
        raw: dict[str, Any] = {}
        for part in (
            measure_p50(server, echo, effort),
            measure_throughput(server, echo, effort),
            measure_p99(server, echo, effort),
            measure_learning(server, effort),
        ):
            figures, raw = figures | part[0], raw | part[1]
        raw["resident_mib_under_load"] = child.resident_mib()
        counts = {name: dict(t.connection.statuses) for name, t in (("server", server), ("echo", echo))}
        server.connection.close()
        echo.connection.close()
        code = child.stop()
    failed = sum(n for count in counts.values() for (_, status), n in count.items() if status != "0")
    answered, logged = counts["server"][DECIDE, "0"], rows(folder / "data" / "naiad.db")
    figures["replies_not_ok"] = at_most(failed, 0)
    figures["log_rows_equal_requests"] = {
        "value": {"decided_rows": logged, "decide_replies": answered, "exit_code": code},
        "reach": "equal, and a clean stop",
        "pass": logged == answered and code == 0,
    }
    raw["replies"] = {n: {f"{m} {s}": c for (m, s), c in count.items()} for n, count in counts.items()}
    return figures, raw


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, says nothing more")
    options = parser.parse_args(arguments)
    effort = Effort(1, 20, 0.1, 0.2, 10, 0.1) if options.quick else Effort()
    cores, rest = separate_cores()
    where = machine() | {"separate": not cores & rest}
    os.sched_setaffinity(0, rest)
    with tempfile.TemporaryDirectory(prefix="naiad-serving-") as name:
        figures, raw = run(Path(name), cores, effort)
        figures |= measure_memory(Path(name) / "default", cores, effort)
    raw["feedback_every"] = load.FEEDBACK_EVERY
    return finish(
        figures, raw, where=where, packages=("naiad", "grpcio", "protobuf", "numpy", "aiosqlite"), path=options.json
    )


if __name__ == "__main__":
    raise SystemExit(main())
