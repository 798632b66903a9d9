"""Refusals that are returned, and refusals that are routed around: over scripted providers, whole and as a stream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from naiad.adapters.base import FinishReason, TextDelta
from naiad.adapters.errors import Overloaded, Truncated
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.server.sections import ConfigError
from naiad.v1 import (
    catalog_service_pb2,
    decision_pb2,
    feedback_service_pb2,
    insight_service_pb2,
    objective_pb2,
    router_service_pb2,
)
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.server.test_completion import Running
from tests.server.test_completion_budget import budget, standing
from tests.server.test_streaming import FAST, kinds, stream, text_of

NO = reply("I would rather not. ", finish=FinishReason.REFUSAL)
NEVER = reply("That I will not. ", finish=FinishReason.REFUSAL)
FILTERED = reply("", finish=FinishReason.CONTENT_FILTER, output_tokens=0)
GOOD = reply("Paris. ")
BUSY = Fail(Overloaded("busy", provider="b", model="m", retry_after_s=9.0))
CUT = Fail(Truncated("cut", provider="b", model="m"), deltas=(TextDelta("half "),))
HANG = reply("late", delay_s=3_600.0)
CODES = decision_pb2.NoticeCode
LISTED: dict[str, Any] = {"strategy": "fallback", "primary": "a/m", "fallbacks": ["b/m", "c/m"]}
RETURN = {"on_refusal": objective_pb2.REFUSAL_ACTION_RETURN}
NEXT = {"on_refusal": objective_pb2.REFUSAL_ACTION_NEXT}
Start = Callable[..., Any]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts a server over a, b and c, which are asked in this order."""

    @asynccontextmanager
    async def start(
        *scripts: Step, on_refusal: str = "next", path: str = ":memory:", **more: Any
    ) -> AsyncIterator[Running]:
        adapters = {p: Scripted([step], provider=p, loop=True) for p, step in zip("abc", scripts, strict=False)}
        monkeypatch.setattr(providers, "build", lambda profiles: dict(adapters))
        models = [
            {"name": f"{p}/m", "endpoint": p, "input_usd_per_million": 1.0, "output_usd_per_million": 1.0,
             "capabilities": ["streaming"]}
            for p in "abc"
        ]  # fmt: skip
        said = {"on_refusal": on_refusal} if on_refusal else {}
        data: dict[str, Any] = {
            "server": {"listen": "127.0.0.1:0", "drain_s": 5.0}, "storage": {"path": path},
            "endpoints": {p: {"kind": "echo"} for p in "abc"}, "models": models, "policy": LISTED | said,
        }  # fmt: skip
        served = await Server.start(parse(data | more, "test"))
        async with grpc.aio.insecure_channel(served.address) as channel:
            try:
                yield Running(served, channel, adapters)
            finally:
                await served.stop()

    return start


def text(response: router_service_pb2.CompleteResponse) -> str:
    return "".join(part.text for part in response.answer.parts)


def notices(response: router_service_pb2.CompleteResponse) -> dict[int, Any]:
    return {notice.code: notice for notice in response.notices}


async def record(now: Running, decision_id: str) -> Any:
    request = insight_service_pb2.GetDecisionRequest(decision_id=decision_id)
    return (await InsightServiceStub(now.channel).GetDecision(request)).decision


# -- whole -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["", "return"])
async def test_a_refusal_is_returned_unless_the_policy_says_otherwise(running: Start, said: str) -> None:
    async with running(NO, GOOD, GOOD, on_refusal=said) as now:
        answer = await now.complete()
        assert (answer.model, text(answer), answer.finish_reason) == ("a/m", "I would rather not. ", 5)
        assert (now.calls(), CODES.NOTICE_CODE_REFUSED in notices(answer)) == (1, False)
        known = await record(now, answer.decision_id)
        assert known.objective.on_refusal == objective_pb2.REFUSAL_ACTION_RETURN


@pytest.mark.parametrize(("refusal", "finish"), [(NO, 5), (FILTERED, 4)], ids=["refusal", "content filter"])
async def test_a_refusal_is_routed_around_and_stays_the_attempt_it_was(
    running: Start, refusal: Reply, finish: int
) -> None:
    async with running(refusal, GOOD, GOOD) as now:
        answer = await now.complete()
        assert (answer.model, text(answer), answer.finish_reason, answer.attempt_id) == ("b/m", "Paris. ", 1, "2")
        declined, given = answer.attempts
        assert (declined.model, declined.finish_reason, declined.HasField("error")) == ("a/m", finish, False)
        assert declined.cost.total_nano_usd > 0, "a refusal is billed"
        assert answer.total_cost_nano_usd == declined.cost.total_nano_usd + given.cost.total_nano_usd
        assert answer.usage == given.usage
        told = notices(answer)
        assert told[CODES.NOTICE_CODE_REFUSED].metadata == {"refused": "a/m", "model": "b/m"}
        assert told[CODES.NOTICE_CODE_FALLBACK].message == "a/m refused; b/m answered"
        assert (len(now.adapters["a"].calls), len(now.adapters["b"].calls)) == (1, 1), "a refusal is not asked again"
        arms = await now.arms()
        assert (arms["a/m"].failures, arms["a/m"].quality.effective_observations) == (0, 0.0)
        assert arms["a/m"].latency_s.effective_observations == pytest.approx(1.0)
        known = await record(now, answer.decision_id)
        assert [(a.model, a.finish_reason) for a in known.attempts] == [("a/m", finish), ("b/m", 1)]
        assert known.objective.on_refusal == objective_pb2.REFUSAL_ACTION_NEXT


async def test_where_everybody_refuses_the_first_refusal_is_the_answer(running: Start) -> None:
    async with running(NO, NEVER, FILTERED) as now:
        await now.complete()  # creates the task class, of which it is told
        answer = await now.complete()
        assert (answer.model, text(answer), answer.finish_reason) == ("a/m", "I would rather not. ", 5)
        assert (answer.attempt_id, [a.model for a in answer.attempts]) == ("1", ["a/m", "b/m", "c/m"])
        assert answer.usage == answer.attempts[0].usage
        assert answer.cost == answer.attempts[0].cost
        told = notices(answer)
        assert set(told) == {CODES.NOTICE_CODE_REFUSED}
        assert told[CODES.NOTICE_CODE_REFUSED].metadata == {"refused": "a/m,b/m,c/m", "model": "a/m"}


@pytest.mark.parametrize("others", [(BUSY, BUSY), (BUSY, NEVER), (NEVER, BUSY)], ids=["fail", "mixed", "mixed-2"])
async def test_a_refusal_is_a_better_answer_than_an_error(running: Start, others: tuple[Step, Step]) -> None:
    async with running(NO, *others) as now:
        answer = await now.complete()
        assert (answer.model, text(answer), len(answer.attempts)) == ("a/m", "I would rather not. ", 3)


async def test_a_fallback_that_refuses_is_named(running: Start) -> None:
    async with running(BUSY, NO, NEVER) as now:
        answer = await now.complete()
        assert (answer.model, answer.attempt_id, text(answer)) == ("b/m", "2", "I would rather not. ")
        assert notices(answer)[CODES.NOTICE_CODE_FALLBACK].message == "a/m failed; b/m refused"


async def test_attempts_and_costs_are_bounded_as_ever(running: Start) -> None:
    async with running(NO, NEVER, GOOD) as now:
        one = await now.complete(max_attempts=1)
        assert (one.model, len(one.attempts), now.calls()) == ("a/m", 1, 1)
        two = await now.complete(max_attempts=2)
        assert (two.model, len(two.attempts)) == ("a/m", 2)
        spent = one.total_cost_nano_usd
        least = await now.complete(max_cost_nano_usd=spent + 1, max_output_tokens=1)
        assert least.model == "a/m", "what was spent on a refusal counts"
        assert len(least.attempts) == 1


async def test_a_deadline_that_ends_on_the_way_around_ends_in_the_refusal(running: Start) -> None:
    server = {"listen": "127.0.0.1:0", "drain_s": 5.0, "longest_deadline_s": 1.0}  # and the caller would wait for 20
    async with running(NO, HANG, HANG, server=server) as now:
        began = time.monotonic()
        answer = await now.complete()
        assert 0.8 < time.monotonic() - began < 10.0
        assert (answer.model, text(answer), answer.finish_reason) == ("a/m", "I would rather not. ", 5)
        assert answer.attempts[1].error.kind == 1, "the other ran out of time"


async def test_budgets_pay_for_refusals(running: Start) -> None:
    async with running(NO, GOOD, GOOD) as now:
        await budget(now, 1_000_000)
        answer = await now.complete(max_output_tokens=100)
        assert answer.model == "b/m"
        assert await standing(now) == (answer.total_cost_nano_usd, 0)
        spent = sum(a.cost.total_nano_usd for a in answer.attempts)
        assert answer.total_cost_nano_usd == spent > answer.cost.total_nano_usd
    async with running(NO, GOOD, GOOD) as now:
        await budget(now, 115_000)
        answer = await now.complete(max_output_tokens=100)
        assert (answer.model, len(answer.attempts)) == ("a/m", 1), "what is left does not pay for another"


# -- who says so -------------------------------------------------------------------------------------------------------


async def test_task_classes_and_workflows_say_for_themselves(running: Start) -> None:
    classes = [
        {"name": "t", "objective": {"on_refusal": "next"}},
        {"name": "careful", "objective": {"on_refusal": "return"}},
    ]
    flows = [{"name": "w", "objective": {"on_refusal": "next"}}]
    async with running(NO, GOOD, GOOD, on_refusal="", task_classes=classes, workflows=flows) as now:
        assert (await now.complete()).model == "b/m"

        async def of(task_class: str, workflow: str) -> str:
            request = router_service_pb2.CompleteRequest(
                task_class=task_class, workflow=workflow, messages=[{"role": 2, "parts": [{"text": "hello"}]}]
            )
            return str((await RouterServiceStub(now.channel).Complete(request)).model)

        assert await of("other", "") == "a/m", "the policy says nothing, so it is returned"
        assert await of("other", "w") == "b/m"
        assert await of("careful", "w") == "a/m", "the task class says more than the workflow"


async def test_a_request_may_only_be_stricter(running: Start) -> None:
    async with running(NO, GOOD, GOOD) as now:
        assert (await now.complete(objective=RETURN)).model == "a/m"
        assert (await now.complete(objective=NEXT)).model == "b/m", "which is no departure"
    async with running(NO, GOOD, GOOD, on_refusal="return") as now:
        assert (await now.complete(objective=RETURN)).model == "a/m"
        refusal = await now.refused(objective=NEXT)
        assert (refusal.reason, refusal.metadata["value"]) == ("OBJECTIVE_NOT_ALLOWED", "REFUSAL_ACTION_NEXT")
        assert now.calls() == 1


async def test_what_is_not_allowed_creates_no_task_class(running: Start) -> None:
    async with running(NO, GOOD, GOOD, on_refusal="") as now:
        assert (await now.refused(objective=NEXT)).reason == "OBJECTIVE_NOT_ALLOWED"
        listed = await CatalogServiceStub(now.channel).ListTaskClasses(catalog_service_pb2.ListTaskClassesRequest())
        assert "t" not in {c.name for c in listed.task_classes}


async def test_a_task_class_can_be_told_while_the_server_runs(running: Start) -> None:
    async with running(NO, GOOD, GOOD, on_refusal="") as now:
        stub = CatalogServiceStub(now.channel)
        assert (await now.complete()).model == "a/m"
        for action, model in ((NEXT, "b/m"), (RETURN, "a/m"), (NEXT, "b/m"), ({}, "a/m")):
            update = catalog_service_pb2.UpdateTaskClassRequest(task_class={"name": "t", "default_objective": action})
            update.update_mask.paths.append("default_objective.on_refusal")
            changed = (await stub.UpdateTaskClass(update)).task_class
            assert changed.default_objective.on_refusal == action.get("on_refusal", 0)
            assert (await now.complete()).model == model


def test_a_word_that_is_none_is_an_error_of_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"policy.on_refusal is 'nxt'; did you mean 'next'\?"):
        parse({"policy": {"on_refusal": "nxt"}}, "test")


# -- the same again ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scripts", "model", "calls"), [((NO, GOOD, GOOD), "b/m", 2), ((NO, NEVER, NEVER), "a/m", 3)])
async def test_a_repeated_request_gets_the_same_answer(
    running: Start, tmp_path: Path, scripts: tuple[Step, ...], model: str, calls: int
) -> None:
    path = str(tmp_path / "naiad.db")
    async with running(*scripts, path=path) as now:
        first = await now.complete(request_id="r")
        again = await now.complete(request_id="r")
        assert (first.model, first, now.calls()) == (model, again, calls)
        assert len((await record(now, first.decision_id)).attempts) == calls, "each is on record, and once"
    async with running(*scripts, path=path) as now:
        assert (await now.refused(request_id="r")).reason == "REPLY_NOT_AVAILABLE", "it is known to have been answered"
        assert now.calls() == 0


async def test_kept_answers_are_apart_by_what_becomes_of_refusals(running: Start) -> None:
    classes = [{"name": "t", "cache_s": 60.0}]
    async with running(NO, GOOD, GOOD, task_classes=classes) as now:
        first = await now.complete()
        kept = await now.complete()
        assert (first.model, kept.model, text(kept), now.calls()) == ("b/m", "b/m", "Paris. ", 2)
        strict = await now.complete(objective=RETURN)
        assert (strict.model, strict.finish_reason) == ("a/m", 5), (
            "who takes refusals is not given what went around one"
        )


async def test_a_judgement_that_names_no_attempt_is_of_the_answer(running: Start) -> None:
    for scripts, attempt in (((NO, GOOD, GOOD), "2"), ((NO, NEVER, NEVER), "1")):
        async with running(*scripts) as now:
            answer = await now.complete()
            request = feedback_service_pb2.ReportFeedbackRequest(
                decision_id=answer.decision_id, source="FEEDBACK_SOURCE_HUMAN", score=0.75
            )
            await FeedbackServiceStub(now.channel).ReportFeedback(request)
            (given,) = (await record(now, answer.decision_id)).feedback
            assert given.attempt_id == answer.attempt_id == attempt
            assert (await now.arms())[answer.model].quality.effective_observations > 0


# -- streams -----------------------------------------------------------------------------------------------------------


def restarts(events: list[Any]) -> list[tuple[str, int, str]]:
    """Return, of each restart, which model was taken back, how that one ended, and who goes on."""
    again = [e.restarted for e in events if e.WhichOneof("event") == "restarted"]
    return [(e.failed.model, e.failed.finish_reason, e.model) for e in again]


async def test_a_refusal_that_was_read_already_is_taken_back(running: Start) -> None:
    async with running(NO, GOOD, GOOD) as now:
        events = await stream(now)
        assert (events[0].started.model, restarts(events)) == ("a/m", [("a/m", 5, "b/m")])
        assert text_of(events) == "Paris. " == text(events[-1].completed.response)
        assert events[-1].completed.response.model == "b/m"


async def test_a_refusal_before_any_text_leaves_no_trace_in_the_stream(running: Start) -> None:
    async with running(FILTERED, FILTERED, GOOD) as now:
        events = await stream(now)
        assert kinds(events) == ["started", "text_delta", "completed"]
        whole = events[-1].completed.response
        begun = events[0].started
        assert (begun.model, begun.attempt_id, begun.decision_id) == ("c/m", "3", whole.decision_id)
        assert [a.finish_reason for a in whole.attempts] == [4, 4, 1], "but in its facts"


CASES: list[tuple[tuple[Step, Step, Step], list[str], list[tuple[str, int, str]], str]] = [
    (
        (NO, NEVER, NEVER), ["a/m", "b/m", "c/m", "a/m"],
        [("a/m", 5, "b/m"), ("b/m", 5, "c/m"), ("c/m", 5, "a/m")], "I would rather not. ",
    ),
    ((FILTERED, FILTERED, FILTERED), ["a/m"], [], ""),
    ((FILTERED, NEVER, FILTERED), ["b/m", "a/m"], [("b/m", 5, "a/m")], ""),
    ((NO, FILTERED, FILTERED), ["a/m"], [], "I would rather not. "),
    ((NO, BUSY, BUSY), ["a/m", "b/m", "a/m"], [("a/m", 5, "b/m"), ("b/m", 0, "a/m")], "I would rather not. "),
    ((CUT, FILTERED, GOOD), ["a/m", "c/m"], [("a/m", 0, "c/m")], "Paris. "),
    ((BUSY, NO, GOOD), ["a/m", "b/m", "c/m"], [("a/m", 0, "b/m"), ("b/m", 5, "c/m")], "Paris. "),
]  # fmt: skip


@pytest.mark.parametrize(("scripts", "speakers", "taken_back", "said"), CASES)
async def test_what_a_reader_has_in_the_end_is_the_answer_of_the_model_named(
    running: Start, scripts: tuple[Step, ...], speakers: list[str], taken_back: Any, said: str
) -> None:
    async with running(*scripts) as now:
        events = await stream(now)
        whole = events[-1].completed.response
        assert kinds(events)[0] == "started"
        assert kinds(events).count("started") == 1
        assert [events[0].started.model, *(model for _, _, model in restarts(events))] == speakers
        assert restarts(events) == taken_back
        assert text_of(events) == said == text(whole)
        assert speakers[-1] == whole.model
        last = [e for e in events if e.WhichOneof("event") in ("started", "restarted")][-1]
        named = last.started if last.WhichOneof("event") == "started" else last.restarted
        assert named.attempt_id == whole.attempt_id


async def test_who_takes_nothing_back_gets_the_refusal(running: Start) -> None:
    async with running(NO, GOOD, GOOD) as now:
        events = await stream(now, failure_mode=FAST)
        assert (events[-1].completed.response.model, text_of(events)) == ("a/m", "I would rather not. ")
        assert now.calls() == 1
    async with running(FILTERED, GOOD, GOOD) as now:
        assert text_of(await stream(now, failure_mode=FAST)) == "Paris. ", "nothing was said that would be taken back"


async def test_a_stream_begins_at_once_where_refusals_are_returned(running: Start) -> None:
    async with running(FILTERED, GOOD, GOOD, on_refusal="return") as now:
        events = await stream(now)
        assert kinds(events) == ["started", "completed"]
        assert events[-1].completed.response.model == "a/m"


async def test_a_repeated_stream_gets_the_answer_alone(running: Start) -> None:
    async with running(NO, GOOD, GOOD) as now:
        await stream(now, request_id="r")
        events = await stream(now, request_id="r")
        assert kinds(events) == ["started", "text_delta", "completed"]
        assert (events[0].started.model, text_of(events), now.calls()) == ("b/m", "Paris. ", 2)
