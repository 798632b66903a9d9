"""Changes that take turns: each sees what the one before left, and runs to its end even when its caller is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

Value = TypeVar("Value")


class Turns:
    """One change at a time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._running: set[asyncio.Future[Any]] = set()

    async def take(self, change: Callable[[], Awaitable[Value]]) -> Value:
        """Run a change when its turn comes, and to its end: its event may be on its way."""

        async def run() -> Value:
            async with self._lock:
                return await change()

        task = asyncio.ensure_future(run())
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # seen, so that a change whose caller is gone ends in silence
