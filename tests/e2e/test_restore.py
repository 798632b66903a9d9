"""A restored backup: ids that were made after it was taken must teach nothing false, and must not stop the server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.live import Live, Refusal, live

FREE = {"input_nano_usd_per_million_tokens": 0, "output_nano_usd_per_million_tokens": 0}


def refusals(running: Live, decision_id: str) -> set[str]:
    """Return the reasons for which every use of an id is refused."""
    found = set()
    uses: tuple[Callable[[], Any], ...] = (
        lambda: running.caller.score(decision_id, 0.0),
        lambda: running.caller.outcome(decision_id),
        lambda: running.caller.call("InsightService/GetDecision", decision_id=decision_id),
    )
    for use in uses:
        with pytest.raises(Refusal) as caught:
            use()
        found.add(caught.value.reason)
    return found


def test_ids_made_after_the_backup_are_known_as_such(tmp_path: Path) -> None:
    with live(tmp_path) as running:
        kept = running.caller.decide("kept")
    database = tmp_path / "data" / "naiad.db"
    shutil.copy(database, tmp_path / "backup.db")
    with live(tmp_path) as running:
        running.caller.call(
            "CatalogService/CreateModel", model={"name": "echo/new", "endpoint_profile": "echo", "prices": FREE}
        )
        new_model = running.caller.decide("kept", allowed_models=["echo/new"])
        new_class = running.caller.decide("later")
        lost = running.caller.decide("kept", allowed_models=["echo/small"])
    shutil.copy(tmp_path / "backup.db", database)
    with live(tmp_path) as running:
        for made in (new_model, new_class):
            assert refusals(running, made.decision_id) == {"UNKNOWN_DECISION"}
        running.caller.decide("other")  # takes the number that "later" had
        running.caller.call(
            "CatalogService/CreateModel", model={"name": "echo/other", "endpoint_profile": "echo", "prices": FREE}
        )
        for made in (new_model, new_class):
            assert refusals(running, made.decision_id) == {"UNKNOWN_DECISION"}
        for arm in running.caller.arms(task_class="other").arms:
            assert arm.quality.effective_observations == 0.0
        for made in (kept, lost):  # whose class and model the backup holds: the id says where feedback belongs
            running.caller.score(made.decision_id, 1.0)
        running.caller.verify()
    with live(tmp_path) as running:
        running.caller.verify()
