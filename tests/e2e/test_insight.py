"""ListArms, GetDecision, ListDecisions and VerifyLog do what their comments say."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.live import Caller, live


def listed(api: Caller, **fields: Any) -> list[Any]:
    """Return all decisions of a filter, page by page."""
    api.settle()
    found, token = [], ""
    for _ in range(100):
        page = api.call("InsightService/ListDecisions", page_token=token, **fields)
        found += list(page.decisions)
        token = page.next_page_token
        if not token:
            return found
    raise AssertionError("the pages do not end")


def test_arms_include_those_never_chosen(api: Caller) -> None:
    made = api.decide("in.arms")
    arms = {a.model: a for a in api.arms(task_class="in.arms").arms}
    assert arms.keys() == {"echo/small", "echo/large"}
    assert {m: a.pulls for m, a in arms.items()} == {m: int(m == made.model) for m in arms}
    assert arms[made.model].traffic_share == 1.0
    assert arms[made.model].last_pull_time.seconds > 0
    for arm in arms.values():
        assert arm.quality.effective_observations == 0.0
        assert arm.cost_nano_usd.mean > 0.0


def test_the_time_to_the_first_token_is_learned_apart_from_latency(api: Caller) -> None:
    made = api.decide("in.first")
    before = {a.model: a for a in api.arms(task_class="in.first").arms}[made.model]
    api.outcome(made.decision_id, latency={"seconds": 9}, time_to_first_token={"nanos": 20_000_000})
    after = {a.model: a for a in api.arms(task_class="in.first").arms}[made.model]
    assert after.time_to_first_token_s.effective_observations == 1.0
    assert after.time_to_first_token_s.mean < before.time_to_first_token_s.mean
    assert after.latency_s.mean > before.latency_s.mean


def test_arms_come_in_pages(api: Caller) -> None:
    for index in range(3):
        api.decide(f"in.page{index}")
    whole = list(api.arms().arms)
    found, token = [], ""
    while True:
        page = api.call("InsightService/ListArms", page_size=2, page_token=token)
        found += list(page.arms)
        token = page.next_page_token
        if not token:
            break
    assert found == whole


def test_a_decision_s_record_holds_what_the_reply_said(api: Caller) -> None:
    made = api.decide("in.record", workflow="w", session_id="s", max_output_tokens=77)
    api.outcome(made.decision_id, output_tokens=5)
    api.score(made.decision_id, 0.75, rater_id="ann")
    record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
    assert record.decision_id == made.decision_id
    assert (record.task_class, record.workflow, record.session_id) == ("in.record", "w", "s")
    assert (record.input_tokens, record.max_output_tokens) == (100, 77)
    assert list(record.ranking) == [c.model for c in made.ranking]
    by_model = {c.model: c for c in made.ranking}
    assert {e.candidate.model: e.candidate for e in record.candidates} == by_model
    assert abs(sum(e.thompson_probability for e in record.candidates) - 1.0) < 1e-9
    assert record.effective_score == 0.75
    assert record.attempts[0].usage.output_tokens == 5
    assert record.feedback[0].rater_id == "ann"
    assert not record.restored_from_id


def test_decisions_are_listed_latest_first_by_every_filter(api: Caller) -> None:
    began = time.time()
    made = [api.decide("in.list", workflow=f"w{i % 2}", session_id=f"s{i % 3}") for i in range(9)]
    ids = [m.decision_id for m in reversed(made)]
    assert [d.decision_id for d in listed(api, task_class="in.list", page_size=2)] == ids
    for model in ("echo/small", "echo/large"):
        expected = [m.decision_id for m in reversed(made) if m.model == model]
        assert [d.decision_id for d in listed(api, task_class="in.list", model=model)] == expected
    assert len(listed(api, task_class="in.list", workflow="w0")) == 5
    assert len(listed(api, task_class="in.list", session_id="s1")) == 3
    assert len(listed(api, task_class="in.list", start_time={"seconds": int(began) - 1})) == 9
    assert not listed(api, task_class="in.list", start_time={"seconds": int(began) + 3_600})
    assert not listed(api, task_class="in.list", end_time={"seconds": int(began) - 1})
    assert listed(api, end_time={"seconds": 0}) == []


def test_a_summary_tells_what_became_of_the_decision(api: Caller) -> None:
    made = api.decide("in.summary")
    api.call("FeedbackService/ReportOutcome", decision_id=made.decision_id, model="echo/small", error={"kind": 1})
    api.outcome(made.decision_id, model="echo/large", cost_nano_usd=11)
    api.score(made.decision_id, 0.25)
    (summary,) = listed(api, task_class="in.summary")
    assert (summary.model, summary.propensity) == (made.model, made.propensity)
    assert (summary.attempt_count, summary.answered_by, summary.cost_nano_usd) == (2, "echo/large", 11)
    assert summary.effective_score == 0.25


def test_the_log_verifies_and_counts_every_event(api: Caller) -> None:
    before = api.verify()
    assert before.events_folded == before.sequence
    made = api.decide("in.verify")
    api.score(made.decision_id, 0.5)
    after = api.verify()
    assert after.sequence - before.sequence == 3  # the task class, the decision, the judgement
    assert after.live_statistics_digest != before.live_statistics_digest
    assert after.live_statistics_digest == after.replayed_statistics_digest
    assert after.live_beliefs_digest == after.replayed_beliefs_digest


def test_a_decision_can_be_read_as_soon_as_it_was_made(api: Caller) -> None:
    for _ in range(20):
        made = api.decide("in.atonce")
        record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
        assert (record.model, record.restored_from_id) == (made.model, False)
        assert record.sequence > 0


def test_decisions_of_what_was_deleted_are_still_listed(api: Caller) -> None:
    free = {"input_nano_usd_per_million_tokens": 0, "output_nano_usd_per_million_tokens": 0}
    api.call("CatalogService/CreateModel", model={"name": "acme/past", "endpoint_profile": "echo", "prices": free})
    made = api.decide("in.past", allowed_models=["acme/past"])
    api.call("CatalogService/DeleteModel", name="acme/past")
    api.call("CatalogService/DeleteTaskClass", name="in.past")
    for fields in ({"model": "acme/past"}, {"task_class": "in.past"}):
        assert [d.decision_id for d in listed(api, **fields)] == [made.decision_id]
    assert api.refused("InsightService/ListDecisions", model="acme/never").reason == "UNKNOWN_MODEL"
    assert api.refused("InsightService/ListDecisions", task_class="in.never").reason == "UNKNOWN_TASK_CLASS"


def test_the_log_is_folded_up_to_a_place(api: Caller) -> None:
    whole = api.verify()
    part = api.call("AdminService/VerifyLog", until_sequence=3, timeout_s=60.0)
    assert (part.events_folded, part.sequence) == (3, 3)
    assert part.replayed_statistics_digest != whole.replayed_statistics_digest
    assert (part.live_statistics_digest, part.live_beliefs_digest) == (b"", b"")
    assert (part.statistics_equal, part.beliefs_equal) == (False, False)
    for until in (-1, whole.sequence + 1_000_000):
        assert api.refused("AdminService/VerifyLog", until_sequence=until).reason == "NUMBER_OUT_OF_RANGE"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("DELETE FROM events WHERE seq = 3", "gap"),
        ("UPDATE events SET payload = CAST('{}' AS BLOB) WHERE seq = 3", "checksum"),
    ],
)
def test_damage_that_a_snapshot_covers_is_named(tmp_path: Path, damage: str, words: str) -> None:
    with live(tmp_path) as running:
        running.caller.decide()
    with sqlite3.connect(tmp_path / "data" / "naiad.db") as database:
        database.execute(damage)
    database.close()
    with live(tmp_path) as running:
        refusal = running.caller.refused("AdminService/VerifyLog")
        assert (refusal.code, refusal.reason) == ("DATA_LOSS", "LOG_DAMAGED")
        assert words in refusal.message
        assert "event" in refusal.metadata["damage"]
