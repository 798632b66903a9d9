"""Which addresses a provider may have: nothing that the registries reserve, in whatever clothes it comes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.addresses import METADATA, kind_of

PRIVATE = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "100.127.255.255", "::1", "fc00::1", "fd12:3456:789a::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.0.1", "100.128.0.1", "2606:4700::1111"]
REFUSED = [
    *METADATA,
    "0.0.0.0",  # noqa: S104 - not bound
    "0.1.2.3", "169.254.0.1", "169.254.255.255", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.8", "192.88.99.1",
    "::", "fe80::1", "febf::1", "fe80::1%lo", "fe80::1%25eth0", "::1%lo", "fec0::1", "ff02::1", "2001:db8::1",
    "3fff::1", "100::1", "5f00::1", "4000::1", "2001:10::1", "2001:20::1", "2001:2::1",
    "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:7f00:1", "::127.0.0.1", "::8.8.8.8", "::ffff:0:127.0.0.1",
    "2002:7f00:1::", "2002:808:808::1", "2001:0:7f00:1::1", "2001::1", "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254", "64:ff9b:1::8.8.8.8", "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:7f00:1",
    "fe80::5efe:7f00:1",
    "", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1 ", "[::1]", "::1/128",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private(address: str) -> None:
    assert kind_of(address) == "private"


@pytest.mark.parametrize("address", PUBLIC)
def test_public(address: str) -> None:
    assert kind_of(address) == "public"


@pytest.mark.parametrize("address", sorted(REFUSED))
def test_refused_always(address: str) -> None:
    assert kind_of(address) is None


def test_an_ipv6_only_network_reaches_public_addresses_by_its_translator() -> None:
    assert kind_of("64:ff9b::8.8.8.8") == "public"


def specials() -> st.SearchStrategy[str]:
    """Addresses near the edges of what is special, and anywhere."""
    near = st.sampled_from([*PRIVATE, *PUBLIC, *REFUSED]).filter(_parses)
    moved = st.tuples(near, st.integers(-3, 3)).map(lambda pair: _moved(*pair))
    return st.one_of(st.ip_addresses().map(str), st.ip_addresses(v=4).map(str), moved)


def _parses(text: str) -> bool:
    try:
        return ip_address(text.partition("%")[0]) is not None and "%" not in text
    except ValueError:
        return False


def _moved(text: str, by: int) -> str:
    address = ip_address(text)
    most = 2**address.max_prefixlen - 1
    return str(type(address)(min(most, max(0, int(address) + by))))


@given(specials())
def test_what_passes_as_public_the_standard_library_calls_global_and_nothing_private(text: str) -> None:
    address = ip_address(text)
    kind = kind_of(text)
    if kind == "public" and not text.startswith("64:ff9b::"):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_link_local))
    if kind == "private":
        assert not address.is_global
        assert not any((address.is_multicast, address.is_link_local, address.is_unspecified))
    assert kind_of(address.exploded) == kind, "one address, one answer, however it is written"


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_clothes_gains_nothing(address: object) -> None:
    assert isinstance(address, IPv4Address)
    number = int(address)
    dressed = {
        "mapped": 0xFFFF << 32 | number,
        "compatible": number,
        "6to4": 0x2002 << 112 | number << 80,
        "teredo": 0x2001_0000 << 96 | number << 64 | number ^ 0xFFFF_FFFF,
        "nat64": 0x64_FF9B << 96 | number,
        "isatap": 0x2606_4700 << 96 | 0x5EFE << 32 | number,
    }
    for name, value in dressed.items():
        if name == "compatible" and number <= 1:
            continue  # :: and ::1 themselves
        kind = kind_of(str(IPv6Address(value)))
        assert kind is None or (name == "nat64" and kind == kind_of(str(address)) == "public"), name
