"""Entries of the catalogue from requests: models and task classes, whole or the fields of them that change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from naiad.server import render
from naiad.server.bounds import MOST_FEATURES, MOST_PER_MILLION, plain
from naiad.server.composition import composite_from_proto
from naiad.server.convert import (
    LONG,
    enum_value,
    feature_name,
    items,
    model_name,
    name,
    number,
    objective_spec,
    optional_count,
    optional_money,
    text,
    text_id,
    time_ms,
)
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.inventory import FROM_API
from naiad.server.records import FeatureSpec, ModelPut, ObjectiveSpec, Prices, TaskClassPut
from naiad.v1 import catalog_pb2

_MOST_LABELS = 64
_MOST_CAPABILITIES = 64
_MOST_PATHS = 64  # of a field mask
_MODEL_PATHS = (
    "upstream_model", "endpoint_profile", "prices", "context_window", "max_output_tokens", "capabilities",
    "data_zone", "disabled", "labels", "retire_time", "ensemble", "cascade",
)  # fmt: skip
_PRICE_PATHS = tuple(
    f"prices.{part}"
    for part in (
        "input_nano_usd_per_million_tokens", "output_nano_usd_per_million_tokens",
        "cached_input_nano_usd_per_million_tokens", "cache_write_nano_usd_per_million_tokens",
        "request_nano_usd", "price_version",
    )
)  # fmt: skip
_OBJECTIVE = "default_objective."
_OBJECTIVE_PATHS = tuple(
    _OBJECTIVE + part
    for part in (
        "strategy",
        "usd_per_quality",
        "usd_per_second",
        "quality_floor",
        "confidence",
        "margin",
        "usd_per_request",
        "models",
        "on_refusal",
    )
)
_CLASS_PATHS = ("description", "default_objective", "features", "default_data_class", "labels")


# -- models ------------------------------------------------------------------------------------------------------------


def model_from_proto(message: catalog_pb2.Model) -> ModelPut:
    """Return a new catalogue entry; raises NaiadError."""
    fields = _model_fields(message, [path for path in _MODEL_PATHS if _is_set(message, path)])
    return ModelPut(
        model=0, name=model_name(message.name, "model.name"), origin=FROM_API, **({"upstream_model": ""} | fields)
    )


def model_changes(known: ModelPut, message: catalog_pb2.Model, mask: Sequence[str]) -> dict[str, Any]:
    """Return the fields to change; without a mask those that are set, with one also those named and unset."""
    paths = _masked(mask, (*_MODEL_PATHS, *_PRICE_PATHS)) or [p for p in _MODEL_PATHS if _is_set(message, p)]
    inner = [p.partition(".")[2] for p in paths if p.startswith("prices.")]
    changes = _model_fields(message, [p for p in paths if not p.startswith("prices.")])
    if inner:
        merged = catalog_pb2.Prices()
        if known.prices is not None:
            merged.CopyFrom(render.prices(known.prices))
        for path in inner:
            if path == "price_version" or message.prices.HasField(path):
                setattr(merged, path, getattr(message.prices, path))
            else:
                merged.ClearField(path)
        if "price_version" not in inner:
            merged.price_version = "set by UpdateModel"
        changes["prices"] = _prices(merged)
    return changes


def _model_fields(message: catalog_pb2.Model, paths: Iterable[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in paths:
        if path == "upstream_model":
            found[path] = text_id(message.upstream_model, "model.upstream_model", longest=LONG)
        elif path == "endpoint_profile":
            found["endpoint"] = text_id(message.endpoint_profile, "model.endpoint_profile")
        elif path == "prices":
            found[path] = _prices(message.prices) if message.HasField("prices") else None
        elif path in ("context_window", "max_output_tokens"):
            found[path] = optional_count(message, path, 1, path="model.")
        elif path == "capabilities":
            wanted = set(items(message.capabilities, "model.capabilities", _MOST_CAPABILITIES))
            found[path] = tuple(sorted(enum_value(c, catalog_pb2.Capability, "model.capabilities") for c in wanted))
        elif path == "data_zone":
            found[path] = text_id(message.data_zone, "model.data_zone")
        elif path == "disabled":
            found[path] = message.disabled
        elif path == "labels":
            found[path] = _labels(message.labels, "model.labels")
        elif path == "retire_time":
            found["retire_ms"] = time_ms(message, "retire_time", path="model.")
        elif path in ("ensemble", "cascade") and (message.HasField(path) or "composite" not in found):
            found["composite"] = composite_from_proto(message)
    return found


def _prices(message: catalog_pb2.Prices) -> Prices | None:
    parts = {
        part: optional_money(
            message, f"{part}_nano_usd_per_million_tokens", most=MOST_PER_MILLION, path="model.prices."
        )
        for part in ("input", "output", "cached_input", "cache_write")
    }
    request = optional_money(message, "request_nano_usd", path="model.prices.")
    if request is None and all(part is None for part in parts.values()):
        return None
    if parts["input"] is None or parts["output"] is None:
        raise NaiadError(
            "INVALID_COMBINATION",
            "prices need both input_nano_usd_per_million_tokens and output_nano_usd_per_million_tokens, and others go "
            "with them; 0 is a price",
            metadata={"rule": "both prices or none"},
            field="model.prices",
        )
    return Prices(
        input=parts["input"],
        output=parts["output"],
        cached_input=parts["cached_input"],
        cache_write=parts["cache_write"],
        request=request or 0,
        version=text_id(message.price_version, "model.prices.price_version") or "set by API",
    )


# -- task classes ------------------------------------------------------------------------------------------------------


def task_class_from_proto(message: catalog_pb2.TaskClass) -> TaskClassPut:
    """Return a new catalogue entry; raises NaiadError."""
    fields = task_class_changes(message, ())
    return TaskClassPut(task_class=0, name=name(message.name, "task_class.name"), origin=FROM_API, **fields)


def task_class_changes(
    message: catalog_pb2.TaskClass, mask: Sequence[str], known: TaskClassPut | None = None
) -> dict[str, Any]:
    """Return the fields to change; without a mask those that are set, with one also those named and unset."""
    if message.priors:
        raise not_implemented("task_class.priors", "task_class.priors")
    found: dict[str, Any] = {}
    paths = _masked(mask, (*_CLASS_PATHS, *_OBJECTIVE_PATHS)) or [p for p in _CLASS_PATHS if _is_set(message, p)]
    inner = [p.removeprefix(_OBJECTIVE) for p in paths if p.startswith(_OBJECTIVE)]
    if inner:
        wanted = _objective(message)
        before = (known.objective if known else None) or ObjectiveSpec()
        found["objective"] = msgspec.structs.replace(before, **{p: getattr(wanted, p) for p in inner})
    for path in (p for p in paths if not p.startswith(_OBJECTIVE)):
        if path == "description":
            found[path] = text(message.description, "task_class.description", 4_000)
        elif path == "default_objective":
            found["objective"] = _objective(message) if message.HasField("default_objective") else None
        elif path == "features":
            found[path] = _features(message.features)
        elif path == "default_data_class":
            found["data_class"] = text_id(message.default_data_class, "task_class.default_data_class")
        elif path == "labels":
            found[path] = _labels(message.labels, "task_class.labels")
    return found


def _objective(message: catalog_pb2.TaskClass) -> ObjectiveSpec:
    return objective_spec(message.default_objective, "task_class.default_objective")


def _features(messages: Any) -> tuple[FeatureSpec, ...]:
    found: list[FeatureSpec] = []
    for index, message in enumerate(items(messages, "task_class.features", MOST_FEATURES)):
        feature = _feature(message, index)
        if any(feature.name == other.name for other in found):
            where = f"task_class.features[{index}].name"
            raise NaiadError(
                "INVALID_COMBINATION",
                f"{where} is {feature.name!r}, as that of another; names must be unique",
                metadata={"rule": "names are unique"},
                field=where,
            )
        found.append(feature)
    return tuple(found)


def _feature(message: catalog_pb2.FeatureSpec, index: int) -> FeatureSpec:
    where = f"task_class.features[{index}]"
    low = number(message.low, f"{where}.low", -1e300, 1e300)
    high = number(message.high, f"{where}.high", -1e300, 1e300)
    if high <= low:
        raise NaiadError(
            "INVALID_COMBINATION",
            f"{where} has low {plain(low)} and high {plain(high)}; high must lie above low",
            metadata={"rule": "high > low"},
            field=where,
        )
    return FeatureSpec(
        name=feature_name(message.name, f"{where}.name"),
        description=text(message.description, f"{where}.description", 4_000),
        low=low,
        high=high,
    )


# -- both --------------------------------------------------------------------------------------------------------------


def _labels(labels: Any, field: str) -> dict[str, str]:
    items(labels, field, _MOST_LABELS)
    return {text_id(key, field, required=True): text_id(value, f"{field}[{key!r}]") for key, value in labels.items()}


def _is_set(message: Any, path: str) -> bool:
    descriptor = message.DESCRIPTOR.fields_by_name[path]
    return bool(message.HasField(path) if descriptor.has_presence else getattr(message, path))


def _masked(mask: Sequence[str], allowed: tuple[str, ...]) -> list[str]:
    for path in items(mask, "update_mask.paths", _MOST_PATHS):
        if path not in allowed:
            raise NaiadError(
                "INVALID_FIELD_MASK",
                f"update_mask names {path[:64]!r}; the paths that can be changed are {', '.join(allowed)}",
                metadata={"path": path[:64], "allowed": ", ".join(allowed)},
                field="update_mask",
            )
    return list(dict.fromkeys(mask))
