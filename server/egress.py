"""The choke point: the only way to a provider.

The adapters are held here and nowhere else. Every call brings its permit and its kind, and is checked at the moment it
leaves: the model must be in the permit, and the rules of that moment must let the request go there. Nothing is awaited
between the check and the adapter, so a change that is acknowledged binds every call that leaves afterwards. There is no
kind of call with a rule of its own, no default that lets through, and no way around.

A call has left when its adapter was called. What had left before a change is on the wire; `on_wire` tells which calls,
and under which epoch they left. Those are not cut off, also where the adapter is still connecting. Whatever waits (a
budget, a limiter, a delay before a hedge) waits before it calls here, never in an adapter.

The breakers learn here how every call ended, whatever its kind.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from enum import Enum, unique
from typing import NamedTuple, final

import structlog

from naiad.adapters.base import Adapter, Answer, Finished, Request, StreamEvent
from naiad.adapters.errors import ProviderError, Truncated
from naiad.server.breakers import Breakers
from naiad.server.catalog import Catalog
from naiad.server.eligibility import Eligibility, Permit, Reason
from naiad.server.records import Exclusion, ModelPut

log = structlog.get_logger(__name__)


@final
@unique
class Kind(Enum):
    """Why a call is made. Every kind is checked alike; one that is to come gets a name here, and no rule."""

    PRIMARY = "primary"
    RETRY = "retry"
    FALLBACK = "fallback"
    HEDGE = "hedge"
    ENSEMBLE = "ensemble"
    CASCADE = "cascade"
    JUDGE = "judge"
    EMBEDDING = "embedding"
    CACHE = "cache"
    SHADOW = "shadow"
    CHAOS = "chaos"


class NotPermitted(Exception):
    """The rules of this moment do not let the call leave; nothing was sent."""

    def __init__(self, kind: Kind, exclusion: Exclusion) -> None:
        super().__init__(f"a {kind.value} call may not leave: {exclusion.detail}")
        self.kind = kind
        self.exclusion = exclusion


class Dispatch(NamedTuple):
    """A call that has left."""

    kind: Kind
    model: int
    epoch: int  # of the rules that let it leave


class Egress:
    """Owner of the adapters, and of the breakers that eligibility reads from now on."""

    def __init__(
        self,
        catalog: Catalog,
        eligibility: Eligibility,
        adapters: Mapping[str, Adapter],
        breakers: Breakers | None = None,
    ) -> None:
        self._catalog = catalog
        self._eligibility = eligibility
        self.breakers = eligibility.breakers = Breakers(time.monotonic) if breakers is None else breakers
        self.__adapters = dict(adapters)  # by endpoint; the name is mangled, so that reaching for it shows
        self.__on_wire: dict[int, Dispatch] = {}
        self.__dispatched = 0

    def __repr__(self) -> str:
        return f"Egress(endpoints={sorted(self.__adapters)}, on_wire={len(self.__on_wire)})"

    def refusal(self, permit: Permit | None, model: int) -> Exclusion | None:
        """Return why a model may not be called at this moment, None if it may. Asking permits nothing."""
        if not isinstance(permit, Permit):
            return Exclusion(model, Reason.NOT_ALLOWED, "the request has no permit")
        return self._eligibility.recheck(permit, model)

    async def call(
        self, permit: Permit | None, kind: Kind, model: int, request: Request, *, timeout_s: float, fair_s: float = 0.0
    ) -> Answer:
        """Ask a model of the catalogue, and wait for the whole answer.

        The request's model is filled in here. fair_s: how long an answer may well take; that none came within
        `timeout_s` speaks against the provider only if that is longer. Raises NotPermitted before anything is sent,
        else as the adapter does.
        """
        with self._leaving(permit, kind, model, fair_s) as (adapter, entry):
            return await adapter.complete(replace(request, model=entry.upstream_model), timeout_s=timeout_s)

    async def stream(
        self, permit: Permit | None, kind: Kind, model: int, request: Request, *, timeout_s: float, fair_s: float = 0.0
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer piece by piece; checked when the first piece is asked for, as `call` is."""
        with self._leaving(permit, kind, model, fair_s) as (adapter, entry):
            asked = adapter.stream(replace(request, model=entry.upstream_model), timeout_s=timeout_s)
            async with aclosing(asked) as events:
                async for event in events:
                    yield event
                    if isinstance(event, Finished):
                        return
            raise Truncated("the stream ended without its last event", provider=entry.endpoint, model=entry.name)

    @contextmanager
    def _leaving(
        self, permit: Permit | None, kind: Kind, model: int, fair_s: float = 0.0
    ) -> Iterator[tuple[Adapter, ModelPut]]:
        """Check a call, and keep it among those on the wire; nothing may be awaited before the adapter is called."""
        if not isinstance(kind, Kind):
            raise TypeError(f"{kind!r} is no kind of call; give it a name in egress.Kind")
        excluded = self.refusal(permit, model)
        if excluded is not None:
            log.warning("egress_refused", kind=kind.value, model=self._catalog.model_names[model], why=excluded.reason)
            raise NotPermitted(kind, excluded)
        entry = self._catalog.models[model]
        adapter = self.__adapters.get(entry.endpoint)
        if adapter is None:
            detail = f"endpoint {entry.endpoint!r} is not configured"
            raise NotPermitted(kind, Exclusion(model, Reason.NO_ENDPOINT, detail))
        self.__dispatched = number = self.__dispatched + 1
        self.__on_wire[number] = Dispatch(kind, model, self._eligibility.epoch)
        leave = self.breakers.begin(entry)
        try:
            yield adapter, entry
        except ProviderError as error:
            self.breakers.failed(leave, error, fair_s)
            raise
        except BaseException:  # the caller left, or a defect: nothing is known
            self.breakers.abandoned(leave)
            raise
        else:
            self.breakers.succeeded(leave)
        finally:
            del self.__on_wire[number]

    def on_wire(self, before_epoch: int | None = None) -> list[Dispatch]:
        """Return the calls that have left and are not back, those that left under an earlier epoch if one is given."""
        return [d for d in self.__on_wire.values() if before_epoch is None or d.epoch < before_epoch]

    async def aclose(self) -> None:
        """Close every adapter."""
        for adapter in self.__adapters.values():
            await adapter.aclose()
