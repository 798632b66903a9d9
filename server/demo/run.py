"""`naiad demo`: a server learns which model to use, loses its favourite to a price rise, and shows what it came to."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from naiad.adapters.replay import ReplayDataError, ReplayRecord, load_records
from naiad.client import AsyncClient, DecisionRecord, NaiadError
from naiad.server import process
from naiad.server.demo import ending
from naiad.server.demo.acts import Step, favourite_of, moved_after, play, raise_price
from naiad.server.demo.live import Stage, short
from naiad.server.demo.outcomes import Table, shuffled
from naiad.server.demo.process import ServerFailed, ServerProcess
from naiad.server.demo.settings import OBJECTIVE, PRICE_FACTOR, SECOND_ACT
from naiad.server.report.explanation import explain
from naiad.server.report.screen import complain, console, say, usd
from naiad.server.report.words import from_core, objective_in_words

_FEWEST = 20


@dataclass(frozen=True, slots=True)
class Played:
    """Both acts as they went."""

    first: list[Step]
    second: list[Step]
    favourite: str
    example: DecisionRecord


def run(*, seed: int, prompts: int | None, output: Path) -> int:
    """Play the demo; return 0 if all went well, 1 if not, 2 for arguments that cannot be.

    prompts: how many of the recorded ones in act one, None for all; output: folder for plot, tables and database.
    """
    began = time.monotonic()
    try:
        records = load_records()
    except ReplayDataError as error:
        complain(f"the demo replays recorded real outcomes. {error}")
        return 1
    wanted = len(records) if prompts is None else prompts
    if not _FEWEST <= wanted <= len(records):
        complain(f"--prompts is {prompts}; it must be from {_FEWEST} to {len(records)}")
        return 2
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        complain(f"cannot create {output}: {error.strerror}; name another folder with --output")
        return 1
    first = shuffled(records, seed)[:wanted]
    again = list(first)
    random.Random(f"act two {seed}").shuffle(again)  # noqa: S311  # an order to be repeated, not a secret
    out = console()
    _introduce(out, seed, first)
    failed: list[str] = []
    code = 1
    try:
        code = _play(first, again[:SECOND_ACT], output, out)
    except* ServerFailed as group:
        failed.append(_first(group))
    except* NaiadError as group:
        failed.append(f"a call failed, and the demo with it: {_first(group)}")
    if failed:
        complain(failed[0])
        return 1
    out.print(f"Done in {time.monotonic() - began:.0f} s.")
    return code


def _first(error: Exception) -> str:
    """Return the message of the first exception of a group of groups."""
    return _first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else str(error)


def _introduce(out: Console, seed: int, records: list[ReplayRecord]) -> None:
    classes = len({record.task_class for record in records})
    out.print("Naiad learns which model to use", style="bold")
    say(
        out,
        f"{len(records):,} real prompts of {classes} task classes, with what three models really made of them and what "
        f"that really cost. Shuffled by seed {seed} (repeat with --seed {seed}; the server's own draws differ from "
        "run to run). Answers come from the recording, so nothing is spent; latencies are simulated.",
    )
    say(out, f"Objective, {objective_in_words(from_core(OBJECTIVE))}")
    out.print()


def _play(first: list[ReplayRecord], second: list[ReplayRecord], output: Path, out: Console) -> int:
    with tempfile.TemporaryDirectory(prefix="naiad-demo-") as name:
        folder = Path(name)
        server = ServerProcess.start(folder)
        try:
            out.print(f"Server: process {server.pid} on {server.address}, knowing nothing.")
            out.print()
            played = process.run(_acts(server.address, first, second, out))
        finally:
            stopped = server.stop()
        kept = _keep(folder, output / "server")
    result = ending.Ending.of(Table.of(first), Table.of(second), played.first, played.second, played.favourite)
    out.print()
    ending.show(result, out)
    files = ending.write(result, output)
    out.print()
    out.rule("one decision explained", align="left")
    out.print(f"$ naiad explain {played.example.decision_id}", soft_wrap=True)
    explain(played.example, out)
    out.print()
    out.rule("look on", align="left")
    for what, path in files:
        out.print(f"{what:12} {path}", soft_wrap=True)
    out.print(f"{'this server':12} naiad serve --config {kept}/naiad.toml --data-dir {kept}", soft_wrap=True)
    out.print(
        f"{'':12} and then: naiad arms, naiad explain ID; without it: naiad replay --data-dir {kept}", soft_wrap=True
    )
    if stopped != 0:
        complain(f"the server ended with exit code {stopped} after SIGTERM; see {kept}/server.log")
        return 1
    out.print("Server stopped by SIGTERM, exit code 0.")
    return 0


def _keep(folder: Path, target: Path) -> Path:
    """Keep the server's database, configuration and log; those of an earlier demo are replaced."""
    target.mkdir(parents=True, exist_ok=True)
    for old in target.glob("naiad.db*"):
        old.unlink()
    for file in folder.iterdir():
        if not file.name.endswith(".lock"):
            shutil.copy2(file, target / file.name)
    return target


async def _acts(address: str, first: list[ReplayRecord], second: list[ReplayRecord], out: Console) -> Played:
    models = Table.of(first[:1]).models
    async with AsyncClient(address) as client:
        with Stage("Act one, it learns", models, len(first), out) as stage:
            learned = await play(client, first, stage)
        out.print()
        favourite = favourite_of(learned[len(learned) // 2 :])
        before, after = await raise_price(client, favourite)
        out.print(
            f"UpdateModel: {favourite}, the favourite, now costs {PRICE_FACTOR} times as much: "
            f"{_price(before.prices)} -> {_price(after.prices)} per million tokens (input, output)."
        )
        out.print()
        with Stage("Act two, a price rises", models, len(second), out) as stage:
            adapted = await play(client, second, stage)
        moved = moved_after(adapted, favourite)
        if moved is not None:
            out.print(f"{short(favourite)} was no longer the likeliest choice at decision {moved} after the rise.")
        example = await client.get_decision(_interesting(learned, adapted, favourite).decision_id)
    return Played(learned, adapted, favourite, example)


def _price(prices: object) -> str:
    nano = [getattr(prices, f"{kind}_nano_usd_per_million_tokens") or 0 for kind in ("input", "output")]
    return ", ".join(usd(value / 1e9) for value in nano)


def _interesting(first: list[Step], second: list[Step], favourite: str) -> Step:
    """Return the first decision that the price rise turned, or else the most unlikely one."""
    for step in second:
        if step.model != favourite and step.favourite == step.model:
            return step
    return min([*first, *second], key=lambda step: step.propensities.get(step.model, 1.0))
