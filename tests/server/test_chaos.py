"""The file of simulated failures, the rules without which none begins, and what `naiad chaos --check` prints."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from naiad.adapters.faults import Fault, FaultKind
from naiad.server import chaos
from naiad.server.chaos import Plan
from naiad.server.cli import main
from naiad.server.sections import ConfigError, ServerSection

ALL = """
seed = 7
[[faults]]
endpoint = "first"
kind = "status"
status = 429
code = "insufficient_quota"
retry_after_s = 2
every = 3
[[faults]]
kind = "delay"
delay_s = 1.5
probability = 0.25
from_s = 10
until_s = 60
[[faults]]
kind = "cut"
model = "small"
deltas = 2
"""
CONFIG = """
[storage]
path = "kept/naiad.db"
[endpoints.first]
kind = "echo"
[endpoints.second]
kind = "echo"
[[models]]
name = "first/small"
upstream_model = "small"
input_usd_per_million = 0.1
output_usd_per_million = 0.2
[[models]]
name = "second/large"
upstream_model = "large"
input_usd_per_million = 0.1
output_usd_per_million = 0.2
"""


def parse(text: str) -> Plan:
    return chaos.parse(tomllib.loads(text), "faults.toml")


def test_a_file_is_a_plan() -> None:
    plan = parse(ALL)
    assert plan.seed == 7
    assert plan.faults == (
        Fault(FaultKind.STATUS, "first", every=3, status=429, code="insufficient_quota", retry_after_s=2),
        Fault(FaultKind.DELAY, probability=0.25, from_s=10, until_s=60, delay_s=1.5),
        Fault(FaultKind.CUT, model="small", deltas=2),
    )
    assert plan.of("second") == plan.faults[1:]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["0 faults", "[[faults]]"]),
        ("[[fault]]\nkind = 'cut'", ["'fault'", "did you mean 'faults'?"]),
        ("[[faults]]\nkind = 'cut'\nprobabilty = 0.5", ["faults[0].probabilty", "did you mean 'probability'?"]),
        ("[[faults]]\nkind = 'delya'", ["faults[0].kind", "did you mean 'delay'?"]),
        ("[[faults]]\nstatus = 500", ["faults[0]", "'kind'", "add it"]),
        ("[[faults]]\nkind = 'status'\nstatus = 'x'", ["faults[0].status", "a whole number"]),
        ("[[faults]]\nkind = 'status'\nstatus = 200", ["faults[0]", "from 300 to 599"]),
        ("[[faults]]\nkind = 'cut'\n[[faults]]\nkind = 'cut'\ndelay_s = 1", ["faults[1]", "delay_s has no meaning"]),
        ("[[faults]]\nkind = 'cut'\nprobability = nan", ["probability is nan"]),
        ("faults = 3", ["faults is 3", "[[faults]]"]),
        ("[[faults]]\nkind = 'cut'\n" * 1001, ["1001 faults"]),
    ],
)
def test_a_file_that_plans_nothing_that_can_be(text: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    for word in ["faults.toml", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"), [("frist", "did you mean 'first'?"), ("openai*", "there are first, second")]
)
def test_a_fault_of_no_endpoint(name: str, words: str) -> None:
    plan = Plan("faults.toml", (Fault(FaultKind.CUT), Fault(FaultKind.CUT, endpoint=name)))
    with pytest.raises(ConfigError) as caught:
        chaos.check(plan, {"first": "echo", "second": "echo"})
    assert words in str(caught.value)
    assert "faults[1].endpoint" in str(caught.value)


PLAN = Plan("faults.toml", (Fault(FaultKind.CUT),))


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "192.168.1.4:1", "[::]:1", "example.com:1"])
def test_a_server_that_others_can_reach(listen: str) -> None:
    server = ServerSection(listen=listen, allow_plaintext_beyond_loopback=True)
    with pytest.raises(ConfigError, match="--allow-chaos-beyond-loopback"):
        chaos.guard(PLAN, server, beyond_loopback=False)
    chaos.guard(PLAN, server, beyond_loopback=True)
    chaos.guard(PLAN, ServerSection(listen="127.0.0.1:1"), beyond_loopback=False)


def test_the_database_of_the_configuration_is_kept_clean(tmp_path: Path) -> None:
    kept = tmp_path / "naiad.db"
    kept.touch()
    link = tmp_path / "link.db"
    link.symlink_to(kept)
    for asked in (kept, link, tmp_path / "x" / ".." / "naiad.db"):
        with pytest.raises(ConfigError, match="for good"):
            chaos.own_database(PLAN, asked, kept)
    chaos.own_database(PLAN, tmp_path / "copy.db", kept)
    chaos.own_database(PLAN, kept, None)


# --- the command line ---


def run(folder: Path, *arguments: str, faults: str = ALL, config: str = CONFIG) -> int:
    (folder / "faults.toml").write_text(faults, encoding="utf-8")
    (folder / "naiad.toml").write_text(config, encoding="utf-8")
    return main(["chaos", str(folder / "faults.toml"), "--config", str(folder / "naiad.toml"), *arguments])


def test_check_prints_the_plan_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--check") == 0
    out = " ".join(capsys.readouterr().out.split())
    for words in (
        "faults[0] endpoint first, all models, call 3, 6, 9 and so on: fails with status 429 (insufficient_quota), "
        "retry after 2 s befalls first/small",
        "faults[1] all endpoints, all models, 0.25 of the calls, from 10 s to 60 s after the start: is answered 1.5 s "
        "later befalls first/small, second/large",
        "model small, every call: breaks off after 2 pieces of a stream befalls first/small",
        "seed 7", "3 faults; what is learned is kept in memory, and forgotten.",
    ):  # fmt: skip
        assert words in out
    assert re.search("said so in every answer: echo, first, (replay, )?second As ever: none", out)
    assert list(tmp_path.glob("**/*.db")) == []


def test_check_says_what_befalls_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--check", faults="[[faults]]\nkind = 'cut'\nmodel = 'gpt-*'\nendpoint = 'first'") == 0
    out = capsys.readouterr().out
    assert "befalls no model of the configuration" in out
    assert "As ever: echo, " in out


@pytest.mark.parametrize(
    ("arguments", "faults", "words"),
    [
        ((), "[[faults]]\nkind = 'cut'\nendpoint = 'frist'", "did you mean 'first'?"),
        ((), "[[faults]]\nkind = 'cutt'", "did you mean 'cut'?"),
        (("--listen", "0.0.0.0:0", "--allow-plaintext-beyond-loopback"), ALL, "--allow-chaos-beyond-loopback"),
        (("--data-dir", "kept"), ALL, "for good"),
        ((), "[[", "not valid TOML"),
    ],
)  # fmt: skip
def test_what_may_not_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], faults: str, words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for command in ((), ("--check",)):
        assert run(tmp_path, *command, *arguments, faults=faults) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("naiad: ")
        assert captured.err.count("\n") == 1
        assert words in captured.err
        assert captured.out == ""


def test_a_file_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--chaos", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err
