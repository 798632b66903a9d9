"""True Thompson probabilities, slowly: a reference by dense quadrature, and Monte Carlo to check the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import erfc, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ARMS = (2, 4, 10, 16, 64)
_KNOTS = np.arange(-9.0, 9.01, 0.75)  # panel edges, in standard deviations of every arm
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_CHUNK = 1 << 16
_phi = np.frompyfunc(lambda z: 0.5 * erfc(-z / sqrt(2.0)), 1, 1)


@dataclass(frozen=True)
class Shape:
    """Independent normal utilities; mean, sd: (n_arms,)."""

    name: str
    mean: Floats
    sd: Floats


def shapes(cases: int, seed: int = 20) -> Iterator[Shape]:
    """Yield so many random beliefs of each shape for each number of arms."""
    rng = np.random.default_rng(seed)
    for n in ARMS:
        for _ in range(cases):
            yield Shape("equal scales", rng.normal(0.0, 1.0, n), np.ones(n))
            sd = 10.0 ** rng.uniform(-3.0, 0.0, n)
            yield Shape("scales mixed to 1e3", rng.normal(0.0, 0.3, n) * sd.max(), sd)
            newcomer = np.full(n, 0.01)
            newcomer[rng.integers(n)] = 1.0
            yield Shape("one newcomer 100 x wider", rng.normal(0.0, 0.02, n), newcomer)
            groups = rng.integers(0, 3, n)  # equal arms within each of three groups
            yield Shape("ties", np.array([0.0, 0.1, 0.0])[groups], np.array([0.1, 0.1, 0.3])[groups])
        yield Shape("all equal", np.full(n, 0.5), np.full(n, 0.2))


def exact(shape: Shape) -> Floats:
    """Return p (n_arms,): Gauss-Legendre on panels cut at 25 quantiles of every arm, Phi from erfc.

    Up to 25 * 6 * n_arms nodes, each with every arm's own Phi: about 0.5 s for 64 arms.
    """
    mean, sd = shape.mean[:, None], shape.sd[:, None]
    edges = np.unique(mean + sd * _KNOTS)
    half = np.diff(edges)[:, None] / 2.0
    nodes = (edges[:-1, None] + half * (1.0 + _NODES)).ravel()
    weights = (half * _WEIGHTS).ravel()
    z = (nodes - mean) / sd
    below = np.clip(_phi(np.clip(z, -38.0, 38.0)).astype(np.float64), 0.0, 1.0)
    before = np.ones_like(below)
    before[1:] = np.cumprod(below[:-1], axis=0)
    after = np.ones_like(below)
    after[:-1] = np.cumprod(below[:0:-1], axis=0)[::-1]
    p = (np.exp(-0.5 * z * z) / (sd * sqrt(2.0 * pi)) * before * after) @ weights
    return np.asarray(p)


def draws(wanted: Sequence[Shape], n_draws: int, seed: int = 21) -> list[Floats]:
    """Return for each shape how often each arm was the largest, as shares; all shapes see the same normals."""
    rng = np.random.default_rng(seed)
    widest = max(len(shape.mean) for shape in wanted)
    counts = [np.zeros(len(shape.mean)) for shape in wanted]
    for start in range(0, n_draws, _CHUNK):
        size = min(_CHUNK, n_draws - start)
        normals = rng.standard_normal((widest, size), dtype=np.float32)
        for shape, count in zip(wanted, counts, strict=True):
            count += np.bincount(_largest(shape, normals), minlength=len(count))
    return [count / n_draws for count in counts]


def _largest(shape: Shape, normals: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the arm with the largest utility in each column of normals."""
    mean = (shape.mean - shape.mean.max()).astype(np.float32)
    sd = shape.sd.astype(np.float32)
    best = normals[0] * sd[0] + mean[0]
    arm = np.zeros(best.shape, dtype=np.intp)
    for i in range(1, len(mean)):
        value = normals[i] * sd[i] + mean[i]
        arm[value > best] = i
        np.maximum(best, value, out=best)
    return arm


def total_variation(p: Sequence[float] | Floats, q: Sequence[float] | Floats) -> float:
    """Return half the sum of absolute differences."""
    return float(np.abs(np.asarray(p) - np.asarray(q)).sum() / 2.0)


def noise(p: Floats, n_draws: int) -> float:
    """Return the expected total variation between p and the shares of so many draws from it."""
    return float(np.sqrt(p * (1.0 - p) * 2.0 / (pi * n_draws)).sum() / 2.0)
