"""GetCostReport over the wire: what was spent, exactly, by whom and on what; bad questions are refused."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.live import BASE, Caller, live

PARTS = ("input", "cached_input", "cache_write", "output", "request", "adjustment")
MODELS = ("echo/small", "echo/large")


def report(api: Caller, **fields: Any) -> Any:
    """Return a cost report."""
    return api.call("InsightService/GetCostReport", **fields)


def added_up(rows: Any, total: Any) -> None:
    """Assert that rows add up to their total, and each row's parts to its cost."""
    for field in ("decisions", "attempts", "failed_attempts", "output_tokens", "cost_nano_usd", "scores"):
        assert sum(getattr(row, field) for row in rows) == getattr(total, field), field
    for row in [*rows, total]:
        assert sum(getattr(row, f"{part}_nano_usd") for part in PARTS) == row.cost_nano_usd


def spend(api: Caller, task_class: str, workflow: str = "", **outcome: Any) -> Any:
    """Decide, and report an outcome."""
    made = api.decide(task_class, workflow=workflow)
    return made, api.outcome(made.decision_id, **outcome)


def test_nothing_was_spent_on_what_was_never_asked(api: Caller) -> None:
    empty = report(api, workflow="nobody's", group_by=[1, 2])
    assert (list(empty.rows), empty.total.decisions, empty.total.cost_nano_usd) == ([], 0, 0)
    assert not empty.HasField("saving")
    assert empty.end_time.seconds % 3_600 == 0
    assert empty.end_time.seconds - empty.start_time.seconds == 30 * 24 * 3_600


def test_every_level_adds_up_and_names_what_it_sums_up(api: Caller) -> None:
    spent = 0
    for index in range(12):
        _, receipt = spend(api, f"cr.{index % 2}", f"cr-{index % 3}", input_tokens=1_000 + index)
        spent += receipt.cost.total_nano_usd
    assert spent > 0
    for group_by in ([], [1], [2], [3], [4], [5], [1, 2, 3, 5]):
        rows, total = [], 0
        for workflow in ("cr-0", "cr-1", "cr-2"):
            found = report(api, workflow=workflow, group_by=group_by)
            added_up(found.rows, found.total)
            rows += list(found.rows)
            total += found.total.cost_nano_usd
        assert total == spent
        for row in rows:
            assert bool(row.workflow) == (1 in group_by)
            assert bool(row.task_class) == (2 in group_by)
            assert (row.model in MODELS) == (3 in group_by)
            assert row.HasField("period_start_time") == bool({4, 5} & set(group_by))
    (day,) = report(api, workflow="cr-0", group_by=[5]).rows
    assert day.period_start_time.seconds == time.time() // 86_400 * 86_400
    assert report(api, workflow="cr-0", task_class="cr.1").total.decisions == 2
    one = report(api, workflow="cr-0", model="echo/small")
    other = report(api, workflow="cr-0", model="echo/large")
    assert one.total.decisions + other.total.decisions == 4
    assert not one.HasField("saving")


def test_failed_attempts_bills_and_estimates_stand_beside_the_cost(api: Caller) -> None:
    made = api.decide("cr.parts", workflow="cr-parts")
    first, second = made.ranking[0], made.ranking[1]
    failed = {"kind": 1}
    api.call(
        "FeedbackService/ReportOutcome", decision_id=made.decision_id, model=first.model, error=failed, cost_nano_usd=40
    )
    usage = {"output_tokens": 100, "cached_input_tokens": 30}
    receipt = api.outcome(made.decision_id, model=second.model, cost_nano_usd=123, **usage)
    api.score(made.decision_id, 0.5)
    total = report(api, workflow="cr-parts").total
    assert (total.decisions, total.attempts, total.failed_attempts) == (1, 2, 1)
    assert (total.cost_nano_usd, total.failed_nano_usd) == (163, 40)
    assert (total.cached_input_tokens, total.output_tokens) == (30, 100)
    assert (total.estimate_nano_usd, total.estimated_nano_usd) == (second.cost_nano_usd, 123)
    parts = receipt.cost
    assert total.output_nano_usd == parts.output_nano_usd > 0
    priced = parts.input_nano_usd + parts.cached_input_nano_usd + parts.output_nano_usd + parts.request_nano_usd
    assert total.adjustment_nano_usd == 163 - priced
    assert (total.mean_score, total.scores) == (0.5, 1)
    by_model = {row.model: row for row in report(api, workflow="cr-parts", group_by=[3]).rows}
    assert (by_model[first.model].decisions, by_model[first.model].cost_nano_usd) == (1, 40)
    assert (by_model[second.model].decisions, by_model[second.model].cost_nano_usd) == (0, 123)


def test_what_a_range_leaves_out_is_not_counted(api: Caller) -> None:
    spend(api, "cr.range", "cr-range")
    now = int(time.time())
    hour = now // 3_600 * 3_600
    assert report(api, workflow="cr-range", start_time={"seconds": now - 7_200}).total.decisions == 1
    assert report(api, workflow="cr-range", end_time={"seconds": hour - 3_600}).total.decisions == 0
    later = report(api, workflow="cr-range", start_time={"seconds": hour + 7_200}, end_time={"seconds": hour + 9_000})
    assert later.total.decisions == 0
    assert (later.start_time.seconds, later.end_time.seconds) == (hour + 7_200, hour + 10_800)


def test_pages_fit_together_while_money_is_spent(api: Caller) -> None:
    for index in range(5):
        spend(api, f"cr.page{index}", "cr-pages", cost_nano_usd=100 + index)
    found, token = [], ""
    for page in range(10):
        reply = report(api, workflow="cr-pages", group_by=[2], page_size=2, page_token=token)
        found += [row.cost_nano_usd for row in reply.rows]
        assert reply.total.cost_nano_usd == 510
        token = reply.next_page_token
        if not token:
            break
        spend(api, f"cr.page{page}", "cr-pages", cost_nano_usd=10_000)
    assert found == [104, 103, 102, 101, 100]


def test_what_was_saved_against_one_model(api: Caller) -> None:
    for _ in range(6):
        made, _ = spend(api, "cr.saving", "cr-saving", cost_nano_usd=1_000)
        api.score(made.decision_id, 0.5)
    for baseline in MODELS:
        saving = report(api, workflow="cr-saving", baseline_model=baseline).saving
        assert (saving.baseline_model, saving.decisions, saving.left_out) == (baseline, 6, 0)
        assert saving.cost_nano_usd == 6_000
        assert saving.saving_nano_usd == saving.baseline_cost_nano_usd - saving.cost_nano_usd
        assert saving.lower_nano_usd <= saving.saving_nano_usd <= saving.upper_nano_usd
        assert saving.confidence == 0.95
        assert not saving.HasField("quality_difference")  # six scores are too few
    assert report(api, workflow="cr-saving").saving.baseline_model in MODELS


REFUSED = [
    ({"start_time": {"seconds": 2}, "end_time": {"seconds": 1}}, "INVALID_COMBINATION", "start_time"),
    ({"start_time": {"seconds": 7_200}, "end_time": {"seconds": 7_200}}, "INVALID_COMBINATION", "start_time"),
    ({"start_time": {"seconds": 253_402_000_000}}, "INVALID_COMBINATION", "start_time"),
    ({"end_time": {"nanos": -1}}, "NUMBER_OUT_OF_RANGE", "end_time.nanos"),
    ({"group_by": [0]}, "UNKNOWN_ENUM_VALUE", "group_by[0]"),
    ({"group_by": [1, 99]}, "UNKNOWN_ENUM_VALUE", "group_by[1]"),
    ({"group_by": [2, 2]}, "INVALID_COMBINATION", "group_by[1]"),
    ({"group_by": [4, 5]}, "INVALID_COMBINATION", "group_by[1]"),
    ({"group_by": [1, 2, 3, 4, 5, 1]}, "TOO_MANY_ITEMS", "group_by"),
    ({"page_size": 1_001}, "NUMBER_OUT_OF_RANGE", "page_size"),
    ({"page_size": -1}, "NUMBER_OUT_OF_RANGE", "page_size"),
    ({"page_token": "bm8="}, "PAGE_TOKEN_INVALID", "page_token"),
    ({"page_token": "\x00é"}, "PAGE_TOKEN_INVALID", "page_token"),
    ({"workflow": "a\nb"}, "INVALID_ID", "workflow"),
    ({"task_class": "no such"}, "INVALID_ID", "task_class"),
    ({"task_class": "cr.never.seen"}, "UNKNOWN_TASK_CLASS", ""),
    ({"model": "small"}, "INVALID_ID", "model"),
    ({"model": "echo/none"}, "UNKNOWN_MODEL", ""),
    ({"baseline_model": "echo/none"}, "UNKNOWN_MODEL", ""),
    ({"baseline_model": "none"}, "INVALID_ID", "baseline_model"),
]


@pytest.mark.parametrize(("fields", "reason", "field"), REFUSED, ids=[str(i) for i in range(len(REFUSED))])
def test_a_bad_question_is_refused(api: Caller, fields: dict[str, Any], reason: str, field: str) -> None:
    refusal = api.refused("InsightService/GetCostReport", **fields)
    assert refusal.reason == reason
    if field:
        assert refusal.metadata["field"] == field


def test_a_token_of_another_filter_is_refused(api: Caller) -> None:
    for index in range(2):
        spend(api, f"cr.token{index}", "cr-token")
    token = report(api, workflow="cr-token", group_by=[2], page_size=1).next_page_token
    assert token
    others: list[dict[str, Any]] = [
        {"workflow": "cr-other", "group_by": [2]},
        {"workflow": "cr-token", "group_by": [1, 2]},
    ]
    for other in others:
        assert api.refused("InsightService/GetCostReport", page_token=token, **other).reason == "PAGE_TOKEN_INVALID"


def test_the_prices_of_a_comparison_are_those_of_each_decision(api: Caller) -> None:
    prices = {
        "input_nano_usd_per_million_tokens": 10**9,
        "output_nano_usd_per_million_tokens": 0,
        "request_nano_usd": 5,
    }
    for name in ("acme/asked", "acme/rival"):
        model = {"name": name, "endpoint_profile": "echo", "prices": prices | {"price_version": "contract 7"}}
        api.call("CatalogService/CreateModel", model=model)
    made = api.decide("cr.prices", workflow="cr-prices", allowed_models=["acme/asked", "acme/rival"])
    api.outcome(made.decision_id, cost_nano_usd=1)
    record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
    assert record.price_version == "contract 7"
    (rival,) = {"acme/asked", "acme/rival"} - {made.model}
    dear = {"input_nano_usd_per_million_tokens": 10**12, "output_nano_usd_per_million_tokens": 10**12}
    api.call("CatalogService/UpdateModel", model={"name": rival, "prices": dear}, update_mask={"paths": ["prices"]})
    saving = report(api, workflow="cr-prices", baseline_model=rival).saving
    assert (saving.baseline_cost_nano_usd, saving.saving_nano_usd) == (100 * 1_000 + 5, 100 * 1_000 + 4)
    for name in ("acme/asked", "acme/rival"):
        api.call("CatalogService/DeleteModel", name=name)


def test_a_restart_keeps_every_sum(tmp_path: Path) -> None:
    with live(tmp_path, BASE) as first:
        made, _ = spend(first.caller, "cr.again", "w")
        first.caller.score(made.decision_id, 0.25)
        before = report(first.caller, group_by=[1, 2, 3, 4])
        assert before.total.cost_nano_usd > 0
    with live(tmp_path, BASE) as second:
        assert report(second.caller, group_by=[1, 2, 3, 4]) == before
        second.caller.score(made.decision_id, 0.75)
        assert report(second.caller).total.mean_score == 0.75
