"""A log that was written before costs had shares and counts could be doubted folds as it did, and is told as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from naiad.server import render
from naiad.server.attempt_error import AttemptError
from naiad.server.costs import Sums, rebuild, sums_of
from naiad.server.ledger import AttemptEntry, Entry
from naiad.server.records import Cost, Event, Outcome, OutcomeReported, Usage, decode, encode
from naiad.server.store.memory import MemoryStore
from tests.journal.test_costs import folded, kept
from tests.journal.test_replay import busy
from tests.journal.world import new_engine, state, world

NEW = {
    "cost": ("reasoning", "doubted_bill", "judge", "other_members"),
    "usage": ("claim",),
    "outcome": ("role", "returned"),
}  # fmt: skip
EARLIER = b"""{"kind":"outcome","at_ms":5,"uid":1125899906842624,"task_class":0,"first_model":0,"first_ordinal":0,
"attempt":"1","outcome":{"part_of":1,"model":0,"ordinal":0,"usage":{"input_tokens":10,"output_tokens":100,
"reasoning_tokens":33},"cost":{"total":1010,"input":10,"output":1000,"price_version":"v"},"finish":1},"workflow":"w"}"""


def earlier(event: Event) -> bytes:
    """Return an event as a version without the new fields wrote it."""
    said = msgspec.json.decode(encode(event))
    outcome = said.get("outcome")
    if isinstance(outcome, dict):
        for where, names in NEW.items():
            held: Any = outcome if where == "outcome" else outcome.get(where) or {}
            for name in names:
                held.pop(name, None)
    return msgspec.json.encode(said)


def test_an_outcome_of_an_earlier_version_is_read() -> None:
    event = decode(EARLIER.replace(b"\n", b""))
    assert isinstance(event, OutcomeReported)
    assert event.outcome == Outcome(
        model=0, ordinal=0, part_of=1, finish=1,
        usage=Usage(input_tokens=10, output_tokens=100, reasoning_tokens=33),
        cost=Cost(total=1_010, input=10, output=1_000, price_version="v"),
    )  # fmt: skip
    told = render.attempt_cost(event.outcome)
    assert (told.output_nano_usd, told.reasoning_nano_usd, told.adjustment_nano_usd) == (1_000, 330, 0)


@pytest.mark.parametrize("seed", range(2))
async def test_a_log_without_the_new_fields_folds_to_the_same_state_and_sums(seed: int) -> None:
    async with world(MemoryStore()) as w:
        await busy(w, seed, 120)
        again, read = new_engine(), 0
        for row in await w.store.events(0, 1_000_000):
            event, older = decode(row.payload), earlier(decode(row.payload))
            assert decode(older) == event, "callers' reports have none of them"
            again.apply(row.sequence, decode(older))
            read += 1
        assert read > 100
        assert state(again)["digests"] == state(w.engine)["digests"]
        assert await kept(w.store) == await folded(w.store) == await rebuild(w.store)


def test_sums_of_an_earlier_version_go_on() -> None:
    """Its rows end before the new sums, which begin at what its log says of them: nothing."""
    row = b"[" + b",".join(b"1" for _ in range(len(Sums._fields) - 5)) + b"]"
    found = Sums.decode(row)
    assert (found.could_square, found.judge_cost, found.other_members_cost, found.doubted_attempts) == (1, 0, 0, 0)
    assert (found.uncertain_attempts, found.uncertain) == (0, 0)
    assert found.plus(Sums(judge_cost=5)).judge_cost == 5


def test_a_failure_of_an_earlier_version_leaves_sums_that_never_counted_it_as_they_are() -> None:
    """What is put in its place later takes nothing out that is not there."""
    lost = Outcome(model=0, ordinal=0, failed=True, error=AttemptError.TIMEOUT)
    entry = Entry(uid=1 << 50, task_class=0, model=0, ordinal=0, attempts=(AttemptEntry(attempt="1", outcome=lost),))
    (sums,) = sums_of(entry, None).values()
    assert (sums.failed_attempts, sums.uncertain_attempts, sums.uncertain) == (1, 0, 0)
