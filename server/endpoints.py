"""Endpoints that reach a provider: their addresses, keys and limits, checked before anything runs."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import msgspec

from naiad.adapters.endpoint import MEBIBYTE, Caps, Endpoint, EndpointError, Patience, parse_url
from naiad.adapters.secret import Secret
from naiad.server import config_rules as rules
from naiad.server import providers
from naiad.server.sections import ConfigError, EndpointSection

_LONGEST_S = 86_400.0


def profiles_of(sections: Mapping[str, EndpointSection], source: str) -> tuple[dict[str, str], dict[str, Endpoint]]:
    """Return the kind of each profile, and where it is for those that reach a provider; raises ConfigError."""
    kinds, networks = providers.default_profiles(), {}
    for name, section in sections.items():
        known = (*providers.KINDS, *providers.NETWORKED)
        kind = kinds[name] = rules.choice(section.kind, known, f"endpoints.{name}.kind", source)
        if missing := providers.missing(kind):
            raise ConfigError(f"{source}: endpoints.{name}.kind is {kind!r}, but {missing}")
        if kind in providers.NETWORKED:
            networks[name] = network_of(name, section, source)
        else:
            _refuse_unused(section, f"endpoints.{name}", source)
    return kinds, networks


def network_of(name: str, section: EndpointSection, source: str) -> Endpoint:
    """Return where an endpoint is, and its key from the environment or its file; raises ConfigError."""
    where = f"endpoints.{name}"
    if not section.base_url:
        raise ConfigError(f"{source}: {where} lacks base_url; give the provider's address, as https://HOST/PATH")
    rules.between(section.connections, 1, 10_000, f"{where}.connections", source)
    rules.between(section.response_mib, 1, 1024, f"{where}.response_mib", source)
    for key in ("connect_s", "first_byte_s", "idle_s"):
        rules.between(getattr(section, key), 0.1, _LONGEST_S, f"{where}.{key}", source)
    try:
        place = parse_url(section.base_url, private=section.private)
    except EndpointError as error:  # which quotes no more than the host: a URL may hold a key by mistake
        raise ConfigError(f"{source}: {where}.base_url is refused: {error}") from None
    return Endpoint(
        name=name,
        place=place,
        private=section.private,
        key=_key(section, where, source),
        ca=_authorities(section.ca, where, source),
        connections=section.connections,
        patience=Patience(section.connect_s, section.first_byte_s, section.idle_s),
        caps=Caps(response_bytes=section.response_mib * MEBIBYTE, event_bytes=section.response_mib * MEBIBYTE),
    )


def _refuse_unused(section: EndpointSection, where: str, source: str) -> None:
    for field in msgspec.structs.fields(EndpointSection):
        if field.name != "kind" and getattr(section, field.name) != field.default:
            raise ConfigError(
                f"{source}: {where}.{field.name} has no meaning for kind {section.kind!r}, which reaches no network; "
                "leave it out"
            )


def _key(section: EndpointSection, where: str, source: str) -> Secret | None:
    if section.api_key_env and section.api_key_file:
        raise ConfigError(f"{source}: {where} has both api_key_env and api_key_file; give one of them")
    if section.api_key_env:
        place = f"{where}.api_key_env: the environment variable {section.api_key_env!r}"
        found = os.environ.get(section.api_key_env)
        if found is None:
            raise ConfigError(f"{source}: {place} is not set; set it to the key, or name another")
    elif section.api_key_file:
        place = f"{where}.api_key_file: the file {section.api_key_file!r}"
        try:
            found = Path(section.api_key_file).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise ConfigError(
                f"{source}: {place} cannot be read: {why}; give a file that holds the key alone"
            ) from None
    else:
        return None
    try:
        return Secret(found.strip())
    except ValueError:  # which has seen the key
        pass
    raise ConfigError(f"{source}: {place} holds no key; a key is one line of printable ASCII characters")


def _authorities(ca: str, where: str, source: str) -> Path | None:
    if not ca:
        return None
    try:
        ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "") or error
        raise ConfigError(f"{source}: {where}.ca is {ca!r}: {why}; give a PEM file of certificates") from None
    return Path(ca)
