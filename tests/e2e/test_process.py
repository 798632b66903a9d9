"""The process and what it stands on: streams that cannot be written or are closed, and signals at any moment."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.e2e.live import BASE, Caller, Live, Refusal

COMMAND = [sys.executable, "-m", "naiad.server"]
PATIENCE_S = 30.0
BUFFERED = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


def free_port() -> int:
    """Return a port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(look: Callable[[], Any], what: str) -> Any:
    """Return what a look gives once it is true; bounded."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.005)
    raise AssertionError(f"in vain: {what}")


def unread_pipe() -> int:
    """Return the writing end of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@contextmanager
def sink(kind: str) -> Iterator[int]:
    """Open a file that cannot be written: "full" or "unread"."""
    number = os.open("/dev/full", os.O_WRONLY) if kind == "full" else unread_pipe()
    try:
        yield number
    finally:
        os.close(number)


def launch(folder: Path, config: str = BASE, *, shell: str = "", **streams: Any) -> tuple[subprocess.Popen[str], str]:
    """Start a server on a free port; return it and its address once it takes calls. shell: redirections."""
    (folder / "naiad.toml").write_text(config, encoding="utf-8")
    address = f"127.0.0.1:{free_port()}"
    command = [*COMMAND, "serve", "--config", str(folder / "naiad.toml"), "--listen", address,
               "--data-dir", str(folder / "data")]  # fmt: skip
    if shell:
        command = ["sh", "-c", f'exec "$@" {shell}', "sh", *command]
    process = subprocess.Popen(command, text=True, **({"stdin": subprocess.DEVNULL} | streams))
    with grpc.insecure_channel(address) as channel:
        try:
            grpc.channel_ready_future(channel).result(PATIENCE_S)
        except grpc.FutureTimeoutError:
            process.kill()
            raise AssertionError(f"it does not serve; exit code {process.wait()}") from None
    return process, address


def ended(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """Send a signal and return the exit code."""
    process.send_signal(number)
    return process.wait(PATIENCE_S)


def free_lock(folder: Path) -> bool:
    """Return whether nobody holds the database."""
    with (folder / "data" / "naiad.db.lock").open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


POOR = BASE + "[policy]\nusd_per_request = 1e-9\n"  # a budget that the log warns of at the 33rd decision
WARNED = 40


@full
@pytest.mark.parametrize("kind", ["full", "unread"])
def test_logs_that_cannot_be_written_end_no_call_and_change_no_exit_code(tmp_path: Path, kind: str) -> None:
    with sink(kind) as stderr:
        process, address = launch(tmp_path, POOR, stdout=subprocess.DEVNULL, stderr=stderr)
        caller = Caller(address)
        try:
            for _ in range(WARNED):
                caller.outcome(caller.decide().decision_id)
            caller.verify()
        finally:
            caller.close()
            code = ended(process)
    assert code == 0


def test_lines_that_were_dropped_are_told_of_once_logs_can_be_written_again(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    filling = b"x" * 4096
    while True:
        try:
            os.write(writer, filling)
        except BlockingIOError:
            break
    process, address = launch(tmp_path, POOR, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    caller = Caller(address)
    for _ in range(WARNED):
        caller.decide()
    caller.close()
    process.send_signal(signal.SIGTERM)
    with open(reader, "rb") as stream:
        text = stream.read().lstrip(b"x").decode()
    assert process.wait(PATIENCE_S) == 0
    told, stopped = text.splitlines()
    assert "log_lines_dropped" in told
    assert "lines=3" in told, "of serving, of the keys that are not there, and of the budget"
    assert "stopped" in stopped


@linux
@full
def test_a_failed_commit_stops_the_server_although_nobody_can_be_told_in_the_log(tmp_path: Path) -> None:
    with sink("full") as stderr:
        process, address = launch(tmp_path, stdout=subprocess.DEVNULL, stderr=stderr)
        caller = Caller(address)
        try:
            decision = caller.decide().decision_id
            caller.settle()
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))  # a full disk
            with pytest.raises(Refusal) as caught:
                caller.outcome(decision)
            assert caught.value.reason == "STORAGE_FAILED"
            assert process.wait(PATIENCE_S) == 1
        finally:
            caller.close()
            process.kill()
            process.wait()
    assert free_lock(tmp_path)


@full
@pytest.mark.parametrize("kind", ["full", "unread"])
def test_a_server_whose_address_nobody_reads_serves(tmp_path: Path, kind: str) -> None:
    with sink(kind) as stdout, (tmp_path / "log").open("w") as stderr:
        process, address = launch(tmp_path, stdout=stdout, stderr=stderr)
        caller = Caller(address)
        try:
            caller.decide()
        finally:
            caller.close()
            code = ended(process)
    log = (tmp_path / "log").read_text()
    assert code == 0, log
    assert "address_not_printed" in log
    assert "Traceback" not in log
    assert "cannot listen" not in log
    assert free_lock(tmp_path)


@pytest.mark.parametrize("shell", ["<&- >&- 2>&-", "<&-", ">&-", "2>&-", "<&- >&-"])
def test_a_server_without_standard_streams_serves_and_stops(tmp_path: Path, shell: str) -> None:
    process, address = launch(
        tmp_path, shell=shell, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        if sys.platform == "linux":
            links = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
            assert links == ["/dev/null"] * 3
        caller = Caller(address)
        caller.verify()  # its process gets pipes and a file for streams
        caller.close()
    finally:
        code = ended(process)
    assert code == 0
    assert free_lock(tmp_path)


def catches(process: subprocess.Popen[str], number: int) -> bool:
    """Return whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = next((line for line in status.splitlines() if line.startswith("SigCgt:")), "SigCgt: 0")
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("moment", ["signals in hand", "database open", *range(3)])
def test_a_signal_during_the_start_ends_it_quietly(tmp_path: Path, number: signal.Signals, moment: str | int) -> None:
    """From when it has its signals in hand, and at three moments of the second after."""
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data")]
    process = subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests run in the background, too
    )  # fmt: skip
    until(lambda: catches(process, signal.SIGTERM), "a handler of SIGTERM")
    if moment == "database open":
        until((tmp_path / "data" / "naiad.db-wal").exists, "the database")
    elif isinstance(moment, int):
        time.sleep(0.2 + moment * 0.4)  # not awaited but sampled: which moment it hits is for chance to say
    process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE_S)
    expected = 0 if "listening" in out else 128 + number
    assert (process.returncode, "Traceback" in err) == (expected, False), (out, err)
    if (tmp_path / "data").exists():
        assert free_lock(tmp_path)


def test_signals_after_the_first_change_nothing(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as stderr:
        process, _ = launch(tmp_path, stdout=subprocess.DEVNULL, stderr=stderr)
        process.send_signal(signal.SIGTERM)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) * 1_000:
            if process.poll() is not None:
                break
            process.send_signal(number)
            time.sleep(0.002)
        code = process.wait(PATIENCE_S)
    assert (code, "Traceback" in (tmp_path / "log").read_text()) == (0, False)


def test_a_server_stops_with_its_parent_where_it_is_told_to(tmp_path: Path) -> None:
    command = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--data-dir", str(tmp_path / "data"), "--until-stdin-ends"]
    process = subprocess.Popen(
        command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().startswith("naiad listening on ")
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
    process.stdout.close()
    assert free_lock(tmp_path)


# -- commands that print -----------------------------------------------------------------------------------------------


def printing(served: Live) -> list[list[str]]:
    """Return a command line of each kind that prints."""
    decision = served.caller.decide().decision_id
    served.caller.settle()
    server = ["--server", served.caller.address]
    return [  # the last two by argparse, which says nothing where streams have no buffer
        ["check"], ["arms", *server], ["explain", decision, *server], ["replay", *server], ["--version"], ["--help"],
    ]  # fmt: skip


@full
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(served: Live) -> None:
    for arguments in printing(served):
        with sink("full") as stdout:
            found = subprocess.run(
                [*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=BUFFERED
            )
        assert found.returncode == 1, arguments
        assert found.stderr == "naiad: standard output cannot be written: No space left on device\n", arguments


def test_a_reader_that_goes_away_is_not_complained_of(served: Live) -> None:
    for arguments in printing(served):
        with sink("unread") as stdout:
            found = subprocess.run(
                [*COMMAND, *arguments], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, env=BUFFERED
            )
        assert (found.returncode, found.stderr) == (128 + signal.SIGPIPE, ""), arguments


@full
def test_complaints_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    for arguments, code in ((["check", "--config", "none.toml"], 2), (["nonsense"], 2), (["replay"], 1)):
        with sink("full") as stderr:
            found = subprocess.run(
                [*COMMAND, *arguments], stdout=subprocess.DEVNULL, stderr=stderr, check=False, cwd=tmp_path
            )
        assert found.returncode == code, arguments


# -- the process that folds the log for VerifyLog ----------------------------------------------------------------------


def replaying(server: int) -> int:
    """Return the process that folds the log for a server; 0 if there is none."""
    for task in Path(f"/proc/{server}/task").iterdir():
        for child in (task / "children").read_text().split():
            with suppress(OSError):
                if b"--from-stdin" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
    return 0


@contextmanager
def verifying(folder: Path, config: str = BASE) -> Iterator[tuple[subprocess.Popen[str], int, Future[Any]]]:
    """Serve in a process group of its own, and hold the process that folds the log for a VerifyLog under way."""
    with (folder / "log").open("w") as stderr, ThreadPoolExecutor(1) as pool:
        process, address = launch(folder, config, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
        caller = Caller(address)
        try:
            call = pool.submit(caller.call, "AdminService/VerifyLog", timeout_s=60.0)
            child = until(lambda: replaying(process.pid), "a process that folds the log")
            os.kill(child, signal.SIGSTOP)
            yield process, child, call
        finally:
            process.kill()
            process.wait()
            caller.close()


@linux
def test_ctrl_c_does_not_cut_off_a_verification(tmp_path: Path) -> None:
    with verifying(tmp_path) as (process, child, call):
        os.killpg(process.pid, signal.SIGINT)  # as the terminal does
        os.kill(child, signal.SIGCONT)
        assert call.result(PATIENCE_S).statistics_equal
        assert process.wait(PATIENCE_S) == 0


@linux
def test_a_verification_that_does_not_end_ends_with_the_server(tmp_path: Path) -> None:
    with verifying(tmp_path, BASE.replace("[server]", "[server]\ndrain_s = 0.2")) as (process, child, call):
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        assert not Path(f"/proc/{child}").exists()
        refusal = call.exception(PATIENCE_S)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.reason, refusal.message) == ("UNAVAILABLE", "", "Cancelling all calls")


@linux
def test_a_verification_whose_process_is_killed_says_so(tmp_path: Path) -> None:
    with verifying(tmp_path) as (process, child, call):
        os.kill(child, signal.SIGKILL)
        refusal = call.exception(PATIENCE_S)
        assert isinstance(refusal, Refusal)
        assert (refusal.code, refusal.reason) == ("INTERNAL", "INTERNAL")
        assert "SIGKILL" in refusal.message
        incident = refusal.metadata["incident_id"]
        assert len(incident) == 32
        assert incident in (tmp_path / "log").read_text()
        assert ended(process) == 0
