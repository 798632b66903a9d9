"""All live state of a tenant, and the two things that move it: deciding, and folding committed events.

Everything here is synchronous: no await, no clock, no database. `decide` reads the beliefs and hands out an ordinal;
`apply` folds one event of the log, live after its commit and in a replay alike, so both reach the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from naiad.bandit.belief import Belief, BeliefSettings
from naiad.bandit.drift import DriftSettings
from naiad.bandit.objective import Exploration, Objective, Pace, Predictions, Serving, Strategy, serve, serve_paced
from naiad.bandit.statistics import GroupKey, Statistics
from naiad.bandit.staying import leaves_for
from naiad.bandit.thompson import draw
from naiad.server.budgets import Budgets, Steered
from naiad.server.catalog import Catalog
from naiad.server.ceilings import Ceilings, Shortage
from naiad.server.composites import Kind
from naiad.server.decision_id import Signer, Ticket
from naiad.server.drift import Drift
from naiad.server.eligibility import Capability, Eligibility, Needs, Permit, Reason, none_left
from naiad.server.errors import NaiadError
from naiad.server.features import check_features
from naiad.server.governance import Claims, Treated, governance_of
from naiad.server.ledger import Entry
from naiad.server.limits import Bound, Judged, Limits, limits_of
from naiad.server.objectives import Level, Objectives
from naiad.server.prediction import Predictor
from naiad.server.ratios import Ratios
from naiad.server.records import (
    BudgetPut,
    Change,
    Decided,
    DriftAlarmed,
    Event,
    Exclusion,
    FeedbackReported,
    Head,
    ModelPut,
    Moved,
    ObjectiveSpec,
    OutcomeReported,
    PolicySet,
    Released,
    Reserved,
    TaskClassPut,
)
from naiad.server.refusals import OnRefusal
from naiad.server.sessions import Left, Sessions, SessionSettings, Turn
from naiad.server.spending import Spending
from naiad.server.steps import Steps
from naiad.server.traffic import Traffic

DEFAULT_TENANT = 0  # the first tenant; part of every key from the first schema on
UID_TIME_SHIFT = 20  # unique numbers begin with the time, so that they grow and lists by time are ranges
BEYOND_TEXT = frozenset({Capability.VISION, Capability.TOOLS, Capability.JSON_SCHEMA})  # tokens that text does not tell
NO_OVERRIDE = ObjectiveSpec()
_COMPOSED = {Strategy.ENSEMBLE: Kind.ENSEMBLE, Strategy.CASCADE: Kind.CASCADE}
Steer = Callable[..., Steered]  # how a budget is held: `Budgets.steer`, or `Budgets.preview`
_NOT_LISTED = "not among the objective's models"


class Query(msgspec.Struct, frozen=True):
    """One request for a decision, checked and in the engine's words."""

    task_class: str
    workflow: str = ""
    session: str = ""
    data_class: str = ""  # as the request says
    caller_data_class: str = ""  # the least that the caller's identity stands for: from its key, never from a request
    content_data_class: str = ""  # the least that its messages call for
    objective: ObjectiveSpec = NO_OVERRIDE
    needs: Needs = Needs(0, 0)
    features: dict[str, float] = {}
    request_id: str = ""
    request_digest: str = ""
    key_id: str = ""  # public id of the caller's key
    calls: bool = True  # the caller calls the provider itself: a hard budget holds what that may cost


class Decision(NamedTuple):
    """A choice: its id, and the record that the log keeps of it."""

    decision_id: str
    record: Decided
    permit: Permit | None = None  # without one nothing can be called: of a decision that is only read again

    @property
    def order(self) -> list[int]:
        """The models' ids in the order in which they are to be tried."""
        models = self.record.models
        return [models[i] for i in self.record.rank]


class Terms(NamedTuple):
    """What holds for a request before anything is chosen."""

    task_class: TaskClassPut
    objective: Objective
    level: Level | None  # of the budget that paces it
    order: tuple[str, ...]  # of an objective that lists its models
    on_refusal: OnRefusal
    claims: Claims
    treated: Treated | None  # None where there are no rules
    needs: Needs  # with the data class that it is treated as
    models: list[int]  # eligible, by everything but budgets
    excluded: list[Exclusion]


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the engine depends on besides the log."""

    belief: BeliefSettings = field(default_factory=BeliefSettings)
    drift: DriftSettings = field(default_factory=DriftSettings)
    endpoints: frozenset[str] = frozenset()  # profiles that have an adapter; empty: do not check
    callbacks: Mapping[str, str] = field(default_factory=dict)  # that cascades may ask, with the zones of each
    default_output_tokens: int | None = None  # under a hard budget, where the caller gives no bound
    hold_ms: int = 600_000  # how long a hard budget holds what a caller's own call may cost
    sessions: SessionSettings = field(default_factory=SessionSettings)


class Engine:
    """The state of one tenant."""

    def __init__(self, settings: EngineSettings, signer: Signer, tenant: int = DEFAULT_TENANT) -> None:
        self.settings = settings
        self.tenant = tenant
        self.signer = signer
        self.catalog = Catalog()
        self.eligibility = Eligibility(self.catalog, settings.endpoints, settings.callbacks)
        self.statistics = Statistics(settings.belief.caps)
        self.belief = Belief(settings.belief)
        self.drift = Drift(settings.drift, self.statistics, self.belief)
        self.steps = Steps()
        self.predictor = Predictor(self.belief, self.catalog, self.steps)
        self.traffic = Traffic()
        self.policy = PolicySet(version=0, objective=ObjectiveSpec(), temper=0.5, exploration=0.01, allowance=0.05)
        self._objectives = Objectives(self.policy)
        self._exploration = Exploration(self.policy.temper, self.policy.exploration, self.policy.allowance)
        self.sequence = 0  # of the last event folded
        self.last_uid = 0
        self._ordinals: dict[int, int] = {}  # next decision ordinal of each model, decisions not yet committed included
        self.sessions = Sessions(settings.sessions)
        self._policy_models: frozenset[str] = frozenset()
        self._judged = Judged()
        self.spending = Spending()
        self.ratios = Ratios()
        self._limits: Limits | None = None
        self.ceilings = Ceilings(self.catalog, settings.default_output_tokens, settings.hold_ms)
        self.budgets = Budgets(
            self.catalog, self.eligibility, self.predictor, lambda model: self._ordinals.get(model, 0)
        )

    def __repr__(self) -> str:
        return (
            f"Engine(tenant={self.tenant}, sequence={self.sequence}, models={len(self.catalog.live)}, "
            f"task_classes={len(self.catalog.task_classes)}, policy={self.policy.version})"
        )

    # -- deciding --------------------------------------------------------------------------------------------------

    def decide(self, query: Query, *, at_ms: int, uniform: float) -> Decision:
        """Choose a model; raises NaiadError when the class is unknown or no model may be used.

        at_ms: wall time, for people and for the id; uniform: the random number in [0, 1) that makes the draw.
        """
        record, permit, level = self._choose(query, at_ms, uniform, self.budgets.steer)
        self._ordinals[record.model] = record.ordinal + 1
        self.last_uid = record.uid
        self.sessions.take(query.session, Turn(record.model, record.uid, at_ms, query.needs.input_tokens))
        if self.ceilings.active and query.calls:
            self._hold(query, record)
        if level is not None:
            self.budgets.decided(level, record)
        if record.limits is not None:
            self.spending.folded(record)
        return Decision(self.decision_id(record), record, permit)

    def preview(self, query: Query, *, at_ms: int, uniform: float) -> Decision:
        """Return what `decide` would choose, and change nothing; raises as it does. The decision has no id."""
        record, permit, _ = self._choose(query, at_ms, uniform, self.budgets.preview)
        return Decision("", record, permit)

    def _choose(self, query: Query, at_ms: int, uniform: float, steer: Steer) -> tuple[Decided, Permit, Level | None]:
        """Weigh the models and draw one; nothing is changed but what `steer` changes."""
        catalog = self.catalog
        task_class, objective, level, order, on_refusal, claims, treated, needs, models, excluded = self.terms(query)
        if self.ceilings.active:
            models, dear = self.ceilings.permitted(
                query.workflow, task_class.task_class, query.key_id, needs, models, at_ms
            )
            excluded = excluded + dear if dear else excluded
        permit = self.eligibility.permit(models, needs, claims, task_class.task_class)
        seen = self.predictor.predict(task_class.task_class, models, needs.input_tokens, needs.max_output_tokens)
        if needs.ratios:
            seen = self._recounted(seen, models, needs)
        turn = None if order else self.sessions.latest(query.session, at_ms)
        saving = 0.0
        if turn is not None and turn.model in models:
            saving = self.sessions.saving(turn, self.catalog.models[turn.model].prices, needs.input_tokens, at_ms)
            if saving > 0.0:
                at = models.index(turn.model)
                seen.cost[at] = max(0.0, seen.cost[at] - saving)
        budget = pace = bound = None
        if self._limits is not None and not order:
            bound, models, excluded, seen = self._limits.begin(objective, needs, models, excluded, seen, at_ms)
        if level is None:
            if bound is None:
                serving = serve(objective, seen, self._exploration)
            else:
                temper = bound.temper(models, [self._exploration.temper] * len(models))
                serving = serve(objective, seen, self._exploration, bound.barred(models), temper)
        else:
            models, excluded, seen, serving, budget, pace = steer(
                level, objective, self._exploration, task_class.task_class, needs, self._policy_models,
                models, excluded, seen,
            )  # fmt: skip
            if bound is not None and (temper := bound.temper(models, pace.temper)) is not None:
                serving = serve_paced(objective, seen, pace._replace(temper=temper))
        if bound is not None:
            serving = bound.hold_back(models, serving, self._among(objective, seen, pace, bound.barred(models)))
        kept = left = None
        if turn is not None:
            kept, left = _kept(turn, models, objective, seen, serving, bound)
        probabilities = serving.probabilities
        if kept is None:
            chosen = draw(probabilities, uniform)
        else:
            chosen = kept
            probabilities = [0.0] * len(models)
            probabilities[chosen] = 1.0
        model = models[chosen]
        ordinals = [self._ordinals.get(m, 0) for m in models]
        record = Decided(
            at_ms=at_ms,
            uid=max(self.last_uid + 1, at_ms << UID_TIME_SHIFT),
            task_class=task_class.task_class,
            model=model,
            ordinal=ordinals[chosen],
            propensity=probabilities[chosen],
            uniform=uniform,
            policy=self.policy.version,
            workflow=query.workflow,
            session=query.session,
            data_class=treated.data_class if treated else query.data_class or task_class.data_class,
            class_source=treated.source if treated else "",
            class_named=query.data_class if treated and treated.data_class != query.data_class else "",
            no_store=treated is not None and treated.no_store,
            epoch=permit.epoch,
            grounds=self.eligibility.grounds(treated.data_class, models) if treated else [],
            objective=objective.numbers,
            input_tokens=needs.input_for(model),
            text_bytes=0 if needs.capabilities & BEYOND_TEXT else needs.text_bytes,
            framing_tokens=needs.framing_tokens if needs.text_bytes else 0,
            max_output_tokens=needs.max_output_tokens,
            features={} if treated is not None and treated.no_store else query.features,
            models=models,
            ordinals=ordinals,
            probabilities=probabilities,
            thompson=serving.thompson,
            utility=serving.utility,
            utility_sd=serving.utility_sd,
            quality=seen.quality,
            quality_sd=seen.quality_sd,
            cost=seen.cost,
            cost_sd=seen.cost_sd,
            latency=seen.latency,
            latency_sd=seen.latency_sd,
            price_in=[catalog.price_in[m] for m in models],
            price_out=[catalog.price_out[m] for m in models],
            price_request=[catalog.price_request[m] for m in models] if catalog.request_prices else [],
            price_version=catalog.price_version[model],
            rank=_rank(serving, chosen),
            excluded=excluded,
            sticky=kept is not None,
            floor_met=serving.floor_met,
            budget=budget,
            limits=None if bound is None else bound.record(models, serving, chosen),
            request_id=query.request_id,
            request_digest="" if treated is not None and treated.no_store else query.request_digest,
        )  # fmt: skip
        if saving > 0.0:
            msgspec.structs.force_setattr(record, "session_saving", saving)
        if turn is not None and left is not None and turn.model != model:
            msgspec.structs.force_setattr(record, "moved", Moved(turn.model, int(left)))
        if query.key_id:
            msgspec.structs.force_setattr(record, "key", query.key_id)
        if on_refusal is not OnRefusal.RETURN:
            msgspec.structs.force_setattr(record, "on_refusal", int(on_refusal))
        return record, permit, level

    def terms(self, query: Query, *, at_present: bool = True) -> Terms:
        """Return what holds for a request; raises NaiadError when its class is unknown or no model may be used.

        at_present: whether models whose provider is not well at this moment are left out.
        """
        task_class = self.catalog.task_class(query.task_class, deciding=True)
        if query.features or task_class.features:
            check_features(query.features, task_class.features, task_class.name)
        if query.objective.models:
            self._check_named(query.objective)
        objective, level, order, on_refusal = self._objectives.chosen(task_class, query.workflow, query.objective)
        claims = _claims(query, task_class)
        treated, needs = self._treated(query, claims)
        if needs.text_bytes and self.ratios.known:
            needs = needs._replace(ratios=self.ratios.known)
        models, excluded = self.eligibility.split(needs, self._policy_models, query.task_class, at_present=at_present)
        if order:
            models, excluded = self._in_order(order, models, excluded, query.task_class)
        elif objective.strategy in _COMPOSED:
            models, excluded = self._composed(_COMPOSED[objective.strategy], models, excluded, query.task_class)
        return Terms(task_class, objective, level, order, on_refusal, claims, treated, needs, models, excluded)

    def permit(self, terms: Terms) -> Permit:
        """Return the permit of a request of which nothing is decided: budgets do not bear on it."""
        return self.eligibility.permit(terms.models, terms.needs, terms.claims, terms.task_class.task_class)

    def _treated(self, query: Query, claims: Claims) -> tuple[Treated | None, Needs]:
        """Return the data class that a request is treated as, and its needs with that; None without rules."""
        governance = self.eligibility.governance
        if not governance.enforced:
            return None, query.needs
        treated = governance.classify(claims)
        return treated, query.needs._replace(data_class=treated.data_class)

    def _recounted(self, seen: Predictions, models: list[int], needs: Needs) -> Predictions:
        """Return predictions whose cost rests on what each model makes of the input's bytes."""
        rates, estimated = self.catalog.rates, needs.input_tokens
        more = [(needs.input_for(m) - estimated) * rates[m].input for m in models]
        return seen._replace(cost=[cost + extra for cost, extra in zip(seen.cost, more, strict=True)])

    def _hold(self, query: Query, record: Decided) -> None:
        """Hold what the chosen model's call may cost, where a hard budget asks for it; nobody saw the record yet."""
        found = self.ceilings.reserve(
            (record.uid, ""), (query.workflow, record.task_class, query.key_id), self.catalog.models[record.model],
            query.needs, record.at_ms, record.at_ms + self.ceilings.hold_ms,
        )  # fmt: skip
        if isinstance(found, Shortage):
            raise RuntimeError(f"model {record.model} was permitted, and {found.entry.budget_id!r} has too little left")
        msgspec.structs.force_setattr(record, "hold", found)

    def _among(
        self, objective: Objective, seen: Predictions, pace: Pace | None, barred: list[bool] | None
    ) -> Callable[[list[int]], Serving]:
        """Return what serves the models at some positions as if there were no others."""

        def serve_few(at: list[int]) -> Serving:
            if pace is not None:
                return serve_paced(objective, seen.few(at), pace.few(at))
            stop = None if barred is None else [barred[i] for i in at]
            return serve(objective, seen.few(at), self._exploration, stop)

        return serve_few

    def next_ordinal(self, model: int) -> int:
        """Return the ordinal of a model's next decision; of evidence that no decision for it dates."""
        return self._ordinals.get(model, 0)

    def check_servable(self, query: Query) -> None:
        """Raise NaiadError if a request of a new task class cannot be served, before the class is created for it."""
        check_features(query.features, (), query.task_class)
        self._check_named(query.objective)
        self._objectives.check_override(query.objective, query.workflow, None)
        _, needs = self._treated(query, _claims(query, None))
        self.eligibility.split(needs, self._policy_models, query.task_class)

    def _check_named(self, objective: ObjectiveSpec) -> None:
        for name in objective.models or ():
            self.catalog.model(name, "objective.models")

    def _in_order(
        self, order: tuple[str, ...], models: list[int], excluded: list[Exclusion], task_class: str
    ) -> tuple[list[int], list[Exclusion]]:
        """Return the eligible models that an objective lists, in its order, and the exclusions with the others."""
        place = {name: at for at, name in enumerate(order)}
        names = self.catalog.model_names
        others = [Exclusion(m, Reason.POLICY, _NOT_LISTED) for m in models if names[m] not in place]
        kept = sorted((m for m in models if names[m] in place), key=lambda m: place[names[m]])
        return self._some(kept, [*excluded, *others], task_class)

    def _composed(
        self, kind: Kind, models: list[int], excluded: list[Exclusion], task_class: str
    ) -> tuple[list[int], list[Exclusion]]:
        """Return the eligible composites of a kind, and the exclusions with the others."""
        held = {m for m in models if (made := self.catalog.models[m].composite) is not None and made.kind == kind}
        others = [Exclusion(m, Reason.POLICY, f"is no {kind.name.lower()}") for m in models if m not in held]
        return self._some([m for m in models if m in held], [*excluded, *others], task_class)

    def _some(self, models: list[int], excluded: list[Exclusion], task_class: str) -> tuple[list[int], list[Exclusion]]:
        if not models:
            raise none_left(self.catalog, excluded, task_class)
        return models, excluded

    def decision_id(self, record: Decided | Entry) -> str:
        """Return the id of a decision, from its record or its ledger entry."""
        return self.signer.issue(
            Ticket(
                self.tenant, record.task_class, record.model, record.ordinal, record.policy, record.propensity,
                record.at_ms, record.uid, self.catalog.tag(record.task_class, record.model),
            )
        )  # fmt: skip

    def ticket(self, decision_id: str, field_name: str = "decision_id") -> Ticket:
        """Return what a decision id says; raises NaiadError for one that is not ours.

        Numbers of the catalogue are given out again after a backup was restored, so an id must also know their names.
        """
        ticket = self.signer.verify(decision_id, self.tenant, field_name)
        catalog = self.catalog
        if (
            ticket.task_class >= len(catalog.task_classes)
            or ticket.model >= len(catalog.models)
            or ticket.names != catalog.tag(ticket.task_class, ticket.model)
        ):
            raise NaiadError(
                "UNKNOWN_DECISION",
                f"{field_name} is genuine, but this database does not hold the task class or model that it was made "
                "for: an older backup was restored since; use the id of a decision within retention",
                code="NOT_FOUND",
                metadata={"decision_id": decision_id},
            )
        return ticket

    # -- folding ---------------------------------------------------------------------------------------------------

    def apply(self, sequence: int, event: Event | Head) -> None:
        """Fold one committed event; events must come in the order of their sequence."""
        self.ceilings.expire(event.at_ms)
        match event:
            case Head() | Decided():
                self._apply_decided(event)
            case OutcomeReported():
                self._apply_outcome(event)
            case FeedbackReported():
                self._apply_feedback(event)
            case DriftAlarmed():
                self._apply_drift(event)
            case TaskClassPut():
                self._apply_task_class(event)
                self.eligibility.changed(sequence)
            case ModelPut():
                self._apply_model(event)
                self.eligibility.changed(sequence)
            case PolicySet():
                self._apply_policy(event)
                self.eligibility.changed(sequence)
            case BudgetPut():
                self.ceilings.put(event)
            case Reserved():
                self.ceilings.held((event.uid, event.attempt), event.hold)
            case Released():
                self.ceilings.released((event.uid, event.attempt))
        self.sequence = sequence

    def _apply_model(self, event: ModelPut) -> None:
        self.catalog.put_model(event)
        self.belief.resize(self.statistics, len(self.catalog.models))

    def _apply_task_class(self, event: TaskClassPut) -> None:
        self.catalog.put_task_class(event)
        self._objectives.clear()

    def _apply_policy(self, event: PolicySet) -> None:
        self.policy = event
        self._exploration = Exploration(event.temper, event.exploration, event.allowance)
        self._policy_models = frozenset(event.models)
        self.eligibility.govern(self._policy_models, governance_of(event))
        self._objectives = Objectives(event)
        self._limits = limits_of(event, self.catalog, self._judged, self.spending)
        self.budgets.reprice()

    def _apply_decided(self, event: Decided | Head) -> None:
        self._reach(event.model, event.ordinal)
        self.traffic.decided(event.task_class, event.model, event.at_ms)
        self.sessions.take(event.session, Turn(event.model, event.uid, event.at_ms, event.input_tokens))
        self.last_uid = max(self.last_uid, event.uid)
        if event.hold is not None:
            self.ceilings.held((event.uid, ""), event.hold)
        if isinstance(event, Decided):  # of a Head this process booked it when deciding
            if event.budget is not None:
                self.budgets.folded(event)
            if event.limits is not None:
                self.spending.folded(event)

    def _apply_outcome(self, event: OutcomeReported) -> None:
        self._reach(event.first_model, event.first_ordinal)
        self.traffic.attempted(event.task_class, event.outcome.model, event.outcome.failed)
        if event.first_model in self.catalog.members and event.outcome.model != event.first_model:
            self.steps.attempted(event.task_class, event.first_model, event.outcome.model)
        self.budgets.billed(event.uid, event.attempt, event.outcome)
        self.spending.billed(event.uid, event.outcome)
        self.ceilings.settled(event.uid, event.attempt, event.outcome, event.hold)
        self.ratios.take(event.outcome.model, event.text_bytes, event.text_tokens)
        self._learn(event.changes)

    def _apply_feedback(self, event: FeedbackReported) -> None:
        self._reach(event.first_model, event.first_ordinal)
        self.drift.judged(event.changes, event.at_ms)
        self._learn(event.changes)

    def _apply_drift(self, event: DriftAlarmed) -> None:
        changed = self.statistics.alarm(event.model, event.ordinal, event.kept, event.shift)
        self.belief.refresh(self.statistics, changed)
        self.belief.settle()
        self.drift.folded(event)

    def _reach(self, model: int, ordinal: int) -> None:
        """Advance a model's head beyond an ordinal that was handed out."""
        if ordinal >= self.statistics.head(model):
            self.statistics.advance(model, ordinal + 1)
            self.belief.advance(self.statistics, model)
        if ordinal >= self._ordinals.get(model, 0):
            self._ordinals[model] = ordinal + 1

    def _learn(self, changes: tuple[Change, ...]) -> None:
        groups: dict[GroupKey, None] = {}
        for change in changes:
            seen = change.observation()
            self.statistics.add(seen)
            groups[seen.task_class, seen.model, seen.measure] = None
        self._judged.take(changes)
        self.belief.refresh(self.statistics, groups)
        self.belief.settle()

    # -- snapshots -------------------------------------------------------------------------------------------------

    def restore(self, statistics: Statistics, last_uid: int, sessions: list[tuple[str, Turn]]) -> None:
        """Take over what a snapshot holds besides catalogue, policy and traffic."""
        self.statistics.merge(statistics)
        for model, head in statistics.heads().items():
            self._ordinals[model] = max(self._ordinals.get(model, 0), head)
            self.belief.advance(self.statistics, model)
        self.belief.refresh(self.statistics, self.statistics.groups())
        self._judged.restore(self.statistics)
        self.last_uid = max(self.last_uid, last_uid)
        self.sessions.restore(sessions)

    # -- proof -----------------------------------------------------------------------------------------------------

    def statistics_digest(self) -> str:
        """Return a digest of all statistics: equal exactly when they are."""
        return self.statistics.digest()

    def belief_digest(self) -> str:
        """Return a digest of every posterior mean and sd, bit for bit."""
        return self.belief.digest(len(self.catalog.task_classes))


def _claims(query: Query, task_class: TaskClassPut | None) -> Claims:
    """Return what is said about the data of a request; task_class: None for one that is new."""
    default = "" if task_class is None else task_class.data_class
    return Claims(query.data_class, default, query.workflow, query.caller_data_class, query.content_data_class)


def _kept(
    turn: Turn, models: list[int], objective: Objective, seen: Predictions, serving: Serving, bound: Bound | None
) -> tuple[int | None, Left | None]:
    """Return the position of a session's model if it is kept, and else why it is left."""
    if turn.model not in models:
        return None, Left.INELIGIBLE
    at = models.index(turn.model)
    if bound is not None and not bound.keeps(models, serving, at):
        return None, Left.ALLOWANCE
    if leaves_for(objective, seen, serving, at) is not None:
        return None, Left.BETTER
    return at, None


def _rank(serving: Serving, chosen: int) -> list[int]:
    """Return positions in the order in which they are to be tried: the one drawn, then by falling utility."""
    order = sorted(range(len(serving.utility)), key=serving.utility.__getitem__, reverse=True)
    order.remove(chosen)
    order.insert(0, chosen)
    return order
