"""Telling Naiad how a decision turned out."""

from __future__ import annotations

from naiad.client.calls import Call, Timeouts, call, new_id
from naiad.client.convert import read, write
from naiad.client.results import (
    Completion,
    Decision,
    FeedbackReceipt,
    OutcomeReceipt,
    Preference,
    Reaction,
    Retraction,
)
from naiad.client.values import AttemptError
from naiad.v1.feedback_service_pb2 import (
    ReportFeedbackRequest,
    ReportFeedbackResponse,
    ReportOutcomeRequest,
    ReportOutcomeResponse,
    RetractFeedbackRequest,
    RetractFeedbackResponse,
)


def report_outcome(
    decision: str | Decision,
    *,
    attempt_id: str = "",
    model: str = "",
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cached_input_tokens: int | None = None,
    cache_write_input_tokens: int | None = None,
    cost_nano_usd: int | None = None,
    latency_s: float | None = None,
    time_to_first_token_s: float | None = None,
    finish_reason: str = "",
    error: AttemptError | None = None,
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[OutcomeReceipt]:
    """Report the facts of one call that the caller made to a provider.

    Args:
        decision: the decision, or its id.
        attempt_id: the caller's id for the attempt; empty lets Naiad give one.
        model: the model that was called; empty is the decision's first choice.
        input_tokens: tokens read, cached ones included; None is unknown.
        output_tokens: tokens written, hidden reasoning included; None is unknown.
        cached_input_tokens: of the input, from the provider's cache.
        cache_write_input_tokens: of the input, written into the provider's cache.
        cost_nano_usd: what was billed; None lets Naiad compute it from tokens and prices.
        latency_s: from the request to the last byte.
        time_to_first_token_s: from the request to the first piece, for streams.
        finish_reason: "stop", "length", "tool_calls", "content_filter", "refusal".
        error: how the attempt failed; None means that it succeeded.
        request_id: repeat a call with its id to report it only once; None makes a new one.
        timeout_s: the time for everything, retries included.

    Raises:
        NaiadError: the call failed.
        ValueError, TypeError: an argument cannot be sent.
    """
    request = ReportOutcomeRequest(decision_id=_id(decision), attempt_id=attempt_id, model=model)
    facts: dict[str, object] = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cached_input_tokens": cached_input_tokens,
        "cache_write_input_tokens": cache_write_input_tokens,
        "cost_nano_usd": cost_nano_usd,
        "latency_s": latency_s,
        "time_to_first_token_s": time_to_first_token_s,
        "finish_reason": finish_reason,
        "error": error,
    }
    write(None, request, facts)
    request.request_id = new_id() if request_id is None else request_id
    return call(
        "FeedbackService/ReportOutcome",
        request,
        ReportOutcomeResponse,
        lambda r: read(OutcomeReceipt, r),
        _report_s,
        timeout_s,
    )


def report_feedback(
    decision: str | Decision | Completion,
    score: float | None = None,
    *,
    thumb: str | None = None,
    preference: Preference | None = None,
    reaction: str | Reaction | None = None,
    source: str = "user",
    rater_id: str = "",
    attempt_id: str = "",
    comment: str = "",
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[FeedbackReceipt]:
    """Report a judgement of quality. Another one of the same source and rater revises it.

    Args:
        decision: the decision or completion judged, or its id.
        score: quality from 0 to 1.
        thumb: "up" or "down" instead of a score.
        preference: which of two attempts is better, instead of a score.
        reaction: what the user did, instead of a score: "accepted", "edited", "abandoned" or "retried", or a Reaction
            that also says how much was changed. It counts less than what is said, and only while nothing is.
        source: who judges: "user", "human" (a reviewer), "judge" (a model), "check" (a program).
        rater_id: the person, model or program within the source.
        attempt_id: the attempt judged; empty is the one that gave the answer.
        comment: a remark for people.
        request_id: repeat a call with its id to report it only once; None makes a new one.
        timeout_s: the time for everything, retries included.

    Raises:
        NaiadError: the call failed.
        ValueError: not exactly one of score, thumb, preference and reaction is given, or a name is unknown.
    """
    done = Reaction(kind=reaction) if isinstance(reaction, str) else reaction
    if not isinstance(preference, Preference | None):
        raise TypeError(
            f"preference is {preference!r}; give Preference(preferred_attempt_id=..., other_attempt_id=...)"
        )
    given = {"score": score, "thumb": thumb, "preference": preference, "reaction": done}
    signals = {name: value for name, value in given.items() if value is not None}
    if len(signals) != 1:
        names = " and ".join(signals) or "none of them"
        raise ValueError(f"got {names}; give exactly one of score, thumb, preference and reaction")
    request = ReportFeedbackRequest(
        decision_id=_id(decision), attempt_id=attempt_id, rater_id=rater_id, comment=comment
    )
    write(None, request, {**signals, "source": source})
    request.request_id = new_id() if request_id is None else request_id
    return call(
        "FeedbackService/ReportFeedback",
        request,
        ReportFeedbackResponse,
        lambda r: read(FeedbackReceipt, r),
        _report_s,
        timeout_s,
    )


def retract_feedback(
    feedback: str | FeedbackReceipt,
    *,
    comment: str = "",
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[Retraction]:
    """Take a judgement back, as if it had never been given.

    Args:
        feedback: the receipt of the judgement, or its id.
        comment: why, for people.
        request_id: repeat a call with its id to do it only once; None makes a new one.
        timeout_s: the time for everything, retries included.

    Raises:
        NaiadError: the call failed.
    """
    feedback_id = feedback if isinstance(feedback, str) else feedback.feedback_id
    request = RetractFeedbackRequest(
        feedback_id=feedback_id, comment=comment, request_id=new_id() if request_id is None else request_id
    )
    return call(
        "FeedbackService/RetractFeedback",
        request,
        RetractFeedbackResponse,
        lambda r: read(Retraction, r),
        _report_s,
        timeout_s,
    )


def _id(decision: str | Decision | Completion) -> str:
    return decision if isinstance(decision, str) else decision.decision_id


def _report_s(timeouts: Timeouts) -> float:
    return timeouts.report_s
