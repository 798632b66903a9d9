"""`naiad check` and wrong usage: output and exit codes that scripts can use."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from naiad.server.cli import main

GOOD = """
[[models]]
name = "echo/small"
input_usd_per_million = 0.25
output_usd_per_million = 0.75
[[task_classes]]
name = "code.debug"
"""


def check(tmp_path: Path, content: str) -> int:
    """Run `naiad check` on a file."""
    file = tmp_path / "naiad.toml"
    file.write_text(content, encoding="utf-8")
    return main(["check", "--config", str(file)])


def test_a_good_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, GOOD) == 0
    out = capsys.readouterr().out
    assert "echo/small" in out
    assert "0.25" in out
    assert "0.75" in out
    assert "code.debug" in out
    assert not (tmp_path / "naiad.db").exists(), "checking touches nothing"


def test_the_built_in_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    assert "/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[servr]\n", ["servr", "server"]),
        ("[[models]]\nname = 'small'\n", ["provider/model"]),
        ("[policy]\nstrategy = 'balansed'\n", ["balanced"]),
        ("listen = [", ["TOML"]),
        ("[server]\nlisten = '0.0.0.0:1'\n", ["--allow-plaintext-beyond-loopback"]),
    ],
)
def test_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, words: list[str]) -> None:
    assert check(tmp_path, content) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("naiad: ")
    assert captured.err.count("\n") == 1
    for word in ["naiad.toml", *words]:
        assert word in captured.err


def test_a_missing_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--config", str(tmp_path / "none.toml")]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"naiad {importlib.metadata.version('naiad')}\n"


@pytest.mark.parametrize("arguments", [[], ["serv"], ["serve", "--liste", "x", "--no-such-flag"], ["explain"]])
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: naiad" in capsys.readouterr().err
