"""The rules that values of naiad.toml keep to, the API's own; each refusal has value, rule and remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime

from naiad.server.bounds import plain
from naiad.server.errors import nearest
from naiad.server.sections import ConfigError, shown

NANO_PER_USD = 1_000_000_000
MOST_LABELS = 64
LONGEST_LABEL = 128  # characters of a key, and of a value
LONGEST_DESCRIPTION = 4_000


def choice(value: str, allowed: tuple[str, ...], key: str, source: str) -> str:
    """Return one of the allowed values; raises ConfigError."""
    if value not in allowed:
        near = nearest(value, allowed)
        hint = f"did you mean {near!r}?" if near else f"use one of {', '.join(allowed)}"
        raise ConfigError(f"{source}: {key} is {shown(value)}; {hint}")
    return value


def between(value: float, low: float, high: float, key: str, source: str) -> None:
    """Raise ConfigError for a number out of its range."""
    if not low <= value <= high:
        raise ConfigError(f"{source}: {key} is {plain(value)}; it must be from {plain(low)} to {plain(high)}")


def nano(usd: float | None, most: int, key: str, source: str) -> int | None:
    """Return USD in nano-USD, of which there may be so many; raises ConfigError."""
    if usd is None:
        return None
    between(usd, 0.0, most / NANO_PER_USD, key, source)
    return round(usd * NANO_PER_USD)


def name(value: str, longest: int, where: str, source: str) -> None:
    """Raise ConfigError for a name that no request could give."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]*", value) or len(value) > longest:
        raise ConfigError(
            f"{source}: {where}: name must be letters, digits, '.', '_', '-', ':' and '/', beginning with a letter "
            f"or digit, at most {longest} characters"
        )


def text(value: str, longest: int, key: str, source: str) -> str:
    """Return a text of one line; raises ConfigError."""
    if len(value) > longest or not value.isprintable():
        raise ConfigError(
            f"{source}: {key} is {shown(value)} ({len(value)} characters); it must be printable characters, at most "
            f"{longest}: shorten it, and leave out line ends and the like"
        )
    return value


def description(value: str, key: str, source: str) -> str:
    """Return a text that is not too long; raises ConfigError."""
    if len(value) > LONGEST_DESCRIPTION:
        raise ConfigError(
            f"{source}: {key} is {shown(value)} ({len(value)} characters); it may have {LONGEST_DESCRIPTION}: "
            "shorten it"
        )
    return value


def labels(values: Mapping[str, str], key: str, source: str) -> dict[str, str]:
    """Return labels that are not too many or too long; raises ConfigError."""
    if len(values) > MOST_LABELS:
        raise ConfigError(f"{source}: {key} has {len(values)} entries; there may be {MOST_LABELS}: leave some out")
    for label, value in values.items():
        if not label:
            raise ConfigError(f"{source}: {key} has an entry with an empty key; give it a name")
        text(label, LONGEST_LABEL, f"a key of {key}", source)
        text(value, LONGEST_LABEL, f"{key}.{label}", source)
    return dict(values)


def midnight_ms(day: str, where: str, source: str) -> int | None:
    """Return when a day begins in UTC, in milliseconds since 1970, None for ""; raises ConfigError."""
    if not day:
        return None
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise ConfigError(f"{source}: {where} is {day!r}; give a day as 2026-12-11") from None
    return int(datetime(found.year, found.month, found.day, tzinfo=UTC).timestamp()) * 1000
