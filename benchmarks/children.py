"""Servers as processes of their own, kept apart from the load on other cores where there are any."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def separate_cores() -> tuple[set[int], set[int]]:
    """Return (cores for the servers, cores for the load): one for servers, the rest for load; both all if only one."""
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else (set(cores), set(cores))


class Child:
    """A server process that prints "... listening on ADDRESS" once it is ready."""

    def __init__(self, module: str, *arguments: str, log: Path, cores: set[int] | None = None) -> None:
        before = os.sched_getaffinity(0)
        self._log = open(log, "ab")  # noqa: SIM115
        self._log_path = log
        if cores:
            os.sched_setaffinity(0, cores)  # children inherit it
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdout=subprocess.PIPE, stderr=self._log, text=True, cwd=ROOT,
            )  # fmt: skip
        finally:
            os.sched_setaffinity(0, before)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        before_address, said, address = line.partition(" listening on ")
        if not (before_address and said):
            self.stop()
            raise RuntimeError(f"{module} did not start: {self._log_path.read_text(errors='replace')[-2000:]}")
        self.address = address.strip()

    def resident_mib(self) -> float:
        """Return the process's resident memory, VmRSS, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024

    def cpu_s(self) -> float:
        """Return the processor time that the process has used, user and system, in seconds."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> int:
        """Ask the process to end, wait for it and return its exit code; one that does not end is killed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(40.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()
        return code


@contextmanager
def running(child: Child) -> Iterator[Child]:
    """Stop a process at the end of a block, however it ends."""
    try:
        yield child
    finally:
        child.stop()
