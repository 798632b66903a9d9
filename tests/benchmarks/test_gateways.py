"""The benchmarks of Complete and StreamComplete in a tiny form; no time is judged. Peers are skipped where absent."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gateways, http_load, provider, streams, wire
from benchmarks.gateway_figures import figures_of
from benchmarks.http_load import Reading, closed_loop, post
from benchmarks.streams import One
from naiad.v1 import router_service_pb2

ROOT = Path(__file__).resolve().parents[2]
OURS = {
    "complete_added_ms", "stream_added_ms", "stream_first_token_added_ms", "complete_commit_ms", "echo_ms",
    "complete_without_commit_ms", "complete_per_s", "replies_not_ok", "log_rows_equal_requests",
}  # fmt: skip
QUICK = ("tensorzero", "portkey")  # LiteLLM takes half a minute to start


def benchmark(module: str, *arguments: str, file: Path) -> tuple[int, dict[str, Any]]:
    """Run one in a process of its own: it pins itself to cores."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    assert file.exists(), done.stderr
    return done.returncode, json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, dict[str, Any]]:
    file = tmp_path_factory.mktemp("gateway") / "gateway.json"
    return benchmark("benchmarks.gateway", "--quick", "--peers", ",".join(QUICK), file=file)


def test_ours_is_measured(measured: tuple[int, dict[str, Any]]) -> None:
    _, content = measured
    assert content.keys() >= OURS | {"machine", "versions", "raw"}
    assert content["complete_commit_ms"]["value"].keys() == {"at_1", "at_16"}
    assert 0 < content["complete_commit_ms"]["value"]["at_1"] < content["raw"]["blocks"]["timed whole 1"][0]["p99_ms"]
    for key in ("complete_added_ms", "stream_added_ms", "stream_first_token_added_ms", "complete_per_s"):
        if isinstance(content[key]["value"], dict):
            assert content[key]["value"]["at_1"] > 0, key
    assert content["replies_not_ok"]["value"] == 0
    assert content["log_rows_equal_requests"]["pass"], content["log_rows_equal_requests"]
    assert content["log_rows_equal_requests"]["value"]["answered"] > 0
    (block,) = content["raw"]["blocks"]["complete stream 1"]
    assert block["first_p50_ms"] < block["p50_ms"]


@pytest.mark.parametrize("name", QUICK)
def test_a_peer_is_measured(measured: tuple[int, dict[str, Any]], name: str) -> None:
    _, content = measured
    found = [reason for reason in content["raw"]["absent"] if reason.startswith(name)]
    if found:
        assert content[f"{name}_added_ms"]["value"] == f"not measured: {found[0]}"
        pytest.skip(found[0])
    for key in (f"{name}_added_ms", f"{name}_stream_added_ms", f"{name}_stream_first_token_added_ms", f"{name}_per_s"):
        assert content[key]["value"].keys() == {"at_1", "at_16"}, key
    assert content["raw"]["peers"][name] != "absent"


def test_a_peer_left_out_is_not_measured_and_nothing_is_reached(measured: tuple[int, dict[str, Any]]) -> None:
    code, content = measured
    assert code == 1
    assert content["litellm_added_ms"]["value"] == "not measured: litellm was left out by --peers"
    assert not content["litellm_added_ms"]["pass"]
    assert not content["complete_added_ms"]["pass"]
    assert "litellm was left out" in content["complete_added_ms"]["value"]["litellm"]


def test_the_provider_is_nginx(measured: tuple[int, dict[str, Any]]) -> None:
    if provider.found() is None:
        assert measured[1]["raw"]["peers"]["provider"] == "bare asyncio server"
        pytest.skip(provider.MISSING)
    assert measured[1]["raw"]["peers"]["provider"].startswith("nginx/")


def test_the_provider_without_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "found", lambda: None)
    process = provider.started(tmp_path / "provider", set())
    try:
        for kind in gateways.KINDS:
            found = gateways.direct(process).run(kind, 2, 0.05)
            assert found.failed == 0
            assert len(found.took_s) >= 2
    finally:
        process.stop()


def test_streams(tmp_path: Path) -> None:
    arguments = ("--streams", "20", "--tokens", "10", "--seconds", "0.5", "--ramp", "0.1")
    _, content = benchmark("benchmarks.streams", *arguments, file=tmp_path / "streams.json")
    assert content.keys() == {"stream_kib", "stream_stall_ms", "streams_whole", "machine", "versions", "raw"}
    assert content["streams_whole"]["pass"], content["streams_whole"]
    assert content["stream_stall_ms"]["value"] > 0
    assert content["raw"]["statuses"] == {"0": 20}
    assert content["raw"]["took_s"] >= 0.45  # nine gaps of a twentieth of a second


def event(**fields: Any) -> bytes:
    message: bytes = router_service_pb2.StreamCompleteResponse(**fields).SerializeToString()
    return b"\0" + len(message).to_bytes(4, "big") + message


def stream_of(*texts: str, answer: str) -> One:
    whole = router_service_pb2.CompleteResponse()
    whole.answer.parts.add(text=answer)
    one = One(0.0, status="0")
    for number, text in enumerate(texts):
        one.read(event(text_delta=router_service_pb2.TextDelta(text=text)), 1.0 + number**2)
    one.read(event(completed=router_service_pb2.StreamCompleted(response=whole)), 20.0)
    return one


def test_a_stream_is_whole_with_all_pieces_in_order_and_the_answer() -> None:
    one = stream_of(" tok0", " tok1", " tok2", answer=" tok0 tok1 tok2")
    assert one.whole(3)
    assert (one.first_s, one.stall_s) == (1.0, 15.0)  # the end repeats the text: the gap to it counts as well
    assert not one.whole(4)
    assert not stream_of(" tok1", " tok0", " tok2", answer=" tok0 tok1 tok2").whole(3)
    assert not stream_of(" tok0", " tok1", answer=" tok0 tok1 tok2").whole(3)
    assert not stream_of(" tok0", " tok1", " tok2", answer=" tok0").whole(3)
    one.status = "4"
    assert not one.whole(3)


def test_too_few_open_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))
    with pytest.raises(SystemExit, match=r"1000 streams need 1200 open files.*ulimit -Hn 1200.*--streams 312"):
        streams.need_files(1_000)


def test_messages_are_cut_and_a_piece_of_one_is_none() -> None:
    body = b"\0\0\0\0\2ab\0\0\0\0\0\0\0\0\0\1c"
    assert wire.messages_of(body) == [b"ab", b"", b"c"]
    assert wire.messages_of(body[:-1]) == []
    assert wire.messages_of(b"\1" + body[1:]) == []


@contextmanager
def replying(reply: bytes) -> Iterator[str]:
    """Answer every read with the same bytes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    while connection.recv(65_536):
                        connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)


@pytest.mark.parametrize(
    ("reply", "good"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nParis ends", True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nParis ends\r\n0\r\n\r\n", True),
        (b"HTTP/1.1 500 No\r\ncontent-length: 10\r\n\r\nParis ends", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nParis", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_http_load_counts_what_is_no_answer(reply: bytes, good: bool) -> None:
    with replying(reply) as address:
        found = closed_loop(address, post(address, "/", {}, b"{}"), 1, 0.02, first=b"Paris", last=b"ends")
    assert (found.failed == 0) == good
    assert bool(found.took_s) == good


def test_http_load_refuses_a_reply_without_a_length() -> None:
    with pytest.raises(ValueError, match="neither content-length nor chunked"):
        Reading(b"a", b"b").feed(b"HTTP/1.1 200 OK\r\n\r\n", 0.0)


def test_a_reply_in_pieces_has_its_first_text_before_its_end() -> None:
    reading = http_load.Reading(b"Paris", b"ends")
    assert not reading.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nPar", 1.0)
    assert not reading.feed(b"is ", 2.0)
    assert reading.feed(b"ends", 3.0)
    assert reading.first_at == 2.0
    assert reading.good


def facts(**p50_ms: float) -> dict[tuple[str, str, int], list[dict[str, float]]]:
    """Return blocks of two rounds; in the second everything takes 1 ms longer. The first text takes half the time."""
    times = {"direct": 0.1, "complete": 2.1, "portkey": 4.2, "litellm": 30.0, "tensorzero": 0.9, "echo": 0.3} | p50_ms
    return {
        (name, kind, count): [
            {"p50_ms": ms + more, "first_p50_ms": ms / 2 + more, "per_s": 1e3 / ms, "failed": 0} for more in (0.0, 1.0)
        ]
        for name, ms in times.items()
        for kind in ("whole", "stream")
        for count in (1, 16)
    }


COMMITS = {1: [1.0, 1.0], 16: [1.0, 1.0]}
PEERS = ["litellm", "portkey", "tensorzero"]


def test_figures_are_differences_within_rounds_and_hold_against_the_peers() -> None:
    figures = figures_of(facts(), COMMITS, PEERS, [])
    assert figures["complete_added_ms"]["value"]["at_1"] == pytest.approx(2.0)
    assert figures["portkey_added_ms"]["value"]["at_16"] == pytest.approx(4.1)
    assert figures["stream_first_token_added_ms"]["value"]["at_1"] == pytest.approx(1.0)
    assert figures["complete_without_commit_ms"]["value"] == pytest.approx(
        {"at_1": 1.0, "at_16": 1.0, "limit_at_1": 1.6, "limit_at_16": 1.6}  # the echo's median: 0.3 and 1.3
    )
    assert all(figure["pass"] for figure in figures.values())


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"portkey": 4.0}, "complete_added_ms"),
        ({"litellm": 20.0}, "complete_added_ms"),
        ({"litellm": 20.0}, "stream_first_token_added_ms"),
        ({"tensorzero": 0.2}, "complete_without_commit_ms"),
        ({"portkey": 2.0}, "complete_per_s"),
    ],
)
def test_figures_are_missed(changed: dict[str, float], missed: str) -> None:
    assert not figures_of(facts(**changed), COMMITS, PEERS, [])[missed]["pass"]


def test_one_number_in_flight_is_enough_to_miss() -> None:
    blocks = facts()
    for block in blocks["portkey", "whole", 16]:
        block["p50_ms"] -= 1.0
    assert not figures_of(blocks, COMMITS, PEERS, [])["complete_added_ms"]["pass"]


def test_a_bad_reply_is_a_figure() -> None:
    blocks = facts()
    blocks["portkey", "whole", 1][1]["failed"] = 1
    assert not figures_of(blocks, COMMITS, PEERS, [])["replies_not_ok"]["pass"]
