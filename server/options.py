"""Options that several commands have, and the checks of their values; imports little, on purpose."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

KEY_VARIABLE = "NAIAD_KEY"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options that say who calls, and over what."""
    command.add_argument("--key-file", metavar="FILE", type=Path, help=f"file of the key; else {KEY_VARIABLE} is taken")
    command.add_argument("--ca", metavar="FILE", type=Path, help="PEM file of the server's authority; speaks TLS")
    command.add_argument(
        "--certificate", metavar=("CERT", "KEY"), nargs=2, type=Path, help="PEM files of the client's own certificate"
    )


def keys_parser(keys: argparse.ArgumentParser, run: Callable[[argparse.Namespace], int]) -> None:
    """Add the commands of `naiad keys`."""
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", help="make a key and print it, once")
    create.add_argument("--role", choices=("client", "reviewer", "operator", "admin"), default="client")
    create.add_argument("--name", default="", metavar="NAME", help="for people; default the role")
    create.add_argument("--requests-per-minute", type=positive, metavar="N", help="default the configuration's")
    create.add_argument("--concurrent-calls", type=positive, metavar="N", help="default the configuration's")
    create.add_argument("--tokens-per-minute", type=tokens, metavar="N", help="default unbounded")
    create.add_argument(
        "--allowed-model", action="append", default=[], metavar="MODEL", dest="allowed_models",
        help="a name, or a pattern with '*'; may be given several times; default all",
    )  # fmt: skip
    create.add_argument("--data-class", default="", metavar="CLASS", help="that its requests have at least")
    create.add_argument("--expire-days", type=days, metavar="DAYS", help="default never")
    listing = actions.add_parser("list", help="list the keys")
    listing.add_argument("--ended", action="store_true", help="also those that are revoked or expired")
    rotate = actions.add_parser("rotate", help="make a new secret for a key and print it, once")
    rotate.add_argument("key_id", metavar="ID")
    rotate.add_argument("--grace", type=grace_s, metavar="SECONDS", help="how long the old one holds; default a day")
    revoke = actions.add_parser("revoke", help="end a key")
    revoke.add_argument("key_id", metavar="ID")
    revoke.add_argument("--reason", default="", metavar="TEXT", help="for the audit trail")
    for action in (create, listing, rotate, revoke):
        where = action.add_mutually_exclusive_group()
        where.add_argument("--server", metavar="HOST:PORT", help="a running server; default 127.0.0.1:50051")
        where.add_argument(
            "--data-dir", metavar="DIR", type=folder, help="folder of a stopped server's database: asks for no key"
        )
        action.add_argument(
            "--tenant", default="default", metavar="NAME", help="with --data-dir; create makes one that is new"
        )
        add_options(action)
        action.set_defaults(run=run)


DIMENSIONS = ("workflow", "task-class", "model", "hour", "day")
_UNITS = {"h": "hours", "d": "days", "w": "weeks"}


def costs_options(costs: argparse.ArgumentParser) -> None:
    """Add the options of `naiad costs`."""
    costs.add_argument(
        "--by", action="append", choices=DIMENSIONS, help="by what to sum up; may come several times (default model)"
    )
    costs.add_argument("--since", type=moment, metavar="TIME", help="2026-11-30, 2026-11-30T08:00, 12h, 7d or 4w ago; "
                       "default 30 days before the end")  # fmt: skip
    costs.add_argument("--until", type=moment, metavar="TIME", help="in the same ways; default now")
    costs.add_argument("--workflow", default="", metavar="NAME", help="only this workflow")
    costs.add_argument("--task-class", default="", metavar="NAME", help="only this task class")
    costs.add_argument("--model", default="", metavar="NAME", help="only this model; estimates no saving")
    costs.add_argument(
        "--baseline",
        default="",
        metavar="NAME",
        help="compare with this model; default the best single one in hindsight",
    )
    costs.add_argument("--count", type=positive, default=50, metavar="N", help="rows shown at most (default 50)")
    costs.add_argument("--json", action="store_true", help="print everything as JSON, in whole nano-USD")


def import_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `naiad models import`."""
    command.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a list in JSON; without it the provider is asked"
    )
    command.add_argument(
        "--endpoint", default="", metavar="NAME", help="the configured endpoint that serves the models"
    )
    command.add_argument(
        "--provider",
        default="",
        metavar="NAME",
        help="first part of the names of new models; default the endpoint's name",
    )
    command.add_argument(
        "--add", action="append", default=[], metavar="NAME",
        help="create this new model; may be a pattern (gpt-5*) and come several times",
    )  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="show what differs, and change nothing")


def moment(text: str) -> datetime:
    """Return a time, UTC unless it says otherwise: a date, a date with a time, or how long ago it was.

    Raises ArgumentTypeError.
    """
    if text[:-1].isdecimal() and text[-1:] in _UNITS and len(text) < 7:
        return datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])})
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time: give 2026-11-30, 2026-11-30T08:00 (UTC), or how long ago, as 12h, 7d or 4w"
        ) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def folder(text: str) -> Path:
    """Return the path of a folder; raises ArgumentTypeError for what is none."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"{text!r} names no folder; give the path of one, '.' for the present one")
    return Path(text)


def positive(text: str) -> int:
    """Return a whole number from 1 to 100,000; raises ArgumentTypeError."""
    return int(_within(text, 1, 100_000, "a whole number", whole=True))


def tokens(text: str) -> int:
    """Return a number of tokens from 1 to 2^40; raises ArgumentTypeError."""
    return int(_within(text, 1, 1 << 40, "a whole number", whole=True))


def days(text: str) -> float:
    """Return days; raises ArgumentTypeError."""
    return _within(text, 0.001, 36_500, "a number of days")


def grace_s(text: str) -> float:
    """Return how long an old secret holds, in seconds; raises ArgumentTypeError."""
    return _within(text, 0, 30 * 86_400, "a number of seconds")


def _within(text: str, low: float, high: float, what: str, *, whole: bool = False) -> float:
    try:
        value = float(int(text) if whole else float(text))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {low:g} to {high:g}")
    return value


def digest(text: str) -> bytes:
    """Return a digest written in hexadecimal; raises ArgumentTypeError."""
    try:
        found = bytes.fromhex(text)
    except ValueError:
        found = b""
    if len(found) != 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a digest: 64 hexadecimal digits")
    return found


def interval_s(text: str) -> float:
    """Return the least time between two changes, in seconds; raises ArgumentTypeError for one that no watch takes."""
    try:
        interval_s = float(text)
    except ValueError:
        interval_s = 0.0
    if not 0.1 <= interval_s <= 3_600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return interval_s
