"""What keys and rules cost on Decide: the server with both, without either, and a bare echo, side by side in one run.

    python -m benchmarks.guarded [--json FILE]

The pieces are those of `benchmarks.serving`; three processes on one core, the load on the others, in turns.

- guarded: a key is asked for, and the one that is sent narrows all that a key can: models (a pattern that fits all
  ten), the least data class, requests and tokens a minute (both too high to refuse). Three data classes rule models in
  two zones.
- plain: loopback without keys, no rules.

No hard budget is in force: with one, Decide waits for its commit, which is the disk's time and not the guard's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: its folder is on the path instead of the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.children import Child, running, separate_cores
from benchmarks.load import closed_loop, one_at_a_time
from benchmarks.report import Figure, at_least, at_most, finish, machine, middle
from benchmarks.serving import CLASSES, IN_FLIGHT, Effort, Target, configuration, naiad, warm
from naiad.client import Client

_RULES = """
[[data_classes]]
name = "open"
allow = ["any"]
[[data_classes]]
name = "inner"
allow = ["region:eu", "on_prem"]
[[data_classes]]
name = "secret"
allow = ["on_prem"]
"""


def ruled() -> str:
    """Return the configuration of `serving` with zones and rules; a request of any class may use every model."""
    zoned = configuration().replace('endpoint = "echo"', 'endpoint = "echo"\ndata_zone = "on_prem, region:eu"')
    return zoned + _RULES


def admin_key(data: Path) -> str:
    """Make the first key in the database of a server that does not run yet."""
    made = subprocess.run(
        [sys.executable, "-m", "naiad.server", "keys", "create", "--data-dir", str(data), "--role", "admin"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    return made.stdout.strip()


def started(stack: ExitStack, folder: Path, cores: set[int], config: str) -> Child:
    """Start a server of this configuration in its own folder."""
    (folder / "naiad.toml").write_text(config, encoding="utf-8")
    return stack.enter_context(running(naiad(folder, cores, "--config", str(folder / "naiad.toml"))))


def guarded(stack: ExitStack, folder: Path, cores: set[int]) -> Target:
    """Start the server with keys and rules; return it with a client's key."""
    (folder / "data").mkdir(parents=True)
    root = admin_key(folder / "data")
    child = started(stack, folder, cores, ruled())
    with Client(child.address, key=root) as admin:
        made = admin.create_key(
            "load", role="client", allowed_models=["echo/*"], data_class="inner", requests_per_minute=1_000_000,
            tokens_per_minute=1 << 40, concurrent_calls=100_000,
        )  # fmt: skip
    return Target(child, made.secret)


def measure_p50(targets: dict[str, Target], effort: Effort) -> dict[str, list[float]]:
    """Call one at a time, in turns; return the blocks' medians in ms."""
    blocks: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(2 * effort.rounds):
        for name, target in targets.items():
            took = one_at_a_time(target.connection, target.work, max(1, effort.calls // 2))
            blocks[name].append(middle(took) * 1e3)
    return blocks


def measure_peak(targets: dict[str, Target], effort: Effort) -> dict[str, list[float]]:
    """Find each one's peak in turns; return the rounds' calls a second."""
    peaks: dict[str, list[float]] = {name: [] for name in targets}
    for _ in range(effort.rounds):
        found: dict[str, list[float]] = {name: [] for name in targets}
        for in_flight in IN_FLIGHT:
            for name, target in targets.items():
                rate = closed_loop(target.connection, target.work, in_flight, effort.closed_s)
                found[name].append(rate.per_s)
        for name, rates in found.items():
            peaks[name].append(max(rates))
    return peaks


def ratio(values: dict[str, list[float]], over: str, under: str) -> float:
    """Return the median of the rounds' ratios."""
    return middle(a / b for a, b in zip(values[over], values[under], strict=True))


def run(folder: Path, cores: set[int], effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Measure; return figures and raw numbers."""
    for name in ("guarded", "plain"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        ours = {
            "guarded": guarded(stack, folder / "guarded", cores),
            "plain": Target(started(stack, folder / "plain", cores, configuration())),
        }
        files = [folder / "decide.bin", folder / "feedback.bin"]
        for target in ours.values():
            for file, message in zip(files, warm(target, max(2 * len(CLASSES), effort.calls)), strict=True):
                file.write_bytes(message)
        bare = Child("benchmarks.echo", *map(str, files), log=folder / "echo.log", cores=cores)
        targets = ours | {"echo": Target(stack.enter_context(running(bare)))}
        for target in targets.values():
            one_at_a_time(target.connection, target.work, effort.calls)  # warm
        p50, peaks = measure_p50(targets, effort), measure_peak(targets, effort)
        statuses = {name: dict(target.connection.statuses) for name, target in targets.items()}
        for target in targets.values():
            target.connection.close()
    for name in targets:
        print(f"{name:8} {middle(p50[name]):7.3f} ms one at a time   {middle(peaks[name]):6.0f}/s at its peak")
    failed = sum(n for count in statuses.values() for (_, status), n in count.items() if status != "0")
    figures = {
        "decide_p50_ratio_guarded": at_most(ratio(p50, "guarded", "plain"), 1.15),
        "decide_throughput_ratio_guarded": at_least(ratio(peaks, "guarded", "plain"), 0.85),
        "guarded_p50_ratio_to_echo": at_most(ratio(p50, "guarded", "echo"), 1.6),
        "guarded_throughput_ratio_to_echo": at_least(ratio(peaks, "guarded", "echo"), 0.5),
        "replies_not_ok": at_most(failed, 0),
    }
    replies = {name: {f"{m} {s}": n for (m, s), n in count.items()} for name, count in statuses.items()}
    return figures, {"p50_ms": p50, "per_s": peaks, "replies": replies}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.guarded", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, says nothing more")
    options = parser.parse_args(arguments)
    effort = Effort(1, 20, 0.1) if options.quick else Effort()
    cores, rest = separate_cores()
    where = machine() | {"separate": not cores & rest}
    os.sched_setaffinity(0, rest)
    with tempfile.TemporaryDirectory(prefix="naiad-guarded-") as name:
        figures, raw = run(Path(name), cores, effort)
    return finish(figures, raw, where=where, packages=("naiad", "grpcio", "protobuf", "msgspec"), path=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
