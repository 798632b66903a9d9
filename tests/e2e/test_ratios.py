"""What providers count reaches the context check, live, after a restart, and from event 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.e2e.live import BASE, Caller, live


def input_of(api: Caller, decision_id: str) -> int:
    """Return the tokens that a decision's input was estimated at."""
    return int(api.call("InsightService/GetDecision", decision_id=decision_id).decision.input_tokens)


def test_counts_are_learned_and_survive_a_restart(tmp_path: Path) -> None:
    text: dict[str, Any] = {
        "task_class": "ratios", "allowed_models": ["echo/small"],
        "messages": [{"role": 2, "parts": [{"text": "a" * 8_000}]}],
    }  # fmt: skip
    with live(tmp_path, BASE) as first:
        api = first.caller
        made = api.call("RouterService/Decide", **text)
        assert input_of(api, made.decision_id) == 2_004
        for _ in range(50):
            made = api.call("RouterService/Decide", **text)
            api.outcome(made.decision_id, input_tokens=4_004)
        learned = input_of(api, api.call("RouterService/Decide", **text).decision_id)
        assert 3_900 < learned < 4_004  # on its way from four bytes a token to two
        api.verify()
    with live(tmp_path, BASE) as second:
        assert input_of(second.caller, second.caller.call("RouterService/Decide", **text).decision_id) == learned
        second.caller.verify()
    with live(tmp_path, BASE) as third:
        assert input_of(third.caller, third.caller.decide("ratios", allowed_models=["echo/small"]).decision_id) == 100
