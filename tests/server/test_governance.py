"""Which data may go where: nested classes, what is unknown is the strictest, permits, and the one way out."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import Request, user
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.eligibility import Needs, Permit, Reason
from naiad.server.engine import Engine
from naiad.server.errors import NaiadError
from naiad.server.governance import Claims, Governance
from naiad.server.records import DataClass, FeatureSpec, ModelPut, PolicySet, TaskClassPut
from tests.adapters.scripted import Scripted, reply
from tests.server.builders import engine, model, policy, query
from tests.server.reasons import check

OPEN = DataClass(name="open", allow=("any",))
INNER = DataClass(name="inner", allow=("on_prem", "region:eu", "vendor:trusted"))
SECRET = DataClass(name="secret", allow=("on_prem", "us/named"), no_store=True)
CLASSES = (OPEN, INNER, SECRET)
MODELS = (
    model(0, "us/one", data_zone="region:us"),
    model(1, "eu/one", data_zone="private_cloud, region:eu"),
    model(2, "here/one", data_zone="on_prem"),
    model(3, "trusted/one"),
)
NAMES = [m.name for m in MODELS]
REQUEST = Request("unset", (user("canary"),))


def governed(classes: tuple[DataClass, ...] = CLASSES, **fields: Any) -> PolicySet:
    """Return a policy with these rules."""
    zones = ("on_prem", "private_cloud", "region:eu", "region:us")
    return policy(data_classes=classes, data_zones=zones, **fields)


def running(*classes: TaskClassPut, **fields: Any) -> Engine:
    """Return an engine with the models above under these rules."""
    return engine(MODELS, classes, policy=governed(**fields))


def names(made: Engine, **fields: Any) -> list[str]:
    """Return the models that a request may use."""
    record = made.decide(query(**fields), at_ms=1, uniform=0.5).record
    return sorted(made.catalog.models[m].name for m in record.models)


# -- laws --------------------------------------------------------------------------------------------------------------

zones = st.sampled_from(["on_prem", "private_cloud", "region:eu", "region:us", ""])
entries = st.sampled_from(["any", "on_prem", "private_cloud", "region:eu", "vendor:a", "vendor:b", "a/0", "b/1"])
worlds = st.tuples(
    st.lists(st.lists(entries, max_size=3), min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from("ab"), st.lists(zones, max_size=3)), min_size=1, max_size=4),
)


def built(world: tuple[list[list[str]], list[tuple[str, list[str]]]]) -> tuple[Governance, list[ModelPut]]:
    """Return the rules and models of a generated world."""
    classes, declared = world
    made = [model(i, f"{vendor}/{i}", data_zone=",".join(z)) for i, (vendor, z) in enumerate(declared)]
    return Governance(tuple(DataClass(name=f"c{i}", allow=tuple(a)) for i, a in enumerate(classes))), made


@given(worlds)
def test_a_stricter_class_never_permits_more(world: Any) -> None:
    governance, made = built(world)
    permitted = [{m.name for m in made if governance.ground(m, name)} for name in governance.names]
    assert all(after <= before for before, after in pairwise(permitted))
    for name in governance.names:
        for m in made:
            assert bool(governance.objection(m, name)) == (not governance.ground(m, name))


@given(worlds, st.sampled_from(["", "no such class", "c99"]))
def test_what_is_unknown_is_the_strictest(world: Any, name: str) -> None:
    governance, made = built(world)
    strictest = governance.names[-1]
    assert [governance.ground(m, name) for m in made] == [governance.ground(m, strictest) for m in made]
    assert governance.treat(Claims(task_class=name)).data_class == strictest
    assert governance.treat(Claims()).data_class == strictest
    assert governance.treat(Claims(request=governance.names[0], caller="gone")).data_class == strictest


claims = st.builds(
    Claims, *[st.sampled_from(["", "open", "inner", "secret"])] * 2, st.just("w"), st.just(""), st.just("")
)


@given(claims, st.sampled_from(["", "open", "inner", "secret"]), st.sampled_from(["", "open", "inner", "secret"]))
def test_the_strictest_claim_holds(said: Claims, workflow: str, caller: str) -> None:
    governance = Governance(CLASSES, {"w": workflow})
    order = ["open", "inner", "secret"]
    stated = [order.index(c) for c in (said.request, said.task_class, workflow) if c]
    expected = max([max(stated, default=2), *([order.index(caller)] if caller else [])])
    treated = governance.treat(said._replace(caller=caller))
    assert treated.data_class == order[expected]
    assert treated.no_store == (expected == 2)
    for floor in order:
        raised = governance.treat(said._replace(caller=caller), at_least=floor)
        assert order.index(raised.data_class) == max(expected, order.index(floor))


@pytest.mark.parametrize("zone", ["any", "vendor:trusted", "us/named", "on_prem\x00", "ON_PREM", "region"])
def test_a_zone_passes_for_nothing_else(zone: str) -> None:
    sly = model(9, "sly/model", data_zone=zone)
    assert [Governance((SECRET,)).ground(sly, "secret"), Governance((INNER,)).ground(sly, "inner")] == ["", ""]


# -- deciding ----------------------------------------------------------------------------------------------------------


def test_a_request_uses_what_its_class_permits() -> None:
    made = running()
    assert names(made, data_class="open") == sorted(NAMES)
    assert names(made, data_class="inner") == ["eu/one", "here/one", "trusted/one"]
    assert names(made, data_class="secret") == ["here/one"]
    assert names(made) == ["here/one"], "nobody says anything"
    assert names(made, data_class="open", caller_data_class="inner") == ["eu/one", "here/one", "trusted/one"]


def test_task_class_and_workflow_raise_and_never_lower() -> None:
    made = running(TaskClassPut(task_class=0, name="a", data_class="inner"), workflow_data={"w": "secret"})
    assert names(made, data_class="open") == ["eu/one", "here/one", "trusted/one"]
    assert names(made, data_class="open", workflow="w") == ["here/one"]
    assert names(made, data_class="secret") == ["here/one"]
    assert names(made) == ["eu/one", "here/one", "trusted/one"]


def test_a_default_that_is_configured_no_longer_is_the_strictest() -> None:
    made = running(TaskClassPut(task_class=0, name="a", data_class="retired"))
    assert names(made, data_class="open") == ["here/one"]


def test_a_name_never_heard_of_is_refused_with_the_nearest() -> None:
    made = running()
    for call in (lambda q: made.decide(q, at_ms=1, uniform=0.5), made.check_servable):
        with pytest.raises(NaiadError) as caught:
            call(query(data_class="secrt"))
        check(caught.value.reason, caught.value.code, caught.value.metadata)
        assert caught.value.reason == "UNKNOWN_DATA_CLASS"
        assert caught.value.metadata == {"value": "secrt", "nearest": "secret", "field": "data_class"}
        assert "'secret'" in caught.value.message
    assert made.last_uid == 0, "nothing was decided"


def test_when_no_model_is_permitted_every_model_s_reason_is_told() -> None:
    made = engine(MODELS[:2], policy=governed())
    with pytest.raises(NaiadError) as caught:
        made.decide(query(data_class="secret"), at_ms=1, uniform=0.5)
    assert caught.value.reason == "NO_ELIGIBLE_MODEL"
    assert caught.value.metadata["reasons"] == "DATA_ZONE x 2"
    assert "'secret' may go to on_prem, us/named; the model is in region:us, of vendor:us" in caught.value.message


def test_the_record_says_who_set_the_class_and_why_each_model_may_see_it() -> None:
    made = running(TaskClassPut(task_class=0, name="a", data_class="inner"))
    record = made.decide(query(data_class="open"), at_ms=1, uniform=0.5).record
    assert (record.data_class, record.class_source, record.no_store) == ("inner", "task_class", False)
    assert record.epoch == made.sequence
    assert {made.catalog.models[m].name: g for m, g in zip(record.models, record.grounds, strict=True)} == {
        "eu/one": "region:eu", "here/one": "on_prem", "trusted/one": "vendor:trusted",
    }  # fmt: skip
    (excluded,) = record.excluded
    assert (excluded.model, excluded.reason) == (0, Reason.DATA_ZONE)


def test_without_rules_everything_is_as_before() -> None:
    made = engine(MODELS)
    record = made.decide(query(data_class="anything"), at_ms=1, uniform=0.5).record
    assert (len(record.models), record.data_class, record.class_source, record.grounds) == (4, "anything", "", [])


def test_a_session_does_not_keep_a_model_that_its_data_may_not_see() -> None:
    made = running()
    first = made.decide(query(data_class="open", session="s", needs=Needs(1, 1, allowed=frozenset({"us/one"}))),
                        at_ms=1, uniform=0.5).record  # fmt: skip
    assert made.catalog.models[first.model].name == "us/one"
    after = made.decide(query(data_class="secret", session="s"), at_ms=2, uniform=0.5).record
    assert (made.catalog.models[after.model].name, after.sticky) == ("here/one", False)


def test_of_data_that_is_not_to_be_stored_neither_features_nor_a_digest_are_recorded() -> None:
    made = running(TaskClassPut(task_class=0, name="a", features=(FeatureSpec(name="age"),)))
    for data_class, kept in (("inner", ({"age": 41.0}, "digest")), ("secret", ({}, ""))):
        asked = query(data_class=data_class, features={"age": 41.0}, request_id="r", request_digest="digest")
        record = made.decide(asked, at_ms=1, uniform=0.5).record
        assert (record.features, record.request_digest) == kept


# -- the way out -------------------------------------------------------------------------------------------------------


def opened(made: Engine) -> tuple[Egress, Scripted]:
    """Return an egress over one provider that answers everything."""
    adapter = Scripted([reply("yes")], loop=True)
    return Egress(made.catalog, made.eligibility, {"echo": adapter}), adapter


def permit_of(made: Engine, **fields: Any) -> Permit:
    """Return the permit of a request."""
    found = made.decide(query(**fields), at_ms=1, uniform=0.5).permit
    assert found is not None
    return found


@pytest.mark.parametrize("kind", Kind)
async def test_every_kind_of_call_is_checked(kind: Kind) -> None:
    made = running()
    egress, adapter = opened(made)
    permit = permit_of(made, data_class="inner")
    with pytest.raises(NotPermitted) as caught:
        await egress.call(permit, kind, 0, REQUEST, timeout_s=1.0)
    assert caught.value.exclusion.reason == Reason.NOT_ALLOWED
    with pytest.raises(NotPermitted):
        await anext(egress.stream(permit, kind, 0, REQUEST, timeout_s=1.0))
    assert adapter.calls == []
    assert (await egress.call(permit, kind, 1, REQUEST, timeout_s=1.0)).text == "yes"
    assert [c.model for c in adapter.calls] == ["m1"]


@pytest.mark.parametrize("kind", [None, "primary", "new", 1])
async def test_a_kind_that_has_no_name_does_not_leave(kind: Any) -> None:
    made = running()
    egress, adapter = opened(made)
    with pytest.raises(TypeError, match="no kind of call"):
        await egress.call(permit_of(made), kind, 2, REQUEST, timeout_s=1.0)
    assert adapter.calls == []


@pytest.mark.parametrize("permit", [None, frozenset({2}), True])
async def test_without_a_permit_nothing_leaves(permit: Any) -> None:
    made = running()
    egress, adapter = opened(made)
    with pytest.raises(NotPermitted):
        await egress.call(permit, Kind.PRIMARY, 2, REQUEST, timeout_s=1.0)
    assert adapter.calls == []


TIGHTENED: dict[str, Any] = {
    "zone": model(2, "here/one", data_zone="region:us"),
    "disabled": model(2, "here/one", data_zone="on_prem", disabled=True),
    "deleted": model(2, "here/one", data_zone="on_prem", deleted=True),
    "rule": governed((OPEN, DataClass(name="inner", allow=("region:eu",)), SECRET)),
    "class gone": governed((OPEN, DataClass(name="other", allow=("region:eu",)))),
    "policy's models": governed(models=("eu/one",)),
    "task class": TaskClassPut(task_class=0, name="a", data_class="top"),
    "workflow": governed((OPEN, INNER, DataClass(name="top")), workflow_data={"w": "top"}),
}


@pytest.mark.parametrize("name", TIGHTENED)
async def test_after_a_tightening_a_permit_of_before_opens_nothing(name: str) -> None:
    made = running()
    egress, adapter = opened(made)
    permit = permit_of(made, data_class="inner", workflow="w")
    await egress.call(permit, Kind.PRIMARY, 2, REQUEST, timeout_s=1.0)
    if name == "task class":
        made.apply(made.sequence + 1, governed((OPEN, INNER, DataClass(name="top"))))
        await egress.call(permit, Kind.FALLBACK, 2, REQUEST, timeout_s=1.0)
    sent = len(adapter.calls)
    made.apply(made.sequence + 1, TIGHTENED[name])
    with pytest.raises(NotPermitted):
        await egress.call(permit, Kind.FALLBACK, 2, REQUEST, timeout_s=1.0)
    assert len(adapter.calls) == sent


async def test_a_loosening_adds_nothing_to_a_permit() -> None:
    made = running()
    egress, adapter = opened(made)
    permit = permit_of(made, data_class="secret")
    made.apply(made.sequence + 1, governed((DataClass(name="secret", allow=("any",)),)))
    with pytest.raises(NotPermitted):
        await egress.call(permit, Kind.PRIMARY, 0, REQUEST, timeout_s=1.0)
    assert adapter.calls == []
    assert (await egress.call(permit, Kind.PRIMARY, 2, REQUEST, timeout_s=1.0)).text == "yes"


async def test_a_request_in_flight_is_never_treated_as_more_open_than_before() -> None:
    made = running(TaskClassPut(task_class=0, name="a", data_class="inner"))
    egress, adapter = opened(made)
    permit = permit_of(made, data_class="open")
    made.apply(made.sequence + 1, TaskClassPut(task_class=0, name="a", data_class="open"))
    made.apply(made.sequence + 1, model(2, "here/one", data_zone="region:us"))
    with pytest.raises(NotPermitted) as caught:
        await egress.call(permit, Kind.PRIMARY, 2, REQUEST, timeout_s=1.0)
    assert caught.value.exclusion.reason == Reason.DATA_ZONE
    assert adapter.calls == []


async def test_what_is_on_the_wire_is_told_apart() -> None:
    made = running()
    egress, _ = opened(made)
    stream = egress.stream(permit_of(made, data_class="open"), Kind.PRIMARY, 0, REQUEST, timeout_s=1.0)
    assert egress.on_wire() == [], "asking for a stream sends nothing"
    await anext(stream)
    made.apply(made.sequence + 1, model(0, "us/one", disabled=True))
    (left,) = egress.on_wire(before_epoch=made.eligibility.epoch)
    assert (left.kind, left.model, left.epoch) == (Kind.PRIMARY, 0, made.sequence - 1)
    await stream.aclose()
    assert egress.on_wire() == []


def test_a_permit_cannot_be_changed() -> None:
    permit = permit_of(running())
    with pytest.raises(AttributeError):
        permit.models = frozenset({0})  # type: ignore[misc]
