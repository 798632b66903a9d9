"""Bar B9: data goes to permitted models only, over every kind of call, through faults and edits of the rules.

`python tests/bars/b09_governance.py --seed S --n HISTORIES [--json FILE] [--mutant NAME]`

Each history is a world of its own: engine, journal, inventory, routing and egress as they serve, over mock providers
that record the canary of every prompt. Requests (completions with their fallbacks, and every other kind of call
through the same choke point, also kinds that the server does not make yet) run while the rules are edited: zones,
disabled models, defaults, policies, rollbacks. An oracle of its own judges every receipt. 0 forbidden receipts; after
an edit is acknowledged 0 dispatches under an epoch before it. Answers that are kept and given again are judged alike.

Zero failures in n histories bound the rate of failing ones by about 3/n. With --mutant the exit code is 0 only if the
sabotage was caught, and the run ends there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import platform
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from msgspec.structs import replace as replace_struct

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.adapters.base import Request, user
from naiad.adapters.errors import ProviderError
from naiad.server.cache import Cache
from naiad.server.cache_settings import CacheSettings
from naiad.server.completion import Completer
from naiad.server.config import load
from naiad.server.decision_id import Signer
from naiad.server.egress import Kind, NotPermitted
from naiad.server.eligibility import Needs
from naiad.server.engine import Decision, Engine, EngineSettings, Query
from naiad.server.errors import NaiadError
from naiad.server.inventory import Inventory
from naiad.server.journal import Journal
from naiad.server.journal import Request as Call
from naiad.server.records import DataClass, ModelPut, ObjectiveSpec, PolicySet, Prices, TaskClassPut
from naiad.server.routing import Routing
from naiad.server.store.memory import MemoryStore
from naiad.server.walk import Task
from tests.bars.b01_kill import upper_bound
from tests.bars.governed import CLASSES, KINDS, VENDORS, ZONES, Oracle, Provider, Rules, Said, Sent, edited, some_rules
from tests.bars.mutants.holes_in_egress import HOLES, CarelessCompleter, HoledEgress

TOGETHER = 100  # histories at a time
_PATIENCE_S = 120.0  # of a history; it takes some ten milliseconds of work
_BELIEF = load(None).belief
_KEPT = CacheSettings({"t0": 3_600.0, "t1": 3_600.0})
_PRICES = Prices(input=1_000, output=1_000)
_ASKED: ContextVar[Sent] = ContextVar("asked")  # what the task of a request is deciding


def policy_of(rules: Rules, version: int) -> PolicySet:
    """Return the policy that sets these rules."""
    return PolicySet(
        version=version, objective=ObjectiveSpec(), temper=1.0, exploration=0.5, allowance=0.05, models=rules.listed,
        data_classes=tuple(DataClass(name=name, allow=allow) for name, allow in rules.classes),
        data_zones=ZONES, workflow_data=rules.workflows,
    )  # fmt: skip


class History:
    """One world and what happens in it."""

    def __init__(self, seed: int, number: int, mutant: str = "") -> None:
        self.rng = random.Random(f"b09 {seed} {number}")
        rules = some_rules(self.rng)
        self.oracle = Oracle(rules)
        engine = Engine(EngineSettings(belief=_BELIEF, endpoints=frozenset(VENDORS)), Signer({1: b"k" * 32}, 1))
        events: list[Any] = [TaskClassPut(task_class=i, name=n, data_class=d) for i, (n, d) in
                             enumerate(rules.defaults.items())]  # fmt: skip
        events += [
            ModelPut(
                model=i, name=name, upstream_model=name, endpoint=name[0], prices=_PRICES,
                data_zone=", ".join(sorted(place.zones)),
            )
            for i, (name, place) in enumerate(rules.places.items())
        ]  # fmt: skip
        for sequence, event in enumerate([*events, policy_of(rules, 1)], start=1):
            engine.apply(sequence, event)
        self.engine, self.clock = engine, 1_000
        self.journal = Journal(MemoryStore(), engine, self.now)
        engine.decide = self._judged(engine.decide)  # type: ignore[method-assign]
        self.inventory = Inventory(self.journal, engine, self.now)
        adapters = {vendor: Provider(self.oracle, self.rng, vendor) for vendor in VENDORS}
        self.egress = HoledEgress(engine.catalog, engine.eligibility, adapters, mutant)
        completer = (CarelessCompleter if mutant == "skip_fallback" else Completer)(
            engine, self.journal, self.egress, self.now
        )
        self.routing = Routing(
            engine, self.journal, self.inventory, completer, now_ms=self.now, monotonic=time.monotonic,
            uniform=self.rng.random,
            cache=Cache(engine, self.egress, _KEPT, b"secret of the bar", time.monotonic),
        )  # fmt: skip

    def _judged(self, decide: Callable[..., Decision]) -> Callable[..., Decision]:
        """Return a way to decide that notes under which rules it was done: an edit may come between asking and that."""

        def noted(query: Query, **facts: Any) -> Decision:
            decision = decide(query, **facts)
            if (sent := _ASKED.get(None)) is not None:
                sent.decided_under = self.oracle.possible()
            return decision

        return noted

    def now(self) -> int:
        """Return wall time, in milliseconds."""
        self.clock += 1
        return self.clock

    async def run(self) -> Oracle:
        """Play the history; return the oracle with its findings."""
        self.journal.start()
        try:
            requests = [self._request(i) for i in range(self.rng.randint(2, 4))]
            await asyncio.wait_for(asyncio.gather(self._edit(), *requests), _PATIENCE_S)
        finally:
            await self.journal.close()
        if self.egress.on_wire():
            self.oracle.forbidden.append("a call that is over is still among those on the wire")
        return self.oracle

    # -- requests --------------------------------------------------------------------------------------------------

    async def _request(self, number: int) -> None:
        rng, canary = self.rng, f"canary-{number}"
        names = list(self.oracle.acknowledged.places)
        said = Said(
            rng.choice(("", *CLASSES)), rng.choice(("t0", "t1")), rng.choice(("", "flow")),
            rng.choice(("", "", *CLASSES, "retired")),
            frozenset(rng.sample(names, 2)) if rng.random() < 0.1 else frozenset(),
            (f"{rng.choice(VENDORS)}/*", rng.choice(names)) if rng.random() < 0.2 else (),
        )  # fmt: skip
        query = Query(
            said.task_class, workflow=said.workflow, data_class=said.request, caller_data_class=said.caller,
            session=rng.choice(("", "session")), needs=Needs(10, 10, allowed=said.allowed, key_models=said.key),
        )  # fmt: skip
        sent = self.oracle.sent[canary] = Sent(said)
        request = Request("unset", (user(canary),))
        await self._pause()
        try:
            _ASKED.set(sent)
            if rng.random() < 0.5:
                await self._complete(query, request)
                await self._complete_again(query, request)
                return
            decision = await self.routing.decide(query)
        except NaiadError as error:
            self.oracle.counts[f"refused {error.reason}"] += 1
            return
        await asyncio.gather(*(self._call(decision, request, kind) for kind in rng.choices(KINDS, k=5)))

    async def _complete(self, query: Query, request: Request) -> None:
        """Complete as the server does, at once or streamed: primary, retries and fallbacks.

        Now and then two callers share it, or one goes away.
        """
        call = Call("RouterService/Complete")
        if self.rng.random() < 0.1:  # asks the store first, so that it is decided a little later
            call = Call("RouterService/Complete", request.last_user_text, "digest")
        task = Task(query.needs, request, max_attempts=4)
        complete = self.routing.complete if self.rng.random() < 0.7 else self._streamed
        asked = [
            asyncio.ensure_future(complete(query, task, call, timeout_s=_PATIENCE_S))
            for _ in range(1 + bool(call.request_id))
        ]
        if self.rng.random() < 0.1:
            await asyncio.sleep(0)
            asked[0].cancel()
        for result in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(result, NaiadError):
                self.oracle.counts[f"refused {result.reason}"] += 1
            elif isinstance(result, Exception):
                raise result

    async def _complete_again(self, query: Query, request: Request) -> None:
        """Ask the same again, after whatever happened meanwhile, also as somebody whose data is stricter."""
        sent = self.oracle.sent[request.last_user_text]
        for _ in range(self.rng.randint(0, 3)):
            await self._pause()
            caller = self.rng.choice((sent.said.caller, *CLASSES))
            sent.said = sent.said._replace(caller=caller)
            asked = replace_struct(query, caller_data_class=caller)
            task = Task(query.needs, request, max_attempts=4)
            # nothing is awaited between a kept answer and its judgement
            done = await self.routing.complete(asked, task, Call("RouterService/Complete"), timeout_s=_PATIENCE_S)
            if done.age_s is not None:
                self.oracle.quoted(request.last_user_text, done.model.name)

    async def _streamed(self, query: Query, task: Task, call: Call, *, timeout_s: float) -> Any:
        """Complete as StreamComplete does, and read to the end."""
        self.oracle.counts["streams"] += 1
        answer = self.routing.stream(query, task, call, timeout_s=timeout_s, fail_fast=False)
        async with aclosing(answer) as events:
            return [event async for event in events][-1]

    async def _call(self, decision: Decision, request: Request, kind: Kind) -> None:
        """Call with the permit of a decision, once or again, after whatever happened meanwhile."""
        rng, models = self.rng, range(len(self.engine.catalog.models))
        for _ in range(rng.randint(1, 2)):
            await self._pause()
            model = rng.choice(decision.record.models) if rng.random() < 0.7 else rng.choice(models)
            try:
                if rng.random() < 0.2:
                    async for _ in self.egress.stream(decision.permit, kind, model, request, timeout_s=1.0):
                        pass
                else:
                    await self.egress.call(decision.permit, kind, model, request, timeout_s=1.0)
            except NotPermitted:
                self.oracle.counts[f"stopped {kind.value}"] += 1
            except ProviderError:
                self.oracle.counts["provider faults"] += 1

    async def _pause(self) -> None:
        """Go on at once, a little later, or once an edit was acknowledged."""
        roll = self.rng.random()
        if roll < 0.4:
            return
        if roll < 0.7:
            await asyncio.sleep(self.rng.random() * 0.004)
            return
        if not self.oracle.over:
            await self.oracle.edited.wait()

    # -- edits -----------------------------------------------------------------------------------------------------

    async def _edit(self) -> None:
        first, oracle = self.oracle.acknowledged, self.oracle
        try:
            for _ in range(self.rng.randint(1, 5)):
                await asyncio.sleep(self.rng.random() * 0.004)
                what, after, name = edited(self.rng, oracle.acknowledged)
                if what == "policy" and self.rng.random() < 0.2:  # a rollback
                    after = replace(after, classes=first.classes, workflows=first.workflows, listed=first.listed)
                oracle.pending = after
                try:
                    await self._apply(what, after, name)
                except NaiadError as error:  # of a model that is deleted
                    oracle.counts[f"edit refused {error.reason}"] += 1
                    oracle.pending = None
                    continue
                oracle.acknowledge(self.engine.eligibility.epoch)
        finally:
            oracle.over = True
            oracle.wake()

    async def _apply(self, what: str, after: Rules, name: str) -> None:
        """Make an edit; it is acknowledged once this returns. Raises NaiadError."""
        call = Call("edit")
        if what == "policy":
            await self.journal.append(policy_of(after, self.engine.policy.version + 1))
            return
        if what == "default":
            default = after.defaults[name]
            await self.inventory.update_task_class(name, lambda _: {"data_class": default}, 0, call)
            return
        place, known = after.places[name], self.engine.catalog.find_model(name)
        if known is None:
            raise RuntimeError(f"{name} is not there")
        changed: dict[str, Any] = {"prices": _PRICES}
        if what == "zone":
            changed = {"data_zone": ",".join(place.zones)}
        elif what == "usable" and known.deleted:
            await self.inventory.create_model(replace_struct(known, deleted=False, disabled=False), call)
            return
        elif what == "usable" and not place.usable and self.rng.random() < 0.4:
            await self.inventory.delete_model(name, 0, call)
            return
        elif what == "usable":
            changed = {"disabled": not place.usable}
        await self.inventory.update_model(name, lambda _: changed, 0, call)


class Bar:
    """The bar's run, and what went wrong in it."""

    def __init__(self, seed: int, n: int, mutant: str = "") -> None:
        self.seed, self.n, self.mutant = seed, n, mutant
        self.done = 0
        self.failed_histories: list[int] = []
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Play the histories, many at a time, until there were enough or the mutant was caught."""
        while self.done < self.n and not (self.mutant and self.failures):
            numbers = range(self.done, min(self.done + TOGETHER, self.n))
            results = await asyncio.gather(*(History(self.seed, i, self.mutant).run() for i in numbers))
            for number, oracle in zip(numbers, results, strict=True):
                self.counts += oracle.counts
                if oracle.forbidden:
                    self.failed_histories.append(number)
                    self.failures += [f"history {number}: {what}" for what in oracle.forbidden]
            self.done += len(numbers)

    def unseen(self) -> list[str]:
        """Return the kinds of call that never reached a provider, or that were never stopped: then the bar is void."""
        asked = {k.value for k in KINDS}
        stopped = asked - {"primary", "fallback"}
        return sorted(
            {"quoted" for _ in range(not self.counts["quoted"])}
            | {f"received {k}" for k in asked if not self.counts[f"received {k}"]}
            | {f"stopped {k}" for k in stopped if not self.counts[f"stopped {k}"]}
        )

    def report(self, seconds: float) -> dict[str, Any]:
        """Return the figures."""
        return {
            "bar": "B9", "seed": self.seed, "trials": self.done, "mutant": self.mutant,
            "failed_histories": self.failed_histories[:20], "failures": self.failures[:20],
            "upper_95": upper_bound(len(self.failed_histories), self.done), "void": self.unseen(),
            "counts": dict(sorted(self.counts.items())), "seconds": round(seconds, 1),
            "python": platform.python_version(),
            "pass": bool(self.failures) if self.mutant else not self.failures and not self.unseen(),
        }  # fmt: skip


def quiet() -> None:
    """Refusals are what is looked for: they are not logged."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; 0 when nothing forbidden was received, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description="bar B9: data on permitted models only, through edits of the rules")
    parser.add_argument("--seed", type=int, default=0, help="of the worlds; the interleaving is the machine's")
    parser.add_argument("--n", type=int, default=20_000, help="histories (default 20000)")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures to this file too")
    parser.add_argument("--mutant", default="", choices=("", *HOLES), help="sabotage to catch")
    options = parser.parse_args(arguments)
    quiet()
    bar, began = Bar(options.seed, options.n, options.mutant), time.monotonic()
    asyncio.run(bar.run())
    report = bar.report(time.monotonic() - began)
    print(json.dumps(report, indent=1))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return int(not report["pass"])


if __name__ == "__main__":
    sys.exit(main())
