"""Drift alarms of one tenant: the detector at work on judgements, and what is known of the alarms that were folded.

The detector reads every new judgement before it is learned, live and in a fold of the log alike. What it holds is
advisory, as a pacer's bank is: it is kept in snapshots and rests on beliefs that may be a few events old. An alarm
counts once it is an event of the log, and then for everybody in the same way.
"""

from __future__ import annotations

from naiad.bandit.belief import Belief
from naiad.bandit.drift import Detector, DriftSettings, Raised, WatchState
from naiad.bandit.influence import PERIOD_LEVEL, SLOTS
from naiad.bandit.statistics import SCALE, UNIT_WEIGHT, Measure, Statistics, to_fixed
from naiad.server.records import Change, DriftAlarmed

_QUALITY = int(Measure.QUALITY)


class Drift:
    """What moved, and what may have."""

    def __init__(self, settings: DriftSettings, statistics: Statistics, belief: Belief) -> None:
        self.settings = settings
        self.alarms: dict[int, list[DriftAlarmed]] = {}  # of each model, in the order of the log
        self._detector = Detector(settings)
        self._statistics = statistics
        self._belief = belief
        self._raised: dict[int, tuple[Raised, int]] = {}  # with wall time
        self._taken: set[int] = set()  # models with an alarm on its way into the log

    def judged(self, changes: tuple[Change, ...], at_ms: int) -> None:
        """Compare a judgement with what is believed, before it is learned.

        Only what is new counts: a revision, a retraction or a second rater says nothing of another time.
        """
        if not self.settings.enabled:
            return
        for change in changes:
            if change.weight <= 0 or change.measure != _QUALITY:
                return
        for change in changes:
            self._compare(change, at_ms)

    def _compare(self, change: Change, at_ms: int) -> None:
        settings = self._belief.settings
        counting, rater, cap = change.weight, 0, 1.0
        if change.source in settings.caps.weights:  # what the cap cuts raises no alarm either
            counting = self._statistics.counting(change.observation())
            rater = 1 + change.source * SLOTS + change.slot
            cap = settings.caps.limit(change.source, change.slot, PERIOD_LEVEL) / UNIT_WEIGHT
        weight = settings.trust.get(change.source, 1.0) * counting / UNIT_WEIGHT
        if weight <= 0.0 or change.source in settings.masked:
            return
        mean, sd, noise = self._belief.forecast(change.task_class, change.model, Measure.QUALITY)
        raised = self._detector.see(
            change.model, change.ordinal, change.value / SCALE, weight if weight < 1.0 else 1.0, mean, sd, noise,
            rater, cap,
        )  # fmt: skip
        if raised is not None and raised.model not in self._taken:
            self._raised[raised.model] = (raised, at_ms)

    def take(self) -> list[DriftAlarmed]:
        """Return the alarms that were raised since, as the events that the log has to hold."""
        if not self._raised:
            return []
        taken, self._raised = self._raised, {}
        self._taken.update(taken)
        return [self._event(raised, at_ms) for raised, at_ms in taken.values()]

    def _event(self, raised: Raised, at_ms: int) -> DriftAlarmed:
        evidence = self._statistics.evidence(raised.model, raised.ordinal)
        kept = min(1.0, self.settings.kept / evidence) if evidence > 0.0 else 1.0
        return DriftAlarmed(
            at_ms=at_ms, model=raised.model, ordinal=raised.ordinal, kept=kept, shift=to_fixed(raised.shift),
            evidence=evidence,
        )  # fmt: skip

    def folded(self, event: DriftAlarmed) -> None:
        """Take over an alarm of the log; the statistics know it already."""
        self.alarms.setdefault(event.model, []).append(event)
        self._raised.pop(event.model, None)
        self._taken.discard(event.model)
        self._detector.clear(event.model)

    def latest(self, model: int, until_ms: int | None = None) -> DriftAlarmed | None:
        """Return a model's latest alarm, or its latest up to a wall time; None if there is none."""
        for alarm in reversed(self.alarms.get(model, ())):
            if until_ms is None or alarm.at_ms <= until_ms:
                return alarm
        return None

    # -- snapshots -------------------------------------------------------------------------------------------------

    def state(self) -> list[WatchState]:
        """Return what the detector holds."""
        return self._detector.state()

    def restore(self, alarms: list[DriftAlarmed], states: list[WatchState]) -> None:
        """Take over what a snapshot holds."""
        for alarm in alarms:
            self.alarms.setdefault(alarm.model, []).append(alarm)
        self._detector.restore(states)
