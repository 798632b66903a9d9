"""Calling the provider: walk the ranking, record every attempt, answer with the first success.

Every call goes through `egress`, which checks it again as it leaves. Every attempt is recorded, a failure as well: it
teaches availability, never quality. The reply waits until everything is on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec
import structlog

from naiad.adapters import errors as provider
from naiad.adapters.base import Answer, FinishReason
from naiad.adapters.base import Request as ProviderRequest
from naiad.adapters.base import Usage as ProviderUsage
from naiad.server import render
from naiad.server.attempt_error import REJECTIONS, AttemptError, kind_of
from naiad.server.catalog import Catalog
from naiad.server.ceilings import Shortage, exhausted
from naiad.server.decision_id import Ticket
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.eligibility import Needs, Reason, none_left
from naiad.server.engine import Decision, Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Amended, Journal, Request
from naiad.server.ledger import Entry, take_outcome
from naiad.server.money import cost_of
from naiad.server.records import Cost, Decided, Exclusion, Hold, ModelPut, Outcome, Released, Reserved, Usage

log = structlog.get_logger(__name__)

_SETTLE_S = 30.0  # beyond an attempt's deadline, until its bill is on disk: a hold that outlives it is taken for spent
_MARGIN_S = 0.05  # kept back from the caller's deadline for recording and answering
_FINISH = {
    FinishReason.STOP: 1,
    FinishReason.LENGTH: 2,
    FinishReason.TOOL_CALLS: 3,
    FinishReason.CONTENT_FILTER: 4,
    FinishReason.REFUSAL: 5,
}
MAX_ATTEMPTS = 3
ALL_FAILED = frozenset({"ALL_ATTEMPTS_FAILED", "ALL_ATTEMPTS_REJECTED"})  # the providers' word: repeating gets the same


class Done(msgspec.Struct, frozen=True):
    """The reply kept on disk for a completion: which decision it was. The answer itself is kept in memory only."""

    uid: int
    attempt: str


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be answered; the upstream model is filled in for each attempt."""

    needs: Needs
    request: ProviderRequest
    max_attempts: int = MAX_ATTEMPTS
    max_cost_nano_usd: int | None = None


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and the attempts that led to it."""

    decision: Decision
    answer: Answer
    attempt: str
    model: ModelPut
    attempts: tuple[tuple[str, Outcome], ...]
    passed_over: tuple[Exclusion, ...] = ()  # models of the ranking that could not be called any more
    age_s: float | None = None  # of an answer that was kept; None: it was made for this request


class Completer:
    """Turns decisions into answers."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        egress: Egress,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._egress = egress
        self._now_ms = now_ms
        self._monotonic = monotonic

    async def complete(self, decision: Decision, task: Task, request: Request, *, timeout_s: float) -> Completion:
        """Answer with the first model of the ranking that succeeds; raises NaiadError when none does.

        timeout_s: what is left of the caller's deadline, in seconds.
        """
        deadline = self._monotonic() + timeout_s - _MARGIN_S
        attempts: list[tuple[str, Outcome]] = []
        passed_over: list[Exclusion] = []
        record = decision.record
        spent = 0
        short: Shortage | None = None
        for position in record.rank:
            if len(attempts) == task.max_attempts:
                break
            model = self._engine.catalog.models[record.models[position]]
            excluded = self._refusal(decision, model, task, spent + record.cost[position])
            if excluded is not None:
                passed_over.append(excluded)
                continue
            left = deadline - self._monotonic()
            if left <= 0.0:
                break
            name = str(len(attempts) + 1)
            kind = Kind.FALLBACK if attempts or passed_over else Kind.PRIMARY
            hold = await self._reserve(record, name, model, task, left)
            if isinstance(hold, Shortage):
                short = hold
                passed_over.append(hold.exclusion(model.model))
                continue
            if hold is not None:  # time has passed since it was asked
                model = self._engine.catalog.models[model.model]
                left = deadline - self._monotonic()
                excluded = self._refusal(decision, model, task, spent + record.cost[position])
                if excluded is not None or left <= 0.0:
                    self._give_back(record, name)
                    passed_over.extend(() if excluded is None else (excluded,))
                    continue
            called = _bounded(task, None if hold is None else self._engine.ceilings.output_bound(model, task.needs))
            try:
                answer, outcome, error = await self._attempt(decision, name, kind, model, called, left, request, hold)
            except NotPermitted as refused:
                if hold is not None:
                    self._give_back(record, name)
                passed_over.append(refused.exclusion)
                continue
            attempts.append((name, outcome))
            spent += outcome.cost.total if outcome.cost else 0
            if answer is not None:
                await self._record(decision, name, outcome, request, Done(record.uid, name), hold)
                return Completion(decision, answer, name, model, tuple(attempts), tuple(passed_over))
            await self._record(decision, name, outcome, Request(request.method), Done(record.uid, name), hold)
            if error is not None and not error.fallback_worthy:
                break
        catalog, past = self._engine.catalog, self._monotonic() >= deadline
        if not attempts and not past and short is not None:
            raise exhausted(short, self._now_ms())
        if not attempts and not past:
            raise none_left(catalog, [*record.excluded, *passed_over], catalog.task_classes[record.task_class].name)
        raise _all_failed(catalog, decision, attempts, past=past)

    def _refusal(self, decision: Decision, model: ModelPut, task: Task, expected: float) -> Exclusion | None:
        """Return why a model of the ranking may not be called now, None if it may.

        The one function is asked again: the rules may have changed since the decision. expected: what all attempts will
        have cost after this one, nano-USD.
        """
        most = task.max_cost_nano_usd
        found = self._egress.refusal(decision.permit, model.model)
        if found is None and most is not None and expected > most:
            detail = f"would bring the expected cost to {expected:.0f} nano-USD; max_cost_nano_usd is {most}"
            return Exclusion(model.model, Reason.BUDGET, detail)
        return found

    async def _reserve(
        self, record: Decided, name: str, model: ModelPut, task: Task, left: float
    ) -> Hold | Shortage | None:
        """Hold what an attempt may cost of every hard budget, on disk before the provider is called."""
        ceilings, now_ms = self._engine.ceilings, self._now_ms()
        if not ceilings.active:
            return None
        scope = (record.workflow, record.task_class, record.key)
        until_ms = now_ms + int((left + _SETTLE_S) * 1000)
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

    async def _attempt(
        self, decision: Decision, name: str, kind: Kind, model: ModelPut, task: Task, left: float, request: Request,
        hold: Hold | None,
    ) -> tuple[Answer | None, Outcome, provider.ProviderError | None]:  # fmt: skip
        record = decision.record
        blank = Outcome(
            model=model.model,
            ordinal=record.ordinals[record.models.index(model.model)],
            started_ms=self._now_ms(),
        )
        began = self._monotonic()
        try:
            answer = await self._egress.call(decision.permit, kind, model.model, task.request, timeout_s=left)
        except provider.ProviderError as error:
            log.warning("attempt_failed", model=model.name, error=type(error).__name__, attempt=name)
            return None, _failed(blank, error, self._monotonic() - began), error
        except asyncio.CancelledError:
            gone = msgspec.structs.replace(
                blank, failed=True, error=AttemptError.CANCELLED, error_detail="cancelled by the caller"
            )
            task_ = asyncio.ensure_future(
                self._record(decision, name, gone, Request(request.method), Done(record.uid, name), hold)
            )
            task_.add_done_callback(_retrieve)
            raise
        measured = self._monotonic() - began
        usage = _usage(answer.usage)
        outcome = msgspec.structs.replace(
            blank,
            usage=usage,
            cost=cost_of(usage, model.prices),
            latency_s=answer.latency_s if answer.latency_s is not None else measured,
            finish=_FINISH.get(answer.finish, 0),
        )
        return answer, outcome, None

    async def _record(
        self, decision: Decision, name: str, outcome: Outcome, request: Request, reply: Done, hold: Hold | None
    ) -> None:
        record = decision.record
        ticket = Ticket(
            self._engine.tenant, record.task_class, record.model, record.ordinal, record.policy, record.propensity,
            record.at_ms, record.uid,
        )  # fmt: skip

        def work(entry: Entry, decided: Decided | None, sequence: int) -> Amended:
            after, event = take_outcome(entry, name, outcome, self._now_ms())
            event = msgspec.structs.replace(event, workflow=record.workflow, hold=hold)
            return Amended(after, event, reply, record.no_store)

        try:
            await self._journal.amend(ticket, request, Done, work)
        except NaiadError as error:
            if error.reason != "REQUEST_ID_REUSED":
                raise
            # Another method took the id while the provider wrote. The answer is made and paid for: it is kept.
            log.warning("request_id_taken", method=request.method, attempt=name)
            await self._journal.amend(ticket, Request(request.method), Done, work)


def _retrieve(task: asyncio.Future[None]) -> None:
    """Look at a background task's result, so that its error is not lost in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("attempt_not_recorded", error=type(error).__name__)


def _bounded(task: Task, output_tokens: int | None) -> Task:
    """Return the task with a bound on the output where a hard budget asks for one and the caller gave none."""
    if output_tokens is None or task.request.max_output_tokens is not None:
        return task
    return replace(task, request=replace(task.request, max_output_tokens=output_tokens))


def _usage(usage: ProviderUsage) -> Usage:
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        estimated=usage.estimated,
    )


def _failed(blank: Outcome, error: provider.ProviderError, latency_s: float) -> Outcome:
    return msgspec.structs.replace(
        blank,
        failed=True,
        error=kind_of(error),
        error_detail=type(error).__name__,
        http_status=error.status,
        retry_after_s=error.retry_after_s,
        latency_s=latency_s,
        cost=Cost() if _never_sent(error) else None,
    )


def _never_sent(error: provider.ProviderError) -> bool:
    """Return whether a timeout came before anything was sent, so that nothing can have been billed."""
    return isinstance(error, provider.Timeout) and error.kind is provider.TimeoutKind.CONNECT


def _all_failed(catalog: Catalog, decision: Decision, attempts: list[tuple[str, Outcome]], *, past: bool) -> NaiadError:
    kinds: dict[str, int] = {}
    for _, outcome in attempts:
        kinds[outcome.error_detail] = kinds.get(outcome.error_detail, 0) + 1
    listed = ", ".join(f"{kind} x {count}" for kind, count in sorted(kinds.items())) or "none was made"
    metadata = {"decision_id": decision.decision_id, "attempts": len(attempts), "kinds": listed}
    details = [render.attempts_failed(catalog, decision.decision_id, attempts)]
    if past:
        return NaiadError(
            "DEADLINE_EXCEEDED",
            f"the deadline passed before a model had answered ({listed}); "
            "call with a longer one, or allow faster models",
            code="DEADLINE_EXCEEDED", details=details,
            metadata={"decision_id": decision.decision_id, "attempts": len(attempts)},
        )  # fmt: skip
    rejected = all(outcome.error in REJECTIONS for _, outcome in attempts)
    return NaiadError(
        "ALL_ATTEMPTS_REJECTED" if rejected else "ALL_ATTEMPTS_FAILED",
        f"no model answered ({listed}); "
        + ("correct the request or the endpoint" if rejected else "try again later, or allow more models"),
        code="FAILED_PRECONDITION" if rejected else "UNAVAILABLE", metadata=metadata, details=details,
    )  # fmt: skip
