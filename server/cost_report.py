"""What was spent over a stretch of hours, summed up by the dimensions that are asked for.

The running sums are read in indexed steps of a millisecond or two, so that a report of any length keeps no
acknowledgement waiting. Rows and total come from one pass and add up exactly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from naiad.server.costs import HOUR_MS, NOTHING, Sums
from naiad.server.errors import NaiadError
from naiad.server.store.base import CostKey, Store

MOST_ROWS = 100_000
_STEP = 250  # rows of the store read at a time
_DAY = 24  # hours


class Dimension(IntEnum):
    """By what to sum up; numbered as CostDimension in the API."""

    WORKFLOW = 1
    TASK_CLASS = 2
    MODEL = 3
    HOUR = 4
    DAY = 5


@dataclass(frozen=True, slots=True)
class CostQuery:
    """Which hours to sum up, from one (included) to another (excluded), and by what; None does not filter."""

    from_hour: int
    before_hour: int
    group_by: tuple[Dimension, ...] = ()
    workflow: str | None = None
    task_class: int | None = None
    model: int | None = None

    def takes(self, key: CostKey) -> bool:
        """Return whether the sums of a key belong to the report."""
        return (
            (self.workflow is None or key.workflow == self.workflow)
            and (self.task_class is None or key.task_class == self.task_class)
            and (self.model is None or key.model == self.model)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """What one row sums up; a dimension that is not asked for is None."""

    workflow: str | None = None
    task_class: int | None = None
    model: int | None = None
    start_ms: int | None = None  # of the hour or the day


@dataclass(slots=True)
class CostReport:
    """The rows, the dearest first, everything together, and the sums by (task class, model)."""

    query: CostQuery
    rows: list[tuple[Group, Sums]] = field(default_factory=list)
    total: Sums = NOTHING
    arms: dict[tuple[int, int], Sums] = field(default_factory=dict)


async def collect(store: Store, query: CostQuery) -> CostReport:
    """Sum up; raises NaiadError TOO_MANY_ITEMS where that makes too many rows."""
    report, grouped = CostReport(query), dict[Group, Sums]()
    group_of = _grouping(query.group_by)
    after: CostKey | None = None
    while page := await store.list_costs(query.from_hour, query.before_hour, after, _STEP):
        after = page[-1][0]
        for key, payload in page:
            if query.takes(key):
                sums = Sums.decode(payload)
                group, arm = group_of(key), (key.task_class, key.model)
                grouped[group] = grouped.get(group, NOTHING).plus(sums)
                report.arms[arm] = report.arms.get(arm, NOTHING).plus(sums)
        if len(grouped) > MOST_ROWS:
            raise NaiadError(
                "TOO_MANY_ITEMS",
                f"group_by makes more than {MOST_ROWS} rows; ask for fewer hours, or sum up by less",
                metadata={"count": len(grouped), "maximum": MOST_ROWS},
                field="group_by",
            )
        await asyncio.sleep(0)
    for sums in report.arms.values():
        report.total = report.total.plus(sums)
    report.rows = sorted(((g, s) for g, s in grouped.items() if shown(s)), key=_dearest_first)
    return report


def shown(sums: Sums) -> bool:
    """Return whether a row has anything to show: what a model could have answered is no spend of it."""
    return bool(sums.decisions or sums.attempts or sums.scores)


def _grouping(group_by: tuple[Dimension, ...]) -> Callable[[CostKey], Group]:
    workflow, task_class, model = (d in group_by for d in (Dimension.WORKFLOW, Dimension.TASK_CLASS, Dimension.MODEL))
    period = _DAY if Dimension.DAY in group_by else 1 if Dimension.HOUR in group_by else 0

    def group_of(key: CostKey) -> Group:
        return Group(
            key.workflow if workflow else None,
            key.task_class if task_class else None,
            key.model if model else None,
            key.hour // period * period * HOUR_MS if period else None,
        )

    return group_of


def _dearest_first(row: tuple[Group, Sums]) -> tuple[int, int, str, int, int]:
    group, sums = row
    return -sums.cost, group.start_ms or 0, group.workflow or "", group.task_class or 0, group.model or 0
