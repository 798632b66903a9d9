"""Drawn posteriors: the picture must agree with the numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from naiad.server.report.bars import axis, density, scale

HEIGHTS = " ▁▂▃▄▅▆▇█"
means = st.floats(0.0, 1.0)
sds = st.floats(0.001, 0.5)


@given(means, sds, st.integers(4, 60))
def test_a_density_rises_to_its_fullest_cell_and_falls_after_it(mean: float, sd: float, width: int) -> None:
    drawn = density(mean, sd, 0.0, 1.0, width)
    heights = [HEIGHTS.index(mark) for mark in drawn]
    top = heights.index(max(heights))
    assert len(drawn) == width
    assert max(heights) == 8
    assert heights[: top + 1] == sorted(heights[: top + 1])
    assert heights[top:] == sorted(heights[top:], reverse=True)
    assert heights[min(width - 1, int(mean * width))] == 8


def test_the_more_is_known_the_narrower_the_hill() -> None:
    drawn = [density(0.575, sd, 0.0, 1.0, 20) for sd in (0.2, 0.05, 0.01)]
    covered = [sum(mark != " " for mark in line) for line in drawn]
    assert covered == sorted(covered, reverse=True)
    assert covered[-1] == 1
    assert drawn[-1].index("█") == 11


def test_heights_are_in_proportion_to_the_density() -> None:
    drawn = density(0.0, 0.2, -1.025, 1.025, 41)  # cells of 0.05, the middle one around 0
    heights = [HEIGHTS.index(mark) for mark in drawn]
    assert heights == heights[::-1]
    assert heights[20] == 8
    assert heights[24] == 5  # one sd away: 8 exp(-1/2) = 4.9
    assert heights[28] == 2  # two: 8 exp(-2) = 1.1, rounded up


def test_a_belief_beyond_the_axis_is_marked_at_its_end() -> None:
    assert density(0.0, 1e-9, 0.5, 1.0, 8) == "█       "
    assert density(2.0, 1e-9, 0.5, 1.0, 8) == "       █"


@given(st.lists(st.tuples(means, sds), max_size=8))
def test_the_axis_holds_every_belief_in_whole_tenths(beliefs: list[tuple[float, float]]) -> None:
    low, high = axis(beliefs)
    assert 0.0 <= low < high <= 1.0
    assert all(abs(10 * end - round(10 * end)) < 1e-9 for end in (low, high))
    assert all(low - 1e-9 <= mean <= high + 1e-9 for mean, _ in beliefs)


def test_the_scale_is_as_wide_as_the_hills() -> None:
    assert scale(0.6, 1.0, 12) == "0.6        1"
