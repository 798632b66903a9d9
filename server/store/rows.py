"""Rows of the tables: which columns, and the statements that write a batch."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from naiad.server.store.base import Batch, CostKey, EventRow, StoreCorrupt
from naiad.server.store.schema import TENANT_STRIDE

EVENT = "seq, kind, at_ms, payload, uid, task_class, model, workflow, session, checksum"
REPLY = "request_id, method, digest, reply, at_ms"
COST = "hour, workflow, task_class, model, payload, checksum"
AUDIT = "number, at_ms, payload, digest"
_ROW = "(?,?,?,?,?,?,?,?,?,?,?)"
_MAX_VARIABLES = 32_000  # SQLite's default limit is 32,766


def checksum(payload: bytes) -> bytes:
    """Return the checksum (8,) of a payload."""
    return hashlib.blake2b(payload, digest_size=8).digest()


def event_of(row: sqlite3.Row) -> EventRow:
    """Return an event of the columns EVENT; raises StoreCorrupt."""
    payload = row[3]
    if not isinstance(payload, bytes) or checksum(payload) != row[9]:
        raise StoreCorrupt(f"event {row[0] % TENANT_STRIDE} ({row[1]}) does not match its checksum; restore a backup")
    return EventRow(row[0] % TENANT_STRIDE, row[1], row[2], payload, row[4], row[5], row[6], row[7], row[8])


def marks(values: Sequence[object]) -> str:
    """Return a placeholder for each value."""
    return ",".join("?" * len(values))


def statements(batch: Batch, tenant: int) -> Iterable[tuple[str, list[object]]]:
    """Yield multi-row inserts: one statement is one trip to the thread and one hand-over of the interpreter lock."""
    rows: list[list[object]] = [
        [
            tenant, tenant * TENANT_STRIDE + e.sequence, e.kind, e.at_ms, e.payload, e.uid, e.task_class, e.model,
            e.workflow, e.session, checksum(e.payload),
        ]
        for e in batch.events
    ]  # fmt: skip
    yield from _inserts(f"INSERT INTO events (tenant, {EVENT}) VALUES ", _ROW, rows)  # noqa: S608
    yield from _inserts(
        "INSERT OR REPLACE INTO ledger (tenant, uid, payload, checksum) VALUES ",
        "(?,?,?,?)",
        [[tenant, uid, payload, checksum(payload)] for uid, payload in batch.entries.items()],
    )
    yield from _inserts(
        f"INSERT INTO requests (tenant, {REPLY}) VALUES ",  # noqa: S608
        "(?,?,?,?,?,?)",
        [[tenant, r.request_id, r.method, r.digest, r.reply, r.at_ms] for r in batch.replies],
    )
    yield from _inserts(
        "INSERT OR REPLACE INTO api_keys (key_id, tenant, payload, checksum) VALUES ",
        "(?,?,?,?)",
        [[k.key_id, k.tenant, k.payload, checksum(k.payload)] for k in batch.keys],
    )
    yield from _inserts(
        f"INSERT INTO audit (tenant, {AUDIT}) VALUES ",  # noqa: S608
        "(?,?,?,?,?)",
        [[tenant, *row] for row in batch.audit],
    )
    yield from cost_inserts(batch.costs, tenant)
    if batch.costs_broken:
        yield "DELETE FROM costs_built WHERE tenant = ?", [tenant]


def cost_inserts(costs: Mapping[CostKey, bytes], tenant: int) -> Iterable[tuple[str, list[object]]]:
    """Yield what writes running sums of cost; the checksum covers the key, so that a row cannot stand for another."""
    yield from _inserts(
        "INSERT OR REPLACE INTO costs (tenant, hour, workflow, task_class, model, payload, checksum) VALUES ",
        "(?,?,?,?,?,?,?)",
        [[tenant, *key, payload, checksum(repr(tuple(key)).encode() + payload)] for key, payload in costs.items()],
    )


def cost_of(row: sqlite3.Row) -> tuple[CostKey, bytes]:
    """Return the running sums of the columns COST; raises StoreCorrupt."""
    key, payload = CostKey(*row[:4]), row[4]
    if not isinstance(payload, bytes) or checksum(repr(tuple(key)).encode() + payload) != row[5]:
        raise StoreCorrupt(
            f"the sums of cost of hour {key.hour}, task class {key.task_class} and model {key.model} do not match "
            "their checksum; restore a backup"
        )
    return key, payload


def _inserts(head: str, row: str, rows: list[list[object]]) -> Iterable[tuple[str, list[object]]]:
    if not rows:
        return
    step = _MAX_VARIABLES // len(rows[0])
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        yield head + ",".join([row] * len(part)), [value for values in part for value in values]
