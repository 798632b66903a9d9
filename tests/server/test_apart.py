"""Work in a thread of its own: what it gives comes back, and a signal ends it without being raised in it."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from naiad.server import process

_WATCH = """
import os, signal, sys, threading, time
from naiad.server import process

for number in process.ENDING:
    signal.signal(number, signal.SIG_DFL)  # tests run in the background, too, where Ctrl-C is ignored
process.take_signals()
ended = threading.Event()

def work():
    try:
        os.kill(os.getpid(), signal.{name})
        while not ended.wait({wait}):
            pass
        print("ended", flush=True)
    except BaseException as error:
        print("raised in the work:", repr(error), flush=True)

try:
    process.apart(work, ended.set)
except process.Stopped as stopped:
    print("stopped by", stopped.number, flush=True)
"""


def test_what_the_work_gives_comes_back() -> None:
    assert process.apart(lambda: threading.current_thread() is threading.main_thread(), lambda: None) is False


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), process.OutputFailed(BrokenPipeError())])
def test_what_the_work_raises_is_raised(error: BaseException) -> None:
    def work() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        process.apart(work, lambda: None)
    assert caught.value is error


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_makes_the_work_end_and_is_told_afterwards(name: str) -> None:
    script = _WATCH.format(name=name, wait=0.01)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    number = 2 if name == "SIGINT" else 15
    assert (done.stdout, done.stderr) == (f"ended\nstopped by {number}\n", "")


def test_work_that_does_not_end_is_left_behind() -> None:
    script = _WATCH.format(name="SIGINT", wait=3_600.0).replace("ended.set", "lambda: None")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("stopped by 2\n", "")
