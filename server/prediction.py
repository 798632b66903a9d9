"""What is expected of each eligible model for one request: quality, cost and latency with their uncertainty."""

from __future__ import annotations

from naiad.bandit.belief import Belief
from naiad.bandit.crossed import Marginals
from naiad.bandit.objective import Predictions
from naiad.bandit.spend import log_normal
from naiad.bandit.statistics import Measure
from naiad.server.catalog import Catalog

Moments = list[tuple[float, float]]  # (expected value, sd) of each model


class Predictor:
    """Turns beliefs and prices into predictions; keeps what does not depend on the request until a belief moves."""

    def __init__(self, belief: Belief, catalog: Catalog) -> None:
        self._belief = belief
        self._catalog = catalog
        self._moments: dict[tuple[int, Measure], tuple[Marginals, Moments]] = {}

    def predict(self, task_class: int, models: list[int], input_tokens: int, max_output_tokens: int) -> Predictions:
        """Return predictions for the models, in their order."""
        quality = self._belief.marginals(task_class, Measure.QUALITY)
        tokens = self.output_tokens(task_class)
        latency = self._log_normal(task_class, Measure.LATENCY)
        rates = self._catalog.rates
        costs, cost_sds = [], []
        for model in models:
            price, output_price, request, limit = rates[model]
            expected, spread = tokens[model]
            if max_output_tokens < limit:
                limit = max_output_tokens
            costs.append(input_tokens * price + (expected if expected < limit else limit) * output_price + request)
            cost_sds.append((spread if spread < limit else limit) * output_price)
        means = quality.mean
        return Predictions(
            [
                q if 0.0 <= q <= 1.0 else float(q > 0.5) for q in (means[m] for m in models)
            ],  # beliefs may leave the scale
            [quality.sd[m] for m in models],
            costs,
            cost_sds,
            [latency[m][0] for m in models],
            [latency[m][1] for m in models],
        )

    def output_tokens(self, task_class: int) -> Moments:
        """Return expected output tokens and their sd for every model in one class, before any limit."""
        return self._log_normal(task_class, Measure.OUTPUT_TOKENS)

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
