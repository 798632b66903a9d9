"""Arbitrary messages and mutated bytes against every built method: a refusal or a reply, never a defect.

Bounded by counts, not by time. A failure names its seed and its method; run one seed with FUZZ_SEED.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

import grpc
import pytest
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from naiad.server.authorization import Role
from tests.e2e.live import METHODS, Live, live, path_of, refusal_of
from tests.e2e.test_unimplemented import BUILT
from tests.fuzz.messages import arbitrary, conversing, crowd, deep, mutant, plausible
from tests.keys import Wanted, make_keys
from tests.server.reasons import check

SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
MESSAGES, MUTANTS = 100, 60
CROWDS = (65, 257, 1_001, 3_000, 40_000, 300, 70, 2_000, 200_000)
DEFECTS = {"INTERNAL", "UNKNOWN", "CANCELLED", "DATA_LOSS"}
FUZZED = sorted(BUILT - {"AdminService/VerifyLog"})  # it takes nothing, and starts a process


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """Return a server; at the end it must still decide, and its log must fold to what it serves."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "data").mkdir()
    admin = make_keys(folder / "data" / "naiad.db", {"admin": Wanted(Role.ADMIN)})["admin"]
    with live(folder, key=admin) as running:
        yield running
        running.caller.decide("after.fuzz")
        running.caller.verify()


@pytest.fixture(scope="module")
def known(fuzzed: Live) -> dict[str, Any]:
    """Return values that get a message past the first checks, as long as no fuzzed call deletes what they name."""
    caller = fuzzed.caller
    made = [caller.decide("fuzz", session_id=str(i)).decision_id for i in range(3)]
    given = caller.score(made[0], 0.5).feedback_id
    return {
        "decision_id": made,
        "feedback_id": [given],
        "task_class": ["fuzz", "fuzz.other"],
        "model": ["echo/small", "echo/large"],
        "name": ["echo/small", "fuzz", "echo/made"],
        "attempt_id": ["", "1"],
        "workflow": ["", "w"],
        "session_id": ["", "1"],
        "request_id": ["", "again"],
        "data_class": [""],
        "rater_id": ["", "r"],
        "page_token": [""],
        "cursor": [""],
        "page_size": [0, 7],
        "source": [1, 2, 3, 4],
        "score": [0.0, 0.5, 1.0],
        "input_tokens": [0, 10],
        "output_tokens": [0, 10],
        "max_output_tokens": [1, 100],
        "cached_input_tokens": [0, 1],
        "cache_write_input_tokens": [0],
        "cost_nano_usd": [0, 10],
        "http_status": [429],
        "kind": [1, 3, 6],
        "max_attempts": [1, 3],
        "max_cost_nano_usd": [10**12],
        "temperature": [0.5],
        "top_p": [0.5],
        "revision": [0],
        "seconds": [0, 1],
        "nanos": [0, 1],
        "strategy": [0, 1, 2, 3, 4],
        "role": [1, 2, 3, 4],
    }


@pytest.fixture(autouse=True)
def without_budgets(fuzzed: Live) -> Iterator[None]:
    """Delete the budgets that a test made: they would refuse what the next one asks for."""
    yield
    for budget in fuzzed.caller.call("AdminService/ListBudgets", page_size=1_000).budgets:
        fuzzed.caller.call("AdminService/DeleteBudget", budget_id=budget.budget_id)


def call(fuzzed: Live, channel: grpc.Channel, method: str, data: bytes) -> str:
    """Send bytes and return the code of the reply, of the first of a stream; asserts that it is no defect."""
    streams = METHODS[method].server_streaming
    send: Any = channel.unary_stream(path_of(method)) if streams else channel.unary_unary(path_of(method))
    try:
        reply = send(data, timeout=20.0, metadata=fuzzed.caller.metadata)
        if streams:
            replies, reply = reply, next(reply)
            replies.cancel()
    except grpc.RpcError as error:
        refusal = refusal_of(error)
        assert refusal.code not in DEFECTS, f"{method} answered {refusal!r} to {data!r}"
        if refusal.reason:
            check(refusal.reason, refusal.code, refusal.metadata)
        else:
            assert refusal.code in ("RESOURCE_EXHAUSTED",), f"{method}: no ErrorInfo in {refusal!r} for {data!r}"
        return refusal.reason or refusal.code
    GetMessageClass(METHODS[method].output_type).FromString(reply)
    return "OK"


@pytest.mark.parametrize("method", FUZZED)
def test_arbitrary_messages(fuzzed: Live, known: dict[str, Any], method: str) -> None:
    rng = Random(f"{SEED} {method}")
    seen: Counter[str] = Counter()
    with grpc.insecure_channel(fuzzed.process.address) as channel:
        for _ in range(MESSAGES):
            message = plausible(arbitrary(METHODS[method].input_type, rng), known, rng)
            if rng.random() < 0.7:
                conversing(message, rng)
            seen[call(fuzzed, channel, method, message.SerializeToString())] += 1
    assert len(seen) > 1, f"seed {SEED}: all ended as {seen}, so little was tried"


def unreadable(method: str, data: bytes) -> bool:
    """Return whether bytes are no message of the method."""
    try:
        GetMessageClass(METHODS[method].input_type).FromString(data)
    except DecodeError:
        return True
    return False


@pytest.mark.parametrize("method", FUZZED)
def test_mutated_bytes(fuzzed: Live, known: dict[str, Any], method: str) -> None:
    rng = Random(f"{SEED} mutants of {method}")
    with grpc.insecure_channel(fuzzed.process.address) as channel:
        for _ in range(MUTANTS):
            message = plausible(arbitrary(METHODS[method].input_type, rng), known, rng)
            data = mutant(message.SerializeToString(), rng)
            ended = call(fuzzed, channel, method, data)
            if unreadable(method, data):
                assert ended == "INVALID_FORMAT"


@pytest.mark.parametrize("method", FUZZED)
def test_crowds(fuzzed: Live, known: dict[str, Any], method: str) -> None:
    """Far too many of anything, in any place: refused, or ignored where the method does not look."""
    rng = Random(f"{SEED} crowds of {method}")
    with grpc.insecure_channel(fuzzed.process.address) as channel:
        for count in CROWDS:
            message = plausible(GetMessageClass(METHODS[method].input_type)(), known, rng)
            if not crowd(message, rng, count):
                return
            call(fuzzed, channel, method, message.SerializeToString())


@pytest.mark.parametrize(("levels", "ended"), [(1, "OK"), (2, "INVALID_COMBINATION"), (60, "INVALID_FORMAT")])
def test_deep_nesting(fuzzed: Live, levels: int, ended: str) -> None:
    with grpc.insecure_channel(fuzzed.process.address) as channel:
        assert call(fuzzed, channel, "RouterService/Decide", deep(levels).SerializeToString()) == ended
