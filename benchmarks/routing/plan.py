"""What a run of the routing benchmark is to measure, and how its numbers are summed up and shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Plan:
    """What to measure: which sets, how many seeds, with which peers."""

    folder: Path
    seeds: Sequence[int]
    sets: frozenset[str]  # empty: all that a figure knows
    pools: frozenset[str]
    python: Path | None  # of the peers; None leaves them out
    plots: Path | None = None  # folder; None draws nothing


@dataclass(frozen=True)
class Arena:
    """One set and pool with its length, and what a figure must reach there."""

    name: str
    pool: str
    length: int
    reach: float


class NothingChosen(ValueError):
    """No set and pool of a figure is what was asked for, so that there is nothing to measure."""


def chosen(plan: Plan, arenas: Iterable[Arena]) -> list[Arena]:
    """Return the arenas that the plan asks for; raises NothingChosen."""
    known = list(arenas)
    found = [
        arena
        for arena in known
        if (not plan.sets or arena.name in plan.sets) and (not plan.pools or arena.pool in plan.pools)
    ]
    if not found:
        there = ", ".join(f"--set {arena.name} --pool {arena.pool}" for arena in known)
        raise NothingChosen(f"there is nothing to measure; this figure knows {there}")
    return found


def summary(values: Sequence[float], *, worst: Callable[[Sequence[float]], float] = max) -> dict[str, float]:
    """Return mean, standard error, worst and 10th percentile of a figure over seeds."""
    found = np.asarray(values, dtype=np.float64)
    return {
        "mean": float(found.mean()),
        "se": float(found.std(ddof=1) / sqrt(len(found))) if len(found) > 1 else 0.0,
        "worst": float(worst(values)),
        "p10": float(np.quantile(found, 0.1)),
    }


def show(name: str, found: dict[str, float], digits: int) -> None:
    print(
        f"    {name:32} {found['mean']:10.{digits}f} +- {found['se']:<8.{digits}f} worst {found['worst']:8.{digits}f}"
        f"   10th percentile {found['p10']:8.{digits}f}"
    )
