"""`naiad arms`: what a server believes of its models, with the posteriors drawn; once, or as they move."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby

from rich.console import Console
from rich.table import Table
from rich.text import Text

from naiad.client import Arm, Client
from naiad.server.report.access import Access
from naiad.server.report.bars import ASCII, LINES, Marks, axis, interval
from naiad.server.report.screen import NANO, asking, clean, console, number, plural, share, table

_PAGE = 1_000
_WIDE = 100  # columns from which there is room for more than what 80 hold
_BAR, _WIDE_BAR = 17, 41  # characters of the narrowest and of the widest interval: cells of 1/16 and of 1/40
_NAME = 18  # characters of a name before intervals grow
_THOUSAND = 1_000  # requests, for which cost is shown
NOTHING = "No arms yet: there is no task class. The first request of a task class creates it."

Key = tuple[str, str]  # task class, model


def print_arms(server: str | Access, task_class: str, model: str = "", screen: Console | None = None) -> int:
    """Print a table of all arms, or of those of a task class, a model or both; return the exit code."""
    return asking(server, lambda client: _print(client, task_class, model, screen or console()))


def _print(client: Client, task_class: str, model: str, out: Console) -> int:
    arms = list(client.list_arms(task_class=task_class, model=model, page_size=_PAGE))
    if not arms:
        out.print(NOTHING)
        return 0
    out.print(table_of(arms, out))
    out.print()
    out.print(summary(arms))
    for sentence in drifts(arms):
        out.print(sentence)
    out.print(legend(out))
    return 0


def summary(arms: Collection[Arm]) -> str:
    """Return how much there is and how much is known, as a sentence."""
    judged = sum(arm.quality.effective_observations for arm in arms)
    return (
        f"{plural(len({arm.task_class for arm in arms}), 'task class', 'es')}, "
        f"{plural(len({arm.model for arm in arms}), 'model')}, {plural(round(judged), 'judgement')} counted."
    )


def drifts(arms: Collection[Arm]) -> list[str]:
    """Return a sentence for each model that had a drift alarm, the latest first."""
    latest = {arm.model: arm.drift for arm in arms if arm.drift is not None}
    return [
        f"{clean(model)} drifted: its quality moved by {drift.shift:+.2f}, seen on "
        f"{drift.alarm_time:%Y-%m-%d at %H:%M} UTC; judgements from before weigh "
        f"{drift.evidence_weight:.1%} of what they did."
        for model, drift in sorted(latest.items(), key=lambda item: item[1].alarm_time, reverse=True)
    ]


def legend(out: Console) -> str:
    """Return what the columns mean."""
    marks = marks_of(out)
    traffic = "all decisions of the task class; latest: of the last 100" if wide(out) else "the last 100 decisions"
    return (
        f"{marks.left}{marks.line}{marks.seen}{marks.line}{marks.right}: mean of the quality, with two standard "
        f"deviations to either side; {marks.unseen}: never judged here, inferred from other task classes and models. "
        "judged: full judgements; a thumb, or a source that is trusted less, weighs less than one. "
        f"traffic: share of {traffic}. $/1000: cost of 1,000 requests of 500 input tokens each."
    )


def wide(out: Console) -> bool:
    """Return whether there is room for everything."""
    return out.width >= _WIDE


def marks_of(out: Console) -> Marks:
    """Return the characters that the output can hold."""
    return LINES if out.encoding.lower().startswith("utf") else ASCII


def table_of(arms: Iterable[Arm], out: Console, moved: Collection[Key] = ()) -> Table:
    """Return one table of arms, a section for each task class, the most used model first; `moved` are marked.

    It fits 80 columns; where there are more, the intervals grow first.
    """
    sections = [
        (name, sorted(members, key=lambda a: (-a.pulls, -a.quality.mean, a.model)))
        for name, members in groupby(arms, key=lambda arm: arm.task_class)
    ]
    heads = ["quality", "judged", "traffic", *(["latest"] if wide(out) else []), "$/1000", "latency"]
    rows = [(arm, _numbers(arm, out)) for _, members in sections for arm in members]
    widths = [max(map(len, column)) for column in zip(heads, *(cells for _, cells in rows), strict=True)]
    room = out.width - sum(widths) - len(widths) - 1  # with a space between columns
    longest = max([len(arm.model) + 2 for arm, _ in rows] + [len(name) for name, _ in sections], default=0)
    bar = min(_WIDE_BAR, max(_BAR, room - min(longest, _NAME)))
    made = table()
    made.padding, made.show_edge = (0, 0), False
    made.add_column("", no_wrap=True, overflow="ellipsis", width=min(longest, max(_NAME, room - bar)))
    made.add_column(axis(bar), no_wrap=True, width=bar)
    for head, width in zip(heads, widths, strict=True):
        made.add_column(head, justify="right", no_wrap=True, width=width)
    ready = iter(rows)
    for name, members in sections:
        made.add_row(Text(clean(name), style="bold"))
        for arm, cells in (next(ready) for _ in members):
            made.add_row(*_drawn(arm, bar, marks_of(out), moved=(arm.task_class, arm.model) in moved), *cells)
        made.add_section()
    return made


def _drawn(arm: Arm, width: int, marks: Marks, *, moved: bool) -> tuple[Text, Text]:
    """Return a model's name and the interval of its quality."""
    judged = arm.quality.effective_observations > 0.0
    drawn = interval(arm.quality.mean, arm.quality.standard_deviation, width, seen=judged, marks=marks)
    style = "" if judged else "dim"
    return (
        Text(("* " if moved else "  ") + clean(arm.model), style="bold" if arm.recent_traffic_share > 0.5 else style),
        Text(drawn, style="cyan" if judged else "dim"),
    )


def _numbers(arm: Arm, out: Console) -> list[str]:
    quality = arm.quality
    shares = (arm.traffic_share, arm.recent_traffic_share) if wide(out) else (arm.recent_traffic_share,)
    return [
        f"{quality.mean:.2f} {marks_of(out).give_or_take}{2 * quality.standard_deviation:.2f}",
        number(round(quality.effective_observations, 1)),
        *(share(part) for part in shares),
        number(arm.cost_nano_usd.mean * _THOUSAND / NANO) if arm.raw.HasField("cost_nano_usd") else "-",
        f"{number(arm.latency_s.mean)} s",
    ]
