"""`naiad costs`: what was spent, by whom and on what, and what was saved, so that one who pays for it can read it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from naiad.client import Client, CostReport, CostRow, Saving
from naiad.client.money import NanoUsd
from naiad.server.report.access import Access
from naiad.server.report.screen import asking, clean, console, nano_usd, number, plural, say, share, table

_PAGE = 1_000
_HEADS = {
    "workflow": "workflow",
    "task_class": "task class",
    "model": "model",
    "hour": "hour (UTC)",
    "day": "day (UTC)",
}
_TIMES = ("hour", "day")
_NOTICEABLE = 0.0005  # a share below which a part of the cost is not worth a word


class Wanted(NamedTuple):
    """What the command line asks for."""

    by: tuple[str, ...] = ("model",)  # names of dimensions, as the client has them
    since: datetime | None = None
    until: datetime | None = None
    workflow: str = ""
    task_class: str = ""
    model: str = ""
    baseline: str = ""
    most_rows: int = 50  # shown
    as_json: bool = False


def print_costs(server: str | Access, wanted: Wanted, screen: Console | None = None) -> int:
    """Print a cost report; return the exit code."""
    return asking(server, lambda client: _print(client, wanted, screen or console()))


def _print(client: Client, wanted: Wanted, out: Console) -> int:
    report = fetched(client, wanted)
    if wanted.as_json:
        out.print(json.dumps(plain(report), indent=2, ensure_ascii=False), soft_wrap=True)
        return 0
    show(report, wanted, out)
    return 0


def fetched(client: Client, wanted: Wanted) -> CostReport:
    """Return a whole report, all its pages in one."""
    rows: list[CostRow] = []
    token = ""
    while True:
        page = client.cost_report(
            group_by=wanted.by, workflow=wanted.workflow, task_class=wanted.task_class, model=wanted.model,
            baseline_model=wanted.baseline, start_time=wanted.since, end_time=wanted.until, page_size=_PAGE,
            page_token=token,
        )  # fmt: skip
        rows.extend(page.rows)
        token = page.next_page_token
        if not token:
            return dataclasses.replace(page, rows=tuple(rows))


def plain(value: Any) -> Any:
    """Return a report as JSON has it: field names as in the API, times in ISO 8601, amounts in whole nano-USD."""
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name not in ("raw", "next_page_token")]
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else int(value) if isinstance(value, NanoUsd) else value


def show(report: CostReport, wanted: Wanted, out: Console) -> None:
    """Print a report as a table and a few sentences."""
    total = report.total
    out.print(_title(report, wanted), style="bold")
    if not (total.decisions or total.attempts):
        out.print("Nothing was decided, and nothing spent.")
        return
    if wanted.by:
        out.print(rows_of(report, wanted))
    for sentence in (*spent(total), *(saved(report.saving) if report.saving is not None else ())):
        say(out, sentence)


def _title(report: CostReport, wanted: Wanted) -> str:
    only = ", ".join(
        f"{what} {clean(name)}"
        for what, name in (
            ("workflow", wanted.workflow), ("task class", wanted.task_class), ("model", wanted.model),
        )
        if name
    )  # fmt: skip
    start, end = report.start_time, report.end_time
    span = f", {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC" if start is not None and end is not None else ""
    return f"Spend{' of ' + only if only else ''}{span}"


class Column(NamedTuple):
    """A column of numbers, and what it shows of a row and the total."""

    head: str
    cell: Callable[[CostRow, CostRow], str]


def rows_of(report: CostReport, wanted: Wanted) -> Table:
    """Return the table: the dearest first, or by time where it is summed up by hours or days."""
    rows, total = list(report.rows), report.total
    columns = list(columns_of(total))
    heads = tuple(column.head for column in columns)
    made = table("", *(_HEADS[name] for name in wanted.by), *heads, numbers=heads)
    shown = rows[: wanted.most_rows]
    if any(name in _TIMES for name in wanted.by):
        shown = sorted(shown, key=lambda row: row.period_start_time.timestamp() if row.period_start_time else 0.0)
    for row in shown:
        made.add_row(*(_name(row, by) for by in wanted.by), *(column.cell(row, total) for column in columns))
    blank = [""] * (len(wanted.by) - 1)
    if rest := rows[wanted.most_rows :]:
        cost = sum(row.cost_nano_usd for row in rest)
        made.add_row(f"{plural(len(rest), 'more row')}", *blank, nano_usd(cost), _share(cost, total.cost_nano_usd))
    made.add_section()
    made.add_row("all", *blank, *(column.cell(total, total) for column in columns))
    return made


def columns_of(total: CostRow) -> Iterator[Column]:
    """Yield the columns that have anything to tell."""
    yield Column("spend", lambda row, _: nano_usd(row.cost_nano_usd))
    yield Column("share", lambda row, whole: _share(row.cost_nano_usd, whole.cost_nano_usd))
    yield Column("decisions", lambda row, _: f"{row.decisions:,}")
    if total.attempts != total.decisions or total.failed_attempts:
        yield Column("calls", lambda row, _: f"{row.attempts:,}")
    if total.failed_attempts:
        yield Column("failed", lambda row, _: f"{row.failed_attempts:,}" if row.failed_attempts else "")
    if total.failed_nano_usd:
        yield Column("for failed calls", lambda row, _: nano_usd(row.failed_nano_usd) if row.failed_nano_usd else "")
    if total.estimate_nano_usd:
        yield Column("estimate", lambda row, _: nano_usd(row.estimate_nano_usd) if row.estimate_nano_usd else "")
        yield Column("bill off by", _off)
    if total.scores:
        yield Column("score", lambda row, _: "" if row.mean_score is None else f"{row.mean_score:.3f}")


def _share(part: int, whole: int) -> str:
    if not whole:
        return ""
    return "< 0.1%" if 0 < part < whole / 1_000 else share(part / whole)


def _off(row: CostRow, total: CostRow) -> str:
    """Return by how much the bills of a row exceed what was estimated when it was decided."""
    return f"{row.estimated_nano_usd / row.estimate_nano_usd - 1.0:+.0%}" if row.estimate_nano_usd else ""


def _name(row: CostRow, by: str) -> str:
    if by in _TIMES:
        when = row.period_start_time
        return "" if when is None else f"{when:%Y-%m-%d}" if by == "day" else f"{when:%Y-%m-%d %H:00}"
    return clean(getattr(row, by)) or "(none)"


def spent(total: CostRow) -> Iterator[str]:
    """Yield what the spend is made of, and what is not known of it."""
    whole = total.cost_nano_usd
    parts = [
        (total.input_nano_usd, "reading"),
        (total.cached_input_nano_usd, "reading from the providers' caches"),
        (total.cache_write_nano_usd, "writing into them"),
        (total.output_nano_usd, "writing answers" + _reasoning(total)),
        (total.request_nano_usd, "prices of requests"),
        (total.adjustment_nano_usd, "bills beyond the prices, or below them"),
    ]
    least = _NOTICEABLE * abs(whole)
    told = [f"{nano_usd(cost)} for {what}" for cost, what in parts if cost and abs(cost) >= least]
    each = f", {nano_usd(whole / total.decisions)} a decision" if total.decisions else ""
    yield f"{nano_usd(whole)} was spent{each}" + (f": {', '.join(told)}." if told else ".")
    cached = total.cached_input_tokens
    hits = f" ({share(cached / total.input_tokens)} of them from caches)" if cached else ""
    yield f"{plural(total.input_tokens, 'token')} were read{hits} and {total.output_tokens:,} written."
    if total.judge_nano_usd or total.other_members_nano_usd:
        yield (
            f"Of it, ensembles and cascades paid {nano_usd(total.other_members_nano_usd)} for answers that were not "
            f"returned, and {nano_usd(total.judge_nano_usd)} for judges."
        )
    if total.doubted_attempts:
        yield (
            f"What the provider counted of {plural(total.doubted_attempts, 'call')} was not credible: they are booked "
            "at no more than they were allowed."
        )
    if total.failed_attempts:
        yield (
            f"{plural(total.failed_attempts, 'call')} of {total.attempts:,} failed, and cost "
            f"{nano_usd(total.failed_nano_usd)} of it."
        )
    if total.uncertain_attempts:
        counted = total.uncertain_nano_usd
        held = f"hard budgets count {nano_usd(counted)} more for that" if counted else "the sums are without it"
        yield (
            f"Of {plural(total.uncertain_attempts, 'call')} nobody knows the whole bill (failed, left by the "
            f"caller, or miscounted): {held}."
        )
    if total.unpriced_attempts:
        yield (
            f"What {plural(total.unpriced_attempts, 'call')} cost is not known, for want of prices, tokens or a bill: "
            "the sums are without it."
        )


def _reasoning(total: CostRow) -> str:
    thought = total.reasoning_nano_usd
    return f" ({nano_usd(thought)} of it for reasoning)" if thought else ""


def saved(saving: Saving) -> Iterator[str]:
    """Yield what was saved against one model, and how sure that is."""
    model, amount = clean(saving.baseline_model), saving.saving_nano_usd
    verb = "saved" if amount >= 0 else "spent beyond that"
    percent = (
        f" ({share(amount / saving.baseline_cost_nano_usd)})" if amount > 0 < saving.baseline_cost_nano_usd else ""
    )
    yield (
        f"Always using {model} would have cost {nano_usd(saving.baseline_cost_nano_usd)} where "
        f"{nano_usd(saving.cost_nano_usd)} was spent ({plural(saving.decisions, 'answer')} compared): "
        f"{nano_usd(abs(amount))}{percent} was {verb}; with {saving.confidence:.0%} "
        f"confidence, between {nano_usd(saving.lower_nano_usd)} and {nano_usd(saving.upper_nano_usd)}."
    )
    if saving.quality_difference is not None:
        gap = saving.quality_difference
        side = "above" if gap >= 0 else "below"
        yield f"Scores were {number(abs(gap))} {side} what is believed of {model} on the same task classes."
    if saving.left_out:
        yield f"{plural(saving.left_out, 'more answer')} could not have come from it, and are left out on both sides."
