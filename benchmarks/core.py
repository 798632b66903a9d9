"""Deciding and learning without a socket or a disk: the engine that serves, timed, and its probabilities checked.

    python -m benchmarks.core [--json FILE]

Times. Each timed step folds one judgement (`update`: `Engine.apply` of a FeedbackReported, belief included) about the
task class that is decided next, then decides (`decide`: `Engine.decide`, probabilities, record and signed id included),
so no decision finds a belief ready from before. A run's figure is its median; runs of all sizes are interleaved, and
the figures are medians over the runs. `r8` is the same for 16 models, `decide_ruled_us` the same under three data
classes. Beside each run stands the time of a fixed piece of plain Python (`yardstick`): shared machines change their
speed twofold within seconds, and it tells that from a change of the code. `decide_flat` and `update_flat` are medians
of the ratios of neighbouring runs.

Probabilities. The Thompson vector that `serve` stores is compared, in total variation, with an adaptive reference that
spends thousands of nodes (`benchmarks.truth`), on generated shapes and on decisions of the timed engine. The reference
itself is checked against Monte Carlo: its distance from 2e7 draws must be what the draws' own noise explains.
"""

from __future__ import annotations

import argparse
import random
import sys
import timeit
from collections.abc import Iterator
from math import log, sqrt
from pathlib import Path
from time import perf_counter_ns
from typing import Any

if not __package__:  # run as a file: its folder is on the path instead of the repository
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import msgspec
import numpy as np

from benchmarks.report import Figure, at_most, finish, machine, middle
from benchmarks.truth import Shape, draws, exact, noise, shapes, total_variation
from naiad.bandit.objective import Exploration, Objective, Predictions, serve
from naiad.bandit.statistics import to_fixed
from naiad.server.config import build
from naiad.server.decision_id import Signer
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome, take_ratings
from naiad.server.records import DataClass, Decided, Event, ModelPut, Outcome, Prices, Rating, TaskClassPut, Usage
from naiad.server.sections import File

MODELS, CLASSES, MANY_CLASSES = 10, 14, 1_000
DECIDE_US, UPDATE_US, FLAT, ERROR = 150.0, 60.0, 1.3, 1e-3
LARGER = 16  # models and classes of R8
LARGER_DECIDE_US, LARGER_UPDATE_US = 180.0, 60.0
_JUDGE = 2  # FeedbackSource
_FALSE_ALARM = 1e-4  # chance that draws reject a right reference


class World:
    """An engine with an in-memory catalogue and some evidence on every arm, and the fold that the journal does."""

    def __init__(self, n_models: int, n_classes: int, seed: int = 1) -> None:
        config = build(File(), "built-in defaults")
        self.rng = random.Random(f"core {seed}")
        self.engine = Engine(EngineSettings(belief=config.belief, drift=config.drift), Signer({1: bytes(32)}, 1))
        self._sequence = self._uid = 0
        self.quality = [self.rng.uniform(0.4, 0.9) for _ in range(n_models)]
        for model in range(n_models):
            dollar = 0.1 * 100 ** self.rng.random()  # a million input tokens cost 0.1 to 10 USD
            prices = Prices(input=round(dollar * 1e9), output=round(4 * dollar * 1e9))
            self.apply(ModelPut(model=model, name=f"echo/m{model}", upstream_model=f"m{model}", prices=prices))
        for task_class in range(n_classes):
            self.apply(TaskClassPut(task_class=task_class, name=f"class.{task_class}"))
        self.apply(config.policy)
        for task_class in range(n_classes):
            for model in range(n_models):
                self.apply(self.outcome(task_class, model))
                self.apply(self.judgement(task_class, model))

    def apply(self, event: Event) -> int:
        """Fold an event as the next of the log; return how long the fold took, in ns."""
        self._sequence += 1
        began = perf_counter_ns()
        self.engine.apply(self._sequence, event)
        return perf_counter_ns() - began

    def rule(self) -> None:
        """Put models into zones and rules for three data classes in force; every request may use every model."""
        engine = self.engine
        for model in list(engine.catalog.models):
            self.apply(msgspec.structs.replace(model, data_zone="on_prem, region:eu"))
        classes = tuple(
            DataClass(name=name, allow=allow)
            for name, allow in (("open", ("any",)), ("inner", ("region:eu", "on_prem")), ("secret", ("on_prem",)))
        )
        self.apply(msgspec.structs.replace(engine.policy, version=engine.policy.version + 1, data_classes=classes))

    def judgement(self, task_class: int, model: int) -> Event:
        """Return the event of a new judgement of one arm, as the ledger makes it."""
        score = min(1.0, max(0.0, self.rng.gauss(self.quality[model], 0.2)))
        rating = Rating(source=_JUDGE, rater="benchmark", value=to_fixed(score))
        return take_ratings(self._entry(task_class, model), (FIRST_ATTEMPT,), (rating,), 1)[1]

    def outcome(self, task_class: int, model: int) -> Event:
        """Return the event of a successful attempt on one arm, as the ledger makes it."""
        usage = Usage(input_tokens=500, output_tokens=round(400 * self.rng.lognormvariate(0.0, 0.5)))
        latency_s = self.rng.lognormvariate(0.0, 0.4)
        outcome = Outcome(model=model, ordinal=self._ordinal(model), usage=usage, latency_s=latency_s)
        return take_outcome(self._entry(task_class, model), FIRST_ATTEMPT, outcome, 1)[1]

    def _entry(self, task_class: int, model: int) -> Entry:
        self._uid += 1
        return Entry(uid=self._uid, task_class=task_class, model=model, ordinal=self._ordinal(model))

    def _ordinal(self, model: int) -> int:
        return max(0, self.engine.statistics.head(model) - 1)

    def decide(self, task_class: int) -> tuple[int, Decided]:
        """Decide a request of its own for a class; return how long it took, in ns, and the decision's record."""
        query = Query(f"class.{task_class}", needs=Needs(self.rng.randrange(50, 4_000), 1_024))
        uniform = self.rng.random()
        began = perf_counter_ns()
        decision = self.engine.decide(query, at_ms=self._sequence, uniform=uniform)
        return perf_counter_ns() - began, decision.record

    def run(self, steps: int, *, outcomes: bool = False) -> tuple[float, float]:
        """Return the median times of (decide, update) in microseconds over steps of update, decide, fold.

        outcomes: also fold an outcome before each decide, so that it finds every measure's belief changed.
        """
        decides, updates = [], []
        for _ in range(steps):
            task_class = self.rng.randrange(len(self.engine.catalog.task_classes))
            model = self.rng.randrange(len(self.engine.catalog.models))
            if outcomes:
                self.apply(self.outcome(task_class, model))
            updates.append(self.apply(self.judgement(task_class, model)))
            took, record = self.decide(task_class)
            decides.append(took)
            self.apply(record)
        return middle(decides) / 1e3, middle(updates) / 1e3


def yardstick() -> float:
    """Return how long a fixed piece of plain Python takes just now, in microseconds."""
    return min(timeit.repeat(lambda: sum([0.5 * x for x in range(1_000)]), number=20, repeat=5)) / 20 * 1e6


def measure_times(runs: int, steps: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Return the figures of time and the medians of every run."""
    sizes = {"decide": (MODELS, CLASSES), "many_classes": (MODELS, MANY_CLASSES)}
    sizes |= {"larger": (LARGER, LARGER), "larger_many": (LARGER, MANY_CLASSES)}
    sizes |= {"ruled": (MODELS, CLASSES)}
    sizes |= {f"models_{n}": (n, CLASSES) for n in (2, 4, 16, 64)}
    worlds = {name: World(*size) for name, size in sizes.items()}
    worlds["ruled"].rule()
    raw: dict[str, list[tuple[float, float]]] = {name: [] for name in [*worlds, "after_outcome"]}
    paces: list[float] = []
    for world in worlds.values():
        world.run(steps // 4)  # warm
    for _ in range(runs):
        before = yardstick()
        for name, world in worlds.items():
            compared = not name.startswith("models_")
            raw[name].append(world.run(steps if compared else steps // 4))
            if name == "decide":
                paces.append((before + yardstick()) / 2.0)
        raw["after_outcome"].append(worlds["decide"].run(steps, outcomes=True))
    print("median over runs, us              decide  update  (lowest run to highest run of decide)")
    for name, found in raw.items():
        n_models, n_classes = sizes.get(name, (MODELS, CLASSES))
        label = f"{n_models} models x {n_classes} classes" + {"after_outcome": " + outcome", "ruled": " + rules"}.get(
            name, ""
        )
        decides = [decide for decide, _ in found]
        print(
            f"{label:32}  {middle(decides):6.1f}  {middle(update for _, update in found):6.1f}"
            f"  ({min(decides):.1f} to {max(decides):.1f})"
        )
    base, many = raw["decide"], raw["many_classes"]
    shares = [(decide / pace, update / pace) for (decide, update), pace in zip(base, paces, strict=True)]
    print(f"yardstick {middle(paces):.1f} us ({min(paces):.1f} to {max(paces):.1f}): a decide takes ", end="")
    print(f"{middle(d for d, _ in shares):.2f} and an update {middle(u for _, u in shares):.2f} of it")
    figures = {
        "decide_us": at_most(middle(decide for decide, _ in base), DECIDE_US, "us"),
        "update_us": at_most(middle(update for _, update in base), UPDATE_US, "us"),
        "decide_flat": at_most(middle(m[0] / b[0] for m, b in zip(many, base, strict=True)), FLAT),
        "update_flat": at_most(middle(m[1] / b[1] for m, b in zip(many, base, strict=True)), FLAT),
        "decide_ruled_us": at_most(middle(decide for decide, _ in raw["ruled"]), DECIDE_US, "us"),
        "r8": larger(raw["larger"], raw["larger_many"]),
    }
    return figures, {"sizes": sizes, "steps": steps, "decide_us_update_us": raw, "yardstick_us": paces}


def larger(few: list[tuple[float, float]], many: list[tuple[float, float]]) -> Figure:
    """Return R8 from the (decide, update) of each run, us: 16 models, with 16 classes and with 1,000."""
    value = {
        "decide_us": middle(decide for decide, _ in few),
        "update_us": middle(update for _, update in few),
        "decide_flat": middle(m[0] / f[0] for m, f in zip(many, few, strict=True)),
        "update_flat": middle(m[1] / f[1] for m, f in zip(many, few, strict=True)),
    }
    good = value["decide_us"] <= LARGER_DECIDE_US and value["update_us"] <= LARGER_UPDATE_US
    good &= value["decide_flat"] <= FLAT and value["update_flat"] <= FLAT
    reach = f"decide <= {LARGER_DECIDE_US:g} us, update <= {LARGER_UPDATE_US:g} us, flat to 1,000 classes <= {FLAT:g}"
    return {"value": value, "reach": reach, "pass": good}


def served(shape: Shape) -> list[float]:
    """Return the Thompson vector that `serve` stores when utilities are believed to be of this shape."""
    nothing = [0.0] * len(shape.mean)
    seen = Predictions(shape.mean.tolist(), shape.sd.tolist(), shape.sd.tolist(), nothing, nothing, nothing, nothing)
    objective = Objective(usd_per_quality=1.0, usd_per_second=0.0)
    return serve(objective, seen, Exploration(temper=1.0)).thompson


def lived(n_models: int, steps: int) -> Iterator[tuple[Shape, list[float]]]:
    """Yield what decisions of an engine at work drew from, as they stored it, with the Thompson vector they stored."""
    world = World(n_models, CLASSES, seed=n_models)
    for step in range(steps):
        world.run(20)
        record = world.decide(step % CLASSES)[1]
        shape = Shape(f"engine, {n_models} models", np.array(record.utility), np.array(record.utility_sd))
        yield shape, record.thompson


def measure_error(cases: int, n_draws: int) -> tuple[dict[str, Figure], dict[str, Any]]:
    """Return the figure of the probabilities' error, and the distances.

    cases: random beliefs of each shape and size; n_draws: Monte Carlo draws that check the reference.
    """
    distances: dict[str, list[float]] = {}
    for shape in shapes(cases):
        distance = total_variation(served(shape), exact(shape))
        distances.setdefault(f"{shape.name}, {len(shape.mean)} arms", []).append(distance)
    for n_models in (2, MODELS, 64):
        for shape, stored in lived(n_models, cases):
            distances.setdefault(shape.name, []).append(total_variation(stored, exact(shape)))
    worst = max(max(found) for found in distances.values())
    print("\nshape                               cases  mean distance  worst distance from the reference")
    for name, found in distances.items():
        print(f"{name:34}  {len(found):5}  {sum(found) / len(found):13.1e}  {max(found):14.1e}")

    checks: dict[str, dict[str, float]] = {}
    print(f"\nreference and server against {n_draws:.0e} draws   noise of the draws  reference  server")
    checked = [shape for shape in shapes(1) if shape.name in ("scales mixed to 1e3", "ties")]
    for shape, p in zip(checked, draws(checked, n_draws), strict=True):
        reference = exact(shape)
        name = f"{shape.name}, {len(shape.mean)} arms"
        checks[name] = {
            "noise": noise(reference, n_draws),
            "reference": total_variation(p, reference),
            "server": total_variation(p, served(shape)),
        }
        row = checks[name]
        print(f"{name:45}  {row['noise']:18.1e}  {row['reference']:9.1e}  {row['server']:6.1e}")
    beyond = sqrt(-log(_FALSE_ALARM) / (2 * n_draws))  # McDiarmid: one draw moves the distance by 1 / n_draws at most
    trusted = all(row["reference"] <= row["noise"] + beyond for row in checks.values())
    figure = at_most(worst, ERROR)
    figure["reach"] += " in total variation, from a reference that the draws confirm"
    figure["pass"] = bool(figure["pass"] and trusted)
    return {"propensity_error": figure}, {"distances": distances, "draws": n_draws, "checks": checks}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.core", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    parser.add_argument("--runs", type=int, default=7, help="interleaved runs of each size (default 7)")
    parser.add_argument("--steps", type=int, default=1_000, help="timed steps a run (default 1000)")
    parser.add_argument("--cases", type=int, default=3, help="random beliefs of each shape and size (default 3)")
    parser.add_argument("--draws", type=float, default=2e7, help="Monte Carlo draws (default 2e7)")
    options = parser.parse_args(arguments)
    where = machine()
    times, raw_times = measure_times(options.runs, options.steps)
    error, raw_error = measure_error(options.cases, int(options.draws))
    return finish(
        times | error,
        {"times": raw_times, "probabilities": raw_error},
        where=where,
        packages=("naiad", "numpy", "msgspec"),
        path=options.json,
    )


if __name__ == "__main__":
    raise SystemExit(main())
