"""`naiad arms --watch`: what is shown of a watch, and that it shows what a real server learns."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from naiad.client import ArmsUpdate
from naiad.client.operations.insight import watch_arms
from naiad.server import report
from naiad.server.cli import main
from naiad.server.report.live_arms import View
from naiad.v1 import insight_pb2
from naiad.v1.insight_service_pb2 import WatchArmsResponse
from tests.report.conftest import Running


class Screen:
    """A view on a screen of its own, and the clock that it reads."""

    def __init__(self, height: int = 40) -> None:
        self.now_s = 0.0
        self.console = Console(width=80, height=height, file=io.StringIO(), force_terminal=True, color_system=None)
        self.view = View(self.console, "127.0.0.1:1", lambda: self.now_s)

    def text(self) -> str:
        """Return what is to be seen."""
        with self.console.capture() as captured:
            self.console.print(self.view.render())
        return captured.get()


def update(sequence: int, *arms: insight_pb2.Arm, checkpoint: bool = False, **fields: Any) -> ArmsUpdate:
    """Return an update with arms."""
    message = WatchArmsResponse(arms=arms, cursor="c", sequence=sequence, checkpoint=checkpoint, **fields)
    return watch_arms().open("").parse(message)


def arm(task_class: str, model: str, mean: float = 0.5, pulls: int = 0, seen: float = 0.0) -> insight_pb2.Arm:
    """Return an arm of which little is known."""
    quality = insight_pb2.Belief(mean=mean, standard_deviation=0.1, effective_observations=seen)
    return insight_pb2.Arm(task_class=task_class, model=model, pulls=pulls, quality=quality)


def test_it_changes_at_checkpoints_and_marks_what_was_counted() -> None:
    screen = Screen()
    assert not screen.view.take(update(1, arm("a", "x/one"), arm("a", "x/two"), restart="WATCH_RESTART_NO_CURSOR"))
    assert "x/one" not in screen.text()
    assert screen.view.take(update(1, checkpoint=True))
    assert "x/one" in screen.text()
    assert "* x/" not in screen.text()
    moved = arm("a", "x/one", 0.75, pulls=1, seen=1.0), arm("a", "x/two", 0.55)
    assert not screen.view.take(update(9, *moved))
    assert screen.view.take(update(9, checkpoint=True))
    text = screen.text()
    assert "event 9" in text
    assert "* x/one" in text
    assert "  x/two" in text, "it moved, because of what was counted for the other"
    assert "0.75" in text
    assert "0.55" in text
    assert not screen.view.take(update(9, checkpoint=True)), "a heartbeat changes nothing"


def test_silence_is_told() -> None:
    screen = Screen()
    screen.view.take(update(5, arm("a", "x/one"), checkpoint=True, restart="WATCH_RESTART_NO_CURSOR"))
    screen.now_s = 20.0
    assert "event 5" in screen.text()
    screen.now_s = 45.0
    assert "nothing heard for 45 s" in screen.text()
    screen.view.take(update(5, checkpoint=True))
    assert "event 5" in screen.text()


def test_a_low_terminal_shows_the_classes_that_moved_last() -> None:
    screen = Screen(height=30)
    many = [arm(f"class{i}", model) for i in range(20) for model in ("x/one", "x/two")]
    screen.view.take(update(1, *many, checkpoint=True, restart="WATCH_RESTART_NO_CURSOR"))
    screen.view.take(update(2, arm("class17", "x/one", pulls=1), checkpoint=True))
    text = screen.text()
    assert len(text.splitlines()) <= 30
    assert "class17" in text
    assert "class9" not in text
    assert re.search(r"1\d task classes not shown", text)
    assert "20 task classes, 2 models" in text


def test_no_arms_and_removed_arms() -> None:
    screen = Screen()
    screen.view.take(update(1, arm("a", "x/one"), checkpoint=True, restart="WATCH_RESTART_NO_CURSOR"))
    gone = insight_pb2.RemovedArm(task_class="a", model="x/one")
    assert screen.view.take(update(2, removed=[gone], checkpoint=True))
    assert "No arms yet" in screen.text()


def test_it_follows_a_server(running: Running) -> None:
    """In a pipe the table is printed again for what moved; Ctrl-C ends it without a traceback."""
    running.client.complete("hello", task_class="live.first", allowed_models=["echo/large"])
    command = [
        sys.executable,
        "-m",
        "naiad.server",
        "arms",
        "--watch",
        "--interval",
        "0.1",
        "--server",
        running.address,
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # tests run in the background, too
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("live.first" in line for line in lines)
        running.client.complete("hello", task_class="live.second", allowed_models=["echo/large"])
        assert any("live.second" in line for line in lines)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert (process.returncode, errors) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"task_class": "nope"}, "'nope'"), ({"interval_s": 0.0}, "interval")],
)
def test_refusals_are_one_line(
    running: Running, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], word: str
) -> None:
    assert report.watch_arms(running.address, **{"task_class": "", **arguments}) == 1
    message = capsys.readouterr().err
    assert word in message
    assert len(message.splitlines()) == 1


def test_a_server_that_is_not_there_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert report.watch_arms("127.0.0.1:1", "") == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize("interval", ["0", "0.09", "3601", "nan", "inf", "1e300", "often"])
def test_an_interval_that_cannot_be_is_wrong_usage(capsys: pytest.CaptureFixture[str], interval: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["arms", "--watch", "--interval", interval])
    assert caught.value.code == 2
    message = capsys.readouterr().err
    assert "--interval" in message
    assert interval in message
