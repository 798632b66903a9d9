"""The figures of the routing benchmark: each a protocol over seeds, beside baselines on the same streams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing import baselines, money, plots
from benchmarks.routing.budgets import prices, r3
from benchmarks.routing.drops import drops, r4
from benchmarks.routing.features import features
from benchmarks.routing.frontier import frontier
from benchmarks.routing.newcomers import r5
from benchmarks.routing.outcomes import Floats, Ints, Outcomes, load
from benchmarks.routing.peers import peers
from benchmarks.routing.plan import Arena, Plan, chosen, show, summary
from benchmarks.routing.references import class_means, fixed, offline, regret, static_mix
from benchmarks.routing.replay import EngineRouter, Run, stream
from naiad.bandit.objective import Strategy
from naiad.server.records import ObjectiveSpec

OURS = "Naiad"
QUALITY_ONLY = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)
SAVING = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST))
MONEY = ObjectiveSpec(strategy=int(Strategy.BALANCED), usd_per_quality=1.0, usd_per_second=0.0)
LATE, MISSING = 1_000, 0.3  # of delayed judgements: how many decisions late at most, and the share that never comes


R1 = (
    Arena("bfcl", "bfcl12", 1_700, 57.0),
    Arena("paretobandit_k4", "k4", 3_559, 19.0),
    Arena("llmrouter9", "llmrouter9", 4_000, 165.0),
    Arena("mmlupro", "mmlupro15", 4_000, 150.0),
)
R2 = (
    Arena("bfcl", "bfcl56", 1_696, 0.87),
    Arena("mmlupro", "mmlupro15", 4_000, 0.88),
    Arena("paretobandit_k4", "k4", 4_000, 0.85),
    Arena("llmrouter9", "llmrouter9", 4_000, 0.82),
)
R11 = (
    Arena("mmlupro", "mmlupro15", 4_000, 0.35),
    Arena("bfcl", "bfcl12", 1_700, 0.40),
    Arena("paretobandit_k4", "k4", 3_559, 0.70),
)


def r1(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Cumulative regret against the best model of each class, quality only."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    good = True
    for arena in chosen(plan, R1):
        outcomes = load(plan.folder, arena.name, arena.pool, priced=False)
        curves: dict[str, list[Floats]] = {}
        for seed in plan.seeds:
            one = stream(outcomes, seed, arena.length)
            arms = {OURS: EngineRouter(one, QUALITY_ONLY, seed).run(priced=False).arms}
            arms |= {name: policy(one, one.quality, seed) for name, policy in baselines.BASELINES.items()}
            arms |= peers(plan.python, one, one.quality, seed)
            for name, which in arms.items():
                curves.setdefault(name, []).append(regret(means_of(outcomes, one), one.task_class, which))
        print(f"r1  {arena.pool}: regret after {min(arena.length, len(outcomes.task_class))} prompts")
        table[arena.pool] = {name: summary([float(c[-1]) for c in seeds]) for name, seeds in curves.items()}
        if plan.plots:
            print(f"    {plots.regret_curves(plan.plots, arena.pool, curves, OURS)}")
        for name, found in table[arena.pool].items():
            show(name, found, 1)
        ours, greedy = table[arena.pool][OURS]["mean"], table[arena.pool]["epsilon-greedy .05, no class"]["mean"]
        good &= ours <= arena.reach and ours <= 1.05 * greedy
    reach = ", ".join(f"{arena.pool} <= {arena.reach:g}" for arena in chosen(plan, R1))
    value = {pool: rows[OURS] for pool, rows in table.items()}
    return {"value": value, "reach": f"{reach}, and <= 1.05 x epsilon-greedy", "pass": good}, table


def means_of(outcomes: Outcomes, one: Outcomes) -> Floats:
    """Return the mean quality of each class and model over the whole set, the models in the order of the stream."""
    order = [outcomes.models.index(model) for model in one.models]
    return class_means(outcomes.quality, outcomes.task_class, len(outcomes.task_classes))[:, order]


def r2(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Gap closed between random and best per class with money in the objective, ten models spread over price."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    good = True
    for arena in chosen(plan, R2):
        outcomes = money.spread(load(plan.folder, arena.name, arena.pool))
        closed: dict[str, list[float]] = {}
        for seed in plan.seeds:
            one = stream(money.billed(outcomes), seed, arena.length)
            value = np.asarray(one.quality - (one.cost - money.WEIGHT * money.SHIFT))
            arms = {OURS: EngineRouter(one, MONEY, seed).run().arms}
            arms |= {name: policy(one, value, seed) for name, policy in baselines.BASELINES.items()}
            arms |= peers(plan.python, one, value, seed)
            for name, which in arms.items():
                closed.setdefault(name, []).append(gap_closed(one, value, which))
        print(f"r2  {arena.name}: gap closed on {len(outcomes.models)} models")
        table[arena.name] = {name: summary(values, worst=min) for name, values in closed.items()}
        for name, found in table[arena.name].items():
            show(name, found, 3)
        ours = table[arena.name][OURS]
        good &= ours["mean"] >= arena.reach and ours["p10"] >= 0.70
    reach = ", ".join(f"{arena.name} >= {arena.reach:g}" for arena in chosen(plan, R2))
    value_of = {name: rows[OURS] for name, rows in table.items()}
    return {"value": value_of, "reach": f"{reach}, 10th percentile of seeds >= 0.70", "pass": good}, table


def gap_closed(outcomes: Outcomes, value: Floats, arms: Ints) -> float:
    """Return (policy - random) / (best per class - random), by class means."""
    means = class_means(value, outcomes.task_class, len(outcomes.task_classes))
    got = means[outcomes.task_class, arms].mean()
    best = means.max(axis=1)[outcomes.task_class].mean()
    blind = means.mean(axis=1)[outcomes.task_class].mean()
    return float((got - blind) / (best - blind))


def r7(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Regret with judgements up to 1,000 decisions late, shuffled, 30% missing, over regret with prompt ones."""
    table: dict[str, dict[str, float]] = {}
    for arena in chosen(plan, R1):
        outcomes = load(plan.folder, arena.name, arena.pool, priced=False)
        prompt: list[float] = []
        late: list[float] = []
        for seed in plan.seeds:
            one = stream(outcomes, seed, arena.length)
            for lost, arms in (
                (prompt, EngineRouter(one, QUALITY_ONLY, seed).run(priced=False).arms),
                (late, delayed(one, seed)),
            ):
                lost.append(float(regret(means_of(outcomes, one), one.task_class, arms)[-1]))
        table[arena.pool] = {
            "ratio": float(np.mean(late) / np.mean(prompt)),
            "prompt": float(np.mean(prompt)),
            "late": float(np.mean(late)),
        }
        print(f"r7  {arena.pool}: " + ", ".join(f"{key} {value:.2f}" for key, value in table[arena.pool].items()))
    good = all(row["ratio"] <= 1.25 for row in table.values())
    return {"value": table, "reach": "ratio <= 1.25", "pass": good}, table


def delayed(outcomes: Outcomes, seed: int) -> Ints:
    """Return the arms that the engine chose where judgements come late, shuffled, or never."""
    rng = np.random.default_rng([seed, 50])
    steps = len(outcomes.task_class)
    due: dict[int, list[tuple[Any, float]]] = {}
    router = EngineRouter(outcomes, QUALITY_ONLY, seed)
    arms = np.zeros(steps, dtype=np.int64)
    for row in range(steps):
        for record, quality in due.pop(row, ()):
            router.judge(record, quality)
        record = router.decide(row)
        arms[row] = record.model
        if rng.random() >= MISSING:
            at = row + 1 + int(rng.integers(0, LATE + 1))
            due.setdefault(at, []).append((record, float(outcomes.quality[row, record.model])))
    return arms


def saving(outcomes: Outcomes, run: Run, start: int) -> tuple[float, float]:
    """Return (spend as a share of the best single model's, quality minus the best single model's) from a step on."""
    best = int(np.argmax(outcomes.quality.mean(axis=0)))
    spend = run.cost[start:].sum() / outcomes.cost[start:, best].sum()
    return float(spend), float(run.quality[start:].mean() - outcomes.quality[start:, best].mean())


def r11(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Spend of the second half against always the best single model, quality within .01 of it; quality_first."""
    table: dict[str, dict[str, Any]] = {}
    good = True
    for arena in chosen(plan, R11):
        outcomes = load(plan.folder, arena.name, arena.pool)
        spends, gaps, above = [], [], []
        limits: dict[str, list[float]] = {"limit_all": [], "limit_one": []}
        for seed in plan.seeds:
            one = stream(outcomes, seed, arena.length)
            for shown, found in limits.items():
                found.append(saving_limit(one, arena.reach, seed, all_shown=shown == "limit_all"))
            run = EngineRouter(one, SAVING, seed).run()
            spend, gap = saving(one, run, len(run.arms) // 2)
            spends.append(spend)
            gaps.append(gap)
            half = one.rows(np.arange(len(run.arms) // 2, len(run.arms)))
            above.append(gap_to_mix(half, run))
        table[arena.pool] = {"spend": summary(spends), "quality": summary(gaps, worst=min), "above_mix": summary(above)}
        table[arena.pool] |= {shown: summary(found, worst=min) for shown, found in limits.items()}
        print(f"r11 {arena.pool}: spend share, quality minus best single's, quality minus static mix's at that cost;")
        print("    and that of class routers made offline of all outcomes of the first half, or of one a prompt")
        for key, found in table[arena.pool].items():
            show(key, found, 4)
        good &= table[arena.pool]["spend"]["mean"] <= arena.reach and table[arena.pool]["quality"]["mean"] >= -0.01
    reach = ", ".join(f"{arena.pool} <= {arena.reach:g}" for arena in chosen(plan, R11))
    return {"value": table, "reach": f"spend {reach}; quality >= -0.01", "pass": good}, table


def saving_limit(one: Outcomes, share: float, seed: int, *, all_shown: bool) -> float:
    """Return the second half's quality of an offline router at a share of the best single model's spend, less its own.

    all_shown: made of every model's outcome on each prompt of the first half; else of one model's, drawn evenly.
    """
    start = len(one.task_class) // 2
    first, second = one.rows(np.arange(start)), one.rows(np.arange(start, len(one.task_class)))
    seen = np.ones(first.quality.shape, dtype=np.bool_)
    if not all_shown:
        drawn = np.random.default_rng([seed, 60]).integers(0, len(one.models), start)
        seen = drawn[:, None] == np.arange(len(one.models))
    best = int(np.argmax(one.quality.mean(axis=0)))
    reached = offline(first, second, seen, share * float(second.cost[:, best].mean()))
    return reached - float(second.quality[:, best].mean())


def gap_to_mix(half: Outcomes, run: Run) -> float:
    """Return how far the second half's quality lies above the static mix of two models at the same spend."""
    start = len(run.arms) - len(half.task_class)
    return float(run.quality[start:].mean() - static_mix(fixed(half), float(run.cost[start:].mean())))


def r9(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Quality and cost of the last 1,000 of 4,000 prompts of mmlupro15 against the best single model; quality_first."""
    outcomes = load(plan.folder, "mmlupro", "mmlupro15")
    spends, gaps = [], []
    for seed in plan.seeds:
        one = stream(outcomes, seed, 4_000)
        spend, gap = saving(one, EngineRouter(one, SAVING, seed).run(), 3_000)
        spends.append(spend)
        gaps.append(gap)
    table = {"spend": summary(spends), "quality": summary(gaps, worst=min)}
    print("r9  mmlupro15, last 1,000: spend share, quality minus best single's")
    for key, found in table.items():
        show(key, found, 4)
    within = table["quality"]["mean"] >= -table["quality"]["se"]
    good = table["spend"]["mean"] <= 0.4 and within
    reach = "spend <= 0.4 with the best single model's quality (within one standard error)"
    return {"value": table, "reach": reach, "pass": good}, table


FIGURES: dict[str, Callable[[Plan], tuple[Figure, dict[str, Any]]]] = {
    "r1": r1, "r2": r2, "r3": r3, "prices": prices, "r4": r4, "drops": drops, "r5": r5, "r7": r7, "r9": r9, "r11": r11,
    "frontier": frontier, "features": lambda plan: features(plan, R1),
}  # fmt: skip
