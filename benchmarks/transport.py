"""What HTTP costs: the transport that serves, beside the libraries below it and those it might have been made of.

    python -m benchmarks.transport [--runs N] [--seconds S] [--json FILE]

A POST of a small chat request to a provider in a process of its own that answers at once, on loopback, with uvloop
as the server uses it: one at a time, and 16 at a time over as many connections. Runs of the clients take turns. All
of them read and parse the whole reply.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import aiohttp
import httpx
import uvloop
from httpx_aiohttp import HttpxAiohttpClient

from benchmarks import report
from benchmarks.children import Child, separate_cores
from naiad.adapters.endpoint import Endpoint, parse_url
from naiad.adapters.secret import Secret
from naiad.adapters.transport import Transport

MESSAGE = json.dumps({"model": "m", "messages": [{"role": "user", "content": "Which city? " * 40}]}).encode()
HEADERS = {"authorization": "Bearer sk-benchmark", "content-type": "application/json"}
WIDE = 16
PACKAGES = ("naiad", "httpx", "httpx2", "httpx-aiohttp", "aiohttp", "uvloop")

Ask = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def by_httpx(url: str, name: str = "httpx") -> AsyncIterator[Ask]:
    """Use httpx's client, or that of its successor, over its own pool."""
    async with importlib.import_module(name).AsyncClient(trust_env=False, timeout=30.0) as client:

        async def ask() -> Any:
            return (await client.post(f"{url}/chat", content=MESSAGE, headers=HEADERS)).json()

        yield ask


@asynccontextmanager
async def by_httpx2(url: str) -> AsyncIterator[Ask]:
    """Use httpx2's client."""
    async with by_httpx(url, "httpx2") as ask:
        yield ask


@asynccontextmanager
async def by_httpx_over_aiohttp(url: str) -> AsyncIterator[Ask]:
    """Use httpx's client over aiohttp."""
    async with HttpxAiohttpClient(trust_env=False, timeout=httpx.Timeout(30.0)) as client:

        async def ask() -> Any:
            return (await client.post(f"{url}/chat", content=MESSAGE, headers=HEADERS)).json()

        yield ask


@asynccontextmanager
async def by_aiohttp(url: str) -> AsyncIterator[Ask]:
    """Use aiohttp alone."""
    async with aiohttp.ClientSession() as session:

        async def ask() -> Any:
            async with session.post(f"{url}/chat", data=MESSAGE, headers=HEADERS) as reply:
                return json.loads(await reply.read())

        yield ask


@asynccontextmanager
async def by_transport(url: str) -> AsyncIterator[Ask]:
    """Use the transport that serves, with all of its bounds."""
    key = Secret("sk-benchmark")
    out = Transport(Endpoint("peer", parse_url(url, private=True), private=True, key=key))
    headers: dict[str, str | Secret] = {**HEADERS, "authorization": key.prefixed("Bearer ")}

    async def ask() -> Any:
        return (await out.fetch("POST", "/chat", model="m", timeout_s=30.0, headers=headers, content=MESSAGE)).json()

    try:
        yield ask
    finally:
        await out.aclose()


CLIENTS = {
    "httpx": by_httpx, "httpx2": by_httpx2, "httpx over aiohttp": by_httpx_over_aiohttp, "aiohttp": by_aiohttp,
    "transport": by_transport,
}  # fmt: skip


async def measure(client: str, url: str, width: int, seconds: float) -> dict[str, float]:
    """Ask for some seconds, so many at a time; return median and 99th percentile in ms, and requests a second."""
    times: list[float] = []
    async with CLIENTS[client](url) as ask:
        await asyncio.gather(*(ask() for _ in range(width)))
        began = perf_counter()

        async def worker() -> None:
            while (at := perf_counter()) - began < seconds:
                await ask()
                times.append(perf_counter() - at)

        await asyncio.gather(*(worker() for _ in range(width)))
        elapsed = perf_counter() - began
    return {
        "p50_ms": 1e3 * report.quantile(times, 0.5), "p99_ms": 1e3 * report.quantile(times, 0.99),
        "per_s": len(times) / elapsed,
    }  # fmt: skip


def known() -> list[str]:
    """Return the clients that are installed here."""
    return [name for name in CLIENTS if name != "httpx2" or importlib.util.find_spec("httpx2") is not None]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and return 0 when the figures are reached."""
    parser = argparse.ArgumentParser(description="what HTTP costs, by client")
    parser.add_argument("--runs", type=int, default=5, help="runs of each client (default 5)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run (default 2)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    where = report.machine()
    servers, load = separate_cores()
    raw: dict[str, dict[str, list[dict[str, float]]]] = {name: {"1": [], str(WIDE): []} for name in known()}
    with tempfile.TemporaryDirectory() as folder:
        child = Child("benchmarks.answering", log=Path(folder) / "log", cores=servers)
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, load)
        try:
            for _ in range(options.runs):
                for name, runs in raw.items():
                    for width in (1, WIDE):
                        found = uvloop.run(measure(name, f"http://{child.address}/v1", width, options.seconds))
                        runs[str(width)].append(found)
        finally:
            os.sched_setaffinity(0, before)
            child.stop()
    middle = {
        name: {
            width: {key: report.middle(run[key] for run in runs) for key in runs[0]} for width, runs in widths.items()
        }
        for name, widths in raw.items()
    }
    print(f"{'client':20} {'p50 ms, 1':>10} {'per s, 16':>10} {'p99 ms, 16':>11}")
    for name, widths in middle.items():
        one, many = widths["1"], widths[str(WIDE)]
        print(f"{name:20} {one['p50_ms']:10.2f} {many['per_s']:10.0f} {many['p99_ms']:11.1f}")
    ours, plain = middle["transport"], middle["httpx"]
    figures = {
        "transport_p50_ratio_to_httpx": report.at_most(ours["1"]["p50_ms"] / plain["1"]["p50_ms"], 0.7, "x"),
        "transport_per_s_ratio_to_httpx": report.at_least(
            ours[str(WIDE)]["per_s"] / plain[str(WIDE)]["per_s"], 2.0, "x"
        ),
        "transport_p50_ms": report.at_most(ours["1"]["p50_ms"], 0.6, "ms"),
    }
    return report.finish(figures, {"runs": raw}, where=where, packages=PACKAGES, path=options.json)


if __name__ == "__main__":
    sys.exit(main())
