"""Objectives as the configuration has them: of the policy, of workflows and of task classes."""

from __future__ import annotations

from collections.abc import Iterator

from naiad.bandit.objective import Strategy
from naiad.server import bounds
from naiad.server import config_rules as rules
from naiad.server.objectives import check_objective
from naiad.server.records import ObjectiveSpec
from naiad.server.refusals import OnRefusal
from naiad.server.sections import ConfigError, File, ObjectiveSection

REFUSALS = {action.name.lower(): int(action) for action in OnRefusal}
STRATEGIES = {strategy.name.lower(): int(strategy) for strategy in Strategy}
_FALLBACK = Strategy.FALLBACK.name.lower()


def objective(section: ObjectiveSection, where: str, source: str) -> ObjectiveSpec:
    """Return the objective of a section; raises ConfigError or NaiadError."""
    strategy = None
    if section.strategy is not None:
        strategy = STRATEGIES[rules.choice(section.strategy, tuple(STRATEGIES), f"{where}.strategy", source)]
    action = None
    if section.on_refusal is not None:
        action = REFUSALS[rules.choice(section.on_refusal, tuple(REFUSALS), f"{where}.on_refusal", source)]
    spec = ObjectiveSpec(
        strategy=strategy,
        usd_per_quality=section.usd_per_quality,
        usd_per_second=section.usd_per_second,
        quality_floor=section.quality_floor,
        confidence=section.confidence,
        margin=section.margin,
        usd_per_request=section.usd_per_request,
        models=_listed(section, where, source),
        on_refusal=action,
    )
    check_objective(spec, where)
    return spec


def _listed(section: ObjectiveSection, where: str, source: str) -> tuple[str, ...] | None:
    """Return the primary and its fallbacks, None without; raises ConfigError."""
    strategy = section.strategy
    if section.primary is None:
        if section.fallbacks is not None:
            raise ConfigError(f"{source}: {where} has fallbacks and no primary; name the model that is tried first")
        if strategy == _FALLBACK:
            raise ConfigError(
                f"{source}: {where}.strategy is 'fallback' and {where}.primary is missing; name the model"
            )
        return None
    if strategy != _FALLBACK:
        raise ConfigError(
            f"{source}: {where}.primary has no meaning for strategy {strategy or 'that is not named there'!r}; "
            "write strategy = 'fallback' beside it, or leave it out"
        )
    listed = (section.primary, *(section.fallbacks or ()))
    if twice := sorted({name for name in listed if listed.count(name) > 1}):
        raise ConfigError(f"{source}: {where} lists {twice[0]!r} twice in primary and fallbacks; name each model once")
    if len(listed) > bounds.MOST_LISTED:
        raise ConfigError(f"{source}: {where} lists {len(listed)} models; the limit is {bounds.MOST_LISTED}")
    return listed


def named_models(file: File) -> Iterator[tuple[str, str]]:
    """Yield every model that a policy, workflow or task class names, with the place where it does."""
    yield from (("policy.models", name) for name in file.policy.models)
    levels: list[tuple[str, ObjectiveSection]] = [("policy", file.policy)]
    levels += [(f"workflows[{i}] ({w.name!r}).objective", w.objective) for i, w in enumerate(file.workflows)]
    levels += [(f"task_classes[{i}] ({c.name!r}).objective", c.objective) for i, c in enumerate(file.task_classes)]
    for where, level in levels:
        if level.primary is not None:
            yield f"{where}.primary", level.primary
        yield from ((f"{where}.fallbacks", name) for name in level.fallbacks or ())
