"""The fake server, and the client under test: both clients behind one asynchronous face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from naiad.client import AsyncClient, Client
from tests.client.fake import FakeNaiad, serving


@dataclass
class FakeTime:
    """A clock that moves only when somebody sleeps; keeps the waits."""

    now_s: float = 100.0
    waits_s: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def sleep(self, delay_s: float) -> None:
        self.waits_s.append(delay_s)
        self.now_s += delay_s

    async def sleep_async(self, delay_s: float) -> None:
        self.sleep(delay_s)


class Face:
    """Drives Client and AsyncClient by the same tests: calls, lists and blocks."""

    def __init__(self, kind: str, client: Any, time: FakeTime) -> None:
        self.kind, self.client, self.time = kind, client, time

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Carry out a method of the client."""
        return await settle(getattr(self.client, method), *args, **kwargs)

    async def list(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        """Return all items of a list."""
        items = getattr(self.client, method)(*args, **kwargs)
        if self.kind == "async":
            return [item async for item in items]
        return await asyncio.to_thread(list, items)

    @asynccontextmanager
    async def block(self, manager: Any) -> AsyncIterator[Any]:
        """Open a block of the client, whichever kind it is."""
        if self.kind == "async":
            async with manager as value:
                yield value
        else:
            with manager as value:
                yield value

    @asynccontextmanager
    async def deciding(self, **kwargs: Any) -> AsyncIterator[Any]:
        """Open the block of a decision."""
        async with self.block(self.client.decide(**kwargs)) as decision:
            yield decision


async def settle(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function and wait for its result if it has to be waited for."""
    result = function(*args, **kwargs)
    return await result if isinstance(result, Awaitable) else result


@pytest.fixture
def fake() -> Iterator[FakeNaiad]:
    with serving() as server:
        yield server


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def connected(kind: str, target: str, **options: Any) -> AsyncIterator[Face]:
    """Connect a client of the kind, whose time is fake and whose jitter is at its upper end."""
    time = FakeTime()
    common = {"clock": time.clock, "uniform": lambda: 1.0, **options}
    if kind == "async":
        async with AsyncClient(target, sleep=time.sleep_async, **common) as client:
            yield Face(kind, client, time)
    else:
        with Client(target, sleep=time.sleep, **common) as blocking:
            yield Face(kind, blocking, time)


@pytest.fixture
async def naiad(kind: str, fake: FakeNaiad) -> AsyncIterator[Face]:
    async with connected(kind, fake.target, key="secret-key") as face:
        yield face
