"""What one tenant made, tried by another: each thing must look as if it had never been."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import grpc

Headers = tuple[tuple[str, str], ...]
OURS = "b10.ours"  # names that only the first tenant uses
MODEL = "echo/ours"
_ASKED: dict[str, dict[str, Any]] = {"InsightService/GetCostReport": {"group_by": [1, 2]}}  # so that a list has pages


def leaks(api: Any, ours: Headers, theirs: Headers) -> list[str]:
    """Return what the other tenant could see or use; empty is right. api: tests.bars.b10_identity.Api."""
    found: list[str] = []
    try:
        found.extend(_leaks(api, ours, theirs))
    except grpc.RpcError as failed:
        found.append(f"a call that must succeed ended as {api.ended(failed)}")
    return found


def _leaks(api: Any, ours: Headers, theirs: Headers) -> Iterator[str]:
    prices = {"input_nano_usd_per_million_tokens": 1, "output_nano_usd_per_million_tokens": 1}
    made = [
        api.call(
            "RouterService/Decide",
            ours,
            task_class=OURS if i else f"{OURS}.0",
            session_id="s",
            workflow=OURS,
            request_id=f"d{i}",
        )
        for i in range(3)
    ]
    decision = made[0].decision_id
    given = api.call("FeedbackService/ReportFeedback", ours, decision_id=decision, score=1.0, source=1)
    for one in made[:2]:  # in two task classes, so that a report of costs has pages
        api.call("FeedbackService/ReportOutcome", ours, decision_id=one.decision_id, cost_nano_usd=1_000)
    api.call("CatalogService/CreateModel", ours, model={"name": MODEL, "prices": prices}, request_id="m")
    key = api.call("AdminService/CreateKey", ours, name="ours", role=1, request_id="k").key.key_id
    budget = {"limit_nano_usd": 10**12, "period": 5, "workflow": OURS}
    for name in (OURS, f"{OURS}.2"):
        api.call("AdminService/CreateBudget", ours, budget=budget | {"budget_id": name}, request_id=f"b-{name}")
    tokens = {
        method: api.call(method, ours, page_size=1, **_ASKED.get(method, {})).next_page_token
        for method in (
            "CatalogService/ListModels", "CatalogService/ListTaskClasses", "InsightService/ListArms",
            "InsightService/ListDecisions", "AdminService/ListKeys", "AdminService/ListAuditEvents",
            "AdminService/ListBudgets", "InsightService/GetCostReport",
        )
    }  # fmt: skip
    watch = api.open("InsightService/WatchArms", ours)
    cursor = next(watch).cursor
    watch.cancel()

    foreign = ("PERMISSION_DENIED", "DECISION_ID_FOREIGN")
    for method, fields, wanted in (
        ("InsightService/GetDecision", {"decision_id": decision}, foreign),
        ("FeedbackService/ReportFeedback", {"decision_id": decision, "score": 0.0, "source": 1}, foreign),
        ("FeedbackService/ReportOutcome", {"decision_id": decision, "input_tokens": 1}, foreign),
        ("FeedbackService/RetractFeedback", {"feedback_id": given.feedback_id}, ("NOT_FOUND", "UNKNOWN_FEEDBACK")),
        ("CatalogService/GetModel", {"name": MODEL}, ("NOT_FOUND", "UNKNOWN_MODEL")),
        ("CatalogService/UpdateModel", {"model": {"name": MODEL, "disabled": True}}, ("NOT_FOUND", "UNKNOWN_MODEL")),
        ("CatalogService/DeleteModel", {"name": MODEL}, ("NOT_FOUND", "UNKNOWN_MODEL")),
        ("CatalogService/GetTaskClass", {"name": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("CatalogService/DeleteTaskClass", {"name": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("InsightService/ListArms", {"task_class": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("InsightService/ListDecisions", {"task_class": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("InsightService/GetCostReport", {"task_class": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("InsightService/GetCostReport", {"baseline_model": MODEL}, ("NOT_FOUND", "UNKNOWN_MODEL")),
        ("InsightService/WatchArms", {"task_class": OURS}, ("NOT_FOUND", "UNKNOWN_TASK_CLASS")),
        ("InsightService/WatchArms", {"cursor": cursor}, ("INVALID_ARGUMENT", "CURSOR_INVALID")),
        ("AdminService/RotateKey", {"key_id": key}, ("NOT_FOUND", "UNKNOWN_KEY")),
        ("AdminService/RevokeKey", {"key_id": key}, ("NOT_FOUND", "UNKNOWN_KEY")),
        ("AdminService/GetBudget", {"budget_id": OURS}, ("NOT_FOUND", "UNKNOWN_BUDGET")),
        ("AdminService/DeleteBudget", {"budget_id": OURS}, ("NOT_FOUND", "UNKNOWN_BUDGET")),
        ("AdminService/CreateBudget", {"budget": {"limit_nano_usd": 1, "period": 5, "key_id": key}},
         ("NOT_FOUND", "UNKNOWN_KEY")),
    ):  # fmt: skip
        ended = api.end_of(method, theirs, **fields)
        if ended != wanted:
            yield f"{method} of another tenant's {sorted(fields)} ended as {ended}, not as {wanted}"
    for method, token in tokens.items():
        if not token:
            yield f"{method} gave no page token, so it could not be tried"
        ended = api.end_of(method, theirs, page_size=1, page_token=token, **_ASKED.get(method, {}))
        if ended != ("INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"):
            yield f"{method} took another tenant's page token: {ended}"

    listed: tuple[tuple[str, dict[str, Any], Callable[[Any], Any]], ...] = (
        ("CatalogService/ListModels", {}, lambda r: [m.name for m in r.models]),
        ("CatalogService/ListTaskClasses", {}, lambda r: [c.name for c in r.task_classes]),
        ("InsightService/ListArms", {}, lambda r: [(a.task_class, a.model) for a in r.arms]),
        ("InsightService/ListDecisions", {}, lambda r: [(d.decision_id, d.task_class) for d in r.decisions]),
        ("InsightService/ListDecisions", {"workflow": OURS}, lambda r: [d.workflow for d in r.decisions]),
        (
            "InsightService/GetCostReport",
            _ASKED["InsightService/GetCostReport"],
            lambda r: [(row.workflow, row.task_class) for row in r.rows],
        ),
        ("InsightService/GetCostReport", {"workflow": OURS}, lambda r: [OURS] * r.total.decisions),
        ("AdminService/ListKeys", {"include_ended": True}, lambda r: [k.key_id for k in r.keys]),
        ("AdminService/ListAuditEvents", {}, lambda r: [e.resource for e in r.events]),
        ("AdminService/ListBudgets", {}, lambda r: [b.budget_id for b in r.budgets]),
    )
    for method, fields, names in listed:
        mine = names(api.call(method, ours, page_size=1_000, **fields))
        other = names(api.call(method, theirs, page_size=1_000, **fields))
        told = [n for n in other if OURS in str(n) or MODEL in str(n) or key in str(n) or decision in str(n)]
        if told:
            yield f"{method} lists another tenant's {told}"
        if not [n for n in mine if OURS in str(n) or MODEL in str(n) or key in str(n) or decision in str(n)]:
            yield f"{method} does not list a tenant's own, so nothing was tried"

    # The same request ids are free: another tenant's are neither found nor taken.
    again = api.call("RouterService/Decide", theirs, task_class="b10.theirs", request_id="d0")
    if again.decision_id == decision:
        yield "Decide gave another tenant's decision for its request id"
    for method, fields in (
        ("CatalogService/CreateModel", {"model": {"name": "echo/theirs", "prices": prices}, "request_id": "m"}),
        ("AdminService/CreateKey", {"name": "theirs", "role": 1, "request_id": "k"}),
    ):
        ended = api.end_of(method, theirs, **fields)
        if ended != ("OK", ""):
            yield f"{method} knew another tenant's request id: {ended}"
    # What one learns, the other does not: nobody judged anything there.
    for arm in api.call("InsightService/ListArms", theirs, page_size=1_000).arms:
        if arm.quality.effective_observations:
            yield f"the arm {arm.task_class}, {arm.model} learned from another tenant"
    for who in (ours, theirs):
        proof = api.call("AdminService/VerifyLog", who)
        trail = api.call("AdminService/VerifyAudit", who)
        if not (proof.statistics_equal and proof.beliefs_equal and trail.intact):
            yield "a tenant's log does not fold to what it is served, or its trail is broken"
