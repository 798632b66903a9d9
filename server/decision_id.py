"""Decision ids: self-contained and authenticated, so that feedback outlives a crash that took the decision's row.

Layout before base64url: format byte, signing key id, tenant, task class, model, ordinal, policy version, propensity,
time, unique number, tag of the names behind the numbers of class and model (so that an id which outlived a restored
backup is known as such); then 16 bytes of keyed BLAKE2b (RFC 7693: a MAC by itself, several times faster than HMAC).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Mapping
from typing import NamedTuple

from naiad.server.errors import NaiadError

_FORMAT = 2
_BODY = struct.Struct(">BHIIIQIdQQI")
_MAC_BYTES = 16
_SIZE = _BODY.size + _MAC_BYTES
_PREFIX = "d"
LENGTH = len(_PREFIX) + -(-_SIZE * 4 // 3)


def _mac(secret: bytes, body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_MAC_BYTES, key=secret, person=b"naiad decision").digest()


class Ticket(NamedTuple):
    """What a decision id says about its decision."""

    tenant: int
    task_class: int
    model: int
    ordinal: int
    policy: int
    propensity: float
    at_ms: int
    uid: int
    names: int = 0  # Catalog.tag of task class and model


class Signer:
    """Issues and verifies decision ids; retired keys verify, the current one signs."""

    def __init__(self, keys: Mapping[int, bytes], current: int) -> None:
        self._keys = dict(keys)
        self._current = current
        self._secret = self._keys[current]

    def __repr__(self) -> str:
        return f"Signer(current={self._current}, keys={sorted(self._keys)})"

    def issue(self, ticket: Ticket) -> str:
        """Return the id of a decision."""
        body = _BODY.pack(
            _FORMAT, self._current, *ticket,
        )  # fmt: skip
        mac = _mac(self._secret, body)
        return _PREFIX + base64.urlsafe_b64encode(body + mac).rstrip(b"=").decode("ascii")

    def verify(self, decision_id: str, tenant: int, field: str = "decision_id") -> Ticket:
        """Return what an id says; raises NaiadError for one that is malformed, forged or another tenant's."""
        if not decision_id:
            raise NaiadError(
                "FIELD_REQUIRED", f"{field} is empty; send the id that Decide or Complete returned", field=field
            )
        raw = self._bytes(decision_id, field)
        body, mac = raw[: _BODY.size], raw[_BODY.size :]
        _, key_id, *facts = _BODY.unpack(body)
        secret = self._keys.get(key_id)
        expected = _mac(secret or bytes(32), body)
        if not hmac.compare_digest(mac, expected) or secret is None:
            raise NaiadError(
                "DECISION_ID_FORGED",
                f"{field} reads well but its signature does not fit: it was changed, or issued by another service; "
                "send the id exactly as Decide or Complete returned it",
                metadata={"signing_key_id": key_id},
                field=field,
            )
        ticket = Ticket(*facts)
        if ticket.tenant != tenant:
            raise NaiadError(
                "DECISION_ID_FOREIGN",
                f"{field} belongs to another tenant; use the credential of the tenant for which it was made",
                code="PERMISSION_DENIED",
                field=field,
            )
        return ticket

    def _bytes(self, decision_id: str, field: str) -> bytes:
        raw = b""
        if len(decision_id) == LENGTH and decision_id.startswith(_PREFIX) and decision_id.isascii():
            text = decision_id[len(_PREFIX) :]
            try:
                raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            except (binascii.Error, ValueError):
                raw = b""
        canonical = raw and base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii") == decision_id[len(_PREFIX) :]
        if len(raw) != _SIZE or raw[0] != _FORMAT or not canonical:
            raise NaiadError(
                "DECISION_ID_MALFORMED",
                f"{field} of {len(decision_id)} characters is no decision id: those have {LENGTH} of their own form; "
                "send the id exactly as Decide or Complete returned it",
                metadata={"length": len(decision_id)},
                field=field,
            )
        return raw
