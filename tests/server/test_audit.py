"""The audit trail: every change is in it, any alteration is noticed, refusals cannot fill the disk."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.audit import Act, Trail, entry_of, is_refusal
from naiad.server.audit_check import Checked, check
from naiad.server.auditor import (
    MOST_ADDRESSES,
    MOST_COUNTED,
    MOST_OF_ADDRESS,
    MOST_WRITTEN,
    PEER,
    WINDOW_S,
    Auditor,
    address_of,
)
from naiad.server.folding import fold
from naiad.server.journal import Request
from naiad.server.records import BudgetPut
from naiad.server.store.base import AuditRow, Store
from naiad.server.store.memory import MemoryStore
from tests.journal.world import SETUP, World, new_engine, world


class Witness:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.acts: list[Act] = []

    def witness(self, act: Act) -> None:
        self.acts.append(act)


REFUSED = Act(action="naiad.v1.X/Y", reason="PERMISSION_DENIED", succeeded=False)


async def checked(w: World, known: bytes = b"") -> Checked:
    stands, upto = await w.journal.trail()
    return await check(w.store, stands, upto, known)


@asynccontextmanager
async def changed() -> AsyncIterator[tuple[World, Any]]:
    """Yield a world with a trail of every kind of entry, on a store that tests may tamper with."""
    async with world(MemoryStore()) as w:
        put = BudgetPut(budget=0, budget_id="b", limit_nano_usd=10**9, period=1, at_ms=7)
        await w.journal.append(put, request=Request("AdminService/CreateBudget", key_id="k1"))
        w.journal.witness(REFUSED)
        await w.journal.append(msgspec.structs.replace(put, limit_nano_usd=10**10, revision=2))
        await w.journal.written()
        yield w, w.store


async def test_every_change_is_told_with_its_author_and_its_event() -> None:
    async with changed() as (w, store):
        w.decide()
        await w.journal.written()
        entries = [entry_of(row) for row in await store.audit(0, 100)]
        assert [e.number for e in entries] == list(range(1, len(SETUP) + 4))
        made, refused, raised = entries[-3:]
        assert (made.act.action, made.act.resource) == ("naiad.v1.AdminService/CreateBudget", "budgets/b")
        assert (made.act.key, made.act.succeeded, made.act.facts["revision"]) == ("k1", True, "1")
        assert "limit_nano_usd" in made.act.facts["changed"]
        (event,) = await store.events(made.event - 1, 1)
        assert made.event_sha256 == hashlib.sha256(event.payload).hexdigest()
        assert (refused.act, refused.event) == (REFUSED, 0)
        assert raised.act.facts == {"changed": "limit_nano_usd", "revision": "2"}
        assert raised.act.action == "configuration"
        found = await checked(w)
        assert (found.intact, found.entries) == (True, len(entries))


async def test_a_refused_change_leaves_no_entry() -> None:
    async with changed() as (w, store):
        before = await store.audit(0, 100)
        assert await w.journal.earlier(Request("x", "nobody"), Act) is None
        record = w.decide()
        await w.rate(record, 0.5)
        assert await store.audit(0, 100) == before


@pytest.mark.parametrize("part", ["payload", "digest", "number", "at_ms", "event"])
async def test_any_changed_byte_is_noticed(part: str) -> None:
    async with changed() as (w, store):
        at = len(SETUP)  # the budget's first entry
        row = store._audit[at]
        if part == "event":
            sequence = entry_of(row).event
            old = store._events[sequence - 1]
            store._events[sequence - 1] = old._replace(payload=old.payload.replace(b'"b"', b'"c"'))
        elif part in ("payload", "digest"):
            value = getattr(row, part)
            store._audit[at] = row._replace(**{part: value[:-3] + bytes([value[-3] ^ 1]) + value[-2:]})
        else:
            store._audit[at] = row._replace(**{part: getattr(row, part) + 1})
        found = await checked(w)
        assert not found.intact
        assert found.first_broken in (at + 1, at + 2)


@given(st.data())
async def test_removed_reordered_and_forged_entries_are_noticed(data: st.DataObject) -> None:
    async with changed() as (w, store):
        rows = list(store._audit)
        at = data.draw(st.integers(0, len(rows) - 1))
        kind = data.draw(st.sampled_from(["removed", "renumbered", "swapped", "forged"]))
        if kind == "removed":
            store._audit = rows[:at] + rows[at + 1 :]
        elif kind == "renumbered":
            store._audit = rows[:at] + [row._replace(number=row.number - 1) for row in rows[at + 1 :]]
        elif kind == "swapped":
            other = data.draw(st.integers(0, len(rows) - 1).filter(lambda i: i != at))
            store._audit = list(rows)
            store._audit[at], store._audit[other] = (
                rows[other]._replace(number=at + 1),
                rows[at]._replace(number=other + 1),
            )
        else:  # sealed anew, as if by somebody who knows how
            stands = Trail(rows[at - 1].number, rows[at - 1].digest) if at else Trail()
            store._audit = [*rows[:at], stands.sealed(Act(action="forged"), 1)[0], *rows[at + 1 :]]
        assert not (await checked(w)).intact


async def test_a_trail_that_was_cut_off_with_the_server_stopped_lacks_a_change_or_the_known_digest() -> None:
    async with changed() as (w, store):
        known = store._audit[-1].digest
        assert (await checked(w, known)).intact
        assert not (await checked(w, b"x" * 32)).known_found
        upto = w.engine.sequence
        cut = store._audit[-2]  # as a server would find it that starts on the cut trail
        store._audit = store._audit[:-1]
        found = await check(store, Trail(cut.number, cut.digest), upto)
        assert (found.intact, found.first_broken) == (False, cut.number)
        store._audit = store._audit[:-1]  # only a refusal more: the change is what tells
        found = await check(store, Trail(cut.number - 1, store._audit[-1].digest), upto, known)
        assert not found.known_found


async def test_the_trail_goes_on_after_a_restart() -> None:
    store = MemoryStore()
    async with world(store) as w:
        stands = (await w.journal.trail())[0]
    async with _again(store) as w:
        assert (await w.journal.trail())[0] == stands
        w.journal.witness(REFUSED)
        assert (await checked(w)).entries == stands.number + 1


@asynccontextmanager
async def _again(store: Store) -> AsyncIterator[World]:
    engine = new_engine()
    await fold(store, engine)
    made = World(store, engine)
    made.journal.start()
    yield made
    await made.journal.close()


async def test_refusals_are_bounded_and_their_number_is_kept() -> None:
    clock, kept = [0.0], Witness()
    auditor = Auditor(kept, lambda: clock[0])
    for i in range(10_000):
        auditor.audit(msgspec.structs.replace(REFUSED, key=f"k{i}", action=f"naiad.v1.X/{i % 300}"))
    assert len(kept.acts) == MOST_WRITTEN
    clock[0] = WINDOW_S
    auditor.audit(REFUSED)
    assert len(kept.acts) <= MOST_WRITTEN + MOST_COUNTED + 2
    counted = sum(int(act.facts.get("refused", 1)) for act in kept.acts)
    assert counted == 10_001
    auditor.audit(msgspec.structs.replace(REFUSED, succeeded=True))
    auditor.flush()
    assert kept.acts[-1].succeeded
    assert sum(int(act.facts.get("refused", 1)) for act in kept.acts) == 10_002


def stranger(address: str) -> Act:
    return msgspec.structs.replace(REFUSED, key="", reason="UNAUTHENTICATED", facts={PEER: address})


async def test_strangers_take_no_key_s_place_in_the_trail_and_no_address_that_of_another() -> None:
    kept = Witness()
    auditor = Auditor(kept, lambda: 0.0)
    for _ in range(10_000):
        auditor.audit(stranger("192.0.2.1"))
    assert len(kept.acts) == MOST_OF_ADDRESS
    auditor.audit(stranger("192.0.2.2"))
    assert kept.acts[-1].facts == {PEER: "192.0.2.2"}
    for _ in range(MOST_WRITTEN):
        auditor.audit(REFUSED)
    assert kept.acts[-MOST_WRITTEN:] == [REFUSED] * MOST_WRITTEN
    auditor.flush()
    told = [act.facts for act in kept.acts if "summary" in act.facts]
    assert told == [{"refused": str(10_000 - MOST_OF_ADDRESS), "summary": "true", PEER: "192.0.2.1"}]


async def test_a_flood_from_everywhere_is_bounded_and_its_number_is_kept() -> None:
    clock, kept = [0.0], Witness()
    auditor = Auditor(kept, lambda: clock[0])
    for _ in range(2):
        for i in range(20_000):
            auditor.audit(stranger(f"10.0.{i % 5_000 >> 8}.{i % 256}"))
        clock[0] += WINDOW_S
        assert len(auditor._strangers._written) <= MOST_ADDRESSES + 1
    auditor.flush()
    assert len(kept.acts) <= 2 * (MOST_WRITTEN + MOST_COUNTED + 1)
    assert sum(int(act.facts.get("refused", 1)) for act in kept.acts) == 40_000


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:192.0.2.7:50123", "192.0.2.7"),
        ("ipv6:%5B2001:db8:1:2:3::7%5D:50123", "2001:db8:1:2::/64"),
        ("ipv6:[::ffff:192.0.2.7]:1", "192.0.2.7"),
        ("unix:", "unknown"),
        ("unix:/tmp/x:1", "unknown"),
        ("", "unknown"),
    ],
)
def test_an_address_is_that_of_the_peer(peer: str, address: str) -> None:
    assert address_of(peer) == address


def test_the_chain_is_sha256_over_the_digest_before_and_the_json() -> None:
    row, stands = Trail(4, b"d" * 32).sealed(Act(action="a"), 9)
    assert row == AuditRow(5, 9, row.payload, hashlib.sha256(b"d" * 32 + row.payload).digest())
    assert stands == Trail(5, row.digest)
    assert Trail(4, b"d" * 32).follows(row) == entry_of(row)
    assert Trail(4, b"e" * 32).follows(row) is None


def test_refusals_are_those_for_want_of_rights_and_by_governance() -> None:
    assert is_refusal("PERMISSION_DENIED", {})
    assert is_refusal("NO_ELIGIBLE_MODEL", {"reasons": "CAPABILITY x 1, DATA_ZONE x 2"})
    assert not is_refusal("NO_ELIGIBLE_MODEL", {"reasons": "CAPABILITY x 1"})
    assert not is_refusal("BUDGET_EXHAUSTED", {})
