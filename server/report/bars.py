"""Posteriors as a line of text: the density of a normal belief over a common axis."""

from __future__ import annotations

from itertools import pairwise
from math import ceil, erf, floor, sqrt

_HEIGHTS = " ▁▂▃▄▅▆▇█"


def density(mean: float, sd: float, low: float, high: float, width: int) -> str:
    """Return `width` characters whose heights follow the probability of N(mean, sd²) in equal cells of [low, high].

    Heights are relative to the fullest cell, so a narrow belief is one tall mark and a wide one a long hill. Mass
    beyond the axis is not drawn.
    """
    edges = [low + (high - low) * i / width for i in range(width + 1)]
    below = [_below(edge, mean, max(sd, 1e-12)) for edge in edges]
    mass = [max(0.0, b - a) for a, b in pairwise(below)]
    top = max(mass)
    if top <= 0.0:  # all of it lies beyond the axis
        return (_HEIGHTS[-1] + " " * (width - 1)) if mean < low else (" " * (width - 1) + _HEIGHTS[-1])
    return "".join(_HEIGHTS[_height(m / top)] for m in mass)


def _height(part: float) -> int:
    """Return 0 for next to nothing, and else 1 to 8."""
    return 0 if part < 0.02 else max(1, ceil(part * 8 - 1e-9))


def _below(edge: float, mean: float, sd: float) -> float:
    return 0.5 * (1.0 + erf((edge - mean) / (sd * sqrt(2.0))))


def axis(beliefs: list[tuple[float, float]], step: float = 0.1) -> tuple[float, float]:
    """Return (low, high): whole steps within [0, 1], at least one apart, that hold three sds of every (mean, sd)."""
    low = min((mean - 3 * sd for mean, sd in beliefs), default=0.0)
    high = max((mean + 3 * sd for mean, sd in beliefs), default=1.0)
    first = max(0, min(floor(low / step), round(1 / step) - 1))
    last = min(round(1 / step), max(ceil(high / step), first + 1))
    return first * step, last * step


def scale(low: float, high: float, width: int) -> str:
    """Return the two ends of an axis over `width` characters: "0.6              1"."""
    left, right = f"{low:.3g}", f"{high:.3g}"
    return left + " " * max(1, width - len(left) - len(right)) + right
