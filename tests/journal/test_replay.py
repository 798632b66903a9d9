"""Folding the log again gives what was live, to the bit; a log that was altered is noticed."""

from __future__ import annotations

import asyncio
import hashlib
import io
import random
from collections.abc import Callable

import msgspec
import pytest

from naiad.server import config, snapshot
from naiad.server.app import restored_engine
from naiad.server.folding import fold
from naiad.server.journal import Request
from naiad.server.records import Event, FeedbackReported, OutcomeReported, decode, encode
from naiad.server.replay import Digests, LogMismatch, Replay, fold_stream, frame, settings_of
from naiad.server.store.base import EventRow
from naiad.server.store.memory import MemoryStore
from tests.journal.world import World, new_engine, state, world

DEFAULTS = config.load(None)


async def busy(w: World, seed: int, steps: int) -> None:
    """Decide, report, judge, revise and retract at random."""
    rng = random.Random(seed)
    made = [w.decide(rng.random(), rng.choice(("code", "prose")))]
    given: list[str] = []
    for _ in range(steps):
        kind = rng.randrange(6)
        decision = rng.choice(made)
        if kind <= 1:
            made.append(w.decide(rng.random(), rng.choice(("code", "prose")), rng.choice(("", "s1", "s2"))))
        elif kind == 2:
            model = rng.choice(("", "a/one", "b/two"))
            await w.report(decision, model=model, tokens=rng.randrange(900), failed=rng.random() < 0.3)
        elif kind <= 4:
            rater = rng.choice("ab")
            given.append((await w.rate(decision, rng.random(), source=rng.randrange(1, 5), rater=rater)).feedback_id)
        elif given:
            await w.feedback.retract(rng.choice(given), "", Request("Retract"))
    await w.journal.probe(lambda: None)


async def log_of(seed: int = 3, steps: int = 120) -> tuple[list[EventRow], Digests]:
    """Return the rows of a busy journal's log and where its engine stood."""
    async with world(MemoryStore()) as w:
        await busy(w, seed, steps)
        return list(await w.store.events(0, 10_000)), Digests.of(w.engine)


def replayed(rows: list[EventRow]) -> Digests:
    """Fold rows as `naiad replay` does."""
    replay = Replay(DEFAULTS.belief)
    for row in rows:
        replay.feed(row.sequence, decode(row.payload))
    return replay.digests()


# -- the same state again ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
async def test_a_fold_from_event_0_gives_what_was_live(seed: int) -> None:
    async with world(MemoryStore()) as w:
        await busy(w, seed, 150)
        again = new_engine()
        assert await fold(w.store, again, step=7) == await w.store.last_sequence()
        assert state(again) == state(w.engine)


@pytest.mark.parametrize("half_life", [float("inf"), 40.0])
async def test_a_snapshot_and_its_tail_give_the_same(half_life: float) -> None:
    """Statistics, beliefs, traffic, catalogue, policy, sessions and ordinals, whenever the snapshot was taken."""
    settings = config.parse({"learning": {"half_life_decisions": 0 if half_life == float("inf") else half_life}}, "t")
    async with world(MemoryStore()) as w:
        for part in range(3):
            await busy(w, part, 50)
            await w.journal.snapshot()
        await busy(w, 9, 40)
        snapshots = await w.store.snapshots()
        assert len(snapshots) == 2
        whole = await restored_engine(w.store, settings, from_start=True)
        for sequence, payload in snapshots:
            again = await restored_engine(w.store, settings, from_start=True)
            again = type(again)(again.settings, again.signer)
            snapshot.load(again, payload)
            assert again.sequence == sequence
            assert await fold(w.store, again, after=sequence) == whole.sequence - sequence
            assert state(again) == state(whole)
            assert [again._ordinals.get(m, 0) for m in (0, 1)] == [whole._ordinals.get(m, 0) for m in (0, 1)]


async def test_a_start_uses_the_newest_good_snapshot() -> None:
    async with world(MemoryStore()) as w:
        await busy(w, 1, 60)
        await w.journal.snapshot()
        await busy(w, 2, 30)
        whole = await restored_engine(w.store, DEFAULTS, from_start=True)
        good = snapshot.dump(whole)
        flipped = bytearray(good)
        flipped[len(good) // 2] ^= 1
        for bad in (bytes(flipped), good[:-1], b"", good[:32], _reduced_otherwise(good)):
            await w.store.save_snapshot(whole.sequence, bad)
            again = await restored_engine(w.store, DEFAULTS)
            assert state(again) == state(whole)


def _reduced_otherwise(good: bytes) -> bytes:
    """Return a snapshot with a right checksum that another reducer made."""
    content = msgspec.json.decode(good[32:])
    content["reducer"] += 1
    body = msgspec.json.encode(content)
    return hashlib.sha256(body).digest() + body


async def test_a_snapshot_is_no_part_of_the_truth() -> None:
    """Deleting all of them changes nothing but the time that a start takes."""
    async with world(MemoryStore()) as w:
        await busy(w, 4, 80)
        await w.journal.snapshot()
        cached = await restored_engine(w.store, DEFAULTS)
        bare = await restored_engine(w.store, DEFAULTS, from_start=True)
        assert state(cached) == state(bare)


# -- replay --------------------------------------------------------------------------------------------------------


async def test_replay_gives_the_live_digests_through_a_stream() -> None:
    rows, live = await log_of()
    stream = io.BytesIO(settings_of(DEFAULTS) + b"".join(frame(row.sequence, row.payload) for row in rows))
    found = await asyncio.to_thread(fold_stream, stream)
    assert (found.sequence, found.statistics, found.beliefs) == (live.sequence, live.statistics, live.beliefs)
    assert found.events == len(rows)


@pytest.mark.parametrize("cut", [1, 5, 12, 13])
async def test_a_stream_that_ends_early_is_noticed(cut: int) -> None:
    rows, _ = await log_of(steps=10)
    whole = settings_of(DEFAULTS) + b"".join(frame(row.sequence, row.payload) for row in rows)
    with pytest.raises(EOFError):
        fold_stream(io.BytesIO(whole[:-cut]))


def altered(rows: list[EventRow], change: Callable[[Event], Event | None]) -> list[list[EventRow]]:
    """Return one log for each event that a change applies to, with that event changed and its checksum right."""
    found = []
    for i, row in enumerate(rows):
        event = change(decode(row.payload))
        if event is not None:
            found.append([*rows[:i], _with(row, encode(event)), *rows[i + 1 :]])
    return found


def _with(row: EventRow, payload: bytes) -> EventRow:
    return EventRow(row.sequence, row.kind, row.at_ms, payload, row.uid, row.task_class, row.model)


def _other_score(event: Event) -> Event | None:
    if not isinstance(event, FeedbackReported) or not event.changes:
        return None
    rating = event.ratings[0]
    if rating.retracted:  # its value counts for nothing, so nothing follows from it
        return None
    moved = msgspec.structs.replace(rating, value=rating.value // 2 + 1)
    return msgspec.structs.replace(event, ratings=(moved, *event.ratings[1:]))


def _other_weight(event: Event) -> Event | None:
    if not isinstance(event, FeedbackReported | OutcomeReported) or not event.changes:
        return None
    heavier = msgspec.structs.replace(event.changes[0], weight=event.changes[0].weight * 2)
    return msgspec.structs.replace(event, changes=(heavier, *event.changes[1:]))


def _no_changes(event: Event) -> Event | None:
    if not isinstance(event, FeedbackReported | OutcomeReported) or not event.changes:
        return None
    return msgspec.structs.replace(event, changes=())


def _other_model(event: Event) -> Event | None:
    if not isinstance(event, OutcomeReported) or not event.changes:
        return None
    return msgspec.structs.replace(event, outcome=msgspec.structs.replace(event.outcome, model=1 - event.outcome.model))


@pytest.mark.parametrize("change", [_other_score, _other_weight, _no_changes, _other_model])
async def test_an_altered_event_is_noticed(change: Callable[[Event], Event | None]) -> None:
    rows, _ = await log_of()
    logs = altered(rows, change)
    assert len(logs) > 5
    for log in logs:
        with pytest.raises(LogMismatch):
            replayed(log)


async def test_a_dropped_event_is_noticed_wherever_it_lies() -> None:
    """One writer numbers without gaps, so a gap is a loss; the last event's loss shows in where the fold stands."""
    rows, live = await log_of(steps=60)
    for i in range(len(rows) - 1):
        with pytest.raises(LogMismatch):
            replayed(rows[:i] + rows[i + 1 :])
    assert replayed(rows[:-1]).sequence == live.sequence - 1


async def test_a_dropped_judgement_that_others_rest_on_is_noticed_even_without_numbers() -> None:
    async with world(MemoryStore()) as w:
        decision = w.decide()
        for score in (0.1, 0.9, 0.4):
            await w.rate(decision, score)
        rows = list(await w.store.events(0, 100))
    kept = [row for row in rows if row.kind != "feedback"]
    judged = [row for row in rows if row.kind == "feedback"]
    renumbered = [_at(row, i + 1) for i, row in enumerate([*kept, judged[0], judged[2]])]
    with pytest.raises(LogMismatch):
        replayed(renumbered)


def _at(row: EventRow, sequence: int) -> EventRow:
    return EventRow(sequence, row.kind, row.at_ms, row.payload, row.uid, row.task_class, row.model)


async def test_events_out_of_order_or_twice_are_noticed() -> None:
    rows, _ = await log_of(steps=20)
    for log in ([*rows, rows[-1]], [*rows[:-2], rows[-1], rows[-2]]):
        with pytest.raises(LogMismatch):
            replayed(log)
