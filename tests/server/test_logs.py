"""Log lines are events with fields; an error in one never brings the values of the code that failed with it."""

from __future__ import annotations

import errno
import io
import json
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from naiad.server.logs import Sink, configure

CANARY = "canary51c"


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_traceback_shows_no_local_variables(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(style, "info")
    log = structlog.get_logger()

    def failing(prompt: str) -> None:
        answer = {"text": prompt}
        raise KeyError(len(answer))

    try:
        failing("-".join([CANARY, "prompt"]))
    except KeyError:
        log.error("call_failed", method="m", exc_info=True)
    written = capsys.readouterr()
    assert written.out == "", "standard output is for the command's own words"
    assert "call_failed" in written.err
    assert "failing" in written.err
    assert CANARY + "-prompt" not in written.err


def test_levels(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "warning")
    structlog.get_logger().info("quiet")
    structlog.get_logger().warning("loud", count=3)
    assert [line for line in capsys.readouterr().err.splitlines() if '"event": "loud"' in line and '"count": 3' in line]


class Disk(io.RawIOBase):
    """A file that takes so many bytes at a time as it is told, and None for an error."""

    def __init__(self, takes: list[int | None]) -> None:
        self.takes = takes
        self.content = b""

    def write(self, data: object) -> int | None:
        took = self.takes.pop(0) if self.takes else 1 << 20
        if took is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        part = bytes(data)[:took]  # type: ignore[call-overload]
        self.content += part
        return len(part)


def sink_on(disk: Disk) -> Sink:
    return Sink(disk, lambda lines: f"dropped {lines}.")  # type: ignore[arg-type]


def test_a_line_that_cannot_be_written_is_counted_and_told_of() -> None:
    disk = Disk([100, None, None, 0])
    sink = sink_on(disk)
    for number in range(6):
        sink.msg(f"line {number}")
    assert disk.content == b"line 0\ndropped 3.\nline 4\nline 5\n"


@given(st.lists(st.none() | st.integers(0, 12), max_size=40))
def test_whatever_the_stream_does_every_line_is_whole_or_counted(
    takes: list[int | None],
) -> None:
    disk = Disk(list(takes))
    sink = sink_on(disk)
    for number in range(30):
        sink.msg(f"line {number:03}")
    disk.takes = []
    sink.msg("the end")
    lines = disk.content.decode().splitlines()
    whole = [line for line in lines if line.startswith("line ") and len(line) == 8]
    assert whole == sorted(set(whole))
    told = [int(line[8:-1]) for line in lines if line.startswith("dropped ") and line.endswith(".")]
    assert lines[-1] == "the end"
    assert len(whole) + sum(told) >= 30, "a line that was torn just before its end is both"
    if None not in takes and 0 not in takes:
        assert (len(whole), told) == (30, [])


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_closed_stream_ends_no_call(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stderr", stream)
    configure(style, "info")
    stream.close()
    structlog.get_logger().info("nobody_reads")


@pytest.mark.parametrize("style", ["console", "json"])
def test_a_line_that_cannot_be_rendered_is_told_of_in_its_place(style: str, capsys: pytest.CaptureFixture[str]) -> None:
    class Unspeakable:
        def __repr__(self) -> str:
            raise KeyError(CANARY)

    configure(style, "info")
    structlog.get_logger().info("odd", value=Unspeakable())
    structlog.get_logger().info("even", value=2)
    first, second = capsys.readouterr().err.splitlines()
    assert json.loads(first) == {"event": "log_line_failed", "level": "error", "of": "odd", "error": "KeyError"}
    assert "even" in second
