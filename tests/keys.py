"""Keys in the database of a server that does not run, as `naiad keys create --data-dir` makes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from naiad.server.authorization import Role
from naiad.server.credentials import Caller, Key
from naiad.server.journal import Request
from naiad.server.keyring import Direct, KeyRing
from naiad.server.store.sqlite import SqliteStore

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Wanted:
    """A key that a test wants; ages in ms, relative to now."""

    role: Role
    tenant: str = "default"
    expired: bool = False
    revoked: bool = False
    replaced: bool = False  # the credential is that before a rotation without grace
    requests_per_minute: int | None = None
    concurrent_calls: int | None = None


def make_keys(database: Path, wanted: Mapping[str, Wanted]) -> dict[str, str]:
    """Make keys and return their credentials by the same names; the first of a tenant must be an admin's."""
    return asyncio.run(made_keys(database, wanted))


async def made_keys(database: Path, wanted: Mapping[str, Wanted]) -> dict[str, str]:
    """Make keys, as make_keys does."""
    now_ms = time.time_ns() // 1_000_000
    clock = {"ms": now_ms - 2 * HOUR_MS}
    store = await SqliteStore.open(database)
    try:
        ring = await KeyRing.open(store, lambda: clock["ms"])
        found = {}
        for name, want in wanted.items():
            tenant = await ring.add_tenant(want.tenant)
            ring.writers[tenant] = Direct(store.of(tenant), ring.now_ms)
            admin = Caller(tenant, Role.ADMIN)
            blank = Key(
                key_id="", tenant=tenant, secret_hash=b"", created_ms=0, name=name, role=want.role,
                requests_per_minute=want.requests_per_minute, concurrent_calls=want.concurrent_calls,
                expires_ms=now_ms - HOUR_MS if want.expired else None,
            )  # fmt: skip
            key, secret = await ring.create(admin, blank, Request("AdminService/CreateKey"))
            if secret is None:
                raise RuntimeError("a new key has a secret")
            found[name] = secret.reveal()
            if want.replaced:
                await ring.rotate(admin, key.key_id, 0, Request("AdminService/RotateKey"))
            if want.revoked:
                await ring.revoke(admin, key.key_id, "a test", Request("AdminService/RevokeKey"))
        return found
    finally:
        await store.close()


def key_id_of(credential: str) -> str:
    """Return the public id."""
    return credential.split("_")[1]


def altered(credential: str) -> str:
    """Return a credential of the same key with another secret."""
    return credential[:-1] + ("A" if credential[-1] != "A" else "B")
