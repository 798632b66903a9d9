"""The detector: no bet is unfair, few alarms where nothing moves, soon one where something does."""

from __future__ import annotations

import json
import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.drift import _BETS, Detector, DriftSettings, Raised, WatchState, _bet


class Judged(NamedTuple):
    """What a detector is told of a judgement."""

    model: int
    ordinal: int
    value: float
    weight: float
    mean: float
    sd: float
    noise: float
    rater: int = 0
    cap: float = 1.0


judgements = st.builds(
    Judged,
    model=st.integers(0, 2),
    ordinal=st.integers(0, 500),
    value=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0.0, 1.0)),
    weight=st.sampled_from([1.0, 0.3, 0.001]),
    mean=st.floats(-0.3, 1.3),
    sd=st.sampled_from([1e-15, 0.01, 0.3]),
    noise=st.sampled_from([2e-4, 0.01, 0.25]),
    rater=st.integers(0, 2),
    cap=st.sampled_from([0.5, 16.0, 1024.0]),
)


def watch(scores: list[float], mean: float, noise: float, settings: DriftSettings | None = None) -> list[Raised]:
    """Return the alarms of one model that is believed to have a mean, each heard at once."""
    detector = Detector(settings or DriftSettings())
    found = []
    for ordinal, score in enumerate(scores):
        raised = detector.see(*Judged(7, ordinal, score, 1.0, mean, 0.01, noise))
        if raised is not None:
            found.append(raised)
            detector.clear(7)
    return found


@given(
    st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.01, 1.0)), min_size=1, max_size=6),
    st.floats(0.0, 1.0),
    st.floats(0.05, 0.5),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1e6),
)
def test_a_bet_on_what_is_true_gains_nothing_on_average(
    law: list[tuple[float, float]], mean: float, unit: float, slack: float, wealth: float
) -> None:
    """E[R'] <= R + 1 for every law on [0, 1] whose mean is not below m - slack: exactly, not in a simulation."""
    p = np.array([weight for _, weight in law]) / sum(weight for _, weight in law)
    y = np.array([value for value, _ in law])
    if float(p @ y) < mean - slack * unit:
        y = 1.0 - y * (1.0 - mean)  # a law that is not below
    after = np.array(
        [_bet([wealth] * len(_BETS), -(v - mean) / unit - slack, (1 - mean) / unit + slack, 1.0) for v in y]
    )
    assert (after >= 0.0).all()
    assert (p @ after <= (wealth + 1.0) * (1.0 + 1e-9)).all()


@given(st.lists(judgements, max_size=60))
def test_nothing_breaks_a_detector(seen: list[Judged]) -> None:
    detector = Detector(DriftSettings(sensitivity=100.0))
    for judged in seen:
        raised = detector.see(*judged)
        if raised is not None:
            assert raised.ordinal in {s.ordinal for s in seen if s.model == judged.model}
            assert -1.0 <= raised.shift <= 1.0
    json.dumps(detector.state(), allow_nan=False)
    for state in detector.state():
        assert all(math.isfinite(total) and total >= 0.0 for total in [*state.low, *state.high])


@given(st.lists(judgements, min_size=1, max_size=60), st.integers(0, 59))
def test_a_detector_goes_on_from_its_state(seen: list[Judged], at: int) -> None:
    whole, first, second = (Detector(DriftSettings()) for _ in range(3))
    for judged in seen[:at]:
        first.see(*judged)
    second.restore([WatchState(*state) for state in json.loads(json.dumps(first.state()))])
    for number, judged in enumerate(seen):
        raised = whole.see(*judged)
        if number >= at:
            assert second.see(*judged) == raised
    assert json.dumps(second.state()) == json.dumps(whole.state())


@pytest.mark.parametrize("p", [0.05, 0.5, 0.95])
def test_ties_that_do_not_move_raise_no_alarm(p: float) -> None:
    rng = np.random.default_rng([3, round(100 * p)])
    scores = (rng.random(10_000) < p).astype(float).tolist()
    assert watch(scores, p, p * (1 - p)) == []


def test_what_is_always_the_same_raises_no_alarm() -> None:
    assert watch([1.0] * 5_000, 1.0, 2e-4) == []


@pytest.mark.parametrize(("before", "after"), [(0.9, 0.5), (0.4, 0.8)])
def test_a_change_is_noticed_where_it_happened_and_by_how_much(before: float, after: float) -> None:
    delays, places, shifts = [], [], []
    for seed in range(20):
        rng = np.random.default_rng([4, seed])
        scores = [*rng.normal(before, 0.15, 300), *rng.normal(after, 0.15, 200)]
        detector = Detector(DriftSettings())
        for ordinal, score in enumerate(np.clip(scores, 0.0, 1.0).tolist()):
            raised = detector.see(*Judged(0, ordinal, score, 1.0, before, 0.01, 0.0225))
            if raised is not None:
                delays.append(ordinal - 300)
                places.append(raised.ordinal - 300)
                shifts.append(raised.shift)
                break
    assert len(delays) == 20
    assert 0 < np.median(delays) <= 20
    assert max(map(abs, places)) <= 6
    assert np.mean(shifts) == pytest.approx(after - before, abs=0.08)


def test_the_change_is_put_by_decisions_not_by_arrival() -> None:
    """Judgements of before and after arrive mixed: the change lies between their ordinals."""
    rng = np.random.default_rng(5)
    detector = Detector(DriftSettings())
    scores = [0.9] * 150 + [0.4] * 60
    order = [*range(100), *rng.permutation(np.arange(100, 210)).tolist()]
    raised = None
    for ordinal in order:
        raised = raised or detector.see(*Judged(0, ordinal, scores[ordinal], 1.0, 0.9, 0.01, 0.01))
    assert raised is not None
    assert abs(raised.ordinal - 150) <= 8


def test_lower_trust_takes_longer() -> None:
    def heard(weight: float) -> int:
        detector = Detector(DriftSettings())
        return next(n for n in range(1_000) if detector.see(*Judged(0, n, 0.4, weight, 0.9, 0.01, 0.02)))

    assert heard(1.0) < heard(0.3) / 2


def test_a_higher_sensitivity_hears_sooner() -> None:
    def heard(sensitivity: float) -> int:
        detector = Detector(DriftSettings(sensitivity=sensitivity))
        return next(n for n in range(1_000) if detector.see(*Judged(0, n, 0.6, 1.0, 0.8, 0.01, 0.04)))

    assert heard(100.0) < heard(1.0) < heard(0.01)


def test_an_alarm_repeats_until_it_is_heard_and_then_begins_anew() -> None:
    detector = Detector(DriftSettings())
    raised = [detector.see(*Judged(0, n, 0.0, 1.0, 0.9, 0.01, 0.09)) is not None for n in range(60)]
    assert raised[-3:] == [True] * 3
    detector.clear(0)
    assert detector.see(*Judged(0, 61, 0.0, 1.0, 0.9, 0.01, 0.09)) is None
    assert detector.see(*Judged(1, 0, 0.0, 1.0, 0.9, 0.01, 0.09)) is None  # and nobody else is suspected


def test_one_rater_with_a_small_cap_raises_no_alarm_and_a_crowd_does() -> None:
    def heard(raters: int, cap: float) -> int | None:
        detector = Detector(DriftSettings())
        for n in range(400):
            if detector.see(*Judged(0, n, 0.0, 0.3, 0.9, 0.01, 0.09, 1 + n % raters, cap)):
                return n
        return None

    assert heard(1, 16.0) is None
    assert heard(40, 16.0) is not None
    assert heard(1, 512.0) is not None  # one who is trusted with so much may raise one


def test_a_rater_is_doubted_for_what_is_recent_and_for_nothing_older() -> None:
    """After 256 judgements of others it is as if a rater had never judged; one fewer, and the first still counts."""

    def bets(early: int, between: int) -> WatchState:
        detector = Detector(DriftSettings())
        for n in range(40):
            detector.see(*Judged(0, n, 0.8, 0.3, 0.9, 0.01, 0.09, early, 16.0))
        for n in range(40, 40 + between):
            detector.see(*Judged(0, n, 0.9, 1.0, 0.9, 0.01, 0.09))
        for n in range(300, 310):
            detector.see(*Judged(0, n, 0.2, 0.3, 0.9, 0.01, 0.09, 1, 16.0))
        (state,) = detector.state()
        return state

    forgotten, stranger = bets(1, 256), bets(2, 256)
    assert (forgotten.low, forgotten.high) == (stranger.low, stranger.high)
    assert len(forgotten.recent) == 256
    assert forgotten.recent[0][0] == 50  # the oldest went first
    known, other = bets(1, 255), bets(2, 255)
    assert known.low < other.low  # doubted, it bets less
