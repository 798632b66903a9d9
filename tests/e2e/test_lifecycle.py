"""Starting, draining, restarting, and every way in which a start is refused."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.e2e.live import BASE, Caller, Process, Refusal, live

USER = {"role": 2, "parts": [{"text": "hello"}]}


def started(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `naiad serve` where it must refuse to start."""
    file = folder / "naiad.toml"
    if not file.exists():
        file.write_text(BASE, encoding="utf-8")
    command = [sys.executable, "-m", "naiad.server", "serve", "--config", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=folder, check=False)


def refused(result: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """Assert an exit code and a message of one line, without a traceback, that has the words."""
    assert result.returncode == code, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    message = result.stderr.strip().splitlines()[-1]
    assert message.startswith("naiad: ")
    for word in words:
        assert word in message, message


def test_health_and_a_graceful_drain(tmp_path: Path) -> None:
    """Serving while it serves; on SIGTERM a watcher is told, the calls in flight finish, and everything is kept."""
    process = Process(tmp_path, BASE.replace("[server]", "[server]\ndrain_s = 30.0"))
    caller = Caller(process.address)
    seen: list[int] = []
    with grpc.insecure_channel(process.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        assert stub.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        serving = threading.Event()

        def look() -> None:
            try:
                for response in watch:
                    seen.append(response.status)
                    serving.set()
            except grpc.RpcError:
                pass

        watching = threading.Thread(target=look)
        watching.start()
        assert serving.wait(10)
        made = [caller.decide("drain") for _ in range(50)]
        answers: list[object] = []
        verifying = threading.Thread(
            target=lambda: answers.append(caller.call("AdminService/VerifyLog", timeout_s=60.0))
        )
        verifying.start()
        time.sleep(0.2)  # the call is on its way; whether it arrived changes only how much this test shows
        began = time.monotonic()
        process.process.send_signal(signal.SIGTERM)
        verifying.join(60)
        assert process.stop() == 0, process.errors()
        took_s = time.monotonic() - began
        watching.join(20)
    caller.close()
    assert answers, "the call in flight was cut"
    assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
    assert took_s < 30.0
    with sqlite3.connect(process.database) as database:
        rows = database.execute("SELECT count(*) FROM events WHERE kind = 'decided'").fetchone()
    database.close()
    assert rows == (len(made),)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_restart_keeps_everything(tmp_path: Path, number: int) -> None:
    process = Process(tmp_path)
    caller = Caller(process.address)
    decisions = []
    for index in range(30):
        made = caller.decide(f"restart.{index % 3}", session_id=f"s{index % 5}", request_id=f"r{index}")
        caller.outcome(made.decision_id, request_id=f"o{index}")
        caller.score(made.decision_id, index / 30, source=1 + index % 4)
        decisions.append(made)
    caller.call("CatalogService/UpdateModel", model={"name": "echo/large", "data_zone": "eu"})
    caller.call("CatalogService/CreateTaskClass", task_class={"name": "restart.made"})
    completed = caller.call("RouterService/Complete", task_class="restart.0", messages=[USER], request_id="c")
    state, verified = caller.state(), caller.verify()
    record = caller.call("InsightService/GetDecision", decision_id=decisions[7].decision_id)
    process.stop(number)
    caller.close()

    process = Process(tmp_path)
    caller = Caller(process.address)
    try:
        assert caller.state() == state
        again = caller.verify()
        assert again.live_statistics_digest == verified.live_statistics_digest
        assert again.live_beliefs_digest == verified.live_beliefs_digest
        assert caller.call("InsightService/GetDecision", decision_id=decisions[7].decision_id) == record
        assert caller.decide("restart.1", session_id="s1", request_id="r1") == decisions[1], "with its notice"
        repeated = caller.decide("restart.1", session_id="s2", request_id="r7")
        assert repeated.decision_id == decisions[7].decision_id, "a repeated request is still the same decision"
        caller.outcome(decisions[7].decision_id, request_id="o7")
        assert caller.state() == state, "neither repetition changed anything"
        sticky = caller.decide("restart.1", session_id="s2")
        latest = [d for i, d in enumerate(decisions) if i % 5 == 2][-1]
        assert sticky.model == latest.model
        refusal = caller.refused("RouterService/Complete", task_class="restart.0", messages=[USER], request_id="c")
        assert refusal.reason == "REPLY_NOT_AVAILABLE"
        caller.score(completed.decision_id, 1.0)
        caller.verify()
    finally:
        caller.close()
        assert process.stop() == 0


def test_a_configuration_is_applied_where_it_changed_and_only_there(tmp_path: Path) -> None:
    """An unchanged file writes nothing at the next start; a change by RPC holds until the file's entry changes."""
    config = BASE + '[[task_classes]]\nname = "configured"\n[policy]\nusd_per_quality = 0.5\n'
    with live(tmp_path, config) as running:
        running.caller.call("CatalogService/UpdateModel", model={"name": "echo/large", "disabled": True})
        state = running.caller.state()
    with live(tmp_path, config) as running:
        assert running.caller.state() == state
    with live(tmp_path, config.replace("= 4.0", "= 5.0")) as running:
        model = running.caller.call("CatalogService/GetModel", name="echo/large").model
        assert not model.disabled
        assert model.prices.output_nano_usd_per_million_tokens == 5_000_000_000


def test_without_a_file_the_defaults_serve(tmp_path: Path) -> None:
    with live(tmp_path, None) as running:
        made = running.caller.decide("default")
        assert made.ranking
        assert running.process.database.exists()


def test_task_classes_are_not_created_where_the_configuration_forbids(tmp_path: Path) -> None:
    config = BASE + '[[task_classes]]\nname = "code.debug"\n[policy]\ncreate_task_classes = false\n'
    with live(tmp_path, config) as running:
        caller = running.caller
        before = caller.state()
        refusal = caller.refused("RouterService/Decide", task_class="code.debgu")
        assert (refusal.code, refusal.reason) == ("NOT_FOUND", "UNKNOWN_TASK_CLASS")
        assert refusal.metadata["nearest"] == "code.debug"
        assert "create_task_classes = true" in refusal.message
        for refusal in (
            caller.refused("InsightService/ListArms", task_class="code.debgu"),
            caller.refused("CatalogService/GetTaskClass", name="code.debgu"),
            caller.refused("CatalogService/DeleteTaskClass", name="code.debgu"),
        ):
            assert refusal.reason == "UNKNOWN_TASK_CLASS"
            assert "create_task_classes" not in refusal.message, "these never create one"
            assert "correct the name" in refusal.message
        refusal = caller.refused("RouterService/Complete", task_class="other", messages=[USER])
        assert refusal.reason == "UNKNOWN_TASK_CLASS"
        assert caller.state() == before
        assert caller.decide("code.debug").task_class == "code.debug"


def test_an_empty_inventory_is_served_and_refuses_each_request(tmp_path: Path) -> None:
    with live(tmp_path, 'models = []\n[server]\nlisten = "127.0.0.1:0"\n') as running:
        refusal = running.caller.refused("RouterService/Decide", task_class="any")
        assert refusal.reason == "NO_ELIGIBLE_MODEL"
        assert running.caller.arms().sequence == 1  # the policy; no task class for a request that had no effect


# -- the ways in which a start is refused ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a database that a server made and left."""
    folder = tmp_path_factory.mktemp("written")
    with live(folder) as running:
        running.caller.decide()
    return folder / "data"


@pytest.fixture
def data(written: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder."""
    return Path(shutil.copytree(written, tmp_path / "data"))


def test_a_second_server_on_one_database_is_refused(tmp_path: Path) -> None:
    with live(tmp_path) as running:
        result = started(tmp_path, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
        refused(result, 1, "naiad.db", str(running.process.process.pid), "stop it")
        running.caller.decide()


def test_a_database_locked_by_another_program_is_refused(tmp_path: Path, data: Path) -> None:
    other = sqlite3.connect(data / "naiad.db", isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    try:
        result = started(tmp_path, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    finally:
        other.close()
    refused(result, 1, "naiad.db", "locked", "close it")


def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path, data: Path) -> None:
    path = data / "naiad.db"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    before = path.read_bytes()
    result = started(tmp_path, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    refused(result, 1, "naiad.db", "99", "newer")
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "naiad.db"
    path.write_bytes(b"not a database, but somebody's file\n" * 200)
    before = path.read_bytes()
    result = started(tmp_path, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    refused(result, 1, "naiad.db", "backup")
    assert path.read_bytes() == before


def test_a_damaged_event_is_refused(tmp_path: Path, data: Path) -> None:
    """A changed letter in the log is found by its checksum, not folded."""
    with sqlite3.connect(data / "naiad.db") as database:
        database.execute("DELETE FROM snapshots")
        database.execute(
            "UPDATE events SET payload = CAST(replace(payload, 'echo/small', 'echo/smell') AS BLOB) "
            "WHERE kind = 'model'"
        )
    database.close()
    result = started(tmp_path, "--data-dir", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    refused(result, 1, "checksum", "backup")


# The superuser may write anywhere: give that right up first (Linux: drop CAP_DAC_OVERRIDE from the bounding set).
_HUMBLE = """
import ctypes, os, sys
if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).prctl(24, 1, 0, 0, 0) != 0:
    sys.exit("cannot give up CAP_DAC_OVERRIDE")
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="gives up a right that only Linux names")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_database_is_refused(tmp_path: Path, data: Path, what: str) -> None:
    (data / "naiad.db.lock").unlink(missing_ok=True)
    place, closed, opened = (data / "naiad.db", 0o444, 0o644) if what == "file" else (data, 0o555, 0o755)
    place.chmod(closed)
    try:
        command = [sys.executable, "-c", _HUMBLE, "-m", "naiad.server", "serve", "--data-dir", str(data),
                   "--listen", "127.0.0.1:0"]  # fmt: skip
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False)
    finally:
        place.chmod(opened)
    refused(result, 1, "naiad.db", "cannot", "folder")


@pytest.mark.parametrize(
    ("folder", "words"),
    [("file", ["file is a file, and no folder"]), ("file/x/y", ["file is a file"]), ("data/file", ["is a folder"])],
)
def test_a_folder_that_is_none_is_refused(tmp_path: Path, folder: str, words: list[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "data" / "file" / "naiad.db").mkdir(parents=True)
    refused(started(tmp_path, "--data-dir", folder, "--listen", "127.0.0.1:0"), 1, "naiad.db", *words)


def test_an_empty_folder_name_is_refused(tmp_path: Path) -> None:
    result = started(tmp_path, "--data-dir", "", "--listen", "127.0.0.1:0")
    assert (result.returncode, result.stdout) == (2, "")
    assert "argument --data-dir: '' names no folder; give the path of one" in result.stderr


@pytest.mark.parametrize("folder", ["file:x", "file:x?mode=memory", "no/../data", "%41 b", "link/../y"])
def test_a_folder_may_have_any_name(tmp_path: Path, folder: str) -> None:
    """What a URI would say differently, and what leads round about: one file, which is where a path says it is."""
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far")
    with live(tmp_path, BASE, "--data-dir", folder) as running:
        running.caller.decide()
        real = Path(os.path.realpath(tmp_path / folder)) / "naiad.db"
        with real.open("rb") as file:
            assert file.read(15) == b"SQLite format 3"
        assert real.with_name("naiad.db.lock").exists()
        running.caller.verify()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = started(tmp_path, "--data-dir", str(tmp_path / "file" / "data"), "--listen", "127.0.0.1:0")
    refused(result, 1, "naiad.db", "folder")


def test_an_address_in_use_is_refused(tmp_path: Path) -> None:
    with live(tmp_path) as running:
        result = started(tmp_path, "--data-dir", str(tmp_path / "other"), "--listen", running.process.address)
        refused(result, 1, running.process.address)
        assert result.stderr.count("\n") == 1, "gRPC's own words about it are not shown"


def test_the_dangerous_flag_keeps_the_other_options(tmp_path: Path) -> None:
    """With a file whose address only the flag permits, --data-dir and --listen still hold."""
    config = BASE.replace("127.0.0.1:0", "0.0.0.0:0")
    (tmp_path / "naiad.toml").write_text(config, encoding="utf-8")
    refused(
        started(tmp_path, "--data-dir", str(tmp_path / "data")), 2, "0.0.0.0:0", "--allow-plaintext-beyond-loopback"
    )
    shutil.rmtree(tmp_path / "data", ignore_errors=True)
    with live(tmp_path, config, "--allow-plaintext-beyond-loopback", "--log", "json") as running:
        assert running.process.address.startswith("127.0.0.1:"), "--listen holds"
        running.caller.decide()
        assert running.process.database.exists(), "--data-dir holds"
        assert '"event": "serving"' in running.process.errors(), "--log holds"
    assert not (tmp_path / "naiad.db").exists()


@pytest.mark.parametrize("content", [None, "listen = [", "server = 3\n"])
def test_the_dangerous_flag_does_not_hide_a_bad_file(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "bad.toml").write_text(content, encoding="utf-8")
    command = [sys.executable, "-m", "naiad.server", "serve", "--config", str(tmp_path / "bad.toml"),
               "--allow-plaintext-beyond-loopback", "--data-dir", str(tmp_path / "data")]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False)
    refused(result, 2, "bad.toml")


def test_after_a_drain_nobody_answers(tmp_path: Path) -> None:
    process = Process(tmp_path)
    caller = Caller(process.address)
    caller.decide()
    assert process.stop() == 0
    with pytest.raises(Refusal) as caught:
        caller.decide()
    assert caught.value.code == "UNAVAILABLE"
    caller.close()
