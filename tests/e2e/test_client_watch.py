"""The project's own client following the arms of a real server, through a restart too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from naiad.client import ArmsUpdate, ArmTable, AsyncClient, Client, Unavailable
from tests.e2e.live import Caller, Process

APART = [("grpc.use_local_subchannel_pool", 1)]  # a connection that does not share the other's pause before it tries


@pytest.mark.parametrize("only", [{}, {"task_class": "cw.sync"}])
def test_the_table_is_what_is_listed(api: Caller, only: dict[str, Any]) -> None:
    with Client(api.address) as client, closing(client.watch_arms(interval_s=0.1, timeout_s=30.0, **only)) as updates:
        table = ArmTable()
        for score in (0.1, 0.9, 0.5):
            with client.decide("p", task_class="cw.sync") as decision:
                decision.record(input_tokens=1, output_tokens=2)
            sequence = decision.feedback(score).sequence
            while table.sequence < sequence:
                table.apply(next(updates))
            listed = sorted(client.list_arms(**only), key=lambda arm: (arm.task_class, arm.model))
            assert list(table.arms) == listed


async def test_the_same_with_asyncio(api: Caller) -> None:
    async with AsyncClient(api.address) as client:
        async with client.decide("p", task_class="cw.async") as decision:
            decision.record(input_tokens=1, output_tokens=2)
        sequence = (await decision.feedback(0.3)).sequence
        table = ArmTable()
        async for update in client.watch_arms(task_class="cw.async", timeout_s=30.0):
            table.apply(update)
            if table.sequence >= sequence:
                break
        assert list(table.arms) == sorted(
            [arm async for arm in client.list_arms(task_class="cw.async")], key=lambda arm: arm.model
        )


def test_a_restart_is_lived_through(tmp_path: Path) -> None:
    """Whatever the server's life, the table is in the end what the new one lists; that it began again is said."""
    first = Process(tmp_path)
    port = first.address.rpartition(":")[2]
    table, restarts = ArmTable(), []
    reached: dict[str, Callable[[], bool]] = {"begun": lambda: bool(table.arms)}
    seen = threading.Condition()

    def follow() -> None:
        with Client(f"127.0.0.1:{port}") as client:
            for update in client.watch_arms(interval_s=0.1, timeout_s=60.0):
                with seen:
                    take(update)
                    seen.notify_all()
                    if table.sequence >= goal[0] > 0:
                        return

    def take(update: ArmsUpdate) -> None:
        table.apply(update)
        if update.restart:
            restarts.append(update.restart)

    goal = [0]
    with Client(first.address) as client:
        client.decide("p", task_class="cw.restart")
    following = threading.Thread(target=follow)
    following.start()
    with seen:
        assert seen.wait_for(reached["begun"], 30)
    assert first.stop() == 0, first.errors()
    second = Process(tmp_path, "[server]\n" + f'listen = "127.0.0.1:{port}"\n', "--listen", f"127.0.0.1:{port}")
    try:
        with Client(second.address, channel_options=APART) as client:
            with client.decide("p", task_class="cw.restart") as decision:
                decision.record(input_tokens=1, output_tokens=2)
            goal[0] = decision.feedback(0.25).sequence
            following.join(40)
            assert not following.is_alive()
            assert restarts == ["no_cursor", "other_life"]
            listed = sorted(client.list_arms(page_size=1_000), key=lambda arm: (arm.task_class, arm.model))
            assert list(table.arms) == listed
    finally:
        assert second.stop() == 0, second.errors()


def test_nobody_answers() -> None:
    with Client("127.0.0.1:1") as client, pytest.raises(Unavailable):
        next(client.watch_arms(reconnect_s=0.2))
