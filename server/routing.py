"""The router's calls as the servicers make them: new task classes, repeated requests, the draw, the journal."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Generic, TypeVar

import msgspec
import structlog

from naiad.server.cache import Cache
from naiad.server.completion import ALL_FAILED, Completer, Completion
from naiad.server.decision_id import Ticket
from naiad.server.engine import UID_TIME_SHIFT, Decision, Engine, Query
from naiad.server.errors import NaiadError, reply_not_available, request_id_reused
from naiad.server.inventory import UNCLASSIFIED, Inventory
from naiad.server.journal import Journal, Request
from naiad.server.records import Budget, Decided, Released, decode
from naiad.server.store.base import DecisionFilter, Store
from naiad.server.streaming import Event, Pipe, Streamed
from naiad.server.token_rate import Charge, TokenRates
from naiad.server.walk import Asking, Done, Task

log = structlog.get_logger(__name__)

WINDOW_S = 600  # how long a repeated Decide or Complete gets the reply it had
_WINDOW_ITEMS = 50_000
# Refusals of a completion before any call was made; after others its tokens count as they were reserved.
NOTHING_SENT = frozenset({
    "NO_ELIGIBLE_MODEL", "MODELS_UNAVAILABLE", "BUDGET_EXHAUSTED", "UNKNOWN_MODEL", "MODEL_DELETED",
    "UNKNOWN_TASK_CLASS", "TASK_CLASS_DELETED", "UNKNOWN_FEATURE", "UNKNOWN_DATA_CLASS", "OBJECTIVE_NOT_ALLOWED",
    "NOT_IMPLEMENTED",
})  # fmt: skip
Value = TypeVar("Value")


class Window(Generic[Value]):
    """Replies by request id, kept for a while; the oldest go first."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: OrderedDict[str, tuple[float, str, Value]] = OrderedDict()

    def find(self, method: str, request_id: str, digest: str) -> Value | None:
        """Return the value kept for a request, None if there is none; raises REQUEST_ID_REUSED for another body."""
        found = self._kept.get(request_id)
        if found is None or self._monotonic() - found[0] > WINDOW_S:
            return None
        if found[1] not in ("", digest):  # "": of data that leaves not even a digest behind
            raise request_id_reused(request_id, method)
        return found[2]

    def keep(self, request_id: str, digest: str, value: Value) -> None:
        """Keep a value for a request."""
        now = self._monotonic()
        self._kept[request_id] = (now, digest, value)
        self._kept.move_to_end(request_id)
        while self._kept and (len(self._kept) > _WINDOW_ITEMS or now - next(iter(self._kept.values()))[0] > WINDOW_S):
            self._kept.popitem(last=False)

    def drop(self, request_id: str) -> None:
        """Forget a request that failed, so that it may be tried again."""
        self._kept.pop(request_id, None)


class Shared(Generic[Value]):
    """Work that several callers wait for; it is cancelled when the last of them has gone, not before."""

    def __init__(self, work: asyncio.Future[Value]) -> None:
        self._work = work
        self._waiters = 0

    async def join(self) -> Value:
        """Wait for the work and return its result, or raise its error."""
        self._waiters += 1
        try:
            return await asyncio.shield(self._work)
        except NaiadError as error:
            raise error.with_traceback(None)  # noqa: B904 - the same error each time: its trace must not grow
        finally:
            self._waiters -= 1
            if not self._waiters and not self._work.done():
                self._work.cancel()

    def over_in_vain(self) -> bool:
        """Return whether the work came to nothing that a repetition should get, was cancelled or is about to be.

        That all providers failed is a result, unless one of them named a time at which to try again.
        """
        if not self._work.done():
            return not self._waiters
        error = None if self._work.cancelled() else self._work.exception()
        if isinstance(error, NaiadError):
            return error.reason not in ALL_FAILED or error.retry_after_s is not None
        return self._work.cancelled() or error is not None


class Routing:
    """The way of a request through the engine."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        inventory: Inventory,
        completer: Completer,
        *,
        cache: Cache | None = None,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
        uniform: Callable[[], float],
        create_task_classes: bool = True,
        decide_waits: bool = False,
        tokens: TokenRates | None = None,
    ) -> None:
        self.engine = engine
        self._journal = journal
        self._inventory = inventory
        self._completer = completer
        self._cache = cache
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._uniform = uniform
        self._create = create_task_classes
        self._waits = decide_waits
        self.tokens = tokens or TokenRates(lambda _: None, monotonic)
        self._short: set[tuple[str, int | str]] = set()  # budgets that were warned of
        self._decisions: Window[int] = Window(monotonic)  # unique numbers
        self._deciding: dict[str, tuple[str, asyncio.Future[Decision]]] = {}  # request ids under way
        self._completions: Window[Shared[Completion]] = Window(monotonic)

    async def remember_decisions(self, store: Store) -> None:
        """Take the latest decisions with request ids from the log, so that a restart does not forget them."""
        oldest = self._now_ms() - WINDOW_S * 1000
        rows = await store.list_decisions(
            DecisionFilter(start_ms=oldest, from_uid=oldest << UID_TIME_SHIFT), _WINDOW_ITEMS
        )
        for row in reversed(rows):
            record = decode(row.payload)
            if isinstance(record, Decided) and record.request_id:
                self._decisions.keep(record.request_id, record.request_digest, record.uid)

    async def decide(self, query: Query, method: str = "RouterService/Decide") -> Decision:
        """Choose a model; raises NaiadError. Waits only for a task class that is new, or where the setting says so."""
        if query.request_id:
            kept = self._decisions.find(method, query.request_id, query.request_digest)
            if kept is not None:
                return await self._again(kept, query)
        if not query.task_class:
            query = msgspec.structs.replace(query, task_class=UNCLASSIFIED)
        known = self.engine.catalog.find_task_class(query.task_class) is not None
        waits = self._waits or (query.calls and self.engine.ceilings.active)  # what is held must be on disk first
        if known and not waits and query.request_id not in self._deciding:
            decision = self._choose(query)  # nothing awaited since the window was asked
            if query.request_id:
                self._keep(query, decision)
            return decision
        if not query.request_id:
            return await self._decide(query)
        found = self._deciding.get(query.request_id)
        if found is None:
            found = self._deciding[query.request_id] = (
                query.request_digest,
                asyncio.ensure_future(self._decide(query)),
            )
            found[1].add_done_callback(partial(self._decided, query))
        elif found[0] != query.request_digest:
            raise request_id_reused(query.request_id, method)
        return await asyncio.shield(found[1])

    def plan(self, query: Query) -> Decision:
        """Return what Complete would choose now; nothing is recorded, charged or changed."""
        if not query.task_class:
            query = msgspec.structs.replace(query, task_class=UNCLASSIFIED)
        return self.engine.preview(query, at_ms=self._now_ms(), uniform=self._uniform())

    def _decided(self, query: Query, done: asyncio.Future[Decision]) -> None:
        """Keep what a request id decided; called before anybody who waits for it goes on."""
        del self._deciding[query.request_id]
        if not done.cancelled() and done.exception() is None:
            self._keep(query, done.result())

    def _keep(self, query: Query, decision: Decision) -> None:
        self._decisions.keep(query.request_id, query.request_digest, decision.record.uid)

    async def _again(self, uid: int, query: Query) -> Decision:
        """Return the decision that a request was given before; raises NaiadError where the key permits less."""
        record = await self._journal.decided(uid)
        if record is None:
            raise RuntimeError(f"decision {uid} was given and is not known")
        if query.needs.key_models and query.key_id != record.key:  # of some data not even a digest is left to compare
            raise request_id_reused(query.request_id, "RouterService/Decide")
        return Decision(self.engine.decision_id(record), record)

    async def _decide(self, query: Query) -> Decision:
        charge = self._admitted(query)
        try:
            decision = await self._decide_in_time(query)
        except (NaiadError, asyncio.CancelledError):
            if charge is not None:
                charge.settle(0)
            raise
        if charge is not None:
            self.tokens.expect(decision.record.uid, charge)
        return decision

    def _admitted(self, query: Query) -> Charge | None:
        """Charge the tokens that a caller's own call may use to its key; raises NaiadError."""
        return self.tokens.admit(query.key_id, query.needs) if query.calls else None

    async def _decide_in_time(self, query: Query) -> Decision:
        created = False
        if self.engine.catalog.find_task_class(query.task_class) is None and (
            self._create or query.task_class == UNCLASSIFIED
        ):
            self.engine.check_servable(query)
            created = await self._inventory.ensure_task_class(query.task_class)
        decision = self._decision(query, created)
        if not self._waits and decision.record.hold is None:
            self._journal.record(decision.record)
            return decision
        try:
            await self._journal.recorded(decision.record)
        except asyncio.CancelledError:  # nobody learns of the decision, so nobody will act on it
            if decision.record.hold is not None:
                self._journal.note(Released(at_ms=self._now_ms(), uid=decision.record.uid))
            raise
        return decision

    def _choose(self, query: Query) -> Decision:
        charge = self._admitted(query)
        try:
            decision = self._decision(query, created=False)
        except NaiadError:
            if charge is not None:
                charge.settle(0)
            raise
        self._journal.record(decision.record)
        if charge is not None:
            self.tokens.expect(decision.record.uid, charge)
        return decision

    def _decision(self, query: Query, created: bool) -> Decision:
        began = self._monotonic()
        decision = self.engine.decide(query, at_ms=self._now_ms(), uniform=self._uniform())
        took_us = int((self._monotonic() - began) * 1e6)
        msgspec.structs.force_setattr(decision.record, "took_us", took_us)  # nobody else has seen it yet
        if decision.record.budget is not None:
            self._warn(decision.record.budget, decision.record)
        if created:
            msgspec.structs.force_setattr(decision.record, "created", True)
        return decision

    def _warn(self, budget: Budget, record: Decided) -> None:
        """Log once when a budget turns out to be below what the cheapest models cost."""
        keys: dict[str, int | str] = {"task_class": record.task_class, "workflow": record.workflow}
        scope = (budget.scope, keys.get(budget.scope, ""))
        if not budget.short:
            self._short.discard(scope)
        elif scope not in self._short:
            self._short.add(scope)
            log.warning(
                "budget_below_cheapest", scope=budget.scope, workflow=record.workflow,
                task_class=self.engine.catalog.task_classes[record.task_class].name,
                usd_per_request=budget.usd_per_request,
            )  # fmt: skip

    async def complete(
        self, query: Query, task: Task, request: Request, *, timeout_s: float, asking: Asking | None = None
    ) -> Completion:
        """Answer a task; raises NaiadError.

        The same request id gets the same answer, or the same failure of all providers, while it is kept in memory; two
        at a time share one call, and then it is the first one's `asking` that is used.
        """
        if not request.request_id:
            return await self._complete(query, task, request, timeout_s, asking)
        digest = f"{request.method} {request.digest}"  # the bodies of Complete and StreamComplete may be the same
        running = self._completions.find(request.method, request.request_id, digest)
        if running is None:
            if await self._journal.earlier(request, Done) is not None:
                raise reply_not_available(request.request_id, request.method)
            running = self._completions.find(request.method, request.request_id, digest)
        if running is None:
            running = Shared(asyncio.ensure_future(self._complete(query, task, request, timeout_s, asking)))
            self._completions.keep(request.request_id, digest, running)
        try:
            return await running.join()
        except BaseException:
            if running.over_in_vain():
                self._completions.drop(request.request_id)
            raise

    async def stream(
        self, query: Query, task: Task, request: Request, *, timeout_s: float, fail_fast: bool
    ) -> AsyncGenerator[Event | Completion, None]:
        """Answer a task piece by piece; the completion comes last. Raises as `complete` does, and STREAM_CUT.

        A request id that is known already, or under way, gets its completion alone. Closing this ends the provider's
        call, unless somebody else waits for the same request.
        """
        pipe = Pipe()
        asking = Streamed(pipe, self._monotonic, fail_fast=fail_fast)
        answering = asyncio.ensure_future(self.complete(query, task, request, timeout_s=timeout_s, asking=asking))
        answering.add_done_callback(lambda _: pipe.end())
        try:
            while (event := await pipe.get()) is not None:
                yield event
            yield await answering
        finally:
            pipe.desert()
            if not answering.done():
                answering.cancel()
            answering.add_done_callback(_looked_at)

    async def _complete(
        self, query: Query, task: Task, request: Request, timeout_s: float, asking: Asking | None
    ) -> Completion:
        began = self._monotonic()
        place = None if self._cache is None else self._cache.place(query, task)
        if self._cache is not None and place is not None:
            kept = self._cache.find(place)
            if kept is not None:
                return kept
        plain = msgspec.structs.replace(query, request_id="", request_digest="", calls=False)
        charge = self.tokens.admit(query.key_id, query.needs)
        try:
            decision = await self.decide(plain, request.method)
            if charge is not None:
                self._charge_parts(charge, decision, query)
            left = timeout_s - (self._monotonic() - began)
            completion = await self._completer.complete(decision, task, request, timeout_s=left, asking=asking)
        except NaiadError as error:
            if charge is not None and error.reason in NOTHING_SENT:
                charge.settle(0)
            raise
        if charge is not None:
            members = self.engine.catalog.members  # a composite's own attempt counts what its parts used
            used = (outcome.usage for _, outcome in completion.attempts if outcome.model not in members)
            charge.settle(sum((usage.input_tokens or 0) + (usage.output_tokens or 0) for usage in used))
        if self._cache is not None and place is not None:
            self._cache.keep(place, completion)
        return completion

    def _charge_parts(self, charge: Charge, decision: Decision, query: Query) -> None:
        """Charge a composite's other calls to the key as well; raises NaiadError, and then nothing is charged."""
        members = self.engine.catalog.members.get(decision.record.model)
        if members is None:
            return
        try:
            self.tokens.raise_to(charge, query.needs, len(members.all))
        except NaiadError:
            charge.settle(0)
            raise

    def ticket(self, decision_id: str, field: str = "decision_id") -> Ticket:
        """Return what a decision id says; raises NaiadError for one that is not ours."""
        return self.engine.ticket(decision_id, field)


def _looked_at(done: asyncio.Future[Completion]) -> None:
    """Look at the result of work that nobody waits for any more: it was recorded where it happened."""
    if not done.cancelled():
        done.exception()
