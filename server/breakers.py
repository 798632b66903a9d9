"""The breakers of a tenant's providers, one for each (endpoint, upstream model): a key belongs to its endpoint.

The egress asks and tells; eligibility reads. What counts as a failure is what speaks against the provider as we reach
it, and what every request would meet alike: a key that is refused, a model that is not known. What the request itself
brought about (it is invalid, or too long) and what the caller ended counts neither for nor against.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import structlog

from naiad.adapters import errors as provider
from naiad.server.breaker import Breaker, State
from naiad.server.records import ModelPut

log = structlog.get_logger(__name__)

LONGEST_WAIT_S = 300.0  # that a Retry-After is believed
LONGEST_COOLDOWN_S = 86_400.0  # of a quota
_CONFIGURED_WRONG = (provider.AuthenticationFailed, provider.ModelNotFound)
_ASK_AGAIN_S = 0.5  # of a model whose probe is under way
_USED_UP = "its allowance is used up for now"
_NEW = Breaker()


class Leave(NamedTuple):
    """A call that a breaker let go."""

    endpoint: str
    upstream: str
    era: int


class Breakers:
    """Which models are worth calling at this moment; monotonic: seconds that only grow."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._kept: dict[tuple[str, str], Breaker] = {}
        self.troubled = 0  # how many are not closed

    def __repr__(self) -> str:
        return f"Breakers(known={len(self._kept)}, troubled={self.troubled})"

    def state(self, model: ModelPut) -> Breaker:
        """Return the state of a model's breaker."""
        return self._kept.get((model.endpoint, model.upstream_model), _NEW)

    def objection(self, model: ModelPut) -> str:
        """Return why a model may not be called at this moment, "" if it may."""
        if not self.troubled:
            return ""
        breaker = self.state(model)
        if breaker.ready(self._monotonic()):
            return ""
        if breaker.state is State.HALF_OPEN:
            return f"its breaker waits for one call to tell whether it is well again ({breaker.why})"
        return f"its breaker is open: {breaker.why}"

    def ready_in_s(self, model: ModelPut) -> float:
        """Return in how many seconds a model that may not be called may be tried, 0 for one that may."""
        breaker = self.state(model)
        if breaker.state is State.HALF_OPEN:
            return _ASK_AGAIN_S
        return 0.0 if breaker.state is State.CLOSED else max(0.0, breaker.until_s - self._monotonic())

    def begin(self, model: ModelPut) -> Leave:
        """Let a call go for which there is no objection."""
        breaker = self.state(model)
        leave = Leave(model.endpoint, model.upstream_model, breaker.era)
        if breaker.state is State.CLOSED:
            return leave
        after = breaker.begin(self._monotonic())
        self._put(leave, after)
        return leave._replace(era=after.era)

    def succeeded(self, leave: Leave) -> None:
        """Take in that a call was answered."""
        self._put(leave, self._of(leave).succeeded(leave.era))

    def failed(self, leave: Leave, error: provider.ProviderError, fair_s: float = 0.0) -> None:
        """Take in how a call failed.

        fair_s: how long the model may well take: when the caller's own time was up before, nothing is known.
        """
        breaker, now_s = self._of(leave), self._monotonic()
        if isinstance(error, provider.QuotaExhausted):
            wait_s = _bounded(error.cooldown_s, LONGEST_COOLDOWN_S)
            after = breaker.told_to_wait(leave.era, now_s, wait_s, "its quota is used up")
        elif isinstance(error, provider.RateLimited | provider.Overloaded) and error.retry_after_s is not None:
            wait_s = _bounded(error.retry_after_s)
            after = breaker.told_to_wait(leave.era, now_s, wait_s, "the provider named a time to wait")
        elif _speaks(error, fair_s):
            after = breaker.failed(leave.era, now_s)
        else:
            after = breaker.abandoned(leave.era)
        self._put(leave, after)

    def rest(self, model: ModelPut, pause_s: float | None) -> None:
        """Leave a model alone whose provider answered and said that its allowance is used up; None: it did not."""
        if pause_s is None:
            return
        leave, wait_s = Leave(model.endpoint, model.upstream_model, self.state(model).era), _bounded(pause_s)
        self._put(leave, self.state(model).told_to_wait(leave.era, self._monotonic(), wait_s, _USED_UP))

    def abandoned(self, leave: Leave) -> None:
        """Take in that a call ended without telling anything: its caller left."""
        self._put(leave, self._of(leave).abandoned(leave.era))

    def _of(self, leave: Leave) -> Breaker:
        return self._kept.get((leave.endpoint, leave.upstream), _NEW)

    def _put(self, leave: Leave, after: Breaker) -> None:
        before = self._of(leave)
        if after is before:
            return
        self._kept[leave.endpoint, leave.upstream] = after
        if after.state is before.state and after.opened == before.opened:
            return
        self.troubled += (after.state is not State.CLOSED) - (before.state is not State.CLOSED)
        facts = {"endpoint": leave.endpoint, "model": leave.upstream}
        if after.state is State.CLOSED:
            log.info("breaker_closed", **facts)
        elif after.state is State.HALF_OPEN:
            log.info("breaker_half_open", **facts)
        elif after.opened != before.opened:  # and not only that a probe was given up
            wait_s = round(after.until_s - self._monotonic(), 3)
            log.warning("breaker_opened", why=after.why, wait_s=wait_s, **facts)


def _bounded(seconds: float, most: float = LONGEST_WAIT_S) -> float:
    return min(most, max(0.0, seconds)) if math.isfinite(seconds) else most


def _speaks(error: provider.ProviderError, fair_s: float) -> bool:
    """Return whether a failure says something about the model as we reach it."""
    if isinstance(error, provider.Timeout) and error.kind is provider.TimeoutKind.TOTAL:
        return error.after_s >= fair_s
    return error.blames_provider or isinstance(error, _CONFIGURED_WRONG)
