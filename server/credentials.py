"""API keys as text and as what is kept of them: `naiad_<public id>_<secret>`, and a keyed hash of the secret.

The secret is 256 random bits; guessing is hopeless, so the hash need not be slow. It is keyed (BLAKE2b, RFC 7693) with
a secret of the server, and covers the public id too, so that a hash put beside another id opens nothing. A key is found
by its whole public id, never by a part of its secret, and hashes are compared in constant time.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

import msgspec

from naiad.adapters.secret import Secret
from naiad.server.authorization import Role

SECRET_BYTES = 32
_ID_BYTES = 8
_PERSON = b"naiad api key"
_FORM = re.compile(r"naiad_([a-z2-7]{13})_[A-Za-z0-9_-]{43}", re.ASCII)
_NO_HASH = bytes(32)


class Key(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a key. Times in milliseconds since 1970, None for never."""

    key_id: str
    tenant: int
    role: Role
    secret_hash: bytes  # (32,)
    created_ms: int
    name: str = ""
    requests_per_minute: int | None = None
    concurrent_calls: int | None = None
    tokens_per_minute: int | None = None
    models: tuple[str, ...] = ()  # names and patterns with "*" of the models that it permits; empty: all
    data_class: str = ""  # that its requests have at least
    expires_ms: int | None = None
    revoked_ms: int | None = None
    rotated_ms: int | None = None
    old_hash: bytes | None = None  # of the secret before the last rotation
    old_expires_ms: int | None = None
    used_ms: int | None = None  # to the minute

    def ended_ms(self) -> int | None:
        """Return when it ended or will end, None for never."""
        ends = [end for end in (self.revoked_ms, self.expires_ms) if end is not None]
        return min(ends, default=None)

    def active(self, now_ms: int) -> bool:
        """Return whether it opens anything now."""
        end = self.ended_ms()
        return end is None or now_ms < end

    def end_of(self, digest: bytes) -> int | None:
        """Return when the secret with this hash ends or ended, None for never; 0 for one that is not the key's."""
        if hmac.compare_digest(digest, self.secret_hash):
            return self.ended_ms()
        if self.old_hash is not None and hmac.compare_digest(digest, self.old_hash):
            ends = [end for end in (self.ended_ms(), self.old_expires_ms) if end is not None]
            return min(ends, default=None)
        return 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the credential says; nothing in a request can change it."""

    tenant: int
    role: Role
    key_id: str = ""  # "" without a key
    digest: bytes = b""  # hash of the secret that was sent
    until_ms: int | None = None  # when the credential ends
    models: tuple[str, ...] = ()  # that the key permits; empty: all
    data_class: str = ""  # that the key's requests have at least


def new_id() -> str:
    """Return a public id: 13 letters and digits."""
    return base64.b32encode(secrets.token_bytes(_ID_BYTES)).rstrip(b"=").decode("ascii").lower()


def new_secret(key_id: str) -> Secret:
    """Return a new credential for a public id: what its holder sends."""
    text = base64.urlsafe_b64encode(secrets.token_bytes(SECRET_BYTES)).rstrip(b"=").decode("ascii")
    return Secret(f"naiad_{key_id}_{text}")


def id_of(credential: str) -> str:
    """Return the public id of a credential, "" for what is none."""
    found = _FORM.fullmatch(credential)
    return "" if found is None else found[1]


def hash_of(pepper: bytes, credential: str) -> bytes:
    """Return the keyed hash (32,) of a whole credential."""
    return hashlib.blake2b(credential.encode("ascii"), key=pepper, person=_PERSON, digest_size=32).digest()


def caller_of(key: Key | None, digest: bytes, now_ms: int) -> Caller | None:
    """Return who holds a key, None where the hash is not its own or it has ended; takes as long for an unknown key."""
    if key is None:
        hmac.compare_digest(digest, _NO_HASH)
        return None
    until = key.end_of(digest)
    if until is not None and until <= now_ms:
        return None
    return Caller(key.tenant, key.role, key.key_id, digest, until, key.models, key.data_class)
