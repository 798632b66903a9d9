"""A journal on a store in memory whose commits a test can hold back or break, with a small catalogue behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from naiad.server import config
from naiad.server.decision_id import Signer, Ticket
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.feedback import Feedback, FeedbackReceipt, Judgement, OutcomeReceipt, OutcomeReport
from naiad.server.journal import Journal, Request
from naiad.server.records import Decided, ModelPut, Outcome, PolicySet, Prices, TaskClassPut, Usage
from naiad.server.records import ObjectiveSpec as Spec
from naiad.server.replay import Digests
from naiad.server.snapshot import dump
from naiad.server.store.base import Batch, Store
from naiad.server.store.memory import MemoryStore

SETUP = (
    ModelPut(model=0, name="a/one", upstream_model="one", prices=Prices(input=1_000, output=2_000)),
    ModelPut(model=1, name="b/two", upstream_model="two", prices=Prices(input=9_000, output=9_000)),
    TaskClassPut(task_class=0, name="code"),
    TaskClassPut(task_class=1, name="prose"),
    PolicySet(version=1, objective=Spec(), temper=0.5, exploration=0.2, allowance=0.05),
)
PATIENCE_S = 30.0  # bounds a test that would hang


class HeldStore(MemoryStore):
    """A MemoryStore whose commits wait for `gate`, and fail where `fault` says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.fault: Exception | None = None
        self.snapshot_fault: Exception | None = None
        self.batches: list[Batch] = []

    async def commit(self, batch: Batch) -> None:
        """Write a batch once the gate is open."""
        self.entered.set()
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        await super().commit(batch)
        self.batches.append(batch)

    async def save_snapshot(self, sequence: int, payload: bytes) -> None:
        """Keep a snapshot, or fail."""
        if self.snapshot_fault is not None:
            raise self.snapshot_fault
        await super().save_snapshot(sequence, payload)


DEFAULTS = config.load(None)


def new_engine() -> Engine:
    """Return an engine that has folded nothing."""
    return Engine(EngineSettings(belief=DEFAULTS.belief), Signer({1: b"k" * 32}, 1))


class World:
    """A store, an engine and a journal, with the calls that tests make."""

    def __init__(self, store: Store, engine: Engine) -> None:
        self.store = store
        self.engine = engine
        self.clock = 1_000_000
        self.journal = Journal(store, engine, self.now)
        self.feedback = Feedback(self.journal, engine, self.now)

    def now(self) -> int:
        """Return a wall time that moves with every look."""
        self.clock += 1
        return self.clock

    def decide(self, uniform: float = 0.3, task_class: str = "code", session: str = "") -> Decided:
        """Decide and queue the row; nothing waits for it."""
        query = Query(task_class, workflow="w", session=session)
        record = self.engine.decide(query, at_ms=self.now(), uniform=uniform).record
        self.journal.record(record)
        return record

    def ticket(self, record: Decided) -> Ticket:
        """Return what the decision's id says."""
        return self.engine.signer.verify(self.engine.decision_id(record), self.engine.tenant)

    async def rate(
        self, record: Decided, score: float, *, source: int = 1, rater: str = "r", request_id: str = "", body: str = ""
    ) -> FeedbackReceipt:
        """Report a score."""
        request = Request("ReportFeedback", request_id, body or f"{score}")
        judgement = Judgement("", source, rater, value=score)
        return await self.feedback.report_feedback(
            self.ticket(record), self.engine.decision_id(record), judgement, request
        )

    async def report(
        self, record: Decided, *, attempt: str = "", model: str = "", tokens: int = 50, failed: bool = False,
        request_id: str = "",
    ) -> OutcomeReceipt:  # fmt: skip
        """Report an outcome."""
        outcome = Outcome(
            model=0, ordinal=0, usage=Usage(input_tokens=10, output_tokens=tokens), latency_s=0.25, failed=failed
        )
        request = Request("ReportOutcome", request_id, f"{attempt}{tokens}{failed}")
        return await self.feedback.report_outcome(
            self.ticket(record), self.engine.decision_id(record), OutcomeReport(attempt, model, outcome), request
        )

    async def kinds(self) -> list[str]:
        """Return the kinds of all events in the log after the setup."""
        return [row.kind for row in await self.store.events(len(SETUP), 10_000)]


@asynccontextmanager
async def world(store: Store | None = None) -> AsyncIterator[World]:
    """Run a journal on a store, the catalogue set up; close it in the end unless it failed."""
    made = World(store or HeldStore(), new_engine())
    made.journal.start()
    await made.journal.append(*SETUP)
    try:
        yield made
    finally:
        if isinstance(made.store, HeldStore):
            made.store.gate.set()
        async with asyncio.timeout(PATIENCE_S):
            await made.journal.close()


async def settled(turns: int = 50) -> None:
    """Let every task run as far as it can without time passing."""
    for _ in range(turns):
        await asyncio.sleep(0)


def state(engine: Engine) -> dict[str, Any]:
    """Return everything of an engine that the log determines."""
    found: dict[str, Any] = msgspec.json.decode(dump(engine)[32:])
    del found["watches"]  # advisory
    found["digests"] = Digests.of(engine)
    return found
