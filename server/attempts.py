"""One attempt: look whether the model may be called, hold what it may cost, call it, and record how it ended.

Every attempt is recorded, a failure as well: it teaches availability, never quality.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import msgspec
import structlog

from naiad.adapters import errors as provider
from naiad.server.ceilings import Shortage
from naiad.server.composites import Role
from naiad.server.decision_id import Ticket
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.eligibility import Reason
from naiad.server.engine import Decision, Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Amended, Journal, Request
from naiad.server.ledger import Entry, take_outcome
from naiad.server.notices import of_answer
from naiad.server.outcomes import answered, failed, given_up, tell_doubts
from naiad.server.records import Decided, Exclusion, Hold, ModelPut, Outcome, Released, Reserved
from naiad.server.walk import Done, Made, ReaderStalled, Task, Walk

log = structlog.get_logger(__name__)

LEAST_S = 0.01  # with less time than this no attempt is begun
_SETTLE_S = 30.0  # beyond an attempt's deadline, until its bill is on disk: a hold that outlives it is taken for spent
_ROLES = {Kind.ENSEMBLE: Role.MEMBER, Kind.CASCADE: Role.MEMBER, Kind.JUDGE: Role.JUDGE}


class Attempts:
    """Makes attempts; monotonic: seconds."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        egress: Egress,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._egress = egress
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._recording: set[asyncio.Future[None]] = set()

    def left_s(self, walk: Walk) -> float:
        """Return how many seconds a request has left."""
        return walk.deadline_s - self._monotonic()

    def refusal(self, walk: Walk, position: int) -> Exclusion | None:
        """Return why a model of the ranking may not be called now, None if it may.

        The one function is asked again: the rules may have changed since the decision.
        """
        record, most = walk.decision.record, walk.task.max_cost_nano_usd
        model = self._engine.catalog.models[record.models[position]]
        found = self._egress.refusal(walk.decision.permit, model.model)
        if found is not None:
            return found
        expected = walk.spent + record.cost[position]  # of all attempts after this one
        if most is not None and expected > most:
            detail = f"would bring the expected cost to {expected:.0f} nano-USD; max_cost_nano_usd is {most}"
            return Exclusion(model.model, Reason.BUDGET, detail)
        if walk.outgrown is not None and model.context_window is not None and model.context_window <= walk.outgrown:
            detail = f"holds {model.context_window} tokens; the provider found {walk.outgrown} too few for this input"
            return Exclusion(model.model, Reason.CONTEXT_WINDOW, detail)
        return None

    async def make(self, walk: Walk, position: int, kind: Kind, kept_s: float = 0.0) -> Made | Exclusion | Shortage:
        """Make one attempt, and return how it ended, or why it was not made.

        kept_s: of what is left, for another model; at most half of it. Raises NaiadError where no time is left.
        """
        excluded = self.refusal(walk, position)
        if excluded is not None:
            return excluded
        name = walk.names.take()
        made = await self._make(walk, name, position, kind, kept_s)
        if not isinstance(made, Made):
            walk.names.give_back(name)
        return made

    async def _make(
        self, walk: Walk, name: str, position: int, kind: Kind, kept_s: float
    ) -> Made | Exclusion | Shortage:
        record, task = walk.decision.record, walk.task
        model = self._engine.catalog.models[record.models[position]]
        hold = await self._reserve(record, name, model, task, max(0.0, self.left_s(walk)))
        if isinstance(hold, Shortage):
            return hold
        left_s, excluded = self.left_s(walk), self.refusal(walk, position)  # time may have passed
        if excluded is not None or left_s < LEAST_S:
            if hold is not None:
                self._give_back(record, name)
            return excluded or Exclusion(model.model, Reason.UNAVAILABLE, "the deadline has passed")
        model = self._engine.catalog.models[model.model]
        bound = None if hold is None else self._engine.ceilings.output_bound(model, task.needs)
        try:
            return await self._call(walk, name, kind, position, model, _bounded(task, bound), left_s, kept_s, hold)
        except NotPermitted as refused:
            if hold is not None:
                self._give_back(record, name)
            return refused.exclusion

    async def _call(
        self, walk: Walk, name: str, kind: Kind, position: int, model: ModelPut, task: Task, left_s: float,
        kept_s: float, hold: Hold | None,
    ) -> Made:  # fmt: skip
        record, asking = walk.decision.record, walk.asking
        blank = Outcome(
            model=model.model, ordinal=record.ordinals[position], started_ms=self._now_ms(),
            part_of=None if walk.decision.permit is None else walk.decision.permit.via,
            role=_ROLES.get(kind, Role.UNKNOWN),
        )  # fmt: skip
        asking.began(walk, name, model)  # nothing is awaited between the check and the adapter
        began_s = self._monotonic()
        try:
            answer = await asking.ask(
                self._egress, walk.decision.permit, kind, model.model, task.request,
                timeout_s=max(left_s - kept_s, left_s / 2), fair_s=fair_s(record, position),
            )  # fmt: skip
        except provider.ProviderError as error:
            took_s = self._monotonic() - began_s
            outcome = failed(blank, error, task, model, hold, latency_s=took_s, first_s=asking.first_s)
            tell_doubts(name, model, outcome)
            log.warning(
                "attempt_failed", model=model.name, error=type(error).__name__, detail=outcome.error_detail,
                status=error.status, attempt=name, kind=kind.value,
            )  # fmt: skip
            return Made(name, outcome, None, error, hold)
        except ReaderStalled:
            gone = given_up(blank, "the caller did not read", model, hold, first_s=asking.first_s)
            await self.record(walk, name, gone, None, hold)
            raise reader_stalled(walk.decision, name, model) from None
        except asyncio.CancelledError:
            gone = given_up(blank, "cancelled by the caller", model, hold, first_s=asking.first_s)
            walk.made.append((name, gone))
            recording = asyncio.ensure_future(self.record(walk, name, gone, None, hold))
            self._recording.add(recording)
            recording.add_done_callback(self._recorded)
            raise
        took_s = self._monotonic() - began_s
        outcome = answered(blank, answer, task, model, hold, measured_s=took_s, first_s=asking.first_s)
        tell_doubts(name, model, outcome)
        return Made(name, outcome, answer, None, hold, of_answer(answer, model))

    async def _reserve(
        self, record: Decided, name: str, model: ModelPut, task: Task, left_s: float
    ) -> Hold | Shortage | None:
        """Hold what an attempt may cost of every hard budget, on disk before the provider is called."""
        ceilings, now_ms = self._engine.ceilings, self._now_ms()
        if not ceilings.active:
            return None
        scope = (record.workflow, record.task_class, record.key)
        until_ms = now_ms + int((left_s + _SETTLE_S) * 1000)
        hold = ceilings.reserve((record.uid, name), scope, model, task.needs, now_ms, until_ms)
        if isinstance(hold, Hold):
            try:
                await self._journal.append(
                    Reserved(at_ms=now_ms, uid=record.uid, attempt=name, model=model.model, hold=hold)
                )
            except asyncio.CancelledError:
                self._give_back(record, name)
                raise
        return hold

    def _give_back(self, record: Decided, name: str) -> None:
        """Give back what is held for an attempt that will not be made."""
        self._journal.note(Released(at_ms=self._now_ms(), uid=record.uid, attempt=name))

    async def record(self, walk: Walk, name: str, outcome: Outcome, request: Request | None, hold: Hold | None) -> None:
        """Write an attempt's outcome; return once it is on disk. request: that it answers, None for none."""
        record, method = walk.decision.record, walk.request.method
        reply = Done(record.uid, name)
        ticket = self.ticket(record)

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            after, event = take_outcome(entry, name, outcome, self._now_ms())
            event = msgspec.structs.replace(event, workflow=record.workflow, hold=hold)
            return Amended(after, event, reply, record.no_store)

        try:
            await self._journal.amend(ticket, request or Request(method), Done, work)
        except NaiadError as error:
            if error.reason != "REQUEST_ID_REUSED":
                raise
            # Another method took the id while the provider wrote. The answer is made and paid for: it is kept.
            log.warning("request_id_taken", method=method, attempt=name)
            await self._journal.amend(ticket, Request(method), Done, work)

    async def conclude(self, walk: Walk, name: str) -> None:
        """Write that an attempt, which is recorded already, answers the request after all."""
        if not walk.request.request_id:
            return
        record = walk.decision.record

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            return Amended(entry, None, Done(record.uid, name), record.no_store)

        try:
            await self._journal.amend(self.ticket(record), walk.request, Done, work)
        except NaiadError as error:
            if error.reason != "REQUEST_ID_REUSED":
                raise
            log.warning("request_id_taken", method=walk.request.method, attempt=name)

    def ticket(self, record: Decided) -> Ticket:
        """Return what says to which decision an attempt, or what is said of it, belongs."""
        return Ticket(
            self._engine.tenant, record.task_class, record.model, record.ordinal, record.policy, record.propensity,
            record.at_ms, record.uid,
        )  # fmt: skip

    def _recorded(self, task: asyncio.Future[None]) -> None:
        """Look at a background task's result, so that its error is not lost in silence."""
        self._recording.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("attempt_not_recorded", error=type(error).__name__)


def fair_s(record: Decided, position: int) -> float:
    """Return how many seconds a model may well take: the mean of what is expected, and two standard deviations."""
    return record.latency[position] + 2.0 * record.latency_sd[position]


def reader_stalled(decision: Decision, name: str, model: ModelPut) -> NaiadError:
    """The caller does not read its answer."""
    return NaiadError(
        "READER_STALLED",
        "the answer was not read for two seconds while no more of it could wait, so the provider's call was ended; "
        "read while it comes, and try again",
        code="ABORTED",
        metadata={"decision_id": decision.decision_id, "attempt_id": name, "model": model.name},
    )


def _bounded(task: Task, output_tokens: int | None) -> Task:
    """Return the task with a bound on the output where a hard budget asks for one and the caller gave none."""
    if output_tokens is None or task.request.max_output_tokens is not None:
        return task
    return replace(task, request=replace(task.request, max_output_tokens=output_tokens))
