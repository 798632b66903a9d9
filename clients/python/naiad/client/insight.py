"""What Naiad knows and why it decided so: arms, beliefs, records of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from naiad.client.money import NanoUsd
from naiad.client.objective import Objective
from naiad.client.results import Feedback
from naiad.client.values import Attempt, Candidate, Exclusion
from naiad.v1 import insight_pb2, insight_service_pb2


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What is believed about one number, in the unit of the field that holds it."""

    mean: float
    standard_deviation: float
    effective_observations: float  # after trust, forgetting and drift; the prior is not counted
    raw: insight_pb2.Belief = field(default_factory=insight_pb2.Belief, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """An alarm that a model's quality moved, in all its task classes."""

    alarm_time: datetime
    shift: float  # of quality; negative if it got worse
    ordinal: int  # of the model's decision from which on it had moved
    evidence_weight: float  # what judgements of earlier decisions weigh since, as a share
    raw: insight_pb2.Drift = field(default_factory=insight_pb2.Drift, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What is known about one model in one task class."""

    task_class: str
    model: str
    quality: Belief  # 0 to 1
    success: Belief  # 0 to 1
    output_tokens: Belief
    cost_nano_usd: Belief  # nano-USD
    latency_s: Belief  # seconds
    time_to_first_token_s: Belief  # seconds, of streamed answers
    pulls: int
    traffic_share: float
    recent_traffic_share: float
    failures: int
    last_pull_time: datetime | None
    drift: Drift | None  # the model's latest alarm
    raw: insight_pb2.Arm = field(default_factory=insight_pb2.Arm, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RemovedArm:
    """The name of an arm that is no longer listed, since its model or task class was deleted."""

    task_class: str
    model: str
    raw: insight_pb2.RemovedArm = field(default_factory=insight_pb2.RemovedArm, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ArmsUpdate:
    """A part of what moved; the part with `checkpoint` ends it. ArmTable takes updates over as they come."""

    arms: tuple[Arm, ...]  # as they are now
    removed: tuple[RemovedArm, ...]
    cursor: str  # where to go on after a break
    sequence: int  # the beliefs know of every event of the log up to this place
    restart: str  # "no_cursor", "other_life": everything is sent again from here on; "": it continues
    checkpoint: bool  # the reader has all that moved up to `sequence`
    raw: insight_service_pb2.WatchArmsResponse = field(
        default_factory=insight_service_pb2.WatchArmsResponse, repr=False, compare=False
    )


class ArmTable:
    """The arms that the updates of a watch amount to.

    table = ArmTable()
    for update in client.watch_arms():
        table.apply(update)
        if update.checkpoint:
            print(table.sequence, [(arm.model, arm.quality.mean) for arm in table.arms])
    """

    def __init__(self) -> None:
        self._arms: dict[tuple[str, str], Arm] = {}
        self.sequence = 0  # of the latest checkpoint

    def __repr__(self) -> str:
        return f"<ArmTable of {len(self._arms)} arms, sequence {self.sequence}>"

    def apply(self, update: ArmsUpdate) -> None:
        """Take over an update; updates must come in their order, none left out."""
        if update.restart:
            self._arms.clear()
        for arm in update.arms:
            self._arms[arm.task_class, arm.model] = arm
        for name in update.removed:
            self._arms.pop((name.task_class, name.model), None)
        if update.checkpoint:
            self.sequence = update.sequence

    @property
    def arms(self) -> tuple[Arm, ...]:
        """The arms, by names of task class and model. Between checkpoints some are newer than others."""
        return tuple(self._arms[key] for key in sorted(self._arms))


@dataclass(frozen=True, kw_only=True)
class CandidateExplanation:
    """A candidate with everything that went into its probability."""

    candidate: Candidate
    quality: Belief
    thompson_probability: float
    utility: float  # USD
    utility_sd: float
    floor_probability: float | None
    budget_price_nano_usd: NanoUsd  # 0 where utility is no money
    note: str
    permitted_by: str = ""  # the entry of the data class's rule; empty without rules
    drift: Drift | None  # the model's latest alarm before the decision
    raw: insight_pb2.CandidateExplanation = field(
        default_factory=insight_pb2.CandidateExplanation, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class TaskClassInference:
    """How the task class was inferred."""

    task_class: str
    probability: float
    evidence: tuple[str, ...]
    raw: insight_pb2.TaskClassInference = field(
        default_factory=insight_pb2.TaskClassInference, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class BudgetExplanation:
    """The budget that a decision was made under, as it stood before."""

    scope: str  # the level that set it: "policy", "workflow" or "task_class"
    usd_per_request: float
    quality_per_usd: float  # the budget's price; 0 while the budget does not bind
    lower_price_share: float  # of the probabilities, that rests on a price one twenty-sixth lower
    bank_nano_usd: NanoUsd  # saved against the budget; debt is negative
    below_cheapest: bool
    raw: insight_pb2.BudgetExplanation = field(default_factory=insight_pb2.BudgetExplanation, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DecisionRecord:
    """A decision with all that is known about it."""

    decision_id: str
    task_class: str
    task_class_inference: TaskClassInference | None
    workflow: str
    session_id: str
    data_class: str
    policy_version: int
    objective: Objective
    features: Mapping[str, float]
    input_tokens: int
    max_output_tokens: int
    model: str
    propensity: float
    uniform_draw: float
    candidates: tuple[CandidateExplanation, ...]
    ranking: tuple[str, ...]
    excluded: tuple[Exclusion, ...]
    model_ordinal: int
    sticky: bool
    session_moved_from: str
    session_moved_reason: str  # "ineligible", "better", "allowance"
    session_saving_nano_usd: NanoUsd
    create_time: datetime | None
    decide_duration_s: float | None
    sequence: int
    attempts: tuple[Attempt, ...]
    feedback: tuple[Feedback, ...]
    effective_score: float | None
    price_version: str
    restored_from_id: bool
    budget: BudgetExplanation | None = None
    data_class_source: str = ""  # who set the data class: "request", "task_class", "workflow", "caller", "unstated"
    policy_epoch: int = 0  # the rules that it was made under: a place in the log
    no_store: bool = False
    raw: insight_pb2.DecisionRecord = field(default_factory=insight_pb2.DecisionRecord, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DecisionSummary:
    """A decision in brief."""

    decision_id: str
    task_class: str
    workflow: str
    model: str
    propensity: float
    policy_version: int
    create_time: datetime | None
    answered_by: str
    attempt_count: int
    cost_nano_usd: NanoUsd | None
    effective_score: float | None
    sequence: int
    raw: insight_pb2.DecisionSummary = field(default_factory=insight_pb2.DecisionSummary, repr=False, compare=False)
