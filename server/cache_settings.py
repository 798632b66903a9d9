"""[cache] and cache_s of naiad.toml: which task classes are cached, for how long, and how much is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from naiad.server import config_rules as rules
from naiad.server.bounds import plain
from naiad.server.governance import Governance
from naiad.server.records import DataClass
from naiad.server.sections import ConfigError, File

LONGEST_S = 604_800.0
MOST_MIB = 65_536


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """Which task classes are cached, and how much is kept; of one tenant."""

    seconds: Mapping[str, float] = field(default_factory=dict)  # task class -> how long an answer may be given again
    entries: int = 10_000
    size_bytes: int = 64 << 20


def cache_settings(file: File, data: Sequence[DataClass], source: str) -> CacheSettings:
    """Return what the file says of caching; raises ConfigError."""
    section = file.cache
    rules.between(section.entries, 1, 10_000_000, "cache.entries", source)
    rules.between(section.mib, 1, MOST_MIB, "cache.mib", source)
    governance, seconds = Governance(tuple(data)), {}
    for index, entry in enumerate(file.task_classes):
        if entry.cache_s == 0.0:  # 0 keeps nothing
            continue
        key = f"task_classes[{index}] ({entry.name!r}).cache_s"
        rules.between(entry.cache_s, 1.0, LONGEST_S, key, source)
        if entry.data_class and governance.no_store(entry.data_class):
            raise ConfigError(
                f"{source}: {key} is {plain(entry.cache_s)}, but nothing of data class {entry.data_class!r} is kept "
                "(no_store); leave cache_s out, or give the task class another data_class"
            )
        seconds[entry.name] = entry.cache_s
    return CacheSettings(seconds, section.entries, section.mib << 20)
