"""Adapters whose calls fail on purpose, where a plan says so: each is announced, and so is every fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from random import Random

import structlog

from naiad.adapters.base import Adapter
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.errors import ProviderError
from naiad.adapters.exchange import Reply
from naiad.adapters.faults import Fault
from naiad.server.chaos import Plan

log = structlog.get_logger(__name__)


def disturbed(
    adapters: dict[str, Adapter], plan: Plan | None, networks: Mapping[str, Endpoint], clock: Callable[[], float]
) -> dict[str, Adapter]:
    """Return the adapters with the faults that are planned for them, which are logged; without a plan as they are.

    clock: monotonic, seconds.
    """
    if plan is None:
        return adapters
    return {name: _disturbed(name, adapter, plan, networks.get(name), clock) for name, adapter in adapters.items()}


def _disturbed(
    name: str, adapter: Adapter, plan: Plan, endpoint: Endpoint | None, clock: Callable[[], float]
) -> Adapter:
    from naiad.adapters.chaos import Chaos, Failure
    from naiad.adapters.remote import Remote

    faults, began = plan.of(name), clock()
    if not faults:
        return adapter
    log.warning(
        "chaos_on", endpoint=name, faults=len(faults), source=plan.source,
        meaning="calls to this endpoint fail on purpose; what is learned of it is not so",
    )  # fmt: skip

    def told(fault: Fault, model: str) -> None:
        log.warning("chaos_fault", endpoint=name, model=model, kind=fault.kind.value, fault=plan.faults.index(fault))

    def of_wire(reply: Reply) -> ProviderError:
        assert isinstance(adapter, Remote)  # noqa: S101
        return adapter.wire.failure(reply, now=datetime.now(UTC))

    own: dict[str, Failure] = {"failure": of_wire} if isinstance(adapter, Remote) else {}
    return Chaos(
        adapter, faults, endpoint=name, rng=Random(f"{plan.seed}/{name}"),  # noqa: S311 - draws, keeps no secret
        clock=lambda: clock() - began, patience=endpoint.patience if endpoint else None, on_fault=told, **own,
    )  # fmt: skip
