"""A key's models bind every call of a completion: also the fallbacks, and also where the decision was careless."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from naiad.adapters.base import Request, user
from naiad.adapters.errors import Overloaded
from naiad.server import providers
from naiad.server.app import Server
from naiad.server.config import parse
from naiad.server.egress import Egress, Kind, NotPermitted
from naiad.server.eligibility import Eligibility, Needs, Reason
from naiad.v1 import admin_service_pb2, decision_pb2, router_service_pb2
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.adapters.scripted import Fail, Scripted, reply
from tests.server.builders import engine, query
from tests.server.test_completion import DATA

NAMES = ("a", "b", "c")
DATA_OF_THREE: dict[str, Any] = DATA | {
    "endpoints": {name: {"kind": "echo"} for name in NAMES},
    "models": [
        {"name": f"{p}/m", "endpoint": p, "input_usd_per_million": 1.0, "output_usd_per_million": 1.0} for p in NAMES
    ],
}


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {secret}"),)


@pytest.mark.parametrize("failing", ["a", "ab"])
async def test_a_fallback_stays_within_the_key_s_models(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adapters = {
        name: Scripted(
            [Fail(Overloaded("busy", provider=name, model="m")) if name in failing else reply("ok")],
            provider=name, loop=True,
        )
        for name in NAMES
    }  # fmt: skip
    monkeypatch.setattr(providers, "build", lambda profiles: dict(adapters))
    server = await Server.start(parse(DATA_OF_THREE, "test"))
    try:
        async with grpc.aio.insecure_channel(server.address) as channel:
            admin, router = AdminServiceStub(channel), RouterServiceStub(channel)
            first = await admin.CreateKey(admin_service_pb2.CreateKeyRequest(name="root", role="KEY_ROLE_ADMIN"))
            wanted = admin_service_pb2.CreateKeyRequest(name="n", role="KEY_ROLE_CLIENT", allowed_models=["a/m", "b/*"])
            narrow = await admin.CreateKey(wanted, metadata=bearer(first.secret))
            request = router_service_pb2.CompleteRequest(
                task_class="t", messages=[{"role": 2, "parts": [{"text": "hello"}]}], max_attempts=9
            )
            for _ in range(8):
                if failing == "ab":
                    with pytest.raises(grpc.aio.AioRpcError):
                        await router.Complete(request, metadata=bearer(narrow.secret))
                    continue
                done = await router.Complete(request, metadata=bearer(narrow.secret))
                assert done.model == "b/m"
                excluded = {e.model: e.reason for e in done.excluded}
                assert excluded.pop("c/m") == decision_pb2.EXCLUSION_REASON_KEY
                assert excluded in ({}, {"a/m": decision_pb2.EXCLUSION_REASON_UNAVAILABLE}), "and a breaker in time"
            assert adapters["c"].calls == []
            assert adapters["a"].calls
            assert adapters["b"].calls
    finally:
        await server.stop()


async def test_the_way_out_asks_for_the_key_again_whatever_the_permit_lists() -> None:
    """A permit made too wide is stopped at the choke point by the one function."""
    made = engine()
    decision = made.decide(query(needs=Needs(10, 10, key_models=("echo/m1",))), at_ms=1, uniform=0.5)
    assert decision.permit is not None
    assert decision.permit.models == {1}
    assert [(e.model, e.reason) for e in decision.record.excluded] == [(0, Reason.KEY), (2, Reason.KEY)]
    eligibility: Eligibility = made.eligibility
    wide = eligibility.permit((0, 1, 2), decision.permit.needs, decision.permit.claims, 0)
    echo = Scripted([reply("ok")], provider="echo", loop=True)
    egress = Egress(made.catalog, eligibility, {"echo": echo})
    for kind in Kind:
        with pytest.raises(NotPermitted) as caught:
            await egress.call(wide, kind, 2, Request("m", (user("x"),)), timeout_s=1.0)
        assert caught.value.exclusion.reason == Reason.KEY
    assert echo.calls == []
    await egress.call(wide, Kind.FALLBACK, 1, Request("m", (user("x"),)), timeout_s=1.0)
