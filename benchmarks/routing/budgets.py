"""Budgets held on recorded outcomes (R3), and through a price that falls and rises again.

The budgets are ParetoBandit's own, on its own 1,824 test prompts and three models. Naiad starts cold, is told list
prices and the class of each prompt, and nothing else; what is published was reached warm, after 8,374 prompts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing.outcomes import Floats, Ints, Outcomes, load
from benchmarks.routing.plan import Plan, show, summary
from benchmarks.routing.prices import list_priced
from benchmarks.routing.references import fixed, static_mix
from benchmarks.routing.replay import EngineRouter, stream
from naiad.bandit.objective import Strategy
from naiad.server.records import ObjectiveSpec

SET, POOL = "paretobandit_k4", "k3"
PUBLISHED = {8.3e-5: 0.813, 2.3e-4: 0.859, 6.6e-4: 0.898, 1.9e-3: 0.917, 5.3e-3: 0.924, 1.5e-2: 0.929}  # USD: reward
MIX_SLACK = 0.001  # quality that learning may cost against a mix that knows every outcome
MOST = 1.02  # spend over budget of the worst seed
PRICED = (3.0e-4, 6.6e-4, 1.9e-3)  # budgets of `prices`, USD
CUT, CUT_MODEL = 1 / 60, "gemini-2.5-pro"
PHASES, PHASE_MOST = 3, 1.10  # a third of the prompts each; heavy-tailed bills move a third more than the whole


def held(usd_per_request: float) -> ObjectiveSpec:
    """Return the objective: all of the budget is to be spent on quality."""
    return ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0, usd_per_request=usd_per_request)


def r3(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Quality at six budgets beside what is published and the best static mix of two models at that spend."""
    outcomes = list_priced(load(plan.folder, SET, POOL).part("test"))
    table: dict[str, dict[str, Any]] = {}
    good = True
    for budget, published in PUBLISHED.items():
        quality, spend = [], []
        for seed in plan.seeds:
            run = EngineRouter(stream(outcomes, seed), held(budget), seed).run()
            quality.append(float(run.quality.mean()))
            spend.append(float(run.cost.mean()) / budget)
        mix = static_mix(fixed(outcomes), budget)
        table[f"{budget:g}"] = {
            "quality": summary(quality, worst=min), "spend": summary(spend), "published": published, "static_mix": mix,
        }  # fmt: skip
        print(f"r3  ${budget:g} a request: published {published:.3f}, static mix {mix:.4f}; spend over budget")
        show("quality", table[f"{budget:g}"]["quality"], 4)
        show("spend / budget", table[f"{budget:g}"]["spend"], 4)
        row = table[f"{budget:g}"]
        good &= row["quality"]["mean"] >= max(published, mix - MIX_SLACK) and row["spend"]["worst"] <= MOST
    reach = f"quality >= published and >= static mix - {MIX_SLACK:g} at all budgets; spend of each seed <= {MOST:g} x"
    return {"value": table, "reach": reach, "pass": good}, table


def prices(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Spend in thirds of the prompts: the dearest model's price is cut in the second, told at once, and restored."""
    outcomes = list_priced(load(plan.folder, SET, POOL).part("test"))
    table: dict[str, dict[str, Any]] = {}
    good = True
    for budget in PRICED:
        spends, qualities, whole = [], [], []
        for seed in plan.seeds:
            quality, cost = cut_and_restored(stream(outcomes, seed), budget, seed)
            spends.append([float(part.mean()) / budget for part in np.array_split(cost, PHASES)])
            qualities.append([float(part.mean()) for part in np.array_split(quality, PHASES)])
            whole.append(float(cost.mean()) / budget)
        row = {"whole": summary(whole)}
        print(f"prices  ${budget:g} a request: quality and spend over budget before, during and after the cut")
        show("spend / budget, whole", row["whole"], 4)
        for phase in range(PHASES):
            row[f"quality_{phase + 1}"] = summary([q[phase] for q in qualities], worst=min)
            row[f"spend_{phase + 1}"] = summary([s[phase] for s in spends])
            show(f"quality, part {phase + 1}", row[f"quality_{phase + 1}"], 4)
            show(f"spend / budget, part {phase + 1}", row[f"spend_{phase + 1}"], 4)
            good &= row[f"spend_{phase + 1}"]["mean"] <= PHASE_MOST
        good &= row["whole"]["worst"] <= MOST and row["quality_2"]["mean"] > row["quality_1"]["mean"]
        table[f"{budget:g}"] = row
    reach = (
        f"spend of each seed <= {MOST:g} x, mean of each third <= {PHASE_MOST:g} x; quality during the cut above before"
    )
    return {"value": table, "reach": reach, "pass": good}, table


def cut_and_restored(one: Outcomes, budget: float, seed: int) -> tuple[Floats, Floats]:
    """Return (quality, bill in USD) of each prompt; the engine is told of a price as it changes, and bills follow."""
    router = EngineRouter(one, held(budget), seed)
    cheaper = one.models.index(CUT_MODEL)
    steps = len(one.task_class)
    phase: Ints = np.concatenate([np.full(len(p), i) for i, p in enumerate(np.array_split(np.arange(steps), PHASES))])
    quality, cost = np.zeros(steps), np.zeros(steps)
    factor = 1.0
    for row in range(steps):
        wanted = CUT if phase[row] == 1 else 1.0
        if wanted != factor:
            factor = wanted
            router.put_model(cheaper, price_factor=factor)
        record = router.decide(row)
        cost[row] = router.bill(record, row, price_factor=factor if record.model == cheaper else 1.0)
        quality[row] = one.quality[row, record.model]
        router.judge(record, float(quality[row]))
    return quality, cost
