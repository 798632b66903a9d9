"""What was saved against one model: exact where it answered itself, and inside its interval as often as it says."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from naiad.bandit.statistics import SCALE
from naiad.server.costs import NOTHING, Sums
from naiad.server.saving import CONFIDENCE, ENOUGH, Arms, LogTokens, best_single, estimate, written

RATE = 4_000_000_000  # nano-USD per million tokens written
NOBODY_KNOWS = LogTokens(5.0, 0.25, 0.5)


def level(*qualities: float) -> Callable[[int], list[float]]:
    """Return the same qualities in every task class."""
    return lambda task_class: list(qualities)


def believing(believed: LogTokens) -> Callable[[int], LogTokens]:
    """Return the same belief in every task class."""
    return lambda task_class: believed


def could(count: int, *, cost: int, fixed: int = 0) -> Sums:
    """Return the sums of decisions that a model could have answered, each for these amounts and at RATE."""
    return Sums(
        could=count, could_cost=count * cost, could_fixed=count * fixed, could_rate=count * RATE,
        could_square=count * RATE**2,
    )  # fmt: skip


def test_prices_are_those_of_each_decision() -> None:
    own = Sums(answered=30, counted=30, counted_output=30 * 50, counted_square=30 * 2_500)
    cheap = Sums(could=1, could_rate=1_000_000)
    found = estimate({(0, 0): own.plus(could(1, cost=0)).plus(cheap)}, 0, believing(NOBODY_KNOWS), level(0.5))
    assert found is not None
    assert found.saved == 50 * 4_000 + 50


def test_against_the_model_that_gave_every_answer_nothing_was_saved_for_sure() -> None:
    arms: Arms = {(0, 0): Sums(answered=40, answered_cost=123_456, counted=40, counted_output=900)}
    found = estimate(arms, 0, believing(NOBODY_KNOWS), level(0.5))
    assert found is not None
    assert (found.saved, found.lower, found.upper) == (0, 0, 0)
    assert (found.cost, found.baseline_cost, found.decisions, found.left_out) == (123_456, 123_456, 40, 0)


def test_a_model_that_writes_the_same_each_time_is_priced_to_the_nano_usd() -> None:
    own = Sums(answered=30, answered_cost=30 * 900, counted=30, counted_output=30 * 50, counted_square=30 * 2_500)
    other = could(10, cost=500_000, fixed=100_007)
    found = estimate({(0, 0): own.plus(other)}, 0, believing(NOBODY_KNOWS), level(0.5))
    assert found is not None
    instead = 10 * (100_007 + 50 * 4_000)
    assert found.baseline_cost == 30 * 900 + instead
    assert found.saved == instead - 5_000_000
    assert (found.lower, found.upper) == (found.saved, found.saved)


def test_decisions_that_the_model_could_not_have_answered_are_left_out_on_both_sides() -> None:
    arms: Arms = {
        (0, 0): could(3, cost=100),
        (0, 1): Sums(answered=5, answered_cost=900),
    }
    found = estimate(arms, 0, believing(NOBODY_KNOWS), level(0.5, 0.5))
    assert found is not None
    assert (found.decisions, found.left_out, found.cost) == (3, 2, 300)
    assert estimate(arms, 2, believing(NOBODY_KNOWS), level(0.5, 0.5, 0.5)) is None


def test_few_answers_leave_the_belief_to_speak_and_enough_do_not() -> None:
    few = Sums(counted=ENOUGH - 1, counted_output=29 * 10, counted_square=29 * 100)
    enough = Sums(counted=ENOUGH, counted_output=300, counted_square=3_000)
    believed = written(few, NOBODY_KNOWS)
    assert not believed.seen
    assert believed.mean == pytest.approx(math.expm1(5.0 + 0.375))
    assert believed.mean_sd == pytest.approx(believed.mean * math.sqrt(math.expm1(0.25)))
    assert written(enough, NOBODY_KNOWS)[:4] == (10.0, 0.0, 0.0, True)
    assert written(NOTHING, NOBODY_KNOWS._replace(limit=20.0)).mean == 20.0


def test_the_best_single_model_is_one_that_could_have_given_half_of_the_answers() -> None:
    arms: Arms = {
        (0, 0): Sums(answered=6, could=4),
        (0, 1): Sums(answered=4, could=6),
        (0, 2): Sums(could=4),  # of 10: too few
        (1, 0): Sums(answered=2),
        (1, 1): Sums(could=2),
    }
    by_class = {0: [0.6, 0.5, 0.9], 1: [0.1, 0.5, 0.9]}
    everyone = frozenset({0, 1, 2})
    assert best_single(arms, by_class.__getitem__, everyone) == 0  # 10 * 0.6 + 2 * 0.1 against 10 * 0.5 + 2 * 0.5
    by_class[1][0] = -1.0
    assert best_single(arms, by_class.__getitem__, everyone) == 1
    assert best_single(arms, by_class.__getitem__, frozenset({2})) is None
    assert best_single({}, by_class.__getitem__, everyone) is None


def test_quality_is_compared_on_the_classes_that_were_judged() -> None:
    sums = Sums(answered=40, scores=40, score_sum=40 * SCALE * 3 // 4)
    found = estimate({(0, 0): sums, (1, 0): Sums(answered=9)}, 0, believing(NOBODY_KNOWS), level(0.5))
    assert found is not None
    assert found.quality_difference == pytest.approx(0.25)
    few = estimate({(0, 0): sums._replace(scores=29)}, 0, believing(NOBODY_KNOWS), level(0.5))
    assert few is not None
    assert few.quality_difference is None


Tokens = np.ndarray[tuple[int], np.dtype[np.int64]]


def of_answers(tokens: Tokens) -> Sums:
    """Return the sums of answers of a model, priced without input."""
    cost = int(tokens.sum()) * 4_000 + 7 * len(tokens)
    return Sums(
        answered=len(tokens), answered_cost=cost, counted=len(tokens), counted_output=int(tokens.sum()),
        counted_square=int((tokens.astype(object) ** 2).sum()),
    )  # fmt: skip


NOISE = 0.6  # variance of the log of tokens of single answers


def coverage(runs: int, own: int, instead: int, classes: int, known_to: float) -> float:
    """Return how often the interval holds the truth, where a model gave `own` answers of each class.

    known_to: variance of the belief about the mean of the log of tokens; its errors are shared by the classes.
    """
    rng = np.random.default_rng(20_261_128)

    def draw(mean: float, count: int) -> Tokens:
        tokens: Tokens = np.rint(np.expm1(rng.normal(mean, math.sqrt(NOISE), count)).clip(0)).astype(np.int64)
        return tokens

    def holds() -> bool:
        arms: dict[tuple[int, int], Sums] = {}
        shared, means = float(rng.normal(0.0, math.sqrt(known_to))), rng.normal(5.0, 0.7, classes).tolist()
        truth = 0
        for task_class, mean in enumerate(means):
            replaced = draw(mean + shared, instead)
            truth += int(replaced.sum()) * 4_000 + 7 * instead - instead * 100_000
            others = could(instead, cost=100_000, fixed=7)
            arms[task_class, 0] = of_answers(draw(mean + shared, own)).plus(others)
        found = estimate(arms, 0, lambda c: LogTokens(means[c], known_to, NOISE), level(0.5))
        assert found is not None
        return found.lower <= truth <= found.upper

    return sum(holds() for _ in range(runs)) / runs


@pytest.mark.parametrize(
    ("own", "instead", "classes", "known_to"),
    [(60, 300, 3, 0.04), (400, 100, 1, 0.04), (0, 300, 3, 0.04), (5, 50, 1, 0.01), (0, 1_000, 5, 0.1)],
    ids=["seen", "seen often", "believed, errors shared", "believed, few", "believed, wide"],
)
def test_the_interval_covers_as_often_as_it_says(own: int, instead: int, classes: int, known_to: float) -> None:
    """Within what 600 runs and skewed answers leave open: between 92% and 98% of the time."""
    share = coverage(600, own, instead, classes, known_to)
    assert abs(share - CONFIDENCE) <= 0.03, share
