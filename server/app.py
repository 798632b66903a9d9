"""The running server: opens the log, folds it, serves until told to stop, and leaves everything on disk."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from naiad.server import data_rules, snapshot, wakeups
from naiad.server.address import CannotListen, address_of, check_free, is_loopback, split_address
from naiad.server.audit import Act
from naiad.server.config import Config
from naiad.server.costs import ensure_built
from naiad.server.decision_id import Signer
from naiad.server.domain import Domain
from naiad.server.engine import DEFAULT_TENANT, Engine, EngineSettings
from naiad.server.errors import NaiadError
from naiad.server.folding import fold
from naiad.server.guard import MEBIBYTE, Guard
from naiad.server.identity import Identity
from naiad.server.journal import Journal
from naiad.server.keyring import KeyRing
from naiad.server.process import Ending
from naiad.server.sections import ConfigError
from naiad.server.store.base import Store
from naiad.server.store.memory import MemoryStore
from naiad.server.store.sqlite import SqliteStore
from naiad.server.tls import Renewed
from naiad.server.wire import handlers_of
from naiad.v1 import (
    admin_service_pb2,
    catalog_service_pb2,
    feedback_service_pb2,
    insight_service_pb2,
    policy_service_pb2,
    router_service_pb2,
)

log = structlog.get_logger(__name__)

_SERVICES: tuple[Any, ...] = (
    router_service_pb2, feedback_service_pb2, catalog_service_pb2, policy_service_pb2, insight_service_pb2,
    admin_service_pb2,
)  # fmt: skip
_LINGER_S = (
    0.25  # how long a drained server still refuses: callers learn of the drain, and come back elsewhere or later
)
_LINGERS = 8  # at most, one after the other, as long as callers come
_SAVE_USES_S = 60.0
_PENDING = 100_000  # above our own limit: what gRPC sheds itself ends as a bare CANCELLED


def wall_ms() -> int:
    """Return wall time in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def open_store(config: Config) -> Store:
    """Open the store that the configuration names; raises StoreError."""
    return MemoryStore() if config.database is None else await SqliteStore.open(config.database)


async def signer_for(store: Store) -> Signer:
    """Return the signer of decision ids; the first start makes the key, and it is kept."""
    keys = await store.signing_keys()
    if not keys:
        keys = {1: secrets.token_bytes(32)}
        await store.add_signing_key(1, keys[1])
    return Signer(keys, max(keys))


async def restored_engine(
    store: Store, config: Config, *, from_start: bool = False, tenant: int = DEFAULT_TENANT
) -> Engine:
    """Return the engine that a tenant's log folds to: from the newest good snapshot and its tail, or from event 0.

    store: of that tenant.
    """
    signer = await signer_for(store)
    spending = config.file.spending
    settings = EngineSettings(
        belief=config.belief, drift=config.drift, endpoints=frozenset(config.endpoints),
        callbacks={name: callback.zone for name, callback in config.callbacks.items()},
        default_output_tokens=spending.default_output_tokens, hold_ms=round(spending.hold_s * 1000),
        sessions=config.sessions,
    )  # fmt: skip
    for sequence, payload in [] if from_start else await store.snapshots():
        engine = Engine(settings, signer, tenant)
        try:
            snapshot.load(engine, payload)
        except snapshot.CorruptSnapshot as error:
            log.warning("snapshot_ignored", sequence=sequence, reason=str(error))
            continue
        await fold(store, engine, after=sequence)
        return engine
    engine = Engine(settings, signer, tenant)
    await fold(store, engine)
    return engine


def admit(config: Config, keys: KeyRing) -> None:
    """Set how callers are told apart; raises ConfigError for a server that nobody could call, or anybody."""
    host, _ = split_address(config.file.server)
    section = config.file.keys
    keys.defaults = (section.requests_per_minute, section.concurrent_calls)
    keys.open_without_keys = config.tls is None and is_loopback(host)
    if not keys.has_keys and not keys.open_without_keys:
        where = "has TLS" if config.tls is not None else f"listens on {host}, which others can reach"
        raise ConfigError(
            f"{config.source}: the server {where}, and there is no key, so nobody could call it; make the first one "
            f"with naiad keys create --data-dir {Path(config.file.storage.path).parent} --role admin"
        )


class Server:
    """A server that was started; `run` is the way to have one until a signal."""

    def __init__(self, config: Config, store: Store, keys: KeyRing) -> None:
        self.config = config
        self.store = store
        self.keys = keys
        self._domains: dict[int, Domain] = {}
        self.guard = Guard(
            config.limits, lambda: sum(d.journal.backlog for d in self._domains.values()), Identity(keys, wall_ms),
            self._audit,
        )  # fmt: skip
        self._health = health.aio.HealthServicer()
        self._saving: asyncio.Task[None] | None = None
        self._grpc: grpc.aio.Server | None = None
        self.address = ""

    @property
    def engine(self) -> Engine:
        """The engine of the first tenant."""
        return self._domains[DEFAULT_TENANT].engine

    @property
    def journal(self) -> Journal:
        """The journal of the first tenant."""
        return self._domains[DEFAULT_TENANT].journal

    @property
    def journals(self) -> list[Journal]:
        """The journals of all tenants."""
        return [domain.journal for domain in self._domains.values()]

    def __repr__(self) -> str:
        return f"Server({self.address!r}, tenants={len(self._domains)})"

    @classmethod
    async def start(cls, config: Config) -> Server:
        """Open, fold, configure and serve.

        Raises StoreError, ConfigError or CannotListen; then, and when it is cancelled, everything is closed again.
        """
        opening = asyncio.ensure_future(open_store(config))
        try:
            store = await asyncio.shield(opening)
        except asyncio.CancelledError:  # half an opening could not be closed
            await (await opening).close()
            raise
        server = None
        try:
            keys = await KeyRing.open(store, wall_ms)
            admit(config, keys)
            server = cls(config, store, keys)
            await server._serve()
        except BaseException:
            if server is not None:
                if server._grpc is not None:
                    await server._grpc.stop(grace=None)
                await server._close_domains()
            await store.close()
            raise
        return server

    async def _serve(self) -> None:
        for sentence in data_rules.empty_classes(self.config.policy.data_classes, self.config.usable):
            log.warning("data_class_without_model", reason=sentence)
        servicers = {}
        for tenant in self.keys.tenants:
            store = self.store.of(tenant)
            engine = await restored_engine(store, self.config, tenant=tenant)
            if await ensure_built(store) and engine.sequence:
                log.info("costs_built", tenant=tenant, sequence=engine.sequence)
            domain = self._domains[tenant] = Domain(self.config, store, engine, wall_ms)
            domain.journal.start()
            self.keys.writers[tenant] = domain.journal
            servicers[tenant] = await domain.prepare(self.keys)
        limits = self.config.limits
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max(limits.large_message_mib, limits.message_mib) * MEBIBYTE),
                ("grpc.max_send_message_length", -1),
                ("grpc.server.max_pending_requests", _PENDING),
                ("grpc.server.max_pending_requests_hard_limit", _PENDING),
                ("grpc.so_reuseport", 0),
            ]
        )
        for module in _SERVICES:
            (service,) = module.DESCRIPTOR.services_by_name.values()
            of_tenants = {tenant: found[service.name] for tenant, found in servicers.items()}
            first = of_tenants.pop(DEFAULT_TENANT)
            self.guard.protect(first, service.name, [method.name for method in service.methods], of_tenants)
            server.add_generic_rpc_handlers((handlers_of(first, service, limits.largest),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        host, port = split_address(self.config.file.server)
        check_free(host, port)
        address, tls, section = address_of(host, port), self.config.tls, self.config.file.server.tls
        try:
            if tls is None or section is None:
                bound = server.add_insecure_port(address)
            else:
                bound = server.add_secure_port(address, Renewed(section, self.config.source, tls).credentials())
        except RuntimeError as error:  # gRPC's word for a port that is taken or forbidden
            raise CannotListen(f"port {port} is taken or may not be used") from error
        self._grpc = server
        await server.start()
        self.address = address_of(host, bound)
        self._saving = asyncio.create_task(self._save_uses(), name="key uses")
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    def _audit(self, tenant: int | None, act: Act) -> None:
        """Write an act into its tenant's trail; that of nobody known (None) into the first tenant's."""
        self._domains[DEFAULT_TENANT if tenant is None else tenant].auditor.audit(act)

    async def _save_uses(self) -> None:
        while True:
            await asyncio.sleep(_SAVE_USES_S)
            with contextlib.suppress(NaiadError):  # the log failed; the server ends by that
                await self.keys.save_uses()

    async def _close_domains(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
            with contextlib.suppress(NaiadError):
                await self.keys.save_uses()
        for domain in self._domains.values():
            await domain.close()

    async def _linger(self) -> None:
        """Go on refusing until nobody came for a while, or too long: what gRPC ends itself is a bare CANCELLED."""
        for _ in range(_LINGERS):
            before = self.guard.turned_away
            await asyncio.sleep(_LINGER_S)
            if self.guard.turned_away == before:
                return

    async def stop(self) -> bool:
        """Refuse new calls, finish those in flight, write everything, close; return whether all went well."""
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await self.guard.drain(self.config.file.server.drain_s)
        if self._grpc is not None:
            await self._linger()
            await self._grpc.stop(grace=0.5)  # a health watch, which never ends by itself, is not waited for
        failed = any(journal.failed.is_set() for journal in self.journals)
        await self._close_domains()
        await self.store.close()
        log.info("stopped", sequence=self.engine.sequence, storage_failed=failed)
        return not failed


def _settle_interpreter() -> None:
    """Keep the pauses short: collect garbage seldom, and never what start-up left."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


async def run(config: Config, ready: Callable[[str], None], ending: Ending) -> int:
    """Serve until the end is asked for, or until the log cannot be written; return the exit code."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    ending.watch(lambda: loop.call_soon_threadsafe(stopping.set))
    wakeups.take_all_at_once()
    try:
        asked = asyncio.ensure_future(stopping.wait())
        server = await _started(config, asked)
        if server is None:
            return ending.code
        _settle_interpreter()
        log.info(
            "serving", address=server.address, models=len(server.engine.catalog.live), sequence=server.engine.sequence,
            configuration=config.source, tenants=len(server.journals),
            transport="plaintext" if config.tls is None else "mTLS" if config.tls.client_ca else "TLS",
        )  # fmt: skip
        if server.keys.open_without_keys and not server.keys.has_keys:
            log.warning(
                "no_keys", address=server.address,
                meaning="every program on this machine may do everything; naiad keys create --role admin ends that",
            )  # fmt: skip
        ready(server.address)
        failed = [asyncio.ensure_future(journal.failed.wait()) for journal in server.journals]
        await asyncio.wait([asked, *failed], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (asked, *failed):
            waiting.cancel()
        return 0 if await server.stop() else 1
    finally:
        ending.watch(None)


async def _started(config: Config, asked: asyncio.Future[Any]) -> Server | None:
    """Return the server, or None where its end was asked for before it served."""
    starting = asyncio.ensure_future(Server.start(config))
    await asyncio.wait([starting, asked], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.wait([starting])
        if starting.cancelled():
            return None
    return await starting
