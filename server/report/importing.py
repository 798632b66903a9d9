"""A provider's list of models against the catalogue: what is new, what changed, what is gone. Asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from naiad.adapters.listing import ListedModel
from naiad.client import Model, Prices, ProviderModel
from naiad.server.bounds import MOST_TOKENS

FROM_LIST = "genai-prices"  # begins the version of prices that came from the price list, and may be renewed from it


class CannotRead(Exception):
    """A file is no list of models; the message names it, the place and the rule."""


class _Entry(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: str
    context_window: int | None = None
    max_output_tokens: int | None = None
    deprecated_at: datetime | None = None
    capabilities: list[str] = []


class _File(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    models: list[_Entry]
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A field of a model of the catalogue that the provider's list says otherwise of."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a provider's list and the catalogue differ in, for the models of one endpoint."""

    new: tuple[ProviderModel, ...]
    changed: tuple[tuple[Model, tuple[Change, ...]], ...]
    gone: tuple[Model, ...]  # in the catalogue, and no longer listed
    same: int


def read_file(path: Path) -> tuple[str, tuple[ProviderModel, ...]]:
    """Return the endpoint that a file names ("" for none), and its models, without prices; raises CannotRead.

    The file is JSON: {"endpoint": "openai", "models": [{"name": "gpt-5-mini", "context_window": 400000}]}.
    """
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_File)
        models = [
            ListedModel(m.name, m.context_window, m.max_output_tokens, m.deprecated_at, frozenset(m.capabilities))
            for m in content.models
        ]
        for at, model in enumerate(models):
            _check_tokens(model, f"models[{at}]")
    except OSError as error:
        raise CannotRead(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:  # msgspec's are such, too
        example = '{"endpoint": "openai", "models": [{"name": "gpt-5-mini", "context_window": 400000}]}'
        raise CannotRead(f"{path} is no list of models: {error}; give JSON as {example}") from error
    names = [model.name for model in models]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise CannotRead(f"{path} lists {', '.join(twice)} twice; give each model once")
    return content.endpoint, tuple(
        ProviderModel(
            m.name, context_window=m.context_window, max_output_tokens=m.max_output_tokens,
            capabilities=tuple(sorted(m.capabilities)), retire_time=m.deprecated_at,
        )
        for m in models
    )  # fmt: skip


def _check_tokens(model: ListedModel, place: str) -> None:
    for field in ("context_window", "max_output_tokens"):
        tokens = getattr(model, field)
        if tokens is not None and tokens > MOST_TOKENS:
            raise ValueError(
                f"{place}.{field} of {model.name!r} is {tokens}; give at most {MOST_TOKENS:,}, or leave it out"
            )


def compare(listed: Sequence[ProviderModel], catalogue: Collection[Model], endpoint: str) -> Comparison:
    """Compare a list with the models of the catalogue that the endpoint serves."""
    served: dict[str, list[Model]] = {}
    for model in catalogue:
        if model.endpoint_profile == endpoint:
            served.setdefault(model.upstream_model, []).append(model)
    pairs = [(model, one) for one in listed for model in served.get(one.name, ())]
    found = [(model, tuple(changes_of(model, one))) for model, one in pairs]
    names = {one.name for one in listed}
    return Comparison(
        new=tuple(one for one in listed if one.name not in served),
        changed=tuple((model, changes) for model, changes in found if changes),
        gone=tuple(model for upstream, models in served.items() if upstream not in names for model in models),
        same=sum(not changes for _, changes in found),
    )


def changes_of(model: Model, listed: ProviderModel) -> Iterator[Change]:
    """Yield what a list says otherwise of a model; what it does not say stays, and so do prices of a contract."""
    for name in ("context_window", "max_output_tokens", "retire_time"):
        before, after = getattr(model, name), getattr(listed, name)
        if after is not None and after != before:
            yield Change(name, before, after)
    if more := set(listed.capabilities) - set(model.capabilities):
        yield Change("capabilities", model.capabilities, tuple(sorted({*model.capabilities, *more})))
    known = model.prices
    if listed.prices is None:
        return
    if known is None or (known.price_version.startswith(FROM_LIST) and _rates(known) != _rates(listed.prices)):
        yield Change("prices", known, listed.prices)


def _rates(prices: Prices) -> tuple[int | None, ...]:
    """Return what a model charges, without where that is from."""
    return (
        prices.input_nano_usd_per_million_tokens,
        prices.output_nano_usd_per_million_tokens,
        prices.cached_input_nano_usd_per_million_tokens,
        prices.cache_write_nano_usd_per_million_tokens,
        prices.request_nano_usd,
    )


def chosen(new: Sequence[ProviderModel], patterns: Sequence[str]) -> tuple[ProviderModel, ...]:
    """Return the new models that a pattern names, as a shell would match it: "gpt-5*"."""
    return tuple(one for one in new if any(fnmatchcase(one.name, pattern) for pattern in patterns))


def entry_of(listed: ProviderModel, provider: str, endpoint: str, keeps: Callable[[str, Prices], bool]) -> Model:
    """Return the entry of the catalogue that a listed model becomes.

    keeps: whether the server itself takes these prices for a model of this name; then they are left to it, because the
    price list knows tiers that the API has no field for.
    """
    name = f"{provider}/{listed.name}"
    prices = None if listed.prices is not None and keeps(name, listed.prices) else listed.prices
    return Model(
        name, upstream_model=listed.name, endpoint_profile=endpoint, prices=prices,
        context_window=listed.context_window, max_output_tokens=listed.max_output_tokens,
        capabilities=listed.capabilities, retire_time=listed.retire_time,
    )  # fmt: skip
