"""The learning of the demo's first act over many seeds, in process: the server's own engine, without sockets or disk.

    python -m benchmarks.demo --seeds 20 --json FILE

Each seed shuffles the prompts, the order of the models and the draws. As in the demo, so many decisions are in flight
at a time: an outcome is known only when as many later ones have been decided. Every figure is over the second half of
the prompts, except `demo_vs_random`, which is over all of them.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks import report
from naiad.adapters.base import Message, Role, TextPart
from naiad.adapters.replay import RECORDED_PRICES, load_records, tokens_of_cost
from naiad.adapters.replay_records import ReplayDataError, ReplayRecord
from naiad.adapters.tokens import estimate_tokens
from naiad.bandit.objective import NANO, Objective
from naiad.bandit.statistics import to_fixed
from naiad.server.config import Config, build
from naiad.server.decision_id import Signer
from naiad.server.demo.outcomes import Table, shuffled
from naiad.server.demo.references import best_by_class, best_quality
from naiad.server.demo.settings import IN_FLIGHT, JUDGE, OBJECTIVE, policy
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.ledger import FIRST_ATTEMPT, Entry, take_outcome, take_ratings
from naiad.server.money import cost_of
from naiad.server.query import DEFAULT_OUTPUT_TOKENS
from naiad.server.records import Decided, Outcome, Rating, TaskClassPut, Usage
from naiad.server.sections import File

_JUDGE = 2  # FeedbackSource


@dataclass(frozen=True, slots=True)
class Prompts:
    """The recorded prompts in the engine's words: outcomes, tokens of the prompt, tokens that each model used."""

    table: Table
    input_tokens: tuple[int, ...]  # as the server estimates them
    usages: tuple[tuple[Usage, ...], ...]  # (n_prompts, n_models)

    @classmethod
    def of(cls, records: tuple[ReplayRecord, ...]) -> Prompts:
        """Return the prompts of records, in their order."""
        table = Table.of(records)
        tokens, usages = [], []
        for record in records:
            tokens.append(estimate_tokens([Message(Role.USER, (TextPart(record.prompt),))]))
            size = len(record.prompt.encode("utf-8", "surrogatepass"))
            found = []
            for model in table.models:
                seen = tokens_of_cost(record.arms[model].cost_nano_usd, size, RECORDED_PRICES[model])
                found.append(Usage(input_tokens=seen.input_tokens, output_tokens=seen.output_tokens))
            usages.append(tuple(found))
        return cls(table, tuple(tokens), tuple(usages))


class World:
    """An engine with the built-in inventory, and the folding that the server's journal does."""

    def __init__(self, config: Config, models: list[str]) -> None:
        self.engine = Engine(EngineSettings(belief=config.belief, drift=config.drift), Signer({1: bytes(32)}, 1))
        self._sequence = 0
        entries = {m.name: m for m in config.models}
        for position, name in enumerate(models):
            self.apply(msgspec.structs.replace(entries[name], model=position))
        self.apply(msgspec.structs.replace(config.policy, version=1))

    def apply(self, event: Any) -> None:
        """Fold an event as the next of the log."""
        self._sequence += 1
        self.engine.apply(self._sequence, event)

    def decide(self, task_class: str, input_tokens: int, at_ms: int, uniform: float) -> Decided:
        """Choose as RouterService.Complete does, and fold the decision."""
        catalog = self.engine.catalog
        if catalog.find_task_class(task_class) is None:
            self.apply(TaskClassPut(task_class=len(catalog.task_classes), name=task_class))
        query = Query(task_class, needs=Needs(input_tokens, DEFAULT_OUTPUT_TOKENS))
        record = self.engine.decide(query, at_ms=at_ms, uniform=uniform).record
        self.apply(record)
        return record

    def learn(self, record: Decided, usage: Usage, latency_s: float, score: float) -> int:
        """Fold the outcome and the judgement of a decision's answer; return what it cost, in nano-USD."""
        cost = cost_of(usage, self.engine.catalog.models[record.model].prices)
        outcome = Outcome(model=record.model, ordinal=record.ordinal, usage=usage, cost=cost, latency_s=latency_s)
        entry = Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)
        entry, event = take_outcome(entry, FIRST_ATTEMPT, outcome, record.at_ms)
        self.apply(event)
        rating = Rating(source=_JUDGE, rater=JUDGE, value=to_fixed(score))
        self.apply(take_ratings(entry, (FIRST_ATTEMPT,), (rating,), record.at_ms)[1])
        return cost.total if cost is not None else 0


@dataclass(frozen=True, slots=True)
class Run:
    """What one seed came to."""

    seed: int
    gain_over_random_usd: float  # a decision, over all prompts
    regret_share: float  # second half, below
    spend_share: float
    quality_gap: float
    quality: float
    seconds: float


def learn(prompts: Prompts, records: tuple[ReplayRecord, ...], config: Config, objective: Objective, seed: int) -> Run:
    """Run one seed: decide every prompt once, with outcomes that arrive late."""
    began = time.perf_counter()
    position = {id(record): i for i, record in enumerate(records)}
    order = [position[id(record)] for record in shuffled(records, seed)]
    rng = random.Random(f"demo {seed}")
    names = list(prompts.table.models)
    rng.shuffle(names)
    columns = [prompts.table.models.index(name) for name in names]
    world = World(config, names)
    choice = []
    waiting: deque[tuple[int, Decided]] = deque()
    for step, row in enumerate(order):
        record = world.decide(prompts.table.task_classes[row], prompts.input_tokens[row], step + 1, rng.random())
        choice.append(columns[record.model])
        waiting.append((row, record))
        if len(waiting) >= IN_FLIGHT:
            _settle(world, prompts, columns, *waiting.popleft())
    for row, record in waiting:
        _settle(world, prompts, columns, row, record)
    return _judged(prompts.table.rows(order), objective, np.array(choice), seed, time.perf_counter() - began)


def _settle(world: World, prompts: Prompts, columns: list[int], row: int, record: Decided) -> None:
    column = columns[record.model]
    table = prompts.table
    billed = world.learn(
        record, prompts.usages[row][column], float(table.latency_s[row, column]), float(table.quality[row, column])
    )
    if abs(billed - table.cost_usd[row, column] * NANO) > 0.5:
        raise AssertionError(f"billed {billed} nano-USD; recorded were {table.cost_usd[row, column] * NANO:.0f}")


def _judged(table: Table, objective: Objective, choice: NDArray[np.int64], seed: int, seconds: float) -> Run:
    by_class = best_by_class(table, objective)
    best = np.array([by_class[name] for name in table.task_classes])
    rows, utility = np.arange(len(table)), table.utility(objective)
    half = slice(len(table) // 2, None)
    ours, ideal = utility[rows, choice], utility[rows, best]
    top = best_quality(table)
    quality = table.quality[rows, choice][half].mean()
    return Run(
        seed,
        float((ours - utility.mean(axis=1)).mean()),
        float((ideal - ours)[half].sum() / ideal[half].sum()),
        float(table.cost_usd[rows, choice][half].sum() / table.cost_usd[half, top].sum()),
        float(table.quality[half, top].mean() - quality),
        float(quality),
        seconds,
    )


def figures(runs: list[Run]) -> dict[str, report.Figure]:
    """Return the figures with what they are to reach; at least two runs."""
    gains = np.array([run.gain_over_random_usd for run in runs])
    error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
    gain = float(gains.mean())
    return {
        "demo_vs_random": {
            "value": {"usd_per_decision": gain, "standard_error": error},
            "reach": "above 0 by two standard errors",
            "pass": gain > 2 * error,
        },
        "demo_second_half_regret": report.at_most(float(np.mean([run.regret_share for run in runs])), 0.01),
        "demo_spend_share": report.at_most(float(np.mean([run.spend_share for run in runs])), 0.10),
        "demo_quality_gap": report.at_most(float(np.mean([run.quality_gap for run in runs])), 0.015),
    }


def main(arguments: list[str] | None = None) -> int:
    """Run the seeds, print the figures; exit code 0 when all are reached, 1 when not, 2 without the data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demo", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=20, help="how many, at least 2 (default 20)")
    parser.add_argument("--prompts", type=int, default=None, help="how many of each seed's order (default: all)")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="where to write the figures")
    options = parser.parse_args(arguments)
    if options.seeds < 2:
        parser.error(f"--seeds is {options.seeds}; a standard error needs at least 2")
    try:
        records = load_records()
    except ReplayDataError as error:
        print(f"benchmarks.demo: {error}", file=sys.stderr)
        return 2
    if options.prompts is not None:
        records = tuple(shuffled(records, 0)[: options.prompts])
    where = report.machine()
    prompts = Prompts.of(records)
    config = build(File(policy=policy()), "the demo's settings")
    runs = []
    print("seed  regret 2nd half  spend share  quality gap  gain on random  seconds")
    for seed in range(1, options.seeds + 1):
        run = learn(prompts, records, config, OBJECTIVE, seed)
        runs.append(run)
        print(
            f"{seed:4}  {run.regret_share:15.3%}  {run.spend_share:11.3%}  {run.quality_gap:11.4f}  "
            f"{run.gain_over_random_usd:13.6f}$  {run.seconds:7.1f}",
            flush=True,
        )
    return report.finish(
        figures(runs), {"runs": [asdict(run) for run in runs], "prompts": len(records)}, where=where,
        packages=("naiad", "numpy", "paretobandit"), path=options.json,
    )  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
