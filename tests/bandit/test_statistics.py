"""Statistics are sums: order, replicas, revisions and the time of merging leave no trace in them."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.influence import Caps
from naiad.bandit.statistics import (
    BUCKET_WIDTH,
    ERA,
    SCALE,
    GroupKey,
    Measure,
    Observation,
    RawKey,
    Statistics,
    block_of,
    to_fixed,
)
from tests.bandit.worlds import MODELS, caps, fold, heads, observations, ordinals

Content = list[tuple[GroupKey, RawKey, tuple[int, int, int]]]


def content(statistics: Statistics) -> Content:
    return list(statistics.items())


def by_hand(seen: list[Observation], at: dict[int, int], under: Caps) -> Content:
    """Sum observations into cells with nothing but a dictionary, all at the final heads."""
    cells: dict[tuple[GroupKey, RawKey], list[int]] = defaultdict(lambda: [0, 0, 0])
    for s in seen:
        place = block_of(s.ordinal // BUCKET_WIDTH, at.get(s.model, 0) // ERA * ERA // BUCKET_WIDTH)
        cell = cells[
            (s.task_class, s.model, s.measure), (s.source, s.slot if s.source in under.weights else 0, *place, 0)
        ]
        for i, amount in enumerate((s.weight, s.weight * s.value, s.weight * s.value**2)):
            cell[i] += amount
    return [
        (group, key, (w, total, square))
        for (group, key), (w, total, square) in sorted(cells.items())
        if w or total or square
    ]


def counting(statistics: Statistics) -> list[object]:
    """Return what is read: cells and totals of what counts."""
    return [
        (group, [(key, cell.triple()) for key, cell in statistics.cells(group)],
         [(part, cell.triple()) for part, cell in statistics.totals(group) if cell])
        for group in statistics.groups()
        if statistics.cells(group)
    ]  # fmt: skip


def same(a: Statistics, b: Statistics) -> None:
    assert content(a) == content(b)
    assert a.digest() == b.digest()
    assert counting(a) == counting(b)


@given(st.data(), st.lists(observations, max_size=25), heads, caps)
def test_every_path_to_the_same_observations_gives_the_same_cells(
    data: st.DataObject, seen: list[Observation], at: dict[int, int], under: Caps
) -> None:
    """Permuted, duplicated and taken back, revised, read in between, heads moved early or late: no trace."""
    extra = data.draw(st.lists(observations, max_size=8), label="seen and taken back")
    steps: list[tuple[str, object]] = [("add", s) for s in seen + extra]
    steps += [("subtract", s) for s in extra]  # may come before its add: sums do not care
    steps += [("advance", model) for model in at for _ in range(3)] + [("read", None)] * 3
    statistics = Statistics(under)
    for what, whom in data.draw(st.permutations(steps), label="path"):
        match what, whom:
            case "add", Observation() as s:
                statistics.add(s)
            case "subtract", Observation() as s:
                statistics.subtract(s)
            case "advance", int() as model:
                statistics.advance(model, data.draw(st.integers(0, at[model]), label="head on the way"))
            case _:
                content(statistics)  # merges what the head allows by now
    for model, head in at.items():
        statistics.advance(model, head)
    assert content(statistics) == by_hand(seen, at, under)
    assert statistics.digest() == fold(seen, at, under).digest()
    assert counting(statistics) == counting(fold(seen, at, under))


@given(st.lists(observations, min_size=1, max_size=12), observations, heads, caps)
def test_a_revision_equals_having_seen_only_the_new_value(
    seen: list[Observation], new: Observation, at: dict[int, int], under: Caps
) -> None:
    statistics = fold(seen, at, under)
    content(statistics)
    statistics.subtract(seen[0])
    statistics.add(new)
    same(statistics, fold([*seen[1:], new], at, under))


@given(st.data(), st.lists(observations, max_size=25), st.lists(heads, min_size=3, max_size=3), caps)
def test_replicas_merge_in_any_order(
    data: st.DataObject, seen: list[Observation], ats: list[dict[int, int]], under: Caps
) -> None:
    """Three replicas with parts of the log and heads of their own, some read before, give one result."""
    shares = data.draw(st.lists(st.integers(0, 2), min_size=len(seen), max_size=len(seen)), label="who saw it")
    replicas = [fold((s for s, r in zip(seen, shares, strict=True) if r == i), ats[i], under) for i in range(3)]
    for replica, read in zip(replicas, data.draw(st.tuples(*[st.booleans()] * 3), label="read"), strict=True):
        if read:
            content(replica)
    final = {model: max(at.get(model, 0) for at in ats) for at in ats for model in at}
    merged = Statistics(under)
    for i in data.draw(st.permutations(range(3)), label="order"):
        merged.merge(replicas[i])
        if data.draw(st.booleans(), label="read between"):
            content(merged)
    assert content(merged) == by_hand(seen, final, under)
    same(merged, fold(seen, final, under))


@given(st.lists(observations, max_size=12), st.lists(observations, min_size=1, max_size=5), heads)
def test_adding_and_subtracting_leaves_the_fold_that_never_saw_it(
    seen: list[Observation], unseen: list[Observation], at: dict[int, int]
) -> None:
    statistics = fold(seen, at)
    before = statistics.digest()
    for s in unseen:
        statistics.add(s)
    for s in unseen:
        statistics.subtract(s)
    assert statistics.digest() == before


@given(st.lists(observations, max_size=25), heads)
def test_totals_are_the_cells_summed_over_buckets(seen: list[Observation], at: dict[int, int]) -> None:
    statistics = fold(seen, at)
    for group in statistics.groups():
        sums: dict[int, tuple[int, int, int]] = {}
        for (source, *_), cell in statistics.cells(group):
            weight, total, square = sums.get(source, (0, 0, 0))
            sums[source] = (weight + cell.weight, total + cell.total, square + cell.square)
        totals = [(source, cell.triple()) for (source, _), cell in statistics.totals(group)]
        assert totals == sorted(sums.items())
    assert statistics.totals((99, 0, Measure.QUALITY)) == []


@given(st.integers(0, 1 << 22), st.lists(st.integers(0, 1 << 22), min_size=2, max_size=6))
def test_blocks_grow_with_the_head_and_never_let_go(bucket: int, reached: list[int]) -> None:
    """A later head gives the same block or a larger one around it, also by way of the smaller one."""
    for early, late in pairwise(sorted(reached)):
        level, block = block_of(bucket, early)
        wider, around = block_of(bucket, late)
        assert wider >= level
        assert block >> (wider - level) == around
        assert block_of(block << level, late) == (wider, around)  # merged early, then late


@given(st.integers(0, 1 << 22), st.integers(0, 1 << 22))
def test_blocks_tile_the_line(bucket: int, head: int) -> None:
    """Every bucket of a block names that same block, so no two blocks overlap."""
    level, block = block_of(bucket, head)
    first, after = block << level, (block + 1) << level
    assert first <= bucket < after
    assert all(block_of(b, head) == (level, block) for b in {first, (first + after) // 2, after - 1})
    if level:
        assert after <= head  # a block whose ordinals are still to come is never merged


def test_old_buckets_take_logarithmic_room() -> None:
    """A long history stays short: cells grow with the logarithm of the head, not with it."""
    counts = []
    for era in (100, 10_000):
        head = era * ERA // BUCKET_WIDTH
        blocks = []
        bucket = 0
        while bucket < head:
            level, block = block_of(bucket, head)
            blocks.append(level)
            bucket = (block + 1) << level
        assert blocks == sorted(blocks, reverse=True)
        counts.append(len(blocks))
    assert counts[1] - counts[0] <= 9 * 8  # 100 times the history: at most log2(100) + 2 more levels of 8 blocks


@given(st.lists(st.tuples(st.integers(0, MODELS - 1), ordinals), max_size=20))
def test_a_head_never_goes_back(moves: list[tuple[int, int]]) -> None:
    statistics = Statistics()
    for model, head in moves:
        before = statistics.heads()
        statistics.advance(model, head)
        assert statistics.head(model) == max(head, before.get(model, 0))
        assert all(statistics.head(other) == at for other, at in before.items() if other != model)


def test_merging_does_not_move_a_head_back() -> None:
    ahead, behind = fold([], {0: 900}), fold([], {0: 100, 1: 5})
    ahead.merge(behind)
    assert ahead.heads() == {0: 900, 1: 5}


def test_heads_are_part_of_the_digest() -> None:
    assert fold([], {0: 1}).digest() != fold([], {0: 2}).digest() != fold([], {1: 2}).digest()


@given(observations, st.sampled_from(["task_class", "model", "measure", "source", "ordinal", "value", "weight"]))
def test_every_field_of_an_observation_reaches_the_digest(s: Observation, name: str) -> None:
    """Changing one field (the ordinal: by a bucket, with the head still at the start) changes the digest."""
    fields = {f: getattr(s, f) for f in Observation.__slots__}
    now = fields[name]
    fields[name] = Measure((now + 1) % len(Measure)) if name == "measure" else now + BUCKET_WIDTH
    assert fold([s]).digest() != fold([Observation(**fields)]).digest()


def test_big_weights_do_not_overflow() -> None:
    huge = Observation(0, 0, Measure.LATENCY, 0, 0, -to_fixed(700.0), 10**60)
    statistics = fold([huge] * 3)
    [(_, _, triple)] = content(statistics)
    assert triple == (3 * 10**60, -3 * 10**60 * 700 * SCALE, 3 * 10**60 * (700 * SCALE) ** 2)
    for _ in range(3):
        statistics.subtract(huge)
    same(statistics, Statistics())


@given(st.floats(-1e6, 1e6))
def test_fixed_point_is_the_nearest(value: float) -> None:
    assert abs(to_fixed(value) - value * SCALE) <= 0.5
