"""Bad input, one by one: its documented reason, code and metadata keys, and no effect on state."""

from __future__ import annotations

import base64
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from naiad.v1 import error_pb2
from tests.e2e.bad_content import (
    COMPLETE,
    CONTENT,
    CREATE,
    DECIDE,
    LONG,
    NEW_CLASS,
    SET_CLASS,
    STREAM,
    UPDATE,
    USER,
    asked,
    call,
    result,
    tool,
    wanted,
)
from tests.e2e.live import BASE, Caller, Live, Refusal

CONFIG = BASE + '[[models]]\nname = "custom/priceless"\nendpoint = "echo"\n'

OUTCOME, FEEDBACK, RETRACT = (
    "FeedbackService/ReportOutcome", "FeedbackService/ReportFeedback", "FeedbackService/RetractFeedback",
)  # fmt: skip
DECISIONS, ARMS = "InsightService/ListDecisions", "InsightService/ListArms"


def failed(**fields: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and the fields of the report of a failure."""
    return OUTCOME, {"decision_id": "$ID", "attempt_id": "f", "error": {"kind": 3} | fields}


def ensemble(**fields: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and the fields of a request for an ensemble."""
    made = {"members": ["echo/small", "echo/large"], "aggregation": 1} | fields
    return CREATE, {"model": {"name": "team/ensemble", "ensemble": made}}


def cascade(**check: Any) -> tuple[str, dict[str, Any]]:
    """Return the method and the fields of a request for a cascade with this check."""
    return CREATE, {"model": {"name": "t/c", "cascade": {"members": ["echo/small", "echo/large"], "check": check}}}


# name: reason, method, fields. "$ID" stands for a genuine decision id.
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    # ids and names
    "class_too_long": ("INVALID_ID", DECIDE, {"task_class": LONG}),
    "class_forbidden_character": ("INVALID_ID", DECIDE, {"task_class": "a b"}),
    "class_line_end": ("INVALID_ID", DECIDE, {"task_class": "a\n"}),
    "workflow_too_long": ("INVALID_ID", DECIDE, {"task_class": "e2e", "workflow": LONG}),
    "session_too_long": ("INVALID_ID", DECIDE, {"task_class": "e2e", "session_id": LONG}),
    "request_id_too_long": ("INVALID_ID", DECIDE, {"task_class": "e2e", "request_id": LONG}),
    "request_id_unprintable": ("INVALID_ID", DECIDE, {"task_class": "e2e", "request_id": "a\x00"}),
    "data_class_too_long": ("INVALID_ID", DECIDE, {"task_class": "e2e", "data_class": LONG}),
    "allowed_not_a_model_name": ("INVALID_ID", DECIDE, {"task_class": "e2e", "allowed_models": ["small"]}),
    "attempt_too_long": ("INVALID_ID", OUTCOME, {"decision_id": "$ID", "attempt_id": LONG}),
    "rater_too_long": ("INVALID_ID", FEEDBACK, {"decision_id": "$ID", "score": 1.0, "source": 1, "rater_id": LONG}),
    "model_name_empty": ("FIELD_REQUIRED", CREATE, {"model": {}}),
    "model_name_without_provider": ("INVALID_ID", CREATE, {"model": {"name": "small"}}),
    "model_name_too_long": ("INVALID_ID", CREATE, {"model": {"name": "a/" + "b" * 255}}),
    "class_name_empty": ("FIELD_REQUIRED", NEW_CLASS, {"task_class": {}}),
    "get_model_empty": ("FIELD_REQUIRED", "CatalogService/GetModel", {}),
    "get_class_empty": ("FIELD_REQUIRED", "CatalogService/GetTaskClass", {}),
    "feedback_id_empty": ("FIELD_REQUIRED", RETRACT, {}),
    # numbers
    "score_nan": ("NUMBER_NOT_FINITE", FEEDBACK, {"decision_id": "$ID", "score": math.nan, "source": 1}),
    "score_infinite": ("NUMBER_NOT_FINITE", FEEDBACK, {"decision_id": "$ID", "score": -math.inf, "source": 1}),
    "score_above_one": ("NUMBER_OUT_OF_RANGE", FEEDBACK, {"decision_id": "$ID", "score": 1.0000001, "source": 1}),
    "score_below_zero": ("NUMBER_OUT_OF_RANGE", FEEDBACK, {"decision_id": "$ID", "score": -1e-9, "source": 1}),
    "input_tokens_negative": ("NUMBER_OUT_OF_RANGE", DECIDE, {"task_class": "e2e", "input_tokens": -1}),
    "input_tokens_huge": ("NUMBER_OUT_OF_RANGE", DECIDE, {"task_class": "e2e", "input_tokens": (1 << 63) - 1}),
    "max_output_tokens_zero": ("NUMBER_OUT_OF_RANGE", DECIDE, {"task_class": "e2e", "max_output_tokens": 0}),
    "outcome_input_negative": ("NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "input_tokens": -1}),
    "outcome_output_negative": ("NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "output_tokens": -(1 << 63)}),
    "outcome_cost_negative": ("NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "cost_nano_usd": -1}),
    "latency_negative": ("NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "latency": {"nanos": -1}}),
    "latency_too_long": ("NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "latency": {"seconds": 1 << 60}}),
    "latency_malformed": ("INVALID_FORMAT", OUTCOME, {"decision_id": "$ID", "latency": {"seconds": 1, "nanos": -1}}),
    "more_cached_than_read": (
        "INVALID_COMBINATION", OUTCOME, {"decision_id": "$ID", "input_tokens": 1, "cached_input_tokens": 2},
    ),
    "worth_nan": ("NUMBER_NOT_FINITE", DECIDE, {"task_class": "e2e", "objective": {"usd_per_quality": math.nan}}),
    "floor_above_one": ("NUMBER_OUT_OF_RANGE", DECIDE, {"task_class": "e2e", "objective": {"quality_floor": 1.5}}),
    "confidence_one": ("NUMBER_OUT_OF_RANGE", DECIDE, {"task_class": "e2e", "objective": {"confidence": 1.0}}),
    "temperature_nan": (
        "NUMBER_NOT_FINITE", COMPLETE,
        {"task_class": "e2e", "messages": [USER], "generation": {"temperature": math.nan}},
    ),
    "temperature_high": (
        "NUMBER_OUT_OF_RANGE", COMPLETE,
        {"task_class": "e2e", "messages": [USER], "generation": {"temperature": 2.1}},
    ),
    "attempts_zero": (
        "NUMBER_OUT_OF_RANGE", COMPLETE, {"task_class": "e2e", "messages": [USER], "max_attempts": 0},
    ),
    "price_negative": (
        "NUMBER_OUT_OF_RANGE", CREATE,
        {"model": {"name": "echo/x", "prices": {
            "input_nano_usd_per_million_tokens": -1, "output_nano_usd_per_million_tokens": 1}}},
    ),
    "price_half": (
        "INVALID_COMBINATION", CREATE,
        {"model": {"name": "echo/x", "prices": {"input_nano_usd_per_million_tokens": 1}}},
    ),
    "window_zero": ("NUMBER_OUT_OF_RANGE", CREATE, {"model": {"name": "echo/x", "context_window": 0}}),
    "retirement_beyond_time": (
        "NUMBER_OUT_OF_RANGE", CREATE, {"model": {"name": "echo/x", "retire_time": {"seconds": 1 << 62}}},
    ),
    "page_size_negative": ("NUMBER_OUT_OF_RANGE", ARMS, {"page_size": -1}),
    "page_size_huge": ("NUMBER_OUT_OF_RANGE", DECISIONS, {"page_size": 1_001}),
    "start_beyond_time": ("NUMBER_OUT_OF_RANGE", DECISIONS, {"start_time": {"seconds": 1 << 62}}),
    # page tokens
    "page_token_noise": ("PAGE_TOKEN_INVALID", ARMS, {"page_token": "noise"}),
    "page_token_nested": (
        "PAGE_TOKEN_INVALID", ARMS, {"page_token": base64.urlsafe_b64encode(b"[" * 200_000).decode()},
    ),
    "page_token_unicode": ("PAGE_TOKEN_INVALID", "CatalogService/ListModels", {"page_token": "\u2603"}),
    # enums
    "source_missing": ("UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "score": 1.0}),
    "source_unknown": ("UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "score": 1.0, "source": 99}),
    "reaction_missing": ("UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "source": 4, "reaction": {}}),
    "reaction_unknown": ("UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "source": 4, "reaction": {"kind": 9}}),
    "reaction_of_a_human": (
        "INVALID_COMBINATION", FEEDBACK, {"decision_id": "$ID", "source": 1, "reaction": {"kind": 1}},
    ),
    "edit_share_beyond_one": (
        "NUMBER_OUT_OF_RANGE", FEEDBACK,
        {"decision_id": "$ID", "source": 4, "reaction": {"kind": 2, "edit_share": 1.1}},
    ),
    "edit_share_not_a_number": (
        "NUMBER_NOT_FINITE", FEEDBACK,
        {"decision_id": "$ID", "source": 4, "reaction": {"kind": 2, "edit_share": float("nan")}},
    ),
    "edit_share_of_a_retry": (
        "INVALID_COMBINATION", FEEDBACK,
        {"decision_id": "$ID", "source": 4, "reaction": {"kind": 4, "edit_share": 0.5}},
    ),
    "reaction_source_kept_for_the_log": (
        "UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "source": 5, "score": 1.0},
    ),
    "thumb_missing": ("UNKNOWN_ENUM_VALUE", FEEDBACK, {"decision_id": "$ID", "thumb": 0, "source": 1}),
    "role_unknown": ("UNKNOWN_ENUM_VALUE", DECIDE, {"task_class": "e2e", "messages": [{"role": 77}]}),
    "role_missing": ("UNKNOWN_ENUM_VALUE", COMPLETE, {"task_class": "e2e", "messages": [{"parts": [{"text": "a"}]}]}),
    "strategy_unknown": ("UNKNOWN_ENUM_VALUE", DECIDE, {"task_class": "e2e", "objective": {"strategy": 42}}),
    "capability_unknown": ("UNKNOWN_ENUM_VALUE", DECIDE, {"task_class": "e2e", "required_capabilities": [99]}),
    "error_kind_unknown": ("UNKNOWN_ENUM_VALUE", OUTCOME, {"decision_id": "$ID", "error": {"kind": 99}}),
    "priors_not_built": ("NOT_IMPLEMENTED", NEW_CLASS, {"task_class": {"name": "p", "priors": [{"mean": 0.5}]}}),
    # missing and contradictory fields
    "signal_missing": ("FIELD_REQUIRED", FEEDBACK, {"decision_id": "$ID", "source": 1}),
    "preference_of_one": (
        "INVALID_COMBINATION", FEEDBACK,
        {"decision_id": "$ID", "source": 1, "preference": {"preferred_attempt_id": "1", "other_attempt_id": "1"}},
    ),
    "messages_missing": ("FIELD_REQUIRED", COMPLETE, {"task_class": "e2e"}),
    "part_without_content": (
        "FIELD_REQUIRED", COMPLETE, {"task_class": "e2e", "messages": [{"role": 2, "parts": [{}]}]},
    ),
    "message_without_part": ("FIELD_REQUIRED", COMPLETE, {"task_class": "e2e", "messages": [{"role": 2}]}),
    "tool_result_of_user": (
        "INVALID_COMBINATION", COMPLETE,
        {"task_class": "e2e", "messages": [
            {"role": 2, "parts": [{"tool_result": {"tool_call_id": "1", "parts": [{"text": "a"}]}}]}]},
    ),
    "schema_not_json": (
        "INVALID_FORMAT", COMPLETE,
        {"task_class": "e2e", "messages": [USER], "generation": {"response_json_schema": "{"}},
    ),
    "too_many_stops": (
        "TOO_MANY_ITEMS", COMPLETE, {"task_class": "e2e", "messages": [USER], "generation": {"stop": list("abcde")}},
    ),
    "comment_too_long": (
        "FIELD_TOO_LONG", FEEDBACK, {"decision_id": "$ID", "score": 1.0, "source": 1, "comment": "x" * 4_001},
    ),
    "too_many_allowed": ("TOO_MANY_ITEMS", DECIDE, {"task_class": "e2e", "allowed_models": ["echo/small"] * 1_001}),
    "mask_unknown": (
        "INVALID_FIELD_MASK", UPDATE, {"model": {"name": "echo/small"}, "update_mask": {"paths": ["revision"]}},
    ),
    "feature_undeclared": ("UNKNOWN_FEATURE", DECIDE, {"task_class": "e2e", "features": {"urgency": 1.0}}),
    "feature_of_new_class": ("UNKNOWN_FEATURE", DECIDE, {"task_class": "never.seen", "features": {"urgency": 1.0}}),
    "feature_range_empty": (
        "INVALID_COMBINATION", NEW_CLASS,
        {"task_class": {"name": "f", "features": [{"name": "x", "low": 1, "high": 1}]}},
    ),
    # objectives
    "no_ensemble_there": ("NO_ELIGIBLE_MODEL", *wanted(strategy=5)),
    "no_cascade_there": ("NO_ELIGIBLE_MODEL", *wanted(strategy=7)),
    "objective_model_malformed": ("INVALID_ID", *wanted(models=["small"])),
    "fallback_without_models": ("INVALID_COMBINATION", *wanted(strategy=6)),
    "class_fallback_without_models": (
        "INVALID_COMBINATION", NEW_CLASS, {"task_class": {"name": "o", "default_objective": {"strategy": 6}}},
    ),
    "class_becomes_fallback_without_models": (
        "INVALID_COMBINATION", SET_CLASS, {
            "task_class": {"name": "e2e", "default_objective": {"strategy": 6}},
            "update_mask": {"paths": ["default_objective.strategy"]},
        },
    ),
    "objective_model_twice": ("INVALID_COMBINATION", *wanted(models=["echo/small", "echo/small"])),
    "objective_model_unknown": ("UNKNOWN_MODEL", *wanted(models=["echo/none"])),
    "objective_model_unknown_in_a_new_class": (
        "UNKNOWN_MODEL", DECIDE, {"task_class": "never.seen", "objective": {"models": ["echo/none"]}},
    ),
    "class_objective_model_unknown": (
        "UNKNOWN_MODEL", NEW_CLASS, {"task_class": {"name": "o", "default_objective": {"models": ["echo/none"]}}},
    ),
    # models made of others
    "aggregation_missing": ("UNKNOWN_ENUM_VALUE", *ensemble(aggregation=0)),
    "aggregation_unknown": ("UNKNOWN_ENUM_VALUE", *ensemble(aggregation=9)),
    "ensemble_of_one": ("INVALID_COMBINATION", *ensemble(members=["echo/small"])),
    "ensemble_too_large": ("TOO_MANY_ITEMS", *ensemble(members=[f"echo/{i}" for i in range(17)])),
    "ensemble_member_twice": ("INVALID_COMBINATION", *ensemble(members=["echo/small", "echo/small"])),
    "ensemble_member_malformed": ("INVALID_ID", *ensemble(members=["echo/small", "large"])),
    "ensemble_member_unknown": ("UNKNOWN_MODEL", *ensemble(members=["echo/small", "echo/none"])),
    "ensemble_judge_missing": ("INVALID_COMBINATION", *ensemble(aggregation=2)),
    "ensemble_judge_unknown": ("UNKNOWN_MODEL", *ensemble(aggregation=2, judge="echo/none")),
    "ensemble_judge_without_use": ("INVALID_COMBINATION", *ensemble(judge="echo/small")),
    "ensemble_agree_beyond": ("INVALID_COMBINATION", *ensemble(aggregation=3, agree=3)),
    "cascade_check_missing": ("INVALID_COMBINATION", *cascade()),
    "cascade_schema_malformed": ("INVALID_COMBINATION", *cascade(json_schema="{")),
    "cascade_schema_elsewhere": ("INVALID_COMBINATION", *cascade(json_schema='{"$ref": "http://127.0.0.1:9/"}')),
    "cascade_pattern_malformed": ("INVALID_COMBINATION", *cascade(pattern="(")),
    "cascade_pattern_long": ("FIELD_TOO_LONG", *cascade(pattern="a" * 1_001)),
    "cascade_threshold_above": ("NUMBER_OUT_OF_RANGE", *cascade(judge="echo/small", threshold=1.5)),
    "composite_with_a_price": (
        "INVALID_COMBINATION", CREATE, {"model": {
            "name": "t/e", "prices": {"input_nano_usd_per_million_tokens": 1, "output_nano_usd_per_million_tokens": 1},
            "ensemble": {"members": ["echo/small", "echo/large"], "aggregation": 1},
        }},
    ),
    "a_model_becomes_a_composite": (
        "INVALID_COMBINATION", UPDATE, {
            "model": {"name": "echo/small", "ensemble": {"members": ["echo/small", "echo/large"], "aggregation": 1}},
        },
    ),
    # outcomes
    "http_status_low": ("NUMBER_OUT_OF_RANGE", *failed(http_status=99)),
    "http_status_high": ("NUMBER_OUT_OF_RANGE", *failed(http_status=600)),
    "retry_after_negative": ("NUMBER_OUT_OF_RANGE", *failed(retry_after={"seconds": -1})),
    "retry_after_long": ("NUMBER_OUT_OF_RANGE", *failed(retry_after={"seconds": 1 << 40})),
    "retry_after_malformed": ("INVALID_FORMAT", *failed(retry_after={"seconds": 1, "nanos": 1 << 30})),
    "detail_too_long": ("FIELD_TOO_LONG", *failed(detail="x" * 1_001)),
    "first_token_negative": (
        "NUMBER_OUT_OF_RANGE", OUTCOME, {"decision_id": "$ID", "time_to_first_token": {"seconds": -1}},
    ),
    "first_token_after_the_last": (
        "INVALID_COMBINATION", OUTCOME,
        {"decision_id": "$ID", "latency": {"seconds": 1}, "time_to_first_token": {"seconds": 1, "nanos": 1}},
    ),
    "finish_reason_unknown": ("UNKNOWN_ENUM_VALUE", OUTCOME, {"decision_id": "$ID", "finish_reason": 99}),
    # more fields of the catalogue, and of lists
    "price_of_cache_alone": (
        "INVALID_COMBINATION", CREATE,
        {"model": {"name": "echo/x", "prices": {"cached_input_nano_usd_per_million_tokens": 1}}},
    ),
    "provider_too_long": ("INVALID_ID", "CatalogService/ListModels", {"provider": "x" * 257}),
    "delete_built_in": ("TASK_CLASS_IN_USE", "CatalogService/DeleteTaskClass", {"name": "unclassified"}),
    # what is not there
    "model_unknown": ("UNKNOWN_MODEL", DECIDE, {"task_class": "never.seen", "allowed_models": ["echo/smal"]}),
    "update_unknown_model": ("UNKNOWN_MODEL", UPDATE, {"model": {"name": "echo/none"}}),
    "delete_unknown_model": ("UNKNOWN_MODEL", "CatalogService/DeleteModel", {"name": "echo/none"}),
    "arms_of_unknown_class": ("UNKNOWN_TASK_CLASS", ARMS, {"task_class": "none"}),
    "update_unknown_class": ("UNKNOWN_TASK_CLASS", SET_CLASS, {"task_class": {"name": "none"}}),
    "outcome_of_unknown_model": ("UNKNOWN_MODEL", OUTCOME, {"decision_id": "$ID", "model": "echo/none"}),
    "attempt_never_made": (
        "UNKNOWN_ATTEMPT", FEEDBACK, {"decision_id": "$ID", "attempt_id": "7", "score": 1.0, "source": 1},
    ),
    "preference_never_made": (
        "UNKNOWN_ATTEMPT", FEEDBACK,
        {"decision_id": "$ID", "source": 1, "preference": {"preferred_attempt_id": "1", "other_attempt_id": "9"}},
    ),
    "feedback_unknown": ("UNKNOWN_FEEDBACK", RETRACT, {"feedback_id": "f" + "0" * 16 + "-" + "a" * 16}),
    "feedback_id_beyond_the_database": ("UNKNOWN_FEEDBACK", RETRACT, {"feedback_id": "f" * 17 + "-" + "a" * 16}),
    "attempt_never_made_after_others": (
        "UNKNOWN_ATTEMPT", FEEDBACK, {"decision_id": "$LATE", "attempt_id": "1", "score": 1.0, "source": 1},
    ),
    "feedback_id_noise": ("UNKNOWN_FEEDBACK", RETRACT, {"feedback_id": "noise"}),
    # decision ids
    "decision_id_empty": ("FIELD_REQUIRED", OUTCOME, {"decision_id": ""}),
    "decision_id_noise": ("DECISION_ID_MALFORMED", OUTCOME, {"decision_id": "d" + "\u2603" * 97}),
    "decision_id_long": ("DECISION_ID_MALFORMED", "InsightService/GetDecision", {"decision_id": "d" * 100_000}),
    "decision_id_blank": ("DECISION_ID_MALFORMED", "InsightService/GetDecision", {"decision_id": " "}),
    "decision_id_with_line_end": ("DECISION_ID_MALFORMED", "InsightService/GetDecision", {"decision_id": "$LINE"}),
    "decision_id_padded": ("DECISION_ID_MALFORMED", "InsightService/GetDecision", {"decision_id": "$PADDED"}),
    "decision_id_of_another_format": ("DECISION_ID_MALFORMED", "InsightService/GetDecision", {"decision_id": "$OLD"}),
    "decision_id_truncated": ("DECISION_ID_MALFORMED", OUTCOME, {"decision_id": "$CUT"}),
    "decision_id_forged": ("DECISION_ID_FORGED", OUTCOME, {"decision_id": "$FORGED"}),
    "decision_id_forged_feedback": (
        "DECISION_ID_FORGED", FEEDBACK, {"decision_id": "$FORGED", "score": 1.0, "source": 1},
    ),
    "decision_id_forged_read": ("DECISION_ID_FORGED", "InsightService/GetDecision", {"decision_id": "$FORGED"}),
    "decision_id_foreign": ("DECISION_ID_FOREIGN", OUTCOME, {"decision_id": "$FOREIGN"}),
    "decision_unknown": ("UNKNOWN_DECISION", "InsightService/GetDecision", {"decision_id": "$UNKNOWN"}),
    "model_not_in_decision": ("MODEL_NOT_IN_DECISION", OUTCOME, {"decision_id": "$ID", "model": "custom/priceless"}),
    # what may not be used
    "no_price": ("NO_ELIGIBLE_MODEL", DECIDE, {"task_class": "never.seen", "allowed_models": ["custom/priceless"]}),
    "nothing_fits": (
        "NO_ELIGIBLE_MODEL", DECIDE,
        {"task_class": "e2e", "allowed_models": ["echo/small"], "max_output_tokens": 1_000_000},
    ),
    "nothing_is_able": (
        "NO_ELIGIBLE_MODEL", COMPLETE, {"task_class": "e2e", "messages": [USER], "required_capabilities": [5]},
    ),
    # what is there already
    "model_exists": ("MODEL_ALREADY_EXISTS", CREATE, {"model": {"name": "echo/small"}}),
    "class_exists": ("TASK_CLASS_ALREADY_EXISTS", NEW_CLASS, {"task_class": {"name": "e2e"}}),
    "revision_old": ("REVISION_MISMATCH", UPDATE, {"model": {"name": "echo/small", "revision": 99, "disabled": True}}),
    "class_revision_old": ("REVISION_MISMATCH", SET_CLASS, {"task_class": {"name": "e2e", "revision": 99}}),
    "request_id_other_body": ("REQUEST_ID_REUSED", DECIDE, {"task_class": "e2e", "request_id": "taken"}),
    "request_id_other_body_feedback": (
        "REQUEST_ID_REUSED", FEEDBACK, {"decision_id": "$ID", "score": 0.5, "source": 1, "request_id": "rated"},
    ),
    "request_id_other_method": (
        "REQUEST_ID_REUSED", OUTCOME, {"decision_id": "$ID", "request_id": "rated"},
    ),
    "outcome_reported_otherwise": (
        "ATTEMPT_ALREADY_REPORTED", OUTCOME, {"decision_id": "$ID", "attempt_id": "1", "output_tokens": 7},
    ),
    # too much
    "too_large": (
        "MESSAGE_TOO_LARGE", DECIDE,
        {"task_class": "e2e", "messages": [{"role": 2, "parts": [{"text": "x" * (5 << 20)}]}]},
    ),
}  # fmt: skip


COMPLETING = {name: case for name, case in (CASES | CONTENT).items() if case[1] == COMPLETE}
STREAMING: dict[str, tuple[str, str, dict[str, Any]]] = {
    f"{name}_in_a_stream": (reason, STREAM, fields) for name, (reason, _, fields) in COMPLETING.items()
}
ONLY_OF_STREAMS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "failure_mode_unknown": (
        "UNKNOWN_ENUM_VALUE", STREAM, {"task_class": "e2e", "messages": [USER], "failure_mode": 9},
    ),
    "no_model_streams": (
        "NO_ELIGIBLE_MODEL", STREAM,
        {"task_class": "e2e", "messages": [USER], "allowed_models": ["custom/priceless"]},
    ),
}  # fmt: skip
ALL = CASES | CONTENT | STREAMING | ONLY_OF_STREAMS


def test_streams_are_refused_as_completions_are() -> None:
    """Every case of Complete has its twin, and there are many."""
    assert len(STREAMING) == len(COMPLETING) > 40


@pytest.fixture(scope="module")
def ids(served: Live) -> dict[str, str]:
    """Return the ids that the cases name; the state that they need is made here, once."""
    from naiad.server.decision_id import Signer

    caller = served.caller
    made = caller.decide("e2e", request_id="taken").decision_id
    caller.outcome(made, attempt_id="1")
    caller.score(made, 1.0, request_id="rated")
    with sqlite3.connect(f"file:{served.process.database}?mode=ro", uri=True) as database:
        keys = dict(database.execute("SELECT key_id, secret FROM signing_keys").fetchall())
    database.close()
    signer = Signer(keys, max(keys))
    ticket = signer.verify(made, 0)
    facts = ticket._asdict()
    late = caller.decide("e2e").decision_id
    caller.score(late, 1.0, attempt_id="1", source=1)
    caller.outcome(late, attempt_id="2", input_tokens=5)
    other_key = Signer({max(keys): bytes(32)}, max(keys))
    return {
        "$ID": made,
        "$CUT": made[:-1],
        "$LINE": made + "\n",
        "$PADDED": made[:-1] + "=",
        "$OLD": "dAQ" + made[3:],
        "$LATE": late,
        "$FORGED": other_key.issue(ticket),
        "$FOREIGN": signer.issue(type(ticket)(**(facts | {"tenant": 1}))),
        "$UNKNOWN": signer.issue(type(ticket)(**(facts | {"uid": ticket.uid + 12_345}))),
    }


@pytest.fixture
def unchanged(served: Live, ids: dict[str, str]) -> Iterator[None]:
    """Assert that the test leaves the place in the log, every arm and the catalogue as they were."""
    before = served.caller.state()
    yield
    assert served.caller.state() == before, "a refused call changed the state"


def substituted(fields: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Return the fields with ids in the place of their names."""
    return {key: ids.get(value, value) if isinstance(value, str) else value for key, value in fields.items()}


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize("name", ALL)
def test_refused(name: str, api: Caller, ids: dict[str, str]) -> None:
    reason, method, fields = ALL[name]
    refusal = api.refused(method, **substituted(fields, ids))
    assert refusal.reason == reason, refusal
    assert len(refusal.message) < 2_000
    assert refusal.metadata.get("field", "").count("..") == 0


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (asked(USER, call(), result("2")), "messages[2].parts[0].tool_result.tool_call_id"),
        (
            asked(USER, call(), result("1", {"image": {"uri": "ftp://a"}})),
            "messages[2].parts[0].tool_result.parts[0].image.uri",
        ),
        (asked(tools=[tool(), tool("a b")]), "generation.tools[1].name"),
        (failed(retry_after={"seconds": -1}), "error.retry_after"),
        (failed(http_status=1), "error.http_status"),
        (wanted(models=["echo/small", "x"]), "objective.models[1]"),
        ((CREATE, {"model": {"name": "echo/x", "retire_time": {"seconds": 1 << 62}}}), "model.retire_time"),
    ],
)
def test_the_field_is_named_by_its_path(api: Caller, ids: dict[str, str], fields: tuple[str, Any], field: str) -> None:
    refusal = api.refused(fields[0], **substituted(fields[1], ids))
    assert refusal.metadata["field"] == field
    assert field in refusal.message


@pytest.mark.usefixtures("unchanged")
def test_bounds_are_told_to_the_last_digit(api: Caller) -> None:
    refusal = api.refused(DECIDE, task_class="e2e", max_output_tokens=(1 << 40) + 1)
    assert refusal.metadata["maximum"] == "1099511627776"
    assert refusal.metadata["value"] == "1099511627777"
    assert "from 1 to 1099511627776" in refusal.message
    worth = api.refused(*wanted(usd_per_quality=1_000_001.0)[:1], **wanted(usd_per_quality=1_000_001.0)[1])
    assert (worth.metadata["value"], worth.metadata["maximum"]) == ("1000001", "1000000")


@pytest.mark.usefixtures("unchanged")
def test_every_model_s_reason_is_given(api: Caller) -> None:
    refusal = api.refused("RouterService/Decide", task_class="e2e", allowed_models=["echo/small"], input_tokens=7_500)
    assert refusal.reason == "NO_ELIGIBLE_MODEL"
    assert refusal.metadata["task_class"] == "e2e"
    assert refusal.metadata["models"] == "3"
    assert refusal.metadata["reasons"] == "CONTEXT_WINDOW x 1, NOT_ALLOWED x 2"
    detail = error_pb2.NoEligibleModelDetail()
    assert [d.Unpack(detail) for d in refusal.others] == [True]
    assert {e.model: e.reason for e in detail.excluded} == {"echo/small": 4, "echo/large": 2, "custom/priceless": 2}
    assert "7500" in next(e.detail for e in detail.excluded if e.model == "echo/small")


@pytest.mark.usefixtures("unchanged")
def test_every_truncation_of_a_decision_id(api: Caller, ids: dict[str, str]) -> None:
    whole = ids["$ID"]
    for length in range(1, len(whole)):
        refusal = api.refused("FeedbackService/ReportOutcome", decision_id=whole[:length])
        assert refusal.reason == "DECISION_ID_MALFORMED"


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    ("method", "fields"),
    [(DECIDE, {"task_class": "late"}), (COMPLETE, {"task_class": "late", "messages": [USER]}),
     (STREAM, {"task_class": "late", "messages": [USER]}), (CREATE, {"model": {"name": "echo/late"}})],
)  # fmt: skip
def test_a_deadline_already_past(api: Caller, method: str, fields: dict[str, Any]) -> None:
    """Far enough in the past that gRPC's rounding of timeouts leaves the server nothing, either."""
    with pytest.raises(Refusal) as caught:
        api.call(method, timeout_s=-5.0, **fields)
    assert caught.value.code == "DEADLINE_EXCEEDED"


@pytest.mark.usefixtures("unchanged")
def test_larger_than_anything_accepted(api: Caller) -> None:
    message = {"role": 2, "parts": [{"text": "x" * (33 << 20)}]}
    for method in (COMPLETE, STREAM):
        refusal = api.refused(method, task_class="e2e", messages=[message])
        assert refusal.code == "RESOURCE_EXHAUSTED"  # gRPC itself, before Naiad: documented to have no ErrorInfo


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(
    "paths",
    [["default_objective.strategy"], ["description", "labels"]],
)
def test_documented_paths_of_a_task_class_are_taken(api: Caller, paths: list[str]) -> None:
    """The path that the proto gives as an example exists: a stale revision is what is wrong with this call."""
    refusal = api.refused(
        SET_CLASS, task_class={"name": "e2e", "revision": 99, "default_objective": {"strategy": 1}},
        update_mask={"paths": paths},
    )  # fmt: skip
    assert refusal.reason == "REVISION_MISMATCH"


def test_a_refused_request_id_stays_free(api: Caller, ids: dict[str, str]) -> None:
    """An error has no effect on state, so the same id may carry the corrected request."""
    calls: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        (DECIDE, {"task_class": "e2e", "input_tokens": -1}, {"task_class": "e2e", "input_tokens": 1}),
        (FEEDBACK, {"decision_id": ids["$ID"], "source": 4, "score": 2.0},
         {"decision_id": ids["$ID"], "source": 4, "score": 0.5}),
        (FEEDBACK, {"decision_id": ids["$ID"], "source": 4, "score": 0.5, "attempt_id": "8"},
         {"decision_id": ids["$ID"], "source": 4, "score": 0.25}),
        (CREATE, {"model": {"name": "echo/small"}}, {"model": {"name": "echo/corrected"}}),
    ]  # fmt: skip
    for index, (method, wrong, right) in enumerate(calls):
        api.refused(method, request_id=f"corrected-{index}", **wrong)
        api.call(method, request_id=f"corrected-{index}", **right)
