"""Many callers at once: duplicates are one, cancellation harms nobody, too much is refused with a time to come back."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.live import BASE, Caller, Refusal, build, gather_calls, live, path_of
from tests.server.reasons import check

CONFIG = BASE.replace("[server]", "[server]\nconcurrent_calls = 200")
USER = {"role": 2, "parts": [{"text": "hello"}]}


@pytest.mark.parametrize(
    "method", ["Decide", "Complete", "CreateModel", "CreateTaskClass", "ReportOutcome", "Feedback"]
)
async def test_fifty_duplicates_are_one(api: Caller, method: str) -> None:
    """Without "same events, same reply" a retry on a slow network would pay, learn or create twice."""
    made = await asyncio.to_thread(api.decide, "dup.base")
    calls: dict[str, tuple[str, dict[str, Any], int]] = {  # service method, fields, events of one
        "Decide": ("RouterService/Decide", {"task_class": "dup.new"}, 2),
        "Complete": ("RouterService/Complete", {"task_class": "dup.complete", "messages": [USER]}, 3),
        "CreateModel": ("CatalogService/CreateModel", {"model": {"name": "echo/dup", "endpoint_profile": "none"}}, 1),
        "CreateTaskClass": ("CatalogService/CreateTaskClass", {"task_class": {"name": "dup.created"}}, 1),
        "ReportOutcome": ("FeedbackService/ReportOutcome", {"decision_id": made.decision_id, "output_tokens": 3}, 1),
        "Feedback": ("FeedbackService/ReportFeedback", {"decision_id": made.decision_id, "score": 0.5, "source": 1}, 1),
    }
    name, fields, events = calls[method]
    before = (await asyncio.to_thread(api.arms)).sequence
    replies = await gather_calls(api.address, name, [fields | {"request_id": f"dup-{method}"}] * 50)
    assert [r for r in replies if isinstance(r, Refusal)] == []
    assert all(reply == replies[0] for reply in replies)
    assert (await asyncio.to_thread(api.arms)).sequence == before + events


async def test_of_two_bodies_under_one_request_id_one_is_refused(api: Caller) -> None:
    requests = [{"task_class": "dup.race", "request_id": "race", "input_tokens": i % 2} for i in range(20)]
    replies = await gather_calls(api.address, "RouterService/Decide", requests)
    good = [r for r in replies if not isinstance(r, Refusal)]
    assert len(good) == 10
    assert all(reply == good[0] for reply in good)
    assert {r.reason for r in replies if isinstance(r, Refusal)} == {"REQUEST_ID_REUSED"}


async def test_a_burst_of_decides_is_served_without_a_bare_cancelled(api: Caller) -> None:
    replies = await gather_calls(api.address, "RouterService/Decide", [{"task_class": "burst"}] * 2_500)
    refused = [r for r in replies if isinstance(r, Refusal)]
    for refusal in refused:
        assert refusal.reason == "OVERLOADED", refusal
        check(refusal.reason, refusal.code, refusal.metadata)
        assert refusal.retry_after_s
    served = len(replies) - len(refused)
    assert served > 0
    assert sum(a.pulls for a in (await asyncio.to_thread(api.arms, task_class="burst")).arms) == served


async def test_cancelled_calls_leave_the_server_well(api: Caller) -> None:
    before = await asyncio.to_thread(api.decide, "cancel")
    async with grpc.aio.insecure_channel(api.address) as channel:
        for name, message in (
            ("RouterService/Decide", {"task_class": "cancel.new"}),
            ("RouterService/Complete", {"task_class": "cancel", "messages": [USER], "request_id": "cancelled"}),
            ("FeedbackService/ReportFeedback", {"decision_id": before.decision_id, "score": 1.0, "source": 1}),
            ("AdminService/VerifyLog", {}),
        ):
            call: Any = channel.unary_unary(path_of(name))
            for delay in (0, 1, 2, 5, 20):
                running = call(build(name, message).SerializeToString())
                await asyncio.sleep(delay / 1_000)
                running.cancel()
    again = await asyncio.to_thread(api.decide, "cancel")
    assert again.decision_id != before.decision_id
    await asyncio.to_thread(api.verify)


async def test_many_verify_the_log_at_once(api: Caller) -> None:
    """More than the server has threads for: none may hold a thread while it waits for another."""
    await asyncio.to_thread(api.decide, "verified")
    replies = await gather_calls(api.address, "AdminService/VerifyLog", [{}] * min(32, 4 + (os.cpu_count() or 1)))
    assert [r for r in replies if isinstance(r, Refusal)] == []
    assert all(r.statistics_equal and r.beliefs_equal for r in replies)


OVERLOADED_CONFIG = BASE.replace("[server]", "[server]\nconcurrent_calls = 2")


async def test_too_much_is_refused_with_a_time_to_come_back(tmp_path: Path) -> None:
    """Two calls that wait for a process of their own take both places; who comes meanwhile is told to come back."""
    with live(tmp_path, OVERLOADED_CONFIG) as running:
        address = running.process.address
        await asyncio.to_thread(running.caller.decide)
        slow = asyncio.ensure_future(gather_calls(address, "AdminService/VerifyLog", [{}] * 2))
        refusals = []
        while not slow.done():
            refusals += [
                r for r in await gather_calls(address, "RouterService/Decide", [{"task_class": "e2e"}] * 3)
                if isinstance(r, Refusal)
            ]  # fmt: skip
        assert [r for r in await slow if isinstance(r, Refusal)] == []
        assert refusals
        for refusal in refusals:
            assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED"), refusal
            check(refusal.reason, refusal.code, refusal.metadata)
            assert refusal.metadata["limit"] == "2"
            assert refusal.retry_after_s is not None
            assert refusal.retry_after_s > 0.0
        await asyncio.to_thread(running.caller.decide)
