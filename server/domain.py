"""One tenant's learning: its log, engine, catalogue and servicers. No two tenants share any of it.

What they do share holds nothing of theirs: the database's file, in which every row has its tenant; the key that signs
decision ids, which name their tenant; and the configuration, which is applied to each.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from random import Random

import msgspec

from naiad.server import callback_channel, disturbances, providers
from naiad.server.arms_feed import ArmsFeed
from naiad.server.auditor import Auditor
from naiad.server.budget_changes import BudgetChanges
from naiad.server.cache import Cache
from naiad.server.completion import Completer
from naiad.server.config import Config
from naiad.server.egress import Egress
from naiad.server.engine import Engine
from naiad.server.feedback import Feedback
from naiad.server.inventory import Inventory
from naiad.server.journal import Journal
from naiad.server.keyring import KeyRing
from naiad.server.pii import Detector
from naiad.server.routing import Routing
from naiad.server.rpc_admin import AdminServicer
from naiad.server.rpc_catalog import CatalogServicer
from naiad.server.rpc_costs import CostReports
from naiad.server.rpc_feedback import FeedbackServicer
from naiad.server.rpc_insight import InsightServicer
from naiad.server.rpc_listing import ProviderModels
from naiad.server.rpc_policy import PolicyServicer
from naiad.server.rpc_router import RouterServicer
from naiad.server.store.base import Store
from naiad.server.token_rate import TokenRates


class Domain:
    """A tenant's state and what serves it; `prepare` comes before the first call."""

    def __init__(self, config: Config, store: Store, engine: Engine, now_ms: Callable[[], int]) -> None:
        self._config = config
        self._store = store
        self._now_ms = now_ms
        self.engine = engine
        self.egress = Egress(
            engine.catalog,
            engine.eligibility,
            disturbances.disturbed(
                providers.build(config.endpoints) | providers.connect(config.endpoints, config.networks),
                config.chaos,
                config.networks,
                time.monotonic,
            ),
            callbacks=callback_channel.connect(config.callbacks, time.monotonic),
        )
        self.journal = Journal(store, engine, now_ms)
        self.auditor = Auditor(self.journal, time.monotonic)
        self._feed = ArmsFeed(engine, self.journal.beyond, time.monotonic)

    def __repr__(self) -> str:
        return f"Domain({self.engine!r})"

    async def prepare(self, keys: KeyRing) -> dict[str, object]:
        """Apply the configuration, and return the servicers by the name of their service."""
        config, journal, engine = self._config, self.journal, self.engine
        inventory = Inventory(journal, engine, self._now_ms)
        await inventory.apply_configuration(config.models, config.task_classes)
        await self._apply_policy()
        budgets = BudgetChanges(journal, engine, self._now_ms, lambda key_id: keys.holds(engine.tenant, key_id))
        await budgets.apply_configuration(config.budgets)
        routing = Routing(
            engine,
            journal,
            inventory,
            Completer(engine, journal, self.egress, self._now_ms),
            cache=self._cache(),
            now_ms=self._now_ms,
            monotonic=time.monotonic,
            uniform=Random(secrets.randbits(256)).random,  # noqa: S311 - draws a model, keeps no secret
            create_task_classes=config.file.policy.create_task_classes,
            decide_waits=config.file.storage.decide_waits,
            tokens=TokenRates(keys.token_rate, time.monotonic),
        )
        await routing.remember_decisions(self._store)
        return {
            "RouterService": RouterServicer(
                routing, config.limits.default_deadline_s, config.limits.longest_deadline_s, self._detector()
            ),
            "FeedbackService": FeedbackServicer(routing, Feedback(journal, engine, self._now_ms)),
            "CatalogService": CatalogServicer(
                engine.catalog, inventory, engine.tenant, ProviderModels(self.egress, config.endpoints)
            ),
            "PolicyService": PolicyServicer(),
            "InsightService": InsightServicer(
                routing, journal, self._store, self._feed, CostReports(engine, journal, self._store, self._now_ms)
            ),
            "AdminService": AdminServicer(journal, engine, self._store, config, budgets, keys, self._now_ms),
        }

    def _cache(self) -> Cache | None:
        settings = self._config.cache
        if not settings.seconds:
            return None
        return Cache(self.engine, self.egress, settings, secrets.token_bytes(32), time.monotonic)

    def _detector(self) -> Detector | None:
        raises_to = self._config.file.governance.pii.raises_to
        return Detector(raises_to) if raises_to else None

    async def _apply_policy(self) -> None:
        """Make the configuration's policy a new version if it differs from the one in force."""
        wanted, present = self._config.policy, self.engine.policy
        if wanted.digest != present.digest:
            version = present.version + 1
            await self.journal.append(msgspec.structs.replace(wanted, at_ms=self._now_ms(), version=version))

    async def close(self) -> None:
        """Write everything, and let go of the providers; the store stays open."""
        self.auditor.flush()
        await self.journal.close()
        await self.egress.aclose()
