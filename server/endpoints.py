"""Endpoints that reach a provider: their addresses, keys and limits, checked before anything runs."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path

from naiad.adapters.endpoint import MEBIBYTE, RESERVED_HEADERS, Caps, Endpoint, EndpointError, Patience, parse_url
from naiad.adapters.profiles import PROFILES, Profile
from naiad.adapters.secret import Secret
from naiad.server import config_rules as rules
from naiad.server import providers
from naiad.server.sections import ConfigError, EndpointSection

_LONGEST_S = 86_400.0
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_BY_FORMAT = ("authorization", "content-type", "x-api-key", "x-goog-api-key")  # of the wire formats


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
    for kind in providers.keyed():
        if kind not in sections:
            networks[kind] = network_of(kind, EndpointSection(kind=kind), source)
    return kinds, networks


def network_of(name: str, section: EndpointSection, source: str) -> Endpoint:
    """Return where an endpoint is, and its key from the environment or its file; raises ConfigError."""
    where = f"endpoints.{name}"
    profile = PROFILES.get(section.kind)
    base_url = section.base_url or (profile.base_url if profile else "")
    if not base_url:
        raise ConfigError(f"{source}: {where} lacks base_url; give the provider's address, as https://HOST/PATH")
    rules.between(section.connections, 1, 10_000, f"{where}.connections", source)
    rules.between(section.response_mib, 1, 1024, f"{where}.response_mib", source)
    for key in ("connect_s", "first_byte_s", "idle_s"):
        rules.between(getattr(section, key), 0.1, _LONGEST_S, f"{where}.{key}", source)
    private = section.private or (profile is not None and profile.private and not section.base_url)
    try:
        place = parse_url(base_url, private=private)
    except EndpointError as error:  # which quotes no more than the host: a URL may hold a key by mistake
        raise ConfigError(f"{source}: {where}.base_url is refused: {error}") from None
    endpoint = Endpoint(
        name=name,
        place=place,
        private=private,
        key=_key(section, profile, where, source),
        api_version=section.api_version,
        headers=_headers(section, where, source),
        ca=authorities(section.ca, where, source),
        connections=section.connections,
        patience=Patience(section.connect_s, section.first_byte_s, section.idle_s),
        caps=Caps(response_bytes=section.response_mib * MEBIBYTE, event_bytes=section.response_mib * MEBIBYTE),
    )
    _check_version(endpoint, profile, where, source)
    return endpoint


def _refuse_unused(section: EndpointSection, where: str, source: str) -> None:
    blank = EndpointSection(kind=section.kind)
    for name in EndpointSection.__struct_fields__:
        if getattr(section, name) != getattr(blank, name):
            raise ConfigError(
                f"{source}: {where}.{name} has no meaning for kind {section.kind!r}, which reaches no network; "
                "leave it out"
            )


def _check_version(endpoint: Endpoint, profile: Profile | None, where: str, source: str) -> None:
    try:
        if profile is not None:
            profile.wire(endpoint)
        elif endpoint.api_version:
            raise ValueError("this kind has no versions; leave it out")
    except ValueError as error:
        raise ConfigError(f"{source}: {where}.api_version is {endpoint.api_version!r}: {error}") from None


def _headers(section: EndpointSection, where: str, source: str) -> tuple[tuple[str, Secret], ...]:
    """Return the headers of an endpoint, whose values may be secrets; raises ConfigError."""
    found: dict[str, tuple[str, Secret]] = {}
    given = [("headers", name, value) for name, value in section.headers.items()]
    given += [("headers_env", name, value) for name, value in section.headers_env.items()]
    for table, name, value in given:
        place = f"{where}.{table}[{name!r}]"
        if not _HEADER.fullmatch(name) or name.lower() in (*RESERVED_HEADERS, *_BY_FORMAT):
            raise ConfigError(f"{source}: {place} is not a header that may be set; the key goes into api_key_env")
        if name.lower() in found:
            raise ConfigError(f"{source}: {place} is there twice; give each header once")
        if table == "headers_env":
            variable, value = value, os.environ.get(value, "")
            if not value:
                raise ConfigError(f"{source}: {place}: the environment variable {variable!r} is not set; set it")
        try:
            found[name.lower()] = (name.lower(), Secret(value))
            continue
        except ValueError:  # which has seen it
            pass
        raise ConfigError(f"{source}: {place} has a value that no header can carry; give printable ASCII characters")
    return tuple(found.values())


def _key(section: EndpointSection, profile: Profile | None, where: str, source: str) -> Secret | None:
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
    elif profile is not None and profile.key_env in os.environ:
        place, found = f"{where}: the environment variable {profile.key_env!r}", os.environ[profile.key_env]
    else:
        return None
    try:
        return Secret(found.strip())
    except ValueError:  # which has seen the key
        pass
    raise ConfigError(f"{source}: {place} holds no key; a key is one line of printable ASCII characters")


def authorities(ca: str, where: str, source: str) -> Path | None:
    """Return the PEM file of the authorities that are trusted, None for the usual ones; raises ConfigError."""
    if not ca:
        return None
    try:
        ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        why = "it holds no certificate" if isinstance(error, ssl.SSLError) else getattr(error, "strerror", "") or error
        raise ConfigError(f"{source}: {where}.ca is {ca!r}: {why}; give a PEM file of certificates") from None
    return Path(ca)
