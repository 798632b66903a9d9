"""The audit trail: who changed what, and what was refused; each entry chained to the one before by its digest.

The journal writes an entry in the transaction of the change that it tells of, with the place of the change's event in
the log and a digest of it: a changed, missing or reordered entry is noticed, and so is a changed event. Refusals are
written too, at a bounded rate: `auditor`.

Facts never hold secrets, prompts or answers: they are names, numbers and the names of fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from naiad.server.engine import Engine
from naiad.server.records import BudgetPut, Event, ModelPut, PolicySet, TaskClassPut
from naiad.server.store.base import AuditRow

REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "DECISION_ID_FOREIGN", "DECISION_ID_FORGED"})
_SERVER = {None: "configuration", "ensure": "first_use"}  # what the server does by itself


def is_refusal(reason: str, metadata: Mapping[str, str]) -> bool:
    """Return whether an error is a refusal that the trail tells of: for want of rights, or by governance."""
    return reason in REFUSALS or (reason == "NO_ELIGIBLE_MODEL" and "DATA_ZONE" in metadata.get("reasons", ""))


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the trail tells of."""

    action: str  # the method, "naiad.v1.Service/Method", or the server's own act
    resource: str = ""
    key: str = ""  # public id of the key that did it; "" is the server itself, or nobody known
    reason: str = ""
    succeeded: bool = True
    facts: dict[str, str] = {}


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An act as the trail keeps it; its JSON is what is digested."""

    number: int
    at_ms: int
    act: Act
    event: int = 0  # place of the change's event in the log, 0 for an act without one
    event_sha256: str = ""


_decode = msgspec.json.Decoder(Entry).decode


class Trail(NamedTuple):
    """Where the trail stands: its last entry."""

    number: int = 0
    digest: bytes = b""

    def sealed(self, act: Act, at_ms: int, event: int = 0, payload: bytes = b"") -> tuple[AuditRow, Trail]:
        """Return the row of the next entry, and where the trail then stands; payload: of the change's event."""
        digested = hashlib.sha256(payload).hexdigest() if event else ""
        entry = Entry(number=self.number + 1, at_ms=at_ms, act=act, event=event, event_sha256=digested)
        body = msgspec.json.encode(entry)
        digest = self.chained(body)
        return AuditRow(entry.number, at_ms, body, digest), Trail(entry.number, digest)

    def chained(self, body: bytes) -> bytes:
        """Return the digest of an entry that follows."""
        return hashlib.sha256(self.digest + body).digest()

    def follows(self, row: AuditRow) -> Entry | None:
        """Return the entry of a row that follows this one, None if it was changed or is another one."""
        if row.number != self.number + 1 or row.digest != self.chained(row.payload):
            return None
        try:
            entry = _decode(row.payload)
        except msgspec.MsgspecError:
            return None
        return entry if (entry.number, entry.at_ms) == (row.number, row.at_ms) else None


def entry_of(row: AuditRow) -> Entry:
    """Return what a row says, whether the chain holds or not; raises msgspec.MsgspecError for what cannot be read."""
    return _decode(row.payload)


def act_of(event: Event, engine: Engine, method: str | None, key: str) -> Act | None:
    """Return the act that an event is, None for one that the trail does not tell of; engine: as it is before."""
    before: msgspec.Struct | None
    match event:
        case ModelPut():
            resource, before = f"models/{event.name}", engine.catalog.find_model(event.name)
        case TaskClassPut():
            resource, before = f"task_classes/{event.name}", engine.catalog.find_task_class(event.name)
        case BudgetPut():
            resource, before = f"budgets/{event.budget_id}", engine.ceilings.find(event.budget_id)
        case PolicySet():
            resource, before = f"policies/{event.version}", engine.policy
        case _:
            return None
    facts = {"changed": ", ".join(_changed(before, event))}
    if not isinstance(event, PolicySet):
        facts["revision"] = str(event.revision)
        if event.deleted:
            facts["deleted"] = "true"
    return Act(action=_SERVER.get(method) or f"naiad.v1.{method}", resource=resource, key=key, facts=facts)


def _changed(before: msgspec.Struct | None, after: msgspec.Struct) -> Iterator[str]:
    """Yield the names of the fields in which two entries differ."""
    for field in after.__struct_fields__:
        if field in ("at_ms", "revision", "config_digest", "digest"):
            continue
        if before is None or getattr(before, field) != getattr(after, field):
            yield field
