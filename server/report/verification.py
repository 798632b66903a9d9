"""`naiad replay`: fold the log from event 0 and compare, to the bit, with what is served or would be restored."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import grpc
from rich.console import Console

from naiad.client.status import error_of
from naiad.server import process
from naiad.server.app import restored_engine
from naiad.server.config import Config
from naiad.server.folding import event_of
from naiad.server.replay import Digests, LogMismatch, Replay
from naiad.server.report.access import Access, connected
from naiad.server.report.screen import clean, complain, console, plural, table, unreachable
from naiad.server.store.base import Store, StoreLocked
from naiad.server.store.sqlite import SqliteStore
from naiad.v1 import admin_service_pb2, admin_service_pb2_grpc

_STEP = 2_000  # events read at a time
_VERIFY_S = 600.0


@dataclass(frozen=True, slots=True)
class Comparison:
    """A fold from event 0 beside what it is compared with."""

    what: str  # what it is compared with
    events: int
    sequence: int
    folded: tuple[str, str, str]  # digests of statistics, beliefs and budgets, hex
    held: tuple[str, str, str]
    seconds: float

    @property
    def equal(self) -> bool:
        """Whether both are the same to the bit."""
        return self.folded == self.held


def print_replay(config: Config | None, server: str | Access | None, screen: Console | None = None) -> int:
    """Compare and print; return 0 if all is equal, else 1. Exactly one of config and server is given.

    config names the database of a stopped server; server is asked to verify itself. Raises StoreError for a database
    that cannot be read.
    """
    if server is not None:
        return _ask(server if isinstance(server, Access) else Access(server), screen)
    if config is None:
        raise ValueError("neither a configuration nor a server is given")
    path = config.database
    if path is None:
        complain("storage.path is :memory:, which leaves no log behind; ask a running server with --server HOST:PORT")
        return 1
    if not path.exists():
        complain(
            f"there is no database at {path}; name its folder with --data-dir, or ask a running server with "
            "--server HOST:PORT"
        )
        return 1
    try:
        compared = process.run(_compare_all(path, config))
    except StoreLocked as error:
        complain(f"{error}. A live file is never read: ask the server, naiad replay --server {_address(config)}")
        return 1
    except LogMismatch as error:
        complain(f"{path}: {error}")
        return 1
    return max(_show(one, screen or console()) for one in compared)


def _address(config: Config) -> str:
    listen = config.file.server.listen
    return "HOST:PORT" if listen.endswith(":0") else listen


async def _compare_all(path: Path, config: Config) -> list[Comparison]:
    store = await SqliteStore.open(path)
    try:
        tenants = await store.tenants()
        names = {number: f" of tenant {clean(name)}" if len(tenants) > 1 else "" for number, name in tenants.items()}
        return [await _compare(store.of(number), config, number, whose) for number, whose in names.items()]
    finally:
        await store.close()


async def _compare(store: Store, config: Config, tenant: int, whose: str) -> Comparison:
    began = time.perf_counter()
    folded = await _fold(store, config)
    held = Digests.of(await restored_engine(store, config, tenant=tenant))
    return Comparison(
        f"snapshot and the events after it{whose}",
        folded.events,
        folded.sequence,
        (folded.statistics, folded.beliefs, folded.budgets),
        (held.statistics, held.beliefs, held.budgets),
        time.perf_counter() - began,
    )


async def _fold(store: Store, config: Config) -> Digests:
    replay = Replay(config.belief)
    position = 0
    while rows := await store.events(position, _STEP):
        for row in rows:
            replay.feed(row.sequence, event_of(row))
        position = rows[-1].sequence
    return replay.digests()


def _ask(access: Access, screen: Console | None) -> int:
    server = access.server
    try:
        channel, metadata = connected(access)
    except ValueError as wrong:
        complain(f"--server {server!r}: {wrong}")
        return 1
    with channel:
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        try:
            reply = stub.VerifyLog(admin_service_pb2.VerifyLogRequest(), timeout=_VERIFY_S, metadata=metadata)
        except grpc.RpcError as failure:
            error = error_of(failure)
            down = error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            complain(unreachable(server, error) if down else error.message)
            return 1
    compared = Comparison(
        f"what {server} serves",
        reply.events_folded,
        reply.sequence,
        (
            reply.replayed_statistics_digest.hex(),
            reply.replayed_beliefs_digest.hex(),
            reply.replayed_budgets_digest.hex(),
        ),
        (reply.live_statistics_digest.hex(), reply.live_beliefs_digest.hex(), reply.live_budgets_digest.hex()),
        reply.elapsed.ToNanoseconds() / 1e9,
    )
    return _show(compared, screen or console())


def _show(compared: Comparison, out: Console) -> int:
    out.print(
        f"Folded {plural(compared.events, 'event')} from event 0 up to sequence {compared.sequence} in "
        f"{compared.seconds:.1f} s, and compared with {compared.what}."
    )
    made = table("", "", "from event 0", "compared with", "")
    for name, folded, held in zip(("statistics", "beliefs", "budgets"), compared.folded, compared.held, strict=True):
        made.add_row(name, folded[:16], held[:16], "equal" if folded == held else "DIFFERENT")
    out.print(made)
    if compared.equal:
        out.print("Equal to the bit.", style="green")
        return 0
    out.print(
        "NOT equal: the state does not follow from the log. Keep the file, and restore a backup or delete the "
        "snapshots so that the next start folds the log anew.",
        style="bold red",
    )
    return 1
