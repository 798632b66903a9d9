"""The one writer of the log: group commit, idempotency and the ledger, then the engine in sequence order.

Acknowledged means on disk. Work is queued; one task takes what is there, resolves it against the ledger in the order of
arrival, commits it as one transaction, folds the events into the engine and only then answers. A commit that fails
stops the server: whether it was kept is not known, so the log is read again at the next start.

`Decide` does not wait: its event is queued and written within some ten milliseconds.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import structlog

from naiad.bandit.statistics import SCALE
from naiad.server.audit import Act, Trail, act_of
from naiad.server.cost_rows import CostRows
from naiad.server.costs import Gathered
from naiad.server.decision_id import Ticket
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError, request_id_reused, storage_failed
from naiad.server.folding import check_foldable, event_of, row_of
from naiad.server.ledger import Entry
from naiad.server.ratios import taught
from naiad.server.records import Decided, Event, Head, decode, head_of
from naiad.server.snapshot import dump
from naiad.server.store.base import AuditRow, Batch, EventRow, KeyRow, ReplyRow, Store

log = structlog.get_logger(__name__)

_GATHER_S = 0.002  # how long a batch is gathered once somebody waits for it: one sync for all that came meanwhile
_REST_S = 0.01  # how long what nobody waits for may lie
_FEW = 2  # pieces of work that are not worth gathering for: what comes during their commit is gathered by it
_BATCH = 256  # events a transaction
_RECENT = 4_000  # decisions and ledger entries kept in memory to spare reads
_SNAPSHOT_EVERY = 50_000  # events
_entry_decoder = msgspec.json.Decoder(Entry)

Reply = TypeVar("Reply", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Request:
    """The idempotency key of a call: its method, its request id ("" for none) and a digest of its body."""

    method: str
    request_id: str = ""
    digest: str = ""
    key_id: str = ""  # public id of the caller's key


@dataclass(frozen=True, slots=True)
class Amended:
    """What a piece of work made of a ledger entry: the new entry, its event (None: nothing changed), the reply."""

    entry: Entry
    event: Event | None
    reply: msgspec.Struct
    no_store: bool = False  # what was said in the request leaves no trace, not even a digest


Work = Callable[[Entry, Decided | None, int], Amended]  # (entry, the decision if its row is there, sequence)


@dataclass(slots=True)
class _Item:
    events: tuple[Event, ...] = ()
    decision: tuple[EventRow, Head] | None = None  # encoded already, but not numbered yet
    ticket: Ticket | None = None
    work: Work | None = None
    request: Request | None = None
    reply: msgspec.Struct | None = None
    reply_type: type[msgspec.Struct] | None = None
    keys: Sequence[KeyRow] = ()
    probe: Callable[[], Any] | None = None
    act: Act | None = None
    done: asyncio.Future[Any] | None = None
    result: Any = None
    error: Exception | None = None
    committed: list[tuple[int, Event | Head]] = field(default_factory=list)


class Journal:
    """Owner of the store; the only caller of `Engine.apply` in a running server."""

    def __init__(self, store: Store, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._engine = engine
        self._now_ms = now_ms
        self._queue: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._sequence = engine.sequence
        self._snapshot_at = engine.sequence
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._decided: OrderedDict[int, bytes] = OrderedDict()  # encoded: a quarter of the memory, and in one piece
        self._fresh: set[int] = set()  # decisions of this process that have no ledger entry yet: none to be read
        self._hurry = asyncio.Event()  # somebody waits for what is queued, or it has lain long enough
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._trail = Trail()
        self._costs = CostRows(store)
        self._folded = asyncio.Event()  # pulses whenever events were folded
        self.failed = asyncio.Event()  # set when a commit failed: the server must stop

    def start(self) -> None:
        """Begin to write; an alarm that a crash kept out of the log goes in first."""
        self._note_drift()
        self._task = asyncio.create_task(self._run(), name="journal")

    @property
    def backlog(self) -> int:
        """How many pieces of work wait to be written."""
        return len(self._queue)

    # -- what callers do -------------------------------------------------------------------------------------------

    def record(self, decided: Decided) -> None:
        """Queue a decision's event without waiting for it."""
        self._put(self._item_of(decided))

    async def recorded(self, decided: Decided) -> None:
        """Queue a decision's event and wait until it is on disk and folded."""
        await self._submit(self._item_of(decided))

    def _item_of(self, decided: Decided) -> _Item:
        row = row_of(0, decided)
        self._keep(self._decided, decided.uid, row.payload)
        self._fresh.add(decided.uid)
        return _Item(decision=(row, head_of(decided)))

    def note(self, event: Event) -> None:
        """Queue an event without waiting for it; a journal that takes nothing any more drops it."""
        if not self._closing and not self.failed.is_set():
            self._put(_Item(events=(event,)))

    def witness(self, act: Act) -> None:
        """Queue an act for the audit trail without waiting; a journal that takes nothing any more drops it."""
        if not self._closing and not self.failed.is_set():
            self._put(_Item(act=act))

    async def trail(self) -> tuple[Trail, int]:
        """Return where the audit trail stands, and the log, once all that was queued before is on disk."""
        found: tuple[Trail, int] = await self.probe(lambda: (self._trail, self._engine.sequence))
        return found

    async def append(self, *events: Event, request: Request | None = None, reply: msgspec.Struct | None = None) -> int:
        """Write events and return the sequence of the last, once it is on disk and folded."""
        sequence: int = await self._submit(_Item(events=events, request=request, reply=reply))
        return sequence

    async def keep(
        self, keys: Sequence[KeyRow], act: Act | None, request: Request, reply: msgspec.Struct | None
    ) -> None:
        """Write API keys and the act that changed them; they are no events, and nothing is folded."""
        await self._submit(_Item(keys=keys, act=act, request=request, reply=reply))

    async def amend(self, ticket: Ticket, request: Request, reply_type: type[Reply], work: Work) -> Reply:
        """Run work on a decision's ledger entry; return its reply, or the one given before for the same request."""
        reply: Reply = await self._submit(_Item(ticket=ticket, work=work, request=request, reply_type=reply_type))
        return reply

    async def probe(self, look: Callable[[], Any]) -> Any:
        """Call `look` between two transactions, when the engine stands exactly at its sequence."""
        return await self._submit(_Item(probe=look))

    async def written(self) -> None:
        """Wait until all that was queued before is on disk and folded."""
        await self.probe(lambda: None)

    async def beyond(self, sequence: int) -> None:
        """Wait until an event after this place was folded."""
        while self._engine.sequence <= sequence:
            await self._folded.wait()

    async def decided(self, uid: int) -> Decided | None:
        """Return a decision's record, written already or not, or None if there is none."""
        recent = self._recent(uid)
        if recent is not None:
            return recent
        row = (await self._store.decisions([uid])).get(uid)
        event = None if row is None else event_of(row)
        return event if isinstance(event, Decided) else None

    async def earlier(self, request: Request, reply_type: type[Reply]) -> Reply | None:
        """Return the reply kept for a request, None if it is new; raises REQUEST_ID_REUSED for another body."""
        if not request.request_id:
            return None
        row = (await self._store.replies([request.request_id])).get(request.request_id)
        return None if row is None else _replayed(row, request, reply_type)

    def _recent(self, uid: int) -> Decided | None:
        payload = self._decided.get(uid)
        event = None if payload is None else decode(payload)
        return event if isinstance(event, Decided) else None

    def _put(self, item: _Item) -> None:
        if self._closing or self.failed.is_set():
            raise storage_failed()
        self._queue.append(item)
        self._wake.set()
        if len(self._queue) >= _BATCH:
            self._hurry.set()

    async def _submit(self, item: _Item) -> Any:
        item.done = asyncio.get_running_loop().create_future()
        self._put(item)
        self._hurry.set()
        return await item.done

    def _keep(self, cache: OrderedDict[int, Any], uid: int, value: Any) -> None:
        cache[uid] = value
        cache.move_to_end(uid)
        if len(cache) > _RECENT:
            self._fresh.discard(cache.popitem(last=False)[0])

    # -- the writer ------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            for row in await self._store.latest_audit(None, 1):
                self._trail = Trail(row.number, row.digest)
        except Exception as error:
            self._fail([])
            log.error("audit_not_read", error=type(error).__name__, exc_info=True)
            return
        while True:
            if not self._queue:
                if self._closing:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            await self._gather()
            items = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH))]
            if self._queue:  # what is left over has waited already
                self._hurry.set()
            try:
                batch = await self._resolve(items)
                await self._write(batch, items)
            except Exception as error:  # the log's state is unknown: stop, and read it again at the next start
                self._fail(items)  # first of all: nothing that goes wrong beside it may keep the server going
                log.error("commit_failed", error=type(error).__name__, items=len(items), exc_info=True)
                return
            if self._sequence - self._snapshot_at >= _SNAPSHOT_EVERY:
                await self.snapshot()

    async def _gather(self) -> None:
        if not self._hurry.is_set():
            late = asyncio.get_running_loop().call_later(_REST_S, self._hurry.set)
            await self._hurry.wait()
            late.cancel()
        if not self._closing and _FEW < len(self._queue) < _BATCH:
            await asyncio.sleep(_GATHER_S)
        self._hurry.clear()

    async def _write(self, batch: Batch, items: list[_Item]) -> None:
        """Commit, then fold and answer: in this order, and no other."""
        if batch:
            await self._store.commit(batch)
        self._publish(items)

    async def _resolve(self, items: list[_Item]) -> Batch:
        """Turn work into events, in the order of arrival; what is refused gets its error and writes nothing."""
        known: dict[str, ReplyRow] = {}
        try:
            await self._load(items)
            known = await self._known_replies(items)
        except Exception as error:  # what cannot be read was not written either: those who asked for it fail alone
            for item in items:
                if item.ticket is not None or (item.request and item.request.request_id):
                    item.error = storage_failed(item.request.method if item.request else "")
            log.error("ledger_not_read", error=type(error).__name__, items=len(items), exc_info=True)
        batch = Batch()
        for item in items:
            if item.error is not None:
                continue
            try:
                self._resolve_one(item, known, batch)
            except NaiadError as error:
                item.error = error
            except Exception as error:
                # Work runs before anything of its item is numbered or queued, so a defect in it ends one call only.
                if item.committed:
                    raise
                item.error = error
                log.error("work_failed", error=type(error).__name__, awaited=item.done is not None, exc_info=True)
        await self._costs.settle(batch)
        return batch

    async def _load(self, items: list[_Item]) -> None:
        """Bring the ledger entries and decisions that the items need into memory."""
        uids = {item.ticket.uid for item in items if item.ticket is not None}
        entries = [uid for uid in uids if uid not in self._entries and uid not in self._fresh]
        if entries:
            for uid, payload in (await self._store.entries(entries)).items():
                self._keep(self._entries, uid, _entry_decoder.decode(payload))
        decisions = [uid for uid in uids if uid not in self._decided]
        if decisions:
            for uid, row in (await self._store.decisions(decisions)).items():
                event_of(row)  # raises for a row that this version cannot read
                self._keep(self._decided, uid, row.payload)

    async def _known_replies(self, items: list[_Item]) -> dict[str, ReplyRow]:
        wanted = {item.request.request_id for item in items if item.request and item.request.request_id}
        return await self._store.replies(wanted) if wanted else {}

    def _resolve_one(self, item: _Item, known: dict[str, ReplyRow], batch: Batch) -> None:
        if item.decision is not None:
            decided, head = item.decision
            self._sequence += 1
            batch.events.append(EventRow(self._sequence, *decided[1:]))
            self._costs.moved.decided(head.uid, decided.workflow, head.task_class, head.model)
            item.committed.append((self._sequence, head))
            return
        request = item.request
        if request and request.request_id in known:
            if item.reply_type is None:
                raise request_id_reused(request.request_id, request.method)
            item.result = _replayed(known[request.request_id], request, item.reply_type)
            return
        reply, events, entry, digest = item.reply, item.events, None, request.digest if request else ""
        moved = Gathered()
        if item.ticket is not None and item.work is not None:
            before, choice = self._entry(item.ticket), self._recent(item.ticket.uid)
            amended = item.work(before, choice, self._sequence + 1)
            reply, entry = amended.reply, amended.entry
            digest = "" if amended.no_store else digest
            events = () if amended.event is None else (taught(amended.event, choice),)
            for event in events:
                check_foldable(self._engine, event)
            if events:
                moved.amended(before, entry, choice)
        # Everything is encoded before anything is numbered: what cannot be encoded leaves no gap.
        rows = [row_of(self._sequence + 1 + i, event) for i, event in enumerate(events)]
        kept = None
        if request and request.request_id and reply is not None:
            kept = ReplyRow(request.request_id, request.method, digest, msgspec.json.encode(reply), self._now_ms())
        told, trail = self._told(events, rows, item)
        if entry is not None and rows:
            batch.entries[entry.uid] = msgspec.json.encode(entry)
            self._keep(self._entries, entry.uid, entry)
            self._fresh.discard(entry.uid)
        self._costs.moved.add(moved.rows)
        if kept is not None:
            batch.replies.append(kept)
            known[kept.request_id] = kept
        batch.keys.extend(item.keys)
        self._sequence += len(rows)
        batch.events.extend(rows)
        batch.audit.extend(told)
        self._trail = trail
        item.committed.extend((row.sequence, event) for row, event in zip(rows, events, strict=True))
        item.result = self._sequence if item.work is None else reply

    def _told(self, events: tuple[Event, ...], rows: list[EventRow], item: _Item) -> tuple[list[AuditRow], Trail]:
        """Return what the audit trail tells of an item and its events, and where it then stands."""
        told, trail, request = [], self._trail, item.request
        if item.act is not None:
            sealed, trail = trail.sealed(item.act, self._now_ms())
            told.append(sealed)
        for event, row in zip(events, rows, strict=True):
            act = act_of(event, self._engine, request.method if request else None, request.key_id if request else "")
            if act is not None:
                sealed, trail = trail.sealed(act, event.at_ms, row.sequence, row.payload)
                told.append(sealed)
        return told, trail

    def _entry(self, ticket: Ticket) -> Entry:
        """Return what is known of a decision, an empty entry if that is nothing."""
        return self._entries.get(ticket.uid) or Entry(
            uid=ticket.uid, task_class=ticket.task_class, model=ticket.model, ordinal=ticket.ordinal,
            propensity=ticket.propensity, policy=ticket.policy, at_ms=ticket.at_ms,
        )  # fmt: skip

    def _publish(self, items: list[_Item]) -> None:
        """Fold what was committed and answer those who wait."""
        for item in items:
            for sequence, event in item.committed:
                self._engine.apply(sequence, event)
            if item.probe is not None:
                item.result = item.probe()
            if item.done is None or item.done.done():
                continue
            if item.error is not None:
                item.done.set_exception(item.error)
            else:
                item.done.set_result(item.result)
        self._note_drift()
        self._folded.set()  # wakes those who wait now
        self._folded.clear()

    def _note_drift(self) -> None:
        """Queue the alarms that what was folded raised; each counts once it is on disk and folded in its turn."""
        for alarm in self._engine.drift.take():
            log.warning(
                "drift_alarm", model=self._engine.catalog.models[alarm.model].name, ordinal=alarm.ordinal,
                shift=alarm.shift / SCALE, evidence=round(alarm.evidence, 1), kept=round(alarm.kept, 4),
            )  # fmt: skip
            self._queue.append(_Item(events=(alarm,)))
            self._wake.set()

    def _fail(self, items: list[_Item]) -> None:
        self.failed.set()
        for item in [*items, *self._queue]:
            if item.done is not None and not item.done.done():
                item.done.set_exception(storage_failed(item.request.method if item.request else ""))
        self._queue.clear()

    async def snapshot(self) -> None:
        """Keep the engine's state, so that the next start folds only what comes after."""
        if self._engine.sequence <= self._snapshot_at and self._snapshot_at > 0:
            return
        self._snapshot_at = self._engine.sequence
        try:
            await self._store.save_snapshot(self._engine.sequence, dump(self._engine))
        except Exception as error:  # a snapshot is only a cache of the log
            log.warning("snapshot_failed", error=type(error).__name__, sequence=self._engine.sequence)

    async def close(self) -> None:
        """Write what is queued, keep a snapshot and stop; the store stays open."""
        self._closing = True
        self._wake.set()
        self._hurry.set()
        if self._task is not None:
            await self._task
        if not self.failed.is_set():
            await self.snapshot()


def _replayed(row: ReplyRow, request: Request, reply_type: type[Reply]) -> Reply:
    if row.method != request.method or row.digest not in ("", request.digest):  # "": none was kept
        raise request_id_reused(request.request_id, request.method)
    return msgspec.json.decode(row.reply, type=reply_type)
