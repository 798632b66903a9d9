"""What the demo came to: quality and spend beside the references, traffic by task class, and the files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from naiad.server.demo.acts import Step, moved_after
from naiad.server.demo.live import short
from naiad.server.demo.outcomes import Table, group_of
from naiad.server.demo.references import Result, best_by_class, best_quality, references
from naiad.server.demo.settings import OBJECTIVE, PRICE_FACTOR
from naiad.server.report.screen import NARROW, PLAIN_WIDTH, plural, say, share, table, usd

NAIAD = "Naiad, from nothing"


@dataclass
class Ending:
    """Both acts and all outcomes; `first` and `second` have the prompts in the order in which they were decided."""

    first: Table
    second: Table  # at the risen price
    learned: list[Step]
    adapted: list[Step]
    favourite: str

    @classmethod
    def of(cls, first: Table, second: Table, learned: list[Step], adapted: list[Step], favourite: str) -> Ending:
        """Return the ending; the tables have the prompts in the order in which they were sent, at the old prices."""
        return cls(
            first.rows([step.row for step in learned]),
            second.rows([step.row for step in adapted]).repriced(favourite, PRICE_FACTOR),
            learned,
            adapted,
            favourite,
        )

    @cached_property
    def acts(self) -> list[tuple[str, Table, list[Step]]]:
        """Return (title, outcomes, steps) of the parts that results are shown of."""
        half = len(self.learned) // 2
        rows = np.arange(len(self.learned))
        return [
            (f"Act one, learning included: {len(self.learned):,} prompts", self.first, self.learned),
            ("Act one, second half", self.first.rows(rows[half:]), self.learned[half:]),
            (f"Act two, {short(self.favourite)} at {PRICE_FACTOR} times its price", self.second, self.adapted),
        ]

    @property
    def before(self) -> list[Step]:
        """The last steps before the price rose, as many as came after it."""
        return self.learned[-len(self.adapted) :]


def naiad(table: Table, steps: Sequence[Step]) -> Result:
    """Return the result of the steps, with what the server billed."""
    spend = sum(step.cost_usd for step in steps)
    worth = [OBJECTIVE.usd_per_quality * s.quality - s.cost_usd - OBJECTIVE.usd_per_second * s.latency_s for s in steps]
    quality = sum(step.quality for step in steps) / len(steps)
    return Result(NAIAD, quality, spend, sum(worth) / len(worth), "told nothing but prices")


def show(ending: Ending, out: Console) -> None:
    """Print the results."""
    out.rule("what it came to", align="left")
    for title, outcomes, steps in ending.acts:
        out.print(_results(title, outcomes, steps, narrow=out.width < NARROW))
    _honestly(ending, out)
    out.print()
    out.rule("who was asked", align="left")
    out.print(_traffic(ending))
    _moved(ending, out)


def _results(title: str, outcomes: Table, steps: Sequence[Step], *, narrow: bool = False) -> Grid:
    ours = naiad(outcomes, steps)
    rows = [ours, *references(outcomes, OBJECTIVE, ours.spend_usd)]
    dearest = float(outcomes.cost_usd.sum(axis=0).max())
    numbers = ("quality", "spend", "of dearest", "worth a prompt")
    made = table(title, "who chooses", *numbers, *([] if narrow else [""]), numbers=numbers)
    for row in rows:
        made.add_row(
            Text(row.name, style="bold" if row is ours else ""),
            f"{row.quality:.3f}",
            usd(row.spend_usd),
            share(row.spend_usd / dearest),
            f"${row.utility_usd:.4f}",
            *([] if narrow else [Text(row.note, style="dim")]),
        )
    return made


def _honestly(ending: Ending, out: Console) -> None:
    outcomes = ending.first
    best = Counter(best_by_class(outcomes, OBJECTIVE).values())
    winner, wins = best.most_common(1)[0]
    near_all = wins >= 0.9 * sum(best.values())
    ours = naiad(outcomes, ending.learned)
    top = best_quality(outcomes)
    dearest = int(np.argmax(outcomes.cost_usd.sum(axis=0)))
    bill = float(outcomes.cost_usd[:, dearest].sum())
    out.print("Read honestly", style="bold")
    say(
        out,
        f'"Hindsight" means picked by looking at all outcomes first. On this data {short(outcomes.models[winner])} is '
        f"worth most in {wins} of {plural(sum(best.values()), 'task class', 'es')} in hindsight"
        + (", so knowing that one name would do, and choosing by task class adds little" if near_all else "")
        + f". Nobody told Naiad. It found out, its learning included, at {share(ours.spend_usd / bill)} of the bill "
        f"of always {short(outcomes.models[dearest])}, with "
        f"quality {ours.quality:.3f} where always {short(outcomes.models[top])}, the best, has "
        f"{outcomes.quality[:, top].mean():.3f}.",
    )


def _traffic(ending: Ending) -> Grid:
    models = ending.first.models
    names = tuple(map(short, models))
    made = table("", "tasks", "prompts", *names, numbers=("prompts", *names))
    half = ending.learned[len(ending.learned) // 2 :]
    sizes = Counter(group_of(step.task_class) for step in ending.learned)
    for group in [*(name for name, _ in sizes.most_common()), ""]:
        cells = []
        for model in models:
            before, after = (_share_of(model, steps, group) for steps in (half, ending.adapted))
            cells.append(f"{before:>5} -> {after:>5}")
        made.add_row(group or "all", f"{sizes[group] if group else len(ending.learned):,}", *cells)
    return made


def _share_of(model: str, steps: Sequence[Step], group: str) -> str:
    asked = [step.model == model for step in steps if group in ("", group_of(step.task_class))]
    return share(sum(asked) / len(asked)) if asked else "-"


def _moved(ending: Ending, out: Console) -> None:
    name = short(ending.favourite)
    before, after = (
        sum(step.model == ending.favourite for step in steps) / len(steps) for steps in (ending.before, ending.adapted)
    )
    say(
        out,
        f"Shares in the second half of act one, and after the price of {name} rose. It answered {share(before)} of "
        f"the last {len(ending.before):,} prompts before its price rose, and {share(after)} of the "
        f"{len(ending.adapted):,} after.",
    )
    moved = moved_after(ending.adapted, ending.favourite)
    if moved is None:
        say(out, "It stayed the likeliest choice all the same: by the objective it is still worth its price.")
        return
    by_class = best_by_class(ending.second, OBJECTIVE)
    left = sum(ending.second.models[position] != ending.favourite for position in by_class.values())
    say(
        out,
        f"Traffic moved at once, for prices are known and not learned: decision {moved} after the rise was the first "
        f"at which another model was likelier. By the objective {name} should now lose {left} of "
        f"{plural(len(by_class), 'task class', 'es')} (hindsight); where its quality is still worth more than the "
        "difference, it rightly stays.",
    )


def write(ending: Ending, output: Path) -> list[tuple[str, Path]]:
    """Write plot, tables and decisions; return (what, path) of each file."""
    summary, decisions, picture = output / "summary.txt", output / "decisions.csv", output / "demo.png"
    with summary.open("w", encoding="utf-8") as file:
        show(ending, Console(file=file, width=PLAIN_WIDTH, markup=False, emoji=False, highlight=False))
    with decisions.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("act", "decision", "task_class", "model", "quality", "cost_usd", "latency_s", "decision_id"))
        for act, steps in (("one", ending.learned), ("two", ending.adapted)):
            for number, step in enumerate(steps, start=1):
                rows.writerow((act, number, step.task_class, step.model, step.quality, f"{step.cost_usd:.9f}",
                               f"{step.latency_s:.3f}", step.decision_id))  # fmt: skip
    files = [("summary", summary), ("decisions", decisions)]
    try:
        from naiad.server.demo.plot import draw
    except ImportError:
        return [("no plot:", Path("matplotlib is not installed: pip install matplotlib")), *files]
    draw(ending, picture)
    return [("plot", picture), *files]
