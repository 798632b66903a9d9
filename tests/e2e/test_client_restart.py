"""The client lives through the death and the return of its server, by its own patience and with one request id."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from naiad.client import AsyncClient, Client, RetryPolicy
from tests.e2e.live import BASE, Process
from tests.e2e.test_process import free_port, until


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
def test_a_call_outlasts_a_restart(tmp_path: Path, kind: str, number: signal.Signals) -> None:
    """The new server is started only when more attempts have failed than the policy would make of one that is there."""
    target = f"127.0.0.1:{free_port()}"
    waits_s: list[float] = []
    policy = RetryPolicy(reconnect_s=60.0)  # by default 10: a busy machine starts a server in more

    def pause(delay_s: float) -> None:
        waits_s.append(delay_s)
        time.sleep(delay_s)

    async def pause_async(delay_s: float) -> None:
        waits_s.append(delay_s)
        await asyncio.sleep(delay_s)

    def twice(between: Callable[[], None]) -> tuple[Any, Any]:
        with Client(target, sleep=pause, retry=policy) as client:
            first = client.decide("x", task_class="restart")
            between()
            return first, client.decide("y", task_class="restart", timeout_s=60.0)

    async def twice_async(between: Callable[[], None]) -> tuple[Any, Any]:
        async with AsyncClient(target, sleep=pause_async, retry=policy) as client:
            first = await client.decide("x", task_class="restart")
            between()
            return first, await client.decide("y", task_class="restart", timeout_s=60.0)

    server = Process(tmp_path, BASE, "--listen", target)
    with ThreadPoolExecutor(1) as pool:

        def end() -> None:
            server.stop(number)

        call = pool.submit(twice, end) if kind == "sync" else pool.submit(lambda: asyncio.run(twice_async(end)))
        until(lambda: len(waits_s) > policy.max_attempts or call.done(), "attempts")
        server = Process(tmp_path, BASE, "--listen", target)
        try:
            first, second = call.result(60.0)
        finally:
            code = server.stop()
    assert first.decision_id != second.decision_id
    assert code == 0
