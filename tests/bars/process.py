"""A real server as a process of its own: started on a folder, killed, restarted on what it left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

MUTANTS = Path(__file__).resolve().parent / "mutants"
START_S = 60.0  # bounds a start that hangs
STOP_S = 60.0
CONFIG = """
[server]
log = "json"
log_level = "warning"
drain_s = 20.0

[[models]]
name = "echo/small"
capabilities = ["streaming"]
input_usd_per_million = 0.1
output_usd_per_million = 0.4

[[models]]
name = "echo/medium"
capabilities = ["streaming"]
input_usd_per_million = 1.0
output_usd_per_million = 4.0

[[models]]
name = "echo/large"
capabilities = ["streaming"]
input_usd_per_million = 3.0
output_usd_per_million = 15.0
"""


class ServerDied(Exception):
    """The server ended by itself; the message ends with the tail of its log."""


@dataclass
class ServerProcess:
    """A server on one folder; at most one process at a time."""

    folder: Path
    mutant: str = ""  # a launcher in mutants/, "" for the real server
    launcher: Path | None = None  # another program that serves
    address: str = ""
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    @property
    def database(self) -> Path:
        """The database that the server writes."""
        return self.folder / "naiad.db"

    async def start(self) -> None:
        """Start and wait until it listens; raises ServerDied."""
        config = self.folder / "naiad.toml"
        if not config.exists():
            config.write_text(CONFIG, encoding="utf-8")
        program = [str(MUTANTS / f"{self.mutant}.py")] if self.mutant else ["-m", "naiad.server"]
        if self.launcher is not None:
            program = [str(self.launcher)]
        with self._log() as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, *program, "serve", "--config", str(config),
                "--listen", "127.0.0.1:0", "--data-dir", str(self.folder),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=log,
            )  # fmt: skip
        if self.process.stdout is None:
            raise RuntimeError("the server's output is not a pipe")
        try:
            line = await asyncio.wait_for(self.process.stdout.readline(), START_S)
        except BaseException:
            await self.kill()
            raise
        before, found, address = line.decode().strip().partition("naiad listening on ")
        if before or not found:
            code = await self.process.wait()
            raise ServerDied(f"the server ended with exit code {code} before it listened: {self.log_tail()}")
        self.address = address

    def _log(self) -> IO[bytes]:
        return open(self.folder / "server.log", "ab")

    async def kill(self) -> None:
        """End the process at once, as a crash would (SIGKILL)."""
        if self.process is not None and self.process.returncode is None:
            os.kill(self.process.pid, signal.SIGKILL)
            await self.process.wait()

    async def terminate(self) -> int:
        """Ask the process to stop (SIGTERM) and return its exit code; raises TimeoutError."""
        if self.process is None:
            raise RuntimeError("the server was never started")
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), STOP_S)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.process is not None and self.process.returncode is None

    def log_tail(self, size: int = 2_000) -> str:
        """Return the end of what the server logged."""
        path = self.folder / "server.log"
        return path.read_text(encoding="utf-8", errors="replace")[-size:] if path.exists() else ""
