"""Budgets through the API: by configuration and RPC, paced by reported bills, explained, kept over a restart."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.e2e.live import BASE, Caller, live

BUDGET = 1e-3  # USD; "large" costs twice as much a call, "small" a tenth
CONFIG = (
    BASE
    + f"""
[[workflows]]
name = "paced"
[workflows.objective]
strategy = "quality_first"
margin = 0.0
usd_per_request = {BUDGET}
[[workflows]]
name = "starved"
[workflows.objective]
strategy = "balanced"
usd_per_request = 1e-7
"""
)
BILLS = {"echo/small": 110_000, "echo/large": 2_100_000}  # nano-USD
QUALITY = {"echo/small": 0.5, "echo/large": 0.9}


def serve(api: Caller, count: int, seed: int) -> float:
    """Decide, report the bill and a score; return the mean bill, USD."""
    rng = random.Random(seed)
    spent = 0
    for _ in range(count):
        made = api.decide("budgeted", workflow="paced", max_output_tokens=1_000)
        bill = round(BILLS[made.model] * rng.uniform(0.5, 1.5))
        api.outcome(made.decision_id, output_tokens=500, cost_nano_usd=bill)
        api.score(made.decision_id, QUALITY[made.model])
        spent += bill
    return spent / count / 1e9


def explained(api: Caller, made: Any) -> Any:
    return api.call("InsightService/GetDecision", decision_id=made.decision_id).decision


def test_bills_are_held_at_the_budget_and_told(api: Caller) -> None:
    serve(api, 60, 1)
    assert 0.5 * BUDGET < serve(api, 250, 2) < 1.15 * BUDGET
    record = explained(api, api.decide("budgeted", workflow="paced"))
    assert record.budget.scope == "workflow"
    assert record.budget.usd_per_request == BUDGET
    assert record.budget.quality_per_usd > 0.0
    assert not record.budget.below_cheapest
    assert record.objective.usd_per_request == BUDGET
    assert all(one.budget_price_nano_usd == 0 for one in record.candidates)  # utility is in quality here
    assert not explained(api, api.decide("budgeted")).HasField("budget")


def test_a_budget_that_nobody_can_hold_serves_the_cheapest_and_says_so(api: Caller) -> None:
    for _ in range(40):
        made = api.decide("poor", workflow="starved")
    assert made.model == "echo/small"
    (notice,) = (n for n in made.notices if n.code == 10)
    assert dict(notice.metadata) == {"usd_per_request": "1e-07", "scope": "workflow"}
    assert [(e.model, e.reason) for e in made.excluded] == [("echo/large", 9)]
    record = explained(api, made)
    assert record.budget.below_cheapest
    assert record.candidates[0].budget_price_nano_usd > 0


def test_a_task_class_gets_a_budget_by_rpc(api: Caller) -> None:
    api.call(
        "CatalogService/CreateTaskClass",
        task_class={"name": "own", "default_objective": {"strategy": 3, "usd_per_request": 0.25}},
    )
    record = explained(api, api.decide("own", workflow="paced"))
    assert (record.budget.scope, record.budget.usd_per_request) == ("task_class", 0.25)
    assert record.budget.bank_nano_usd == 2_500_000_000
    api.call(
        "CatalogService/UpdateTaskClass",
        task_class={"name": "own"}, update_mask={"paths": ["default_objective.usd_per_request"]},
    )  # fmt: skip
    assert explained(api, api.decide("own")).HasField("budget") is False


def test_a_request_may_not_bring_one_and_creates_no_class(api: Caller) -> None:
    before = api.catalogue()
    refusal = api.refused("RouterService/Decide", task_class="new.class", objective={"usd_per_request": 1.0})
    assert (refusal.reason, refusal.metadata["field"]) == ("OBJECTIVE_NOT_ALLOWED", "objective.usd_per_request")
    refusal = api.refused("RouterService/Decide", task_class="budgeted", objective={"usd_per_request": 0.0})
    assert refusal.reason == "NUMBER_OUT_OF_RANGE"
    assert api.catalogue() == before


def test_the_bank_outlives_a_restart(tmp_path: Path) -> None:
    with live(tmp_path, CONFIG) as first:
        serve(first.caller, 40, 3)
        before = explained(first.caller, first.caller.decide("budgeted", workflow="paced")).budget.bank_nano_usd
    with live(tmp_path, CONFIG) as second:
        after = explained(second.caller, second.caller.decide("budgeted", workflow="paced")).budget
        assert after.bank_nano_usd != 10 * round(BUDGET * 1e9)
        assert abs(after.bank_nano_usd - before) < 12 * BUDGET * 1e9  # one decision in between
        assert after.quality_per_usd > 0.0
        second.caller.verify()
    assert "budget_below_cheapest" not in first.process.errors()
