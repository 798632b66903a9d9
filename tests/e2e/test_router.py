"""Decide and Complete do what their comments in router_service.proto say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from naiad.v1 import decision_pb2
from tests.e2e.live import BASE, Caller, Refusal

CONFIG = (
    BASE
    + """
[policy]
strategy = "balanced"
usd_per_quality = 0.01
"""
)
USER = {"role": 2, "parts": [{"text": "Which river runs through Vienna?"}]}
COMPLETE = "RouterService/Complete"


def codes(reply: Any) -> list[int]:
    """Return the codes of a reply's notices."""
    return [notice.code for notice in reply.notices]


def test_decide(api: Caller) -> None:
    reply = api.decide("router.first", workflow="nightly")
    assert 0 < len(reply.decision_id) <= 300
    assert reply.task_class == "router.first"
    assert reply.policy_version >= 1
    assert codes(reply) == [decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED]
    assert {c.model for c in reply.ranking} == {"echo/small", "echo/large"}
    assert reply.ranking[0].model == reply.model
    assert reply.ranking[0].propensity == reply.propensity
    assert sum(c.propensity for c in reply.ranking) == pytest.approx(1.0, abs=1e-12)
    assert 0.0 < reply.propensity <= 1.0
    assert not reply.excluded
    for candidate in reply.ranking:
        assert 0.0 < candidate.quality < 1.0
        assert candidate.quality_sd > 0.0
        assert candidate.cost_nano_usd > 0
        assert candidate.latency_s > 0.0
    assert codes(api.decide("router.first")) == []


def test_first_use_creates_the_task_class_for_good(api: Caller) -> None:
    reply = api.decide("router.created")
    entry = api.call("CatalogService/GetTaskClass", name="router.created").task_class
    assert entry.origin == 3  # first use
    assert reply.task_class in {c.name for c in api.call("CatalogService/ListTaskClasses").task_classes}


def test_no_task_class_is_unclassified(api: Caller) -> None:
    assert api.call("RouterService/Decide", input_tokens=3).task_class == "unclassified"


def test_required_capabilities_and_allowed_models_exclude(api: Caller) -> None:
    able = api.decide("router.first", required_capabilities=[2])
    assert able.model == "echo/large"
    assert [(e.model, e.reason) for e in able.excluded] == [("echo/small", decision_pb2.EXCLUSION_REASON_CAPABILITY)]
    allowed = api.decide("router.first", allowed_models=["echo/small"])
    assert allowed.model == "echo/small"
    assert allowed.propensity == 1.0
    assert [(e.model, e.reason) for e in allowed.excluded] == [
        ("echo/large", decision_pb2.EXCLUSION_REASON_NOT_ALLOWED)
    ]


def test_an_image_asks_for_a_model_that_sees(api: Caller) -> None:
    picture = {"role": 2, "parts": [{"image": {"media_type": "image/png", "data": b"\x89PNG"}}]}
    assert api.call("RouterService/Decide", task_class="router.first", messages=[picture]).model == "echo/large"


def test_messages_are_measured(api: Caller) -> None:
    long = {"role": 2, "parts": [{"text": "word " * 20_000}]}
    reply = api.call("RouterService/Decide", task_class="router.first", messages=[long])
    assert [(e.model, e.reason) for e in reply.excluded] == [
        ("echo/small", decision_pb2.EXCLUSION_REASON_CONTEXT_WINDOW)
    ]


def test_a_changed_price_moves_the_next_decision_at_once(api: Caller) -> None:
    def cost() -> int:
        ranking = api.decide("router.price", max_output_tokens=200).ranking
        return int(next(c.cost_nano_usd for c in ranking if c.model == "echo/large"))

    before = cost()
    api.call(
        "CatalogService/UpdateModel",
        model={"name": "echo/large", "prices": {
            "input_nano_usd_per_million_tokens": 10_000_000_000, "output_nano_usd_per_million_tokens": 40_000_000_000}},
    )  # fmt: skip
    assert cost() == pytest.approx(10 * before, rel=1e-6)
    api.call(
        "CatalogService/UpdateModel",
        model={"name": "echo/large", "prices": {
            "input_nano_usd_per_million_tokens": 1_000_000_000, "output_nano_usd_per_million_tokens": 4_000_000_000}},
    )  # fmt: skip
    assert cost() == before


def test_a_session_keeps_its_model(api: Caller) -> None:
    first = api.decide("router.session", session_id="s1")
    for _ in range(12):
        again = api.decide("router.session", session_id="s1")
        assert again.model == first.model
        assert again.propensity == 1.0
        assert decision_pb2.NOTICE_CODE_STICKY_SESSION in codes(again)
    other = "echo/small" if first.model == "echo/large" else "echo/large"
    moved = api.decide("router.session", session_id="s1", allowed_models=[other])
    assert moved.model == other, "a session's model that is not eligible is left"
    assert decision_pb2.NOTICE_CODE_STICKY_SESSION not in codes(moved)


def test_the_same_request_id_gets_the_same_decision(api: Caller) -> None:
    first = api.decide("router.repeat", request_id="repeat-1")
    assert api.decide("router.repeat", request_id="repeat-1") == first
    assert api.decide("router.repeat", request_id="repeat-2").decision_id != first.decision_id


def test_a_data_class_without_a_rule_says_so(api: Caller) -> None:
    reply = api.decide("router.first", data_class="secret")
    assert decision_pb2.NOTICE_CODE_DATA_CLASS_NOT_ENFORCED in codes(reply)


def test_a_request_s_objective_overrides(api: Caller) -> None:
    for _ in range(20):
        api.decide("router.objective")
    cheap = api.decide("router.objective", objective={"strategy": 1, "usd_per_quality": 0.0})
    by_model = {c.model: c.propensity for c in cheap.ranking}
    assert by_model["echo/small"] > by_model["echo/large"], "where quality is worth nothing, cost decides"
    recorded = poll_decision(api, cheap.decision_id).objective
    assert (recorded.strategy, recorded.usd_per_quality) == (1, 0.0)


def poll_decision(api: Caller, decision_id: str) -> Any:
    """Return a decision's record once it is written."""
    api.settle()
    return api.call("InsightService/GetDecision", decision_id=decision_id).decision


def test_complete(api: Caller) -> None:
    reply = api.call(COMPLETE, task_class="router.complete", messages=[USER], max_output_tokens=50)
    assert reply.answer.role == 3
    assert reply.answer.parts[0].text == "[echo] Which river runs through Vienna?"
    assert reply.finish_reason == 1
    assert [a.attempt_id for a in reply.attempts] == [reply.attempt_id] == ["1"]
    assert reply.attempts[0].model == reply.model == reply.ranking[0].model
    assert reply.usage.input_tokens > 0
    assert reply.cost.total_nano_usd == reply.total_cost_nano_usd > 0
    record = poll_decision(api, reply.decision_id)
    assert [a.attempt_id for a in record.attempts] == ["1"]
    assert record.attempts[0].cost.total_nano_usd == reply.cost.total_nano_usd
    api.score(reply.decision_id, 0.5)
    arm = api.arms(task_class="router.complete", model=reply.model).arms[0]
    assert arm.quality.effective_observations == pytest.approx(1.0)
    assert arm.success.effective_observations == pytest.approx(1.0)


def test_the_same_request_id_gets_the_same_answer_and_one_call(api: Caller) -> None:
    fields: dict[str, Any] = {"task_class": "router.complete", "messages": [USER], "request_id": "complete-1"}
    first = api.call(COMPLETE, **fields)
    pulls = sum(a.pulls for a in api.arms(task_class="router.complete").arms)
    assert api.call(COMPLETE, **fields) == first
    assert sum(a.pulls for a in api.arms(task_class="router.complete").arms) == pulls
    with pytest.raises(Refusal) as caught:
        api.call(COMPLETE, **(fields | {"workflow": "another"}))
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_stream_complete(api: Caller) -> None:
    events = api.call("RouterService/StreamComplete", task_class="router.stream", messages=[USER])
    assert [e.WhichOneof("event") for e in events[:2]] == ["started", "text_delta"]
    whole = events[-1].completed.response
    assert "".join(e.text_delta.text for e in events) == whole.answer.parts[0].text
    assert whole.answer.parts[0].text == "[echo] Which river runs through Vienna?"
    record = poll_decision(api, whole.decision_id)
    (attempt,) = record.attempts
    assert attempt == whole.attempts[0]
    assert attempt.HasField("time_to_first_token")
    api.score(whole.decision_id, 0.5)
    arm = api.arms(task_class="router.stream", model=whole.model).arms[0]
    assert arm.time_to_first_token_s.effective_observations == pytest.approx(1.0)
    assert arm.quality.effective_observations == pytest.approx(1.0)
    api.verify()


def test_a_cost_limit_below_every_model_makes_no_call(api: Caller) -> None:
    with pytest.raises(Refusal) as caught:
        api.call(COMPLETE, task_class="router.limit", messages=[USER], max_cost_nano_usd=0)
    assert caught.value.reason
    assert all(a.success.effective_observations == 0.0 for a in api.arms(task_class="router.limit").arms)


def test_the_record_explains_the_draw(api: Caller) -> None:
    for _ in range(10):
        made = api.decide("router.draw", workflow="w")
        record = poll_decision(api, made.decision_id)
        total = 0.0
        for explanation in record.candidates:
            total += explanation.candidate.propensity
            if total > record.uniform_draw:
                break
        assert explanation.candidate.model == record.model == made.model
        assert record.propensity == made.propensity
        assert record.workflow == "w"
        assert abs(record.create_time.ToSeconds() - time.time()) < 600
