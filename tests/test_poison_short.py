"""Bar B12 in short: a flood of lies by one rater moves little, without the cap much, and it comes out whole."""

from __future__ import annotations

import random

import numpy as np
import pytest

from tests.bars.b12_poison import HELD, MOVED, UNDEFENDED, Attack, Bar, inverse, play, revocation, settings

ROUNDS = 3_000
SEEDS = 2
FLOOD = Attack(1.0, ROUNDS // 2)


@pytest.fixture(scope="module")
def seeds() -> list[int]:
    first = random.randrange(1 << 31)
    return list(range(first, first + SEEDS))


def test_a_flood_moves_the_defended_little_and_leaves_no_trace_once_revoked(seeds: list[int]) -> None:
    moved, wrong, off = [], [], []
    for seed in seeds:
        clean, attacked = play(settings(), seed, ROUNDS), play(settings(), seed, ROUNDS, FLOOD)
        moved.append(attacked.share(FLOOD.begin) - clean.share(FLOOD.begin))
        wrong += revocation(attacked)
        off += [total / variance**0.5 for total, variance in inverse(clean)]
    assert np.mean(moved) <= HELD, (seeds, moved)
    assert wrong == [], seeds
    assert max(map(abs, off)) <= 6.0, (seeds, off)  # few rounds have heavier tails than the bar's


def test_the_flood_is_one_and_the_cap_is_what_holds(seeds: list[int]) -> None:
    for belief in (UNDEFENDED, settings("caps_off")):
        moved = [
            play(belief, seed, ROUNDS, FLOOD).share(FLOOD.begin) - play(belief, seed, ROUNDS).share(FLOOD.begin)
            for seed in seeds
        ]
        assert np.mean(moved) > MOVED / 2, (seeds, moved)


def test_a_bar_whose_attack_is_too_weak_fails() -> None:
    bar = Bar(1, 1, rounds=40)
    bar.run()
    assert bar.failures
