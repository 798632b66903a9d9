"""One suite for both clients: what is sent, what comes back, when it is repeated, and how it fails."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from naiad.client import (
    AsyncClient,
    Cancelled,
    Client,
    DeadlineExceeded,
    ErrorReason,
    FeatureSpec,
    FieldViolation,
    Generation,
    Internal,
    InvalidArgument,
    Model,
    NaiadError,
    NanoUsd,
    NoEligibleModel,
    NotFound,
    Objective,
    Preference,
    Prices,
    ProviderModels,
    Reaction,
    ResourceExhausted,
    RetryPolicy,
    TaskClass,
    Timeouts,
    Tool,
    Unavailable,
    Unimplemented,
)
from naiad.client.errors import ERRORS
from naiad.v1 import decision_pb2, error_pb2, feedback_pb2
from tests.client.conftest import Face, connected, settle
from tests.client.fake import Failure, FakeNaiad

DOWN = Failure(grpc.StatusCode.UNAVAILABLE, "down")


async def test_decide_sends_what_it_is_given(naiad: Face, fake: FakeNaiad) -> None:
    await naiad.call(
        "decide",
        [("system", "Be brief."), ("user", "Hello")],
        task_class="code.debug",
        workflow="w",
        features={"loc": 3.0},
        allowed_models=["acme/small"],
        data_class="public",
        objective=Objective("cost_optimized", quality_floor=0.8),
        input_tokens=0,
        max_output_tokens=9,
        session_id="s",
        required_capabilities=["tools"],
        request_id="mine",
    )
    request = fake.requests("Decide")[0]
    assert [(m.role, m.parts[0].text) for m in request.messages] == [(1, "Be brief."), (2, "Hello")]
    assert (request.task_class, request.workflow, request.data_class) == ("code.debug", "w", "public")
    assert dict(request.features) == {"loc": 3.0}
    assert list(request.allowed_models) == ["acme/small"]
    assert (request.objective.strategy, request.objective.quality_floor) == (2, 0.8)
    assert not request.objective.HasField("confidence")
    assert request.HasField("input_tokens")
    assert (request.input_tokens, request.max_output_tokens) == (0, 9)
    assert (request.session_id, request.request_id) == ("s", "mine")
    assert list(request.required_capabilities) == [2]


async def test_a_decision_is_typed_and_keeps_its_message(naiad: Face) -> None:
    decision = await naiad.call("decide", "Hello", task_class="t")
    assert (decision.model, decision.propensity, decision.policy_version) == ("acme/small", 0.75, 7)
    first = decision.ranking[0]
    assert isinstance(first.cost_nano_usd, NanoUsd)
    assert (first.cost_nano_usd, first.cost_nano_usd.usd, first.latency_s) == (1_250_000, 0.00125, 0.5)
    assert (decision.excluded[0].reason, decision.notices[0].code) == ("context_window", "task_class_created")
    assert decision.notices[0].metadata == {"task_class": "x"}
    assert decision.raw.decision_id == decision.decision_id
    with pytest.raises(AttributeError):
        decision.model = "other"
    assert len({decision, decision}) == 1


async def test_complete_returns_the_answer_and_how_it_came_to_be(naiad: Face, fake: FakeNaiad) -> None:
    tool = Tool(name="look", parameters_json_schema="{}")
    completion = await naiad.call(
        "complete",
        "SECRET PROMPT",
        generation=Generation(temperature=0.0, tools=(tool,), tool_choice="required", stop=("\n",)),
        max_cost_nano_usd=5,
        objective="balanced",
    )
    request = fake.requests("Complete")[0]
    assert request.generation.HasField("temperature")
    assert (request.generation.tools[0].name, request.generation.tool_choice) == ("look", 3)
    assert (request.max_cost_nano_usd, request.HasField("max_attempts")) == (5, False)
    assert completion.text == "A fine summary."
    assert completion.tool_calls[0].arguments_json == '{"at":1}'
    assert (completion.finish_reason, completion.usage.output_tokens, completion.cost.usd) == ("stop", 4, 0.00125)
    assert completion.total_cost_nano_usd.usd == 0.0025
    failed, good = completion.attempts
    assert (failed.error.kind, failed.error.http_status, failed.error.retry_after_s) == ("rate_limited", 429, 2.0)
    assert (failed.latency_s, good.error, good.latency_s, good.start_time) == (0.25, None, None, None)
    assert "fine" not in repr(completion)
    assert "SECRET" not in repr(completion)


async def test_outcomes_and_feedback(naiad: Face, fake: FakeNaiad) -> None:
    receipt = await naiad.call("report_outcome", "d1", output_tokens=0, latency_s=1.5, cost_nano_usd=3)
    assert (receipt.cost.total_nano_usd, receipt.sequence) == (3, 5)
    request = fake.requests("ReportOutcome")[0]
    assert request.HasField("output_tokens")
    assert not request.HasField("input_tokens")
    assert not request.HasField("error")
    assert (request.latency.seconds, request.latency.nanos) == (1, 500_000_000)

    receipt = await naiad.call("report_feedback", "d1", 0.0, source="judge", rater_id="r", comment="c")
    assert (receipt.feedback_id, receipt.state, receipt.effective_score) == ("f1", "effective", 0.0)
    await naiad.call("report_feedback", "d1", thumb="down")
    await naiad.call("report_feedback", "d1", preference=Preference(preferred_attempt_id="a", other_attempt_id="b"))
    await naiad.call("report_feedback", "d1", reaction="retried")
    await naiad.call("report_feedback", "d1", reaction=Reaction(kind="edited", edit_share=0.0))
    scored, thumbed, preferred, retried, edited = fake.requests("ReportFeedback")
    assert (retried.reaction.kind, retried.source) == (4, feedback_pb2.FEEDBACK_SOURCE_USER)
    assert not retried.reaction.HasField("edit_share")
    assert (edited.reaction.kind, edited.reaction.HasField("edit_share"), edited.reaction.edit_share) == (2, True, 0.0)
    assert (scored.WhichOneof("signal"), scored.source) == ("score", feedback_pb2.FEEDBACK_SOURCE_JUDGE)
    assert (thumbed.thumb, thumbed.source) == (feedback_pb2.THUMB_DOWN, feedback_pb2.FEEDBACK_SOURCE_USER)
    assert preferred.preference.other_attempt_id == "b"

    retraction = await naiad.call("retract_feedback", receipt)
    assert (retraction.feedback.feedback_id, retraction.feedback.score) == ("f1", 0.5)
    assert (retraction.feedback.thumb, retraction.effective_score) == (None, None)


@pytest.mark.parametrize("signals", [{}, {"score": 0.5, "thumb": "up"}, {"score": 0.5, "reaction": "edited"}])
async def test_feedback_has_exactly_one_signal(naiad: Face, fake: FakeNaiad, signals: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of score, thumb, preference and reaction"):
        await naiad.call("report_feedback", "d1", **signals)
    assert fake.seen == []


async def test_the_catalogue(naiad: Face, fake: FakeNaiad) -> None:
    model = Model(
        "acme/new", prices=Prices.per_million_tokens(input_usd=0.15, output_usd=0.6), capabilities=("vision",)
    )
    created = await naiad.call("create_model", model)
    assert (created.prices.output_nano_usd_per_million_tokens.usd, created.capabilities) == (0.6, ("vision",))
    assert created.context_window is None
    assert (await naiad.call("get_model", "acme/small")).revision == 3

    await naiad.call("update_model", "acme/new", disabled=False, prices=None, capabilities=(), revision=4)
    request = fake.requests("UpdateModel")[0]
    assert sorted(request.update_mask.paths) == ["capabilities", "disabled", "prices"]
    assert not request.model.HasField("prices")
    assert (request.model.name, request.model.revision) == ("acme/new", 4)
    with pytest.raises(TypeError, match="cannot change price;"):
        await naiad.call("update_model", "acme/new", price=3)
    with pytest.raises(TypeError, match="nothing to change"):
        await naiad.call("update_model", "acme/new")
    assert await naiad.call("delete_model", "acme/new", revision=2) is None
    assert fake.requests("DeleteModel")[0].revision == 2

    task_class = TaskClass("code.debug", features=(FeatureSpec(name="loc", low=1, high=900),))
    assert (await naiad.call("create_task_class", task_class)).features[0].high == 900
    assert (await naiad.call("get_task_class", "x.y")).name == "x.y"
    assert [t.name for t in await naiad.list("list_task_classes")] == ["code.debug"]
    changed = await naiad.call("update_task_class", "t", default_objective=Objective("quality_first", margin=0.0))
    assert (changed.default_objective.strategy, changed.default_objective.margin) == ("quality_first", 0.0)
    await naiad.call("delete_task_class", "t")
    assert len(fake.requests("DeleteTaskClass")) == 1


async def test_lists_fetch_all_pages_and_only_those_needed(naiad: Face, fake: FakeNaiad) -> None:
    models = await naiad.list("list_models", provider="acme", page_size=2)
    assert [m.name for m in models] == [f"acme/m{i}" for i in range(6)]
    sent = fake.requests("ListModels")
    assert [(r.page_token, r.page_size, r.provider) for r in sent] == [
        ("", 2, "acme"),
        ("1", 2, "acme"),
        ("2", 2, "acme"),
    ]
    items = naiad.client.list_models()
    assert len(fake.requests("ListModels")) == 3  # nothing is fetched before it is asked for
    if naiad.kind == "async":
        await anext(items)
        await items.aclose()
    else:
        next(items)
    assert len(fake.requests("ListModels")) == 4


async def test_insight(naiad: Face, fake: FakeNaiad) -> None:
    (arm,) = await naiad.list("list_arms", task_class="t")
    assert (arm.quality.mean, arm.latency_s.mean, arm.pulls, arm.last_pull_time) == (0.5, 0.25, 4, None)
    record = await naiad.call("get_decision", "d1")
    assert (record.decide_duration_s, record.objective.strategy) == (0.00015, "balanced")
    assert record.create_time == datetime.fromtimestamp(1_700_000_000, UTC)
    assert record.task_class_inference is None
    assert record.candidates[0].candidate.model == "acme/small"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    (summary,) = await naiad.list("list_decisions", start_time=start, workflow="w")
    assert (summary.cost_nano_usd, summary.effective_score) == (0, None)
    sent = fake.requests("ListDecisions")[0]
    assert (sent.start_time.seconds, sent.HasField("end_time")) == (int(start.timestamp()), False)
    with pytest.raises(ValueError, match="without a time zone"):
        await naiad.list("list_decisions", end_time=datetime(2026, 1, 1))


async def test_a_provider_s_models(naiad: Face, fake: FakeNaiad) -> None:
    found = await naiad.call("list_provider_models", "openai")
    (model,) = found
    assert (type(found), found.left_out) == (ProviderModels, 7)
    assert (model.name, model.context_window, model.max_output_tokens) == ("m", 5, None)
    assert (model.capabilities, model.retire_time, model.prices) == (("tools",), None, None)
    assert fake.requests("ListProviderModels")[0].endpoint_profile == "openai"


async def test_a_cost_report(naiad: Face, fake: FakeNaiad) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    found = await naiad.call("cost_report", group_by=["task_class", "day"], start_time=start, page_token="t")
    (row,) = found.rows
    assert (row.task_class, row.workflow, row.cost_nano_usd, row.adjustment_nano_usd) == ("t", "", 7, -2)
    assert (row.mean_score, row.period_start_time) == (None, None)
    assert (found.total.cost_nano_usd.usd, found.total.mean_score) == (0.00125, 0.0)
    assert (found.saving.baseline_model, found.saving.lower_nano_usd) == ("acme/large", -5)
    assert found.saving.quality_difference is None
    assert (found.start_time, found.end_time) == (datetime.fromtimestamp(1_700_000_000, UTC), None)
    assert found.next_page_token == "more"
    sent = fake.requests("GetCostReport")[0]
    assert (list(sent.group_by), sent.page_size, sent.page_token) == ([2, 5], 1_000, "t")
    assert (sent.start_time.seconds, sent.HasField("end_time")) == (int(start.timestamp()), False)
    with pytest.raises(ValueError, match="group_by is 'year'; it must be one of: workflow"):
        await naiad.call("cost_report", group_by=["year"])
    with pytest.raises(ValueError, match="without a time zone"):
        await naiad.call("cost_report", end_time=datetime(2026, 1, 1))


async def test_the_key_and_the_user_agent_go_with_every_call(naiad: Face, fake: FakeNaiad) -> None:
    await naiad.call("get_model", "acme/small")
    metadata = fake.seen[0].metadata
    assert metadata["authorization"] == "Bearer secret-key"
    assert str(metadata["user-agent"]).startswith("naiad-client-python/")
    assert "secret-key" not in repr(naiad.client)
    assert "secret-key" not in repr(naiad.client._settings)


# --- repetition --------------------------------------------------------------------------------------------


MUTATIONS: list[tuple[str, str, tuple[Any, ...], dict[str, Any]]] = [
    ("decide", "Decide", ("x",), {}),
    ("complete", "Complete", ("x",), {}),
    ("report_outcome", "ReportOutcome", ("d",), {}),
    ("report_feedback", "ReportFeedback", ("d", 0.5), {}),
    ("retract_feedback", "RetractFeedback", ("f",), {}),
    ("create_model", "CreateModel", (Model("a/b"),), {}),
    ("update_model", "UpdateModel", ("a/b",), {"disabled": True}),
    ("delete_model", "DeleteModel", ("a/b",), {}),
    ("create_task_class", "CreateTaskClass", (TaskClass("t"),), {}),
    ("update_task_class", "UpdateTaskClass", ("t",), {"description": "d"}),
    ("delete_task_class", "DeleteTaskClass", ("t",), {}),
]


@pytest.mark.parametrize(("method", "rpc", "args", "kwargs"), MUTATIONS, ids=[m[0] for m in MUTATIONS])
async def test_a_repeated_change_is_the_same_request(
    naiad: Face, fake: FakeNaiad, method: str, rpc: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    fake.fail(rpc, DOWN, DOWN)
    await naiad.call(method, *args, **kwargs)
    sent = fake.requests(rpc)
    assert len(sent) == 3
    assert sent[0] == sent[1] == sent[2]
    assert len(sent[0].request_id) == 32
    assert naiad.time.waits_s == [0.1, 0.2]
    await naiad.call(method, *args, **kwargs)
    assert fake.requests(rpc)[-1].request_id != sent[0].request_id


async def test_it_gives_up_after_so_many_attempts(naiad: Face, fake: FakeNaiad) -> None:
    busy = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", "ERROR_REASON_OVERLOADED", retry_after_s=0.0)
    fake.fail("GetModel", *[busy] * 9)
    with pytest.raises(ResourceExhausted, match="busy"):
        await naiad.call("get_model", "acme/small")
    assert len(fake.requests("GetModel")) == 4


async def test_it_waits_for_a_missing_server_and_gives_up_in_time(naiad: Face, fake: FakeNaiad) -> None:
    fake.fail("GetModel", *[DOWN] * 7)
    await naiad.call("get_model", "acme/small")
    assert len(fake.requests("GetModel")) == 8
    fake.fail("GetModel", *[DOWN] * 900)
    with pytest.raises(Unavailable, match="down"):
        await naiad.call("get_model", "acme/small", timeout_s=1_000.0)
    assert 8.0 < sum(naiad.time.waits_s[7:]) < 10.0


@pytest.mark.parametrize("code", [c for c in grpc.StatusCode if c is not grpc.StatusCode.OK])
async def test_only_unavailable_is_repeated(naiad: Face, fake: FakeNaiad, code: grpc.StatusCode) -> None:
    fake.fail("GetModel", Failure(code, "no"))
    if code is grpc.StatusCode.UNAVAILABLE:
        await naiad.call("get_model", "acme/small")
    else:
        with pytest.raises(ERRORS.get(code, NaiadError)) as caught:
            await naiad.call("get_model", "acme/small")
        assert (caught.value.code, caught.value.message) == (code, "no")
        assert naiad.time.waits_s == []
    assert len(fake.requests("GetModel")) == (2 if code is grpc.StatusCode.UNAVAILABLE else 1)


async def test_an_overloaded_server_is_given_the_time_it_asks_for(naiad: Face, fake: FakeNaiad) -> None:
    busy = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", "ERROR_REASON_OVERLOADED", retry_after_s=1.5)
    fake.fail("Decide", busy)
    await naiad.call("decide", "x")
    assert naiad.time.waits_s == [1.6]  # what it asks for, and the jitter on top
    assert len(fake.requests("Decide")) == 2


async def test_a_call_that_a_stopping_server_cut_is_repeated_by_its_request_id(naiad: Face, fake: FakeNaiad) -> None:
    fake.fail("Decide", Failure(grpc.StatusCode.CANCELLED, "Cancelled"))
    await naiad.call("decide", "x")
    first, second = fake.requests("Decide")
    assert first.request_id == second.request_id != ""


async def test_a_call_that_closing_the_client_cut_is_not_repeated(kind: str, fake: FakeNaiad) -> None:
    fake.gate["Decide"] = threading.Event()
    client: Any = AsyncClient(fake.target) if kind == "async" else Client(fake.target)

    async def decide() -> Any:
        return await client.decide("x") if kind == "async" else await asyncio.to_thread(client.decide, "x")

    deciding = asyncio.ensure_future(decide())
    await asyncio.to_thread(fake.wait_for, "Decide")
    await settle(client.close)
    with pytest.raises((Cancelled, asyncio.CancelledError)):
        await deciding
    fake.gate["Decide"].set()
    assert len(fake.requests("Decide")) == 1


async def test_nobody_waits_past_the_deadline(naiad: Face, fake: FakeNaiad) -> None:
    busy = Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", "ERROR_REASON_OVERLOADED", retry_after_s=3.0)
    fake.fail("Decide", busy)
    with pytest.raises(ResourceExhausted) as caught:
        await naiad.call("decide", "x", timeout_s=3.0)
    assert caught.value.retry_after_s == 3.0
    assert naiad.time.waits_s == []
    assert len(fake.requests("Decide")) == 1


async def test_each_attempt_gets_what_is_left_of_the_deadline(naiad: Face, fake: FakeNaiad) -> None:
    later = Failure(grpc.StatusCode.UNAVAILABLE, "draining", "ERROR_REASON_DRAINING", retry_after_s=20.0)
    fake.fail("Complete", later)
    await naiad.call("complete", "x", timeout_s=59.9)  # gRPC may round what it sends up, by a tenth of a second here
    first, second = (seen.left_s for seen in fake.seen)
    assert first is not None
    assert second is not None
    assert 30.0 < first <= 60.0
    assert second <= 40.0


async def test_defaults_of_the_client_and_of_the_call(kind: str, fake: FakeNaiad) -> None:
    async with connected(kind, fake.target, timeouts=Timeouts(decide_s=49.9, catalog_s=float("inf"))) as naiad:
        await naiad.call("decide", "x")
        await naiad.call("decide", "x", timeout_s=500.0)
        await naiad.call("get_model", "acme/small")
    first, second, third = (seen.left_s for seen in fake.seen)
    assert first is not None
    assert first <= 50.0
    assert second is not None
    assert second > 50.0
    assert third is None or third > 1e6


async def test_a_deadline_that_has_passed_sends_nothing(naiad: Face, fake: FakeNaiad) -> None:
    with pytest.raises(DeadlineExceeded, match="before the call"):
        await naiad.call("decide", "x", timeout_s=0.0)
    with pytest.raises(ValueError, match="NaN"):
        await naiad.call("decide", "x", timeout_s=float("nan"))
    assert fake.seen == []


async def test_a_slow_server_ends_in_deadline_exceeded(naiad: Face, fake: FakeNaiad) -> None:
    fake.gate["Decide"] = threading.Event()
    with pytest.raises(DeadlineExceeded) as caught:
        await naiad.call("decide", "x", timeout_s=0.2, request_id="mine")
    assert caught.value.request_id == "mine"
    assert len(fake.requests("Decide")) <= 1  # a slow machine may not even have connected


async def test_repetition_can_be_switched_off(kind: str, fake: FakeNaiad) -> None:
    fake.fail("GetModel", DOWN)
    async with connected(kind, fake.target, retry=RetryPolicy(max_attempts=1)) as naiad:
        with pytest.raises(Unavailable):
            await naiad.call("get_model", "acme/small")
    assert len(fake.seen) == 1


def test_a_second_event_loop_is_refused_clearly(fake: FakeNaiad) -> None:
    client = AsyncClient(fake.target)

    async def use() -> None:
        await client.get_model("acme/small")

    async def leave() -> None:
        await client.close()

    with asyncio.Runner() as home:
        home.run(use())
        for other in (use, leave):
            with asyncio.Runner() as stranger, pytest.raises(RuntimeError, match="belongs to the event loop"):
                stranger.run(other())
        home.run(use())
        home.run(leave())


async def test_nobody_listens(kind: str) -> None:
    async with connected(kind, "127.0.0.1:1") as naiad:
        with pytest.raises(Unavailable) as caught:
            await naiad.call("get_model", "acme/small")
        assert len(naiad.time.waits_s) > 3
    async with connected(kind, "127.0.0.1:1", retry=RetryPolicy(reconnect_s=0.0)) as naiad:
        with pytest.raises(Unavailable):
            await naiad.call("get_model", "acme/small")
        assert len(naiad.time.waits_s) == 3
        assert (caught.value.reason, caught.value.error_reason) == ("", None)


# --- errors ------------------------------------------------------------------------------------------------


async def test_an_error_carries_its_facts(naiad: Face, fake: FakeNaiad) -> None:
    failure = Failure(
        grpc.StatusCode.INVALID_ARGUMENT,
        "score is 2; it must be from 0 to 1",
        "ERROR_REASON_NUMBER_OUT_OF_RANGE",
        {"field": "score", "value": "2"},
        fields={"score": "must be from 0 to 1"},
    )
    fake.fail("ReportFeedback", failure)
    with pytest.raises(InvalidArgument) as caught:
        await naiad.call("report_feedback", "d", 2.0, comment="PRIVATE REMARK")
    error = caught.value
    assert error.reason == "ERROR_REASON_NUMBER_OUT_OF_RANGE"
    assert error.error_reason == ErrorReason.ERROR_REASON_NUMBER_OUT_OF_RANGE
    assert error.metadata == {"field": "score", "value": "2"}
    assert error.field_violations == (FieldViolation("score", "must be from 0 to 1"),)
    assert error.request_id == fake.requests("ReportFeedback")[0].request_id
    assert error.retry_after_s is None
    assert str(error) == "NUMBER_OUT_OF_RANGE: score is 2; it must be from 0 to 1"
    assert repr(error).startswith("InvalidArgument('score is 2;")
    assert "PRIVATE" not in repr(error)
    assert "secret-key" not in repr(error) + str(error.__cause__)
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301
        assert repr(twin) == repr(error)


async def test_no_eligible_model_says_why(naiad: Face, fake: FakeNaiad) -> None:
    why = decision_pb2.Exclusion(model="a/b", reason=decision_pb2.EXCLUSION_REASON_DISABLED, detail="disabled")
    detail = error_pb2.NoEligibleModelDetail(excluded=[why])
    code, reason = grpc.StatusCode.FAILED_PRECONDITION, "ERROR_REASON_NO_ELIGIBLE_MODEL"
    fake.fail("Decide", Failure(code, "none", reason, details=(detail,)))
    with pytest.raises(NoEligibleModel) as caught:
        await naiad.call("decide", "x")
    assert [(e.model, e.reason, e.detail) for e in caught.value.excluded] == [("a/b", "disabled", "disabled")]
    assert pickle.loads(pickle.dumps(caught.value)).excluded == caught.value.excluded  # noqa: S301


@pytest.mark.parametrize(("retry_after_s", "calls"), [(None, 1), (0.5, 2)])
async def test_failed_providers_are_called_again_only_when_one_named_a_time(
    naiad: Face, fake: FakeNaiad, retry_after_s: float | None, calls: int
) -> None:
    detail = error_pb2.AttemptsFailedDetail(decision_id="d", attempts=[decision_pb2.Attempt(model="a/b")])
    code, reason = grpc.StatusCode.UNAVAILABLE, "ERROR_REASON_ALL_ATTEMPTS_FAILED"
    failure = Failure(code, "all failed", reason, retry_after_s=retry_after_s, details=(detail,))
    fake.fail("Complete", *[failure] * calls)
    policy = RetryPolicy(max_attempts=calls)
    async with connected(naiad.kind, fake.target, retry=policy if calls > 1 else None) as again:
        with pytest.raises(Unavailable) as caught:
            await again.call("complete", "x")
    assert [a.model for a in caught.value.attempts] == ["a/b"]
    assert len(fake.requests("Complete")) == calls


async def test_details_that_cannot_be_read_are_left_out(naiad: Face, fake: FakeNaiad) -> None:
    class Garbled(Failure):
        def trailers(self) -> tuple[tuple[str, bytes], ...]:
            return (("grpc-status-details-bin", b"\xff\xff\xff"),)

    fake.fail("GetModel", Garbled(grpc.StatusCode.NOT_FOUND, "gone"))
    with pytest.raises(NotFound, match="gone") as caught:
        await naiad.call("get_model", "acme/small")
    assert (caught.value.reason, caught.value.metadata) == ("", {})


async def test_a_reason_newer_than_the_client_is_kept(naiad: Face, fake: FakeNaiad) -> None:
    fake.fail("GetModel", Failure(grpc.StatusCode.UNIMPLEMENTED, "new", "ERROR_REASON_OF_TOMORROW"))
    with pytest.raises(Unimplemented) as caught:
        await naiad.call("get_model", "acme/small")
    assert (caught.value.reason, caught.value.error_reason) == ("ERROR_REASON_OF_TOMORROW", None)


async def test_a_list_that_would_never_end_is_an_error(
    naiad: Face, fake: FakeNaiad, monkeypatch: pytest.MonkeyPatch
) -> None:
    from naiad.v1 import catalog_service_pb2
    from tests.client import fake as module

    endless = catalog_service_pb2.ListModelsResponse(next_page_token="again")
    monkeypatch.setitem(module.REPLIES, "ListModels", lambda fake, request: endless)
    with pytest.raises(Internal, match="never end"):
        await naiad.list("list_models")
    assert len(fake.seen) == 2


async def test_a_closed_client_says_so(kind: str, fake: FakeNaiad) -> None:
    async with connected(kind, fake.target) as naiad:
        await naiad.call("get_model", "acme/small")
    with pytest.raises(RuntimeError, match="is closed"):
        await naiad.call("get_model", "acme/small")
    assert "closed" in repr(naiad.client)
    assert len(fake.seen) == 1


async def test_arguments_that_cannot_be_sent_are_refused_here(naiad: Face, fake: FakeNaiad) -> None:
    with pytest.raises(ValueError, match=r"strategy is 'cheapest'; it must be one of: balanced, cost_optimized"):
        await naiad.call("decide", "x", objective="cheapest")
    with pytest.raises(ValueError, match="role is 'robot'"):
        await naiad.call("decide", [("robot", "x")])
    with pytest.raises(TypeError, match=r"messages\[0\] is a str") as caught:
        await naiad.call("decide", ["SECRET"])
    assert "SECRET" not in str(caught.value)
    with pytest.raises(TypeError, match="sequences of names"):
        await naiad.call("decide", "x", allowed_models="acme/small")
    with pytest.raises(ValueError, match="source is 'me'"):
        await naiad.call("report_feedback", "d", 0.5, source="me")
    assert fake.seen == []
