"""What Complete and StreamComplete add to a call of a provider, side by side with three other gateways in one run.

    python -m benchmarks.gateway [--json FILE]

What is measured, and how
- The provider is nginx on the loopback with a fixed answer (`provider.py`), and takes next to no time. Added time is
  the median latency through a gateway less the median latency of the same question to the provider itself, both by
  clients of prebuilt bytes over plain sockets (`http_load`, `rpc_load`). Medians of blocks; the difference within each
  round; the median of the rounds.
- Naiad is `naiad serve` with its OpenAI-compatible adapter, ten priced models, 14 task classes and SQLite on disk. The
  reply waits until the outcome is on disk.
- The peers are LiteLLM's proxy (one worker, no database), Portkey's gateway and TensorZero embedded (no database,
  called from asyncio in its own process; its client is the call itself). None of the three writes anything.
- Every gateway is a process on the same one core, the provider and the load share the others (`machine.separate`).
- One at a time and 16 at a time, in turns, all replies checked: status, first and last text of the answer.
- `complete_commit_ms`: the same server with a clock on its journal (`timed_server`), loaded in the same rounds: how
  long a call waits from handing over its outcome until it goes on. At 16 that includes waiting for the processor.
- The bare echo answers Complete with a message that this very server gave before.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: its folder is on the path instead of the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks import gateways, provider
from benchmarks.children import Child, Process, running, separate_cores
from benchmarks.gateway_figures import figures_of, table
from benchmarks.gateways import KINDS, Absent, Gateway, Rpc
from benchmarks.http_load import Found
from benchmarks.report import Figure, finish, machine, middle, quantile
from benchmarks.rpc_load import COMPLETE
from benchmarks.serving import CLASSES, QUALITIES, naiad, rows

IN_FLIGHT = (1, 16)


@dataclass(frozen=True, slots=True)
class Effort:
    """How much to measure."""

    rounds: int = 7
    seconds: float = 1.5  # of each block: a gateway, a kind of answer, a number in flight
    warm_s: float = 1.0
    peers: tuple[str, ...] = tuple(gateways.PEERS)


@dataclass(slots=True)
class Blocks:
    """What was found: facts by gateway, kind and number in flight, one of each round. Times in ms."""

    facts: dict[tuple[str, str, int], list[dict[str, float]]] = field(default_factory=dict)
    commits: dict[int, list[float]] = field(default_factory=dict)  # medians by number in flight, ms

    def add(self, name: str, kind: str, in_flight: int, found: Found, cpu_s: float) -> None:
        """Keep a block; cpu_s: of the gateway's process. Raises RuntimeError where there is not one good reply."""
        if not found.took_s:
            raise RuntimeError(f"{name} gave no good answer ({kind}, {in_flight} at a time, {found.failed} bad ones)")
        took, first = found.took_s, found.first_s
        self.facts.setdefault((name, kind, in_flight), []).append({
            "p50_ms": middle(took) * 1e3, "p90_ms": quantile(took, 0.9) * 1e3, "p99_ms": quantile(took, 0.99) * 1e3,
            "first_p50_ms": middle(first) * 1e3, "first_p99_ms": quantile(first, 0.99) * 1e3,
            "per_s": found.per_s, "calls": len(took), "failed": found.failed,
            "cpu_us": cpu_s / len(took) * 1e6,
        })  # fmt: skip

    def commit(self, in_flight: int, waits_s: array[float]) -> None:
        """Keep how long the journal made calls wait."""
        self.commits.setdefault(in_flight, []).append(middle(waits_s) * 1e3)


def configuration(upstream: str) -> str:
    """Return a naiad.toml with ten models at one endpoint of the OpenAI-compatible kind."""
    endpoint = f'[endpoints.fixed]\nkind = "openai_compatible"\nbase_url = "http://{upstream}"\nprivate = true\n'
    models = (
        f'[[models]]\nname = "{name}"\nendpoint = "fixed"\ninput_usd_per_million = {0.05 * 1.6**i:.4f}\n'
        f'output_usd_per_million = {0.2 * 1.6**i:.4f}\ncontext_window = 128000\ncapabilities = ["streaming"]\n'
        for i, name in enumerate(QUALITIES)
    )
    classes = (f'[[task_classes]]\nname = "{name}"\n' for name in CLASSES)
    return "\n".join((endpoint, *models, *classes))


class Ours:
    """Naiad's servers: one whose provider answers whole, one whose provider streams, and one with a clock."""

    def __init__(self, stack: ExitStack, folder: Path, cores: set[int], upstream: str) -> None:
        self.waits = folder / "waits.bin"
        self.folders: dict[str, Path] = {}
        self.children: dict[str, Child] = {}
        for name, path in (*provider.PATHS.items(), ("timed", provider.PATHS["whole"])):
            home = self.folders[name] = folder / f"naiad-{name}"
            home.mkdir()
            (home / "naiad.toml").write_text(configuration(upstream + path), encoding="utf-8")
            arguments = ("--config", str(home / "naiad.toml"))
            if name == "timed":
                child = Child(
                    "benchmarks.timed_server", str(self.waits), "serve", "--listen", "127.0.0.1:0",
                    "--data-dir", str(home / "data"), *arguments, log=home / "server.log", cores=cores,
                )  # fmt: skip
            else:
                child = naiad(home, cores, *arguments)
            self.children[name] = stack.enter_context(running(child))
        self.serving = Rpc({kind: self.children[kind] for kind in KINDS})
        self.timed = Rpc({"whole": self.children["timed"]})
        self._read = 0  # bytes of the waits

    def new_waits(self) -> array[float]:
        """Return the waits since the last call, in seconds."""
        with open(self.waits, "rb") as file:
            file.seek(self._read)
            found = array("d", file.read())
        self._read += found.itemsize * len(found)
        return found

    def stop(self) -> tuple[dict[str, int], dict[str, Any]]:
        """Stop them; return (decisions in the logs, completions answered OK, exit codes other than 0), and replies."""
        replies: dict[str, Any] = {**self.serving.close(), "timed": self.timed.close()["whole"]}
        failed = sum(child.stop() != 0 for child in self.children.values())
        logged = sum(rows(home / "data" / "naiad.db") for home in self.folders.values())
        answered = sum(n for counts in replies.values() for name, n in counts.items() if name.endswith(" 0"))
        return {"decided_rows": logged, "answered": answered, "bad_exits": failed}, replies


def one_completion(ours: Ours) -> bytes:
    """Return a CompleteResponse that the server gives, for the echo to repeat."""
    connection = ours.serving.connections["whole"]
    stream = connection.send(COMPLETE, gateways.asked("whole"))
    while True:
        for reply in connection.receive(20.0):
            if reply.stream == stream and reply.status == "0":
                return reply.message
            raise RuntimeError(f"Complete ended with grpc-status {reply.status}")


def started_peers(
    stack: ExitStack, folder: Path, cores: set[int], upstream: str, names: tuple[str, ...]
) -> tuple[dict[str, Gateway], list[str]]:
    """Start the peers that are there; return them, and what is to be said about the others."""
    there: dict[str, Gateway] = {}
    absent = []
    for name, start in gateways.PEERS.items():
        try:
            if name not in names:
                raise Absent(f"{name} was left out by --peers")
            process, gateway = start(folder, cores, upstream)
        except Absent as error:
            absent.append(str(error))
            print(f"ABSENT   {error}")
            continue
        stack.enter_context(_soon_over(process))
        there[name] = gateway
    return there, absent


@contextmanager
def _soon_over(process: Process) -> Iterator[None]:
    try:
        yield
    finally:
        process.stop(5.0)


def measure(
    targets: dict[str, tuple[Gateway, tuple[str, ...]]], effort: Effort, after: Callable[[str, int, Blocks], None]
) -> Blocks:
    """Load every gateway with each kind of answer that it has, in turns; `after` is told of each block."""
    for gateway, kinds in targets.values():
        for kind in kinds:
            gateway.run(kind, max(IN_FLIGHT), effort.warm_s)
    after("", 0, Blocks())
    blocks = Blocks()
    order = list(targets.items())
    for number in range(effort.rounds):
        for kind in KINDS:
            for in_flight in IN_FLIGHT:
                for name, (gateway, kinds) in order[:: -1 if number % 2 else 1]:
                    if kind in kinds:
                        process = gateway.processes[kind]
                        before = process.cpu_s()
                        found = gateway.run(kind, in_flight, effort.seconds)
                        blocks.add(name, kind, in_flight, found, process.cpu_s() - before)
                        after(name, in_flight, blocks)
    return blocks


def run(folder: Path, cores: set[int], effort: Effort) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Measure everything; return figures and raw numbers."""
    if provider.found() is None:
        print(f"NOTE     {provider.MISSING}")
    with ExitStack() as stack:
        origin = stack.enter_context(running(provider.started(folder / "provider", os.sched_getaffinity(0))))
        upstream = origin.address
        ours = Ours(stack, folder, cores, upstream)
        (folder / "complete.bin").write_bytes(one_completion(ours))
        (folder / "nothing.bin").write_bytes(b"")
        files = [str(folder / name) for name in ("nothing.bin", "nothing.bin", "complete.bin")]
        echo = stack.enter_context(running(Child("benchmarks.echo", *files, log=folder / "echo.log", cores=cores)))
        bare = Rpc({"whole": echo})
        peers, absent = started_peers(stack, folder, cores, upstream, effort.peers)
        targets: dict[str, tuple[Gateway, tuple[str, ...]]] = {
            "direct": (gateways.direct(origin), KINDS), "complete": (ours.serving, KINDS),
            "timed": (ours.timed, ("whole",)), "echo": (bare, ("whole",)),
            **{name: (gateway, KINDS) for name, gateway in peers.items()},
        }  # fmt: skip

        def after(name: str, in_flight: int, blocks: Blocks) -> None:
            if name in ("", "timed"):
                waits = ours.new_waits()
                if name:
                    blocks.commit(in_flight, waits)

        blocks = measure(targets, effort, after)
        bare.close()
        counts, replies = ours.stop()
    table(blocks.facts)
    figures = figures_of(blocks.facts, blocks.commits, list(gateways.PEERS), absent)
    figures["log_rows_equal_requests"] = {
        "value": counts, "reach": "equal, and clean stops",
        "pass": counts["decided_rows"] == counts["answered"] and not counts["bad_exits"],
    }  # fmt: skip
    raw = {
        "blocks": {" ".join(map(str, key)): facts for key, facts in blocks.facts.items()},
        "commit_ms": {str(key): found for key, found in blocks.commits.items()},
        "replies": replies, "absent": absent, "peers": gateways.versions(),
    }  # fmt: skip
    return figures, raw


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    parser.add_argument("--quick", action="store_true", help="a few seconds: shows that it works, says nothing more")
    parser.add_argument("--peers", default=",".join(gateways.PEERS), metavar="NAMES", help="default %(default)s")
    options = parser.parse_args(arguments)
    names = tuple(filter(None, options.peers.split(",")))
    if unknown := set(names) - set(gateways.PEERS):
        parser.error(f"--peers names {min(unknown)!r}; there are {', '.join(gateways.PEERS)}")
    effort = Effort(1, 0.1, 0.05, names) if options.quick else Effort(peers=names)
    cores, rest = separate_cores()
    where = machine() | {"separate": not cores & rest}
    os.sched_setaffinity(0, rest)
    with tempfile.TemporaryDirectory(prefix="naiad-gateway-") as name:
        figures, raw = run(Path(name), cores, effort)
    print("beside: " + ", ".join(f"{name} {number}" for name, number in raw["peers"].items()))
    packages = ("naiad", "grpcio", "protobuf", "msgspec", "aiohttp", "httpx", "httpx-aiohttp", "aiosqlite")
    return finish(figures, raw, where=where, packages=packages, path=options.json)


if __name__ == "__main__":
    raise SystemExit(main())
