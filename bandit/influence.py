"""How much one rater may weigh: an absolute cap for each arm and period, exact under any order and revision.

A period is `PERIOD` consecutive decision ordinals of the arm's model, or a merged block of cells where that is longer
(its cap grows with it). Within a period the judgements of one rater add up in integers. Where their weight W stays
within the cap C they count as they are; beyond it, each cell of weight w counts as w' = floor(w C / W), with its mean:
floor(t w' / w), floor(q w' / w). So what counts depends on the final sums alone, not on who came first, and taking a
judgement back gives the others their weight again.

Raters are told apart by slots, so that memory does not grow with their number: slot 0 is the empty rater id, the others
are a digest of the id. Raters who share a slot share its cap.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

PERIOD_LEVEL = 6  # a period is 2^6 buckets of 16 ordinals
SLOTS = 64  # the anonymous one included

Place = tuple[int, int, int]  # (level, block, epoch); a period and its cap reach over epochs
Triple = tuple[int, int, int]  # (weight, sum, sum of squares)
RaterPeriod = tuple[int, int, int, int]  # (source, slot, level, block), the level at least PERIOD_LEVEL
Moved = tuple[int, Place, Triple]  # (source, place, what it counts more than before)


def slot_of(rater: str) -> int:
    """Return the slot of a rater id, in [0, SLOTS); 0 is that of the empty id alone."""
    if not rater:
        return 0
    return 1 + int.from_bytes(hashlib.blake2b(rater.encode(), digest_size=8).digest(), "big") % (SLOTS - 1)


@dataclass(frozen=True)
class Caps:
    """The most that one rater may weigh in one arm and period; sources that are absent have no cap."""

    weights: Mapping[int, int] = field(default_factory=dict)  # source -> weight, UNIT_WEIGHT for one full observation
    anonymous: int = 1  # how many raters the empty rater id stands for

    def limit(self, source: int, slot: int, level: int) -> int:
        """Return the cap of one slot of a capped source in a period of a level."""
        return (self.weights[source] * (1 if slot else self.anonymous)) << (level - PERIOD_LEVEL)


class Raters:
    """The judgements of one (task class, model, measure) by capped sources, by rater, and what counts of them."""

    def __init__(self, caps: Caps) -> None:
        self._caps = caps
        self._periods: dict[RaterPeriod, dict[Place, Triple]] = {}

    def move(self, source: int, slot: int, place: Place, moved: Triple) -> list[Moved]:
        """Add to one cell of a rater; return what that changes in what counts. At most some 64 cells are touched."""
        level, block, _ = place
        shift = max(0, PERIOD_LEVEL - level)
        key = (source, slot, level + shift, block >> shift)
        cells = self._periods.setdefault(key, {})
        before = self._counted(key, cells)
        summed = _plus(cells.get(place, _NOTHING), moved)
        after_cells = {**cells, place: summed}
        if summed == _NOTHING:
            del after_cells[place]
        self._periods[key] = after_cells
        after = self._counted(key, after_cells)
        if before is cells and after is after_cells:  # within the cap before and after
            return [(source, place, moved)]
        changed = ((p, _minus(after.get(p, _NOTHING), before.get(p, _NOTHING))) for p in {*before, place})
        return [(source, p, delta) for p, delta in changed if delta != _NOTHING]

    def room(self, source: int, slot: int, place: Place) -> int:
        """Return what the cap of a rater leaves in the period of a place, at least 0."""
        level, block, _ = place
        shift = max(0, PERIOD_LEVEL - level)
        key = (source, slot, level + shift, block >> shift)
        whole = sum(triple[0] for triple in self._periods.get(key, {}).values())
        return max(0, self._caps.limit(source, slot, level + shift) - whole)

    def settle(self, place_of: Callable[[Place], Place]) -> list[Moved]:
        """Move every cell to the block that the head now gives it; return what that changes in what counts."""
        changes = [(source, place, _minus(_NOTHING, triple)) for source, place, triple in self._counting()]
        old, self._periods = self._periods, {}
        for (source, slot, _, _), cells in old.items():
            for place, triple in cells.items():
                self.move(source, slot, place_of(place), triple)
        changes += self._counting()
        return changes

    def items(self) -> Iterator[tuple[tuple[int, int, int, int, int], Triple]]:
        """Yield every ((source, slot, level, block, epoch), raw triple)."""
        for (source, slot, _, _), cells in self._periods.items():
            for place, triple in cells.items():
                yield (source, slot, *place), triple

    def _counting(self) -> Iterator[Moved]:
        for key, cells in self._periods.items():
            for place, triple in self._counted(key, cells).items():
                yield key[0], place, triple

    def _counted(self, key: RaterPeriod, cells: dict[Place, Triple]) -> dict[Place, Triple]:
        """Return what counts of the cells of one rater and period."""
        limit = self._caps.limit(key[0], key[1], key[2])
        whole = sum(triple[0] for triple in cells.values())
        if whole <= limit:
            return cells
        return {place: _cut(triple, limit, whole) for place, triple in cells.items()}


_NOTHING: Triple = (0, 0, 0)


def _cut(triple: Triple, limit: int, whole: int) -> Triple:
    """Return a cell's part of the cap, at the cell's own mean; weightless cells have none."""
    weight, total, square = triple
    part = weight * limit // whole
    return (part, total * part // weight, square * part // weight) if weight else _NOTHING


def _plus(a: Triple, b: Triple) -> Triple:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def _minus(a: Triple, b: Triple) -> Triple:
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]
