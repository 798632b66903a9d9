"""The benchmarks in a tiny form: they run, and what they write has the form that reports rely on; no time is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import core, drift, report, serving

ROOT = Path(__file__).resolve().parents[2]
CORE = {"decide_us", "decide_ruled_us", "update_us", "decide_flat", "update_flat", "r8", "propensity_error"}
GUARDED = {
    "decide_p50_ratio_guarded",
    "decide_throughput_ratio_guarded",
    "guarded_p50_ratio_to_echo",
    "guarded_throughput_ratio_to_echo",
    "replies_not_ok",
}
SERVING = {
    "decide_p50_ratio_to_echo",
    "decide_throughput_ratio_to_echo",
    "decide_p99_ms",
    "feedback_to_choice_ms",
    "load_cpu_share",
    "log_rows_equal_requests",
    "memory_at_rest_mib",
    "replies_not_ok",
}
TINY = ["--runs", "1", "--steps", "8", "--cases", "1", "--draws", "20000"]


def read(path: Path, keys: set[str]) -> dict[str, Any]:
    """Return what a benchmark wrote, after checking its form."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert content.keys() == keys | {"machine", "versions", "raw"}
    for key in keys:
        figure = content[key]
        assert figure.keys() == {"value", "reach", "pass"}, key
        values = figure["value"].values() if isinstance(figure["value"], dict) else [figure["value"]]
        assert all(isinstance(value, int | float) for value in values), key
        assert isinstance(figure["reach"], str), key
        assert isinstance(figure["pass"], bool), key
    assert content["machine"]["cpus"] >= 1
    assert {"python", "naiad"} <= content["versions"].keys()
    assert content["raw"]
    return content


def test_drift(tmp_path: Path) -> None:
    drift.main(["--judgements", "200", "--seeds", "1", "--json", str(tmp_path / "drift.json")])
    content = read(tmp_path / "drift.json", {"drift_false_alarms"})
    assert content["raw"]["false_alarms"].keys() == drift.CASES.keys()
    assert content["raw"]["delays"].keys() == drift.DROPS.keys()


def test_core(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "MANY_CLASSES", 20)
    code = core.main([*TINY, "--json", str(tmp_path / "core.json")])
    content = read(tmp_path / "core.json", CORE)
    assert code == (0 if all(content[key]["pass"] for key in CORE) else 1)
    assert content["propensity_error"]["pass"]  # no timing: it must hold anywhere


def test_core_catches_wrong_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    right = core.served

    def wrong(shape: Any) -> list[float]:
        p = right(shape)
        return [p[0] + 2e-3, p[1] - 2e-3, *p[2:]]

    monkeypatch.setattr(core, "served", wrong)
    figures, _ = core.measure_error(1, 20_000)
    assert not figures["propensity_error"]["pass"]


def test_core_runs_as_a_file() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/core.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--json" in done.stdout


def test_serving(tmp_path: Path) -> None:
    """A process of its own: it pins itself to cores."""
    file = tmp_path / "serving.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.serving", "--quick", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    content = read(file, SERVING)
    assert content["replies_not_ok"]["value"] == 0
    rows = content["log_rows_equal_requests"]
    assert rows["pass"], rows
    assert rows["value"]["decide_replies"] > 300
    assert content["raw"]["replies"]["server"]["FeedbackService/ReportFeedback 0"] > 0


def test_guarded(tmp_path: Path) -> None:
    """A process of its own: it pins itself to cores."""
    file = tmp_path / "guarded.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.guarded", "--quick", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=180,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    content = read(file, GUARDED)
    assert content["replies_not_ok"]["value"] == 0
    for name in ("guarded", "plain", "echo"):
        assert content["raw"]["replies"][name]["RouterService/Decide 0"] > 60


def test_transport(tmp_path: Path) -> None:
    """A process of its own: it pins itself to cores."""
    file = tmp_path / "transport.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.transport", "--runs", "1", "--seconds", "0.05", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    content = read(file, {"transport_p50_ratio_to_httpx", "transport_per_s_ratio_to_httpx", "transport_p50_ms"})
    assert {"httpx", "httpx over aiohttp", "aiohttp", "transport"} <= content["raw"]["runs"].keys()


def test_rows_are_counted_from_the_log(tmp_path: Path) -> None:
    import sqlite3

    connection = sqlite3.connect(tmp_path / "naiad.db")
    connection.execute("CREATE TABLE events (kind TEXT)")
    connection.executemany("INSERT INTO events VALUES (?)", [("decided",), ("feedback",), ("decided",)])
    connection.commit()
    connection.close()
    assert serving.rows(tmp_path / "naiad.db") == 2


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)])
def test_quantile_is_the_smallest_that_enough_do_not_exceed(share: float, expected: int) -> None:
    assert report.quantile(reversed(range(1, 101)), share) == expected


def test_limits_include_their_bound() -> None:
    assert report.at_most(1.6, 1.6)["pass"]
    assert not report.at_most(1.61, 1.6)["pass"]
    assert report.at_least(0.5, 0.5)["pass"]
    assert not report.at_least(0.49, 0.5)["pass"]
