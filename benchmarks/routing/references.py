"""What a policy is compared with: references that know every outcome in hindsight, and mixes that do not learn.

A reference is no competitor: the best model of each class in hindsight knows what nobody knows when the stream begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.routing.outcomes import Floats, Ints, Outcomes

Bools = NDArray[np.bool_]


def class_means(values: Floats, task_class: Ints, n_classes: int) -> Floats:
    """Return the mean of each column in each class, (n_classes, M); 0 in a class without prompts."""
    sums = np.zeros((n_classes, values.shape[1]))
    np.add.at(sums, task_class, values)
    return sums / np.maximum(np.bincount(task_class, minlength=n_classes), 1)[:, None]


def regret(means: Floats, task_class: Ints, arms: Ints) -> Floats:
    """Return the cumulative regret after each step, (T,): mean value of the best model of the class minus the chosen's.

    means: of each class and model, (K, M), over the whole set: the luck of single prompts, and of which of them came
    into the stream, does not count.
    """
    lost = means.max(axis=1)[task_class] - means[task_class, arms]
    return np.asarray(np.cumsum(lost))


_LEVEL, _CONTRAST, _MODEL = 5.0, 20.0, 3.0  # pseudo-outcomes behind a class's level, its contrasts, a model's mean
_EXCHANGE = (0.0, *(0.0025 * 2.0**power for power in range(10)))  # quality for the cost of a mean call of a model


def offline(first: Outcomes, second: Outcomes, seen: Bools, cost: float) -> float:
    """Return the quality on the second part of a class router made of outcomes of the first, at no more than a cost.

    seen: (T, M), which outcomes of the first part it is shown, chosen by nobody; its costs it knows in full. How much
    quality a dollar is to be worth is picked on the second part itself. A limit for a router that has to choose, and
    pay for, what it is shown; -inf where nothing is as cheap.
    """
    count = seen.sum(axis=0)
    mean = ((first.quality * seen).sum(axis=0) + 0.7 * _MODEL) / (count + _MODEL)
    classes = len(first.task_classes)
    shown = np.zeros((classes, len(mean)))
    above = np.zeros_like(shown)
    np.add.at(shown, first.task_class, seen)
    np.add.at(above, first.task_class, (first.quality - mean) * seen)
    level = above.sum(axis=1) / (shown.sum(axis=1) + _LEVEL)
    contrast = (above - level[:, None] * shown) / (shown + _CONTRAST)
    price = class_means(first.cost, first.task_class, classes)
    rows = np.arange(len(second.task_class))
    best = -np.inf
    for exchange in _EXCHANGE:
        arms = (mean + contrast - exchange * price / first.cost.mean()).argmax(axis=1)[second.task_class]
        if second.cost[rows, arms].mean() <= cost:
            best = max(best, float(second.quality[rows, arms].mean()))
    return best


@dataclass(frozen=True)
class Point:
    """Mean quality and mean cost (USD) of a policy."""

    quality: float
    cost: float


def hull(points: list[Point]) -> list[Point]:
    """Return the non-decreasing upper hull of cost and quality, cheapest first: what mixing two of them can reach."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.quality)):
        if best and point.quality <= best[-1].quality:
            continue
        while len(best) > 1 and _below(best[-2], best[-1], point):
            best.pop()
        best.append(point)
    return best


def _below(left: Point, middle: Point, right: Point) -> bool:
    """Return whether the middle point lies on or below the line between the others."""
    return (middle.quality - left.quality) * (right.cost - left.cost) <= (right.quality - left.quality) * (
        middle.cost - left.cost
    )


def static_mix(points: list[Point], cost: float) -> float:
    """Return the quality of the best mix of two fixed models at a mean cost, at least the cheapest's."""
    corners = hull(points)
    return float(np.interp(cost, [p.cost for p in corners], [p.quality for p in corners]))


def fixed(outcomes: Outcomes) -> list[Point]:
    """Return the point of always using each model."""
    pairs = zip(outcomes.quality.mean(axis=0).tolist(), outcomes.cost.mean(axis=0).tolist(), strict=True)
    return [Point(quality, cost) for quality, cost in pairs]
