"""WatchArms: one table of arms for all who watch, and what each reader has still to see of it.

Beliefs are pooled, so one judgement may move every arm. Rather than keep what happened, the feed keeps one row for each
arm, and counts: a pass over all arms gives each row that differs from what it was the next revision. A reader is one
number, the last revision that it has seen. What it is behind by is the rows above that number, however long it was
away; so neither slow readers nor many of them need memory, and what changes twice between two reads is sent once.

A pass is made only while a reader is due and the log has grown, in steps that let other calls in between, and takes a
tenth of the time at most. It reads the engine and never moves it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from naiad.server import cursors
from naiad.server.arms import Pair, arms_of_class, filter_of
from naiad.server.convert import number
from naiad.server.cursors import Cursor
from naiad.server.engine import Engine
from naiad.v1 import insight_pb2
from naiad.v1.insight_service_pb2 import WatchArmsResponse

LEAST_INTERVAL_S, LONGEST_INTERVAL_S, DEFAULT_INTERVAL_S = 0.1, 3_600.0, 1.0
HEARTBEAT_S = 15.0
_PART = 200  # arms in a response
_REST = 9.0  # times as long as a pass took is the rest after it

_CONTINUES = insight_pb2.WATCH_RESTART_UNSPECIFIED


def watch_interval_s(wanted_s: float | None) -> float:
    """Return the least time between two updates, in seconds; raises NaiadError for one out of range."""
    if wanted_s is None:
        return DEFAULT_INTERVAL_S
    return number(wanted_s, "interval", LEAST_INTERVAL_S, LONGEST_INTERVAL_S)


class _Row(NamedTuple):
    """An arm as it was last seen to differ."""

    revision: int
    arm: bytes | None  # serialized; None: it is no longer listed


class ArmsFeed:
    """The arms of an engine with the order in which they moved.

    beyond: waits until the log was folded beyond a sequence; monotonic: seconds, for the pace;
    heartbeat_s: how long a reader is left without a response.
    """

    def __init__(
        self,
        engine: Engine,
        beyond: Callable[[int], Awaitable[None]],
        monotonic: Callable[[], float],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._engine = engine
        self._beyond = beyond
        self._monotonic = monotonic
        self._heartbeat_s = heartbeat_s
        self._life = secrets.token_hex(8)
        self._rows: dict[Pair, _Row] = {}  # in the order of their revisions
        self._revision = 0
        self._sequence = -1  # the rows know of every event up to it
        self._wanted = asyncio.Event()  # a reader is due
        self._passed = asyncio.Event()  # pulses after each pass
        self._failure: Exception | None = None
        self._task: asyncio.Task[None] | None = None
        self.readers = 0

    def __repr__(self) -> str:
        return f"ArmsFeed(arms={len(self._rows)}, revision={self._revision}, readers={self.readers})"

    # -- reading ---------------------------------------------------------------------------------------------------

    async def watch(
        self, task_class: str, model: str, cursor: str, interval_s: float
    ) -> AsyncGenerator[WatchArmsResponse, None]:
        """Yield updates for ever: all rows of a filter, or those above the cursor, then those that move.

        Raises NaiadError for a filter with a bad, unknown or deleted name, and for a cursor of another filter.
        """
        only = filter_of(self._engine, task_class, model)
        scope = ("WatchArms", self._engine.tenant, task_class, model)
        position, restart = self._start(cursor, scope)

        def response(sequence: int, checkpoint: bool = False) -> WatchArmsResponse:
            return WatchArmsResponse(
                cursor=cursors.encode(Cursor(self._life, position), *scope),
                sequence=sequence,
                restart=restart,
                checkpoint=checkpoint,
            )

        with self._joined():
            await self._reach(self._engine.sequence)
            beats_s = self._monotonic()  # when a checkpoint is due though nothing moved: at once, in the beginning
            while True:
                began_s = self._monotonic()
                target, sequence = self._revision, self._sequence
                behind = self._behind(position, only)
                news = bool(behind)
                while behind:
                    part, behind = behind[:_PART], behind[_PART:]
                    # Rows as they are now, which may be newer than `target`; the next update sends those again.
                    position = part[-1][0]
                    sent = response(sequence)
                    self._fill(sent, [pair for _, pair in part])
                    yield sent
                    restart = _CONTINUES
                position = target
                if news or self._monotonic() >= beats_s:
                    yield response(sequence, checkpoint=True)
                    restart = _CONTINUES
                    beats_s = self._monotonic() + self._heartbeat_s
                while not await self._moved(target, began_s + interval_s, beats_s):
                    yield response(self._sequence if self._revision == target else sequence, checkpoint=True)
                    beats_s = self._monotonic() + self._heartbeat_s

    def _start(self, text: str, scope: tuple[str | int, ...]) -> tuple[int, insight_pb2.WatchRestart]:
        """Return the revision after which to begin, and why everything is sent if it is."""
        cursor = cursors.decode(text, *scope)
        if cursor is None:
            return 0, insight_pb2.WATCH_RESTART_NO_CURSOR
        if cursor.life != self._life:
            return 0, insight_pb2.WATCH_RESTART_OTHER_LIFE
        if cursor.position > self._revision:
            raise cursors.invalid(text)
        return cursor.position, _CONTINUES

    def _behind(self, position: int, only: tuple[int | None, int | None]) -> list[tuple[int, Pair]]:
        """Return (revision, arm) of the rows of a filter above a revision, the lowest first."""
        task_class, model = only
        found = []
        for pair, row in reversed(self._rows.items()):
            if row.revision <= position:
                break
            if task_class in (None, pair[0]) and model in (None, pair[1]):
                found.append((row.revision, pair))
        found.reverse()
        return found

    def _fill(self, response: WatchArmsResponse, pairs: list[Pair]) -> None:
        """Add rows to a response."""
        catalog = self._engine.catalog
        for pair in pairs:
            arm = self._rows[pair].arm
            if arm is not None:
                response.arms.add().MergeFromString(arm)
            else:
                task_class, model = pair
                response.removed.add(task_class=catalog.task_classes[task_class].name, model=catalog.models[model].name)

    async def _moved(self, revision: int, due_s: float, beats_s: float) -> bool:
        """Wait until rows moved beyond a revision and the reader is due; False if it must hear a checkpoint first."""
        now_s = self._monotonic()
        if now_s < due_s:
            await asyncio.sleep(max(0.0, min(due_s, beats_s) - now_s))
            if beats_s < due_s:
                return False
        try:
            async with asyncio.timeout(max(0.0, beats_s - self._monotonic())):
                while self._revision <= revision:
                    await self._pass()
        except TimeoutError:
            return False
        return True

    async def _reach(self, sequence: int) -> None:
        """Wait until the rows know of every event up to a sequence."""
        while self._sequence < sequence:
            await self._pass()

    async def _pass(self) -> None:
        """Ask for a pass and wait for the next that ends; raises RuntimeError when passes fail."""
        self._wanted.set()
        if self._failure is None:
            await self._passed.wait()
        if self._failure is not None:
            raise RuntimeError("a pass over the arms failed") from self._failure

    # -- passes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """Count a reader; passes are made while there is one."""
        self.readers += 1
        if self._task is None or self._task.done():
            self._failure = None
            self._task = asyncio.create_task(self._run(), name="arms feed")
        try:
            yield
        finally:
            self.readers -= 1
            if not self.readers and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _run(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                await self._beyond(self._sequence)
                self._wanted.clear()
                began_s = self._monotonic()
                await self._refresh()
                self._pulse()
                await asyncio.sleep(max(LEAST_INTERVAL_S, _REST * (self._monotonic() - began_s)))
        except Exception as error:  # told by the guard to each reader, and to the log
            self._failure = error
            self._pulse()

    def _pulse(self) -> None:
        self._passed.set()  # wakes those who wait now
        self._passed.clear()

    async def _refresh(self) -> None:
        """Compare all arms with their rows, class by class, and then give those that moved their revisions at once."""
        engine = self._engine
        sequence = engine.sequence  # a class that is looked at later may know more, which the next pass finds again
        moved: dict[Pair, bytes | None] = {}
        gone = {pair for pair, row in self._rows.items() if row.arm is not None}
        for task_class in [c.task_class for c in engine.catalog.live_task_classes()]:
            models = [m.model for m in engine.catalog.live]
            for model, arm in zip(models, arms_of_class(engine, task_class, models), strict=True):
                pair, data = (task_class, model), arm.SerializeToString(deterministic=True)
                gone.discard(pair)
                row = self._rows.get(pair)
                if row is None or row.arm != data:
                    moved[pair] = data
            await asyncio.sleep(0)
        moved.update(dict.fromkeys(sorted(gone)))
        for revision, (pair, arm_now) in enumerate(moved.items(), self._revision + 1):
            self._rows.pop(pair, None)
            self._rows[pair] = _Row(revision, arm_now)
        self._revision += len(moved)
        self._sequence = sequence
