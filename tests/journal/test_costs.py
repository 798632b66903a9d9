"""The running sums of cost are what the log says: whatever was revised, made anew at any time, and after damage."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest

from naiad.bandit.statistics import SCALE
from naiad.server.costs import NOTHING, Gathered, Sums, ensure_built, rebuild, sums_of
from naiad.server.journal import Request
from naiad.server.ledger import Entry, take_outcome, take_ratings
from naiad.server.records import Decided, FeedbackReported, OutcomeReported, decode
from naiad.server.store.base import CostKey, Store
from naiad.server.store.memory import MemoryStore
from naiad.server.store.schema import MIGRATIONS
from naiad.server.store.sqlite import SqliteStore
from tests.journal.test_replay import busy
from tests.journal.world import HeldStore, World, new_engine, world

ALL = (-(1 << 40), 1 << 40)  # hours


async def kept(store: Store) -> dict[CostKey, Sums]:
    """Return the sums that a store holds, without rows that came to nothing."""
    rows = {key: Sums.decode(payload) for key, payload in await store.list_costs(*ALL, None, 100_000)}
    return {key: sums for key, sums in rows.items() if any(sums)}


async def folded(store: Store) -> dict[CostKey, Sums]:
    """Return the sums that the events alone amount to, one after the other; the ledger is not read."""
    found, entries, choices = Gathered(), dict[int, Entry](), dict[int, Decided]()
    for row in await store.events(0, 1_000_000):
        event = decode(row.payload)
        if isinstance(event, Decided):
            choices[event.uid] = event
            found.decided(event.uid, event.workflow, event.task_class, event.model)
        if isinstance(event, OutcomeReported | FeedbackReported):
            before = entries.get(event.uid) or Entry(
                uid=event.uid, task_class=event.task_class, model=event.first_model, ordinal=event.first_ordinal
            )
            if isinstance(event, OutcomeReported):
                after, _ = take_outcome(before, event.attempt, event.outcome, event.at_ms)
            else:
                after, _ = take_ratings(before, event.attempts, event.ratings, event.at_ms)
            found.amended(before, after, choices.get(event.uid))
            entries[event.uid] = after
    return {key: sums for key, sums in found.rows.items() if any(sums)}


def total(rows: Mapping[CostKey, Sums]) -> Sums:
    """Return everything together."""
    return sum_of(list(rows.values()))


def sum_of(rows: list[Sums]) -> Sums:
    """Return the sum of rows."""
    whole = NOTHING
    for sums in rows:
        whole = whole.plus(sums)
    return whole


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_kept_is_what_the_log_says(seed: int) -> None:
    async with world(MemoryStore()) as w:
        await busy(w, seed, 150)
        now = await kept(w.store)
        assert now == await folded(w.store)
        assert now == await rebuild(w.store)
        whole = total(now)
        assert whole.attempts > 10
        assert 0 < whole.failed_attempts < whole.attempts
        assert whole.scores > 0
        assert whole.could > 0
        parts = whole.input_cost + whole.cached_input_cost + whole.cache_write_cost + whole.output_cost
        assert whole.cost == parts + whole.request_cost + whole.adjustment


async def test_a_score_that_is_revised_takes_the_old_one_out_and_one_retracted_leaves_nothing() -> None:
    async with world(MemoryStore()) as w:
        decision = w.decide()
        await w.report(decision)
        before = await kept(w.store)
        await w.rate(decision, 0.25)
        given = (await w.rate(decision, 0.75)).feedback_id
        changed = total(await kept(w.store))
        assert (changed.scores, changed.score_sum) == (1, 3 * SCALE // 4)
        await w.feedback.retract(given, "", Request("Retract"))
        assert await kept(w.store) == before


async def test_an_attempt_that_answers_later_moves_what_others_could_have_answered() -> None:
    async with world(MemoryStore()) as w:
        decision = w.decide()
        await w.report(decision, attempt="1", model="a/one", failed=True)
        assert total(await kept(w.store)).could == 0
        await w.report(decision, attempt="2", model="b/two")
        rows = await kept(w.store)
        by_model = {m: sum_of([s for k, s in rows.items() if k.model == m]) for m in (0, 1)}
        assert (by_model[0].failed_attempts, by_model[0].could, by_model[0].answered) == (1, 1, 0)
        assert (by_model[1].could, by_model[1].answered) == (0, 1)
        spent = total(rows).cost
        assert (by_model[0].could_cost, by_model[1].answered_cost) == (spent, spent)
        assert (by_model[0].could_fixed, by_model[0].could_rate) == (0, 2_000)  # 10 tokens at 0.001 nano-USD


async def test_a_decision_whose_row_was_lost_is_counted_by_what_was_reported_of_it() -> None:
    """In its hour, without a workflow; what others could have answered is not known."""
    async with world(MemoryStore()) as w:
        record = w.decide()
        await w.journal.probe(lambda: None)
        other = World(MemoryStore(), new_engine())
        other.journal.start()
        for row in await w.store.events(0, 5):  # the catalogue alone
            await other.journal.append(decode(row.payload))
        await other.report(record)
        await other.rate(record, 0.5)
        rows = await kept(other.store)
        assert rows == await rebuild(other.store) == await folded(other.store)
        assert {key.workflow for key in rows} == {""}
        whole = total(rows)
        assert (whole.decisions, whole.attempts, whole.scores, whole.could) == (0, 1, 1, 0)
        await other.journal.close()


async def test_a_file_of_an_older_schema_gets_its_sums_at_the_first_start(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    store = await SqliteStore.open(path)
    async with world(store) as w:
        await busy(w, 5, 80)
        expected = await kept(store)
    await store.close()
    connection = sqlite3.connect(path)  # as the schema before left it
    connection.executescript("DROP TABLE costs; DROP TABLE costs_built; PRAGMA user_version = 2")
    connection.close()
    assert len(MIGRATIONS) > 2
    store = await SqliteStore.open(path)
    try:
        assert await kept(store) == {}
        assert await ensure_built(store)
        assert await kept(store) == expected
        assert not await ensure_built(store)
    finally:
        await store.close()


async def test_sums_that_cannot_be_read_keep_nothing_from_being_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "naiad.db"
    store = await SqliteStore.open(path)
    async with world(store) as w:
        decision = w.decide()
        await w.report(decision)
        await ensure_built(store)
    await store.close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE costs SET payload = x'5b315d'")
    connection.commit()
    connection.close()
    store = await SqliteStore.open(path)
    again = World(store, w.engine)
    again.clock = w.clock
    again.journal.start()
    try:
        await again.rate(decision, 0.5)
        assert not await store.costs_built()
        assert await ensure_built(store)
        assert await kept(store) == await folded(store)
        assert total(await kept(store)).scores == 1
    finally:
        await again.journal.close()
        await store.close()


async def test_work_that_is_refused_or_changes_nothing_moves_no_sum() -> None:
    async with world(HeldStore()) as w:
        decision = w.decide()
        await w.report(decision, attempt="1")
        before = await kept(w.store)
        await w.report(decision, attempt="1")  # the same again
        with pytest.raises(Exception, match="differs"):
            await w.report(decision, attempt="1", tokens=51)
        assert await kept(w.store) == before


def test_a_ledger_entry_without_anything_adds_nothing() -> None:
    assert sums_of(Entry(uid=1 << 50, task_class=0, model=0, ordinal=0), None) == {}
