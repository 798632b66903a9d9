"""The audit trail: who changed what, as a chain of digests, so that no entry can be changed or left out unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from naiad.server.store.base import AuditRow, Store

_STEP = 500
START = b""  # what the first digest covers in the place of an earlier one


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry. Facts never hold secrets, prompts or answers."""

    sequence: int
    at_ms: int
    action: str
    resource: str
    key_id: str = ""  # of whoever did it; "" without a key
    reason: str = ""
    facts: dict[str, str] = {}


class Checked(msgspec.Struct, frozen=True):
    """What checking a trail found."""

    entries: int
    broken: int  # sequence of the first entry that does not fit, 0 for none
    last: bytes  # digest of the last entry
    known_found: bool


def digest_of(before: bytes, payload: bytes) -> bytes:
    """Return SHA-256 over the digest before and an entry."""
    return hashlib.sha256(before + payload).digest()


async def next_row(
    store: Store, at_ms: int, *, key_id: str, action: str, resource: str, reason: str = "",
    facts: Mapping[str, object] = {},
) -> AuditRow:  # fmt: skip
    """Return the entry that follows the trail's last; its caller must be the only one who adds to it."""
    last = await store.last_audit()
    entry = AuditEntry(
        sequence=1 if last is None else last.sequence + 1, at_ms=at_ms, action=action, resource=resource,
        key_id=key_id, reason=reason, facts={name: str(value) for name, value in facts.items()},
    )  # fmt: skip
    payload = msgspec.json.encode(entry)
    return AuditRow(entry.sequence, at_ms, payload, digest_of(START if last is None else last.digest, payload))


async def check(store: Store, known: bytes = b"") -> Checked:
    """Check a trail's chain from its first entry, and whether a digest known from earlier is in it."""
    position, broken, before, found = 0, 0, START, not known
    while rows := await store.audit(position, _STEP):
        for row in rows:
            fits = row.sequence == position + 1 and row.digest == digest_of(before, row.payload)
            if not fits and not broken:
                broken = position + 1
            position, before = row.sequence, row.digest
            found = found or row.digest == known
    return Checked(position, broken, before, found)
