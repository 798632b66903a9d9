"""InsightService: convert, look, convert."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from math import erfc, sqrt
from typing import Any

import msgspec

from naiad.bandit.objective import Objective, Strategy, worth_of_quality
from naiad.server import render
from naiad.server.arms import arms, pairs_of
from naiad.server.arms_feed import ArmsFeed, watch_interval_s
from naiad.server.bounds import MOST_INT64
from naiad.server.convert import duration_s, model_name, name, text_id, time_ms
from naiad.server.engine import UID_TIME_SHIFT, Engine
from naiad.server.errors import NaiadError
from naiad.server.journal import Journal
from naiad.server.ledger import Entry, score_of
from naiad.server.paging import decode, encode, page_size, slice_page
from naiad.server.records import Decided, Limited, ObjectiveSpec
from naiad.server.records import decode as decode_event
from naiad.server.routing import Routing
from naiad.server.rpc_costs import CostReports
from naiad.server.sessions import Left
from naiad.server.store.base import DecisionFilter, EventRow, Store
from naiad.v1 import insight_pb2, insight_service_pb2, insight_service_pb2_grpc

_entry_decoder = msgspec.json.Decoder(Entry)
_FLOORED = (Strategy.COST_OPTIMIZED, Strategy.LATENCY_OPTIMIZED)


class InsightServicer(insight_service_pb2_grpc.InsightServiceServicer):
    """Beliefs, arms and records of decisions."""

    def __init__(self, routing: Routing, journal: Journal, store: Store, feed: ArmsFeed, costs: CostReports) -> None:
        self._routing = routing
        self._journal = journal
        self._engine = routing.engine
        self._store = store
        self._feed = feed
        self._costs = costs

    async def ListArms(self, request: Any, context: Any) -> insight_service_pb2.ListArmsResponse:
        """List what is known of every arm, by task class and model."""
        pairs = pairs_of(self._engine, request.task_class, request.model)
        page, following = slice_page(
            pairs, request.page_size, request.page_token, "arms", self._engine.tenant, request.task_class, request.model
        )
        return insight_service_pb2.ListArmsResponse(
            arms=arms(self._engine, page), next_page_token=following, sequence=self._engine.sequence
        )

    async def WatchArms(self, request: Any, context: Any) -> AsyncIterator[insight_service_pb2.WatchArmsResponse]:
        """Send all arms or those after the cursor, then those that move; never ends by itself."""
        interval_s = watch_interval_s(duration_s(request, "interval"))
        async with aclosing(self._feed.watch(request.task_class, request.model, request.cursor, interval_s)) as watch:
            async for response in watch:
                yield response

    async def GetDecision(self, request: Any, context: Any) -> insight_service_pb2.GetDecisionResponse:
        """Return a decision with everything that it rested on and that became of it."""
        ticket = self._routing.ticket(request.decision_id)
        rows = await self._store.decisions([ticket.uid])
        if ticket.uid not in rows:  # Decide does not wait for its row; who asks at once does
            await self._journal.written()
            rows = await self._store.decisions([ticket.uid])
        entries = await self._store.entries([ticket.uid])
        entry = _entry_decoder.decode(entries[ticket.uid]) if ticket.uid in entries else None
        catalog = self._engine.catalog
        if ticket.uid in rows:
            record = explained(self._engine, rows[ticket.uid], entry)
        elif entry is not None and ticket.model < len(catalog.models):
            record = insight_pb2.DecisionRecord(
                task_class=catalog.task_classes[ticket.task_class].name,
                model=catalog.models[ticket.model].name,
                propensity=ticket.propensity,
                policy_version=ticket.policy,
                model_ordinal=ticket.ordinal,
                create_time=render.timestamp(ticket.at_ms),
                restored_from_id=True,
            )
            _add_ledger(self._engine, record, entry, request.decision_id)
        else:
            raise NaiadError(
                "UNKNOWN_DECISION",
                "decision_id is genuine, but nothing is known of the decision; "
                "use the id of a decision within retention",
                code="NOT_FOUND",
                metadata={"decision_id": request.decision_id},
            )
        record.decision_id = request.decision_id
        return insight_service_pb2.GetDecisionResponse(decision=record)

    async def GetCostReport(self, request: Any, context: Any) -> insight_service_pb2.GetCostReportResponse:
        """Sum up what was spent."""
        return await self._costs.report(request)

    async def ListDecisions(self, request: Any, context: Any) -> insight_service_pb2.ListDecisionsResponse:
        """List decisions in brief, newest first."""
        catalog = self._engine.catalog
        start_ms, end_ms = time_ms(request, "start_time"), time_ms(request, "end_time")
        scope = (
            "decisions", self._engine.tenant, request.task_class, request.model, request.workflow, request.session_id,
            start_ms, end_ms,
        )  # fmt: skip
        size = page_size(request.page_size)
        wanted = DecisionFilter(
            before_uid=decode(request.page_token, *scope),
            task_class=catalog.known_task_class(name(request.task_class, "task_class")).task_class
            if request.task_class
            else None,
            model=catalog.known_model(model_name(request.model, "model")).model if request.model else None,
            workflow=text_id(request.workflow, "workflow") or None,
            session=text_id(request.session_id, "session_id") or None,
            from_uid=None if start_ms is None else min(MOST_INT64, max(0, start_ms) << UID_TIME_SHIFT),
            start_ms=start_ms,
            end_ms=end_ms,
        )
        rows = await self._store.list_decisions(wanted, size + 1)
        page = rows[:size]
        entries = await self._store.entries([row.uid for row in page if row.uid is not None])
        following = encode(page[-1].uid or 0, *scope) if len(rows) > size else ""
        return insight_service_pb2.ListDecisionsResponse(
            decisions=[_summary(self._engine, row, entries.get(row.uid or -1)) for row in page],
            next_page_token=following,
        )


def objective_of(record: Decided) -> Objective:
    """Return the objective that a decision was made under."""
    strategy, *parameters = record.objective
    return Objective(Strategy(int(strategy)), *parameters)


def explained(engine: Engine, row: EventRow, entry: Entry | None) -> insight_pb2.DecisionRecord:
    """Return the whole record of a decision."""
    record = decode_event(row.payload)
    if not isinstance(record, Decided):
        raise TypeError(f"event {row.sequence} is not a decision")
    catalog = engine.catalog
    objective = objective_of(record)
    names = [catalog.models[m].name for m in record.models]
    message = insight_pb2.DecisionRecord(
        task_class=catalog.task_classes[record.task_class].name,
        workflow=record.workflow,
        session_id=record.session,
        data_class=record.data_class,
        data_class_source=record.class_source,
        policy_epoch=record.epoch,
        no_store=record.no_store,
        policy_version=record.policy,
        objective=render.objective(
            ObjectiveSpec(
                strategy=int(objective.strategy),
                usd_per_quality=objective.usd_per_quality,
                usd_per_second=objective.usd_per_second,
                quality_floor=objective.quality_floor,
                confidence=objective.confidence,
                margin=objective.margin,
                usd_per_request=None if record.budget is None else record.budget.usd_per_request,
                on_refusal=record.on_refusal,
            )
        ),
        features=record.features,
        input_tokens=record.input_tokens,
        max_output_tokens=record.max_output_tokens,
        model=catalog.models[record.model].name,
        propensity=record.propensity,
        uniform_draw=record.uniform,
        ranking=[names[i] for i in record.rank],
        excluded=render.exclusions(catalog, record.excluded),
        model_ordinal=record.ordinal,
        sticky=record.sticky,
        session_moved_from="" if record.moved is None else catalog.models[record.moved.model].name,
        session_moved_reason="" if record.moved is None else Left(record.moved.why).name.lower(),
        session_saving_nano_usd=round(record.session_saving),
        create_time=render.timestamp(record.at_ms),
        decide_duration=render.duration(record.took_us / 1e6),
        sequence=row.sequence,
        price_version=record.price_version,
    )
    budget = record.budget
    money = 0.0  # what the budget adds to a dollar, where utilities are in money
    if budget is not None:
        message.budget.CopyFrom(render.budget(budget))
        if objective.strategy == Strategy.BALANCED:
            money = budget.price * worth_of_quality(objective)
    in_rank_order = dict(zip(record.rank, render.candidates(catalog, record), strict=True))
    for i in range(len(record.models)):
        explanation = message.candidates.add(
            candidate=in_rank_order[i],
            quality=insight_pb2.Belief(mean=record.quality[i], standard_deviation=record.quality_sd[i]),
            thompson_probability=record.thompson[i],
            utility=record.utility[i],
            utility_sd=record.utility_sd[i],
            budget_price_nano_usd=min(MOST_INT64, round(money * record.cost[i])),
            permitted_by=record.grounds[i] if record.grounds else "",
        )
        alarm = engine.drift.latest(record.models[i], record.at_ms)
        if alarm is not None:
            explanation.drift.CopyFrom(render.drift(alarm))
        if objective.strategy in _FLOORED:
            gap = (objective.quality_floor - record.quality[i]) / max(record.quality_sd[i], 1e-12)
            explanation.floor_probability = 0.5 * erfc(gap / sqrt(2.0))
            if not record.floor_met:
                explanation.note = "no model reaches the floor with the confidence asked for, so quality decided"
        if record.limits is not None:
            explanation.note = _limit(record.limits, record.models[i]) or explanation.note
        if record.sticky:
            explanation.note = "the session's earlier model was kept"
    if entry is not None:
        _add_ledger(engine, message, entry, engine.decision_id(record))
    return message


def _limit(limits: Limited, model: int) -> str:
    """Return which limit of the policy bore on a candidate, "" if none did."""
    if limits.would is not None and model in limits.new:
        return (
            f"models that are new were held at {limits.share:.3g} of the traffic together; they would have had "
            f"{limits.would:.3g}"
        )
    if model in limits.barred:
        return "below the quality floor, and the day's allowance for exploring there does not pay for a call"
    return ""


def _add_ledger(engine: Engine, message: insight_pb2.DecisionRecord, entry: Entry, decision_id: str) -> None:
    """Add attempts and feedback to a decision's record."""
    for known in entry.seen():
        if known.outcome is not None:
            message.attempts.append(render.attempt(engine.catalog, known.attempt, known.outcome))
    for known, rating in entry.judgements():
        message.feedback.append(render.feedback(entry, known, rating, decision_id, engine.settings.belief.trust))
    score = effective_score(entry)
    if score is not None:
        message.effective_score = score


def effective_score(entry: Entry) -> float | None:
    """Return the score that counts for the attempt that gave the answer, in [0, 1]."""
    return score_of(entry, entry.find(entry.answered()))


def _summary(engine: Engine, row: EventRow, payload: bytes | None) -> insight_pb2.DecisionSummary:
    record = decode_event(row.payload)
    if not isinstance(record, Decided):
        raise TypeError(f"event {row.sequence} is not a decision")
    catalog = engine.catalog
    message = insight_pb2.DecisionSummary(
        decision_id=engine.decision_id(record),
        task_class=catalog.task_classes[record.task_class].name,
        workflow=record.workflow,
        model=catalog.models[record.model].name,
        propensity=record.propensity,
        policy_version=record.policy,
        create_time=render.timestamp(record.at_ms),
        sequence=row.sequence,
    )
    if payload is not None:
        entry = _entry_decoder.decode(payload)
        outcomes = [a.outcome for a in entry.attempts if a.outcome is not None]
        message.attempt_count = len(outcomes)
        if any(o.cost for o in outcomes):
            message.cost_nano_usd = min(MOST_INT64, sum(o.cost.total for o in outcomes if o.cost))
        good = [o for o in outcomes if not o.failed]
        if good:
            message.answered_by = catalog.models[good[-1].model].name
        score = effective_score(entry)
        if score is not None:
            message.effective_score = score
    return message
