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
from typing import NamedTuple

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


class Marginals(NamedTuple):
    """Posterior of theta for one task class; all of length n_models."""

    mean: list[float]
    sd: list[float]
    n: list[float]  # observations in this very class, before decay
    decay: list[float]

    @property
    def evidence(self) -> Floats:
        """The effective number of observations in this very class, (n_models,)."""
        return np.array([n * decay for n, decay in zip(self.n, self.decay, strict=True)])


class _Row:
    """One task class's evidence, and its term as last folded into the sums; lists of length n_models."""

    __slots__ = ("n", "rhs", "u", "w", "w_fixed", "y")

    def __init__(self, n_models: int) -> None:
        self.n = [0.0] * n_models  # effective observations, before decay
        self.y = [0.0] * n_models  # their mean
        self.w = [0.0] * n_models
        self.u = [0.0] * n_models
        self.w_fixed = [0] * n_models
        self.rhs = [0] * n_models


class CrossedPosterior:
    """Evidence of one measure, and the Gaussian posterior that follows from it.

    The few numbers of one class are kept in lists, which are quicker than arrays; what is quadratic in the models, and
    its inverse, in arrays.
    """

    def __init__(self, prior: Prior, n_models: int) -> None:
        self.prior = prior
        self.n_models = n_models
        self._interaction = prior.interaction_sd**2
        self._class_precision = 1.0 / prior.class_sd**2
        model_precision = 1.0 / prior.model_sd**2
        field = 1.0 / prior.mean_sd**2 + n_models * model_precision
        self._precision_0 = np.full((n_models, n_models), -(model_precision**2) / field)
        self._precision_0.ravel()[:: n_models + 1] += model_precision
        self._rhs_0 = (model_precision - n_models * model_precision**2 / field) * prior.mean
        self._rows: dict[int, _Row] = {}
        self._nothing = _Row(n_models)
        self._w_sum = [0] * n_models  # sums over classes, fixed point
        self._rhs_sum = [0] * n_models
        self._products = np.zeros((n_models, n_models), dtype=np.int64)  # sum of u u'
        self._spread: dict[tuple[int, int], tuple[int, int]] = {}  # within-cell squares, degrees of freedom
        self._squares = self._freedom = 0
        self._noise_index = self._index()
        self.noise = 2.0 ** (self._noise_index / _STEPS)
        self._decay = [1.0] * n_models
        self._dirty: set[int] = set()
        self._rebuild = False
        self._stale = True
        self._cache: dict[int, Marginals] = {}

    def set_decay(self, decay: list[float]) -> None:
        """Weigh every model's evidence by its decay in (0, 1]; of length n_models."""
        self._decay = list(decay)
        self._rebuild = True

    def put(self, task_class: int, model: int, n: float, mean: float, squares: int, freedom: int) -> None:
        """Replace the evidence of one arm: effective observations, their mean, and the spread inside the cell.

        squares: weighted squares around the mean, in UNIT_WEIGHT * SCALE^2; freedom: degrees of freedom in UNIT_WEIGHT.
        """
        row = self._rows.get(task_class)
        if row is None:
            row = self._rows[task_class] = _Row(self.n_models)
        row.n[model] = n
        row.y[model] = mean
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

    def _fold(self, row: _Row) -> None:
        """Replace one class's term in the sums over classes."""
        interaction, noise = self._interaction, self.noise
        n = [n_m * decay for n_m, decay in zip(row.n, self._decay, strict=True)]
        w = [n_m / (interaction * n_m + noise) for n_m in n]
        scale = 1.0 / math.sqrt(self._class_precision + sum(w))
        u = [w_m * scale for w_m in w]
        level = sum([u_m * y_m for u_m, y_m in zip(u, row.y, strict=True)])
        w_fixed = [round(w_m * _FIXED) for w_m in w]
        rhs = [round((w_m * y_m - u_m * level) * _FIXED) for w_m, y_m, u_m in zip(w, row.y, u, strict=True)]
        self._w_sum = [s + new - old for s, new, old in zip(self._w_sum, w_fixed, row.w_fixed, strict=True)]
        self._rhs_sum = [s + new - old for s, new, old in zip(self._rhs_sum, rhs, row.rhs, strict=True)]
        both = np.array((u, row.u))
        products = both[:, :, None] * both[:, None, :]
        products *= _FIXED
        rounded = np.rint(products, out=products).astype(np.int64)  # the same u always gives the same integers
        self._products += rounded[0] - rounded[1]
        row.w, row.u, row.w_fixed, row.rhs = w, u, w_fixed, rhs

    def settle(self) -> None:
        """Fold the changed classes into the sums over classes."""
        if self._rebuild:
            self._dirty.update(self._rows)
            self._rebuild = False
        if not self._dirty:
            return
        for task_class in self._dirty:
            self._fold(self._rows[task_class])
        self._dirty.clear()
        self._stale = True

    def _solve(self) -> None:
        precision = self._products * (-1.0 / _FIXED)
        precision += self._precision_0
        precision.ravel()[:: self.n_models + 1] += [w / _FIXED for w in self._w_sum]
        rhs = np.array([r / _FIXED + self._rhs_0 for r in self._rhs_sum])
        self._cov = np.linalg.inv(precision)
        self._mu: list[float] = (self._cov @ rhs).tolist()
        self._var: list[float] = self._cov.diagonal().tolist()
        self._stale = False
        self._cache.clear()

    def marginals(self, task_class: int) -> Marginals:
        """Return the posterior of theta in one task class; one never seen is believed from the others."""
        self.settle()
        if self._stale:
            self._solve()
        cached = self._cache.get(task_class)
        if cached is None:
            cached = self._cache[task_class] = self._marginals(task_class)
        return cached

    def _marginals(self, task_class: int) -> Marginals:
        """Combine a class's own evidence with the abilities."""
        row = self._rows.get(task_class, self._nothing)
        difficulty_precision = self._class_precision + sum(row.w)
        g = [w_m / difficulty_precision for w_m in row.w]
        cov_g: list[float] = (self._cov @ g).tolist()
        difficulty = sum([g_m * (y_m - mu_m) for g_m, y_m, mu_m in zip(g, row.y, self._mu, strict=True)])
        common = sum([g_m * c_m for g_m, c_m in zip(g, cov_g, strict=True)]) + 1.0 / difficulty_precision
        interaction = self._interaction
        means, sds = [], []
        for w_m, y_m, mu_m, var_m, c_m in zip(row.w, row.y, self._mu, self._var, cov_g, strict=True):
            seen = w_m * interaction  # the share of the class's own evidence, in [0, 1)
            unseen = max(1.0 - seen, _LEAST_UNSEEN)
            means.append(seen * y_m + unseen * (mu_m + difficulty))
            sds.append(math.sqrt(unseen * (interaction + unseen * (var_m - 2.0 * c_m + common))))
        return Marginals(means, sds, list(row.n), self._decay)
