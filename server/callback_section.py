"""Callbacks as the configuration has them: addresses under the rules of endpoints, TLS, tokens, zones."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from naiad.adapters.endpoint import Endpoint, EndpointError, parse_url
from naiad.adapters.secret import Secret
from naiad.server import config_rules as rules
from naiad.server.address import is_loopback
from naiad.server.callback import LONGEST_NAME, Callback
from naiad.server.endpoints import authorities
from naiad.server.errors import nearest
from naiad.server.records import ModelPut
from naiad.server.sections import CallbackSection, ConfigError, shown

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}")
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[1-9][0-9]{0,4}")


def callbacks_of(sections: Mapping[str, CallbackSection], source: str) -> dict[str, Callback]:
    """Return the callbacks by name; raises ConfigError."""
    return {name: _callback(name, section, source) for name, section in sections.items()}


def _callback(name: str, section: CallbackSection, source: str) -> Callback:
    where = f"callbacks.{name}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{source}: [callbacks] has {shown(name)}; a name has letters, digits, '.', '_' and '-', begins with a "
            f"letter or digit and has at most {LONGEST_NAME} characters"
        )
    rules.between(section.timeout_s, 0.05, 600.0, f"{where}.timeout_s", source)
    rules.between(section.concurrent_calls, 1, 10_000, f"{where}.concurrent_calls", source)
    if not _ADDRESS.fullmatch(section.address):
        raise ConfigError(
            f'{source}: {where}.address is {shown(section.address)}; give HOST:PORT, as "checks.example.com:8443" or '
            '"[::1]:50061"'
        )
    if not section.tls:
        _check_plaintext(section, where, source)
    try:
        place = parse_url(f"{'https' if section.tls else 'http'}://{section.address}", private=section.private)
        endpoint = Endpoint(
            name=name,
            place=place,
            private=section.private,
            key=_token(section.token_env, where, source),
            ca=authorities(section.ca, where, source),
        )
    except EndpointError as error:
        raise ConfigError(f"{source}: {where}.address {section.address!r} is refused: {error}") from None
    return Callback(
        endpoint=endpoint,
        zone=rules.text(section.data_zone, 128, f"{where}.data_zone", source),
        send_task=section.send_task,
        timeout_s=section.timeout_s,
        concurrent=section.concurrent_calls,
    )


def _check_plaintext(section: CallbackSection, where: str, source: str) -> None:
    host = section.address.rpartition(":")[0].strip("[]")
    if not is_loopback(host):
        raise ConfigError(
            f"{source}: {where}.tls is false and {section.address!r} is not on this machine: answers and the token "
            "could be read on the way; leave tls out and give its ca, or call it on 127.0.0.1"
        )
    if not section.private:
        raise ConfigError(
            f"{source}: {where}.address is {section.address!r}, a private address; add private = true if it is yours"
        )
    if section.ca:
        raise ConfigError(
            f"{source}: {where} has a ca and tls = false, so there is no certificate; leave one of them out"
        )


def _token(variable: str, where: str, source: str) -> Secret | None:
    if not variable:
        return None
    place = f"{where}.token_env: the environment variable {variable!r}"
    found = os.environ.get(variable)
    if found is None:
        raise ConfigError(f"{source}: {place} is not set; set it to the token, or name another")
    try:
        return Secret(found.strip())
    except ValueError:  # which has seen it
        pass
    raise ConfigError(f"{source}: {place} holds no token; a token is one line of printable ASCII characters")


def check_callbacks(models: tuple[ModelPut, ...], callbacks: Mapping[str, Callback], source: str) -> None:
    """Raise ConfigError where a cascade names a callback that is not there."""
    for model in models:
        check = model.composite.check if model.composite is not None else None
        if check is not None and check.callback and check.callback not in callbacks:
            near = nearest(check.callback, callbacks)
            hint = f"did you mean {near!r}?" if near else f"add [callbacks.{check.callback}]"
            raise ConfigError(
                f"{source}: [[models]] {model.name!r} names the callback {shown(check.callback)}, which is not in "
                f"[callbacks]; {hint}"
            )
