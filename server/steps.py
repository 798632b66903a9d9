"""How far cascades go: how often each of their members was asked, by task class; a fold of the log."""

from __future__ import annotations

from collections import Counter

_PRIOR_RUNS = 2.0  # of which half go on to each next step, until there is more to tell


class Steps:
    """Counts of the attempts made for cascades."""

    def __init__(self) -> None:
        self.asked: Counter[tuple[int, int, int]] = Counter()  # (task class, cascade, member)
        self.version = 0  # grows with every count

    def attempted(self, task_class: int, cascade: int, member: int) -> None:
        """Count an attempt."""
        self.asked[task_class, cascade, member] += 1
        self.version += 1

    def restore(self, counts: list[tuple[int, int, int, int]]) -> None:
        """Take over counts, each (task class, cascade, member, times asked)."""
        self.asked.update({(task_class, cascade, member): asked for task_class, cascade, member, asked in counts})
        self.version += 1

    def reach(self, task_class: int, cascade: int, members: tuple[int, ...]) -> list[float]:
        """Return the share of runs that is expected to come to each member, of all runs; falling, from 1."""
        counts = [self.asked[task_class, cascade, member] for member in members]
        runs = _PRIOR_RUNS + max(counts, default=0)
        shares, last = [1.0], 1.0
        for count in counts[1:]:
            last = min(last, (count + _PRIOR_RUNS / 2) / runs)
            shares.append(last)
        return shares
