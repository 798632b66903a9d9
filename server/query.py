"""Requests for a decision into the engine's words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from naiad.adapters import base
from naiad.adapters.tokens import estimate_tokens, text_bytes
from naiad.server.bounds import MOST_FEATURES
from naiad.server.catalog import Catalog
from naiad.server.conversation import has_image, messages_from_proto
from naiad.server.convert import (
    enum_value,
    items,
    model_name,
    name,
    number,
    objective_spec,
    optional_count,
    request_of,
    text_id,
)
from naiad.server.eligibility import Capability, Needs
from naiad.server.engine import Query
from naiad.server.identity import CALLER
from naiad.server.records import ObjectiveSpec
from naiad.v1 import catalog_pb2

DEFAULT_OUTPUT_TOKENS = 1_024  # reserved where the caller does not say
_MOST_CAPABILITIES = 64
_MOST_ALLOWED = 1_000
_DECIDE = "RouterService/Decide"
_NO_OBJECTIVE = ObjectiveSpec()
_NONE: frozenset[Any] = frozenset()


def query_from_proto(message: Any, method: str, catalog: Catalog) -> tuple[Query, tuple[base.Message, ...]]:
    """Return the query of a Decide, Complete or StreamComplete request, and its messages; raises NaiadError."""
    if message.task_class and catalog.find_task_class(message.task_class) is None:
        name(message.task_class, "task_class")
    explicit_output = optional_count(message, "max_output_tokens", 1)
    input_tokens = optional_count(message, "input_tokens")
    allowed, wanted = message.allowed_models, message.required_capabilities
    capabilities = _capabilities(wanted) if wanted else _NONE
    messages: tuple[base.Message, ...] = ()
    seen_bytes = 0
    if message.messages:
        messages = messages_from_proto(message.messages)
        if input_tokens is None or method != _DECIDE:  # what we send, we have seen
            estimated = estimate_tokens(messages)
            if input_tokens is None or input_tokens < estimated:
                input_tokens, seen_bytes = estimated, text_bytes(messages)
        shown = _shown_by(messages)
        if shown:
            capabilities |= shown
    caller = CALLER.get(None)
    narrow = () if caller is None else (caller.models, caller.data_class)
    request = request_of(method, message, narrow if any(narrow) else ())
    query = Query(
        task_class=message.task_class,
        workflow=text_id(message.workflow, "workflow"),
        session=text_id(message.session_id, "session_id"),
        data_class=text_id(message.data_class, "data_class"),
        caller_data_class="" if caller is None else caller.data_class,
        objective=objective_spec(message.objective) if message.HasField("objective") else _NO_OBJECTIVE,
        needs=Needs(
            input_tokens=input_tokens or 0,
            max_output_tokens=DEFAULT_OUTPUT_TOKENS if explicit_output is None else explicit_output,
            explicit_output=explicit_output is not None,
            allowed=_allowed(allowed) if allowed else _NONE,
            capabilities=capabilities,
            text_bytes=seen_bytes,
            composites=method != _DECIDE,
            key_models=() if caller is None else caller.models,
        ),
        features=_features(message.features) if message.features else {},
        request_id=request.request_id,
        request_digest=request.digest,
        key_id=request.key_id,
    )
    return query, messages


def _allowed(names: Any) -> frozenset[str]:
    """Return the models that a request accepts; raises NaiadError for a malformed name."""
    allowed = items(names, "allowed_models", _MOST_ALLOWED)
    return frozenset(model_name(model, f"allowed_models[{index}]") for index, model in enumerate(allowed))


def _capabilities(wanted: Any) -> frozenset[int]:
    """Return the capabilities that a request asks for; raises NaiadError for one that is not known."""
    capabilities = frozenset(items(wanted, "required_capabilities", _MOST_CAPABILITIES))
    for capability in capabilities:
        if capability not in list(Capability):
            enum_value(capability, catalog_pb2.Capability, "required_capabilities")
    return capabilities


def _shown_by(messages: Sequence[base.Message]) -> set[int]:
    """Return the capabilities without which a model cannot take the messages."""
    shown: set[int] = set()
    if any(turn.role is base.Role.SYSTEM for turn in messages):
        shown.add(int(Capability.SYSTEM_PROMPT))
    if has_image(messages):
        shown.add(int(Capability.VISION))
    return shown


def _features(values: Mapping[str, float]) -> dict[str, float]:
    items(values, "features", MOST_FEATURES)
    return {key: number(value, f"features[{key[:64]!r}]", -math.inf) for key, value in values.items()}
