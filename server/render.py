"""What the engine knows into messages of the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from naiad.bandit.statistics import SCALE
from naiad.server.bounds import MOST_INT64, plain
from naiad.server.catalog import Catalog
from naiad.server.composites import Role
from naiad.server.composition import composite_to_proto
from naiad.server.engine import Decision
from naiad.server.ledger import USER_SOURCE, AttemptEntry, Entry, feedback_id_of, learned
from naiad.server.money import adjustment_of, reasoning_of
from naiad.server.records import (
    Budget,
    Cost,
    Decided,
    DriftAlarmed,
    Exclusion,
    Limited,
    ModelPut,
    ObjectiveSpec,
    Outcome,
    Prices,
    Rating,
    TaskClassPut,
)
from naiad.server.sessions import Left
from naiad.v1 import (
    catalog_pb2,
    content_pb2,
    decision_pb2,
    error_pb2,
    feedback_pb2,
    insight_pb2,
    objective_pb2,
    router_service_pb2,
)

_RETIRING_MS = 60 * 86_400_000  # how long before it is told


def timestamp(at_ms: int) -> Timestamp:
    """Return a timestamp of milliseconds since 1970."""
    return Timestamp(seconds=at_ms // 1000, nanos=at_ms % 1000 * 1_000_000)


def duration(seconds: float) -> Duration:
    """Return a duration of seconds."""
    whole, nanos = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(seconds=whole, nanos=nanos)


def drift(alarm: DriftAlarmed) -> insight_pb2.Drift:
    """Return a drift alarm."""
    return insight_pb2.Drift(
        alarm_time=timestamp(alarm.at_ms), shift=alarm.shift / SCALE, ordinal=alarm.ordinal, evidence_weight=alarm.kept
    )


def candidates(catalog: Catalog, record: Decided) -> list[Mapping[str, Any]]:
    """Return the eligible models of a decision in the order in which they are to be tried, as Candidates.

    A message takes dicts in a third of the time that it takes messages, which it would copy.
    """
    models, names = record.models, catalog.model_names
    probabilities, quality, quality_sd = record.probabilities, record.quality, record.quality_sd
    cost, cost_sd, latency, latency_sd = record.cost, record.cost_sd, record.latency, record.latency_sd
    return [
        {
            "model": names[models[i]],
            "propensity": probabilities[i],
            "quality": quality[i],
            "quality_sd": quality_sd[i],
            "cost_nano_usd": round(cost[i]),
            "cost_sd_nano_usd": round(cost_sd[i]),
            "latency_s": latency[i],
            "latency_sd_s": latency_sd[i],
        }
        for i in record.rank
    ]


def exclusions(catalog: Catalog, excluded: Sequence[Exclusion]) -> list[decision_pb2.Exclusion]:
    """Return the excluded models with their reasons."""
    return [
        decision_pb2.Exclusion(
            model=catalog.models[e.model].name,
            reason=e.reason,  # type: ignore[arg-type]
            detail=e.detail,
        )
        for e in excluded
    ]


def decision_to_proto(
    catalog: Catalog, decision: Decision, notices: Sequence[decision_pb2.Notice] = ()
) -> router_service_pb2.DecideResponse:
    """Return the reply to Decide."""
    record = decision.record
    return router_service_pb2.DecideResponse(
        decision_id=decision.decision_id,
        model=catalog.model_names[record.model],
        propensity=record.propensity,
        ranking=candidates(catalog, record),
        excluded=exclusions(catalog, record.excluded) if record.excluded else (),
        policy_version=record.policy,
        task_class=catalog.task_classes[record.task_class].name,
        notices=notices,
    )


def _retiring(model: str, retire_ms: int, at_ms: int) -> decision_pb2.Notice:
    when = timestamp(retire_ms).ToJsonString()
    return decision_pb2.Notice(
        code=decision_pb2.NOTICE_CODE_MODEL_RETIRING,
        message=f"{model} {'was' if retire_ms <= at_ms else 'will be'} retired by its provider on {when[:10]}",
        metadata={"model": model, "retire_time": when},
    )


def notices_of(catalog: Catalog, record: Decided) -> list[decision_pb2.Notice]:
    """Return what the caller should know about a decision besides the choice."""
    found = []
    if record.created:
        created = catalog.task_classes[record.task_class].name
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_TASK_CLASS_CREATED,
                message=f"task class {created!r} was new and has been created",
                metadata={"task_class": created},
            )
        )
    if record.sticky or record.moved is not None:
        found.append(_session(catalog, record))
    retire_ms = catalog.models[record.model].retire_ms
    if retire_ms is not None and retire_ms - record.at_ms < _RETIRING_MS:
        found.append(_retiring(catalog.models[record.model].name, retire_ms, record.at_ms))
    if record.budget is not None and record.budget.short:
        amount, scope = plain(record.budget.usd_per_request), record.budget.scope
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_BUDGET_BELOW_CHEAPEST,
                message=f"the budget of ${amount} a request (set by the {scope.replace('_', ' ')}) is below what the "
                "cheapest models cost; they are served, and spend exceeds it: raise usd_per_request or add a cheaper "
                "model",
                metadata={"usd_per_request": amount, "scope": scope},
            )
        )
    if record.limits is not None:
        found += _limited(catalog, record.limits)
    if record.class_named or record.class_source in ("caller", "content"):
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_DATA_CLASS_RAISED,
                message=f"the request was treated as data class {record.data_class!r}, which its "
                f"{record.class_source.replace('_', ' ')} sets",
                metadata={"data_class": record.data_class, "source": record.class_source},
            )
        )
    if record.data_class and not record.class_source:
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_DATA_CLASS_NOT_ENFORCED,
                message="data_class is recorded and not enforced: the configuration has no [[data_classes]]; add them, "
                "or use allowed_models to keep data on certain models",
                metadata={"data_class": record.data_class},
            )
        )
    return found


def _session(catalog: Catalog, record: Decided) -> decision_pb2.Notice:
    """Return what became of the model that a session had."""
    model = catalog.models[record.model].name
    if record.moved is None:
        facts = {"session_id": record.session, "model": model}
        if record.session_saving:
            facts["saving_nano_usd"] = str(round(record.session_saving))
        return decision_pb2.Notice(
            code=decision_pb2.NOTICE_CODE_STICKY_SESSION,
            message="the session's earlier model was kept; this decision did not explore",
            metadata=facts,
        )
    before, why = catalog.models[record.moved.model].name, Left(record.moved.why)
    said = {
        Left.INELIGIBLE: "may not be used for this request"
        + next((f" ({e.detail})" for e in record.excluded if e.model == record.moved.model), ""),
        Left.BETTER: "is surely not the best any more, what its provider's prompt cache saves counted",
        Left.ALLOWANCE: "is below the quality floor, and the day's allowance does not pay for another turn",
    }
    return decision_pb2.Notice(
        code=decision_pb2.NOTICE_CODE_SESSION_MOVED,
        message=f"the session left its model: {before} {said[why]}; {model} was drawn",
        metadata={"session_id": record.session, "from": before, "model": model, "reason": why.name.lower()},
    )


def _limited(catalog: Catalog, limits: Limited) -> list[decision_pb2.Notice]:
    """Return what the policy's limits on learning did to a decision."""
    found = []
    if limits.would is not None:
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_NEWCOMERS_CAPPED,
                message=f"models that are new were held at {limits.share:.3g} of the traffic together; they would have "
                f"had {limits.would:.3g}",
                metadata={
                    "models": _names(catalog, limits.new),
                    "share": f"{limits.share:g}",
                    "uncapped_share": f"{limits.would:g}",
                },
            )
        )
    if limits.barred:
        left = max(limits.left or 0, 0)
        found.append(
            decision_pb2.Notice(
                code=decision_pb2.NOTICE_CODE_ALLOWANCE_SPENT,
                message=f"${left / 1e9:g} of the day's allowance for exploring below the quality floor is left, which "
                "does not pay for a call of every model outside it",
                metadata={"models": _names(catalog, limits.barred), "left_nano_usd": str(left)},
            )
        )
    return found


def _names(catalog: Catalog, models: Sequence[int]) -> str:
    return ",".join(catalog.models[model].name for model in models)


def cost(value: Cost | None) -> decision_pb2.CostBreakdown:
    """Return a cost by kind of token."""
    if value is None:
        return decision_pb2.CostBreakdown()
    return decision_pb2.CostBreakdown(
        total_nano_usd=value.total,
        input_nano_usd=value.input,
        cached_input_nano_usd=value.cached_input,
        cache_write_nano_usd=value.cache_write,
        output_nano_usd=value.output,
        request_nano_usd=value.request,
        billed_nano_usd=value.billed,
        price_version=value.price_version,
        reasoning_nano_usd=value.reasoning,
        adjustment_nano_usd=adjustment_of(value),
        judge_nano_usd=value.judge,
        other_members_nano_usd=value.other_members,
        doubted_bill=value.doubted_bill,
    )


def attempt_cost(outcome: Outcome) -> decision_pb2.CostBreakdown:
    """Return what one attempt cost, also of one that was recorded without the share of reasoning."""
    message = cost(outcome.cost)
    if outcome.cost is not None:
        message.reasoning_nano_usd = reasoning_of(outcome.usage, outcome.cost)
    return message


def usage(outcome: Outcome) -> content_pb2.Usage:
    """Return the tokens of an attempt; unknown ones are 0."""
    seen = outcome.usage
    message = content_pb2.Usage(
        input_tokens=seen.input_tokens or 0,
        output_tokens=seen.output_tokens or 0,
        cached_input_tokens=seen.cached_input_tokens,
        cache_write_input_tokens=seen.cache_write_tokens,
        reasoning_tokens=seen.reasoning_tokens,
        estimated=seen.estimated,
    )
    if seen.claim is not None:
        message.doubted.CopyFrom(
            content_pb2.DoubtedUsage(
                reason=seen.claim.reason,  # type: ignore[arg-type]
                input_tokens=seen.claim.input_tokens,
                output_tokens=seen.claim.output_tokens,
                most_tokens=seen.claim.most,
            )
        )
    return message


def attempt(catalog: Catalog, name: str, outcome: Outcome) -> decision_pb2.Attempt:
    """Return one attempt with its facts."""
    message = decision_pb2.Attempt(
        attempt_id=name,
        model=catalog.models[outcome.model].name,
        usage=usage(outcome),
        cost=attempt_cost(outcome),
        finish_reason=outcome.finish,  # type: ignore[arg-type]
        part_of="" if outcome.part_of is None else catalog.models[outcome.part_of].name,
        judge=outcome.role == Role.JUDGE,
        returned_attempt_id=outcome.returned,
        uncertain_nano_usd=outcome.uncertain,
        checks=[
            decision_pb2.AnswerCheck(
                attempt_id=one.attempt, checked_by=one.by, passed=one.passed, score=one.score, failure=one.failure
            )
            for one in outcome.checks
        ],
    )
    if outcome.failed:
        message.error.kind = outcome.error  # type: ignore[assignment]
        message.error.detail = outcome.error_detail
        if outcome.http_status is not None:
            message.error.http_status = outcome.http_status
        if outcome.retry_after_s is not None:
            message.error.retry_after.CopyFrom(duration(outcome.retry_after_s))
    if outcome.latency_s is not None:
        message.latency.CopyFrom(duration(outcome.latency_s))
    if outcome.first_token_s is not None:
        message.time_to_first_token.CopyFrom(duration(outcome.first_token_s))
    if outcome.started_ms:
        message.start_time.CopyFrom(timestamp(outcome.started_ms))
    return message


def attempts_failed(
    catalog: Catalog, decision_id: str, attempts: Sequence[tuple[str, Outcome]]
) -> error_pb2.AttemptsFailedDetail:
    """Return the attempts of a completion that failed, to go with its error."""
    return error_pb2.AttemptsFailedDetail(
        decision_id=decision_id, attempts=[attempt(catalog, name, outcome) for name, outcome in attempts]
    )


def feedback(
    entry: Entry, rated: AttemptEntry, rating: Rating, decision_id: str, trust: Mapping[int, float]
) -> feedback_pb2.Feedback:
    """Return a piece of feedback as it is kept; trust: source -> weight."""
    state = feedback_pb2.FEEDBACK_STATE_SUPERSEDED
    if rating.retracted:
        state = feedback_pb2.FEEDBACK_STATE_RETRACTED
    elif learned(entry, rated, rating):
        state = feedback_pb2.FEEDBACK_STATE_EFFECTIVE
    message = feedback_pb2.Feedback(
        feedback_id=feedback_id_of(entry.uid, rated.attempt, rating),
        decision_id=decision_id,
        attempt_id="" if rating.preferred else rated.attempt,
        source=USER_SOURCE if rating.reaction else rating.source,  # type: ignore[arg-type]
        rater_id=rating.rater,
        comment=rating.comment,
        state=state,
        revisions=rating.revisions,
        create_time=timestamp(rating.created_ms),
        update_time=timestamp(rating.updated_ms),
        weight=rating.weight / 1000 * trust.get(rating.source, 1.0),
    )
    value = rating.value / SCALE
    if rating.preferred:
        message.preference.preferred_attempt_id = rating.preferred
        message.preference.other_attempt_id = rating.other
    elif rating.signal == 1:
        message.thumb = feedback_pb2.THUMB_UP if value > 0.5 else feedback_pb2.THUMB_DOWN
        message.value = value
    elif rating.reaction:
        message.reaction.kind = rating.reaction  # type: ignore[assignment]
        if rating.edit_share is not None:
            message.reaction.edit_share = rating.edit_share
        message.value = value
    else:
        message.score = value
        message.value = value
    return message


def objective(spec: ObjectiveSpec) -> objective_pb2.Objective:
    """Return a strategy with the parameters that are set."""
    return objective_pb2.Objective(
        strategy=spec.strategy or 0,  # type: ignore[arg-type]
        usd_per_quality=spec.usd_per_quality,
        usd_per_second=spec.usd_per_second,
        quality_floor=spec.quality_floor,
        confidence=spec.confidence,
        margin=spec.margin,
        usd_per_request=spec.usd_per_request,
        models=spec.models or (),
        on_refusal=spec.on_refusal or 0,  # type: ignore[arg-type]
    )


def budget(value: Budget) -> insight_pb2.BudgetExplanation:
    """Return the budget of a decision."""
    return insight_pb2.BudgetExplanation(
        scope=value.scope,
        usd_per_request=value.usd_per_request,
        quality_per_usd=value.price,
        lower_price_share=value.lower_share,
        bank_nano_usd=max(-MOST_INT64, min(MOST_INT64, round(value.bank * 1e9))),
        below_cheapest=value.short,
    )


def prices(value: Prices) -> catalog_pb2.Prices:
    """Return prices; those of tiers are not part of the API."""
    return catalog_pb2.Prices(
        input_nano_usd_per_million_tokens=value.input,
        output_nano_usd_per_million_tokens=value.output,
        cached_input_nano_usd_per_million_tokens=value.cached_input,
        cache_write_nano_usd_per_million_tokens=value.cache_write,
        request_nano_usd=value.request or None,
        price_version=value.version,
    )


def model(entry: ModelPut) -> catalog_pb2.Model:
    """Return a model of the catalogue."""
    message = catalog_pb2.Model(
        name=entry.name,
        provider=entry.name.partition("/")[0],
        upstream_model=entry.upstream_model,
        endpoint_profile=entry.endpoint,
        prices=prices(entry.prices) if entry.prices is not None else None,
        context_window=entry.context_window,
        max_output_tokens=entry.max_output_tokens,
        capabilities=entry.capabilities,  # type: ignore[arg-type]
        data_zone=entry.data_zone,
        disabled=entry.disabled,
        labels=entry.labels,
        revision=entry.revision,
        origin=entry.origin,  # type: ignore[arg-type]
        create_time=timestamp(entry.created_ms),
        update_time=timestamp(entry.at_ms),
    )
    if entry.retire_ms is not None:
        message.retire_time.CopyFrom(timestamp(entry.retire_ms))
    if entry.composite is not None:
        composite_to_proto(entry.composite, message)
    return message


def task_class(entry: TaskClassPut) -> catalog_pb2.TaskClass:
    """Return a task class of the catalogue."""
    return catalog_pb2.TaskClass(
        name=entry.name,
        description=entry.description,
        default_objective=objective(entry.objective) if entry.objective is not None else None,
        features=[
            catalog_pb2.FeatureSpec(name=f.name, description=f.description, low=f.low, high=f.high)
            for f in entry.features
        ],
        default_data_class=entry.data_class,
        labels=entry.labels,
        revision=entry.revision,
        origin=entry.origin,  # type: ignore[arg-type]
        create_time=timestamp(entry.created_ms),
        update_time=timestamp(entry.at_ms),
    )
