"""What decisions and attempts are made of: candidates, exclusions, attempts, their errors, tokens and cost.

All are frozen, and `raw` is the message they were read from. Names of enums are strings in lower case.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from naiad.client.money import NanoUsd
from naiad.v1 import content_pb2, decision_pb2


@dataclass(frozen=True, kw_only=True)
class DoubtedUsage:
    """A provider's own count of tokens that was not believed."""

    reason: str  # "contradiction", "output_limit", "context_window", "part"
    input_tokens: int  # as the provider counted; below 0 also for what is no number
    output_tokens: int
    most_tokens: int = 0  # that would have been believed, of what went beyond it
    raw: content_pb2.DoubtedUsage = field(default_factory=content_pb2.DoubtedUsage, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """Tokens that one attempt used, in the provider's own count."""

    input_tokens: int = 0
    cached_input_tokens: int = 0  # of the input
    cache_write_input_tokens: int = 0  # of the input
    output_tokens: int = 0
    reasoning_tokens: int = 0  # of the output
    estimated: bool = False  # the provider gave no count that can be true
    doubted: DoubtedUsage | None = None  # the count in whose place this stands
    raw: content_pb2.Usage = field(default_factory=content_pb2.Usage, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an attempt cost, by kind of token."""

    total_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009  # an int does not change
    input_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009
    cached_input_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009
    cache_write_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009
    output_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009
    request_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009
    billed_nano_usd: NanoUsd | None = None  # what the provider or the caller says was billed
    price_version: str = ""
    reasoning_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009  # of the output's
    adjustment_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009  # what was billed, less what the prices would give
    judge_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009  # of the total: an ensemble's or a cascade's judge
    other_members_nano_usd: NanoUsd = NanoUsd(0)  # noqa: RUF009  # of the total: members not returned
    doubted_bill: str = ""  # what the provider says it billed, where that was not believed
    raw: decision_pb2.CostBreakdown = field(default_factory=decision_pb2.CostBreakdown, repr=False, compare=False)

    @property
    def usd(self) -> float:
        """The total in US dollars."""
        return self.total_nano_usd.usd


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One model that the request may use, with what was predicted of it."""

    model: str  # "provider/model"
    propensity: float  # probability of being chosen; those of all candidates sum to 1
    quality: float  # 0 to 1, mean
    quality_sd: float
    cost_nano_usd: NanoUsd
    cost_sd_nano_usd: NanoUsd
    latency_s: float
    latency_sd_s: float
    raw: decision_pb2.Candidate = field(default_factory=decision_pb2.Candidate, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Exclusion:
    """One model that the request may not use, and why."""

    model: str
    reason: str  # "context_window", "disabled", "not_allowed", ...
    detail: str  # the values and the rule, for a person
    raw: decision_pb2.Exclusion = field(default_factory=decision_pb2.Exclusion, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Something the caller should know although the call succeeded."""

    code: str  # "task_class_created", "replayed_answer", "fallback", ...
    message: str
    metadata: Mapping[str, str]
    raw: decision_pb2.Notice = field(default_factory=decision_pb2.Notice, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AttemptError:
    """How an attempt failed. As an input: `detail` must hold neither prompts, answers nor keys."""

    kind: str  # "timeout", "connection", "rate_limited", "overloaded", "cancelled", "other", ...
    detail: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None
    raw: decision_pb2.AttemptError = field(default_factory=decision_pb2.AttemptError, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AnswerCheck:
    """What a cascade's check made of one answer."""

    attempt_id: str
    checked_by: str  # "json_schema", "pattern", the judge's name, or "callback:NAME"
    passed: bool
    score: float | None = None  # None: the check failed, and nothing was learned
    failure: str = ""  # how it failed
    raw: decision_pb2.AnswerCheck = field(default_factory=decision_pb2.AnswerCheck, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One call to a provider that was made for a decision."""

    attempt_id: str
    model: str
    error: AttemptError | None  # None: it succeeded
    usage: Usage
    cost: Cost
    latency_s: float | None
    time_to_first_token_s: float | None
    start_time: datetime | None
    finish_reason: str  # "stop", "length", "tool_calls", "content_filter", "refusal", or ""
    part_of: str = ""  # the model made of others for which it was made
    judge: bool = False  # it asked a judge about the answers of that model's members
    returned_attempt_id: str = ""  # of an answer of a model made of others: the attempt whose answer it is
    checks: tuple[AnswerCheck, ...] = ()  # of a cascade's answer: of its members' answers
    uncertain_nano_usd: NanoUsd | None = None  # what hard budgets count beyond the cost; None: its bill is known
    raw: decision_pb2.Attempt = field(default_factory=decision_pb2.Attempt, repr=False, compare=False)
