"""What a belief learns: it stays finite, covers the truth at its stated rate, trusts and forgets as told."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from naiad.bandit.belief import DEFAULT_PRIORS, BeliefSettings
from naiad.bandit.crossed import Floats
from naiad.bandit.statistics import Measure, Observation, Statistics, to_fixed
from tests.bandit.worlds import ArrayBelief, believe, fold, observed, scores

PRIOR = DEFAULT_PRIORS[Measure.QUALITY]
# The same without the room that a scale from 0 to 1 leaves: here the model is exact, and so must the intervals be.
EXACT = replace(PRIOR, bounded=False, noise=0.05, noise_floor=1e-3, noise_weight=10.0)
EXACTLY = BeliefSettings(priors=dict(DEFAULT_PRIORS) | {Measure.QUALITY: EXACT})


def assert_sound(belief: ArrayBelief, n_classes: int) -> None:
    for measure in Measure:
        for task_class in range(n_classes):
            seen = belief.arrays(task_class, measure)
            assert np.isfinite(seen.mean).all()
            assert np.isfinite(seen.sd).all()
            assert (seen.sd > 0.0).all()
            assert (seen.evidence >= 0.0).all()
        assert math.isfinite(belief.noise(measure))
        assert belief.noise(measure) > 0.0


@pytest.mark.parametrize(
    "values",
    [[0.0] * 200, [1.0] * 200, [0.3] * 200, [0.0, 1.0] * 100, [1.0], [-40.0, 40.0], [1e6] * 3, [1e-6] * 3],
    ids=["all 0", "all 1", "identical", "0 and 1", "one", "wide", "huge", "tiny"],
)
@pytest.mark.parametrize("half_life", [math.inf, 50.0, 1000.0])
def test_sound_on_degenerate_evidence(values: list[float], half_life: float) -> None:
    seen = [Observation(0, 0, measure, 0, i, to_fixed(v)) for measure in Measure for i, v in enumerate(values)]
    assert_sound(believe(fold(seen, {0: len(values)}), BeliefSettings(half_life=half_life), 2, 3), 3)


def test_sound_with_a_thousand_classes_of_one_event_each() -> None:
    seen = [Observation(k, k % 5, Measure.QUALITY, 0, k, to_fixed(k % 2)) for k in range(1000)]
    belief = believe(fold(seen, dict.fromkeys(range(5), 1000)), BeliefSettings(), 1000, 5)
    assert_sound(belief, 1001)


def test_sound_without_any_evidence_and_without_models() -> None:
    belief = ArrayBelief()
    assert_sound(belief, 2)
    belief.resize(Statistics(), 2)
    assert_sound(belief, 4)
    seen = belief.arrays(0, Measure.QUALITY)
    np.testing.assert_allclose(seen.mean, PRIOR.mean)
    scale = 4.0 * PRIOR.mean * (1.0 - PRIOR.mean)
    spread = math.hypot(PRIOR.mean_sd, PRIOR.class_sd, scale * PRIOR.model_sd, scale * PRIOR.interaction_sd)
    np.testing.assert_allclose(seen.sd, spread)


def test_sound_after_everything_was_taken_back() -> None:
    seen = observed([0.1, 0.9, 0.4], 0, 0)
    statistics, belief = fold(seen), ArrayBelief()
    belief.resize(statistics, 1)
    belief.refresh(statistics, statistics.groups())
    for s in seen:
        statistics.subtract(s)
    belief.refresh(statistics, [(0, 0, Measure.QUALITY)])
    assert_sound(belief, 1)
    assert belief.digest(1) == believe(Statistics(), BeliefSettings(), 1, 1).digest(1)


def truth_of(rng: np.random.Generator, n_classes: int, n_models: int) -> Floats:
    """Draw theta (n_classes, n_models) from the quality prior, as on a scale without ends."""
    level = rng.normal(rng.normal(PRIOR.mean, PRIOR.mean_sd), PRIOR.class_sd, (n_classes, 1))
    ability = rng.normal(0.0, PRIOR.model_sd, n_models)
    return np.asarray(level + ability + rng.normal(0.0, PRIOR.interaction_sd, (n_classes, n_models)))


@pytest.mark.parametrize("noise", [0.004, 0.05, 0.2])
def test_intervals_cover_the_truth_at_their_stated_rate(noise: float) -> None:
    """40 worlds of 5 classes x 6 models, 0 to 60 scores an arm: about 95% of the truths lie within 1.96 sd.

    The truths of a world move together, so the rate is allowed four standard errors of 240 checks.
    """
    rng = np.random.default_rng(7)
    worlds, n_classes, n_models = 40, 5, 6
    z: list[float] = []
    for _ in range(worlds):
        theta = truth_of(rng, n_classes, n_models)
        seen = [
            s
            for k in range(n_classes)
            for m in range(n_models)
            for s in observed(scores(rng, theta[k, m], noise, int(rng.integers(0, 60))), k, m)
        ]
        belief = believe(fold(seen), EXACTLY, n_classes, n_models)
        for k in range(n_classes):
            got = belief.arrays(k, Measure.QUALITY)
            z.extend(np.abs((got.mean - theta[k]) / got.sd))
    allowed = 4.0 * math.sqrt(0.05 * 0.95 / (worlds * n_models))
    assert abs(np.mean(np.array(z) < 1.96) - 0.95) < allowed
    assert abs(np.mean(np.array(z) < 0.674) - 0.5) < 4.0 * math.sqrt(0.25 / (worlds * n_models))


def test_intervals_cover_models_and_classes_never_seen() -> None:
    """What is believed of the unseen last model and the unseen last class is as honest as the rest."""
    rng = np.random.default_rng(11)
    z: list[float] = []
    for _ in range(200):
        theta = truth_of(rng, 4, 5)
        seen = [s for k in range(3) for m in range(4) for s in observed(scores(rng, theta[k, m], 0.05, 30), k, m)]
        belief = believe(fold(seen), EXACTLY, 4, 5)
        newcomer, unseen = belief.arrays(0, Measure.QUALITY), belief.arrays(3, Measure.QUALITY)
        z += [
            (newcomer.mean[4] - theta[0, 4]) / newcomer.sd[4],
            (unseen.mean[0] - theta[3, 0]) / unseen.sd[0],
        ]
    assert abs(np.mean(np.abs(z) < 1.96) - 0.95) < 4.0 * math.sqrt(0.05 * 0.95 / 400)
    assert abs(float(np.std(z)) - 1.0) < 4.0 / math.sqrt(2 * 400)


def test_intervals_cover_pass_or_fail() -> None:
    """Levels between 0.05 and 0.98, models within what is left of the scale, verdicts of 0 and 1: near enough."""
    rng = np.random.default_rng(13)
    z: list[float] = []
    for _ in range(40):
        level = rng.uniform(0.05, 0.98, (5, 1))
        ability = rng.normal(0.0, 0.2, 6)
        theta = np.clip(level + 4.0 * level * (1.0 - level) * ability, 0.01, 0.99)
        counts = rng.integers(0, 60, (5, 6))
        seen = [
            s
            for k in range(5)
            for m in range(6)
            for s in observed((rng.random(counts[k, m]) < theta[k, m]).astype(float), k, m)
        ]
        belief = believe(fold(seen), BeliefSettings(), 5, 6)
        for k in range(5):
            got = belief.arrays(k, Measure.QUALITY)
            z.extend(np.abs((got.mean - theta[k]) / got.sd))
    assert 0.92 < np.mean(np.array(z) < 1.96) < 0.99
    assert 0.42 < np.mean(np.array(z) < 0.674) < 0.65


@pytest.mark.parametrize(("graded", "low", "high"), [(False, 0.8, 1.1), (True, 0.015, 0.03)])
def test_noise_of_a_bounded_measure_is_a_share_of_its_room(graded: bool, low: float, high: float) -> None:
    """Near 1 for pass or fail, as little as it is for graded judgements, in easy and in hard classes alike."""
    rng = np.random.default_rng(17)
    seen = []
    for k, level in enumerate((0.5, 0.8, 0.95)):
        room = level * (1.0 - level)
        for m in range(4):
            values = rng.normal(level, np.sqrt(0.02 * room), 200) if graded else (rng.random(200) < level).astype(float)
            seen += observed(values, k, m)
    assert low < believe(fold(seen), BeliefSettings(), 3, 4).noise(Measure.QUALITY) < high


@pytest.mark.parametrize(
    ("measure", "noise"),
    [(Measure.OUTPUT_TOKENS, 0.05), (Measure.OUTPUT_TOKENS, 0.5), (Measure.LATENCY, 1.5)],
)
def test_noise_is_learned(measure: Measure, noise: float) -> None:
    """2,000 observations over 20 arms bring the noise within its grid (9%) and four standard errors (13%)."""
    rng = np.random.default_rng(3)
    seen = [
        Observation(k, m, measure, 0, i, to_fixed(float(v)))
        for k in range(5)
        for m in range(4)
        for i, v in enumerate(scores(rng, rng.uniform(), noise, 100))
    ]
    learned = believe(fold(seen), BeliefSettings(), 5, 4).noise(measure)
    prior = DEFAULT_PRIORS[measure]
    pull = prior.noise_weight * prior.noise / (1980 + prior.noise_weight)  # what the prior still adds
    assert noise * 0.79 < learned < (noise + pull) * 1.23


def test_noise_has_a_floor() -> None:
    """Identical scores never make the belief certain: the noise stops at its floor (within the grid's 9%)."""
    noise = believe(fold(observed([0.5] * 20_000, 0, 0)), BeliefSettings(), 1, 1).noise(Measure.QUALITY)
    assert noise == pytest.approx(PRIOR.noise_floor, rel=0.1)


def test_more_data_narrows() -> None:
    rng = np.random.default_rng(5)
    values = scores(rng, 0.7, 0.05, 3000)
    sds = [
        believe(fold(observed(values[:count], 0, 0)), BeliefSettings(), 1, 2).arrays(0, Measure.QUALITY).sd[0]
        for count in (0, 3, 30, 300, 3000)
    ]
    assert sds == sorted(sds, reverse=True)
    assert sds[-1] < 0.006  # sqrt(0.05 / 3000) = 0.004


def test_trust_weighs_a_source() -> None:
    """Ten observations at trust 0.1 count as one at trust 1, and trust 0 as none."""
    good, bad = observed([1.0] * 10, 0, 0, source=0), observed([0.0] * 10, 0, 0, source=1)
    both = fold(good + bad)

    def read(trust: dict[int, float]) -> tuple[float, float]:
        got = believe(both, BeliefSettings(trust=trust), 1, 1).arrays(0, Measure.QUALITY)
        return float(got.evidence[0]), float(got.mean[0])

    assert read({})[0] == 20.0
    assert read({1: 0.1})[0] == pytest.approx(11.0)
    assert read({1: 0.0})[0] == 10.0
    means = [read({1: trust})[1] for trust in (0.0, 0.1, 0.5, 1.0, 3.0)]
    assert means == sorted(means, reverse=True)


def aged(half_life: float, head: int, ordinals: range) -> float:
    """Return what is left of one observation at each ordinal once the head stands at `head`."""
    seen = [Observation(0, 0, Measure.QUALITY, 0, o, to_fixed(0.5)) for o in ordinals]
    statistics = fold(seen, {0: head})
    belief = believe(statistics, BeliefSettings(half_life=half_life), 1, 1)
    return float(belief.arrays(0, Measure.QUALITY).evidence[0])


@pytest.mark.parametrize("half_life", [500.0, 2000.0, 10_000.0])
@pytest.mark.parametrize("halvings", [1, 3, 10, 31, 40])
def test_evidence_halves_with_every_half_life(half_life: float, halvings: int) -> None:
    """64 observations count 64 / 2^h after h half-lives, up to what buckets and merged blocks blur.

    A block is at most an eighth of its age wide.
    """
    head = int(halvings * half_life) + 64
    left = aged(half_life, head, range(64))
    blur = 2.0 ** ((64 + half_life / 16 + head / 8) / half_life)
    assert 64 * 2.0**-halvings / blur <= left <= 64 * 2.0**-halvings * blur


@pytest.mark.parametrize("half_life", [10.0, 64.0, 100.0, 500.0, 5000.0])
def test_fresh_evidence_never_counts_more_than_it_is(half_life: float) -> None:
    """Forgetting takes weight away: it never makes one observation count as more than one."""
    for head in (0, 1, 63, 64, 65, 1000, 5000, 40_000):
        assert aged(half_life, head, range(max(0, head - 32), head + 1)) <= min(33, head + 1) * (1 + 1e-12)


@pytest.mark.parametrize("halvings", [1_000, 3_000, 100_000])
def test_relative_weights_do_not_overflow_after_many_half_lives(halvings: int) -> None:
    """What was seen thousands of half-lives after the first decision counts as it would have at the start."""
    head = 64 * halvings
    assert aged(64.0, head, range(head, head + 1)) == aged(64.0, 0, range(1))


def test_forgetting_follows_a_change() -> None:
    """After a silent drop from 0.9 to 0.4 a belief that forgets comes down; another stays half-way."""
    seen = observed([0.9] * 2000 + [0.4] * 1000, 0, 0)
    statistics = fold(seen, {0: 3000})
    never, soon = (
        believe(statistics, BeliefSettings(half_life=h), 1, 1).arrays(0, Measure.QUALITY).mean[0]
        for h in (math.inf, 200.0)
    )
    assert abs(soon - 0.4) < 0.05
    assert never > 0.6


def test_each_models_evidence_ages_by_its_own_decisions() -> None:
    """A model that nobody asked keeps what is known of it, however often others were asked."""
    seen = observed([0.5] * 10, 0, 0) + observed([0.5] * 10, 0, 1)
    belief = believe(fold(seen, {0: 10, 1: 500_000}), BeliefSettings(half_life=500.0), 1, 2)
    evidence = belief.arrays(0, Measure.QUALITY).evidence
    assert evidence[0] > 9.0
    assert evidence[1] < 1e-9


def test_measures_do_not_touch_each_other() -> None:
    quality = believe(fold(observed([1.0] * 50, 0, 0)), BeliefSettings(), 1, 2)
    nothing = believe(Statistics(), BeliefSettings(), 1, 2)
    for measure in set(Measure) - {Measure.QUALITY}:
        a, b = quality.arrays(0, measure), nothing.arrays(0, measure)
        assert a.mean.tobytes() == b.mean.tobytes()
        assert a.sd.tobytes() == b.sd.tobytes()
