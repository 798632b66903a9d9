"""When a session leaves the model that it has: not for a draw, only for a model that is surely better.

A session's first turn is drawn. Later turns stay, and explore nothing, unless what is believed by then speaks against
it:

* where quality is weighed, if a tempered Thompson draw between the two would take the session's model less than once
  in ten: (u_best - u_kept) > z sqrt(sd_best^2 + sd_kept^2) with P(Z > z) = 0.1;
* under a quality floor, if the model reaches the floor with a chance below one in ten while another surely does, or if
  it is dearer (or slower) by more than a tenth than the model that would be served.

Whether to leave follows from beliefs, prices and the session's past, never from the turn's random number. So the draw
of a turn that leaves has exactly the probabilities that are logged.
"""

from __future__ import annotations

from math import hypot

from naiad.bandit.objective import Objective, Predictions, Serving, Strategy

_SELDOM = 0.1
_Z = 1.2815515655446004  # P(Z > _Z) = _SELDOM for a standard normal Z
_SLACK = 0.1  # share of the price, or of the latency, for which nobody moves


def leaves_for(objective: Objective, seen: Predictions, serving: Serving, kept: int) -> int | None:
    """Return the position of the model that makes a session leave the one at `kept`, None if it stays.

    seen: the kept model's cost is that of staying, with what its provider still has cached.
    """
    value = serving.utility
    best = value.index(max(value))
    if best == kept:
        return None
    if not serving.safe:
        surely = value[best] - value[kept] > _Z * hypot(serving.utility_sd[best], serving.utility_sd[kept])
        return best if surely else None
    price = seen.cost if objective.strategy == Strategy.COST_OPTIMIZED else seen.latency
    hopeless = not serving.safe[kept] and 2.0 * value[kept] < _SELDOM  # below the floor, value is half the chance
    return best if hopeless or price[kept] > (1.0 + _SLACK) * price[best] else None
