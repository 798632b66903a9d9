"""A server in this process, on a loop in a thread of its own, for functions that ask a server and print."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from naiad.client import Client
from naiad.server.app import Server
from naiad.server.config import Config, parse

MODELS: list[dict[str, Any]] = [
    {"name": "echo/small", "input_usd_per_million": 0.1, "output_usd_per_million": 0.4},
    {"name": "echo/large", "input_usd_per_million": 1.25, "output_usd_per_million": 10.0, "capabilities": ["tools"]},
    {"name": "echo/off", "input_usd_per_million": 1.0, "output_usd_per_million": 1.0, "disabled": True},
    {"name": "echo/tiny", "input_usd_per_million": 0.0, "output_usd_per_million": 0.0, "context_window": 10},
]


def config_in(folder: Path, **sections: Any) -> Config:
    """Return a configuration with MODELS and a database in the folder."""
    base: dict[str, Any] = {
        "server": {"listen": "127.0.0.1:0"},
        "storage": {
            "path": str(folder / "naiad.db"),
            "decide_waits": True,
        },  # so that a decision can be explained at once
        "models": MODELS,
    }
    return parse({**base, **sections}, "test.toml")


@contextmanager
def serving(config: Config) -> Iterator[str]:
    """Run a server and yield its address; on leaving it has stopped and written everything."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        server = asyncio.run_coroutine_threadsafe(Server.start(config), loop).result(20)
        try:
            yield server.address
        finally:
            assert asyncio.run_coroutine_threadsafe(server.stop(), loop).result(40)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@dataclass(frozen=True)
class Running:
    """A server, a client of it, and its configuration."""

    address: str
    client: Client
    config: Config


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    config = config_in(tmp_path_factory.mktemp("running"))
    with serving(config) as address, Client(address) as client:
        yield Running(address, client, config)
