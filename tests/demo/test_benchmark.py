"""benchmarks/demo.py: the form of what it writes, that a seed is a run, and that a figure can be missed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import demo
from naiad.adapters.replay_records import load_records, replay_available
from naiad.server.config import build
from naiad.server.demo.outcomes import shuffled
from naiad.server.demo.settings import OBJECTIVE, policy
from naiad.server.sections import File

pytestmark = pytest.mark.skipif(not replay_available(), reason="the recorded outcomes are not installed")

KEYS = ("demo_vs_random", "demo_second_half_regret", "demo_spend_share", "demo_quality_gap")


def test_two_seeds_write_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = demo.main(["--seeds", "2", "--prompts", "160", "--json", str(tmp_path / "demo.json")])
    written = json.loads((tmp_path / "demo.json").read_text(encoding="utf-8"))
    for key in KEYS:
        assert set(written[key]) == {"value", "reach", "pass"}
    assert code == (0 if all(written[key]["pass"] for key in KEYS) else 1)
    assert written["demo_vs_random"]["value"].keys() == {"usd_per_decision", "standard_error"}
    assert written["versions"]["paretobandit"] == "0.1.1"
    assert written["machine"]["cpus"] >= 1
    assert [run["seed"] for run in written["raw"]["runs"]] == [1, 2]
    assert all(key in capsys.readouterr().out for key in KEYS[:1])


def test_a_seed_is_a_run_and_it_learns() -> None:
    records = tuple(shuffled(load_records(), 0)[:200])
    prompts = demo.Prompts.of(records)
    config = build(File(policy=policy()), "test")
    one, again, other = (demo.learn(prompts, records, config, OBJECTIVE, seed) for seed in (1, 1, 2))
    assert replace(one, seconds=0.0) == replace(again, seconds=0.0)
    assert one.gain_over_random_usd != other.gain_over_random_usd
    assert one.gain_over_random_usd > 0.0  # 0.006 with 200 prompts; random is 0 by definition


def test_every_figure_can_be_missed() -> None:
    good = demo.Run(1, 0.005, 0.002, 0.04, 0.01, 0.92, 1.0)
    assert all(figure["pass"] for figure in demo.figures([good, replace(good, seed=2)]).values())
    bad = (
        replace(good, gain_over_random_usd=-0.02),
        replace(good, regret_share=0.05),
        replace(good, spend_share=0.4),
        replace(good, quality_gap=0.1),
    )
    for key, worse in zip(KEYS, bad, strict=True):
        missed = [k for k, f in demo.figures([good, worse]).items() if not f["pass"]]
        assert missed == [key]


def test_one_seed_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        demo.main(["--seeds", "1"])
    assert "at least 2" in capsys.readouterr().err
