"""What is known of arms, as the API shows it: a function of the folded log alone, for lists and watches alike."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from naiad.bandit.statistics import Measure
from naiad.server import render
from naiad.server.convert import model_name, name
from naiad.server.engine import Engine
from naiad.server.prediction import Predictor
from naiad.v1 import insight_pb2

_TYPICAL_INPUT = 500  # tokens for which the cost of an arm is shown
_UNLIMITED = 1 << 40  # tokens

Pair = tuple[int, int]  # (task class, model), by number


def filter_of(engine: Engine, task_class: str, model: str) -> tuple[int | None, int | None]:
    """Return the numbers of a filter's task class and model, None where it takes all.

    Raises NaiadError for a name that is malformed, unknown or deleted.
    """
    catalog = engine.catalog
    return (
        catalog.task_class(name(task_class, "task_class")).task_class if task_class else None,
        catalog.model(model_name(model, "model")).model if model else None,
    )


def pairs_of(engine: Engine, task_class: str, model: str) -> list[Pair]:
    """Return the live arms of a filter, by task class and model; raises as `filter_of` does."""
    only_class, only_model = filter_of(engine, task_class, model)
    classes = [c.task_class for c in engine.catalog.live_task_classes()] if only_class is None else [only_class]
    models = [m.model for m in engine.catalog.live] if only_model is None else [only_model]
    return [(c, m) for c in classes for m in models]


def arms(engine: Engine, pairs: Sequence[Pair]) -> list[insight_pb2.Arm]:
    """Return what is known of some arms, in their order; cost is that of a request of 500 tokens."""
    return [
        arm
        for task_class, members in groupby(pairs, key=itemgetter(0))
        for arm in arms_of_class(engine, task_class, [model for _, model in members])
    ]


def arms_of_class(engine: Engine, task_class: int, models: Sequence[int]) -> list[insight_pb2.Arm]:
    """Return what is known of some models in one task class; costs O(models), and O(models^2) after beliefs moved."""
    catalog, traffic = engine.catalog, engine.traffic
    everything = list(range(len(catalog.models)))
    predictor = Predictor(engine.belief, catalog, engine.steps)  # of its own: the engine's keeps what decisions ask for
    seen = predictor.predict(task_class, everything, _TYPICAL_INPUT, _UNLIMITED)
    written = predictor.output_tokens(task_class)
    begun = predictor.first_token_s(task_class)
    quality, success, tokens, latency, first = (engine.belief.marginals(task_class, measure) for measure in Measure)
    judged, tried, counted, timed = quality.evidence, success.evidence, tokens.evidence, latency.evidence
    streamed = first.evidence
    found = []
    for model in models:
        counts = traffic.arm(task_class, model)
        expected, spread = written[model]
        arm = insight_pb2.Arm(
            task_class=catalog.task_classes[task_class].name,
            model=catalog.models[model].name,
            quality=_belief(seen.quality[model], quality.sd[model], judged[model]),
            success=_belief(success.mean[model], success.sd[model], tried[model]),
            output_tokens=_belief(expected, spread, counted[model]),
            latency_s=_belief(seen.latency[model], seen.latency_sd[model], timed[model]),
            time_to_first_token_s=_belief(*begun[model], streamed[model]),
            pulls=counts.pulls,
            failures=counts.failures,
            traffic_share=traffic.share(task_class, model),
            recent_traffic_share=traffic.recent_share(task_class, model),
        )
        if catalog.models[model].prices is not None:
            arm.cost_nano_usd.CopyFrom(_belief(seen.cost[model], seen.cost_sd[model], counted[model]))
        if counts.last_pull_ms:
            arm.last_pull_time.CopyFrom(render.timestamp(counts.last_pull_ms))
        alarm = engine.drift.latest(model)
        if alarm is not None:
            arm.drift.CopyFrom(render.drift(alarm))
        found.append(arm)
    return found


def _belief(mean: float, sd: float, evidence: float) -> insight_pb2.Belief:
    return insight_pb2.Belief(mean=mean, standard_deviation=sd, effective_observations=evidence)
