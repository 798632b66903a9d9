"""Objectives at their levels: what a policy, a task class or a request may say, and what holds in the end."""

from __future__ import annotations

import math
from typing import NamedTuple

from naiad.bandit.objective import PACED, Objective, Strategy
from naiad.server.bounds import plain
from naiad.server.errors import NaiadError
from naiad.server.records import ObjectiveSpec, PolicySet, TaskClassPut
from naiad.server.refusals import OnRefusal, on_refusal

_MOST_KEPT = 10_000


class Level(NamedTuple):
    """Who set a budget, and how much it is."""

    scope: str  # "policy", "workflow" or "task_class"
    key: int | str  # the task class's number or the workflow's name; "" for the policy
    usd_per_request: float


class Chosen(NamedTuple):
    """The objective that holds for a request, and the budget that paces it."""

    objective: Objective
    budget: Level | None
    models: tuple[str, ...] = ()  # names in the order in which they are to be tried; empty: by what they are worth
    on_refusal: OnRefusal = OnRefusal.RETURN


def resolve(*levels: ObjectiveSpec | None) -> Objective:
    """Return the objective in full: of each parameter what the last level says that sets it, or else the default."""
    strategy = Strategy.BALANCED
    merged: dict[str, float] = {}
    for spec in levels:
        if spec is None:
            continue
        if spec.strategy is not None:
            strategy = Strategy(spec.strategy)
        for name in ("usd_per_quality", "usd_per_second", "quality_floor", "confidence", "margin"):
            value = getattr(spec, name)
            if value is not None:
                merged[name] = value
    return Objective(strategy, **merged)


def budget_of(strategy: Strategy, *levels: tuple[str, int | str, ObjectiveSpec | None]) -> Level | None:
    """Return the budget of the last level that sets one; None without one, and for strategies that do not use it.

    levels: (scope, key, objective), the widest first.
    """
    if strategy not in PACED:
        return None
    for scope, key, spec in reversed(levels):
        if spec is not None and spec.usd_per_request is not None:
            return Level(scope, key, spec.usd_per_request)
    return None


def listed(strategy: Strategy, *levels: ObjectiveSpec | None) -> tuple[str, ...]:
    """Return the models of the last level that lists some, the primary first; () for strategies without a list.

    Raises NaiadError where a strategy needs a list and no level has one.
    """
    if strategy != Strategy.FALLBACK:
        return ()
    lists = [spec.models for spec in levels if spec is not None and spec.models]
    if lists:
        return lists[-1]
    raise _no_list("objective")


class Objectives:
    """What holds for requests under one policy; kept, since few differ. A changed task class needs `clear`."""

    def __init__(self, policy: PolicySet) -> None:
        self._policy = policy
        self._kept: dict[tuple[int, str, ObjectiveSpec], Chosen] = {}

    def clear(self) -> None:
        """Forget what was worked out."""
        self._kept.clear()

    def chosen(self, task_class: TaskClassPut, workflow: str, override: ObjectiveSpec) -> Chosen:
        """Return what holds for a request: its own objective over the class's, the workflow's and the policy's.

        Raises NaiadError when the request sets a budget, or wants refusals routed around where nobody else says so.
        """
        policy = self._policy
        of_workflow = policy.workflows.get(workflow)
        key = (task_class.task_class, "" if of_workflow is None else workflow, override)
        found = self._kept.get(key)
        if found is None:
            self.check_override(override, workflow, task_class.objective)
            if len(self._kept) > _MOST_KEPT:
                self._kept.clear()
            objective = resolve(policy.objective, of_workflow, task_class.objective, override)
            models = listed(objective.strategy, policy.objective, of_workflow, task_class.objective, override)
            level = budget_of(
                objective.strategy,
                ("policy", "", policy.objective),
                ("workflow", workflow, of_workflow),
                ("task_class", task_class.task_class, task_class.objective),
            )
            action = on_refusal(policy.objective, of_workflow, task_class.objective, override)
            found = self._kept[key] = Chosen(objective, level, models, action)
        return found

    def check_override(self, override: ObjectiveSpec, workflow: str, of_class: ObjectiveSpec | None) -> None:
        """Raise NaiadError for what a request may not set.

        A budget is held over many requests; and a request may only be stricter about refusals. of_class: of its task
        class, None for one that is new.
        """
        if override.usd_per_request is not None:
            value = plain(override.usd_per_request)
            raise self._not_allowed(
                "usd_per_request", value, "only the policy, workflows and task classes set it",
                f"objective.usd_per_request is {value}; a budget is held over many requests, so set it in [policy], "
                "[[workflows]] or a task class, or bound a single completion with max_cost_nano_usd",
            )  # fmt: skip
        if override.on_refusal == OnRefusal.NEXT:
            policy = self._policy
            if on_refusal(policy.objective, policy.workflows.get(workflow), of_class) != OnRefusal.NEXT:
                value = "REFUSAL_ACTION_NEXT"
                raise self._not_allowed(
                    "on_refusal", value, "a request may ask for REFUSAL_ACTION_RETURN only",
                    f"objective.on_refusal is {value}, and refusals of this request are returned; set on_refusal = "
                    "'next' in [policy], [[workflows]] or a task class, or leave it out",
                )  # fmt: skip

    def _not_allowed(self, key: str, value: str, rule: str, message: str) -> NaiadError:
        return NaiadError(
            "OBJECTIVE_NOT_ALLOWED", message, code="FAILED_PRECONDITION",
            metadata={"value": value, "rule": rule, "policy_version": self._policy.version},
            field=f"objective.{key}",
        )  # fmt: skip


def check_listed(spec: ObjectiveSpec, field_name: str) -> None:
    """Raise NaiadError where a level names a strategy that needs a list of models, and gives none."""
    if spec.strategy == Strategy.FALLBACK and not spec.models:
        raise _no_list(field_name)


def _no_list(field_name: str) -> NaiadError:
    return NaiadError(
        "INVALID_COMBINATION",
        f"{field_name}.strategy is STRATEGY_FALLBACK and no models are listed; list the primary and its fallbacks",
        metadata={"rule": "STRATEGY_FALLBACK needs models"},
        field=f"{field_name}.models",
    )


def check_objective(spec: ObjectiveSpec, field_name: str = "objective") -> None:
    """Raise NaiadError if a parameter lies outside its range."""
    bounds = {
        "usd_per_quality": (0.0, 1e6),
        "usd_per_second": (0.0, 1e6),
        "quality_floor": (0.0, 1.0),
        "confidence": (0.0, 1.0),
        "margin": (0.0, 1.0),
        "usd_per_request": (1e-9, 1e6),
    }
    for name, (low, high) in bounds.items():
        value = getattr(spec, name)
        if value is None:
            continue
        where = f"{field_name}.{name}"
        if not math.isfinite(value):
            raise NaiadError(
                "NUMBER_NOT_FINITE", f"{where} is {value}; send a finite number or leave it unset",
                metadata={"value": value}, field=where,
            )  # fmt: skip
        if not low <= value <= high or (name == "confidence" and value in (0.0, 1.0)):
            raise NaiadError(
                "NUMBER_OUT_OF_RANGE", f"{where} is {plain(value)}; the range is {plain(low)} to {plain(high)}"
                + (", both excluded" if name == "confidence" else ""),
                metadata={"value": plain(value), "minimum": plain(low), "maximum": plain(high)}, field=where,
            )  # fmt: skip
