"""Calls under way when a rule tightens: what was not sent yet is not sent any more, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from naiad.adapters.base import Answer, Finished, Request, user
from naiad.adapters.departure import checked, checking, depart
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.engine import Engine
from naiad.v1 import catalog_pb2, catalog_service_pb2
from naiad.v1.catalog_service_pb2_grpc import CatalogServiceStub
from tests.adapters.peer import PATIENCE_S, response, transport
from tests.adapters.scripted import reply
from tests.adapters.wired import Wired
from tests.server.builders import model
from tests.server.test_completion import Start, running  # noqa: F401 - a fixture
from tests.server.test_completion_budget import budget, standing
from tests.server.test_governance import permit_of
from tests.server.test_governance import running as ruled

CANARY = "canary-7f3a"
LARGE = 1 << 25  # bytes: more than the sockets' buffers hold
TIGHTER: dict[str, Any] = {"data_zone": "region:us"}
SAID = b'{"say": "yes", "in": 1, "out": 1}'


class Slow:
    """A provider on a thread of its own: it accepts one connection, goes on when told, and keeps what it was sent."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.got = b""
        self.connected = False
        self._tls = tls
        self._stopped, self._go = threading.Event(), threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(PATIENCE_S)
        self._thread = threading.Thread(target=self._serve)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http{'' if self._tls is None else 's'}://127.0.0.1:{self._listening.getsockname()[1]}/v1"

    def __enter__(self) -> Slow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._go.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "a connection was left open"

    async def stopped(self) -> None:
        """Wait until it has accepted: with TLS nothing was read, without the first bytes."""
        assert await asyncio.to_thread(self._stopped.wait, PATIENCE_S)

    def go(self) -> None:
        """Let it shake hands and read."""
        self._go.set()

    async def over(self) -> None:
        """Wait until the other side has hung up."""
        await asyncio.to_thread(self._thread.join, PATIENCE_S)

    def _serve(self) -> None:
        with self._listening, self._listening.accept()[0] as plain:
            plain.settimeout(PATIENCE_S)
            if self._tls is None:
                self.got += plain.recv(4_096)
            self._stopped.set()
            self._go.wait(PATIENCE_S)
            if self._tls is None:
                self._read(plain)
                return
            with self._tls.wrap_socket(plain, server_side=True) as secret:
                self.connected = True
                self._read(secret)

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):  # hung up without a word
            while piece := connection.recv(1 << 16):
                self.got += piece
                if self.got.endswith(b"}"):
                    connection.sendall(response(SAID))


@asynccontextmanager
async def connecting(folder: Path) -> AsyncIterator[tuple[Engine, Egress, Slow]]:
    """Yield an egress over a provider that accepts at once, and whose TLS begins when it is told."""
    authority, tls = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    with Slow(tls) as slow:
        async with transport(slow.url, ca=folder / "ca.pem") as out:
            made = ruled()
            yield made, Egress(made.catalog, made.eligibility, {"echo": Wired(out)}), slow


async def asked(egress: Egress, made: Engine, form: str, text: str = CANARY) -> Answer:
    """Call the model "here/one" with a request of class "inner"."""
    permit, request = permit_of(made, data_class="inner"), Request("unset", (user(text),))
    if form == "call":
        return await egress.call(permit, Kind.PRIMARY, 2, request, timeout_s=PATIENCE_S)
    async for event in egress.stream(permit, Kind.HEDGE, 2, request, timeout_s=PATIENCE_S):
        assert isinstance(event, Finished)
        return event.answer
    raise AssertionError("nothing came")


@pytest.mark.parametrize("form", ["call", "stream"])
async def test_what_was_still_connecting_when_a_rule_tightened_is_not_sent(form: str, tmp_path: Path) -> None:
    async with connecting(tmp_path) as (made, egress, slow):
        call = asyncio.ensure_future(asked(egress, made, form))
        await slow.stopped()
        assert [d.epoch for d in egress.on_wire()] == [made.eligibility.epoch]
        made.apply(made.sequence + 1, model(2, "here/one", **TIGHTER))
        slow.go()
        with pytest.raises(NotPermitted, match="inner"):
            await call
        await slow.over()
        assert slow.connected
        assert slow.got == b"", "the connection was made, and nothing was sent on it"
        assert egress.on_wire() == []


async def test_what_was_still_connecting_leaves_under_the_rules_of_the_moment(tmp_path: Path) -> None:
    """A change that does not forbid the call lets it leave, under the new epoch."""
    async with connecting(tmp_path) as (made, egress, slow):
        call = asyncio.ensure_future(asked(egress, made, "call"))
        await slow.stopped()
        made.apply(made.sequence + 1, model(0, "us/one", disabled=True))
        assert [d.epoch for d in egress.on_wire(before_epoch=made.eligibility.epoch)] == [made.sequence - 1]
        slow.go()
        assert (await call).text == "yes"
        assert CANARY.encode() in slow.got


async def test_the_rest_of_a_large_request_is_not_sent() -> None:
    made = ruled()
    with Slow() as slow:
        async with transport(slow.url) as out:
            egress = Egress(made.catalog, made.eligibility, {"echo": Wired(out)})
            call = asyncio.ensure_future(asked(egress, made, "call", "x" * LARGE))
            await slow.stopped()
            made.apply(made.sequence + 1, model(2, "here/one", **TIGHTER))
            slow.go()
            with pytest.raises(NotPermitted):
                await call
            await slow.over()
            assert 4_096 <= len(slow.got) < LARGE


async def test_a_completion_goes_on_to_the_next_model_and_holds_nothing_for_the_first(
    running: Start,  # noqa: F811
) -> None:
    first: list[str] = []
    waits, go = asyncio.Event(), asyncio.Event()
    async with running([reply("yes")], [reply("yes")]) as now:
        for name, adapter in now.adapters.items():

            async def slowly(
                request: Request, *, timeout_s: float, name: str = name, complete: Any = adapter.complete
            ) -> Answer:
                if not first:
                    first.append(name)
                    waits.set()
                    await go.wait()
                depart()
                answer: Answer = await complete(request, timeout_s=timeout_s)
                return answer

            adapter.complete = slowly
        await budget(now, 1_000_000)
        call = asyncio.ensure_future(now.complete(max_output_tokens=100))
        waiting = asyncio.ensure_future(waits.wait())
        await asyncio.wait({call, waiting}, timeout=PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        assert waits.is_set(), await call  # whose error says why
        await CatalogServiceStub(now.channel).UpdateModel(
            catalog_service_pb2.UpdateModelRequest(model=catalog_pb2.Model(name=f"{first[0]}/m", disabled=True))
        )
        go.set()
        done = await call
        assert now.adapters[first[0]].calls == []
        assert done.model != f"{first[0]}/m"
        assert [a.model for a in done.attempts] == [done.model], "a call that was not made is no attempt"
        assert any("disabled" in notice.message for notice in done.notices)
        assert await standing(now) == (done.total_cost_nano_usd, 0)


def test_outside_of_a_call_there_is_nothing_to_ask() -> None:
    depart()
    with checked(lambda: None):
        assert checking() is not None
    assert checking() is None
