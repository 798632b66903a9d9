"""Changes of the catalogue happen one at a time, also when the one who asked for the first is gone."""

from __future__ import annotations

import asyncio

import pytest

from naiad.server.inventory import Inventory
from naiad.server.journal import Request
from naiad.server.records import ModelPut
from tests.journal.world import PATIENCE_S, HeldStore, settled, world


@pytest.mark.parametrize("kind", ["task class", "model"])
async def test_a_cancelled_change_still_keeps_the_next_one_waiting(kind: str) -> None:
    store = HeldStore()
    async with world(store) as w:
        inventory = Inventory(w.journal, w.engine, w.now)

        async def create(name: str) -> None:
            if kind == "task class":
                await inventory.ensure_task_class(name)
            else:
                await inventory.create_model(
                    ModelPut(model=0, name=f"c/{name}", upstream_model=name), Request("Create")
                )

        store.gate.clear()
        first = asyncio.create_task(create("first"))
        await settled()
        second = asyncio.create_task(create("second"))
        await settled()
        first.cancel()
        await asyncio.wait([first], timeout=0.05)  # it may end now or once its change is written
        await settled()
        store.gate.set()
        await asyncio.wait_for(second, PATIENCE_S)
        await asyncio.wait([first], timeout=PATIENCE_S)
        catalog = w.engine.catalog
        if kind == "task class":
            entries = [(t.task_class, t.name) for t in catalog.task_classes[2:]]
        else:
            entries = [(m.model, m.name.removeprefix("c/")) for m in catalog.models[2:]]
        assert entries == [(2, "first"), (3, "second")]


async def test_two_first_uses_make_one_task_class() -> None:
    async with world() as w:
        inventory = Inventory(w.journal, w.engine, w.now)
        made = await asyncio.gather(*(inventory.ensure_task_class("new") for _ in range(5)))
        assert sorted(made) == [False] * 4 + [True]
        assert [t.name for t in w.engine.catalog.task_classes] == ["code", "prose", "new"]
