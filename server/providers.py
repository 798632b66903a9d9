"""Adapters for the configured endpoint profiles, and the inventory that works without any configuration."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from naiad.adapters.base import Adapter
from naiad.adapters.echo import Echo
from naiad.adapters.endpoint import Endpoint
from naiad.adapters.pricing import price_of
from naiad.adapters.profiles import PROFILES, Profile
from naiad.adapters.replay import RECORDED_PRICES, Replay, ReplayDataMissing, load_records, replay_available
from naiad.adapters.replay_records import recorded_files
from naiad.adapters.starters import STARTERS
from naiad.server.money import from_price, listed_prices
from naiad.server.records import ModelPut, Prices

ECHO, REPLAY = "echo", "replay"
KINDS = (ECHO, REPLAY)
_VISION, _TOOLS, _JSON_SCHEMA, _STREAMING, _SYSTEM_PROMPT = 1, 2, 3, 4, 6  # capabilities, as in the API


def _remote(profile: Profile, endpoint: Endpoint) -> Adapter:
    from naiad.adapters.remote import Remote
    from naiad.adapters.transport import Transport

    return Remote(profile.wire(endpoint), Transport(endpoint), headers=dict(endpoint.headers))


NETWORKED: dict[str, Callable[[Endpoint], Adapter]] = {
    kind: partial(_remote, profile) for kind, profile in PROFILES.items()
}
"""Kinds that reach a provider over the network: each makes its adapter, and imports what it needs only then."""


def build(profiles: Mapping[str, str]) -> dict[str, Adapter]:
    """Return an adapter for each profile that needs no network; profiles: name -> kind, one of KINDS or NETWORKED."""
    return {
        name: Echo() if kind == ECHO else Replay(load_records())
        for name, kind in profiles.items()
        if kind not in NETWORKED
    }


def connect(profiles: Mapping[str, str], networks: Mapping[str, Endpoint]) -> dict[str, Adapter]:
    """Return an adapter for each profile that reaches a provider; nothing is connected before the first call."""
    return {name: NETWORKED[profiles[name]](endpoint) for name, endpoint in networks.items()}


def _starters(kind: str) -> Iterator[ModelPut]:
    """Yield the first models of a vendor that the price list knows."""
    starters, profile = STARTERS[kind], PROFILES[kind]
    for name in starters.names:
        facts = price_of(profile.listed_as, name)
        if facts is None:
            continue
        yield ModelPut(
            model=0,
            name=f"{kind}/{name}",
            upstream_model=name,
            endpoint=kind,
            prices=from_price(facts.price, facts.price_version),
            context_window=facts.context_window,
            capabilities=(*((_VISION,) if starters.vision else ()), _TOOLS, _JSON_SCHEMA, _STREAMING, _SYSTEM_PROMPT),
        )


def listed_as(kind: str) -> str:
    """Return the name under which the price list has the vendor of a kind, "" if it has none."""
    profile = PROFILES.get(kind)
    return "" if profile is None else profile.listed_as


def missing(kind: str) -> str:
    """Return what an endpoint of this kind needs and does not find here, "" if it has all."""
    if kind == REPLAY:
        try:
            recorded_files()
        except ReplayDataMissing as error:
            return str(error)
    return ""


def keyed() -> list[str]:
    """Return the kinds whose vendor's own key is in the environment, under the name that the vendor's tools read."""
    return [kind for kind, profile in PROFILES.items() if os.environ.get(profile.key_env, "").strip()]


def without_keys() -> dict[str, str]:
    """Return the environment without vendors' keys, for a process that is to call none."""
    theirs = {profile.key_env for profile in PROFILES.values()}
    return {name: value for name, value in os.environ.items() if name not in theirs}


def default_profiles() -> dict[str, str]:
    """Return the profiles that need no configuration: echo, replay where its data is, and vendors' with keys."""
    local = (ECHO, REPLAY) if replay_available() else (ECHO,)
    return {kind: kind for kind in (*local, *keyed())}


def default_models() -> list[ModelPut]:
    """Return the built-in inventory.

    With keys of vendors in the environment a few models of each; else the recorded models where their data is
    installed, or two echoing ones.
    """
    if started := [model for kind in keyed() if kind in STARTERS for model in _starters(kind)]:
        return started
    if not replay_available():
        free = Prices(input=0, output=0, version="free")
        return [
            ModelPut(
                model=0,
                name=f"echo/{size}",
                upstream_model=size,
                endpoint=ECHO,
                prices=free,
                capabilities=(_STREAMING, _SYSTEM_PROMPT),
            )
            for size in ("small", "large")
        ]
    models = []
    for name, price in RECORDED_PRICES.items():
        listed = listed_prices(name, name.partition("/")[2]) or listed_prices("openrouter/" + name, name)
        models.append(
            ModelPut(
                model=0,
                name=name,
                upstream_model=name,
                endpoint=REPLAY,
                prices=from_price(price, "recorded"),
                context_window=listed[1] if listed else None,
                capabilities=(_STREAMING, _SYSTEM_PROMPT),
            )
        )
    return models
