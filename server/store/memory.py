"""A store in memory: for tests, and for a server that is told to keep nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from itertools import pairwise

from naiad.server.store.base import (
    CHANGES,
    AuditRow,
    Batch,
    CostKey,
    DecisionFilter,
    EventRow,
    KeyRow,
    ReplyRow,
    StoreError,
)


class MemoryStore:
    """The Store protocol without a disk; acknowledgements mean nothing beyond this process."""

    def __init__(self) -> None:
        self._begin(0)
        self._keys: dict[int, bytes] = {}
        self._secrets: dict[str, bytes] = {}
        self._tenants = {0: "default"}
        self._api_keys: dict[str, KeyRow] = {}
        self._all = {0: self}

    def _begin(self, tenant: int) -> None:
        """Set up what belongs to one tenant."""
        self._tenant = tenant
        self._events: list[EventRow] = []
        self._decisions: dict[int, EventRow] = {}
        self._entries: dict[int, bytes] = {}
        self._replies: dict[str, ReplyRow] = {}
        self._audit: list[AuditRow] = []
        self._snapshots: list[tuple[int, bytes]] = []
        self._costs: dict[CostKey, bytes] = {}
        self._costs_built = False

    def __repr__(self) -> str:
        return f"MemoryStore(tenant={self._tenant}, events={len(self._events)})"

    def of(self, tenant: int) -> MemoryStore:
        """Return the store of another tenant."""
        if tenant not in self._all:
            other = self._all[tenant] = copy(self)
            other._begin(tenant)
        return self._all[tenant]

    async def commit(self, batch: Batch) -> None:
        """Write a batch."""
        sequences = [await self.last_sequence(), *(event.sequence for event in batch.events)]
        decided = [event.uid for event in batch.events if event.kind == "decided"]
        numbers = [len(self._audit), *(row.number for row in batch.audit)]
        requests = [reply.request_id for reply in batch.replies]
        if (
            any(later <= earlier for earlier, later in pairwise(sequences))
            or any(later <= earlier for earlier, later in pairwise(numbers))
            or len(set(decided)) < len(decided)
            or len(set(requests)) < len(requests)
            or not self._decisions.keys().isdisjoint(decided)
            or not self._replies.keys().isdisjoint(requests)
        ):
            raise StoreError("not written: a sequence, decision, request id or audit number exists already")
        self._events.extend(batch.events)
        for event in batch.events:
            if event.kind == "decided" and event.uid is not None:
                self._decisions[event.uid] = event
        self._entries.update(batch.entries)
        self._audit.extend(batch.audit)
        self._replies.update((reply.request_id, reply) for reply in batch.replies)
        self._api_keys.update((key.key_id, key) for key in batch.keys)
        self._costs.update(batch.costs)
        self._costs_built &= not batch.costs_broken

    async def last_sequence(self) -> int:
        """Return the newest sequence."""
        return self._events[-1].sequence if self._events else 0

    async def events(self, after: int, limit: int) -> Sequence[EventRow]:
        """Return events in order."""
        return [event for event in self._events if event.sequence > after][:limit]

    async def entries(self, uids: Iterable[int]) -> dict[int, bytes]:
        """Return ledger entries."""
        return {uid: self._entries[uid] for uid in uids if uid in self._entries}

    async def decisions(self, uids: Iterable[int]) -> dict[int, EventRow]:
        """Return decisions."""
        return {uid: self._decisions[uid] for uid in uids if uid in self._decisions}

    async def list_decisions(self, wanted: DecisionFilter, limit: int) -> Sequence[EventRow]:
        """Return decisions, newest first."""
        found = []
        for uid in sorted(self._decisions, reverse=True):
            row = self._decisions[uid]
            if (
                (wanted.before_uid is None or uid < wanted.before_uid)
                and (wanted.from_uid is None or uid >= wanted.from_uid)
                and (wanted.task_class is None or row.task_class == wanted.task_class)
                and (wanted.model is None or row.model == wanted.model)
                and (wanted.workflow is None or row.workflow == wanted.workflow)
                and (wanted.session is None or row.session == wanted.session)
                and (wanted.start_ms is None or row.at_ms >= wanted.start_ms)
                and (wanted.end_ms is None or row.at_ms < wanted.end_ms)
            ):
                found.append(row)
                if len(found) == limit:
                    break
        return found

    async def replies(self, request_ids: Iterable[str]) -> dict[str, ReplyRow]:
        """Return kept replies."""
        return {rid: self._replies[rid] for rid in request_ids if rid in self._replies}

    async def audit(self, after: int, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail in order."""
        return [row for row in self._audit if row.number > after][:limit]

    async def latest_audit(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Return entries of the audit trail, newest first."""
        return [row for row in reversed(self._audit) if before is None or row.number < before][:limit]

    async def changes(self, after: int, limit: int) -> Sequence[int]:
        """Return sequences of changes."""
        return [e.sequence for e in self._events if e.sequence > after and e.kind in CHANGES][:limit]

    async def costs(self, keys: Iterable[CostKey]) -> dict[CostKey, bytes]:
        """Return running sums."""
        return {key: self._costs[key] for key in keys if key in self._costs}

    async def list_costs(
        self, from_hour: int, before_hour: int, after: CostKey | None, limit: int
    ) -> Sequence[tuple[CostKey, bytes]]:
        """Return running sums in the order of their keys."""
        keys = sorted(k for k in self._costs if from_hour <= k.hour < before_hour and (after is None or k > after))
        return [(key, self._costs[key]) for key in keys[:limit]]

    async def costs_built(self) -> bool:
        """Return whether the running sums are whole."""
        return self._costs_built

    async def replace_costs(self, rows: Mapping[CostKey, bytes]) -> None:
        """Replace the running sums."""
        self._costs, self._costs_built = dict(rows), True

    async def save_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep a snapshot and the one before it."""
        others = [kept for kept in self._snapshots if kept[0] != sequence]
        self._snapshots = sorted([(sequence, payload), *others], reverse=True)[:2]

    async def snapshots(self) -> Sequence[tuple[int, bytes]]:
        """Return the snapshots, newest first."""
        return list(self._snapshots)

    async def signing_keys(self) -> dict[int, bytes]:
        """Return all signing keys."""
        return dict(self._keys)

    async def add_signing_key(self, key_id: int, secret: bytes) -> None:
        """Keep a signing key."""
        if key_id in self._keys:
            raise StoreError(f"signing key {key_id} exists already")
        self._keys[key_id] = secret

    async def secrets(self) -> dict[str, bytes]:
        """Return the server's secrets."""
        return dict(self._secrets)

    async def add_secret(self, name: str, secret: bytes) -> None:
        """Keep a secret of the server."""
        if name in self._secrets:
            raise StoreError(f"the secret {name!r} exists already")
        self._secrets[name] = secret

    async def tenants(self) -> dict[int, str]:
        """Return all tenants."""
        return dict(self._tenants)

    async def add_tenant(self, tenant: int, name: str) -> None:
        """Keep a tenant."""
        if tenant in self._tenants or name in self._tenants.values():
            raise StoreError(f"tenant {name!r} exists already")
        self._tenants[tenant] = name

    async def keys(self) -> Sequence[KeyRow]:
        """Return the API keys of all tenants by id."""
        return [self._api_keys[key_id] for key_id in sorted(self._api_keys)]

    async def close(self) -> None:
        """Do nothing."""
