"""Which IP addresses a provider may have: a pure function of the address, after IANA's special-purpose registries.

Three answers: "public" (the global internet), "private" (this machine, and networks that nobody else can reach), and
None for what is refused always:

* addresses of cloud metadata services, and the whole link-local ranges in which they lie;
* multicast, broadcast, unspecified, documentation, benchmarking and reserved ranges;
* IPv4 addresses in IPv6 clothes: mapped, compatible, 6to4, Teredo, ISATAP. No name resolver needs to give them. Only
  the well-known NAT64 prefix, which IPv6-only networks do need, counts as the IPv4 address in it, if that is public.

For IPv6 the public range is a list of what is allowed (2000::/3 without its special blocks), so that a range which is
given a meaning later is refused.

Sources: https://www.iana.org/assignments/iana-ipv4-special-registry, iana-ipv6-special-registry; RFC 6890, 6052, 5214.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["public", "private"]

METADATA = frozenset({
    "169.254.169.254",  # AWS, Azure, Google, Oracle, DigitalOcean, OpenStack
    "169.254.170.2", "169.254.170.23",  # AWS ECS, EKS
    "168.63.129.16",  # Azure's host agent
    "100.100.100.200",  # Alibaba
    "192.0.0.192",  # Oracle, classic
    "fd00:ec2::254", "fd00:ec2::23",  # AWS
    "fd20:ce::254",  # Google
})  # fmt: skip
"""Addresses of metadata services: they hand out the machine's own credentials."""

_PRIVATE_4 = tuple(
    map(IPv4Network, ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"))
)  # loopback, RFC 1918, shared address space of carriers
_REFUSED_4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8", "169.254.0.0/16", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
            "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        ),
    )
)  # fmt: skip
_PRIVATE_6 = tuple(map(IPv6Network, ("::1/128", "fc00::/7")))  # loopback, unique local
_GLOBAL_6 = IPv6Network("2000::/3")
_REFUSED_6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))
_NAT64 = IPv6Network("64:ff9b::/96")


def kind_of(address: str) -> Kind | None:
    """Return what an address may be used as, None for one that is refused always or is none at all.

    address: dotted decimal or RFC 4291 text, as a resolver gives it; one with a zone is refused.
    """
    try:
        found = ip_address(address)
    except ValueError:
        return None
    if isinstance(found, IPv4Address):
        return _kind_4(found)
    if found.scope_id is not None:
        return None
    return _kind_6(found)


def _kind_4(address: IPv4Address) -> Kind | None:
    if str(address) in METADATA or any(address in network for network in _REFUSED_4):
        return None
    return "private" if any(address in network for network in _PRIVATE_4) else "public"


def _kind_6(address: IPv6Address) -> Kind | None:
    if str(address) in METADATA:
        return None
    if any(address in network for network in _PRIVATE_6):
        return "private"
    if address in _NAT64:
        return "public" if _kind_4(IPv4Address(int(address) & 0xFFFF_FFFF)) == "public" else None
    isatap = (int(address) >> 32) & 0xFDFF_FFFF == 0x0000_5EFE  # ::0:5efe:a.b.c.d and ::200:5efe:a.b.c.d
    if isatap or address not in _GLOBAL_6 or any(address in network for network in _REFUSED_6):
        return None
    return "public"
