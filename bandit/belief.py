"""Beliefs about every (task class, model), pooled across task classes; a pure function of the statistics.

Each measure has a posterior of its own (`naiad.bandit.crossed`). This module reads the integer cells into it: sources
weigh by trust, revoked sources are masked, and evidence is forgotten by the age of its bucket in decision ordinals.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from naiad.bandit.crossed import CrossedPosterior, Forecast, Marginals, Prior
from naiad.bandit.influence import Caps
from naiad.bandit.statistics import BUCKET_WIDTH, ERA, SCALE, UNIT_WEIGHT, GroupKey, Measure, Statistics

_REBASE = 32.0  # half-lives after which relative weights get a new reference

DEFAULT_PRIORS: Mapping[Measure, Prior] = {
    Measure.QUALITY: Prior(0.7, 0.2, 0.1, 0.2, 0.1, noise=1.0, noise_floor=0.01, noise_weight=2.0, bounded=True),
    Measure.SUCCESS: Prior(0.97, 0.02, 0.3, 0.02, 0.1, noise=1.0, noise_floor=0.01, noise_weight=2.0, bounded=True),
    Measure.OUTPUT_TOKENS: Prior(5.5, 1.0, 0.8, 0.7, 0.5, noise=0.5, noise_floor=1e-2),
    Measure.LATENCY: Prior(0.7, 1.0, 0.8, 0.5, 0.4, noise=0.3, noise_floor=1e-2),
    Measure.FIRST_TOKEN: Prior(-0.5, 1.0, 0.8, 0.5, 0.4, noise=0.3, noise_floor=1e-2),
}


@dataclass(frozen=True)
class BeliefSettings:
    """Everything a belief depends on besides the statistics."""

    priors: Mapping[Measure, Prior] = field(default_factory=lambda: DEFAULT_PRIORS)
    half_life: float = math.inf  # decisions of a model after which its evidence counts half; inf: never forget
    trust: Mapping[int, float] = field(default_factory=dict)  # source -> weight of its observations; 1 if absent
    masked: frozenset[int] = frozenset()  # sources whose evidence is ignored
    caps: Caps = field(default_factory=Caps)  # of one rater's influence; `Statistics` applies them


class Belief:
    """The posteriors over all arms of one tenant, one for each measure.

    Models and task classes are small non-negative integers. `refresh` takes over what changed in the statistics,
    `settle` folds it into the abilities, `marginals` answers for one class. A changed cell costs O(models^2), a
    decision after it one inverse of (n_models, n_models) for each measure that changed.
    """

    def __init__(self, settings: BeliefSettings | None = None) -> None:
        self.settings = settings or BeliefSettings()
        half_life = self.settings.half_life
        self._step = None if math.isinf(half_life) else max(float(BUCKET_WIDTH), half_life / 16.0)
        self._reset(0)

    def _reset(self, n_models: int) -> None:
        self.n_models = n_models
        self._decay = [1.0] * n_models
        self._ticks: dict[int, tuple[int, int]] = {}
        self._references: dict[int, float] = {}  # model -> ordinal at which its relative weights are 1
        self._now: dict[int, float] = {}  # model -> ordinal of its last tick; nothing counts as younger
        self._measures = [CrossedPosterior(self.settings.priors[measure], n_models) for measure in Measure]

    # -- taking over evidence --------------------------------------------------------------------------------------

    def resize(self, statistics: Statistics, n_models: int) -> None:
        """Make room for models whose integers lie below a count."""
        if n_models > self.n_models:
            self._reset(n_models)
            for model in statistics.heads():
                self.advance(statistics, model)
            self.refresh(statistics, statistics.groups())

    def refresh(self, statistics: Statistics, groups: Iterable[GroupKey]) -> None:
        """Take over the cells of the named (task class, model, measure) groups."""
        for group in groups:
            self._take(statistics, group)

    def advance(self, statistics: Statistics, model: int) -> None:
        """Age a model's evidence after its head ordinal moved; when nothing is forgotten, merging may loosen caps."""
        if model >= self.n_models:
            return
        head = statistics.head(model)
        if self._step is None:
            if self.settings.caps.weights and self._ticks.get(model) != (tick := (0, head // ERA)):
                self._ticks[model] = tick
                self.refresh(statistics, statistics.capped(model))
            return
        tick = (int(head // self._step), head // ERA)
        if tick == self._ticks.get(model):
            return
        self._ticks[model] = tick
        now = tick[0] * self._step
        span = _REBASE * self.settings.half_life
        reference = math.floor(now / span) * span
        self._references[model] = reference
        self._now[model] = now
        self._decay[model] = 2.0 ** ((reference - now) / self.settings.half_life)
        for posterior in self._measures:
            posterior.set_decay(self._decay)
        self.refresh(statistics, [group for group in statistics.groups() if group[1] == model])

    def _take(self, statistics: Statistics, group: GroupKey) -> None:
        task_class, model, measure = group
        settings = self.settings
        spreads: dict[int, list[int]] = {}  # of each epoch: a drift is no noise
        worths = statistics.worths(model) if measure == Measure.QUALITY else None
        n = weighted = 0.0
        for (source, epoch), cell in statistics.totals(group):
            if source in settings.masked:
                continue
            sums = spreads.setdefault(epoch, [0, 0, 0])
            sums[0] += cell.weight
            sums[1] += cell.total
            sums[2] += cell.square
            trust = settings.trust.get(source, 1.0)
            value = cell.total
            if worths is not None:
                trust *= worths[epoch].factor
                value += worths[epoch].shift * cell.weight
            n += trust * cell.weight
            weighted += trust * value
        if self._step is not None:
            n, weighted = self._aged(statistics, group)
        mean = weighted / (n * SCALE) if n > 0.0 else 0.0
        squares = freedom = 0
        for weight, total, square in spreads.values():
            if weight > UNIT_WEIGHT:
                squares += (square * weight - total * total) // weight
                freedom += weight - UNIT_WEIGHT
        self._measures[measure].put(task_class, model, n / UNIT_WEIGHT, mean, squares, freedom)

    def _aged(self, statistics: Statistics, group: GroupKey) -> tuple[float, float]:
        """Return weight and weighted sum of one group, each bucket weighed by trust, epoch and its age in ordinals."""
        settings = self.settings
        reference, now = self._references.get(group[1], 0.0), self._now.get(group[1], 0.0)
        worths = statistics.worths(group[1]) if group[2] == Measure.QUALITY else None
        n = weighted = 0.0
        for (source, level, block, epoch), cell in statistics.cells(group):
            if source not in settings.masked:
                age = reference - min(now, (2 * block + 1) * (BUCKET_WIDTH << level) / 2)
                factor = settings.trust.get(source, 1.0) * 2.0 ** (-age / settings.half_life)
                value = cell.total
                if worths is not None:
                    factor *= worths[epoch].factor
                    value += worths[epoch].shift * cell.weight
                n += factor * cell.weight
                weighted += factor * value
        return n, weighted

    def settle(self) -> None:
        """Fold the evidence taken over into the abilities' precision; `marginals` does it too."""
        for posterior in self._measures:
            posterior.settle()

    # -- reading ---------------------------------------------------------------------------------------------------

    def noise(self, measure: Measure) -> float:
        """Return the learned variance of one observation of a measure, for [0, 1] as a share of p (1 - p)."""
        posterior = self._measures[measure]
        posterior.settle()
        return float(posterior.noise)

    def marginals(self, task_class: int, measure: Measure) -> Marginals:
        """Return the posterior of theta in one task class for every model."""
        return self._measures[measure].marginals(task_class)

    def forecast(self, task_class: int, model: int, measure: Measure) -> Forecast:
        """Return what is believed of one arm, for comparison with what comes; cheaper than `marginals`."""
        return self._measures[measure].forecast(task_class, model)

    def digest(self, n_classes: int) -> str:
        """Return a hex digest of every posterior mean and both sds in the first n_classes classes, bit for bit."""
        sha = hashlib.sha256()
        for posterior in self._measures:
            for task_class in range(n_classes):
                seen = posterior.marginals(task_class)
                sha.update(np.array((seen.mean, seen.sd, seen.contrast_sd)).tobytes())
        return sha.hexdigest()
