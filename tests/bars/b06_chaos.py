"""Bar B6: providers fail in twenty ways, and callers hardly notice.

`python tests/bars/b06_chaos.py --seed S --n CALLS [--faults a,b] [--json FILE] [--mutant NAME]`

For each fault a world of its own: engine, journal, routing and egress as they serve, over the OpenAI adapter and real
sockets to three providers. Half of the calls are streamed.

1. One provider has the fault. At least 99.9% of the calls are answered, with at most 1.10 attempts each.
2. It is healed under light traffic: its breaker closes and it answers again within 10 s.
3. All three have it, and callers have little time: each call ends in an error before its deadline.

Always: of the calls that met a fault, 99% end within 100 ms of their deadline; nothing cut is called an answer, as a
reply and as the pieces that were streamed; no failure is a judgement of quality. Lateness does not count the time in
which the kernel let this process wait for a core (/proc/thread-self/schedstat), of which a quiet machine has none.
With --mutant the exit code is 0 only if the sabotage was caught, and the run ends there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import platform
import random
import resource
import ssl
import sys
import tempfile
import time
from collections import Counter
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import structlog
import trustme

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.adapters.base import Request, user
from naiad.adapters.endpoint import Caps, Endpoint, Patience, parse_url
from naiad.bandit.statistics import Measure
from naiad.server import providers
from naiad.server.breaker import State
from naiad.server.completion import Completion
from naiad.server.config import load
from naiad.server.decision_id import Signer
from naiad.server.egress import Egress
from naiad.server.eligibility import Capability, Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.errors import NaiadError
from naiad.server.inventory import Inventory
from naiad.server.journal import Journal
from naiad.server.journal import Request as Call
from naiad.server.records import ModelPut, ObjectiveSpec, PolicySet, Prices, TaskClassPut
from naiad.server.routing import Routing
from naiad.server.store.memory import MemoryStore
from naiad.server.streaming import Began
from naiad.server.walk import Task
from tests.bars.b01_kill import upper_bound
from tests.bars.chaotic import FAULTS, TEXT, Chaotic
from tests.bars.mutants.impatience import MUTANTS, breakers_of, completer_of

TOGETHER = 12  # calls at a time
DEADLINE_S, SHORT_S = 5.0, 1.5
FEWEST = 400  # calls of a fault from which a ratio of attempts tells anything
ALL_SICK = 120  # calls at most while all are faulty
RECOVERY_S = 10.0
NAMES = ("a", "b", "c")
_PATIENCE = Patience(connect_s=1.0, first_byte_s=1.0, idle_s=1.0)
_CAPS = Caps(response_bytes=1 << 20, event_bytes=1 << 20, stream_bytes=4 << 20)
_BELIEF = load(None).belief
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


class World:
    """Three providers, and a router over them."""

    def __init__(self, seed: int, fault: str, mutant: str) -> None:
        self.rng = random.Random(f"b06 {seed} {fault}")
        self.fault, self.mutant = fault, mutant
        self.counts: Counter[str] = Counter()
        self.late: list[float] = []  # overshoot of the calls that met a fault, seconds
        self.failures: list[str] = []
        self.raw_late = 0.0  # the latest of them, the waiting for a core included
        self.recovery_s = 0.0
        self._folder = tempfile.TemporaryDirectory()
        contexts = self._contexts() if fault == "tls" else None
        self.peers = {name: Chaotic(contexts) for name in NAMES}

    def _contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        made = []
        for name in ("trusted", "stranger"):
            authority = trustme.CA()
            authority.cert_pem.write_to_path(Path(self._folder.name) / f"{name}.pem")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            made.append(context)
        return made[0], made[1]

    def _endpoint(self, name: str) -> Endpoint:
        tls = self.fault == "tls"
        place = parse_url(f"http{'s' * tls}://127.0.0.1:{self.peers[name].port}/v1", private=True)
        ca = Path(self._folder.name) / "trusted.pem" if tls else None
        return Endpoint(name=name, place=place, private=True, ca=ca, patience=_PATIENCE, caps=_CAPS)

    async def run(self, n: int) -> None:
        """Play the three acts with n calls in the first."""
        for peer in self.peers.values():
            await peer.start()
        engine = Engine(EngineSettings(belief=_BELIEF, endpoints=frozenset(NAMES)), Signer({1: b"k" * 32}, 1))
        events: list[Any] = [TaskClassPut(task_class=0, name="t")]
        events += [
            ModelPut(
                model=i, name=f"{name}/m", upstream_model="m", endpoint=name, prices=Prices(input=1_000, output=1_000),
                capabilities=(int(Capability.STREAMING),),
            )
            for i, name in enumerate(NAMES)
        ]  # fmt: skip
        events.append(PolicySet(version=1, objective=ObjectiveSpec(), temper=1.0, exploration=0.3, allowance=0.05))
        for sequence, event in enumerate(events, start=1):
            engine.apply(sequence, event)
        kinds = dict.fromkeys(NAMES, "openai_compatible")
        adapters = providers.connect(kinds, {name: self._endpoint(name) for name in NAMES})
        self.egress = Egress(engine.catalog, engine.eligibility, adapters, breakers_of(self.mutant))
        journal = Journal(MemoryStore(), engine, _wall_ms)
        completer = completer_of(self.mutant)(engine, journal, self.egress, _wall_ms, uniform=self.rng.random)
        self.engine, self.routing = engine, Routing(
            engine, journal, Inventory(journal, engine, _wall_ms), completer, now_ms=_wall_ms,
            monotonic=time.monotonic, uniform=self.rng.random,
        )  # fmt: skip
        journal.start()
        try:
            await self._acts(n)
        finally:
            await journal.close()
            await self.egress.aclose()
            for peer in self.peers.values():
                await peer.stop()
            self._folder.cleanup()

    async def _acts(self, n: int) -> None:
        sick = self.rng.choice(NAMES)
        await self._calls(60, "warm", DEADLINE_S)
        await self.peers[sick].set(self.fault)
        await self._calls(n, "one", DEADLINE_S)
        await self.peers[sick].set("")
        self.recovery_s = await self._recovered(sick)
        for peer in self.peers.values():
            await peer.set(self.fault)
        await self._calls(min(ALL_SICK, n), "all", SHORT_S)
        for (_, _, measure), _, (weight, _, _) in self.engine.statistics.items():
            if measure == Measure.QUALITY and weight:
                self.failures.append("a failure was taken for a judgement of quality")

    async def _calls(self, n: int, act: str, timeout_s: float) -> None:
        left = iter(range(n))

        async def caller() -> None:
            for _ in left:
                await self._call(act, timeout_s)

        await asyncio.gather(*(caller() for _ in range(TOGETHER)))

    async def _recovered(self, name: str) -> float:
        """Return how long a provider that was healed takes to be in use again, in seconds; infinity is too long."""
        model = next(m for m in self.engine.catalog.live if m.endpoint == name)
        began, answered = time.monotonic(), self.peers[name].requests
        while (took := time.monotonic() - began) < 2 * RECOVERY_S:
            closed = self.egress.breakers.state(model).state is State.CLOSED
            if closed and self.peers[name].requests > answered:
                return took
            await self._call("healing", DEADLINE_S)
            await asyncio.sleep(0.01)
        return math.inf

    # -- one call ------------------------------------------------------------------------------------------------------

    async def _call(self, act: str, timeout_s: float) -> None:
        self.counts[f"{act} calls"] += 1
        began, waited = time.monotonic(), waited_s()
        stream = self.rng.random() < 0.5
        attempts, met, ended = 0, False, "answered"
        try:
            completion = await (self._streamed if stream else self._whole)(timeout_s)
            attempts = len(completion.attempts)
            met = attempts > 1
            if completion.answer.text != TEXT:
                self.failures.append(f"{act}: {len(completion.answer.text)} characters were called the answer")
            if not 0 <= sum(o.cost.total for _, o in completion.attempts if o.cost) < 1_000_000:
                self.failures.append(f"{act}: an answer cost {completion.attempts[-1][1].cost}")
        except NaiadError as error:
            attempts, ended = int(error.metadata.get("attempts", 0)), error.reason
            met = attempts > 0
        took = time.monotonic() - began
        self.counts[f"{act} {ended}"] += 1
        self.counts[f"{act} attempts"] += attempts
        if met:
            self.late.append(max(0.0, took - timeout_s - (waited_s() - waited)))
            self.raw_late = max(self.raw_late, took - timeout_s)

    def _asked(self) -> tuple[Query, Task]:
        needs = Needs(10, 50, capabilities=frozenset({int(Capability.STREAMING)}))
        return Query("t", needs=needs, calls=False), Task(needs, Request("unset", (user("hello"),)))

    async def _whole(self, timeout_s: float) -> Completion:
        return await self.routing.complete(*self._asked(), Call("RouterService/Complete"), timeout_s=timeout_s)

    async def _streamed(self, timeout_s: float) -> Completion:
        """Read a stream as a client does; what it has in the end must be what the completion says."""
        text, completion = "", None
        call = Call("RouterService/StreamComplete")
        async with aclosing(self.routing.stream(*self._asked(), call, timeout_s=timeout_s, fail_fast=False)) as events:
            async for event in events:
                if isinstance(event, Completion):
                    completion = event
                elif isinstance(event, Began):
                    text = ""
                else:
                    text += getattr(event, "text", "")
        assert completion is not None
        if text != completion.answer.text:
            self.failures.append("the pieces of a stream are not its answer")
        return completion

    # -- what came of it -----------------------------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Return the world's figures."""
        calls, answered = self.counts["one calls"], self.counts["one answered"]
        late = sorted(self.late)
        return {
            "calls": calls, "success": answered / calls, "attempts": self.counts["one attempts"] / calls,
            "met_a_fault": len(late), "overshoot_p99_ms": round(1e3 * late[math.ceil(0.99 * len(late)) - 1], 1) if late
            else 0.0, "overshoot_max_raw_ms": round(1e3 * self.raw_late, 1), "recovery_s": round(self.recovery_s, 2),
            "ended": {k: v for k, v in sorted(self.counts.items()) if not k.endswith(("calls", "attempts"))},
        }  # fmt: skip


class Bar:
    """The bar's run."""

    def __init__(self, seed: int, n: int, faults: tuple[str, ...], mutant: str = "") -> None:
        self.seed, self.n, self.faults, self.mutant = seed, n, faults, mutant
        self.worlds: dict[str, World] = {}
        self.failures: list[str] = []

    async def run(self) -> None:
        """Play one world after the other, until the end or until the mutant is caught."""
        for fault in self.faults:
            world = self.worlds[fault] = World(self.seed, fault, self.mutant)
            await world.run(max(1, self.n // len(self.faults)))
            self.failures += [f"{fault}: {what}" for what in (*dict.fromkeys(world.failures), *self._broken(world))]
            print(f"{fault}: {world.figures()}", file=sys.stderr, flush=True)
            if self.mutant and self.failures:
                return

    def _broken(self, world: World) -> list[str]:
        """Return the promises that a world did not keep."""
        found, broken = world.figures(), []
        missed = found["calls"] - world.counts["one answered"]
        if missed > max(0, math.floor(0.001 * found["calls"])):
            broken.append(f"{missed} of {found['calls']} calls were not answered while one provider failed")
        if found["calls"] >= FEWEST and found["attempts"] > 1.10:
            broken.append(f"{found['attempts']:.3f} attempts for each call")
        if found["overshoot_p99_ms"] > 100.0:
            broken.append(f"calls that met a fault ended {found['overshoot_p99_ms']} ms late (p99)")
        if found["recovery_s"] > RECOVERY_S:
            broken.append(f"a provider that was well was in use again after {found['recovery_s']} s")
        if world.fault != "lying_usage" and world.counts["all answered"]:
            broken.append("a call was answered although all providers failed")
        return broken

    def report(self, seconds: float) -> dict[str, Any]:
        """Return the figures."""
        worlds = {fault: world.figures() for fault, world in self.worlds.items()}
        calls = sum(world.counts["one calls"] for world in self.worlds.values())
        answered = sum(world.counts["one answered"] for world in self.worlds.values())
        late = sorted(second for world in self.worlds.values() for second in world.late)
        return {
            "bar": "B6", "seed": self.seed, "trials": calls, "mutant": self.mutant, "failures": self.failures[:20],
            "success": answered / calls, "not_answered": calls - answered,
            "upper_95": upper_bound(calls - answered, calls) if calls - answered < 50 else None,
            "attempts": sum(world.counts["one attempts"] for world in self.worlds.values()) / calls,
            "worst_attempts": max(world["attempts"] for world in worlds.values()),
            "overshoot_p99_ms": round(1e3 * late[math.ceil(0.99 * len(late)) - 1], 1) if late else 0.0,
            "worst_recovery_s": max(world["recovery_s"] for world in worlds.values()),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "faults": worlds, "seconds": round(seconds, 1), "python": platform.python_version(),
            "pass": bool(self.failures) if self.mutant else not self.failures,
        }  # fmt: skip


def waited_s() -> float:
    """Return for how long this thread has waited for a core so far, in seconds; 0 where the kernel does not say."""
    with suppress(OSError, ValueError, IndexError):
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    return 0.0


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def quiet() -> None:
    """Failures are what is looked for: they are not logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # handshakes that fail, and peers that are aborted


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; 0 when all promises were kept, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description="bar B6: providers that fail in twenty ways")
    parser.add_argument("--seed", type=int, default=0, help="of choices; the interleaving is the machine's")
    parser.add_argument("--n", type=int, default=50_000, help="calls while one provider is faulty (default 50000)")
    parser.add_argument("--faults", default=",".join(FAULTS), help="some of them, separated by commas")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures to this file too")
    parser.add_argument("--mutant", default="", choices=("", *MUTANTS), help="sabotage to catch")
    options = parser.parse_args(arguments)
    faults = tuple(options.faults.split(","))
    if unknown := set(faults) - FAULTS.keys():
        parser.error(f"--faults has {sorted(unknown)}; there are {', '.join(FAULTS)}")
    quiet()
    bar, began = Bar(options.seed, options.n, faults, options.mutant), time.monotonic()
    asyncio.run(bar.run())
    report = bar.report(time.monotonic() - began)
    print(json.dumps(report, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(not report["pass"])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
