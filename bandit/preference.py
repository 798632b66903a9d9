"""What a preference between two answers says of quality: two pseudo-scores that draw their models apart, no more.

A preference bears on the difference of two qualities, not on their level. With m the mean of what was believed of the
two models when the decision was made, and r = min(m, 1 - m) the room that it leaves,

    better <- m + r        worse <- m - r.

Both lie in [0, 1]. With x and y believed of the better and the worse, m = (x + y) / 2, the residuals m + r - x and
m - r - y are opposite and equal, and the first is never negative: r >= |x - y| / 2, since both lie in [0, 1]. So the
pair draws the two apart, and the class as a whole nowhere. Scores of 1 and 0 do so only where m = 1/2; in a class where
all answers are good they would draw both models down.
"""

from __future__ import annotations


def pseudo_scores(first: float, second: float) -> tuple[float, float]:
    """Return (score of the better, score of the worse) for the beliefs about the two, in any order; all in [0, 1]."""
    middle = 0.5 * (first + second)
    room = min(middle, 1.0 - middle)
    return middle + room, middle - room
