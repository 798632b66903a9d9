"""The posterior of one measure over all (task class, model) pairs: a crossed random-effects model, solved exactly.

For task class k and model m:

    theta_km = b_k + mu_m + delta_km
    mu_m ~ N(g, model_sd^2),  g ~ N(mean, mean_sd^2)      a model's ability, around the field's
    b_k ~ N(0, class_sd^2)                                 how hard the class is, the same for every model
    delta_km ~ N(0, interaction_sd^2)                      what is special about this model in this class
    observation = theta_km + N(0, noise)

With w_km = 1 / (interaction_sd^2 + noise / n_km) every b_k and delta_km integrates out in closed form (Henderson's
mixed-model equations; Searle, Casella and McCulloch, "Variance Components", 1992). What is left is one Gaussian over
the abilities, with precision and right-hand side

    A = A_0 + sum_k [diag(w_k) - u_k u_k'],   u_k = w_k / sqrt(1/class_sd^2 + sum_m w_km)
    r = r_0 + sum_k [w_k y_k - u_k (u_k' y_k)].

So a model never seen starts from what the field teaches, and a class never seen from what its models did elsewhere.

Purity and speed meet through integers: each class's w_k, u_k and right-hand side are rounded to fixed point and the
sums over classes are kept in exact integers. Replacing one class's term gives, to the bit, what a computation from
nothing gives, and a decision costs the same with 14 classes and with 1,000. The noise is learned from the spread inside
cells and enters on a grid of quarter octaves, so that the integers stay valid while it settles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from naiad.bandit.statistics import SCALE, UNIT_WEIGHT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_FIXED = float(1 << 30)  # fixed point of class terms: 64 bits hold a million classes of the largest terms
_LEAST_UNSEEN = 1e-15  # keeps sds above zero however much evidence there is
_STEPS = 4  # grid points per octave of the learned noise


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of one measure before any evidence; all in the measure's own unit."""

    mean: float
    mean_sd: float  # how far the whole field may lie from `mean`
    model_sd: float
    class_sd: float
    interaction_sd: float
    noise: float  # variance of one observation
    noise_floor: float
    noise_weight: float = 10.0  # pseudo-observations behind `noise`


@dataclass(frozen=True, slots=True)
class Marginals:
    """Posterior of theta for one task class; all of length n_models."""

    mean: list[float]
    sd: list[float]
    evidence: Floats  # effective number of observations in this very class, as of now: a view


class CrossedPosterior:
    """Evidence of one measure, and the Gaussian posterior that follows from it."""

    def __init__(self, prior: Prior, class_capacity: int, n_models: int) -> None:
        self.prior = prior
        self.class_capacity = class_capacity
        self.n_models = n_models
        self._interaction = prior.interaction_sd**2
        self._class_precision = 1.0 / prior.class_sd**2
        model_precision = 1.0 / prior.model_sd**2
        field = 1.0 / prior.mean_sd**2 + n_models * model_precision
        self._precision_0 = np.full((n_models, n_models), -(model_precision**2) / field)
        self._precision_0.ravel()[:: n_models + 1] += model_precision
        self._rhs_0 = (model_precision - n_models * model_precision**2 / field) * prior.mean
        shape = (class_capacity, n_models)
        self._n = np.zeros(shape)  # effective observations, before decay
        self._y = np.zeros(shape)  # their mean
        self._w = np.zeros(shape)  # as last folded into the sums
        self._u = np.zeros(shape)  # as last folded into the sums
        self._terms = np.zeros((class_capacity, 2, n_models), dtype=np.int64)  # w and right-hand side
        self._sums = np.zeros((2, n_models), dtype=np.int64)
        self._products = np.zeros((n_models, n_models), dtype=np.int64)  # sum of u u'
        self._spread: dict[tuple[int, int], tuple[int, int]] = {}  # within-cell squares, degrees of freedom
        self._squares = self._freedom = 0
        self._noise_index = self._index()
        self.noise = 2.0 ** (self._noise_index / _STEPS)
        self._decay: Floats | None = None
        self._dirty: set[int] = set()
        self._rebuild = False
        self._stale = True
        self._cache: dict[int, Marginals] = {}

    def grow(self, class_capacity: int) -> None:
        """Make room for more task classes."""
        extra = class_capacity - self.class_capacity
        self.class_capacity = class_capacity
        pad = ((0, extra), (0, 0))
        self._n, self._y, self._w = np.pad(self._n, pad), np.pad(self._y, pad), np.pad(self._w, pad)
        self._u = np.pad(self._u, pad)
        self._terms = np.pad(self._terms, ((0, extra), (0, 0), (0, 0)))

    def set_decay(self, decay: Floats) -> None:
        """Weigh every model's evidence by its decay in (0, 1]; decay (n_models,)."""
        self._decay = decay
        self._rebuild = True

    def put(self, task_class: int, model: int, n: float, mean: float, squares: int, freedom: int) -> None:
        """Replace the evidence of one arm: effective observations, their mean, and the spread inside the cell.

        squares: weighted squares around the mean, in UNIT_WEIGHT * SCALE^2; freedom: degrees of freedom in UNIT_WEIGHT.
        """
        self._n[task_class, model] = n
        self._y[task_class, model] = mean
        self._dirty.add(task_class)
        key = (task_class, model)
        old_squares, old_freedom = self._spread.get(key, (0, 0))
        self._spread[key] = (squares, freedom)
        self._squares += squares - old_squares
        self._freedom += freedom - old_freedom
        index = self._index()
        if index != self._noise_index:
            self._noise_index = index
            self.noise = 2.0 ** (index / _STEPS)
            self._rebuild = True

    def _index(self) -> int:
        prior = self.prior
        pooled = self._squares / (UNIT_WEIGHT * SCALE * SCALE) + prior.noise * prior.noise_weight
        variance = pooled / (self._freedom / UNIT_WEIGHT + prior.noise_weight)
        return round(_STEPS * math.log2(max(variance, prior.noise_floor)))

    def _fold(self, row: int) -> None:
        """Replace one class's term in the sums over classes."""
        n, y = self._n[row], self._y[row]
        if self._decay is not None:
            n = n * self._decay
        w = n / (self._interaction * n + self.noise)
        u = w * (1.0 / math.sqrt(self._class_precision + float(np.add.reduce(w))))
        scaled = np.empty((2, self.n_models))
        np.multiply(w, _FIXED, out=scaled[0])
        np.multiply(w * y - u * float(np.add.reduce(u * y)), _FIXED, out=scaled[1])
        terms = np.rint(scaled, out=scaled).astype(np.int64)
        self._sums += terms - self._terms[row]
        both = np.array((u, self._u[row]))
        products = both[:, :, None] * both[:, None, :]
        products *= _FIXED
        rounded = np.rint(products, out=products).astype(np.int64)  # the same u always gives the same integers
        self._products += rounded[0] - rounded[1]
        self._w[row], self._u[row], self._terms[row] = w, u, terms

    def settle(self) -> None:
        """Fold the changed classes into the sums over classes."""
        if self._rebuild:
            self._dirty.update(np.flatnonzero(self._n.any(axis=1)).tolist())
            self._rebuild = False
        if not self._dirty:
            return
        for row in self._dirty:
            self._fold(row)
        self._dirty.clear()
        self._stale = True

    def _solve(self) -> None:
        precision = self._products * (-1.0 / _FIXED)
        precision += self._precision_0
        diagonal, rhs = self._sums * (1.0 / _FIXED)
        precision.ravel()[:: self.n_models + 1] += diagonal
        rhs += self._rhs_0
        self._cov = np.linalg.inv(precision)
        self._mu: list[float] = (self._cov @ rhs).tolist()
        self._var: list[float] = self._cov.diagonal().tolist()
        self._stale = False
        self._cache.clear()

    def marginals(self, task_class: int) -> Marginals:
        """Return the posterior of theta in one task class; a class beyond capacity is one never seen."""
        self.settle()
        if self._stale:
            self._solve()
        cached = self._cache.get(task_class)
        if cached is None:
            cached = self._cache[task_class] = self._marginals(task_class)
        return cached

    def _marginals(self, task_class: int) -> Marginals:
        """Combine a class's own evidence with the abilities; in lists, which are quicker than arrays for few models."""
        if task_class < self.class_capacity:
            n, y, w = self._n[task_class], self._y[task_class].tolist(), self._w[task_class].tolist()
        else:
            n = np.zeros(self.n_models)
            y = w = n.tolist()
        difficulty_precision = self._class_precision + sum(w)
        g = [w_m / difficulty_precision for w_m in w]
        cov_g: list[float] = (self._cov @ np.array(g)).tolist()
        difficulty = sum([g_m * (y_m - mu_m) for g_m, y_m, mu_m in zip(g, y, self._mu, strict=True)])
        common = sum([g_m * c_m for g_m, c_m in zip(g, cov_g, strict=True)]) + 1.0 / difficulty_precision
        interaction = self._interaction
        means, sds = [], []
        for w_m, y_m, mu_m, var_m, c_m in zip(w, y, self._mu, self._var, cov_g, strict=True):
            seen = w_m * interaction  # the share of the class's own evidence, in [0, 1)
            unseen = max(1.0 - seen, _LEAST_UNSEEN)
            means.append(seen * y_m + unseen * (mu_m + difficulty))
            sds.append(math.sqrt(unseen * (interaction + unseen * (var_m - 2.0 * c_m + common))))
        return Marginals(means, sds, n if self._decay is None else n * self._decay)
