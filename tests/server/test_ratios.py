"""Bytes a token: learned from what models count, used where their context window is checked and their cost foreseen."""

from __future__ import annotations

import pytest

from naiad.adapters.tokens import LearnedRatio
from naiad.server import snapshot
from naiad.server.eligibility import Capability, Needs, Reason
from naiad.server.engine import Engine
from naiad.server.ratios import LEAST, MOST, Ratios, taught
from naiad.server.records import Decided, Event, Outcome, OutcomeReported, Usage
from tests.server.builders import engine, model, query

TEXT = Needs(1_004, 100, text_bytes=4_000)  # one message of 4,000 bytes, at four bytes a token


def outcome(tokens: int | None = 504, *, failed: bool = False, estimated: bool = False) -> OutcomeReported:
    """Return the event of an answer of model 0 that counted so many tokens of input."""
    usage = Usage(input_tokens=tokens, output_tokens=1, estimated=estimated)
    facts = Outcome(model=0, ordinal=0, usage=usage, failed=failed)
    return OutcomeReported(uid=1, task_class=0, first_model=0, first_ordinal=0, attempt="1", outcome=facts)


def decided(needs: Needs = TEXT) -> Decided:
    """Return a decision for a request."""
    return engine().decide(query(needs=needs), at_ms=5, uniform=0.1).record


def numbers(event: Event) -> tuple[int, int]:
    """Return what an event teaches: bytes and tokens."""
    assert isinstance(event, OutcomeReported)
    return event.text_bytes, event.text_tokens


def test_an_answer_teaches_bytes_and_the_tokens_beside_the_frames() -> None:
    assert numbers(taught(outcome(504), decided())) == (4_000, 500)


@pytest.mark.parametrize(
    ("event", "record"),
    [
        (outcome(None), decided()),
        (outcome(failed=True), decided()),
        (outcome(estimated=True), decided()),
        (outcome(4), decided()),
        (outcome(4 + round(4_000 / LEAST) + 1), decided()),
        (outcome(4 + round(4_000 / MOST) - 1), decided()),
        (outcome(), None),
        (outcome(), decided(Needs(1_000, 100))),  # the caller counted
    ],
)
def test_what_says_nothing_of_text_teaches_nothing(event: OutcomeReported, record: Decided | None) -> None:
    assert taught(event, record) == event
    assert numbers(event) == (0, 0)


@pytest.mark.parametrize("capability", [Capability.VISION, Capability.TOOLS, Capability.JSON_SCHEMA])
def test_images_tools_and_schemas_are_tokens_that_text_does_not_tell(capability: Capability) -> None:
    made = engine([model(0, capabilities=(int(capability),))])
    needs = TEXT._replace(capabilities=frozenset({int(capability)}))
    record = made.decide(query(needs=needs), at_ms=5, uniform=0.1).record
    assert record.text_bytes == 0
    assert numbers(taught(outcome(), record)) == (0, 0)


def learned(made: Engine, model_id: int, n_bytes: int, n_tokens: int) -> None:
    """Let an engine fold that a model counted."""
    facts = Outcome(model=model_id, ordinal=0, usage=Usage(input_tokens=n_tokens))
    event = OutcomeReported(
        uid=9, task_class=0, first_model=model_id, first_ordinal=0, attempt="1", outcome=facts, text_bytes=n_bytes,
        text_tokens=n_tokens,
    )  # fmt: skip
    made.apply(made.sequence + 1, event)


def test_the_context_check_reserves_the_output_beside_what_the_model_itself_would_count() -> None:
    """At four bytes a token 1,004 + 100 fit; a model that counts one for every two bytes would need 2,004 + 100."""
    made = engine([model(0, context_window=1_200), model(1, context_window=1_200)])
    record = made.decide(query(needs=TEXT), at_ms=5, uniform=0.1).record
    assert record.models == [0, 1]
    learned(made, 0, 200_000_000, 100_000_000)
    record = made.decide(query(needs=TEXT), at_ms=6, uniform=0.1).record
    assert record.models == [1]
    (excluded,) = record.excluded
    assert (excluded.model, excluded.reason) == (0, Reason.CONTEXT_WINDOW)
    assert excluded.detail == "needs 2004 + 100 tokens; the context window holds 1200"
    counted = made.decide(query(needs=Needs(1_004, 100)), at_ms=7, uniform=0.1).record
    assert counted.models == [0, 1]  # what the caller counted is taken as it is


def test_a_model_that_counts_less_is_not_left_out() -> None:
    made = engine([model(0, context_window=700), model(1)])
    assert made.decide(query(needs=TEXT), at_ms=5, uniform=0.1).record.models == [1]
    learned(made, 0, 800_000_000, 100_000_000)
    assert made.decide(query(needs=TEXT), at_ms=6, uniform=0.1).record.models == [0, 1]


def test_the_cost_rests_on_what_each_model_makes_of_the_bytes() -> None:
    made = engine()
    before = made.decide(query(needs=TEXT), at_ms=5, uniform=0.1).record
    learned(made, 0, 200_000_000, 100_000_000)
    after = made.decide(query(needs=TEXT), at_ms=6, uniform=0.1).record
    assert after.cost[0] - before.cost[0] == pytest.approx(
        1_000 * 100, rel=1e-3
    )  # 1,000 more tokens at 0.1 USD a million
    assert after.cost[1] == before.cost[1]
    chosen = {0: 2_004, 1: 1_004, 2: 1_004}
    assert after.input_tokens == pytest.approx(chosen[after.model], abs=1)


def test_ratios_start_at_the_default_and_do_not_depend_on_the_order() -> None:
    seen = [(0, 3_000, 1_000), (1, 500, 100), (0, 2_000, 900)]
    one, other = Ratios(), Ratios()
    for item in seen:
        one.take(*item)
    for item in reversed(seen):
        other.take(*item)
    assert one.known == other.known
    assert one.known[0] == LearnedRatio().add(5_000, 1_900).bytes_per_token
    one.take(2, 100, 0)  # nothing was counted
    assert one.known.keys() == {0, 1}


def test_requests_under_way_keep_their_ratios() -> None:
    ratios = Ratios()
    ratios.take(0, 3_000, 1_000)
    held = ratios.known
    ratios.take(0, 9_000, 1_000)
    assert held[0] == LearnedRatio().add(3_000, 1_000).bytes_per_token


def test_a_snapshot_keeps_them() -> None:
    made, again = engine(), engine()
    learned(made, 1, 5_000, 1_900)
    fresh = Engine(made.settings, made.signer)
    snapshot.load(fresh, snapshot.dump(made))
    assert fresh.ratios.state() == made.ratios.state() == [(1, 5_000, 1_900)]
    assert again.ratios.state() == []
