"""What the tests of the learning core share: small worlds of observations, and a fold to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from naiad.bandit.belief import Belief, BeliefSettings
from naiad.bandit.crossed import CrossedPosterior, Floats, Marginals
from naiad.bandit.influence import Caps
from naiad.bandit.statistics import BUCKET_WIDTH, ERA, UNIT_WEIGHT, Alarm, Measure, Observation, Statistics, to_fixed

CLASSES, MODELS, SOURCES = 4, 3, 3

ordinals = st.one_of(
    st.integers(0, 3 * BUCKET_WIDTH),
    st.integers(0, 40 * ERA),
    st.integers(0, 400).map(lambda era: era * ERA),  # the borders themselves
    st.integers(1, 400).map(lambda era: era * ERA - 1),
)

observations = st.builds(
    Observation,
    task_class=st.integers(0, CLASSES - 1),
    model=st.integers(0, MODELS - 1),
    measure=st.sampled_from(Measure),
    source=st.integers(0, SOURCES - 1),
    ordinal=ordinals,
    value=st.one_of(st.integers(0, to_fixed(1.0)), st.integers(-to_fixed(30.0), to_fixed(30.0))),
    weight=st.one_of(st.just(UNIT_WEIGHT), st.integers(1, UNIT_WEIGHT), st.integers(1, 10**40)),
    slot=st.integers(0, 2),
)

caps = st.sampled_from([Caps(), Caps({1: 1_500, 2: 300}, 2)])  # none, and such as a few judgements reach

heads = st.dictionaries(st.integers(0, MODELS - 1), ordinals, max_size=MODELS)


def fold(
    seen: Iterable[Observation],
    at: dict[int, int] | None = None,
    under: Caps | None = None,
    alarms: Mapping[int, Sequence[Alarm]] | None = None,
) -> Statistics:
    """Return the statistics of observations, with each model's head where `at` says, the alarms known before."""
    statistics = Statistics(under)
    for model, heard in (alarms or {}).items():
        for alarm in heard:
            statistics.restore_alarm(model, alarm)
    for model, head in (at or {}).items():
        statistics.advance(model, head)
    for observation in seen:
        statistics.add(observation)
    return statistics


@dataclass(frozen=True)
class Arrays:
    """Marginals as arrays, each (n_models,)."""

    mean: Floats
    sd: Floats
    contrast_sd: Floats
    evidence: Floats


def _arrays(seen: Marginals) -> Arrays:
    return Arrays(np.array(seen.mean), np.array(seen.sd), np.array(seen.contrast_sd), np.array(seen.evidence))


class ArrayPosterior(CrossedPosterior):
    """A posterior that also answers in arrays."""

    def arrays(self, task_class: int) -> Arrays:
        return _arrays(self.marginals(task_class))


class ArrayBelief(Belief):
    """A belief that also answers in arrays."""

    def arrays(self, task_class: int, measure: Measure) -> Arrays:
        return _arrays(self.marginals(task_class, measure))


def believe(statistics: Statistics, settings: BeliefSettings, n_classes: int, n_models: int) -> ArrayBelief:
    """Return the belief computed from final statistics in one go."""
    belief = ArrayBelief(settings)
    belief.resize(statistics, n_models)
    return belief


def scores(rng: np.random.Generator, theta: float, noise: float, count: int) -> Floats:
    """Draw `count` scores around theta with variance `noise`."""
    return rng.normal(theta, np.sqrt(noise), count)


def observed(values: Iterable[float], task_class: int, model: int, source: int = 0) -> list[Observation]:
    """Return one quality observation for each value, with ordinals counting from 0."""
    return [
        Observation(task_class, model, Measure.QUALITY, source, ordinal, to_fixed(float(value)))
        for ordinal, value in enumerate(values)
    ]
