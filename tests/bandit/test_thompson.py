"""Thompson probabilities agree with scipy and with plain sampling; the draw obeys the vector."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats  # type: ignore[import-untyped]

from naiad.bandit.thompson import Floats, draw, mix_exploration, thompson_probabilities

CLOSE = 1e-3  # total variation, as the project promises
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_CUTS = np.array([-8.5, -6, -5, -4, -3, -2.2, -1.5, -0.9, -0.4, 0, 0.4, 0.9, 1.5, 2.2, 3, 4, 5, 6, 8.5])


def exact(mean: Floats, sd: Floats) -> Floats:
    """Return P(best) by Gauss-Legendre between many quantiles of every arm, with scipy's log Phi.

    Point masses are handled as such: only the highest can win, ties share, the others must exceed it.
    """
    wide = sd > 0.0
    p = np.zeros(len(mean))
    bar = mean[~wide].max(initial=-math.inf)
    if not wide.any():
        p[mean == bar] = 1.0
        return np.asarray(p / p.sum())
    m, s = mean[wide], sd[wide]
    cuts = np.unique((m[:, None] + s[:, None] * _CUTS).ravel())
    cuts = np.unique(np.append(cuts[cuts > bar], bar)) if bar > -math.inf else cuts
    half = np.diff(cuts)[:, None] / 2
    x = (cuts[:-1, None] + half * (_NODES + 1)).ravel()
    z = (x - m[:, None]) / s[:, None]
    log_phi = special.log_ndtr(z)
    density = np.exp(-0.5 * z * z - math.log(math.sqrt(2 * math.pi)) - log_phi + log_phi.sum(axis=0)) / s[:, None]
    p[wide] = density @ (half * _WEIGHTS).ravel()
    if bar > -math.inf:
        best = ~wide & (mean == bar)
        p[best] = math.exp(special.log_ndtr((bar - m) / s).sum()) / best.sum()
    return p


def distance(p: Floats, q: Floats) -> float:
    return 0.5 * float(np.abs(p - q).sum())


def assert_a_distribution(p: Floats) -> None:
    assert (p >= 0.0).all()
    assert p.sum() == pytest.approx(1.0, abs=1e-12)


def seen(mean: float) -> float:
    """Return a mean, 0 where its distance from 0 is lost: below 1e-280 all arms are equal to the core."""
    return mean if abs(mean) > 1e-100 else 0.0


@st.composite
def arms(draw: st.DrawFn, max_arms: int = 64) -> tuple[Floats, Floats]:
    """Between 1 and 64 arms, sds over three orders of magnitude and sometimes 0, ties and near-ties."""
    count = draw(st.one_of(st.integers(1, 5), st.integers(1, max_arms)))
    unit = draw(st.sampled_from([1e-6, 1e-3, 0.05, 1.0, 1e3]))
    level = draw(st.sampled_from([0.0, 0.6, -2.0]))
    spread = draw(st.sampled_from([0.0, 0.01, 0.3, 3.0]))
    mean = st.one_of(st.just(0.0), st.sampled_from([0.1, 0.2]), st.floats(-1.0, 1.0).map(seen))
    sd = st.one_of(st.sampled_from([0.0, 1e-3, 0.03, 1.0]), st.floats(-3.0, 0.0).map(lambda e: 10.0**e))
    means = np.array(draw(st.lists(mean, min_size=count, max_size=count)))
    sds = np.array(draw(st.lists(sd, min_size=count, max_size=count)))
    return (level + spread * means) * unit, sds * unit


@given(arms())
@settings(max_examples=80)
def test_agrees_with_a_dense_integral(case: tuple[Floats, Floats]) -> None:
    p = thompson_probabilities(*case)
    assert_a_distribution(p)
    reference = exact(*case)
    assert reference.sum() == pytest.approx(1.0, abs=1e-6)
    assert distance(p, reference) <= CLOSE


@pytest.mark.parametrize("count", [2, 3, 4, 8, 16, 32, 64])
@pytest.mark.parametrize("seed", range(8))
def test_agrees_on_worlds_like_the_routers(count: int, seed: int) -> None:
    """Qualities within a few tenths, settled arms a hundred times narrower than newcomers."""
    rng = np.random.default_rng([count, seed])
    mean = rng.normal(0.7, rng.choice([0.003, 0.03, 0.2]), count)
    sd = 10.0 ** rng.uniform(-3.0, 0.0, count) * rng.choice([0.03, 0.3])
    assert distance(thompson_probabilities(mean, sd), exact(mean, sd)) <= CLOSE


@pytest.mark.parametrize("count", [2, 8, 32, 64])
@pytest.mark.parametrize("spread", [0.003, 0.1, 0.3, 1.0])
def test_agrees_where_all_are_equally_uncertain(count: int, spread: float) -> None:
    """The first hours: every arm as wide as the next, which makes the best of many much narrower than one."""
    for seed in range(5):
        mean = np.random.default_rng([count, seed]).normal(0.0, spread, count)
        assert distance(thompson_probabilities(mean, np.ones(count)), exact(mean, np.ones(count))) <= CLOSE


def test_agrees_where_two_settled_arms_stand_before_a_wide_one() -> None:
    """The tail of the upper settled arm lies just before the first node of the wide arm's panel."""
    for gap in np.linspace(0.0, 0.005, 41):
        mean, sd = np.array([0.6, 0.6 + gap, 0.6014]), np.array([0.001, 0.001, 1.0])
        assert distance(thompson_probabilities(mean, sd), exact(mean, sd)) <= CLOSE


@pytest.mark.parametrize(
    ("mean", "sd"),
    [
        ([0.5, 0.52], [0.1, 0.1]),
        ([0.7, 0.69, 0.5], [0.002, 0.02, 1.0]),
        (np.linspace(0.4, 0.6, 8).tolist(), np.geomspace(1e-3, 1.0, 8).tolist()),
    ],
)
def test_agrees_with_plain_sampling(mean: list[float], sd: list[float]) -> None:
    """4e6 draws, counted; total variation within the bound plus three standard errors of the counting."""
    rng = np.random.default_rng(2)
    total = 4_000_000
    wins = np.zeros(len(mean))
    for _ in range(20):
        sampled = rng.normal(mean, sd, (total // 20, len(mean)))
        wins += np.bincount(sampled.argmax(axis=1), minlength=len(mean))
    frequency = wins / total
    p = thompson_probabilities(np.array(mean), np.array(sd))
    counting = 3.0 * 0.5 * float(np.sqrt(frequency * (1 - frequency) / total).sum())
    assert distance(p, frequency) <= CLOSE + counting
    assert distance(exact(np.array(mean), np.array(sd)), frequency) <= counting  # the reference itself


def test_two_arms_have_a_closed_form() -> None:
    for gap in np.linspace(-3.0, 3.0, 25):
        for sd in (1e-3, 0.1, 1.0, 30.0):
            p = thompson_probabilities(np.array([gap, 0.0]), np.array([1.0, sd]))
            assert p[0] == pytest.approx(stats.norm.cdf(gap / math.hypot(1.0, sd)), abs=CLOSE)


@given(st.data(), arms(16))
@settings(max_examples=60)
def test_renaming_the_arms_renames_the_probabilities(data: st.DataObject, case: tuple[Floats, Floats]) -> None:
    mean, sd = case
    order = np.array(data.draw(st.permutations(range(len(mean)))))
    np.testing.assert_allclose(
        thompson_probabilities(mean[order], sd[order]),
        thompson_probabilities(mean, sd)[order],
        rtol=0,
        atol=1e-9,
    )


@given(arms(16), st.sampled_from([-3.0, -0.25, 0.125, 7.0]), st.integers(-20, 20))
@settings(max_examples=100)
def test_level_and_unit_do_not_matter(case: tuple[Floats, Floats], shift: float, power: int) -> None:
    """A shift by a few of the widest scales moves nothing beyond the bound, nor does a power of two."""
    mean, sd = case
    p = thompson_probabilities(mean, sd)
    scaled = thompson_probabilities(mean * 2.0**power, sd * 2.0**power)
    np.testing.assert_allclose(scaled, p, rtol=0, atol=1e-9)
    if (sd > 0.0).all():
        moved = thompson_probabilities(mean + shift * float(sd.max()), sd)
        assert distance(moved, p) <= CLOSE


def test_equal_arms_share_equally() -> None:
    for count in (1, 2, 7, 64):
        for sd in (0.0, 1e-9, 0.2):
            p = thompson_probabilities(np.full(count, 0.7), np.full(count, sd))
            np.testing.assert_allclose(p, 1.0 / count, rtol=1e-9)


def test_without_uncertainty_the_best_wins_and_ties_share() -> None:
    p = thompson_probabilities(np.array([0.5, 0.9, 0.9, 0.1]), np.zeros(4))
    np.testing.assert_allclose(p, [0.0, 0.5, 0.5, 0.0], atol=1e-12)


@pytest.mark.parametrize("level", [0.0, -1.0, 0.5, 1e3, -1e9])
@pytest.mark.parametrize("gap", [1e-10, 1e-7, 1e-5, 0.1])
@pytest.mark.parametrize("sd", [0.0, 1e-300, 1e-18])
def test_point_masses_close_to_each_other(level: float, gap: float, sd: float) -> None:
    """Utilities without uncertainty, as with a quality worth nothing, however close: the higher one wins.

    (Down to 1e-12 of the distance between the best and the worst; below that they count as equal.)
    """
    mean = np.array([level, level + gap, level - 0.1])
    p = thompson_probabilities(mean, np.full(3, sd))
    assert_a_distribution(p)
    expected = (mean == mean.max()) / (mean == mean.max()).sum()
    assert distance(p, expected) <= CLOSE


def test_a_wide_arm_beside_point_masses() -> None:
    mean, sd = np.array([0.5, 0.4, 0.45]), np.array([0.0, 0.0, 0.1])
    above = stats.norm.sf(0.5)
    np.testing.assert_allclose(thompson_probabilities(mean, sd), [1 - above, 0.0, above], atol=CLOSE)


def test_the_inputs_are_left_alone() -> None:
    mean, sd = np.array([0.1, 0.2, 5.0]), np.array([0.1, 0.0, 0.3])
    thompson_probabilities(mean, sd)
    np.testing.assert_array_equal(mean, [0.1, 0.2, 5.0])
    np.testing.assert_array_equal(sd, [0.1, 0.0, 0.3])


vectors = st.lists(st.one_of(st.just(0.0), st.floats(1e-12, 1.0), st.just(1e-300)), min_size=1, max_size=64).filter(
    lambda weights: sum(weights) > 1e-9
)


def normalised(weights: list[float]) -> Floats:
    return np.array(weights) / sum(weights)


@given(vectors, st.floats(0.0, 1.0))
def test_exploration_keeps_every_arm_alive_and_no_more(weights: list[float], exploration: float) -> None:
    p = normalised(weights)
    mixed = np.array(mix_exploration(p.tolist(), exploration))
    assert_a_distribution(mixed)
    share = exploration / len(p)
    assert (mixed >= share * (1 - 1e-12)).all()
    assert distance(mixed, p) <= exploration + 1e-12
    np.testing.assert_allclose(mixed, (1 - exploration) * p + share, atol=1e-12)


@given(
    vectors,
    st.one_of(st.floats(0.0, 1.0, exclude_max=True), st.sampled_from([0.0, math.nextafter(1.0, 0.0)])),
)
@settings(max_examples=150)
def test_the_draw_inverts_the_cdf_and_never_takes_the_impossible(weights: list[float], uniform: float) -> None:
    p = normalised(weights)
    arm = draw(p.tolist(), uniform)
    assert p[arm] > 0.0
    below = math.fsum(p[:arm])
    assert below - 1e-12 <= uniform <= below + p[arm] + 1e-12


@pytest.mark.parametrize("uniform", [0.0, math.nextafter(1.0, 0.0)])
def test_the_ends_of_the_unit_interval_take_the_first_and_the_last_possible_arm(uniform: float) -> None:
    assert draw([0.0, 0.0, 0.4, 0.0, 0.6, 0.0], uniform) == (2 if uniform == 0.0 else 4)
    assert draw([1.0], uniform) == 0
    assert draw([0.5, 0.0, 0.5], 0.5) == 2  # each arm's stretch of the interval is closed on the left only
    assert draw([0.1] * 10, uniform) == (0 if uniform == 0.0 else 9)


def test_drawn_frequencies_match_the_vector() -> None:
    """Chi-square over 200,000 seeded draws at the 99.9% level; the impossible arm is never drawn."""
    p = np.array([0.5, 0.0, 0.25, 0.2, 0.049, 0.001])
    rng = np.random.default_rng(17)
    total = 200_000
    counts = np.bincount([draw(p.tolist(), u) for u in rng.random(total).tolist()], minlength=len(p))
    assert counts[1] == 0
    possible = p > 0.0
    statistic = float(((counts[possible] - total * p[possible]) ** 2 / (total * p[possible])).sum())
    assert statistic < stats.chi2.ppf(0.999, possible.sum() - 1)
