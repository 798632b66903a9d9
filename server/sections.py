"""The sections of naiad.toml: their keys, types and defaults. Unknown keys are errors that name the nearest."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from naiad.server.bounds import MOST_INT64
from naiad.server.errors import nearest


class ConfigError(Exception):
    """The configuration cannot be used; the message names the file, the key, the rule and the remedy."""


class _Section(msgspec.Struct, kw_only=True, frozen=True):
    """Base of the sections; their fields are the keys."""


class TlsSection(_Section, kw_only=True, frozen=True):
    """[server.tls]: PEM files. With client_ca, callers must show a certificate that it signed (mTLS)."""

    certificate: str
    key: str
    client_ca: str = ""


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
    tls: TlsSection | None = None


class KeysSection(_Section, kw_only=True, frozen=True):
    """[keys]: limits of the keys that do not say; 0 is unbounded."""

    requests_per_minute: int = 0
    concurrent_calls: int = 0


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
    primary: str | None = None
    fallbacks: list[str] | None = None
    on_refusal: str | None = None


class PolicySection(ObjectiveSection, kw_only=True, frozen=True):
    """[policy]: how to choose where a task class or a request does not say."""

    models: list[str] = []
    create_task_classes: bool = True
    temper: float = 0.5
    exploration: float = 0.002
    allowance: float = 0.05
    allowance_usd: float | None = None
    newcomer_calls: int = 0
    newcomer_share: float = 0.1
    newcomer_usd: float | None = None


class TrustSection(_Section, kw_only=True, frozen=True):
    """[learning.trust]: how much a judgement by each source weighs, from 0 (not at all) to 1."""

    human: float = 1.0
    judge: float = 1.0
    check: float = 1.0
    user: float = 0.3
    reaction: float = 0.15


class InfluenceSection(_Section, kw_only=True, frozen=True):
    """[learning.influence]: full judgements of one rater that count in one arm and 1,024 decisions; 0 is no cap."""

    human: float = 512.0
    judge: float = 0.0
    check: float = 0.0
    user: float = 16.0
    reaction: float = 16.0
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


class CheckSection(_Section, kw_only=True, frozen=True):
    """[models.cascade.check]: what an answer must pass; exactly one of the first four."""

    json_schema: str = ""
    pattern: str = ""
    judge: str = ""
    callback: str = ""
    threshold: float = 0.5
    on_error: str = "escalate"


class EnsembleSection(_Section, kw_only=True, frozen=True):
    """[models.ensemble]: members that are asked side by side."""

    members: list[str]
    aggregation: str
    judge: str = ""
    agree: int = 2


class CascadeSection(_Section, kw_only=True, frozen=True):
    """[models.cascade]: members that are asked in turn, until a check accepts an answer."""

    members: list[str]
    check: CheckSection


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
    retire_date: str = ""
    ensemble: EnsembleSection | None = None
    cascade: CascadeSection | None = None


class TaskClassSection(_Section, kw_only=True, frozen=True):
    """[[task_classes]]: one kind of work."""

    name: str
    description: str = ""
    data_class: str = ""
    objective: ObjectiveSection = ObjectiveSection()
    labels: dict[str, str] = {}
    cache_s: float = 0.0


class CacheSection(_Section, kw_only=True, frozen=True):
    """[cache]: how much is kept of the answers of task classes with cache_s, for each tenant."""

    entries: int = 10_000
    mib: int = 64


class SessionsSection(_Section, kw_only=True, frozen=True):
    """[sessions]: how much of sessions is kept, for each tenant, and how long providers keep their prompts."""

    entries: int = 100_000
    idle_s: float = 3600.0
    prompt_cache_s: float = 300.0


class WorkflowSection(_Section, kw_only=True, frozen=True):
    """[[workflows]]: what counts as best in one use of the models, across its task classes."""

    name: str
    data_class: str = ""
    objective: ObjectiveSection = ObjectiveSection()


class DataClassSection(_Section, kw_only=True, frozen=True):
    """[[data_classes]]: how sensitive data is and where it may go; from open to strict."""

    name: str
    description: str = ""
    allow: list[str] = []
    no_store: bool = False


class PiiSection(_Section, kw_only=True, frozen=True):
    """[governance.pii]: what personal data in a prompt makes of the data class; "" does not look."""

    raises_to: str = ""


class GovernanceSection(_Section, kw_only=True, frozen=True):
    """[governance]: what goes with the data classes."""

    zones: list[str] = []
    refuse_empty_classes: bool = False
    pii: PiiSection = PiiSection()


class SpendingSection(_Section, kw_only=True, frozen=True):
    """[spending]: calls under hard budgets. Where callers give no bound of the output, default_output_tokens holds."""

    default_output_tokens: int | None = None
    hold_s: float = 600.0


class BudgetSection(_Section, kw_only=True, frozen=True):
    """[[budgets]]: a hard limit on what is spent in a period, in USD."""

    id: str
    limit_usd: float
    period: str
    name: str = ""
    workflow: str = ""
    task_class: str = ""


class EndpointSection(_Section, kw_only=True, frozen=True):
    """[endpoints.NAME]: how to reach models; all but kind is for kinds that reach a provider over the network."""

    kind: str
    base_url: str = ""
    api_version: str = ""
    headers: dict[str, str] = {}
    headers_env: dict[str, str] = {}
    api_key_env: str = ""
    api_key_file: str = ""
    private: bool = False
    ca: str = ""
    connections: int = 100
    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 60.0
    response_mib: int = 16


class CallbackSection(_Section, kw_only=True, frozen=True):
    """[callbacks.NAME]: a service of yours that checks answers of cascades."""

    address: str
    private: bool = False
    tls: bool = True
    ca: str = ""
    token_env: str = ""
    data_zone: str = ""
    send_task: bool = False
    timeout_s: float = 2.0
    concurrent_calls: int = 64


class File(_Section, kw_only=True, frozen=True):
    """The whole file."""

    server: ServerSection = ServerSection()
    storage: StorageSection = StorageSection()
    keys: KeysSection = KeysSection()
    policy: PolicySection = PolicySection()
    learning: LearningSection = LearningSection()
    governance: GovernanceSection = GovernanceSection()
    data_classes: list[DataClassSection] = []
    models: list[ModelSection] | None = None
    task_classes: list[TaskClassSection] = []
    cache: CacheSection = CacheSection()
    sessions: SessionsSection = SessionsSection()
    workflows: list[WorkflowSection] = []
    spending: SpendingSection = SpendingSection()
    budgets: list[BudgetSection] = []
    endpoints: dict[str, EndpointSection] | None = None
    callbacks: dict[str, CallbackSection] = {}


_KINDS: dict[Any, tuple[tuple[type, ...], str, str]] = {
    # type -> (what TOML gives, its name, an example)
    str: ((str,), "text in quotes", '"text"'),
    bool: ((bool,), "true or false", "true"),
    int: ((int,), "a whole number", "1"),
    float: ((int, float), "a number", "0.5"),
}


def shown(value: object) -> str:
    """Return a value as a message shows it: not at any length."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def check_values(value: Any, kind: Any, source: str, path: str) -> None:
    """Raise ConfigError for what has a wrong type, for a key that no section knows, or for one that is missing.

    kind: the type that the value at this path of keys must have.
    """
    if get_origin(kind) in (Union, UnionType):
        kind = next(part for part in get_args(kind) if part is not NoneType)  # TOML has no null
    if kind in _KINDS:
        types, name, example = _KINDS[kind]
        if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{source}: {path} is {shown(value)}; it must be {name}, as {example}")
        if isinstance(value, int) and abs(value) > MOST_INT64:
            raise ConfigError(f"{source}: {path} is {shown(value)}; it must be below {MOST_INT64}: give a smaller one")
    elif get_origin(kind) is list:
        if not isinstance(value, list):
            inner = get_args(kind)[0]
            form = 'an array, as ["a", "b"]' if inner in _KINDS else f"a table for each, begun by [[{path}]]"
            raise ConfigError(f"{source}: {path} is {shown(value)}; it must be {form}")
        for index, item in enumerate(value):
            check_values(item, get_args(kind)[0], source, f"{path}[{index}]")
    else:
        if not isinstance(value, dict):
            raise ConfigError(
                f"{source}: {path} is {shown(value)}; it must be a table, begun by [{path}] or written as {{ ... }}"
            )
        if get_origin(kind) is dict:
            for key, item in value.items():
                check_values(item, get_args(kind)[1], source, f"{path}.{key}")
        else:
            _check_section(value, kind, source, path)


def _check_section(value: dict[str, Any], kind: Any, source: str, path: str) -> None:
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key, item in value.items():
        place = f"{path}.{key}" if path else key
        if key not in fields:
            near = nearest(key, fields)
            hint = f"did you mean {near!r}?" if near else f"the keys here are {', '.join(sorted(fields))}"
            raise ConfigError(f"{source}: unknown key {place!r}; {hint}")
        check_values(item, fields[key].type, source, place)
    for key, field in fields.items():
        if field.required and key not in value:
            raise ConfigError(f"{source}: {path} lacks the key {key!r}, which has no default; add it")
