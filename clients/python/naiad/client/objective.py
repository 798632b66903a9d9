"""What "best" means for a request.

>>> to_objective("balanced").strategy
1
>>> to_objective(Objective("cost_optimized", quality_floor=0.8)).quality_floor
0.8
"""

from __future__ import annotations

from dataclasses import dataclass, field

from naiad.client.convert import write
from naiad.v1 import objective_pb2


@dataclass(frozen=True, kw_only=True)
class Objective:
    """A strategy with its parameters; what is None keeps the value of the task class or the policy.

    Strategies: "balanced", "cost_optimized", "quality_first", "latency_optimized", "ensemble", "fallback",
    "cascade".
    """

    strategy: str = field(default="", kw_only=False)
    usd_per_quality: float | None = None  # USD for one unit of quality (0 to 1); balanced, ensemble, cascade
    usd_per_second: float | None = None  # USD for one second of waiting; balanced, ensemble, cascade
    quality_floor: float | None = None  # 0 to 1; cost_optimized, latency_optimized
    confidence: float | None = None  # how probable the floor must be, above 0 and below 1
    margin: float | None = None  # difference of quality that is a tie; quality_first
    usd_per_request: float | None = None  # mean spend to hold, USD; for task classes, not for single requests
    models: tuple[str, ...] = ()  # in order; fallback
    on_refusal: str = ""  # "return" or "next"; a single request may ask for "return" only
    raw: objective_pb2.Objective = field(default_factory=objective_pb2.Objective, repr=False, compare=False)


def to_objective(objective: str | Objective) -> objective_pb2.Objective:
    """Return an objective of the API from the name of a strategy or an Objective.

    Raises:
        ValueError: there is no such strategy.
    """
    if isinstance(objective, str):
        objective = Objective(objective)
    message = objective_pb2.Objective()
    write(objective, message)
    return message
