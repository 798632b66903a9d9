"""How an attempt ended, as it is recorded: its facts, what the provider counted, what it cost and what nobody knows."""

from __future__ import annotations

import msgspec
import structlog

from naiad.adapters import errors as provider
from naiad.adapters.base import Answer, FinishReason, Message, Spent
from naiad.adapters.base import Role as Speaker
from naiad.adapters.tokens import text_bytes
from naiad.server.attempt_error import AttemptError, detail_of, kind_of
from naiad.server.bills import with_uncertain
from naiad.server.credibility import Allowed, Doubt, booked
from naiad.server.money import charged, is_free
from naiad.server.records import Cost, Hold, ModelPut, Outcome
from naiad.server.walk import Task

log = structlog.get_logger(__name__)

FINISH = {
    FinishReason.STOP: 1,
    FinishReason.LENGTH: 2,
    FinishReason.TOOL_CALLS: 3,
    FinishReason.CONTENT_FILTER: 4,
    FinishReason.REFUSAL: 5,
}


def answered(
    blank: Outcome, answer: Answer, task: Task, model: ModelPut, hold: Hold | None, *, measured_s: float,
    first_s: float | None,
) -> Outcome:  # fmt: skip
    """Return the outcome of an attempt that gave an answer; blank: what was known before it was made."""
    usage = booked(answer.usage, _allowed(task, model, answer))
    outcome = msgspec.structs.replace(
        blank,
        usage=usage,
        cost=charged(usage, model.prices, answer.bill),
        latency_s=measured_s if answer.latency_s is None else answer.latency_s,
        first_token_s=first_s if answer.latency_s is None else None,
        finish=FINISH.get(answer.finish, 0),
    )
    return with_uncertain(outcome, hold)


def failed(
    blank: Outcome, error: provider.ProviderError, task: Task, model: ModelPut, hold: Hold | None, *, latency_s: float,
    first_s: float | None,
) -> Outcome:  # fmt: skip
    """Return the outcome of an attempt that failed; its provider's count of the whole call is its bill."""
    usage, cost, spent = blank.usage, Cost() if _never_sent(error) or is_free(model.prices) else None, error.spent
    if spent is not None:
        usage = booked(spent.usage, _allowed(task, model, spent))
        cost = charged(usage, model.prices, spent.bill) if spent.final else cost
    outcome = msgspec.structs.replace(
        blank,
        failed=True,
        error=kind_of(error),
        error_detail=detail_of(error),
        http_status=error.status,
        retry_after_s=error.retry_after_s,
        usage=usage,
        cost=cost,
        latency_s=latency_s,
        first_token_s=first_s,
    )
    return with_uncertain(outcome, hold)


def given_up(blank: Outcome, why: str, model: ModelPut, hold: Hold | None, *, first_s: float | None) -> Outcome:
    """Return the outcome of an attempt that was left before it ended."""
    outcome = msgspec.structs.replace(
        blank, failed=True, error=AttemptError.CANCELLED, error_detail=why, first_token_s=first_s,
        cost=Cost() if is_free(model.prices) else None,
    )  # fmt: skip
    return with_uncertain(outcome, hold)


def tell_doubts(name: str, model: ModelPut, outcome: Outcome) -> None:
    """Log what a provider said and was not believed."""
    usage, cost = outcome.usage, outcome.cost
    if usage.claim is not None:
        log.warning(
            "usage_not_credible", model=model.name, attempt=name, reason=Doubt(usage.claim.reason).name.lower(),
            claimed_input_tokens=usage.claim.input_tokens, claimed_output_tokens=usage.claim.output_tokens,
            input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
        )  # fmt: skip
    if cost is not None and cost.doubted_bill:
        log.warning("bill_not_credible", model=model.name, attempt=name, billed=cost.doubted_bill, nano_usd=cost.total)


def _allowed(task: Task, model: ModelPut, said: Answer | Spent) -> Allowed:
    """Return what a call was allowed to use, and how much of its answer can be seen.

    What is replayed was made under limits of its own, and is not shown.
    """
    if model.endpoint == "replay":
        return Allowed(None, None, 0)
    seen = said.written_bytes if isinstance(said, Spent) else text_bytes((Message(Speaker.ASSISTANT, said.parts),))
    return Allowed(task.request.max_output_tokens, model.context_window, seen)


def _never_sent(error: provider.ProviderError) -> bool:
    """Return whether a timeout came before anything was sent, so that nothing can have been billed."""
    return isinstance(error, provider.Timeout) and error.kind is provider.TimeoutKind.CONNECT
