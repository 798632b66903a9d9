"""What is expected of each eligible model for one request: quality, cost and latency with their uncertainty."""

from __future__ import annotations

import numpy as np

from naiad.bandit import spend
from naiad.bandit.belief import Belief
from naiad.bandit.crossed import Marginals
from naiad.bandit.objective import Predictions
from naiad.bandit.statistics import Measure
from naiad.bandit.thompson import Floats
from naiad.server.catalog import Catalog


class Predictor:
    """Turns beliefs and prices into predictions; keeps what does not depend on the request until a belief moves."""

    def __init__(self, belief: Belief, catalog: Catalog) -> None:
        self._belief = belief
        self._catalog = catalog
        self._log_normals: dict[tuple[int, Measure], tuple[Marginals, Floats, Floats]] = {}

    def predict(self, task_class: int, models: list[int], input_tokens: int, max_output_tokens: int) -> Predictions:
        """Return predictions for the models, in their order; all arrays (n_models,)."""
        quality = self._belief.marginals(task_class, Measure.QUALITY)
        tokens, tokens_sd = self.output_tokens(task_class)
        latency, latency_sd = self._log_normal(task_class, Measure.LATENCY)
        catalog = self._catalog
        limit = np.minimum(catalog.output_limit, max_output_tokens)
        cost, cost_sd = spend.cost(
            input_tokens,
            np.minimum(tokens, limit),
            np.minimum(tokens_sd, limit),
            catalog.input_price,
            catalog.output_price,
        )
        cost += catalog.request_price
        found = Predictions(quality.mean, quality.sd, cost, cost_sd, latency, latency_sd)
        if len(models) == quality.mean.shape[0]:
            return found
        return Predictions(
            found.quality[models], found.quality_sd[models], found.cost[models], found.cost_sd[models],
            found.latency[models], found.latency_sd[models],
        )  # fmt: skip

    def output_tokens(self, task_class: int) -> tuple[Floats, Floats]:
        """Return expected output tokens and their sd in one class, before any limit; (n_models,)."""
        return self._log_normal(task_class, Measure.OUTPUT_TOKENS)

    def _log_normal(self, task_class: int, measure: Measure) -> tuple[Floats, Floats]:
        """Return E[X] and sd[X] of a log-normal measure in one class; (n_models,)."""
        seen = self._belief.marginals(task_class, measure)
        kept = self._log_normals.get((task_class, measure))
        if kept is None or kept[0] is not seen:
            expected, spread = spend.log_normal(seen.mean, seen.sd * seen.sd + self._belief.noise(measure))
            if measure == Measure.OUTPUT_TOKENS:  # the belief is about log(1 + tokens)
                expected = np.maximum(expected - 1.0, 0.0)
            kept = (seen, expected, spread)
            self._log_normals[task_class, measure] = kept
        return kept[1], kept[2]
