"""The audit trail of AdminService between the wire and the server's words."""

from __future__ import annotations

from typing import Any

import msgspec

from naiad.server import render
from naiad.server.audit import Act, Entry, entry_of
from naiad.server.convert import LONG, text_id, time_ms
from naiad.server.errors import NaiadError
from naiad.server.paging import decode, encode, page_size
from naiad.server.store.base import AuditRow, Store
from naiad.v1 import admin_pb2, admin_service_pb2

_STEP = 500  # rows read at a time, so that no acknowledgement waits long
_MOST_READ = 20_000  # rows of one page: a filter that finds nothing comes back with a token

_UNREADABLE = Act(action="unreadable", succeeded=False)


def digest(value: bytes, field: str) -> bytes:
    """Return the digest of an entry, b"" for none; raises NaiadError for what is none."""
    if len(value) not in (0, 32):
        rule = "32 bytes, as last_digest of VerifyAudit"
        raise NaiadError(
            "INVALID_FORMAT",
            f"{field} has {len(value)} bytes; a digest has {rule}: send it whole, or leave it empty",
            metadata={"rule": rule}, field=field,
        )  # fmt: skip
    return value


async def list_events(store: Store, request: Any, tenant: int) -> admin_service_pb2.ListAuditEventsResponse:
    """Return a page of the tenant's trail, the latest first; raises NaiadError. store: of the tenant."""
    start_ms, end_ms = time_ms(request, "start_time"), time_ms(request, "end_time")
    key, action = text_id(request.key_id, "key_id"), text_id(request.action, "action", longest=LONG)
    scope = ("audit", tenant, start_ms, end_ms, key, action)
    wanted = page_size(request.page_size)
    before = decode(request.page_token, *scope)
    reply = admin_service_pb2.ListAuditEventsResponse()
    read = 0
    while len(reply.events) < wanted and read < _MOST_READ:
        rows = await store.latest_audit(before, _STEP)
        for row in rows:
            before, read = row.number, read + 1
            act = _entry(row).act
            if (
                (start_ms is None or row.at_ms >= start_ms)
                and (end_ms is None or row.at_ms < end_ms)
                and key in ("", act.key)
                and action in ("", act.action)
            ):
                reply.events.append(_event(row))
                if len(reply.events) == wanted:
                    break
        if len(rows) < _STEP and (not rows or before == rows[-1].number):
            return reply  # the first entry was reached
    if before is not None and before > 1:
        reply.next_page_token = encode(before, *scope)
    return reply


def _entry(row: AuditRow) -> Entry:
    """Return what a row says; one that cannot be read is shown as such: VerifyAudit tells more."""
    try:
        return entry_of(row)
    except msgspec.MsgspecError:
        return Entry(number=row.number, at_ms=row.at_ms, act=_UNREADABLE)


def _event(row: AuditRow) -> admin_pb2.AuditEvent:
    entry = _entry(row)
    act = entry.act
    facts = dict(act.facts)
    if entry.event:
        facts["event"] = str(entry.event)
    return admin_pb2.AuditEvent(
        sequence=row.number,
        create_time=render.timestamp(row.at_ms),
        key_id=act.key,
        action=act.action,
        resource=act.resource,
        reason=act.reason,
        succeeded=act.succeeded,
        facts=facts,
        digest=row.digest,
    )
