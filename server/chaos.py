"""Simulated failures for a server: the file that plans them, and the rules without which none begins.

They are asked for on the command line alone, so that no configuration can carry them along into production. The server
is reached from this machine only, unless an option says otherwise. Its database is none that the configuration names:
what a simulated failure teaches about a provider must not be learned for good.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import msgspec

from naiad.adapters.faults import Fault, FaultKind
from naiad.server import config_rules as rules
from naiad.server.address import is_loopback, split_address
from naiad.server.errors import nearest
from naiad.server.sections import ConfigError, ServerSection, check_values

_MOST = 1_000  # faults


class FaultSection(msgspec.Struct, kw_only=True, frozen=True):
    """[[faults]]: one kind of failure, and the calls that it befalls."""

    kind: str
    endpoint: str = "*"
    model: str = "*"
    every: int | None = None
    probability: float | None = None
    from_s: float = 0.0
    until_s: float | None = None
    status: int | None = None
    code: str = ""
    retry_after_s: float | None = None
    delay_s: float | None = None
    deltas: int = 0


class FaultFile(msgspec.Struct, kw_only=True, frozen=True):
    """The whole file."""

    faults: list[FaultSection] = []
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a file plans."""

    source: str  # the file's name
    faults: tuple[Fault, ...]
    seed: int = 0

    def of(self, endpoint: str) -> tuple[Fault, ...]:
        """Return the faults that an endpoint may meet."""
        return tuple(fault for fault in self.faults if fnmatchcase(endpoint, fault.endpoint))


def read(path: Path) -> Plan:
    """Read and check a file of faults; raises ConfigError."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}; give the path of a file of faults") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return parse(data, str(path))


def parse(data: dict[str, Any], source: str) -> Plan:
    """Return the plan of a file that was read already; raises ConfigError."""
    check_values(data, FaultFile, source, "")
    try:
        file = msgspec.convert(data, FaultFile, strict=True)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from error
    if not 1 <= len(file.faults) <= _MOST:
        raise ConfigError(
            f"{source}: there are {len(file.faults)} faults; begin each with [[faults]], 1 to {_MOST:,} of them"
        )
    return Plan(source, tuple(_fault(section, n, source) for n, section in enumerate(file.faults)), file.seed)


def check(plan: Plan, endpoints: dict[str, str]) -> None:
    """Raise ConfigError for a fault that matches no endpoint of the configuration."""
    for n, fault in enumerate(plan.faults):
        if not any(fnmatchcase(name, fault.endpoint) for name in endpoints):
            near = nearest(fault.endpoint, endpoints)
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(sorted(endpoints))}"
            raise ConfigError(
                f"{plan.source}: faults[{n}].endpoint is {fault.endpoint!r}, which is no endpoint; {hint}"
            )


def guard(plan: Plan, server: ServerSection, *, beyond_loopback: bool) -> None:
    """Raise ConfigError for a server that others can reach; beyond_loopback: that is accepted."""
    host, _ = split_address(server)
    if not is_loopback(host) and not beyond_loopback:
        raise ConfigError(
            f"{plan.source}: the server listens on {server.listen!r}, which others can reach, and would fail their "
            "calls on purpose; listen on 127.0.0.1, or accept it with --allow-chaos-beyond-loopback"
        )


def own_database(plan: Plan, asked: Path, configured: Path | None) -> None:
    """Raise ConfigError for the database of the configuration, which is to be kept clean; asked: for the failures."""
    if configured is not None and asked.resolve() == configured.resolve():
        raise ConfigError(
            f"{plan.source}: simulated failures would be learned in {str(asked)!r}, the configuration's own database, "
            "for good; give a copy of it with --data-dir, or leave --data-dir out to keep nothing"
        )


def _fault(section: FaultSection, n: int, source: str) -> Fault:
    where = f"faults[{n}]"
    kind = rules.choice(section.kind, tuple(kind.value for kind in FaultKind), f"{where}.kind", source)
    given = {name: getattr(section, name) for name in FaultSection.__struct_fields__}
    try:
        return Fault(**{**given, "kind": FaultKind(kind)})
    except ValueError as error:
        raise ConfigError(f"{source}: {where}: {error}") from None
