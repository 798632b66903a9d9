"""The Store protocol: an append-only log with the tables that are derived from it, written in one transaction.

A store has one owner, the journal, which numbers the events and never overlaps two calls of `commit`. Everything is
keyed by tenant. An acknowledgement is given only after `commit` returned; a commit that raised has an unknown result.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class StoreError(Exception):
    """The store cannot be used; the message names the file, the rule and the remedy."""


class StoreLocked(StoreError):
    """Another server holds the store."""


class StoreTooNew(StoreError):
    """A newer version of Naiad wrote the store."""


class StoreUnwritable(StoreError):
    """The store, or the folder it lies in, cannot be written."""


class StoreCorrupt(StoreError):
    """What was read is not what was written: a checksum does not match."""


class EventRow(NamedTuple):
    """One event of the log with the columns that lists filter by."""

    sequence: int
    kind: str
    at_ms: int
    payload: bytes
    uid: int | None = None  # the decision that it belongs to
    task_class: int | None = None
    model: int | None = None
    workflow: str = ""
    session: str = ""


@dataclass(frozen=True, slots=True)
class ReplyRow:
    """What a request id stands for: the method, a digest of the body, and the reply that was given."""

    request_id: str
    method: str
    digest: str
    reply: bytes
    at_ms: int


class KeyRow(NamedTuple):
    """An API key as it is kept: never its secret."""

    key_id: str
    tenant: int
    payload: bytes


class CostKey(NamedTuple):
    """Which running sums of cost a row holds."""

    hour: int  # since 1970, UTC: of the decision
    workflow: str
    task_class: int
    model: int


class AuditRow(NamedTuple):
    """One entry of a tenant's audit trail: its JSON, and the digest that chains it to the one before."""

    number: int  # from 1, without a gap
    at_ms: int
    payload: bytes
    digest: bytes


@dataclass(slots=True)
class Batch:
    """What one transaction writes."""

    events: list[EventRow] = field(default_factory=list)
    entries: dict[int, bytes] = field(default_factory=dict)  # uid -> ledger entry
    replies: list[ReplyRow] = field(default_factory=list)
    keys: list[KeyRow] = field(default_factory=list)  # new, or in the place of the one of the same id
    audit: list[AuditRow] = field(default_factory=list)
    costs: dict[CostKey, bytes] = field(default_factory=dict)  # in the place of the row of the same key
    costs_broken: bool = False  # the running sums are no longer what the log says: they are to be made anew

    def __bool__(self) -> bool:
        return bool(self.events or self.entries or self.replies or self.keys or self.audit or self.costs)


@dataclass(frozen=True, slots=True)
class DecisionFilter:
    """Which decisions to list, newest first; unset fields do not filter."""

    before_uid: int | None = None
    from_uid: int | None = None
    task_class: int | None = None
    model: int | None = None
    workflow: str | None = None
    session: str | None = None
    start_ms: int | None = None
    end_ms: int | None = None


CHANGES = ("model", "task_class", "policy", "budget")  # kinds of events that the audit trail tells of


class Store(Protocol):
    """An event log, its ledger, replies, snapshots and audit trail, for one tenant; and what all tenants share.

    Shared are the signing keys, the server's secrets, the tenants and the API keys.
    """

    def of(self, tenant: int) -> Store:
        """Return the same store for another tenant; only the one that was opened is closed."""
        ...

    async def commit(self, batch: Batch) -> None:
        """Write a batch, all or nothing; on return it is on disk."""
        ...

    async def last_sequence(self) -> int:
        """Return the sequence of the newest event, 0 for an empty log."""
        ...

    async def events(self, after: int, limit: int) -> Sequence[EventRow]:
        """Return up to `limit` events with a sequence above `after`, in order; raises StoreCorrupt."""
        ...

    async def entries(self, uids: Iterable[int]) -> dict[int, bytes]:
        """Return the ledger entries of those decisions that have one."""
        ...

    async def decisions(self, uids: Iterable[int]) -> dict[int, EventRow]:
        """Return the events of those decisions whose row exists."""
        ...

    async def list_decisions(self, wanted: DecisionFilter, limit: int) -> Sequence[EventRow]:
        """Return up to `limit` decisions, newest first."""
        ...

    async def replies(self, request_ids: Iterable[str]) -> dict[str, ReplyRow]:
        """Return the replies kept for those request ids."""
        ...

    async def audit(self, after: int, limit: int) -> Sequence[AuditRow]:
        """Return up to `limit` entries of the audit trail with a number above `after`, in order, unchecked."""
        ...

    async def latest_audit(self, before: int | None, limit: int) -> Sequence[AuditRow]:
        """Return up to `limit` entries with a number below `before` (None: all), newest first, unchecked."""
        ...

    async def changes(self, after: int, limit: int) -> Sequence[int]:
        """Return up to `limit` sequences above `after` of events that the audit trail tells of, in order."""
        ...

    async def costs(self, keys: Iterable[CostKey]) -> dict[CostKey, bytes]:
        """Return the running sums of cost of those keys that have some; raises StoreCorrupt."""
        ...

    async def list_costs(
        self, from_hour: int, before_hour: int, after: CostKey | None, limit: int
    ) -> Sequence[tuple[CostKey, bytes]]:
        """Return up to `limit` running sums of these hours, in the order of their keys, those after a key if given.

        Raises StoreCorrupt.
        """
        ...

    async def costs_built(self) -> bool:
        """Return whether the running sums hold all that the log says."""
        ...

    async def replace_costs(self, rows: Mapping[CostKey, bytes]) -> None:
        """Put these running sums in the place of all others, and note that they hold all that the log says."""
        ...

    async def save_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep a snapshot of the state after an event; older ones but the last are dropped."""
        ...

    async def snapshots(self) -> Sequence[tuple[int, bytes]]:
        """Return the snapshots kept, newest first."""
        ...

    async def signing_keys(self) -> dict[int, bytes]:
        """Return all signing keys by id, retired ones included; the highest id signs."""
        ...

    async def add_signing_key(self, key_id: int, secret: bytes) -> None:
        """Keep a new signing key."""
        ...

    async def secrets(self) -> dict[str, bytes]:
        """Return the server's secrets by name."""
        ...

    async def add_secret(self, name: str, secret: bytes) -> None:
        """Keep a secret of the server."""
        ...

    async def tenants(self) -> dict[int, str]:
        """Return the names of all tenants by number; 0 is "default"."""
        ...

    async def add_tenant(self, tenant: int, name: str) -> None:
        """Keep a new tenant."""
        ...

    async def keys(self) -> Sequence[KeyRow]:
        """Return the API keys of all tenants by id; raises StoreCorrupt."""
        ...

    async def close(self) -> None:
        """Release the store."""
        ...
