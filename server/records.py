"""What the log holds: one frozen record for each kind of event, and the ledger entry of a decision.

Records are plain values in the words of the domain; the store keeps them as JSON, which any tool can read. A record
carries everything that folding it needs, so a fold never asks another table. Field order and names are the format:
add fields with defaults, never change the meaning of one (`FORMAT` counts such changes).
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import msgspec

from naiad.bandit.statistics import UNIT_WEIGHT, Measure, Observation

FORMAT = 1


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """Base of all events; `at_ms` is wall time for people, order comes from the sequence."""

    at_ms: int = 0


class PriceTier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Other prices for requests whose input exceeds so many tokens."""

    above_input_tokens: int
    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None


class Prices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Prices in nano-USD per million tokens; cached_input and cache_write default to input when None."""

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    request: int = 0  # nano-USD a request
    tiers: tuple[PriceTier, ...] = ()
    version: str = ""


class ObjectiveSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A strategy and those of its parameters that were set; None takes the next level's value."""

    strategy: int | None = None
    usd_per_quality: float | None = None
    usd_per_second: float | None = None
    quality_floor: float | None = None
    confidence: float | None = None
    margin: float | None = None
    usd_per_request: float | None = None
    models: tuple[str, ...] | None = None  # names, the primary first; for FALLBACK
    on_refusal: int | None = None  # refusals.OnRefusal


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an answer of a cascade's step must pass; exactly one of json_schema, pattern, judge and callback is set."""

    json_schema: str = ""  # JSON Schema, as text
    pattern: str = ""  # regular expression that the answer's text must contain
    judge: str = ""  # model that is asked for a score
    threshold: float = 0.5  # the least score of the judge that passes
    callback: str = ""  # name of a service of the configuration that is asked
    accept_unchecked: bool = False  # whether an answer passes that the callback could not check


class Composite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A model made of others: an ensemble, which asks them side by side, or a cascade, which asks them in turn."""

    kind: int  # composites.Kind
    members: tuple[str, ...]  # names of models; of a cascade in order, the cheapest first
    aggregation: int = 0  # composites.Aggregation; of an ensemble
    agree: int = 2  # answers that must agree; for first agreement
    judge: str = ""  # model that picks the answer; for aggregation by a judge
    check: Check | None = None  # of a cascade


class ModelPut(Record, frozen=True, kw_only=True, omit_defaults=True, tag="model"):
    """A model was created, changed or deleted: the whole entry as it now is."""

    model: int  # id, never reused
    name: str
    upstream_model: str
    endpoint: str = ""
    prices: Prices | None = None
    context_window: int | None = None
    max_output_tokens: int | None = None
    capabilities: tuple[int, ...] = ()
    data_zone: str = ""
    disabled: bool = False
    deleted: bool = False
    labels: dict[str, str] = {}
    retire_ms: int | None = None
    revision: int = 1
    origin: int = 0
    created_ms: int = 0
    config_digest: str = ""  # digest of the configuration's entry that was last applied
    composite: Composite | None = None  # of a model that is made of others; it has no price and no endpoint of its own


class FeatureSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A number that the requests of a task class may carry; `low` and `high` are typical values."""

    name: str
    description: str = ""
    low: float = -1.0
    high: float = 1.0


class TaskClassPut(Record, frozen=True, kw_only=True, omit_defaults=True, tag="task_class"):
    """A task class was created, changed or deleted: the whole entry as it now is."""

    task_class: int  # id, never reused
    name: str
    description: str = ""
    objective: ObjectiveSpec | None = None
    features: tuple[FeatureSpec, ...] = ()
    data_class: str = ""
    labels: dict[str, str] = {}
    deleted: bool = False
    revision: int = 1
    origin: int = 0
    created_ms: int = 0
    config_digest: str = ""


class DataClass(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How sensitive data is, and where such data may go: see `governance`."""

    name: str
    description: str = ""
    allow: tuple[str, ...] = ()  # "any", zones, "vendor:PROVIDER", models
    no_store: bool = False


class PolicySet(Record, frozen=True, kw_only=True, omit_defaults=True, tag="policy"):
    """Another version of the policy decides from here on."""

    version: int
    objective: ObjectiveSpec
    temper: float
    exploration: float
    allowance: float
    models: tuple[str, ...] = ()
    digest: str = ""
    workflows: dict[str, ObjectiveSpec] = {}
    newcomer_calls: int = 0  # judged calls below which a model is new; 0: no model ever is
    newcomer_share: float = 0.1  # of a task class's traffic, for all newcomers together
    newcomer_nano_usd: int | None = None  # what each may cost while it is new
    allowance_nano_usd: int | None = None  # what exploring below the quality floor may cost in a day
    data_classes: tuple[DataClass, ...] = ()  # from open to strict; empty: no rules
    data_zones: tuple[str, ...] = ()  # that models may declare
    workflow_data: dict[str, str] = {}  # workflow -> data class


class BudgetPut(Record, frozen=True, kw_only=True, omit_defaults=True, tag="budget"):
    """A hard budget was created, changed or deleted: the whole entry as it now is."""

    budget: int  # number, never reused: what was held of a deleted budget never meets one created under its id
    budget_id: str
    name: str = ""
    workflow: str = ""  # "" holds for all
    task_class: str = ""  # name; "" holds for all
    key: str = ""  # public id of a key; "" holds for all
    limit_nano_usd: int
    period: int  # numbered as BudgetPeriod in the API
    deleted: bool = False
    revision: int = 1
    origin: int = 0
    created_ms: int = 0
    config_digest: str = ""


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What is held of hard budgets for one call until its bill is known."""

    nano_usd: int = 0  # the most that the call may cost
    until_ms: int = 0  # when it is taken for spent, should no bill have come
    windows: tuple[tuple[int, int], ...] = ()  # (number of a budget, beginning of its period in ms)


class Exclusion(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A model that the request could not use, with the reason's number and its detail."""

    model: int
    reason: int
    detail: str


class Budget(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The budget that a decision was made under, as it stood before."""

    scope: str  # the level that set it: "policy", "workflow" or "task_class"
    usd_per_request: float
    price: float = 0.0  # quality per USD
    lower_share: float = 0.0  # of the mixture, that pays `bandit.pacing.SPREAD` less
    bank: float = 0.0  # what was saved against the budget, USD; debt below 0
    short: bool = False  # even the cheapest models cost more


class Limited(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the policy's limits on learning made of a decision."""

    most: int = 0  # nano-USD that are held for the call until its bill; 0 holds nothing
    outside: bool = False  # it explores outside the floor set, on the day's allowance
    new: list[int] = []  # newcomers, where their share of the traffic was capped
    would: float | None = None  # what they would have had together
    share: float = 0.0  # what they had
    barred: list[int] = []  # models outside the floor set that the day's allowance could not pay
    left: int | None = None  # of the allowance, nano-USD


class Moved(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A session left its model."""

    model: int  # that it had
    why: int  # see sessions.Left


class Decided(Record, frozen=True, kw_only=True, omit_defaults=True, tag="decided"):
    """One choice with all that it rested on; the lists run over the eligible models in the order of the draw."""

    uid: int
    task_class: int
    model: int  # the one drawn
    ordinal: int  # the drawn model's decision ordinal
    propensity: float
    uniform: float
    policy: int
    workflow: str = ""
    session: str = ""
    data_class: str = ""  # as it was treated
    class_source: str = ""  # which claim set it; "" where there were no rules, and it is only what was said
    class_named: str = ""  # by the request, where it was treated as a stricter one
    no_store: bool = False  # free text about it is not written
    epoch: int = 0  # place in the log of the last change of the catalogue or the policy that it rested on
    objective: tuple[float, ...] = ()  # strategy and parameters in full, in the order of bandit.objective.Objective
    input_tokens: int = 0
    text_bytes: int = 0  # UTF-8, where the input was estimated from it and is text alone
    framing_tokens: int = 0  # of the estimate: what frames messages
    max_output_tokens: int = 0
    features: dict[str, float] = {}
    models: list[int] = []
    grounds: list[str] = []  # the entry of the rules by which its data may go to each model; empty without rules
    ordinals: list[int] = []  # each model's decision ordinal: where evidence from a fallback to it belongs
    probabilities: list[float] = []
    thompson: list[float] = []
    utility: list[float] = []
    utility_sd: list[float] = []
    quality: list[float] = []
    quality_sd: list[float] = []
    cost: list[float] = []  # nano-USD
    cost_sd: list[float] = []
    latency: list[float] = []  # seconds
    latency_sd: list[float] = []
    price_in: list[int] = []  # nano-USD per million tokens, as `cost` rests on them
    price_out: list[int] = []
    price_request: list[int] = []  # nano-USD; empty where no request has a price of its own
    price_version: str = ""  # of the prices of the one drawn
    rank: list[int] = []  # positions in `models`, in the order in which they were to be tried
    excluded: list[Exclusion] = []
    on_refusal: int = 1  # refusals.OnRefusal: what becomes of a refusal
    sticky: bool = False  # a session's earlier model was kept: not a draw, and not for off-policy estimates
    session_saving: float = 0.0  # nano-USD by which the cost of the session's model is lower, its prompt being cached
    moved: Moved | None = None
    floor_met: bool = True
    budget: Budget | None = None  # with it `cost` is corrected by the bills before
    limits: Limited | None = None
    hold: Hold | None = None  # for callers who call the provider themselves
    key: str = ""  # public id of the caller's key
    created: bool = False  # its task class was created for it
    took_us: int = 0
    request_id: str = ""
    request_digest: str = ""


class Head(NamedTuple):
    """What folding needs of a choice."""

    uid: int
    task_class: int
    model: int
    ordinal: int
    at_ms: int
    session: str
    hold: Hold | None = None
    input_tokens: int = 0


def head_of(decided: Decided) -> Head:
    """Return what folding needs of a choice: the rest of it need not stay in memory."""
    return Head(
        decided.uid, decided.task_class, decided.model, decided.ordinal, decided.at_ms, decided.session, decided.hold,
        decided.input_tokens,
    )  # fmt: skip


class Reserved(Record, frozen=True, kw_only=True, omit_defaults=True, tag="reserved"):
    """An attempt is about to be made, and holds the most that it may cost."""

    uid: int
    attempt: str
    model: int
    hold: Hold


class Released(Record, frozen=True, kw_only=True, omit_defaults=True, tag="released"):
    """What was held is given back: the call was never made. An empty attempt is the decision's own hold."""

    uid: int
    attempt: str = ""


class Change(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One observation added to (weight > 0) or taken from (weight < 0) the statistics."""

    task_class: int
    model: int
    measure: int
    source: int
    ordinal: int
    value: int
    weight: int
    slot: int = 0  # of the rater

    def observation(self) -> Observation:
        """Return the observation with its signed weight."""
        return Observation(
            self.task_class, self.model, Measure(self.measure), self.source, self.ordinal, self.value, self.weight,
            self.slot,
        )  # fmt: skip


class Claim(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A provider's count that was not believed; below 0 also what was no number."""

    reason: int  # credibility.Doubt
    input_tokens: int
    output_tokens: int
    most: int = 0  # that would have been believed, of what went beyond it


class Usage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Tokens of one attempt; None is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    claim: Claim | None = None  # the provider's own count, in whose place this stands, and which teaches nothing


class Cost(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an attempt cost by kind of token, nano-USD; `billed` is what the provider or the caller said."""

    total: int = 0
    input: int = 0
    cached_input: int = 0
    cache_write: int = 0
    output: int = 0
    request: int = 0
    billed: int | None = None
    price_version: str = ""
    reasoning: int = 0  # of the output; earlier versions left it out, see money.reasoning_of
    doubted_bill: str = ""  # what the provider says it billed, where that was not believed
    judge: int = 0  # of the total of an answer for which several calls were made: for judging them
    other_members: int = 0  # of the same: for answers that were not returned


class Checked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What a cascade's check made of one answer."""

    attempt: str
    by: str  # the rater of the feedback: "json_schema", "pattern", a model's name, or "callback:NAME"
    passed: bool = False
    score: float | None = None  # None: the check failed, and nothing was learned
    failure: str = ""  # how


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The facts of one attempt."""

    part_of: int | None = None  # the composite for which it was made
    role: int = 0  # in it: composites.Role
    returned: str = ""  # of a composite's answer: the attempt whose answer it is

    model: int
    ordinal: int  # of that model, from the decision
    error: int = 0  # AttemptErrorKind; 0 and failed=False: it succeeded
    failed: bool = False
    error_detail: str = ""
    http_status: int | None = None
    retry_after_s: float | None = None  # how long the provider asked to wait
    usage: Usage = Usage()
    cost: Cost | None = None
    latency_s: float | None = None
    first_token_s: float | None = None
    finish: int = 0
    started_ms: int = 0
    checks: tuple[Checked, ...] = ()  # of a cascade's answer: of its members' answers
    uncertain: int | None = None  # nano-USD that hard budgets count for it beyond its cost; None: its bill is known


class Rating(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One rater's judgement of one attempt."""

    source: int
    rater: str
    value: int  # fixed point, see bandit.statistics.SCALE
    weight: int = UNIT_WEIGHT
    slot: int = 0  # of the rater, see bandit.influence.slot_of
    signal: int = 0  # 0 score, 1 thumb, 2 preference, 3 reaction
    reaction: int = 0  # of a reaction: its kind, numbered as ReactionKind in the API
    edit_share: float | None = None  # of an edit, as given
    preferred: str = ""  # of a preference: the better attempt
    other: str = ""  # of a preference: the worse attempt
    comment: str = ""
    early: bool = False  # named no attempt when none had succeeded yet: goes with the first that does
    retracted: bool = False
    revisions: int = 0
    created_ms: int = 0
    updated_ms: int = 0


class OutcomeReported(Record, frozen=True, kw_only=True, omit_defaults=True, tag="outcome"):
    """The outcome of one attempt became known, and what that changes in the statistics."""

    uid: int
    task_class: int
    first_model: int
    first_ordinal: int
    attempt: str
    outcome: Outcome
    changes: tuple[Change, ...] = ()
    workflow: str = ""
    hold: Hold | None = None  # what was held for it, 0 nano-USD for an attempt beyond the first of a hold
    text_bytes: int = 0  # UTF-8, of a request that was text alone and whose tokens were counted: see `ratios`
    text_tokens: int = 0  # that the model counted for them, without those that frame messages


class FeedbackReported(Record, frozen=True, kw_only=True, omit_defaults=True, tag="feedback"):
    """A judgement was given, revised or retracted, and what that changes in the statistics."""

    uid: int
    task_class: int
    first_model: int
    first_ordinal: int
    attempts: tuple[str, ...]  # those rated: one, or both of a preference
    ratings: tuple[Rating, ...]  # one for each attempt
    changes: tuple[Change, ...] = ()


class DriftAlarmed(Record, frozen=True, kw_only=True, omit_defaults=True, tag="drift_alarm"):
    """A model's quality moved: evidence from before counts less from here on."""

    model: int
    ordinal: int  # the model's decision ordinal at which it moved, as far as one can tell
    kept: float  # factor in (0, 1] on the weight of evidence from before
    shift: int  # how far it moved, fixed point: added to the values of evidence from before
    evidence: float = 0.0  # full judgements that this evidence weighed before the alarm


Event: TypeAlias = (
    ModelPut | TaskClassPut | PolicySet | BudgetPut | Decided | Reserved | Released | OutcomeReported
    | FeedbackReported | DriftAlarmed
)  # fmt: skip

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Event)


def encode(event: Event) -> bytes:
    """Return the JSON of an event."""
    return _encoder.encode(event)


def decode(data: bytes) -> Event:
    """Return the event that `encode` wrote; raises msgspec.ValidationError or DecodeError for anything else."""
    event: Event = _decoder.decode(data)
    return event
