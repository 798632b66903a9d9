"""`naiad keys`: make, list, rotate and revoke keys, of a running server or in the database of a stopped one.

A new secret is the only thing on standard output, so that it can go into a file; what it is goes to standard error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from naiad.client import Client, Key
from naiad.client.convert import read
from naiad.server import process
from naiad.server.authorization import Role
from naiad.server.convert import text_id
from naiad.server.credentials import Caller
from naiad.server.credentials import Key as Kept
from naiad.server.errors import NaiadError
from naiad.server.journal import Request
from naiad.server.keyring import Direct, KeyRing, Made
from naiad.server.report.access import access_of
from naiad.server.report.screen import asking, clean, complain, console, plural, table
from naiad.server.rpc_keys import message_of
from naiad.server.store.sqlite import SqliteStore

_DAY_S = 86_400.0


def run(options: argparse.Namespace, screen: Console | None = None) -> int:
    """Carry out one of the commands; return the exit code. Raises StoreError or ConfigError."""
    out = screen or console()
    if options.data_dir is not None:
        path: Path = options.data_dir / "naiad.db"
        if options.action == "create" and (options.allowed_models or options.data_class):
            complain("--allowed-model and --data-class need a running server, which knows the models and data classes")
            return 2
        if options.action != "create" and not path.exists():
            complain(f"there is no database at {path}; name the folder of one with --data-dir")
            return 1
        return process.run(_offline(path, options, out))
    if options.tenant != "default":
        complain("--tenant needs --data-dir: a server is asked for keys of the tenant whose key is sent")
        return 2
    return asking(access_of(options), lambda client: _online(client, options, out))


def _online(client: Client, options: argparse.Namespace, out: Console) -> int:
    match options.action:
        case "create":
            made = client.create_key(
                options.name or options.role, role=options.role, requests_per_minute=options.requests_per_minute,
                concurrent_calls=options.concurrent_calls, tokens_per_minute=options.tokens_per_minute,
                allowed_models=options.allowed_models, data_class=options.data_class,
                expire_time=_expiry(options.expire_days),
            )  # fmt: skip
            _show_secret(made.secret, f"made {_words(made.key)}")
        case "list":
            _show(list(client.list_keys(include_ended=options.ended, page_size=1_000)), out)
        case "rotate":
            rotated = client.rotate_key(options.key_id, grace_s=options.grace)
            until = _time(rotated.old_secret_expire_time)
            _show_secret(rotated.secret, f"rotated {_words(rotated.key)}; the old secret ends {until}")
        case "revoke":
            _tell(f"revoked {_words(client.revoke_key(options.key_id, reason=options.reason))}")
    return 0


async def _offline(path: Path, options: argparse.Namespace, out: Console) -> int:
    store = await SqliteStore.open(path)
    try:
        ring = await KeyRing.open(store, lambda: time.time_ns() // 1_000_000)
        if options.tenant not in ring.tenants.values():
            if options.action != "create":
                complain(f"there is no tenant {options.tenant!r}; the tenants are {', '.join(ring.tenants.values())}")
                return 1
            if options.role != "admin":
                complain(f"there is no tenant {options.tenant!r}; its first key, which makes it, must be --role admin")
                return 1
        tenant = await ring.add_tenant(text_id(options.tenant, "--tenant", required=True))
        ring.writers[tenant] = Direct(store.of(tenant), ring.now_ms)
        await _change(ring, Caller(tenant, Role.ADMIN), options, out)
    except NaiadError as error:
        complain(error.message)
        return 1
    finally:
        await store.close()
    return 0


async def _change(ring: KeyRing, caller: Caller, options: argparse.Namespace, out: Console) -> None:
    def shown(key: Kept) -> Key:
        return read(Key, message_of(key, ring.tenants))

    async def secret(made: Awaitable[Made], verb: str, after: Callable[[Kept], str] = lambda _: "") -> None:
        key, fresh = await made
        _show_secret("" if fresh is None else fresh.reveal(), f"{verb} {_words(shown(key))}{after(key)}")

    request = Request(f"AdminService/{options.action.title()}Key")
    match options.action:
        case "create":
            expiry = _expiry(options.expire_days)
            wanted = Kept(
                key_id="", tenant=caller.tenant, secret_hash=b"", created_ms=0,
                name=text_id(options.name or options.role, "--name", required=True), role=Role[options.role.upper()],
                requests_per_minute=options.requests_per_minute, concurrent_calls=options.concurrent_calls,
                tokens_per_minute=options.tokens_per_minute,
                expires_ms=None if expiry is None else round(expiry.timestamp() * 1e3),
            )  # fmt: skip
            await secret(ring.create(caller, wanted, request), "made")
        case "list":
            _show([shown(key) for key in ring.listed(caller.tenant, ended=options.ended)], out)
        case "rotate":
            grace_ms = round((_DAY_S if options.grace is None else options.grace) * 1e3)
            await secret(ring.rotate(caller, options.key_id, grace_ms, request), "rotated")
        case "revoke":
            key = await ring.revoke(caller, options.key_id, options.reason, request)
            _tell(f"revoked {_words(shown(key))}")


def _expiry(days: float | None) -> datetime | None:
    return None if days is None else datetime.now(UTC) + timedelta(days=days)


def _words(key: Key) -> str:
    return f"key {key.key_id} ({clean(key.name)!r}, role {key.role}, tenant {clean(key.tenant)})"


def _show_secret(secret: str, what: str) -> None:
    out = process.Output(sys.stdout)
    out.write(secret + "\n")
    out.flush()
    _tell(f"{what}. The line above is the key; it is shown this once.")


def _tell(sentence: str) -> None:
    complain(sentence)


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"


def _show(keys: Sequence[Key], out: Console) -> None:
    counts = ("per minute", "tokens", "at a time")
    made = table("", "id", "name", "role", *counts, "narrowed to", "made", "ends", "used", numbers=counts)
    for key in keys:
        ends = f"revoked {_time(key.revoke_time)}" if key.revoke_time else _time(key.expire_time)
        limits = (key.requests_per_minute, key.tokens_per_minute, key.concurrent_calls)
        shown = [("-" if n is None else f"{n:,}") for n in limits]
        narrowed = [*key.allowed_models, *([f"data class {key.data_class}"] if key.data_class else [])]
        made.add_row(
            key.key_id, clean(key.name), key.role, *shown, clean(", ".join(narrowed)) or "-", _time(key.create_time),
            ends, _time(key.last_use_time),
        )  # fmt: skip
    if keys:
        out.print(made)
    out.print(f"{plural(len(keys), 'key')}.")
