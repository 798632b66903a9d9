"""A change detector for each model: does what is judged still agree with what was believed before it was judged?

Each new judgement y of a model, in whatever task class, is compared with the belief before it: m the believed mean, d
its sd, noise the variance of one observation. With g^2 the model's own scale and a its own bias, both learned from
judgements that are at least 64 old, and c a cut at 3,

    u = g sqrt(noise + d^2),   x = clip((y - m) / u, -c, c) - a,   slack = k + d / (2 u).

The hypothesis "E[x] >= -slack" is betted against: e = 1 + lambda (-x - slack) has a mean of at most 1 under it, and is
never negative as lambda <= 1 / (largest loss), which the range [0, 1] of y and the cut bound. For the other direction
the signs change. The bets run as Shiryaev-Roberts sums,

    R <- e (R + 1),   an alarm where the mean of R over a few lambda reaches A.

R - t is then a supermartingale, so at least A judgements pass on average between two false alarms of one direction,
whatever the law of y, ties included (Shin, Ramdas and Rinaldo, "E-detectors", 2023). A = 20,000 / sensitivity makes
that at most `sensitivity` in 10,000 judgements for both directions. What it takes for granted is that m, and a for what
the cut takes away, are off by no more than the slack. They are estimates, so the rate is also measured
(`benchmarks.drift`).

A judgement of lower trust bets less in proportion, and so does one of many by one rater whose influence has a cap of C
judgements: the k-th among the model's latest 256 bets 1 / (1 + 16 (k - 1) / C), so that one liar raises no alarm.

When an alarm is raised, the change is put where the sum of the latest residuals, in the order of their decisions, is
most conspicuous: max over j of S_j^2 / n_j; and the model moved by the mean of y - m from there on.

All of this is advisory: only the alarm counts, once it is an event of the log.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

_BETS = (0.1, 0.3, 0.6)  # lambda, in units of 1 / sd
_MOST = 0.8  # share of what it has that a bet may lose
_SLACK = 0.05  # k: how far a mean may be off besides the belief's own uncertainty, in sds of an observation
_CUT = 3.0  # c
_RECENT = 256  # judgements among which the change is looked for
_LAG = 64  # judgements that a model's scale and bias lag behind, so that a change does not enter them while it is seen
_WEIGHT = 20.0  # pseudo-observations behind a scale of 1 and a bias of 0
_MEMORY = 500.0  # judgements that they remember
_LEAST_SCALE = 0.1
_DOUBT = 16.0  # a rater with a cap of so many judgements bets half with the second of the recent ones
_ENOUGH = 1e12  # a sum grows no further: an alarm that nobody hears must not overflow


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """Whether drift is looked for, how eagerly, and what an alarm leaves of older evidence."""

    enabled: bool = True
    sensitivity: float = 1.0  # false alarms tolerated in 10,000 judgements of a model
    kept: float = 10.0  # full judgements that all evidence from before an alarm weighs together

    @property
    def threshold(self) -> float:
        """A: the mean number of judgements between two false alarms of one direction, at least."""
        return 20_000.0 / self.sensitivity


Recent = tuple[int, float, float, int]  # (ordinal, x, y - m, rater)


class Raised(NamedTuple):
    """An alarm: a model's quality moved at about this decision ordinal of the model."""

    model: int
    ordinal: int
    shift: float  # by so much


class WatchState(NamedTuple):
    """What is kept of a model, as plain values."""

    model: int
    low: list[float]
    high: list[float]
    scale: float
    bias: float
    behind: float
    late: list[tuple[float, float]]
    recent: list[Recent]


class _Watch:
    """The bets on one model."""

    __slots__ = ("behind", "bias", "high", "late", "low", "raters", "recent", "scale")

    def __init__(self) -> None:
        self.low = [0.0] * len(_BETS)
        self.high = [0.0] * len(_BETS)
        self.scale = 1.0  # g^2, mean square of (y - m)^2 / (noise + d^2)
        self.bias = 0.0  # a
        self.behind = _WEIGHT  # judgements behind them
        self.late: deque[tuple[float, float]] = deque()  # (square, clipped) that have not entered them yet
        self.recent: deque[Recent] = deque()
        self.raters: dict[int, int] = {}  # how many of the recent are by each rater with a cap

    def note(self, recent: Recent) -> None:
        """Take a judgement among the recent ones, and let go of the oldest."""
        self.recent.append(recent)
        if recent[3]:
            self.raters[recent[3]] = self.raters.get(recent[3], 0) + 1
        if len(self.recent) > _RECENT and (gone := self.recent.popleft()[3]):
            self.raters[gone] -= 1

    def learn(self, square: float, clipped: float) -> None:
        """Take what is old enough into scale and bias."""
        self.late.append((square, clipped))
        if len(self.late) > _LAG:
            square, clipped = self.late.popleft()
            if self.behind < _MEMORY:
                self.behind += 1.0
            self.scale += (square - self.scale) / self.behind
            self.bias += (clipped - self.bias) / self.behind

    def clear(self) -> None:
        """Begin anew, with the scale and bias of before."""
        self.low = [0.0] * len(_BETS)
        self.high = [0.0] * len(_BETS)
        self.late.clear()
        self.recent.clear()
        self.raters.clear()


class Detector:
    """Watches every model of one tenant; models are small non-negative integers."""

    def __init__(self, settings: DriftSettings) -> None:
        self.settings = settings
        self._threshold = settings.threshold * len(_BETS)
        self._watches: dict[int, _Watch] = {}

    def __repr__(self) -> str:
        return f"Detector(models={len(self._watches)}, threshold={self.settings.threshold:g})"

    def see(
        self, model: int, ordinal: int, value: float, weight: float, mean: float, sd: float, noise: float,
        rater: int = 0, cap: float = 1.0,
    ) -> Raised | None:  # fmt: skip
        """Take in a judgement; return an alarm if it is one, again and again until `clear` says that it was heard.

        value: in [0, 1]; weight: trust times weight, 1 for one full judgement of full trust; mean, sd: of the belief
        before it; noise: variance of one observation; rater: number of a rater with a cap, 0 without; cap: the rater's,
        in full judgements.
        """
        watch = self._watches.get(model)
        if watch is None:
            watch = self._watches[model] = _Watch()
        if rater:
            weight /= 1.0 + _DOUBT * watch.raters.get(rater, 0) / cap
        mean = 0.0 if mean < 0.0 else min(mean, 1.0)  # beliefs may leave the scale, judgements do not
        variance = noise + sd * sd
        residual = value - mean
        scale, bias = watch.scale, watch.bias
        unit = sqrt(variance * (scale if scale > _LEAST_SCALE else _LEAST_SCALE))
        clipped = residual / unit
        if not -_CUT < clipped < _CUT:
            clipped = _CUT if clipped > 0.0 else -_CUT
        x = clipped - bias
        slack = _SLACK + 0.5 * sd / unit
        up, down = (1.0 - mean) / unit, mean / unit  # bounds of the clipped residual, to either side
        watch.low = low = _bet(watch.low, -x - slack, (up if up < _CUT else _CUT) - bias + slack, weight)
        watch.high = high = _bet(watch.high, x - slack, (down if down < _CUT else _CUT) + bias + slack, weight)
        watch.note((ordinal, x, residual, rater))
        watch.learn(residual * residual / variance, clipped)
        fell, rose = sum(low), sum(high)
        if fell < self._threshold and rose < self._threshold:
            return None
        watch.low, watch.high = [min(total, _ENOUGH) for total in low], [min(total, _ENOUGH) for total in high]
        return Raised(model, *_change(watch.recent, 1.0 if rose > fell else -1.0))

    def clear(self, model: int) -> None:
        """Begin anew with a model: its alarm was heard."""
        watch = self._watches.get(model)
        if watch is not None:
            watch.clear()

    def state(self) -> list[WatchState]:
        """Return what a later detector can go on from."""
        return [
            WatchState(model, w.low, w.high, w.scale, w.bias, w.behind, list(w.late), list(w.recent))
            for model, w in sorted(self._watches.items())
        ]

    def restore(self, states: list[WatchState]) -> None:
        """Go on from what `state` returned; what another version kept is left out."""
        for state in states:
            if len(state.low) == len(state.high) == len(_BETS):
                watch = self._watches[state.model] = _Watch()
                watch.low, watch.high = list(state.low), list(state.high)
                watch.scale, watch.bias, watch.behind = state.scale, state.bias, state.behind
                watch.late.extend(state.late)
                for recent in state.recent:
                    watch.note(recent)


def _bet(wealth: list[float], gain: float, most: float, weight: float) -> list[float]:
    """Return the sums after one bet; gain: what a bet of 1 wins, never below -most."""
    one, two, three = wealth
    small, middle, large = _BETS
    if most * large > _MOST:
        limit = _MOST / most
        small, middle, large = min(small, limit), min(middle, limit), limit
    gain *= weight
    return [
        (1.0 + small * gain) * (one + 1.0),
        (1.0 + middle * gain) * (two + 1.0),
        (1.0 + large * gain) * (three + 1.0),
    ]


def _change(recent: Iterable[Recent], sign: float) -> tuple[int, float]:
    """Return (ordinal from which on the residuals of a sign are most conspicuous, their mean); known mean 0 before."""
    best = total = moved = 0.0
    at, shift = 0, 0.0
    for count, (ordinal, r, residual, _) in enumerate(sorted(recent, reverse=True), 1):
        total += sign * r
        moved += residual
        if count == 1 or (total > 0.0 and total * total / count > best):
            best = max(total, 0.0) * total / count
            at, shift = ordinal, moved / count
    return at, shift
