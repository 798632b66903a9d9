"""The parts without I/O: retry law, conversion, settings, signatures, private descriptors, examples."""

from __future__ import annotations

import ast
import dataclasses
import doctest
import importlib
import inspect
import itertools
import math
import pkgutil
import typing
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pool
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

import naiad.client
from naiad.client import AsyncClient, Client, Model, Objective, Prices, RetryPolicy, Timeouts
from naiad.client.aio import AsyncBoundDecision
from naiad.client.blocking import BoundDecision
from naiad.client.calls import new_id
from naiad.client.convert import enum_name, enum_number, from_duration, read, to_duration, write
from naiad.client.errors import ERRORS, Cancelled, ResourceExhausted, Unavailable
from naiad.client.operations.router import decide
from naiad.client.retry import Attempts, retryable
from naiad.client.settings import Settings, is_loopback
from naiad.client.status import rpc_class
from naiad.v1 import catalog_pb2, content_pb2, feedback_service_pb2
from tests.client.fake import FakeNaiad

MODULES = [
    importlib.import_module(name)
    for name in sorted(m.name for m in pkgutil.walk_packages(naiad.client.__path__, "naiad.client."))
] + [naiad.client]

POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 8),
    reconnect_s=st.floats(0, 100),
    initial_backoff_s=st.floats(0, 10),
    max_backoff_s=st.floats(0, 100),
    multiplier=st.floats(0, 1e6),
)


@given(
    POLICIES, st.floats(0, 1e3), st.lists(st.tuples(st.floats(0, 60) | st.none(), st.floats(0, 1, exclude_max=True)))
)
def test_waits_keep_to_the_deadline_and_to_the_number_of_attempts(
    policy: RetryPolicy, timeout_s: float, failures: list[tuple[float | None, float]]
) -> None:
    state, now_s = Attempts(policy, deadline_s=timeout_s), 0.0
    made = 1
    for retry_after_s, uniform in failures:
        wait = state.after(Unavailable("down", retry_after_s=retry_after_s), now_s=now_s, uniform=uniform)
        if wait is None:
            break
        assert (retry_after_s or 0) <= wait.delay_s <= (retry_after_s or 0) + policy.max_backoff_s
        now_s, state, made = now_s + wait.delay_s, wait.then, made + 1
        assert now_s < timeout_s
        assert made <= policy.max_attempts or now_s < policy.reconnect_s, "the server was first missed at 0"
        left_s = state.left_s(now_s)
        assert left_s is not None
        assert 0 < left_s <= timeout_s
    assert made <= policy.max_attempts or policy.max_attempts > 1


@given(POLICIES, st.lists(st.floats(0, 60), min_size=20, max_size=20))
def test_a_server_that_is_there_and_refuses_is_asked_a_number_of_times(
    policy: RetryPolicy, retry_after_s: list[float]
) -> None:
    state, made = Attempts(policy, deadline_s=math.inf), 1
    for seconds in retry_after_s:
        wait = state.after(ResourceExhausted("busy", retry_after_s=seconds), now_s=0.0, uniform=0.0)
        if wait is None:
            break
        state, made = wait.then, made + 1
    assert made == policy.max_attempts


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20))
def test_a_restart_of_three_seconds_is_lived_through_within_the_time_of_decide(draws: list[float]) -> None:
    """Whatever the draws: some attempt is made when gRPC, too, has connected again."""
    options = dict(Settings(target="127.0.0.1:1").options)
    back_s = 3.0 + 1.2 * int(options["grpc.max_reconnect_backoff_ms"]) / 1e3  # gRPC's pause, with its jitter of a fifth
    now_s, state = 0.0, Attempts(RetryPolicy(), deadline_s=Timeouts().decide_s)
    for uniform in itertools.cycle(draws):
        wait = state.after(Unavailable("down"), now_s=now_s, uniform=uniform)
        assert wait is not None, f"given up at {now_s}"
        now_s, state = now_s + max(wait.delay_s, 0.01), wait.then
        if now_s >= back_s:
            break
    assert now_s < Timeouts().decide_s


def test_what_providers_refused_is_not_repeated_until_they_do_not() -> None:
    state = Attempts(RetryPolicy(max_attempts=2), deadline_s=math.inf)
    failed = Unavailable("all failed", reason="ERROR_REASON_ALL_ATTEMPTS_FAILED", retry_after_s=0.0)
    wait = state.after(failed, now_s=0.0, uniform=0.0)
    assert wait is not None
    assert wait.then.after(failed, now_s=0.0, uniform=0.0) is None


def test_waiting_grows_up_to_its_bound() -> None:
    policy = RetryPolicy(max_attempts=10_000)
    assert [policy.ceiling_s(n) for n in (1, 2, 3, 4, 5, 6)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert policy.ceiling_s(9_999) == 1.0


def test_what_may_be_repeated() -> None:
    assert retryable(Unavailable(""))
    assert retryable(ResourceExhausted("", retry_after_s=0.0))
    assert not retryable(ResourceExhausted(""))
    assert retryable(Cancelled("", request_id="r"))
    assert not retryable(Cancelled(""))
    assert not retryable(Cancelled("", request_id="r", reason="ERROR_REASON_SOMETHING"))
    others = set(ERRORS.values()) - {Unavailable, ResourceExhausted, Cancelled}
    assert not any(retryable(cls("", retry_after_s=1.0, request_id="r")) for cls in others)


def test_without_a_deadline_an_attempt_may_take_for_ever() -> None:
    state = Attempts(RetryPolicy(), deadline_s=math.inf)
    assert state.left_s(1e9) is None
    assert state.after(Unavailable(""), now_s=1e9, uniform=0.5) is not None


@pytest.mark.parametrize(
    "bad", [{"max_attempts": 0}, {"reconnect_s": math.nan}, {"max_backoff_s": -1.0}, {"multiplier": math.nan}]
)
def test_a_policy_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        RetryPolicy(**bad)
    with pytest.raises(ValueError, match="decide_s is 0"):
        Timeouts(decide_s=0.0)


# --- conversion --------------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6))
def test_durations_round_trip(seconds: float) -> None:
    message = to_duration(seconds)
    assert message.seconds * message.nanos >= 0  # the signs agree, as the format demands
    assert from_duration(message) == pytest.approx(seconds, abs=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_with_its_name(bad: float) -> None:
    with pytest.raises(ValueError, match=r"latency_s: (nan|-?inf) seconds is no duration"):
        write(None, feedback_service_pb2.ReportOutcomeRequest(), {"latency_s": bad})
    with pytest.raises(ValueError, match=r"(nan|-?inf) US dollars is no amount"):
        Prices.per_million_tokens(input_usd=1.0, output_usd=bad)


def test_enums_have_short_names_both_ways() -> None:
    enum = content_pb2.FinishReason.DESCRIPTOR
    for value in enum.values:
        assert enum_number(enum, enum_name(enum, value.number), "x") == value.number
    assert (enum_name(enum, 0), enum_name(enum, 3), enum_name(enum, 99)) == ("", "tool_calls", "99")
    assert enum_number(enum, "99", "x") == 99
    with pytest.raises(ValueError, match="must be one of: stop, length"):
        enum_number(enum, "unspecified", "finish_reason")


def test_what_is_read_can_be_written() -> None:
    prices = Prices.per_million_tokens(input_usd=1.5, output_usd=0.0)
    model = Model("a/b", prices=prices, context_window=9, capabilities=("tools",), labels={"k": "v"})
    message = catalog_pb2.Model()
    write(model, message)
    assert message.prices.HasField("output_nano_usd_per_million_tokens")
    assert not message.prices.HasField("request_nano_usd")
    assert not message.HasField("max_output_tokens")
    back = read(Model, message)
    assert back == model
    assert back.raw is message


RESULTS = [
    cls
    for _, cls in inspect.getmembers(naiad.client, inspect.isclass)
    if dataclasses.is_dataclass(cls)
    and "raw" in {f.name for f in dataclasses.fields(cls)}
    and not issubclass(cls, BoundDecision | AsyncBoundDecision)
]


@pytest.mark.parametrize("cls", RESULTS, ids=lambda cls: cls.__name__)
def test_a_result_has_every_field_of_its_message(cls: type[Any]) -> None:
    """A field added to the API and forgotten here would be invisible to callers."""
    message = typing.get_type_hints(cls)["raw"]
    wanted = {field.name for field in message.DESCRIPTOR.fields}
    names = {field.name for field in dataclasses.fields(cls)} - {"raw"}
    assert {name if name in wanted else name.removesuffix("_s") for name in names} == wanted
    assert read(cls, message()).raw == message()


def test_ids_differ() -> None:
    assert len({new_id() for _ in range(1000)}) == 1000


def test_a_call_does_not_show_its_prompt() -> None:
    call = decide("SECRET", objective=Objective("balanced"))
    assert "SECRET" not in repr(call)


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    ["localhost", "LOCALHOST:1", "127.0.0.1:1", "127.9.9.9", "[::1]:1", "::1", "unix:/x", "unix-abstract:x",
     "dns:localhost:1", "dns:///127.0.0.1:1", "ipv4:127.0.0.1:1,127.0.0.2:1", "ipv6:[::1]:1"],
)  # fmt: skip
def test_this_machine_is_recognised(target: str) -> None:
    assert is_loopback(target)
    assert Settings(target=target).channel_credentials is None


@pytest.mark.parametrize(
    "target",
    ["10.0.0.1:1", "example.com:443", "localhost.example.com:1", "127.0.0.1.example.com", "0.0.0.0:1", "[::]:1",
     "ipv4:127.0.0.1:1,10.0.0.1:1", "dns://localhost/example.com:1", "xds:///localhost-service", "unixy:1"],
)  # fmt: skip
def test_another_machine_is_reached_by_tls(target: str) -> None:
    assert not is_loopback(target)
    assert Settings(target=target).channel_credentials is not None
    assert Settings(target=target, insecure_plaintext=True).channel_credentials is None


def test_settings_that_contradict_are_refused() -> None:
    tls = grpc.ssl_channel_credentials()
    assert Settings(target="localhost:1", credentials=tls).channel_credentials is tls
    with pytest.raises(ValueError, match="give one of them"):
        Client("localhost:1", credentials=tls, insecure_plaintext=True)
    with pytest.raises(ValueError, match="target is empty"):
        Client("")
    with pytest.raises(ValueError, match="line end") as caught:
        Client(key="s3cret\n")
    assert "s3cret" not in str(caught.value)


def test_a_tls_client_does_not_speak_plaintext(fake: FakeNaiad) -> None:
    tls = grpc.ssl_channel_credentials()
    with (
        Client(fake.target, credentials=tls, key="k", retry=RetryPolicy(max_attempts=1)) as client,
        pytest.raises(Unavailable),
    ):
        client.get_model("acme/small")
    assert fake.seen == []


# --- surface -----------------------------------------------------------------------------------------------


def surface(cls: type) -> dict[str, inspect.Signature]:
    """Return the public methods of a class with their signatures, without what they return."""
    methods = inspect.getmembers(cls, callable)
    return {
        name: inspect.signature(method).replace(return_annotation=None)
        for name, method in methods
        if not name.startswith("_")
    }


def test_both_clients_have_the_same_surface() -> None:
    assert surface(Client) == surface(AsyncClient)
    assert surface(BoundDecision) == surface(AsyncBoundDecision)
    assert len(surface(Client)) == 27


def test_methods_look_written_by_hand() -> None:
    assert str(inspect.signature(Client().get_model)).startswith("(name: 'str', *, timeout_s:")
    assert inspect.signature(Client.list_arms).return_annotation == "Iterator[Arm]"
    assert inspect.signature(AsyncClient.list_arms).return_annotation == "AsyncIterator[Arm]"
    assert inspect.signature(Client.stream).return_annotation == "Generator[StreamEvent, None, None]"
    assert inspect.signature(AsyncClient.stream).return_annotation == "AsyncGenerator[StreamEvent, None]"
    assert inspect.signature(Client.watch_arms).return_annotation == "Generator[ArmsUpdate, None, None]"
    assert inspect.signature(AsyncClient.watch_arms).return_annotation == "AsyncGenerator[ArmsUpdate, None]"
    for cls in (Client, AsyncClient):
        for name in surface(cls):
            method = getattr(cls, name)
            assert method.__name__ == name
            assert method.__doc__


def test_the_google_messages_stay_private() -> None:
    """Both copies coexist, and are compatible on the wire."""
    ours: Any = rpc_class("BadRequest")()
    theirs = error_details_pb2.BadRequest()
    theirs.field_violations.add(field="f", description="d")
    ours.ParseFromString(theirs.SerializeToString())
    assert [(v.field, v.description) for v in ours.field_violations] == [("f", "d")]
    info: Any = rpc_class("ErrorInfo")(reason="r", domain="d", metadata={"k": "v"})
    assert error_details_pb2.ErrorInfo.FromString(info.SerializeToString()).metadata == {"k": "v"}
    default = descriptor_pool.Default().FindMessageTypeByName("google.rpc.ErrorInfo")
    assert default.file.name == "google/rpc/error_details.proto"
    assert info.DESCRIPTOR.file.pool is not default.file.pool


def test_only_grpc_and_protobuf_are_imported() -> None:
    root = Path(naiad.client.__path__[0])
    found: set[str] = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module))
    assert {name for name in found if name.startswith("google")} <= {
        "google.protobuf", "google.protobuf.message", "google.protobuf.descriptor", "google.protobuf.duration_pb2",
    }  # fmt: skip
    assert (root / "py.typed").exists()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_the_examples_are_true(module: ModuleType, fake: FakeNaiad) -> None:
    extra = {"target": fake.target, "call_provider": lambda model: "An answer."}
    result = doctest.testmod(module, extraglobs=extra, optionflags=doctest.ELLIPSIS)
    assert result.failed == 0
    if module is naiad.client:
        assert result.attempted >= 7


def test_every_module_says_what_it_is_and_fits_in_a_head() -> None:
    for module in MODULES:
        assert module.__doc__
        assert len(inspect.getsource(module).splitlines()) < 310
