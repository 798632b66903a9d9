"""ListProviderModels: what the provider behind an endpoint says of its models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC
from typing import Any

from naiad.adapters.errors import ProviderError
from naiad.adapters.listing import ListedModel
from naiad.server import providers, render
from naiad.server.bounds import MOST_TOKENS
from naiad.server.config import CAPABILITIES
from naiad.server.convert import LONG, text_id
from naiad.server.egress import Egress, NotListable
from naiad.server.errors import NaiadError, nearest
from naiad.server.money import listed_prices
from naiad.v1 import catalog_pb2, catalog_service_pb2

MOST_MODELS = 5_000
"""Of a provider's list that are shown."""

_DEFAULT_S = 30.0
_SLICE_S = 0.001  # of looking prices up, which takes up to half a millisecond for each model, before others run


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
        return await rendered(models, providers.listed_as(kind))


async def rendered(models: Sequence[ListedModel], vendor: str) -> catalog_service_pb2.ListProviderModelsResponse:
    """Return the first MOST_MODELS with their list prices; others run every millisecond meanwhile."""
    response = catalog_service_pb2.ListProviderModelsResponse(left_out=max(0, len(models) - MOST_MODELS))
    clock = asyncio.get_running_loop().time
    if vendor:
        await asyncio.to_thread(listed_prices, f"{vendor}/", "")  # the first one reads the price list, for 0.4 s
    began = clock()
    for model in models[:MOST_MODELS]:
        response.models.append(_rendered(model, vendor))
        if clock() - began > _SLICE_S:
            await asyncio.sleep(0)
            began = clock()
    return response


def _not_listed(endpoint: str, why: str, kind: str) -> NaiadError:
    return NaiadError(
        "MODELS_NOT_LISTED", f"endpoint {endpoint!r} has no list to show: {why}", code="FAILED_PRECONDITION",
        metadata={"endpoint": endpoint, "kind": kind},
    )  # fmt: skip


def _rendered(model: ListedModel, vendor: str) -> catalog_pb2.ProviderModel:
    message = catalog_pb2.ProviderModel(
        name=model.name,
        context_window=_tokens(model.context_window),
        max_output_tokens=_tokens(model.max_output_tokens),
        capabilities=sorted(CAPABILITIES[name] for name in model.capabilities),  # type: ignore[misc]
    )
    if model.deprecated_at is not None:
        with suppress(OverflowError):  # in its own time zone it is of the years 1 to 9999, and in UTC not
            message.retire_time.FromDatetime(model.deprecated_at.astimezone(UTC))
    listed = listed_prices(f"{vendor}/{model.name}", model.name) if vendor else None
    if listed is not None:
        prices, window = listed
        message.prices.CopyFrom(render.prices(prices))
        if not message.HasField("context_window") and window is not None:
            message.context_window = window
    return message


def _tokens(said: int | None) -> int | None:
    """Return a number of tokens, None for one that no model has: a provider may say anything."""
    return said if said is not None and said <= MOST_TOKENS else None
