"""The ring of keys against a model: any order of making, rotating, revoking, waiting and restarting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from naiad.server.audit import Trail, entry_of
from naiad.server.audit_check import check as check_trail
from naiad.server.authorization import Role
from naiad.server.credentials import Caller, Key, new_secret
from naiad.server.errors import NaiadError
from naiad.server.journal import Request
from naiad.server.keyring import ANYONE, Direct, KeyRing
from naiad.server.store.memory import MemoryStore
from tests.server.reasons import check

BLANK = Key(key_id="", tenant=0, secret_hash=b"", created_ms=0, role=Role.CLIENT, name="n")
PLAIN = Request("AdminService/CreateKey")


@dataclass
class Clock:
    """Milliseconds that tests move."""

    ms: int = 1_000

    def __call__(self) -> int:
        return self.ms


async def ring_of(store: MemoryStore, clock: Clock) -> KeyRing:
    """Return the ring of a store, with a writer for each tenant."""
    ring = await KeyRing.open(store, clock)
    ring.writers = {tenant: Direct(store.of(tenant), clock) for tenant in ring.tenants}
    ring.open_without_keys = True
    return ring


def wanted(role: Role = Role.CLIENT, **facts: Any) -> Key:
    """Return what is wanted of a key."""
    return msgspec.structs.replace(BLANK, role=role, **facts)


@dataclass
class Known:
    """A key as the model knows it."""

    tenant: int
    role: Role
    live: dict[str, int | None]  # credential -> its own end, ms
    expires: int | None = None
    revoked: int | None = None
    dead: list[str] = field(default_factory=list)

    def ended(self, now: int) -> bool:
        return any(end is not None and end <= now for end in (self.expires, self.revoked))


class Ring(RuleBasedStateMachine):
    """Random changes by two tenants; after each, every credential ever made opens exactly what it should."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryStore()
        self.known: dict[str, Known] = {}
        self.changes = [0, 0]

    def run(self, work: Any) -> Any:
        """Run a coroutine to its end."""
        return asyncio.run(work)

    @initialize()
    def begin(self) -> None:
        self.run(self.store.add_tenant(1, "other"))
        self.restart()

    @rule()
    def restart(self) -> None:
        self.ring = self.run(ring_of(self.store, self.clock))

    @rule(ms=st.integers(1, 400))
    def wait(self, ms: int) -> None:
        self.clock.ms += ms

    def admins(self, tenant: int) -> set[str]:
        now = self.clock.ms
        return {i for i, k in self.known.items() if k.tenant == tenant and k.role == Role.ADMIN and not k.ended(now)}

    @rule(tenant=st.sampled_from([0, 1]), role=st.sampled_from(list(Role)), life=st.none() | st.integers(1, 900))
    def create(self, tenant: int, role: Role, life: int | None) -> None:
        expires = None if life is None else self.clock.ms + life
        work = self.ring.create(Caller(tenant, Role.ADMIN), wanted(role, expires_ms=expires, tenant=1 - tenant), PLAIN)
        if role < Role.ADMIN and not self.admins(tenant):
            self.refused(work, "LAST_ADMIN_KEY")
            return
        key, secret = self.run(work)
        assert key.tenant == tenant  # the caller's, whatever was asked
        assert key.key_id not in self.known
        self.known[key.key_id] = Known(tenant, role, {secret.reveal(): None}, expires)
        self.changes[tenant] += 1

    @rule(data=st.data(), tenant=st.sampled_from([0, 1]), grace=st.sampled_from([0, 100, 500]))
    def rotate(self, data: st.DataObject, tenant: int, grace: int) -> None:
        key_id = self.pick(data)
        known = self.known.get(key_id)
        work = self.ring.rotate(Caller(tenant, Role.ADMIN), key_id, grace, PLAIN)
        if known is None or known.tenant != tenant:
            self.refused(work, "UNKNOWN_KEY")
        elif known.ended(self.clock.ms):
            self.refused(work, "KEY_ENDED")
        else:
            _, secret = self.run(work)
            newest = next(credential for credential, end in known.live.items() if end is None)
            known.dead += [credential for credential, end in known.live.items() if end is not None]
            known.live = {newest: self.clock.ms + grace, secret.reveal(): None}
            self.changes[tenant] += 1

    @rule(data=st.data(), tenant=st.sampled_from([0, 1]))
    def revoke(self, data: st.DataObject, tenant: int) -> None:
        key_id = self.pick(data)
        known = self.known.get(key_id)
        work = self.ring.revoke(Caller(tenant, Role.ADMIN), key_id, "why", PLAIN)
        if known is None or known.tenant != tenant:
            self.refused(work, "UNKNOWN_KEY")
        elif known.revoked is None and self.admins(tenant) == {key_id}:
            self.refused(work, "LAST_ADMIN_KEY")
        else:
            self.run(work)
            if known.revoked is None:
                known.revoked = self.clock.ms
                self.changes[tenant] += 1

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from([*sorted(self.known), "a" * 13]))

    def refused(self, work: Any, reason: str) -> None:
        with pytest.raises(NaiadError) as caught:
            self.run(work)
        assert caught.value.reason == reason
        check(reason, caught.value.code, caught.value.metadata)

    @invariant()
    def every_credential_opens_what_it_should(self) -> None:
        now = self.clock.ms
        assert self.ring.authenticate(None) == (None if self.known else ANYONE)
        for key_id, known in self.known.items():
            for credential, end in known.live.items():
                caller = self.ring.authenticate(credential)
                if known.ended(now) or (end is not None and end <= now):
                    assert caller is None
                else:
                    assert caller is not None
                    assert (caller.key_id, caller.tenant, caller.role) == (key_id, known.tenant, known.role)
            for credential in [*known.dead, new_secret(key_id).reveal()]:
                assert self.ring.authenticate(credential) is None

    @invariant()
    def the_trails_are_whole_and_the_lists_ones_own(self) -> None:
        for tenant in (0, 1):
            store = self.store.of(tenant)
            last = self.run(store.latest_audit(None, 1))
            stands = Trail(last[0].number, last[0].digest) if last else Trail()
            found = self.run(check_trail(store, stands, 0))
            assert (found.entries, found.first_broken) == (self.changes[tenant], 0)
            mine = {key_id for key_id, known in self.known.items() if known.tenant == tenant}
            assert {key.key_id for key in self.ring.listed(tenant, ended=True)} == mine
            alive = {key_id for key_id in mine if not self.known[key_id].ended(self.clock.ms)}
            assert {key.key_id for key in self.ring.listed(tenant, ended=False)} == alive


TestRing = Ring.TestCase
TestRing.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


async def made(ring: KeyRing, role: Role = Role.ADMIN, **facts: Any) -> tuple[Key, str]:
    """Make a key and return it with its secret."""
    key, secret = await ring.create(ANYONE, wanted(role, **facts), PLAIN)
    assert secret is not None
    return key, secret.reveal()


async def test_nobody_grants_above_the_own_role() -> None:
    ring = await ring_of(MemoryStore(), Clock())
    admin, _ = await made(ring)
    operator = Caller(0, Role.OPERATOR, "k")
    for work in (
        ring.create(operator, wanted(Role.ADMIN), PLAIN),
        ring.rotate(operator, admin.key_id, 0, PLAIN),
        ring.revoke(operator, admin.key_id, "", PLAIN),
    ):
        with pytest.raises(NaiadError) as caught:
            await work
        check(caught.value.reason, caught.value.code, caught.value.metadata)
        assert caught.value.reason == "PERMISSION_DENIED"


async def test_a_key_makes_a_credential_needed_for_good() -> None:
    clock = Clock()
    ring = await ring_of(MemoryStore(), clock)
    assert ring.authenticate(None) is ANYONE
    _, secret = await made(ring, expires_ms=2_000)
    assert ring.authenticate(None) is None
    clock.ms = 3_000
    assert (ring.authenticate(None), ring.authenticate(secret)) == (None, None)


async def test_a_change_whose_caller_goes_away_is_whole() -> None:
    """Disk and memory agree: a revocation on disk that memory forgot would leave the key open."""
    store, clock = MemoryStore(), Clock()
    ring = await ring_of(store, clock)
    _, first = await made(ring)
    key, secret = await made(ring)
    begun, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Direct):
        async def keep(self, *what: Any) -> None:
            await super().keep(*what)
            begun.set()
            await go_on.wait()

    ring.writers[0] = Slow(store, clock)
    call = asyncio.ensure_future(ring.revoke(ANYONE, key.key_id, "", PLAIN))
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    go_on.set()
    await ring._alone(lambda: asyncio.sleep(0))  # its turn comes after that of the change
    assert ring.authenticate(secret) is None
    assert (await ring_of(store, clock)).authenticate(secret) is None
    assert ring.authenticate(first) is not None


async def test_uses_are_kept_to_the_minute_and_survive_a_restart() -> None:
    store, clock = MemoryStore(), Clock(125_000)
    ring = await ring_of(store, clock)
    key, secret = await made(ring)
    assert key.used_ms is None
    ring.authenticate(secret)
    await ring.save_uses()
    ring = await ring_of(store, clock)
    assert [k.used_ms for k in ring.listed(0, ended=True)] == [120_000]
    assert ring.authenticate(secret) is not None


async def test_limits_of_a_key_and_of_the_configuration() -> None:
    ring = await ring_of(MemoryStore(), Clock())
    ring.defaults = (120, 0)
    limited, _ = await made(ring, requests_per_minute=6, concurrent_calls=3)
    plain, _ = await made(ring)
    assert repr(ring.throttle(limited.key_id)) == f"Throttle('{limited.key_id}', 6, 3, in_flight=0)"
    assert repr(ring.throttle(plain.key_id)) == f"Throttle('{plain.key_id}', 120, 0, in_flight=0)"
    assert ring.throttle("") is None


async def test_a_key_is_held_by_its_tenant_while_it_opens_something() -> None:
    store, clock = MemoryStore(), Clock()
    await store.add_tenant(1, "other")
    ring = await ring_of(store, clock)
    await made(ring)
    key, _ = await made(ring, expires_ms=2_000)
    assert (ring.holds(0, key.key_id), ring.holds(1, key.key_id), ring.holds(0, "a" * 13)) == (True, False, False)
    clock.ms = 2_000
    assert not ring.holds(0, key.key_id)


async def test_the_trail_tells_what_was_done_to_a_key_and_no_secret() -> None:
    store = MemoryStore()
    ring = await ring_of(store, Clock())
    key, secret = await made(ring)
    await made(ring)
    _, second = await ring.rotate(Caller(0, Role.ADMIN, key.key_id), key.key_id, 0, Request("AdminService/RotateKey"))
    await ring.revoke(ANYONE, key.key_id, "lost", Request("AdminService/RevokeKey"))
    entries = [entry_of(row) for row in await store.audit(0, 9)]
    told = [(e.act.action.rpartition("/")[2], e.act.key, e.act.reason) for e in entries if key.key_id in e.act.resource]
    assert told == [("CreateKey", "", ""), ("RotateKey", key.key_id, ""), ("RevokeKey", "", "lost")]
    assert all(e.act.succeeded and not e.event for e in entries)
    written = b"".join(row.payload for row in await store.audit(0, 9)).decode()
    assert second is not None
    for shown in (secret, second.reveal()):
        assert shown.split("_", 2)[2] not in written
