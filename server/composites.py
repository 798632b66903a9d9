"""Models that are made of others: what an ensemble or a cascade may look like.

One is a model of the catalogue like any other, an arm whose worth is learned; it costs what its members cost.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from naiad.server.checks import Malformed, checker_of
from naiad.server.errors import NaiadError
from naiad.server.records import Check, Composite, ModelPut

MOST_MEMBERS = 16


class Kind(IntEnum):
    """How the members are asked."""

    ENSEMBLE = 1  # side by side
    CASCADE = 2  # in turn


class Role(IntEnum):
    """What a call was made for."""

    UNKNOWN = 0  # no composite, or a version that did not write it down
    MEMBER = 1
    JUDGE = 2


class Aggregation(IntEnum):
    """How the answers of an ensemble become one; numbered as in the API."""

    MAJORITY = 1
    JUDGE = 2
    FIRST_AGREEMENT = 3


def quorum(composite: Composite) -> int:
    """Return how many members must be usable for the whole to be: more than half of an ensemble, one of a cascade.

    Never fewer than must agree, nor than two of an ensemble: one member alone is no ensemble.
    """
    if composite.kind == Kind.CASCADE:
        return 1
    agree = composite.agree if composite.aggregation == Aggregation.FIRST_AGREEMENT else 0
    return max(2, agree, len(composite.members) // 2 + 1)


def judges(composite: Composite) -> tuple[str, ...]:
    """Return the models that are asked about the members' answers: one or none."""
    check = composite.check
    return tuple(name for name in (composite.judge, check.judge if check else "") if name)


def check_composite(model: ModelPut, find: Callable[[str], ModelPut | None], field: str = "model") -> None:
    """Raise NaiadError where what a model is made of cannot be; find: an entry of the catalogue, None for none.

    field: of the request or file, for messages.
    """
    composite = model.composite
    if composite is None:
        return
    kind = Kind(composite.kind).name.lower()
    where = f"{field}.{kind}"
    rules = {
        "it has a price of its own; it costs what its members cost, so leave the prices out": model.prices is not None,
        "it has an endpoint of its own; its members are called, so leave it out": bool(model.endpoint),
        "it has an upstream_model; its members are called, so leave it out": bool(model.upstream_model),
        "it has capabilities, a window or a zone of its own; those of its members count, so leave them out": bool(
            model.capabilities or model.context_window or model.max_output_tokens or model.data_zone
        ),
    }
    for rule, broken in rules.items():
        if broken:
            raise _wrong(field, f"{field} {model.name!r} is made of others, and {rule}", rule)
    _check_members(composite, model, find, where)
    if composite.kind == Kind.ENSEMBLE:
        _check_ensemble(composite, where)
    else:
        _check_cascade(composite, where)


def _check_members(composite: Composite, model: ModelPut, find: Callable[[str], ModelPut | None], where: str) -> None:
    members = composite.members
    if not 2 <= len(members) <= MOST_MEMBERS:
        rule = f"2 to {MOST_MEMBERS} members"
        raise _wrong(f"{where}.members", f"{where} has {len(members)} members; give {rule}", rule)
    if twice := sorted({name for name in members if members.count(name) > 1}):
        raise _wrong(
            f"{where}.members", f"{where}.members names {twice[0]!r} twice; name each once", "each member once"
        )
    for name in (*members, *judges(composite)):
        found = find(name)
        if name == model.name or (found is not None and found.composite is not None):
            rule = "members and judges are models of providers"
            raise _wrong(f"{where}.members", f"{where} names {name!r}, which is made of others; {rule}", rule)


def _check_ensemble(composite: Composite, where: str) -> None:
    by_judge = composite.aggregation == Aggregation.JUDGE
    if by_judge != bool(composite.judge):
        rule = "a judge goes with aggregation by a judge, and only with it"
        raise _wrong(f"{where}.judge", f"{where}.judge is {composite.judge!r}; {rule}", rule)
    if not 2 <= composite.agree <= len(composite.members):
        rule = "from 2 to the number of members must agree"
        raise _wrong(f"{where}.agree", f"{where}.agree is {composite.agree}; {rule}", rule)


def _check_cascade(composite: Composite, where: str) -> None:
    check = composite.check or Check()
    given = [name for name in ("json_schema", "pattern", "judge", "callback") if getattr(check, name)]
    if len(given) != 1:
        rule = "exactly one of json_schema, pattern, judge and callback"
        raise _wrong(
            f"{where}.check", f"{where}.check has {' and '.join(given) or 'none of its kinds'}; give {rule}", rule
        )
    if check.accept_unchecked and not check.callback:
        rule = "on_error goes with a callback, and only with it"
        raise _wrong(f"{where}.check.on_error", f"{where}.check.on_error is 'accept' with {given[0]}; {rule}", rule)
    try:
        checker_of(check)
    except Malformed as error:
        raise _wrong(f"{where}.check.{given[0]}", f"{where}.check.{given[0]} {error}", str(error)) from None


def _wrong(field: str, message: str, rule: str) -> NaiadError:
    return NaiadError("INVALID_COMBINATION", message, metadata={"rule": rule}, field=field)
