"""Naiad's client: ask which model should do a task, say how it went, and watch it learn.

You call the provider; Naiad chooses, measures and learns:

>>> from naiad.client import Client
>>> with Client(target) as client:
...     with client.decide("Why does this fail?", task_class="code.debug") as decision:
...         answer = call_provider(decision.model)
...         decision.record(input_tokens=12, output_tokens=len(answer.split()), finish_reason="stop")
...     receipt = decision.feedback(0.9)
>>> receipt.state
'effective'

Leaving the block reports the outcome: success, or a failure if it raised. Or let Naiad call the provider:

>>> with Client(target) as client:
...     completion = client.complete("Summarise this.", task_class="summarize.ticket", objective="balanced")
>>> completion.model, completion.text, completion.cost.usd
('acme/small', 'A fine summary.', 0.00125)

The answer as it is written, typed event by event; a stream that breaks restarts on another model and says so:

>>> from naiad.client import Completed, Restarted, TextDelta
>>> text = ""
>>> with Client(target) as client:
...     for event in client.stream("Summarise this.", task_class="summarize.ticket"):
...         match event:
...             case TextDelta():
...                 text += event.text
...             case Restarted():
...                 text = ""
...             case Completed():
...                 print(event.completion.model, event.completion.text == text)
acme/small True

`AsyncClient` has the same methods for asyncio. Failures are NaiadError with facts:

>>> from naiad.client import NotFound
>>> with Client(target) as client:
...     try:
...         client.get_model("acme/unknown")
...     except NotFound as error:
...         print(error.reason, error.metadata["model"])
ERROR_REASON_UNKNOWN_MODEL acme/unknown

Calls are repeated where that is safe, with the same request id, within their deadline; see RetryPolicy and
Timeouts.
"""

from __future__ import annotations

from naiad.client.aio import AsyncAttemptScope, AsyncBoundDecision, AsyncClient, Deciding
from naiad.client.blocking import AttemptScope, BoundDecision, Client
from naiad.client.calls import Timeouts
from naiad.client.catalog import (
    Cascade,
    Check,
    Ensemble,
    FeatureSpec,
    Model,
    Prices,
    ProviderModel,
    ProviderModels,
    QualityPrior,
    TaskClass,
)
from naiad.client.costs import CostReport, CostRow, Saving
from naiad.client.errors import (
    Aborted,
    AlreadyExists,
    Cancelled,
    DeadlineExceeded,
    FailedPrecondition,
    FieldViolation,
    Internal,
    InvalidArgument,
    NaiadError,
    NoEligibleModel,
    NotFound,
    OutOfRange,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from naiad.client.events import Completed, Restarted, Started, StreamEvent, TextDelta, ToolCallDelta
from naiad.client.insight import (
    Arm,
    ArmsUpdate,
    ArmTable,
    Belief,
    BudgetExplanation,
    CandidateExplanation,
    DecisionRecord,
    DecisionSummary,
    Drift,
    RemovedArm,
    TaskClassInference,
)
from naiad.client.keys import Key, NewKey, RotatedKey
from naiad.client.messages import Conversation, Generation, Tool, ToolCall
from naiad.client.money import NanoUsd
from naiad.client.objective import Objective
from naiad.client.results import (
    Completion,
    Decision,
    Feedback,
    FeedbackReceipt,
    OutcomeReceipt,
    Preference,
    Reaction,
    Retraction,
)
from naiad.client.retry import RetryPolicy
from naiad.client.settings import DEFAULT_TARGET
from naiad.client.values import (
    AnswerCheck,
    Attempt,
    AttemptError,
    Candidate,
    Cost,
    DoubtedUsage,
    Exclusion,
    Notice,
    Usage,
)
from naiad.v1.content_pb2 import Message
from naiad.v1.error_reason_pb2 import ErrorReason

__all__ = [
    "DEFAULT_TARGET",
    "Aborted",
    "AlreadyExists",
    "AnswerCheck",
    "Arm",
    "ArmTable",
    "ArmsUpdate",
    "AsyncAttemptScope",
    "AsyncBoundDecision",
    "AsyncClient",
    "Attempt",
    "AttemptError",
    "AttemptScope",
    "Belief",
    "BoundDecision",
    "BudgetExplanation",
    "Cancelled",
    "Candidate",
    "CandidateExplanation",
    "Cascade",
    "Check",
    "Client",
    "Completed",
    "Completion",
    "Conversation",
    "Cost",
    "CostReport",
    "CostRow",
    "DeadlineExceeded",
    "Deciding",
    "Decision",
    "DecisionRecord",
    "DecisionSummary",
    "DoubtedUsage",
    "Drift",
    "Ensemble",
    "ErrorReason",
    "Exclusion",
    "FailedPrecondition",
    "FeatureSpec",
    "Feedback",
    "FeedbackReceipt",
    "FieldViolation",
    "Generation",
    "Internal",
    "InvalidArgument",
    "Key",
    "Message",
    "Model",
    "NaiadError",
    "NanoUsd",
    "NewKey",
    "NoEligibleModel",
    "NotFound",
    "Notice",
    "Objective",
    "OutOfRange",
    "OutcomeReceipt",
    "PermissionDenied",
    "Preference",
    "Prices",
    "ProviderModel",
    "ProviderModels",
    "QualityPrior",
    "Reaction",
    "RemovedArm",
    "ResourceExhausted",
    "Restarted",
    "Retraction",
    "RetryPolicy",
    "RotatedKey",
    "Saving",
    "Started",
    "StreamEvent",
    "TaskClass",
    "TaskClassInference",
    "TextDelta",
    "Timeouts",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "Unauthenticated",
    "Unavailable",
    "Unimplemented",
    "Usage",
]
