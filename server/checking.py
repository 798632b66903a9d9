"""Whether an answer of a cascade passes its check: a schema, a pattern, a judge, or a callback of the user's.

Each verdict is recorded as feedback on the answer's attempt. A check that failed is not: nothing is learned from it.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeAlias

import structlog

from naiad.adapters.base import FinishReason
from naiad.adapters.tokens import estimate_offered, estimate_tokens
from naiad.server import judging
from naiad.server.attempts import LEAST_S, Attempts
from naiad.server.callback import RATER, CallbackFailed, Failure, Question, Verdict
from naiad.server.checks import checker_of
from naiad.server.egress import Egress, NotPermitted
from naiad.server.eligibility import Capability
from naiad.server.engine import Engine
from naiad.server.feedback import Feedback, Judgement
from naiad.server.journal import Request
from naiad.server.ledger import CHECK_SOURCE
from naiad.server.records import Check, Checked, ModelPut
from naiad.server.walk import Made, Task, Walk

log = structlog.get_logger(__name__)

STANDS = frozenset({FinishReason.STOP, FinishReason.TOOL_CALLS})  # answers that are whole

AskJudge: TypeAlias = Callable[[judging.Scoring], Awaitable[float | judging.NoVerdict]]
"""Asks the judge of a cascade for a score."""


class Checking:
    """Checks answers of cascades."""

    def __init__(self, engine: Engine, attempts: Attempts, egress: Egress, feedback: Feedback) -> None:
        self._engine = engine
        self._attempts = attempts
        self._egress = egress
        self._feedback = feedback

    async def check(self, parts: Walk, check: Check, made: Made, ask_judge: AskJudge, *, final: bool) -> Checked | None:
        """Return what the check makes of an answer; its verdict is recorded as feedback on the attempt.

        A judge is not asked about the last answer, which is returned whatever it says: None.
        """
        answer = made.answer
        assert answer is not None  # noqa: S101 - the caller looked
        if check.callback:
            return await self._called_back(parts, check, made)
        checker = checker_of(check)
        if checker is not None:
            rater, score = "json_schema" if check.json_schema else "pattern", float(checker(answer.text))
        elif final:
            return None
        else:
            found = await ask_judge(judging.how_good(parts.task.request.messages, answer.text, secrets.token_hex(8)))
            if isinstance(found, judging.NoVerdict):  # nothing is known: the next one is asked
                return Checked(attempt=made.name, by=check.judge, failure=found.value)
            rater, score = check.judge, found
        passed = answer.finish in STANDS and score >= (check.threshold if check.judge else 1.0)
        await self._record(parts, made, rater, score)
        return Checked(attempt=made.name, by=rater, passed=passed, score=score)

    async def _called_back(self, parts: Walk, check: Check, made: Made) -> Checked:
        answer, rater = made.answer, RATER + check.callback
        assert answer is not None  # noqa: S101 - the caller looked
        stands = answer.finish in STANDS
        try:
            verdict = await self._ask_callback(parts, check.callback, made)
        except CallbackFailed as failed:
            log.warning(
                "callback_failed", callback=check.callback, failure=failed.failure.value, detail=str(failed),
                attempt=made.name,
            )  # fmt: skip
            passed = check.accept_unchecked and stands
            return Checked(attempt=made.name, by=rater, passed=passed, failure=failed.failure.value)
        await self._record(parts, made, rater, verdict.score, verdict.reason)
        return Checked(attempt=made.name, by=rater, passed=verdict.accepted and stands, score=verdict.score)

    async def _ask_callback(self, parts: Walk, callback: str, made: Made) -> Verdict:
        """Ask a callback, in no more than half of the time that is left; raises CallbackFailed."""
        record, catalog, permit = parts.decision.record, self._engine.catalog, parts.decision.permit
        answer, left_s = made.answer, self._attempts.left_s(parts)
        assert answer is not None  # noqa: S101 - the caller looked
        if left_s < LEAST_S:
            raise CallbackFailed(Failure.NO_TIME, "the deadline has passed")
        cascade = made.outcome.part_of
        question = Question(
            decision_id=parts.decision.decision_id,
            attempt_id=made.name,
            task_class=catalog.task_classes[record.task_class].name,
            workflow=record.workflow,
            model=catalog.model_names[made.outcome.model],
            cascade="" if cascade is None else catalog.model_names[cascade],
            request_id=parts.request.request_id,
            data_class=record.data_class,
            answer=answer.text,
            finish=answer.finish,
            messages=parts.task.request.messages,
        )
        try:
            return await self._egress.check_answer(permit, callback, question, timeout_s=left_s / 2.0)
        except NotPermitted as refused:
            raise CallbackFailed(Failure.NOT_PERMITTED, refused.exclusion.detail) from None

    async def _record(self, parts: Walk, made: Made, rater: str, score: float, comment: str = "") -> None:
        ticket = self._attempts.ticket(parts.decision.record)
        judgement = Judgement(attempt=made.name, source=CHECK_SOURCE, rater=rater, value=score, comment=comment)
        await self._feedback.report_feedback(ticket, parts.decision.decision_id, judgement, Request(""))


def judge_task(task: Task, question: judging.Question[object], judge: ModelPut) -> Task:
    """Return the task of a judge: its question, held to a schema where the model can be, and the needs of that."""
    request = question.request(as_json=Capability.JSON_SCHEMA in judge.capabilities)
    needs = task.needs._replace(
        input_tokens=estimate_tokens(request.messages) + estimate_offered((), request.response_schema),
        max_output_tokens=judging.JUDGE_TOKENS,
        explicit_output=True,
    )
    return replace(task, needs=needs, request=request)
