"""An answer as it is written, with both clients: events, restarts, errors, and when the call is repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from naiad.client import (
    Aborted,
    Completed,
    DeadlineExceeded,
    Generation,
    Internal,
    NaiadError,
    Restarted,
    Started,
    TextDelta,
    ToolCallDelta,
    Unavailable,
)
from naiad.v1 import router_service_pb2
from naiad.v1.router_service_pb2 import StreamCompleteResponse
from tests.client.conftest import Face
from tests.client.fake import Failure, FakeNaiad, answer_events

DOWN = Failure(grpc.StatusCode.UNAVAILABLE, "down")
CUT = Failure(
    grpc.StatusCode.ABORTED, "cut", "ERROR_REASON_STREAM_CUT", {"decision_id": "d", "attempt_id": "1", "model": "m"}
)
OUT = Failure(
    grpc.StatusCode.UNAVAILABLE, "all are out", "ERROR_REASON_MODELS_UNAVAILABLE",
    {"task_class": "t", "models": "1", "reasons": "UNAVAILABLE x 1"}, 2.0,
)  # fmt: skip
STARTED = StreamCompleteResponse(started={"attempt_id": "1", "model": "acme/small"})


async def follow(naiad: Face, *arguments: Any, most: int = 100, **named: Any) -> tuple[list[Any], NaiadError | None]:
    """Return the events of a stream, up to a number, and how it fails."""
    found: list[Any] = []
    events = naiad.client.stream(*arguments or ("Hello",), **named)

    def pull() -> None:
        for event in events:
            found.append(event)
            if len(found) == most:
                break
        events.close()

    try:
        if naiad.kind == "async":
            async for event in events:
                found.append(event)
                if len(found) == most:
                    break
            await events.aclose()
        else:
            await asyncio.to_thread(pull)
    except NaiadError as error:
        return found, error
    return found, None


async def test_the_events_and_what_is_sent(naiad: Face, fake: FakeNaiad) -> None:
    events, error = await follow(
        naiad, [("user", "Hello")], task_class="t", max_attempts=2, max_cost_nano_usd=5, fail_fast=True,
        generation=Generation(temperature=0.5), request_id="r1", allowed_models=["acme/small"],
    )  # fmt: skip
    assert error is None
    kinds = [type(event) for event in events]
    assert kinds == [Started, TextDelta, Restarted, TextDelta, TextDelta, ToolCallDelta, Completed]
    assert (events[0].model, events[0].policy_version, events[0].decision_id) == ("acme/large", 7, "d-complete")
    assert (events[2].failed.error.kind, events[2].model, events[2].attempt_id) == ("truncated", "acme/small", "a1")
    assert (events[5].index, events[5].name, events[5].arguments_json) == (0, "look", '{"at":1}')
    completion = events[-1].completion
    assert "".join(e.text for e in events[3:5]) == completion.text == "A fine summary."
    assert completion.tool_calls[0].name == "look"
    assert all("fine" not in repr(event) for event in events), "no answer gets into a log by accident"
    (sent,) = fake.requests("StreamComplete")
    assert (sent.request_id, sent.max_attempts, sent.max_cost_nano_usd) == ("r1", 2, 5)
    assert sent.failure_mode == router_service_pb2.STREAM_FAILURE_MODE_FAIL_FAST
    assert (sent.generation.temperature, list(sent.allowed_models)) == (0.5, ["acme/small"])


async def test_every_call_has_an_id_and_no_failure_mode_unless_asked(naiad: Face, fake: FakeNaiad) -> None:
    await follow(naiad)
    await follow(naiad)
    first, second = fake.requests("StreamComplete")
    assert first.request_id
    assert first.request_id != second.request_id
    assert first.failure_mode == 0


async def test_before_the_first_event_it_is_tried_again_with_the_same_id(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams += [[DOWN], [OUT]]
    events, error = await follow(naiad)
    assert error is None
    assert isinstance(events[-1], Completed)
    assert len({r.request_id for r in fake.requests("StreamComplete")}) == 1
    assert len(fake.seen) == 3
    assert naiad.time.waits_s[1] >= 2.0, "as long as the server says"


async def test_after_the_first_event_it_is_not(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams.append([STARTED, DOWN])
    events, error = await follow(naiad)
    assert [type(e) for e in events] == [Started]
    assert isinstance(error, Unavailable)
    assert len(fake.seen) == 1


async def test_providers_that_are_out_do_not_pass_for_a_missing_server(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams += [[OUT]] * 9
    _, error = await follow(naiad)
    assert isinstance(error, Unavailable)
    assert (error.reason, len(fake.seen)) == ("ERROR_REASON_MODELS_UNAVAILABLE", 4)


async def test_a_cut_is_an_error_with_its_facts(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams.append([STARTED, StreamCompleteResponse(text_delta={"text": "half"}), CUT])
    events, error = await follow(naiad, fail_fast=True)
    assert isinstance(error, Aborted)
    assert (error.reason, error.metadata["model"]) == ("ERROR_REASON_STREAM_CUT", "m")
    assert not any(isinstance(event, Completed) for event in events)


async def test_a_stream_without_its_last_event_is_no_answer(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams.append([STARTED])
    _, error = await follow(naiad)
    assert isinstance(error, Internal)
    assert "before its last event" in str(error)


async def test_an_event_that_is_newer_than_the_client_is_left_out(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams.append([STARTED, StreamCompleteResponse(), *answer_events(fake, None)[-1:]])
    events, error = await follow(naiad)
    assert ([type(e) for e in events], error) == ([Started, Completed], None)


async def test_who_stops_reading_hangs_up(naiad: Face, fake: FakeNaiad) -> None:
    fake.streams.append([STARTED, None])
    events, error = await follow(naiad, most=1)
    assert (len(events), error) == (1, None)
    assert await asyncio.to_thread(fake.hung_up.wait, 10)


async def test_no_time_is_no_call(naiad: Face, fake: FakeNaiad) -> None:
    _, error = await follow(naiad, timeout_s=0.0)
    assert isinstance(error, DeadlineExceeded)
    assert fake.seen == []


async def test_what_cannot_be_sent_is_said_at_once(naiad: Face, fake: FakeNaiad) -> None:
    with pytest.raises(TypeError, match="sequences of names"):
        naiad.client.stream("Hello", allowed_models="acme/small")
    with pytest.raises(ValueError, match="NaN"):
        naiad.client.stream("Hello", timeout_s=float("nan"))
