"""The picture of the demo: cumulative spend and quality beside the references, and who was asked, in both acts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from naiad.server.demo.live import short
from naiad.server.demo.outcomes import Floats
from naiad.server.demo.references import best_quality, cheapest, same_spend_mix
from naiad.server.demo.settings import PRICE_FACTOR
from naiad.server.report.screen import usd

if TYPE_CHECKING:
    from naiad.server.demo.ending import Ending

_NAIAD, _GREY, _MIX = "#111111", "#7a7a7a", "#B0568F"
_MODELS = ("#D98900", "#0072B2", "#00875F", "#56B4E9", "#D55E00", "#8A6FB0")  # distinct to colour-blind eyes
_RED = "#b00020"
_WINDOW = 150  # decisions that a share of traffic is over
_SETTLED = 20  # decisions after which a mean is worth drawing


@dataclass(frozen=True, slots=True)
class Line:
    """One way to choose: cost (USD) and quality of every decision, by act."""

    name: str
    colour: str
    cost: tuple[Floats, Floats]
    quality: tuple[Floats, Floats]

    @property
    def style(self) -> dict[str, Any]:
        """How its line is drawn."""
        if self.colour == _NAIAD:
            return {"color": self.colour, "linewidth": 2.8, "zorder": 4}
        dashes = {"linestyle": (0, (5, 2))} if self.colour == _MIX else {}
        return {"color": self.colour, "linewidth": 1.6, "zorder": 3, **dashes}


def draw(ending: Ending, path: Path) -> None:
    """Write the picture as a PNG."""
    figure = Figure(figsize=(12.5, 9.6), dpi=120, layout="constrained")
    figure.suptitle(
        "Naiad learns which model to use, from nothing, on recorded real outcomes", fontsize=15, weight="bold"
    )
    grid = figure.subplots(3, 2, sharex="col", sharey="row", width_ratios=(2.1, 1), height_ratios=(1.1, 1.1, 0.85))
    lines = _lines(ending)
    _spend(grid[0], lines)
    _quality(grid[1], lines)
    _traffic(grid[2], ending)
    name = short(ending.favourite)
    for axes, title, colour in (
        (grid[0][0], f"Act one: {len(ending.learned):,} prompts,\nknowing only prices at first", "#333333"),
        (grid[0][1], f"Act two: {name}\nat {PRICE_FACTOR} times its price", _RED),
    ):
        axes.set_title(title, fontsize=12, color=colour, pad=10)
    for row in grid:
        for axes in row:
            axes.spines[["top", "right"]].set_visible(False)
            axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
            axes.set_axisbelow(True)
        row[1].spines["left"].set(color=_RED, linestyle=(0, (4, 3)), linewidth=1.4)
        row[1].tick_params(axis="y", left=False, which="both")
    for axes, steps in zip(grid[2], (ending.learned, ending.adapted), strict=True):
        axes.set_xlabel("decision")
        axes.set_xlim(0, len(steps))
    figure.savefig(path)


def _lines(ending: Ending) -> list[Line]:
    """Return Naiad and each reference; the references are picked by all outcomes of act one, and kept in act two."""
    first, second = ending.first, ending.second
    acts = (ending.learned, ending.adapted)
    unit = np.eye(len(first.models))
    best, cheap = best_quality(first), cheapest(first)
    low, high, share = same_spend_mix(first, sum(step.cost_usd for step in ending.learned))

    def fixed(name: str, colour: str, weights: Floats) -> Line:
        return Line(
            name,
            colour,
            (first.cost_usd @ weights, second.cost_usd @ weights),
            (first.quality @ weights, second.quality @ weights),
        )

    return [
        Line(
            "Naiad",
            _NAIAD,
            (np.array([s.cost_usd for s in acts[0]]), np.array([s.cost_usd for s in acts[1]])),
            (np.array([s.quality for s in acts[0]]), np.array([s.quality for s in acts[1]])),
        ),
        fixed(f"always the best (hindsight)\n{short(first.models[best])}", _MODELS[best], unit[best]),
        fixed(f"always the cheapest\n{short(first.models[cheap])}", _MODELS[cheap], unit[cheap]),
        fixed("random", _GREY, np.full(len(first.models), 1 / len(first.models))),
        fixed("static mix of two at act\none's spend (hindsight)", _MIX, (1 - share) * unit[low] + share * unit[high]),
    ]


def _spend(row: Any, lines: list[Line]) -> None:
    row[0].set_yscale("log")
    row[0].set_ylabel("cumulative spend (log)", fontsize=11)
    row[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"${value:g}"))
    ends, lowest = [], float("inf")
    for line in lines:
        one = np.cumsum(line.cost[0])
        two = one[-1] + np.cumsum(line.cost[1])
        lowest = min(lowest, float(one[min(_SETTLED, len(one) - 1)]))
        for axes, values in zip(row, (one, two), strict=True):
            axes.plot(np.arange(1, len(values) + 1), values, **line.style)
        ends.append((float(two[-1]), usd(float(two[-1])), line))
    highest = max(value for value, _, _ in ends)
    row[0].set_ylim(max(lowest, highest * 1e-6), highest * 2)
    _label(row[1], ends)


def _quality(row: Any, lines: list[Line]) -> None:
    row[0].set_ylabel("mean quality so far in the act", fontsize=11)
    ends, drawn = [], []
    for line in lines:
        for axes, values in zip(row, line.quality, strict=True):
            means = np.cumsum(values) / np.arange(1, len(values) + 1)
            settled = min(_SETTLED, len(means) // 2)
            axes.plot(np.arange(settled + 1, len(means) + 1), means[settled:], **line.style)
            drawn.append(means[settled:])
        last = float(means[-1])
        ends.append((last, f"{last:.3f}", line))
    row[0].set_ylim(min(float(d.min()) for d in drawn) - 0.01, min(1.0, max(float(d.max()) for d in drawn) + 0.01))
    _label(row[1], ends)


def _label(axes: Any, ends: list[tuple[float, str, Line]]) -> None:
    """Write each line's name and last value beside its end, pushed apart where they would overlap."""
    wanted = [
        (float(axes.transAxes.inverted().transform(axes.transData.transform((1.0, value)))[1]), shown, line)
        for value, shown, line in ends
    ]
    wanted.sort(key=lambda end: end[0])
    room = [0.15 if "\n" in line.name else 0.1 for _, _, line in wanted]
    places = [place for place, _, _ in wanted]
    for i in range(1, len(places)):  # upwards
        places[i] = max(places[i], places[i - 1] + (room[i] + room[i - 1]) / 2)
    for i in reversed(range(len(places))):  # and down again from the top
        above = 0.96 if i == len(places) - 1 else places[i + 1] - (room[i] + room[i + 1]) / 2
        places[i] = min(places[i], above)
    for place, (_, shown, line) in zip(places, wanted, strict=True):
        bold = line.colour == _NAIAD
        axes.annotate(
            f"{line.name}  {shown}", (1.02, place), xycoords="axes fraction", va="center", fontsize=10 if bold else 9,
            color=line.colour, fontweight="bold" if bold else "normal", annotation_clip=False,
        )  # fmt: skip


def _traffic(row: Any, ending: Ending) -> None:
    """Draw each model's share of the decisions up to each decision, within its act."""
    models = ending.first.models
    row[0].set_ylabel(f"who was asked\n(latest {_WINDOW} decisions or fewer)", fontsize=11)
    for axes, steps in zip(row, (ending.learned, ending.adapted), strict=True):
        asked = np.array([[step.model == model for model in models] for step in steps], dtype=float)
        shares = _moving(asked, min(_WINDOW, max(10, len(steps) // 6)))
        axes.stackplot(np.arange(1, len(steps) + 1), shares.T, colors=_MODELS[: len(models)], linewidth=0, alpha=0.88)
    row[0].set_ylim(0, 1)
    row[0].yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    for position, (model, colour) in enumerate(zip(models, _MODELS, strict=False)):
        row[1].annotate(
            f"■ {short(model)}", (1.02, (position + 0.5) / len(models)), xycoords="axes fraction", va="center",
            fontsize=9.5, color=colour, annotation_clip=False,
        )  # fmt: skip


def _moving(asked: Floats, window: int) -> Floats:
    """Return the mean of each row and those before it, at most so many rows; (n, n_models)."""
    sums = np.vstack([np.zeros(asked.shape[1]), np.cumsum(asked, axis=0)])
    end = np.arange(1, len(asked) + 1)
    start = np.maximum(0, end - window)
    return np.asarray((sums[end] - sums[start]) / (end - start)[:, None])
