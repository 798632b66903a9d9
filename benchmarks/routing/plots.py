"""Plots of the routing benchmark; matplotlib is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.routing.outcomes import Floats
from benchmarks.routing.references import Point, hull

_OURS = "#0b7a75"
_GREYS = ("#8d99ae", "#c08552", "#7f6a93", "#5b8e7d", "#b56576", "#6d6875", "#457b9d", "#a3a380")


def regret_curves(folder: Path, pool: str, curves: Mapping[str, Sequence[Floats]], ours: str) -> Path:
    """Draw the mean cumulative regret of each policy over the stream, with a band of two standard errors.

    curves: of each policy the cumulative regret of each seed, (T,).
    """
    figure, axes = _blank(f"{pool}: quality lost against the best model of each class")
    for (name, seeds), grey in zip(curves.items(), _colours(curves, ours), strict=True):
        values = np.stack(seeds)
        mean, se = values.mean(axis=0), values.std(axis=0, ddof=min(1, len(values) - 1)) / np.sqrt(len(values))
        steps = np.arange(1, values.shape[1] + 1)
        axes.plot(steps, mean, color=grey, linewidth=2.4 if name == ours else 1.2, label=name)
        axes.fill_between(steps, mean - 2 * se, mean + 2 * se, color=grey, alpha=0.18, linewidth=0)
    axes.set(xlabel="prompts", ylabel="cumulative regret", xlim=(0, None), ylim=(0, None))
    return _save(figure, axes, folder / f"regret-{pool}.png")


def frontier(
    folder: Path, pool: str, models: Mapping[str, Point], ours: Sequence[Point], limits: Mapping[str, Point]
) -> Path:
    """Draw what a request costs against its quality: fixed models, the mixes of two of them, ours, and limits."""
    figure, axes = _blank(f"{pool}: second half of the stream, one point for each worth of quality")
    corners = hull(list(models.values()))
    costs = np.geomspace(corners[0].cost, corners[-1].cost, 400)  # a straight line in dollars, not in their log
    mixes = np.interp(costs, [p.cost for p in corners], [p.quality for p in corners])
    axes.plot(costs, mixes, color=_GREYS[0], label="mixes of two fixed models")
    axes.scatter([p.cost for p in models.values()], [p.quality for p in models.values()], color=_GREYS[0], s=16)
    for name, point in models.items():
        axes.annotate(
            name, (point.cost, point.quality), fontsize=6, color="#555", xytext=(3, -7), textcoords="offset points"
        )
    axes.plot([p.cost for p in ours], [p.quality for p in ours], "o-", color=_OURS, label="Naiad")
    for (name, point), grey in zip(limits.items(), _GREYS[1:], strict=False):
        axes.scatter([point.cost], [point.quality], marker="*", s=90, color=grey, label=name)
    axes.set(xlabel="USD a request", ylabel="mean quality", xscale="log")
    return _save(figure, axes, folder / f"frontier-{pool}.png")


def _colours(curves: Mapping[str, Any], ours: str) -> list[str]:
    others = iter(_GREYS * (1 + len(curves) // len(_GREYS)))
    return [_OURS if name == ours else next(others) for name in curves]


def _blank(title: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _save(figure: Any, axes: Any, path: Path) -> Path:
    axes.legend(fontsize=7, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path
