"""The audit trail through the API and the command line: told, filtered, paged, checked; an altered file is noticed."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.live import Caller, Process, live

METHOD = "naiad.v1.AdminService/CreateBudget"


def naiad(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "naiad.server", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def create(api: Caller, budget_id: str) -> None:
    api.call("AdminService/CreateBudget", budget={"budget_id": budget_id, "limit_nano_usd": 10**12, "period": 1})


def listed(api: Caller, **fields: Any) -> list[Any]:
    found, token = [], ""
    while True:
        page = api.call("AdminService/ListAuditEvents", page_token=token, **fields)
        found += page.events
        token = page.next_page_token
        if not token:
            return found


def test_what_was_done_is_told_the_latest_first(api: Caller) -> None:
    before = len(listed(api))
    assert before >= 3, "two models and the policy"
    for name in ("one", "two", "three"):
        create(api, name)
    api.refused("AdminService/CreateBudget", budget={"budget_id": "one", "limit_nano_usd": 1, "period": 1})
    found = listed(api, page_size=2)
    assert [e.sequence for e in found] == list(range(before + 3, 0, -1))
    assert [e.resource for e in found[:3]] == ["budgets/three", "budgets/two", "budgets/one"]
    assert all(e.succeeded for e in found)
    assert found[0].action == METHOD
    assert found[0].facts["revision"] == "1"
    assert {e.sequence for e in listed(api, action=METHOD)} >= {found[0].sequence}
    assert all(e.action == METHOD for e in listed(api, action=METHOD))
    assert listed(api, key_id="nobody") == []
    at = found[1].create_time
    later = listed(api, start_time=at)
    assert {e.sequence for e in later} >= {found[0].sequence, found[1].sequence}
    earlier = listed(api, end_time=at)
    assert len(later) + len(earlier) == len(found)
    token = api.call("AdminService/ListAuditEvents", page_size=1).next_page_token
    refusal = api.refused("AdminService/ListAuditEvents", page_token=token, action="other")
    assert refusal.reason == "PAGE_TOKEN_INVALID"


def test_refusals_for_want_of_rights_are_told(api: Caller) -> None:
    made = api.decide().decision_id
    forged = made[:-6] + ("AAAAAA" if made[-6:] != "AAAAAA" else "BBBBBB")
    refusal = api.refused("FeedbackService/ReportFeedback", decision_id=forged, score=0.5, source=1)
    assert refusal.reason == "DECISION_ID_FORGED"
    latest = listed(api)[0]
    assert (latest.succeeded, latest.reason) == (False, "DECISION_ID_FORGED")
    assert latest.action == "naiad.v1.FeedbackService/ReportFeedback"
    assert not latest.resource


def test_the_trail_is_checked_against_what_was_kept(api: Caller) -> None:
    first = api.call("AdminService/VerifyAudit")
    assert (first.intact, first.first_broken_sequence) == (True, 0)
    assert first.events_checked == len(listed(api))
    create(api, "after")
    assert api.call("AdminService/VerifyAudit", known_digest=first.last_digest).intact
    other = api.call("AdminService/VerifyAudit", known_digest=hashlib.sha256(b"x").digest())
    assert (other.intact, other.first_broken_sequence) == (False, 0)
    assert api.refused("AdminService/VerifyAudit", known_digest=b"short").reason == "INVALID_FORMAT"
    told = naiad("audit", "verify", "--server", api.address, "--digest", first.last_digest.hex())
    assert (told.returncode, told.stderr) == (0, "")
    assert "Whole:" in told.stdout
    assert naiad("audit", "verify", "--server", api.address, "--digest", "ab" * 32).returncode == 1
    for bad in (("list", "--count", "0"), ("verify", "--digest", "xyz"), ()):
        assert naiad("audit", *bad).returncode == 2
    text = naiad("audit", "list", "--server", api.address, "--count", "2", "--action", METHOD)
    assert (text.returncode, text.stderr) == (0, "")
    assert "budgets/after" in text.stdout
    gone = naiad("audit", "list", "--server", "127.0.0.1:9")
    assert (gone.returncode, gone.stdout) == (1, "")


@pytest.mark.parametrize(
    "harm",
    [
        "UPDATE audit SET payload = cast(replace(payload, 'budgets/b', 'budgets/c') AS BLOB) WHERE number = "
        "(SELECT max(number) - 1 FROM audit)",
        "DELETE FROM audit WHERE number = 2",
        "DELETE FROM audit WHERE number = (SELECT max(number) FROM audit)",
        "UPDATE events SET payload = cast(replace(payload, '\"b\"', '\"c\"') AS BLOB) WHERE kind = 'budget'",
    ],
    ids=["changed", "removed", "cut", "event"],
)
def test_an_altered_file_is_noticed(tmp_path: Path, harm: str) -> None:
    process = Process(tmp_path)
    api = Caller(process.address)
    create(api, "b")
    create(api, "d")
    assert api.call("AdminService/VerifyAudit").intact
    api.close()
    assert process.stop(signal.SIGTERM) == 0
    with sqlite3.connect(process.database) as file:
        assert file.execute(harm).rowcount >= 1
    file.close()
    with live(tmp_path) as server:
        found = server.caller.call("AdminService/VerifyAudit")
        assert (found.intact, found.first_broken_sequence > 0) == (False, True)


def test_no_secret_prompt_or_answer_is_in_it(api: Caller) -> None:
    turn = {"role": 2, "parts": [{"text": "canary-3141592"}]}
    api.call("RouterService/Complete", task_class="e2e", messages=[turn], allowed_models=["echo/small"])
    assert "canary" not in str(listed(api))
