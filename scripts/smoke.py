"""Serve, decide, learn, stop: proof that an installed `naiad` works, from outside.

    python scripts/smoke.py

Runs the `naiad` that is installed beside this interpreter, with the built-in configuration, a fresh data
directory and a free port on 127.0.0.1. Exits with 0 when the server became healthy, made a decision with a
propensity, acknowledged feedback on it, and ended with exit code 0 within the grace period after SIGTERM;
otherwise says which step failed and prints the server's log.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import IO, Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from naiad.v1 import (
    feedback_pb2,
    feedback_service_pb2,
    feedback_service_pb2_grpc,
    router_service_pb2,
    router_service_pb2_grpc,
)

READY = "naiad listening on "
START_S = 60.0  # a cold start on a busy machine compiles all bytecode first
CALL_S = 20.0
STOP_S = 30.0


class SmokeError(Exception):
    """A step of the smoke test failed; the message names it, what was seen and what was expected."""


def check(holds: bool, expected: str, seen: object) -> None:
    """Raise SmokeError unless the expectation holds."""
    if not holds:
        raise SmokeError(f"expected {expected}, got {seen!r}")


def address_of(process: subprocess.Popen[str]) -> str:
    """Return HOST:PORT from the line that the server prints when it is ready.

    Raises:
        SmokeError: the server ended, or printed no such line within START_S seconds.
    """
    stdout = process.stdout
    assert stdout is not None  # noqa: S101  # Popen was asked for a pipe
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in stdout:  # goes on after readiness, so that a full pipe never blocks the server
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    deadline = time.monotonic() + START_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            line = lines.get(timeout=left)
        except queue.Empty:
            break
        if line is None:
            raise SmokeError(f"the server ended with exit code {process.wait(CALL_S)} before it was ready")
        if line.startswith(READY):
            return line.removeprefix(READY).strip()
    raise SmokeError(f"no line {READY!r} on stdout within {START_S:.0f} s")


def exercise(channel: grpc.Channel) -> str:
    """Wait for health, decide, report feedback, decide again; return a line that says what happened."""
    health: Any = health_pb2_grpc.HealthStub(channel)
    status = health.Check(health_pb2.HealthCheckRequest(), timeout=CALL_S, wait_for_ready=True).status
    check(status == health_pb2.HealthCheckResponse.SERVING, "health SERVING", status)

    router: Any = router_service_pb2_grpc.RouterServiceStub(channel)
    task = router_service_pb2.DecideRequest(task_class="smoke.test", input_tokens=200, request_id="smoke-decide-1")
    decision = router.Decide(task, timeout=CALL_S)
    check(0 < decision.propensity <= 1, "a propensity above 0 and at most 1", decision.propensity)
    ranked = [candidate.model for candidate in decision.ranking]
    check(bool(ranked) and decision.model == ranked[0], "the chosen model to lead the ranking", ranked)

    feedback: Any = feedback_service_pb2_grpc.FeedbackServiceStub(channel)
    verdict = feedback_service_pb2.ReportFeedbackRequest(
        decision_id=decision.decision_id,
        source=feedback_pb2.FEEDBACK_SOURCE_HUMAN,
        rater_id="smoke",
        score=0.75,
        request_id="smoke-feedback-1",
    )
    learned = feedback.ReportFeedback(verdict, timeout=CALL_S)
    check(learned.state == feedback_pb2.FEEDBACK_STATE_EFFECTIVE, "effective feedback", learned.state)
    check(abs(learned.effective_score - 0.75) < 1e-6, "an effective score of 0.75", learned.effective_score)
    again = feedback.ReportFeedback(verdict, timeout=CALL_S)
    check(again == learned, "the same reply to the same request_id", again)

    task.request_id = "smoke-decide-2"
    second = router.Decide(task, timeout=CALL_S)
    check(second.decision_id != decision.decision_id, "a new decision", second.decision_id)
    chosen = f"{decision.model} chosen among {len(ranked)} with propensity {decision.propensity:.3f}"
    return f"{chosen}; feedback learned"


def stop(process: subprocess.Popen[str]) -> None:
    """Ask the server to end, and require that it does so well.

    Raises:
        SmokeError: it did not end within STOP_S seconds, or not with exit code 0.
    """
    process.send_signal(signal.SIGTERM)
    try:
        code = process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        raise SmokeError(f"the server still runs {STOP_S:.0f} s after SIGTERM") from None
    check(code == 0, "exit code 0 after SIGTERM", code)


def run(naiad: Path, data_dir: Path, log: IO[str]) -> str:
    """Start the server, exercise it, stop it; return the line that says what happened."""
    command = [str(naiad), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data_dir)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        with grpc.insecure_channel(address_of(process)) as channel:
            summary = exercise(channel)
        stop(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return summary


def main() -> int:
    """Run the smoke test and return the exit code."""
    naiad = Path(sys.executable).parent / "naiad"
    with tempfile.TemporaryDirectory(prefix="naiad-smoke-") as folder:
        log_path = Path(folder) / "server.log"
        with log_path.open("w") as log:
            try:
                summary = run(naiad, Path(folder) / "data", log)
            except (SmokeError, OSError, grpc.RpcError) as error:
                log.flush()
                print(f"smoke: failed: {error}", file=sys.stderr)
                print(f"--- the server's log\n{log_path.read_text()}", file=sys.stderr)
                return 1
    print(f"smoke: passed: {summary}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
