"""A model that silently gets worse in the middle third of the prompts and recovers: R4, and the same on other sets.

R4 is ParetoBandit's protocol: its validation prompts first, under the budget, then 608 of its test prompts as they are,
608 with Mistral's score at .75, and the first 608 again. Nobody tells the router. `cold` leaves the first part out.

`drops` cuts the best model of each set by 30% (of pass or fail, so many passes fail) and compares regret with that of
the same engine without drift alarms; regret counts against the best model of each class as it is at the time.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing.budgets import POOL, PRICED, SET, held
from benchmarks.routing.outcomes import Floats, Ints, Outcomes, load
from benchmarks.routing.plan import Arena, Plan, chosen, show, summary
from benchmarks.routing.prices import list_priced
from benchmarks.routing.references import class_means
from benchmarks.routing.replay import EngineRouter, stream
from naiad.bandit.objective import Strategy
from naiad.server.records import ObjectiveSpec

SICK, LEVEL, PHASE = "mistral-large-2512", 0.75, 608
PUBLISHED = dict(zip(PRICED, ((0.863, 0.800, 0.818), (0.885, 0.795, 0.863), (0.910, 0.794, 0.898)), strict=True))
CALLS, SHARE, BACK = 100, 0.10, 0.01
CUT = 0.3
QUALITY_ONLY = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)
DROPS = (
    Arena("bfcl", "bfcl12", 1_700, 1.0),
    Arena("paretobandit_k4", "k4", 3_559, 1.0),
    Arena("llmrouter9", "llmrouter9", 4_000, 1.0),
    Arena("mmlupro", "mmlupro15", 4_000, 1.0),
)


class Drop(NamedTuple):
    """What one run came to, by phase where there are three."""

    quality: list[float]
    spend: list[float]  # over budget
    share: list[float]  # of the sick model
    rest: float  # its share in the second phase after so many of its calls there
    noticed: float  # its calls in the second phase until an alarm; NaN if there was none


def r4(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Quality before, during and after a silent drop, at three budgets, beside what is published."""
    outcomes = list_priced(load(plan.folder, SET, POOL))
    table: dict[str, dict[str, Any]] = {}
    good = True
    for budget in PRICED:
        for start in ("learned", "cold"):
            runs = [silent_drop(outcomes, budget, seed, cold=start == "cold") for seed in plan.seeds]
            print(f"r4  ${budget:g} a request, {start}: published {PUBLISHED[budget]}")
            row: dict[str, Any] = {}
            for phase, name in enumerate(("before", "during", "after")):
                row[f"quality_{name}"] = summary([run.quality[phase] for run in runs], worst=min)
                row[f"spend_{name}"] = summary([run.spend[phase] for run in runs])
                row[f"share_{name}"] = summary([run.share[phase] for run in runs])
            row["lost_after"] = summary([run.quality[0] - run.quality[2] for run in runs])
            row["share_rest"] = summary([run.rest for run in runs])
            row["noticed"] = float(np.nanmedian([run.noticed for run in runs]))
            for name, found in row.items():
                if isinstance(found, dict):
                    show(name, found, 4)
            print(f"    calls until an alarm, median      {row['noticed']:.0f}")
            table[f"{budget:g} {start}"] = row
            if start == "learned":
                good &= row["quality_during"]["mean"] >= PUBLISHED[budget][1] and row["lost_after"]["mean"] <= BACK
                good &= row["share_rest"]["mean"] <= SHARE
    reach = (
        f"during the drop >= published at all budgets, share of the sick model <= {SHARE:g} after {CALLS} of its calls "
        f"there, afterwards within {BACK:g} of before"
    )
    value = {
        key: {name: row[name]["mean"] for name in ("quality_during", "share_rest", "lost_after")}
        for key, row in table.items()
    }
    return {"value": value, "reach": reach, "pass": good}, table


def silent_drop(outcomes: Outcomes, budget: float, seed: int, *, cold: bool = False) -> Drop:
    """Run the protocol once."""
    one = stream(outcomes.part("test"), seed)
    rng = np.random.default_rng([seed, 60])
    one = one.rows(np.concatenate([np.arange(2 * PHASE), rng.permutation(PHASE)]))
    sick = one.models.index(SICK)
    quality = one.quality.copy()
    quality[PHASE : 2 * PHASE, sick] = LEVEL
    one = replace(one, quality=quality)
    first = outcomes.part("val").arms([outcomes.models.index(model) for model in one.models])
    first = first.rows(rng.permutation(len(first.task_class)))
    router = EngineRouter(one if cold else first, held(budget), seed)
    if not cold:
        router.run()
        router.outcomes = one
    heard = len(router.alarms)
    noticed = float("nan")
    steps = len(one.task_class)
    arms: Ints = np.zeros(steps, dtype=np.int64)
    cost: Floats = np.zeros(steps)
    for row in range(steps):
        record = router.decide(row)
        arms[row] = record.model
        cost[row] = router.bill(record, row)
        router.judge(record, float(one.quality[row, record.model]))
        if row >= PHASE and np.isnan(noticed) and any(alarm.model == sick for alarm in router.alarms[heard:]):
            noticed = float((arms[PHASE : row + 1] == sick).sum())
    own = one.quality[np.arange(steps), arms]
    is_sick = np.asarray(arms == sick, dtype=np.float64)
    calls = np.cumsum(is_sick[PHASE : 2 * PHASE])
    rest = is_sick[PHASE : 2 * PHASE][calls >= CALLS][1:]
    quality_by, spend_by, share_by = (
        [float(part.mean()) for part in np.split(values, 3)] for values in (own, cost / budget, is_sick)
    )
    return Drop(
        quality_by, spend_by, share_by,
        rest=float(rest.mean()) if len(rest) else 0.0,
        noticed=noticed if noticed <= calls[-1] else float("nan"),
    )  # fmt: skip


def drops(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Regret during and after a cut of the best model, with drift alarms over without, quality only."""
    table: dict[str, dict[str, Any]] = {}
    good = True
    for arena in chosen(plan, DROPS):
        outcomes = load(plan.folder, arena.name, arena.pool, priced=False)
        lost: dict[str, list[list[float]]] = {"with": [], "without": []}
        alarms: list[int] = []
        for seed in plan.seeds:
            one, means = cut_in_the_middle(outcomes, arena.length, seed)
            for name, found in lost.items():
                router = EngineRouter(one, QUALITY_ONLY, seed, drift=name == "with")
                arms = router.run(priced=False).arms
                gaps = means.max(axis=2) - np.take_along_axis(means, arms[None, :, None], axis=2)[:, :, 0]
                thirds = np.array_split(np.arange(len(arms)), 3)
                found.append([float(gaps[int(i == 1), rows].sum()) for i, rows in enumerate(thirds)])
                if name == "with":
                    alarms.append(len(router.alarms))
        row: dict[str, Any] = {"alarms": float(np.mean(alarms))}
        print(f"drops  {arena.pool}: regret in thirds, alarms of a run {row['alarms']:.1f}")
        for phase, when in enumerate(("before", "during", "after")):
            for name, found in lost.items():
                row[f"{when}, {name} alarms"] = summary([one_run[phase] for one_run in found])
                show(f"{when}, {name} alarms", row[f"{when}, {name} alarms"], 1)
        whole = {name: sum(run[1] + run[2] for run in runs) for name, runs in lost.items()}
        row["ratio_during"] = row["during, with alarms"]["mean"] / row["during, without alarms"]["mean"]
        row["ratio_whole"] = whole["with"] / whole["without"]
        print(f"    with over without: during {row['ratio_during']:.2f}, during and after {row['ratio_whole']:.2f}")
        good &= row["ratio_whole"] <= arena.reach
        table[arena.pool] = row
    value = {pool: {key: row[key] for key in ("ratio_during", "ratio_whole")} for pool, row in table.items()}
    return {"value": value, "reach": "ratio_whole <= 1 on each set", "pass": good}, table


def cut_in_the_middle(outcomes: Outcomes, length: int, seed: int) -> tuple[Outcomes, Floats]:
    """Return a stream, and what each model is worth for each prompt of it as usual and while cut, (2, T, M)."""
    one = stream(outcomes, seed, length)
    order = [outcomes.models.index(model) for model in one.models]
    usual = class_means(outcomes.quality, outcomes.task_class, len(outcomes.task_classes))[:, order]
    best = int(np.argmax(outcomes.quality.mean(axis=0)[order]))
    cut = usual.copy()
    cut[:, best] *= 1.0 - CUT
    middle = np.array_split(np.arange(len(one.task_class)), 3)[1]
    quality = one.quality.copy()
    graded = np.unique(quality[:, best]).size > 2
    spared = (1.0 - CUT) if graded else np.random.default_rng([seed, 62]).random(len(middle)) >= CUT
    quality[middle, best] *= spared
    return replace(one, quality=quality), np.stack([usual[one.task_class], cut[one.task_class]])
