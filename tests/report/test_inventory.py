"""`naiad check`: everything of the inventory is there, and each thing that looks wrong has its line."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from naiad.server import cli
from naiad.server.config import parse
from naiad.server.report import print_inventory
from naiad.server.report.inventory import advise
from naiad.server.sections import ConfigError
from tests.report.conftest import MODELS, config_in
from tests.server.answering import Reviewer, answering, ends_with


def test_the_inventory_is_printed_plainly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_in(
        tmp_path,
        policy={"usd_per_quality": 0.02, "exploration": 0.03, "on_refusal": "next"},
        models=[*MODELS, {"name": "acme/unlisted", "endpoint": "echo"}],
        task_classes=[
            {"name": "code.debug", "objective": {"strategy": "cost_optimized", "quality_floor": 0.7}},
            {"name": "careful", "objective": {"on_refusal": "return"}},
        ],
    )
    print_inventory(config)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    large = next(line for line in text.splitlines() if "echo/large" in line)
    assert "1.25" in large
    assert "10" in large
    assert "configuration" in large  # the price version
    assert "tools" in large
    assert "disabled" in next(line for line in text.splitlines() if "echo/off" in line)
    unlisted = next(line for line in text.splitlines() if "acme/unlisted" in line)
    assert "no price" in unlisted
    assert "not used" in unlisted
    assert "never chosen: acme/unlisted" in text
    for fact in ("worth $0.02", "second of waiting costs $0.0001", "3% of traffic", "code.debug", "at least 0.7"):
        assert fact in " ".join(text.split())
    assert " ".join(text.split()).count("the next is asked") == 2, "of the policy and of the class that does not say"
    assert str(tmp_path / "naiad.db") in text
    assert "127.0.0.1:0" in text


def test_what_bounds_and_weighs_learning_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = {"newcomer_calls": 50, "newcomer_share": 0.2, "newcomer_usd": 5.0, "allowance_usd": 0.25}
    learning = {"trust": {"user": 0.7}, "drift": {"enabled": False}}
    print_inventory(config_in(tmp_path, policy=policy, learning=learning))
    text = " ".join(capsys.readouterr().out.split())
    for fact in ("fewer than 50 judged calls get 20% of the traffic together, and 5 USD each", "0.25 USD a day",
                 "user 0.7", "drift not looked for"):  # fmt: skip
        assert fact in text
    idle = config_in(tmp_path, policy={"newcomer_share": 0.2})
    assert any("nothing without newcomer_calls" in line for line in advise(idle))


def test_hard_budgets_are_printed_with_what_they_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    budgets = [
        {"id": "jobs", "limit_usd": 12.5, "period": "week", "workflow": "nightly"},
        {"id": "all", "limit_usd": 100, "period": "month"},
    ]
    print_inventory(config_in(tmp_path, budgets=budgets))
    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines() if line.split()}
    assert rows["jobs"] == ["jobs", "12.5", "week", "nightly", "all"]
    assert rows["all"] == ["all", "100", "month", "all", "all"]


def test_which_task_classes_are_cached_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_inventory(config_in(tmp_path))
    assert "Answers are not cached: no task class sets cache_s." in capsys.readouterr().out
    classes = [{"name": "faq", "cache_s": 600}, {"name": "code"}, {"name": "docs", "cache_s": 1.5}]
    print_inventory(config_in(tmp_path, task_classes=classes, cache={"entries": 500, "mib": 8}))
    text = " ".join(capsys.readouterr().out.split())
    assert "Answers are cached in memory for identical requests: faq for 600 s, docs for 1.5 s;" in text
    assert "at most 500 answers and 8 MiB for each tenant." in text


def test_budgets_are_printed_with_their_level(capsys: pytest.CaptureFixture[str]) -> None:
    objective = {"strategy": "quality_first", "usd_per_request": 0.0005}
    sections = {
        "models": MODELS[:2], "policy": {"usd_per_request": 0.002},
        "workflows": [{"name": "nightly", "objective": objective}],
    }  # fmt: skip
    print_inventory(parse(sections, "test.toml"))
    text = " ".join(capsys.readouterr().out.split())
    assert "A request may cost $0.002 on average" in text
    assert "nightly" in text
    assert "A request may cost $0.0005 on average" in text


GOOD: dict[str, Any] = {"models": MODELS[:2]}


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"models": []}, "no model can be chosen"),
        ({"models": MODELS[:1]}, "nothing to learn"),
        ({"models": [*MODELS, {"name": "acme/x", "endpoint": "echo"}]}, "acme/x has no price"),
        (
            {"models": [*MODELS, {"name": "acme/x", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0}]},
            "endpoint 'acme', which is not configured",
        ),
        ({"policy": {"models": ["echo/off"]}, "models": MODELS}, "no model can be chosen"),
        ({"policy": {"exploration": 0.0}}, "exploration is 0"),
        ({"policy": {"exploration": 0.5}}, "without regard to what was learned"),
        ({"policy": {"usd_per_quality": 0.0}}, "the cheapest model always wins"),
        ({"policy": {"strategy": "cost_optimized", "usd_per_request": 0.01}}, "which cost_optimized ignores"),
        (
            {"workflows": [{"name": "w", "objective": {"strategy": "latency_optimized", "usd_per_request": 0.01}}]},
            "the workflow 'w' sets usd_per_request",
        ),
        ({"policy": {"create_task_classes": False}}, "no task class is configured"),
        ({"storage": {"path": ":memory:"}}, "lost when the server stops"),
        ({"storage": {"path": "/nowhere/at/all/naiad.db"}}, "does not exist yet"),
        ({"server": {"allow_plaintext_beyond_loopback": True}}, "read on the way"),
    ],
)
def test_what_looks_wrong_is_said_and_only_that(
    sections: dict[str, Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    usual = set(advise(parse(GOOD, "test.toml")))
    assert not any(expected in line for line in usual)
    found = [line for line in advise(parse({**GOOD, **sections}, "test.toml")) if line not in usual]
    assert any(expected in line for line in found), found


def test_nothing_wrong_is_said_too(tmp_path: Path, capsys: pytest.CaptureFixture[str], replay_like: None) -> None:
    print_inventory(parse({"storage": {"path": str(tmp_path / "naiad.db")}}, "test.toml"))
    assert "Nothing looks wrong." in capsys.readouterr().out


@pytest.fixture
def replay_like() -> None:
    from naiad.adapters.replay_records import replay_available

    if not replay_available():
        pytest.skip("the recorded outcomes are not installed")


def test_data_classes_are_printed_with_the_models_that_each_permits(capsys: pytest.CaptureFixture[str]) -> None:
    models = [MODELS[0] | {"data_zone": "on_prem"}, MODELS[1]]
    classes: list[dict[str, Any]] = [
        {"name": "open", "allow": ["any"]},
        {"name": "secret", "allow": ["on_prem"], "no_store": True},
    ]
    print_inventory(parse({"models": models, "data_classes": classes}, "test.toml"))
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.split()[:1] == ["secret"])
    assert models[0]["name"] in row
    assert models[1]["name"] not in row
    assert "not written" in row
    assert not [line for line in lines if "NO_ELIGIBLE_MODEL" in line]
    classes[1]["allow"] = []
    said = list(advise(parse({"models": models, "data_classes": classes}, "test.toml")))
    assert [line for line in said if "no model that can be chosen is permitted to data class 'secret'" in line]
    print_inventory(parse({"models": models}, "test.toml"))
    assert "data_class is recorded and not enforced" in capsys.readouterr().out


FILE = """
[callbacks.taste]
address = "127.0.0.1:{port}"
tls = false
private = true
timeout_s = 1.0
[[models]]
name = "echo/small"
[[models]]
name = "echo/large"
[[models]]
name = "team/c"
[models.cascade]
members = ["echo/small", "echo/large"]
check = {{ callback = "taste", on_error = "accept" }}
"""


def with_callback(port: int, **callback: Any) -> dict[str, Any]:
    """Return sections with a cascade whose check is a callback on loopback."""
    section = {"address": f"127.0.0.1:{port}", "tls": False, "private": True, "timeout_s": 1.0, **callback}
    names = [model["name"] for model in MODELS[:2]]
    check = {"callback": "taste", "on_error": "accept"}
    models = [*MODELS, {"name": "team/c", "cascade": {"members": names, "check": check}}]
    return {"models": models, "callbacks": {"taste": section}}


async def test_callbacks_are_printed_and_asked_whether_they_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, reviewer = tmp_path / "naiad.toml", Reviewer()

    async def check() -> str:
        """Run naiad check, and return what it prints."""
        assert await asyncio.to_thread(cli.main, ["check", "--config", str(path)]) == cli.OK
        return " ".join(capsys.readouterr().out.split())

    async with answering(reviewer) as port:
        path.write_text(FILE.format(port=port), encoding="utf-8")
        text = await check()
        assert f"taste 127.0.0.1:{port} the answer none 1 s plaintext" in text
        assert "until callback taste accepts or fails" in text
        assert "cannot check answers" not in text
        assert [asked.SerializeToString() for asked in reviewer.asked] == [b"\x50\x01"], "it holds nobody's data"
        reviewer.say = b"garbage"
        assert f"callback 'taste' at 127.0.0.1:{port} cannot check answers: invalid_reply: its reply" in await check()
        reviewer.say = ends_with(grpc.StatusCode.UNAUTHENTICATED)
        assert "unauthorized: it ended with UNAUTHENTICATED: set token_env" in await check()
    assert f"callback 'taste' at 127.0.0.1:{port} cannot check answers: unreachable: nobody answers" in await check()


def test_a_cascade_that_only_its_callback_keeps_from_a_data_class_is_told() -> None:
    classes = [{"name": "open", "allow": ["any"]}, {"name": "secret", "allow": ["inside", "vendor:echo"]}]
    rules = {"data_classes": classes, "governance": {"zones": ["inside"]}}
    said = [line for line in advise(parse(with_callback(1) | rules, "test.toml")) if "team/c" in line]
    assert len(said) == 1
    assert "team/c is never used for data class 'secret': its callback 'taste': data class 'secret' may not" in said[0]
    inside = with_callback(1, data_zone="inside") | rules
    assert not [line for line in advise(parse(inside, "test.toml")) if "team/c" in line]


def test_a_model_that_is_retired_soon_is_told_of() -> None:
    models = [
        {
            "name": "echo/soon",
            "retire_date": "2026-12-11",
            "input_usd_per_million": 1,
            "output_usd_per_million": 1,
        },
        {
            "name": "echo/late",
            "retire_date": "2027-12-11",
            "input_usd_per_million": 1,
            "output_usd_per_million": 1,
        },
    ]
    config = parse({"models": models}, "test.toml")
    told = [line for line in advise(config, datetime(2026, 11, 28, tzinfo=UTC)) if "retired" in line]
    with pytest.raises(ConfigError, match=r"retire_date is 'soon'; give a day as 2026-12-11"):
        parse({"models": [{"name": "echo/a", "retire_date": "soon"}]}, "test.toml")
    assert told == ["echo/soon is retired by its provider on 2026-12-11, in 13 days: have another in its place"]
