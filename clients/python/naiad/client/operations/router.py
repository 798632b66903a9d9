"""Choosing a model, and calling it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from naiad.client.calls import Call, Streaming, Timeouts, call, new_id
from naiad.client.convert import enum_number, read, write
from naiad.client.events import Completed, StreamEvent, event_of
from naiad.client.messages import Conversation, Generation, to_messages
from naiad.client.objective import Objective, to_objective
from naiad.client.results import Completion, Decision
from naiad.v1 import catalog_pb2
from naiad.v1.router_service_pb2 import (
    STREAM_FAILURE_MODE_FAIL_FAST,
    CompleteRequest,
    CompleteResponse,
    DecideRequest,
    DecideResponse,
    StreamCompleteRequest,
    StreamCompleteResponse,
)

Request = TypeVar("Request", DecideRequest, CompleteRequest, StreamCompleteRequest)


def decide(
    messages: Conversation = (),
    *,
    task_class: str = "",
    workflow: str = "",
    features: Mapping[str, float] | None = None,
    allowed_models: Sequence[str] = (),
    data_class: str = "",
    objective: str | Objective | None = None,
    input_tokens: int | None = None,
    max_output_tokens: int | None = None,
    session_id: str = "",
    required_capabilities: Sequence[str] = (),
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[Decision]:
    """Choose the model for a task; the caller calls the provider.

    Args:
        messages: the conversation: a string, (role, text) pairs or messages. May be empty with input_tokens.
        task_class: what kind of work it is, "code.debug"; empty takes the class `unclassified`.
        workflow: to which the cost is charged.
        features: numbers that the task class declares.
        allowed_models: models that the caller accepts; empty accepts all that the policy permits.
        data_class: how sensitive the data is; empty is the strictest.
        objective: what "best" means: "balanced", "cost_optimized", "quality_first" ... or an Objective.
        input_tokens: how many tokens the input has; None lets Naiad estimate it.
        max_output_tokens: how many tokens to reserve for the answer; None takes the configured number.
        session_id: turns of one session keep their model.
        required_capabilities: "vision", "tools", "json_schema", "streaming", "reasoning", "system_prompt".
        request_id: repeat a call with its id to get the same decision; None makes a new one.
        timeout_s: the time for everything, retries included.

    Raises:
        NoEligibleModel: no model may be used; `excluded` says why.
        NaiadError: the call failed otherwise.
        ValueError, TypeError: an argument cannot be sent.
    """
    request = _task(
        DecideRequest(), messages, task_class, workflow, features, allowed_models, data_class, objective,
        input_tokens, max_output_tokens, session_id, required_capabilities, request_id,
    )  # fmt: skip
    return call("RouterService/Decide", request, DecideResponse, lambda r: read(Decision, r), _decide_s, timeout_s)


def complete(
    messages: Conversation,
    *,
    task_class: str = "",
    workflow: str = "",
    features: Mapping[str, float] | None = None,
    allowed_models: Sequence[str] = (),
    data_class: str = "",
    objective: str | Objective | None = None,
    input_tokens: int | None = None,
    max_output_tokens: int | None = None,
    session_id: str = "",
    required_capabilities: Sequence[str] = (),
    generation: Generation | None = None,
    max_attempts: int | None = None,
    max_cost_nano_usd: int | None = None,
    dry_run: bool = False,
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Call[Completion]:
    """Choose a model, call it, fall back where that helps, and return the answer.

    Args:
        messages: the conversation: a string, (role, text) pairs or messages.
        task_class: see decide, as for all arguments not named here.
        workflow: to which the cost is charged.
        features: numbers that the task class declares.
        allowed_models: models that the caller accepts.
        data_class: how sensitive the data is.
        objective: what "best" means.
        input_tokens: how many tokens the input has.
        max_output_tokens: the most tokens that the answer may have.
        session_id: turns of one session keep their model.
        required_capabilities: what the model must be able to do.
        generation: tools, schema, sampling, stop texts.
        max_attempts: how many calls to providers may be made.
        max_cost_nano_usd: the most that all attempts together may be expected to cost.
        dry_run: show the plan (ranking, exclusions, notices) and call nobody; nothing is recorded.
        request_id: repeat a call with its id to get the same answer, without calling a provider again.
        timeout_s: the time for everything, retries included.

    Raises:
        NoEligibleModel: no model may be used; `excluded` says why.
        NaiadError: the call failed otherwise; `attempts` has the calls to providers that failed.
        ValueError, TypeError: an argument cannot be sent.
    """
    request = _task(
        CompleteRequest(max_attempts=max_attempts, max_cost_nano_usd=max_cost_nano_usd, dry_run=dry_run), messages,
        task_class, workflow, features, allowed_models, data_class, objective, input_tokens, max_output_tokens,
        session_id, required_capabilities, request_id,
    )  # fmt: skip
    if generation is not None:
        write(generation, request.generation)
    return call(
        "RouterService/Complete",
        request,
        CompleteResponse,
        lambda r: read(Completion, r),
        _complete_s,
        timeout_s,
    )


def stream(
    messages: Conversation,
    *,
    task_class: str = "",
    workflow: str = "",
    features: Mapping[str, float] | None = None,
    allowed_models: Sequence[str] = (),
    data_class: str = "",
    objective: str | Objective | None = None,
    input_tokens: int | None = None,
    max_output_tokens: int | None = None,
    session_id: str = "",
    required_capabilities: Sequence[str] = (),
    generation: Generation | None = None,
    max_attempts: int | None = None,
    max_cost_nano_usd: int | None = None,
    fail_fast: bool = False,
    request_id: str | None = None,
    timeout_s: float | None = None,
) -> Streaming[StreamEvent]:
    """Choose a model, call it, and yield the answer as it is written: Started, deltas, and Completed in the end.

    At Restarted discard what came before: an attempt failed, and another model begins anew. The call is tried again
    by itself only until its first event has come. Closing the iterator ends the provider's call.

    Args:
        messages: the conversation: a string, (role, text) pairs or messages.
        task_class: see complete, as for all arguments not named here.
        workflow: to which the cost is charged.
        features: numbers that the task class declares.
        allowed_models: models that the caller accepts.
        data_class: how sensitive the data is.
        objective: what "best" means.
        input_tokens: how many tokens the input has.
        max_output_tokens: the most tokens that the answer may have.
        session_id: turns of one session keep their model.
        required_capabilities: what the model must be able to do besides streaming.
        generation: tools, schema, sampling, stop texts.
        max_attempts: how many calls to providers may be made.
        max_cost_nano_usd: the most that all attempts together may be expected to cost.
        fail_fast: rather end than restart once a piece of the answer has come.
        request_id: repeat a call with its id to get the finished answer in one piece.
        timeout_s: the time for everything, retries included.

    Raises:
        NoEligibleModel: no model may be used; `excluded` says why.
        Aborted: the stream was cut and fail_fast set, or it was not read for too long.
        NaiadError: the call failed otherwise; `attempts` has the calls to providers that failed.
        ValueError, TypeError: an argument cannot be sent.
    """
    request = _task(
        StreamCompleteRequest(max_attempts=max_attempts, max_cost_nano_usd=max_cost_nano_usd), messages, task_class,
        workflow, features, allowed_models, data_class, objective, input_tokens, max_output_tokens,
        session_id, required_capabilities, request_id,
    )  # fmt: skip
    if generation is not None:
        write(generation, request.generation)
    if fail_fast:
        request.failure_mode = STREAM_FAILURE_MODE_FAIL_FAST
    method = "RouterService/StreamComplete"
    return Streaming(
        call(method, request, StreamCompleteResponse, event_of, _complete_s, timeout_s),
        last=lambda event: isinstance(event, Completed),
    )


def _task(
    request: Request,
    messages: Conversation,
    task_class: str,
    workflow: str,
    features: Mapping[str, float] | None,
    allowed_models: Sequence[str],
    data_class: str,
    objective: str | Objective | None,
    input_tokens: int | None,
    max_output_tokens: int | None,
    session_id: str,
    required_capabilities: Sequence[str],
    request_id: str | None,
) -> Request:
    """Fill in the fields that Decide, Complete and StreamComplete have in common."""
    if isinstance(allowed_models, str) or isinstance(required_capabilities, str):
        raise TypeError("allowed_models and required_capabilities are sequences of names; give a list or tuple")
    names = catalog_pb2.Capability.DESCRIPTOR
    capabilities = [enum_number(names, name, "required_capabilities") for name in required_capabilities]
    request.task_class = task_class
    request.workflow = workflow
    request.messages.extend(to_messages(messages))
    request.features.update(features or {})
    request.allowed_models.extend(allowed_models)
    request.data_class = data_class
    if objective is not None:
        request.objective.CopyFrom(to_objective(objective))
    if input_tokens is not None:
        request.input_tokens = input_tokens
    if max_output_tokens is not None:
        request.max_output_tokens = max_output_tokens
    request.session_id = session_id
    request.required_capabilities.extend(capabilities)  # type: ignore[arg-type]  # plain ints at runtime
    request.request_id = new_id() if request_id is None else request_id
    return request


def _decide_s(timeouts: Timeouts) -> float:
    return timeouts.decide_s


def _complete_s(timeouts: Timeouts) -> float:
    return timeouts.complete_s
