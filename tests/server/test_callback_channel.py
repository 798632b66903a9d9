"""The channel to a callback over real sockets: what it sends, whom it connects to, what no callback can do to it."""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from naiad.adapters import base
from naiad.adapters.departure import Withheld, checked
from naiad.server.callback import LONGEST_REASON, Callback, CallbackFailed, Failure, Question
from naiad.server.callback_channel import CallbackChannel, tried
from naiad.server.callback_section import callbacks_of
from naiad.server.sections import CallbackSection
from naiad.v1.check_service_pb2 import CheckAnswerRequest, CheckAnswerResponse
from tests.certificates import Certificates
from tests.server.answering import NO, YES, Reviewer, Say, answering, ends_with, never

CANARY = "canary-7391"
QUESTION = Question(
    decision_id="d", attempt_id="2", task_class="t", workflow="w", model="a/m", cascade="team/e", request_id="r",
    data_class="open", answer="Paris", finish=base.FinishReason.LENGTH,
    messages=(
        base.user(CANARY),
        base.Message(base.Role.ASSISTANT, (base.ToolCallPart("c", "look", "{}"),)),
        base.Message(
            base.Role.TOOL,
            (base.ToolResultPart("c", "look", (base.TextPart("seen"), base.ImagePart("image/png", b"pixels"))),),
        ),
    ),
)  # fmt: skip


def settings(port: int, host: str = "127.0.0.1", **given: Any) -> Callback:
    """Return a callback on loopback in plaintext, where nothing else is said."""
    values = {"tls": False, "private": True, "timeout_s": 5.0} | given
    return callbacks_of({"c": CallbackSection(address=f"{host}:{port}", **values)}, "test")["c"]


@asynccontextmanager
async def channel(callback: Callback, resolved: Sequence[str] = ()) -> AsyncIterator[CallbackChannel]:
    """Return a channel; resolved: what its name leads to."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        return resolved or [host]

    made = CallbackChannel("c", callback, time.monotonic, resolve)
    try:
        yield made
    finally:
        await made.aclose()


async def failure(made: CallbackChannel, timeout_s: float = 20.0) -> Failure:
    """Ask, and return how that failed."""
    with pytest.raises(CallbackFailed) as caught:
        await made.check(QUESTION, timeout_s=timeout_s)
    return caught.value.failure


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
        return port


# -- what is said ------------------------------------------------------------------------------------------------------


async def test_it_is_asked_about_the_answer_and_not_told_the_task() -> None:
    reviewer = Reviewer(CheckAnswerResponse(accepted=True, score=0.25, reason="short\nbut right"))
    async with answering(reviewer) as port, channel(settings(port)) as made:
        verdict = await made.check(QUESTION, timeout_s=20.0)
    assert (verdict.accepted, verdict.score, verdict.reason) == (True, 0.25, "short but right")
    (asked,) = reviewer.asked
    assert asked == CheckAnswerRequest(
        decision_id="d", attempt_id="2", task_class="t", workflow="w", model="a/m", cascade="team/e", request_id="r",
        data_class="open", answer="Paris", finish_reason="FINISH_REASON_LENGTH",
    )  # fmt: skip
    assert CANARY.encode() not in asked.SerializeToString()
    assert 0.0 < reviewer.left_s[0] <= 5.0, "it knows how long it has"
    assert "authorization" not in reviewer.metadata[0]


async def test_the_task_is_sent_where_the_configuration_says_so_without_the_data_of_images() -> None:
    reviewer = Reviewer()
    async with answering(reviewer) as port, channel(settings(port, send_task=True)) as made:
        await made.check(QUESTION, timeout_s=20.0)
    first, call, result = reviewer.asked[0].messages
    assert (first.role, first.parts[0].text) == (2, CANARY)
    assert call.parts[0].tool_call.name == "look"
    text, image = result.parts[0].tool_result.parts
    assert (text.text, image.image.media_type, image.image.data) == ("seen", "image/png", b"")


@pytest.mark.parametrize(("said", "score"), [(YES, 1.0), (NO, 0.0)])
async def test_a_verdict_without_a_score_is_one_or_zero(said: CheckAnswerResponse, score: float) -> None:
    async with answering(Reviewer(said)) as port, channel(settings(port)) as made:
        verdict = await made.check(QUESTION, timeout_s=20.0)
    assert (verdict.accepted, verdict.score, verdict.reason) == (score == 1.0, score, "")


async def test_one_connection_serves_all_questions() -> None:
    reviewer = Reviewer()
    async with answering(reviewer) as port, channel(settings(port)) as made:
        await asyncio.gather(*(made.check(QUESTION, timeout_s=20.0) for _ in range(20)))
        await made.check(QUESTION, timeout_s=20.0)
    assert len(reviewer.asked) == 21
    assert len(reviewer.peers) == 1


# -- tokens and TLS ----------------------------------------------------------------------------------------------------


async def test_the_token_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REVIEWER_TOKEN", CANARY)
    reviewer = Reviewer()
    async with answering(reviewer) as port:
        callback = settings(port, token_env="REVIEWER_TOKEN")
        assert CANARY not in repr(callback)
        async with channel(callback) as made:
            await made.check(QUESTION, timeout_s=20.0)
            reviewer.say = ends_with(grpc.StatusCode.UNAUTHENTICATED, f"not {CANARY}")
            with pytest.raises(CallbackFailed) as caught:
                await made.check(QUESTION, timeout_s=20.0)
    assert [seen["authorization"] for seen in reviewer.metadata] == [f"Bearer {CANARY}"] * 2
    assert caught.value.failure is Failure.UNAUTHORIZED
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def secured(files: Certificates) -> grpc.ServerCredentials:
    """Return the credentials of a server with these files."""
    return grpc.ssl_server_credentials([(files.key.read_bytes(), files.certificate.read_bytes())])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_tls_holds_for_the_name_and_its_own_authority(tmp_path: Path, host: str) -> None:
    files, reviewer = Certificates.make(tmp_path / "a"), Reviewer()
    async with answering(reviewer, credentials=secured(files)) as port:
        async with channel(settings(port, host, tls=True, ca=str(files.ca)), ["127.0.0.1"]) as made:
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
        others = Certificates.make(tmp_path / "b")
        async with channel(settings(port, host, tls=True, ca=str(others.ca)), ["127.0.0.1"]) as made:
            assert await failure(made) is Failure.UNREACHABLE
        async with channel(settings(port, host, tls=True), ["127.0.0.1"]) as made:
            assert await failure(made) is Failure.UNREACHABLE, "the usual authorities did not sign it"
        named = settings(port, "checks.internal", tls=True, ca=str(files.ca))
        async with channel(named, ["127.0.0.1"]) as made:
            assert await failure(made) is Failure.UNREACHABLE, "the certificate is for another name"
        async with channel(settings(port)) as made:
            assert await failure(made) is Failure.UNREACHABLE, "plaintext to a server with TLS"
    assert len(reviewer.asked) == 1


async def test_tls_to_a_server_in_plaintext_fails(tmp_path: Path) -> None:
    reviewer, files = Reviewer(), Certificates.make(tmp_path)
    async with answering(reviewer) as port, channel(settings(port, tls=True, ca=str(files.ca))) as made:
        assert await failure(made) is Failure.UNREACHABLE
    assert reviewer.asked == []


# -- where it may be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "resolved",
    [
        ["169.254.169.254"], ["8.8.8.8"], ["127.0.0.1", "8.8.8.8"], ["::ffff:127.0.0.1"], ["0.0.0.0"],  # noqa: S104
        ["10.0.0.1"],  # private, but not this machine, and without TLS
    ],
)  # fmt: skip
async def test_a_name_that_leads_elsewhere_is_refused_whole(resolved: list[str]) -> None:
    reviewer = Reviewer()
    async with answering(reviewer) as port, channel(settings(port, "localhost"), resolved) as made:
        assert await failure(made) is Failure.UNREACHABLE
        assert made._channels == [], "nothing is connected to"
    assert reviewer.asked == []


async def test_a_private_address_is_refused_to_one_that_is_not_marked_so(tmp_path: Path) -> None:
    reviewer, files = Reviewer(), Certificates.make(tmp_path)
    async with answering(reviewer, credentials=secured(files)) as port:
        public = settings(port, "checks.example.com", tls=True, private=False, ca=str(files.ca))
        async with channel(public, ["127.0.0.1"]) as made:
            assert await failure(made) is Failure.UNREACHABLE
    assert reviewer.asked == []


async def test_of_two_families_the_one_that_answers_is_used() -> None:
    reviewer = Reviewer()
    async with answering(reviewer) as port, channel(settings(port, "localhost"), ["::1", "127.0.0.1"]) as made:
        for _ in range(3):
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
    assert len(reviewer.peers) == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    async with answering(Reviewer()) as port, channel(settings(port)) as made:
        assert (await made.check(QUESTION, timeout_s=20.0)).accepted


async def test_it_follows_its_name_to_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    leads = ["127.0.0.1"]
    now_s = [0.0]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return list(leads)

    reviewer = Reviewer()
    async with answering(reviewer) as port:
        made = CallbackChannel("c", settings(port, "localhost"), lambda: now_s[0], resolve)
        try:
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
            leads[:] = ["169.254.169.254"]
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "the name is asked for every ten seconds"
            now_s[0] = 11.0
            assert await failure(made) is Failure.UNREACHABLE
            leads[:] = ["127.0.0.2"]
            assert await failure(made) is Failure.UNREACHABLE, "nobody listens there"
            leads[:] = ["127.0.0.1"]
            now_s[0] = 22.0
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
        finally:
            await made.aclose()


# -- the last moment ---------------------------------------------------------------------------------------------------


async def test_it_asks_whether_it_may_leave_once_it_is_connected() -> None:
    reviewer, asked = Reviewer(), []

    def refuse() -> None:
        asked.append(made._channels[0].get_state())
        raise Withheld("the rules have changed")

    async with answering(reviewer) as port, channel(settings(port)) as made:
        with checked(refuse), pytest.raises(Withheld):
            await made.check(QUESTION, timeout_s=20.0)
        assert asked == [grpc.ChannelConnectivity.READY]
        assert reviewer.asked == []
        assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "that says nothing of the callback"


async def test_a_caller_who_leaves_ends_the_question() -> None:
    reviewer = Reviewer(never)
    async with answering(reviewer) as port, channel(settings(port, concurrent_calls=1)) as made:
        asking = asyncio.ensure_future(made.check(QUESTION, timeout_s=20.0))
        await reviewer.reaches(1)
        began_s = time.monotonic()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        await reviewer.reaches(0)
        assert time.monotonic() - began_s < 2.0
        assert reviewer.cancelled == 1
        reviewer.say = YES
        assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "its place is free again"


# -- callbacks that fail -----------------------------------------------------------------------------------------------


async def test_a_slow_one_fails_by_its_own_time_or_the_callers() -> None:
    reviewer = Reviewer(never)
    async with answering(reviewer) as port, channel(settings(port, timeout_s=0.3)) as made:
        began_s = time.monotonic()
        assert await failure(made) is Failure.TIMEOUT
        assert 0.25 < time.monotonic() - began_s < 2.0
        assert max(reviewer.left_s) < 0.4
        began_s = time.monotonic()
        for _ in range(6):
            assert await failure(made, 0.1) is Failure.NO_TIME
        assert time.monotonic() - began_s < 3.0
        reviewer.say = YES
        assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "that callers have little time is not its fault"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b"\xff\xff\xff", Failure.INVALID_REPLY),
        (b"", Failure.INVALID_REPLY),  # accepted is not set
        (CheckAnswerResponse(score=0.9), Failure.INVALID_REPLY),
        (b"\x08\x01\x1a\x02\xc3\x28", Failure.INVALID_REPLY),  # a reason that is no UTF-8
        (CheckAnswerResponse(accepted=True, score=math.nan), Failure.INVALID_REPLY),
        (CheckAnswerResponse(accepted=True, score=math.inf), Failure.INVALID_REPLY),
        (CheckAnswerResponse(accepted=True, score=-0.001), Failure.INVALID_REPLY),
        (CheckAnswerResponse(accepted=True, score=1.001), Failure.INVALID_REPLY),
        (CheckAnswerResponse(accepted=True, reason="x" * (1 << 20)), Failure.ERROR),
        (ends_with(grpc.StatusCode.UNIMPLEMENTED), Failure.UNIMPLEMENTED),
        (ends_with(grpc.StatusCode.PERMISSION_DENIED), Failure.UNAUTHORIZED),
        (ends_with(grpc.StatusCode.DEADLINE_EXCEEDED), Failure.TIMEOUT),
        (ends_with(grpc.StatusCode.UNAVAILABLE), Failure.UNREACHABLE),
        (ends_with(grpc.StatusCode.CANCELLED), Failure.ERROR),
        (ends_with(grpc.StatusCode.UNKNOWN, "y" * 20_000), Failure.ERROR),
    ],
)
async def test_what_says_nothing_of_use_is_a_failure_of_its_kind(said: Say, expected: Failure) -> None:
    async with answering(Reviewer(said)) as port, channel(settings(port)) as made:
        assert await failure(made) is expected


async def test_a_long_reason_is_cut_and_its_control_characters_go() -> None:
    said = CheckAnswerResponse(accepted=False, reason="\x1b[2J\u202e" + "x" * 60_000)
    async with answering(Reviewer(said)) as port, channel(settings(port)) as made:
        reason = (await made.check(QUESTION, timeout_s=20.0)).reason
    assert len(reason) <= LONGEST_REASON
    assert reason.isprintable()


async def test_a_peer_that_is_no_grpc_server_fails() -> None:
    async def noise(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(noise, "127.0.0.1", 0)
    async with server, channel(settings(server.sockets[0].getsockname()[1], timeout_s=1.0)) as made:
        assert await failure(made) is Failure.UNREACHABLE


async def test_another_service_is_told_by_its_name() -> None:
    async with answering(Reviewer()) as port:
        server = grpc.aio.server()
        other = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        found = await tried(
            {"c": settings(port), "other": settings(other), "gone": settings(free_port())}, time.monotonic
        )
        await server.stop(None)
    assert found.keys() == {"other", "gone"}
    assert found["other"].startswith("unimplemented: ")
    assert "naiad.v1.CheckService" in found["other"]
    assert found["gone"].startswith("unreachable: ")


async def test_no_more_questions_are_under_way_than_may_be() -> None:
    held = asyncio.Event()

    async def wait(request: CheckAnswerRequest, context: Any) -> CheckAnswerResponse:
        await held.wait()
        return YES

    reviewer = Reviewer(wait)
    async with answering(reviewer) as port, channel(settings(port, concurrent_calls=2, timeout_s=10.0)) as made:
        waiting = [asyncio.ensure_future(made.check(QUESTION, timeout_s=20.0)) for _ in range(4)]
        await reviewer.reaches(2)
        assert await failure(made, 0.2) is Failure.BUSY
        held.set()
        assert all(verdict.accepted for verdict in await asyncio.gather(*waiting))
        assert reviewer.most == 2
        assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "being busy says nothing of it"


async def test_one_that_is_dead_is_left_alone_and_found_again() -> None:
    """Five failures in a row open the breaker; after its second one question goes as a probe."""
    now_s, port = [100.0], free_port()
    made = CallbackChannel("c", settings(port, timeout_s=2.0), lambda: now_s[0])
    try:
        began_s = time.monotonic()
        for _ in range(5):
            assert await failure(made) is Failure.UNREACHABLE
        assert time.monotonic() - began_s < 1.0, "a refused connection is no timeout"
        began_s = time.monotonic()
        for _ in range(100):
            assert await failure(made) is Failure.RESTING
        assert time.monotonic() - began_s < 0.5, "it costs nothing"
        reviewer = Reviewer()
        async with answering(reviewer, port):
            assert await failure(made) is Failure.RESTING
            now_s[0] += 1.5
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted
        assert len(reviewer.asked) == 2
        assert await failure(made) is Failure.UNREACHABLE, "it went away again"
        async with answering(reviewer, port):
            assert (await made.check(QUESTION, timeout_s=20.0)).accepted, "at once, where nobody waits"
    finally:
        await made.aclose()


async def test_a_hanging_one_is_left_alone_too() -> None:
    """Packets go nowhere: the time runs out while it is still being connected to."""
    held = socket.socket()
    held.bind(("127.0.0.1", 0))
    held.listen(0)
    try:
        async with channel(settings(held.getsockname()[1], timeout_s=0.1)) as made:
            found = [await failure(made) for _ in range(7)]
        assert set(found[:5]) == {Failure.UNREACHABLE}
        assert found[5:] == [Failure.RESTING] * 2
    finally:
        held.close()
