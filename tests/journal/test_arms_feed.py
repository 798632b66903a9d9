"""The feed of arms behind WatchArms: what readers rebuild, what it costs at rest, and what is left of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import msgspec
import pytest

from naiad.server import arms_feed
from naiad.server.arms import arms, arms_of_class, pairs_of
from naiad.server.arms_feed import ArmsFeed
from naiad.server.errors import NaiadError
from naiad.server.records import TaskClassPut
from naiad.v1 import insight_pb2
from naiad.v1.insight_service_pb2 import WatchArmsResponse
from tests.journal.world import PATIENCE_S, World, new_engine, world

Stream = AsyncGenerator[WatchArmsResponse, None]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let passes follow each other at once."""
    monkeypatch.setattr(arms_feed, "LEAST_INTERVAL_S", 0.0)
    monkeypatch.setattr(arms_feed, "_REST", 0.0)
    monkeypatch.setattr(arms_feed, "_PART", 3)


class Reader:
    """The table that a reader keeps, and its stream."""

    def __init__(self, feed: ArmsFeed, task_class: str = "", model: str = "") -> None:
        self.feed, self.filter = feed, (task_class, model)
        self.table: dict[tuple[str, str], bytes] = {}
        self.cursor = ""
        self.restarts = 0
        self.stream: Stream = self.feed.watch(*self.filter, "", 0.0)

    async def reopen(self) -> None:
        """Break off, and go on from the last cursor."""
        await self.stream.aclose()
        self.stream = self.feed.watch(*self.filter, self.cursor, 0.0)

    async def read(self, *, soon: bool = False) -> WatchArmsResponse:
        """Take one response over; raises TimeoutError if none comes, `soon` or at all."""
        async with asyncio.timeout(0.02 if soon else PATIENCE_S):
            response = await anext(self.stream)
        if response.restart:
            self.table.clear()
            self.restarts += 1
        for arm in response.arms:
            self.table[arm.task_class, arm.model] = arm.SerializeToString(deterministic=True)
        for name in response.removed:
            self.table.pop((name.task_class, name.model), None)
        self.cursor = response.cursor
        return response

    async def catch_up(self, sequence: int) -> None:
        """Read up to a checkpoint that knows of a place in the log."""
        while not ((response := await self.read()).checkpoint and response.sequence >= sequence):
            pass


def listed(now: World, task_class: str = "", model: str = "") -> dict[tuple[str, str], bytes]:
    """Return what ListArms would, as a reader's table."""
    found = arms(now.engine, pairs_of(now.engine, task_class, model))
    return {(arm.task_class, arm.model): arm.SerializeToString(deterministic=True) for arm in found}


@asynccontextmanager
async def fed(heartbeat_s: float = 3_600.0) -> AsyncIterator[tuple[World, ArmsFeed]]:
    """Return a world and a feed of its arms; in the end nobody may be left in it."""
    async with world() as now:
        feed = ArmsFeed(now.engine, now.journal.beyond, time.monotonic, heartbeat_s)
        yield now, feed
        assert feed.readers == 0


async def step(now: World, rng: Random, made: list[Any]) -> None:
    """Let something happen that may move, add or remove arms."""
    catalog = now.engine.catalog
    match rng.choice(["decide", "decide", "rate", "rate", "rate again", "report", "model", "class", "new class"]):
        case "decide":
            classes = [c.name for c in catalog.live_task_classes()]
            if classes and catalog.live:
                made.append(now.decide(rng.random(), rng.choice(classes)))
        case "rate" if made:
            await now.rate(rng.choice(made), rng.random(), rater=str(rng.randrange(2)))
        case "rate again" if made:
            record, scores = rng.choice(made), (rng.random(), rng.random())
            for score in (*scores, scores[0]):  # back to what was
                await now.rate(record, score, rater="again")
        case "report" if made:
            await now.report(rng.choice(made), attempt=str(rng.random()), failed=rng.random() < 0.3)
        case "model":
            old = rng.choice(catalog.models)
            await now.journal.append(msgspec.structs.replace(old, deleted=not old.deleted))
        case "class":
            one = rng.choice(catalog.task_classes)
            await now.journal.append(msgspec.structs.replace(one, deleted=not one.deleted))
        case "new class" if len(catalog.task_classes) < 8:
            number = len(catalog.task_classes)
            await now.journal.append(TaskClassPut(task_class=number, name=f"made{number}"))


@pytest.mark.parametrize("seed", range(12))
async def test_readers_that_break_off_anywhere_hold_what_is_listed(seed: int) -> None:
    """Inside of updates too, and whatever moved, came, went or moved back meanwhile."""
    rng = Random(seed)
    async with fed() as (now, feed):
        readers = [Reader(feed), Reader(feed), Reader(feed, "code"), Reader(feed, model="b/two")]
        made: list[Any] = []
        for _ in range(80):
            await step(now, rng, made)
            reader = rng.choice(readers)
            try:
                for _ in range(rng.randrange(4)):
                    await reader.read(soon=True)
            except TimeoutError:  # nothing moved for it
                await reader.reopen()
            except NaiadError:  # its filter is deleted at the moment
                await reader.reopen()
            if rng.random() < 0.2:
                await reader.reopen()
        for reader in readers[:2]:
            await reader.reopen()
            await reader.catch_up(now.engine.sequence)
            assert reader.table == listed(now), f"seed {seed}, with what is deleted"
        catalog = now.engine.catalog
        await now.journal.append(*(msgspec.structs.replace(model, deleted=False) for model in catalog.models))
        await now.journal.append(*(msgspec.structs.replace(one, deleted=False) for one in catalog.task_classes))
        for reader in readers:
            await reader.reopen()
            await reader.catch_up(now.engine.sequence)
            assert reader.table == listed(now, *reader.filter), f"seed {seed}"
            assert reader.restarts == 1
            await reader.stream.aclose()


async def test_a_break_inside_the_snapshot_begins_nothing_again() -> None:
    async with fed() as (now, feed):
        reader = Reader(feed)
        first = await reader.read()
        assert (len(first.arms), bool(first.restart)) == (3, True)
        await reader.reopen()
        await reader.catch_up(0)
        assert reader.restarts == 1
        assert reader.table == listed(now)
        await reader.stream.aclose()


async def test_while_nothing_moves_there_are_heartbeats_and_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return arms_of_class(*arguments)

    monkeypatch.setattr(arms_feed, "arms_of_class", counted)
    async with fed(heartbeat_s=0.01) as (now, feed):
        reader = Reader(feed)
        await reader.catch_up(now.engine.sequence)
        begun, cursor = looks, reader.cursor
        for _ in range(10):
            beat = await reader.read()
            assert (beat.checkpoint, len(beat.arms), beat.cursor) == (True, 0, cursor)
            assert beat.sequence == now.engine.sequence
        assert looks == begun
        now.decide()
        await now.journal.written()
        await reader.catch_up(now.engine.sequence)
        assert reader.table == listed(now)
        await reader.stream.aclose()


async def test_readers_share_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    passes = 0
    refresh = ArmsFeed._refresh

    async def counted(feed: ArmsFeed) -> None:
        nonlocal passes
        passes += 1
        await refresh(feed)

    monkeypatch.setattr(ArmsFeed, "_refresh", counted)
    async with fed() as (now, feed):
        readers = [Reader(feed) for _ in range(20)]
        await asyncio.gather(*(reader.catch_up(0) for reader in readers))
        assert passes == 1
        now.decide()
        await now.journal.written()
        await asyncio.gather(*(reader.catch_up(now.engine.sequence) for reader in readers))
        assert passes == 2
        for reader in readers:
            await reader.stream.aclose()


async def test_a_cancelled_reader_leaves_nothing_behind() -> None:
    """Wherever it waits: for the pass, for its turn, or for what moves; the others go on."""
    async with fed() as (now, feed):
        other = Reader(feed)
        await other.catch_up(0)
        for turns in range(12):
            reader = Reader(feed)
            reading = asyncio.ensure_future(reader.catch_up(1 << 40))
            for _ in range(turns):
                await asyncio.sleep(0)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await reader.stream.aclose()
            assert feed.readers == 1
        now.decide()
        await now.journal.written()
        await other.catch_up(now.engine.sequence)
        assert other.table == listed(now)
        await other.stream.aclose()
    await asyncio.sleep(0)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "arms feed"]


async def test_a_pass_that_fails_is_told_to_each_reader_and_the_next_begins_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*arguments: Any) -> Any:
        raise ZeroDivisionError

    async with fed() as (now, feed):
        readers = [Reader(feed), Reader(feed)]
        for reader in readers:
            await reader.catch_up(0)
        with monkeypatch.context() as patch:
            patch.setattr(arms_feed, "arms_of_class", broken)
            now.decide()
            await now.journal.written()
            for reader in readers:
                with pytest.raises(RuntimeError, match="pass") as caught:
                    await reader.catch_up(now.engine.sequence)
                assert isinstance(caught.value.__cause__, ZeroDivisionError)
        for reader in readers:
            await reader.reopen()
            await reader.catch_up(now.engine.sequence)
            assert reader.table == listed(now)
            assert reader.restarts == 1
            await reader.stream.aclose()


async def test_another_feed_knows_nothing_of_a_cursor() -> None:
    async with fed() as (now, feed):
        reader = Reader(feed)
        await reader.catch_up(0)
        await reader.stream.aclose()
        reader.table["left", "over"] = b""
        reader.feed = ArmsFeed(now.engine, now.journal.beyond, time.monotonic)
        await reader.reopen()
        response = await reader.read()
        assert response.restart == insight_pb2.WATCH_RESTART_OTHER_LIFE
        await reader.catch_up(0)
        assert reader.table == listed(now)
        await reader.stream.aclose()


async def test_no_arms_at_all_is_a_checkpoint() -> None:
    engine = new_engine()
    feed = ArmsFeed(engine, lambda sequence: asyncio.sleep(0), time.monotonic)
    reader = Reader(feed)
    response = await reader.read()
    assert (response.checkpoint, response.restart) == (True, insight_pb2.WATCH_RESTART_NO_CURSOR)
    await reader.stream.aclose()
