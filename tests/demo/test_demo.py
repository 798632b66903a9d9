"""The demo as a person runs it, in a small form; and what it says when it cannot run."""

from __future__ import annotations

import csv
import fcntl
import json
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from naiad.adapters import replay_records
from naiad.adapters.replay_records import INSTALL, replay_available
from naiad.server import config as configuration
from naiad.server.demo import run as demo
from naiad.server.demo.acts import Step, favourite_of, moved_after
from naiad.server.demo.process import ServerFailed, ServerProcess, write_configuration
from naiad.server.demo.settings import OBJECTIVE
from naiad.server.objectives import resolve
from naiad.server.report import print_replay

PROMPTS = 60
recorded = pytest.mark.skipif(not replay_available(), reason="the recorded outcomes are not installed")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    output = tmp_path_factory.mktemp("demo") / "out"
    command = [sys.executable, "-m", "naiad.server", "demo", "--prompts", str(PROMPTS), "--seed", "5"]
    found = subprocess.run(
        [*command, "--output", str(output)], capture_output=True, text=True, timeout=120, check=False
    )
    return found, output


@recorded
def test_it_ends_well_and_says_what_is_hindsight(played: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    found, _ = played
    assert (found.returncode, found.stderr) == (0, "")
    text = " ".join(found.stdout.split())
    assert "\x1b" not in found.stdout
    assert "Shuffled by seed 5" in text
    for name in ("Naiad, from nothing", "always the best model (hindsight)", "always the cheapest", "random",
                 "static mix, same spend (hindsight)", "best of each class (hindsight)"):  # fmt: skip
        assert found.stdout.count(name) == 3  # act one, its second half, act two
    for words in ("picked by looking at all outcomes first", "Nobody told Naiad", "10 times as much",
                  "latencies are simulated", "stopped by SIGTERM, exit code 0"):  # fmt: skip
        assert words in text
    assert "$ naiad explain d" in text
    assert "The uniform number 0." in text


@recorded
def test_it_leaves_plot_tables_and_a_database_to_look_into(
    played: tuple[subprocess.CompletedProcess[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    found, output = played
    assert (output / "demo.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert "always the best model (hindsight)" in (output / "summary.txt").read_text(encoding="utf-8")
    with (output / "decisions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["act"] for row in rows] == ["one"] * PROMPTS + ["two"] * PROMPTS
    assert len({row["decision_id"] for row in rows}) == 2 * PROMPTS
    assert all(str(path) in found.stdout for path in (output / "demo.png", output / "server"))
    kept = configuration.parse({"storage": {"path": str(output / "server" / "naiad.db")}}, "kept")
    assert print_replay(kept, None) == 0
    assert "Equal to the bit." in capsys.readouterr().out
    events = [json.loads(line) for line in (output / "server" / "server.log").read_text(encoding="utf-8").splitlines()]
    stopped = next(event for event in events if event["event"] == "stopped")
    # a decision, an outcome and a judgement for each prompt of both acts, besides models, policy and task classes
    assert 6 * PROMPTS < stopped["sequence"] < 6 * PROMPTS + 40


def test_without_the_recorded_outcomes_it_says_how_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(replay_records, "distribution", absent)
    assert demo.run(seed=1, prompts=None, output=tmp_path / "out") == 1
    assert INSTALL in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def gone(pid: int) -> bool:
    """Return whether a process has ended, or is a corpse that nobody has collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def heeding() -> None:
    """Heed the signals that a shell's background or nohup ignores, and so every program below them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@recorded
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL], ids=lambda n: n.name)
def test_however_it_ends_its_server_ends_with_it(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "naiad.server", "demo", "--output", str(tmp_path / "out")]
    with (tmp_path / "err").open("w") as errors:
        demo = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True,
            preexec_fn=heeding,
        )  # fmt: skip
    assert demo.stdout is not None
    found = next(filter(None, (re.match(r"Server: process (\d+) on", line) for line in demo.stdout)))
    server = int(found[1])
    assert not gone(server)
    demo.send_signal(number)
    code = demo.wait(60)
    demo.stdout.close()
    if number is signal.SIGKILL:
        end = time.monotonic() + 30.0
        while not gone(server) and time.monotonic() < end:
            time.sleep(0.01)
    said = (tmp_path / "err").read_text()
    assert (gone(server), code, said) == (True, -number if number is signal.SIGKILL else 128 + number, "")


@recorded
@pytest.mark.parametrize("prompts", [0, 19, 3_610])
def test_a_number_of_prompts_that_there_are_not_is_refused(
    prompts: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo.run(seed=1, prompts=prompts, output=tmp_path / "out") == 2
    assert f"--prompts is {prompts}; it must be from 20 to 3609" in capsys.readouterr().err


@recorded
def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert demo.run(seed=1, prompts=20, output=tmp_path / "file" / "out") == 1
    assert "--output" in capsys.readouterr().err


def test_a_server_that_does_not_start_is_told_with_the_end_of_its_words(tmp_path: Path) -> None:
    with (tmp_path / "naiad.db.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ServerFailed, match=r"exit code 1.*naiad\.db is in use"):
            ServerProcess.start(tmp_path)


def test_the_server_runs_under_the_objective_that_the_figures_use(tmp_path: Path) -> None:
    write_configuration(tmp_path / "naiad.toml")
    assert resolve(configuration.load(tmp_path / "naiad.toml").policy.objective) == OBJECTIVE


def step(model: str, **propensities: float) -> Step:
    return Step(0, "c", model, 1.0, 0.0, 0.0, "d", propensities)


def test_the_favourite_and_when_it_fell() -> None:
    stays, falls = step("a", a=0.9, b=0.1), step("a", a=0.4, b=0.6)
    assert favourite_of([stays, stays, step("b", a=0.9, b=0.1)]) == "a"
    assert moved_after([stays, falls, falls], "a") == 2
    assert moved_after([stays], "a") is None
