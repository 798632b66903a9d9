"""The sections of naiad.toml: their keys, types and defaults. Unknown keys are errors that name the nearest."""

from __future__ import annotations

from typing import Any

import msgspec

from naiad.server.errors import nearest


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file, the key, the rule and the remedy."""


class _Section(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the sections; their fields are the keys."""


class ServerSection(_Section, kw_only=True, frozen=True):
    """[server]: where to listen and how much to take on."""

    listen: str = "127.0.0.1:50051"
    allow_plaintext_beyond_loopback: bool = False
    concurrent_calls: int = 512
    concurrent_streams: int = 128
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
    usd_per_request: float | None = None


class PolicySection(ObjectiveSection, kw_only=True, frozen=True):
    """[policy]: how to choose where a task class or a request does not say."""

    models: list[str] = []
    create_task_classes: bool = True
    temper: float = 0.5
    exploration: float = 0.002
    allowance: float = 0.05


class TrustSection(_Section, kw_only=True, frozen=True):
    """[learning.trust]: how much a judgement by each source weighs, from 0 (not at all) to 1."""

    human: float = 1.0
    judge: float = 1.0
    check: float = 1.0
    user: float = 0.3


class InfluenceSection(_Section, kw_only=True, frozen=True):
    """[learning.influence]: full judgements of one rater that count in one arm and 1,024 decisions; 0 is no cap."""

    human: float = 512.0
    judge: float = 0.0
    check: float = 0.0
    user: float = 16.0
    anonymous: int = 64


class DriftSection(_Section, kw_only=True, frozen=True):
    """[learning.drift]: whether and how eagerly to look for models that changed, and what an alarm leaves."""

    enabled: bool = True
    sensitivity: float = 1.0
    evidence_kept: float = 10.0


class LearningSection(_Section, kw_only=True, frozen=True):
    """[learning]: forgetting, trust, caps and drift. half_life_decisions = 0 never forgets."""

    half_life_decisions: float = 0.0
    trust: TrustSection = TrustSection()
    influence: InfluenceSection = InfluenceSection()
    drift: DriftSection = DriftSection()


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


class WorkflowSection(_Section, kw_only=True, frozen=True):
    """[[workflows]]: what counts as best in one use of the models, across its task classes."""

    name: str
    objective: ObjectiveSection = ObjectiveSection()


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
    workflows: list[WorkflowSection] = []
    endpoints: dict[str, EndpointSection] | None = None


def check_keys(data: Any, kind: Any, source: str, where: str) -> None:
    """Raise ConfigError for the first key that no section knows, naming the nearest one, or that is missing."""
    if not isinstance(data, dict):
        return
    fields = msgspec.structs.fields(kind)
    known = {f.name: f.type for f in fields}
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
                check_keys(item, inner, source, f"{path}[{index}]")
        elif key == "endpoints" and isinstance(value, dict):
            for name, item in value.items():
                check_keys(item, inner, source, f"{path}.{name}")
        else:
            check_keys(value, inner, source, path)
    for field in fields:
        if field.required and field.name not in data:
            raise ConfigError(f"{source}: {where} lacks the key {field.name!r}, which has no default; add it")


def _section_of(annotation: Any) -> Any:
    """Return the section class inside a field's type, or None."""
    if isinstance(annotation, type) and issubclass(annotation, _Section):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        found = _section_of(part)
        if found is not None:
            return found
    return None
