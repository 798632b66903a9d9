"""Models made of others, between the API and the log."""

from __future__ import annotations

from collections.abc import Sequence

from naiad.server.bounds import LONGEST_SCHEMA
from naiad.server.callback import LONGEST_NAME
from naiad.server.composites import MOST_MEMBERS, Kind
from naiad.server.convert import enum_value, items, model_name, number, text, text_id
from naiad.server.records import Check, Composite
from naiad.v1 import catalog_pb2

_LONGEST_PATTERN = 1_000


def composite_from_proto(message: catalog_pb2.Model) -> Composite | None:
    """Return what a model is made of, None for one of a provider; raises NaiadError for what is malformed."""
    if message.HasField("ensemble"):
        return _ensemble(message.ensemble)
    if message.HasField("cascade"):
        return _cascade(message.cascade)
    return None


def _ensemble(message: catalog_pb2.Ensemble) -> Composite:
    where = "model.ensemble"
    aggregation = enum_value(message.aggregation, catalog_pb2.Aggregation, f"{where}.aggregation")
    return Composite(
        kind=Kind.ENSEMBLE,
        members=_members(message.members, where),
        aggregation=aggregation,
        agree=message.agree or 2,
        judge=model_name(message.judge, f"{where}.judge") if message.judge else "",
    )


def _cascade(message: catalog_pb2.Cascade) -> Composite:
    where, given = "model.cascade", message.check
    on_error = enum_value(given.on_error, catalog_pb2.OnCheckError, f"{where}.check.on_error", required=False)
    check = Check(
        json_schema=text(given.json_schema, f"{where}.check.json_schema", LONGEST_SCHEMA),
        pattern=text(given.pattern, f"{where}.check.pattern", _LONGEST_PATTERN),
        judge=model_name(given.judge, f"{where}.check.judge") if given.judge else "",
        threshold=number(given.threshold, f"{where}.check.threshold", 0.0, 1.0) if given.HasField("threshold") else 0.5,
        callback=text_id(given.callback, f"{where}.check.callback", longest=LONGEST_NAME),
        accept_unchecked=on_error == catalog_pb2.ON_CHECK_ERROR_ACCEPT,
    )
    return Composite(kind=Kind.CASCADE, members=_members(message.members, where), check=check)


def _members(names: Sequence[str], where: str) -> tuple[str, ...]:
    given = items(names, f"{where}.members", MOST_MEMBERS)
    return tuple(model_name(name, f"{where}.members[{i}]") for i, name in enumerate(given))


def composite_to_proto(composite: Composite, message: catalog_pb2.Model) -> None:
    """Write what a model is made of."""
    if composite.kind == Kind.ENSEMBLE:
        message.ensemble.members.extend(composite.members)
        message.ensemble.aggregation = composite.aggregation  # type: ignore[assignment]
        message.ensemble.judge = composite.judge
        message.ensemble.agree = composite.agree
        return
    message.cascade.members.extend(composite.members)
    check = composite.check or Check()
    message.cascade.check.threshold = check.threshold
    for kind in ("json_schema", "pattern", "judge", "callback"):
        if getattr(check, kind):
            setattr(message.cascade.check, kind, getattr(check, kind))
    if check.callback:
        accept, escalate = catalog_pb2.ON_CHECK_ERROR_ACCEPT, catalog_pb2.ON_CHECK_ERROR_ESCALATE
        message.cascade.check.on_error = accept if check.accept_unchecked else escalate
