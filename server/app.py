"""The running server: opens the log, folds it, serves until told to stop, and leaves everything on disk."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
from collections.abc import Callable
from random import Random
from typing import Any

import grpc
import msgspec
import structlog
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from naiad.server import data_rules, providers, snapshot
from naiad.server.address import CannotListen, address_of, check_free, split_address
from naiad.server.arms_feed import ArmsFeed
from naiad.server.audit import Auditor
from naiad.server.budget_changes import BudgetChanges
from naiad.server.completion import Completer
from naiad.server.config import Config
from naiad.server.decision_id import Signer
from naiad.server.egress import Egress
from naiad.server.engine import Engine, EngineSettings
from naiad.server.feedback import Feedback
from naiad.server.folding import fold
from naiad.server.guard import MEBIBYTE, Guard
from naiad.server.inventory import Inventory
from naiad.server.journal import Journal
from naiad.server.pii import Detector
from naiad.server.process import Ending
from naiad.server.routing import Routing
from naiad.server.rpc_admin import AdminServicer
from naiad.server.rpc_catalog import CatalogServicer
from naiad.server.rpc_feedback import FeedbackServicer
from naiad.server.rpc_insight import InsightServicer
from naiad.server.rpc_policy import PolicyServicer
from naiad.server.rpc_router import RouterServicer
from naiad.server.store.base import Store
from naiad.server.store.memory import MemoryStore
from naiad.server.store.sqlite import SqliteStore
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

_LINGER_S = (
    0.25  # how long a drained server still refuses: callers learn of the drain, and come back elsewhere or later
)
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


async def restored_engine(store: Store, config: Config, *, from_start: bool = False) -> Engine:
    """Return the engine that the log folds to: from the newest good snapshot and its tail, or from event 0."""
    signer = await signer_for(store)
    spending = config.file.spending
    settings = EngineSettings(
        belief=config.belief, drift=config.drift, endpoints=frozenset(config.endpoints),
        default_output_tokens=spending.default_output_tokens, hold_ms=round(spending.hold_s * 1000),
    )  # fmt: skip
    for sequence, payload in [] if from_start else await store.snapshots():
        engine = Engine(settings, signer)
        try:
            snapshot.load(engine, payload)
        except snapshot.CorruptSnapshot as error:
            log.warning("snapshot_ignored", sequence=sequence, reason=str(error))
            continue
        await fold(store, engine, after=sequence)
        return engine
    engine = Engine(settings, signer)
    await fold(store, engine)
    return engine


class Server:
    """A server that was started; `run` is the way to have one until a signal."""

    def __init__(self, config: Config, store: Store, engine: Engine) -> None:
        self.config = config
        self.store = store
        self.engine = engine
        self.egress = Egress(
            engine.catalog,
            engine.eligibility,
            providers.build(config.endpoints) | providers.connect(config.endpoints, config.networks),
        )
        self.journal = Journal(store, engine, wall_ms)
        self.auditor = Auditor(self.journal, time.monotonic)
        self.guard = Guard(config.limits, lambda: self.journal.backlog, self.auditor.audit)
        self._feed = ArmsFeed(engine, self.journal.beyond, time.monotonic)
        self._health = health.aio.HealthServicer()
        self._grpc: grpc.aio.Server | None = None
        self.address = ""

    @classmethod
    async def start(cls, config: Config) -> Server:
        """Open the log, fold it, take over the configuration and listen.

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
            engine = await restored_engine(store, config)
            server = cls(config, store, engine)
            server.journal.start()
            await server._serve()
        except BaseException:
            if server is not None:
                if server._grpc is not None:
                    await server._grpc.stop(grace=None)
                await server.journal.close()
            await store.close()
            raise
        return server

    async def _serve(self) -> None:
        inventory = Inventory(self.journal, self.engine, wall_ms)
        await inventory.apply_configuration(self.config.models, self.config.task_classes)
        await self._apply_policy()
        completer = Completer(self.engine, self.journal, self.egress, wall_ms)
        budgets = BudgetChanges(self.journal, self.engine, wall_ms, knows_key=lambda _: False)  # there are no keys yet
        await budgets.apply_configuration(self.config.budgets)
        routing = Routing(
            self.engine,
            self.journal,
            inventory,
            completer,
            now_ms=wall_ms,
            monotonic=time.monotonic,
            uniform=Random(secrets.randbits(256)).random,  # noqa: S311 - draws a model, keeps no secret
            create_task_classes=self.config.file.policy.create_task_classes,
            decide_waits=self.config.file.storage.decide_waits,
        )
        await routing.remember_decisions(self.store)
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
        for servicer, module, name in (
            (RouterServicer(routing, limits.default_deadline_s, self._detector()), router_service_pb2, "RouterService"),
            (
                FeedbackServicer(routing, Feedback(self.journal, self.engine, wall_ms)),
                feedback_service_pb2,
                "FeedbackService",
            ),
            (CatalogServicer(self.engine.catalog, inventory), catalog_service_pb2, "CatalogService"),
            (PolicyServicer(), policy_service_pb2, "PolicyService"),
            (InsightServicer(routing, self.journal, self.store, self._feed), insight_service_pb2, "InsightService"),
            (
                AdminServicer(self.journal, self.engine, self.store, self.config, budgets, wall_ms),
                admin_service_pb2,
                "AdminService",
            ),
        ):
            service = module.DESCRIPTOR.services_by_name[name]
            self.guard.protect(servicer, name, [method.name for method in service.methods])
            server.add_generic_rpc_handlers((handlers_of(servicer, service, limits.largest),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        host, port = split_address(self.config.file.server)
        check_free(host, port)
        try:
            bound = server.add_insecure_port(address_of(host, port))
        except RuntimeError as error:  # gRPC's word for a port that is taken or forbidden
            raise CannotListen(f"port {port} is taken or may not be used") from error
        self._grpc = server
        await server.start()
        self.address = address_of(host, bound)
        await self._health.set("", health_pb2.HealthCheckResponse.SERVING)

    def _detector(self) -> Detector | None:
        raises_to = self.config.file.governance.pii.raises_to
        return Detector(raises_to) if raises_to else None

    async def _apply_policy(self) -> None:
        """Make the configuration's policy a new version if it differs from the one in force."""
        wanted, present = self.config.policy, self.engine.policy
        for sentence in data_rules.empty_classes(wanted.data_classes, self.config.usable):
            log.warning("data_class_without_model", reason=sentence)
        if wanted.digest != present.digest:
            await self.journal.append(msgspec.structs.replace(wanted, at_ms=wall_ms(), version=present.version + 1))

    async def stop(self) -> bool:
        """Refuse new calls, finish those in flight, write everything, close; return whether all went well."""
        await self._health.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        await self.guard.drain(self.config.file.server.drain_s)
        if self._grpc is not None:
            await asyncio.sleep(_LINGER_S)  # what comes once gRPC itself stops ends as a bare CANCELLED
            await self._grpc.stop(grace=0.5)  # a health watch, which never ends by itself, is not waited for
        failed = self.journal.failed.is_set()
        self.auditor.flush()
        await self.journal.close()
        await self.egress.aclose()
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
    try:
        asked = asyncio.ensure_future(stopping.wait())
        server = await _started(config, asked)
        if server is None:
            return ending.code
        _settle_interpreter()
        log.info(
            "serving", address=server.address, models=len(server.engine.catalog.live), sequence=server.engine.sequence,
            configuration=config.source,
        )  # fmt: skip
        ready(server.address)
        failed = asyncio.ensure_future(server.journal.failed.wait())
        await asyncio.wait([asked, failed], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (asked, failed):
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
