"""Do facts of the prompt's text pay beside its task class? One-step-ahead log loss says.

For each judgement, before it is learned from: the negative log likelihood of its score under what the engine believes,
and under the same plus a linear term x'w_m for each model with a strong prior, w ~ N(0, 0.02^2) in standardised units,
learned from what the engine left over. The same for log(1 + output tokens), with w ~ N(0, 0.3^2) shared by all models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing.outcomes import Floats, load
from benchmarks.routing.plan import Arena, Plan, chosen, show, summary
from benchmarks.routing.replay import EngineRouter, stream
from naiad.bandit.objective import Strategy
from naiad.bandit.statistics import Measure
from naiad.server.records import ObjectiveSpec

WORTH_IT = 0.01  # nats a prompt: what features must gain to be worth their cells
_YOUNG = 200  # prompts after which losses count: before, both know next to nothing
_QUALITY_ONLY = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)


class Ridge:
    """Bayesian linear regression with a prior of one sd for every weight."""

    def __init__(self, size: int, sd: float) -> None:
        self._precision = np.eye(size) / sd**2
        self._pull = np.zeros(size)

    def predict(self, x: Floats) -> tuple[float, float]:
        """Return mean and variance of x'w."""
        solved = np.linalg.solve(self._precision, np.stack((self._pull, x), axis=1))
        return float(x @ solved[:, 0]), float(x @ solved[:, 1])

    def learn(self, x: Floats, left_over: float, variance: float) -> None:
        """Take in one residual with the variance that it had."""
        self._precision += np.outer(x, x) / variance
        self._pull += x * left_over / variance


def loss(left_over: float, variance: float) -> float:
    """Return the negative log likelihood of a residual, without its constant, in nats."""
    return 0.5 * (math.log(variance) + left_over * left_over / variance)


def features(plan: Plan, arenas: Sequence[Arena]) -> tuple[Figure, dict[str, Any]]:
    """Log loss with facts of the text less log loss without, nats a prompt: below 0 they help."""
    table: dict[str, Any] = {}
    for arena in chosen(plan, arenas):
        rows = [_one(plan, arena, seed) for seed in plan.seeds]
        table[arena.pool] = {
            measure: summary([row[measure] for row in rows]) for measure in ("quality", "output_tokens")
        }
        print(f"features  {arena.pool}: log loss with facts of the text less without, nats a prompt")
        for measure, found in table[arena.pool].items():
            show(measure, found, 4)
    good = all(row["quality"]["mean"] > -WORTH_IT for row in table.values())
    reach = f"quality: no gain of {WORTH_IT:g} nats anywhere, so that task classes may stand alone"
    return {"value": table, "reach": reach, "pass": good}, table


def _one(plan: Plan, arena: Arena, seed: int) -> dict[str, float]:
    outcomes = load(plan.folder, arena.name, arena.pool)
    one = stream(outcomes, seed, arena.length)
    if one.surface is None:
        return {"quality": 0.0, "output_tokens": 0.0}
    router = EngineRouter(one, _QUALITY_ONLY, seed)
    size = one.surface.shape[1]
    quality = [Ridge(size, 0.02) for _ in one.models]
    tokens = Ridge(size, 0.3)
    gained = {"quality": 0.0, "output_tokens": 0.0}
    for row, x in enumerate(one.surface):
        record = router.decide(row)
        task_class, model = int(one.task_class[row]), record.model
        belief = router.engine.belief
        score = float(one.quality[row, model])
        seen = belief.marginals(task_class, Measure.QUALITY)
        level = min(max(seen.mean[model], 0.03), 0.97)
        spread = seen.sd[model] ** 2 + belief.noise(Measure.QUALITY) * level * (1.0 - level)
        gain = {"quality": _step(quality[model], x, score - seen.mean[model], spread)}
        if one.priced:
            seen = belief.marginals(task_class, Measure.OUTPUT_TOKENS)
            spread = seen.sd[model] ** 2 + belief.noise(Measure.OUTPUT_TOKENS)
            written = math.log1p(float(one.tokens_out[row, model]))
            gain["output_tokens"] = _step(tokens, x, written - seen.mean[model], spread)
            router.bill(record, row)
        router.judge(record, score)
        if row >= _YOUNG:
            for measure, value in gain.items():
                gained[measure] += value
    counted = max(1, len(one.surface) - _YOUNG)
    return {measure: total / counted for measure, total in gained.items()}


def _step(ridge: Ridge, x: Floats, left_over: float, variance: float) -> float:
    """Return the loss with the linear term less that without, and learn."""
    mean, more = ridge.predict(x)
    gain = loss(left_over - mean, variance + more) - loss(left_over, variance)
    ridge.learn(x, left_over, variance)
    return gain
