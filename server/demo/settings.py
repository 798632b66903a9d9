"""The numbers of the demo, shared with benchmarks/demo.py so that both run the same."""

from __future__ import annotations

from naiad.bandit.objective import Objective
from naiad.server.sections import PolicySection

OBJECTIVE = Objective()  # the demo trades at the built-in exchange rates
IN_FLIGHT = 16  # completions under way at a time
JUDGE = "recorded"  # rater of the feedback
PRICE_FACTOR = 10  # by which the favourite's price rises in act two
SECOND_ACT = 600  # prompts of act two


def policy() -> PolicySection:
    """Return the policy that the demo's server runs under, its objective written out."""
    return PolicySection(
        strategy=OBJECTIVE.strategy.name.lower(),
        usd_per_quality=OBJECTIVE.usd_per_quality,
        usd_per_second=OBJECTIVE.usd_per_second,
    )
