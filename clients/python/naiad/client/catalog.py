"""The inventory: models with their prices, and task classes. Both inputs and results.

>>> Prices.per_million_tokens(input_usd=0.15, output_usd=0.6).output_nano_usd_per_million_tokens
600000000
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from naiad.client.money import NanoUsd
from naiad.client.objective import Objective
from naiad.v1 import catalog_pb2


@dataclass(frozen=True, kw_only=True)
class Prices:
    """What a model charges, in nano-USD. None is unknown; 0 is free."""

    input_nano_usd_per_million_tokens: NanoUsd | int | None = None
    output_nano_usd_per_million_tokens: NanoUsd | int | None = None
    cached_input_nano_usd_per_million_tokens: NanoUsd | int | None = None
    cache_write_nano_usd_per_million_tokens: NanoUsd | int | None = None
    request_nano_usd: NanoUsd | int | None = None
    price_version: str = ""
    raw: catalog_pb2.Prices = field(default_factory=catalog_pb2.Prices, repr=False, compare=False)

    @classmethod
    def per_million_tokens(cls, *, input_usd: float, output_usd: float, price_version: str = "") -> Prices:
        """Return prices from USD per million tokens, as providers print them; raises ValueError unless finite."""
        return cls(
            input_nano_usd_per_million_tokens=NanoUsd.from_usd(input_usd),
            output_nano_usd_per_million_tokens=NanoUsd.from_usd(output_usd),
            price_version=price_version,
        )


@dataclass(frozen=True, kw_only=True)
class Ensemble:
    """Members that are asked side by side."""

    members: tuple[str, ...]
    aggregation: str  # "majority", "judge" or "first_agreement"
    judge: str = ""  # model that picks the answer, with "judge"
    agree: int = 0  # how many must agree, with "first_agreement"; 0 takes 2
    raw: catalog_pb2.Ensemble = field(default_factory=catalog_pb2.Ensemble, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Check:
    """What an answer of a cascade must pass; exactly one of the first four is given."""

    json_schema: str | None = None
    pattern: str | None = None  # regular expression in RE2's language
    judge: str | None = None  # model that is asked for a score
    callback: str | None = None  # name of a service in the server's configuration
    threshold: float | None = None  # the least score of a judge that passes; None takes 0.5
    on_error: str = ""  # where a callback fails: "escalate" or "accept"; "" takes "escalate"
    raw: catalog_pb2.Check = field(default_factory=catalog_pb2.Check, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Cascade:
    """Members that are asked in turn, until a check accepts an answer."""

    members: tuple[str, ...]
    check: Check
    raw: catalog_pb2.Cascade = field(default_factory=catalog_pb2.Cascade, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model of the inventory. `provider`, `revision`, `origin` and the times are set by the server."""

    name: str = field(kw_only=False)  # "provider/model"
    provider: str = ""  # set by the server
    upstream_model: str = ""
    endpoint_profile: str = ""
    prices: Prices | None = None  # None takes the built-in price list
    context_window: int | None = None  # tokens
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()  # "vision", "tools", "json_schema", "streaming", "reasoning", ...
    data_zone: str = ""
    disabled: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    retire_time: datetime | None = None
    revision: int = 0
    origin: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    ensemble: Ensemble | None = None  # what it is made of, if it is made of others
    cascade: Cascade | None = None
    raw: catalog_pb2.Model = field(default_factory=catalog_pb2.Model, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ProviderModel:
    """One model as its provider lists it; what the provider does not say is None or empty."""

    name: str = field(kw_only=False)  # as the provider knows it: a Model's upstream_model
    context_window: int | None = None  # tokens
    max_output_tokens: int | None = None
    capabilities: tuple[str, ...] = ()
    retire_time: datetime | None = None
    prices: Prices | None = None  # by the server's price list
    raw: catalog_pb2.ProviderModel = field(default_factory=catalog_pb2.ProviderModel, repr=False, compare=False)


class ProviderModels(tuple[ProviderModel, ...]):
    """A provider's models in its own order, and how many more there are that the server left out."""

    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class FeatureSpec:
    """A number that a task class takes into account."""

    name: str
    description: str = ""
    low: float  # a typical small value
    high: float  # a typical large value, above low
    raw: catalog_pb2.FeatureSpec = field(default_factory=catalog_pb2.FeatureSpec, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class QualityPrior:
    """What is believed of a quality before anything is seen."""

    model: str = ""  # "" holds for every model
    mean: float  # 0 to 1
    effective_observations: float
    raw: catalog_pb2.QualityPrior = field(default_factory=catalog_pb2.QualityPrior, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class TaskClass:
    """A kind of work. The last four fields are set by the server."""

    name: str = field(kw_only=False)  # "code.debug"
    description: str = ""
    default_objective: Objective | None = None
    priors: tuple[QualityPrior, ...] = ()
    features: tuple[FeatureSpec, ...] = ()
    default_data_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    origin: str = ""
    create_time: datetime | None = None
    update_time: datetime | None = None
    raw: catalog_pb2.TaskClass = field(default_factory=catalog_pb2.TaskClass, repr=False, compare=False)


class ModelChanges(TypedDict, total=False):
    """Fields of a model to change: what is given is set; None, "" or () clears it; the rest stays."""

    upstream_model: str
    endpoint_profile: str
    prices: Prices | None
    context_window: int | None
    max_output_tokens: int | None
    capabilities: tuple[str, ...]
    data_zone: str
    disabled: bool
    labels: Mapping[str, str]
    retire_time: datetime | None
    ensemble: Ensemble
    cascade: Cascade


class TaskClassChanges(TypedDict, total=False):
    """Fields of a task class to change: what is given is set; None, "" or () clears it; the rest stays."""

    description: str
    default_objective: Objective | None
    priors: tuple[QualityPrior, ...]
    features: tuple[FeatureSpec, ...]
    default_data_class: str
    labels: Mapping[str, str]
