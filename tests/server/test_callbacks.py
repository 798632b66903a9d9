"""A cascade whose check is a callback, through a whole server: what it decides and teaches, and what it never sees."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
import msgspec
import pytest
import structlog

from naiad.adapters.base import FinishReason
from naiad.server.callback import Question
from naiad.server.egress import Kind, NotPermitted
from naiad.server.eligibility import Permit, Reason
from naiad.server.governance import Claims
from naiad.server.records import Check
from naiad.v1 import catalog_service_pb2, decision_pb2, router_service_pb2
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from naiad.v1.check_service_pb2 import CheckAnswerRequest, CheckAnswerResponse
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Step, reply
from tests.e2e.live import Refusal, refusal_of
from tests.server.answering import NO, YES, Reviewer, Say, answering, ends_with, never
from tests.server.builders import query
from tests.server.test_callback_channel import free_port
from tests.server.test_completion import until
from tests.server.test_composing import BUSY, MESSAGES, NEVER, Running, cascade, serve, text
from tests.server.test_composites import ALL, world
from tests.server.test_composites import cascade as cascade_of

PROMPT = MESSAGES[0]["parts"][0]["text"]  # type: ignore[index]
ANSWERS: dict[str, list[Step]] = {"a": [reply("from a")], "b": [reply("from b")], "c": [reply("from c")]}


class Start:
    """Starts servers with a cascade whose check is a callback; `reviewer` is behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._serve = partial(serve, monkeypatch)
        self.reviewer = Reviewer()

    @asynccontextmanager
    async def __call__(
        self, say: Say = YES, /, *, on_error: str = "escalate", config: dict[str, Any] | None = None,
        callback: dict[str, Any] | None = None, **scripts: list[Step],
    ) -> AsyncIterator[Running]:  # fmt: skip
        """Serve the callback and Naiad; callback: keys of its section."""
        self.reviewer.say = say
        async with answering(self.reviewer) as port:
            section = {"address": f"127.0.0.1:{port}", "tls": False, "private": True, "timeout_s": 5.0}
            data = {"callbacks": {"taste": section | (callback or {})}} | (config or {})
            made = cascade(callback="taste", on_error=on_error)
            async with self._serve(made, data, **(ANSWERS | scripts)) as now:
                yield now


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return what starts servers."""
    return Start(monkeypatch)


def likes(word: str) -> Say:
    """Return what accepts answers with a word."""

    async def say(request: CheckAnswerRequest, context: Any) -> CheckAnswerResponse:
        return CheckAnswerResponse(accepted=word in request.answer, reason=f"I want {word}")

    return say


def checks(answer: router_service_pb2.CompleteResponse) -> list[tuple[str, bool, float | None, str]]:
    """Return what the check made of each answer: model, passed, score, failure."""
    models = {attempt.attempt_id: attempt.model for attempt in answer.attempts}
    return [
        (models[one.attempt_id], one.passed, one.score if one.HasField("score") else None, one.failure)
        for one in answer.attempts[-1].checks
    ]


def told(answer: router_service_pb2.CompleteResponse) -> str:
    """Return the notices of an answer."""
    return "; ".join(notice.message for notice in answer.notices)


# -- what it decides ---------------------------------------------------------------------------------------------------


async def test_the_first_answer_that_it_accepts_is_returned_and_its_verdicts_are_feedback(start: Start) -> None:
    async with start(likes("b")) as now:
        answer = await now.complete(request_id="mine", workflow="w")
        assert text(answer) == "from b"
        assert now.called() == "ab"
        assert checks(answer) == [("a/m", False, 0.0, ""), ("b/m", True, 1.0, "")]
        assert {one.checked_by for one in answer.attempts[-1].checks} == {"callback:taste"}
        record = await now.record(answer.decision_id)
        assert {(f.attempt_id, f.source, f.rater_id, f.score, f.comment) for f in record.feedback} == {
            (answer.attempts[0].attempt_id, 3, "callback:taste", 0.0, "I want b"),
            (answer.attempts[1].attempt_id, 3, "callback:taste", 1.0, "I want b"),
        }
        assert list(record.attempts[-1].checks) == list(answer.attempts[-1].checks), "explain tells it too"
        arms = await now.arms()
        assert arms["a/m"].quality.mean < arms["b/m"].quality.mean
    first, second = start.reviewer.asked
    assert (first.decision_id, first.attempt_id) == (answer.decision_id, answer.attempts[0].attempt_id)
    assert (first.task_class, first.workflow, first.request_id) == ("t", "w", "mine")
    assert (first.model, second.model, first.cascade) == ("a/m", "b/m", "team/e")
    assert (first.answer, second.answer) == ("from a", "from b")
    assert list(first.messages) == []


async def test_a_score_is_the_value_of_the_feedback_and_does_not_decide(start: Start) -> None:
    async with start(CheckAnswerResponse(accepted=True, score=0.125)) as now:
        answer = await now.complete()
        assert now.called() == "a"
        assert checks(answer) == [("a/m", True, 0.125, "")]
        (said,) = (await now.record(answer.decision_id)).feedback
        assert said.score == 0.125


async def test_the_last_answer_is_returned_whatever_it_says_and_is_judged_too(start: Start) -> None:
    async with start(NO) as now:
        answer = await now.complete()
        assert text(answer) == "from c"
        assert checks(answer) == [(f"{p}/m", False, 0.0, "") for p in "abc"]
        assert "no answer passed the check" in told(answer)


async def test_an_answer_that_was_cut_off_does_not_pass_and_a_refusal_is_not_asked_about(start: Start) -> None:
    cut = reply("from a", finish=FinishReason.LENGTH)
    async with start(YES, a=[cut], b=[reply("no", finish=FinishReason.REFUSAL)]) as now:
        answer = await now.complete()
        assert text(answer) == "no"
        assert checks(answer) == [("a/m", False, 1.0, "")]
    assert [asked.finish_reason for asked in start.reviewer.asked] == [2]


async def test_a_stream_is_checked_before_any_of_it_is_sent(start: Start) -> None:
    async with start(likes("b")) as now:
        request = router_service_pb2.StreamCompleteRequest(task_class="t", messages=MESSAGES, allowed_models=["team/e"])
        events = [event async for event in RouterServiceStub(now.channel).StreamComplete(request, timeout=20.0)]
        assert "".join(event.text_delta.text for event in events) == "from b"
        assert checks(events[-1].completed.response)[-1] == ("b/m", True, 1.0, "")


# -- when it fails -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "failure"),
    [
        (ends_with(grpc.StatusCode.INTERNAL, PROMPT), "error"),
        (ends_with(grpc.StatusCode.UNIMPLEMENTED), "unimplemented"),
        (b"garbage", "invalid_reply"),
        (CheckAnswerResponse(accepted=True, score=float("nan")), "invalid_reply"),
        (never, "timeout"),
    ],
)
async def test_a_failure_does_as_the_configuration_says_teaches_nothing_and_is_told(
    start: Start, said: Say, failure: str
) -> None:
    for on_error, words, last in (("escalate", "counts as rejected", "c"), ("accept", "accepted unchecked", "a")):
        callback = {"timeout_s": 0.2} if said is never else None
        with structlog.testing.capture_logs() as logged:
            async with start(said, on_error=on_error, callback=callback) as now:
                answer = await now.complete()
                assert text(answer) == f"from {last}"
                asked = "abc"[: "abc".index(last) + 1]
                assert checks(answer) == [(f"{p}/m", on_error == "accept", None, failure) for p in asked]
                assert told(answer).count(words) == len(asked)
                assert failure.replace("_", " ") in told(answer)
                notices = [n for n in answer.notices if n.code == decision_pb2.NOTICE_CODE_NO_VERDICT]
                facts = {"model": "team/e", "checked_by": "callback:taste", "failure": failure}
                fate = facts | {"passed": str(on_error == "accept").lower()}
                assert [n.metadata["attempt_id"] for n in notices] == [c.attempt_id for c in answer.attempts[-1].checks]
                assert all(dict(n.metadata).items() >= fate.items() for n in notices)
                assert not (await now.record(answer.decision_id)).feedback, "nothing is learned"
        events = [entry for entry in logged if entry["event"] == "callback_failed"]
        assert [entry["failure"] for entry in events] == [failure] * len(asked)
        assert PROMPT not in str(events)


async def test_an_answer_that_was_cut_off_is_not_accepted_unchecked(start: Start) -> None:
    cut = reply("from a", finish=FinishReason.LENGTH)
    async with start(b"garbage", on_error="accept", a=[cut]) as now:
        assert text(await now.complete()) == "from b"


async def test_a_dead_one_costs_little_and_is_used_again_when_it_is_back(start: Start) -> None:
    dead = free_port()
    async with start(callback={"address": f"127.0.0.1:{dead}"}) as now:
        for _ in range(2):
            assert text(await now.complete()) == "from c"
        began_s = time.monotonic()
        resting = await now.complete()
        assert [failure for *_, failure in checks(resting)] == ["resting"] * 3
        assert time.monotonic() - began_s < 1.0
        async with answering(start.reviewer, dead):

            async def accepted() -> bool:
                return text(await now.complete()) == "from a"

            await until(accepted)


async def test_the_deadline_holds_while_it_is_slow_and_an_answer_that_is_there_is_given(start: Start) -> None:
    async with start(never, callback={"timeout_s": 60.0}, c=[NEVER]) as now:
        request = router_service_pb2.CompleteRequest(task_class="t", messages=MESSAGES, allowed_models=["team/e"])
        began_s = time.monotonic()
        answer = await RouterServiceStub(now.channel).Complete(request, timeout=2.0)
        assert time.monotonic() - began_s < 2.0
        assert text(answer) == "from b", "the last that came"
        assert [failure for *_, failure in checks(answer)] == ["no_time"] * 2
        assert start.reviewer.left_s[0] < 1.1, "half of what is left"


async def test_a_caller_who_leaves_ends_its_question_within_two_seconds(start: Start) -> None:
    async with start(never, callback={"timeout_s": 60.0}) as now:
        asking = asyncio.ensure_future(now.complete())
        await start.reviewer.reaches(1)
        began_s = time.monotonic()
        asking.cancel()
        await start.reviewer.reaches(0)
        assert time.monotonic() - began_s < 2.0
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert now.called() == "a"


async def test_a_drain_closes_the_connection(start: Start) -> None:
    async with start() as now:
        await now.complete()
        egress: Any = next(iter(now.server._domains.values())).egress
        held = egress._Egress__callbacks["taste"]
        (channel,) = held._channels
    assert channel.get_state() is grpc.ChannelConnectivity.SHUTDOWN
    assert held._channels == []


# -- governance --------------------------------------------------------------------------------------------------------

RULES: dict[str, Any] = {
    "governance": {"zones": ["inside", "vendor:taste"]},  # a provider of the callback's name is not the callback
    "data_classes": [
        {"name": "open", "allow": ["any"]},
        {"name": "secret", "allow": ["inside", "vendor:a", "vendor:b", "vendor:c", "vendor:j", "vendor:taste"]},
    ],
}


async def complete(now: Running, **fields: Any) -> Refusal | router_service_pb2.CompleteResponse:
    """Complete, and return the answer or the refusal."""
    try:
        return await now.complete(**fields)
    except Refusal as refused:
        return refused


async def test_data_that_may_not_go_where_it_is_never_does(start: Start) -> None:
    """The zone of a callback counts as that of a judge: out of it, the cascade may not be used at all."""
    async with start(config=RULES, callback={"send_task": True, "data_zone": "elsewhere"}) as now:
        refused = await complete(now, data_class="secret")
        assert isinstance(refused, Refusal)
        assert refused.reason == "NO_ELIGIBLE_MODEL"
        assert "its callback 'taste': data class 'secret' may not go there" in refused.message
        unsaid = await complete(now)
        assert isinstance(unsaid, Refusal), "what nobody says is the strictest"
        assert (now.called(), start.reviewer.asked) == ("", [])
        assert text(await now.complete(data_class="open")) == "from a"
        assert [asked.messages[0].parts[0].text for asked in start.reviewer.asked] == [PROMPT]
        assert start.reviewer.asked[0].data_class == "open"
    async with start(config=RULES, callback={"data_zone": "eu, inside"}) as now:
        assert text(await now.complete(data_class="secret")) == "from a"


async def test_a_tightening_that_is_acknowledged_while_a_member_writes_keeps_its_answer_here(start: Start) -> None:
    config = RULES | {"task_classes": [{"name": "t", "data_class": "open"}]}
    slow: list[Step] = [reply("from a", delay_s=0.5)]
    async with start(config=config, callback={"data_zone": "elsewhere"}, a=slow) as now:
        asking = asyncio.ensure_future(now.complete())
        await until(lambda: now.called() == "a")
        changed = {"name": "t", "default_data_class": "secret"}
        await CatalogServiceStub(now.channel).UpdateTaskClass(
            catalog_service_pb2.UpdateTaskClassRequest(task_class=changed)
        )
        answer = await asking
        assert start.reviewer.asked == []
        assert {failure for *_, failure in checks(answer)} == {"not_permitted"}


async def test_the_choke_point_lets_no_question_leave_without_a_permit_for_that_cascade(start: Start) -> None:
    async with start() as now:
        await now.complete()
        egress = next(iter(now.server._domains.values())).egress
        for permit in (None, "permit"):
            with pytest.raises(NotPermitted) as caught:
                await egress.check_answer(permit, "taste", Question(), timeout_s=1.0)  # type: ignore[arg-type]
            assert caught.value.kind is Kind.CHECK
        assert len(start.reviewer.asked) == 1
        assert egress.on_wire() == []


async def test_what_it_says_is_not_kept_where_free_text_is_not(start: Start) -> None:
    config = {"data_classes": [{"name": "quiet", "allow": ["any"], "no_store": True}]}
    async with start(CheckAnswerResponse(accepted=True, reason=PROMPT), config=config) as now:
        answer = await now.complete(data_class="quiet")
        (said,) = (await now.record(answer.decision_id)).feedback
        assert (said.score, said.comment) == (1.0, "")


def test_a_cascade_whose_callback_left_the_configuration_is_used_no_more() -> None:
    made = world(cascade_of(check=Check(callback="gone")))
    (excluded,) = made.decide(query(needs=ALL), at_ms=1, uniform=0.5).record.excluded
    assert (excluded.reason, excluded.detail) == (Reason.NO_ENDPOINT, "its callback 'gone' is not configured")


def test_a_question_leaves_under_a_permit_for_that_cascade_as_it_is_now_and_no_other() -> None:
    made = world(cascade_of(check=Check(callback="taste")))
    eligibility = made.eligibility
    eligibility.callbacks = {"taste": "", "other": ""}

    def why(permit: Permit, callback: str = "taste") -> str:
        excluded = eligibility.recheck_callback(permit, callback)
        return "" if excluded is None else excluded.detail

    whole = eligibility.permit([0, 1, 2, 3], ALL, Claims(), 0)
    parts = eligibility.part_permit(whole, 3)
    assert why(parts) == ""
    assert "not its check" in why(parts, "other")
    assert "no permit for a callback" in why(whole), "that is for the cascade itself"
    without = eligibility.permit([0, 1, 2], ALL, Claims(), 0)
    assert "no permit for a callback" in why(eligibility.part_permit(without, 3))
    made.apply(made.sequence + 1, cascade_of(check=Check(callback="other")))
    assert "not its check" in why(parts)
    assert why(parts, "other") == ""
    made.apply(made.sequence + 1, msgspec.structs.replace(cascade_of(check=Check(callback="other")), disabled=True))
    assert "disabled" in why(parts, "other")


# -- the catalogue -----------------------------------------------------------------------------------------------------


async def test_the_catalogue_takes_its_name_and_no_address(start: Start) -> None:
    async with start(NO) as now:
        stub = CatalogServiceStub(now.channel)
        made = {"name": "team/c", "cascade": {"members": ["b/m", "a/m"], "check": {"callback": "taste", "on_error": 2}}}
        await stub.CreateModel(catalog_service_pb2.CreateModelRequest(model=made))
        found = (await stub.GetModel(catalog_service_pb2.GetModelRequest(name="team/c"))).model.cascade.check
        assert (found.callback, found.on_error, found.WhichOneof("kind")) == ("taste", 2, "callback")
        assert text(await now.complete("team/c")) == "from a"
        for name in ("tastes", "127.0.0.1:1"):
            wrong = {"name": "team/w", "cascade": {"members": ["a/m", "b/m"], "check": {"callback": name}}}
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stub.CreateModel(catalog_service_pb2.CreateModelRequest(model=wrong))
            refused = refusal_of(caught.value)
            assert (refused.code, refused.reason) == ("NOT_FOUND", "UNKNOWN_CALLBACK")
            assert refused.metadata["callback"] == name
        changed = {"name": "team/c", "cascade": {"members": ["b/m", "a/m"], "check": {"callback": "tastes"}}}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.UpdateModel(catalog_service_pb2.UpdateModelRequest(model=changed))
        assert refusal_of(caught.value).reason == "UNKNOWN_CALLBACK"
        odd = {"name": "team/o", "cascade": {"members": ["a/m", "b/m"], "check": {"pattern": "x", "on_error": 2}}}
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.CreateModel(catalog_service_pb2.CreateModelRequest(model=odd))
        assert refusal_of(caught.value).reason == "INVALID_COMBINATION"


async def test_members_that_fail_are_passed_over_and_the_others_are_checked(start: Start) -> None:
    async with start(likes("c"), a=[BUSY]) as now:
        answer = await now.complete()
        assert text(answer) == "from c"
        assert checks(answer) == [("b/m", False, 0.0, ""), ("c/m", True, 1.0, "")]


async def test_naiad_itself_does_not_serve_it(start: Start) -> None:
    async with start() as now:
        call: Any = now.channel.unary_unary("/naiad.v1.CheckService/CheckAnswer")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
