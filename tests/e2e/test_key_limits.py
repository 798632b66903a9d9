"""What a key narrows, over a real server: its models, the least class of its data, and its tokens in a minute."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from naiad.server.auditor import MOST_OF_ADDRESS
from naiad.server.authorization import Role
from naiad.v1 import admin_service_pb2, decision_pb2, router_service_pb2
from naiad.v1.admin_service_pb2_grpc import AdminServiceStub
from naiad.v1.router_service_pb2_grpc import RouterServiceStub
from tests.e2e.live import BASE, Caller, Live, live
from tests.e2e.test_governance import RULES, TURN, reasons
from tests.e2e.test_identity import CREATE, naiad
from tests.keys import Wanted, altered, key_id_of, make_keys

DECIDE, COMPLETE = "RouterService/Decide", "RouterService/Complete"
KEY = decision_pb2.EXCLUSION_REASON_KEY


@dataclass
class Keyed:
    """A server with rules and an admin's key."""

    running: Live
    admin: str

    def made(self, *options: str, name: str = "narrow") -> str:
        """Make a client's key by the command line, and return its secret."""
        where = ("--server", self.running.process.address)
        made = naiad("keys", "create", *where, "--name", name, *options, key=self.admin)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def caller(self, secret: str) -> Caller:
        """Return a caller with a key."""
        return Caller(self.running.process.address, secret)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """A server with rules and an admin's key."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "data").mkdir()
    admin = make_keys(folder / "data" / "naiad.db", {"admin": Wanted(Role.ADMIN)})["admin"]
    with live(folder, RULES, key=admin) as running:
        yield Keyed(running, admin)


def test_a_key_s_models_narrow_what_is_permitted_and_the_record_says_so(keyed: Keyed) -> None:
    caller = keyed.caller(keyed.made("--allowed-model", "*/cloud", "--allowed-model", "echo/other"))
    asked: dict[str, Any] = {"task_class": "ruled", "data_class": "open", "messages": [TURN]}
    for _ in range(10):
        made = caller.call(COMPLETE, **asked)
        assert made.model in ("echo/cloud", "echo/other")
        assert reasons(made.excluded) == {"echo/here": KEY}
    keyed.running.caller.settle()
    record = keyed.running.caller.call("InsightService/GetDecision", decision_id=made.decision_id).decision
    assert reasons(record.excluded) == {"echo/here": KEY}
    assert {c.model for c in keyed.running.caller.call(DECIDE, **asked).ranking} == {
        "echo/here", "echo/cloud", "echo/other",
    }  # fmt: skip
    refusal = caller.refused(DECIDE, allowed_models=["echo/here"], **asked)
    assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "NO_ELIGIBLE_MODEL")
    assert refusal.metadata["reasons"] == "KEY x 1, NOT_ALLOWED x 2"
    caller.close()


def test_a_request_of_a_wider_key_is_not_repeated_to_a_narrower_one(keyed: Keyed) -> None:
    """The reply that is kept names, and comes from, a model that the second key does not permit."""
    narrow = keyed.caller(keyed.made("--allowed-model", "echo/cloud"))
    more: dict[str, Any]
    for method, more in ((DECIDE, {}), (COMPLETE, {"messages": [TURN]})):
        asked: dict[str, Any] = {"task_class": "ruled", "data_class": "open"} | more
        asked["allowed_models"] = ["echo/here", "echo/cloud"]
        asked["request_id"] = f"wide {method}"
        keyed.running.caller.call(method, **asked)
        assert narrow.refused(method, **asked).reason == "REQUEST_ID_REUSED"
        asked["request_id"] = f"narrow {method}"
        once, twice = narrow.call(method, **asked), narrow.call(method, **asked)
        assert once.decision_id == twice.decision_id
    narrow.close()


def test_a_key_s_data_class_raises_and_never_lowers(keyed: Keyed) -> None:
    raised, plain = keyed.caller(keyed.made("--data-class", "secret")), keyed.caller(keyed.made("--data-class", "open"))
    made = raised.call(DECIDE, task_class="ruled", data_class="open")
    assert {c.model for c in made.ranking} == {"echo/here", "echo/cloud"}
    (notice,) = made.notices
    assert dict(notice.metadata) == {"data_class": "secret", "source": "caller"}
    assert len(plain.call(DECIDE, task_class="ruled", data_class="open").ranking) == 3
    for field, value in (("data_class", "secret"), ("workflow", "payroll")):
        asked: dict[str, Any] = {"task_class": "ruled", field: value}
        assert len(plain.call(DECIDE, **asked).ranking) == 2, asked
    assert len(plain.call(DECIDE, task_class="never.seen.here").ranking) == 2, "it does not stand in for the others"
    raised.close()
    plain.close()


def test_rotation_keeps_what_a_key_narrows_and_lists_show_it(keyed: Keyed) -> None:
    secret = keyed.made("--allowed-model", "echo/h*", "--data-class", "secret", "--tokens-per-minute", "5000")
    key_id = key_id_of(secret)
    admin = keyed.running.caller
    rotated = admin.call("AdminService/RotateKey", key_id=key_id)
    (listed,) = [key for key in admin.call("AdminService/ListKeys").keys if key.key_id == key_id]
    for key in (rotated.key, listed):
        assert (list(key.allowed_models), key.data_class, key.tokens_per_minute) == (["echo/h*"], "secret", 5_000)
    with_new = keyed.caller(rotated.secret)
    made = with_new.call(DECIDE, task_class="ruled", data_class="open", input_tokens=10)
    assert {c.model for c in made.ranking} == {"echo/here"}
    with_new.close()
    shown = naiad("keys", "list", "--server", keyed.running.process.address, key=keyed.admin).stdout
    for word in ("echo/h*", "secret", "5,000"):
        assert word in shown.replace("\n", ""), shown
    events = admin.call("AdminService/ListAuditEvents", action="naiad.v1.AdminService/CreateKey").events
    (facts,) = [dict(e.facts) for e in events if e.resource == f"keys/{key_id}"]
    assert facts == {
        "name": "narrow", "role": "client", "allowed_models": "echo/h*", "data_class": "secret",
        "tokens_per_minute": "5000",
    }  # fmt: skip


def test_unknown_names_make_no_key(keyed: Keyed) -> None:
    admin = keyed.running.caller
    before = len(admin.call("AdminService/ListKeys", include_ended=True).keys)
    fields: dict[str, Any] = {"name": "n", "role": Role.CLIENT.value}
    refusal = admin.refused(CREATE, data_class="secrte", **fields)
    assert (refusal.reason, refusal.metadata["nearest"]) == ("UNKNOWN_DATA_CLASS", "secret")
    refusal = admin.refused(CREATE, allowed_models=["echo/heer"], **fields)
    assert (refusal.reason, refusal.metadata["nearest"]) == ("UNKNOWN_MODEL", "echo/here")
    said = naiad("keys", "create", "--server", admin.address, "--allowed-model", "acme/*", key=keyed.admin)
    assert (said.returncode, said.stdout) == (1, "")
    assert "acme/*" in said.stderr
    assert len(admin.call("AdminService/ListKeys", include_ended=True).keys) == before


def test_tokens_in_a_minute_are_held_and_corrected(keyed: Keyed) -> None:
    caller = keyed.caller(keyed.made("--tokens-per-minute", "1000"))
    least: dict[str, Any] = {"data_class": "open"}
    asked: dict[str, Any] = {"task_class": "ruled", "input_tokens": 100, "max_output_tokens": 600} | least
    first = caller.call(DECIDE, **asked)
    refusal = caller.refused(DECIDE, **asked)
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
    told = {name: refusal.metadata[name] for name in ("limit", "value", "left", "needed")}
    assert told == {"limit": "tokens_per_minute", "value": "1000", "left": "300", "needed": "700"}
    assert refusal.retry_after_s is not None
    assert 0.0 < refusal.retry_after_s <= 61.0
    caller.call(
        "FeedbackService/ReportOutcome", decision_id=first.decision_id, input_tokens=90, output_tokens=10
    )  # 100 in the place of 700
    caller.call(DECIDE, **asked)
    refusal = caller.refused(COMPLETE, messages=[TURN], max_output_tokens=300, **least)
    assert int(refusal.metadata["left"]) == 200
    done = caller.call(COMPLETE, messages=[TURN], max_output_tokens=150, **least)
    used = done.usage.input_tokens + done.usage.output_tokens
    refusal = caller.refused(DECIDE, **asked)
    assert int(refusal.metadata["left"]) == 200 - used
    refusal = caller.refused(DECIDE, input_tokens=900, max_output_tokens=101, **least)
    assert (refusal.code, refusal.reason) == ("INVALID_ARGUMENT", "INVALID_COMBINATION")
    assert keyed.running.caller.call(DECIDE, **asked).decision_id, "nobody else is limited"
    caller.close()


def test_what_is_refused_before_a_call_holds_no_tokens(keyed: Keyed) -> None:
    caller = keyed.caller(keyed.made("--tokens-per-minute", "1000", "--allowed-model", "echo/here"))
    asked: dict[str, Any] = {"input_tokens": 100, "max_output_tokens": 800, "data_class": "open"}
    more: dict[str, Any]
    for _ in range(3):
        for method, more in ((DECIDE, {"task_class": "ruled"}), (COMPLETE, {"messages": [TURN]}), (DECIDE, {})):
            refusal = caller.refused(method, allowed_models=["echo/cloud"], **asked, **more)
            assert refusal.reason == "NO_ELIGIBLE_MODEL"
    same = [caller.call(DECIDE, request_id="once", **asked) for _ in range(3)]
    assert len({made.decision_id for made in same}) == 1, "a repetition is charged once"
    caller.close()


def test_without_a_running_server_names_cannot_be_checked(tmp_path: Path) -> None:
    data = ("--data-dir", str(tmp_path), "--role", "admin")
    for option in (("--allowed-model", "a/b"), ("--data-class", "secret")):
        said = naiad("keys", "create", *data, *option)
        assert (said.returncode, said.stdout) == (2, "")
        assert "running server" in said.stderr
    assert not (tmp_path / "naiad.db").exists()
    assert naiad("keys", "create", *data, "--tokens-per-minute", "0").returncode == 2
    assert naiad("keys", "create", *data, "--tokens-per-minute", "9000").returncode == 0


def test_a_flood_without_a_key_neither_refuses_a_good_one_nor_hides_what_it_was_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    keys = make_keys(tmp_path / "data" / "naiad.db", {"admin": Wanted(Role.ADMIN), "client": Wanted(Role.CLIENT)})
    config = BASE.replace("[server]", "[server]\nconcurrent_calls = 1")
    good = (("authorization", f"Bearer {keys['client']}"),)
    bad = (("authorization", f"Bearer {altered(keys['client'])}"),)

    async def flood(address: str) -> set[str]:
        """Return how strangers' calls ended while one client called."""
        async with grpc.aio.insecure_channel(address) as theirs, grpc.aio.insecure_channel(address) as ours:
            strange, router = RouterServiceStub(theirs), RouterServiceStub(ours)
            request = router_service_pb2.DecideRequest(task_class="t")
            strangers = [strange.Decide(request, metadata=bad) for _ in range(400)]
            for _ in range(20):
                assert (await router.Decide(request, metadata=good)).decision_id
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await AdminServiceStub(ours).ListKeys(admin_service_pb2.ListKeysRequest(), metadata=good)
            assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
            ended = await asyncio.gather(*strangers, return_exceptions=True)
        return {error.code().name for error in ended if isinstance(error, grpc.aio.AioRpcError)}

    with live(tmp_path, config, key=keys["admin"]) as running:
        assert asyncio.run(flood(running.process.address)) == {"UNAUTHENTICATED"}
        events = running.caller.call("AdminService/ListAuditEvents", page_size=200).events
        told = [event for event in events if event.reason == "UNAUTHENTICATED"]
        assert {event.facts["peer"] for event in told} == {"127.0.0.1"}
        assert len(told) == MOST_OF_ADDRESS
        (denied,) = [event for event in events if event.reason == "PERMISSION_DENIED"]
        assert denied.key_id == key_id_of(keys["client"])
