"""Requests into the engine's words: whatever the message, only NaiadError comes out, and what comes through is sane."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.server import convert
from naiad.server.bounds import plain
from naiad.server.catalog import Catalog
from naiad.server.conversation import messages_from_proto
from naiad.server.convert import duration_s, name, number, text_id
from naiad.server.eligibility import Capability
from naiad.server.entries import model_changes, model_from_proto, task_class_changes, task_class_from_proto
from naiad.server.errors import NaiadError
from naiad.server.generation import task_from_proto
from naiad.server.query import query_from_proto
from naiad.server.records import FeatureSpec, ModelPut, TaskClassPut
from naiad.server.rpc_feedback import judgement_from_proto, outcome_from_proto
from naiad.v1 import catalog_pb2, catalog_service_pb2, content_pb2, feedback_service_pb2, router_service_pb2
from tests.fuzz.messages import arbitrary, conversation, conversing, disturbed, plausible
from tests.server.builders import model
from tests.server.reasons import check

KNOWN: dict[str, Any] = {
    "role": [1, 2, 3, 4], "strategy": [0, 1, 2, 3, 4], "source": [1, 2], "score": [0.0, 1.0], "name": ["echo/small"],
    "input_tokens": [0, 9], "output_tokens": [0, 9], "max_output_tokens": [1, 9], "workflow": [""],
    "session_id": [""], "request_id": ["", "r"], "data_class": [""], "task_class": ["a"], "text": ["hello"],
    "cached_input_tokens": [0], "cache_write_input_tokens": [0], "cost_nano_usd": [0, 9], "http_status": [429],
    "kind": [0, 3], "max_attempts": [1], "max_cost_nano_usd": [0], "temperature": [0.5], "top_p": [0.5],
    "seconds": [0, 1], "nanos": [0, 1], "finish_reason": [0], "tool_choice": [0], "attempt_id": [""],
}  # fmt: skip
CATALOG = Catalog()
CLASS = TaskClassPut(task_class=0, name="a", features=(FeatureSpec(name="a"),))


def completed(message: Any) -> object:
    """Convert a Complete request as its servicer does."""
    return task_from_proto(message, *query_from_proto(message, "RouterService/Complete", CATALOG))


def changed(message: Any) -> object:
    """Convert an UpdateModel request as its servicer does."""
    return model_changes(model(0), message.model, message.update_mask.paths)


CONVERSIONS: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "decide": (router_service_pb2.DecideRequest, lambda m: query_from_proto(m, "RouterService/Decide", CATALOG)),
    "complete": (router_service_pb2.CompleteRequest, completed),
    "outcome": (feedback_service_pb2.ReportOutcomeRequest, outcome_from_proto),
    "feedback": (feedback_service_pb2.ReportFeedbackRequest, judgement_from_proto),
    "create_model": (catalog_service_pb2.CreateModelRequest, lambda m: model_from_proto(m.model)),
    "update_model": (catalog_service_pb2.UpdateModelRequest, changed),
    "create_class": (
        catalog_service_pb2.CreateTaskClassRequest,
        lambda m: task_class_from_proto(m.task_class),
    ),
    "update_class": (
        catalog_service_pb2.UpdateTaskClassRequest,
        lambda m: task_class_changes(m.task_class, m.update_mask.paths),
    ),
}


def tried(function: Callable[..., Any], *arguments: Any) -> tuple[Any, NaiadError | None]:
    """Return what a function returns and None, or None and the NaiadError that it raises; others pass through."""
    try:
        return function(*arguments), None
    except NaiadError as error:
        return None, error


@pytest.mark.parametrize("kind", CONVERSIONS)
@given(rng=st.randoms(use_true_random=False), likely=st.booleans())
@settings(max_examples=80)
def test_only_documented_errors_come_out(kind: str, rng: Random, likely: bool) -> None:
    message_type, conversion = CONVERSIONS[kind]
    message = arbitrary(message_type.DESCRIPTOR, rng)
    if likely:
        conversing(plausible(message, KNOWN, rng), rng)
    _, error = tried(conversion, message)
    if error is not None:
        check(error.reason, error.code, error.metadata)


@given(st.randoms(use_true_random=False))
def test_a_conversation_that_keeps_to_the_rules_is_taken_whole(rng: Random) -> None:
    turns = conversation(rng)
    found, error = tried(messages_from_proto, turns)
    assert error is None
    assert [(turn.role.value.upper(), len(turn.parts)) for turn in found] == [
        (content_pb2.Role.Name(turn.role).removeprefix("ROLE_"), len(turn.parts)) for turn in turns
    ]


@given(st.randoms(use_true_random=False))
def test_a_disturbed_conversation_is_taken_only_if_its_calls_still_have_their_results(rng: Random) -> None:
    turns = disturbed(conversation(rng), rng)
    _, error = tried(messages_from_proto, turns)
    if error is not None:
        check(error.reason, error.code, error.metadata)
        return
    made, open_calls = [], []
    for turn in turns:
        for part in turn.parts:
            if part.HasField("tool_call"):
                assert turn.role == content_pb2.ROLE_ASSISTANT
                made.append(part.tool_call.tool_call_id)
                open_calls.append(part.tool_call.tool_call_id)
            elif part.HasField("tool_result"):
                assert turn.role == content_pb2.ROLE_TOOL
                open_calls.remove(part.tool_result.tool_call_id)
    assert not open_calls
    assert len(made) == len(set(made))


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_number_is_told_to_its_last_digit(value: float) -> None:
    assert type(value)(plain(value)) == value
    assert len(plain(value)) < 30


@given(st.floats(), st.floats(-1e9, 1e9), st.floats(0, 1e9))
def test_a_number_is_finite_and_within_its_range(value: float, low: float, width: float) -> None:
    found, error = tried(number, value, "x", low, low + width)
    if error is None:
        assert low <= found == value <= low + width
    else:
        assert error.reason == ("NUMBER_OUT_OF_RANGE" if math.isfinite(value) else "NUMBER_NOT_FINITE")
        assert not low <= value <= low + width


@given(st.text(max_size=300) | st.from_regex(r"[a-z0-9._:/-]{0,140}", fullmatch=True))
def test_names_and_ids(value: str) -> None:
    found, error = tried(name, value, "x")
    lawful = 0 < len(value) <= 128 and set(value) <= set(convert_alphabet()) and value[0].isalnum()
    assert (error is None) is lawful
    assert error is None or error.reason in ("INVALID_ID", "FIELD_REQUIRED")
    assert error is not None or found == value
    found, error = tried(text_id, value, "x")
    assert (error is None) is (len(value) <= 128 and value.isprintable())
    assert error is None or (error.reason == "INVALID_ID" and len(error.message) < 1_000)


def convert_alphabet() -> str:
    """Return the characters that a name may have, as the rule says them."""
    assert "letters, digits, '.', '_', '-', ':' and '/'" in convert.ID_RULE
    return "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-:/"


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(-(1 << 31), (1 << 31) - 1))
def test_durations(seconds: int, nanos: int) -> None:
    message = feedback_service_pb2.ReportOutcomeRequest()
    assert duration_s(message, "latency") is None
    message.latency.seconds, message.latency.nanos = seconds, nanos
    found, error = tried(duration_s, message, "latency")
    if error is None:
        assert found == pytest.approx(seconds + nanos / 1e9)
        assert found >= 0.0
    else:
        assert error.reason in ("INVALID_FORMAT", "NUMBER_OUT_OF_RANGE")


def test_the_digest_of_a_request_covers_every_field() -> None:
    base = router_service_pb2.DecideRequest(task_class="a", request_id="r")
    digests = {query_from_proto(base, "m", CATALOG)[0].request_digest}
    changes: tuple[dict[str, Any], ...] = (
        {"workflow": "w"}, {"input_tokens": 0}, {"session_id": "s"}, {"objective": {"strategy": 1}},
    )  # fmt: skip
    for change in changes:
        changed_ = router_service_pb2.DecideRequest()
        changed_.CopyFrom(base)
        changed_.MergeFrom(router_service_pb2.DecideRequest(**change))
        digests.add(query_from_proto(changed_, "m", CATALOG)[0].request_digest)
    assert len(digests) == 5


def test_a_model_without_an_upstream_name_is_taken() -> None:
    found = model_from_proto(catalog_service_pb2.CreateModelRequest(model={"name": "a/b"}).model)
    assert isinstance(found, ModelPut)
    assert found.upstream_model in ("", "b")


IMAGE = {"image": {"uri": "https://example.org/a.png"}}
CALL = {"tool_call": {"tool_call_id": "1", "name": "look", "arguments_json": "{}"}}
RESULT = {"tool_result": {"tool_call_id": "1", "parts": [{"text": "seen"}, IMAGE]}}


@pytest.mark.parametrize(
    ("messages", "needed"),
    [
        ([{"role": 2, "parts": [{"text": "a"}]}], set()),
        ([{"role": 1, "parts": [{"text": "a"}]}, {"role": 2, "parts": [{"text": "a"}]}], {Capability.SYSTEM_PROMPT}),
        ([{"role": 2, "parts": [{"text": "a"}, IMAGE]}], {Capability.VISION}),
        ([{"role": 3, "parts": [CALL]}, {"role": 4, "parts": [RESULT]}], {Capability.VISION}),
    ],
    ids=["text", "system", "image", "image in a tool's result"],
)
def test_messages_show_what_a_model_must_be_able_to_do(messages: list[Any], needed: set[int]) -> None:
    asked = router_service_pb2.DecideRequest(
        messages=messages, required_capabilities=[catalog_pb2.CAPABILITY_STREAMING]
    )
    found = query_from_proto(asked, "RouterService/Decide", CATALOG)[0].needs.capabilities
    assert found == needed | {Capability.STREAMING}
