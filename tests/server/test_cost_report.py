"""A report sums up what its filter takes, by any dimensions, exactly."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.server import cost_report
from naiad.server.cost_report import CostQuery, Dimension, collect
from naiad.server.costs import HOUR_MS, NOTHING, Sums
from naiad.server.errors import NaiadError
from naiad.server.store.base import Batch, CostKey
from naiad.server.store.memory import MemoryStore

keys = st.builds(
    CostKey, st.integers(0, 60), st.sampled_from(("", "w1", "w2")), st.integers(0, 2), st.integers(0, 2)
)  # fmt: skip
amounts = st.builds(
    lambda n, cost, could: Sums(decisions=n, attempts=n, cost=cost, input_cost=cost, could=could),
    st.integers(0, 3), st.sampled_from((0, 1, 5, 10**18)), st.integers(0, 2),
)  # fmt: skip
DIMENSIONS = st.sets(st.sampled_from(list(Dimension))).filter(lambda s: not {Dimension.HOUR, Dimension.DAY} <= s)


async def stored(rows: dict[CostKey, Sums]) -> MemoryStore:
    """Return a store that holds these sums."""
    store = MemoryStore()
    await store.commit(Batch(costs={key: sums.encode() for key, sums in rows.items()}))
    return store


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(keys, amounts, max_size=30), DIMENSIONS, st.integers(0, 30), st.integers(1, 40),
    st.none() | st.sampled_from(("", "w1")), st.none() | st.integers(0, 2), st.none() | st.integers(0, 2),
)  # fmt: skip
def test_rows_add_up_to_the_total_at_each_level(
    rows: dict[CostKey, Sums], by: set[Dimension], start: int, hours: int, workflow: str | None,
    task_class: int | None, model: int | None,
) -> None:  # fmt: skip
    query = CostQuery(start, start + hours, tuple(by), workflow, task_class, model)

    async def made() -> cost_report.CostReport:
        return await collect(await stored(rows), query)

    report = asyncio.run(made())
    taken = {k: s for k, s in rows.items() if start <= k.hour < start + hours and query.takes(k)}
    expected = NOTHING
    by_group: Counter[tuple[object, ...]] = Counter()
    for key, sums in taken.items():
        expected = expected.plus(sums)
        period = key.hour // 24 * 24 if Dimension.DAY in by else key.hour
        by_group[
            key.workflow if Dimension.WORKFLOW in by else None,
            key.task_class if Dimension.TASK_CLASS in by else None,
            key.model if Dimension.MODEL in by else None,
            period * HOUR_MS if by & {Dimension.HOUR, Dimension.DAY} else None,
        ] += sums.cost
    assert report.total == expected
    shown = {(g.workflow, g.task_class, g.model, g.start_ms): s.cost for g, s in report.rows}
    assert len(shown) == len(report.rows)
    assert {group: cost for group, cost in by_group.items() if cost and group in shown} == {
        group: cost for group, cost in shown.items() if cost
    }
    assert sum(s.decisions for _, s in report.rows) == report.total.decisions
    costs = [s.cost for _, s in report.rows]
    assert costs == sorted(costs, reverse=True)


async def test_a_store_is_read_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {CostKey(h, "", c, 0): Sums(decisions=1) for h in range(40) for c in range(3)}
    monkeypatch.setattr(cost_report, "_STEP", 7)
    report = await collect(await stored(rows), CostQuery(0, 40))
    assert report.total.decisions == 120


async def test_too_many_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost_report, "MOST_ROWS", 5)
    store = await stored({CostKey(h, "", 0, 0): Sums(decisions=1) for h in range(6)})
    assert len((await collect(store, CostQuery(0, 5, (Dimension.HOUR,)))).rows) == 5
    with pytest.raises(NaiadError, match="more than 5 rows"):
        await collect(store, CostQuery(0, 6, (Dimension.HOUR,)))


def test_sums_are_kept_whatever_their_size_and_read_from_shorter_rows() -> None:
    large = Sums(cost=10**30, adjustment=-(10**25))
    assert Sums.decode(large.encode()) == large
    assert Sums.decode(b"[1,2]") == Sums(decisions=1, attempts=2)
