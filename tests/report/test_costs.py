"""`naiad costs`: what its table and sentences say is what the report says, and JSON holds it whole."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from naiad.client import AttemptError, Client, CostReport, NanoUsd
from naiad.server.cli import main
from naiad.server.options import moment
from naiad.server.report.costs import Wanted, print_costs, saved, show, spent
from tests.report.conftest import Running


@pytest.fixture(scope="module")
def billed(running: Running) -> Running:
    """A server on which two workflows spent, one of whose calls failed."""
    for index in range(6):
        flow = f"flow-{index % 2}"
        decision = running.client.decide("hello", task_class="billed.class", workflow=flow, input_tokens=1_000)
        running.client.report_outcome(decision, attempt_id="lost", error=AttemptError(kind="timeout"), cost_nano_usd=10)
        usage: dict[str, Any] = {"input_tokens": 1_000, "cached_input_tokens": 250, "output_tokens": 100}
        running.client.report_outcome(decision, model="echo/large", **usage)
        running.client.report_feedback(decision, 0.5)
    return running


def printed(billed: Running, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """Return what the command prints."""
    assert main(["costs", "--server", billed.address, *options]) == 0
    text = capsys.readouterr().out
    assert "\x1b" not in text
    return " ".join(text.split())


def test_a_table_tells_what_was_spent_and_a_sentence_of_what_it_is_made(
    billed: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(billed, capsys, "--by", "workflow", "--task-class", "billed.class")
    assert "Spend of task class billed.class, " in text
    for flow in ("flow-0", "flow-1"):
        assert f"{flow} $0.00675 50% 3 6 3 $0.00000003" in text
    assert "all $0.0135 100% 6 12 6" in text
    parts = "$0.00562 for reading, $0.00187 for reading from the providers' caches, $0.006 for writing answers."
    assert f"$0.0135 was spent, $0.00225 a decision: {parts}" in text
    assert "6,000 tokens were read (25% of them from caches) and 600 written." in text
    assert "6 calls of 12 failed, and cost $0.00000006 of it." in text
    assert "0.500" in text
    assert "would have cost" in text


def test_json_holds_every_field_in_whole_nano_usd(billed: Running, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["costs", "--server", billed.address, "--json", "--by", "model", "--by", "day"]) == 0
    found = json.loads(capsys.readouterr().out)
    parts = ("input", "cached_input", "cache_write", "output", "request", "adjustment")
    for row in [*found["rows"], found["total"]]:
        assert row["cost_nano_usd"] == sum(row[f"{part}_nano_usd"] for part in parts)
    assert sum(row["cost_nano_usd"] for row in found["rows"]) == found["total"]["cost_nano_usd"]
    assert {row["model"] for row in found["rows"]} >= {"echo/large"}
    assert datetime.fromisoformat(found["rows"][0]["period_start_time"]).hour == 0
    assert found["saving"]["confidence"] == 0.95
    assert "raw" not in json.dumps(found)


def test_rows_beyond_the_count_are_summed_up(billed: Running, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(billed, capsys, "--by", "workflow", "--count", "1", "--task-class", "billed.class")
    assert "1 more row $0.00675 50%" in text


def test_nothing_spent_is_said(billed: Running, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(billed, capsys, "--workflow", "nobody", "--since", "2026-01-01", "--until", "2026-01-31T12:00")
    assert text == (
        "Spend of workflow nobody, 2026-01-01 00:00 to 2026-01-31 12:00 UTC Nothing was decided, and nothing spent."
    )


@pytest.mark.parametrize("options", [["--since", "2026-02-01", "--until", "2026-01-01"], ["--baseline", "no/such"]])
def test_what_the_server_refuses_is_an_error(
    billed: Running, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert main(["costs", "--server", billed.address, *options]) == 1
    assert capsys.readouterr().err.startswith("naiad: ")


def test_times_are_dates_moments_or_ago() -> None:
    assert moment("2026-11-30") == datetime(2026, 11, 30, tzinfo=UTC)
    assert moment("2026-11-30T08:00+02:00") == datetime(2026, 11, 30, 6, tzinfo=UTC)
    for text, span in (("12h", timedelta(hours=12)), ("7d", timedelta(days=7)), ("2w", timedelta(weeks=2))):
        before = datetime.now(UTC) - span
        assert before <= moment(text) <= datetime.now(UTC) - span
    for text in ("yesterday", "7y", "-3d", "", "d", "9999999999d", "2026-13-01"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no time"):
            moment(text)


def report_of(running: Running) -> CostReport:
    """Return the report of everything."""
    with Client(running.address) as client:
        return client.cost_report(group_by=["workflow"])


def test_the_saving_says_which_way_it_went_and_how_sure_it_is(billed: Running) -> None:
    saving = report_of(billed).saving
    assert saving is not None
    usd = 1_000_000_000
    less = replace(
        saving, baseline_model="a/b", baseline_cost_nano_usd=NanoUsd(4 * usd), cost_nano_usd=NanoUsd(usd),
        saving_nano_usd=NanoUsd(3 * usd), lower_nano_usd=NanoUsd(2 * usd), upper_nano_usd=NanoUsd(4 * usd),
        quality_difference=-0.02, decisions=7, left_out=2,
    )  # fmt: skip
    assert list(saved(less)) == [
        "Always using a/b would have cost $4 where $1 was spent (7 answers compared): $3 (75%) was saved; with 95% "
        "confidence, between $2 and $4.",
        "Scores were 0.02 below what is believed of a/b on the same task classes.",
        "2 more answers could not have come from it, and are left out on both sides.",
    ]
    more = replace(less, saving_nano_usd=NanoUsd(-usd), lower_nano_usd=NanoUsd(-2 * usd), left_out=0)
    assert "$1 was spent beyond that; with 95% confidence, between -$2 and $4." in next(saved(more))


def test_calls_of_unknown_cost_are_told(billed: Running) -> None:
    total = replace(report_of(billed).total, unpriced_attempts=3)
    assert "What 3 calls cost is not known, for want of prices, tokens or a bill" in " ".join(spent(total))


def test_calls_whose_bill_nobody_knows_are_told(billed: Running) -> None:
    total = replace(report_of(billed).total, uncertain_attempts=3, uncertain_nano_usd=NanoUsd(970_000_000))
    text = " ".join(spent(total))
    why = "(failed, left by the caller, or miscounted)"
    assert f"Of 3 calls nobody knows the whole bill {why}: hard budgets count $0.97 more for that." in text
    without = " ".join(spent(replace(total, uncertain_attempts=1, uncertain_nano_usd=NanoUsd(0))))
    assert f"Of 1 call nobody knows the whole bill {why}: the sums are without it." in without


def test_names_cannot_steer_a_terminal(billed: Running) -> None:
    report = report_of(billed)
    row = replace(report.rows[0], workflow="evil\x1b[2J")
    screen = Console(record=True, width=132, markup=False)
    show(replace(report, rows=(row,)), Wanted(by=("workflow",)), screen)
    assert "\x1b" not in screen.export_text()


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert print_costs("127.0.0.1:1", Wanted()) == 1
    assert "no answer from 127.0.0.1:1" in capsys.readouterr().err


def test_judges_other_members_and_doubts_are_told_where_there_are_any(billed: Running) -> None:
    total = report_of(billed).total
    text = " ".join(spent(total))
    assert "ensembles" not in text
    assert "credible" not in text
    usd = 1_000_000_000
    more = replace(
        total, judge_nano_usd=NanoUsd(usd), other_members_nano_usd=NanoUsd(2 * usd), doubted_attempts=2,
        output_nano_usd=NanoUsd(9 * usd), reasoning_nano_usd=NanoUsd(4 * usd),
    )  # fmt: skip
    text = " ".join(spent(more))
    assert "ensembles and cascades paid $2 for answers that were not returned, and $1 for judges." in text
    assert "What the provider counted of 2 calls was not credible" in text
    assert "$9 for writing answers ($4 of it for reasoning)" in text
