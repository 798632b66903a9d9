"""What is seen while the demo runs: a progress bar over a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from naiad.server.demo.acts import Step
from naiad.server.demo.outcomes import group_of
from naiad.server.report.screen import share, table, usd

COLOURS = ("dark_orange", "dodger_blue1", "green3", "magenta", "cyan", "yellow")
_BAR = 24  # characters
_LATEST = 50  # decisions of a group of task classes that its bar is over


class Tally:
    """Counts of one act so far."""

    def __init__(self, models: tuple[str, ...], total: int) -> None:
        self.models = models
        self.total = total
        self.count = 0
        self.spend_usd = 0.0
        self.quality = 0.0  # sum
        self.latest: deque[str] = deque(maxlen=200)
        self.groups: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_LATEST))
        self.sizes: Counter[str] = Counter()
        self.sums: defaultdict[str, float] = defaultdict(float)

    def add(self, step: Step) -> None:
        """Count one step."""
        group = group_of(step.task_class)
        self.count += 1
        self.spend_usd += step.cost_usd
        self.quality += step.quality
        self.latest.append(step.model)
        self.groups[group].append(step.model)
        self.sizes[group] += 1
        self.sums[group] += step.quality

    def line(self) -> str:
        """Return the state as a sentence: quality, spend, and who is asked lately."""
        asked = ", ".join(f"{short(m)} {share(self.latest.count(m) / len(self.latest))}" for m in self.models)
        return f"quality {self.quality / self.count:.3f}, spent {usd(self.spend_usd)}; lately asked: {asked}"


def short(model: str) -> str:
    """Return a model's name without its provider."""
    return model.rpartition("/")[2]


class Stage:
    """Shows one act; a context manager, and called with every step."""

    def __init__(self, title: str, models: tuple[str, ...], total: int, out: Console) -> None:
        self._title = title
        self._out = out
        self.tally = Tally(models, total)
        self._live: Live | None = None
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=40), MofNCompleteColumn(), TimeElapsedColumn(),
            TextColumn("left"), TimeRemainingColumn(), console=out,
        )  # fmt: skip
        self._task = self._progress.add_task(title, total=total)
        self._tenths = 0

    def __enter__(self) -> Self:
        if self._out.is_terminal:
            self._live = Live(get_renderable=self._picture, console=self._out, refresh_per_second=5)
            self._live.start()
        else:
            self._out.print(f"{self._title}: {self.tally.total:,} prompts")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def __call__(self, step: Step) -> None:
        """Take in one step."""
        self.tally.add(step)
        self._progress.update(self._task, completed=self.tally.count)
        tenths = 10 * self.tally.count // self.tally.total
        if self._live is None and tenths > self._tenths:
            self._tenths = tenths
            self._out.print(f"  {10 * tenths:3}%  {self.tally.count:5,}  {self.tally.line()}")

    def _picture(self) -> RenderableType:
        if not self.tally.count:
            return self._progress
        return Group(self._progress, self._table(), Text(self.tally.line()), self._legend())

    def _legend(self) -> Text:
        legend = Text("each bar: who answered the latest 50   ")
        for model, colour in zip(self.tally.models, COLOURS, strict=False):
            legend.append("█ ", style=colour).append(short(model) + "   ")
        return legend

    def _table(self) -> RenderableType:
        made = table("", "tasks", "decided", "quality", "who answers", numbers=("decided", "quality"))
        tally = self.tally
        for group in sorted(tally.sizes, key=lambda g: -tally.sizes[g]):
            made.add_row(
                group,
                f"{tally.sizes[group]:,}",
                f"{tally.sums[group] / tally.sizes[group]:.3f}",
                bar(tally.models, Counter(tally.groups[group])),
            )
        return made


def bar(models: tuple[str, ...], counts: Counter[str], width: int = _BAR) -> Text:
    """Return a bar in which each model has its share of cells; the cells add up to the width."""
    total = sum(counts.values()) or 1
    text, reached, filled = Text(), 0, 0
    for model, colour in zip(models, COLOURS, strict=False):
        reached += counts[model]
        cells = round(width * reached / total) - filled
        filled += cells
        text.append("█" * cells, style=colour)
    return text
