"""The cap on newcomers: exact, and fair to the others, for any predictions and strategy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.newcomers import hold_back
from naiad.bandit.objective import Exploration, Objective, Predictions, Serving, Strategy, serve

HOW = Exploration(temper=1.0, floor=0.01, allowance=0.1)
numbers = st.floats(0.0, 1.0)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Predictions, list[bool]]:
    """Draw predictions of 2 to 6 models, and which of them are new."""
    size = draw(st.integers(2, 6))

    def column(values: st.SearchStrategy[float]) -> list[float]:
        return draw(st.lists(values, min_size=size, max_size=size))

    sd = column(st.floats(0.001, 0.4))
    seen = Predictions(
        column(numbers), sd, sd, column(st.floats(0.0, 1e8)), [0.0] * size, column(st.floats(0.01, 9.0)), [0.0] * size
    )
    return seen, draw(st.lists(st.booleans(), min_size=size, max_size=size))


@given(worlds(), st.sampled_from(Strategy), numbers, numbers)
def test_newcomers_get_their_share_and_the_others_what_they_would_have_alone(
    world: tuple[Predictions, list[bool]], strategy: Strategy, share: float, floor: float
) -> None:
    seen, new = world
    objective = Objective(strategy, quality_floor=floor)
    asked: list[list[int]] = []

    def among(at: list[int]) -> Serving:
        asked.append(at)
        return serve(objective, seen.few(at), HOW)

    before = serve(objective, seen, HOW)
    after, would = hold_back(before, new, share, among)
    p = after.probabilities
    assert sum(p) == pytest.approx(1.0, abs=1e-12)
    assert all(own >= 0.0 for own in p)
    together = sum(own for own, is_new in zip(before.probabilities, new, strict=True) if is_new)
    others = [i for i, is_new in enumerate(new) if not is_new]
    if would is None:
        assert after is before
        assert together <= share or not others
        assert not asked, "what does not bind costs nothing"
        return
    assert would == together > share
    assert asked == [others]
    assert sum(own for own, is_new in zip(p, new, strict=True) if is_new) == pytest.approx(share, abs=1e-12)
    alone = serve(objective, seen.few(others), HOW)
    assert [p[i] for i in others] == pytest.approx([(1.0 - share) * own for own in alone.probabilities], abs=1e-12)
    for i, is_new in enumerate(new):
        if is_new:
            assert p[i] == pytest.approx(before.probabilities[i] * share / together, abs=1e-12)
    if before.safe:
        assert [after.safe[i] for i in others] == list(alone.safe or [True] * len(others))


def test_the_others_are_not_scaled_up() -> None:
    """A model with a wide belief would gain from scaling: the draws that beat a newcomer are high ones."""
    seen = Predictions([0.9, 0.5, 0.5], [0.1, 0.01, 0.3], [0.1, 0.01, 0.3], [0.0] * 3, [0.0] * 3, [1.0] * 3, [0.0] * 3)
    objective = Objective(Strategy.QUALITY_FIRST)
    how = Exploration(temper=1.0, floor=0.0)
    before = serve(objective, seen, how).probabilities
    after, _ = hold_back(
        serve(objective, seen, how), [True, False, False], 0.1, lambda at: serve(objective, seen.few(at), how)
    )
    assert before[1] < 0.01 * before[2], "scaled, the known model would hardly be served"
    assert after.probabilities == pytest.approx([0.1, 0.45, 0.45], abs=1e-3)
