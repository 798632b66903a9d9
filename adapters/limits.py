"""What a provider's headers say about when to come back and how much is left.

Numbers come from outside: what is not a finite number from 0 on is taken as not said, and waits are cut to a day.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WAIT_S = 86_400.0
_DURATION = re.compile(
    r"(?=.)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII
)
_NUMBER = re.compile(r"\d{1,18}(?:\.\d{1,18})?", re.ASCII)
_OPENAI = re.compile(r"x-ratelimit-(limit|remaining|reset)-(requests|tokens)")
_ANTHROPIC = re.compile(r"anthropic-ratelimit-(requests|tokens|input-tokens|output-tokens)-(limit|remaining|reset)")
_MISTRAL = re.compile(r"x-ratelimit-(limit|remaining)-(req|tokens)-minute")


@dataclass(frozen=True, slots=True)
class Allowance:
    """One rate limit as the provider states it; None for what it did not say."""

    limit: int | None = None
    remaining: int | None = None
    reset_s: float | None = None  # seconds until all of it is there again


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long the provider asks to wait, seconds, or None if it does not say so in a form that is known.

    Reads `retry-after-ms`, then `retry-after` in seconds or as an HTTP date (RFC 9110, 10.2.3). A date counts from the
    reply's own `date` where there is one, so that clocks need not agree. headers: lower-case names; now: UTC.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1_000, LONGEST_WAIT_S)
    text = headers.get("retry-after", "").strip()
    seconds = _number(text)
    if seconds is not None:
        return min(seconds, LONGEST_WAIT_S)
    until = _date(text)
    return None if until is None else _wait(until, _date(headers.get("date", "")) or now)


def allowances(headers: Mapping[str, str], now: datetime) -> dict[str, Allowance]:
    """Return the rate limits that the headers state: "requests", "tokens", "input-tokens", "output-tokens".

    Knows OpenAI's form (with resets as "6m0s"), which many others use, Anthropic's (with resets in RFC 3339) and
    Mistral's, whose window is a minute.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in headers.items():
        if match := _OPENAI.fullmatch(name) or _MISTRAL.fullmatch(name):
            what, kind = match.groups()
        elif match := _ANTHROPIC.fullmatch(name):
            kind, what = match.groups()
        else:
            continue
        found.setdefault("requests" if kind == "req" else kind, {})[what] = value.strip()
    return {
        kind: Allowance(_count(said.get("limit")), _count(said.get("remaining")), _reset(said.get("reset"), now))
        for kind, said in found.items()
    }


def pause_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long nothing more may be asked, seconds: until what is used up is there again; None if nothing is.

    headers: lower-case names; now: UTC.
    """
    waits = [a.reset_s for a in allowances(headers, now).values() if a.remaining == 0 and a.reset_s is not None]
    return max(waits, default=None)


def duration_s(text: str) -> float | None:
    """Return the seconds of a duration as "1d2h3m4.5s", "12ms" or "3.2"; None for anything else."""
    plain = _number(text)
    if plain is not None:
        return min(plain, LONGEST_WAIT_S)
    match = _DURATION.fullmatch(text) if len(text) <= 60 else None
    if match is None:
        return None
    parts = (float(part or 0) for part in match.groups())
    return min(sum(a * b for a, b in zip(parts, (86_400, 3_600, 60, 1, 0.001), strict=True)), LONGEST_WAIT_S)


def _reset(text: str | None, now: datetime) -> float | None:
    if not text:
        return None
    plain = duration_s(text)
    if plain is not None:
        return plain
    try:
        until = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _wait(until, now)


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text.strip()) else None


def _count(text: str | None) -> int | None:
    value = _number(text or "")
    return None if value is None else int(value)


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text) if 0 < len(text) <= 60 else None
    except (ValueError, OverflowError):
        return None


def _wait(until: datetime, now: datetime) -> float | None:
    since, to = (moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in (now, until))
    wait_s = (to - since).total_seconds()
    return min(max(wait_s, 0.0), LONGEST_WAIT_S) if math.isfinite(wait_s) else None
