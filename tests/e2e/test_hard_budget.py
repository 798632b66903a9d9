"""Hard budgets through the API: kept, told, refused by name, settled by bills, there again after a kill."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from tests.e2e.live import BASE, METHODS, Caller, Process, live, path_of, refusal_of

CONFIG = (
    BASE
    + """
[[task_classes]]
name = "billed"
[[budgets]]
id = "of-the-file"
workflow = "file"
limit_usd = 0.01
period = "month"
"""
)
SMALL = 30_004  # nano-USD: 100 tokens in at 0.1, 100 out at 0.2 a million, and what rounding may add
ONE: dict[str, Any] = {"allowed_models": ["echo/small"], "max_output_tokens": 100}
ONCE, MONTH, HOUR = 5, 4, 1


def create(api: Caller, budget_id: str, limit: int, **fields: Any) -> Any:
    budget = {"budget_id": budget_id, "limit_nano_usd": limit, "period": ONCE} | fields
    return api.call("AdminService/CreateBudget", budget=budget).budget


def of(api: Caller, budget_id: str) -> Any:
    return api.call("AdminService/GetBudget", budget_id=budget_id).budget


def test_calls_are_held_settled_and_refused(api: Caller) -> None:
    made = create(api, "held", 2 * SMALL, workflow="held", name="Two calls")
    assert (made.revision, made.spent_nano_usd, made.reserved_nano_usd, made.name) == (1, 0, 0, "Two calls")
    assert not made.HasField("reset_time")
    first = api.decide(workflow="held", **ONE)
    api.decide(workflow="held", **ONE)
    assert of(api, "held").reserved_nano_usd == 2 * SMALL
    refusal = api.refused("RouterService/Decide", task_class="e2e", input_tokens=100, workflow="held", **ONE)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "BUDGET_EXHAUSTED")
    assert refusal.metadata["budget_id"] == "held"
    assert refusal.metadata["left_nano_usd"] == "0"
    assert refusal.retry_after_s is None
    api.outcome(first.decision_id, output_tokens=1, cost_nano_usd=4)
    now = of(api, "held")
    assert (now.spent_nano_usd, now.reserved_nano_usd) == (4, SMALL)
    again = api.refused("RouterService/Decide", task_class="e2e", input_tokens=100, workflow="held", **ONE)
    assert again.reason == "BUDGET_EXHAUSTED"
    api.decide(**ONE)  # nobody else is bound
    record = api.call("InsightService/GetDecision", decision_id=first.decision_id).decision
    assert record.decision_id == first.decision_id


def test_a_repeated_decide_is_held_once(api: Caller) -> None:
    create(api, "repeated", 10 * SMALL, workflow="repeated")
    ids = {api.decide(workflow="repeated", request_id="same", **ONE).decision_id for _ in range(3)}
    assert len(ids) == 1
    assert of(api, "repeated").reserved_nano_usd == SMALL


def test_dear_models_are_excluded_while_cheap_ones_fit(api: Caller) -> None:
    create(api, "cheap", SMALL, workflow="cheap")
    made = api.decide(workflow="cheap", max_output_tokens=100)
    assert [c.model for c in made.ranking] == ["echo/small"]
    assert [(e.model, e.reason) for e in made.excluded] == [("echo/large", 9)]
    assert "budget 'cheap' has" in made.excluded[0].detail


def test_complete_is_billed_and_bounded(api: Caller) -> None:
    create(api, "complete", 2_000_000, workflow="complete", period=HOUR)
    turn = {"role": 2, "parts": [{"text": "word " * 4_000}]}
    answer = api.call(
        "RouterService/Complete", task_class="e2e", workflow="complete", messages=[turn], allowed_models=["echo/small"],
    )  # fmt: skip
    now = of(api, "complete")
    assert (now.spent_nano_usd, now.reserved_nano_usd) == (answer.total_cost_nano_usd, 0)
    assert now.spent_nano_usd > 0
    assert now.HasField("reset_time")
    assert answer.usage.output_tokens == 8_000 - answer.usage.input_tokens, "as much as was held, and no more"


@pytest.mark.parametrize(
    ("budget", "reason", "field"),
    [
        ({"budget_id": "x", "period": ONCE}, "FIELD_REQUIRED", "budget.limit_nano_usd"),
        ({"budget_id": "x", "limit_nano_usd": -1, "period": ONCE}, "NUMBER_OUT_OF_RANGE", "budget.limit_nano_usd"),
        ({"budget_id": "x", "limit_nano_usd": 10**16, "period": ONCE}, "NUMBER_OUT_OF_RANGE", "budget.limit_nano_usd"),
        ({"budget_id": "x", "limit_nano_usd": 1}, "UNKNOWN_ENUM_VALUE", "budget.period"),
        ({"budget_id": "x", "limit_nano_usd": 1, "period": 77}, "UNKNOWN_ENUM_VALUE", "budget.period"),
        ({"budget_id": "x\n", "limit_nano_usd": 1, "period": ONCE}, "INVALID_ID", "budget.budget_id"),
        ({"limit_nano_usd": 1, "period": ONCE, "task_class": "no such"}, "INVALID_ID", "budget.task_class"),
        ({"limit_nano_usd": 1, "period": ONCE, "task_class": "biled"}, "UNKNOWN_TASK_CLASS", ""),
        ({"limit_nano_usd": 1, "period": ONCE, "key_id": "nobody"}, "UNKNOWN_KEY", ""),
        ({"limit_nano_usd": 1, "period": ONCE, "paced": True}, "NOT_IMPLEMENTED", "budget.paced"),
    ],
)
def test_what_is_refused_changes_nothing(api: Caller, budget: dict[str, Any], reason: str, field: str) -> None:
    before = api.call("AdminService/ListBudgets").SerializeToString(deterministic=True)
    refusal = api.refused("AdminService/CreateBudget", budget=budget)
    assert refusal.reason == reason
    assert refusal.fields == ((field,) if field else ())
    assert api.call("AdminService/ListBudgets").SerializeToString(deterministic=True) == before


def test_changes(api: Caller) -> None:
    made = create(api, "changed", 2 * SMALL, workflow="changed")
    again = {"budget_id": "changed", "limit_nano_usd": 5, "period": ONCE}
    assert api.refused("AdminService/CreateBudget", budget=again).reason == "BUDGET_ALREADY_EXISTS"
    api.outcome(api.decide(workflow="changed", **ONE).decision_id, cost_nano_usd=20_000)
    api.decide(workflow="changed", **ONE)
    below = api.call(
        "AdminService/UpdateBudget", budget={"budget_id": "changed", "limit_nano_usd": 1, "revision": made.revision}
    ).budget
    assert (below.limit_nano_usd, below.revision, below.spent_nano_usd) == (1, 2, 20_000), "below what is spent"
    refusal = api.refused("RouterService/Decide", task_class="e2e", input_tokens=100, workflow="changed", **ONE)
    assert refusal.metadata["left_nano_usd"] == "0"
    stale = {"budget_id": "changed", "limit_nano_usd": 9, "revision": 1}
    assert api.refused("AdminService/UpdateBudget", budget=stale).reason == "REVISION_MISMATCH"
    moved = {"budget_id": "changed", "workflow": "other"}
    assert api.refused("AdminService/UpdateBudget", budget=moved).reason == "INVALID_COMBINATION"
    for mask, reason in ((["spent_nano_usd"], "INVALID_FIELD_MASK"), (["limit_nano_usd"], "FIELD_REQUIRED")):
        refusal = api.refused("AdminService/UpdateBudget", budget={"budget_id": "changed"}, update_mask={"paths": mask})
        assert refusal.reason == reason
    named = {"budget_id": "changed", "name": "N", "workflow": "changed"}
    renamed = api.call("AdminService/UpdateBudget", budget=named).budget
    assert (renamed.name, renamed.limit_nano_usd) == ("N", 1)
    assert api.refused("AdminService/DeleteBudget", budget_id="changed", revision=1).reason == "REVISION_MISMATCH"
    api.call("AdminService/DeleteBudget", budget_id="changed")  # a call is under way
    for method in ("GetBudget", "DeleteBudget"):
        assert api.refused(f"AdminService/{method}", budget_id="changed").reason == "UNKNOWN_BUDGET"
    assert api.refused("AdminService/UpdateBudget", budget=named).reason == "UNKNOWN_BUDGET"
    api.decide(workflow="changed", **ONE)
    anew = create(api, "changed", SMALL, workflow="changed")
    assert (anew.spent_nano_usd, anew.reserved_nano_usd, anew.revision) == (0, 0, 5)


def test_requests_are_idempotent_and_lists_have_pages(api: Caller) -> None:
    budget = {"limit_nano_usd": 5, "period": MONTH, "workflow": "idle"}
    first = api.call("AdminService/CreateBudget", budget=budget, request_id="b1").budget
    assert api.call("AdminService/CreateBudget", budget=budget, request_id="b1").budget == first
    other = budget | {"limit_nano_usd": 6}
    assert api.refused("AdminService/CreateBudget", budget=other, request_id="b1").reason == "REQUEST_ID_REUSED"
    ids, token = [], ""
    while True:
        page = api.call("AdminService/ListBudgets", page_size=2, page_token=token)
        ids += [b.budget_id for b in page.budgets]
        token = page.next_page_token
        if not token:
            break
    assert ids == sorted(ids)
    assert {first.budget_id, "of-the-file"} <= set(ids)


def test_a_kill_loses_no_hold_and_the_file_is_not_applied_twice(tmp_path: Path) -> None:
    tmp_path.joinpath("naiad.toml").write_text(CONFIG)
    process = Process(tmp_path, CONFIG)
    api = Caller(process.address)
    create(api, "kept", 3 * SMALL, workflow="kept")
    made = [api.decide(workflow="kept", **ONE) for _ in range(3)]
    api.call("AdminService/UpdateBudget", budget={"budget_id": "of-the-file", "limit_nano_usd": 5})
    api.close()
    process.stop(signal.SIGKILL)
    with live(tmp_path, CONFIG) as server:
        api = server.caller
        assert of(api, "kept").reserved_nano_usd == 3 * SMALL
        assert of(api, "of-the-file").limit_nano_usd == 5, "a change by RPC holds until the file's entry changes"
        api.refused("RouterService/Decide", task_class="e2e", input_tokens=100, workflow="kept", **ONE)
        for decision in made:
            api.outcome(decision.decision_id, cost_nano_usd=1)
        assert (of(api, "kept").spent_nano_usd, of(api, "kept").reserved_nano_usd) == (3, 0)
        api.verify()
    changed = CONFIG.replace("limit_usd = 0.01", "limit_usd = 0.02").replace('"month"', '"day"')
    with live(tmp_path, changed) as server:
        now = of(server.caller, "of-the-file")
        assert (now.limit_nano_usd, now.period) == (20_000_000, 2)
        server.caller.verify()


async def test_of_many_at_a_time_no_more_are_admitted_than_fit(api: Caller) -> None:
    await asyncio.to_thread(create, api, "raced", 5 * SMALL, workflow="raced")
    fields: dict[str, Any] = {"task_class": "e2e", "input_tokens": 100, "workflow": "raced", **ONE}
    method = METHODS["RouterService/Decide"]
    async with grpc.aio.insecure_channel(api.address) as channel:
        call: Any = channel.unary_unary(
            path_of("RouterService/Decide"),
            request_serializer=lambda m: m.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        request = GetMessageClass(method.input_type)(**fields)
        replies = await asyncio.gather(*(call(request, timeout=20.0) for _ in range(64)), return_exceptions=True)
    refused = [r for r in replies if isinstance(r, grpc.RpcError)]
    assert len(replies) - len(refused) == 5
    assert {refusal_of(r).reason for r in refused} == {"BUDGET_EXHAUSTED"}
