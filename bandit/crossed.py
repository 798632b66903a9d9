"""The posterior of one measure over all (task class, model) pairs: a crossed random-effects model, solved exactly.

For task class k and model m:

    theta_km = b_k + s_k (mu_m + delta_km)
    b_k ~ N(B, class_sd^2),  B ~ N(mean, mean_sd^2)        how easy the class is, around the field's level
    mu_m ~ N(0, model_sd^2)                                a model's ability
    delta_km ~ N(0, interaction_sd^2)                      what is special about this model in this class
    observation = theta_km + N(0, phi v_k)

A measure in [0, 1] has less room near its ends. With p_k the class's level (its mean over all models, shrunken) its
observations vary as v_k = p_k (1 - p_k) does, and its models differ by s_k = 4 v_k of what they would in a class of
medium difficulty; any other measure has v_k = s_k = 1. The factor phi is learned from the spread inside cells: it is
near 1 for pass or fail and far below for graded judgements.

With w_km = 1 / (s_k^2 interaction_sd^2 + phi v_k / n_km) every b_k and delta_km integrates out in closed form
(Henderson's mixed-model equations; Searle, Casella and McCulloch, "Variance Components", 1992). What is left is one
Gaussian over z = (mu, B). With c = 1/class_sd^2, W_k = sum_m w_km and

    a_k = (s_k w_k, -c, w_k' y_k) / sqrt(c + W_k)

its precision A and right-hand side r, side by side as the matrix (A r), gain from each class

    ( diag(s_k^2 w_k, c)   (s_k w_k y_k, 0) )  -  a_k a_k',  the last without its last row.

So a model never seen starts from what the field teaches, and a class never seen from what its models did elsewhere.

Two standard deviations of theta_km are of use. `sd` is that of theta itself, for floors and for people. `contrast_sd`
holds the class's level, b_k, fixed: what is uncertain about it is common to all models and decides nothing between
them, so a choice that drew it anew for each model would explore for nothing.

Purity and speed meet through integers: each class's terms are rounded to fixed point and their sum over classes is kept
in exact integers. Replacing one class's term gives, to the bit, what a computation from nothing gives, and a decision
costs the same with 14 classes and with 1,000. The factor phi enters on a grid of quarter octaves, so that the integers
stay valid while it settles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import mul
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from naiad.bandit.statistics import SCALE, UNIT_WEIGHT

Floats = NDArray[np.float64]

_FIXED = float(1 << 30)  # fixed point of class terms: 64 bits hold a million classes of the largest terms
_LEAST_UNSEEN = 1e-15  # keeps sds above zero however much evidence there is
_LEAST_VARIANCE = 1e-30
_STEPS = 4  # grid points per octave of the learned noise
_LEVEL_WEIGHT = 5.0  # pseudo-observations at the prior's mean behind a class's level
_LOWEST_LEVEL = 0.02  # and 1 minus the highest: a class never seems quite without room
_PATIENCE = 8  # changes after which a forecast asks for a solution
_UNIT = 1 << 20  # fixed point of v_k in the degrees of freedom


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of one measure before any evidence; all in the measure's own unit."""

    mean: float
    mean_sd: float  # how far the whole field may lie from `mean`
    model_sd: float
    class_sd: float
    interaction_sd: float
    noise: float  # phi: variance of one observation, in units of v_k
    noise_floor: float
    noise_weight: float = 10.0  # pseudo-observations behind `noise`, in units of v_k
    bounded: bool = False  # the measure lies in [0, 1]


class Marginals(NamedTuple):
    """Posterior of theta for one task class; all of length n_models."""

    mean: list[float]
    sd: list[float]
    contrast_sd: list[float]  # with the class's level held fixed
    n: list[float]  # observations in this very class, before decay
    decay: list[float]

    @property
    def evidence(self) -> Floats:
        """The effective number of observations in this very class, (n_models,)."""
        return np.array([n * decay for n, decay in zip(self.n, self.decay, strict=True)])


class Forecast(NamedTuple):
    """What was believed of one arm at the last solution."""

    mean: float
    sd: float
    noise: float  # variance of one observation


class _Row:
    """One task class's evidence, and its terms as last folded into the sum.

    Lists of length n_models, which are quicker than arrays for so few numbers.
    """

    __slots__ = ("freedom", "n", "scale", "terms", "unit", "w", "weight", "weighted", "y")

    def __init__(self, n_models: int, unit: float) -> None:
        self.n = [0.0] * n_models  # effective observations, before decay
        self.y = [0.0] * n_models  # their mean
        self.unit = unit  # v_k
        self.scale = 1.0  # s_k
        self.freedom = 0  # of the spread inside cells
        self.w = [0.0] * n_models
        self.weight = 0.0  # sum of w
        self.weighted = 0.0  # sum of w y
        self.terms = np.zeros(3 * (n_models + 2))  # a_k, then the diagonal and the right-hand side, zeros behind them


class CrossedPosterior:
    """Evidence of one measure, and the Gaussian posterior that follows from it."""

    def __init__(self, prior: Prior, n_models: int) -> None:
        self.prior = prior
        self.n_models = n_models
        self._interaction = prior.interaction_sd**2
        self._class_precision = 1.0 / prior.class_sd**2
        field = 1.0 / prior.mean_sd**2
        self._prior_precision = np.array([1.0 / prior.model_sd**2] * n_models + [field])
        self._prior_rhs = field * prior.mean
        self._rows: dict[int, _Row] = {}
        self._nothing = _Row(n_models, 1.0)
        if prior.bounded:
            self._nothing.unit = self._unit(0.0, 0.0)
            self._nothing.scale = 4.0 * self._nothing.unit
        self._sum = np.zeros((n_models + 1, n_models + 2), dtype=np.int64)  # of all classes' terms, fixed point
        self._spread: dict[tuple[int, int], tuple[int, int]] = {}  # within-cell squares, degrees of freedom
        self._squares = 0
        self._expected = 0  # degrees of freedom x v_k, in 1 / _UNIT
        self._noise_index = self._index()
        self.noise = 2.0 ** (self._noise_index / _STEPS)
        self._decay = [1.0] * n_models
        self._dirty: set[int] = set()
        self._rebuild = False
        self._stale = True
        self._unsolved = _PATIENCE  # changes since the last solution
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
            row = self._rows[task_class] = _Row(self.n_models, self._nothing.unit)
        row.n[model] = n
        row.y[model] = mean
        self._dirty.add(task_class)
        key = (task_class, model)
        old_squares, old_freedom = self._spread.get(key, (0, 0))
        self._spread[key] = (squares, freedom)
        self._squares += squares - old_squares
        self._expected += (freedom - old_freedom) * round(row.unit * _UNIT)
        row.freedom += freedom - old_freedom

    def _index(self) -> int:
        prior = self.prior
        pooled = self._squares / (UNIT_WEIGHT * SCALE * SCALE) + prior.noise * prior.noise_weight
        variance = pooled / (self._expected / (UNIT_WEIGHT * _UNIT) + prior.noise_weight)
        return round(_STEPS * math.log2(max(variance, prior.noise_floor)))

    def _unit(self, total: float, weighted: float) -> float:
        """Return v_k of a class from its observations' number and sum."""
        level = (weighted + _LEVEL_WEIGHT * self.prior.mean) / (total + _LEVEL_WEIGHT)
        level = min(max(level, _LOWEST_LEVEL), 1.0 - _LOWEST_LEVEL)
        return level * (1.0 - level)

    def _measure_level(self, row: _Row) -> None:
        """Bring a class's v_k and s_k to its evidence."""
        n = self._decayed(row)
        unit = self._unit(sum(n), sum([n_m * y_m for n_m, y_m in zip(n, row.y, strict=True)]))
        self._expected += row.freedom * (round(unit * _UNIT) - round(row.unit * _UNIT))
        row.unit, row.scale = unit, 4.0 * unit

    def _decayed(self, row: _Row) -> list[float]:
        return [n_m * decay for n_m, decay in zip(row.n, self._decay, strict=True)]

    def _fold(self, row: _Row) -> None:
        """Replace one class's terms in the sum over classes."""
        scale, c = row.scale, self._class_precision
        square = scale * scale
        interaction, noise = square * self._interaction, self.noise * row.unit
        w = [n_m / (interaction * n_m + noise) for n_m in self._decayed(row)]
        wy = [w_m * y_m for w_m, y_m in zip(w, row.y, strict=True)]
        weight, weighted = sum(w), sum(wy)
        root = 1.0 / math.sqrt(c + weight)
        reach = scale * root
        terms = np.array([
            *[w_m * reach for w_m in w], -c * root, weighted * root,
            *[w_m * square for w_m in w], c, 0.0,
            *[wy_m * scale for wy_m in wy], 0.0, 0.0,
        ])  # fmt: skip
        both = np.concatenate((terms, row.terms)).reshape(2, 3, -1)  # the new terms and the old
        a = both[:, 0]
        products = a[:, :-1, None] * a[:, None, :]
        products.reshape(2, -1)[:, :: a.shape[1] + 1] -= both[:, 1, :-1]
        products[:, :, -1] -= both[:, 2, :-1]
        products *= -_FIXED
        rounded = np.rint(products, out=products).astype(np.int64)  # the same terms always give the same integers
        self._sum += rounded[0] - rounded[1]
        row.w, row.terms, row.weight, row.weighted = w, terms, weight, weighted

    def settle(self) -> None:
        """Fold the changed classes into the sum over classes."""
        if self._rebuild:
            self._dirty.update(self._rows)
            self._rebuild = False
        if not self._dirty:
            return
        if self.prior.bounded:
            for task_class in self._dirty:
                self._measure_level(self._rows[task_class])
        index = self._index()
        if index != self._noise_index:
            self._noise_index = index
            self.noise = 2.0 ** (index / _STEPS)
            self._dirty.update(self._rows)
        for task_class in self._dirty:
            self._fold(self._rows[task_class])
        self._dirty.clear()
        self._stale = True
        self._unsolved += 1

    def _solve(self) -> None:
        size = self.n_models + 1
        system = self._sum * (1.0 / _FIXED)  # (A r)
        system.ravel()[:: size + 2] += self._prior_precision
        system[size - 1, size] += self._prior_rhs
        self._cov = np.linalg.inv(system[:, :size])
        *self._mu, self._centre = (self._cov @ system[:, size]).tolist()
        self._var: list[float] = self._cov.diagonal().tolist()
        self._stale = False
        self._unsolved = 0
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

    def forecast(self, task_class: int, model: int) -> Forecast:
        """Return what is believed of one arm, for comparison only: cheap, and a little behind.

        A class's own evidence is up to date, abilities and the field's level are those of the last solution, at most
        a few changes ago. Of the class's level the sd counts only what is its own. O(n_models).
        """
        if self._dirty or self._rebuild:
            self.settle()
        row = self._rows.get(task_class, self._nothing)
        noise = self.noise * row.unit
        if not self._stale and (cached := self._cache.get(task_class)) is not None:
            return Forecast(cached.mean[model], cached.sd[model], noise)
        if self._unsolved >= _PATIENCE:
            self._solve()
        scale, mu, own = row.scale, self._mu, self._class_precision
        square = scale * scale
        precision = own + row.weight
        level = (own * self._centre + row.weighted - scale * sum(map(mul, row.w, mu))) / precision
        seen = row.w[model] * square * self._interaction
        unseen = 1.0 - seen if seen < 1.0 - _LEAST_UNSEEN else _LEAST_UNSEEN
        mean = seen * row.y[model] + unseen * (level + scale * mu[model])
        variance = unseen * (square * self._interaction + unseen * (square * self._var[model] + 1.0 / precision))
        return Forecast(mean, math.sqrt(variance if variance > _LEAST_VARIANCE else _LEAST_VARIANCE), noise)

    def _marginals(self, task_class: int) -> Marginals:
        """Combine a class's own evidence with the abilities and the field's level."""
        row = self._rows.get(task_class, self._nothing)
        scale, mu, y = row.scale, self._mu, row.y
        precision = self._class_precision + sum(row.w)
        g = [w_m / precision for w_m in row.w]
        from_field = self._class_precision / precision
        reach = [-scale * g_m for g_m in g]  # how the class's level moves with the abilities and with B
        reach.append(from_field)
        cov_reach: list[float] = (self._cov @ reach).tolist()
        pull = sum([g_m * (y_m - scale * mu_m) for g_m, y_m, mu_m in zip(g, y, mu, strict=True)])
        level = from_field * self._centre + pull
        common = sum([r * c for r, c in zip(reach, cov_reach, strict=True)]) + 1.0 / precision
        square, twice = scale * scale, 2.0 * scale
        interaction = square * self._interaction
        means, sds, contrasts = [], [], []
        for w_m, y_m, mu_m, var_m, c_m in zip(row.w, y, mu, self._var[:-1], cov_reach[:-1], strict=True):
            seen = w_m * interaction  # the share of the class's own evidence, in [0, 1)
            unseen = max(1.0 - seen, _LEAST_UNSEEN)
            means.append(seen * y_m + unseen * (level + scale * mu_m))
            own = unseen * (interaction + unseen * square * var_m)
            sds.append(math.sqrt(max(own + unseen * unseen * (twice * c_m + common), _LEAST_VARIANCE)))
            contrasts.append(math.sqrt(max(own, _LEAST_VARIANCE)))
        return Marginals(means, sds, contrasts, list(row.n), self._decay)
