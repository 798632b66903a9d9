"""CatalogService does what its comments in catalog_service.proto say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.e2e.live import Caller, Refusal, gather_calls

FREE = {"input_nano_usd_per_million_tokens": 0, "output_nano_usd_per_million_tokens": 0}
SET_BY_SERVER = ("revision", "origin", "create_time", "update_time")


def create(api: Caller, name: str, **fields: Any) -> Any:
    """Create a free model behind the echo."""
    model = {"name": name, "endpoint_profile": "echo", "prices": FREE} | fields
    return api.call("CatalogService/CreateModel", model=model).model


def get(api: Caller, name: str) -> Any:
    """Return a model."""
    return api.call("CatalogService/GetModel", name=name).model


def update(api: Caller, mask: list[str] | None = None, request_id: str = "", **model: Any) -> Any:
    """Update a model."""
    fields: dict[str, Any] = {"model": model, "request_id": request_id}
    if mask is not None:
        fields["update_mask"] = {"paths": mask}
    return api.call("CatalogService/UpdateModel", **fields).model


def test_a_model_from_creation_to_deletion(api: Caller) -> None:
    made = create(api, "acme/one", labels={"team": "a"}, capabilities=[2, 1, 2], context_window=1_000)
    assert (made.provider, made.upstream_model, made.revision, made.origin) == ("acme", "one", 1, 2)
    assert list(made.capabilities) == [1, 2]
    assert get(api, "acme/one") == made
    changed = update(api, name="acme/one", revision=1, disabled=True)
    assert (changed.disabled, changed.revision, changed.context_window) == (True, 2, 1_000)
    assert get(api, "acme/one") == changed
    api.call("CatalogService/DeleteModel", name="acme/one", revision=2)
    with pytest.raises(Refusal) as caught:
        get(api, "acme/one")
    assert caught.value.reason == "MODEL_DELETED"
    assert "acme/one" not in {m.name for m in api.call("CatalogService/ListModels").models}


def test_a_model_created_again_continues_its_history(api: Caller) -> None:
    create(api, "acme/again")
    made = api.decide("cat.history", allowed_models=["acme/again"])
    api.score(made.decision_id, 1.0)
    before = api.arms(task_class="cat.history", model="acme/again").arms[0]
    api.call("CatalogService/DeleteModel", name="acme/again")
    create(api, "acme/again", labels={"second": "life"})
    assert api.arms(task_class="cat.history", model="acme/again").arms[0] == before
    assert get(api, "acme/again").revision == 3


def test_a_disabled_model_is_excluded_at_once(api: Caller) -> None:
    create(api, "acme/off")
    assert "acme/off" in {c.model for c in api.decide("cat.off").ranking}
    update(api, name="acme/off", disabled=True)
    excluded = {e.model: e.reason for e in api.decide("cat.off").excluded}
    assert excluded["acme/off"] == 6
    update(api, ["disabled"], name="acme/off")
    assert "acme/off" in {c.model for c in api.decide("cat.off").ranking}


def test_a_mask_changes_what_it_names_and_clears_what_is_unset(api: Caller) -> None:
    create(api, "acme/mask", context_window=1_000, max_output_tokens=10, labels={"a": "b"})
    priced = update(
        api, ["prices.output_nano_usd_per_million_tokens"], name="acme/mask", labels={"ignored": "yes"},
        prices={"output_nano_usd_per_million_tokens": 7},
    )  # fmt: skip
    assert priced.prices.output_nano_usd_per_million_tokens == 7
    assert priced.prices.input_nano_usd_per_million_tokens == 0
    assert priced.labels == {"a": "b"}
    cleared = update(api, ["context_window", "labels", "upstream_model", "endpoint_profile"], name="acme/mask")
    assert not cleared.HasField("context_window")
    assert cleared.max_output_tokens == 10
    assert not cleared.labels
    assert (cleared.upstream_model, cleared.endpoint_profile) == ("mask", "acme"), "the documented defaults"
    unpriced = update(api, ["prices"], name="acme/mask")
    assert not unpriced.HasField("prices")


def test_fields_of_the_server_are_ignored(api: Caller) -> None:
    made = create(api, "acme/own", revision=77, origin=3, provider="other", create_time={"seconds": 1})
    assert (made.revision, made.origin, made.provider) == (1, 2, "acme")
    assert made.create_time.seconds > 1


def test_models_are_listed_by_name_in_pages(api: Caller) -> None:
    for name in ("zeta/b", "zeta/c", "zeta/a"):
        create(api, name)
    seen, token = [], ""
    while True:
        page = api.call("CatalogService/ListModels", page_size=2, page_token=token, provider="zeta")
        seen += [m.name for m in page.models]
        token = page.next_page_token
        if not token:
            break
    assert seen == ["zeta/a", "zeta/b", "zeta/c"]
    everything = [m.name for m in api.call("CatalogService/ListModels").models]
    assert everything == sorted(everything)
    first = api.call("CatalogService/ListModels", page_size=1)
    with pytest.raises(Refusal) as caught:
        api.call("CatalogService/ListModels", page_token=first.next_page_token, provider="zeta")
    assert caught.value.reason == "PAGE_TOKEN_INVALID", "a token of another filter"


def test_a_task_class_from_creation_to_deletion(api: Caller) -> None:
    features = [{"name": "urgency", "low": 0, "high": 10}]
    made = api.call(
        "CatalogService/CreateTaskClass",
        task_class={"name": "cat.whole", "description": "d", "features": features,
                    "default_objective": {"strategy": 3, "margin": 0.1}},
    ).task_class  # fmt: skip
    assert (made.revision, made.origin) == (1, 2)
    assert api.call("CatalogService/GetTaskClass", name="cat.whole").task_class == made
    reply = api.decide("cat.whole", features={"urgency": 3.0})
    api.settle()
    record = api.call("InsightService/GetDecision", decision_id=reply.decision_id).decision
    assert record.features == {"urgency": 3.0}
    assert (record.objective.strategy, record.objective.margin) == (3, 0.1)
    changed = api.call(
        "CatalogService/UpdateTaskClass", task_class={"name": "cat.whole", "revision": 1, "description": "e"}
    ).task_class
    assert (changed.description, changed.revision, len(changed.features)) == ("e", 2, 1)
    one = api.call(
        "CatalogService/UpdateTaskClass",
        task_class={"name": "cat.whole", "default_objective": {"strategy": 2}},
        update_mask={"paths": ["default_objective.strategy"]},
    ).task_class
    assert (one.default_objective.strategy, one.default_objective.margin) == (2, 0.1)
    api.call("CatalogService/DeleteTaskClass", name="cat.whole")
    refusal = api.refused("RouterService/Decide", task_class="cat.whole")
    assert refusal.reason == "TASK_CLASS_DELETED"
    again = api.call("CatalogService/CreateTaskClass", task_class={"name": "cat.whole"}).task_class
    assert again.revision == 5
    assert sum(a.pulls for a in api.arms(task_class="cat.whole").arms) == 1, "its history stays"


def test_task_classes_are_listed_by_name(api: Caller) -> None:
    for name in ("cat.z", "cat.a"):
        api.call("CatalogService/CreateTaskClass", task_class={"name": name})
    names = [c.name for c in api.call("CatalogService/ListTaskClasses").task_classes]
    assert names == sorted(names)


def test_a_repeated_request_id_repeats_the_reply(api: Caller) -> None:
    wanted = {"name": "acme/repeat", "endpoint_profile": "echo", "prices": FREE}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("CreateModel", {"model": wanted}),
        ("UpdateModel", {"model": {"name": "acme/repeat", "data_zone": "eu"}}),
        ("DeleteModel", {"name": "acme/repeat"}),
        ("CreateTaskClass", {"task_class": {"name": "cat.repeat"}}),
        ("UpdateTaskClass", {"task_class": {"name": "cat.repeat", "description": "x"}}),
        ("DeleteTaskClass", {"name": "cat.repeat"}),
    ]
    for method, fields in calls:
        first = api.call(f"CatalogService/{method}", **fields, request_id=f"cat-{method}")
        sequence = api.arms().sequence
        assert api.call(f"CatalogService/{method}", **fields, request_id=f"cat-{method}") == first
        assert api.arms().sequence == sequence


def test_changes_of_different_fields_at_a_time_are_all_kept(api: Caller) -> None:
    create(api, "acme/raced", context_window=1)
    parts = ["input", "output", "cached_input", "cache_write"]
    requests = []
    for value, part in enumerate(parts, 5):
        field = f"{part}_nano_usd_per_million_tokens"
        requests.append(
            {
                "model": {"name": "acme/raced", "prices": {field: value}},
                "update_mask": {"paths": [f"prices.{field}"]},
            }
        )
    replies = asyncio.run(gather_calls(api.address, "CatalogService/UpdateModel", requests))
    assert sorted(reply.model.revision for reply in replies) == [2, 3, 4, 5]
    prices = get(api, "acme/raced").prices
    assert [getattr(prices, f"{part}_nano_usd_per_million_tokens") for part in parts] == [5, 6, 7, 8]


def test_a_repeated_request_is_answered_as_before_although_its_model_is_gone(api: Caller) -> None:
    create(api, "acme/gone")
    made = api.decide("cat.gone", allowed_models=["acme/gone"], request_id="cat-gone")
    changed = update(api, request_id="cat-gone-update", name="acme/gone", labels={"a": "b"})
    api.call("CatalogService/DeleteModel", name="acme/gone")
    assert update(api, request_id="cat-gone-update", name="acme/gone", labels={"a": "b"}) == changed
    again = api.decide("cat.gone", allowed_models=["acme/gone"], request_id="cat-gone")
    assert again.decision_id == made.decision_id
    with pytest.raises(Refusal) as caught:
        api.decide("cat.gone", allowed_models=["acme/gone"])
    assert caught.value.reason == "MODEL_DELETED"


def test_a_task_class_s_features_are_all_sent_or_none_is_declared(api: Caller) -> None:
    def features(*names: str) -> list[dict[str, Any]]:
        return [{"name": n, "low": 0.0, "high": 1.0} for n in names]

    api.call("CatalogService/CreateTaskClass", task_class={"name": "cat.feat", "features": features("size", "a.b_1")})
    both = {"size": 1.0, "a.b_1": 0.5}
    made = api.decide("cat.feat", features=both, request_id="cat-feat")
    for sent, feature in (({}, "size"), ({"size": 1.0}, "a.b_1"), (both | {"other": 1.0}, "other")):
        refusal = api.refused("RouterService/Decide", task_class="cat.feat", features=sent)
        assert (refusal.reason, refusal.metadata["feature"]) == ("UNKNOWN_FEATURE", feature)
    refusal = api.refused("RouterService/Decide", task_class="cat.feat.new", features={"size": 1.0})
    assert refusal.reason == "UNKNOWN_FEATURE"
    api.call("CatalogService/UpdateTaskClass", task_class={"name": "cat.feat", "features": features("size")})
    assert api.decide("cat.feat", features=both, request_id="cat-feat").decision_id == made.decision_id
    for bad, reason in ((["x", "x"], "INVALID_COMBINATION"), (["a-b"], "INVALID_ID"), (["a/b"], "INVALID_ID")):
        refusal = api.refused("CatalogService/CreateTaskClass", task_class={"name": "f", "features": features(*bad)})
        assert refusal.reason == reason


def test_a_task_class_s_data_class_holds_where_the_request_names_none(api: Caller) -> None:
    api.call("CatalogService/CreateTaskClass", task_class={"name": "cat.data", "default_data_class": "secret"})
    for sent, kept in (("", "secret"), ("public", "public")):
        made = api.decide("cat.data", data_class=sent)
        assert [n.metadata["data_class"] for n in made.notices] == [kept]
        record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
        assert record.data_class == kept
