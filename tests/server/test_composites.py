"""Models made of others: what they may look like, who may use them, and what they are expected to cost."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from naiad.bandit.objective import Strategy
from naiad.server.composites import Aggregation, Kind, check_composite, quorum
from naiad.server.config import parse
from naiad.server.eligibility import Needs, Reason
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.governance import Claims
from naiad.server.ledger import Entry, take_outcome
from naiad.server.records import Check, Composite, Cost, ModelPut, ObjectiveSpec, Outcome, Prices
from naiad.server.sections import ConfigError
from naiad.server.snapshot import dump, load
from tests.server.builders import engine, model, query

MEMBERS = ("echo/m0", "echo/m1", "echo/m2")
ALL = Needs(100, 100, composites=True)


def ensemble(index: int = 3, members: tuple[str, ...] = MEMBERS, **fields: Any) -> ModelPut:
    """Return an ensemble, by majority if nothing else is said."""
    values: dict[str, Any] = {"kind": Kind.ENSEMBLE, "members": members, "aggregation": Aggregation.MAJORITY} | fields
    return ModelPut(model=index, name="team/three", upstream_model="", composite=Composite(**values))


def cascade(index: int = 3, members: tuple[str, ...] = MEMBERS, **fields: Any) -> ModelPut:
    """Return a cascade that looks for a digit."""
    values: dict[str, Any] = {"check": Check(pattern="[0-9]")} | fields
    made = Composite(kind=Kind.CASCADE, members=members, **values)
    return ModelPut(model=index, name="team/steps", upstream_model="", composite=made)


def priced(*dollars: int) -> list[ModelPut]:
    """Return models that charge so many dollars for each million tokens, read or written."""
    return [model(i, prices=Prices(input=d * 10**9, output=d * 10**9)) for i, d in enumerate(dollars)]


def world(*composites: ModelPut, dollars: tuple[int, ...] = (1, 2, 4)) -> Engine:
    """Return an engine with three models of providers, and these."""
    return engine([*priced(*dollars), *composites])


# -- who may use them --------------------------------------------------------------------------------------------------


def test_only_calls_that_we_make_may_use_one() -> None:
    made = world(ensemble())
    assert made.decide(query(needs=ALL), at_ms=1, uniform=0.5).record.models == [0, 1, 2, 3]
    record = made.decide(query(), at_ms=1, uniform=0.5).record
    assert record.models == [0, 1, 2]
    assert [(e.model, e.reason) for e in record.excluded] == [(3, Reason.CAPABILITY)]


@pytest.mark.parametrize(("away", "usable"), [(0, True), (1, True), (2, False)])
def test_an_ensemble_needs_more_than_half_of_its_members(away: int, usable: bool) -> None:
    made = world(ensemble(), dollars=(1, 1, 1))
    for index in range(away):
        made.apply(10 + index, model(index, disabled=True))
    record = made.decide(query(needs=ALL), at_ms=1, uniform=0.5).record
    assert (3 in record.models) == usable
    if not usable:
        why = next(e for e in record.excluded if e.model == 3)
        assert why.reason == Reason.DISABLED
        assert "needs 2 of its 3 members (echo/m0: disabled in the catalogue" in why.detail


def test_a_name_in_the_allow_list_stands_for_its_members_and_nobody_else() -> None:
    """The caller who names the ensemble accepts what it is made of; a member's name does not admit the ensemble."""
    made = world(ensemble())
    named = ALL._replace(allowed=frozenset({"team/three"}))
    decision = made.decide(query(needs=named), at_ms=1, uniform=0.5)
    assert decision.record.models == [3]
    assert decision.permit is not None
    parts = made.eligibility.part_permit(decision.permit, 3)
    for member in range(3):
        assert made.eligibility.recheck(parts, member) is None
        assert made.eligibility.recheck(decision.permit, member) is not None, "not for itself"
    member_only = made.decide(query(needs=ALL._replace(allowed=frozenset({"echo/m0"}))), at_ms=1, uniform=0.5)
    assert member_only.record.models == [0]
    assert member_only.permit is not None
    assert made.eligibility.part_permit(member_only.permit, 3).models == frozenset()


def test_a_rule_made_later_binds_every_part() -> None:
    made = world(ensemble(aggregation=Aggregation.JUDGE, judge="echo/m2", members=("echo/m0", "echo/m1")))
    permit = made.decide(query(needs=ALL), at_ms=1, uniform=0.5).permit
    assert permit is not None
    parts = made.eligibility.part_permit(permit, 3)
    assert parts.models == {0, 1, 2}
    assert made.eligibility.recheck(parts, 2) is None
    made.apply(20, model(2, disabled=True))
    refused = made.eligibility.recheck(parts, 2)
    assert refused is not None
    assert refused.reason == Reason.DISABLED
    assert made.eligibility.recheck(parts, 0) is None, "the members are as they were"
    record = made.decide(query(needs=ALL), at_ms=2, uniform=0.5).record
    assert "its judge echo/m2" in next(e.detail for e in record.excluded if e.model == 3)
    assert made.eligibility.part_permit(permit, 1).models == frozenset(), "what is no composite has no parts"
    made.apply(21, msgspec.structs.replace(made.catalog.models[3], disabled=True))
    refused = made.eligibility.recheck(parts, 0)
    assert refused is not None
    assert refused.detail == "team/three disabled in the catalogue"


@pytest.mark.parametrize("strategy", [Strategy.ENSEMBLE, Strategy.CASCADE])
def test_a_strategy_chooses_among_its_kind(strategy: Strategy) -> None:
    made = world(ensemble(3), cascade(4))
    spec = ObjectiveSpec(strategy=int(strategy))
    record = made.decide(query(needs=ALL, objective=spec), at_ms=1, uniform=0.5).record
    assert record.models == [3 if strategy == Strategy.ENSEMBLE else 4]
    with pytest.raises(NaiadError, match="is no") as caught:
        world().decide(query(needs=ALL, objective=spec), at_ms=1, uniform=0.5)
    assert caught.value.reason == "NO_ELIGIBLE_MODEL"


@pytest.mark.parametrize(("composite", "least"), [
    (Composite(kind=1, members=("a/b", "a/c"), aggregation=1), 2),
    (Composite(kind=1, members=tuple(f"a/{i}" for i in range(5)), aggregation=1), 3),
    (Composite(kind=1, members=tuple(f"a/{i}" for i in range(5)), aggregation=3, agree=4), 4),
    (Composite(kind=2, members=("a/b", "a/c", "a/d"), check=Check(pattern="x")), 1),
])  # fmt: skip
def test_how_many_members_must_be_usable(composite: Composite, least: int) -> None:
    assert quorum(composite) == least


# -- what they cost ----------------------------------------------------------------------------------------------------


def test_an_ensemble_costs_what_its_members_cost() -> None:
    seen = world(ensemble()).decide(query(needs=ALL), at_ms=1, uniform=0.5).record
    assert seen.cost[3] == pytest.approx(sum(seen.cost[:3]))


def test_a_judge_reads_the_question_and_the_answers() -> None:
    judged = ensemble(aggregation=Aggregation.JUDGE, judge="echo/m2", members=("echo/m0", "echo/m1"))
    made = world(judged)
    record = made.decide(query(needs=ALL._replace(max_output_tokens=1 << 30)), at_ms=1, uniform=0.5).record
    written = [made.predictor.output_tokens(0)[m][0] for m in (0, 1)]
    assert record.cost[3] == pytest.approx(sum(record.cost[:2]) + 4_000 * (100 + sum(written)))


def ran(made: Engine, *asked: int, uid: int) -> None:
    """Let a cascade of the number 3 ask these members in turn."""
    entry = Entry(uid=uid, task_class=0, model=3, ordinal=0)
    for place, member in enumerate(asked):
        outcome = Outcome(model=member, ordinal=0, started_ms=1, cost=Cost(total=1))
        entry, event = take_outcome(entry, str(place + 1), outcome, 1)
        made.apply(made.sequence + 1, event)


def test_a_cascade_costs_what_its_runs_come_to() -> None:
    """Half of the runs are expected to go a step further, until there is more to tell."""
    made = world(cascade())

    def expected() -> float:
        return made.decide(query(needs=ALL), at_ms=1, uniform=0.5).record.cost[3]

    first = made.decide(query(needs=ALL), at_ms=1, uniform=0.5).record
    assert first.cost[3] == pytest.approx(first.cost[0] + 0.5 * (first.cost[1] + first.cost[2]))
    for uid in range(98):
        ran(made, 0, uid=uid + 1)
    assert expected() == pytest.approx(first.cost[0] + 0.01 * (first.cost[1] + first.cost[2]))
    for uid in range(98):
        ran(made, 0, 1, uid=1_000 + uid)
    assert expected() == pytest.approx(first.cost[0] + 99 / 198 * first.cost[1] + 1 / 198 * first.cost[2])
    again = engine()
    load(again, dump(made))
    assert again.steps.asked == made.steps.asked


# -- what may not be ---------------------------------------------------------------------------------------------------

WRONG: list[tuple[ModelPut, str]] = [
    (ensemble(members=("echo/m0",)), "has 1 members; give 2 to 16 members"),
    (ensemble(members=("echo/m0", "echo/m0")), "names 'echo/m0' twice"),
    (ensemble(members=("echo/m0", "team/three")), "which is made of others"),
    (ensemble(judge="echo/m0"), "a judge goes with aggregation by a judge"),
    (ensemble(aggregation=Aggregation.JUDGE), "a judge goes with aggregation by a judge"),
    (ensemble(agree=4), "agree is 4; from 2 to the number of members"),
    (ensemble(agree=1), "agree is 1; from 2"),
    (cascade(check=None), "has none of its kinds; give exactly one"),
    (cascade(check=Check(pattern="a", judge="echo/m0")), "has pattern and judge; give exactly one"),
    (cascade(check=Check(pattern="(")), "check.pattern is no regular expression"),
    (cascade(check=Check(pattern=r"(a)\1")), "check.pattern is no regular expression"),
    (cascade(check=Check(json_schema='{"type": "objekt"}')), "check.json_schema is no JSON Schema"),
    (cascade(check=Check(json_schema="{")), "check.json_schema is no JSON Schema"),
    (cascade(check=Check(json_schema='{"$ref": "http://127.0.0.1:9/x"}')), "check.json_schema is no JSON Schema"),
    (cascade(check=Check(judge="team/steps")), "which is made of others"),
]


@pytest.mark.parametrize(("made", "words"), WRONG, ids=range(len(WRONG)))
def test_what_may_not_be(made: ModelPut, words: str) -> None:
    known = {m.name: m for m in (*priced(1, 2, 4), made)}
    with pytest.raises(NaiadError) as caught:
        check_composite(made, known.get)
    assert words in caught.value.message
    assert caught.value.reason == "INVALID_COMBINATION"


@pytest.mark.parametrize("field", [
    {"prices": Prices(input=1, output=1)}, {"endpoint": "echo"}, {"upstream_model": "x"}, {"context_window": 1},
    {"capabilities": (2,)}, {"data_zone": "eu"},
])  # fmt: skip
def test_what_its_members_have_it_does_not(field: dict[str, Any]) -> None:
    known = {m.name: m for m in priced(1, 2, 4)}
    values: dict[str, Any] = {
        "model": 3,
        "name": "team/three",
        "upstream_model": "",
        "composite": ensemble().composite,
    } | field
    with pytest.raises(NaiadError, match=r"of its own|members are called|costs what its members"):
        check_composite(ModelPut(**values), known.get)


# -- the configuration -------------------------------------------------------------------------------------------------

PLAIN = [
    {"name": name, "endpoint": "echo", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0} for name in MEMBERS
]
THREE = {"name": "team/three", "ensemble": {"members": list(MEMBERS), "aggregation": "first_agreement", "agree": 3}}
STEPS = {"name": "team/steps", "cascade": {"members": list(MEMBERS[:2]), "check": {"pattern": "[0-9]"}}}


def test_the_configuration_makes_them() -> None:
    made = parse({"models": [*PLAIN, THREE, STEPS]}, "t").models
    assert made[3].composite == Composite(kind=1, members=MEMBERS, aggregation=3, agree=3)
    assert made[4].composite == Composite(kind=2, members=MEMBERS[:2], check=Check(pattern="[0-9]"))
    assert made[3].prices is None
    assert made[3].endpoint == made[3].upstream_model == ""


@pytest.mark.parametrize(("entry", "words"), [
    (THREE | {"cascade": STEPS["cascade"]}, "has both an ensemble and a cascade"),
    ({"name": "t/e", "ensemble": {"members": ["echo/m0", "e/m1"], "aggregation": "majority"}}, "not in .*did you mean"),
    ({"name": "t/e", "ensemble": {"members": list(MEMBERS), "aggregation": "majorty"}}, "did you mean 'majority'"),
    ({"name": "t/e", "cascade": {"members": [*MEMBERS], "check": {"judge": "echo/m0", "threshold": 2}}}, "threshold"),
    (THREE | {"usd_per_request": 1.0, "input_usd_per_million": 1.0, "output_usd_per_million": 1.0}, "leave the prices"),
])  # fmt: skip
def test_what_the_configuration_may_not_say(entry: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigError, NaiadError), match=words):
        parse({"models": [*PLAIN, entry]}, "t")


def test_claims_of_a_permit_are_those_of_the_request() -> None:
    """So that a part is judged by the data class of the request, not by any of the composite's."""
    made = world(ensemble())
    permit = made.decide(query(needs=ALL), at_ms=1, uniform=0.5).permit
    assert permit is not None
    assert permit.claims == Claims("", "", "", "", "")
