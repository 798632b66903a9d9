"""Keeping the inventory of models and task classes.

`request_id` repeats a change without doing it twice (None makes a new id); `timeout_s` is the time for
everything, retries included; all raise NaiadError, and ValueError or TypeError when an argument cannot be
sent.
"""

from __future__ import annotations

from typing import Unpack

from naiad.client.calls import Call, Listing, Page, Timeouts, call, new_id
from naiad.client.catalog import Model, ModelChanges, ProviderModel, ProviderModels, TaskClass, TaskClassChanges
from naiad.client.convert import read, write
from naiad.v1 import catalog_pb2
from naiad.v1 import catalog_service_pb2 as api


def create_model(model: Model, *, request_id: str | None = None, timeout_s: float | None = None) -> Call[Model]:
    """Add a model; it earns its traffic. Fields set by the server are ignored."""
    request = api.CreateModelRequest(request_id=_id(request_id))
    write(model, request.model)
    return call("CatalogService/CreateModel", request, api.CreateModelResponse, _model, _catalog_s, timeout_s)


def get_model(name: str, *, timeout_s: float | None = None) -> Call[Model]:
    """Return one model."""
    request = api.GetModelRequest(name=name)
    return call("CatalogService/GetModel", request, api.GetModelResponse, _model, _catalog_s, timeout_s)


def list_models(*, provider: str = "", page_size: int = 0, timeout_s: float | None = None) -> Listing[Model]:
    """Iterate over the models by name, fetching pages as they are needed."""

    def page(token: str) -> Call[Page[Model]]:
        request = api.ListModelsRequest(page_size=page_size, page_token=token, provider=provider)
        return call("CatalogService/ListModels", request, api.ListModelsResponse, _models, _catalog_s, timeout_s)

    return Listing(page)


def list_provider_models(endpoint_profile: str, *, timeout_s: float | None = None) -> Call[ProviderModels]:
    """Ask the provider behind an endpoint for its own list of models; changes nothing.

    Of a very long list the server gives the first 5,000; `left_out` says how many are missing.
    """
    request = api.ListProviderModelsRequest(endpoint_profile=endpoint_profile)
    return call(
        "CatalogService/ListProviderModels", request, api.ListProviderModelsResponse, _listed, _insight_s, timeout_s
    )


def update_model(
    name: str,
    *,
    revision: int = 0,
    request_id: str | None = None,
    timeout_s: float | None = None,
    **changes: Unpack[ModelChanges],
) -> Call[Model]:
    """Change a model: `update_model("a/b", disabled=True)`. What is not named stays; None clears.

    A revision other than 0 must be the present one, else Aborted is raised.
    """
    request = api.UpdateModelRequest(request_id=_id(request_id))
    request.model.name = name
    request.model.revision = revision
    _refuse_unknown("update_model", set(changes), ModelChanges.__annotations__)
    write(None, request.model, changes)
    request.update_mask.paths.extend(changes)
    return call("CatalogService/UpdateModel", request, api.UpdateModelResponse, _model, _catalog_s, timeout_s)


def delete_model(
    name: str, *, revision: int = 0, request_id: str | None = None, timeout_s: float | None = None
) -> Call[None]:
    """Remove a model from use. What was learned of it is kept."""
    request = api.DeleteModelRequest(name=name, revision=revision, request_id=_id(request_id))
    return call("CatalogService/DeleteModel", request, api.DeleteModelResponse, _nothing, _catalog_s, timeout_s)


def create_task_class(
    task_class: TaskClass, *, request_id: str | None = None, timeout_s: float | None = None
) -> Call[TaskClass]:
    """Add a task class. Fields set by the server are ignored."""
    request = api.CreateTaskClassRequest(request_id=_id(request_id))
    write(task_class, request.task_class)
    return call("CatalogService/CreateTaskClass", request, api.CreateTaskClassResponse, _class, _catalog_s, timeout_s)


def get_task_class(name: str, *, timeout_s: float | None = None) -> Call[TaskClass]:
    """Return one task class."""
    request = api.GetTaskClassRequest(name=name)
    return call("CatalogService/GetTaskClass", request, api.GetTaskClassResponse, _class, _catalog_s, timeout_s)


def list_task_classes(*, page_size: int = 0, timeout_s: float | None = None) -> Listing[TaskClass]:
    """Iterate over the task classes by name, fetching pages as they are needed."""

    def page(token: str) -> Call[Page[TaskClass]]:
        request = api.ListTaskClassesRequest(page_size=page_size, page_token=token)
        return call(
            "CatalogService/ListTaskClasses",
            request,
            api.ListTaskClassesResponse,
            _classes,
            _catalog_s,
            timeout_s,
        )

    return Listing(page)


def update_task_class(
    name: str,
    *,
    revision: int = 0,
    request_id: str | None = None,
    timeout_s: float | None = None,
    **changes: Unpack[TaskClassChanges],
) -> Call[TaskClass]:
    """Change a task class. What is not named stays; None clears.

    A revision other than 0 must be the present one, else Aborted is raised.
    """
    request = api.UpdateTaskClassRequest(request_id=_id(request_id))
    request.task_class.name = name
    request.task_class.revision = revision
    _refuse_unknown("update_task_class", set(changes), TaskClassChanges.__annotations__)
    write(None, request.task_class, changes)
    request.update_mask.paths.extend(changes)
    return call("CatalogService/UpdateTaskClass", request, api.UpdateTaskClassResponse, _class, _catalog_s, timeout_s)


def delete_task_class(
    name: str, *, revision: int = 0, request_id: str | None = None, timeout_s: float | None = None
) -> Call[None]:
    """Remove a task class from use. What was learned in it is kept."""
    request = api.DeleteTaskClassRequest(name=name, revision=revision, request_id=_id(request_id))
    return call(
        "CatalogService/DeleteTaskClass",
        request,
        api.DeleteTaskClassResponse,
        _nothing,
        _catalog_s,
        timeout_s,
    )


def _refuse_unknown(function: str, given: set[str], allowed: dict[str, object]) -> None:
    """Raise TypeError unless there is a change and all its fields can be changed."""
    unknown = ", ".join(sorted(given - set(allowed)))
    if unknown or not given:
        fault = f"cannot change {unknown}" if unknown else "got nothing to change"
        raise TypeError(f"{function}() {fault}; the fields that can change are: {', '.join(allowed)}")


def _model(
    response: api.CreateModelResponse | api.GetModelResponse | api.UpdateModelResponse,
) -> Model:
    message: catalog_pb2.Model = response.model
    return read(Model, message)


def _models(response: api.ListModelsResponse) -> Page[Model]:
    return Page(tuple(read(Model, m) for m in response.models), response.next_page_token)


def _class(
    response: api.CreateTaskClassResponse | api.GetTaskClassResponse | api.UpdateTaskClassResponse,
) -> TaskClass:
    return read(TaskClass, response.task_class)


def _classes(response: api.ListTaskClassesResponse) -> Page[TaskClass]:
    return Page(tuple(read(TaskClass, m) for m in response.task_classes), response.next_page_token)


def _nothing(response: api.DeleteModelResponse | api.DeleteTaskClassResponse) -> None:
    return None


def _id(request_id: str | None) -> str:
    return new_id() if request_id is None else request_id


def _catalog_s(timeouts: Timeouts) -> float:
    return timeouts.catalog_s


def _listed(response: api.ListProviderModelsResponse) -> ProviderModels:
    found = ProviderModels(read(ProviderModel, m) for m in response.models)
    found.left_out = response.left_out
    return found


def _insight_s(timeouts: Timeouts) -> float:
    return timeouts.insight_s
