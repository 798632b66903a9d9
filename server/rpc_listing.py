"""ListProviderModels: what the provider behind an endpoint says of its models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from naiad.adapters.errors import ProviderError
from naiad.adapters.listing import ListedModel
from naiad.server import providers, render
from naiad.server.config import CAPABILITIES
from naiad.server.convert import LONG, text_id
from naiad.server.egress import Egress, NotListable
from naiad.server.errors import NaiadError, nearest
from naiad.server.money import listed_prices
from naiad.v1 import catalog_pb2, catalog_service_pb2

_DEFAULT_S = 30.0


class ProviderModels:
    """Asks providers for their models; endpoints: kind by name."""

    def __init__(self, egress: Egress, endpoints: Mapping[str, str]) -> None:
        self._egress = egress
        self._endpoints = endpoints

    async def list(self, request: Any, left_s: float | None) -> catalog_service_pb2.ListProviderModelsResponse:
        """Ask one; left_s: of the caller's deadline, None without one. Raises NaiadError."""
        endpoint = text_id(request.endpoint_profile, "endpoint_profile", required=True, longest=LONG)
        kind = self._endpoints.get(endpoint)
        if kind is None:
            near = nearest(endpoint, self._endpoints)
            hint = f"did you mean {near!r}?" if near else "add it to the configuration"
            raise NaiadError(
                "UNKNOWN_ENDPOINT", f"endpoint_profile names {endpoint!r}, which is not configured; {hint}",
                code="NOT_FOUND", metadata={"endpoint": endpoint, "nearest": near}, field="endpoint_profile",
            )  # fmt: skip
        try:
            models = await self._egress.list_models(endpoint, timeout_s=_DEFAULT_S if left_s is None else left_s)
        except NotListable:
            raise _not_listed(
                endpoint, f"its kind, {kind!r}, has no list of models; import a file instead", ""
            ) from None
        except ProviderError as error:  # whose message may be a provider's
            status = f" (HTTP status {error.status})" if error.status else ""
            why = f"its provider did not give it: {type(error).__name__}{status}; look at its address and key"
            raise _not_listed(endpoint, why, type(error).__name__) from error
        vendor = providers.listed_as(kind)
        return catalog_service_pb2.ListProviderModelsResponse(models=[_rendered(m, vendor) for m in models])


def _not_listed(endpoint: str, why: str, kind: str) -> NaiadError:
    return NaiadError(
        "MODELS_NOT_LISTED", f"endpoint {endpoint!r} has no list to show: {why}", code="FAILED_PRECONDITION",
        metadata={"endpoint": endpoint, "kind": kind},
    )  # fmt: skip


def _rendered(model: ListedModel, vendor: str) -> catalog_pb2.ProviderModel:
    message = catalog_pb2.ProviderModel(
        name=model.name,
        context_window=model.context_window,
        max_output_tokens=model.max_output_tokens,
        capabilities=sorted(CAPABILITIES[name] for name in model.capabilities),  # type: ignore[misc]
    )
    if model.deprecated_at is not None:
        message.retire_time.FromDatetime(model.deprecated_at)
    listed = listed_prices(f"{vendor}/{model.name}", model.name) if vendor else None
    if listed is not None:
        prices, window = listed
        message.prices.CopyFrom(render.prices(prices))
        if model.context_window is None and window is not None:
            message.context_window = window
    return message
