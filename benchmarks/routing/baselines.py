"""Baselines that need no package: what a team would write in an afternoon, each as good as it is usually written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.routing.outcomes import Floats, Ints, Outcomes

Policy = Callable[[Outcomes, Floats, int], Ints]  # (stream, value of every call, seed) -> the arms chosen


def epsilon_greedy(outcomes: Outcomes, value: Floats, seed: int, *, epsilon: float = 0.05) -> Ints:
    """Choose the best mean so far, without classes; one call of epsilon's share at random. Each model is tried once."""
    rng = np.random.default_rng([seed, 30])
    steps, n_models = value.shape
    arms = np.zeros(steps, dtype=np.int64)
    sums, counts = np.zeros(n_models), np.zeros(n_models)
    for step in range(steps):
        if step < n_models:
            arm = step
        elif rng.random() < epsilon:
            arm = int(rng.integers(n_models))
        else:
            arm = int(np.argmax(sums / counts))
        arms[step] = arm
        sums[arm] += value[step, arm]
        counts[arm] += 1.0
    return arms


def independent_thompson(outcomes: Outcomes, value: Floats, seed: int) -> Ints:
    """Thompson sampling on each (class, model) for itself: Gaussian, noise learned over all, prior N(0.6, 0.3^2)."""
    rng = np.random.default_rng([seed, 31])
    steps, n_models = value.shape
    n_classes = len(outcomes.task_classes)
    arms = np.zeros(steps, dtype=np.int64)
    sums, counts = np.zeros((n_classes, n_models)), np.zeros((n_classes, n_models))
    squares, freedom = 0.5, 10.0  # ten pseudo-observations with a variance of 0.05
    for step in range(steps):
        k = outcomes.task_class[step]
        precision = 1.0 / 0.09 + counts[k] * freedom / squares
        mean = (0.6 / 0.09 + sums[k] * freedom / squares) / precision
        arm = int(np.argmax(mean + rng.standard_normal(n_models) / np.sqrt(precision)))
        arms[step] = arm
        seen = value[step, arm]
        if counts[k, arm] > 0.0:
            before = sums[k, arm] / counts[k, arm]
            squares += (seen - before) ** 2 * counts[k, arm] / (counts[k, arm] + 1.0)
            freedom += 1.0
        sums[k, arm] += seen
        counts[k, arm] += 1.0
    return arms


def class_linucb(outcomes: Outcomes, value: Floats, seed: int, *, alpha: float = 0.3) -> Ints:
    """LinUCB with the class as one-hot features, ridge 1 and a bias: disjoint models."""
    steps, n_models = value.shape
    n_classes = len(outcomes.task_classes)
    arms = np.zeros(steps, dtype=np.int64)
    dim = n_classes + 1
    inverse = np.tile(np.eye(dim), (n_models, 1, 1))
    weighted = np.zeros((n_models, dim))
    for step in range(steps):
        k = int(outcomes.task_class[step])
        x = np.zeros(dim)
        x[k] = x[-1] = 1.0
        reach = inverse @ x  # (M, dim)
        score = np.einsum("md,md->m", weighted, reach) + alpha * np.sqrt(reach @ x)
        arm = int(np.argmax(score))
        arms[step] = arm
        inverse[arm] -= np.outer(reach[arm], reach[arm]) / (1.0 + reach[arm] @ x)
        weighted[arm] += value[step, arm] * x
    return arms


BASELINES: dict[str, Policy] = {
    "epsilon-greedy .05, no class": epsilon_greedy,
    "independent Thompson": independent_thompson,
    "LinUCB, class one-hot": class_linucb,
}
