"""Servers as processes of their own, kept apart from the load on other cores where there are any."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parent.parent


def separate_cores() -> tuple[set[int], set[int]]:
    """Return (cores for the servers, cores for the load): one for servers, the rest for load; both all if only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else (set(cores), set(cores))


class Process:
    """A command as a process of its own; what it prints goes to a log.

    cores: that it may run on; empty for all. env: variables besides those of this process. folder: where it runs.
    piped: subprocess.PIPE for the input and the output, which is then not logged.
    """

    address = ""  # where it listens, once that is known

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        cores: set[int] | None = None,
        env: Mapping[str, str] | None = None,
        folder: Path = ROOT,
        piped: int | None = None,
    ) -> None:
        before = os.sched_getaffinity(0)
        self._log = open(log, "ab")  # noqa: SIM115
        self.log = log
        if cores:
            os.sched_setaffinity(0, cores)  # children inherit it
        try:
            self.process = subprocess.Popen(
                command,
                stdin=piped or subprocess.DEVNULL, stdout=piped or self._log, stderr=self._log,
                text=True, cwd=folder, env={**os.environ, **(env or {})},
            )  # fmt: skip
        except BaseException:
            self._log.close()
            raise
        finally:
            os.sched_setaffinity(0, before)

    def resident_mib(self, field: str = "VmRSS") -> float:
        """Return the process's resident memory in MiB, or its peak, VmHWM."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{field}:")) / 1024

    def cpu_s(self) -> float:
        """Return the processor time that the process has used, user and system, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def stop(self, patience_s: float = 40.0) -> int:
        """Ask the process to end, wait for it and return its exit code; one that does not end is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self._log.close()
        return code


class Child(Process):
    """A Python module that prints "... listening on ADDRESS" once it is ready."""

    def __init__(self, module: str, *arguments: str, log: Path, cores: set[int] | None = None) -> None:
        super().__init__([sys.executable, "-m", module, *arguments], log=log, cores=cores, piped=subprocess.PIPE)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        before_address, said, address = line.partition(" listening on ")
        if not (before_address and said):
            self.stop()
            raise RuntimeError(f"{module} did not start: {self.tail()}")
        self.address = address.strip()


Started = TypeVar("Started", bound=Process)


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for_port(process: Started, address: str, seconds: float = 20.0) -> Started:
    """Return the process once it accepts connections there; stops it and raises RuntimeError if it does not."""
    host, _, port = address.rpartition(":")
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and process.process.poll() is None:
        try:
            socket.create_connection((host, int(port)), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            process.address = address
            return process
    ended = process.process.poll() is not None
    process.stop(5.0)
    why = "ended" if ended else f"does not listen on {address} after {seconds:g} s"
    raise RuntimeError(f"{process.log.stem} {why}: {process.tail()}")


@contextmanager
def running(child: Started) -> Iterator[Started]:
    """Stop a process at the end of a block, however it ends."""
    try:
        yield child
    finally:
        child.stop()
