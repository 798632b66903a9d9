"""Sets of recorded outcomes: every model's quality, cost and tokens on every prompt.

A set is a folder with two files (`benchmarks/README.md` describes the format):

- `matrix.npz`: `models` (M), `task_classes` (K), `task_class` (N, an index), and `quality` (0 to 1), `cost_usd`,
  `tokens_in`, `tokens_out`, `latency_s`, each (N, M) with NaN where nothing was recorded;
- `models.csv`: a row for each model with `model`, `price_in_per_m`, `price_out_per_m` (USD per million tokens, may be
  empty) and `pools` (names of arm sets, separated by ";").

`prompts.jsonl.gz` may add a `split` and the text (`prompt`) for each prompt.
"""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VARIABLE = "NAIAD_ROUTING_DATA"
SURFACE = ("log length", "digits", "line breaks", "question marks", "marks of code", "capitals")
_MILLION = 1e6
_PRICE = 1e-7  # USD a token where a set has costs and no tokens: then one token stands for so much


class DataMissing(Exception):
    """There is no such data; the message says how to get some."""


@dataclass(frozen=True)
class Outcomes:
    """What each of M models did with each of N prompts."""

    name: str
    models: tuple[str, ...]
    task_classes: tuple[str, ...]
    task_class: Ints  # (N,)
    quality: Floats  # (N, M), 0 to 1
    cost: Floats  # (N, M), USD; 0 where the set knows no costs
    tokens_in: Ints  # (N, M)
    tokens_out: Ints  # (N, M)
    price_in: Floats  # (M,), USD a token
    price_out: Floats  # (M,)
    split: tuple[str, ...] = ()  # (N,) or nothing
    surface: Floats | None = None  # (N, len(SURFACE)) facts of the texts; None without texts
    texts: tuple[str, ...] = ()  # (N,) or nothing; "" where a text is not known

    @property
    def priced(self) -> bool:
        """Whether the set knows what anything costs."""
        return bool((self.cost > 0.0).any())

    def rows(self, which: Ints) -> Outcomes:
        """Return the prompts of these indices, in their order."""
        return replace(
            self,
            task_class=self.task_class[which],
            quality=self.quality[which],
            cost=self.cost[which],
            tokens_in=self.tokens_in[which],
            tokens_out=self.tokens_out[which],
            split=tuple(self.split[i] for i in which) if self.split else (),
            surface=None if self.surface is None else self.surface[which],
            texts=tuple(self.texts[i] for i in which) if self.texts else (),
        )

    def arms(self, which: Sequence[int]) -> Outcomes:
        """Return the models of these indices, in their order."""
        chosen = list(which)
        return replace(
            self,
            models=tuple(self.models[i] for i in chosen),
            quality=self.quality[:, chosen],
            cost=self.cost[:, chosen],
            tokens_in=self.tokens_in[:, chosen],
            tokens_out=self.tokens_out[:, chosen],
            price_in=self.price_in[chosen],
            price_out=self.price_out[chosen],
        )

    def part(self, split: str) -> Outcomes:
        """Return the prompts of one split; raises DataMissing when there are none."""
        which = np.array([i for i, name in enumerate(self.split) if name == split], dtype=np.int64)
        if not len(which):
            raise DataMissing(f"{self.name} has no prompts of split {split!r}; its prompts.jsonl.gz must say `split`")
        return self.rows(which)


def data_folder(given: Path | None) -> Path:
    """Return the folder of outcome sets; raises DataMissing, which says how to get one."""
    folder = given or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    if folder is None:
        raise DataMissing(
            f"name a folder of outcome sets with --data DIR or {VARIABLE}; benchmarks/README.md describes the format "
            "and where public outcomes can be had"
        )
    if not folder.is_dir():
        raise DataMissing(f"{folder} is not a folder")
    return folder


def load(folder: Path, name: str, pool: str = "", *, priced: bool = True) -> Outcomes:
    """Return a set, or one pool of its models on the prompts that are recorded for all of them.

    priced: leave out prompts without a cost, if the set has costs at all.
    Raises DataMissing for a set or pool that is not there or not in the format.
    """
    path = folder / name
    try:
        with np.load(path / "matrix.npz", allow_pickle=False) as file:
            matrix = {key: file[key] for key in file.files}
        with open(path / "models.csv", encoding="utf-8", newline="") as lines:
            table = {row["model"]: row for row in csv.DictReader(lines)}
    except (OSError, ValueError, KeyError) as error:
        raise DataMissing(f"{path} is not an outcome set: {error}") from error
    try:
        found = _outcomes(name, matrix, table, pool, priced)
    except KeyError as error:
        raise DataMissing(f"{path}/matrix.npz lacks {error}") from error
    which, recorded = found
    prompts = _prompts(path / "prompts.jsonl.gz")
    if len(prompts) == len(recorded.task_class):
        splits = tuple(str(prompt.get("split") or "") for prompt in prompts)
        texts = [str(prompt.get("prompt") or "") for prompt in prompts]
        recorded = replace(recorded, split=splits)
        if any(texts):
            recorded = replace(recorded, surface=_surface(texts), texts=tuple(texts))
    return recorded.rows(which)


def _outcomes(
    name: str, matrix: dict[str, NDArray[np.generic]], table: dict[str, dict[str, str]], pool: str, priced: bool
) -> tuple[Ints, Outcomes]:
    """Return the prompts that are recorded for all models of the pool, and all outcomes of those models."""
    every = [str(model) for model in matrix["models"]]
    pools = {model: table.get(model, {}).get("pools", "").split(";") for model in every}
    arms = [i for i, model in enumerate(every) if not pool or pool in pools[model]]
    if not arms:
        known = sorted({p for found in pools.values() for p in found if p})
        raise DataMissing(f"{name} has no pool {pool!r}; it has {', '.join(known) or 'none'}")
    value = {
        key: np.asarray(matrix[key], dtype=np.float64)[:, arms]
        for key in ("quality", "cost_usd", "tokens_in", "tokens_out")
    }
    priced = priced and not np.isnan(value["cost_usd"]).all()
    complete = ~np.isnan(value["quality"]).any(axis=1)
    if priced:
        complete &= ~np.isnan(value["cost_usd"]).any(axis=1)
    cost = np.nan_to_num(value["cost_usd"])
    prices = np.array(
        [[_price(table.get(every[i], {}).get(f"price_{way}_per_m")) for i in arms] for way in ("in", "out")]
    )
    counted = priced and not np.isnan(prices).any() and not np.isnan(value["tokens_out"][complete]).any()
    if counted:
        tokens_in, tokens_out = value["tokens_in"], value["tokens_out"]
        price_in, price_out = prices / _MILLION
    else:
        tokens_in = np.zeros_like(cost)
        tokens_out = np.rint(cost / _PRICE)
        price_in, price_out = np.zeros(len(arms)), np.full(len(arms), _PRICE)
    return np.flatnonzero(complete), Outcomes(
        name=name,
        models=tuple(every[i] for i in arms),
        task_classes=tuple(str(task_class) for task_class in matrix["task_classes"]),
        task_class=np.asarray(matrix["task_class"], dtype=np.int64),
        quality=np.nan_to_num(value["quality"]),
        cost=cost,
        tokens_in=np.nan_to_num(tokens_in).astype(np.int64),
        tokens_out=np.nan_to_num(tokens_out).astype(np.int64),
        price_in=price_in,
        price_out=price_out,
    )


def _price(text: str | None) -> float:
    return float(text) if text else float("nan")


def _prompts(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        return [json.loads(line) for line in lines]


def _surface(texts: Sequence[str]) -> Floats:
    """Return facts that a look at each text tells, standardised, (N, len(SURFACE))."""
    rows = [
        [
            math.log1p(len(text)),
            sum(c.isdigit() for c in text) / max(1, len(text)),
            text.count("\n") / max(1, len(text)),
            float(text.count("?")),
            sum(c in "{}();=<>[]" for c in text) / max(1, len(text)),
            sum(c.isupper() for c in text) / max(1, len(text)),
        ]
        for text in texts
    ]
    found = np.array(rows)
    return np.asarray((found - found.mean(axis=0)) / np.maximum(found.std(axis=0), 1e-9))
