"""Rules over a real server: data goes where it may and nowhere else, and of no_store data no free text is kept."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from naiad.v1 import decision_pb2, feedback_service_pb2, router_service_pb2
from tests.e2e.live import Caller, Live, Refusal, live

RULES = """
[server]
listen = "127.0.0.1:0"
log_level = "debug"
[governance]
zones = ["region:us"]
[[data_classes]]
name = "open"
allow = ["any"]
[[data_classes]]
name = "secret"
allow = ["on_prem", "region:eu"]
no_store = true
[[models]]
name = "echo/here"
data_zone = "on_prem"
input_usd_per_million = 1.0
output_usd_per_million = 1.0
[[models]]
name = "echo/cloud"
data_zone = "private_cloud, region:eu"
input_usd_per_million = 1.0
output_usd_per_million = 1.0
[[models]]
name = "echo/other"
input_usd_per_million = 0.0
output_usd_per_million = 0.0
[[task_classes]]
name = "ruled"
data_class = "open"
[[workflows]]
name = "payroll"
data_class = "secret"
"""
CANARY = "canary4d81c"
TURN = {"role": 2, "parts": [{"text": f"say {CANARY}"}]}


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with rules."""
    with live(tmp_path_factory.mktemp("ruled"), RULES) as running:
        yield running


@pytest.fixture
def api(ruled: Live) -> Caller:
    """A caller of it."""
    return ruled.caller


def reasons(excluded: Any) -> dict[str, int]:
    """Return model -> reason."""
    return {e.model: e.reason for e in excluded}


def test_a_class_reaches_only_what_it_permits_and_the_record_says_why(api: Caller) -> None:
    for _ in range(20):
        made = api.call("RouterService/Complete", task_class="ruled", data_class="secret", messages=[TURN])
        assert made.model in ("echo/here", "echo/cloud")
        assert reasons(made.excluded) == {"echo/other": decision_pb2.EXCLUSION_REASON_DATA_ZONE}
        assert not [n for n in made.notices if "DATA_CLASS" in decision_pb2.NoticeCode.Name(n.code)]
    api.settle()
    record = api.call("InsightService/GetDecision", decision_id=made.decision_id).decision
    assert (record.data_class, record.data_class_source, record.no_store) == ("secret", "request", True)
    assert record.policy_epoch > 0
    assert {c.candidate.model: c.permitted_by for c in record.candidates} == {
        "echo/here": "on_prem", "echo/cloud": "region:eu",
    }  # fmt: skip
    assert "'secret'" in record.excluded[0].detail


def test_the_stricter_of_request_and_workflow_holds_and_is_told(api: Caller) -> None:
    made = api.call("RouterService/Decide", task_class="ruled", data_class="open", workflow="payroll")
    assert {c.model for c in made.ranking} == {"echo/here", "echo/cloud"}
    (notice,) = made.notices
    assert notice.code == decision_pb2.NOTICE_CODE_DATA_CLASS_RAISED
    assert dict(notice.metadata) == {"data_class": "secret", "source": "workflow"}
    assert len(api.call("RouterService/Decide", task_class="ruled").ranking) == 3
    fresh = api.call("RouterService/Decide", task_class="never.seen")
    assert {c.model for c in fresh.ranking} == {"echo/here", "echo/cloud"}, "nobody says anything: the strictest"


def test_unknown_names_are_refused_and_nothing_is_half_applied(api: Caller) -> None:
    model = {"name": "echo/new", "data_zone": "on-prem"}
    for method, fields, reason, near in (
        ("RouterService/Decide", {"task_class": "half", "data_class": "secrt"}, "UNKNOWN_DATA_CLASS", "secret"),
        ("RouterService/Complete", {"task_class": "half", "data_class": "secrt", "messages": [TURN]},
         "UNKNOWN_DATA_CLASS", "secret"),
        ("CatalogService/CreateTaskClass", {"task_class": {"name": "half", "default_data_class": "opn"}},
         "UNKNOWN_DATA_CLASS", "open"),
        ("CatalogService/UpdateTaskClass", {"task_class": {"name": "ruled", "default_data_class": "opn"}},
         "UNKNOWN_DATA_CLASS", "open"),
        ("CatalogService/CreateModel", {"model": model}, "UNKNOWN_DATA_ZONE", "on_prem"),
        ("CatalogService/UpdateModel", {"model": {"name": "echo/other", "data_zone": "on_prem, region:uss"}},
         "UNKNOWN_DATA_ZONE", "region:us"),
    ):  # fmt: skip
        with pytest.raises(Refusal) as caught:
            api.call(method, **fields)
        assert (caught.value.reason, caught.value.code) == (reason, "INVALID_ARGUMENT")
        assert caught.value.metadata["nearest"] == near
        assert repr(near) in caught.value.message
    classes = api.call("CatalogService/ListTaskClasses").task_classes
    assert "half" not in {c.name for c in classes}
    assert {c.name: c.default_data_class for c in classes}["ruled"] == "open"
    assert {m.name: m.data_zone for m in api.call("CatalogService/ListModels").models} == {
        "echo/here": "on_prem", "echo/cloud": "private_cloud, region:eu", "echo/other": "",
    }  # fmt: skip


def test_an_acknowledged_change_of_zone_binds_the_next_call(api: Caller) -> None:
    zones = ("region:us", "private_cloud, region:eu")
    for zone, permitted in zip(zones, ({"echo/here"}, {"echo/here", "echo/cloud"}), strict=True):
        api.call("CatalogService/UpdateModel", model={"name": "echo/cloud", "data_zone": zone})
        made = api.call("RouterService/Complete", task_class="ruled", data_class="secret", messages=[TURN])
        assert {c.model for c in made.ranking} == permitted
    with pytest.raises(Refusal) as caught:
        api.call("RouterService/Complete", data_class="secret", messages=[TURN], allowed_models=["echo/other"])
    assert caught.value.reason == "NO_ELIGIBLE_MODEL"
    assert caught.value.metadata["reasons"] == "DATA_ZONE x 1, NOT_ALLOWED x 2"


def said(caller: Caller, data_class: str) -> tuple[str, list[bytes]]:
    """Say a secret wherever free text is taken; return the decision, and the digests of what was sent."""
    feature = {"name": "age", "low": 0, "high": 100}
    name = f"private.{data_class}"
    caller.call("CatalogService/CreateTaskClass",
                task_class={"name": name, "features": [feature], "default_data_class": data_class})  # fmt: skip
    common: dict[str, Any] = {"task_class": name, "data_class": data_class, "features": {"age": 41.03125}}
    decide: dict[str, Any] = {**common, "messages": [TURN], "request_id": f"d-{data_class}"}
    first = caller.call("RouterService/Decide", **decide)
    assert caller.call("RouterService/Decide", **decide).decision_id == first.decision_id
    complete: dict[str, Any] = {**common, "messages": [TURN], "request_id": f"c-{data_class}"}
    caller.call("RouterService/Complete", **complete)
    outcome: dict[str, Any] = {
        "decision_id": first.decision_id, "request_id": f"o-{data_class}",
        "error": {"kind": 5, "detail": f"{CANARY} {data_class}-detail"},
    }  # fmt: skip
    caller.call("FeedbackService/ReportOutcome", **outcome)
    caller.call("FeedbackService/ReportOutcome", **outcome | {"request_id": "", "attempt_id": "1"})
    feedback: dict[str, Any] = {
        "decision_id": first.decision_id, "score": 0.5, "source": 1, "request_id": f"f-{data_class}",
        "comment": f"{CANARY} {data_class}-comment",
    }  # fmt: skip
    kept = caller.call("FeedbackService/ReportFeedback", **feedback)
    assert caller.call("FeedbackService/ReportFeedback", **feedback).feedback_id == kept.feedback_id
    caller.call("FeedbackService/RetractFeedback", feedback_id=kept.feedback_id,
                comment=f"{CANARY} {data_class}-retraction")  # fmt: skip
    sent = (
        router_service_pb2.DecideRequest(**decide), router_service_pb2.CompleteRequest(**complete),
        feedback_service_pb2.ReportOutcomeRequest(**outcome), feedback_service_pb2.ReportFeedbackRequest(**feedback),
    )  # fmt: skip
    digests = [hashlib.sha256(m.SerializeToString(deterministic=True)).hexdigest().encode() for m in sent]
    return first.decision_id, digests


def test_of_no_store_data_no_free_text_is_kept_not_even_a_digest(tmp_path: Path) -> None:
    """The same words about open data are kept, so the search finds what there is to find."""
    with live(tmp_path, RULES) as running:
        decision, private = said(running.caller, "secret")
        _, public = said(running.caller, "open")
        running.caller.settle()
        record = running.caller.call("InsightService/GetDecision", decision_id=decision).decision
        assert record.no_store
        assert record.features == {}
        assert [a.error.detail for a in record.attempts] == [""]
        assert [f.comment for f in record.feedback] == [""]
    written = b"".join(file.read_bytes() for file in running.process.database.parent.iterdir())
    with closing(sqlite3.connect(running.process.database)) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = repr([list(database.execute(f'SELECT * FROM "{name}"')) for name in tables]).encode()
    for found in (written, rows):
        assert b"open-detail" in found
        assert b"open-retraction" in found
        assert all(digest in found for digest in public)
        for word in (b"secret-detail", b"secret-comment", b"secret-retraction", b"say " + CANARY.encode(), *private):
            assert word not in found, word
    assert rows.count(b"41.03125") == 2, "of the decision about open data, and of its completion"
    assert CANARY not in running.process.errors()


def test_a_decision_about_no_store_data_is_still_given_once_after_a_restart(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"task_class": "t", "data_class": "secret", "messages": [TURN], "request_id": "once"}
    with live(tmp_path, RULES) as running:
        first = running.caller.call("RouterService/Decide", **fields)
        running.caller.call("RouterService/Complete", **fields | {"request_id": "asked"})
        running.caller.settle()
    with live(tmp_path, RULES) as running:
        assert running.caller.call("RouterService/Decide", **fields).decision_id == first.decision_id
        with pytest.raises(Refusal) as caught:
            running.caller.call("RouterService/Complete", **fields | {"request_id": "asked"})
        assert caught.value.reason == "REPLY_NOT_AVAILABLE"


def test_personal_data_raises_the_class_and_is_named_nowhere(tmp_path: Path) -> None:
    secret = "DE89370400440532013000"
    rules = RULES.replace("[[task_classes]]", '[governance.pii]\nraises_to = "secret"\n[[task_classes]]', 1)
    with live(tmp_path, rules) as running:
        for method in ("RouterService/Decide", "RouterService/Complete"):
            for words, permitted in (("hello", 3), (f"pay {secret} now", 2)):
                turn = {"role": 2, "parts": [{"text": words}]}
                made = running.caller.call(method, task_class="ruled", messages=[turn])
                assert len(made.ranking) == permitted, (method, words)
                raised = [n for n in made.notices if n.code == decision_pb2.NOTICE_CODE_DATA_CLASS_RAISED]
                assert [n.metadata["source"] for n in raised] == ["content"] * (permitted == 2)
                assert secret not in str(made.notices)
        running.caller.settle()
    assert all(secret.encode() not in f.read_bytes() for f in running.process.database.parent.iterdir())
    assert secret not in running.process.errors()
