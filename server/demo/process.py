"""The demo's server: a process of its own in a folder of its own, stopped by SIGTERM, or with the demo where that dies.

It is given a pipe as standard input, of which the demo holds the other end and writes nothing.
"""

from __future__ import annotations

import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from naiad.server.demo.settings import policy
from naiad.server.providers import without_keys

_START_S = 30.0
_STOP_S = 40.0
_ANNOUNCED = "naiad listening on "


class ServerFailed(Exception):
    """The server did not start; the message has the end of its log."""


def write_configuration(path: Path) -> None:
    """Write the naiad.toml of the demo: the exchange rates, and otherwise the built-in defaults."""
    section = policy()
    path.write_text(
        "# The demo's server. Models, prices and endpoints are the built-in ones: recorded real outcomes.\n"
        "[policy]\n"
        f'strategy = "{section.strategy}"\n'
        f"usd_per_quality = {section.usd_per_quality}  # what a perfect answer is worth beyond a useless one\n"
        f"usd_per_second = {section.usd_per_second}  # what a second of waiting costs\n",
        encoding="utf-8",
    )


class ServerProcess:
    """A server that was started; `address` is where it listens."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: IO[str]) -> None:
        self._process = process
        self._log = log
        self.address = address

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @classmethod
    def start(cls, folder: Path) -> ServerProcess:
        """Start a server on a free port of this machine, its database, configuration and log in `folder`.

        Raises ServerFailed if it does not listen within 30 s.
        """
        write_configuration(folder / "naiad.toml")
        log = open(folder / "server.log", "w", encoding="utf-8")  # noqa: SIM115  # closed by stop
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and module
            [
                sys.executable, "-m", "naiad.server", "serve", "--listen", "127.0.0.1:0", "--log", "json",
                "--config", str(folder / "naiad.toml"), "--data-dir", str(folder), "--until-stdin-ends",
            ],
            stdout=subprocess.PIPE, stderr=log, stdin=subprocess.PIPE, text=True, env=without_keys(),
        )  # fmt: skip
        server = cls(process, "", log)
        try:
            line = _first_line(process)
        except BaseException:  # a signal
            server.stop()
            raise
        if not line.startswith(_ANNOUNCED):
            code = server.stop()
            end = (folder / "server.log").read_text(encoding="utf-8").strip()[-600:]
            raise ServerFailed(f"the server did not listen within {_START_S:g} s (exit code {code}): {end or 'no log'}")
        server.address = line.removeprefix(_ANNOUNCED).strip()
        return server

    def stop(self) -> int:
        """Stop by SIGTERM and return the exit code; kill it if it has not ended after 40 s. Again does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()
        return self._process.returncode


def _first_line(process: subprocess.Popen[str]) -> str:
    """Return the first line of the process's output, "" if none comes in time."""
    if process.stdout is None:
        return ""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        if select.select([process.stdout], [], [], 0.1)[0]:
            return process.stdout.readline()
    return ""
