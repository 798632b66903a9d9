"""Looking into what Naiad knows and did. All raise NaiadError; `timeout_s` is the time for each page of a list."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from naiad.client.calls import Call, Listing, Page, Timeouts, call
from naiad.client.convert import read, write
from naiad.client.costs import CostReport
from naiad.client.insight import Arm, ArmsUpdate, DecisionRecord, DecisionSummary
from naiad.client.results import Completion, Decision
from naiad.client.watching import Watch
from naiad.v1 import insight_service_pb2 as api


def list_arms(
    *, task_class: str = "", model: str = "", page_size: int = 0, timeout_s: float | None = None
) -> Listing[Arm]:
    """Iterate over what is known of each model in each task class."""

    def page(token: str) -> Call[Page[Arm]]:
        request = api.ListArmsRequest(page_size=page_size, page_token=token, task_class=task_class, model=model)
        return call("InsightService/ListArms", request, api.ListArmsResponse, _arms, _insight_s, timeout_s)

    return Listing(page)


def watch_arms(
    *,
    task_class: str = "",
    model: str = "",
    cursor: str = "",
    interval_s: float | None = None,
    reconnect_s: float = 60.0,
    timeout_s: float | None = None,
) -> Watch[ArmsUpdate]:
    """Follow the arms: all of them first, then those that move. Ends only with an error or the caller.

    After a break it goes on from its last cursor, and misses nothing. ArmTable keeps what the updates amount to.

    Args:
        task_class: only this task class; empty for all.
        model: only this model; empty for all.
        cursor: the cursor of an earlier update with the same filter, to go on there; empty begins with all arms.
        interval_s: the least time between two updates, from 0.1 to 3,600; None takes 1.
        reconnect_s: how long to try again while nothing is received; 0 never does.
        timeout_s: the time for everything; None is for ever.

    Raises:
        NaiadError: the watch was refused, or broken for longer than reconnect_s.
        ValueError: a time is negative or not a number.
    """

    if interval_s is not None and not 0 <= interval_s <= 1e9:
        raise ValueError(f"interval_s is {interval_s}; give seconds, from 0.1 to 3,600")

    def open_at(cursor: str) -> Call[ArmsUpdate]:
        request = api.WatchArmsRequest(task_class=task_class, model=model, cursor=cursor)
        write(None, request, {"interval_s": interval_s})
        return call("InsightService/WatchArms", request, api.WatchArmsResponse, _update, _insight_s, None)

    return Watch(
        open=open_at,
        cursor_of=lambda update: update.cursor,
        cursor=cursor,
        reconnect_s=float(reconnect_s),
        timeout_s=math.inf if timeout_s is None else float(timeout_s),
    )


def get_decision(decision: str | Decision | Completion, *, timeout_s: float | None = None) -> Call[DecisionRecord]:
    """Return one decision with its whole explanation."""
    decision_id = decision if isinstance(decision, str) else decision.decision_id
    return call(
        "InsightService/GetDecision",
        api.GetDecisionRequest(decision_id=decision_id),
        api.GetDecisionResponse,
        lambda r: read(DecisionRecord, r.decision),
        _insight_s,
        timeout_s,
    )


def list_decisions(
    *,
    task_class: str = "",
    model: str = "",
    workflow: str = "",
    session_id: str = "",
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 0,
    timeout_s: float | None = None,
) -> Listing[DecisionSummary]:
    """Iterate over decisions, the latest first. Times must have a time zone.

    Raises:
        ValueError: a time has no time zone.
    """
    for name, time in (("start_time", start_time), ("end_time", end_time)):
        _check_zone(name, time)

    def page(token: str) -> Call[Page[DecisionSummary]]:
        request = api.ListDecisionsRequest(
            page_size=page_size,
            page_token=token,
            task_class=task_class,
            model=model,
            workflow=workflow,
            session_id=session_id,
        )
        write(None, request, {"start_time": start_time, "end_time": end_time})
        return call(
            "InsightService/ListDecisions",
            request,
            api.ListDecisionsResponse,
            _decisions,
            _insight_s,
            timeout_s,
        )

    return Listing(page)


def cost_report(
    *,
    group_by: Sequence[str] = (),
    workflow: str = "",
    task_class: str = "",
    model: str = "",
    baseline_model: str = "",
    start_time: datetime | None = None,
    end_time: datetime | None = None,
    page_size: int = 1_000,
    page_token: str = "",
    timeout_s: float | None = None,
) -> Call[CostReport]:
    """Return what was spent, and what was saved against one model.

    Args:
        group_by: of "workflow", "task_class", "model", and "hour" or "day" (UTC); empty gives one row.
        workflow: only this workflow; empty for all.
        task_class: only this task class; empty for all.
        model: only this model; empty for all. With it no saving is estimated.
        baseline_model: to compare with; empty takes the best single model in hindsight.
        start_time: from this hour on, with a time zone; None takes 30 days before the end.
        end_time: up to this hour, with a time zone; None is now.
        page_size: how many rows at most, up to 1,000.
        page_token: `next_page_token` of the page before, with the same other arguments.
        timeout_s: the time for the call; None takes the client's.

    Raises:
        NaiadError: the report was refused, or the server does not answer.
        ValueError: a time has no time zone, or a dimension is none.
    """
    for name, time in (("start_time", start_time), ("end_time", end_time)):
        _check_zone(name, time)
    request = api.GetCostReportRequest(
        page_size=page_size,
        page_token=page_token,
        workflow=workflow,
        task_class=task_class,
        model=model,
        baseline_model=baseline_model,
    )
    write(None, request, {"start_time": start_time, "end_time": end_time, "group_by": tuple(group_by)})
    return call("InsightService/GetCostReport", request, api.GetCostReportResponse, _costs, _insight_s, timeout_s)


def _check_zone(name: str, time: datetime | None) -> None:
    if time is not None and time.tzinfo is None:
        raise ValueError(f"{name} is {time.isoformat()}, without a time zone; give one, for example UTC")


def _costs(response: api.GetCostReportResponse) -> CostReport:
    return read(CostReport, response)


def _arms(response: api.ListArmsResponse) -> Page[Arm]:
    return Page(tuple(read(Arm, m) for m in response.arms), response.next_page_token)


def _update(response: api.WatchArmsResponse) -> ArmsUpdate:
    return read(ArmsUpdate, response)


def _decisions(response: api.ListDecisionsResponse) -> Page[DecisionSummary]:
    return Page(tuple(read(DecisionSummary, m) for m in response.decisions), response.next_page_token)


def _insight_s(timeouts: Timeouts) -> float:
    return timeouts.insight_s
