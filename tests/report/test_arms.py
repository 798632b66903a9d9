"""`naiad arms`: a row for each model in each task class, with what is believed and how often it was used."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from naiad.server.report import print_arms
from tests.report.conftest import Running


@pytest.fixture(scope="module")
def taught(running: Running) -> Running:
    for score in (1.0, 0.9, 1.0):
        done = running.client.complete("hello", task_class="sum.ticket", allowed_models=["echo/large"])
        running.client.report_feedback(done, score, source="judge")
    running.client.complete("hello", task_class="sum.mail", allowed_models=["echo/small"])
    return running


def rows(text: str, model: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if model in line]


def test_every_arm_has_its_row(taught: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_arms(taught.address, "") == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert text.index("sum.ticket") < text.index("sum.mail")
    for model in ("echo/small", "echo/large", "echo/off", "echo/tiny"):
        assert len(rows(text, model)) == 2
    assert "2 task classes, 4 models, 3 judgements counted" in text


def test_a_row_agrees_with_the_arm(taught: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_arms(taught.address, "sum.ticket") == 0
    text = capsys.readouterr().out
    assert "sum.mail" not in text
    arm = next(taught.client.list_arms(task_class="sum.ticket", model="echo/large"))
    (row,) = rows(text, "echo/large")
    quality = arm.quality
    assert "●" in "".join(row)
    assert row[-8:-6] == [f"{quality.mean:.2f}", f"±{2 * quality.standard_deviation:.2f}"]
    assert row[-6:-3] == ["3", "100%", "100%"]
    assert float(row[-3]) == pytest.approx(arm.cost_nano_usd.mean * 1e-6, rel=0.01), "USD for 1,000 requests"
    assert row[-1] == "s"
    (unused,) = rows(text, "echo/small")
    assert "○" in "".join(unused)
    assert unused[-6:-3] == ["0", "0%", "0%"]


@pytest.mark.parametrize("width", [80, 100, 132])
def test_it_fits(taught: Running, width: int) -> None:
    """Every number in full; only long names are cut."""
    screen = Console(width=width, file=io.StringIO(), record=True)
    assert print_arms(taught.address, "", screen=screen) == 0
    text = screen.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for arm in taught.client.list_arms():
        assert f"{arm.quality.mean:.2f} ±{2 * arm.quality.standard_deviation:.2f} " in text
    axes = [line for line in text.splitlines() if "0.5" in line and "quality" in line]
    assert len(axes) == 1
    places = {line.index("·") for line in text.splitlines() if "echo/" in line and "·" in line}
    assert min(places) == axes[0].index("0"), "the axis stands over the intervals"


def test_one_model(taught: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_arms(taught.address, "", "echo/large") == 0
    text = capsys.readouterr().out
    assert len(rows(text, "echo/large")) == 2
    assert "echo/small" not in text


def test_no_arms_and_no_server_are_told_apart(taught: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_arms(taught.address, "nope") == 1
    assert "'nope'" in capsys.readouterr().err
    assert print_arms("127.0.0.1:1", "") == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err
