"""The project's own client against a real server: what happens in a block is credited where it belongs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from naiad.client import Client, Completed, Started, TextDelta
from tests.e2e.live import Caller


@pytest.fixture
def client(api: Caller) -> Iterator[Client]:
    with Client(api.address) as connected:
        yield connected


USER_TRUST = 0.3  # how much a score of a user weighs by default; the client's feedback is one unless it says otherwise


def evidence(client: Client, task_class: str) -> dict[str, float]:
    """Return how many observations of quality each model has."""
    return {a.model: a.quality.effective_observations for a in client.list_arms(task_class=task_class)}


def test_feedback_after_a_block_that_failed_teaches_no_quality(client: Client) -> None:
    with pytest.raises(TimeoutError), client.decide("p", task_class="block.failed") as decision:
        raise TimeoutError
    receipt = decision.feedback(0.0)
    assert (receipt.state, receipt.effective_score) == ("superseded", None)
    assert set(evidence(client, "block.failed").values()) == {0.0}


def test_feedback_inside_and_after_a_block_is_of_the_one_attempt(client: Client) -> None:
    with client.decide("p", task_class="block.inside") as decision:
        decision.record(input_tokens=1, output_tokens=2)
        inside = decision.feedback(0.9)
    after = decision.feedback(0.2)
    assert (after.revised, after.feedback_id) == (True, inside.feedback_id)
    assert sum(evidence(client, "block.inside").values()) == pytest.approx(USER_TRUST)
    (kept,) = client.get_decision(decision).feedback
    assert kept.attempt_id == client.get_decision(decision).attempts[0].attempt_id


def test_feedback_inside_a_block_is_of_the_model_that_is_recorded_later(client: Client) -> None:
    with client.decide("p", task_class="block.other") as decision:
        decision.feedback(0.9)
        decision.record(model=decision.ranking[1].model)
    assert evidence(client, "block.other") == {
        decision.model: 0.0,
        decision.ranking[1].model: pytest.approx(USER_TRUST),
    }


def test_an_answer_is_streamed_and_judged(client: Client) -> None:
    events = list(client.stream("Which river runs through Vienna?", task_class="block.stream", request_id="once"))
    assert isinstance(events[0], Started)
    last = events[-1]
    assert isinstance(last, Completed)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text == last.completion.text == "[echo] Which river runs through Vienna?"
    client.report_feedback(last.completion, 0.9)
    assert sum(evidence(client, "block.stream").values()) == pytest.approx(USER_TRUST)
    again = list(client.stream("Which river runs through Vienna?", task_class="block.stream", request_id="once"))
    assert [type(event) for event in again] == [Started, TextDelta, Completed]
    assert again[-1] == last
