"""How often each arm was chosen, lately and ever, and how often its attempts failed: counts for people to read."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

_RECENT = 100


@dataclass(slots=True)
class ArmTraffic:
    """Counts of one (task class, model)."""

    pulls: int = 0
    attempts: int = 0
    failures: int = 0
    last_pull_ms: int = 0


@dataclass(slots=True)
class Traffic:
    """Counts of every arm; a fold of the log like the statistics."""

    arms: dict[tuple[int, int], ArmTraffic] = field(default_factory=dict)
    pulls: Counter[int] = field(default_factory=Counter)  # by task class
    recent: dict[int, deque[int]] = field(default_factory=dict)  # task class -> models of its latest decisions

    def arm(self, task_class: int, model: int) -> ArmTraffic:
        """Return the counts of one arm, zero if it never was used."""
        return self.arms.get((task_class, model)) or ArmTraffic()

    def decided(self, task_class: int, model: int, at_ms: int) -> None:
        """Count one decision."""
        arm = self.arms.setdefault((task_class, model), ArmTraffic())
        arm.pulls += 1
        arm.last_pull_ms = at_ms
        self.pulls[task_class] += 1
        latest = self.recent.get(task_class)
        if latest is None:
            latest = self.recent[task_class] = deque(maxlen=_RECENT)
        latest.append(model)

    def attempted(self, task_class: int, model: int, failed: bool) -> None:
        """Count one attempt."""
        arm = self.arms.setdefault((task_class, model), ArmTraffic())
        arm.attempts += 1
        arm.failures += failed

    def share(self, task_class: int, model: int) -> float:
        """Return the model's share of all decisions of a task class, in [0, 1]."""
        total = self.pulls[task_class]
        return self.arm(task_class, model).pulls / total if total else 0.0

    def recent_share(self, task_class: int, model: int) -> float:
        """Return the model's share of the latest decisions of a task class, in [0, 1]."""
        latest = self.recent.get(task_class)
        return latest.count(model) / len(latest) if latest else 0.0
