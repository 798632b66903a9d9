"""Bar B11: 256 callers race for the last of a hard budget; what is truly billed never exceeds it.

`python tests/bars/b11_budget.py --seed S --n TRIALS [--json FILE] [--mutant check_then_add|release_overdue]`

The server is a real process over a provider that writes down what it bills (metered.py), a kill notwithstanding. Each
trial makes a budget of a few calls for a workflow of its own; 256 callers at a time call `Complete` (with fallbacks
after failures, some of them billed), or `Decide` and then pay and report by themselves, or never report. In a tenth
of the trials the server is killed (SIGKILL) in the race and started again; once what it left is overdue, 64 more
callers race for what remains. In a tenth the provider writes three times what it was asked for.

Must hold: bills <= limit where no call costs more than was held; else the excess is at most what calls cost beyond
what was held, and nothing is admitted afterwards; what the server says is spent is never less than the bills; nothing
stays reserved once its time is over; VerifyLog finds live and replayed state equal. Zero failures in n trials bound the
rate of failing trials by about 3/n. With --mutant the exit code is 0 only if the sabotage was caught.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.client.status import error_of
from naiad.server.money import most_of
from naiad.v1 import admin_pb2, admin_service_pb2, feedback_service_pb2, router_service_pb2
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.bars.b01_kill import upper_bound
from tests.bars.metered import PRICES, SETTLE_S, Prompt
from tests.bars.process import ServerDied, ServerProcess

CALLERS, AFTERWARDS = 256, 64
TRIALS_A_LIFE = 25
BOUND = 100  # output tokens of each call
DECIDE_INPUT = 20
DEADLINE_S = 20.0  # of a call; after a kill what it held is overdue so much later
KILLED_DEADLINE_S = 2.0  # in trials with a kill, which wait for that
HOLD_S = 1.0
KILLS = LIARS = 0.1  # shares of the trials
MUTANTS = ("check_then_add", "release_overdue")
CONFIG = """
[server]
log = "json"
log_level = "error"
drain_s = 20.0
[spending]
hold_s = {hold}
[[task_classes]]
name = "raced"
{models}
""".format(
    hold=HOLD_S,
    models="".join(
        f"""
[[models]]
name = "echo/{name}"
input_usd_per_million = {price.input / 1e9}
output_usd_per_million = {price.output / 1e9}
"""
        for name, price in PRICES.items()
    ),
)


@dataclass
class Trial:
    """One budget and what its callers paid by themselves."""

    number: int
    limit: int
    kill: bool
    lying: bool
    paid: int = 0  # by callers of Decide, nano-USD
    admitted: int = 0
    replies: Counter[str] = field(default_factory=Counter)

    @property
    def workflow(self) -> str:
        return f"w{self.number}"

    @property
    def deadline_s(self) -> float:
        return KILLED_DEADLINE_S if self.kill else DEADLINE_S


class Bar:
    """The bar's run: lives of a server with many trials each, and what went wrong in them."""

    def __init__(
        self, seed: int, trials: int, mutant: str = "", *, callers: int = CALLERS, kills: float = KILLS
    ) -> None:
        self.rng = random.Random(seed)
        self.trials = trials
        self.mutant = mutant
        self.callers = callers
        self.kills = kills
        self.done = 0
        self.failed_trials = 0
        self.failures: list[str] = []
        self.counts: Counter[str] = Counter()

    async def run(self) -> None:
        """Race until there were enough trials, or until the mutant was caught."""
        while self.done < self.trials and not (self.mutant and self.failures):
            folder = Path(tempfile.mkdtemp(prefix="naiad-b11-"))
            (folder / "naiad.toml").write_text(CONFIG, encoding="utf-8")
            launcher = f"mutants/{self.mutant}.py" if self.mutant else "metered.py"
            server = ServerProcess(folder, launcher=Path(__file__).parent / launcher)
            try:
                await self._life(server, folder)
            finally:
                await server.kill()
                shutil.rmtree(folder)

    async def _life(self, server: ServerProcess, folder: Path) -> None:
        await server.start()
        raced: list[Trial] = []
        for _ in range(min(TRIALS_A_LIFE, self.trials - self.done)):
            trial = Trial(self.done, self._limit(), self.rng.random() < self.kills, self.rng.random() < LIARS)
            self.done += 1
            raced.append(trial)
            try:
                await self._race(server, trial)
            except (ServerDied, grpc.aio.AioRpcError, TimeoutError) as error:
                self._fail(trial, f"{type(error).__name__}: {str(error)[:300]}")
                return
            if self.mutant and self.failures:
                return
            self._judge(trial, folder / "bills.txt")
        await asyncio.sleep(HOLD_S + 0.1)
        await self._settled(server, raced, folder / "bills.txt")

    def _limit(self) -> int:
        unit = most_of(PRICES["small"], DECIDE_INPUT, BOUND)
        return unit * self.rng.randint(1, 6) + self.rng.randrange(unit)

    async def _race(self, server: ServerProcess, trial: Trial) -> None:
        async with _channel(server) as channel:
            budget = admin_pb2.Budget(
                budget_id=trial.workflow, workflow=trial.workflow, limit_nano_usd=trial.limit,
                period=admin_pb2.BUDGET_PERIOD_ONCE,
            )  # fmt: skip
            await AdminServiceStub(channel).CreateBudget(
                admin_service_pb2.CreateBudgetRequest(budget=budget), timeout=DEADLINE_S
            )
            callers = [asyncio.ensure_future(self._caller(channel, trial, i)) for i in range(self.callers)]
            if trial.kill:
                await asyncio.sleep(self.rng.uniform(0.005, 0.25))
                await server.kill()
                self.counts["kills"] += 1
            await asyncio.gather(*callers)
        if trial.kill:
            began = time.monotonic()
            await server.start()
            overdue_s = max(KILLED_DEADLINE_S + SETTLE_S, HOLD_S) + 0.1
            await asyncio.sleep(max(0.0, overdue_s - (time.monotonic() - began)))
        async with _channel(server) as channel:
            late = range(self.callers, self.callers + (AFTERWARDS if trial.kill else 8))
            await asyncio.gather(*(self._caller(channel, trial, i) for i in late))

    async def _caller(self, channel: grpc.aio.Channel, trial: Trial, number: int) -> None:
        chance = random.Random(f"{trial.number} {number}")
        for _ in range(2):  # whoever fails for another reason than the budget tries once more
            try:
                if chance.random() < 0.3:
                    await self._by_itself(channel, trial, chance)
                else:
                    await self._complete(channel, trial, number)
                trial.replies["ok"] += 1
                return
            except grpc.aio.AioRpcError as failure:
                reason = error_of(failure).reason.removeprefix("ERROR_REASON_") or failure.code().name
                trial.replies[reason] += 1
                if reason in ("BUDGET_EXHAUSTED", "UNAVAILABLE", "CANCELLED"):
                    return

    async def _complete(self, channel: grpc.aio.Channel, trial: Trial, number: int) -> None:
        prompt = Prompt(trial.number, number, trial.lying)
        await RouterServiceStub(channel).Complete(
            router_service_pb2.CompleteRequest(
                task_class="raced", workflow=trial.workflow, max_output_tokens=BOUND, max_attempts=3,
                messages=[{"role": 2, "parts": [{"text": str(prompt)}]}],
            ),
            timeout=trial.deadline_s,
        )  # fmt: skip

    async def _by_itself(self, channel: grpc.aio.Channel, trial: Trial, chance: random.Random) -> None:
        made = await RouterServiceStub(channel).Decide(
            router_service_pb2.DecideRequest(
                task_class="raced", workflow=trial.workflow, input_tokens=DECIDE_INPUT, max_output_tokens=BOUND
            ),
            timeout=trial.deadline_s,
        )
        most = most_of(PRICES[made.model.partition("/")[2]], DECIDE_INPUT, BOUND)
        bill = chance.randint(0, most)
        trial.paid += bill
        if chance.random() < 0.2:
            return  # never reported
        await asyncio.sleep(chance.uniform(0.0, 0.1))
        await FeedbackServiceStub(channel).ReportOutcome(
            feedback_service_pb2.ReportOutcomeRequest(decision_id=made.decision_id, cost_nano_usd=bill),
            timeout=trial.deadline_s,
        )

    def _judge(self, trial: Trial, bills: Path) -> None:
        """Hold what was billed against the limit."""
        billed, beyond, calls = _billed(bills, trial.number)
        spent = billed + trial.paid
        self.counts["provider_calls"] += calls
        self.counts["trials_with_spend"] += spent > 0
        self.counts["lying"] += trial.lying
        self.counts.update({f"reply_{reason}": count for reason, count in trial.replies.items()})
        if spent > trial.limit + beyond:
            self._fail(
                trial, f"{spent} nano-USD were billed of a budget of {trial.limit}; {beyond} beyond what was held"
            )
        if spent > trial.limit:
            self.counts["trials_beyond"] += 1
        unknown = set(trial.replies) - {
            "ok", "BUDGET_EXHAUSTED", "ALL_ATTEMPTS_FAILED", "UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED",
            "DEADLINE_PASSED_MIDWAY", "STORAGE_FAILED",
        }  # fmt: skip
        if unknown:
            self._fail(trial, f"replies that nobody expects: {sorted(unknown)}")
        if not trial.kill and not trial.replies["BUDGET_EXHAUSTED"]:
            self._fail(trial, "nobody was refused: there was no race")

    async def _settled(self, server: ServerProcess, raced: list[Trial], bills: Path) -> None:
        """What must hold once everything is settled or overdue."""
        async with _channel(server) as channel:
            admin = AdminServiceStub(channel)
            for trial in raced:
                request = admin_service_pb2.GetBudgetRequest(budget_id=trial.workflow)
                budget = (await admin.GetBudget(request, timeout=DEADLINE_S)).budget
                billed, _, _ = _billed(bills, trial.number)
                if budget.reserved_nano_usd:
                    self._fail(trial, f"{budget.reserved_nano_usd} nano-USD are still reserved")
                if budget.spent_nano_usd < billed + trial.paid:
                    self._fail(trial, f"{billed + trial.paid} were billed, and {budget.spent_nano_usd} are told")
                if budget.spent_nano_usd >= trial.limit:
                    replies = Counter(trial.replies)
                    await self._caller(channel, trial, 10_000)
                    trial.replies.subtract(replies)
                    if +trial.replies != Counter({"BUDGET_EXHAUSTED": 1}):
                        self._fail(trial, f"all is spent, and a call was answered with {+trial.replies}")
            reply = await admin.VerifyLog(admin_service_pb2.VerifyLogRequest(), timeout=120.0)
            if not (reply.statistics_equal and reply.beliefs_equal and reply.budgets_equal):
                self._fail(raced[-1], "VerifyLog: live and replayed state differ")
            audit = await admin.VerifyAudit(admin_service_pb2.VerifyAuditRequest(), timeout=60.0)
            if not audit.intact:
                self._fail(raced[-1], f"VerifyAudit: entry {audit.first_broken_sequence}")

    def _fail(self, trial: Trial, what: str) -> None:
        name = f"trial {trial.number}{' (killed)' if trial.kill else ''}"
        if not any(failure.startswith(f"{name}:") for failure in self.failures):
            self.failed_trials += 1
        self.failures.append(f"{name}: {what}")

    def report(self, seed: int, elapsed_s: float) -> dict[str, Any]:
        """Return the figures."""
        return {
            "bar": "b11_budget", "mutant": self.mutant, "seed": seed, "trials": self.done, "callers": self.callers,
            "failures": self.failed_trials, "bound_95": upper_bound(self.failed_trials, max(self.done, 1)),
            "caught": bool(self.failures) if self.mutant else None, "examples": self.failures[:10],
            **dict(sorted(self.counts.items())), "elapsed_s": round(elapsed_s, 1),
            "versions": {
                "python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "grpcio": grpc.__version__,
                "system": platform.platform(),
            },
        }  # fmt: skip


def _channel(server: ServerProcess) -> Any:
    return grpc.aio.insecure_channel(server.address, options=[("grpc.enable_retries", 0)])


def _billed(bills: Path, trial: int) -> tuple[int, int, int]:
    """Return what the provider billed in a trial, how much of it exceeds what was held, and the number of calls."""
    billed = beyond = calls = 0
    for line in bills.read_text(encoding="ascii").splitlines() if bills.exists() else ():
        of, _, bill, held = map(int, line.split())
        if of == trial:
            billed, beyond, calls = billed + bill, beyond + max(0, bill - held), calls + 1
    return billed, beyond, calls


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; 0 when no budget was overspent, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description="bar B11: callers racing for the last of a hard budget")
    parser.add_argument("--seed", type=int, default=0, help="of limits, kills and calls (default 0)")
    parser.add_argument("--n", type=int, default=1_000, help="trials (default 1000)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--mutant", default="", choices=("", *MUTANTS), help="sabotage to catch")
    options = parser.parse_args(arguments)
    bar = Bar(options.seed, options.n, options.mutant, kills=1.0 if options.mutant == "release_overdue" else KILLS)
    began = time.monotonic()
    asyncio.run(bar.run())
    figures = json.dumps(bar.report(options.seed, time.monotonic() - began), indent=1)
    print(figures)
    if options.json is not None:
        options.json.write_text(figures + "\n", encoding="utf-8")
    return int(not bar.failures) if options.mutant else int(bool(bar.failures))


if __name__ == "__main__":
    sys.exit(main())
