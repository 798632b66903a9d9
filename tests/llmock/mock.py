"""llmock as a process of its own: told how to fail, asked what it saw and what it thinks of its callers.

It lives in an environment of its own, which `make llmock` makes, and is spoken to over HTTP on the loopback only.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

import pytest

COMMAND = Path(__file__).resolve().parents[2] / ".venv-llmock" / "bin" / "llmock"
START_S, CALL_S = 60.0, 20.0
_RUNNING = re.compile(r"Uvicorn running on (http://127\.0\.0\.1:\d+)")
_OPEN = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that llmock served."""

    seq: int
    model: str
    status: int
    fault: str  # that it met, "" for none
    completed: bool


@dataclass(frozen=True, slots=True)
class Finding:
    """What llmock finds fault with."""

    code: str
    severity: str  # "error" or "warning"
    requests: tuple[int, ...]  # the `seq` of those it is about
    words: str


class Mock:
    """A running llmock."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self.url}/_llmock/{path}", data=data, method=method)  # noqa: S310 - the loopback
        with _OPEN(request, timeout=CALL_S) as reply:
            return json.load(reply)

    def reset(self) -> None:
        """Let it forget all requests, and the faults that nobody has met."""
        self._call("POST", "reset")

    def script(self, behaviours: Iterable[Mapping[str, Any]]) -> None:
        """Let requests meet these faults; each is met by those whose model it matches."""
        told = list(behaviours)
        assert self._call("POST", "scenario", {"behaviors": told})["queued"] == len(told)

    def seen(self) -> list[Seen]:
        """Return the requests it served, in their order; waits two seconds for those that it still serves."""
        return [
            Seen(r["seq"], r["model"] or "", r["status"], r["fault"] or "", r["completed"])
            for r in self._call("GET", "requests")["requests"]
        ]

    def verdict(self) -> list[Finding]:
        """Return what it has to find fault with in how its callers behaved."""
        said = self._call("GET", "verdict")
        found = [
            Finding(f["code"], f["severity"], tuple(f["requests"]), f"{f['path']}: {f['title']}")
            for f in said["findings"]
        ]
        assert said["passed"] == all(f.severity != "error" for f in found)
        return found


@contextmanager
def mock(folder: Path, *arguments: str) -> Iterator[Mock]:
    """Run llmock for the length of a block, at a free port; skips the test, and says why, where it is absent."""
    if not COMMAND.exists():
        pytest.skip("llmock is absent: run make llmock")
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    command = [str(COMMAND), "serve", "--port", "0", "--response-style", "echo", *arguments]
    log = folder / "llmock.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=known)
    try:
        yield Mock(_address(process, log))
    finally:
        if process.poll() is None:
            process.kill()  # it would wait for the answers that nobody reads any more
        process.wait(CALL_S)


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    until_s = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < until_s:
        if match := _RUNNING.search(log.read_text(encoding="utf-8", errors="replace")):
            return match[1]
        time.sleep(0.05)
    raise RuntimeError(f"llmock did not start ({process.poll()}): {log.read_text(errors='replace')[-2000:]}")
