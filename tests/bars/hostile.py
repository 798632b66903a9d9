"""Hostile endpoints, generated: URLs that look like one host and mean another, and resolvers that lie."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address

_LOOPBACK = IPv4Address("127.0.0.1")
_INNER = ("10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200")
_ANY = str(IPv4Address(0))
_OTHER = (
    "::1", "::", "fe80::1", "fe80::1%lo", "fd00:ec2::254", "fc00::1", "ff02::1", "localhost", "127.1", "2130706433",
)  # fmt: skip
_METADATA = ("metadata.google.internal", "metadata", "instance-data.ec2.internal", "[fd00:ec2::254]")
_SPELLED = (
    "localhost", "LOCALHOST", "localhost.", "a.localhost", "loc\u0430lhost", "[::1]", "[::1%lo]", "[::1%25lo]", "[::]",
    _ANY, "127.1", "0",
)  # fmt: skip
_SHAPES = (
    "{s}://{n}@{t}{p}", "{s}://{n}:443@{t}{p}", "{s}://{n}%40{t}{p}", "{s}://{n}\\@{t}{p}", "{s}://{t}\\@{n}{p}",
    "{s}://{t}#@{n}{p}", "{s}://{t}?@{n}{p}", "{s}://{n}#@{t}", "{s}://{n}:443:{t}", "{s}://{n}\t@{t}",
    "{s}://{n}\n.{t}", "{s}:{t}{p}", "{s}:/{t}{p}", "{s}:///{t}{p}", "{s}:\\\\{t}", "\x00{s}://{t}", " {s}://{t}",
    "{s}://{n}\r\nHost: {t}", "{s}://{n} {t}", "{s}://{n}/..//{t}", "{s}://{n}//{t}/", "{s}://[{t}]", "{s}://{n},{t}",
    "{s}://{n};{t}", "//{t}", "{t}", "ftp://{t}", "gopher://{t}/_x", "file://{t}/etc/passwd", "unix://{t}",
    "HTTPS+unix://{t}", "{s}://{n}.{t}",
)  # fmt: skip
_NAMES = ("api.example.com", "models.example.org", "xn--bcher-kva.example", "a.b.c.example.net", "example.co")


@dataclass(frozen=True)
class Case:
    """One endpoint that an administrator was talked into, and what its name resolves to, call after call."""

    kind: str
    url: str
    private: bool = False
    answers: tuple[tuple[str, ...], ...] = field(default=())  # the last one holds from then on


def spellings(address: IPv4Address) -> list[str]:
    """Return ways of writing an IPv4 address that some parser or system call takes for it."""
    number = int(address)
    a, b, c, d = address.packed
    return [
        str(address), f"{number}", f"0x{number:x}", f"0{number:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
        f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"{a}.{b * 65536 + c * 256 + d}", f"{a}.{b}.{c * 256 + d}",
        f"{a}.{b}.{c}.0{d:o}", f"{a:03}.{b:03}.{c:03}.{d:03}", f"{address}.", f"{number}.", f"0x{number:X}.",
        "".join(chr(0x2460 + int(x) - 1) if x not in "0." else x for x in str(address)),
        str(address).translate({ord(x): 0xFF10 + int(x) for x in "0123456789"}), str(address).replace(".", "\u3002"),
        str(address).replace(".", "%2e"), f"0x{a:x}.{b}.0{c:o}.{d}", f"{a + 256}.{b}.{c}.{d}",
        f"[{dressed(address)[0]}]",
    ]  # fmt: skip


def dressed(address: IPv4Address) -> list[str]:
    """Return IPv6 forms of an IPv4 address."""
    number = int(address)
    forms = [
        0xFFFF << 32 | number, number, 0x64_FF9B << 96 | number, 0x64_FF9B_0001 << 80 | number,
        0x2002 << 112 | number << 80, 0x2001_0000 << 96 | (number ^ 0xFFFF_FFFF), 0xFFFF << 48 | number,
        0x2001_0DB8 << 96 | 0x5EFE << 32 | number, 0xFE80 << 112 | 0x5EFE << 32 | number,
    ]  # fmt: skip
    return [*(str(IPv6Address(form)) for form in forms), f"::ffff:{address}", f"::{address}", f"64:ff9b::{address}"]


def inside(rng: random.Random) -> str:
    """Return an address that no public provider has, as a resolver may write it."""
    address = IPv4Address(rng.choice((*_INNER, str(_LOOPBACK), _ANY, "127.255.1.1", "224.0.0.1", "255.255.255.255")))
    other = rng.choice(_OTHER)
    return rng.choice([str(address), str(address), str(_LOOPBACK), rng.choice(dressed(address)), other])


def outside(rng: random.Random) -> str:
    """Return a public address; nothing is ever sent there, for the bar stops every connection to it."""
    return str(IPv4Address(rng.choice((0x0808_0000, 0x0101_0100, 0x5DB8_D800)) + rng.randrange(256)))


def cases(rng: random.Random, count: int, port: int) -> list[Case]:
    """Return so many hostile endpoints, each kind in turn; port: the canary's."""
    makers = (_spelled, _spelled, _disguised, _lying, _rebinding, _mixed, _turned, _inner)
    return [makers[i % len(makers)](rng, port) for i in range(count)]


def _path(rng: random.Random) -> str:
    return rng.choice(("", "/", "/v1", "/openai/v1"))


def _scheme(rng: random.Random) -> str:
    return rng.choice(("https", "https", "http"))


def _spelled(rng: random.Random, port: int) -> Case:
    """The canary's address, in another spelling, not marked private."""
    host = rng.choice([*spellings(_LOOPBACK), *(f"[{form}]" for form in dressed(_LOOPBACK)), *_SPELLED])
    return Case("spelled", f"{_scheme(rng)}://{host}:{port}{_path(rng)}", answers=(("127.0.0.1",),))


def _disguised(rng: random.Random, port: int) -> Case:
    """A good name in front, the canary behind."""
    url = rng.choice(_SHAPES).format(s=_scheme(rng), n=rng.choice(_NAMES), t=f"127.0.0.1:{port}", p=_path(rng))
    return Case("disguised", url, answers=(("127.0.0.1",),))


def _lying(rng: random.Random, port: int) -> Case:
    """A good name that leads inside."""
    answer = tuple(inside(rng) for _ in range(rng.randrange(1, 4)))
    return Case("lying", f"https://{rng.choice(_NAMES)}:{port}{_path(rng)}", answers=(answer,))


def _rebinding(rng: random.Random, port: int) -> Case:
    """A name that is good when it is checked, and leads inside the next time it is asked."""
    good = tuple((outside(rng),) for _ in range(rng.randrange(1, 3)))
    bad = rng.choice((("127.0.0.1",), ("::1",), (inside(rng), "127.0.0.1")))
    return Case("rebinding", f"https://{rng.choice(_NAMES)}:{port}{_path(rng)}", answers=(*good, bad))


def _mixed(rng: random.Random, port: int) -> Case:
    """A name with good and bad addresses at once, in any order."""
    answer = [outside(rng), rng.choice(("127.0.0.1", inside(rng))), *([outside(rng)] * rng.randrange(2))]
    rng.shuffle(answer)
    return Case("mixed", f"https://{rng.choice(_NAMES)}:{port}{_path(rng)}", answers=(tuple(answer),))


def _turned(rng: random.Random, port: int) -> Case:
    """A private endpoint whose name leads outside or to a metadata service."""
    answer = rng.choice((outside(rng), "169.254.169.254", "fd00:ec2::254", "100.100.100.200", "::ffff:127.0.0.1", _ANY))
    host = rng.choice(("models.corp.internal", "ollama", "gpu-1.example.com", "localhost"))
    url = f"{rng.choice(('http', 'https'))}://{host}:{port}{_path(rng)}"
    return Case("turned", url, private=True, answers=((answer,),))


def _inner(rng: random.Random, port: int) -> Case:
    """An address inside, or a metadata service, in the URL itself."""
    address = IPv4Address(rng.choice(_INNER))
    host = rng.choice([str(address), *spellings(address), f"[{rng.choice(dressed(address))}]", *_METADATA])
    private = rng.random() < 0.5 and str(address) not in _INNER[:4]
    return Case("inner", f"{_scheme(rng)}://{host}:{port}{_path(rng)}", private=private, answers=((str(address),),))
