"""`naiad arms --watch`: the table of arms redrawn as they move."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.live import Live

from naiad.client import Arm, ArmsUpdate, ArmTable, Client
from naiad.server.report.access import Access
from naiad.server.report.arms import NOTHING, Key, drifts, legend, summary, table_of
from naiad.server.report.screen import asking, clean, console, plural

_QUIET_S = 30.0  # two heartbeats: what is silent for longer has no connection
_AROUND = 14  # lines that the head, the summary, the latest drifts and the legend may take
_DRIFTS = 2


def watch_arms(
    server: str | Access, task_class: str, model: str = "", interval_s: float = 1.0, screen: Console | None = None
) -> int:
    """Draw the arms until the watch ends with an error or by Ctrl-C; return the exit code.

    On a terminal the table is redrawn in its place, elsewhere it is printed again whenever arms moved.
    """
    out = screen or console()
    view = View(out, str(server), time.monotonic)

    def follow(client: Client) -> int:
        next(client.list_arms(task_class=task_class, model=model, page_size=1), None)  # a watch would try for a minute
        with closing(client.watch_arms(task_class=task_class, model=model, interval_s=interval_s)) as updates:
            if out.is_terminal:
                with Live(get_renderable=view.render, console=out, refresh_per_second=2) as live:
                    for update in updates:
                        if view.take(update):
                            live.refresh()
            else:
                for update in updates:
                    if view.take(update):
                        out.print(view.render())
        return 0

    return asking(server, follow)


class View:
    """What is shown of a watch: the arms at the last checkpoint, and whether the server is still heard."""

    def __init__(self, out: Console, server: str, monotonic: Callable[[], float]) -> None:
        self._out, self._server, self._monotonic = out, clean(server), monotonic
        self._table = ArmTable()
        self._arms: dict[Key, Arm] = {}
        self._moved: set[Key] = set()  # with the last change: what was counted, not what was inferred from it
        self._latest: dict[str, int] = {}  # task class -> place in the log where something was last counted in it
        self._heard_s = monotonic()
        self._begun = False

    def take(self, update: ArmsUpdate) -> bool:
        """Take an update over; return whether it completes a change, so that there is something new to show."""
        self._heard_s = self._monotonic()
        self._table.apply(update)
        if not update.checkpoint:
            return False
        arms = {(arm.task_class, arm.model): arm for arm in self._table.arms}
        if self._begun and arms == self._arms:
            return False
        counted = {key for key, arm in arms.items() if key not in self._arms or _own(arm) != _own(self._arms[key])}
        if self._begun and counted:
            self._moved = counted
            self._latest.update(dict.fromkeys((task_class for task_class, _ in counted), update.sequence))
        self._arms, self._begun = arms, True
        return True

    def render(self) -> Group:
        """Return what is to be seen now."""
        silent_s = self._monotonic() - self._heard_s
        state = f"nothing heard for {silent_s:.0f} s" if silent_s > _QUIET_S else f"event {self._table.sequence:,}"
        head = f"Following {self._server}: {state}. Ctrl-C ends."
        if not self._begun:
            return Group(f"Following {self._server} ...")
        if not self._arms:
            return Group(head, NOTHING)
        shown, left_out = self._fitting()
        parts: list[RenderableType] = [head, table_of(shown, self._out, self._moved), "", summary(self._arms.values())]
        parts += drifts(self._arms.values())[:_DRIFTS]
        if left_out:
            parts.append(f"{plural(left_out, 'task class', 'es')} not shown; name one with --task-class.")
        return Group(*parts, legend(self._out) + " *: counted something last.")

    def _fitting(self) -> tuple[list[Arm], int]:
        """Return the arms that the terminal has lines for, of the classes that moved last, and how many it lacks."""
        classes = [list(members) for _, members in groupby(self._arms.values(), key=lambda arm: arm.task_class)]
        if not self._out.is_terminal:
            return list(self._arms.values()), 0
        room = self._out.height - _AROUND
        kept: list[list[Arm]] = []
        for members in sorted(classes, key=lambda members: -self._latest.get(members[0].task_class, 0)):
            room -= len(members) + 2
            if room < 0 and kept:
                break
            kept.append(members)
        kept.sort(key=lambda members: members[0].task_class)
        return [arm for members in kept for arm in members], len(classes) - len(kept)


def _own(arm: Arm) -> tuple[float, ...]:
    """Return what was counted for an arm itself; beliefs also move with what is counted for others."""
    beliefs = (arm.quality, arm.success, arm.output_tokens, arm.latency_s, arm.time_to_first_token_s)
    return (arm.pulls, arm.failures, *(belief.effective_observations for belief in beliefs))
