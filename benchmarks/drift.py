"""How often drift is seen where there is none, and how soon where there is: through the ledger and the engine.

    python -m benchmarks.drift [--judgements N] [--json FILE]

Every law below is stationary: four models in five task classes, judged N times in all, chosen evenly, not by what is
learned. False alarms are counted per 10,000 judgements; the reach is what the default sensitivity tolerates. Then one
model drops or rises by a stated amount, in every class, after 300 of its judgements, and what is counted is how many
more of them it took to raise an alarm.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Figure, finish, machine
from naiad.bandit.statistics import to_fixed
from naiad.server.config import build
from naiad.server.decision_id import Signer
from naiad.server.engine import Engine, EngineSettings
from naiad.server.ledger import FEEDBACK_SOURCES, FIRST_ATTEMPT, Entry, take_ratings
from naiad.server.records import DriftAlarmed, Event, ModelPut, Rating, TaskClassPut
from naiad.server.sections import File

MODELS, CLASSES = 4, 5
_LIFE = 4_000  # judgements of one engine: several short lives, as beliefs are worst when they are young
_SECOND = 50  # judgements after which one is revised or taken back, at most
Law = Callable[[np.random.Generator, float], float]  # a score of mean about p


@dataclass(frozen=True)
class Case:
    """How judgements come; `law` draws one of a given mean."""

    law: Law
    low: float = 0.3  # bounds of the arms' means
    high: float = 0.95
    models: int = MODELS
    source: str = "judge"
    raters: int = 1
    late: int = 0  # judgements come up to so many later, shuffled
    revised: float = 0.0  # share that is revised later, to another draw
    retracted: float = 0.0


def ties(rng: np.random.Generator, p: float) -> float:
    """0 or 1."""
    return float(rng.random() < p)


def graded(rng: np.random.Generator, p: float) -> float:
    """A grade with a spread of about .15."""
    return float(rng.beta(8.0 * p, 8.0 * (1.0 - p)))


def tenths(rng: np.random.Generator, p: float) -> float:
    """A grade in tenths, mostly the same one."""
    return round(float(np.clip(rng.normal(p, 0.07), 0.0, 1.0)), 1)


def skewed(rng: np.random.Generator, p: float) -> float:
    """Nearly always the same good grade, now and then nothing."""
    return 0.0 if rng.random() > p else 1.0 - 0.02 * float(rng.random())


CASES = {
    "0 or 1": Case(ties),
    "0 or 1, near 1": Case(ties, 0.9, 0.99),
    "0 or 1, near 0": Case(ties, 0.01, 0.1),
    "graded": Case(graded),
    "graded near 1": Case(graded, 0.85, 0.97),
    "graded in tenths": Case(tenths),
    "rare failures": Case(skewed, 0.9, 0.98),
    "all equal": Case(lambda _, p: 1.0),
    "few each: 100 models": Case(ties, models=100),
    "few each: 100 models, graded": Case(graded, models=100),
    "late and shuffled": Case(ties, late=1_000),
    "late and shuffled, graded": Case(graded, late=1_000),
    "revised and retracted": Case(ties, revised=0.2, retracted=0.1, late=100),
    "users, 0 or 1": Case(ties, source="user", raters=40),
}
DROPS = {
    "0 or 1: .9 to .6": (ties, 0.9, 0.6),
    "0 or 1: .9 to .75": (ties, 0.9, 0.75),
    "0 or 1: .6 to .9": (ties, 0.6, 0.9),
    "graded: .9 to .75": (graded, 0.9, 0.75),
    "graded: .75 to .9": (graded, 0.75, 0.9),
    "graded: .9 to .85": (graded, 0.9, 0.85),
}


class World:
    """An engine that is judged, and the alarms it raised."""

    def __init__(self, models: int) -> None:
        config = build(File(), "built-in defaults")
        settings = EngineSettings(belief=config.belief, drift=config.drift)
        self.engine = Engine(settings, Signer({1: bytes(32)}, 1))
        self.tolerated = config.drift.sensitivity
        self.alarms: list[DriftAlarmed] = []
        self._sequence = self._uid = 0
        for model in range(models):
            self._apply(ModelPut(model=model, name=f"echo/m{model}", upstream_model=f"m{model}"))
        for task_class in range(CLASSES):
            self._apply(TaskClassPut(task_class=task_class, name=f"class.{task_class}"))

    def _apply(self, event: Event) -> None:
        self._sequence += 1
        self.engine.apply(self._sequence, event)
        for alarm in self.engine.drift.take():
            self.alarms.append(alarm)
            self._apply(alarm)

    def entry(self, task_class: int, model: int) -> Entry:
        """Return the ledger entry of a new decision."""
        self._uid += 1
        ordinal = self.engine.statistics.head(model)
        self.engine.statistics.advance(model, ordinal + 1)
        return Entry(uid=self._uid, task_class=task_class, model=model, ordinal=ordinal)

    def judge(self, entry: Entry, score: float, source: str = "judge", rater: str = "r", *, out: bool = False) -> Entry:
        """Fold a judgement; return the entry after it."""
        rating = Rating(source=FEEDBACK_SOURCES[source], rater=rater, value=to_fixed(score), retracted=out)
        after, event = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 0)
        self._apply(event)
        return after


def stationary(case: Case, judgements: int, seed: int) -> tuple[int, int]:
    """Return (alarms, judgements) of a case in which nothing changes."""
    rng = np.random.default_rng([seed, 70])
    alarms = given = 0
    while given < judgements:
        world = World(case.models)
        means = rng.uniform(case.low, case.high, (CLASSES, 1)) + rng.normal(0.0, 0.05, (CLASSES, case.models))
        means = np.clip(means, case.low, case.high)
        steps = min(_LIFE, judgements - given)
        due: dict[int, list[tuple[Entry, float, bool]]] = {}  # (entry, score, whether it is taken back)
        for step in range(steps + case.late + _SECOND + 1):
            if step < steps:
                entry = world.entry(int(rng.integers(CLASSES)), int(rng.integers(case.models)))
                score = case.law(rng, float(means[entry.task_class, entry.model]))
                due.setdefault(step + int(rng.integers(case.late + 1)), []).append((entry, score, False))
            for entry, score, out in due.pop(step, ()):
                after = world.judge(entry, score, case.source, f"r{entry.uid % case.raters}", out=out)
                chance = rng.random()
                if not entry.attempts and chance < case.revised + case.retracted:
                    again = case.law(rng, float(means[entry.task_class, entry.model]))
                    at = step + 1 + int(rng.integers(_SECOND))
                    due.setdefault(at, []).append((after, again, chance < case.retracted))
        alarms += len(world.alarms)
        given += steps
    return alarms, given


def delay(law: Law, before: float, after: float, seed: int) -> int | None:
    """Return how many judgements of a model that changed it took to notice; None if 500 were not enough."""
    rng = np.random.default_rng([seed, 71])
    world = World(MODELS)
    shift = rng.normal(0.0, 0.02, CLASSES)
    heard = 0
    for step in range(MODELS * 800):
        model = step % MODELS
        mean = (before if model or step < MODELS * 300 else after) + float(shift[step // MODELS % CLASSES])
        entry = world.entry(step // MODELS % CLASSES, model)
        world.judge(entry, law(rng, min(max(mean, 0.02), 0.98)))
        if step >= MODELS * 300 and not model:
            heard += 1
            if any(alarm.model == 0 and alarm.ordinal > 250 for alarm in world.alarms):
                return heard
    return None


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit code 0 when every figure is reached, 1 when not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--judgements", type=int, default=100_000, metavar="N", help="of each law (default 100,000)")
    parser.add_argument("--seeds", type=int, default=20, metavar="N", help="of each change (default 20)")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    options = parser.parse_args(arguments)
    where = machine()
    tolerated = World(1).tolerated
    rates: dict[str, float] = {}
    print(f"false alarms in {options.judgements:,} judgements of each law, per 10,000 (tolerated: {tolerated:g})")
    for number, (name, case) in enumerate(CASES.items()):
        alarms, given = stationary(case, options.judgements, number)
        rates[name] = 10_000 * alarms / given
        print(f"    {name:32} {rates[name]:6.2f}   ({alarms})", flush=True)
    pooled = float(np.mean(list(rates.values())))
    print(
        f"    {'all':32} {pooled:6.2f}\n\njudgements of the model until a change is noticed: "
        "median, 90th percentile, missed"
    )
    delays: dict[str, Any] = {}
    for name, change in DROPS.items():
        found = [delay(*change, seed) for seed in range(options.seeds)]
        seen = [d for d in found if d is not None]
        middle, most = (float(np.quantile(seen, q)) if seen else float("nan") for q in (0.5, 0.9))
        delays[name] = {"median": middle, "p90": most, "missed": len(found) - len(seen)}
        print(f"    {name:32} {middle:6.0f} {most:6.0f} {len(found) - len(seen):4}", flush=True)
    figure: Figure = {"value": pooled, "reach": f"<= {tolerated:g} per 10,000", "pass": pooled <= tolerated}
    raw = {"false_alarms": rates, "delays": delays}
    return finish({"drift_false_alarms": figure}, raw, where=where, packages=("naiad", "numpy"), path=options.json)


if __name__ == "__main__":
    sys.exit(main())
