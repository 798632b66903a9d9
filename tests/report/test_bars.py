"""Drawn posteriors: the picture must agree with the numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.report.bars import ASCII, LINES, Marks, axis, interval

means = st.floats(0.0, 1.0)
sds = st.floats(0.0, 1.0)
widths = st.integers(5, 80)


@given(means, sds, widths, st.booleans(), st.sampled_from([LINES, ASCII]))
def test_an_interval_lies_where_its_numbers_say(mean: float, sd: float, width: int, seen: bool, marks: Marks) -> None:
    drawn = interval(mean, sd, width, seen=seen, marks=marks)
    assert len(drawn) == width
    mark = marks.seen if seen else marks.unseen
    assert drawn.count(mark) == 1
    place = drawn.index(mark)
    assert abs(place / (width - 1) - mean) <= 0.5 / (width - 1) + 1e-9
    covered = [i for i, c in enumerate(drawn) if c not in (" ", marks.grid)]
    assert covered == list(range(covered[0], covered[-1] + 1))
    for end, value in ((covered[0], mean - 2 * sd), (covered[-1], mean + 2 * sd)):
        assert abs(end / (width - 1) - min(1.0, max(0.0, value))) <= 0.5 / (width - 1) + 1e-9


def test_what_leaves_the_axis_has_no_end_there() -> None:
    assert interval(0.5, 0.125, 17) == "·   ├───●───┤   ·"
    assert interval(0.5, 0.3, 17) == "────────●────────"
    assert interval(0.0, 0.125, 17) == "●───┤   ·   ·   ·"
    assert interval(0.95, 0.2, 17, seen=False) == "·   ·   ·├─────○─"
    assert interval(0.5, 0.0, 17, marks=ASCII) == ".   .   #   .   ."


@pytest.mark.parametrize("width", [5, 17, 21, 41])
def test_the_axis_names_its_ends_and_its_middle(width: int) -> None:
    drawn = axis(width)
    assert (len(drawn), drawn[0], drawn[-1]) == (width, "0", "1")
    assert drawn[width // 2 - 1 : width // 2 + 2] == "0.5"
