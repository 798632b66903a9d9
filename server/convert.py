"""Fields of requests, each checked for what it may hold: every refusal with its value, rule and remedy."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message as ProtoMessage
from google.protobuf.timestamp_pb2 import Timestamp

from naiad.server.bounds import MOST_LISTED, MOST_MONEY, MOST_TOKENS, plain
from naiad.server.errors import NaiadError
from naiad.server.identity import CALLER
from naiad.server.journal import Request
from naiad.server.objectives import check_objective
from naiad.server.records import ObjectiveSpec
from naiad.v1 import objective_pb2

ID_RULE = "letters, digits, '.', '_', '-', ':' and '/', beginning with a letter or digit, at most {} characters"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]*\Z")
_FEATURE = re.compile(r"[A-Za-z0-9._]{1,64}\Z")
SHORT, LONG = 128, 256
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999


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


def items(values: Any, field: str, most: int) -> Any:
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


def duration_s(message: ProtoMessage, field: str, *, path: str = "") -> float | None:
    """Return a duration in seconds, None when it is not set; raises NaiadError for a negative or malformed one.

    At most a year. path: where the message stands in the request, with its dot.
    """
    if not message.HasField(field):
        return None
    value: Duration = getattr(message, field)
    field = path + field
    seconds = value.seconds + value.nanos / 1e9
    if abs(value.nanos) >= 1_000_000_000 or (
        value.seconds and value.nanos and (value.seconds < 0) != (value.nanos < 0)
    ):
        raise NaiadError(
            "INVALID_FORMAT", f"{field} is not a valid duration: {value.seconds} s and {value.nanos} ns",
            metadata={"rule": "nanos of the same sign as seconds, below one second"}, field=field,
        )  # fmt: skip
    return number(seconds, field, 0.0, 31_536_000.0)


def time_ms(message: ProtoMessage, field: str, *, path: str = "") -> int | None:
    """Return a time in milliseconds since 1970, None when it is not set; raises NaiadError for one out of range.

    path: where the message stands in the request, with its dot.
    """
    if not message.HasField(field):
        return None
    value: Timestamp = getattr(message, field)
    field = path + field
    number(value.seconds, field, _FIRST_SECOND, _LAST_SECOND)
    number(value.nanos, f"{field}.nanos", 0, 999_999_999)
    return value.ToMilliseconds()


def request_of(method: str, message: Any, narrowed: tuple[object, ...] = ()) -> Request:
    """Return the idempotency key of a request: its id, a digest of everything in it, and the key of who calls.

    narrowed: what else a reply depends on; a key that permits less is not given the reply of one that permits more.
    """
    request_id = text_id(message.request_id, "request_id")
    caller = CALLER.get(None)
    key_id = "" if caller is None else caller.key_id
    if not request_id:
        return Request(method, key_id=key_id)
    body = message.SerializeToString(deterministic=True)
    if narrowed:
        body += repr(narrowed).encode()
    return Request(method, request_id, hashlib.sha256(body).hexdigest(), key_id)


def objective_spec(message: objective_pb2.Objective, field: str = "objective") -> ObjectiveSpec:
    """Return the strategy and the parameters that are set; raises NaiadError.

    That the models are known is for the caller to check.
    """
    strategy = enum_value(message.strategy, objective_pb2.Strategy, f"{field}.strategy", required=False)
    values: dict[str, float] = {
        key: getattr(message, key)
        for key in ("usd_per_quality", "usd_per_second", "quality_floor", "confidence", "margin", "usd_per_request")
        if message.HasField(key)
    }
    action = enum_value(message.on_refusal, objective_pb2.RefusalAction, f"{field}.on_refusal", required=False)
    spec = ObjectiveSpec(
        strategy=strategy or None, models=objective_models(message, field) or None, on_refusal=action or None, **values
    )
    check_objective(spec, field)
    return spec


def objective_models(message: objective_pb2.Objective, field: str = "objective") -> tuple[str, ...]:
    """Return the names of an objective's models; raises NaiadError for a malformed one and for one that comes twice."""
    names: dict[str, None] = {}
    for index, given in enumerate(items(message.models, f"{field}.models", MOST_LISTED)):
        where = f"{field}.models[{index}]"
        if model_name(given, where) in names:
            raise NaiadError(
                "INVALID_COMBINATION",
                f"{where} is {given!r}, as an earlier one; name each model once",
                metadata={"rule": "each model once"},
                field=where,
            )
        names[given] = None
    return tuple(names)
