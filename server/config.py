"""The configuration: naiad.toml read once, checked, and put into the server's own words."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from naiad.adapters.endpoint import Endpoint
from naiad.bandit.belief import BeliefSettings
from naiad.bandit.drift import DriftSettings
from naiad.bandit.influence import Caps
from naiad.bandit.statistics import UNIT_WEIGHT
from naiad.server import bounds, data_rules, providers, tls
from naiad.server import config_rules as rules
from naiad.server.address import split_address
from naiad.server.cache_settings import CacheSettings, cache_settings
from naiad.server.callback import Callback
from naiad.server.callback_section import callbacks_of, check_callbacks
from naiad.server.chaos import Plan
from naiad.server.composite_section import check_composites, composite_of
from naiad.server.endpoints import profiles_of
from naiad.server.errors import NaiadError, nearest
from naiad.server.guard import Limits
from naiad.server.inventory import UNCLASSIFIED, completed
from naiad.server.ledger import FEEDBACK_SOURCES
from naiad.server.objective_section import named_models, objective
from naiad.server.periods import Period
from naiad.server.records import BudgetPut, DataClass, ModelPut, ObjectiveSpec, PolicySet, Prices, TaskClassPut
from naiad.server.sections import (
    BudgetSection,
    ConfigError,
    File,
    LearningSection,
    ModelSection,
    SessionsSection,
    TaskClassSection,
    WorkflowSection,
    check_values,
)
from naiad.server.sessions import SessionSettings

CAPABILITIES = {"vision": 1, "tools": 2, "json_schema": 3, "streaming": 4, "reasoning": 5, "system_prompt": 6}
PERIODS = {period.name.lower(): int(period) for period in Period}
_LONGEST_WORKFLOW = 128  # characters, as in the API


@dataclass(frozen=True, slots=True)
class Config:
    """The configuration in the server's own words."""

    file: File
    source: str  # the file's name, or "built-in defaults"
    models: tuple[ModelPut, ...]
    task_classes: tuple[TaskClassPut, ...]
    endpoints: dict[str, str]  # profile -> kind
    policy: PolicySet
    limits: Limits
    tls: tls.Tls | None  # None is plaintext
    belief: BeliefSettings
    drift: DriftSettings
    networks: dict[str, Endpoint] = field(default_factory=dict)  # profile -> where it is, for kinds that reach one
    callbacks: dict[str, Callback] = field(default_factory=dict)
    budgets: tuple[BudgetPut, ...] = ()
    cache: CacheSettings = field(default_factory=CacheSettings)
    sessions: SessionSettings = field(default_factory=SessionSettings)
    chaos: Plan | None = None  # simulated failures, of the command line alone

    @property
    def database(self) -> Path | None:
        """The database's path; None keeps nothing."""
        return None if self.file.storage.path == ":memory:" else Path(self.file.storage.path)

    @property
    def usable(self) -> list[ModelPut]:
        """The models that some request may use."""
        return [m for m in self.models if self._usable(m)]

    def _usable(self, model: ModelPut) -> bool:
        listed = not self.policy.models or model.name in self.policy.models
        if model.composite is not None:
            return not model.disabled and listed
        return not model.disabled and model.prices is not None and model.endpoint in self.endpoints and listed


def load(path: Path | None, options: Mapping[str, Mapping[str, Any]] | None = None) -> Config:
    """Read and check a configuration file, None for the built-in defaults; raises ConfigError.

    options: section -> key -> value, put in the place of what the file says before anything is checked.
    """
    data = {} if path is None else _read(path)
    source = "built-in defaults" if path is None else str(path)
    for section, values in (options or {}).items():
        table = data.setdefault(section, {})
        if isinstance(table, dict):
            table.update(values)
    return parse(data, source, "--listen" if "listen" in (options or {}).get("server", {}) else source)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give the path of a naiad.toml with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def parse(data: dict[str, Any], source: str, address_source: str = "") -> Config:
    """Check a configuration that was read already; raises ConfigError.

    address_source: what gave the address to listen on, if something else did.
    """
    check_values(data, File, source, "")
    try:
        file = msgspec.convert(data, File, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from error
    split_address(file.server, address_source or source)
    return build(file, source)


def build(file: File, source: str) -> Config:
    """Turn the sections into the server's words; raises ConfigError for values that cannot be."""
    try:
        return _build(file, source)
    except NaiadError as error:
        raise ConfigError(f"{source}: {error.message}") from error


def _build(file: File, source: str) -> Config:
    server, policy = file.server, file.policy
    split_address(server, source)
    path = file.storage.path
    if Path(path).name in ("", "..") or path.endswith("/") or "\0" in path:
        raise ConfigError(
            f"{source}: storage.path is {path!r}, which names no file; give the path of a file, as data/naiad.db, "
            "or ':memory:'"
        )
    rules.choice(server.log, ("console", "json"), "server.log", source)
    rules.choice(server.log_level, ("debug", "info", "warning", "error"), "server.log_level", source)
    for key, low, high in (
        ("concurrent_calls", 1, 100_000), ("concurrent_streams", 0, 10_000),
        ("message_mib", 1, 1024), ("large_message_mib", 1, 1024),
    ):  # fmt: skip
        rules.between(getattr(server, key), low, high, f"server.{key}", source)
    for key in ("default_deadline_s", "longest_deadline_s", "drain_s"):
        rules.between(getattr(server, key), 0.1, 86_400.0, f"server.{key}", source)
    for key, high in (("requests_per_minute", 1_000_000), ("concurrent_calls", 100_000)):
        rules.between(getattr(file.keys, key), 0, high, f"keys.{key}", source)
    rules.between(policy.temper, 0.0, 10.0, "policy.temper", source)
    rules.between(policy.exploration, 0.0, 1.0, "policy.exploration", source)
    rules.between(policy.allowance, 0.0, 1.0, "policy.allowance", source)
    rules.between(policy.exploration + policy.allowance, 0.0, 1.0, "policy.exploration + policy.allowance", source)
    rules.between(policy.newcomer_calls, 0, 1_000_000, "policy.newcomer_calls", source)
    rules.between(policy.newcomer_share, 0.0, 1.0, "policy.newcomer_share", source)
    endpoints, networks = profiles_of(file.endpoints or {}, source)
    spending = file.spending
    if spending.default_output_tokens is not None:
        rules.between(spending.default_output_tokens, 1, bounds.MOST_TOKENS, "spending.default_output_tokens", source)
    rules.between(spending.hold_s, 1.0, 86_400.0, "spending.hold_s", source)
    if file.models is None:
        models = tuple(_digested(m) for m in providers.default_models())
    else:
        models = tuple(_model(section, i, endpoints, source) for i, section in enumerate(file.models))
    names = [m.name for m in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{source}: [[models]] names {name!r} twice; names must be unique")
    check_composites(models, source)
    callbacks = callbacks_of(file.callbacks, source)
    check_callbacks(models, callbacks, source)
    for where, name in named_models(file):
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"{source}: {where} names {name!r}, which is not in [[models]]{hint}")
    data = data_rules.data_classes(file, models, source)
    data_rules.check_pii(file, data, source)
    classes = tuple(_task_class(section, i, data, source) for i, section in enumerate(file.task_classes))
    for name in (c.name for c in classes):
        if sum(c.name == name for c in classes) > 1:
            raise ConfigError(f"{source}: [[task_classes]] names {name!r} twice; names must be unique")
    config = Config(
        file=file,
        source=source,
        models=models,
        task_classes=classes,
        endpoints=endpoints,
        policy=_policy(file, models, data, source),
        limits=Limits(
            concurrent_calls=server.concurrent_calls,
            concurrent_streams=server.concurrent_streams,
            message_mib=server.message_mib,
            large_message_mib=server.large_message_mib,
            default_deadline_s=server.default_deadline_s,
            longest_deadline_s=server.longest_deadline_s,
        ),
        tls=None if server.tls is None else tls.load(server.tls, source),
        belief=belief_of(file.learning, source),
        drift=drift_of(file.learning, source),
        networks=networks,
        callbacks=callbacks,
        budgets=_budgets(file.budgets, frozenset(c.name for c in classes), source),
        cache=cache_settings(file, data, source),
        sessions=_sessions(file.sessions, source),
    )
    if file.governance.refuse_empty_classes:
        for sentence in data_rules.empty_classes(data, config.usable):
            raise ConfigError(f"{source}: {sentence}; permit one, or leave out governance.refuse_empty_classes")
    return config


def belief_of(section: LearningSection, source: str) -> BeliefSettings:
    """Return what beliefs depend on besides the log."""
    if section.half_life_decisions != 0.0:  # 0 never forgets
        rules.between(section.half_life_decisions, 1.0, 1e9, "learning.half_life_decisions", source)
    trust, caps = {}, {}
    for name, number in FEEDBACK_SOURCES.items():
        trust[number] = getattr(section.trust, name)
        rules.between(trust[number], 0.0, 1.0, f"learning.trust.{name}", source)
        cap = getattr(section.influence, name)
        if cap != 0.0:  # 0 is no cap
            rules.between(cap, 0.001, 1e9, f"learning.influence.{name}", source)
            caps[number] = round(cap * UNIT_WEIGHT)
    rules.between(section.influence.anonymous, 1, 1_000_000, "learning.influence.anonymous", source)
    return BeliefSettings(
        half_life=section.half_life_decisions or float("inf"),
        trust=trust,
        masked=frozenset(number for number, weight in trust.items() if weight == 0.0),
        caps=Caps(caps, section.influence.anonymous),
    )


def drift_of(section: LearningSection, source: str) -> DriftSettings:
    """Return how drift is looked for; of a log that is folded only the alarms in it count."""
    drift = section.drift
    rules.between(drift.sensitivity, 0.001, 100.0, "learning.drift.sensitivity", source)
    rules.between(drift.evidence_kept, 1.0, 1e6, "learning.drift.evidence_kept", source)
    return DriftSettings(drift.enabled, drift.sensitivity, drift.evidence_kept)


def _policy(file: File, models: tuple[ModelPut, ...], data: tuple[DataClass, ...], source: str) -> PolicySet:
    section = file.policy
    spec = objective(section, "policy", source)
    said = {
        flow.name: data_rules.known_class(flow.data_class, data, f"workflows ({flow.name!r}).data_class", source)
        for flow in file.workflows
        if flow.data_class
    }
    content = PolicySet(
        version=0,
        objective=spec,
        temper=section.temper,
        exploration=section.exploration,
        allowance=section.allowance,
        models=tuple(section.models),
        workflows=_workflows(file.workflows, source),
        newcomer_calls=section.newcomer_calls,
        newcomer_share=section.newcomer_share,
        newcomer_nano_usd=rules.nano(section.newcomer_usd, bounds.MOST_MONEY, "policy.newcomer_usd", source),
        allowance_nano_usd=rules.nano(section.allowance_usd, bounds.MOST_MONEY, "policy.allowance_usd", source),
        data_classes=data,
        data_zones=data_rules.zones(file, models, source) if data else (),
        workflow_data=said,
    )
    return msgspec.structs.replace(content, digest=_digest(content))


def _workflows(sections: list[WorkflowSection], source: str) -> dict[str, ObjectiveSpec]:
    found: dict[str, ObjectiveSpec] = {}
    for index, section in enumerate(sections):
        where = f"workflows[{index}] ({section.name!r})"
        if not section.name or len(section.name) > _LONGEST_WORKFLOW or not section.name.isprintable():
            raise ConfigError(
                f"{source}: {where}: name must be printable characters, at least 1 and at most {_LONGEST_WORKFLOW}"
            )
        if section.name in found:
            raise ConfigError(f"{source}: [[workflows]] names {section.name!r} twice; names must be unique")
        found[section.name] = objective(section.objective, f"{where}.objective", source)
    return found


def _budgets(sections: list[BudgetSection], classes: frozenset[str], source: str) -> tuple[BudgetPut, ...]:
    found: dict[str, BudgetPut] = {}
    for index, section in enumerate(sections):
        where = f"budgets[{index}] ({section.id!r})"
        if not section.id:
            raise ConfigError(f"{source}: budgets[{index}].id is empty; give each budget an id of its own")
        if section.id in found:
            raise ConfigError(f"{source}: [[budgets]] has the id {section.id!r} twice; ids must be unique")
        if section.task_class and section.task_class not in classes | {UNCLASSIFIED}:
            near = nearest(section.task_class, classes)
            hint = f"; did you mean {near!r}?" if near else "; add it there"
            raise ConfigError(
                f"{source}: {where}.task_class is {section.task_class!r}, which is not in [[task_classes]]{hint}"
            )
        entry = BudgetPut(
            budget=0,
            budget_id=rules.text(section.id, 128, f"{where}.id", source),
            name=rules.text(section.name, 256, f"{where}.name", source),
            workflow=rules.text(section.workflow, _LONGEST_WORKFLOW, f"{where}.workflow", source),
            task_class=section.task_class,
            limit_nano_usd=rules.nano(section.limit_usd, bounds.MOST_MONEY, f"{where}.limit_usd", source) or 0,
            period=PERIODS[rules.choice(section.period, tuple(PERIODS), f"{where}.period", source)],
        )
        found[section.id] = msgspec.structs.replace(entry, config_digest=_digest(entry))
    return tuple(found.values())


def _sessions(section: SessionsSection, source: str) -> SessionSettings:
    rules.between(section.entries, 1, 10_000_000, "sessions.entries", source)
    rules.between(section.idle_s, 1.0, 31_536_000.0, "sessions.idle_s", source)
    rules.between(section.prompt_cache_s, 0.0, 86_400.0, "sessions.prompt_cache_s", source)
    return SessionSettings(section.entries, round(section.idle_s * 1000), round(section.prompt_cache_s * 1000))


def _digest(value: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]


def _digested(model: ModelPut) -> ModelPut:
    return msgspec.structs.replace(model, config_digest=_digest(model))


def _model(section: ModelSection, index: int, endpoints: dict[str, str], source: str) -> ModelPut:
    where = f"models[{index}] ({section.name!r})"
    rules.name(section.name, 256, where, source)
    provider, slash, rest = section.name.partition("/")
    if not (provider and slash and rest):
        raise ConfigError(f"{source}: {where}: name must be 'provider/model', at most 256 characters")
    cost = {
        key: rules.nano(
            getattr(section, f"{key}_usd_per_million"),
            bounds.MOST_PER_MILLION,
            f"{where}.{key}_usd_per_million",
            source,
        )
        for key in ("input", "output", "cached_input", "cache_write")
    }
    prices = None
    if cost["input"] is not None and cost["output"] is not None:
        request = rules.nano(section.usd_per_request, bounds.MOST_MONEY, f"{where}.usd_per_request", source) or 0
        prices = Prices(
            input=cost["input"], output=cost["output"], cached_input=cost["cached_input"],
            cache_write=cost["cache_write"], request=request, version="configuration",
        )  # fmt: skip
    elif any(value is not None for value in cost.values()):
        raise ConfigError(f"{source}: {where}: give both input_usd_per_million and output_usd_per_million, or neither")
    for capability in section.capabilities:
        rules.choice(capability, tuple(CAPABILITIES), f"{where}.capabilities", source)
    for key in ("context_window", "max_output_tokens"):
        value = getattr(section, key)
        if value is not None:
            rules.between(value, 1, bounds.MOST_TOKENS, f"{where}.{key}", source)
    model = completed(
        ModelPut(
            model=0,
            name=section.name,
            upstream_model=rules.text(section.upstream_model, 256, f"{where}.upstream_model", source),
            endpoint=section.endpoint,
            prices=prices,
            context_window=section.context_window,
            max_output_tokens=section.max_output_tokens,
            capabilities=tuple(sorted(CAPABILITIES[c] for c in section.capabilities)),
            data_zone=rules.text(section.data_zone, 128, f"{where}.data_zone", source),
            disabled=section.disabled,
            labels=rules.labels(section.labels, f"{where}.labels", source),
            retire_ms=rules.midnight_ms(section.retire_date, f"{where}.retire_date", source),
            composite=composite_of(section, where, source),
        )
    )
    if section.endpoint and model.endpoint not in endpoints:
        near = nearest(model.endpoint, endpoints)
        hint = f"did you mean {near!r}?" if near else f"the endpoints are {', '.join(sorted(endpoints))}"
        raise ConfigError(f"{source}: {where}.endpoint is {model.endpoint!r}; {hint}")
    return _digested(model)


def _task_class(section: TaskClassSection, index: int, data: tuple[DataClass, ...], source: str) -> TaskClassPut:
    where = f"task_classes[{index}] ({section.name!r})"
    rules.name(section.name, 128, where, source)
    spec = objective(section.objective, f"{where}.objective", source)
    entry = TaskClassPut(
        task_class=0,
        name=section.name,
        description=rules.description(section.description, f"{where}.description", source),
        objective=None if spec == ObjectiveSpec() else spec,
        data_class=data_rules.known_class(section.data_class, data, f"{where}.data_class", source),
        labels=rules.labels(section.labels, f"{where}.labels", source),
    )
    return msgspec.structs.replace(entry, config_digest=_digest(entry))
