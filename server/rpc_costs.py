"""GetCostReport: a request into a query, the report into a page, and what was saved."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from naiad.bandit.statistics import SCALE, Measure
from naiad.server import render
from naiad.server.bounds import MOST_INT64
from naiad.server.convert import enum_value, items, model_name, name, text_id, time_ms
from naiad.server.cost_report import CostQuery, CostReport, Dimension, Group, collect
from naiad.server.costs import HOUR_MS, Sums
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Journal
from naiad.server.paging import decode, encode, page_size
from naiad.server.prediction import Predictor
from naiad.server.saving import CONFIDENCE, LogTokens, Saving, best_single, estimate
from naiad.server.store.base import Store
from naiad.v1 import insight_pb2, insight_service_pb2

_MONTH = 30 * 24  # hours
_KEPT = 4  # reports whose further pages may be asked for
_FIRST_HOUR, _LAST_HOUR = -62_135_596_800 // 3_600, 253_402_300_799 // 3_600  # of the years 1 to 9999


class CostReports:
    """The cost reports of one tenant; those of several pages are kept for a while, so that pages fit together."""

    def __init__(self, engine: Engine, journal: Journal, store: Store, now_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._journal = journal
        self._store = store
        self._now_ms = now_ms
        self._kept: OrderedDict[int, tuple[CostReport, Saving | None]] = OrderedDict()
        self._numbers = count(now_ms())  # differ from those of an earlier life of the server

    async def report(self, request: Any) -> insight_service_pb2.GetCostReportResponse:
        """Return a page of a report; raises NaiadError."""
        size = page_size(request.page_size)
        asked = self._query(request)
        baseline = model_name(request.baseline_model, "baseline_model") if request.baseline_model else ""
        number, start = self._place(request)
        if number in self._kept:
            report, saving = self._kept[number]
        else:
            self._baseline(baseline)  # refused before anything is read
            await self._journal.written()
            report = await collect(self._store, asked)
            saving = self._saving(report, baseline)
        following = ""
        if start + size < len(report.rows):
            following = encode(start + size, *_scope(request, self._engine.tenant, number))
            self._kept[number] = report, saving
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return insight_service_pb2.GetCostReportResponse(
            rows=[self._row(group, sums) for group, sums in report.rows[start : start + size]],
            next_page_token=following,
            total=self._row(Group(), report.total),
            saving=None if saving is None else self._saved(saving),
            start_time=_time(report.query.from_hour * HOUR_MS),
            end_time=_time(report.query.before_hour * HOUR_MS),
        )

    def _place(self, request: Any) -> tuple[int, int]:
        """Return the number of the report that a request goes on with, and the row that its page begins at."""
        if not request.page_token:
            return next(self._numbers), 0
        for number in self._kept:
            try:
                return number, decode(request.page_token, *_scope(request, self._engine.tenant, number)) or 0
            except NaiadError:
                continue
        raise NaiadError(
            "PAGE_TOKEN_INVALID",
            "page_token is not one that this report gave for this filter, or its report is no longer kept; "
            "begin again without it",
            field="page_token",
        )

    def _query(self, request: Any) -> CostQuery:
        catalog = self._engine.catalog
        group_by = _dimensions(request.group_by)
        start_ms, end_ms = time_ms(request, "start_time"), time_ms(request, "end_time")
        end = min(_LAST_HOUR, -(-(self._now_ms() + 1 if end_ms is None else end_ms) // HOUR_MS))
        start = end - _MONTH if start_ms is None else start_ms // HOUR_MS
        if start >= end or (start_ms is not None and end_ms is not None and start_ms >= end_ms):
            rule = "start_time before end_time"
            raise NaiadError(
                "INVALID_COMBINATION", f"start_time is not before end_time, which is now where it is not set; {rule}",
                metadata={"rule": rule}, field="start_time",
            )  # fmt: skip
        return CostQuery(
            max(_FIRST_HOUR, start),
            end,
            group_by,
            text_id(request.workflow, "workflow") or None,
            catalog.known_task_class(name(request.task_class, "task_class")).task_class if request.task_class else None,
            catalog.known_model(model_name(request.model, "model")).model if request.model else None,
        )

    def _baseline(self, wanted: str) -> int | None:
        """Return the number of the baseline that a request names, None if it names none; raises UNKNOWN_MODEL."""
        return self._engine.catalog.known_model(wanted, "baseline_model").model if wanted else None

    def _saving(self, report: CostReport, baseline: str) -> Saving | None:
        catalog, belief = self._engine.catalog, self._engine.belief
        if report.query.model is not None:
            return None
        predictor = Predictor(
            belief, catalog, self._engine.steps
        )  # of its own: the engine's keeps what decisions ask for
        everything = list(range(len(catalog.models)))
        qualities: dict[int, list[float]] = {}

        def quality(task_class: int) -> list[float]:
            if task_class not in qualities:
                qualities[task_class] = predictor.predict(task_class, everything, 0, 0).quality
            return qualities[task_class]

        usable = frozenset(m.model for m in catalog.live if m.prices is not None and not m.disabled)
        model = self._baseline(baseline)
        if model is None:
            model = best_single(report.arms, quality, usable)
        if model is None:
            return None
        noise, limit, chosen = belief.noise(Measure.OUTPUT_TOKENS), catalog.rates[model].output_limit, model

        def believed(task_class: int) -> LogTokens:
            seen = belief.marginals(task_class, Measure.OUTPUT_TOKENS)
            return LogTokens(seen.mean[chosen], seen.sd[chosen] ** 2, noise, limit)

        return estimate(report.arms, model, believed, quality)

    def _row(self, group: Group, sums: Sums) -> insight_pb2.CostRow:
        catalog = self._engine.catalog
        row = insight_pb2.CostRow(
            workflow=group.workflow or "",
            task_class="" if group.task_class is None else catalog.task_classes[group.task_class].name,
            model="" if group.model is None else catalog.model_names[group.model],
            period_start_time=None if group.start_ms is None else _time(group.start_ms),
            scores=sums.scores,
            **{field: _held(getattr(sums, source)) for field, source in _FIELDS.items()},
        )
        if sums.scores:
            row.mean_score = sums.score_sum / (SCALE * sums.scores)
        return row

    def _saved(self, saving: Saving) -> insight_pb2.Saving:
        message = insight_pb2.Saving(
            baseline_model=self._engine.catalog.model_names[saving.model],
            baseline_cost_nano_usd=_held(saving.baseline_cost),
            saving_nano_usd=_held(saving.saved),
            lower_nano_usd=_held(saving.lower),
            upper_nano_usd=_held(saving.upper),
            confidence=CONFIDENCE,
            cost_nano_usd=_held(saving.cost),
            decisions=saving.decisions,
            left_out=saving.left_out,
        )
        if saving.quality_difference is not None:
            message.quality_difference = saving.quality_difference
        return message


_COUNTS = (
    "decisions", "attempts", "failed_attempts", "unpriced_attempts", "input_tokens", "cached_input_tokens",
    "cache_write_tokens", "output_tokens", "reasoning_tokens", "doubted_attempts", "uncertain_attempts",
)  # fmt: skip
_FIELDS = {field: field for field in _COUNTS} | {
    "cost_nano_usd": "cost",
    "input_nano_usd": "input_cost",
    "cached_input_nano_usd": "cached_input_cost",
    "cache_write_nano_usd": "cache_write_cost",
    "output_nano_usd": "output_cost",
    "request_nano_usd": "request_cost",
    "adjustment_nano_usd": "adjustment",
    "reasoning_nano_usd": "reasoning_cost",
    "failed_nano_usd": "failed_cost",
    "estimate_nano_usd": "estimate",
    "estimated_nano_usd": "estimated_cost",
    "judge_nano_usd": "judge_cost",
    "other_members_nano_usd": "other_members_cost",
    "uncertain_nano_usd": "uncertain",
}


def _dimensions(given: Any) -> tuple[Dimension, ...]:
    """Return the dimensions of a request; raises NaiadError for one that is unknown or comes twice."""
    found: list[Dimension] = []
    for index, value in enumerate(items(given, "group_by", len(Dimension))):
        dimension = Dimension(enum_value(value, insight_pb2.CostDimension, f"group_by[{index}]"))
        rule = "each dimension once, and an hour or a day"
        if dimension in found or {Dimension.HOUR, Dimension.DAY} <= {dimension, *found}:
            raise NaiadError(
                "INVALID_COMBINATION", f"group_by[{index}] is {dimension.name} beside an earlier one; {rule}",
                metadata={"rule": rule}, field=f"group_by[{index}]",
            )  # fmt: skip
        found.append(dimension)
    return tuple(found)


def _scope(request: Any, tenant: int, number: int) -> tuple[object, ...]:
    """Return what a page token is bound to: all of the request but where its page begins and how long it is."""
    copy = type(request)()
    copy.CopyFrom(request)
    copy.ClearField("page_token")
    copy.ClearField("page_size")
    return "costs", tenant, number, copy.SerializeToString(deterministic=True)


def _time(at_ms: int) -> Timestamp:
    return render.timestamp(at_ms)


def _held(value: int) -> int:
    """Return an amount as 64 bits hold it."""
    return max(-MOST_INT64, min(MOST_INT64, value))
