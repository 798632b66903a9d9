"""Printing for people: a console that stays plain where nobody watches, and numbers as they are read."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from math import floor, isfinite, log10
from typing import IO, Any, cast

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from naiad.client import Client, DeadlineExceeded, NaiadError, RetryPolicy, Timeouts, Unauthenticated, Unavailable
from naiad.client.settings import DEFAULT_TARGET
from naiad.server import process
from naiad.server.options import KEY_VARIABLE
from naiad.server.report.access import Access

PLAIN_WIDTH = 132  # columns where the output is a file or a pipe
NARROW = 110  # columns below which tables leave out what can be missed
_INSIGHT_S = 30.0
NANO = 1_000_000_000


def console(width: int | None = None) -> Console:
    """Return a console on standard output; colours and the terminal's width only on a terminal.

    Text is printed as it is: names from a catalogue can hold neither markup nor emoji codes. Printing raises
    OutputFailed where standard output cannot be written.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and not (sys.stdout.encoding or "").lower().startswith("utf"):
        sys.stdout.reconfigure(errors="replace")  # a bar of question marks is better than a traceback
    terminal = sys.stdout.isatty()
    return Console(
        file=cast(IO[str], process.Output(sys.stdout)),
        width=width if terminal or width else PLAIN_WIDTH,
        color_system="auto" if terminal else None,
        force_terminal=terminal,
        markup=False,
        emoji=False,
        highlight=False,
    )


def table(title: str = "", *columns: str, numbers: tuple[str, ...] = ()) -> Table:
    """Return an empty table; the columns named in `numbers` are aligned to the right."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
    )
    for column in columns:
        made.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return made


def clean(text: str) -> str:
    """Return text that cannot steer a terminal: what is not printable becomes a space."""
    return "".join(c if c.isprintable() else " " for c in text)


def number(value: float) -> str:
    """Return a number with three significant digits and no exponent: 0.00051, 2.3, 1,250."""
    if value == 0 or not isfinite(value):
        return f"{value:g}"
    decimals = max(0, 2 - floor(log10(abs(value))))
    digits = f"{value:,.{decimals}f}"
    return digits.rstrip("0").rstrip(".") if decimals else digits


def usd(value: float) -> str:
    """Return US dollars with three significant digits: $0.00051, -$0.2."""
    return f"{'-' if value < 0 else ''}${number(abs(value))}"


def nano_usd(value: float) -> str:
    """Return nano-USD as US dollars."""
    return usd(value / NANO)


def share(value: float) -> str:
    """Return a share as percents, with a decimal where whole percents would hide it: 97%, 0.3%, 99.4%."""
    percents = 100 * value
    if not (0 < percents < 10 or 99 < percents < 100):
        return f"{percents:.0f}%"
    return f"{percents:.1f}".removesuffix(".0") + "%"


def plural(count: int, noun: str, ending: str = "s") -> str:
    """Return "1 model", "2 models", "1,250 models"."""
    return f"{count:,} {noun}" + ("" if count == 1 else ending)


def say(out: Console, text: str, style: str = "") -> None:
    """Print a sentence, indented, with its further lines under its first."""
    out.print(Padding(Text(text, style=style), (0, 0, 0, 2), expand=False))


def complain(message: str) -> None:
    """Print what went wrong on standard error."""
    process.complain(clean(message))


def asking(server: str | Access, ask: Callable[[Client], int]) -> int:
    """Return what `ask` returns when given a client of the server; 1 and a message when the call fails."""
    access = server if isinstance(server, Access) else Access(server)
    patience: dict[str, Any] = {"timeouts": Timeouts(insight_s=_INSIGHT_S), "retry": RetryPolicy(reconnect_s=0.0)}
    try:
        with Client(access.server, **access.options, **patience) as client:
            return process.apart(lambda: ask(client), client.close)
    except (Unavailable, DeadlineExceeded) as error:
        complain(unreachable(access.server, error))
    except Unauthenticated as error:
        complain(f"{error.message}: give its file with --key-file, or the key itself in {KEY_VARIABLE}")
    except NaiadError as error:
        complain(error.message)
    except ValueError as error:
        complain(f"--server {access.server!r}: {error}")
    return 1


def unreachable(server: str, error: NaiadError) -> str:
    """Return the message for a server that does not answer."""
    hint = "start one with: naiad serve" if server == DEFAULT_TARGET else "is it the address that naiad serve printed?"
    return f"no answer from {server} ({error.message}); {hint}"
