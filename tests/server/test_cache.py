"""Kept answers: for identical requests alone, whole, under the rules of the moment, bounded, free of charge."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import msgspec
import pytest

from naiad.adapters.base import Answer, FinishReason, TextPart, ToolCallPart, Usage, user
from naiad.adapters.base import Request as ProviderRequest
from naiad.adapters.errors import Overloaded
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.cache import Cache, Place
from naiad.server.cache_settings import CacheSettings
from naiad.server.completion import Completion
from naiad.server.config import parse
from naiad.server.egress import Egress
from naiad.server.eligibility import Needs
from naiad.server.engine import Engine
from naiad.server.records import DataClass, TaskClassPut
from naiad.server.walk import Task
from naiad.v1 import (
    admin_pb2,
    admin_service_pb2,
    catalog_service_pb2,
    decision_pb2,
    feedback_service_pb2,
    insight_service_pb2,
    router_service_pb2,
)
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.e2e.live import Refusal, refusal_of
from tests.server.builders import engine, model, policy, query
from tests.server.test_completion import DATA

CACHED = decision_pb2.NOTICE_CODE_CACHED_ANSWER
TOOL: dict[str, Any] = {"name": "look", "parameters_json_schema": '{"type": "object"}'}


@dataclass
class Served:
    """A server over one scripted provider, and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    provider: Scripted

    async def complete(self, text: str = "hello", **fields: Any) -> router_service_pb2.CompleteResponse:
        """Complete in the cached class; raises Refusal."""
        fields = {"task_class": "kept", "messages": [{"role": 2, "parts": [{"text": text}]}]} | fields
        try:
            return await RouterServiceStub(self.channel).Complete(
                router_service_pb2.CompleteRequest(**fields), timeout=20.0
            )
        except grpc.aio.AioRpcError as error:
            raise refusal_of(error) from error

    async def stream(self, text: str = "hello") -> list[router_service_pb2.StreamCompleteResponse]:
        """Stream in the cached class; return the events."""
        asked = router_service_pb2.StreamCompleteRequest(
            task_class="kept", messages=[{"role": 2, "parts": [{"text": text}]}]
        )
        return [event async for event in RouterServiceStub(self.channel).StreamComplete(asked, timeout=20.0)]

    async def hit(self, **fields: Any) -> bool:
        """Return whether a request gets a kept answer."""
        return is_cached(await self.complete(**fields))

    async def change(self, path: str, **fields: Any) -> None:
        """Change the model."""
        request = catalog_service_pb2.UpdateModelRequest(model={"name": "a/m", **fields}, update_mask={"paths": [path]})
        await CatalogServiceStub(self.channel).UpdateModel(request)


def is_cached(answer: router_service_pb2.CompleteResponse) -> bool:
    return any(notice.code == CACHED for notice in answer.notices)


Start = Callable[..., Any]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts a server with a task class that is cached, over one provider and its script."""

    @asynccontextmanager
    async def start(steps: list[Step], task_class: dict[str, Any] | None = None, **data: Any) -> AsyncIterator[Served]:
        provider = Scripted(steps, provider="a", loop=True)
        monkeypatch.setattr(providers, "build", lambda profiles: {"a": provider})
        classes = [{"name": "kept", "cache_s": 60.0, **(task_class or {})}, {"name": "plain"}]
        made = DATA | {"models": DATA["models"][:1], "task_classes": classes} | data
        served = await Server.start(parse(made, "test"))
        async with grpc.aio.insecure_channel(served.address) as channel:
            try:
                yield Served(served, channel, provider)
            finally:
                await served.stop()

    return start


# -- what a hit is -----------------------------------------------------------------------------------------------------


async def test_a_hit_repeats_the_answer_and_calls_bills_and_logs_nothing(serving: Start) -> None:
    async with serving([reply("first"), reply("second")]) as now:
        made = await now.complete()
        sequence, arms = now.server.engine.sequence, await InsightServiceStub(now.channel).ListArms(
            insight_service_pb2.ListArmsRequest()
        )  # fmt: skip
        for _ in range(3):
            again = await now.complete()
            assert (again.answer, again.finish_reason, again.model) == (made.answer, made.finish_reason, made.model)
            assert (again.decision_id, again.attempt_id) == (made.decision_id, made.attempt_id)
            assert [n.code for n in again.notices] == [CACHED]
            assert float(again.notices[0].metadata["age_s"]) >= 0.0
            assert again.total_cost_nano_usd == again.cost.total_nano_usd == again.usage.input_tokens == 0
            assert not again.attempts
        assert made.total_cost_nano_usd > 0
        assert not is_cached(made)
        assert len(now.provider.calls) == 1
        assert now.server.engine.sequence == sequence
        assert await InsightServiceStub(now.channel).ListArms(insight_service_pb2.ListArmsRequest()) == arms


async def test_judgements_of_a_kept_answer_are_of_the_one_attempt_that_gave_it(serving: Start) -> None:
    async with serving([reply("first")]) as now:
        stub = FeedbackServiceStub(now.channel)
        for rater, score in (("x", 1.0), ("y", 0.0), ("z", 0.5)):
            seen = await now.complete()
            said = feedback_service_pb2.ReportFeedbackRequest(
                decision_id=seen.decision_id,
                attempt_id=seen.attempt_id,
                source="FEEDBACK_SOURCE_HUMAN",
                rater_id=rater,
                score=score,
            )
            receipt = await stub.ReportFeedback(said)
        assert receipt.effective_score == pytest.approx(0.5)
        listed = await InsightServiceStub(now.channel).ListArms(insight_service_pb2.ListArmsRequest(task_class="kept"))
        assert listed.arms[0].quality.effective_observations == pytest.approx(1.0), "one answer is one observation"


async def test_it_is_off_unless_the_task_class_asks_for_it(serving: Start) -> None:
    async with serving([reply("yes")]) as now:
        for task_class in ("plain", "unclassified", "never.seen", ""):
            assert not any([await now.hit(task_class=task_class) for _ in range(3)])
        assert len(now.provider.calls) == 12


async def test_streams_and_whole_answers_share_what_is_kept(serving: Start) -> None:
    able = [DATA["models"][0] | {"capabilities": ["streaming"]}]
    async with serving([reply("one two"), reply("never")], models=able) as now:
        *pieces, last = await now.stream()
        made = last.completed.response
        assert "".join(piece.text_delta.text for piece in pieces) == "one two"
        assert not is_cached(made)
        whole = await now.complete()
        begun, only, last = await now.stream()
        assert begun.started.decision_id == made.decision_id
        assert (begun.started.model, begun.started.attempt_id) == (made.model, made.attempt_id)
        assert only.text_delta.text == "one two"
        for again in (whole, last.completed.response):
            assert is_cached(again)
            assert (again.answer, again.decision_id) == (made.answer, made.decision_id)
            assert (again.total_cost_nano_usd, len(again.attempts)) == (0, 0)
        assert len(now.provider.calls) == 1


# -- which requests are identical --------------------------------------------------------------------------------------


SHAPING: list[dict[str, Any]] = [
    {"text": "hello "},
    {"messages": [{"role": 1, "parts": [{"text": "hello"}]}, {"role": 2, "parts": [{"text": "hello"}]}]},
    {"messages": [{"role": 2, "parts": [{"text": "hel"}, {"text": "lo"}]}]},
    {"max_output_tokens": 9},
    {"generation": {"temperature": 0.5}},
    {"generation": {"top_p": 0.5}},
    {"generation": {"seed": 1}},
    {"generation": {"stop": ["x"]}},
    {"generation": {"tools": [TOOL]}},
    {"generation": {"tools": [TOOL], "tool_choice": 2}},
    {"generation": {"response_json_schema": '{"type": "object"}'}},
    {"allowed_models": ["a/m"]},
    {"required_capabilities": [2]},
    {"data_class": "other"},
    {"workflow": "w"},
    {"objective": {"strategy": 3}},
    {"objective": {"usd_per_quality": 9.0}},
    {"task_class": "kept.too"},
]  # fmt: skip
NOT_SHAPING: list[dict[str, Any]] = [
    {"session_id": "s"}, {"request_id": "r"}, {"input_tokens": 77}, {"max_attempts": 1}, {"max_cost_nano_usd": 0},
    {"objective": {"strategy": 1}},
]  # fmt: skip


async def test_what_shapes_the_answer_makes_another_request(serving: Start) -> None:
    able = [DATA["models"][0] | {"capabilities": ["json_schema", "system_prompt", "tools"]}]
    classes = [{"name": name, "cache_s": 60.0} for name in ("kept", "kept.too")]
    async with serving([reply("yes")], models=able, task_classes=classes) as now:
        for fields in ({}, *SHAPING):
            assert not await now.hit(**fields), fields
        for fields in ({}, *SHAPING, *NOT_SHAPING):
            assert await now.hit(**fields), fields
        assert len(now.provider.calls) == 1 + len(SHAPING)


async def test_another_value_of_a_feature_makes_another_request(serving: Start) -> None:
    async with serving([reply("yes")]) as now:
        declared = {"name": "kept", "features": [{"name": "f", "low": 0.0, "high": 1.0}]}
        request = catalog_service_pb2.UpdateTaskClassRequest(task_class=declared, update_mask={"paths": ["features"]})
        await CatalogServiceStub(now.channel).UpdateTaskClass(request)
        assert [await now.hit(features={"f": value}) for value in (0.0, 1.0, 0.0)] == [False, False, True]


# -- which answers are kept --------------------------------------------------------------------------------------------


async def test_only_whole_answers_are_kept(serving: Start) -> None:
    async with serving([lambda asked: reply("so far", finish=FinishReason(asked.last_user_text))]) as now:
        for finish in FinishReason:
            await now.complete(finish.value)
        kept = {finish for finish in FinishReason if await now.hit(text=finish.value)}
        assert kept == {FinishReason.STOP, FinishReason.TOOL_CALLS}


async def test_calls_of_tools_are_kept(serving: Start) -> None:
    called = Answer((ToolCallPart("c1", "look", '{"at": 1}'),), FinishReason.TOOL_CALLS, Usage(1, 1), "")
    able = [DATA["models"][0] | {"capabilities": ["tools"]}]
    async with serving([Reply(called)], models=able) as now:
        made = await now.complete(generation={"tools": [TOOL]})
        again = await now.complete(generation={"tools": [TOOL]})
        assert is_cached(again)
        assert again.answer == made.answer
        assert again.answer.parts[0].tool_call.tool_call_id == "c1"


async def test_nothing_is_kept_of_failures_and_empty_answers(serving: Start) -> None:
    busy = Fail(Overloaded("busy", provider="a", model="m"))
    async with serving([busy, reply(""), reply("yes")]) as now:
        with pytest.raises(Refusal):
            await now.complete(max_attempts=1)
        assert not await now.hit()
        assert not await now.hit()
        assert await now.hit()


# -- under which rules -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "fields"),
    [("disabled", {"disabled": True}), ("data_zone", {"data_zone": "far"}), ("context_window", {"context_window": 5})],
)
async def test_a_tightening_binds_kept_answers(serving: Start, path: str, fields: dict[str, Any]) -> None:
    rules = {
        "data_classes": [{"name": "open", "allow": ["here"]}],
        "models": [DATA["models"][0] | {"data_zone": "here"}],
        "governance": {"zones": ["far"]},
    }
    async with serving([reply("yes")], **rules) as now:
        await now.complete(data_class="open")
        assert await now.hit(data_class="open")
        await now.change(path, **fields)
        with pytest.raises(Refusal) as refused:
            await now.complete(data_class="open")
        assert refused.value.reason == "NO_ELIGIBLE_MODEL"
        assert len(now.provider.calls) == 1


def test_a_model_that_may_not_be_called_is_not_quoted_either() -> None:
    open_to = DataClass(name="open", allow=("here",))
    rules = policy(data_classes=(open_to,), data_zones=("here", "far"))
    models = (model(0, data_zone="here"), model(1, data_zone="here"))
    changes = ({"disabled": True}, {"deleted": True}, {"data_zone": "far"}, {"prices": None}, {"context_window": 9})
    for change in changes:
        shelf = Shelf(engine(models, (TaskClassPut(task_class=0, name="a"),), policy=rules))
        shelf.put("x")
        assert shelf.has("x")
        shelf.engine.apply(20, model(0, **({"data_zone": "here"} | change)))
        assert not shelf.has("x"), change
        shelf.engine.apply(21, models[0])
        assert not shelf.has("x"), "what was refused once is forgotten"


def test_callers_whose_keys_permit_other_models_share_nothing() -> None:
    shelf = Shelf(engine((model(0), model(1)), (TaskClassPut(task_class=0, name="a"),)))
    shelf.put("x")
    assert not shelf.has("x", key_models=("echo/m1",))
    assert not shelf.has("x", key_models=("echo/m0",))
    assert shelf.has("x"), "and one who may not have it takes it from nobody"


async def test_another_model_behind_the_name_gives_answers_of_its_own(serving: Start) -> None:
    async with serving([reply("old"), reply("new")]) as now:
        await now.complete()
        await now.change(
            "prices", prices={"input_nano_usd_per_million_tokens": 1, "output_nano_usd_per_million_tokens": 1}
        )
        assert await now.hit(), "a price does not change an answer"
        await now.change("upstream_model", upstream_model="m-2")
        assert not await now.hit()
        assert await now.hit()


@pytest.mark.parametrize("by", ["request", "task class"])
async def test_nothing_is_kept_of_data_that_leaves_no_trace(serving: Start, by: str) -> None:
    rules = [{"name": "open", "allow": ["any"]}, {"name": "secret", "allow": ["any"], "no_store": True}]
    async with serving([reply("yes")], data_classes=rules) as now:
        named = "open"
        if by == "request":
            named = "secret"
        else:
            assert not await now.hit(data_class="open")
            assert await now.hit(data_class="open")
            request = catalog_service_pb2.UpdateTaskClassRequest(
                task_class={"name": "kept", "default_data_class": "secret"},
                update_mask={"paths": ["default_data_class"]},
            )
            await CatalogServiceStub(now.channel).UpdateTaskClass(request)
        assert not any([await now.hit(data_class=named) for _ in range(3)])
        assert not await now.hit(), "what is not said is the strictest class"


async def test_rules_that_change_while_the_model_writes_keep_its_answer_out(serving: Start) -> None:
    served: list[Server] = []

    def write(request: ProviderRequest) -> Reply:
        made = served[0].engine
        rules = (DataClass(name="open", allow=("any",), no_store=True),)
        made.apply(
            made.sequence, msgspec.structs.replace(made.policy, version=made.policy.version + 1, data_classes=rules)
        )
        return reply("yes")

    async with serving([write]) as now:
        served.append(now.server)
        await now.complete()
        made = now.server.engine
        loose = msgspec.structs.replace(made.policy, version=made.policy.version + 1, data_classes=())
        made.apply(made.sequence, loose)
        assert not await now.hit()


async def test_a_hard_budget_that_is_spent_does_not_stand_before_kept_answers(serving: Start) -> None:
    async with serving([reply("yes")]) as now:
        await now.complete()
        wanted = admin_pb2.Budget(budget_id="b", limit_nano_usd=0, period=admin_pb2.BUDGET_PERIOD_ONCE)
        await AdminServiceStub(now.channel).CreateBudget(admin_service_pb2.CreateBudgetRequest(budget=wanted))
        assert await now.hit()
        with pytest.raises(Refusal) as refused:
            await now.complete("another")
        assert refused.value.reason == "BUDGET_EXHAUSTED"


async def test_a_provider_that_is_not_well_does_not_stand_before_kept_answers(serving: Start) -> None:
    busy = Fail(Overloaded("busy", provider="a", model="m"))
    async with serving([reply("yes"), *[busy] * 100]) as now:
        await now.complete()
        for _ in range(50):
            with pytest.raises(Refusal) as refused:
                await now.complete("another", max_attempts=1)
            if refused.value.reason == "MODELS_UNAVAILABLE":
                break
        assert refused.value.reason == "MODELS_UNAVAILABLE"
        assert await now.hit()


async def test_request_ids_hold_for_kept_answers_too(serving: Start) -> None:
    async with serving([reply("yes")]) as now:
        await now.complete()
        first = await now.complete(request_id="r")
        assert await now.complete(request_id="r") == first, "the same age: it is the same reply"
        with pytest.raises(Refusal) as refused:
            await now.complete("another", request_id="r")
        assert refused.value.reason == "REQUEST_ID_REUSED"


# -- bounds ------------------------------------------------------------------------------------------------------------


class Shelf:
    """A cache over a small engine, with a clock of its own and no server."""

    def __init__(self, made: Engine | None = None, secret: bytes = b"s" * 32, **settings: Any) -> None:
        self.now_s = 0.0
        self.engine = made or engine((model(0),), (TaskClassPut(task_class=0, name="a"),))
        self.decision = self.engine.decide(query(), at_ms=1, uniform=0.5)
        self.egress = Egress(self.engine.catalog, self.engine.eligibility, {})
        self.cache = Cache(self.engine, self.egress, CacheSettings({"a": 10.0}, **settings), secret, lambda: self.now_s)

    def place(self, text: str, **needs: Any) -> Place:
        request, wanted = ProviderRequest("unset", (user(text),)), Needs(100, 100)._replace(**needs)
        place = self.cache.place(query(needs=wanted), Task(wanted, request))
        assert place is not None
        return place

    def put(self, text: str, answer: str = "yes") -> None:
        said = Answer((TextPart(answer),), FinishReason.STOP, Usage(1, 1), "m")
        self.cache.keep(self.place(text), Completion(self.decision, said, "1", self.engine.catalog.models[0], ()))

    def has(self, text: str, **needs: Any) -> bool:
        return self.cache.find(self.place(text, **needs)) is not None


def test_an_answer_lives_for_its_time_and_a_hit_does_not_prolong_it() -> None:
    shelf = Shelf()
    shelf.put("x")
    for shelf.now_s in (1.0, 9.0, 9.999):
        assert shelf.has("x")
    shelf.now_s = 10.0
    assert not shelf.has("x")
    assert (len(shelf.cache), shelf.cache.size_bytes) == (0, 0)


def test_what_is_too_old_does_not_stay_in_memory() -> None:
    shelf = Shelf()
    for i in range(20):
        shelf.put(str(i))
    shelf.now_s = 31.0
    assert not shelf.has("another")
    assert (len(shelf.cache), shelf.cache.size_bytes) == (0, 0)


def test_the_answer_used_least_recently_goes_first() -> None:
    shelf = Shelf(entries=2)
    shelf.put("x")
    shelf.put("y")
    assert shelf.has("x")
    shelf.put("z")
    assert [shelf.has(text) for text in "xyz"] == [True, False, True]


def test_bytes_are_bounded_and_counted() -> None:
    shelf = Shelf(size_bytes=100_000)
    for i in range(300):
        shelf.put(str(i % 90), "x" * (37 * i % 9_000))
        assert 0 < shelf.cache.size_bytes <= 100_000
    before = len(shelf.cache)
    shelf.put("huge", "x" * 100_000)
    assert (shelf.has("huge"), len(shelf.cache)) == (False, before), "one that is too large does not empty the rest"
    shelf.engine.apply(9, policy())
    assert not shelf.has("1")
    assert (len(shelf.cache), shelf.cache.size_bytes) == (0, 0), "another policy begins with nothing"


def test_what_is_counted_is_what_memory_holds() -> None:
    shelf = Shelf()
    shelf.put("warm")
    gc.collect()
    tracemalloc.start()
    try:
        for i in range(2_000):
            shelf.put(f"{i}", f"{i}" * 100)
        gc.collect()
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < shelf.cache.size_bytes < 1.5 * held


def test_an_answer_that_comes_under_other_rules_than_it_was_asked_under_is_not_kept() -> None:
    shelf = Shelf()
    before = shelf.place("x")
    said = Answer((TextPart("yes"),), FinishReason.STOP, Usage(1, 1), "m")
    done = Completion(shelf.decision, said, "1", shelf.engine.catalog.models[0], ())
    shelf.engine.apply(9, policy())
    shelf.cache.keep(before, done)
    assert len(shelf.cache) == 0
    before = shelf.place("x")
    shelf.engine.apply(10, model(0, upstream_model="another"))
    shelf.cache.keep(before, done)
    assert len(shelf.cache) == 0, "the model that answered is not the one that has the name now"


# -- tenants and keys --------------------------------------------------------------------------------------------------


def test_tenants_share_nothing_and_keys_hold_no_prompt() -> None:
    ours, theirs = Shelf(secret=b"1" * 32), Shelf(secret=b"2" * 32)
    ours.put("a secret")
    assert ours.has("a secret")
    assert not theirs.has("a secret")
    place = ours.place("a secret")
    assert (len(place.key), place.key == theirs.place("a secret").key) == (32, False)
    assert place.key == ours.place("a secret").key
    assert "secret" not in repr(ours.cache)


def test_a_request_that_cannot_be_decided_has_no_place() -> None:
    shelf = Shelf()
    request = ProviderRequest("unset", (user("x"),))
    for wrong in (query("b"), query(features={"f": 1.0}), query(needs=Needs(1, 1, allowed=frozenset({"no/such"})))):
        assert shelf.cache.place(wrong, Task(Needs(100, 100), request)) is None
