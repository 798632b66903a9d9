"""A model that gets worse behind its name: what the API, `naiad arms` and `naiad explain` say of it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from naiad.client import Decision, Drift
from naiad.server.report import print_arms, print_explanation
from tests.report.conftest import Running


def shown(width: int = 100) -> Console:
    return Console(width=width, file=io.StringIO(), record=True)


def judged(running: Running, score: float) -> Decision:
    """Decide and judge what `echo/large` did."""
    made = running.client.decide(task_class="drift.a", allowed_models=["echo/large"])
    running.client.report_feedback(made, score, source="judge")
    return made


@pytest.fixture(scope="module")
def drifted(running: Running) -> tuple[Decision, Decision, Drift]:
    """Judge a model good for a while, then bad until it is noticed; return a decision before, one after, the alarm."""
    client = running.client
    before, *_ = [judged(running, (1.0, 0.9)[i % 2]) for i in range(40)]
    for _ in range(60):
        judged(running, 0.2)
        (arm,) = client.list_arms(task_class="drift.a", model="echo/large")
        if arm.drift is not None:
            return before, client.decide(task_class="drift.a"), arm.drift
    raise AssertionError("no alarm in 60 bad judgements")


def test_the_alarm_is_told_in_every_class_of_the_model_alone(
    running: Running, drifted: tuple[Decision, Decision, Drift]
) -> None:
    drift = drifted[2]
    assert drift.shift < -0.4
    assert 30 <= drift.ordinal <= 50
    assert 0.0 < drift.evidence_weight < 0.5
    running.client.decide(task_class="drift.b")
    for arm in running.client.list_arms():
        assert arm.drift == (drift if arm.model == "echo/large" else None)
    (arm,) = running.client.list_arms(task_class="drift.a", model="echo/large")
    assert arm.quality.effective_observations < 40
    assert arm.quality.mean < 0.6
    update = next(iter(running.client.watch_arms(task_class="drift.a", model="echo/large")))
    assert [seen.drift for seen in update.arms] == [drift]


def test_arms_draws_it(running: Running, drifted: tuple[Decision, Decision, Drift]) -> None:
    screen = shown()
    assert print_arms(running.address, "", screen=screen) == 0
    text = " ".join(screen.export_text().split())
    assert f"echo/large drifted: its quality moved by {drifted[2].shift:+.2f}" in text
    assert f"judgements from before weigh {drifted[2].evidence_weight:.1%}" in text
    assert "echo/small drifted" not in text


def test_a_decision_knows_of_alarms_before_it(running: Running, drifted: tuple[Decision, Decision, Drift]) -> None:
    before, after, drift = drifted
    found = {one.candidate.model: one.drift for one in running.client.get_decision(after.decision_id).candidates}
    assert found["echo/large"] == drift
    assert found["echo/small"] is None
    assert all(one.drift is None for one in running.client.get_decision(before.decision_id).candidates)
    for made, words in ((after, True), (before, False)):
        screen = shown()
        assert print_explanation(running.address, made.decision_id, screen=screen) == 0
        assert ("echo/large had drifted: its quality moved by" in " ".join(screen.export_text().split())) == words
