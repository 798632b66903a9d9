"""Objectives at their levels: what a policy, a task class or a request may say, and what holds in the end."""

from __future__ import annotations

import math

from naiad.bandit.objective import Objective, Strategy
from naiad.server.errors import NaiadError
from naiad.server.records import ObjectiveSpec


def resolve(*levels: ObjectiveSpec | None) -> Objective:
    """Return the objective in full: request over task class over policy over built-in defaults."""
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


def check_objective(spec: ObjectiveSpec, field_name: str = "objective") -> None:
    """Raise NaiadError if a strategy is unknown here or a parameter lies outside its range."""
    if spec.strategy is not None and spec.strategy not in list(Strategy):
        raise NaiadError(
            "NOT_IMPLEMENTED",
            f"{field_name}.strategy {spec.strategy} is not implemented in this version of the server; "
            f"use one of {', '.join(s.name for s in Strategy)}",
            code="UNIMPLEMENTED",
            metadata={"method": ""},
            field=f"{field_name}.strategy",
        )
    bounds = {
        "usd_per_quality": (0.0, 1e6),
        "usd_per_second": (0.0, 1e6),
        "quality_floor": (0.0, 1.0),
        "confidence": (0.0, 1.0),
        "margin": (0.0, 1.0),
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
                "NUMBER_OUT_OF_RANGE", f"{where} is {value}; the range is {low:g} to {high:g}"
                + (", both excluded" if name == "confidence" else ""),
                metadata={"value": value, "minimum": low, "maximum": high}, field=where,
            )  # fmt: skip
