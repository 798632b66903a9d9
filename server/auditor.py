"""Acts into the audit trail that are no change of the log: those of keys, and refusals, at a bounded rate.

Refusals beyond the rate are counted, and a summary tells how many there were. Those of callers with a key and those of
strangers have a rate each, and of that of strangers one address gets a part: a flood without a key neither takes the
place of what a key was refused, nor of what another address tried.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from naiad.server.audit import Act

WINDOW_S = 60.0
MOST_WRITTEN = 100  # refusals written one by one in a window: of callers with a key, and again of strangers
MOST_OF_ADDRESS = 10  # of them, of strangers at one address
MOST_COUNTED = 64  # kinds of refusals counted apart beyond them
MOST_ADDRESSES = 256  # kept apart in a window; those beyond are one
PEER = "peer"  # the fact that tells a stranger's address
_ELSEWHERE = "elsewhere"


class Witness(Protocol):
    """Whoever writes acts into the trail: the journal."""

    def witness(self, act: Act) -> None:
        """Queue an act without waiting for it."""
        ...


class Auditor:
    """Takes the acts of one tenant, and of strangers in the first one's."""

    def __init__(self, journal: Witness, monotonic: Callable[[], float]) -> None:
        self._journal = journal
        self._known = Refusals(journal, monotonic, MOST_WRITTEN)
        self._strangers = Refusals(journal, monotonic, MOST_OF_ADDRESS)

    def audit(self, act: Act) -> None:
        """Write an act into the trail; of refusals beyond the rate, a summary once the window is over."""
        if act.succeeded:
            self._journal.witness(act)
        elif address := act.facts.get(PEER):
            self._strangers.take(act, address)
        else:
            self._known.take(act)

    def flush(self) -> None:
        """Write what was counted."""
        self._known.flush()
        self._strangers.flush()


class _Kind(NamedTuple):
    """What is counted together."""

    action: str
    reason: str = ""
    address: str = ""


class Refusals:
    """Refusals at a bounded rate; each_most: written one by one of one address in a window."""

    def __init__(self, journal: Witness, monotonic: Callable[[], float], each_most: int) -> None:
        self._journal = journal
        self._monotonic = monotonic
        self._each_most = each_most
        self._began = float("-inf")
        self._written: Counter[str] = Counter()  # by address
        self._counts: Counter[_Kind] = Counter()
        self._flush: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Refusals(written={self._written.total()}, counted={self._counts.total()})"

    def take(self, act: Act, address: str = "") -> None:
        """Write a refusal, or count it. address: of a stranger."""
        now = self._monotonic()
        if now - self._began >= WINDOW_S:
            self.flush()
            self._began = now
            self._written.clear()
        if address not in self._written and len(self._written) >= MOST_ADDRESSES:
            address = _ELSEWHERE
        if self._written[address] < self._each_most and self._written.total() < MOST_WRITTEN:
            self._written[address] += 1
            self._journal.witness(act)
            return
        kind = _Kind(act.action, act.reason, address)
        if kind not in self._counts and len(self._counts) >= MOST_COUNTED:
            kind = _Kind("others")
        self._counts[kind] += 1
        if self._flush is None:
            left = max(0.0, self._began + WINDOW_S - now)
            self._flush = asyncio.get_running_loop().call_later(left, self.flush)

    def flush(self) -> None:
        """Write what was counted."""
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        for kind, count in sorted(self._counts.items()):
            facts = {"refused": str(count), "summary": "true"}
            if kind.address:
                facts[PEER] = kind.address
            self._journal.witness(Act(action=kind.action, reason=kind.reason, succeeded=False, facts=facts))
        self._counts.clear()


def address_of(peer: str) -> str:
    """Return from where a call comes, from gRPC's word for it: an address, of IPv6 the network of one site.

    >>> address_of("ipv4:192.0.2.7:50123"), address_of("ipv6:%5B2001:db8::7%5D:50123"), address_of("unix:")
    ('192.0.2.7', '2001:db8::/64', 'unknown')
    """
    host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]")
    try:
        address = ip_address(host)
    except ValueError:
        return "unknown"
    if not isinstance(address, IPv6Address):
        return str(address)
    mapped = address.ipv4_mapped
    return str(mapped) if mapped else f"{IPv6Address(int(address) >> 64 << 64)}/64"
