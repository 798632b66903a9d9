"""CatalogService: convert, call, convert."""

from __future__ import annotations

from typing import Any

from naiad.server import render
from naiad.server.catalog import Catalog
from naiad.server.convert import LONG, model_name, name, request_of, text_id
from naiad.server.entries import (
    model_changes,
    model_from_proto,
    task_class_changes,
    task_class_from_proto,
)
from naiad.server.inventory import Inventory
from naiad.server.paging import slice_page
from naiad.server.rpc_listing import ProviderModels
from naiad.v1 import catalog_service_pb2, catalog_service_pb2_grpc


class CatalogServicer(catalog_service_pb2_grpc.CatalogServiceServicer):
    """Models and task classes."""

    def __init__(self, catalog: Catalog, inventory: Inventory, tenant: int, listing: ProviderModels) -> None:
        self._tenant = tenant
        self._listing = listing
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
        provider = text_id(request.provider, "provider", longest=LONG)
        entries = [m for m in self._catalog.live if provider in ("", m.name.partition("/")[0])]
        entries.sort(key=lambda m: m.name)
        page, following = slice_page(entries, request.page_size, request.page_token, "models", self._tenant, provider)
        return catalog_service_pb2.ListModelsResponse(
            models=[render.model(entry) for entry in page], next_page_token=following
        )

    async def UpdateModel(self, request: Any, context: Any) -> catalog_service_pb2.UpdateModelResponse:
        """Change fields of a model."""
        entry = await self._inventory.update_model(
            model_name(request.model.name, "model.name"),
            lambda known: model_changes(known, request.model, request.update_mask.paths),
            request.model.revision,
            request_of("CatalogService/UpdateModel", request),
        )
        return catalog_service_pb2.UpdateModelResponse(model=render.model(entry))

    async def DeleteModel(self, request: Any, context: Any) -> catalog_service_pb2.DeleteModelResponse:
        """Take a model out of the catalogue."""
        wanted = model_name(request.name, "name")
        await self._inventory.delete_model(wanted, request.revision, request_of("CatalogService/DeleteModel", request))
        return catalog_service_pb2.DeleteModelResponse()

    async def ListProviderModels(self, request: Any, context: Any) -> catalog_service_pb2.ListProviderModelsResponse:
        """Ask a provider for its models."""
        return await self._listing.list(request, context.time_remaining())

    async def CreateTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.CreateTaskClassResponse:
        """Add a task class."""
        entry = await self._inventory.create_task_class(
            task_class_from_proto(request.task_class),
            request_of("CatalogService/CreateTaskClass", request),
        )
        return catalog_service_pb2.CreateTaskClassResponse(task_class=render.task_class(entry))

    async def GetTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.GetTaskClassResponse:
        """Return one task class."""
        entry = self._catalog.task_class(name(request.name, "name"))
        return catalog_service_pb2.GetTaskClassResponse(task_class=render.task_class(entry))

    async def ListTaskClasses(self, request: Any, context: Any) -> catalog_service_pb2.ListTaskClassesResponse:
        """List the task classes by name."""
        entries = sorted(self._catalog.live_task_classes(), key=lambda c: c.name)
        page, following = slice_page(entries, request.page_size, request.page_token, "task_classes", self._tenant)
        return catalog_service_pb2.ListTaskClassesResponse(
            task_classes=[render.task_class(entry) for entry in page], next_page_token=following
        )

    async def UpdateTaskClass(self, request: Any, context: Any) -> catalog_service_pb2.UpdateTaskClassResponse:
        """Change fields of a task class."""
        entry = await self._inventory.update_task_class(
            name(request.task_class.name, "task_class.name"),
            lambda known: task_class_changes(request.task_class, request.update_mask.paths, known),
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
