"""An answer on its way to a caller: a bounded pipe between the walk that writes it and whoever reads it.

The walk is a task of its own. It writes into the pipe, which holds 64 KiB of what was not read yet; then it waits, and
the provider with it. A reader that takes nothing for two seconds while the pipe is full has stalled: the attempt ends,
and the provider's call with it. A reader that goes away cancels the walk.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeAlias

from naiad.adapters.base import Answer, Delta, Finished, Request, TextDelta
from naiad.adapters.streams import deltas_of, size_of
from naiad.server.egress import Egress, Kind
from naiad.server.eligibility import Permit
from naiad.server.engine import Decision
from naiad.server.records import ModelPut, Outcome
from naiad.server.refusals import OnRefusal, refused
from naiad.server.walk import ReaderStalled, Walk

ROOM = 64 * 1024  # bytes that may wait to be read
STALLED_S = 2.0
_EACH = 64  # bytes that a piece takes besides its text


@dataclass(frozen=True, slots=True)
class Began:
    """An attempt has begun."""

    decision: Decision
    attempt: str
    model: ModelPut
    failed: tuple[str, Outcome] | None = None  # the attempt before it


Event: TypeAlias = Began | Delta


class Pipe:
    """Events in order, from one writer to one reader."""

    def __init__(self, room: int = ROOM, stalled_s: float = STALLED_S) -> None:
        self._room, self._stalled_s = room, stalled_s
        self._waiting: deque[tuple[int, Event]] = deque()
        self._size = 0
        self._written = asyncio.Event()
        self._read = asyncio.Event()
        self._over = self._deserted = False

    def __repr__(self) -> str:
        return f"Pipe(waiting={len(self._waiting)}, size={self._size}, over={self._over})"

    def announce(self, event: Began) -> None:
        """Write an event for which there is always room."""
        self._write(event, 0)

    async def put(self, event: Delta) -> None:
        """Write a piece once there is room for it; raises ReaderStalled where none comes."""
        size = _EACH + size_of(event)
        while self._size and self._size + size > self._room and not self._deserted:
            self._read.clear()
            try:
                async with asyncio.timeout(self._stalled_s):
                    await self._read.wait()
            except TimeoutError:
                raise ReaderStalled from None
        self._write(event, size)

    def _write(self, event: Event, size: int) -> None:
        if self._deserted:
            return
        self._waiting.append((size, event))
        self._size += size
        self._written.set()

    def end(self) -> None:
        """Let the reader come to an end once it has read everything."""
        self._over = True
        self._written.set()

    def desert(self) -> None:
        """Stop reading: what is written is dropped from now on."""
        self._deserted = True
        self._waiting.clear()
        self._size = 0
        self._read.set()

    async def get(self) -> Event | None:
        """Return the next event once there is one, None after the last."""
        while not self._waiting:
            if self._over:
                return None
            self._written.clear()
            await self._written.wait()
        size, event = self._waiting.popleft()
        self._size -= size
        self._read.set()
        return event


class Streamed:
    """Asks for an answer piece by piece, and writes each into a pipe."""

    def __init__(self, pipe: Pipe, monotonic: Callable[[], float], *, fail_fast: bool = False) -> None:
        self._pipe = pipe
        self._monotonic = monotonic
        self._fail_fast = fail_fast
        self.spoken = False
        self.first_s: float | None = None
        self._held: Began | None = None  # to be announced with the first piece, if one comes
        self._shown = ""  # the attempt that was announced last

    @property
    def final(self) -> bool:
        """Whether what was passed on may not be taken back."""
        return self._fail_fast and self.spoken

    def began(self, walk: Walk, name: str, model: ModelPut) -> None:
        """Announce the attempt; where a refusal is routed around, with its first piece.

        So a refusal without a word before it leaves no trace: the next attempt begins in its place.
        """
        self.spoken, self.first_s = False, None
        failed = walk.made[-1] if walk.made else None
        if self._held is not None and (failed is None or refused(failed[1])):
            failed = self._held.failed
        else:
            self._announce()
        self._held = Began(walk.decision, name, model, failed)
        if walk.decision.record.on_refusal != OnRefusal.NEXT:
            self._announce()

    async def pass_on(self, answer: Answer) -> None:
        """Pass on a whole answer, piece by piece."""
        for delta in deltas_of(answer.parts):
            await self._say(delta)

    async def answers(self, walk: Walk, name: str, model: ModelPut, answer: Answer) -> None:
        """Let the last attempt that was announced be the one whose answer is returned, and its text be there."""
        if self._held is None or self._held.attempt != name:
            if self._shown == name:
                self._held = None
                return
            shown = next((made for made in walk.made if made[0] == self._shown), None)
            self._held = Began(walk.decision, name, model, shown)
        self._announce()
        await self.pass_on(answer)

    def _announce(self) -> None:
        if self._held is not None:
            self._pipe.announce(self._held)
            self._shown, self._held = self._held.attempt, None

    async def _say(self, delta: Delta) -> None:
        self._announce()
        self.spoken = True
        await self._pipe.put(delta)

    async def ask(
        self, egress: Egress, permit: Permit | None, kind: Kind, model: int, request: Request, *,
        timeout_s: float, fair_s: float,
    ) -> Answer:  # fmt: skip
        """Ask, and pass on what comes; the answer is whole when this returns."""
        began_s, answer = self._monotonic(), None
        asked = egress.stream(permit, kind, model, request, timeout_s=timeout_s, fair_s=fair_s)
        async with aclosing(asked) as events:
            async for event in events:
                if isinstance(event, Finished):
                    answer = event.answer
                elif not isinstance(event, TextDelta) or event.text:
                    if self.first_s is None:
                        self.first_s = self._monotonic() - began_s
                    await self._say(event)
        assert answer is not None  # noqa: S101 - the egress raises where a stream has no end
        return answer
