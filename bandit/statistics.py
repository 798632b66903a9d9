"""Exact integer sufficient statistics in cells, additive in any order.

A cell is (task class, model, measure, source, rater slot, bucket, epoch) within one tenant and holds three integers:
the weight, and the weighted sum and sum of squares of a fixed-point value. Adding an observation adds to its cell, a
revision subtracts the old value and adds the new one. Integer addition commutes and is exact, so any order, any
replica, live or replayed, gives the same statistics to the bit.

The bucket comes from the decision, never from the arrival: the model's decision ordinal when the decision was made,
cut into buckets of `BUCKET_WIDTH`. Old buckets are merged on a fixed schedule that depends on the model's head
ordinal alone: at every `ERA`-th ordinal a block of 2^L buckets forms where it lies `_KEEP` * 2^L buckets behind the
head. Blocks are dyadic and nested, so merging early or late gives the same cells.

A model's quality has epochs: a drift alarm (`naiad.bandit.drift`) begins the next one at a bucket. What was decided
before that bucket belongs to the epoch before, whenever it is judged, and blocks do not merge across epochs. So
statistics are a function of the observations, the alarms and the heads.

Where a source has a cap (`naiad.bandit.influence`), its raters have cells of their own, and what is read is what counts
of them under the cap. Elsewhere the slot is 0, and what is read is what was added.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from naiad.bandit.influence import Caps, Place, Raters

SCALE = 1_000_000  # fixed point: a value v is stored as round(v * SCALE); decimal, so that 0.9 reads back as 0.9
UNIT_WEIGHT = 1000  # the weight of one full observation
BUCKET_WIDTH = 16  # ordinals
ERA = 64 * BUCKET_WIDTH  # ordinals between two merges
_KEEP = 8  # how many blocks of each size stay unmerged


class Measure(IntEnum):
    """What a cell measures; each has a belief of its own."""

    QUALITY = 0  # score in [0, 1]
    SUCCESS = 1  # 1.0 when an attempt was answered, 0.0 when it failed
    OUTPUT_TOKENS = 2  # log(1 + output tokens)
    LATENCY = 3  # log(seconds)
    FIRST_TOKEN = 4  # log(seconds) to the first piece of a streamed answer


@dataclass(frozen=True, slots=True)
class Observation:
    """One effective observation: where it belongs and what it says, in integers only."""

    task_class: int
    model: int
    measure: Measure
    source: int
    ordinal: int  # the model's decision ordinal when the decision was made
    value: int  # fixed point, see SCALE
    weight: int = UNIT_WEIGHT
    slot: int = 0  # of the rater, see influence.slot_of; it matters where the source has a cap


def to_fixed(value: float) -> int:
    """Return the fixed-point integer nearest to a finite value."""
    return round(value * SCALE)


class Cell:
    """Weight, weighted sum and weighted sum of squares, as Python integers (no overflow)."""

    __slots__ = ("square", "total", "weight")

    def __init__(self, weight: int = 0, total: int = 0, square: int = 0) -> None:
        self.weight = weight
        self.total = total
        self.square = square

    def __bool__(self) -> bool:
        return self.weight != 0 or self.total != 0 or self.square != 0

    def absorb(self, other: Cell) -> None:
        """Add another cell to this one."""
        self.weight += other.weight
        self.total += other.total
        self.square += other.square

    def triple(self) -> tuple[int, int, int]:
        """Return (weight, sum, sum of squares)."""
        return self.weight, self.total, self.square


GroupKey = tuple[int, int, Measure]  # (task class, model, measure)
CellKey = tuple[int, int, int, int]  # (source, level, block, epoch): buckets [block << level, (block + 1) << level)
RawKey = tuple[int, int, int, int, int]  # (source, slot, level, block, epoch)
Part = tuple[int, int]  # (source, epoch)


class Alarm(NamedTuple):
    """Where a drift alarm begins a model's next epoch, and how evidence from before it counts from then on."""

    bucket: int
    kept: float  # factor in (0, 1] on the weight of every epoch before
    shift: int  # added to their values: how far the model moved, fixed point


class Worth(NamedTuple):
    """How the evidence of one epoch counts at present."""

    factor: float  # on its weight
    shift: int  # added to its values, fixed point


def block_of(bucket: int, head_bucket: int) -> tuple[int, int]:
    """Return (level, block) of the block that holds a bucket once merging has reached head_bucket."""
    level = 0
    while True:
        nxt = level + 1
        end = ((bucket >> nxt) + 1) << nxt  # first bucket after the candidate block
        if head_bucket - end < _KEEP << nxt:
            return level, bucket >> level
        level = nxt


class Statistics:
    """All cells of one tenant, and the head ordinal of each model."""

    def __init__(self, caps: Caps | None = None) -> None:
        self._caps = caps or Caps()
        self._raters: dict[GroupKey, Raters] = {}  # of the sources with a cap, as they were added
        self._groups: dict[GroupKey, dict[CellKey, Cell]] = {}  # what counts
        self._totals: dict[GroupKey, dict[Part, Cell]] = {}  # the same, summed over buckets, by source and epoch
        self._heads: dict[int, int] = {}
        self._alarms: dict[int, list[Alarm]] = {}  # of each model, by bucket
        self._worths: dict[int, list[Worth]] = {}  # of each epoch of a model that had an alarm
        self._merged_at: dict[GroupKey, int] = {}  # the merge head that a group was last merged to

    def head(self, model: int) -> int:
        """Return how many decisions have named this model so far."""
        return self._heads.get(model, 0)

    def heads(self) -> dict[int, int]:
        """Return a copy of the head ordinal of each model."""
        return dict(self._heads)

    def advance(self, model: int, head: int) -> None:
        """Move a model's head ordinal forward (never back)."""
        if head > self._heads.get(model, 0):
            self._heads[model] = head

    # -- epochs ----------------------------------------------------------------------------------------------------

    def alarm(self, model: int, ordinal: int, kept: float, shift: int) -> list[GroupKey]:
        """Begin a model's next epoch at the bucket border nearest to an ordinal; return the groups that it changes.

        kept: factor in (0, 1] on the weight of all evidence from before; shift: added to its values. The border is
        never one that merging has passed, nor before that of an earlier alarm.
        """
        alarms = self._alarms.setdefault(model, [])
        nearest = (ordinal + BUCKET_WIDTH // 2) // BUCKET_WIDTH
        unmerged = max(0, self._merge_head(model) - 2 * _KEEP + 2)
        bucket = max(min(nearest, self.head(model) // BUCKET_WIDTH), unmerged, alarms[-1].bucket if alarms else 0)
        self._put_alarms(model, [*alarms, Alarm(bucket, kept, shift)])
        changed = sorted(g for g in self._groups if g[1] == model and g[2] == Measure.QUALITY)
        for group in changed:
            self._merged_at.pop(group, None)
            self._settle(group)
        return changed

    def _put_alarms(self, model: int, alarms: list[Alarm]) -> None:
        self._alarms[model] = alarms
        worths = [Worth(1.0, 0)]
        for alarm in reversed(alarms):
            worths.append(Worth(worths[-1].factor * alarm.kept, worths[-1].shift + alarm.shift))
        self._worths[model] = worths[::-1]

    def alarms(self) -> dict[int, list[Alarm]]:
        """Return a copy of each model's alarms, by bucket."""
        return {model: list(alarms) for model, alarms in self._alarms.items()}

    def worths(self, model: int) -> list[Worth] | None:
        """Return how the evidence on the quality of a model counts, by epoch; None for a model without alarms."""
        return self._worths.get(model)

    def evidence(self, model: int, ordinal: int | None = None) -> float:
        """Return how many full judgements of a model's quality weigh, those decided before an ordinal only if given."""
        bucket = None if ordinal is None else (ordinal + BUCKET_WIDTH // 2) // BUCKET_WIDTH
        worths = self._worths.get(model)
        weight = 0.0
        for group in self._groups:
            if group[1] == model and group[2] == Measure.QUALITY:
                for (_, level, block, epoch), cell in self.cells(group):
                    if bucket is None or block << level < bucket:
                        weight += cell.weight * (worths[epoch].factor if worths else 1.0)
        return weight / UNIT_WEIGHT

    def _epoch(self, model: int, measure: Measure, bucket: int) -> int:
        """Return the epoch that a bucket lies in: the number of alarms up to it."""
        return bisect_right(self._alarms[model], bucket, key=_bucket) if measure == Measure.QUALITY else 0

    # -- observations ----------------------------------------------------------------------------------------------

    def _merge_head(self, model: int) -> int:
        """Return the bucket at which the model's current era began."""
        return self._heads.get(model, 0) // ERA * (ERA // BUCKET_WIDTH)

    def add(self, seen: Observation) -> None:
        """Add one effective observation to its cell."""
        self._move(seen, seen.weight)

    def subtract(self, seen: Observation) -> None:
        """Take one effective observation out of its cell, exactly."""
        self._move(seen, -seen.weight)

    def counting(self, seen: Observation) -> int:
        """Return the part of an observation's weight that would count now: what the rater's cap has room for."""
        if seen.source not in self._caps.weights:
            return seen.weight
        group = (seen.task_class, seen.model, seen.measure)
        raters = self._raters.get(group)
        if raters is None:
            raters = Raters(self._caps)
        else:
            self._settle(group)
        return min(seen.weight, raters.room(seen.source, seen.slot, self._place(seen)))

    def _place(self, seen: Observation) -> Place:
        """Return where an observation belongs: level, block and epoch."""
        bucket = seen.ordinal // BUCKET_WIDTH
        level, block = block_of(bucket, self._merge_head(seen.model))
        return level, block, self._epoch(seen.model, seen.measure, bucket) if seen.model in self._alarms else 0

    def _move(self, seen: Observation, weight: int) -> None:
        group = (seen.task_class, seen.model, seen.measure)
        place = self._place(seen)
        total = weight * seen.value
        if seen.source in self._caps.weights:
            self._settle(group)
            self._rate(group, (seen.source, seen.slot, *place), (weight, total, total * seen.value))
        else:
            self._absorb(group, (seen.source, *place), weight, total, total * seen.value)

    def _rate(self, group: GroupKey, key: RawKey, triple: tuple[int, int, int]) -> None:
        """Add to the cell of a rater whose source has a cap."""
        raters = self._raters.get(group)
        if raters is None:
            raters = self._raters[group] = Raters(self._caps)
        for source, place, delta in raters.move(key[0], key[1], key[2:], triple):
            self._absorb(group, (source, *place), *delta)

    def _absorb(self, group: GroupKey, key: CellKey, weight: int, total: int, square: int) -> None:
        cells = self._groups.get(group)
        if cells is None:
            cells = self._groups[group] = {}
            self._totals[group] = {}
        sums = self._totals[group]
        part = (key[0], key[3])
        for cell in (
            cells.get(key) or cells.setdefault(key, Cell()),
            sums.get(part) or sums.setdefault(part, Cell()),
        ):
            cell.weight += weight
            cell.total += total
            cell.square += square

    def merge(self, other: Statistics) -> None:
        """Add another tenant-wide set of statistics (a replica's, or a snapshot's) to this one."""
        for model, head in other._heads.items():
            self.advance(model, head)
        for model, alarms in other._alarms.items():
            if len(alarms) > len(self._alarms.get(model, ())):
                self._put_alarms(model, list(alarms))
                for group in [g for g in self._merged_at if g[1] == model]:
                    del self._merged_at[group]
        for group, key, triple in other.items():
            self.load(group, key, triple)

    def restore_alarm(self, model: int, alarm: Alarm) -> None:
        """Take over an alarm of a snapshot, before its cells."""
        self._put_alarms(model, [*self._alarms.get(model, []), alarm])

    def load(self, group: GroupKey, key: RawKey, triple: tuple[int, int, int]) -> None:
        """Add a whole cell, as `items` gave it under the same caps."""
        self._merged_at.pop(group, None)
        source, _, level, block, epoch = key
        if source in self._caps.weights:
            self._groups.setdefault(group, {})
            self._totals.setdefault(group, {})
            self._rate(group, key, triple)
        else:
            self._absorb(group, (source, level, block, epoch), *triple)

    def capped(self, model: int) -> list[GroupKey]:
        """Return the groups of a model in which sources with a cap judged; what counts there may change with an era."""
        return sorted(group for group in self._raters if group[1] == model)

    def totals(self, group: GroupKey) -> list[tuple[Part, Cell]]:
        """Return ((source, epoch), sum over its buckets of what counts) of one (task class, model, measure), sorted."""
        if group in self._raters:
            self._settle(group)
        sums = self._totals.get(group)
        if not sums:
            return []
        return sorted(sums.items(), key=_by_part) if len(sums) > 1 else list(sums.items())

    def cells(self, group: GroupKey) -> list[tuple[CellKey, Cell]]:
        """Return what counts in one (task class, model, measure): non-empty cells, merged and in canonical order."""
        cells = self._groups.get(group)
        if not cells:
            return []
        self._settle(group)
        return sorted(((key, cell) for key, cell in cells.items() if cell), key=_by_key)

    def _settle(self, group: GroupKey) -> None:
        """Merge the cells of a group as far as the head says, if that was not done yet."""
        head_bucket = self._merge_head(group[1])
        if self._merged_at.get(group) == head_bucket:
            return
        self._merged_at[group] = head_bucket
        epochs = group[1] in self._alarms and group[2] == Measure.QUALITY

        def place_of(place: Place) -> Place:
            level, block, epoch = place
            if epochs and level == 0:  # an alarm since may have moved it; it never reaches what is merged
                epoch = self._epoch(group[1], group[2], block)
            return (*block_of(block << level, head_bucket), epoch)

        raters = self._raters.get(group)
        if raters is not None:
            for source, place, delta in raters.settle(place_of):
                self._absorb(group, (source, *place), *delta)
        _move_cells(self._groups.get(group, {}), place_of)
        if epochs and group in self._groups:
            self._sum_up(group)

    def _sum_up(self, group: GroupKey) -> None:
        """Sum the cells of a group anew."""
        sums = self._totals[group] = {}
        for (source, _, _, epoch), cell in self._groups[group].items():
            sums.setdefault((source, epoch), Cell()).absorb(cell)

    def groups(self) -> list[GroupKey]:
        """Return every (task class, model, measure) that has been observed, in canonical order."""
        return sorted(self._groups)

    def items(self) -> Iterator[tuple[GroupKey, RawKey, tuple[int, int, int]]]:
        """Yield every non-empty cell as it was added, in canonical order: what snapshots and digests are made of."""
        for group in self.groups():
            self._settle(group)
            found: list[tuple[RawKey, tuple[int, int, int]]] = [
                ((source, 0, level, block, epoch), cell.triple())
                for (source, level, block, epoch), cell in self._groups[group].items()
                if cell and source not in self._caps.weights
            ]
            if group in self._raters:
                found += self._raters[group].items()
            for key, triple in sorted(found):
                yield group, key, triple

    def digest(self) -> str:
        """Return a hex digest that is equal exactly when the statistics are."""
        sha = hashlib.sha256()
        for model, head in sorted(self._heads.items()):
            sha.update(f"h{model}:{head};".encode())
        for model, alarms in sorted(self._alarms.items()):
            sha.update(f"a{model}:{[tuple(alarm) for alarm in alarms]};".encode())
        for group, key, triple in self.items():
            sha.update(f"c{[int(g) for g in group]}{key}{triple};".encode())
        return sha.hexdigest()


def _move_cells(cells: dict[CellKey, Cell], place_of: Callable[[Place], Place]) -> None:
    """Move every cell to the block and epoch that the head and the alarms now give it; drop the empty ones."""
    for key in list(cells):
        source, *old = key
        moved = (source, *place_of((old[0], old[1], old[2])))
        if moved != key or not cells[key]:
            cell = cells.pop(key)
            if cell:
                cells.setdefault(moved, Cell()).absorb(cell)


def _by_part(item: tuple[Part, Cell]) -> Part:
    return item[0]


def _bucket(alarm: Alarm) -> int:
    return alarm.bucket


def _by_key(item: tuple[CellKey, Cell]) -> CellKey:
    return item[0]
