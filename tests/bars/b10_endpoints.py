"""Bar B10, endpoints: hostile URLs and lying resolvers lead nowhere.

`python tests/bars/b10_endpoints.py --seed S --n CASES [--json FILE] [--mutant NAME]`

Each case is an endpoint that somebody talked the administrator into (`hostile.py`): other spellings of an inner
address, a good name in front of a bad host, a name that leads inside, that is rebound between check and connection,
that has good and bad addresses at once, a private endpoint that leads outside, metadata services. It is asked three
times, through the transport that serves, with a resolver that answers as the case says, half of the cases without
any memory of names, and with proxies in the environment that lead to a canary. Besides, a good endpoint is asked
whose replies point to the canary in every way that HTTP has.

Nothing may connect to the canary, which listens on 127.0.0.1 and ::1, and an audit hook sees every connection that the
process tries, to whatever address: one that a second list of rules, that of the standard library, does not allow is a
failure as well. The hook stops what would leave this machine.

With --mutant the exit code is 0 only if the sabotage was caught.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.adapters import addresses, dialling, endpoint
from naiad.adapters.endpoint import Endpoint, EndpointError, Patience, parse_url, segment
from naiad.adapters.errors import EgressRefused, ProviderError
from naiad.adapters.resolving import Refused
from naiad.adapters.secret import Secret
from naiad.adapters.transport import Transport
from tests.bars.b01_kill import upper_bound
from tests.bars.hostile import cases

MUTANTS = ("connect_by_name", "only_usual_forms", "first_address_only")
_IMPATIENT = Patience(connect_s=2.0, first_byte_s=2.0, idle_s=2.0)
_TIMES = 3  # each endpoint is asked


class Watch:
    """What the process connects to, and whether it may."""

    def __init__(self) -> None:
        self.canaries: set[tuple[str, int]] = set()
        self.good: set[int] = set()  # ports of endpoints that may be reached
        self.private = False
        self.on = False
        self.bad: list[str] = []
        self.tried = 0
        sys.addaudithook(self._saw)

    def _saw(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "socket.connect" or not self.on or not isinstance(arguments[1], tuple):
            return
        host, port = str(arguments[1][0]), int(arguments[1][1])
        self.tried += 1
        if host == "127.0.0.1" and port in self.good:
            return
        if not self._allowed(host):
            self.bad.append(f"{host}:{port}")
            if ip_address(host.partition("%")[0]).is_loopback or host in ("0.0.0.0", "::", "::ffff:127.0.0.1"):  # noqa: S104
                return  # let it meet the canary
        raise ConnectionRefusedError("stopped by the bar")  # nothing leaves this machine

    def _allowed(self, host: str) -> bool:
        """Judge by the standard library's tables, not by those under test."""
        address = ip_address(host.partition("%")[0])
        return not self.private and address.is_global and not address.is_multicast and "%" not in host


class Liar:
    """A resolver that answers as a case says."""

    def __init__(self, answers: Sequence[tuple[str, ...]]) -> None:
        self._answers = answers or ((),)
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the next answer, the last one for ever."""
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


class Canary:
    """A socket that nobody may connect to."""

    def __init__(self) -> None:
        self.connects = 0
        self.port = 0
        self._heard = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on both loopback addresses, on one port."""

        async def sing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.connects += 1
            self._heard.set()
            writer.close()

        async with await asyncio.start_server(sing, "127.0.0.1", 0) as first:
            self.port = first.sockets[0].getsockname()[1]
            try:
                second = await asyncio.start_server(sing, "::1", self.port)
            except OSError:  # no IPv6 here
                yield
                return
            async with second:
                yield

    async def check(self) -> None:
        """Wait until a connection is noticed."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        await self._heard.wait()
        self.connects = 0


class Bar:
    """The trials and what went wrong in them."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.canary = Canary()
        self.failures: list[str] = []
        self.kinds: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.trials = 0

    async def run(self, seed: int, count: int) -> None:
        """Try so many endpoints, then the good one whose replies lead astray."""
        async with self.canary.listening():
            await self.canary.check()
            for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                os.environ[name] = f"http://127.0.0.1:{self.canary.port}"
            for case in cases(random.Random(seed), count, self.canary.port):
                await self._trial(case.kind, case.url, case.private, case.answers)
            await self._astray()

    async def _trial(self, kind: str, url: str, private: bool, answers: Sequence[tuple[str, ...]]) -> None:
        self.trials += 1
        self.kinds[kind] += 1
        try:
            made = Endpoint(
                "hostile", parse_url(url, private=private), private, Secret("sk-canary-key"), patience=_IMPATIENT
            )
        except EndpointError:
            self.ends["refused as configuration"] += 1
            return
        dialling._REMEMBER_S = 10 if self.trials % 2 else 0
        out = Transport(made, resolve=Liar(answers))
        self._begin(private)
        try:
            for _ in range(_TIMES):
                try:
                    await out.fetch("POST", "/chat", model="m", timeout_s=5.0, content=b"{}")
                    self.ends["answered"] += 1
                except EgressRefused:
                    self.ends["refused at the connection"] += 1
                except ProviderError as error:
                    self.ends[type(error).__name__] += 1
        finally:
            await out.aclose()
            await self._end(f"{kind}: {url!r} -> {answers}")

    async def _astray(self) -> None:
        """Ask a good endpoint whose replies point to the canary."""
        there = f"http://127.0.0.1:{self.canary.port}"
        heads = [f"HTTP/1.1 {status} x\r\nlocation: {there}/\r\n" for status in (301, 302, 303, 305, 307, 308, 201)]
        heads += [
            f"HTTP/1.1 200 OK\r\n{field}\r\n"
            for field in (
                f"refresh: 0; url={there}", f'alt-svc: h2="127.0.0.1:{self.canary.port}"',
                f"link: <{there}>; rel=preload",
                f"content-location: {there}/", f'report-to: {{"endpoints":[{{"url":"{there}"}}]}}', f"proxy: {there}",
            )
        ]  # fmt: skip
        heads += [f"HTTP/1.1 {status} x\r\nupgrade: h2c\r\nconnection: upgrade\r\n" for status in (101, 426)]
        names = [
            "m",
            f"@127.0.0.1:{self.canary.port}/",
            f"../../{there}",
            f"\r\nHost: 127.0.0.1:{self.canary.port}",
            "a?b#c",
            "\\\\x",
        ]
        served = 0

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal served
            await reader.readuntil(b"\r\n\r\n")
            head = heads[served % len(heads)]
            served += 1
            writer.write(f"{head}content-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            self.watch.good = {port}
            place = parse_url(f"http://127.0.0.1:{port}/v1", private=True)
            out = Transport(Endpoint("good", place, private=True, patience=_IMPATIENT))
            for i in range(len(heads)):
                self.trials += 1
                self.kinds["astray"] += 1
                self._begin(private=True)
                try:
                    path = f"/models/{segment(names[i % len(names)])}:go"
                    await out.fetch("POST", path, model="m", timeout_s=5.0)
                    self.ends["good, answered"] += 1
                except ProviderError as error:
                    self.ends[f"good, {type(error).__name__}"] += 1
                await self._end(f"astray: {heads[i]!r}")
            await out.aclose()
            if served < len(heads):
                self.failures.append(f"the good endpoint got {served} of {len(heads)} requests: the bar proves nothing")

    def _begin(self, private: bool) -> None:
        self.canary.connects, self.watch.private, self.watch.bad, self.watch.on = 0, private, [], True

    async def _end(self, what: str) -> None:
        self.watch.on = False
        for _ in range(5):
            await asyncio.sleep(0)  # a connection that was made is accepted
        if self.canary.connects or self.watch.bad:
            self.failures.append(f"{what}: {self.canary.connects} at the canary; {self.watch.bad}")

    def report(self, options: argparse.Namespace, elapsed_s: float) -> dict[str, Any]:
        """Return the figures."""
        return {
            "bar": "b10_endpoints", "mutant": options.mutant, "seed": options.seed, "trials": self.trials,
            "failures": len(self.failures), "bound_95": upper_bound(len(self.failures), max(self.trials, 1)),
            "caught": bool(self.failures) if options.mutant else None, "examples": self.failures[:10],
            "kinds": dict(self.kinds), "ends": dict(self.ends), "connections_tried": self.watch.tried,
            "elapsed_s": round(elapsed_s, 1),
            "versions": {
                "python": platform.python_version(), "system": platform.platform(),
                **{name: version(name) for name in ("naiad", "httpx", "httpx-aiohttp", "aiohttp")},
            },
        }  # fmt: skip


def sabotage(mutant: str) -> None:
    """Break the egress in one way, in this process."""
    if mutant == "connect_by_name":  # the name is checked, and then resolved again to connect

        async def resolve(self: Any, host: str, port: int = 0, family: Any = 0) -> Any:
            answer = await self._resolve(host, port)
            if not answer or not all(self._endpoint.permits(address) for address in answer):
                raise Refused("not permitted")
            return [_result(host, port, address) for address in await self._resolve(host, port)]

        dialling.PinnedResolver.resolve = resolve  # type: ignore[method-assign]
        dialling.PinnedResolver.socket = _unchecked  # type: ignore[method-assign]
    elif mutant == "only_usual_forms":  # a list of prefixes in place of the registries

        def naive(address: str) -> addresses.Kind | None:
            return (
                "private" if address.startswith(("127.", "10.", "192.168.", "172.16.", "::1", "fd", "fc")) else "public"
            )

        endpoint.kind_of = naive  # type: ignore[attr-defined]
    elif mutant == "first_address_only":

        async def first(self: Any, host: str, port: int = 0, family: Any = 0) -> Any:
            answer = await self._resolve(host, port)
            if not answer or not self._endpoint.permits(answer[0]):
                raise Refused("not permitted")
            return [_result(host, port, address) for address in answer]

        dialling.PinnedResolver.resolve = first  # type: ignore[method-assign]
        dialling.PinnedResolver.socket = _unchecked  # type: ignore[method-assign]


def _unchecked(self: Any, info: tuple[Any, ...]) -> Any:
    return socket.socket(*info[:3])


def _result(host: str, port: int, address: str) -> dict[str, Any]:
    return {"hostname": host, "host": address, "port": port, "family": 0, "proto": 0, "flags": 0}


def main(arguments: list[str] | None = None) -> int:
    """Run the bar; 0 when nothing was reached, or when the mutant was caught."""
    parser = argparse.ArgumentParser(description="bar B10: hostile endpoints and lying resolvers lead nowhere")
    parser.add_argument("--seed", type=int, default=0, help="of the endpoints (default 0)")
    parser.add_argument("--n", type=int, default=1_000, help="hostile endpoints (default 1000)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--mutant", default="", choices=("", *MUTANTS), help="sabotage to catch")
    options = parser.parse_args(arguments)
    sabotage(options.mutant)
    bar = Bar(Watch())
    began = time.monotonic()
    asyncio.run(bar.run(options.seed, options.n))
    figures = json.dumps(bar.report(options, time.monotonic() - began), indent=1)
    print(figures)
    if options.json is not None:
        options.json.write_text(figures + "\n", encoding="utf-8")
    return int(not bar.failures) if options.mutant else int(bool(bar.failures))


if __name__ == "__main__":
    sys.exit(main())
