"""A drift alarm is an event: written before it counts, folded again to the bit, and not lost in a crash."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.bandit.drift import DriftSettings
from naiad.bandit.statistics import SCALE, Measure, to_fixed
from naiad.server import config, snapshot
from naiad.server.app import restored_engine
from naiad.server.decision_id import Signer
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.folding import fold, row_of
from naiad.server.journal import Request
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_ratings
from naiad.server.records import Decided, DriftAlarmed, Event, Rating, decode, encode
from naiad.server.replay import Digests, LogMismatch, Replay
from naiad.server.store.base import EventRow
from naiad.server.store.memory import MemoryStore
from tests.journal.world import SETUP, World, new_engine, state, world

DEFAULTS = config.load(None)
EAGER = DriftSettings(sensitivity=100.0)


START: list[tuple[int, Event]] = list(enumerate(SETUP, 1))


def engine(drift: DriftSettings = EAGER) -> Engine:
    return Engine(EngineSettings(belief=DEFAULTS.belief, drift=drift), Signer({1: b"k" * 32}, 1))


@asynccontextmanager
async def eager_world() -> AsyncIterator[World]:
    """Run a journal whose engine is quick to raise an alarm."""
    made = World(MemoryStore(), engine())
    made.journal.start()
    await made.journal.append(*SETUP)
    try:
        yield made
    finally:
        await made.journal.close()


async def drop(w: World, good: int = 40, bad: int = 40) -> None:
    """Judge everything good, then everything useless."""
    rng = random.Random(1)
    for step in range(good + bad):
        await w.rate(w.decide(rng.random(), rng.choice(("code", "prose"))), 0.95 if step < good else 0.1, source=2)
    await w.journal.written()


async def rows_of(w: World) -> list[EventRow]:
    return list(await w.store.events(0, 10_000))


def alarms_in(rows: list[EventRow]) -> list[DriftAlarmed]:
    return [event for row in rows if isinstance(event := decode(row.payload), DriftAlarmed)]


def replayed(rows: list[EventRow]) -> Digests:
    """Fold rows as `naiad replay` does."""
    replay = Replay(DEFAULTS.belief)
    for row in rows:
        replay.feed(row.sequence, decode(row.payload))
    return replay.digests()


async def test_an_alarm_is_written_and_counts() -> None:
    with structlog.testing.capture_logs() as logs:
        async with eager_world() as w:
            await drop(w)
            rows = await rows_of(w)
            [*alarms] = alarms_in(rows)
            assert alarms
            assert all(alarm.shift < 0 and 0.0 < alarm.kept < 1.0 for alarm in alarms)
            kept = [alarm for known in w.engine.drift.alarms.values() for alarm in known]
            assert sorted(kept, key=alarms.index) == alarms
            for model in w.engine.drift.alarms:
                worths = w.engine.statistics.worths(model)
                assert worths is not None
                assert worths[0].factor == pytest.approx(math.prod(a.kept for a in alarms if a.model == model))
    told = [entry for entry in logs if entry["event"] == "drift_alarm"]
    assert [entry["shift"] for entry in told] == [alarm.shift / SCALE for alarm in alarms]
    assert {entry["model"] for entry in told} <= {"a/one", "b/two"}


async def test_replay_equals_live_to_the_bit() -> None:
    async with eager_world() as w:
        await drop(w)
        rows = await rows_of(w)
        assert alarms_in(rows)
        live = Digests.of(w.engine)
        assert replayed(rows) == msgspec.structs.replace(live, events=len(rows))
        again = new_engine()  # of another sensitivity: what is in the log counts, and nothing else
        await fold(w.store, again, step=9)
        assert state(again) == state(w.engine)
        deaf = engine(DriftSettings(enabled=False))
        await fold(w.store, deaf)
        assert Digests.of(deaf) == live


async def test_a_log_without_its_alarm_is_another_log() -> None:
    async with eager_world() as w:
        await drop(w)
        rows = [row for row in await rows_of(w) if row.kind != "drift_alarm"]
        rows = [row._replace(sequence=i) for i, row in enumerate(rows, 1)]
        found = replayed(rows)
        assert found.beliefs != w.engine.belief_digest()
        assert found.statistics != w.engine.statistics_digest()


async def test_a_snapshot_with_alarms_and_its_tail_give_the_same() -> None:
    async with eager_world() as w:
        await drop(w)
        await w.journal.snapshot()
        await drop(w, 30, 30)
        [(sequence, payload), *_] = await w.store.snapshots()
        whole = await restored_engine(w.store, DEFAULTS, from_start=True)
        again = new_engine()
        snapshot.load(again, payload)
        assert again.drift.alarms
        assert again.drift.state()
        await fold(w.store, again, after=sequence)
        assert state(again) == state(whole)
        assert state(whole) == state(w.engine)


async def test_an_alarm_that_a_crash_kept_out_of_the_log_goes_in_at_the_next_start() -> None:
    async with eager_world() as w:
        await drop(w)
        rows = await rows_of(w)
    cut = next(i for i, row in enumerate(rows) if row.kind == "drift_alarm")
    made = World(MemoryStore(), engine())
    for row in rows[:cut]:
        made.engine.apply(row.sequence, decode(row.payload))
    made.journal = type(made.journal)(made.store, made.engine, made.now)
    made.journal.start()
    await made.journal.written()
    assert len(made.engine.drift.alarms) == 1
    assert [row.kind for row in await made.store.events(0, 10)] == ["drift_alarm"]
    await made.journal.close()


async def test_one_change_is_one_alarm_however_long_its_event_waits() -> None:
    """Between the raising of an alarm and the folding of its event, more bad judgements raise no second one."""
    fed = engine()
    taken: list[DriftAlarmed] = []
    for sequence, put in START:
        fed.apply(sequence, put)
    for step in range(120):
        entry = Entry(uid=step + 1, task_class=0, model=0, ordinal=step)
        rating = Rating(source=2, rater="r", value=to_fixed(0.9 if step < 60 else 0.1))
        fed.apply(10 + step, take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 0)[1])
        taken += fed.drift.take()
    assert len(taken) == 1
    fed.apply(200, taken[0])
    assert fed.drift.take() == []


async def test_revisions_retractions_and_second_raters_are_no_news() -> None:
    fed = engine()
    for sequence, put in START:
        fed.apply(sequence, put)
    entries = []
    for step in range(60):
        entry = Entry(uid=step + 1, task_class=0, model=0, ordinal=step)
        entry, event = take_ratings(entry, (FIRST_ATTEMPT,), (Rating(source=2, rater="a", value=to_fixed(0.9)),), 0)
        fed.apply(10 + step, event)
        entries.append(entry)
    before = fed.drift.state()
    for rater, value, out in (("a", 0.0, False), ("b", 0.0, False), ("b", 0.0, True), ("a", 0.0, True)):
        for i, entry in enumerate(entries):
            rating = Rating(source=2, rater=rater, value=to_fixed(value), retracted=out)
            entries[i], event = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 0)
            fed.apply(100, event)
    assert fed.drift.state() == before


async def test_what_a_cap_cuts_raises_no_alarm() -> None:
    """One user who calls everything useless is heard up to the cap, and never after."""
    fed = engine(DriftSettings())
    for sequence, put in START:
        fed.apply(sequence, put)
    for step in range(400):
        entry = Entry(uid=step + 1, task_class=0, model=0, ordinal=step)
        liar = step >= 100
        rating = Rating(source=4 if liar else 2, rater="m", value=to_fixed(0.0 if liar else 0.9), slot=5)
        fed.apply(10 + step, take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 0)[1])
        assert fed.drift.take() == []
        if step == 115:
            [full] = fed.drift.state()
    assert [state.low for state in fed.drift.state()] == [full.low]


@pytest.mark.parametrize("wrong", [{"kept": 0.0}, {"kept": 1.5}, {"ordinal": 10_000}, {"ordinal": -1}])
async def test_an_alarm_that_no_detector_raises_is_noticed(wrong: dict[str, float]) -> None:
    async with eager_world() as w:
        await drop(w)
        rows = await rows_of(w)
        at = next(i for i, row in enumerate(rows) if row.kind == "drift_alarm")
        alarm = msgspec.structs.replace(alarms_in(rows)[0], **wrong)
        rows[at] = rows[at]._replace(payload=encode(alarm))
        with pytest.raises(LogMismatch, match=f"event {rows[at].sequence} puts a drift"):
            replayed(rows)


async def test_an_alarm_of_a_model_that_is_not_there_cannot_be_folded() -> None:
    async with world(MemoryStore()) as w:
        rows = await rows_of(w)
        stray = row_of(len(rows) + 1, DriftAlarmed(model=9, ordinal=0, kept=0.5, shift=0))
        with pytest.raises(LogMismatch, match="cannot be folded"):
            replayed([*rows, stray])


async def test_without_drift_nothing_is_raised() -> None:
    fed = engine(dataclasses.replace(EAGER, enabled=False))
    for sequence, put in START:
        fed.apply(sequence, put)
    for step in range(100):
        entry = Entry(uid=step + 1, task_class=0, model=0, ordinal=step)
        rating = Rating(source=2, rater="r", value=to_fixed(0.9 if step < 50 else 0.1))
        fed.apply(10 + step, take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 0)[1])
    assert fed.drift.take() == []
    assert fed.drift.state() == []


# -- random histories ----------------------------------------------------------------------------------------------

steps_of = st.lists(
    st.tuples(
        st.sampled_from(["decide", "judge", "judge", "judge", "revise", "retract", "alarm"]), st.integers(0, 999)
    ),
    min_size=1,
    max_size=80,
)


def history(steps: list[tuple[str, int]], live: Engine) -> list[Event]:
    """Live through random steps, alarms raised and made up among them; return the log."""
    log: list[Event] = []
    entries: dict[int, Entry] = {}
    made: list[Decided] = []

    def write(event: Event) -> None:
        log.append(event)
        live.apply(len(log), event)
        for alarm in live.drift.take():
            write(alarm)

    for _, put in START:
        write(put)
    for number, (what, n) in enumerate(steps):
        if what == "decide" or not made:
            decision = live.decide(Query(("code", "prose")[n % 2]), at_ms=number, uniform=n / 1000)
            assert sum(decision.record.probabilities) == pytest.approx(1.0)
            made.append(decision.record)
            write(decision.record)
        elif what == "alarm":
            model = n % 2
            ordinal = max(0, live.statistics.head(model) - n % 40)
            write(DriftAlarmed(model=model, ordinal=ordinal, kept=(n + 1) / 1000, shift=to_fixed((n - 500) / 600)))
        else:
            record = made[n % len(made)]
            entry = entries.get(record.uid) or Entry(
                uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal
            )
            rating = Rating(
                source=1 + n % 4, rater="ab"[n % 2], value=to_fixed(n / 999 if n % 3 else float(n % 2)),
                retracted=what == "retract" and bool(entry.attempts), slot=n % 3,
            )  # fmt: skip
            entries[record.uid], event = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), number)
            write(event)
    return log


@given(steps_of, st.sampled_from([0.0, 64.0]))
@settings(max_examples=40)
def test_any_history_with_alarms_is_folded_again_to_the_bit(steps: list[tuple[str, int]], half_life: float) -> None:
    found = config.parse({"learning": {"half_life_decisions": half_life}}, "t")
    live = Engine(EngineSettings(belief=found.belief, drift=EAGER), Signer({1: b"k" * 32}, 1))
    log = history(steps, live)
    replay = Replay(found.belief)
    for sequence, event in enumerate(log, 1):
        replay.feed(sequence, decode(encode(event)))
    assert replay.digests() == Digests.of(live, len(log))
    for task_class in range(2):
        seen = live.belief.marginals(task_class, Measure.QUALITY)
        assert all(value == value and abs(value) < 1e6 for value in [*seen.mean, *seen.sd])
    last = live.decide(Query("code"), at_ms=1, uniform=0.5).record
    assert sum(last.probabilities) == pytest.approx(1.0)
    assert all(p >= 0.0 for p in last.probabilities)


async def test_a_retracted_judgement_leaves_no_trace_behind_an_alarm() -> None:
    """A judgement of before the alarm is taken back after it: what is left is a fold that never saw it."""
    async with eager_world() as w:
        record = w.decide(0.1)
        receipt = await w.rate(record, 0.7, source=1)
        alarm = DriftAlarmed(model=record.model, ordinal=1, kept=0.2, shift=to_fixed(-0.1))
        await w.journal.append(alarm)
        digest = w.engine.statistics_digest()
        await w.feedback.retract(receipt.feedback_id, "", Request("Retract"))
        assert w.engine.statistics_digest() != digest
        never = new_engine()
        for sequence, event in [*START, (len(SETUP) + 1, record), (len(SETUP) + 2, alarm)]:
            never.apply(sequence, event)
        assert never.statistics_digest() == w.engine.statistics_digest()
        assert never.belief_digest() == w.engine.belief_digest()
