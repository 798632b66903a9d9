"""Checking the audit trail against itself, against the log, and against a digest that was kept elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from naiad.server.audit import Entry, Trail
from naiad.server.store.base import Store, StoreCorrupt

_STEP = 500  # rows read at a time, so that no acknowledgement waits long


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check of the trail found."""

    entries: int
    first_broken: int  # number of the first entry that does not fit, 0 when all do
    last: Trail
    known_found: bool

    @property
    def intact(self) -> bool:
        """Whether all fits, and the known digest was found."""
        return not self.first_broken and self.known_found


async def check(store: Store, stands: Trail, upto: int, known: bytes = b"") -> Checked:
    """Check every entry up to where the trail stands, the event that each tells of, and that no change lacks one.

    stands: the trail as the server knows it; upto: sequence of the log at that moment; known: digest of an earlier
    entry, b"" for none.
    """
    trail, broken, found = Trail(), 0, not known
    told: set[int] = set()
    while trail.number < stands.number and not broken:
        rows = await store.audit(trail.number, min(_STEP, stands.number - trail.number))
        if not rows:
            broken = trail.number + 1
        for row in rows:
            entry = trail.follows(row)
            if entry is None or not await _tells_of_its_event(store, entry):
                broken = trail.number + 1
                break
            trail = Trail(row.number, row.digest)
            found = found or row.digest == known
            if entry.event:
                told.add(entry.event)
    if not broken and trail != stands:
        broken = max(trail.number, 1)
    if not broken:
        broken = await _untold(store, told, upto)
    return Checked(trail.number, broken, trail, found)


async def _tells_of_its_event(store: Store, entry: Entry) -> bool:
    """Return whether the event is in the log as the entry saw it."""
    if not entry.event:
        return True
    try:
        rows = await store.events(entry.event - 1, 1)
    except StoreCorrupt:
        return False
    return (
        bool(rows)
        and rows[0].sequence == entry.event
        and hashlib.sha256(rows[0].payload).hexdigest() == entry.event_sha256
    )


async def _untold(store: Store, told: set[int], upto: int) -> int:
    """Return the number of the entry that should tell of a change and is missing, 0 if none is.

    Changes before the first that the trail tells of are older than the trail.
    """
    if not told:
        return 0
    after = min(told) - 1
    while after < upto:
        sequences = await store.changes(after, _STEP)
        for sequence in sequences:
            if sequence <= upto and sequence not in told:
                return 1 + sum(earlier < sequence for earlier in told)
        after = sequences[-1] if sequences else upto
    return 0
