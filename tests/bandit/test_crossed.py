"""The crossed posterior equals the Gaussian conditional written out densely, and behaves like one."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.belief import DEFAULT_PRIORS
from naiad.bandit.crossed import Floats, Prior
from naiad.bandit.statistics import SCALE, UNIT_WEIGHT, Measure
from tests.bandit.worlds import ArrayPosterior

# Absolute, for values and prior sds of order 1, and in proportion beyond; it leaves room for the rounding
# of the sums over classes to fixed point.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """Effective observations and their mean, (n_classes, n_models)."""

    n: Floats
    y: Floats


def dense(prior: Prior, noise: float, seen: Evidence) -> tuple[Floats, Floats, Floats]:
    """Return mean, sd and contrast sd of theta, (n_classes, n_models): the joint of (B, mu, b - B, delta) given ybar.

    The contrast: what theta varies by when b is known, and by what the model's own ability is uncertain.
    """
    n_classes, n_models = seen.n.shape
    arms = n_classes * n_models
    units, scales = room(prior, seen)
    size = 1 + n_models + n_classes + arms  # B, mu, b - B, delta
    sds = [prior.mean_sd] + [prior.model_sd] * n_models + [prior.class_sd] * n_classes + [prior.interaction_sd] * arms
    cov = np.diag(np.square(sds))
    design = np.zeros((arms, size))
    for k in range(n_classes):
        for m in range(n_models):
            row = design[k * n_models + m]
            row[0] = row[1 + n_models + k] = 1.0
            row[1 + m] = row[1 + n_models + n_classes + k * n_models + m] = scales[k]
    prior_mean = np.zeros(size)
    prior_mean[0] = prior.mean
    rows = np.flatnonzero(seen.n.ravel() > 0)
    h = design[rows]
    innovation = h @ cov @ h.T + np.diag((noise * units[:, None] / np.maximum(seen.n, 1e-300)).ravel()[rows])
    gain = np.linalg.solve(innovation, h @ cov).T
    mean = prior_mean + gain @ (seen.y.ravel()[rows] - h @ prior_mean)
    cov = cov - gain @ h @ cov
    theta = (design @ mean).reshape(n_classes, n_models)
    var = np.einsum("ij,jk,ik->i", design, cov, design).reshape(n_classes, n_models)
    contrast = np.zeros((n_classes, n_models))
    for k in range(n_classes):
        for m in range(n_models):
            look = np.zeros((3, size))  # b, mu, theta
            look[0, 0] = look[0, 1 + n_models + k] = look[1, 1 + m] = 1.0
            look[2] = design[k * n_models + m]
            joint = look @ cov @ look.T
            slopes = np.linalg.solve(joint[:2, :2], joint[:2, 2])
            contrast[k, m] = joint[2, 2] - slopes @ joint[:2, 2] + slopes[1] ** 2 * joint[1, 1]
    return theta, np.sqrt(var), np.sqrt(np.maximum(contrast, 0.0))


def room(prior: Prior, seen: Evidence) -> tuple[Floats, Floats]:
    """Return v_k and s_k of each class: 1 for an unbounded measure, or else from its shrunken level."""
    ones = np.ones(len(seen.n))
    if not prior.bounded:
        return ones, ones
    level = ((seen.n * seen.y).sum(axis=1) + 5.0 * prior.mean) / (seen.n.sum(axis=1) + 5.0)
    level = np.clip(level, 0.02, 0.98)
    return level * (1.0 - level), 4.0 * level * (1.0 - level)


def posterior_of(prior: Prior, seen: Evidence, spread: tuple[int, int] = (0, 0)) -> ArrayPosterior:
    posterior = ArrayPosterior(prior, seen.n.shape[1])
    for k, m in zip(*np.nonzero(seen.n), strict=True):
        posterior.put(int(k), int(m), float(seen.n[k, m]), float(seen.y[k, m]), *spread)
    posterior.settle()
    return posterior


@st.composite
def evidences(draw: st.DrawFn, max_classes: int = 6, max_models: int = 5) -> Evidence:
    """Between nothing and a great deal, in every arm of a small world; means within a few units of 0."""
    n_classes, n_models = draw(st.integers(1, max_classes)), draw(st.integers(1, max_models))
    count = st.one_of(st.just(0.0), st.integers(1, 50).map(float), st.floats(1e-3, 1.0), st.floats(1.0, 1e6))
    value = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, 1.0]), st.floats(-10.0, 15.0))
    size = n_classes * n_models
    n = draw(st.lists(count, min_size=size, max_size=size))
    y = draw(st.lists(value, min_size=size, max_size=size))
    return Evidence(np.reshape(n, (n_classes, n_models)), np.reshape(y, (n_classes, n_models)))


sd = st.floats(0.01, 1.5)
priors = st.one_of(
    st.sampled_from(list(DEFAULT_PRIORS.values())),
    st.builds(Prior, st.floats(-3.0, 6.0), sd, sd, sd, sd, noise=st.floats(1e-3, 1.0), noise_floor=st.just(1e-3)),
)


@given(priors, evidences(), st.integers(0, 10**6 * UNIT_WEIGHT))
@settings(max_examples=150)
def test_the_posterior_is_the_exact_conditional(prior: Prior, seen: Evidence, freedom: int) -> None:
    """Means and sds of every arm, seen or not, match a dense computation within fixed-point rounding."""
    posterior = posterior_of(prior, seen, (freedom * SCALE * SCALE // 20, freedom))
    mean, sds, contrasts = dense(prior, posterior.noise, seen)
    widest = math.hypot(prior.mean_sd, prior.model_sd, prior.class_sd, prior.interaction_sd)
    reach = max(1.0, float(np.abs(seen.y - prior.mean).max()))
    for k in range(seen.n.shape[0]):
        got = posterior.arrays(k)
        np.testing.assert_allclose(got.mean, mean[k], rtol=0, atol=TOLERANCE * reach)
        np.testing.assert_allclose(got.sd, sds[k], rtol=0, atol=TOLERANCE * max(1.0, widest))
        np.testing.assert_allclose(got.contrast_sd, contrasts[k], rtol=0, atol=1e-5 * max(1.0, widest))
        np.testing.assert_array_equal(got.evidence, seen.n[k])


@given(priors, evidences(4, 4))
def test_a_class_never_seen_is_a_class_without_evidence(prior: Prior, seen: Evidence) -> None:
    wider = Evidence(np.vstack([seen.n, 0 * seen.n[:1]]), np.vstack([seen.y, 0 * seen.y[:1]]))
    mean, sds, _ = dense(prior, prior_noise(prior), wider)
    got = posterior_of(prior, seen).arrays(seen.n.shape[0])
    np.testing.assert_allclose(got.mean, mean[-1], rtol=0, atol=20 * TOLERANCE)
    np.testing.assert_allclose(got.sd, sds[-1], rtol=0, atol=2 * TOLERANCE)
    assert not got.evidence.any()


def prior_noise(prior: Prior) -> float:
    """Return the noise that a posterior without any spread believes in, on its grid."""
    return float(ArrayPosterior(prior, 1).noise)


@given(priors, evidences(4, 4), st.data())
def test_decay_scales_the_evidence_of_a_model(prior: Prior, seen: Evidence, data: st.DataObject) -> None:
    n_models = seen.n.shape[1]
    decay = np.array(data.draw(st.lists(st.floats(1e-6, 1.0), min_size=n_models, max_size=n_models)))
    decayed = posterior_of(prior, seen)
    decayed.arrays(0)  # folded once without decay
    decayed.set_decay(decay.tolist())
    direct = posterior_of(prior, Evidence(seen.n * decay, seen.y))
    for k in range(seen.n.shape[0]):
        a, b = decayed.arrays(k), direct.arrays(k)
        assert (a.mean.tobytes(), a.sd.tobytes()) == (b.mean.tobytes(), b.sd.tobytes())
        np.testing.assert_array_equal(a.evidence, b.evidence)


@given(priors, evidences(4, 4), st.data())
def test_more_data_never_widens(prior: Prior, seen: Evidence, data: st.DataObject) -> None:
    """With noise and room unchanged, more observations of one arm narrow it and widen no other arm."""
    prior = replace(prior, bounded=False)
    k = data.draw(st.integers(0, seen.n.shape[0] - 1))
    m = data.draw(st.integers(0, seen.n.shape[1] - 1))
    more = seen.n.copy()
    more[k, m] = 2.0 * more[k, m] + 1.0
    before, after = posterior_of(prior, seen), posterior_of(prior, Evidence(more, seen.y))
    for row in range(seen.n.shape[0]):
        assert (after.arrays(row).sd <= before.arrays(row).sd + TOLERANCE).all()
    assert after.arrays(k).sd[m] < before.arrays(k).sd[m]


@pytest.mark.parametrize("measure", Measure)
@pytest.mark.parametrize("amount", [1e-300, 1e-12, 1.0, 1e9, 1e15, 1e20, 1e30])
def test_finite_with_any_amount_of_evidence(measure: Measure, amount: float) -> None:
    """From almost nothing to absurdly much, sds are finite and above zero."""
    seen = Evidence(np.full((3, 4), amount), np.tile([0.0, 1.0, 0.5, 0.5], (3, 1)))
    seen.n[2] = 0.0
    posterior = posterior_of(DEFAULT_PRIORS[measure], seen, (0, int(amount) * UNIT_WEIGHT))
    for k in range(3):
        got = posterior.arrays(k)
        assert np.isfinite(got.mean).all()
        assert np.isfinite(got.sd).all()
        assert (got.sd > 0.0).all()


def test_an_unseen_model_starts_from_what_the_others_teach() -> None:
    """Good fellows raise the newcomer and bad ones lower it; it stays less sure than they are."""
    prior = DEFAULT_PRIORS[Measure.QUALITY]
    for level, sign in ((0.95, 1.0), (0.2, -1.0)):
        n = np.full((5, 4), 200.0)
        n[:, 3] = 0.0
        got = posterior_of(prior, Evidence(n, np.full((5, 4), level))).arrays(0)
        assert sign * (got.mean[3] - prior.mean) > 0.1
        assert abs(got.mean[3] - level) < abs(prior.mean - level)
        assert got.sd[3] > 2.0 * got.sd[:3].max()


def test_an_unseen_class_starts_from_its_models() -> None:
    """A class nobody has tried ranks the models as the other classes do, at nearly their means."""
    levels = np.array([0.9, 0.5, 0.7])
    n = np.full((6, 3), 300.0)
    n[5] = 0.0
    got = posterior_of(DEFAULT_PRIORS[Measure.QUALITY], Evidence(n, np.tile(levels, (6, 1)))).arrays(5)
    np.testing.assert_allclose(got.mean, levels, atol=0.06)


def test_a_hard_class_is_hard_for_the_model_that_has_not_tried_it() -> None:
    n = np.full((8, 4), 300.0)
    y = np.full((8, 4), 0.8)
    y[7] = 0.6
    n[7, 3] = 0.0
    got = posterior_of(DEFAULT_PRIORS[Measure.QUALITY], Evidence(n, y)).arrays(7)
    assert got.mean[3] < 0.75
    np.testing.assert_allclose(got.mean[:3], 0.6, atol=0.01)
