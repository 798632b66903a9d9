"""What is expected of each eligible model for one request: quality, cost and latency with their uncertainty."""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

from naiad.bandit.belief import Belief
from naiad.bandit.crossed import Marginals
from naiad.bandit.objective import Predictions
from naiad.bandit.spend import log_normal
from naiad.bandit.statistics import Measure
from naiad.server.catalog import Catalog, Rate
from naiad.server.steps import Steps

Moments = list[tuple[float, float]]  # (expected value, sd) of each model


class Predictor:
    """Turns beliefs and prices into predictions; keeps what does not depend on the request until a belief moves."""

    def __init__(self, belief: Belief, catalog: Catalog, steps: Steps) -> None:
        self._belief = belief
        self._catalog = catalog
        self._steps = steps
        self._moments: dict[tuple[int, Measure], tuple[Marginals, Moments]] = {}
        self._qualities: dict[int, _Quality] = {}
        self._used: dict[int, _Resources] = {}

    def predict(self, task_class: int, models: list[int], input_tokens: int, max_output_tokens: int) -> Predictions:
        """Return predictions for the models, in their order."""
        quality = self._quality(task_class, models)
        seen = self._resources(task_class, models)
        limit = max_output_tokens
        cost = [
            input_tokens * price + (expected if expected < limit else limit) * output_price + request
            for price, expected, output_price, request in seen.costs
        ]
        cost_sd = [(spread if spread < limit else limit) * output_price for spread, output_price in seen.cost_sds]
        return Predictions(quality.mean, quality.sd, quality.contrast_sd, cost, cost_sd, seen.latency, seen.latency_sd)

    def _quality(self, task_class: int, models: list[int]) -> _Quality:
        """Return mean and sds of the models' quality in one class."""
        seen = self._belief.marginals(task_class, Measure.QUALITY)
        kept = self._qualities.get(task_class)
        if kept is None or kept.models is not models or kept.source is not seen:
            means = [seen.mean[model] for model in models]
            clipped = [q if 0.0 <= q <= 1.0 else float(q > 0.5) for q in means]  # beliefs may leave the scale
            kept = self._qualities[task_class] = _Quality(
                models, seen, clipped, [seen.sd[m] for m in models], [seen.contrast_sd[m] for m in models]
            )
        return kept

    def _resources(self, task_class: int, models: list[int]) -> _Resources:
        """Return what the models are expected to use in one class, whatever is asked."""
        tokens = self.output_tokens(task_class)
        latency = self._log_normal(task_class, Measure.LATENCY)
        rates = self._catalog.rates
        kept = self._used.get(task_class)
        if (
            kept is None
            or kept.models is not models
            or kept.tokens is not tokens
            or kept.seconds is not latency
            or kept.rates is not rates
            or kept.steps != self._steps.version
        ):
            few = [self._use(task_class, model, tokens) for model in models]
            kept = self._used[task_class] = _Resources(
                models=models,
                tokens=tokens,
                seconds=latency,
                rates=rates,
                steps=self._steps.version,
                costs=[use.cost for use in few],
                cost_sds=[use.spread for use in few],
                latency=[latency[model][0] for model in models],
                latency_sd=[latency[model][1] for model in models],
            )
        return kept

    def _use(self, task_class: int, model: int, tokens: Moments) -> _Use:
        """Return what a call of a model costs and how uncertain that is; of a composite, what its members cost."""
        members = self._catalog.members.get(model)
        if members is None:
            rate, (expected, spread) = self._catalog.rates[model], tokens[model]
            return _Use(
                (rate.input, min(expected, rate.output_limit), rate.output, rate.request),
                (min(spread, rate.output_limit), rate.output),
            )
        uses = [self._use(task_class, member, tokens) for member in members.models]
        judge = None if members.judge is None else self._use(task_class, members.judge, tokens)
        if not members.in_turn:
            certain = [1.0] * len(uses)
            return _together(uses, certain, judge, judged=certain)
        shares = self._steps.reach(task_class, model, members.models)
        return _together(uses, shares, judge, judged=shares[:-1])

    def output_tokens(self, task_class: int) -> Moments:
        """Return expected output tokens and their sd for every model in one class, before any limit."""
        return self._log_normal(task_class, Measure.OUTPUT_TOKENS)

    def first_token_s(self, task_class: int) -> Moments:
        """Return the expected seconds to the first piece of a streamed answer and their sd, for every model."""
        return self._log_normal(task_class, Measure.FIRST_TOKEN)

    def _log_normal(self, task_class: int, measure: Measure) -> Moments:
        """Return E[X] and sd[X] of a log-normal measure for every model in one class."""
        seen = self._belief.marginals(task_class, measure)
        kept = self._moments.get((task_class, measure))
        if kept is None or kept[0] is not seen:
            noise = self._belief.noise(measure)
            moments = [log_normal(mean, sd * sd + noise) for mean, sd in zip(seen.mean, seen.sd, strict=True)]
            if measure == Measure.OUTPUT_TOKENS:  # the belief is about log(1 + tokens)
                moments = [(max(expected - 1.0, 0.0), spread) for expected, spread in moments]
            kept = self._moments[task_class, measure] = (seen, moments)
        return kept[1]


class _Quality(NamedTuple):
    """Quality of a list of models in one class, as long as the belief is the one it came from."""

    models: list[int]
    source: Marginals
    mean: list[float]
    sd: list[float]
    contrast_sd: list[float]


class _Use(NamedTuple):
    """What a call costs, as `predict` takes it; prices in nano-USD."""

    cost: tuple[float, float, float, float]  # price a token in, tokens out, their price, price of a request
    spread: tuple[float, float]  # sd of tokens out, their price


def _together(uses: list[_Use], shares: list[float], judge: _Use | None, *, judged: list[float]) -> _Use:
    """Return what calls cost together, each made with a probability.

    A judge reads the question and answers, and writes next to nothing. judged: shares of the answers that it reads; it
    is asked once for all that is certain to come, and once for each that is not.
    """
    price = sum(share * use.cost[2] for share, use in zip(shares, uses, strict=True))
    written = sum(share * use.cost[1] * use.cost[2] for share, use in zip(shares, uses, strict=True))
    read = sum(share * use.cost[0] for share, use in zip(shares, uses, strict=True))
    request = sum(share * use.cost[3] for share, use in zip(shares, uses, strict=True))
    variance = sum(share * (use.spread[0] * use.spread[1]) ** 2 for share, use in zip(shares, uses, strict=True))
    if judge is not None:
        times = 1.0 if all(share == 1.0 for share in judged) else sum(judged)
        read += judge.cost[0] * times
        answers = sum(share * use.cost[1] for share, use in zip(judged, uses, strict=False))
        request += judge.cost[0] * answers + judge.cost[3] * times
    if not price:
        return _Use((read, 0.0, 0.0, request), (0.0, 0.0))
    return _Use((read, written / price, price, request), (sqrt(variance) / price, price))


class _Resources(NamedTuple):
    """Tokens, prices and latency of a list of models in one class, as long as they are what these came from."""

    models: list[int]
    tokens: Moments
    seconds: Moments
    rates: list[Rate]
    costs: list[tuple[float, float, float, float]]  # price a token in, tokens out, their price, price of a request
    cost_sds: list[tuple[float, float]]  # sd of tokens out, their price; all prices in nano-USD
    latency: list[float]
    latency_sd: list[float]
    steps: int  # version of the counts that composites' costs rest on
