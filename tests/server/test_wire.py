"""Requests are counted before they are read: never more fields than may be, whatever the bytes."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.wire import MOST_FIELDS, Unread, crowded, reader
from naiad.v1 import catalog_pb2, catalog_service_pb2, router_service_pb2
from tests.fuzz.messages import arbitrary, methods, mutant
from tests.server.reasons import check

MIB = 1 << 20
TYPES = {name: method.input_type for name, method in methods().items()}


def elements(message: Message) -> tuple[int, int]:
    """Return the least and the most that counting the fields of a message may give; packed numbers count by bytes."""
    least = most = 0
    for field, value in message.ListFields():
        values: list[Any] = list(value) if field.is_repeated else [value]
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            inner = entry.fields_by_name["value"].message_type
            values = [value[key] for key in value] if inner is not None else []
            least += 3 * len(value)
            most += 3 * len(value)
        elif entry is None:
            least += len(values)
            most += 1 + 10 * len(values)
        else:
            least += len(values)
            most += len(values)
        if entry is not None:
            for child in values:
                low, high = elements(child)
                least, most = least + low, most + high
    return least, most


@given(st.sampled_from(sorted(TYPES)), st.randoms(use_true_random=False))
def test_the_count_is_that_of_the_message(method: str, rng: Random) -> None:
    message = arbitrary(TYPES[method], rng)
    least, most = elements(message)
    data = message.SerializeToString()
    assert not crowded(data, TYPES[method], most)
    assert least == 0 or crowded(data, TYPES[method], least - 1)


@given(st.sampled_from(sorted(TYPES)), st.randoms(use_true_random=False), st.integers(0, 30))
def test_what_passes_the_count_is_read_into_no_more(method: str, rng: Random, most: int) -> None:
    data = mutant(arbitrary(TYPES[method], rng).SerializeToString(), rng)
    if crowded(data, TYPES[method], most):
        return
    try:
        message = GetMessageClass(TYPES[method]).FromString(data)
    except DecodeError:
        return
    assert elements(message)[0] <= 3 * most  # an entry of a map counts thrice, also where it came empty


def _many(count: int) -> dict[str, bytes]:
    """Return requests of so many items within the size of a message, each crowded at another place."""
    decide, create = router_service_pb2.DecideRequest, catalog_service_pb2.CreateModelRequest
    update = catalog_service_pb2.UpdateTaskClassRequest
    result: Any = {"role": 4, "parts": [{"tool_result": {"parts": [{}] * count}}]}
    return {
        "messages": decide(messages=[{}] * count).SerializeToString(),
        "parts": decide(messages=[{"parts": [{}] * count}]).SerializeToString(),
        "parts of a result": decide(messages=[result]).SerializeToString(),
        "names": decide(allowed_models=[""] * count).SerializeToString(),
        "packed numbers": decide(required_capabilities=[catalog_pb2.CAPABILITY_VISION] * count).SerializeToString(),
        "map": decide(features={str(i): 1.0 for i in range(count)}).SerializeToString(),
        "labels": create(model={"labels": {str(i): "" for i in range(count)}}).SerializeToString(),
        "mask": update(update_mask={"paths": ["a"] * count}).SerializeToString(),
    }


@pytest.mark.parametrize("kind", sorted(_many(1)))
def test_a_crowded_request_is_not_read(kind: str) -> None:
    method = {"labels": "CatalogService/CreateModel", "mask": "CatalogService/UpdateTaskClass"}.get(
        kind, "RouterService/Decide"
    )
    read = reader(method, TYPES[method], 4 * MIB)
    found = read(_many(MOST_FIELDS + 1)[kind])
    assert isinstance(found, Unread)
    assert found.error.reason == "TOO_MANY_ITEMS"
    check(found.error.reason, found.error.code, found.error.metadata)
    assert isinstance(read(_many(100)[kind]), Message)


def test_garbage_behind_a_crowd_does_not_hide_it() -> None:
    method = "RouterService/Decide"
    found = reader(method, TYPES[method], 4 * MIB)(_many(MOST_FIELDS + 1)["parts"] + b"\xff" * 11)
    assert isinstance(found, Unread)
    assert found.error.reason == "TOO_MANY_ITEMS"


def test_too_large_and_malformed() -> None:
    method = "RouterService/Decide"
    read = reader(method, TYPES[method], MIB)
    large = read(router_service_pb2.DecideRequest(task_class="x" * MIB).SerializeToString())
    fits = read(router_service_pb2.DecideRequest(task_class="x" * (MIB - 10)).SerializeToString())
    broken = read(b"\xff\xff\xff")
    assert isinstance(fits, Message)
    for found, reason in ((large, "MESSAGE_TOO_LARGE"), (broken, "INVALID_FORMAT")):
        assert isinstance(found, Unread)
        assert found.error.reason == reason
        check(found.error.reason, found.error.code, found.error.metadata)
