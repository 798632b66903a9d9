"""llama.cpp's own server with a small model, on the loopback: what answers here is inference, and none of ours.

`make llama` puts both into `.venv-llama`. The server has one slot of 2,048 tokens and one thread.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

import pytest

HOME = Path(__file__).resolve().parents[2] / ".venv-llama"
COMMAND, MODEL = HOME / "bin" / "llama-server", HOME / "model.gguf"
NAME, WINDOW = "smollm2", 2048
START_S, CALL_S = 120.0, 60.0
_OPEN = build_opener(ProxyHandler({})).open


@dataclass(frozen=True, slots=True)
class Llama:
    """A running server."""

    url: str

    def look(self, path: str) -> Any:
        """Return what a GET gives; raises OSError."""
        with _OPEN(f"{self.url}{path}", timeout=10.0) as reply:
            return json.load(reply)

    def busy(self) -> bool:
        """Return whether it writes an answer at this moment."""
        return any(slot["is_processing"] for slot in self.look("/slots"))

    def until_busy(self) -> None:
        """Wait until it writes an answer; fails where it does not within 10 s."""
        began = time.monotonic()
        while not self.busy():
            assert time.monotonic() - began < 10.0, "it never began"
            time.sleep(0.02)

    def until_idle(self) -> None:
        """Wait until it writes none; fails where it does for 6 s, in which a long answer does not come to its end.

        It looks for callers who are gone once a second, but only after a second in which nobody asked it anything.
        """
        for _ in range(3):
            time.sleep(2.0)
            if not self.busy():
                return
        raise AssertionError("it goes on writing")


@contextmanager
def inference(folder: Path) -> Iterator[Llama]:
    """Run the server for the length of a block, at a free port; skips the test, and says why, where it is absent."""
    if not (COMMAND.exists() and MODEL.exists()):
        pytest.skip("llama-server or its model is absent: run make llama, which builds for about 15 minutes")
    known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(COMMAND), "--model", str(MODEL), "--alias", NAME, "--host", "127.0.0.1", "--port", str(port),
        "--ctx-size", str(WINDOW), "--parallel", "1", "--threads", "1", "--cache-ram", "0", "--offline",
    ]  # fmt: skip
    log = folder / "llama.txt"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=known)
    try:
        running, until_s = Llama(f"http://127.0.0.1:{port}"), time.monotonic() + START_S
        while not _ready(running):
            if process.poll() is not None or time.monotonic() > until_s:
                raise RuntimeError(f"llama-server did not start ({process.poll()}): {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield running
    finally:
        process.kill()
        process.wait(CALL_S)


def _ready(running: Llama) -> bool:
    try:
        return bool(running.look("/health")["status"] == "ok")
    except (URLError, ConnectionError, TimeoutError):
        return False
