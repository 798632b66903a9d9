"""Sabotaged ways out, each of which bar B9 must catch: a kind that is not checked, and checks that do not bind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from naiad.adapters.base import Adapter, Answer, Request
from naiad.adapters.departure import checked
from naiad.server.attempts import Attempts
from naiad.server.catalog import Catalog
from naiad.server.completion import Completer
from naiad.server.egress import Departure, Dispatch, Egress, Kind
from naiad.server.eligibility import Eligibility, Permit, Reason
from naiad.server.records import Exclusion, ModelPut

HOLES = (
    *(f"skip_{kind.value}" for kind in Kind),
    "stale_permit",
    "check_then_wait",
    "connect_then_send",
    "skip_recall",
)
_WAIT_S = 0.003  # longer than a commit takes: an edit may be acknowledged meanwhile


class Unasked(Departure):
    """A departure that is not asked for again."""

    def __call__(self) -> None:
        """Let everything through."""


class HoledEgress(Egress):
    """An egress with a hole."""

    def __init__(
        self, catalog: Catalog, eligibility: Eligibility, adapters: Mapping[str, Adapter], hole: str = ""
    ) -> None:
        super().__init__(catalog, eligibility, adapters)
        self._models, self._open, self._hole = catalog, adapters, hole

    @contextmanager
    def _leaving(
        self, permit: Permit | None, kind: Kind, model: int, fair_s: float = 0.0
    ) -> Iterator[tuple[Adapter, ModelPut, Departure]]:
        if self._hole == f"skip_{kind.value}":
            entry, wire = self._models.models[model], getattr(self, "_Egress__on_wire")  # noqa: B009 - it is mangled
            number = max(wire, default=0) + 1_000_000  # looks as if it had been checked: only the receipt tells
            wire[number] = unasked = Unasked(self, permit, Dispatch(kind, model, self.epoch))
            try:
                yield self._open[entry.endpoint], entry, unasked
            finally:
                del wire[number]
            return
        with super()._leaving(permit, kind, model, fair_s) as (adapter, entry, departure):
            if self._hole == "connect_then_send":
                departure = Unasked(self, permit, departure.dispatch)
            yield adapter, entry, departure

    def refusal(self, permit: Permit | None, model: int, *, at_present: bool = True) -> Exclusion | None:
        """Return why a model may not be called; with "stale_permit", by the rules as the request was decided."""
        if self._hole == "stale_permit" and permit is not None:
            if at_present and (objection := self.breakers.objection(self._models.models[model])):
                return Exclusion(model, Reason.UNAVAILABLE, objection)
            return None if model in permit.models else Exclusion(model, Reason.NOT_ALLOWED, "not permitted")
        return super().refusal(permit, model, at_present=at_present)

    def recall(self, permit: Permit | None, model: int) -> bool:
        """Return whether a kept answer may be given; with "skip_recall", always."""
        return self._hole == "skip_recall" or super().recall(permit, model)

    async def call(
        self, permit: Permit | None, kind: Kind, model: int, request: Request, *, timeout_s: float, fair_s: float = 0.0
    ) -> Answer:
        """Ask a model; with "check_then_wait", a while after the check."""
        if self._hole != "check_then_wait":
            return await super().call(permit, kind, model, request, timeout_s=timeout_s, fair_s=fair_s)
        with self._leaving(permit, kind, model) as (adapter, entry, departure):
            await asyncio.sleep(_WAIT_S)
            with checked(Unasked(self, permit, departure.dispatch)):
                return await adapter.complete(replace(request, model=entry.upstream_model), timeout_s=timeout_s)


class _CarelessAttempts(Attempts):
    """Leaves it to the egress whether a model may be called."""

    def refusal(self, *_: Any) -> Exclusion | None:
        return None


class CarelessCompleter(Completer):
    """A completer that leaves it to the egress whether a model may be called, which with "skip_fallback" lets it."""

    attempting = _CarelessAttempts
