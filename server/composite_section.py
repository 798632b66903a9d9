"""Models made of others, as the configuration has them."""

from __future__ import annotations

from naiad.server import config_rules as rules
from naiad.server.composites import Aggregation, Kind, check_composite, judges
from naiad.server.errors import nearest
from naiad.server.records import Check, Composite, ModelPut
from naiad.server.sections import ConfigError, ModelSection

AGGREGATIONS = {one.name.lower(): int(one) for one in Aggregation}
ACCEPT = "accept"
ON_ERROR = (ACCEPT, "escalate")


def composite_of(section: ModelSection, where: str, source: str) -> Composite | None:
    """Return what a model is made of, None for one of a provider; raises ConfigError."""
    if section.ensemble is not None and section.cascade is not None:
        raise ConfigError(f"{source}: {where} has both an ensemble and a cascade; give one of them")
    if section.ensemble is not None:
        given = section.ensemble
        chosen = rules.choice(given.aggregation, tuple(AGGREGATIONS), f"{where}.ensemble.aggregation", source)
        return Composite(
            kind=Kind.ENSEMBLE, members=tuple(given.members), aggregation=AGGREGATIONS[chosen], agree=given.agree,
            judge=given.judge,
        )  # fmt: skip
    if section.cascade is not None:
        check = section.cascade.check
        rules.between(check.threshold, 0.0, 1.0, f"{where}.cascade.check.threshold", source)
        chosen = rules.choice(check.on_error, ON_ERROR, f"{where}.cascade.check.on_error", source)
        return Composite(
            kind=Kind.CASCADE,
            members=tuple(section.cascade.members),
            check=Check(
                json_schema=check.json_schema,
                pattern=check.pattern,
                judge=check.judge,
                threshold=check.threshold,
                callback=check.callback,
                accept_unchecked=chosen == ACCEPT,
            ),
        )
    return None


def check_composites(models: tuple[ModelPut, ...], source: str) -> None:
    """Raise ConfigError or NaiadError where a model is made of what cannot be."""
    by_name = {model.name: model for model in models}
    for model in models:
        if model.composite is None:
            continue
        where = f"[[models]] {model.name!r}"
        for name in (*model.composite.members, *judges(model.composite)):
            if name not in by_name:
                near = nearest(name, list(by_name))
                hint = f"; did you mean {near!r}?" if near else "; add it there"
                raise ConfigError(f"{source}: {where} names {name!r}, which is not in [[models]]{hint}")
        check_composite(model, by_name.get, where)
