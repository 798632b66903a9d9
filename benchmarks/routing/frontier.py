"""The cost-quality frontier: what each worth of quality buys, beside mixes of fixed models, summed up as AIQ.

AIQ (average improvement in quality, RouterBench, arXiv 2403.12031) is the mean height of a policy's non-decreasing hull
over the range of the fixed models' costs. The zero router is the hull of the fixed models: it mixes two blindly.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing import plots
from benchmarks.routing.outcomes import Outcomes, load
from benchmarks.routing.plan import Arena, Plan, chosen, summary
from benchmarks.routing.references import Point, class_means, fixed, hull
from benchmarks.routing.replay import EngineRouter, stream
from naiad.bandit.objective import Strategy
from naiad.server.records import ObjectiveSpec

ARENAS = (
    Arena("paretobandit_k4", "k4", 3_559, 0.0),
    Arena("mmlupro", "mmlupro15", 4_000, 0.0),
    Arena("bfcl", "bfcl12", 1_700, 0.0),
)
WORTHS = (0.1, 0.5, 2.0, 8.0, 32.0, 128.0)  # USD of a whole unit of quality, in units of the models' range of costs


def frontier(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """AIQ of `balanced` over a range of worths, second half of the stream, against that of mixes of fixed models."""
    table: dict[str, Any] = {}
    for arena in chosen(plan, ARENAS):
        outcomes = load(plan.folder, arena.name, arena.pool)
        found = [_one(outcomes, arena, seed) for seed in plan.seeds]
        gains = [aiq(ours, fixed(half)) - aiq(fixed(half), fixed(half)) for half, ours in found]
        ours = [_mean([points[i] for _, points in found]) for i in range(len(WORTHS))]
        models = {m: _mean([fixed(half)[half.models.index(m)] for half, _ in found]) for m in outcomes.models}
        limits = {"best model of each class, in hindsight": _mean([_best_of_class(half) for half, _ in found])}
        table[arena.pool] = {
            "aiq_gain": summary(gains, worst=min),
            "aiq_zero_router": float(np.mean([aiq(fixed(half), fixed(half)) for half, _ in found])),
            "points": [{"worth": w, "usd": p.cost, "quality": p.quality} for w, p in zip(WORTHS, ours, strict=True)],
        }
        gain = table[arena.pool]["aiq_gain"]
        print(f"frontier  {arena.pool}: AIQ of mixes {table[arena.pool]['aiq_zero_router']:.4f}, ours", end="")
        print(f" {gain['mean']:+.4f} +- {gain['se']:.4f}, worst seed {gain['worst']:+.4f}")
        for point in table[arena.pool]["points"]:
            print(f"    worth {point['worth']:6g} ranges   {point['usd']:.3e} USD   quality {point['quality']:.4f}")
        if plan.plots:
            print(f"    {plots.frontier(plan.plots, arena.pool, models, ours, limits)}")
    good = all(row["aiq_gain"]["mean"] >= 0.0 for row in table.values())
    value = {pool: row["aiq_gain"] for pool, row in table.items()}
    return {"value": value, "reach": "AIQ >= that of mixes of two fixed models", "pass": good}, table


def _one(outcomes: Outcomes, arena: Arena, seed: int) -> tuple[Outcomes, list[Point]]:
    """Return the second half of a seed's stream, and what each worth of quality came to in it."""
    one = stream(outcomes, seed, arena.length)
    start = len(one.task_class) // 2
    half = one.rows(np.arange(start, len(one.task_class)))
    means = one.cost.mean(axis=0)
    span = float(means.max() - means.min())
    points = []
    for worth in WORTHS:
        spec = ObjectiveSpec(strategy=int(Strategy.BALANCED), usd_per_quality=worth * span, usd_per_second=0.0)
        run = EngineRouter(one, spec, seed).run()
        points.append(Point(float(run.quality[start:].mean()), float(run.cost[start:].mean())))
    return half, points


def aiq(points: list[Point], models: list[Point]) -> float:
    """Return the mean height of the points' hull over the models' range of costs.

    Left of its cheapest point a policy is the cheapest model, which every router can be.
    """
    low, high = min(p.cost for p in models), max(p.cost for p in models)
    corners = hull([*points, min(models, key=lambda p: p.cost)])
    costs = np.unique([low, high, *(p.cost for p in corners if low < p.cost < high)])
    heights = np.interp(costs, [p.cost for p in corners], [p.quality for p in corners])
    return float(np.trapezoid(heights, costs) / (high - low))


def _best_of_class(half: Outcomes) -> Point:
    best = class_means(half.quality, half.task_class, len(half.task_classes)).argmax(axis=1)[half.task_class]
    rows = np.arange(len(best))
    return Point(float(half.quality[rows, best].mean()), float(half.cost[rows, best].mean()))


def _mean(points: list[Point]) -> Point:
    return Point(float(np.mean([p.quality for p in points])), float(np.mean([p.cost for p in points])))
