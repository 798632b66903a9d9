"""What became of a decision's attempts, in sentences: tokens, the bill with its parts, and beside it the estimate."""

from __future__ import annotations

from collections.abc import Iterator

from naiad.client import Attempt, CandidateExplanation, DecisionRecord
from naiad.client.values import AnswerCheck, Cost, Usage
from naiad.server.report.screen import clean, nano_usd, number

_REFUSED = {"refusal": "refused", "content_filter": "was stopped by the content filter"}  # by finish reason

_WHY = {
    "contradiction": "contradicts itself",
    "output_limit": "is more than it was allowed to write",
    "context_window": "is more than the context window holds",
    "part": "has a part that is not credible",
}


def candidate_of(record: DecisionRecord, model: str) -> CandidateExplanation | None:
    """Return what was believed of a candidate, None for a model that was none."""
    return next((one for one in record.candidates if one.candidate.model == model), None)


def answering(record: DecisionRecord) -> Attempt | None:
    """Return the attempt that gave the answer, None where none did; of refusals alone the first."""
    own = [a for a in record.attempts if a.error is None and not a.part_of]
    answers = [a for a in own if a.finish_reason not in _REFUSED]
    return answers[-1] if answers else own[0] if own else None


def aftermath(record: DecisionRecord) -> Iterator[str]:
    """Yield what the attempts came to."""
    if not record.attempts:
        yield "No outcome is known: the caller has not reported one."
        return
    for attempt in record.attempts:
        took = f" after {number(attempt.latency_s)} s" if attempt.latency_s is not None else ""
        cost = _cost(attempt.cost, None if attempt.error is not None else candidate_of(record, attempt.model))
        if attempt.error is not None:
            status = f", HTTP status {attempt.error.http_status}" if attempt.error.http_status else ""
            detail = f": {clean(attempt.error.detail)}" if attempt.error.detail else ""
            kind = attempt.error.kind.replace("_", " ") or "unknown"
            called = f"Attempt {clean(attempt.attempt_id)}, {clean(attempt.model)}"
            tokens, doubts = _tokens(attempt.usage), "".join(_doubts(attempt.usage, attempt.cost))
            yield f"{called}, failed{took} ({kind}{status}{detail}){tokens}.{cost}{doubts}{_uncertain(attempt)}"
            continue
        tokens, role = _tokens(attempt.usage), " as the judge" if attempt.judge else ""
        did = _REFUSED.get(attempt.finish_reason, "answered")
        doubts = "".join(_doubts(attempt.usage, attempt.cost))
        called = f"Attempt {clean(attempt.attempt_id)}: {clean(attempt.model)} {did}{role}{took}{tokens}"
        yield f"{called}.{cost}{doubts}{_uncertain(attempt)}"
        yield from map(_checked, attempt.checks)
    for attempt in record.attempts:
        if attempt.returned_attempt_id:
            yield _shares(record, attempt)


def _shares(record: DecisionRecord, whole: Attempt) -> str:
    """Return whose answer a model made of others returned, and who was paid how much for it."""
    parts = [attempt for attempt in record.attempts if attempt.part_of == whole.model]
    cost = {"returned": 0, "judge": 0, "other": 0}
    for part in parts:
        role = "judge" if part.judge else "returned" if part.attempt_id == whole.returned_attempt_id else "other"
        cost[role] += part.cost.total_nano_usd
    told = [f"{nano_usd(cost['returned'])} for the answer of attempt {clean(whole.returned_attempt_id)}"]
    told += [f"{nano_usd(cost['other'])} for the other members"]
    told += [f"{nano_usd(cost['judge'])} for the judge"] if any(part.judge for part in parts) else []
    return f"{clean(whole.model)} cost {nano_usd(sum(cost.values()))} in all: {', '.join(told)}."


def _doubts(usage: Usage, cost: Cost) -> Iterator[str]:
    """Yield what the provider said and was not believed."""
    if usage.doubted is not None:
        said, why = usage.doubted, _WHY.get(usage.doubted.reason, usage.doubted.reason)
        yield (
            f" The provider's own count, {said.input_tokens:,} read and {said.output_tokens:,} written, {why}; nothing "
            "is learned of tokens from it."
        )
    if cost.doubted_bill:
        yield f" The provider says that it billed {clean(cost.doubted_bill)}, which cannot be true."


def _uncertain(attempt: Attempt) -> str:
    """Return that nobody knows an attempt's bill, and what budgets count for it."""
    beyond = attempt.uncertain_nano_usd
    if beyond is None:
        return ""
    return " Nobody knows its whole bill" + (f": hard budgets count {nano_usd(beyond)} more." if beyond else ".")


def _checked(check: AnswerCheck) -> str:
    """Return what a cascade's check made of one answer."""
    by, name = clean(check.checked_by), clean(check.attempt_id)
    if check.failure:
        fate = "it was accepted unchecked" if check.passed else "so it did not pass"
        return f"The check {by} of attempt {name} failed ({clean(check.failure).replace('_', ' ')}): {fate}."
    score = "" if check.score is None else f", scoring {check.score:.3f}"
    return f"Attempt {name} {'passed' if check.passed else 'did not pass'} the check {by}{score}."


def _cost(cost: Cost, expected: CandidateExplanation | None) -> str:
    """Return what an attempt cost, of what that is made, and what had been estimated; nothing where nothing is known.

    expected: None for an attempt whose bill is not to be compared.
    """
    if not cost.total_nano_usd and not cost.price_version and cost.billed_nano_usd is None:
        return ""
    thought = cost.reasoning_nano_usd
    reasoning = f" ({nano_usd(thought)} of it for reasoning)" if thought else ""
    parts = [
        f"{nano_usd(amount)} for {what}"
        for amount, what in (
            (cost.input_nano_usd, "reading"),
            (cost.cached_input_nano_usd, "reading from the provider's cache"),
            (cost.cache_write_nano_usd, "writing into it"),
            (cost.output_nano_usd, f"writing{reasoning}"),
            (cost.request_nano_usd, "the request"),
        )
        if amount
    ]
    made = f": {', '.join(parts)}" if parts and cost.billed_nano_usd is None else ""
    if cost.billed_nano_usd is not None:
        made = " as billed" + (f"; by the prices, {', '.join(parts)}" if parts else "")
    version = f" (prices {clean(cost.price_version)})" if cost.price_version and parts else ""
    seen = None if expected is None else expected.candidate
    estimate = (
        f" {nano_usd(seen.cost_nano_usd)} ± {nano_usd(seen.cost_sd_nano_usd)} had been estimated." if seen else ""
    )
    return f" It cost {nano_usd(cost.total_nano_usd)}{made}{version}.{estimate}"


def _tokens(usage: Usage) -> str:
    """Return what was read and written; nothing when no count is known, which the API shows as zeros."""
    if not usage.input_tokens and not usage.output_tokens:
        return ""
    guess = " (estimated)" if usage.estimated else ""
    cached, thought = usage.cached_input_tokens, usage.reasoning_tokens
    read = f"{usage.input_tokens:,}" + (f" ({cached:,} from the cache)" if cached else "")
    wrote = f"{usage.output_tokens:,}" + (f" ({thought:,} of reasoning)" if thought else "")
    return f", reading {read} and writing {wrote} tokens{guess}"
