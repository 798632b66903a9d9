"""Leaving a decision's block reports what happened, and never hides what the caller raised."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import grpc
import pytest

from naiad.client import AsyncBoundDecision, AsyncClient, Client, NaiadError, NotFound, Unavailable
from naiad.client.recording import kind_of
from naiad.v1 import decision_pb2
from tests.client.conftest import Face, connected
from tests.client.fake import Failure, FakeNaiad

DOWN = Failure(grpc.StatusCode.UNAVAILABLE, "down")


def kind_name(error: decision_pb2.AttemptError) -> str:
    return decision_pb2.AttemptErrorKind.Name(error.kind).removeprefix("ATTEMPT_ERROR_KIND_")


async def test_success_is_reported_with_what_was_recorded(naiad: Face, fake: FakeNaiad) -> None:
    async with naiad.deciding(task_class="t") as decision:
        assert decision.model == "acme/small"
        decision.record(input_tokens=10, cost_nano_usd=99)
        decision.record(output_tokens=0, finish_reason="stop", time_to_first_token_s=0.0)
        naiad.time.now_s += 2.25
        assert fake.requests("ReportOutcome") == []
    (sent,) = fake.requests("ReportOutcome")
    assert sent.decision_id == decision.decision_id
    assert (sent.model, sent.input_tokens, sent.cost_nano_usd, sent.finish_reason) == ("acme/small", 10, 99, 1)
    assert sent.HasField("output_tokens")
    assert sent.HasField("time_to_first_token")
    assert (sent.latency.seconds, sent.latency.nanos) == (2, 250_000_000)
    assert not sent.HasField("error")
    assert len(sent.attempt_id) == 32
    assert len(sent.request_id) == 32
    assert decision.report_error is None


class Odd(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TimeoutError("PRIVATE"), "TIMEOUT"),
        (ConnectionResetError("PRIVATE"), "CONNECTION"),
        (asyncio.CancelledError("PRIVATE"), "CANCELLED"),
        (NotFound("PRIVATE"), "CANCELLED"),
        (Odd("PRIVATE"), "OTHER"),
        (ExceptionGroup("PRIVATE", [TimeoutError("PRIVATE"), TimeoutError()]), "TIMEOUT"),
        (ExceptionGroup("PRIVATE", [TimeoutError("PRIVATE"), Odd()]), "OTHER"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else value,
)
async def test_a_failure_is_reported_by_its_kind_and_goes_on(
    naiad: Face, fake: FakeNaiad, error: BaseException, expected: str
) -> None:
    with pytest.raises(type(error)) as caught:
        async with naiad.deciding(task_class="t") as decision:
            decision.record(input_tokens=3)
            raise error
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    (sent,) = fake.requests("ReportOutcome")
    assert (kind_name(sent.error), sent.error.detail) == (expected, type(error).__name__)
    assert sent.input_tokens == 3
    assert b"PRIVATE" not in sent.SerializeToString()


def test_the_end_of_the_program_teaches_nothing() -> None:
    assert {kind_of(e) for e in (KeyboardInterrupt(), SystemExit(), GeneratorExit())} == {"cancelled"}


async def test_the_caller_may_know_better_what_failed(naiad: Face, fake: FakeNaiad) -> None:
    with pytest.raises(Odd):
        async with naiad.deciding() as decision:
            decision.record(error="rate_limited", http_status=429)
            raise Odd
    async with naiad.deciding() as decision:
        decision.record(error="malformed_answer", model="acme/large")
    first, second = fake.requests("ReportOutcome")
    assert (kind_name(first.error), first.error.http_status) == ("RATE_LIMITED", 429)
    assert (kind_name(second.error), second.model) == ("MALFORMED_ANSWER", "acme/large")


async def test_several_attempts_report_one_by_one(naiad: Face, fake: FakeNaiad) -> None:
    async with naiad.deciding() as decision:
        for model in ("acme/small", "acme/large"):
            try:
                async with naiad.block(decision.attempt(model)) as attempt:
                    naiad.time.now_s += 1.0
                    if model == "acme/small":
                        raise TimeoutError
                    attempt.record(output_tokens=7)
                    break
            except TimeoutError:
                continue
    first, second = fake.requests("ReportOutcome")
    assert (first.model, kind_name(first.error)) == ("acme/small", "TIMEOUT")
    assert (second.model, second.output_tokens, second.HasField("error")) == ("acme/large", 7, False)
    assert first.latency.seconds == second.latency.seconds == 1
    assert first.attempt_id != second.attempt_id
    assert attempt.attempt_id == second.attempt_id
    assert first.decision_id == second.decision_id == decision.decision_id


async def test_an_error_after_all_attempts_is_not_the_models(naiad: Face, fake: FakeNaiad) -> None:
    with pytest.raises(Odd):
        async with naiad.deciding() as decision:
            async with naiad.block(decision.attempt()):
                pass
            raise Odd
    (sent,) = fake.requests("ReportOutcome")
    assert not sent.HasField("error")


async def test_a_report_that_fails_does_not_cost_the_caller_the_result(
    naiad: Face, fake: FakeNaiad, caplog: pytest.LogCaptureFixture
) -> None:
    fake.fail("ReportOutcome", *[DOWN] * 99)
    with caplog.at_level(logging.WARNING, "naiad.client"):
        async with naiad.deciding() as decision:
            pass
    assert isinstance(decision.report_error, Unavailable)
    assert [record.message for record in caplog.records] == [
        "outcome_not_reported reason=Unavailable error=Unavailable"
    ]
    sent = fake.requests("ReportOutcome")
    assert len(sent) >= 4
    assert len({request.request_id for request in sent}) == 1


async def test_a_report_that_fails_raises_if_asked_to(kind: str, fake: FakeNaiad) -> None:
    fake.fail("ReportOutcome", Failure(grpc.StatusCode.NOT_FOUND, "unknown decision"))
    async with connected(kind, fake.target, raise_report_errors=True) as naiad:
        with pytest.raises(NotFound, match="unknown decision"):
            async with naiad.deciding():
                pass


@pytest.mark.parametrize("strict", [False, True])
async def test_a_report_that_fails_never_masks_the_exception(kind: str, fake: FakeNaiad, strict: bool) -> None:
    fake.fail("ReportOutcome", Failure(grpc.StatusCode.INTERNAL, "defect"))
    async with connected(kind, fake.target, raise_report_errors=strict) as naiad:
        with pytest.raises(Odd) as caught:
            async with naiad.deciding():
                raise Odd
    assert caught.value.__notes__ == [
        "naiad: the outcome was not reported: Internal('defect', request_id="
        + (repr(fake.requests("ReportOutcome")[0].request_id) + ")")
    ]
    assert caught.value.__context__ is None


async def test_a_client_closed_inside_the_block_does_not_mask_either(kind: str, fake: FakeNaiad) -> None:
    async with connected(kind, fake.target) as naiad:
        with pytest.raises(Odd):
            async with naiad.deciding():
                if kind == "async":
                    await naiad.client.close()
                else:
                    naiad.client.close()
                raise Odd


async def test_feedback_on_a_decision(naiad: Face, fake: FakeNaiad) -> None:
    decision = await naiad.call("decide", task_class="t")
    await Face(naiad.kind, decision, naiad.time).call("feedback", 0.9)
    await Face(naiad.kind, decision, naiad.time).call("feedback", thumb="up", source="human", rater_id="kim")
    await Face(naiad.kind, decision, naiad.time).call("feedback", reaction="accepted")
    scored, thumbed, accepted = fake.requests("ReportFeedback")
    assert (accepted.decision_id, accepted.reaction.kind, accepted.source) == (decision.decision_id, 1, 4)
    assert (scored.decision_id, scored.score, scored.source) == (decision.decision_id, 0.9, 4)
    assert (thumbed.thumb, thumbed.source, thumbed.rater_id) == (1, 1, "kim")
    assert fake.requests("ReportOutcome") == []  # deciding alone reports nothing


async def test_a_decision_made_before_opens_its_block_later(naiad: Face, fake: FakeNaiad) -> None:
    decision = await naiad.call("decide", task_class="t")
    with pytest.raises(RuntimeError, match="outside of the decision's block"):
        decision.record(output_tokens=1)
    naiad.time.now_s += 50
    async with naiad.block(decision):
        naiad.time.now_s += 1
        with pytest.raises(RuntimeError, match="open already"):
            async with naiad.block(decision):
                pass
    (sent,) = fake.requests("ReportOutcome")
    assert sent.latency.seconds == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"output_tokens": -1}, "output_tokens is -1"),
    ({"cost_nano_usd": 2**63}, "below 2\\*\\*63"),
    ({"input_tokens": 1.5}, "input_tokens is a float"),
    ({"input_tokens": True}, "input_tokens is a bool"),
    ({"time_to_first_token_s": float("nan")}, "is nan"),
    ({"finish_reason": "done"}, "finish_reason is 'done'"),
    ({"error": "bad luck"}, "error is 'bad luck'"),
]


@pytest.mark.parametrize(("facts", "message"), BAD, ids=[str(facts) for facts, _ in BAD])
async def test_facts_that_cannot_be_reported_are_refused_when_recorded(
    naiad: Face, fake: FakeNaiad, facts: dict[str, Any], message: str
) -> None:
    async with naiad.deciding() as decision:
        with pytest.raises((TypeError, ValueError), match=message):
            decision.record(**facts)
    (sent,) = fake.requests("ReportOutcome")
    assert not sent.HasField("error")


# --- cancellation ------------------------------------------------------------------------------------------


async def test_a_cancelled_block_is_reported(fake: FakeNaiad) -> None:
    async with AsyncClient(fake.target) as client:
        inside = asyncio.Event()

        async def work() -> None:
            async with client.decide(task_class="t"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()
        (sent,) = fake.requests("ReportOutcome")  # before the task has ended
        assert (kind_name(sent.error), sent.error.detail) == ("CANCELLED", "CancelledError")


async def test_a_timeout_around_the_block_still_ends_in_timeout(fake: FakeNaiad) -> None:
    async with AsyncClient(fake.target) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as limit:
                async with client.decide(task_class="t"):
                    limit.reschedule(asyncio.get_running_loop().time())
                    await asyncio.Event().wait()
        assert len(fake.requests("ReportOutcome")) == 1


async def test_cancelling_twice_does_not_lose_the_report(fake: FakeNaiad) -> None:
    gate = fake.gate["ReportOutcome"] = threading.Event()
    async with AsyncClient(fake.target) as client:
        inside = asyncio.Event()

        async def work() -> None:
            async with client.decide(task_class="t"):
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        await asyncio.to_thread(fake.wait_for, "ReportOutcome")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert client._reports  # still under way
        gate.set()
        reports = list(client._reports)
    assert [report.result().sequence for report in reports] == [5]  # close() waited for it


async def test_cancelling_while_success_is_reported_does_not_lose_the_report(fake: FakeNaiad) -> None:
    gate = fake.gate["ReportOutcome"] = threading.Event()
    async with AsyncClient(fake.target) as client:

        async def work() -> None:
            async with client.decide(task_class="t"):
                pass

        task = asyncio.create_task(work())
        await asyncio.to_thread(fake.wait_for, "ReportOutcome")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gate.set()
        reports = list(client._reports or ())
    assert [report.result().sequence for report in reports] == [5]


async def test_cancelling_the_call_itself_cancels_it(fake: FakeNaiad) -> None:
    fake.gate["Decide"] = threading.Event()
    async with AsyncClient(fake.target) as client:
        task = asyncio.ensure_future(asyncio.wait_for(client.decide("x"), 60))
        await asyncio.to_thread(fake.wait_for, "Decide")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(fake.requests("Decide")) == 1
        assert fake.requests("ReportOutcome") == []


async def test_a_decision_that_fails_opens_no_block(naiad: Face, fake: FakeNaiad) -> None:
    fake.fail("Decide", Failure(grpc.StatusCode.INTERNAL, "defect"))
    with pytest.raises(NaiadError, match="defect"):
        async with naiad.deciding():
            pytest.fail("there is no decision")
    assert fake.requests("ReportOutcome") == []


async def test_deciding_can_be_awaited_and_entered(fake: FakeNaiad) -> None:
    async with AsyncClient(fake.target) as client:
        decision = await client.decide("x")
        assert isinstance(decision, AsyncBoundDecision)
        deciding = client.decide("x")
        assert (await deciding).decision_id == (await deciding).decision_id  # the same logical call


def test_threads_share_a_client(fake: FakeNaiad) -> None:
    with Client(fake.target) as client:

        def work() -> None:
            for _ in range(10):
                with client.decide("x") as decision:
                    decision.record(output_tokens=1)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert len(fake.requests("ReportOutcome")) == 40
    assert len({r.decision_id for r in fake.requests("ReportOutcome")}) == 40
