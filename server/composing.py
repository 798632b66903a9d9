"""Calling a model that is made of others: an ensemble side by side, a cascade in turn.

Every call is an attempt of its own, made by `Attempts` under a permit for the parts alone: so it passes the rules, is
held against the budgets and is recorded as any other. The answer is one more attempt, of the composite, without a cost.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec
import structlog

from naiad.adapters import errors as provider
from naiad.adapters.base import Answer, FinishReason
from naiad.adapters.base import Usage as ProviderUsage
from naiad.server import agreement, judging, notices
from naiad.server.attempt_error import detail_of, kind_of
from naiad.server.attempts import Attempts, reader_stalled
from naiad.server.checking import STANDS, Checking, judge_task
from naiad.server.composites import Aggregation, quorum
from naiad.server.credibility import of_parts
from naiad.server.egress import Kind
from naiad.server.eligibility import Reason
from naiad.server.engine import Decision, Engine
from naiad.server.notices import Notice
from naiad.server.outcomes import FINISH
from naiad.server.prediction import Predictor
from naiad.server.records import Check, Checked, Composite, Cost, Exclusion, Outcome
from naiad.server.refusals import REFUSED, OnRefusal, routes_around
from naiad.server.walk import Made, ReaderStalled, Task, Walk, Whole

log = structlog.get_logger(__name__)
Value = TypeVar("Value")

_NOTHING = ProviderUsage(0, 0)
_FINAL = frozenset({FinishReason.REFUSAL, FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS})  # not checked


@dataclass(frozen=True, slots=True)
class Taken:
    """The answer that is returned, the attempt that gave it, and what the caller is told of it."""

    attempt: str
    answer: Answer
    notices: tuple[Notice, ...] = ()


class Composer:
    """Calls composites; monotonic: seconds."""

    def __init__(
        self,
        engine: Engine,
        attempts: Attempts,
        checking: Checking,
        now_ms: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        self._engine = engine
        self._attempts = attempts
        self._checking = checking
        self._now_ms = now_ms
        self._monotonic = monotonic
        self._predictor = Predictor(engine.belief, engine.catalog, engine.steps)  # apart: decisions ask for other lists

    async def make(self, walk: Walk, position: int) -> Made | Exclusion:
        """Call a composite of the ranking: an attempt with an answer or an error, or why it was not called."""
        excluded = self._attempts.refusal(walk, position)
        if excluded is not None:
            return excluded
        record = walk.decision.record
        model = self._engine.catalog.models[record.models[position]]
        composite = model.composite
        assert composite is not None  # noqa: S101 - the caller looked
        parts = self._parts(walk, model.model)
        usable = [at for at in range(len(composite.members)) if self._attempts.refusal(parts, at) is None]
        if len(usable) < quorum(composite):
            why = f"only {len(usable)} of its {len(composite.members)} members may be called now"
            return Exclusion(model.model, Reason.UNAVAILABLE, why)
        calls = len(usable) + _judgements(composite, len(usable))
        if walk.task.counts_parts and calls + 1 > walk.more:
            why = f"may take {calls} calls, and an attempt of its own; max_attempts leaves {walk.more}"
            return Exclusion(model.model, Reason.BUDGET, why)
        name = walk.names.take()
        blank = Outcome(model=model.model, ordinal=record.ordinals[position], started_ms=self._now_ms())
        walk.asking.began(walk, name, model)
        began_s, checks = self._monotonic(), list[Checked]()
        try:
            if self._engine.catalog.members[model.model].in_turn:
                taken, error = await self._in_turn(parts, composite.check or Check(), usable, checks)
            else:
                taken, error = await self._side_by_side(parts, composite, usable)
        finally:
            walk.made += parts.made
            walk.parts += len(parts.made)
            walk.spent += sum(outcome.cost.total for _, outcome in parts.made if outcome.cost)
        latency_s = self._monotonic() - began_s
        if taken is None:
            assert error is not None  # noqa: S101 - one of the two is there
            failed = msgspec.structs.replace(
                blank, failed=True, error=kind_of(error), error_detail=detail_of(error),
                latency_s=latency_s, cost=Cost(),
            )  # fmt: skip
            return Made(name, failed, None, error, None)
        try:
            if not routes_around(record, taken.answer):
                await walk.asking.pass_on(taken.answer)
        except ReaderStalled:
            raise reader_stalled(walk.decision, name, model) from None
        whole = replace(taken.answer, usage=_sum(parts.made), latency_s=None, bill=None)
        outcome = msgspec.structs.replace(
            blank, usage=of_parts(whole.usage, (o.usage for _, o in parts.made)), cost=Cost(), latency_s=latency_s,
            finish=FINISH.get(whole.finish, 0), returned=taken.attempt, checks=tuple(checks),
        )  # fmt: skip
        return Made(name, outcome, whole, None, None, taken.notices)

    # -- parts -----------------------------------------------------------------------------------------------------

    def _parts(self, walk: Walk, composite: int) -> Walk:
        """Return a walk over the members and the judge of a composite, in their order, with its names and deadline."""
        engine, record, permit = self._engine, walk.decision.record, walk.decision.permit
        models = list(engine.catalog.members[composite].all)
        seen = self._predictor.predict(record.task_class, models, record.input_tokens, record.max_output_tokens)
        among = msgspec.structs.replace(
            record, models=models, ordinals=[engine.next_ordinal(model) for model in models], cost=seen.cost,
            latency=seen.latency, latency_sd=seen.latency_sd, quality=seen.quality,
        )  # fmt: skip
        permit = None if permit is None else engine.eligibility.part_permit(permit, composite)
        decision = Decision(walk.decision.decision_id, among, permit)
        return Walk(
            decision, walk.task, walk.request, walk.deadline_s, Whole(), spent=walk.spent,
            names=walk.names,
        )  # fmt: skip

    async def _ask(self, parts: Walk, at: int, kind: Kind, task: Task | None = None) -> Made | None:
        """Ask one part, and record how it ended; None where it may not be called. task: another than the walk's."""
        own = replace(parts, task=task or parts.task, made=[], errors=[], passed_over=[])
        try:
            made = await self._attempts.make(own, at, kind)
            if not isinstance(made, Made):
                return None
            own.made.append((made.name, made.outcome))
            await self._attempts.record(own, made.name, made.outcome, None, made.hold)
            return made
        finally:
            parts.made += own.made  # also of one that was cancelled

    async def _judge(self, parts: Walk, question: judging.Question[Value]) -> Value | judging.NoVerdict:
        """Ask the judge, which is the last of the parts; return its verdict, or why there is none."""
        at = len(parts.decision.record.models) - 1
        judge = self._engine.catalog.models[parts.decision.record.models[at]]
        made = await self._ask(parts, at, Kind.JUDGE, judge_task(parts.task, question, judge))
        if made is None:
            failure = judging.NoVerdict.NOT_CALLED
        elif made.answer is None:
            failure = judging.NoVerdict.ERROR
        elif (verdict := question.read(made.answer)) is not None:
            return verdict
        else:
            failure = judging.NoVerdict.NO_VERDICT
        log.warning("no_verdict", judge=judge.name, failure=failure.value, attempt=made.name if made else "")
        return failure

    # -- side by side ----------------------------------------------------------------------------------------------

    async def _side_by_side(
        self, parts: Walk, composite: Composite, usable: list[int]
    ) -> tuple[Taken | None, provider.ProviderError | None]:
        """Ask all at once, until what they say is decided; the others are cancelled.

        Refusals say the same, whatever their words, and are the answer where more members refuse than give any other
        (with a judge, than answer at all); where refusals are routed around, only where nobody answers.
        """
        asked = {asyncio.ensure_future(self._ask(parts, at, Kind.ENSEMBLE)): at for at in usable}
        answers: dict[int, Answer] = {}
        found: dict[int, Made] = {}
        refusals: dict[int, Made] = {}
        routes = parts.decision.record.on_refusal == OnRefusal.NEXT
        error: provider.ProviderError | None = None
        waiting = set(asked)
        try:
            while waiting and not _enough(composite, answers, 0 if routes else len(refusals), len(waiting)):
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in sorted(done, key=lambda task: asked[task]):
                    made = task.result()
                    if made is not None and made.answer is not None:
                        if made.answer.finish in REFUSED:
                            refusals[asked[task]] = made
                        else:
                            answers[asked[task]], found[asked[task]] = made.answer, made
                    elif made is not None:
                        error = made.error
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        judged = composite.aggregation == Aggregation.JUDGE  # who is asked what is best, and not whether to answer
        against = len(answers) if judged else agreement.largest(answers)
        if refusals and (not answers or (not routes and len(refusals) > against)):
            return _taken(refusals[min(refusals)], []), None
        whole = {at: answer for at, answer in answers.items() if answer.finish in STANDS} or answers
        if not whole:
            return None, error or _none_called()
        at, said = await self._aggregate(parts, composite, whole)
        return Taken(found[at].name, whole[at], (*found[at].notices, *said)), None

    async def _aggregate(
        self, parts: Walk, composite: Composite, answers: dict[int, Answer]
    ) -> tuple[int, tuple[Notice, ...]]:
        """Return whose answer it is, and what is to be told of that."""
        quality = dict(enumerate(parts.decision.record.quality))
        if composite.aggregation == Aggregation.JUDGE and len(agreement.groups(answers)) > 1:
            return await self._picked(parts, composite, answers, quality)
        at = agreement.most_said(answers, quality)
        most = agreement.largest(answers)
        wanted = composite.agree if composite.aggregation == Aggregation.FIRST_AGREEMENT else 2
        if composite.aggregation == Aggregation.JUDGE or most >= wanted:
            return at, ()
        told = notices.no_agreement(
            self._name_of(parts), answered=len(answers), members=len(composite.members), agreed=most, wanted=wanted
        )
        return at, (told,)

    async def _picked(
        self, parts: Walk, composite: Composite, answers: dict[int, Answer], quality: dict[int, float]
    ) -> tuple[int, tuple[Notice, ...]]:
        """Return whose answer the judge picks; where it picks none, one that most gave, and say so."""
        order = sorted(answers)
        asked, texts = parts.task.request.messages, [answers[at].text for at in order]
        picked = await self._judge(parts, judging.which_is_best(asked, texts, secrets.token_hex(8)))
        if not isinstance(picked, judging.NoVerdict):
            return order[picked], ()
        groups = agreement.groups(answers).values()
        told = notices.not_picked(self._name_of(parts), composite.judge, picked, groups)
        return agreement.most_said(answers, quality), (told,)

    # -- in turn ---------------------------------------------------------------------------------------------------

    async def _in_turn(
        self, parts: Walk, check: Check, usable: list[int], checks: list[Checked]
    ) -> tuple[Taken | None, provider.ProviderError | None]:
        """Ask one after the other, until a check accepts an answer; else return the last one there is.

        A refusal ends it. Where refusals are routed around, the next is asked, and a refusal is the answer if there is
        no other. checks: what the check made of each answer is added to it.
        """
        last: Made | None = None
        refusal: Made | None = None
        routes = parts.decision.record.on_refusal == OnRefusal.NEXT
        error: provider.ProviderError | None = None
        told: list[Notice] = []
        for at in usable:
            made = await self._ask(parts, at, Kind.CASCADE)
            if made is None or made.answer is None:
                error = error if made is None else made.error
                if error is not None and not error.fallback_worthy:
                    break
                continue
            if routes and made.answer.finish in REFUSED:
                refusal = refusal or made
                continue
            last = made
            if made.answer.finish in _FINAL:
                return _taken(made, told), None
            checked = await self._checking.check(
                parts, check, made, lambda question: self._judge(parts, question), final=at == usable[-1]
            )
            if checked is None:
                return _taken(made, told), None
            checks.append(checked)
            if checked.failure:
                told.append(notices.not_checked(self._name_of(parts), checked))
            if checked.passed:
                return _taken(made, told), None
        if last is None:
            if refusal is not None:
                return _taken(refusal, told), None
            return None, error or _none_called()
        return _taken(last, [*told, notices.none_passed(self._name_of(parts))]), None

    def _name_of(self, parts: Walk) -> str:
        """Return the name of the composite whose parts these are."""
        permit = parts.decision.permit
        return "" if permit is None or permit.via is None else self._engine.catalog.model_names[permit.via]


def _taken(made: Made, told: list[Notice]) -> Taken:
    """Return a member's answer as the one that is returned, with what is to be told of it besides."""
    assert made.answer is not None  # noqa: S101 - the caller looked
    return Taken(made.name, made.answer, (*made.notices, *told))


def _enough(composite: Composite, answers: dict[int, Answer], refused: int, waiting: int) -> bool:
    """Return whether the answers that are there decide, whatever the others may say.

    refused: how many members refused, where that counts.
    """
    if composite.aggregation == Aggregation.FIRST_AGREEMENT:
        return max(refused, agreement.largest(answers)) >= composite.agree
    return composite.aggregation == Aggregation.MAJORITY and agreement.decided(answers, waiting, refused)


def _judgements(composite: Composite, members: int) -> int:
    """Return how often a judge may be asked."""
    if composite.check is not None:
        return members - 1 if composite.check.judge else 0
    return 1 if composite.judge else 0


def _sum(made: list[tuple[str, Outcome]]) -> ProviderUsage:
    """Return what all attempts used together, as far as it is known."""
    total = _NOTHING
    for _, outcome in made:
        usage = outcome.usage
        total = ProviderUsage(
            input_tokens=total.input_tokens + (usage.input_tokens or 0),
            output_tokens=total.output_tokens + (usage.output_tokens or 0),
            cached_input_tokens=total.cached_input_tokens + usage.cached_input_tokens,
            cache_write_tokens=total.cache_write_tokens + usage.cache_write_tokens,
            reasoning_tokens=total.reasoning_tokens + usage.reasoning_tokens,
            estimated=total.estimated or usage.estimated,
        )
    return total


def _none_called() -> provider.ProviderError:
    """Return the error for a composite none of whose members could be called any more."""
    return provider.ProviderError("no member could be called any more", provider="naiad", model="")
