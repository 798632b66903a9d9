"""Prompts, answers and keys stay where they belong: neither in the log lines nor in the database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.e2e.live import BASE, Refusal, live

CANARY = "canary7f3a9"
TURN = {"role": 2, "parts": [{"text": f"say {CANARY}-prompt"}]}
SYSTEM = {"role": 1, "parts": [{"text": f"you are {CANARY}-system"}]}
CALL = {
    "role": 3,
    "parts": [{"tool_call": {"tool_call_id": "1", "name": "t", "arguments_json": f'{{"a": "{CANARY}"}}'}}],
}
RESULT = {"role": 4, "parts": [{"tool_result": {"tool_call_id": "1", "parts": [{"text": f"{CANARY}-result"}]}}]}
IMAGE = {"role": 2, "parts": [{"image": {"media_type": "image/png", "data": f"{CANARY}-image".encode()}}]}


@pytest.mark.parametrize("style", ["console", "json"])
def test_no_prompt_no_answer_no_key_is_kept(tmp_path: Path, style: str) -> None:
    with live(tmp_path, BASE.replace("[server]", '[server]\nlog_level = "debug"'), "--log", style) as running:
        caller = running.caller
        messages = [SYSTEM, TURN, CALL, RESULT, IMAGE]
        generation = {
            "tools": [{"name": "t", "description": f"{CANARY}-tool", "parameters_json_schema": f'{{"{CANARY}": 1}}'}],
            "stop": [f"{CANARY}-stop"],
            "response_json_schema": f'{{"{CANARY}": 1}}',
        }
        caller.call("RouterService/Decide", task_class="p", messages=messages, request_id="d")
        caller.call("RouterService/Complete", task_class="p", messages=[TURN], request_id="c1")
        answer = caller.call("RouterService/Complete", task_class="p", messages=messages, generation=generation)
        assert CANARY in str(caller.call("RouterService/Complete", task_class="p", messages=[TURN]).answer)
        for wrong in (
            {"messages": [TURN | {"role": 9}]},
            {"messages": [TURN], "max_attempts": 0},
            {"messages": [TURN], "allowed_models": ["echo/none"]},
            {"messages": [TURN], "generation": {"response_json_schema": CANARY}},
            {"messages": [TURN, {"role": 2, "parts": [{"tool_result": {"parts": [{"text": CANARY}]}}]}]},
        ):
            with pytest.raises(Refusal) as caught:
                caller.call("RouterService/Complete", task_class="p", **wrong)
            assert CANARY not in f"{caught.value.message}{caught.value.metadata}"
        caller.call("FeedbackService/ReportFeedback", decision_id=answer.decision_id, thumb=1, source=1)
        caller.settle()
        record = caller.call("InsightService/GetDecision", decision_id=answer.decision_id)
        assert CANARY not in str(record)
        files = list(running.process.database.parent.iterdir())
        assert any(file.name.endswith("-wal") for file in files)
        for file in files:
            assert CANARY.encode() not in file.read_bytes(), file.name
        with sqlite3.connect(f"file:{running.process.database}?mode=ro", uri=True) as database:
            secrets = [row[0] for row in database.execute("SELECT secret FROM signing_keys")]
        database.close()
    for file in running.process.database.parent.iterdir():
        assert CANARY.encode() not in file.read_bytes(), file.name
    logged = running.process.errors()
    assert "serving" in logged
    assert CANARY not in logged
    assert secrets
    for secret in secrets:
        assert secret.hex() not in logged
        assert repr(secret)[2:-1] not in logged
