"""Bar B1: SIGKILL at random instants with sixteen acknowledged writes in flight; nothing acknowledged is lost.

`python tests/bars/b01_kill.py --seed S --n KILLS [--json FILE] [--mutant ack_before_commit]`

The server is a real process on a folder. Kills are grouped into lives of one database each. After every restart:
writes whose fate is unknown are sent again under their request ids and succeed; every write acknowledged before the
kill is found through GetDecision; feedback for every answered decision is accepted, also where the crash took the
decision's row; VerifyLog finds statistics and beliefs equal to a fold of the log. At the end of a life SIGTERM comes
under load (no admitted call is lost, exit code 0) and the stopped file is read apart: each acknowledged write exactly
once, no gap in the sequence, and a fold from event 0 in a fresh process equal to what the server last stood at.

Zero failures in n kills bound the rate of failing kills by about 3/n. With --mutant the exit code is 0 only if the
sabotage was caught. A kill leaves the page cache alone: what a power cut takes is bar B2's business.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.v1 import admin_service_pb2, admin_service_pb2_grpc, insight_service_pb2, insight_service_pb2_grpc
from tests.bars.load import IN_FLIGHT, Book, Load, Write, uid_of
from tests.bars.logcheck import LogView
from tests.bars.process import ServerDied, ServerProcess

KILLS_A_LIFE = 8
_SHORTEST_S, _LONGEST_S = 0.1, 0.5  # when the kill comes after the load began
_CALL_S = 60.0


def upper_bound(failures: int, trials: int, confidence: float = 0.95) -> float:
    """Return the exact upper confidence bound of a failure rate (Clopper and Pearson 1934), in [0, 1]."""
    if failures >= trials:
        return 1.0
    low, high = failures / trials, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        below = sum(
            math.comb(trials, k) * middle**k * (1 - middle) ** (trials - k) for k in range(failures + 1)
        )  # P(at most so many failures)
        low, high = (middle, high) if below > 1 - confidence else (low, middle)
    return high


class Bar:
    """The bar's run: lives of a few kills each, and what went wrong in them."""

    def __init__(self, seed: int, kills: int, mutant: str = "") -> None:
        self.rng = random.Random(seed)
        self.kills = kills
        self.mutant = mutant
        self.done = 0
        self.failed_trials = 0
        self.failures: list[str] = []
        self.evidence: list[str] = []
        self.counts = {"acked": 0, "decisions": 0, "rows_lost": 0, "retried": 0, "events": 0, "drains": 0}
        self.least_in_flight = 1 << 30

    async def run(self) -> None:
        """Kill until there were enough, or until the mutant was caught."""
        while self.done < self.kills and not (self.mutant and self.failures):
            folder = Path(tempfile.mkdtemp(prefix="naiad-b01-"))
            before = len(self.failures)
            await self._life(ServerProcess(folder, self.mutant))
            if len(self.failures) > before and not self.mutant:
                self.evidence.append(str(folder))  # database and log of the life that failed are kept
            else:
                shutil.rmtree(folder)

    async def _life(self, server: ServerProcess) -> None:
        book = Book()
        try:
            await server.start()
            for _ in range(min(KILLS_A_LIFE, self.kills - self.done)):
                self.done += 1
                if not await self._trial(book, self._kill(server, book)):
                    return
            if not await self._trial(book, self._end(server, book)):
                return
            self.counts["acked"] += len(book.acked)
            self.counts["decisions"] += len(book.decisions)
        finally:
            await server.kill()

    async def _trial(self, book: Book, step: Awaitable[None]) -> bool:
        try:
            await step
        except (ServerDied, grpc.aio.AioRpcError, TimeoutError) as error:
            book.errors.append(f"kill {self.done}: {type(error).__name__}: {str(error)[:400]}")
        if not book.errors:
            return True
        self.failed_trials += 1
        self.failures.extend(book.errors)
        return False

    async def _kill(self, server: ServerProcess, book: Book) -> None:
        load = Load(server.address, book, self.rng, f"k{self.done}")
        load.begin()
        await asyncio.sleep(self.rng.uniform(_SHORTEST_S, _LONGEST_S))
        for _ in range(5_000):  # the first calls pay for the connection; then wait for an instant with sixteen
            if load.in_flight >= IN_FLIGHT or not server.alive:
                break
            await asyncio.sleep(0.001)
        self.least_in_flight = min(self.least_in_flight, load.in_flight)
        load.ending = True
        if not server.alive:
            book.errors.append(f"{load.label}: the server ended by itself: {server.log_tail()}")
        await server.kill()
        await load.end()
        await server.start()
        await self._after(server, book, load)

    async def _after(self, server: ServerProcess, book: Book, before: Load) -> None:
        """What must hold once the server is back."""
        load = Load(server.address, book, self.rng, f"{before.label}r")
        try:
            unknown = list(book.unknown.values())
            self.counts["retried"] += len(unknown)
            await _all(_again(load, write) for write in unknown)
            await _all(_present(load, write) for write in before.new_acks)
            judged = [load.judgement(decision_id) for decision_id in before.new_decisions]
            await _all(load.send(write) for write in judged)
            restored = await _all(_restored(load, decision_id) for decision_id in before.new_decisions)
            self.counts["rows_lost"] += sum(restored)
            await verify(load, book)
        finally:
            await load.channel.close()

    async def _end(self, server: ServerProcess, book: Book) -> None:
        """Stop under load, then read what lies there."""
        load = Load(server.address, book, self.rng, f"e{self.done}")
        load.begin()
        await asyncio.sleep(self.rng.uniform(_SHORTEST_S, _LONGEST_S))
        load.ending = True
        stopping = asyncio.create_task(server.terminate())
        await load.end()
        self._exit(book, await stopping)
        self.counts["drains"] += 1
        drained = LogView(server.database)
        for write in load.refused:
            if write.request_id in drained.replies:
                book.errors.append(f"drain: {write.kind} {write.request_id} was carried out, its reply did not arrive")
        dropped = sum(uid_of(decision_id) not in drained.decided for decision_id in load.new_decisions)
        if dropped:
            book.errors.append(f"drain: {dropped} of {len(load.new_decisions)} answered decisions have no row")
        await server.start()  # once more, to have the digests of what it folds to
        quiet = Load(server.address, book, self.rng, f"q{self.done}")
        served = await verify(quiet, book)
        await quiet.channel.close()
        self._exit(book, await server.terminate())
        view = LogView(server.database)
        self.counts["events"] += view.events
        book.errors.extend(view.faults(book.acked.values()))
        apart = await folded_apart(server.database)
        if apart.get("statistics") != served.live_statistics_digest.hex():
            book.errors.append(f"a fold in a fresh process gives other statistics: {apart}")
        if apart.get("beliefs") != served.live_beliefs_digest.hex():
            book.errors.append(f"a fold in a fresh process gives other beliefs: {apart}")

    def _exit(self, book: Book, code: int) -> None:
        if code != 0:
            book.errors.append(f"SIGTERM ended the server with exit code {code}")

    def report(self, seed: int, elapsed_s: float) -> dict[str, Any]:
        """Return the figures."""
        return {
            "bar": "b01_kill", "mutant": self.mutant, "seed": seed, "trials": self.done,
            "failures": self.failed_trials, "bound_95": upper_bound(self.failed_trials, max(self.done, 1)),
            "caught": bool(self.failures) if self.mutant else None, "examples": self.failures[:10],
            "evidence": self.evidence,
            "least_writes_in_flight": self.least_in_flight, **self.counts, "elapsed_s": round(elapsed_s, 1),
            "versions": {
                "python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "grpcio": grpc.__version__,
                "system": platform.platform(),
            },
        }  # fmt: skip


async def _all(steps: Any, width: int = 32) -> list[Any]:
    """Await many calls, a few at a time; raises the first error."""
    gate = asyncio.Semaphore(width)

    async def one(step: Awaitable[Any]) -> Any:
        async with gate:
            return await step

    return list(await asyncio.gather(*(one(step) for step in steps)))


async def _again(load: Load, write: Write) -> None:
    """Send a write of unknown fate again: it succeeds, or its answer is known to be gone."""
    try:
        await load.send(write)
    except grpc.aio.AioRpcError as error:
        gone = write.kind == "completion" and error.code() == grpc.StatusCode.ALREADY_EXISTS
        if not gone:
            raise
        del load.book.unknown[write.request_id]
        load.book.acked[write.request_id] = write


async def _decision(load: Load, decision_id: str) -> Any:
    stub = insight_service_pb2_grpc.InsightServiceStub(load.channel)
    reply = await stub.GetDecision(insight_service_pb2.GetDecisionRequest(decision_id=decision_id), timeout=_CALL_S)
    return reply.decision


async def _restored(load: Load, decision_id: str) -> bool:
    """Return whether the decision's row was lost, so that its record was made from the id."""
    return bool((await _decision(load, decision_id)).restored_from_id)


async def _present(load: Load, write: Write) -> None:
    """Note an error if an acknowledged write cannot be seen through the API exactly once."""
    try:
        record = await _decision(load, write.decision_id)
    except grpc.aio.AioRpcError as error:
        load.book.errors.append(f"{load.label}: acknowledged {write.kind} {write.request_id}: {error.details()}")
        return
    if write.kind == "feedback":
        times = sum(given.rater_id == write.rater for given in record.feedback)
    else:
        times = sum(attempt.attempt_id == write.attempt for attempt in record.attempts)
    if times != 1:
        load.book.errors.append(f"{load.label}: acknowledged {write.kind} {write.request_id} is there {times} times")


async def verify(load: Load, book: Book) -> admin_service_pb2.VerifyLogResponse:
    """Ask the server to compare what it serves with a fold of its log."""
    stub = admin_service_pb2_grpc.AdminServiceStub(load.channel)
    reply: admin_service_pb2.VerifyLogResponse = await stub.VerifyLog(
        admin_service_pb2.VerifyLogRequest(), timeout=_CALL_S
    )
    if not reply.statistics_equal:
        book.errors.append(f"{load.label}: VerifyLog: the statistics differ at event {reply.sequence}")
    if not reply.beliefs_equal:
        book.errors.append(f"{load.label}: VerifyLog: the beliefs differ at event {reply.sequence}")
    return reply


async def folded_apart(database: Path) -> dict[str, Any]:
    """Return the digests of a fold from event 0 in a fresh process."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(Path(__file__).with_name("fold.py")), str(database),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, complaint = await process.communicate()
    if process.returncode != 0:
        return {"error": complaint.decode(errors="replace")[-400:]}
    found: dict[str, Any] = json.loads(output)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; 0 when nothing was lost, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description="bar B1: kill -9 with acknowledged writes in flight")
    parser.add_argument("--seed", type=int, default=0, help="of the load and of the instants (default 0)")
    parser.add_argument("--n", type=int, default=200, help="kills (default 200)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--mutant", default="", choices=("", "ack_before_commit"), help="sabotage to catch")
    options = parser.parse_args(arguments)
    bar = Bar(options.seed, options.n, options.mutant)
    began = time.monotonic()
    asyncio.run(bar.run())
    figures = json.dumps(bar.report(options.seed, time.monotonic() - began), indent=1)
    print(figures)
    if options.json is not None:
        options.json.write_text(figures + "\n", encoding="utf-8")
    return int(not bar.failures) if options.mutant else int(bool(bar.failures))


if __name__ == "__main__":
    sys.exit(main())
