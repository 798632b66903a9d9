"""`naiad arms`: what a server believes of its models, with the posteriors drawn."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from naiad.client import Arm, Client
from naiad.server.report.bars import axis, density, scale
from naiad.server.report.screen import asking, clean, console, nano_usd, number, plural, share, table

_WIDTH, _NARROW = 24, 12  # characters of a posterior, and of one where the terminal has less than 120 columns
_PAGE = 1_000


def print_arms(server: str, task_class: str, screen: Console | None = None) -> int:
    """Print a table of all arms, or of those of one task class; return the exit code."""
    return asking(server, lambda client: _print(client, task_class, screen or console()))


def _print(client: Client, task_class: str, out: Console) -> int:
    arms = list(client.list_arms(task_class=task_class, page_size=_PAGE))
    if not arms:
        out.print("No arms yet: there is no task class. The first request of a task class creates it.")
        return 0
    out.print(table_of(arms, _WIDTH if out.width >= 120 else _NARROW))
    judged = sum(arm.quality.effective_observations for arm in arms)
    out.print(
        f"{plural(len({arm.task_class for arm in arms}), 'task class', 'es')}, "
        f"{plural(len({arm.model for arm in arms}), 'model')}, {plural(round(judged), 'judgement')} counted. The hills "
        "are the densities of what is believed of each quality. traffic: share of all decisions of the task class; "
        "latest: of the last 100. cost: of a request of 500 input tokens. What was never judged is inferred from "
        "the other task classes and models."
    )
    return 0


def table_of(arms: list[Arm], width: int = _WIDTH) -> Table:
    """Return one table of arms, a section for each task class; posteriors have `width` characters on a common axis."""
    low, high = axis([(arm.quality.mean, arm.quality.standard_deviation) for arm in arms])
    made = table("", "")
    for name in ("quality", "sd"):
        made.add_column(name, justify="right", no_wrap=True)
    made.add_column(scale(low, high, width), no_wrap=True, min_width=width)
    for name in ("judged", "traffic", "latest", "cost", "latency"):
        made.add_column(name, justify="right", no_wrap=True)
    for name, members in groupby(arms, key=lambda arm: arm.task_class):
        made.add_row(Text(clean(name), style="bold"))
        for arm in sorted(members, key=lambda a: (-a.pulls, -a.quality.mean)):
            made.add_row(*_cells(arm, low, high, width))
        made.add_section()
    return made


def _cells(arm: Arm, low: float, high: float, width: int) -> list[str | Text]:
    quality, latency = arm.quality, arm.latency_s
    seen = quality.effective_observations
    style = "" if seen else "dim"
    priced = arm.raw.HasField("cost_nano_usd")
    return [
        Text("  " + clean(arm.model), style="bold" if arm.recent_traffic_share > 0.5 else style),
        f"{quality.mean:.3f}",
        f"{quality.standard_deviation:.3f}",
        Text(density(quality.mean, quality.standard_deviation, low, high, width), style="cyan" if seen else "dim"),
        number(round(seen, 1)),
        share(arm.traffic_share),
        share(arm.recent_traffic_share),
        nano_usd(arm.cost_nano_usd.mean) if priced else "no price",
        f"{number(latency.mean)} s",
    ]
