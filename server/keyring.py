"""The API keys of all tenants: who a credential belongs to, and how keys are made, rotated and ended.

All keys are held in memory and a credential is checked in full at each call, which takes a few microseconds: there is
no cache that could outlive a revocation. Changes go through a journal, one at a time; they hold once they are on disk.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec

from naiad.adapters.secret import Secret
from naiad.server.audit import Act, Trail
from naiad.server.authorization import Role
from naiad.server.credentials import Caller, Key, caller_of, hash_of, id_of, new_id, new_secret
from naiad.server.errors import NaiadError
from naiad.server.journal import Request
from naiad.server.store.base import Batch, KeyRow, Store, StoreCorrupt
from naiad.server.throttle import Throttle
from naiad.server.token_rate import TokenRate
from naiad.server.turns import Turns

ANYONE = Caller(0, Role.ADMIN)  # who calls a server on loopback that has no keys
_PEPPER = "api_keys"
_MINUTE_MS = 60_000
Reply = TypeVar("Reply", bound=msgspec.Struct)
Made = tuple[Key, Secret | None]  # a repeated request gets no secret: none is kept


class Named(msgspec.Struct, frozen=True):
    """The reply kept for a change of a key."""

    key_id: str


class Writer(Protocol):
    """What writes keys: a tenant's journal, or a stopped server's store."""

    async def earlier(self, request: Request, reply_type: type[Reply]) -> Reply | None:
        """Return the reply kept for a request, None if it is new."""
        ...

    async def keep(
        self, keys: Sequence[KeyRow], act: Act | None, request: Request, reply: msgspec.Struct | None
    ) -> None:
        """Write keys, the act that changed them into the audit trail, and a reply, all or nothing."""
        ...


class Direct:
    """The Writer of a store that no server runs on."""

    def __init__(self, store: Store, now_ms: Callable[[], int]) -> None:
        self._store = store
        self._now_ms = now_ms

    async def earlier(self, request: Request, reply_type: type[Reply]) -> Reply | None:
        """Return None: the command line repeats nothing."""
        return None

    async def keep(
        self, keys: Sequence[KeyRow], act: Act | None, request: Request, reply: msgspec.Struct | None
    ) -> None:
        """Write in one transaction."""
        batch = Batch(keys=list(keys))
        if act is not None:
            trail = Trail()
            for row in await self._store.latest_audit(None, 1):
                trail = Trail(row.number, row.digest)
            batch.audit.append(trail.sealed(act, self._now_ms())[0])
        await self._store.commit(batch)


class KeyRing:
    """All keys; `open` reads them. writers: by tenant, set by whoever can write."""

    def __init__(
        self, store: Store, pepper: bytes, keys: Sequence[Key], tenants: dict[int, str], now_ms: Callable[[], int]
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._keys = {key.key_id: key for key in keys}
        self.now_ms = now_ms
        self._alone = Turns().take  # disk and memory must agree, also when a caller goes away
        self._used: dict[str, int] = {}  # key id -> ms, of this process
        self._throttles: dict[str, Throttle | None] = {}
        self._token_rates: dict[str, TokenRate | None] = {}
        self.tenants = tenants
        self.writers: dict[int, Writer] = {}
        self.defaults = (0, 0)  # requests per minute and calls at a time, of keys that do not say; 0 is unbounded
        self.open_without_keys = False  # a server on loopback in plaintext
        self.changed: Callable[[], None] = lambda: None  # called after each change

    def __repr__(self) -> str:
        return f"KeyRing(keys={len(self._keys)}, tenants={len(self.tenants)})"

    @classmethod
    async def open(cls, store: Store, now_ms: Callable[[], int]) -> KeyRing:
        """Read the keys of a store; the first time also makes the secret that keys their hashes. Raises StoreError."""
        kept, rows, tenants = await store.secrets(), await store.keys(), await store.tenants()
        if _PEPPER not in kept:
            if rows:
                raise StoreCorrupt("the database has API keys but lacks the secret of their hashes; restore a backup")
            kept[_PEPPER] = secrets.token_bytes(32)
            await store.add_secret(_PEPPER, kept[_PEPPER])
        return cls(store, kept[_PEPPER], [_key_of(row, tenants) for row in rows], tenants, now_ms)

    # -- who calls -------------------------------------------------------------------------------------------------

    @property
    def has_keys(self) -> bool:
        """Whether there is a key, ended ones included: from then on a credential is needed for good."""
        return bool(self._keys)

    def authenticate(self, credential: str | None) -> Caller | None:
        """Return who sent a credential (None: none was sent), or None for nobody who may call."""
        if credential is None:
            return ANYONE if self.open_without_keys and not self._keys else None
        key_id = id_of(credential)
        if not key_id:
            return None
        now_ms = self.now_ms()
        caller = caller_of(self._keys.get(key_id), hash_of(self._pepper, credential), now_ms)
        if caller is not None:
            self._used[key_id] = now_ms
        return caller

    def end_of(self, caller: Caller) -> int | None:
        """Return when a caller's credential ends or ended, in ms; None for never."""
        if not caller.key_id:
            return 0 if self._keys else None
        key = self._keys.get(caller.key_id)
        return 0 if key is None else key.end_of(caller.digest)

    def holds(self, tenant: int, key_id: str) -> bool:
        """Return whether a public id is that of a key of the tenant with which somebody could call."""
        key = self._keys.get(key_id)
        return key is not None and key.tenant == tenant and key.active(self.now_ms())

    def throttle(self, key_id: str) -> Throttle | None:
        """Return the limits of a key, None where it has none."""
        try:
            return self._throttles[key_id]
        except KeyError:
            key = self._keys.get(key_id)
            given = (None, None) if key is None else (key.requests_per_minute, key.concurrent_calls)
            rate, calls = (b if a is None else a for a, b in zip(given, self.defaults, strict=True))
            made = self._throttles[key_id] = Throttle(key_id, rate, calls) if key_id and (rate or calls) else None
            return made

    def token_rate(self, key_id: str) -> TokenRate | None:
        """Return the limit of a key's tokens, None where it has none."""
        try:
            return self._token_rates[key_id]
        except KeyError:
            key = self._keys.get(key_id)
            limit = None if key is None else key.tokens_per_minute
            made = self._token_rates[key_id] = None if limit is None else TokenRate(key_id, limit)
            return made

    def listed(self, tenant: int, *, ended: bool) -> list[Key]:
        """Return a tenant's keys by id, ended ones too if so wished."""
        now_ms = self.now_ms()
        found = [self._shown(k) for k in self._keys.values() if k.tenant == tenant and (ended or k.active(now_ms))]
        return sorted(found, key=lambda key: key.key_id)

    def _shown(self, key: Key) -> Key:
        used = self._used.get(key.key_id)
        return key if used is None else msgspec.structs.replace(key, used_ms=used - used % _MINUTE_MS)

    # -- changes ---------------------------------------------------------------------------------------------------

    async def create(self, caller: Caller, wanted: Key, request: Request) -> Made:
        """Make a key of the caller's tenant from what is wanted of it; raises NaiadError."""

        async def change() -> Made:
            earlier = await self._writer(caller).earlier(request, Named)
            if earlier is not None:
                return self._shown(self._keys[earlier.key_id]), None
            if wanted.role > caller.role:
                raise _above(request.method, caller.role, wanted.role)
            if wanted.role < Role.ADMIN and not self._admins(caller.tenant):
                raise NaiadError(
                    "LAST_ADMIN_KEY",
                    "there is no admin's key, and with the first key everybody needs one; make an admin's key first",
                    code="FAILED_PRECONDITION", metadata={"key_id": ""},
                )  # fmt: skip
            key_id = new_id()
            while key_id in self._keys:
                key_id = new_id()
            secret = new_secret(key_id)
            key = msgspec.structs.replace(
                wanted, key_id=key_id, tenant=caller.tenant, created_ms=self.now_ms(),
                secret_hash=hash_of(self._pepper, secret.reveal()),
            )  # fmt: skip
            await self._put(caller, key, request, _facts(key))
            return key, secret

        return await self._alone(change)

    async def rotate(self, caller: Caller, key_id: str, grace_ms: int, request: Request) -> Made:
        """Give a key a new secret; the old one holds for so long still. Raises NaiadError."""

        async def change() -> Made:
            earlier = await self._writer(caller).earlier(request, Named)
            key = self._own(caller, key_id if earlier is None else earlier.key_id, request)
            if earlier is not None:
                return self._shown(key), None
            now_ms = self.now_ms()
            if not key.active(now_ms):
                raise NaiadError(
                    "KEY_ENDED", f"key {key_id} was revoked or has expired; make a new one with CreateKey",
                    code="FAILED_PRECONDITION", metadata={"key_id": key_id},
                )  # fmt: skip
            secret = new_secret(key_id)
            rotated = msgspec.structs.replace(
                key, secret_hash=hash_of(self._pepper, secret.reveal()), rotated_ms=now_ms,
                old_hash=key.secret_hash if grace_ms else None, old_expires_ms=now_ms + grace_ms,
            )  # fmt: skip
            await self._put(caller, rotated, request, {"grace_ms": grace_ms})
            return rotated, secret

        return await self._alone(change)

    async def revoke(self, caller: Caller, key_id: str, reason: str, request: Request) -> Key:
        """End a key; raises NaiadError. One that has been revoked stays as it is."""

        async def change() -> Key:
            earlier = await self._writer(caller).earlier(request, Named)
            key = self._own(caller, key_id if earlier is None else earlier.key_id, request)
            if earlier is not None or key.revoked_ms is not None:
                return self._shown(key)
            if self._admins(caller.tenant) == {key_id}:
                raise NaiadError(
                    "LAST_ADMIN_KEY",
                    f"key {key_id} is the last admin's key, and without it nobody could make another; make one first",
                    code="FAILED_PRECONDITION", metadata={"key_id": key_id},
                )  # fmt: skip
            revoked = msgspec.structs.replace(key, revoked_ms=self.now_ms())
            await self._put(caller, revoked, request, {}, reason)
            return self._shown(revoked)

        return await self._alone(change)

    async def save_uses(self) -> None:
        """Write when keys were last used, to the minute."""

        async def change() -> None:
            stale = [self._shown(key) for key in self._keys.values() if self._shown(key) != key]
            for tenant in {key.tenant for key in stale}:
                rows = [_row(key) for key in stale if key.tenant == tenant]
                await self.writers[tenant].keep(rows, None, Request(""), None)
            self._keys.update((key.key_id, key) for key in stale)

        await self._alone(change)

    async def add_tenant(self, name: str) -> int:
        """Return the number of a tenant, which is made if there is none of this name; only on a stopped server."""
        for number, known in self.tenants.items():
            if known == name:
                return number
        number = max(self.tenants) + 1
        await self._store.add_tenant(number, name)
        self.tenants[number] = name
        return number

    def _writer(self, caller: Caller) -> Writer:
        return self.writers[caller.tenant]

    def _admins(self, tenant: int) -> set[str]:
        now_ms = self.now_ms()
        keys = self._keys.values()
        return {k.key_id for k in keys if k.tenant == tenant and k.role == Role.ADMIN and k.active(now_ms)}

    def _own(self, caller: Caller, key_id: str, request: Request) -> Key:
        """Return a key that the caller may change; one of another tenant is as unknown as any."""
        key = self._keys.get(key_id)
        if key is None or key.tenant != caller.tenant:
            raise NaiadError(
                "UNKNOWN_KEY", f"there is no key {key_id!r}; list the keys with ListKeys",
                code="NOT_FOUND", metadata={"key_id": key_id},
            )  # fmt: skip
        if key.role > caller.role:
            raise _above(request.method, caller.role, key.role)
        return key

    async def _put(
        self, caller: Caller, key: Key, request: Request, facts: Mapping[str, object], why: str = ""
    ) -> None:
        act = Act(
            action=f"naiad.v1.{request.method}", resource=f"keys/{key.key_id}", key=caller.key_id, reason=why,
            facts={name: str(value) for name, value in facts.items()},
        )  # fmt: skip
        await self._writer(caller).keep([_row(self._shown(key))], act, request, Named(key.key_id))
        self._keys[key.key_id] = key
        self.changed()


def _facts(key: Key) -> dict[str, object]:
    """Return what the audit trail tells of a new key."""
    facts: dict[str, object] = {"name": key.name, "role": key.role.name.lower()}
    if key.models:
        facts["allowed_models"] = ", ".join(key.models)
    if key.tokens_per_minute is not None:
        facts["tokens_per_minute"] = key.tokens_per_minute
    if key.data_class:
        facts["data_class"] = key.data_class
    return facts


def _key_of(row: KeyRow, tenants: Mapping[int, str]) -> Key:
    """Return the key of a row; raises StoreCorrupt for one that was altered or moved."""
    try:
        key = msgspec.json.decode(row.payload, type=Key)
    except msgspec.MsgspecError as error:
        raise StoreCorrupt(f"the API key {row.key_id} cannot be read: {error}; restore a backup") from error
    if (key.key_id, key.tenant) != row[:2] or key.tenant not in tenants:
        raise StoreCorrupt(f"the API key {row.key_id} stands where it does not belong; restore a backup")
    return key


def _row(key: Key) -> KeyRow:
    return KeyRow(key.key_id, key.tenant, msgspec.json.encode(key))


def _above(method: str, role: Role, wanted: Role) -> NaiadError:
    return NaiadError(
        "PERMISSION_DENIED",
        f"a key of role {role.name.lower()} makes and changes keys up to its own role, not {wanted.name.lower()}",
        code="PERMISSION_DENIED",
        metadata={"method": method, "role": role.name.lower(), "required": wanted.name.lower()},
    )
