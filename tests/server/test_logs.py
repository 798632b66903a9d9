"""Log lines are events with fields; an error in one never brings the values of the code that failed with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from naiad.server.logs import configure

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
