"""Who may be used, who not, and why: every reason, and what is unknown counts against a model."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.catalog import Catalog
from naiad.server.eligibility import Capability, Eligibility, Needs, Reason, refusal
from naiad.server.errors import NaiadError
from naiad.server.governance import Governance
from naiad.server.records import ModelPut
from naiad.server.status import status_of
from naiad.v1 import catalog_pb2, decision_pb2
from tests.server.builders import model

NEEDS = Needs(1_000, 100)
ENDPOINTS = frozenset({"echo"})
NONE: frozenset[str] = frozenset()
EXPLICIT = NEEDS._replace(explicit_output=True)

CASES: dict[str, tuple[Reason | None, ModelPut, Needs, frozenset[str]]] = {
    "nothing against it": (None, model(0), NEEDS, NONE),
    "disabled": (Reason.DISABLED, model(0, disabled=True), NEEDS, NONE),
    "not in the policy": (Reason.POLICY, model(0), NEEDS, frozenset({"echo/other"})),
    "in the policy": (None, model(0), NEEDS, frozenset({"echo/m0"})),
    "not allowed": (Reason.NOT_ALLOWED, model(0), NEEDS._replace(allowed=frozenset({"echo/m1"})), NONE),
    "not of the key": (Reason.KEY, model(0), NEEDS._replace(key_models=("echo/m1", "acme/*")), NONE),
    "of the key's pattern": (None, model(0), NEEDS._replace(key_models=("acme/*", "*/m0")), NONE),
    "no price": (Reason.NO_PRICE, model(0, prices=None), NEEDS, NONE),
    "no endpoint": (Reason.NO_ENDPOINT, model(0, endpoint="acme"), NEEDS, NONE),
    "empty endpoint": (Reason.NO_ENDPOINT, model(0, endpoint=""), NEEDS, NONE),
    "no capability": (Reason.CAPABILITY, model(0), NEEDS._replace(capabilities=frozenset({1})), NONE),
    "one capability of two": (
        Reason.CAPABILITY, model(0, capabilities=(1,)), NEEDS._replace(capabilities=frozenset({1, 2})), NONE,
    ),
    "every capability": (
        None, model(0, capabilities=(1, 2, 3)), NEEDS._replace(capabilities=frozenset({1, 2})), NONE,
    ),
    "window one too small": (Reason.CONTEXT_WINDOW, model(0, context_window=1_099), NEEDS, NONE),
    "window just enough": (None, model(0, context_window=1_100), NEEDS, NONE),
    "cannot write as much": (Reason.CONTEXT_WINDOW, model(0, max_output_tokens=99), EXPLICIT, NONE),
    "can write just as much": (None, model(0, max_output_tokens=100), EXPLICIT, NONE),
    "reserves only what it can write": (None, model(0, context_window=1_050, max_output_tokens=50), NEEDS, NONE),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_reason(name: str) -> None:
    reason, entry, needs, policy_models = CASES[name]
    found = refusal(entry, needs, policy_models, ENDPOINTS, Governance())
    assert (found.reason if found else None) == reason
    if found is not None:
        assert found.detail


def test_the_numbers_are_those_of_the_api() -> None:
    for reason in Reason:
        assert decision_pb2.ExclusionReason.Value(f"EXCLUSION_REASON_{reason.name}") == reason
    assert {f"CAPABILITY_{c.name}": int(c) for c in Capability} == {
        name: number for name, number in catalog_pb2.Capability.items() if number
    }


models = st.builds(
    lambda window, output, price, disabled, capabilities: (
        {
            "context_window": window,
            "max_output_tokens": output,
            "disabled": disabled,
            "capabilities": tuple(capabilities),
        }
        | ({} if price else {"prices": None})
    ),
    st.none() | st.integers(1, 3_000),
    st.none() | st.integers(1, 3_000),
    st.booleans(),
    st.booleans(),
    st.sets(st.integers(1, 3)),
)
needs_ = st.builds(
    Needs,
    input_tokens=st.integers(0, 3_000),
    max_output_tokens=st.integers(1, 3_000),
    explicit_output=st.booleans(),
    allowed=st.frozensets(st.sampled_from(["echo/m0", "echo/m1"])),
    capabilities=st.frozensets(st.integers(1, 3), max_size=2),
    text_bytes=st.integers(0, 8_000),
    ratios=st.dictionaries(st.integers(0, 3), st.floats(0.5, 16.0)),
)


@given(st.lists(models, max_size=4), st.lists(needs_, min_size=1, max_size=5))
def test_the_kept_split_says_what_the_one_function_says(fields: list[dict[str, Any]], asked: list[Needs]) -> None:
    """Split keeps what does not depend on size; for every request it must agree with asking model by model."""
    catalog = Catalog()
    for index, values in enumerate(fields):
        catalog.put_model(model(index, **values))
    eligibility = Eligibility(catalog, ENDPOINTS)
    for needs in asked:
        single = [refusal(entry, needs, NONE, ENDPOINTS, Governance()) for entry in catalog.live]
        expected = [entry.model for entry, found in zip(catalog.live, single, strict=True) if found is None]
        refusals = [found for found in single if found is not None]
        if expected and all(catalog.find_model(name) for name in needs.allowed):
            eligible, excluded = eligibility.split(needs, NONE)
            assert eligible == expected
            assert [(e.model, e.reason) for e in excluded] == [(f.model, f.reason) for f in refusals]
            continue
        with pytest.raises(NaiadError) as caught:
            eligibility.split(needs, NONE)
        if any(catalog.find_model(name) is None for name in needs.allowed):
            assert caught.value.reason == "UNKNOWN_MODEL"
            continue
        details: Any = caught.value.details
        assert caught.value.reason == "NO_ELIGIBLE_MODEL"
        assert details[0][0] == "excluded"
        told = sorted((m, r) for m, r, _ in details[0][1])
        assert told == sorted((catalog.models[f.model].name, f.reason) for f in refusals)
        assert caught.value.metadata["models"] == str(len(refusals))


def test_however_many_models_are_refused_the_status_can_be_delivered() -> None:
    """gRPC refuses metadata beyond 8 KiB, so the details name some models, and the counts tell of all."""
    catalog = Catalog()
    for index in range(400):
        catalog.put_model(model(index, f"echo/{'m' * 230}{index}", disabled=index % 2 == 0, context_window=1))
    with pytest.raises(NaiadError) as caught:
        Eligibility(catalog, ENDPOINTS).split(NEEDS, NONE, "c" * 128)
    error = caught.value
    status = status_of(error).SerializeToString()
    assert len(error.message) + 4 * len(status) / 3 < 7_500
    assert error.metadata["models"] == "400"
    assert error.metadata["reasons"] == "CONTEXT_WINDOW x 200, DISABLED x 200"
    assert "; and 39" in error.message


def test_no_reason_is_hidden_behind_many_models_of_another() -> None:
    catalog = Catalog()
    for index in range(30):
        catalog.put_model(model(index, disabled=True))
    catalog.put_model(model(30, "echo/short", context_window=1))
    with pytest.raises(NaiadError) as caught:
        Eligibility(catalog, ENDPOINTS).split(NEEDS, NONE)
    assert "echo/short: " in caught.value.message


def test_a_change_of_the_catalogue_counts_at_once() -> None:
    catalog = Catalog()
    catalog.put_model(model(0))
    catalog.put_model(model(1))
    eligibility = Eligibility(catalog, ENDPOINTS)
    assert eligibility.split(NEEDS, NONE)[0] == [0, 1]
    catalog.put_model(model(1, disabled=True))
    assert eligibility.split(NEEDS, NONE)[0] == [0]
    catalog.put_model(model(0, deleted=True))
    with pytest.raises(NaiadError):
        eligibility.split(NEEDS, NONE)


@pytest.mark.parametrize(("count", "kept"), [(10, True), (1_000, False)])
def test_of_long_lists_of_allowed_models_nothing_is_kept(count: int, kept: bool) -> None:
    """Each request may bring another list of a thousand names, and a thousand requests are kept."""
    catalog = Catalog()
    for i in range(count):
        catalog.put_model(model(i))
    eligibility = Eligibility(catalog, ENDPOINTS)
    allowed = frozenset(f"echo/m{i}" for i in range(count))
    remembered = weakref.ref(allowed)
    eligible, _ = eligibility.split(NEEDS._replace(allowed=allowed), NONE)
    assert eligible == list(range(count))
    del allowed
    gc.collect()
    assert (remembered() is not None) is kept
