"""Walk the ranking until a model answers: retry, fall back or stop as the error's type says, within one deadline.

Every call goes through `egress`, which checks it again as it leaves; every attempt is recorded, and the reply waits
until everything is on disk. Complete and StreamComplete are this one walk, and differ in how they ask (`Asking`).

* The deadline is the caller's, less 50 ms for recording and answering. An attempt may take all that is left, except for
  what the next model may well need, which is kept back for it; that is at most half.
* A refusal or a content filter is an answer, and is returned; where the policy says so (`refusals`), the next model is
  asked, and the first refusal is returned if nobody answers.
* An input that is too long goes to models with a larger context window only.
* What `retrying` says decides whether the same model is asked again; else it is the next one's turn.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from naiad.adapters import errors as provider
from naiad.adapters.base import Answer
from naiad.server import render
from naiad.server.attempt_error import REJECTIONS
from naiad.server.attempts import LEAST_S, Attempts, fair_s, reader_stalled
from naiad.server.catalog import Catalog
from naiad.server.ceilings import Shortage, exhausted
from naiad.server.checking import Checking
from naiad.server.composing import Composer
from naiad.server.egress import Egress, Kind
from naiad.server.eligibility import Reason
from naiad.server.engine import Decision, Engine
from naiad.server.errors import NaiadError
from naiad.server.feedback import Feedback
from naiad.server.journal import Journal, Request
from naiad.server.money import sum_of
from naiad.server.notices import Notice
from naiad.server.records import Cost, Exclusion, ModelPut, Outcome
from naiad.server.refusals import routes_around
from naiad.server.retrying import RetryBudget, again_in_s
from naiad.server.walk import Asking, Made, ReaderStalled, Task, Walk, Whole

_KEPT_LEAST_S = 0.5  # for another model, however quick it is
_MOST_QUOTED = 300  # characters of what one attempt, or one model, says in the message of a failure
MARGIN_S = 0.05  # kept back from the caller's deadline for recording and answering
ALL_FAILED = frozenset({"ALL_ATTEMPTS_FAILED", "ALL_ATTEMPTS_REJECTED"})  # the providers' word: repeating gets the same


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and the attempts that led to it."""

    decision: Decision
    answer: Answer
    attempt: str
    model: ModelPut
    attempts: tuple[tuple[str, Outcome], ...]
    cost: Cost | None = None  # of the answer: of its attempt, or of the attempts that a composite made for it
    passed_over: tuple[Exclusion, ...] = ()  # models of the ranking that could not be called any more
    parts: frozenset[int] = frozenset()  # of a composite: the models whose answers went into this one
    age_s: float | None = None  # of an answer that was kept; None: it was made for this request
    notices: tuple[Notice, ...] = ()  # what the caller is told of the answer


class Completer:
    """Turns decisions into answers; monotonic, sleep: seconds; uniform: draws from [0, 1) for the waits."""

    attempting = Attempts

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        egress: Egress,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._engine = engine
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._sleep = sleep
        self._uniform = uniform
        self._attempts = self.attempting(engine, journal, egress, now_ms, monotonic)
        checking = Checking(engine, self._attempts, egress, Feedback(journal, engine, now_ms))
        self._composer = Composer(engine, self._attempts, checking, now_ms, monotonic)
        self._budgets: dict[str, RetryBudget] = {}  # by endpoint

    async def complete(
        self, decision: Decision, task: Task, request: Request, *, timeout_s: float, asking: Asking | None = None
    ) -> Completion:
        """Answer with the first model of the ranking that succeeds; raises NaiadError when none does.

        timeout_s: what is left of the caller's deadline, in seconds. asking: how, Whole by default.
        """
        deadline_s = self._monotonic() + timeout_s - MARGIN_S
        walk = Walk(decision, task, request, deadline_s, asking or Whole())
        rank = decision.record.rank
        for place, position in enumerate(rank):
            if not self._goes_on(walk):
                break
            made = await self._on(walk, position, rank[place + 1 :])
            if made is None or made.answer is None:
                continue
            if not _routed_around(walk, made):
                return await self._answered(walk, made, made.answer)
            walk.refused = walk.refused or made
        if walk.refused is not None and walk.refused.answer is not None:
            await self._attempts.conclude(walk, walk.refused.name)
            return await self._answered(walk, walk.refused, walk.refused.answer)
        raise self._failure(walk)

    async def _answered(self, walk: Walk, made: Made, answer: Answer) -> Completion:
        model = self._engine.catalog.models[made.outcome.model]
        try:
            await walk.asking.answers(walk, made.name, model, answer)
        except ReaderStalled:
            raise reader_stalled(walk.decision, made.name, model) from None
        return Completion(
            walk.decision, answer, made.name, model, tuple(walk.made), _cost_of(walk, made, model),
            tuple(walk.passed_over), _parts_of(walk, model), notices=made.notices,
        )  # fmt: skip

    def _goes_on(self, walk: Walk) -> bool:
        return walk.more > 0 and self._attempts.left_s(walk) >= LEAST_S

    async def _on(self, walk: Walk, position: int, rest: Sequence[int]) -> Made | None:
        """Ask one model as often as that is worth it; return the attempt that it answered, None if there is none."""
        if walk.decision.record.models[position] in self._engine.catalog.members:
            return await self._composed(walk, position)
        kind = Kind.FALLBACK if walk.made or walk.passed_over else Kind.PRIMARY
        tries = 0
        while self._goes_on(walk):
            kept_s = self._kept_s(walk, rest) if walk.more > 1 else 0.0
            made = await self._attempts.make(walk, position, kind, kept_s)
            if not isinstance(made, Made):
                self._pass_over(walk, position, made)
                return None
            if not tries:
                self._budget(made).called(self._monotonic())
            walk.made.append((made.name, made.outcome))
            walk.spent += made.outcome.cost.total if made.outcome.cost else 0
            await self._attempts.record(walk, made.name, made.outcome, _request_of(walk, made), made.hold)
            if made.error is None:
                return made
            tries += 1
            wait_s = self._wait_s(walk, position, rest, made, tries)
            if wait_s is None:
                return None
            await self._sleep(wait_s)
            kind = Kind.RETRY
        return None

    async def _composed(self, walk: Walk, position: int) -> Made | None:
        """Ask a composite once; its parts stand in for each other."""
        made = await self._composer.make(walk, position)
        if not isinstance(made, Made):
            self._pass_over(walk, position, made)
            return None
        walk.made.append((made.name, made.outcome))
        await self._attempts.record(walk, made.name, made.outcome, _request_of(walk, made), None)
        if made.error is None:
            return made
        walk.errors.append(made.error)
        walk.over = not made.error.fallback_worthy
        return None

    def _wait_s(self, walk: Walk, position: int, rest: Sequence[int], made: Made, tries: int) -> float | None:
        """Return how long to wait before the same model is asked again, None to leave it; raises STREAM_CUT."""
        error = made.error
        assert error is not None  # noqa: S101
        walk.errors.append(error)
        model = self._engine.catalog.models[made.outcome.model]
        if walk.asking.final:
            raise _cut(self._engine.catalog, walk, made, model)
        if not error.fallback_worthy:
            walk.over = True
            return None
        if isinstance(error, provider.ContextTooLong):
            walk.outgrown = max(walk.outgrown or 0, model.context_window or 0)
            return None
        others = self._next(walk, rest) is not None
        if others and (walk.more < 2 or walk.asking.spoken):
            return None
        wait_s = again_in_s(
            error, tries=tries, others=others, left_s=self._attempts.left_s(walk) - LEAST_S, uniform=self._uniform()
        )
        if wait_s is None or walk.more < 1 or not self._budget(made).take(self._monotonic()):
            return None
        return wait_s

    def _budget(self, made: Made) -> RetryBudget:
        endpoint = self._engine.catalog.models[made.outcome.model].endpoint
        budget = self._budgets.get(endpoint)
        if budget is None:
            budget = self._budgets[endpoint] = RetryBudget()
        return budget

    def _next(self, walk: Walk, rest: Sequence[int]) -> int | None:
        """Return the next position of the ranking whose model may be called, None if there is none."""
        return next((position for position in rest if self._attempts.refusal(walk, position) is None), None)

    def _kept_s(self, walk: Walk, rest: Sequence[int]) -> float:
        """Return how many seconds the next model may well need, should this one fail; 0 without one."""
        following = self._next(walk, rest)
        return 0.0 if following is None else max(_KEPT_LEAST_S, fair_s(walk.decision.record, following))

    def _pass_over(self, walk: Walk, position: int, why: Exclusion | Shortage) -> None:
        if isinstance(why, Shortage):
            walk.short = why
            why = why.exclusion(walk.decision.record.models[position])
        walk.passed_over.append(why)

    def _failure(self, walk: Walk) -> NaiadError:
        catalog, record = self._engine.catalog, walk.decision.record
        past = self._attempts.left_s(walk) < LEAST_S
        if not walk.made and not past:
            if walk.short is not None:
                return exhausted(walk.short, self._now_ms())
            excluded = [*record.excluded, *walk.passed_over]
            return self._engine.eligibility.none_left(excluded, catalog.task_classes[record.task_class].name)
        return _all_failed(catalog, walk, past=past)


def _routed_around(walk: Walk, made: Made) -> bool:
    """Return whether another model is asked after an attempt although it has an answer: a refusal."""
    return made.answer is not None and not walk.asking.final and routes_around(walk.decision.record, made.answer)


def _request_of(walk: Walk, made: Made) -> Request | None:
    """Return the request that an attempt answers, None if it does not, or not for all that is known yet."""
    return None if made.answer is None or _routed_around(walk, made) else walk.request


def _parts_of(walk: Walk, model: ModelPut) -> frozenset[int]:
    """Return the models that answered for a composite, judges among them."""
    return frozenset(o.model for _, o in walk.made if o.part_of == model.model and not o.failed)


def _cost_of(walk: Walk, made: Made, model: ModelPut) -> Cost | None:
    """Return what an answer cost: of a composite, what the attempts cost that were made for it."""
    if model.composite is None:
        return made.outcome.cost
    parts = [(name, outcome) for name, outcome in walk.made if outcome.part_of == model.model]
    return sum_of(parts, made.outcome.returned)


def _all_failed(catalog: Catalog, walk: Walk, *, past: bool) -> NaiadError:
    kinds: dict[str, int] = {}
    for _, outcome in walk.made:
        kind = outcome.error_detail.partition(":")[0]
        kinds[kind] = kinds.get(kind, 0) + 1
    listed = ", ".join(f"{kind} x {count}" for kind, count in sorted(kinds.items())) or "none was made"
    decision_id = walk.decision.decision_id
    details = [render.attempts_failed(catalog, decision_id, walk.made)]
    if past:
        return NaiadError(
            "DEADLINE_EXCEEDED",
            f"the deadline passed before a model had answered ({listed}); "
            f"call with a longer one, or allow faster models{_last(catalog, walk)}",
            code="DEADLINE_EXCEEDED", details=details,
            metadata={"decision_id": decision_id, "attempts": len(walk.made)},
        )  # fmt: skip
    metadata = {"decision_id": decision_id, "attempts": len(walk.made), "kinds": listed}
    if all(outcome.error in REJECTIONS for _, outcome in walk.made):
        return NaiadError(
            "ALL_ATTEMPTS_REJECTED",
            f"no model answered ({listed}); correct the request or the endpoint{_last(catalog, walk)}",
            code="FAILED_PRECONDITION", metadata=metadata, details=details,
        )  # fmt: skip
    named = [
        error.retry_after_s
        for error in walk.errors
        if isinstance(error, provider.RateLimited | provider.Overloaded) and error.retry_after_s is not None
    ]
    return NaiadError(
        "ALL_ATTEMPTS_FAILED",
        f"no model answered ({listed}); try again later, or allow more models{_last(catalog, walk)}",
        code="UNAVAILABLE", metadata=metadata, details=details,
        retry_after_s=min(max(0.0, min(named)), 3_600.0) if named else None,
    )  # fmt: skip


def _last(catalog: Catalog, walk: Walk) -> str:
    """Return how the last attempt ended, and why models were passed over that might have been asked next."""
    told = ""
    if walk.made:
        _, outcome = walk.made[-1]
        told = f". The last, {catalog.models[outcome.model].name}, failed with {outcome.error_detail[:_MOST_QUOTED]}"
    if walk.passed_over:
        first = walk.passed_over[0]
        more = f", and {len(walk.passed_over) - 1} more" if len(walk.passed_over) > 1 else ""
        reason = f"{Reason(first.reason).name}: {first.detail}"[:_MOST_QUOTED]
        told += f". Not asked: {catalog.models[first.model].name} ({reason}){more}"
    return told


def _cut(catalog: Catalog, walk: Walk, made: Made, model: ModelPut) -> NaiadError:
    decision_id = walk.decision.decision_id
    return NaiadError(
        "STREAM_CUT",
        f"the stream of {model.name} broke ({made.outcome.error_detail}), and no restart was asked for; "
        "discard the text received, and try again",
        code="ABORTED", metadata={"decision_id": decision_id, "attempt_id": made.name, "model": model.name},
        details=[render.attempts_failed(catalog, decision_id, walk.made)],
    )  # fmt: skip
