"""Requests of the API into the engine's words: every field checked, every refusal with its value, rule and remedy."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from naiad.adapters.tokens import estimate_tokens
from naiad.server.bounds import MOST_MONEY, MOST_TOKENS, plain
from naiad.server.conversation import messages_from_proto
from naiad.server.eligibility import Capability, Needs
from naiad.server.engine import Query
from naiad.server.errors import NaiadError
from naiad.server.journal import Request
from naiad.server.objectives import check_objective
from naiad.server.records import ObjectiveSpec
from naiad.v1 import catalog_pb2, content_pb2, objective_pb2

ID_RULE = "letters, digits, '.', '_', '-', ':' and '/', beginning with a letter or digit, at most {} characters"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")
_FEATURE = re.compile(r"[A-Za-z0-9._]{1,64}\Z")
SHORT, LONG = 128, 256
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999
_MOST_ITEMS = 1_000
DEFAULT_OUTPUT_TOKENS = 1_024  # reserved where the caller does not say


def text_id(value: str, field: str, *, required: bool = False, longest: int = SHORT) -> str:
    """Return an id that may hold any printable text; raises NaiadError."""
    if not value:
        if required:
            raise NaiadError("FIELD_REQUIRED", f"{field} is empty; set it", field=field)
        return ""
    if len(value) > longest or not value.isprintable():
        raise _bad_id(value, field, f"printable characters, at most {longest}")
    return value


def name(value: str, field: str, *, longest: int = SHORT) -> str:
    """Return a name of a task class or model; raises NaiadError when it is empty, too long or malformed."""
    if not value:
        raise NaiadError("FIELD_REQUIRED", f"{field} is empty; set it", field=field)
    if len(value) > longest or not _NAME.match(value):
        raise _bad_id(value, field, ID_RULE.format(longest))
    return value


def feature_name(value: str, field: str) -> str:
    """Return the name of a feature; raises NaiadError."""
    if not value:
        raise NaiadError("FIELD_REQUIRED", f"{field} is empty; set it", field=field)
    if not _FEATURE.match(value):
        raise _bad_id(value, field, "letters, digits, '.' and '_', at most 64 characters")
    return value


def model_name(value: str, field: str) -> str:
    """Return a model's name, "provider/model"; raises NaiadError."""
    checked = name(value, field, longest=LONG)
    provider, slash, model = checked.partition("/")
    if not (provider and slash and model):
        raise _bad_id(value, field, "'provider/model'")
    return checked


def _bad_id(value: str, field: str, rule: str) -> NaiadError:
    shown = value if len(value) <= 60 else value[:60] + "..."
    return NaiadError(
        "INVALID_ID",
        f"{field} is {shown!r} ({len(value)} characters); the rule is: {rule}",
        metadata={"value": shown, "rule": rule},
        field=field,
    )


def number(value: float, field: str, low: float, high: float | None = None) -> float:
    """Return a finite number within its range; raises NaiadError."""
    if not math.isfinite(value):
        raise NaiadError(
            "NUMBER_NOT_FINITE",
            f"{field} is {value}; send a finite number, or leave the field unset",
            metadata={"value": value},
            field=field,
        )
    if value < low or (high is not None and value > high):
        bounds = f"at least {plain(low)}" if high is None else f"from {plain(low)} to {plain(high)}"
        metadata: dict[str, object] = {"value": plain(value), "minimum": plain(low)}
        if high is not None:
            metadata["maximum"] = plain(high)
        raise NaiadError(
            "NUMBER_OUT_OF_RANGE", f"{field} is {plain(value)}; it must be {bounds}", metadata=metadata, field=field
        )
    return value


def optional_count(
    message: ProtoMessage, field: str, low: int = 0, *, most: int = MOST_TOKENS, path: str = ""
) -> int | None:
    """Return an optional whole number of the message, None when it is not set; raises NaiadError.

    path: where the message stands in the request, with its dot.
    """
    if not message.HasField(field):
        return None
    value: int = getattr(message, field)
    return value if low <= value <= most else int(number(value, path + field, low, most))


def optional_money(message: ProtoMessage, field: str, *, most: int = MOST_MONEY, path: str = "") -> int | None:
    """Return an optional amount in nano-USD, None when it is not set; raises NaiadError."""
    return optional_count(message, field, most=most, path=path)


def text(value: str, field: str, longest: int) -> str:
    """Return a text that is not too long; raises NaiadError."""
    if len(value) > longest:
        raise NaiadError(
            "FIELD_TOO_LONG",
            f"{field} has {len(value)} characters; the limit is {longest}: shorten it",
            metadata={"size": len(value), "maximum": longest},
            field=field,
        )
    return value


def items(values: Any, field: str, most: int = _MOST_ITEMS) -> Any:
    """Return a repeated field that has not too many items; raises NaiadError."""
    if len(values) > most:
        raise NaiadError(
            "TOO_MANY_ITEMS",
            f"{field} has {len(values)} items; the limit is {most}: send fewer, or several calls",
            metadata={"count": len(values), "maximum": most},
            field=field,
        )
    return values


def enum_value(value: int, enum: Any, field: str, *, required: bool = True) -> int:
    """Return a known value of an API enum; raises NaiadError for an unknown one, and for 0 where one is required."""
    known = enum.values()
    if value not in known or (required and value == 0):
        allowed = [n for n in enum.keys() if not n.endswith("_UNSPECIFIED")]  # noqa: SIM118
        raise NaiadError(
            "UNKNOWN_ENUM_VALUE",
            f"{field} is {value}; use one of {', '.join(allowed)}",
            metadata={"value": value, "allowed": ", ".join(allowed)},
            field=field,
        )
    return value


def duration_s(message: ProtoMessage, field: str) -> float | None:
    """Return a duration in seconds, None when it is not set; raises NaiadError for a negative or malformed one."""
    if not message.HasField(field):
        return None
    value: Duration = getattr(message, field)
    seconds = value.seconds + value.nanos / 1e9
    if abs(value.nanos) >= 1_000_000_000 or (
        value.seconds and value.nanos and (value.seconds < 0) != (value.nanos < 0)
    ):
        raise NaiadError(
            "INVALID_FORMAT", f"{field} is not a valid duration: {value.seconds} s and {value.nanos} ns",
            metadata={"rule": "nanos of the same sign as seconds, below one second"}, field=field,
        )  # fmt: skip
    return number(seconds, field, 0.0, 31_536_000.0)


def time_ms(message: ProtoMessage, field: str) -> int | None:
    """Return a time in milliseconds since 1970, None when it is not set; raises NaiadError for one out of range."""
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    number(value.seconds, field, _FIRST_SECOND, _LAST_SECOND)
    number(value.nanos, f"{field}.nanos", 0, 999_999_999)
    return value.ToMilliseconds()


def request_of(method: str, message: Any) -> Request:
    """Return the idempotency key of a request: its id, and a digest of everything in it."""
    request_id = text_id(message.request_id, "request_id")
    if not request_id:
        return Request(method)
    body = message.SerializeToString(deterministic=True)
    return Request(method, request_id, hashlib.sha256(body).hexdigest())


def objective_spec(message: objective_pb2.Objective, field: str = "objective") -> ObjectiveSpec:
    """Return the strategy and the parameters that are set; raises NaiadError."""
    strategy = enum_value(message.strategy, objective_pb2.Strategy, f"{field}.strategy", required=False)
    values: dict[str, float] = {
        key: getattr(message, key)
        for key in ("usd_per_quality", "usd_per_second", "quality_floor", "confidence", "margin", "usd_per_request")
        if message.HasField(key)
    }
    spec = ObjectiveSpec(strategy=strategy or None, **values)
    check_objective(spec, field)
    return spec


_NO_OBJECTIVE = ObjectiveSpec()
_NONE: frozenset[Any] = frozenset()


def _capabilities(wanted: Iterable[int]) -> frozenset[int]:
    """Return the capabilities that a request asks for; raises NaiadError for one that is not known."""
    capabilities = frozenset(wanted)
    for capability in capabilities:
        if capability not in list(Capability):
            enum_value(capability, catalog_pb2.Capability, "required_capabilities")
    return capabilities


def _shown_by(messages: Any) -> set[int]:
    """Return the capabilities without which a model cannot take the messages."""
    shown: set[int] = set()
    for turn in messages:
        if turn.role == content_pb2.ROLE_SYSTEM:
            shown.add(int(Capability.SYSTEM_PROMPT))
        if _has_image(turn.parts):
            shown.add(int(Capability.VISION))
    return shown


def _has_image(parts: Any) -> bool:
    for part in parts:
        kind = part.WhichOneof("content")
        if kind == "image" or (kind == "tool_result" and _has_image(part.tool_result.parts)):
            return True
    return False


def query_from_proto(message: Any, method: str) -> Query:
    """Return the query of a Decide, Complete or StreamComplete request; raises NaiadError."""
    explicit_output = optional_count(message, "max_output_tokens", 1)
    input_tokens = optional_count(message, "input_tokens")
    allowed, wanted, messages = message.allowed_models, message.required_capabilities, message.messages
    capabilities = _capabilities(wanted) if wanted else _NONE
    if messages:
        for index, turn in enumerate(items(messages, "messages")):
            enum_value(turn.role, content_pb2.Role, f"messages[{index}].role")
        if input_tokens is None:
            input_tokens = estimate_tokens(messages_from_proto(messages))
        shown = _shown_by(messages)
        if shown:
            capabilities |= shown
    request = request_of(method, message)
    return Query(
        task_class=message.task_class,
        workflow=text_id(message.workflow, "workflow"),
        session=text_id(message.session_id, "session_id"),
        data_class=text_id(message.data_class, "data_class"),
        objective=objective_spec(message.objective) if message.HasField("objective") else _NO_OBJECTIVE,
        needs=Needs(
            input_tokens=input_tokens or 0,
            max_output_tokens=DEFAULT_OUTPUT_TOKENS if explicit_output is None else explicit_output,
            explicit_output=explicit_output is not None,
            allowed=frozenset(items(allowed, "allowed_models")) if allowed else _NONE,
            capabilities=capabilities,
        ),
        features=_features(message.features) if message.features else {},
        request_id=request.request_id,
        request_digest=request.digest,
    )


def _features(values: Mapping[str, float]) -> dict[str, float]:
    return {key: number(value, f"features[{key[:64]!r}]", -math.inf) for key, value in values.items()}


def json_object(value: str, field: str) -> str:
    """Return a text that holds one JSON object; raises NaiadError."""
    try:
        good = isinstance(msgspec.json.decode(value), dict)
    except (msgspec.DecodeError, RecursionError):
        good = False
    if not good:
        raise NaiadError(
            "INVALID_FORMAT", f"{field} is not one JSON object; send a JSON Schema",
            metadata={"rule": "one JSON object"}, field=field,
        )  # fmt: skip
    return value
