"""The vendors' own SDKs, in an environment of theirs: `make sdks` makes it, and without it the tests are skipped."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
PATIENCE_S = 120.0
"""Bounds a test that would hang."""


def interpreter() -> Path:
    """Return the interpreter of the SDKs' environment; skips the test, and says why, where there is none."""
    python = HERE.parents[1] / ".venv-sdks" / "bin" / "python"
    if not python.exists():
        pytest.skip("the vendors' SDKs are absent: run make sdks")
    return python


async def ask(script: str, question: dict[str, Any]) -> Any:
    """Run a script of this folder in the SDKs' environment, and return what it answers to a question."""
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    child = await asyncio.create_subprocess_exec(
        str(interpreter()),
        str(HERE / script),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**known, "NO_PROXY": "127.0.0.1"},
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            said, wrong = await child.communicate(json.dumps(question).encode())
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    assert child.returncode == 0, wrong.decode("utf-8", "replace")[-2000:]
    return json.loads(said)


def words(raw: bytes) -> tuple[str, dict[str, str], Any]:
    """Return the request line, headers (lower-case names) and JSON body of a raw request."""
    head, _, body = raw.partition(b"\r\n\r\n")
    line, *fields = head.decode("latin-1").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return line, {name.lower(): value.strip() for name, _, value in pairs}, json.loads(body)
