"""What a process of the command line stands on: its standard streams, and the signals that end it.

Light on purpose: it is imported before anything else, so that the signals are in hand while the rest is imported.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any, TextIO, TypeVar

T = TypeVar("T")

FAILED = 1
_LOOK_S = 0.05  # between two looks for a signal
_LEAVE_S = 1.0  # that work has to end after a signal
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Stopped(KeyboardInterrupt):
    """A signal, Ctrl-C or another, asked the process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class OutputFailed(Exception):
    """Standard output cannot be written; the cause is the OSError."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(f"standard output cannot be written: {cause.strerror or cause}")
        self.reader_gone = isinstance(cause, BrokenPipeError)


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal ended."""
    return 128 + number


def complain(message: str) -> None:
    """Print what went wrong on standard error, as one line; where that cannot be written, nobody is told."""
    try:
        print(f"naiad: {message}", file=sys.stderr, flush=True)
    except (OSError, ValueError):
        return


def fill_descriptors() -> None:
    """Open the null device as standard input, output and error where the parent closed them.

    Otherwise the next socket or database would be that descriptor, and get what is printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, and so this one
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False, encoding="utf-8"))  # noqa: SIM115  # for good


def take_signals() -> None:
    """Let SIGTERM and SIGHUP raise Stopped as Ctrl-C does; a signal that the parent had ignored stays ignored."""
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)


class _Held:
    """A signal that waits for an event loop, or a thread, to come to its end."""

    number: int | None = None
    wake: Callable[[], object] | None = None  # None: nothing is held, and a signal raises Stopped where it meets it


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in an event loop of its own; a signal cancels it, and Stopped is raised afterwards.

    Raised in the middle of a loop, it could fly through gRPC's compiled code, which the process does not survive.
    """
    import asyncio

    async def held() -> T:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        if task is not None:
            _Held.wake = lambda: loop.call_soon_threadsafe(task.cancel)
            if _Held.number is not None:
                task.cancel()
        return await main

    _Held.wake = lambda: None
    try:
        with asyncio.Runner() as runner:
            try:
                result = runner.run(held())
            except asyncio.CancelledError:
                if _Held.number is None:
                    raise
            finally:
                _Held.wake = lambda: None
    finally:
        _Held.wake = None
    if _Held.number is not None:
        raise Stopped(_Held.number)
    return result


def apart(work: Callable[[], T], end: Callable[[], object]) -> T:
    """Run work in a thread of its own; a signal calls `end`, which makes it end, and Stopped is raised afterwards.

    Raised in the middle of a call, it could leave a lock of gRPC's taken for good, or be lost where Python drops
    exceptions. Work that does not end within a second is left behind.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # whatever it is, it is raised again below
            failed.append(error)

    thread = threading.Thread(target=run, name="work", daemon=True)
    _Held.wake = lambda: None
    try:
        thread.start()
        while _Held.number is None and thread.is_alive():
            thread.join(_LOOK_S)
        if _Held.number is not None:
            end()
            thread.join(_LEAVE_S)
    finally:
        _Held.wake = None
    if _Held.number is not None:
        raise Stopped(_Held.number)
    if failed:
        raise failed[0]
    return found[0]


def ignore_signals() -> None:
    """Let no signal disturb the end: what is to be done is done, and the exit code stands."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _stop(number: int, frame: FrameType | None) -> None:
    if number != signal.SIGINT:  # once is enough, and must not disturb what it undoes; people may insist
        signal.signal(number, signal.SIG_IGN)
    if _Held.wake is not None:
        _Held.number = number
        _Held.wake()
        return
    raise Stopped(number)


class Ending:
    """Takes the signals of a server from now on and for good: the first asks it to end, further ones change nothing."""

    def __init__(self) -> None:
        self.number: int | None = None  # of the signal; 0 for a parent that is gone
        self._wake: Callable[[], object] | None = None
        for number in ENDING:
            if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, lambda taken, _: self.ask(taken))

    def __repr__(self) -> str:
        return f"Ending(number={self.number})"

    @property
    def code(self) -> int:
        """The exit code of a server that was asked to end before it served."""
        return exit_code(self.number) if self.number else 0

    def ask(self, number: int) -> None:
        """Ask the server to end; from any thread."""
        if self.number is None:
            self.number = number
        if self._wake is not None:
            self._wake()

    def watch(self, wake: Callable[[], object] | None) -> None:
        """Call `wake`, which must do at any moment and from any thread, when the end is asked for or was already."""
        self._wake = wake
        if self.number is not None and wake is not None:
            wake()

    def follow(self, descriptor: int) -> None:
        """Ask for the end when the file ends: a pipe of which the parent, and nobody else, holds the other end."""

        def read() -> None:
            try:
                while os.read(descriptor, 4096):
                    pass
            except OSError:
                pass
            self.ask(0)

        threading.Thread(target=read, name="parent", daemon=True).start()


class Output:
    """Standard output for one command; raises OutputFailed where it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text."""
        try:
            return self._stream.write(text)
        except OSError as error:
            raise OutputFailed(error) from error

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            raise OutputFailed(error) from error


def settle_streams(code: int) -> int:
    """Write out what is still buffered and return the exit code, FAILED where that cannot be done.

    What cannot be written is given up: at its own end Python would try again, complain and change the exit code.
    """
    try:
        Output(sys.stdout).flush()
    except OutputFailed as error:
        if code == 0:
            code = failed_output(error)
        give_up(sys.stdout)
    except ValueError:  # closed
        pass
    try:
        sys.stderr.flush()
    except OSError:
        give_up(sys.stderr)
    except ValueError:
        pass
    return code


def failed_output(error: OutputFailed) -> int:
    """Return the exit code for output that cannot be written; of a reader that went away nothing is said."""
    if error.reader_gone:
        return exit_code(signal.SIGPIPE)
    complain(str(error))
    return FAILED


def give_up(stream: TextIO) -> None:
    """Let what is still buffered in a standard stream, and all that comes, go nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
