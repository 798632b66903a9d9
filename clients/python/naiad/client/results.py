"""What calls return: decisions, completions, and receipts for what was reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from naiad.client.convert import read
from naiad.client.messages import ToolCall, text_of
from naiad.client.money import NanoUsd
from naiad.client.values import Attempt, Candidate, Cost, Exclusion, Notice, Usage
from naiad.v1 import content_pb2, feedback_pb2, feedback_service_pb2, router_service_pb2


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The model chosen for a task, and why."""

    decision_id: str = field(repr=False)
    model: str  # "provider/model"
    propensity: float  # above 0 and at most 1, exact
    ranking: tuple[Candidate, ...] = field(repr=False)  # the chosen model first, then the fallbacks
    excluded: tuple[Exclusion, ...] = field(repr=False)
    policy_version: int
    task_class: str
    notices: tuple[Notice, ...] = field(repr=False)
    raw: router_service_pb2.DecideResponse = field(
        default_factory=router_service_pb2.DecideResponse, repr=False, compare=False
    )

    @property
    def sticky(self) -> bool:
        """Whether the session's earlier model was kept: then the decision did not explore."""
        return _told("sticky_session", self.notices)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer with everything known about how it came to be. Its repr does not show the answer."""

    decision_id: str = field(repr=False)
    attempt_id: str = field(repr=False)
    model: str  # the model that answered
    answer: content_pb2.Message = field(repr=False)
    finish_reason: str
    usage: Usage
    cost: Cost  # of the attempt that answered
    total_cost_nano_usd: NanoUsd  # of all attempts
    attempts: tuple[Attempt, ...] = field(repr=False)
    propensity: float
    ranking: tuple[Candidate, ...] = field(repr=False)
    excluded: tuple[Exclusion, ...] = field(repr=False)
    policy_version: int
    task_class: str
    notices: tuple[Notice, ...] = field(repr=False)
    raw: router_service_pb2.CompleteResponse = field(
        default_factory=router_service_pb2.CompleteResponse, repr=False, compare=False
    )

    @property
    def sticky(self) -> bool:
        """Whether the session's earlier model was kept: then the decision did not explore."""
        return _told("sticky_session", self.notices)

    @property
    def cached(self) -> bool:
        """Whether the answer was made for an earlier, identical request: then nothing was called or billed."""
        return _told("cached_answer", self.notices)

    @property
    def text(self) -> str:
        """The text of the answer."""
        return text_of(self.answer)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls of tools that the model asks for, in its order."""
        parts = (part for part in self.answer.parts if part.WhichOneof("content") == "tool_call")
        return tuple(read(ToolCall, part.tool_call) for part in parts)


def _told(code: str, notices: tuple[Notice, ...]) -> bool:
    return any(notice.code == code for notice in notices)


@dataclass(frozen=True, kw_only=True)
class OutcomeReceipt:
    """An outcome as it was recorded: on disk, and learned from."""

    attempt_id: str
    cost: Cost
    sequence: int
    raw: feedback_service_pb2.ReportOutcomeResponse = field(
        default_factory=feedback_service_pb2.ReportOutcomeResponse, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class FeedbackReceipt:
    """What became of a judgement: on disk, and learned from."""

    feedback_id: str
    state: str  # "effective", "superseded", "retracted", "revoked"
    effective_score: float | None  # the score that now counts, after precedence
    revised: bool
    sequence: int
    raw: feedback_service_pb2.ReportFeedbackResponse = field(
        default_factory=feedback_service_pb2.ReportFeedbackResponse, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class Preference:
    """Which of two attempts of one decision is better."""

    preferred_attempt_id: str
    other_attempt_id: str
    raw: feedback_pb2.Preference = field(default_factory=feedback_pb2.Preference, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Reaction:
    """What a user did with an answer."""

    kind: str  # "accepted", "edited", "abandoned", "retried"
    edit_share: float | None = None  # of "edited": how much was changed, from 0 to 1; None is not known
    raw: feedback_pb2.Reaction = field(default_factory=feedback_pb2.Reaction, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """A piece of feedback as it is kept. Exactly one of score, thumb, preference and reaction is set."""

    feedback_id: str
    decision_id: str = field(repr=False)
    attempt_id: str
    source: str  # "human", "judge", "check", "user"
    rater_id: str
    score: float | None
    thumb: str | None  # "up", "down"
    preference: Preference | None
    reaction: Reaction | None
    comment: str = field(repr=False)
    state: str
    revisions: int
    create_time: datetime | None
    update_time: datetime | None
    value: float | None
    weight: float
    raw: feedback_pb2.Feedback = field(default_factory=feedback_pb2.Feedback, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Retraction:
    """What counts after a judgement was taken back."""

    feedback: Feedback
    effective_score: float | None
    sequence: int
    raw: feedback_service_pb2.RetractFeedbackResponse = field(
        default_factory=feedback_service_pb2.RetractFeedbackResponse, repr=False, compare=False
    )
