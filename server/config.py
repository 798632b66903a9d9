"""The configuration: naiad.toml, typed, read once and passed down. Unknown keys are errors that name the nearest."""

from __future__ import annotations

import hashlib
import ipaddress
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from naiad.bandit.belief import BeliefSettings
from naiad.server import providers
from naiad.server.engine import check_objective
from naiad.server.errors import NaiadError, nearest
from naiad.server.guard import Limits
from naiad.server.inventory import completed
from naiad.server.records import ModelPut, ObjectiveSpec, PolicySet, Prices, TaskClassPut

STRATEGIES = {"balanced": 1, "cost_optimized": 2, "quality_first": 3, "latency_optimized": 4}
CAPABILITIES = {"vision": 1, "tools": 2, "json_schema": 3, "streaming": 4, "reasoning": 5, "system_prompt": 6}
_NANO_PER_USD = 1_000_000_000


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file, the key, the rule and the remedy."""


class _Section(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the sections; their fields are the keys."""


class ServerSection(_Section, kw_only=True, frozen=True):
    """[server]: where to listen and how much to take on."""

    listen: str = "127.0.0.1:50051"
    allow_plaintext_beyond_loopback: bool = False
    concurrent_calls: int = 512
    message_mib: int = 4
    large_message_mib: int = 32
    default_deadline_s: float = 60.0
    longest_deadline_s: float = 600.0
    drain_s: float = 30.0
    log: str = "console"
    log_level: str = "info"


class StorageSection(_Section, kw_only=True, frozen=True):
    """[storage]: where the log lives; ":memory:" keeps nothing."""

    path: str = "naiad.db"
    decide_waits: bool = False


class ObjectiveSection(_Section, kw_only=True, frozen=True):
    """Keys of an objective; those that are left out take the next level's value."""

    strategy: str | None = None
    usd_per_quality: float | None = None
    usd_per_second: float | None = None
    quality_floor: float | None = None
    confidence: float | None = None
    margin: float | None = None


class PolicySection(ObjectiveSection, kw_only=True, frozen=True):
    """[policy]: how to choose where a task class or a request does not say."""

    models: list[str] = []
    create_task_classes: bool = True
    temper: float = 0.4
    exploration: float = 0.002
    allowance: float = 0.05


class LearningSection(_Section, kw_only=True, frozen=True):
    """[learning]: forgetting. half_life_decisions = 0 never forgets."""

    half_life_decisions: float = 0.0


class ModelSection(_Section, kw_only=True, frozen=True):
    """[[models]]: one model of the inventory. Prices in USD per million tokens."""

    name: str
    upstream_model: str = ""
    endpoint: str = ""
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None
    cached_input_usd_per_million: float | None = None
    cache_write_usd_per_million: float | None = None
    usd_per_request: float = 0.0
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: list[str] = []
    data_zone: str = ""
    disabled: bool = False
    labels: dict[str, str] = {}


class TaskClassSection(_Section, kw_only=True, frozen=True):
    """[[task_classes]]: one kind of work."""

    name: str
    description: str = ""
    objective: ObjectiveSection = ObjectiveSection()
    labels: dict[str, str] = {}


class EndpointSection(_Section, kw_only=True, frozen=True):
    """[endpoints.NAME]: how to reach models. kind is "echo" or "replay"."""

    kind: str


class File(_Section, kw_only=True, frozen=True):
    """The whole file."""

    server: ServerSection = ServerSection()
    storage: StorageSection = StorageSection()
    policy: PolicySection = PolicySection()
    learning: LearningSection = LearningSection()
    models: list[ModelSection] | None = None
    task_classes: list[TaskClassSection] = []
    endpoints: dict[str, EndpointSection] | None = None


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
    belief: BeliefSettings

    @property
    def database(self) -> Path | None:
        """The database's path; None keeps nothing."""
        return None if self.file.storage.path == ":memory:" else Path(self.file.storage.path)


def load(path: Path | None, *, dangerously: bool = False) -> Config:
    """Read and check a configuration file, None for the built-in defaults; raises ConfigError.

    dangerously: take the file's address even if others can reach it in plaintext.
    """
    if path is None:
        return build(File(), "built-in defaults")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give the path of a naiad.toml with --config"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    if dangerously and isinstance(data.get("server", {}), dict):
        data.setdefault("server", {})["allow_plaintext_beyond_loopback"] = True
    return parse(data, str(path))


def parse(data: dict[str, Any], source: str) -> Config:
    """Check a configuration that was read already; raises ConfigError."""
    _check_keys(data, File, source, "")
    try:
        file = msgspec.convert(data, File, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from error
    return build(file, source)


def _check_keys(data: Any, kind: Any, source: str, where: str) -> None:
    """Raise ConfigError for the first key that no section knows, naming the nearest one that it does."""
    if not isinstance(data, dict):
        return
    known = {f.name: f.type for f in msgspec.structs.fields(kind)}
    for key, value in data.items():
        path = f"{where}.{key}" if where else key
        if key not in known:
            near = nearest(key, known)
            hint = f"did you mean {near!r}?" if near else f"the keys here are {', '.join(sorted(known))}"
            raise ConfigError(f"{source}: unknown key {path!r}; {hint}")
        inner = _section_of(known[key])
        if inner is None:
            continue
        if isinstance(value, list):
            for index, item in enumerate(value):
                _check_keys(item, inner, source, f"{path}[{index}]")
        elif key == "endpoints" and isinstance(value, dict):
            for name, item in value.items():
                _check_keys(item, inner, source, f"{path}.{name}")
        else:
            _check_keys(value, inner, source, path)


def _section_of(annotation: Any) -> Any:
    """Return the section class inside a field's type, or None."""
    if isinstance(annotation, type) and issubclass(annotation, _Section):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _section_of(part)
        if found is not None:
            return found
    return None


def build(file: File, source: str) -> Config:
    """Turn the sections into the server's words; raises ConfigError for values that cannot be."""
    try:
        return _build(file, source)
    except NaiadError as error:
        raise ConfigError(f"{source}: {error.message}") from error


def _build(file: File, source: str) -> Config:
    server, policy = file.server, file.policy
    split_address(server, source)
    _choice(server.log, ("console", "json"), "server.log", source)
    _choice(server.log_level, ("debug", "info", "warning", "error"), "server.log_level", source)
    for key, low, high in (("concurrent_calls", 1, 100_000), ("message_mib", 1, 1024), ("large_message_mib", 1, 1024)):
        _between(getattr(server, key), low, high, f"server.{key}", source)
    for key in ("default_deadline_s", "longest_deadline_s", "drain_s"):
        _between(getattr(server, key), 0.1, 86_400.0, f"server.{key}", source)
    _between(policy.temper, 0.0, 10.0, "policy.temper", source)
    _between(policy.exploration, 0.0, 1.0, "policy.exploration", source)
    _between(policy.allowance, 0.0, 1.0, "policy.allowance", source)
    _between(policy.exploration + policy.allowance, 0.0, 1.0, "policy.exploration + policy.allowance", source)
    _between(file.learning.half_life_decisions, 0.0, 1e9, "learning.half_life_decisions", source)
    endpoints = providers.default_profiles()
    for name, section in (file.endpoints or {}).items():
        endpoints[name] = _choice(section.kind, providers.KINDS, f"endpoints.{name}.kind", source)
    if file.models is None:
        models = tuple(_digested(m) for m in providers.default_models())
    else:
        models = tuple(_model(section, i, endpoints, source) for i, section in enumerate(file.models))
    names = [m.name for m in models]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{source}: [[models]] names {name!r} twice; names must be unique")
    for name in policy.models:
        if name not in names:
            near = nearest(name, names)
            hint = f"; did you mean {near!r}?" if near else ""
            raise ConfigError(f"{source}: policy.models names {name!r}, which is not in [[models]]{hint}")
    classes = tuple(_task_class(section, i, source) for i, section in enumerate(file.task_classes))
    for name in (c.name for c in classes):
        if sum(c.name == name for c in classes) > 1:
            raise ConfigError(f"{source}: [[task_classes]] names {name!r} twice; names must be unique")
    return Config(
        file=file,
        source=source,
        models=models,
        task_classes=classes,
        endpoints=endpoints,
        policy=_policy(policy, source),
        limits=Limits(
            concurrent_calls=server.concurrent_calls,
            message_mib=server.message_mib,
            large_message_mib=server.large_message_mib,
            default_deadline_s=server.default_deadline_s,
            longest_deadline_s=server.longest_deadline_s,
        ),
        belief=BeliefSettings(half_life=file.learning.half_life_decisions or float("inf")),
    )


def split_address(server: ServerSection, source: str = "") -> tuple[str, int]:
    """Return host and port of [server] listen; refuses plaintext beyond loopback unless the key says so."""
    host, colon, port = server.listen.rpartition(":")
    host = host.strip("[]")
    if not colon or not port.isdecimal() or int(port) > 65_535 or not host:
        raise ConfigError(f"{source}: server.listen is {server.listen!r}; give HOST:PORT, for example 127.0.0.1:50051")
    if not _is_loopback(host) and not server.allow_plaintext_beyond_loopback:
        raise ConfigError(
            f"{source}: server.listen is {server.listen!r}, which others can reach, and this version speaks plaintext: "
            "prompts and answers could be read on the way; listen on 127.0.0.1, or accept the danger with "
            "--allow-plaintext-beyond-loopback"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _choice(value: str, allowed: tuple[str, ...], key: str, source: str) -> str:
    if value not in allowed:
        near = nearest(value, allowed)
        hint = f"did you mean {near!r}?" if near else f"use one of {', '.join(allowed)}"
        raise ConfigError(f"{source}: {key} is {value!r}; {hint}")
    return value


def _between(value: float, low: float, high: float, key: str, source: str) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{source}: {key} is {value}; it must be from {low:g} to {high:g}")


def objective(section: ObjectiveSection, where: str, source: str) -> ObjectiveSpec:
    """Return the objective of a section; raises ConfigError or NaiadError."""
    strategy = None
    if section.strategy is not None:
        strategy = STRATEGIES[_choice(section.strategy, tuple(STRATEGIES), f"{where}.strategy", source)]
    spec = ObjectiveSpec(
        strategy=strategy,
        usd_per_quality=section.usd_per_quality,
        usd_per_second=section.usd_per_second,
        quality_floor=section.quality_floor,
        confidence=section.confidence,
        margin=section.margin,
    )
    check_objective(spec, where)
    return spec


def _policy(section: PolicySection, source: str) -> PolicySet:
    spec = objective(section, "policy", source)
    content = PolicySet(
        version=0,
        objective=spec,
        temper=section.temper,
        exploration=section.exploration,
        allowance=section.allowance,
        models=tuple(section.models),
    )
    return msgspec.structs.replace(content, digest=_digest(content))


def _digest(value: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(value)).hexdigest()[:32]


def _digested(model: ModelPut) -> ModelPut:
    return msgspec.structs.replace(model, config_digest=_digest(model))


def _name(name: str, longest: int, where: str, source: str) -> None:
    """Raise ConfigError for a name that no request could give; the rule is that of the API."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]*", name) or len(name) > longest:
        raise ConfigError(
            f"{source}: {where}: name must be letters, digits, '.', '_', '-', ':' and '/', beginning with a letter "
            f"or digit, at most {longest} characters"
        )


def _nano(usd: float | None, key: str, source: str) -> int | None:
    if usd is None:
        return None
    _between(usd, 0.0, 1e6, key, source)
    return round(usd * _NANO_PER_USD)


def _model(section: ModelSection, index: int, endpoints: dict[str, str], source: str) -> ModelPut:
    where = f"models[{index}] ({section.name!r})"
    _name(section.name, 256, where, source)
    provider, slash, rest = section.name.partition("/")
    if not (provider and slash and rest):
        raise ConfigError(f"{source}: {where}: name must be 'provider/model', at most 256 characters")
    cost = {
        key: _nano(getattr(section, f"{key}_usd_per_million"), f"{where}.{key}_usd_per_million", source)
        for key in ("input", "output", "cached_input", "cache_write")
    }
    prices = None
    if cost["input"] is not None and cost["output"] is not None:
        request = _nano(section.usd_per_request, f"{where}.usd_per_request", source) or 0
        prices = Prices(
            input=cost["input"], output=cost["output"], cached_input=cost["cached_input"],
            cache_write=cost["cache_write"], request=request, version="configuration",
        )  # fmt: skip
    elif any(value is not None for value in cost.values()):
        raise ConfigError(f"{source}: {where}: give both input_usd_per_million and output_usd_per_million, or neither")
    for capability in section.capabilities:
        _choice(capability, tuple(CAPABILITIES), f"{where}.capabilities", source)
    for key in ("context_window", "max_output_tokens"):
        value = getattr(section, key)
        if value is not None:
            _between(value, 1, 1e12, f"{where}.{key}", source)
    model = completed(
        ModelPut(
            model=0,
            name=section.name,
            upstream_model=section.upstream_model,
            endpoint=section.endpoint,
            prices=prices,
            context_window=section.context_window,
            max_output_tokens=section.max_output_tokens,
            capabilities=tuple(sorted(CAPABILITIES[c] for c in section.capabilities)),
            data_zone=section.data_zone,
            disabled=section.disabled,
            labels=section.labels,
        )
    )
    if section.endpoint and model.endpoint not in endpoints:
        near = nearest(model.endpoint, endpoints)
        hint = f"did you mean {near!r}?" if near else f"the endpoints are {', '.join(sorted(endpoints))}"
        raise ConfigError(f"{source}: {where}.endpoint is {model.endpoint!r}; {hint}")
    return _digested(model)


def _task_class(section: TaskClassSection, index: int, source: str) -> TaskClassPut:
    where = f"task_classes[{index}] ({section.name!r})"
    _name(section.name, 128, where, source)
    spec = objective(section.objective, f"{where}.objective", source)
    entry = TaskClassPut(
        task_class=0,
        name=section.name,
        description=section.description,
        objective=None if spec == ObjectiveSpec() else spec,
        labels=section.labels,
    )
    return msgspec.structs.replace(entry, config_digest=_digest(entry))
