"""One suite for the Store protocol: subclass it, say how to open the store, and every law is tested.

A store that keeps nothing beyond its process says so in `cannot_reopen`; the tests concerned are then skipped with
that reason. `tamper` changes a stored payload behind the store's back, so that checksums can be tested.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.server.store.base import (
    CHANGES,
    AuditRow,
    Batch,
    CostKey,
    DecisionFilter,
    EventRow,
    KeyRow,
    ReplyRow,
    Store,
    StoreCorrupt,
    StoreError,
)

MANY = 40_000  # rows: more than SQLite's default of 32,766 variables a statement, whatever a row takes


def event(sequence: int, kind: str = "feedback", uid: int | None = None, **columns: Any) -> EventRow:
    """Return an event whose payload is a function of its sequence."""
    return EventRow(sequence, kind, 1_000 + sequence, b"payload %d" % sequence, uid, **columns)


def decided(sequence: int, uid: int, **columns: Any) -> EventRow:
    """Return a decision's event."""
    return event(sequence, "decided", uid, **columns)


def reply(request_id: str, body: bytes = b"{}") -> ReplyRow:
    """Return a kept reply."""
    return ReplyRow(request_id, "Service/Method", "digest", body, 5)


async def contents(store: Store) -> tuple[Any, ...]:
    """Return everything that batches may have written under the keys that these tests use."""
    return (
        await store.last_sequence(),
        list(await store.events(0, 1_000)),
        await store.entries(range(100)),
        await store.decisions(range(100)),
        await store.replies([f"r{i}" for i in range(100)]),
    )


def chosen(rows: Sequence[EventRow], wanted: DecisionFilter, limit: int) -> list[EventRow]:
    """The model of `list_decisions`: filter, order, cut."""
    found = [
        row
        for row in rows
        if row.kind == "decided"
        and row.uid is not None
        and (wanted.before_uid is None or row.uid < wanted.before_uid)
        and (wanted.task_class is None or row.task_class == wanted.task_class)
        and (wanted.model is None or row.model == wanted.model)
        and (wanted.workflow is None or row.workflow == wanted.workflow)
        and (wanted.session is None or row.session == wanted.session)
        and (wanted.start_ms is None or row.at_ms >= wanted.start_ms)
        and (wanted.end_ms is None or row.at_ms < wanted.end_ms)
    ]
    return sorted(found, key=lambda row: row.uid or 0, reverse=True)[:limit]


@st.composite
def logs(draw: st.DrawFn) -> list[EventRow]:
    """Draw logs of decisions with few distinct values in each column, and other events among them."""
    uids = draw(st.lists(st.integers(0, 1 << 62), unique=True, max_size=12))
    few = st.integers(0, 2)
    return [
        EventRow(
            i + 1, draw(st.sampled_from(("decided", "decided", "outcome"))), draw(st.integers(0, 5)), b"%d" % i, uid,
            draw(few), draw(few), draw(st.sampled_from(("", "w1", "w2"))), draw(st.sampled_from(("", "s1"))),
        )
        for i, uid in enumerate(uids)
    ]  # fmt: skip


@st.composite
def filters(draw: st.DrawFn, rows: Sequence[EventRow]) -> DecisionFilter:
    """Draw a filter, half of whose fields are unset and whose bounds often meet a row exactly."""
    few = st.none() | st.integers(0, 3)
    uids = [row.uid for row in rows if row.uid is not None]
    return DecisionFilter(
        before_uid=draw(st.none() | st.sampled_from(uids) if uids else st.none()),
        task_class=draw(few),
        model=draw(few),
        workflow=draw(st.none() | st.sampled_from(("", "w1", "w3"))),
        session=draw(st.none() | st.sampled_from(("", "s1"))),
        start_ms=draw(st.none() | st.integers(0, 6)),
        end_ms=draw(st.none() | st.integers(0, 6)),
    )


class StoreSuite(ABC):
    """The laws of `naiad.server.store.base.Store`."""

    cannot_reopen = ""
    cannot_tamper = ""
    refusals: tuple[type[Exception], ...] = (StoreError,)  # what `commit` raises for a batch that it refuses

    @abstractmethod
    def opener(self, folder: Any) -> Callable[[], Awaitable[Store]]:
        """Return a function that opens the store kept in a folder, a new one at first."""

    async def tamper(self, store: Store, folder: Any, sequence: int) -> None:
        """Change the stored payload of one event, and nothing else."""
        pytest.skip(self.cannot_tamper or "tamper() is missing")

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Any) -> AsyncIterator[Store]:
        """Open a store that is closed after the test."""
        opened = await self.opener(tmp_path)()
        yield opened
        await opened.close()

    # -- the audit trail -------------------------------------------------------------------------------------------

    async def test_the_audit_trail_is_read_both_ways(self, store: Store) -> None:
        rows = [AuditRow(number, 10 * number, b"{%d}" % number, bytes([number]) * 32) for number in range(1, 8)]
        await store.commit(Batch(audit=rows[:3]))
        await store.commit(Batch([event(1)], audit=rows[3:]))
        assert list(await store.audit(0, 100)) == rows
        assert list(await store.audit(2, 3)) == rows[2:5]
        assert list(await store.audit(7, 3)) == []
        assert list(await store.latest_audit(None, 2)) == [rows[6], rows[5]]
        assert list(await store.latest_audit(3, 100)) == [rows[1], rows[0]]

    async def test_an_entry_that_exists_refuses_its_batch(self, store: Store) -> None:
        row = AuditRow(1, 5, b"{}", b"d" * 32)
        await store.commit(Batch(audit=[row]))
        with pytest.raises(self.refusals):
            await store.commit(Batch([event(1)], audit=[row]))
        assert await store.last_sequence() == 0
        assert list(await store.audit(0, 10)) == [row]

    async def test_changes_are_those_that_the_trail_tells_of(self, store: Store) -> None:
        kinds = [*CHANGES, "outcome", "reserved", "feedback", *CHANGES]
        await store.commit(Batch([event(i + 1, kind) for i, kind in enumerate(kinds)]))
        told = [i + 1 for i, kind in enumerate(kinds) if kind in CHANGES]
        assert list(await store.changes(0, 100)) == told
        assert list(await store.changes(told[1], 3)) == told[2:5]

    # -- running sums of cost --------------------------------------------------------------------------------------

    async def test_costs_are_replaced_row_by_row(self, store: Store) -> None:
        one, two = CostKey(5, "w", 1, 2), CostKey(5, "été'; --", 1, 2)
        await store.commit(Batch([event(1)], costs={one: b"1", two: b"2"}))
        await store.commit(Batch(costs={one: b"3"}))
        assert await store.costs([one, two, CostKey(6, "w", 1, 2)]) == {one: b"3", two: b"2"}
        assert await store.costs([]) == {}

    async def test_costs_are_listed_in_the_order_of_their_keys(self, store: Store) -> None:
        keys = [CostKey(h, w, c, m) for h in (3, 4, 5, 6) for w in ("", "a", "b") for c in (0, 1) for m in (0, 7)]
        await store.commit(Batch(costs={key: b"%d" % i for i, key in reversed(list(enumerate(keys)))}))
        wanted = [(key, b"%d" % i) for i, key in enumerate(keys) if 4 <= key.hour < 6]
        assert list(await store.list_costs(4, 6, None, 1_000)) == wanted
        for step in (1, 5, 24):
            seen: list[tuple[CostKey, bytes]] = []
            while page := await store.list_costs(4, 6, seen[-1][0] if seen else None, step):
                assert len(page) <= step
                seen.extend(page)
            assert seen == wanted
        assert list(await store.list_costs(7, 4, None, 10)) == []

    async def test_a_refused_batch_moves_no_cost(self, store: Store) -> None:
        key = CostKey(1, "", 0, 0)
        await store.commit(Batch([event(1)], costs={key: b"old"}))
        await store.replace_costs({key: b"old"})
        with pytest.raises(self.refusals):
            await store.commit(Batch([event(1)], costs={key: b"new"}, costs_broken=True))
        assert await store.costs([key]) == {key: b"old"}
        assert await store.costs_built()

    async def test_costs_are_whole_from_a_replacement_until_one_is_broken(self, store: Store) -> None:
        key = CostKey(1, "", 0, 0)
        assert not await store.costs_built()
        await store.commit(Batch(costs={key: b"old", key._replace(hour=2): b"gone"}))
        assert not await store.costs_built()
        await store.replace_costs({key: b"new"})
        assert await store.costs_built()
        assert list(await store.list_costs(0, 9, None, 9)) == [(key, b"new")]
        await store.commit(Batch(costs={key: b"newer"}))
        assert await store.costs_built()
        await store.commit(Batch([event(1)], costs={key: b"bad"}, costs_broken=True))
        assert not await store.costs_built()

    async def test_many_costs_at_once(self, store: Store) -> None:
        keys = [CostKey(i, f"w{i % 7}", i % 5, i) for i in range(12_000)]
        await store.commit(Batch(costs={key: b"%d" % i for i, key in enumerate(keys)}))
        assert await store.costs(keys) == {key: b"%d" % i for i, key in enumerate(keys)}

    async def test_tenants_share_no_cost(self, store: Store) -> None:
        key = CostKey(1, "w", 0, 0)
        for which, one in enumerate([store, store.of(1)]):
            await one.commit(Batch(costs={key: b"%d" % which}))
        await store.of(1).replace_costs({key: b"9"})
        assert await store.costs([key]) == {key: b"0"}
        assert await store.of(1).costs([key]) == {key: b"9"}
        assert (await store.costs_built(), await store.of(1).costs_built()) == (False, True)
        assert list(await store.of(2).list_costs(0, 9, None, 9)) == []

    # -- commit ----------------------------------------------------------------------------------------------------

    async def test_empty_store(self, store: Store) -> None:
        assert await contents(store) == (0, [], {}, {}, {})
        assert await store.snapshots() == []
        assert await store.signing_keys() == {}

    async def test_commit_keeps_every_part(self, store: Store) -> None:
        first, second = decided(1, 7, task_class=1, model=2, workflow="w", session="s"), event(2, uid=7)
        await store.commit(Batch([first, second], {7: b"entry"}, [reply("r1", b"\x00\xff")]))
        assert await contents(store) == (
            2, [first, second], {7: b"entry"}, {7: first}, {"r1": reply("r1", b"\x00\xff")},
        )  # fmt: skip

    @pytest.mark.parametrize(
        "batch",
        [Batch([event(1)]), Batch(entries={1: b"x"}), Batch(replies=[reply("r1")]), Batch()],
        ids=["events", "entries", "replies", "nothing"],
    )
    async def test_commit_of_one_part_alone(self, store: Store, batch: Batch) -> None:
        await store.commit(batch)
        assert list(await store.events(0, 9)) == batch.events
        assert await store.entries([1]) == batch.entries
        assert list((await store.replies(["r1"])).values()) == batch.replies

    @pytest.mark.parametrize(
        "bad",
        [
            Batch([event(3), event(1)], {8: b"new"}, [reply("r2")]),
            Batch([decided(3, 7)], {8: b"new"}, [reply("r2")]),
            Batch([event(3)], {8: b"new"}, [reply("r2"), reply("r1")]),
            Batch([event(3), event(3)], {8: b"new"}, [reply("r2")]),
            Batch([decided(3, 9), decided(4, 9)], {8: b"new"}, [reply("r2")]),
            Batch([event(3)], {8: b"new"}, [reply("r2"), reply("r2")]),
        ],
        ids=[
            "sequence taken", "decision taken", "request id taken",
            "sequence twice", "decision twice", "request id twice",
        ],
    )  # fmt: skip
    async def test_a_refused_batch_leaves_nothing(self, store: Store, bad: Batch) -> None:
        await store.commit(Batch([decided(1, 7), event(2, uid=7)], {7: b"old"}, [reply("r1")]))
        before = await contents(store)
        with pytest.raises(self.refusals):
            await store.commit(bad)
        assert await contents(store) == before
        await store.commit(Batch([event(3)], {8: b"new"}, [reply("r2")]))  # and the store goes on
        assert await store.last_sequence() == 3

    async def test_a_failing_row_after_thousands_leaves_nothing(self, store: Store) -> None:
        await store.commit(Batch([event(1)], {}, [reply("r1")]))
        before = await contents(store)
        events = [event(i) for i in range(2, 4_000)]
        with pytest.raises(self.refusals):
            await store.commit(Batch(events, {5: b"x"}, [reply("r2"), reply("r1")]))
        assert await contents(store) == before

    async def test_readers_never_see_what_is_not_kept(self, store: Store) -> None:
        """A read between the statements of a commit sees all of it or nothing."""
        await store.commit(Batch([event(1)], {}, [reply("r1")]))
        bad = Batch([event(i) for i in range(2, 2_000)], {5: b"x"}, [reply("r2"), reply("r1")])
        writing = asyncio.ensure_future(store.commit(bad))
        seen = []
        while not writing.done():
            seen.append((await store.last_sequence(), await store.entries([5]), set(await store.replies(["r2"]))))
            await asyncio.sleep(0)
        with pytest.raises(self.refusals):
            await writing
        assert [state for state in seen if state != (1, {}, set())] == []

    async def test_an_entry_is_replaced(self, store: Store) -> None:
        await store.commit(Batch([event(1)], {7: b"old", 8: b"other"}))
        await store.commit(Batch([event(2)], {7: b"new"}))
        assert await store.entries([7, 8, 9]) == {7: b"new", 8: b"other"}

    async def test_only_decisions_are_unique_by_uid(self, store: Store) -> None:
        await store.commit(Batch([decided(1, 7), event(2, uid=7), event(3, uid=7)]))
        assert await store.decisions([7]) == {7: decided(1, 7)}
        assert await store.last_sequence() == 3

    async def test_large_batches(self, store: Store) -> None:
        rows = [decided(i, i) for i in range(1, MANY + 1)]
        entries = {i: b"%d" % i for i in range(MANY)}
        await store.commit(Batch(rows, entries, [reply(f"r{i}") for i in range(MANY)]))
        assert await store.last_sequence() == MANY
        assert await store.events(MANY - 1, 5) == [rows[-1]]
        wanted = [0, 1, MANY // 2, MANY - 1]
        assert await store.entries(wanted) == {i: b"%d" % i for i in wanted}
        assert len(await store.replies([f"r{i}" for i in wanted])) == len(wanted)
        assert len(await store.entries(range(MANY))) == MANY
        assert len(await store.decisions(range(MANY))) == MANY - 1

    @pytest.mark.parametrize("uid", [0, (1 << 63) - 1])
    async def test_extreme_uids(self, store: Store, uid: int) -> None:
        await store.commit(Batch([decided(1, uid)], {uid: b"x"}))
        assert await store.entries([uid]) == {uid: b"x"}
        assert list(await store.decisions([uid])) == [uid]

    async def test_texts_come_back_as_they_were(self, store: Store) -> None:
        row = decided(1, 1, workflow="été \U0001f30a'; --", session="%_\\")
        await store.commit(Batch([row], {}, [reply("r'\"; é")]))
        assert await store.list_decisions(DecisionFilter(session="%_\\"), 9) == [row]
        assert await store.list_decisions(DecisionFilter(session="%"), 9) == []
        assert set(await store.replies(["r'\"; é", "R'\"; é"])) == {"r'\"; é"}

    # -- reading ---------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("step", [1, 3, 7, 100])
    async def test_paging_visits_every_event_once_in_order(self, store: Store, step: int) -> None:
        rows = [event(i) for i in range(1, 23)]
        for start in range(0, len(rows), 5):
            await store.commit(Batch(rows[start : start + 5]))
        seen: list[EventRow] = []
        while page := await store.events(seen[-1].sequence if seen else 0, step):
            assert len(page) <= step
            seen.extend(page)
        assert seen == rows

    async def test_list_decisions_is_as_the_model_says(self, tmp_path: Any) -> None:
        number = 0

        @settings(max_examples=40)
        @given(st.data())
        def law(data: st.DataObject) -> None:
            nonlocal number
            number += 1
            folder = tmp_path / str(number)
            folder.mkdir()
            rows = data.draw(logs())
            wanted = data.draw(st.lists(st.tuples(filters(rows), st.integers(1, 14)), min_size=1, max_size=8))

            async def listed() -> list[list[EventRow]]:
                store = await self.opener(folder)()
                try:
                    await store.commit(Batch(rows))
                    return [list(await store.list_decisions(f, limit)) for f, limit in wanted]
                finally:
                    await store.close()

            assert asyncio.run(listed()) == [chosen(rows, f, limit) for f, limit in wanted]

        await asyncio.to_thread(law)

    async def test_unknown_keys_are_left_out(self, store: Store) -> None:
        await store.commit(Batch([event(1, uid=3)], {1: b"x"}, [reply("r1")]))
        assert await store.entries([]) == {}
        assert await store.entries([2]) == {}
        assert await store.decisions([3]) == {}  # an event of another kind is no decision
        assert await store.replies(["r2", "r1"]) == {"r1": reply("r1")}

    async def test_an_altered_payload_is_noticed(self, store: Store, tmp_path: Any) -> None:
        await store.commit(Batch([event(1), decided(2, 7), event(3)]))
        await self.tamper(store, tmp_path, 2)
        assert [row.sequence for row in await store.events(2, 9)] == [3]
        with pytest.raises(StoreCorrupt, match="event 2 "):
            await store.events(0, 9)
        with pytest.raises(StoreCorrupt, match="event 2 "):
            await store.decisions([7])
        with pytest.raises(StoreCorrupt, match="event 2 "):
            await store.list_decisions(DecisionFilter(), 9)

    # -- snapshots and keys ----------------------------------------------------------------------------------------

    async def test_the_two_newest_snapshots_are_kept(self, store: Store) -> None:
        for sequence in (1, 5, 9):
            await store.save_snapshot(sequence, b"at %d" % sequence)
        assert list(await store.snapshots()) == [(9, b"at 9"), (5, b"at 5")]

    async def test_a_snapshot_of_the_same_sequence_replaces(self, store: Store) -> None:
        await store.save_snapshot(1, b"one")
        await store.save_snapshot(2, b"old")
        await store.save_snapshot(2, b"new")
        assert list(await store.snapshots()) == [(2, b"new"), (1, b"one")]

    async def test_signing_keys_are_kept(self, store: Store) -> None:
        await store.add_signing_key(1, b"\x00first")
        await store.add_signing_key(3, b"third")
        assert await store.signing_keys() == {1: b"\x00first", 3: b"third"}

    async def test_a_signing_key_is_never_replaced(self, store: Store) -> None:
        """Ids signed with the old secret would read as forged."""
        await store.add_signing_key(1, b"first")
        with pytest.raises(self.refusals):
            await store.add_signing_key(1, b"other")
        assert await store.signing_keys() == {1: b"first"}

    # -- reopening -------------------------------------------------------------------------------------------------

    async def test_reopening_finds_everything(self, tmp_path: Any) -> None:
        if self.cannot_reopen:
            pytest.skip(self.cannot_reopen)
        open_ = self.opener(tmp_path)
        store = await open_()
        await store.commit(Batch([decided(1, 7), event(2, uid=7)], {7: b"entry"}, [reply("r1")]))
        await store.save_snapshot(2, b"state")
        await store.add_signing_key(1, b"secret")
        before = await contents(store)
        await store.close()
        store = await open_()
        try:
            assert await contents(store) == before
            assert list(await store.snapshots()) == [(2, b"state")]
            assert await store.signing_keys() == {1: b"secret"}
            with pytest.raises(self.refusals):
                await store.commit(Batch([event(2)]))
            await store.commit(Batch([event(3)]))
            assert await store.last_sequence() == 3
        finally:
            await store.close()

    # -- tenants and keys ------------------------------------------------------------------------------------------

    async def test_tenants_share_no_row(self, store: Store) -> None:
        """The same sequences, decisions, request ids and snapshots, in each tenant with a content of its own."""
        others = [store.of(1), store.of(70_000)]
        for which, one in enumerate([store, *others]):
            body = b"tenant %d" % which
            rows = [EventRow(s, "decided", 5, body, s + 6, 1, 1, "w") for s in range(1, which + 3)]
            rows.append(EventRow(which + 3, "model", 5, body))
            await one.commit(Batch(rows, {7: body}, [reply("r1", body)], audit=[AuditRow(1, 5, body, b"digest")]))
            await one.save_snapshot(2, body)
        for which, one in enumerate([store, *others]):
            body = b"tenant %d" % which
            assert await one.last_sequence() == which + 3
            found = await one.events(0, 1_000)
            assert [(row.sequence, row.payload) for row in found] == [(s, body) for s in range(1, which + 4)]
            assert await one.events(which + 3, 1_000) == []
            assert await one.entries([7, 8]) == {7: body}
            assert {uid: row.payload for uid, row in (await one.decisions([7])).items()} == {7: body}
            assert {r.payload for r in await one.list_decisions(DecisionFilter(workflow="w"), 100)} == {body}
            assert (await one.replies(["r1"]))["r1"].reply == body
            assert await one.snapshots() == [(2, body)]
            assert await one.audit(0, 10) == [AuditRow(1, 5, body, b"digest")]
            assert await one.latest_audit(None, 10) == [AuditRow(1, 5, body, b"digest")]
            assert list(await one.changes(0, 10)) == [which + 3]
            assert list(await one.changes(which + 3, 10)) == []
        nobody = store.of(2)
        assert await contents(nobody) == (0, [], {}, {}, {})
        assert (await nobody.snapshots(), await nobody.latest_audit(None, 9), await nobody.changes(0, 9)) == (
            [],
            [],
            [],
        )

    async def test_what_tenants_share(self, store: Store) -> None:
        assert await store.tenants() == {0: "default"}
        await store.add_tenant(3, "acme")
        await store.add_secret("s", b"\x00\xff")
        await store.add_signing_key(1, b"k")
        await store.of(3).commit(Batch(keys=[KeyRow("b", 3, b"one"), KeyRow("a", 0, b"two")]))
        await store.commit(Batch(keys=[KeyRow("b", 3, b"three")]))
        for one in (store, store.of(3)):
            assert await one.tenants() == {0: "default", 3: "acme"}
            assert await one.secrets() == {"s": b"\x00\xff"}
            assert await one.signing_keys() == {1: b"k"}
            assert await one.keys() == [KeyRow("a", 0, b"two"), KeyRow("b", 3, b"three")]
        for refused in (store.add_tenant(3, "other"), store.add_tenant(4, "acme"), store.add_secret("s", b"")):
            with pytest.raises(StoreError):
                await refused
        assert await store.tenants() == {0: "default", 3: "acme"}

    async def test_keys_and_their_trail_are_written_all_or_nothing(self, store: Store) -> None:
        first = AuditRow(1, 5, b"entry", b"digest")
        await store.commit(Batch(keys=[KeyRow("a", 0, b"1")], audit=[first]))
        with pytest.raises(self.refusals):
            await store.commit(Batch(keys=[KeyRow("a", 0, b"2")], replies=[reply("r1")], audit=[first]))
        assert await store.keys() == [KeyRow("a", 0, b"1")]
        assert await store.replies(["r1"]) == {}
        assert await store.audit(0, 10) == [first]

    async def test_keys_tenants_and_trail_survive_reopening(self, tmp_path: Any) -> None:
        if self.cannot_reopen:
            pytest.skip(self.cannot_reopen)
        open_ = self.opener(tmp_path)
        store = await open_()
        await store.add_tenant(1, "other")
        entry = AuditRow(1, 5, b"e", b"d")
        await store.of(1).commit(Batch([decided(1, 7)], keys=[KeyRow("a", 1, b"k")], audit=[entry]))
        await store.close()
        again = await open_()
        try:
            assert await again.tenants() == {0: "default", 1: "other"}
            assert await again.keys() == [KeyRow("a", 1, b"k")]
            assert await again.of(1).audit(0, 9) == [entry]
            assert (await again.last_sequence(), await again.of(1).last_sequence()) == (0, 1)
        finally:
            await again.close()
