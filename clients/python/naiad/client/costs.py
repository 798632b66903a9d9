"""What was spent, and what was saved. All are frozen; money is whole nano-USD, so that sums are exact."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from naiad.client.money import NanoUsd
from naiad.v1 import insight_pb2, insight_service_pb2


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """One row of a cost report; a dimension that was not asked for is empty."""

    workflow: str
    task_class: str
    model: str
    period_start_time: datetime | None  # begin of the hour or the day, UTC
    decisions: int
    attempts: int  # those that failed included
    failed_attempts: int
    unpriced_attempts: int  # succeeded, and what they cost is not known
    input_tokens: int  # the next two included
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int  # the next included
    reasoning_tokens: int
    cost_nano_usd: NanoUsd  # the sum of the next six
    input_nano_usd: NanoUsd
    cached_input_nano_usd: NanoUsd
    cache_write_nano_usd: NanoUsd
    output_nano_usd: NanoUsd
    request_nano_usd: NanoUsd
    adjustment_nano_usd: NanoUsd  # bills less what the prices would give
    reasoning_nano_usd: NanoUsd  # of the output's
    failed_nano_usd: NanoUsd  # of the cost: attempts that failed
    estimate_nano_usd: NanoUsd  # what attempts that succeeded were predicted to cost
    estimated_nano_usd: NanoUsd  # what those cost
    judge_nano_usd: NanoUsd  # of the cost: judges of ensembles and cascades
    other_members_nano_usd: NanoUsd  # of the cost: their members whose answers were not returned
    doubted_attempts: int  # of the attempts: those whose provider's count was not believed
    uncertain_attempts: int  # of the attempts: those whose bill nobody knows
    uncertain_nano_usd: NanoUsd  # what hard budgets count for them beyond the cost
    mean_score: float | None
    scores: int
    raw: insight_pb2.CostRow = field(default_factory=insight_pb2.CostRow, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Saving:
    """What was saved against always using one model; negative where more was spent."""

    baseline_model: str
    baseline_cost_nano_usd: NanoUsd  # an estimate
    cost_nano_usd: NanoUsd  # what was spent on the decisions compared
    saving_nano_usd: NanoUsd
    lower_nano_usd: NanoUsd  # of the interval
    upper_nano_usd: NanoUsd
    confidence: float  # with which the interval holds the truth
    quality_difference: float | None  # Naiad less the baseline; None: too few scores
    decisions: int  # compared
    left_out: int  # answered, and the baseline could not have been used
    raw: insight_pb2.Saving = field(default_factory=insight_pb2.Saving, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CostReport:
    """A page of a cost report: its rows, the dearest first, and what all rows come to."""

    rows: tuple[CostRow, ...]
    total: CostRow  # the rows of other pages included
    saving: Saving | None  # None: the baseline could have given none of the answers
    start_time: datetime | None  # of the hours summed up, UTC
    end_time: datetime | None
    next_page_token: str  # "": this is the last page
    raw: insight_service_pb2.GetCostReportResponse = field(
        default_factory=insight_service_pb2.GetCostReportResponse, repr=False, compare=False
    )
