"""Posteriors as a line of text: the mean and two standard deviations to either side, on an axis from 0 to 1."""

from __future__ import annotations

from typing import NamedTuple


class Marks(NamedTuple):
    """The characters of an interval, and of its numbers."""

    left: str
    line: str
    right: str
    seen: str  # the mean of what was judged
    unseen: str  # the mean of what is only inferred
    beyond: str  # an end that lies outside of the axis
    grid: str
    give_or_take: str


LINES = Marks("├", "─", "┤", "●", "○", "─", "·", "±")
ASCII = Marks("[", "-", "]", "#", "o", "-", ".", "+-")


def interval(mean: float, sd: float, width: int, *, seen: bool = True, marks: Marks = LINES) -> str:
    """Return `width` (at least 5) characters from 0 to 1: `mean` with a line over mean - 2 sd to mean + 2 sd.

    What lies beyond the axis is cut, and has no end mark there. Dots stand at 0, 1/4, 1/2, 3/4 and 1.
    """
    cells = [" "] * width
    for quarter in range(5):
        cells[_cell(quarter / 4, width)] = marks.grid
    low, high = mean - 2.0 * sd, mean + 2.0 * sd
    first, last = _cell(low, width), _cell(high, width)
    cells[first : last + 1] = marks.line * (last + 1 - first)
    cells[first] = marks.left if low >= 0.0 else marks.beyond
    cells[last] = marks.right if high <= 1.0 else marks.beyond
    cells[_cell(mean, width)] = marks.seen if seen else marks.unseen
    return "".join(cells)


def axis(width: int) -> str:
    """Return the axis of the intervals: 0, 0.5 and 1 at their places among `width` (at least 5) characters."""
    cells = [" "] * width
    middle = _cell(0.5, width)
    cells[0], cells[-1] = "0", "1"
    cells[middle - 1 : middle + 2] = "0.5"
    return "".join(cells)


def _cell(value: float, width: int) -> int:
    """Return the place of a value, that of the nearest end for one beyond the axis."""
    return min(width - 1, max(0, int(value * (width - 1) + 0.5)))
