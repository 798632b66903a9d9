"""The numbers that a task class takes into account, and those that a request sends."""

from __future__ import annotations

from collections.abc import Mapping

from naiad.server.errors import NaiadError
from naiad.server.records import FeatureSpec


def check_features(sent: Mapping[str, float], declared: tuple[FeatureSpec, ...], task_class: str) -> None:
    """Raise NaiadError unless a request sends exactly the features that its task class declares."""
    names = [spec.name for spec in declared]
    allowed = ", ".join(names) or "none"
    for name in sent:
        if name not in names:
            raise _refused(
                name, task_class, allowed,
                f"feature {name[:64]!r} is not one that task class {task_class!r} declares ({allowed}); "
                "declare it with UpdateTaskClass, or leave it out",
            )  # fmt: skip
    for name in names:
        if name not in sent:
            raise _refused(
                name, task_class, allowed,
                f"feature {name!r} is missing; task class {task_class!r} declares {allowed}: send all of them, "
                "or take it out with UpdateTaskClass",
            )  # fmt: skip


def _refused(feature: str, task_class: str, allowed: str, message: str) -> NaiadError:
    return NaiadError(
        "UNKNOWN_FEATURE",
        message,
        metadata={"feature": feature[:64], "task_class": task_class, "allowed": allowed},
        field="features",
    )
