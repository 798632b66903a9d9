"""Ensembles and cascades over scripted providers: who is asked, whose answer is taken, what is recorded and billed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import grpc
import pytest
import structlog

from naiad.adapters.base import FinishReason
from naiad.adapters.errors import AdapterClosed, Overloaded, ProviderError, RateLimited
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.server.notices import Code
from naiad.v1 import (
    catalog_pb2,
    catalog_service_pb2,
    decision_pb2,
    feedback_pb2,
    feedback_service_pb2,
    insight_pb2,
    insight_service_pb2,
    router_service_pb2,
)
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.insight_service_pb2_grpc import InsightServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Reply, Scripted, Step, reply
from tests.e2e.live import Refusal, refusal_of
from tests.server.test_completion import until

MESSAGES = [{"role": 2, "parts": [{"text": "What is the capital of France?"}]}]
BUSY = Fail(Overloaded("busy", provider="a", model="m"))
NEVER = reply("late", delay_s=3_600.0)


def models(**composites: dict[str, Any]) -> list[dict[str, Any]]:
    """Return three models of providers, a judge, and these composites."""
    plain: list[dict[str, Any]] = [
        {"name": f"{p}/m", "endpoint": p, "input_usd_per_million": 1.0, "output_usd_per_million": 1.0} for p in "abcj"
    ]
    return [*plain, *({"name": f"team/{name}"} | made for name, made in composites.items())]


@dataclass
class Running:
    """A server over scripted providers, and a channel to it."""

    server: Server
    channel: grpc.aio.Channel
    adapters: dict[str, Scripted]

    async def complete(self, model: str = "team/e", **fields: Any) -> router_service_pb2.CompleteResponse:
        """Complete by one model; raises Refusal."""
        request = router_service_pb2.CompleteRequest(
            task_class="t", messages=MESSAGES, allowed_models=[model], **fields
        )
        try:
            return await RouterServiceStub(self.channel).Complete(request, timeout=20.0)
        except grpc.aio.AioRpcError as error:
            raise refusal_of(error) from error

    async def record(self, decision_id: str) -> Any:
        """Return what is recorded of a decision."""
        request = insight_service_pb2.GetDecisionRequest(decision_id=decision_id)
        return (await InsightServiceStub(self.channel).GetDecision(request)).decision

    async def arms(self) -> dict[str, Any]:
        """Return the arms by model."""
        request = insight_service_pb2.ListArmsRequest(task_class="t")
        return {a.model: a for a in (await InsightServiceStub(self.channel).ListArms(request)).arms}

    def called(self) -> str:
        """Return which providers were called, one letter a call."""
        return "".join(name * len(adapter.calls) for name, adapter in self.adapters.items())


Start = Callable[..., Any]


@asynccontextmanager
async def serve(
    monkeypatch: pytest.MonkeyPatch, composites: dict[str, Any], /, config: Any = None, **scripts: list[Step]
) -> AsyncIterator[Running]:
    """Start a server with composites over scripted providers; scripts by provider, "no" where none is given."""
    adapters = {p: Scripted(scripts.get(p, [reply("no")]), provider=p, loop=True) for p in "abcj"}
    monkeypatch.setattr(providers, "build", lambda profiles: dict(adapters))
    data = {
        "server": {"listen": "127.0.0.1:0", "drain_s": 5.0}, "storage": {"path": ":memory:"},
        "endpoints": {p: {"kind": "echo"} for p in "abcj"}, "models": models(**composites),
    }  # fmt: skip
    served = await Server.start(parse(data | (config or {}), "test"))
    async with grpc.aio.insecure_channel(served.address) as channel:
        try:
            yield Running(served, channel, adapters)
        finally:
            await served.stop()


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Start:
    """Return a function that starts a server with composites."""
    return partial(serve, monkeypatch)


def ensemble(aggregation: str = "majority", **fields: Any) -> dict[str, Any]:
    """Return an ensemble of three."""
    return {"e": {"ensemble": {"members": ["a/m", "b/m", "c/m"], "aggregation": aggregation} | fields}}


def cascade(**check: Any) -> dict[str, Any]:
    """Return a cascade of three."""
    return {"e": {"cascade": {"members": ["a/m", "b/m", "c/m"], "check": check}}}


def told_of(response: router_service_pb2.CompleteResponse) -> dict[str, decision_pb2.Notice]:
    """Return the notices of an answer by code."""
    names = decision_pb2.NoticeCode.Name
    return {names(notice.code).removeprefix("NOTICE_CODE_"): notice for notice in response.notices}


def text(response: router_service_pb2.CompleteResponse) -> str:
    """Return the text of an answer."""
    return "".join(part.text for part in response.answer.parts)


# -- ensembles ---------------------------------------------------------------------------------------------------------


async def test_the_answer_of_most_and_every_call_an_attempt(running: Start) -> None:
    async with running(ensemble(), a=[reply("Lyon")], b=[reply("Paris")], c=[reply(" paris.", delay_s=0.01)]) as now:
        answer = await now.complete()
        assert text(answer) in ("Paris", " paris.")
        assert answer.model == "team/e"
        assert sorted(a.model for a in answer.attempts) == ["a/m", "b/m", "c/m", "team/e"]
        last = answer.attempts[-1]
        assert (last.attempt_id, last.model) == (answer.attempt_id, "team/e")
        parts = [a for a in answer.attempts if a.model != "team/e"]
        assert answer.cost.total_nano_usd == sum(a.cost.total_nano_usd for a in parts) > 0
        assert answer.total_cost_nano_usd == answer.cost.total_nano_usd, "the answer itself is not billed again"
        assert answer.usage.input_tokens == sum(a.usage.input_tokens for a in parts)
        arms = await now.arms()
        for member in ("a/m", "b/m", "c/m"):
            assert arms[member].latency_s.effective_observations == 1, "each member's outcome is learned"
        assert arms["team/e"].pulls == 1


async def test_what_is_said_of_the_answer_is_said_of_the_ensemble(running: Start) -> None:
    async with running(ensemble(), a=[reply("Paris")], b=[reply("Paris")], c=[reply("Paris")]) as now:
        for _ in range(6):
            answer = await now.complete()
            feedback = feedback_service_pb2.ReportFeedbackRequest(
                decision_id=answer.decision_id, source=feedback_pb2.FEEDBACK_SOURCE_HUMAN, score=1.0
            )
            await FeedbackServiceStub(now.channel).ReportFeedback(feedback)
        after = await now.arms()
        assert after["team/e"].quality.effective_observations > 0
        assert after["a/m"].quality.effective_observations == 0, "nothing was said of the members"


async def test_most_is_decided_before_the_last_has_answered_and_the_loser_is_cancelled(running: Start) -> None:
    async with running(ensemble(), a=[reply("Paris")], b=[reply("Paris")], c=[NEVER]) as now:
        answer = await now.complete()
        assert text(answer) == "Paris"
        assert now.adapters["c"].open_calls == 0
        gone = [a for a in answer.attempts if a.HasField("error")]
        assert [(a.model, a.error.detail) for a in gone] == [("c/m", "cancelled by the caller")]

        async def recorded() -> bool:
            return len((await now.record(answer.decision_id)).attempts) == 4

        await until(recorded)


async def test_the_first_that_agree(running: Start) -> None:
    made = ensemble("first_agreement", agree=2)
    async with running(made, a=[NEVER], b=[reply("Rome")], c=[reply("rome", delay_s=0.01)]) as now:
        assert text(await now.complete()).lower() == "rome"
        assert now.adapters["a"].open_calls == 0
    async with running(made, a=[reply("x")], b=[reply("y")], c=[reply("z")]) as now:
        assert text(await now.complete()) in "xyz", "nobody agrees: that of the one believed to be best"


async def test_a_judge_picks(running: Start) -> None:
    made = ensemble("judge", judge="j/m")
    async with running(made, a=[reply("x")], b=[reply("y")], c=[reply("z")], j=[reply("Answer 2")]) as now:
        answer = await now.complete()
        assert text(answer) == "y"
        (asked,) = now.adapters["j"].calls
        assert "user: What is the capital of France?" in asked.last_user_text
        assert all(f"answer {i}]\n{said}\n" in asked.last_user_text for i, said in enumerate("xyz", 1))
        assert "j/m" in {a.model for a in answer.attempts}
    async with running(made, a=[reply("x")], b=[reply("X")], c=[reply("x ")]) as now:
        assert text(await now.complete()).strip().lower() == "x"
        assert "j" not in now.called(), "where all say the same there is nothing to judge"


CUT = reply("1", finish=FinishReason.LENGTH)
NO_VERDICT: list[tuple[Step, str, str]] = [
    (BUSY, "error", "its call failed"),
    *((step, "no_verdict", "its reply was not the one number") for step in (reply("I say 1, not 2"), reply("-1"), CUT)),
]


@pytest.mark.parametrize(("judge", "failure", "words"), NO_VERDICT)
async def test_without_a_verdict_most_decide_and_a_notice_says_so(
    running: Start, judge: Step, failure: str, words: str
) -> None:
    made = ensemble("judge", judge="j/m")
    async with running(made, a=[reply("x")], b=[reply("y")], c=[reply("y")], j=[judge]) as now:
        answer = await now.complete()
        assert text(answer) == "y"
        told = told_of(answer)["NO_VERDICT"]
        assert told.message.startswith(f"j/m picked no answer: {words}")
        assert told.message.endswith("; this is what most said, 2 of 3")
        assert dict(told.metadata) == {"model": "team/e", "checked_by": "j/m", "failure": failure}
    async with running(made, a=[reply("x")], b=[reply("y")], c=[reply("z")], j=[judge]) as now:
        told = told_of(await now.complete())["NO_VERDICT"]
        assert "that of the member believed to be best" in told.message
        assert "most said" not in told.message, "where all differ, most said nothing"


async def test_members_that_fail_are_missed_only_when_all_do(running: Start) -> None:
    async with running(ensemble(), a=[BUSY], b=[BUSY], c=[reply("Paris")]) as now:
        answer = await now.complete()
        assert text(answer) == "Paris"
        assert sum(a.HasField("error") for a in answer.attempts) == 2
    async with running(ensemble(), a=[BUSY], b=[BUSY], c=[BUSY]) as now:
        with pytest.raises(Refusal) as caught:
            await now.complete()
        assert caught.value.reason == "ALL_ATTEMPTS_FAILED"


async def test_an_ensemble_that_fails_falls_back_to_the_next_of_the_ranking(running: Start) -> None:
    async with running(ensemble(), a=[BUSY], b=[BUSY], c=[BUSY], j=[reply("from j")]) as now:
        objective = {"strategy": 6, "models": ["team/e", "j/m"]}
        request = router_service_pb2.CompleteRequest(task_class="t", messages=MESSAGES, objective=objective)
        answer = await RouterServiceStub(now.channel).Complete(request, timeout=20.0)
        assert (answer.model, text(answer)) == ("j/m", "from j")
        assert [a.model for a in answer.attempts][-2:] == ["team/e", "j/m"]


async def test_decide_leaves_them_out_and_says_why(running: Start) -> None:
    async with running(ensemble()) as now:
        answer = await RouterServiceStub(now.channel).Decide(router_service_pb2.DecideRequest(task_class="t"))
        assert "team/e" not in {c.model for c in answer.ranking}
        assert "only Complete" in next(e.detail for e in answer.excluded if e.model == "team/e")


async def test_a_stream_gives_the_answer_in_the_end(running: Start) -> None:
    async with running(ensemble(), a=[reply("It is Paris")], b=[reply("it is paris")], c=[reply("no")]) as now:
        request = router_service_pb2.StreamCompleteRequest(task_class="t", messages=MESSAGES, allowed_models=["team/e"])
        events = [event async for event in RouterServiceStub(now.channel).StreamComplete(request, timeout=20.0)]
        assert events[0].started.model == "team/e"
        streamed = "".join(event.text_delta.text for event in events if event.HasField("text_delta"))
        assert streamed == text(events[-1].completed.response)
        assert streamed.lower() == "it is paris"
        assert events[-1].completed.response.attempt_id == events[0].started.attempt_id


async def test_what_the_rules_forbid_is_not_asked(running: Start) -> None:
    """Of an ensemble that may be used, a member in a forbidden zone is left out; the others answer."""
    config = {"data_classes": [{"name": "private", "allow": ["a/m", "b/m"]}]}
    async with running(ensemble(), config, a=[reply("Paris")], b=[reply("Paris")]) as now:
        assert text(await now.complete(data_class="private")) == "Paris"
        assert now.called() == "ab"
    async with running(ensemble("judge", judge="j/m"), config, a=[reply("x")], b=[reply("y")]) as now:
        with pytest.raises(Refusal) as caught:
            await now.complete(data_class="private")
        assert caught.value.reason == "NO_ELIGIBLE_MODEL"
        assert "its judge j/m" in caught.value.message
        assert now.called() == ""


async def test_a_hard_budget_pays_for_all_members_or_for_none(running: Start) -> None:
    """What all of them may cost must be left when it is decided; each call is held for itself."""
    config = {"budgets": [{"id": "b", "limit_usd": 0.0002, "period": "once"}]}
    async with running(ensemble(), config, a=[reply("x")], b=[reply("x")], c=[reply("y")]) as now:
        answers = 0
        for _ in range(8):
            try:
                await now.complete(max_output_tokens=20)
                answers += 1
            except Refusal as refused:
                assert refused.reason == "BUDGET_EXHAUSTED"  # noqa: PT017 - or none at all
        assert 0 < answers < 8
        assert len(now.called()) == 3 * answers


# -- cascades ----------------------------------------------------------------------------------------------------------


async def test_a_cascade_stops_at_the_first_answer_that_passes(running: Start) -> None:
    async with running(cascade(pattern="[0-9]"), a=[reply("no idea")], b=[reply("it is 42")], c=[NEVER]) as now:
        answer = await now.complete()
        assert text(answer) == "it is 42"
        assert now.called() == "ab"
        assert [a.model for a in answer.attempts] == ["a/m", "b/m", "team/e"]
        arms = await now.arms()
        assert arms["a/m"].quality.effective_observations > 0
        assert arms["a/m"].quality.mean < arms["b/m"].quality.mean, "the check's verdict is feedback"
        record = await now.record(answer.decision_id)
        assert {(f.attempt_id, f.source, f.score) for f in record.feedback} == {
            (answer.attempts[0].attempt_id, 3, 0.0), (answer.attempts[1].attempt_id, 3, 1.0),
        }  # fmt: skip


async def test_the_last_answer_is_returned_whatever_the_check_says(running: Start) -> None:
    schema = '{"type": "object", "required": ["city"]}'
    async with running(cascade(json_schema=schema), a=[BUSY], b=[reply("{}")], c=[reply("[1]")]) as now:
        answer = await now.complete()
        assert text(answer) == "[1]"
        assert now.called() == "abc"
    async with running(cascade(json_schema=schema), a=[reply('{"city": "Paris"}')]) as now:
        assert text(await now.complete()) == '{"city": "Paris"}'
        assert now.called() == "a"
    async with running(cascade(pattern="x"), a=[reply("one")], b=[BUSY], c=[BUSY]) as now:
        assert text(await now.complete()) == "one", "of those that answered, the last"


async def test_a_judge_decides_on_going_on_and_is_not_asked_about_the_last(running: Start) -> None:
    check = {"judge": "j/m", "threshold": 0.7}
    async with running(cascade(**check), a=[reply("x")], b=[reply("y")], j=[reply("0.4"), reply("0.7")]) as now:
        answer = await now.complete()
        assert text(answer) == "y"
        assert now.called() == "abjj"
        assert {a.model for a in answer.attempts} == {"a/m", "b/m", "j/m", "team/e"}


@pytest.mark.parametrize(("judge", "failure", "words"), NO_VERDICT)
async def test_an_answer_that_a_judge_gave_no_verdict_on_is_not_taken_nor_learned_from_and_that_is_told(
    running: Start, judge: Step, failure: str, words: str
) -> None:
    async with running(cascade(judge="j/m"), a=[reply("x")], b=[BUSY], c=[reply("z")], j=[judge]) as now:
        with structlog.testing.capture_logs() as logged:
            answer = await now.complete()
        assert text(answer) == "z", "without a verdict it goes on"
        asked = answer.attempts[0]
        (check,) = answer.attempts[-1].checks
        assert (check.attempt_id, check.passed, check.failure) == (asked.attempt_id, False, failure)
        assert not check.HasField("score")
        told = told_of(answer)["NO_VERDICT"]
        assert words in told.message
        assert dict(told.metadata) == {
            "model": "team/e", "checked_by": "j/m", "attempt_id": asked.attempt_id, "failure": failure,
            "passed": "false",
        }  # fmt: skip
        assert not (await now.record(answer.decision_id)).feedback, "nothing is learned"
        assert (await now.arms())["a/m"].quality.effective_observations == 0
        assert [(e["judge"], e["failure"]) for e in logged if e["event"] == "no_verdict"] == [("j/m", failure)]


async def test_a_judge_that_can_is_held_to_a_schema(running: Start) -> None:
    verdicts = [reply('{"score": 0.25}'), reply('{"score": 1}')]
    async with running(cascade(judge="j/m"), a=[reply("x")], b=[reply("y")], j=verdicts) as now:
        change = {"name": "j/m", "capabilities": [catalog_pb2.CAPABILITY_JSON_SCHEMA]}
        await CatalogServiceStub(now.channel).UpdateModel(catalog_service_pb2.UpdateModelRequest(model=change))
        answer = await now.complete()
        assert text(answer) == "y"
        assert [check.score for check in answer.attempts[-1].checks] == [0.25, 1.0]
        for asked in now.adapters["j"].calls:
            assert asked.response_schema is not None
            assert '"score"' in asked.response_schema.schema
        assert "NO_VERDICT" not in told_of(answer)
    async with running(cascade(judge="j/m"), a=[reply("x")], j=[reply("1")]) as now:
        await now.complete()
        assert [asked.response_schema for asked in now.adapters["j"].calls] == [None], "it cannot be held to one"


async def test_what_no_other_model_can_mend_ends_it(running: Start) -> None:
    class Hopeless(ProviderError):
        fallback_worthy = False

    closed = Fail(Hopeless("gone", provider="a", model="m"))
    async with running(cascade(pattern="x"), a=[closed], b=[reply("x")]) as now:
        with pytest.raises(Refusal):
            await now.complete()
        assert now.called() == "a"
    assert not AdapterClosed.fallback_worthy


# -- the catalogue -----------------------------------------------------------------------------------------------------


async def test_they_are_kept_in_the_catalogue_as_given(running: Start) -> None:
    async with running({}) as now:
        stub = CatalogServiceStub(now.channel)
        made = {"name": "team/c", "cascade": {"members": ["a/m", "b/m"], "check": {"judge": "j/m", "threshold": 0.9}}}
        await stub.CreateModel(catalog_service_pb2.CreateModelRequest(model=made))
        found = (await stub.GetModel(catalog_service_pb2.GetModelRequest(name="team/c"))).model
        assert list(found.cascade.members) == ["a/m", "b/m"]
        assert (found.cascade.check.judge, found.cascade.check.threshold) == ("j/m", 0.9)
        assert (found.endpoint_profile, found.upstream_model) == ("", "")
        changed = {"name": "team/c", "cascade": {"members": ["b/m", "c/m"], "check": {"pattern": "x"}}}
        await stub.UpdateModel(catalog_service_pb2.UpdateModelRequest(model=changed))
        found = (await stub.GetModel(catalog_service_pb2.GetModelRequest(name="team/c"))).model
        assert list(found.cascade.members) == ["b/m", "c/m"]
        assert found.cascade.check.pattern == "x"


# -- what a hostile or careless caller gains: nothing ------------------------------------------------------------------


async def test_a_kept_answer_is_not_given_once_a_model_that_wrote_it_may_not_see_the_data(running: Start) -> None:
    config = {"task_classes": [{"name": "t", "cache_s": 60.0}]}
    made = cascade(pattern="[0-9]")
    async with running(made, config, a=[reply("no")], b=[reply("42")]) as now:
        assert text(await now.complete()) == "42"
        assert text(await now.complete()) == "42"
        assert now.called() == "ab", "the second one was kept"
        changed = {"name": "b/m", "disabled": True}
        await CatalogServiceStub(now.channel).UpdateModel(catalog_service_pb2.UpdateModelRequest(model=changed))
        assert text(await now.complete()) == "no", "asked anew, of those that may be asked"
        assert now.called().startswith("aab")


async def test_how_long_to_wait_for_a_composite_is_how_long_for_enough_of_its_members(running: Start) -> None:
    limited = Fail(RateLimited("slow down", provider="a", model="m", retry_after_s=60.0))
    async with running(ensemble(), a=[limited], b=[limited], c=[limited], j=[limited]) as now:
        for model in ("team/e", "j/m"):
            with pytest.raises(Refusal):
                await now.complete(model)
        for allowed in (["team/e"], []):
            request = router_service_pb2.CompleteRequest(task_class="t", messages=MESSAGES, allowed_models=allowed)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await RouterServiceStub(now.channel).Complete(request, timeout=20.0)
            refusal = refusal_of(caught.value)
            assert refusal.reason == "MODELS_UNAVAILABLE"
            assert refusal.retry_after_s is not None
            assert 50.0 < refusal.retry_after_s <= 60.0


async def test_a_caller_who_sets_max_attempts_gets_no_more_calls(running: Start) -> None:
    async with running(ensemble(), a=[reply("x")], b=[reply("x")], c=[reply("x")]) as now:
        with pytest.raises(Refusal) as caught:
            await now.complete(max_attempts=1)
        assert "may take 3 calls" in caught.value.message
        assert now.called() == ""
        assert text(await now.complete(max_attempts=4)) == "x"


async def test_a_count_that_is_too_low_counts_for_nothing(running: Start) -> None:
    """What Naiad sends it has seen: a caller's word cannot make a prompt small."""
    long = [{"role": 2, "parts": [{"text": "word " * 20_000}]}]
    config = {"budgets": [{"id": "b", "limit_usd": 0.01, "period": "once"}]}
    async with running({}, config, a=[reply("x")]) as now:
        request = router_service_pb2.CompleteRequest(
            task_class="t", messages=long, allowed_models=["a/m"], max_output_tokens=10, input_tokens=0
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await RouterServiceStub(now.channel).Complete(request, timeout=20.0)
        assert refusal_of(caught.value).reason == "BUDGET_EXHAUSTED"
        assert now.called() == ""


async def test_disagreement_and_failed_checks_are_told(running: Start) -> None:
    async with running(ensemble(), a=[reply("x")], b=[reply("y")], c=[reply("z")]) as now:
        told = told_of(await now.complete())["NO_AGREEMENT"]
        assert "fewer than 2 said the same; this is the answer of the one believed to be best" in told.message
        facts = {"model": "team/e", "answered": "3", "members": "3", "agreed": "1", "wanted": "2"}
        assert dict(told.metadata) == facts
    async with running(ensemble(), a=[reply("x")], b=[reply("x")], c=[reply("z")]) as now:
        assert "NO_AGREEMENT" not in told_of(await now.complete())
    async with running(cascade(pattern="[0-9]"), a=[reply("x")], b=[BUSY], c=[reply("y")]) as now:
        answer = await now.complete()
        assert text(answer) == "y"
        told = told_of(answer)["NO_ANSWER_PASSED"]
        assert "no answer passed the check" in told.message
        assert dict(told.metadata) == {"model": "team/e"}


async def test_what_is_told_of_a_kept_answer_is_told_again(running: Start) -> None:
    config = {"task_classes": [{"name": "t", "cache_s": 60.0}]}
    async with running(ensemble(), config, a=[reply("x")], b=[reply("y")], c=[reply("z")]) as now:
        first, second = await now.complete(), await now.complete()
        assert now.called() == "abc"
        assert told_of(second)["NO_AGREEMENT"] == told_of(first)["NO_AGREEMENT"]


async def test_what_is_told_of_a_member_names_the_member(running: Start) -> None:
    """Who gave no count of tokens, and whose parameter was left out: not the ensemble, which is no model of anybody."""
    plain, sentence = reply("x").answer, "temperature was left out"
    guessed = Reply(replace(plain, usage=replace(plain.usage, estimated=True)))
    dropped = Reply(replace(plain, notices=(sentence,), dropped=(sentence,)))
    async with running(ensemble("first_agreement", agree=2), a=[guessed], b=[BUSY], c=[dropped]) as now:
        answer = await now.complete()
        assert answer.usage.estimated
        estimated = [n for n in answer.notices if n.code == decision_pb2.NOTICE_CODE_USAGE_ESTIMATED]
        assert [n.metadata["model"] for n in estimated] == ["a/m"]
        assert estimated[0].message.startswith("a/m gave no count")
    async with running(cascade(pattern="x"), a=[dropped]) as now:
        told = told_of(await now.complete())["PARAMETER_DROPPED"]
        assert (told.message, told.metadata["model"]) == (sentence, "a/m")


def test_codes_are_numbered_as_in_the_api() -> None:
    for code in Code:
        assert decision_pb2.NoticeCode.Value(f"NOTICE_CODE_{code.name}") == code


@pytest.mark.parametrize("finish", [FinishReason.REFUSAL, FinishReason.CONTENT_FILTER, FinishReason.TOOL_CALLS])
async def test_a_cascade_does_not_route_around_a_refusal(running: Start, finish: FinishReason) -> None:
    async with running(cascade(pattern="[0-9]"), a=[reply("no", finish=finish)], b=[reply("42")]) as now:
        assert text(await now.complete()) == "no"
        assert now.called() == "a"


NO = reply("no", finish=FinishReason.REFUSAL)
NOT = reply("not that", finish=FinishReason.REFUSAL)
BLANK = reply("", finish=FinishReason.CONTENT_FILTER)
NEXT: dict[str, Any] = {"policy": {"on_refusal": "next"}}
MOST = {"aggregation": "majority"}
AGREE: dict[str, Any] = {"aggregation": "first_agreement", "agree": 2}
JUDGED = {"aggregation": "judge", "judge": "j/m"}


async def test_a_cascade_routes_around_refusals_where_the_policy_says_so(running: Start) -> None:
    async with running(cascade(pattern="[0-9]"), NEXT, a=[NO], b=[reply("x")], c=[BLANK]) as now:
        answer = await now.complete()
        assert (text(answer), now.called()) == ("x", "abc")
        assert any("no answer passed the check" in n.message for n in answer.notices), "rather than a refusal"
    async with running(cascade(pattern="[0-9]"), NEXT, a=[NO], b=[BUSY], c=[NOT]) as now:
        answer = await now.complete()
        assert (text(answer), answer.finish_reason, answer.model) == ("no", 5, "team/e")
        assert len(answer.attempts) == 4


VOTES: list[tuple[dict[str, Any], tuple[Step, Step, Step], str, str]] = [
    # aggregation, what the members say, the answer where refusals are returned, and where they are routed around
    (MOST, (NO, NOT, reply("x")), "no", "x"),
    (MOST, (NO, reply("x"), reply("x")), "x", "x"),
    (MOST, (NO, BLANK, NOT), "no", "no"),
    (MOST, (NO, BUSY, reply("x")), "x", "x"),
    (AGREE, (NO, NOT, reply("x")), "no", "x"),
    (AGREE, (NO, BLANK, BUSY), "no", "no"),
    (JUDGED, (NO, NOT, reply("x")), "no", "x"),
    (JUDGED, (NO, reply("x"), reply("x")), "x", "x"),
]


@pytest.mark.parametrize(("aggregation", "said", "returned", "routed"), VOTES)
async def test_refusals_of_an_ensemble_say_the_same_or_are_routed_around(
    running: Start, aggregation: dict[str, Any], said: tuple[Step, Step, Step], returned: str, routed: str
) -> None:
    scripts = dict(zip("abc", ([step] for step in said), strict=True))
    for config, wanted in (({}, returned), (NEXT, routed)):
        async with running(ensemble(**aggregation), config, **scripts) as now:
            answer = await now.complete()
            assert text(answer) == wanted
            assert answer.finish_reason == (5 if wanted == "no" else 1)
            assert answer.attempts[-1].model == "team/e"


async def test_two_refusals_do_not_end_a_vote_that_goes_around_them(running: Start) -> None:
    late = reply("x", delay_s=0.2)
    async with running(ensemble(**AGREE), NEXT, a=[NO], b=[NO], c=[late]) as now:
        assert text(await now.complete()) == "x"
    async with running(ensemble(**AGREE), a=[NO], b=[NO], c=[NEVER]) as now:
        assert text(await now.complete()) == "no", "and end one that does not, at once"


async def test_an_ensemble_that_refuses_gives_way_to_the_next_of_the_ranking(running: Start) -> None:
    listed = {"strategy": "fallback", "primary": "team/e", "fallbacks": ["j/m"]}
    for action, model in (("return", "team/e"), ("next", "j/m")):
        config = {"policy": listed | {"on_refusal": action}}
        async with running(ensemble(), config, a=[NO], b=[NO], c=[NO], j=[reply("x")]) as now:
            request = router_service_pb2.CompleteRequest(task_class="t", messages=MESSAGES)
            answer = await RouterServiceStub(now.channel).Complete(request, timeout=20.0)
            assert answer.model == model
            assert answer.total_cost_nano_usd == sum(a.cost.total_nano_usd for a in answer.attempts)


@pytest.mark.parametrize(("last", "who", "said"), [(reply("x"), "j/m", "x"), (NOT, "team/e", "no")])
async def test_a_refusal_of_an_ensemble_is_not_streamed_before_it_is_the_answer(
    running: Start, last: Step, who: str, said: str
) -> None:
    able = [m | {"capabilities": ["streaming"]} if "endpoint" in m else m for m in models(**ensemble())]
    listed = {"strategy": "fallback", "primary": "team/e", "fallbacks": ["j/m"], "on_refusal": "next"}
    scripts = {"a": [NO], "b": [NO], "c": [NO], "j": [last]}
    async with running({}, {"policy": listed, "models": able}, **scripts) as now:
        request = router_service_pb2.StreamCompleteRequest(task_class="t", messages=MESSAGES)
        events = [event async for event in RouterServiceStub(now.channel).StreamComplete(request, timeout=20.0)]
    begun = [e.started.model or e.restarted.model for e in events if e.WhichOneof("event") in ("started", "restarted")]
    assert begun == (["j/m"] if who == "j/m" else ["j/m", "team/e"]), "what spoke, and nobody else"
    at = max(n for n, e in enumerate(events) if e.WhichOneof("event") in ("started", "restarted"))
    assert "".join(e.text_delta.text for e in events[at:]) == said
    assert events[-1].completed.response.model == who


async def test_attempts_say_for_what_they_were_made_and_the_bill_meets_its_estimate(running: Start) -> None:
    async with running(ensemble(), a=[reply("x")], b=[reply("x")], c=[reply("x")]) as now:
        answer = await now.complete()
        assert [a.part_of for a in answer.attempts] == ["team/e"] * 3 + [""]
        report = await InsightServiceStub(now.channel).GetCostReport(
            insight_service_pb2.GetCostReportRequest(group_by=[insight_pb2.COST_DIMENSION_MODEL])
        )
        rows = {row.model: row for row in report.rows}
        assert rows["team/e"].estimated_nano_usd == answer.cost.total_nano_usd
        assert rows["team/e"].estimate_nano_usd > 0
        assert rows["a/m"].estimated_nano_usd == rows["a/m"].estimate_nano_usd == 0
        assert sum(row.cost_nano_usd for row in report.rows) == answer.cost.total_nano_usd
