"""Limits on learning through the API: a model added by RPC, capped, told, and free once it was judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.live import BASE, Caller, live

CONFIG = (
    BASE
    + """
[policy]
strategy = "quality_first"
margin = 0.0
newcomer_calls = 6
newcomer_share = 0.05
newcomer_usd = 0.001
[[task_classes]]
name = "floored"
[task_classes.objective]
strategy = "cost_optimized"
quality_floor = 0.6
"""
)
NEW = {
    "name": "echo/new",
    "prices": {"input_nano_usd_per_million_tokens": 0, "output_nano_usd_per_million_tokens": 1_000_000_000},
}


def explained(api: Caller, made: Any) -> Any:
    return api.call("InsightService/GetDecision", decision_id=made.decision_id).decision


def test_a_model_added_midstream_is_capped_and_told_so(tmp_path: Path) -> None:
    with live(tmp_path, CONFIG) as server:
        api = server.caller
        for model, score in (("echo/small", 0.4), ("echo/large", 0.5)):
            for _ in range(6):
                api.score(api.decide("limits", allowed_models=[model]).decision_id, score)
        assert not api.decide("limits").notices
        api.call("CatalogService/CreateModel", model=NEW)
        made = api.decide("limits", max_output_tokens=100)
        shares = {c.model: c.propensity for c in made.ranking}
        assert abs(shares["echo/new"] - 0.05) < 1e-12
        assert abs(sum(shares.values()) - 1.0) < 1e-9
        (notice,) = made.notices
        assert (notice.code, notice.metadata["models"]) == (11, "echo/new")
        notes = {c.candidate.model: c.note for c in explained(api, made).candidates}
        assert notes["echo/new"].startswith("models that are new were held at 0.05 of the traffic together; they would")
        assert notes["echo/small"] == ""

        dear = api.decide("limits", max_output_tokens=1_001)  # a token costs a millionth
        assert [(e.model, e.reason) for e in dear.excluded] == [("echo/new", 11)]
        assert "may cost $0.001 in all until it is not" in dear.excluded[0].detail
        alone = [api.decide("limits", allowed_models=["echo/new"]) for _ in range(6)]
        assert not alone[0].notices, "one who asks for it gets it"
        for one in alone:
            api.score(one.decision_id, 0.9)
        free = api.decide("limits", max_output_tokens=1_001)
        assert not free.notices
        assert {c.model: c.propensity for c in free.ranking}["echo/new"] > 0.5
        api.verify()
