"""CatalogService: convert, call, convert."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from naiad.server import render
from naiad.server.bounds import MOST_PER_MILLION, plain
from naiad.server.catalog import Catalog
from naiad.server.convert import (
    enum_value,
    feature_name,
    items,
    model_name,
    name,
    number,
    objective_spec,
    optional_count,
    optional_money,
    request_of,
    text,
    text_id,
    time_ms,
)
from naiad.server.errors import NaiadError, not_implemented
from naiad.server.inventory import FROM_API, Inventory
from naiad.server.paging import slice_page
from naiad.server.records import FeatureSpec, ModelPut, ObjectiveSpec, Prices, TaskClassPut
from naiad.v1 import catalog_pb2, catalog_service_pb2, catalog_service_pb2_grpc

_MOST_LABELS = 64
_MODEL_PATHS = (
    "upstream_model", "endpoint_profile", "prices", "context_window", "max_output_tokens", "capabilities",
    "data_zone", "disabled", "labels", "retire_time",
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
    )
)
_CLASS_PATHS = ("description", "default_objective", "features", "default_data_class", "labels")


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Models and task classes."""

    def __init__(self, catalog: Catalog, inventory: Inventory) -> None:
        self._catalog = catalog
        self._inventory = inventory

    async def CreateModel(self, request: Any, context: Any) -> catalog_service_pb2.CreateModelResponse:
        """Add a model."""
        model = model_from_proto(request.model)
        entry = await self._inventory.create_model(model, request_of("CatalogService/CreateModel", request))
        return catalog_service_pb2.CreateModelResponse(model=render.model(entry))

    async def GetModel(self, request: Any, context: Any) -> catalog_service_pb2.GetModelResponse:
        """Return one model."""
        entry = self._catalog.model(model_name(request.name, "name"), "name")
        return catalog_service_pb2.GetModelResponse(model=render.model(entry))

    async def ListModels(self, request: Any, context: Any) -> catalog_service_pb2.ListModelsResponse:
        """List the models by name."""
        entries = [m for m in self._catalog.live if request.provider in ("", m.name.partition("/")[0])]
        entries.sort(key=lambda m: m.name)
        page, following = slice_page(entries, request.page_size, request.page_token, "models", request.provider)
        return catalog_service_pb2.ListModelsResponse(
            models=[render.model(entry) for entry in page], next_page_token=following
        )

    async def UpdateModel(self, request: Any, context: Any) -> catalog_service_pb2.UpdateModelResponse:
        """Change fields of a model."""
        entry = await self._inventory.update_model(
            model_name(request.model.name, "model.name"),
            lambda known: model_changes(known, request.model, list(request.update_mask.paths)),
            request.model.revision,
            request_of("CatalogService/UpdateModel", request),
        )
        return catalog_service_pb2.UpdateModelResponse(model=render.model(entry))

    async def DeleteModel(self, request: Any, context: Any) -> catalog_service_pb2.DeleteModelResponse:
        """Take a model out of the catalogue."""
        wanted = model_name(request.name, "name")
        await self._inventory.delete_model(wanted, request.revision, request_of("CatalogService/DeleteModel", request))
        return catalog_service_pb2.DeleteModelResponse()

    async def CreateTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.CreateTaskClassResponse:
        """Add a task class."""
        entry = await self._inventory.create_task_class(
            task_class_from_proto(request.task_class), request_of("CatalogService/CreateTaskClass", request)
        )
        return catalog_service_pb2.CreateTaskClassResponse(task_class=render.task_class(entry))

    async def GetTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.GetTaskClassResponse:
        """Return one task class."""
        entry = self._catalog.task_class(name(request.name, "name"))
        return catalog_service_pb2.GetTaskClassResponse(task_class=render.task_class(entry))

    async def ListTaskClasses(self, request: Any, context: Any) -> catalog_service_pb2.ListTaskClassesResponse:
        """List the task classes by name."""
        entries = sorted(self._catalog.live_task_classes(), key=lambda c: c.name)
        page, following = slice_page(entries, request.page_size, request.page_token, "task_classes")
        return catalog_service_pb2.ListTaskClassesResponse(
            task_classes=[render.task_class(entry) for entry in page], next_page_token=following
        )

    async def UpdateTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.UpdateTaskClassResponse:
        """Change fields of a task class."""
        entry = await self._inventory.update_task_class(
            name(request.task_class.name, "task_class.name"),
            lambda known: task_class_changes(request.task_class, list(request.update_mask.paths), known),
            request.task_class.revision,
            request_of("CatalogService/UpdateTaskClass", request),
        )
        return catalog_service_pb2.UpdateTaskClassResponse(task_class=render.task_class(entry))

    async def DeleteTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.DeleteTaskClassResponse:
        """Take a task class out of use."""
        wanted = name(request.name, "name")
        await self._inventory.delete_task_class(
            wanted, request.revision, request_of("CatalogService/DeleteTaskClass", request)
        )
        return catalog_service_pb2.DeleteTaskClassResponse()


# -- models ------------------------------------------------------------------------------------------------------------


def model_from_proto(message: catalog_pb2.Model) -> ModelPut:
    """Return a new catalogue entry; raises NaiadError."""
    fields = _model_fields(message, [path for path in _MODEL_PATHS if _is_set(message, path)])
    return ModelPut(
        model=0, name=model_name(message.name, "model.name"), origin=FROM_API, **({"upstream_model": ""} | fields)
    )


def model_changes(known: ModelPut, message: catalog_pb2.Model, mask: list[str]) -> dict[str, Any]:
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
            found[path] = text_id(message.upstream_model, "model.upstream_model", longest=256)
        elif path == "endpoint_profile":
            found["endpoint"] = text_id(message.endpoint_profile, "model.endpoint_profile")
        elif path == "prices":
            found[path] = _prices(message.prices) if message.HasField("prices") else None
        elif path in ("context_window", "max_output_tokens"):
            found[path] = optional_count(message, path, 1, path="model.")
        elif path == "capabilities":
            known = [enum_value(c, catalog_pb2.Capability, "model.capabilities") for c in message.capabilities]
            found[path] = tuple(sorted(set(known)))
        elif path == "data_zone":
            found[path] = text_id(message.data_zone, "model.data_zone")
        elif path == "disabled":
            found[path] = message.disabled
        elif path == "labels":
            found[path] = _labels(message.labels, "model.labels")
        elif path == "retire_time":
            found["retire_ms"] = time_ms(message, "retire_time")
    return found


def _prices(message: catalog_pb2.Prices) -> Prices | None:
    parts = {
        part: optional_money(
            message, f"{part}_nano_usd_per_million_tokens", most=MOST_PER_MILLION, path="model.prices."
        )
        for part in ("input", "output", "cached_input", "cache_write")
    }
    if parts["input"] is None and parts["output"] is None:
        return None
    if parts["input"] is None or parts["output"] is None:
        raise NaiadError(
            "INVALID_COMBINATION",
            "prices need both input_nano_usd_per_million_tokens and output_nano_usd_per_million_tokens; 0 is a price",
            metadata={"rule": "both prices or none"},
            field="model.prices",
        )
    return Prices(
        input=parts["input"],
        output=parts["output"],
        cached_input=parts["cached_input"],
        cache_write=parts["cache_write"],
        request=optional_money(message, "request_nano_usd", path="model.prices.") or 0,
        version=text_id(message.price_version, "model.prices.price_version") or "set by API",
    )


# -- task classes ------------------------------------------------------------------------------------------------------


def task_class_from_proto(message: catalog_pb2.TaskClass) -> TaskClassPut:
    """Return a new catalogue entry; raises NaiadError."""
    fields = task_class_changes(message, [])
    return TaskClassPut(task_class=0, name=name(message.name, "task_class.name"), origin=FROM_API, **fields)


def task_class_changes(
    message: catalog_pb2.TaskClass, mask: list[str], known: TaskClassPut | None = None
) -> dict[str, Any]:
    """Return the fields to change; without a mask those that are set, with one also those named and unset."""
    if message.priors:
        raise not_implemented("task_class.priors", "task_class.priors")
    found: dict[str, Any] = {}
    paths = _masked(mask, (*_CLASS_PATHS, *_OBJECTIVE_PATHS)) or [p for p in _CLASS_PATHS if _is_set(message, p)]
    inner = [p.removeprefix(_OBJECTIVE) for p in paths if p.startswith(_OBJECTIVE)]
    if inner:
        wanted = objective_spec(message.default_objective, "task_class.default_objective")
        before = (known.objective if known else None) or ObjectiveSpec()
        found["objective"] = msgspec.structs.replace(before, **{p: getattr(wanted, p) for p in inner})
    for path in (p for p in paths if not p.startswith(_OBJECTIVE)):
        if path == "description":
            found[path] = text(message.description, "task_class.description", 4_000)
        elif path == "default_objective":
            found["objective"] = (
                objective_spec(message.default_objective, "task_class.default_objective")
                if message.HasField("default_objective")
                else None
            )
        elif path == "features":
            found[path] = _features(message.features)
        elif path == "default_data_class":
            found["data_class"] = text_id(message.default_data_class, "task_class.default_data_class")
        elif path == "labels":
            found[path] = _labels(message.labels, "task_class.labels")
    return found


def _features(messages: Any) -> tuple[FeatureSpec, ...]:
    found: list[FeatureSpec] = []
    for index, message in enumerate(items(messages, "task_class.features", 64)):
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


def _masked(mask: list[str], allowed: tuple[str, ...]) -> list[str]:
    for path in mask:
        if path not in allowed:
            raise NaiadError(
                "INVALID_FIELD_MASK",
                f"update_mask names {path[:64]!r}; the paths that can be changed are {', '.join(allowed)}",
                metadata={"path": path[:64], "allowed": ", ".join(allowed)},
                field="update_mask",
            )
    return list(dict.fromkeys(mask))
