"""Changes of the catalogue: none is lost, a repeated one is done once, and the configuration's place is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from naiad.bandit.objective import Strategy
from naiad.server.errors import NaiadError
from naiad.server.inventory import Inventory
from naiad.server.journal import Request
from naiad.server.records import ModelPut, ObjectiveSpec, Prices, TaskClassPut
from tests.journal.world import HeldStore, World, world

PRICES = Prices(input=1, output=1)


def inventory_of(w: World) -> Inventory:
    """Return the way to change a world's catalogue."""
    return Inventory(w.journal, w.engine, w.now)


async def test_two_changes_at_a_time_both_count() -> None:
    """Each sees what the other made of the entry: merging with what was there before the wait would lose one."""

    def price(part: str) -> Any:
        return lambda known: {"prices": msgspec.structs.replace(known.prices, **{part: 77})}

    def aim(part: str) -> Any:
        return lambda known: {"objective": msgspec.structs.replace(known.objective or ObjectiveSpec(), **{part: 0.5})}

    async with world() as w:
        inventory = inventory_of(w)
        await asyncio.gather(
            inventory.update_model("a/one", price("input"), 0, Request("U")),
            inventory.update_model("a/one", price("output"), 0, Request("U")),
            inventory.update_task_class("code", aim("margin"), 0, Request("U")),
            inventory.update_task_class("code", aim("quality_floor"), 0, Request("U")),
        )
        assert w.engine.catalog.model("a/one").prices == Prices(input=77, output=77)
        assert w.engine.catalog.task_class("code").objective == ObjectiveSpec(margin=0.5, quality_floor=0.5)


@pytest.mark.parametrize("kind", ["model", "task class"])
async def test_a_repeated_change_is_answered_although_its_entry_is_gone(kind: str) -> None:
    def change(known: Any) -> dict[str, Any]:
        return {"labels": {"a": "b"}}

    async with world() as w:
        inventory = inventory_of(w)
        request, removal = Request("Update", "r1", "body"), Request("Delete")
        replies: list[Any] = []
        for _ in range(2):
            if kind == "model":
                replies.append(await inventory.update_model("a/one", change, 0, request))
            else:
                replies.append(await inventory.update_task_class("code", change, 0, request))
            if len(replies) == 1:
                await (
                    inventory.delete_model("a/one", 0, removal)
                    if kind == "model"
                    else inventory.delete_task_class("code", 0, removal)
                )
        assert replies[0] == replies[1]


async def test_a_repeated_task_class_is_answered_although_a_model_of_its_objective_is_gone() -> None:
    def listing(model: str) -> ObjectiveSpec:
        return ObjectiveSpec(strategy=int(Strategy.FALLBACK), models=(model,))

    wanted = TaskClassPut(task_class=0, name="new", objective=listing("a/one"))
    async with world() as w:
        inventory = inventory_of(w)
        with pytest.raises(NaiadError) as caught:
            await inventory.create_task_class(
                msgspec.structs.replace(wanted, objective=listing("a/none")), Request("C", "r1", "body")
            )
        assert caught.value.reason == "UNKNOWN_MODEL"
        first = await inventory.create_task_class(wanted, Request("C", "r1", "body"))
        await inventory.delete_model("a/one", 0, Request("D"))
        assert await inventory.create_task_class(wanted, Request("C", "r1", "body")) == first
        with pytest.raises(NaiadError) as caught:
            await inventory.update_task_class("new", lambda known: {"objective": listing("a/one")}, 0, Request("U"))
        assert caught.value.reason == "MODEL_DELETED"


async def test_a_configured_entry_made_anew_by_rpc_stays_as_made() -> None:
    """The file's entry did not change, so a restart with it must not undo what was done by RPC."""
    model = ModelPut(model=0, name="c/x", upstream_model="x", endpoint="c", prices=PRICES, config_digest="m")
    kind = TaskClassPut(task_class=0, name="configured", config_digest="c")
    async with world(HeldStore()) as w:
        inventory = inventory_of(w)
        await inventory.apply_configuration([model], [kind])
        await inventory.delete_model("c/x", 0, Request("D"))
        await inventory.delete_task_class("configured", 0, Request("D"))
        made = await inventory.create_model(
            msgspec.structs.replace(model, disabled=True, config_digest=""), Request("C")
        )
        described = await inventory.create_task_class(
            TaskClassPut(task_class=0, name="configured", description="mine"), Request("C")
        )
        await inventory.apply_configuration([model], [kind])
        assert w.engine.catalog.model("c/x") == made
        assert w.engine.catalog.task_class("configured") == described
        await inventory.apply_configuration([msgspec.structs.replace(model, config_digest="m2")], [])
        assert not w.engine.catalog.model("c/x").disabled
