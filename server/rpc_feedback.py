"""FeedbackService: convert, call, convert."""

from __future__ import annotations

from typing import Any

from naiad.server import render
from naiad.server.convert import (
    duration_s,
    enum_value,
    model_name,
    number,
    optional_count,
    optional_money,
    request_of,
    text,
    text_id,
)
from naiad.server.errors import NaiadError
from naiad.server.feedback import Feedback, Judgement, OutcomeReport, ReactionKind, worth_of
from naiad.server.ledger import REACTION_SOURCE, USER_SOURCE, AttemptEntry
from naiad.server.records import Outcome, Usage
from naiad.server.routing import Routing
from naiad.v1 import content_pb2, decision_pb2, feedback_pb2, feedback_service_pb2, feedback_service_pb2_grpc

_COMMENT = 4_000
_DETAIL = 1_000


class FeedbackServicer(feedback_service_pb2_grpc.FeedbackServiceServicer):
    """Facts and judgements about decisions."""

    def __init__(self, routing: Routing, feedback: Feedback) -> None:
        self._routing = routing
        self._feedback = feedback

    async def ReportOutcome(self, request: Any, context: Any) -> feedback_service_pb2.ReportOutcomeResponse:
        """Record the facts of one attempt."""
        ticket = self._routing.ticket(request.decision_id)
        report = outcome_from_proto(request)
        receipt = await self._feedback.report_outcome(
            ticket,
            request.decision_id,
            report,
            request_of("FeedbackService/ReportOutcome", request),
        )
        usage = report.outcome.usage
        if usage.input_tokens is not None and usage.output_tokens is not None:
            self._routing.tokens.reported(ticket.uid, usage.input_tokens + usage.output_tokens)
        return feedback_service_pb2.ReportOutcomeResponse(
            attempt_id=receipt.attempt, cost=render.cost(receipt.cost), sequence=receipt.sequence
        )

    async def ReportFeedback(self, request: Any, context: Any) -> feedback_service_pb2.ReportFeedbackResponse:
        """Record a judgement of quality."""
        ticket = self._routing.ticket(request.decision_id)
        receipt = await self._feedback.report_feedback(
            ticket,
            request.decision_id,
            judgement_from_proto(request),
            request_of("FeedbackService/ReportFeedback", request),
        )
        state = feedback_pb2.FEEDBACK_STATE_EFFECTIVE if receipt.effective else feedback_pb2.FEEDBACK_STATE_SUPERSEDED
        return feedback_service_pb2.ReportFeedbackResponse(
            feedback_id=receipt.feedback_id,
            state=state,
            effective_score=receipt.score,
            revised=receipt.revised,
            sequence=receipt.sequence,
        )

    async def RetractFeedback(self, request: Any, context: Any) -> feedback_service_pb2.RetractFeedbackResponse:
        """Take a judgement back."""
        feedback_id = text_id(request.feedback_id, "feedback_id", required=True)
        comment = text(request.comment, "comment", _COMMENT)
        receipt = await self._feedback.retract(
            feedback_id, comment, request_of("FeedbackService/RetractFeedback", request)
        )
        entry, engine = receipt.entry, self._routing.engine
        rated = entry.find(receipt.attempt) or AttemptEntry(attempt=receipt.attempt)
        return feedback_service_pb2.RetractFeedbackResponse(
            feedback=render.feedback(
                entry, rated, receipt.rating, engine.decision_id(entry), engine.settings.belief.trust
            ),
            effective_score=receipt.score,
            sequence=receipt.sequence,
        )


def outcome_from_proto(request: Any) -> OutcomeReport:
    """Return the facts of a ReportOutcome request; raises NaiadError."""
    usage = Usage(
        input_tokens=optional_count(request, "input_tokens"),
        output_tokens=optional_count(request, "output_tokens"),
        cached_input_tokens=optional_count(request, "cached_input_tokens") or 0,
        cache_write_tokens=optional_count(request, "cache_write_input_tokens") or 0,
    )
    parts = usage.cached_input_tokens + usage.cache_write_tokens
    if parts and parts > (usage.input_tokens or 0):
        raise NaiadError(
            "INVALID_COMBINATION",
            f"cached_input_tokens and cache_write_input_tokens are {parts} together, more than input_tokens "
            f"({usage.input_tokens}); input_tokens counts them too",
            metadata={"rule": "input_tokens includes cached tokens"},
            field="input_tokens",
        )
    latency_s, first_token_s = duration_s(request, "latency"), duration_s(request, "time_to_first_token")
    if latency_s is not None and first_token_s is not None and first_token_s > latency_s:
        raise NaiadError(
            "INVALID_COMBINATION",
            f"time_to_first_token is {first_token_s} s, latency {latency_s} s; the first piece comes before the last",
            metadata={"rule": "time_to_first_token is at most latency"},
            field="time_to_first_token",
        )
    outcome = Outcome(
        model=0,
        ordinal=0,
        usage=usage,
        latency_s=latency_s,
        first_token_s=first_token_s,
        finish=enum_value(request.finish_reason, content_pb2.FinishReason, "finish_reason", required=False),
        **(_failure(request.error) if request.HasField("error") else {}),
    )
    return OutcomeReport(
        attempt=text_id(request.attempt_id, "attempt_id"),
        model=model_name(request.model, "model") if request.model else "",
        outcome=outcome,
        billed=optional_money(request, "cost_nano_usd"),
    )


def _failure(error: decision_pb2.AttemptError) -> dict[str, Any]:
    """Return the fields of an outcome that say how the attempt failed; raises NaiadError."""
    return {
        "failed": True,
        "error": enum_value(error.kind, decision_pb2.AttemptErrorKind, "error.kind", required=False),
        "error_detail": text(error.detail, "error.detail", _DETAIL),
        "http_status": optional_count(error, "http_status", 100, most=599, path="error."),
        "retry_after_s": duration_s(error, "retry_after", path="error."),
    }


def judgement_from_proto(request: Any) -> Judgement:
    """Return the judgement of a ReportFeedback request; raises NaiadError."""
    signal = request.WhichOneof("signal")
    if signal is None:
        raise NaiadError(
            "FIELD_REQUIRED", "signal is not set; give a score, a thumb, a preference or a reaction", field="signal"
        )
    attempt = text_id(request.attempt_id, "attempt_id")
    source = enum_value(request.source, feedback_pb2.FeedbackSource, "source")
    value, preferred, other, reaction, edit_share = None, "", "", 0, None
    if signal == "score":
        value = number(request.score, "score", 0.0, 1.0)
    elif signal == "thumb":
        value = 1.0 if enum_value(request.thumb, feedback_pb2.Thumb, "thumb") == feedback_pb2.THUMB_UP else 0.0
    elif signal == "reaction":
        reaction, edit_share = _reaction(request.reaction, source)
        value, source = worth_of(ReactionKind(reaction), edit_share), REACTION_SOURCE
    else:
        preferred = text_id(request.preference.preferred_attempt_id, "preference.preferred_attempt_id", required=True)
        other = text_id(request.preference.other_attempt_id, "preference.other_attempt_id", required=True)
        if attempt or preferred == other:
            raise NaiadError(
                "INVALID_COMBINATION",
                "a preference compares two different attempts, and attempt_id must be empty beside it",
                metadata={"rule": "preferred_attempt_id differs from other_attempt_id; attempt_id is empty"},
                field="preference",
            )
    return Judgement(
        attempt=attempt,
        source=source,
        rater=text_id(request.rater_id, "rater_id"),
        value=value,
        signal=signal,
        preferred=preferred,
        other=other,
        reaction=reaction,
        edit_share=edit_share,
        comment=text(request.comment, "comment", _COMMENT),
    )


def _reaction(sent: feedback_pb2.Reaction, source: int) -> tuple[int, float | None]:
    """Return (kind, edit share) of a reaction; raises NaiadError."""
    kind = enum_value(sent.kind, feedback_pb2.ReactionKind, "reaction.kind")
    if source != USER_SOURCE:
        raise NaiadError(
            "INVALID_COMBINATION",
            "source is not FEEDBACK_SOURCE_USER, but a reaction is what the user of an answer did; send it as the "
            "user's, or send a score",
            metadata={"rule": "the source of a reaction is FEEDBACK_SOURCE_USER"},
            field="source",
        )
    if not sent.HasField("edit_share"):
        return kind, None
    share = number(sent.edit_share, "reaction.edit_share", 0.0, 1.0)
    if kind != ReactionKind.EDITED:
        raise NaiadError(
            "INVALID_COMBINATION",
            f"reaction.edit_share is {share:g} beside {ReactionKind(kind).name}; only EDITED has one: leave it out",
            metadata={"rule": "edit_share stands beside REACTION_KIND_EDITED alone"},
            field="reaction.edit_share",
        )
    return kind, share
