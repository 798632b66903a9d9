"""A model that is added mid-stream (R5): how many calls until it has its share, and what it got and cost until then.

The best single model of a set is left out of the catalogue for the first half of the prompts and created before the
second, under a policy that caps newcomers. Its steady share is its mean serving probability over the last quarter of
that same run. It has arrived at the first prompt, after its time as a newcomer, from which the mean over the next
`WINDOW` prompts is within `BAND` of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from benchmarks.report import Figure
from benchmarks.routing.outcomes import Floats, Outcomes, load
from benchmarks.routing.plan import Arena, Plan, chosen, show, summary
from benchmarks.routing.replay import NANO, EngineRouter, stream
from naiad.bandit.objective import Strategy
from naiad.server.records import ObjectiveSpec

QUALITY_ONLY = ObjectiveSpec(strategy=int(Strategy.QUALITY_FIRST), margin=0.0)
CALLS, SHARE = 20, 0.1  # judged calls that end a newcomer's time, and its share of the traffic until then
AFFORDED = 50  # its dollar cap, in calls at its mean cost
BAND, WINDOW = 0.1, 100
REACH = 50  # calls of the newcomer
SLACK = 1e-9  # of a probability

R5 = (
    Arena("bfcl", "bfcl12", 1_700, REACH),
    Arena("paretobandit_k4", "k4", 3_559, REACH),
    Arena("llmrouter9", "llmrouter9", 4_000, REACH),
    Arena("mmlupro", "mmlupro15", 4_000, REACH),
)


@dataclass(frozen=True)
class Arrival:
    """What one newcomer got."""

    steady: float  # share
    from_start: float  # the share it has by then where it was there from the start, without caps
    quality: float  # of the last quarter, less that of the same router
    calls: int  # until it had arrived; all of its calls if it never had
    prompts: int  # the same in prompts since it was added
    arrived: bool
    largest: float  # probability while it was new
    realised: float  # share of the prompts while it was new
    spent: float  # while it was new, over its cap; 0 where nothing costs anything


class Played(NamedTuple):
    """What one router did with the newcomer, by prompt, each (T,)."""

    share: Floats  # serving probability
    mine: Floats  # 1 where it was chosen
    quality: Floats
    cost: Floats  # USD


def play(router: EngineRouter, added: int) -> Played:
    """Replay the router's stream; its last model joins before prompt `added`, or is there if that is 0."""
    one = router.outcomes
    new, steps = len(one.models) - 1, len(one.task_class)
    played = Played(*np.zeros((4, steps)))
    for row in range(steps):
        if row == added > 0:
            router.put_model(new)
        record = router.decide(row)
        if new in record.models:
            played.share[row] = record.probabilities[record.models.index(new)]
        played.mine[row] = record.model == new
        played.quality[row] = one.quality[row, record.model]
        played.cost[row] = router.bill(record, row) if one.priced else 0.0
        router.judge(record, float(played.quality[row]))
    return played


def arrive(outcomes: Outcomes, seed: int, length: int) -> Arrival:
    """Replay one stream twice: the best single model of it missing from the first half, and there from the start."""
    one = stream(outcomes, seed, length)
    best = int(np.argmax(one.quality.mean(axis=0)))
    one = one.arms([*(arm for arm in range(len(one.models)) if arm != best), best])
    half, new = len(one.task_class) // 2, len(one.models) - 1
    cap = AFFORDED * float(one.cost[:, new].mean())
    limits: dict[str, Any] = {"newcomer_calls": CALLS, "newcomer_share": SHARE}
    if one.priced:
        limits["newcomer_nano_usd"] = round(cap * NANO)
    most = int(one.tokens_out.max())
    run = play(EngineRouter(one, QUALITY_ONLY, seed, present=new, limits=limits, output_tokens=most), half)
    reference = play(EngineRouter(one, QUALITY_ONLY, seed), 0)
    return read(Played(*(values[half:] for values in run)), Played(*(values[half:] for values in reference)), cap)


def read(run: Played, reference: Played, cap: float) -> Arrival:
    """Read off when the newcomer arrived; from the prompt on at which it was added. cap: USD."""
    steps = len(run.share)
    late = slice(steps // 2, None)
    steady = float(run.share[late].mean())
    judged = np.cumsum(run.mine)
    until = int(np.searchsorted(judged, CALLS)) + 1 if judged[-1] >= CALLS else steps  # prompts while it was new
    sums = np.concatenate([[0.0], np.cumsum(run.share)])
    means = (sums[WINDOW:] - sums[:-WINDOW]) / WINDOW
    within = np.flatnonzero(np.abs(means[until:] - steady) <= BAND)
    at = until + int(within[0]) if len(within) else steps
    spent = float((run.cost * run.mine)[:until].sum())
    return Arrival(
        steady=steady,
        from_start=float(reference.share[late].mean()),
        quality=float(run.quality[late].mean() - reference.quality[late].mean()),
        calls=int(run.mine[:at].sum()),
        prompts=at,
        arrived=bool(len(within)),
        largest=float(run.share[:until].max()),
        realised=float(run.mine[:until].mean()),
        spent=spent / cap if cap else 0.0,
    )


def r5(plan: Plan) -> tuple[Figure, dict[str, Any]]:
    """Calls of a model added mid-stream until it has its steady share; its share and dollars while it was capped."""
    table: dict[str, dict[str, Any]] = {}
    good = True
    for arena in chosen(plan, R5):
        outcomes = load(plan.folder, arena.name, arena.pool)
        found = [arrive(outcomes, seed, arena.length) for seed in plan.seeds]
        row: dict[str, Any] = {
            "calls": summary([one.calls for one in found]),
            "prompts": summary([one.prompts for one in found]),
            "steady_share": summary([one.steady for one in found], worst=min),
            "share_from_start": summary([one.from_start for one in found], worst=min),
            "quality_less_from_start": summary([one.quality for one in found], worst=min),
            "largest_share": summary([one.largest for one in found]),
            "realised_share": summary([one.realised for one in found]),
            "spent_of_cap": summary([one.spent for one in found]),
        }
        print(f"r5  {arena.pool}: calls until within {BAND:g} of its steady share, and what it had while it was new")
        for name, values in row.items():
            show(name, values, 3)
        row["never"] = sum(not one.arrived for one in found)
        print(f"    never arrived in {row['never']} of {len(found)} seeds")
        table[arena.pool] = row
        good &= row["calls"]["mean"] <= arena.reach and row["never"] == 0
        good &= row["largest_share"]["worst"] <= SHARE + SLACK and row["spent_of_cap"]["worst"] <= 1.0
    reach = (
        f"<= {REACH} calls until within {BAND:g} of the steady share, no seed never; while new, probability <= "
        f"{SHARE:g} and dollars <= the cap in every seed"
    )
    return {"value": table, "reach": reach, "pass": good}, table
