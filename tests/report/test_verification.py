"""`naiad replay`: equal where it is, different where it was altered, and never a live file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from naiad.bandit.statistics import UNIT_WEIGHT, Measure, Observation, to_fixed
from naiad.client import Client
from naiad.server.app import restored_engine
from naiad.server.config import Config
from naiad.server.records import Change, FeedbackReported, Rating, encode
from naiad.server.report import print_replay
from naiad.server.snapshot import dump
from naiad.server.store.base import Batch, EventRow
from naiad.server.store.sqlite import SqliteStore
from tests.report.conftest import config_in, serving


@pytest.fixture
def stopped(tmp_path: Path) -> Config:
    """Return the configuration of a server that learned a little and was stopped."""
    config = config_in(tmp_path)
    with serving(config) as address, Client(address) as client:
        for score in (0.2, 0.9, 1.0):
            client.report_feedback(client.complete("hello", task_class="a"), score)
    return config


def test_a_stopped_server_is_what_its_log_says(stopped: Config, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_replay(stopped, None) == 0
    text = capsys.readouterr().out
    assert "Equal to the bit." in text
    assert text.count(" equal") == 3
    assert "from event 0 up to sequence" in text


def test_a_running_server_is_asked_and_its_file_left_alone(stopped: Config, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(stopped) as address:
        assert print_replay(stopped, None) == 1
        caught = capsys.readouterr()
        assert caught.out == ""
        assert "--server" in caught.err
        assert print_replay(None, address) == 0
        assert f"compared with what {address} serves" in capsys.readouterr().out


def test_a_snapshot_that_does_not_follow_from_the_log_is_found(
    stopped: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    async def alter() -> None:
        assert stopped.database is not None
        store = await SqliteStore.open(stopped.database)
        try:
            engine = await restored_engine(store, stopped)
            engine.statistics.add(Observation(0, 0, Measure.QUALITY, 2, 0, to_fixed(0.5), UNIT_WEIGHT))
            await store.save_snapshot(engine.sequence, dump(engine))
        finally:
            await store.close()

    asyncio.run(alter())
    assert print_replay(stopped, None) == 1
    text = capsys.readouterr().out
    assert "DIFFERENT" in text
    assert "NOT equal" in text


def test_an_event_that_does_not_follow_from_those_before_is_found(
    stopped: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    async def alter() -> None:
        assert stopped.database is not None
        store = await SqliteStore.open(stopped.database)
        try:
            at = await store.last_sequence() + 1
            event = FeedbackReported(
                uid=7, task_class=0, first_model=0, first_ordinal=0, attempts=("1",),
                ratings=(Rating(source=2, rater="", value=to_fixed(0.5)),),
                changes=(Change(0, 0, int(Measure.QUALITY), 2, 0, to_fixed(1.0), UNIT_WEIGHT),),
            )  # fmt: skip
            await store.commit(Batch(events=[EventRow(at, "feedback", 0, encode(event), 7)]))
        finally:
            await store.close()

    asyncio.run(alter())
    assert print_replay(stopped, None) == 1
    assert "altered" in capsys.readouterr().err


def test_where_there_is_no_log_nothing_is_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_replay(config_in(tmp_path), None) == 1
    assert "no database" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert print_replay(config_in(tmp_path, storage={"path": ":memory:"}), None) == 1
    assert ":memory:" in capsys.readouterr().err
    assert print_replay(None, "127.0.0.1:1") == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err
