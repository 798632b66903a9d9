"""Reads the recorded real outcomes that the wheel `paretobandit` carries: prompts, quality, dollars.

The wheel (Apache-2.0) is data only: its files are found through the package metadata and it is never
imported. A file holds one JSON object a line, `{"prompt", "source", "arms": {model: {"reward", "cost"}}}`.
Lines end at newline *bytes*: a prompt may contain U+2028, at which `str.splitlines` would cut it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from naiad.adapters.pricing import NANO, Price

DISTRIBUTION = "paretobandit"
VERSION = "0.1.1"
INSTALL = f"pip install --no-deps {DISTRIBUTION}=={VERSION}"

_FILES = ("pareto_bandit/data/examples/val.jsonl", "pareto_bandit/data/examples/test_holdout.jsonl")

RECORDED_PRICES: Mapping[str, Price] = MappingProxyType(
    {
        "meta-llama/llama-3.1-8b-instruct": Price(input=100_000_000, output=100_000_000),
        "mistralai/mistral-large-2512": Price(input=500_000_000, output=1_500_000_000),
        "google/gemini-2.5-pro": Price(input=1_250_000_000, output=10_000_000_000),
    }
)
"""The prices that the recorded costs were billed at, in nano-USD per million tokens.

They are the wheel's own (`pareto_bandit/config/models.json`), and every recorded cost is a whole number of
tokens at them. Mistral's and Gemini's equal the lists of November 2026; OpenRouter's price for Llama 3.1 8B
differs by now."""


class ReplayDataError(Exception):
    """The recorded outcomes cannot be used; the message says what to do."""


class ReplayDataMissing(ReplayDataError):
    """The wheel with the recorded outcomes is not installed, or is another version."""


class ReplayLineMalformed(ReplayDataError):
    """A line of a file is not a recorded outcome; `path` and `line` (from 1) say where."""

    def __init__(self, path: Path, line: int, rule: str) -> None:
        super().__init__(f"{path}, line {line}: {rule}")
        self.path = path
        self.line = line


@dataclass(frozen=True, slots=True)
class RecordedArm:
    """How one model did on one prompt."""

    reward: float  # graded quality in [0, 1]
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class ReplayRecord:
    """One prompt and what each model made of it."""

    prompt: str
    task_class: str  # the benchmark it comes from, e.g. "gsm8k" or "bbh/snarks"
    arms: Mapping[str, RecordedArm]  # by the name of the model


def replay_available() -> bool:
    """Tell whether `load_records()` would find its files."""
    try:
        recorded_files()
    except ReplayDataMissing:
        return False
    return True


def recorded_files() -> tuple[Path, ...]:
    """Find the files in the installed wheel; raise `ReplayDataMissing` if they are not there."""
    try:
        wheel = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        raise ReplayDataMissing(
            f"the recorded outcomes are in the wheel {DISTRIBUTION}, which is not installed: {INSTALL}"
        ) from None
    if wheel.version != VERSION:
        raise ReplayDataMissing(
            f"{DISTRIBUTION} {wheel.version} is installed, but outcomes are read from {VERSION}: {INSTALL}"
        )
    paths = tuple(Path(str(wheel.locate_file(name))) for name in _FILES)
    for path in paths:
        if not path.is_file():
            raise ReplayDataMissing(f"{DISTRIBUTION} {VERSION} lacks {path.name}: {INSTALL} --force-reinstall")
    return paths


def load_records(paths: Iterable[Path] | None = None) -> tuple[ReplayRecord, ...]:
    """Read the recorded outcomes in file order, 3,609 of them from the wheel, or those of the files given.

    Raises `ReplayDataMissing`, `ReplayLineMalformed`, and OSError for a path given that cannot be read.
    """
    records: list[ReplayRecord] = []
    for path in recorded_files() if paths is None else paths:
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
            if line.strip():
                records.append(_record(line, path, number))
    return tuple(records)


def _record(line: bytes, path: Path, number: int) -> ReplayRecord:
    def malformed(rule: str) -> ReplayLineMalformed:
        return ReplayLineMalformed(path, number, rule)

    def refuse(constant: str) -> NoReturn:
        raise malformed(f"{constant} is not a JSON number")

    try:
        row = json.loads(line.decode(), parse_float=Decimal, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise malformed(f"not JSON ({error})") from error
    if not isinstance(row, dict):
        raise malformed(f"a JSON {type(row).__name__}; expected an object with prompt, source and arms")
    for field in ("prompt", "source"):
        if not (isinstance(row.get(field), str) and row[field]):
            raise malformed(f"{field!r} must be text that is not empty")
        try:
            row[field].encode()
        except UnicodeEncodeError as error:
            raise malformed(f"{field!r} has half a surrogate pair, which is not text") from error
    arms = row.get("arms")
    if not (isinstance(arms, dict) and arms):
        raise malformed("'arms' must be an object with at least one model")
    recorded = {}
    for model, arm in arms.items():
        if not isinstance(arm, dict):
            raise malformed(f"arm {model!r} must be an object with reward and cost")
        reward, cost = _number(arm.get("reward")), _number(arm.get("cost"))
        if reward is None or not 0 <= reward <= 1:
            raise malformed(f"reward of {model!r} must be a number in [0, 1]")
        if cost is None or not 0 <= cost < NANO:
            raise malformed(f"cost of {model!r} must be dollars, at least 0 and below {NANO}")
        nano = int((cost * NANO).to_integral_value(ROUND_HALF_EVEN))
        recorded[str(model)] = RecordedArm(float(reward), nano)
    return ReplayRecord(row["prompt"], row["source"], MappingProxyType(recorded))


def _number(value: Any) -> Decimal | None:
    """A finite JSON number as a Decimal, None for anything else (true and false are no numbers)."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    number = Decimal(value)
    return number if math.isfinite(number) else None
