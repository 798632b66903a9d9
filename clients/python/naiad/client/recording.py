"""What happened between a decision and its outcome: gathered while the caller works, reported on leaving.

Nothing here does I/O: `Client` and `AsyncClient` send the calls that a recorder ends with. Of an exception,
only the name of its type leaves the process.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import cast

from naiad.client.calls import Call, new_id
from naiad.client.convert import enum_number
from naiad.client.errors import NaiadError
from naiad.client.operations.feedback import report_outcome
from naiad.client.results import Decision, OutcomeReceipt
from naiad.client.values import AttemptError
from naiad.v1.content_pb2 import FinishReason
from naiad.v1.decision_pb2 import AttemptErrorKind

COUNTS = (
    "input_tokens", "output_tokens", "cached_input_tokens", "cache_write_input_tokens", "cost_nano_usd",
)  # fmt: skip


class Recorder:
    """The facts of one attempt, while it lasts."""

    def __init__(self, decision: Decision, model: str = "") -> None:
        self.decision_id = decision.decision_id
        self.model = model or decision.model
        self.attempt_id = new_id()
        self.report_error: NaiadError | None = None
        self.started_s = 0.0
        self.facts: dict[str, int | None] = {}
        self.finish_reason = ""
        self.time_to_first_token_s: float | None = None
        self.error: AttemptError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.model}: {self.facts or 'nothing recorded'}>"

    def record(
        self,
        *,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
        cost_nano_usd: int | None = None,
        time_to_first_token_s: float | None = None,
        finish_reason: str | None = None,
        error: str | AttemptError | None = None,
        http_status: int | None = None,
    ) -> None:
        """Note what is known of the attempt, to be reported on leaving. Later notes add to earlier ones.

        Args:
            model: the model that was called, if not the one chosen.
            input_tokens: tokens read, cached ones included.
            output_tokens: tokens written, hidden reasoning included.
            cached_input_tokens: of the input, from the provider's cache.
            cache_write_input_tokens: of the input, written into the provider's cache.
            cost_nano_usd: what was billed.
            time_to_first_token_s: from the request to the first piece, for streams.
            finish_reason: "stop", "length", "tool_calls", "content_filter", "refusal".
            error: how the attempt failed, such as "rate_limited"; takes precedence over the block's
                exception.
            http_status: HTTP status of the provider's answer, with error.

        Raises:
            ValueError: a number is negative, or a name is unknown.
            TypeError: a count is not an int.
        """
        values = (input_tokens, output_tokens, cached_input_tokens, cache_write_input_tokens, cost_nano_usd)
        counts = dict(zip(COUNTS, values, strict=True))
        for name, value in counts.items():
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(cast(object, value), int):
                raise TypeError(f"{name} is a {type(value).__name__}; it must be an int")
            if not 0 <= value < 2**63:
                raise ValueError(f"{name} is {value}; it must be at least 0 and below 2**63")
        if time_to_first_token_s is not None and not 0 <= time_to_first_token_s < 1e9:
            raise ValueError(f"time_to_first_token_s is {time_to_first_token_s}; it must be at least 0 and below 1e9")
        if finish_reason is not None:
            enum_number(FinishReason.DESCRIPTOR, finish_reason, "finish_reason")
            self.finish_reason = finish_reason
        if isinstance(error, str):
            error = AttemptError(kind=error, http_status=http_status)
        if error is not None:
            enum_number(AttemptErrorKind.DESCRIPTOR, error.kind, "error")
            self.error = error
        if model is not None:
            self.model = model
        if time_to_first_token_s is not None:
            self.time_to_first_token_s = time_to_first_token_s
        self.facts |= {name: value for name, value in counts.items() if value is not None}

    @property
    def empty(self) -> bool:
        """Whether nothing was recorded."""
        return not (self.facts or self.finish_reason or self.error or self.time_to_first_token_s is not None)

    def outcome(self, error: BaseException | None, *, now_s: float) -> Call[OutcomeReceipt]:
        """Return the report of the attempt, which ends now, with what the block raised."""
        failure = self.error
        if failure is None and error is not None:
            failure = AttemptError(kind=kind_of(error), detail=type(error).__name__)
        return report_outcome(
            self.decision_id,
            attempt_id=self.attempt_id,
            model=self.model,
            input_tokens=self.facts.get("input_tokens"),
            output_tokens=self.facts.get("output_tokens"),
            cached_input_tokens=self.facts.get("cached_input_tokens"),
            cache_write_input_tokens=self.facts.get("cache_write_input_tokens"),
            cost_nano_usd=self.facts.get("cost_nano_usd"),
            latency_s=max(0.0, now_s - self.started_s),
            time_to_first_token_s=self.time_to_first_token_s,
            finish_reason=self.finish_reason,
            error=failure,
        )


@dataclass
class Progress:
    """What became of a decision so far: the attempt of its own block, and whether there were others."""

    main: Recorder | None = None
    explicit_attempts: int = 0
    report_error: NaiadError | None = None


@dataclass(frozen=True, kw_only=True)
class TrackedDecision(Decision):
    """A decision whose outcome is being recorded."""

    _progress: Progress = field(default_factory=Progress, repr=False, compare=False)

    def record(
        self,
        *,
        model: str | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        cached_input_tokens: int | None = None,
        cache_write_input_tokens: int | None = None,
        cost_nano_usd: int | None = None,
        time_to_first_token_s: float | None = None,
        finish_reason: str | None = None,
        error: str | AttemptError | None = None,
        http_status: int | None = None,
    ) -> None:
        """Note what is known of the block's attempt; see Recorder.record.

        Raises:
            RuntimeError: the decision's block is not open.
            ValueError, TypeError: a value cannot be reported.
        """
        if self._progress.main is None:
            raise RuntimeError("record() outside of the decision's block; open it, or use client.report_outcome()")
        self._progress.main.record(
            model=model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cached_input_tokens=cached_input_tokens,
            cache_write_input_tokens=cache_write_input_tokens,
            cost_nano_usd=cost_nano_usd,
            time_to_first_token_s=time_to_first_token_s,
            finish_reason=finish_reason,
            error=error,
            http_status=http_status,
        )

    @property
    def report_error(self) -> NaiadError | None:
        """Why the last outcome could not be reported; None if it was, or if there is none yet."""
        return self._progress.report_error

    def _open(self, now_s: float) -> None:
        """Begin the attempt of the decision's own block."""
        if self._progress.main is not None:
            raise RuntimeError("the decision's block is open already; use decision.attempt() for several")
        self._progress.main = Recorder(self)
        self._progress.main.started_s = now_s
        self._progress.explicit_attempts = 0

    def _close(self, error: BaseException | None, now_s: float) -> Call[OutcomeReceipt] | None:
        """End the block; return its report, or None when attempt() has reported what happened."""
        main, self._progress.main = self._progress.main, None
        if main is None or (self._progress.explicit_attempts and main.empty):
            return None
        return main.outcome(error, now_s=now_s)


def kind_of(error: BaseException) -> str:
    """Return the kind of failure that an exception of the caller's block amounts to.

    An error of Naiad's own, or the end of the program, says nothing about the model: "cancelled" teaches
    nothing.
    """
    if isinstance(error, BaseExceptionGroup):
        kinds = {kind_of(part) for part in error.exceptions}
        return kinds.pop() if len(kinds) == 1 else "other"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ConnectionError):
        return "connection"
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt | SystemExit | NaiadError):
        return "cancelled"
    return "other"
