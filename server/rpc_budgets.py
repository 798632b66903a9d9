"""The budgets of AdminService between the wire and the server's words."""

from __future__ import annotations

from collections.abc import Sequence

from naiad.server import render
from naiad.server.bounds import MOST_MONEY
from naiad.server.ceilings import Standing
from naiad.server.convert import LONG, enum_value, items, name, optional_money, text_id
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.inventory import FROM_API
from naiad.server.records import BudgetPut
from naiad.v1 import admin_pb2

_PATHS = {  # path of a field mask -> field of the record
    "name": "name", "workflow": "workflow", "task_class": "task_class", "key_id": "key",
    "limit_nano_usd": "limit_nano_usd", "period": "period",
}  # fmt: skip
_MOST_PATHS = 100


def budget_from_proto(message: admin_pb2.Budget) -> BudgetPut:
    """Return a new budget; raises NaiadError."""
    limit = _limit(message)
    if limit is None:
        raise NaiadError(
            "FIELD_REQUIRED", "budget.limit_nano_usd is not set; say how much may be spent in a period, 0 for nothing",
            field="budget.limit_nano_usd",
        )  # fmt: skip
    period = enum_value(message.period, admin_pb2.BudgetPeriod, "budget.period")
    return _budget(message, limit, period)


def budget_changes(message: admin_pb2.Budget, mask: Sequence[str]) -> tuple[BudgetPut, list[str]]:
    """Return the new values, and which fields change: those of the mask, without one those that are set."""
    for path in items(mask, "update_mask.paths", _MOST_PATHS):
        if path not in _PATHS:
            raise NaiadError(
                "INVALID_FIELD_MASK",
                f"update_mask names {path[:64]!r}; the paths that can be changed are {', '.join(_PATHS)}",
                metadata={"path": path[:64], "allowed": ", ".join(_PATHS)},
                field="update_mask",
            )
    limit = _limit(message)
    period = enum_value(message.period, admin_pb2.BudgetPeriod, "budget.period", required="period" in mask)
    if limit is None and "limit_nano_usd" in mask:
        raise NaiadError(
            "FIELD_REQUIRED",
            "update_mask names limit_nano_usd, which is not set; a budget has a limit: set it, or delete the budget",
            field="budget.limit_nano_usd",
        )
    wanted = _budget(message, limit or 0, period)
    set_ = [path for path in _PATHS if (limit is not None if path == "limit_nano_usd" else getattr(message, path))]
    return wanted, [_PATHS[path] for path in dict.fromkeys(mask or set_)]


def _limit(message: admin_pb2.Budget) -> int | None:
    return optional_money(message, "limit_nano_usd", most=MOST_MONEY, path="budget.")


def _budget(message: admin_pb2.Budget, limit: int, period: int) -> BudgetPut:
    if message.paced:
        raise not_implemented("budget.paced", "budget.paced")
    return BudgetPut(
        budget=0,
        budget_id=text_id(message.budget_id, "budget.budget_id"),
        name=text_id(message.name, "budget.name", longest=LONG),
        workflow=text_id(message.workflow, "budget.workflow"),
        task_class=name(message.task_class, "budget.task_class") if message.task_class else "",
        key=text_id(message.key_id, "budget.key_id"),
        limit_nano_usd=limit,
        period=period,
        origin=FROM_API,
    )


def budget_to_proto(entry: BudgetPut, standing: Standing) -> admin_pb2.Budget:
    """Return a budget with how it stands."""
    message = admin_pb2.Budget(
        budget_id=entry.budget_id,
        name=entry.name,
        workflow=entry.workflow,
        task_class=entry.task_class,
        key_id=entry.key,
        limit_nano_usd=entry.limit_nano_usd,
        period=entry.period,  # type: ignore[arg-type]
        spent_nano_usd=standing.spent,
        reserved_nano_usd=standing.reserved,
        uncertain_nano_usd=standing.uncertain,
        revision=entry.revision,
        create_time=render.timestamp(entry.created_ms),
        update_time=render.timestamp(entry.at_ms),
    )
    if standing.reset_ms is not None:
        message.reset_time.CopyFrom(render.timestamp(standing.reset_ms))
    return message
