"""Bar B12: a rater who lies as much as the bounds allow moves traffic by 5 points at most, and can be taken out whole.

`python tests/bars/b12_poison.py --seed S --n SEEDS [--rounds N] [--json FILE] [--mutant caps_off]`

Three arms 0.1 apart. A judge grades half of the answers (sd 0.2), 40 users give one in ten a 0 or 1. One user,
"mallory", calls the target (the second best) perfect and the others useless: once a twentieth of the rounds is over
("early"), or from the middle on ("late"). The volume, the share of decisions that mallory rates, is raised until the
target's share of the traffic of the undefended learner (every source trusted alike, no cap) shifts by 30 points or
more. Then, with the defaults of an empty configuration, through the ledger and the engine that serve:

- at that volume and with every decision rated, early and late, the target's share shifts by 5 points at most;
- without an attack regret is at most 1.05 times that of the undefended, and so it is with a reviewer, or users whom
  the caller does not name, as the only source (there the undefended has the same trust and no cap);
- retracting all that mallory said leaves the statistics, and masking the source the beliefs and its absence the
  statistics, of a fold that never saw it, to the bit;
- the sum of 1 / p over each arm's picks lies within a 99.9% interval of the number of rounds.

A lie among the very first judgements of an arm can lock any learner that explores so little out of it, and no cap that
lets an honest first judgement count prevents that. So the figure for an attack from the first round is printed, and not
held against anything.

Shares are differences to the run of the same seed without an attack, from its begin on. Regrets are ratios of sums over
the seeds, and fail where they exceed their reach by more than 1.64 standard errors. With --mutant the exit code is 0
only if the sabotage was caught.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from naiad.bandit.belief import BeliefSettings
from naiad.bandit.influence import Caps, slot_of
from naiad.bandit.statistics import SCALE
from naiad.server.config import load
from naiad.server.decision_id import Signer
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine, EngineSettings, Query
from naiad.server.ledger import FEEDBACK_SOURCES, FIRST_ATTEMPT, Entry, take_ratings
from naiad.server.records import Decided, DriftAlarmed, ModelPut, ObjectiveSpec, PolicySet, Prices, Rating, TaskClassPut

QUALITY, TARGET, ROUNDS = (0.7, 0.6, 0.5), 1, 20_000
SPREAD = 0.2  # sd of a judge's scores about an arm's quality
HUMAN, JUDGE, USER = FEEDBACK_SOURCES["human"], FEEDBACK_SOURCES["judge"], FEEDBACK_SOURCES["user"]
MALLORY = "mallory"
MOVED, HELD, REGRET = 0.30, 0.05, 1.05
VOLUMES = (0.05, 0.1, 0.2, 0.4, 0.7, 1.0)
_ONE_SIDED, _INTERVAL = 1.64, 3.29  # standard errors: 95% on one side, 99.9% on two
_MUTANTS = ("caps_off",)


@dataclass(frozen=True)
class Crowd:
    """Who judges honestly: source, share of the answers, and how many raters (0: one without an id)."""

    source: int
    share: float
    raters: int
    graded: bool  # or 0 and 1 only


EVERYBODY = (Crowd(JUDGE, 0.5, 1, True), Crowd(USER, 0.1, 40, False))


@dataclass(frozen=True)
class Attack:
    """Which share of the decisions mallory rates, from which round on."""

    volume: float
    begin: int


@dataclass
class Run:
    """What one run left: arms, propensities, and what was said of each decision."""

    engine: Engine
    arms: list[int] = field(default_factory=list)
    records: list[Decided] = field(default_factory=list)
    said: list[tuple[Rating, ...]] = field(default_factory=list)
    alarms: dict[int, list[DriftAlarmed]] = field(default_factory=dict)  # by round: they are events of the log

    def share(self, begin: int) -> float:
        """Return the target's share of the traffic from a round on."""
        return float(np.mean(np.array(self.arms[begin:]) == TARGET))

    def regret(self) -> float:
        """Return the quality lost against always choosing the best arm."""
        return float(sum(QUALITY[0] - QUALITY[arm] for arm in self.arms))


def settings(mutant: str = "") -> BeliefSettings:
    """Return the defaults of an empty configuration, sabotaged if so wished."""
    found = load(None).belief
    return replace(found, caps=Caps()) if mutant == "caps_off" else found


UNDEFENDED = BeliefSettings()


def new_engine(belief: BeliefSettings) -> Engine:
    """Return an engine with three arms of one price, a task class, and quality alone to go by."""
    engine, policy = Engine(EngineSettings(belief=belief), Signer({1: bytes(32)}, 1)), load(None).policy
    free = Prices(input=0, output=0)
    for model in range(len(QUALITY)):
        engine.apply(1, ModelPut(model=model, name=f"echo/m{model}", upstream_model="m", prices=free))
    engine.apply(1, TaskClassPut(task_class=0, name="poisoned"))
    spec = ObjectiveSpec(strategy=1, usd_per_quality=1.0, usd_per_second=0.0)
    engine.apply(
        1,
        PolicySet(
            version=1, objective=spec, temper=policy.temper, exploration=policy.exploration, allowance=policy.allowance
        ),
    )
    return engine


def entry_of(record: Decided) -> Entry:
    """Return the empty ledger entry of a decision."""
    return Entry(uid=record.uid, task_class=record.task_class, model=record.model, ordinal=record.ordinal)


def say(engine: Engine, entry: Entry, rating: Rating) -> Entry:
    """Take one judgement through the ledger and fold it."""
    entry, event = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 1)
    engine.apply(engine.sequence + 1, event)
    return entry


def scored(source: int, rater: str, value: float) -> Rating:
    """Return a score as `ReportFeedback` takes it."""
    return Rating(source=source, rater=rater, value=round(value * SCALE), slot=slot_of(rater))


def play(
    belief: BeliefSettings, seed: int, rounds: int, attack: Attack | None = None, crowds: tuple[Crowd, ...] = EVERYBODY
) -> Run:
    """Decide and learn for some rounds; what chance decides is the same for one seed, whoever attacks."""
    rng = np.random.default_rng([12, seed])
    chance = rng.random((rounds, 3 + 2 * len(crowds))).tolist()
    noise = (SPREAD * rng.standard_normal(rounds)).tolist()
    run = Run(new_engine(belief))
    engine, query = run.engine, Query("poisoned", needs=Needs(100, 100))
    for step, (uniform, luck, lie, *who) in enumerate(chance):
        record = engine.decide(query, at_ms=step, uniform=uniform).record
        engine.apply(engine.sequence + 1, record)
        said = []
        for i, crowd in enumerate(crowds):
            if who[2 * i] < crowd.share:
                name = f"r{int(who[2 * i + 1] * crowd.raters)}" if crowd.raters else ""
                quality = QUALITY[record.model]
                graded = min(1.0, max(0.0, quality + noise[step]))
                said.append(scored(crowd.source, name, graded if crowd.graded else float(luck < quality)))
        if attack is not None and step >= attack.begin and lie < attack.volume:
            said.append(scored(USER, MALLORY, float(record.model == TARGET)))
        entry = entry_of(record)
        for rating in said:
            entry = say(engine, entry, rating)
            for alarm in engine.drift.take():
                engine.apply(engine.sequence + 1, alarm)
                run.alarms.setdefault(step, []).append(alarm)
        run.arms.append(record.model)
        run.records.append(record)
        run.said.append(tuple(said))
    return run


# -- what must hold ----------------------------------------------------------------------------------------------------


def refold(run: Run, belief: BeliefSettings, *, without_source: int = 0, without_rater: str = "") -> Engine:
    """Fold a run's decisions again with what was said of them, but for a source or rater."""
    engine = new_engine(belief)
    for step, (record, said) in enumerate(zip(run.records, run.said, strict=True)):
        engine.apply(engine.sequence + 1, record)
        entry = entry_of(record)
        for rating in said:
            if rating.source != without_source and rating.rater != (without_rater or None):
                entry = say(engine, entry, rating)
        for alarm in run.alarms.get(step, ()):
            engine.apply(engine.sequence + 1, alarm)
    return engine


def revocation(run: Run) -> list[str]:
    """Return what differs once mallory, or the source, is taken out of a poisoned run, to the bit."""
    belief, found = run.engine.settings.belief, []
    never = refold(run, belief, without_source=USER)
    masked = refold(run, replace(belief, masked=frozenset({USER})))
    if masked.belief_digest() != never.belief_digest():
        found.append("beliefs with the source masked are not those of a fold that never saw it")
    kept = [item for item in masked.statistics.items() if item[1][0] != USER]
    if kept != list(never.statistics.items()):
        found.append("statistics without the source's cells are not those of a fold that never saw it")
    clean, engine = refold(run, belief, without_rater=MALLORY), run.engine
    for record, said in zip(run.records, run.said, strict=True):
        entry = entry_of(record)
        for rating in said:
            entry, _ = take_ratings(entry, (FIRST_ATTEMPT,), (rating,), 1)
        for rating in said:
            if rating.rater == MALLORY:
                gone = Rating(source=USER, rater=MALLORY, value=rating.value, slot=rating.slot, retracted=True)
                say(engine, entry, gone)
    if engine.statistics_digest() != clean.statistics_digest():
        found.append("statistics after retracting a rater are not those of a fold that never saw the rater")
    if engine.belief_digest() != clean.belief_digest():
        found.append("beliefs after retracting a rater are not those of a fold that never saw the rater")
    return found


def inverse(run: Run) -> list[tuple[float, float]]:
    """Return (sum of 1 / p over an arm's picks less the rounds, its variance) for each arm."""
    p = np.array([record.probabilities for record in run.records])  # (rounds, arms)
    picked = np.array(run.arms)[:, None] == np.arange(len(QUALITY))
    return list(zip(((picked - p) / p).sum(axis=0).tolist(), ((1 - p) / p).sum(axis=0).tolist(), strict=True))


def ratio(ours: list[float], theirs: list[float]) -> tuple[float, float]:
    """Return the ratio of two paired sums and its standard error (delta method)."""
    a, b = np.array(ours), np.array(theirs)
    value = float(a.sum() / b.sum())
    return value, float(np.std(a - value * b, ddof=1) / (b.mean() * sqrt(len(a)))) if len(a) > 1 else 0.0


def begins(rounds: int) -> dict[str, int]:
    """Return the rounds in which attacks begin."""
    return {"early": rounds // 20, "late": rounds // 2}


def least_volume(seeds: range, rounds: int, begin: int) -> tuple[float, list[float]]:
    """Return the least volume that moves the undefended learner by 30 points in the mean, and how far each seed moved.

    Where none does, it is the largest; the bar then fails, for its attack is none.
    """
    clean = [play(UNDEFENDED, seed, rounds).share(begin) for seed in seeds]
    moved: list[float] = []
    for volume in VOLUMES:
        attacked = [play(UNDEFENDED, seed, rounds, Attack(volume, begin)).share(begin) for seed in seeds]
        moved = [a - c for a, c in zip(attacked, clean, strict=True)]
        if np.mean(moved) >= MOVED:
            return volume, moved
    return VOLUMES[-1], moved


class Bar:
    """The bar's run over some seeds, and what went wrong."""

    def __init__(self, seed: int, n: int, rounds: int = ROUNDS, mutant: str = "") -> None:
        self.seed, self.n, self.rounds, self.mutant = seed, n, rounds, mutant
        self.belief = settings(mutant)
        self.failures: list[str] = []
        self.figures: dict[str, Any] = {}

    def run(self) -> None:
        """Find the volume, then run every seed and hold the figures against their reach."""
        seeds = range(self.seed, self.seed + self.n)
        volumes: dict[str, float] = {}
        shifts: dict[str, list[float]] = {}
        for when, begin in begins(self.rounds).items():
            volumes[when], shifts[f"undefended, {when}"] = least_volume(seeds, self.rounds, begin)
        self.figures["volume"] = volumes
        regrets: dict[str, list[float]] = {}
        sums, variances = np.zeros(len(QUALITY)), np.zeros(len(QUALITY))
        for seed in seeds:
            clean = {
                "undefended": play(UNDEFENDED, seed, self.rounds),
                "defended": play(self.belief, seed, self.rounds),
            }
            for name, run in clean.items():
                regrets.setdefault(f"clean {name}", []).append(run.regret())
            for arm, (total, variance) in enumerate(inverse(clean["defended"])):
                sums[arm] += total
                variances[arm] += variance
            for when, begin in begins(self.rounds).items():
                for name, at in (("defended", volumes[when]), ("defended, all rated", 1.0)):
                    run = play(self.belief, seed, self.rounds, Attack(at, begin))
                    moved = run.share(begin) - clean["defended"].share(begin)
                    shifts.setdefault(f"{name}, {when}", []).append(moved)
                    if name == "defended" and when == "early":
                        self.failures += [f"seed {seed}: {what}" for what in revocation(run)]
            first = play(self.belief, seed, self.rounds, Attack(1.0, 0)).share(0) - clean["defended"].share(0)
            shifts.setdefault("from the first round", []).append(first)
            for name, crowd in (
                ("one reviewer", Crowd(HUMAN, 1.0, 1, True)),
                ("unnamed users", Crowd(USER, 0.5, 0, False)),
            ):
                open_ = replace(self.belief, caps=Caps())
                for kind, belief in (("undefended", open_), ("defended", self.belief)):
                    alone = play(belief, seed, self.rounds, crowds=(crowd,))
                    regrets.setdefault(f"{name} {kind}", []).append(alone.regret())
        self._judge(shifts, regrets, sums / np.sqrt(variances))

    def _judge(self, shifts: dict[str, list[float]], regrets: dict[str, list[float]], z: Any) -> None:
        for name, found in shifts.items():
            mean = float(np.mean(found))
            self.figures[f"shift {name}"] = {"mean": mean, "se": float(np.std(found)) / sqrt(len(found))}
            if name.startswith("defended") and mean > HELD:
                self.failures.append(f"{name}: the target's share shifts by {mean:.1%}, more than {HELD:.0%}")
            if name.startswith("undefended") and mean < MOVED:
                self.failures.append(f"{name}: the undefended learner moves by {mean:.1%} only, less than {MOVED:.0%}")
        for name in ("clean", "one reviewer", "unnamed users"):
            value, error = ratio(regrets[f"{name} defended"], regrets[f"{name} undefended"])
            self.figures[f"regret {name}"] = {
                "ratio": value, "se": error, "defended": float(np.mean(regrets[f"{name} defended"])),
            }  # fmt: skip
            if value - _ONE_SIDED * error > REGRET:
                self.failures.append(f"{name}: regret is {value:.3f} times the undefended's, more than {REGRET}")
        self.figures["inverse propensities, z"] = [round(float(value), 2) for value in z]
        if float(np.abs(z).max()) > _INTERVAL:
            self.failures.append(f"sums of 1 / p are {z} standard deviations from the number of rounds")


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; exit code 0 when it holds, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--n", type=int, default=100, help="seeds (default 100)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"decisions a run (default {ROUNDS})")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE")
    parser.add_argument("--mutant", choices=_MUTANTS, default="", help="sabotage that the bar must catch")
    options = parser.parse_args(arguments)
    bar = Bar(options.seed, options.n, options.rounds, options.mutant)
    bar.run()
    caught = bool(bar.failures)
    report = {
        "bar": "B12", "seed": options.seed, "trials": options.n, "rounds": options.rounds, "mutant": options.mutant,
        "figures": bar.figures, "failures": bar.failures, "python": platform.python_version(), "numpy": np.__version__,
        "pass": caught if options.mutant else not caught,
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["pass"] else 1


if __name__ == "__main__":
    sys.exit(main())
