"""One rater weighs at most so much in one arm and period, and what counts depends on the final sums alone."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from naiad.bandit.influence import PERIOD_LEVEL, SLOTS, Caps, slot_of
from naiad.bandit.statistics import BUCKET_WIDTH, ERA, SCALE, UNIT_WEIGHT, Measure, Observation, Statistics
from tests.bandit.worlds import fold, heads

PERIOD = BUCKET_WIDTH << PERIOD_LEVEL
USER, GROUP = 4, (0, 0, Measure.QUALITY)
CAPS = Caps({USER: 3 * UNIT_WEIGHT}, anonymous=2)

judged = st.builds(
    Observation,
    task_class=st.just(0), model=st.just(0), measure=st.just(Measure.QUALITY), source=st.just(USER),
    ordinal=st.integers(0, 3 * PERIOD) | st.integers(0, 60 * PERIOD), value=st.integers(0, SCALE),
    weight=st.sampled_from([UNIT_WEIGHT, UNIT_WEIGHT // 2, 7]), slot=st.integers(0, 2),
)  # fmt: skip


def seen(ordinal: int, value: float, slot: int = 1, source: int = USER) -> Observation:
    """Return a full judgement."""
    return Observation(0, 0, Measure.QUALITY, source, ordinal, round(value * SCALE), UNIT_WEIGHT, slot)


def counted(statistics: Statistics) -> tuple[int, int, int]:
    """Return what counts of the users' judgements."""
    return dict(statistics.totals(GROUP))[USER, 0].triple()


@given(st.lists(judged, min_size=1, max_size=60), heads)
def test_nobody_weighs_more_than_the_cap_for_each_period(given_: list[Observation], at: dict[int, int]) -> None:
    """The weight that counts is, for each rater and raw block, the sum or the cap, less a rounding for each cell."""
    statistics = fold(given_, at, CAPS)
    raw: dict[tuple[int, int, int], list[int]] = defaultdict(list)
    for _, (_, slot, level, block, _), (weight, _, _) in statistics.items():
        shift = max(0, PERIOD_LEVEL - level)
        raw[slot, level + shift, block >> shift].append(weight)
    upper = lower = 0
    for (slot, level, _), weights in raw.items():
        cap = 3 * UNIT_WEIGHT * (1 if slot else 2) << (level - PERIOD_LEVEL)
        upper += min(cap, sum(weights))
        lower += min(cap, sum(weights)) - (len(weights) if sum(weights) > cap else 0)
    assert lower <= counted(statistics)[0] <= upper


@given(st.lists(judged, min_size=1, max_size=40), heads)
def test_a_cut_keeps_scores_between_0_and_1(given_: list[Observation], at: dict[int, int]) -> None:
    for _, cell in fold(given_, at, CAPS).cells(GROUP):
        weight, total, square = cell.triple()
        assert weight > 0
        assert 0 <= total <= weight * SCALE
        assert total * total <= (square + 1) * (weight + 1) * SCALE  # no less spread than none, but for rounding


def test_within_the_cap_all_counts_and_beyond_it_the_mean_does() -> None:
    statistics = fold([seen(i, i / 2) for i in range(3)], None, CAPS)
    assert counted(statistics)[:2] == (3_000, 1_000 * round(1.5 * SCALE))
    for i in range(3, 30):
        statistics.add(seen(i, 1.0))
    weight, total, _ = counted(statistics)
    assert weight == 3_000
    assert abs(total / weight / SCALE - 28.5 / 30) < 1e-6


def test_taking_back_gives_the_others_their_weight_again() -> None:
    few, flood = [seen(i, 0.2) for i in range(2)], [seen(70 + i, 1.0) for i in range(500)]
    statistics = fold([*few, *flood], None, CAPS)
    assert counted(statistics)[0] <= 3_000
    for gone in flood:
        statistics.subtract(gone)
    assert counted(statistics) == counted(fold(few, None, CAPS))


def test_raters_periods_and_sources_have_caps_of_their_own() -> None:
    many = [seen(i, 1.0, slot) for slot in (0, 1, 2) for i in range(20)]
    assert counted(fold(many, None, CAPS))[0] == (2 + 1 + 1) * 3_000
    assert counted(fold([*many, *(seen(PERIOD + i, 1.0) for i in range(20))], None, CAPS))[0] == 5 * 3_000
    judges = fold([seen(i, 1.0, source=2) for i in range(20)], None, CAPS)
    assert dict(judges.totals(GROUP))[2, 0].weight == 20_000


def test_a_merged_block_has_the_caps_of_all_its_periods() -> None:
    statistics = fold([seen(i, 1.0) for i in range(20)], None, CAPS)
    assert counted(statistics)[0] == 3_000
    statistics.advance(0, 40 * ERA)
    assert counted(statistics)[0] > 3_000
    assert counted(statistics) == counted(fold([seen(i, 1.0) for i in range(20)], {0: 40 * ERA}, CAPS))


@given(st.text(max_size=20))
def test_only_the_empty_rater_id_has_slot_0(rater: str) -> None:
    assert (slot_of(rater) == 0) == (rater == "")
    assert 0 <= slot_of(rater) < SLOTS


def test_slots_never_move() -> None:
    """They are in the log: another digest would take back from one cell what was added to another."""
    assert [slot_of(r) for r in ("ann", "bob", "user-1")] == [14, 29, 18]


@given(st.lists(judged, max_size=20), judged, heads)
def test_what_would_count_is_what_the_cap_has_room_for(
    given_: list[Observation], new: Observation, at: dict[int, int]
) -> None:
    """Never more than its weight; all of it where adding it stays within the cap; nothing where the cap is used up."""
    statistics = fold(given_, at, CAPS)
    part = statistics.counting(new)
    before = counted(statistics)[0] if given_ else 0
    statistics.add(new)
    assert 0 <= part <= new.weight
    assert abs(counted(statistics)[0] - before - part) <= 2 * (len(given_) + 1)  # less a rounding for each cell


def test_without_a_cap_all_counts() -> None:
    statistics = fold([], {}, Caps())
    assert statistics.counting(seen(3, 0.5)) == UNIT_WEIGHT
