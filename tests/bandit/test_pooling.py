"""Pooling across task classes wastes fewer decisions than independent arms, in worlds drawn from neither's prior."""

from __future__ import annotations

import numpy as np

from naiad.bandit.belief import DEFAULT_PRIORS, Belief, BeliefSettings
from naiad.bandit.crossed import Prior
from naiad.bandit.statistics import Measure, Observation, Statistics, to_fixed
from naiad.bandit.thompson import best_probabilities, draw

CLASSES, MODELS, DECISIONS = 10, 8, 800
TEMPER = 0.5

# The same machinery without anything to pool: every arm has its own level and learns from itself alone.
INDEPENDENT = BeliefSettings(
    priors=dict(DEFAULT_PRIORS) | {Measure.QUALITY: Prior(0.6, 1e-3, 1e-3, 1e-3, 0.25, noise=0.05, noise_floor=1e-3)}
)


def regret(settings: BeliefSettings, seed: int) -> float:
    """Return the quality lost against the best model of each class; the world and its luck depend on the seed only."""
    world = np.random.default_rng(seed)
    ability, difficulty = world.uniform(0.3, 0.8, MODELS), world.uniform(-0.15, 0.15, CLASSES)
    special = 0.1 * (world.random((CLASSES, MODELS)) - 0.5)
    truth = np.clip(ability + difficulty[:, None] + special, 0.02, 0.98)
    classes, luck = world.integers(CLASSES, size=DECISIONS).tolist(), world.random(DECISIONS)
    uniform = world.random(DECISIONS)
    statistics, belief = Statistics(), Belief(settings)
    belief.resize(statistics, MODELS)
    lost = 0.0
    for task_class, chance, u in zip(classes, luck, uniform, strict=True):
        seen = belief.marginals(task_class, Measure.QUALITY)
        model = draw(best_probabilities(seen.mean, [TEMPER * sd for sd in seen.contrast_sd]), float(u))
        lost += float(truth[task_class].max() - truth[task_class, model])
        score = to_fixed(float(chance < truth[task_class, model]))
        statistics.add(Observation(task_class, model, Measure.QUALITY, 1, 0, score))
        belief.refresh(statistics, [(task_class, model, Measure.QUALITY)])
    return lost


def test_pooled_beliefs_lose_less_than_independent_arms() -> None:
    pooled = [regret(BeliefSettings(), seed) for seed in range(6)]
    alone = [regret(INDEPENDENT, seed) for seed in range(6)]
    assert sum(pooled) < 0.75 * sum(alone)
    assert sum(p < a for p, a in zip(pooled, alone, strict=True)) >= 5
