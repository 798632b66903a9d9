"""Keys, roles, tenants and transports of a real server: from the first try without a key to a start that is refused."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from naiad.client import AsyncClient, Client, RetryPolicy, Unauthenticated, Unavailable
from naiad.server.authorization import Role
from naiad.v1 import insight_service_pb2, insight_service_pb2_grpc
from tests.certificates import Certificates
from tests.e2e.live import BASE, Caller, Live, live
from tests.e2e.test_lifecycle import refused, started
from tests.keys import Wanted, altered, key_id_of, make_keys

CREATE, LIST = "AdminService/CreateKey", "AdminService/ListKeys"
ADMIN: dict[str, Any] = {"name": "admin", "role": Role.ADMIN.value}


def naiad(*arguments: str, key: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    environment = {name: value for name, value in os.environ.items() if name != "NAIAD_KEY"}
    return subprocess.run(
        [sys.executable, "-m", "naiad.server", *arguments], capture_output=True, text=True, timeout=60, check=False,
        env=environment | ({"NAIAD_KEY": key} if key else {}),
    )  # fmt: skip


# -- from nothing to a first key ---------------------------------------------------------------------------------------


def test_a_first_try_needs_no_key_says_so_and_ends_with_the_first_key(tmp_path: Path) -> None:
    with live(tmp_path) as running:
        anybody = running.caller
        anybody.decide()
        refusal = anybody.refused(CREATE, name="early", role=Role.CLIENT.value)
        assert (refusal.code, refusal.reason) == ("FAILED_PRECONDITION", "LAST_ADMIN_KEY")
        with grpc.insecure_channel(running.process.address) as channel:
            watch = insight_service_pb2_grpc.InsightServiceStub(channel).WatchArms(
                insight_service_pb2.WatchArmsRequest()
            )
            next(iter(watch))
            made = anybody.call(CREATE, request_id="first", **ADMIN)
            with pytest.raises(grpc.RpcError) as caught:
                list(watch)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        assert anybody.refused("RouterService/Decide").reason == "UNAUTHENTICATED"
        admin = Caller(running.process.address, made.secret)
        assert [key.key_id for key in admin.call(LIST).keys] == [made.key.key_id]
        admin.close()
        assert running.process.errors().count("no_keys") == 1
    with live(tmp_path) as again:
        assert again.caller.refused("RouterService/Decide").reason == "UNAUTHENTICATED"
        admin = Caller(again.process.address, made.secret)
        admin.decide()
        (key,) = admin.call(LIST).keys
        assert key.last_use_time.seconds % 60 == 0
        assert key.last_use_time.seconds > 0
        admin.verify()
        admin.close()
        assert again.process.errors().count("no_keys") == 1  # of the first start


def test_a_start_that_nobody_could_use_or_anybody_could_is_refused_with_the_remedy(tmp_path: Path) -> None:
    files = Certificates.make(tmp_path)
    folder = ("--data-dir", str(tmp_path / "d"))
    tls = f'\n[server.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    file = tmp_path / "naiad.toml"

    def config(text: str) -> None:
        file.write_text(BASE + text, encoding="utf-8")

    config(tls)
    first = (2, "no key", f"naiad keys create --data-dir {tmp_path / 'd'} --role admin")
    refused(started(tmp_path, *folder), *first)
    refused(started(tmp_path, *folder, "--listen", "0.0.0.0:0"), *first)
    config("")
    refused(started(tmp_path, *folder, "--listen", "0.0.0.0:0", "--allow-plaintext-beyond-loopback"), *first)
    refused(started(tmp_path, *folder, "--listen", "0.0.0.0:0"), 2, "[server.tls]", "--allow-plaintext-beyond-loopback")
    for changed, words in (
        (tls.replace(str(files.key), str(files.client_key)), ["key does not belong to the certificate"]),
        (tls.replace(str(files.certificate), "none.pem"), ["certificate", "none.pem", "cannot be read"]),
        (tls.replace(str(files.key), str(file)), ["server.tls.key", "cannot be used"]),
        (tls + f'client_ca = "{file}"\n', ["client_ca", "cannot be used"]),
        (tls + 'client_ca = "none.pem"\n', ["client_ca", "none.pem"]),
        ("\n[server.tls]\nkey = 'a'\n", ["lacks the key 'certificate'"]),
        (tls + "cert = 'a'\n", ["unknown key 'server.tls.cert'", "certificate"]),
        ("\n[keys]\nrequests_per_minute = -1\n", ["keys.requests_per_minute", "from 0"]),
    ):
        config(changed)
        refused(started(tmp_path, *folder), 2, *words)


def test_a_server_beyond_loopback_serves_whoever_has_key_and_trust(tmp_path: Path) -> None:
    files = Certificates.make(tmp_path)
    (tmp_path / "data").mkdir()
    key = make_keys(tmp_path / "data" / "naiad.db", {"admin": Wanted(Role.ADMIN)})["admin"]
    config = BASE + f'[server.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n'
    trust = grpc.ssl_channel_credentials(files.ca.read_bytes())
    with live(tmp_path, config, key=key, credentials=trust) as running:
        running.caller.decide()
        assert "transport=TLS" in running.process.errors()


# -- the command line --------------------------------------------------------------------------------------------------


def test_keys_by_the_command_line_over_mtls(tmp_path: Path) -> None:
    files = Certificates.make(tmp_path)
    data = str(tmp_path / "data")
    early = naiad("keys", "create", "--data-dir", data, "--role", "client")
    assert (early.returncode, early.stdout) == (1, "")
    first = naiad("keys", "create", "--data-dir", data, "--role", "admin", "--name", "root")
    assert first.returncode == 0, first
    assert first.stdout.count("\n") == 1
    secret = first.stdout.strip()
    assert secret not in first.stderr
    assert key_id_of(secret) in first.stderr
    (tmp_path / "key").write_text(first.stdout, encoding="utf-8")
    config = BASE + (
        f'[server.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\nclient_ca = "{files.ca}"\n'
    )
    trust = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.client_key.read_bytes(), files.client.read_bytes()
    )
    with live(tmp_path, config, key=secret, credentials=trust) as running:
        running.caller.decide("cli")
        where = ("--server", running.process.address, "--ca", str(files.ca))
        mine = (*where, "--certificate", str(files.client), str(files.client_key))
        held = naiad("keys", "list", "--data-dir", data)
        assert held.returncode == 1
        assert "in use by the server" in held.stderr
        assert naiad("keys", "list", *where, key=secret).returncode == 1  # shows no certificate
        for key, hint in (("", "--key-file"), (altered(secret), "--key-file")):
            result = naiad("arms", *mine, key=key)
            assert result.returncode == 1
            assert hint in result.stderr
            assert "NAIAD_KEY" in result.stderr
            assert not key or key not in result.stderr
        made = naiad("keys", "create", *mine, "--role", "reviewer", "--expire-days", "2", key=secret)
        assert made.returncode == 0, made
        reviewer = made.stdout.strip()
        listed = naiad("keys", "list", *mine, "--key-file", str(tmp_path / "key"))
        assert "2 keys." in listed.stdout
        assert reviewer.split("_", 2)[2] not in listed.stdout
        assert "cli" in naiad("arms", *mine, key=reviewer).stdout
        assert "operator" in naiad("replay", *mine, key=reviewer).stderr  # asks for a higher role
        assert "Equal to the bit" in naiad("replay", *mine, key=secret).stdout
        rotated = naiad("keys", "rotate", key_id_of(reviewer), *mine, "--grace", "0", key=secret)
        assert naiad("arms", *mine, key=reviewer).returncode == 1
        assert naiad("arms", *mine, key=rotated.stdout.strip()).returncode == 0
        last = naiad("keys", "revoke", key_id_of(secret), *mine, key=secret)
        assert last.returncode == 1
        assert "last admin" in last.stderr
        assert naiad("keys", "revoke", key_id_of(reviewer), *mine, "--reason", "gone", key=secret).returncode == 0
        assert naiad("arms", *mine, key=rotated.stdout.strip()).returncode == 1
    offline = naiad("keys", "list", "--data-dir", data, "--ended")
    assert "revoked" in offline.stdout
    assert "2 keys." in offline.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["keys"], 2, ["ACTION"]),
        (["keys", "create", "--role", "king"], 2, ["admin"]),
        (["keys", "create", "--requests-per-minute", "0"], 2, ["from 1"]),
        (["keys", "create", "--expire-days", "nan"], 2, ["days"]),
        (["keys", "create", "--tenant", "other"], 2, ["--data-dir"]),
        (["keys", "list", "--data-dir", "DIR"], 1, ["no database"]),
        (["keys", "list", "--key-file", "DIR/none"], 2, ["none", "cannot be read"]),
        (["keys", "create", "--data-dir", "DIR", "--tenant", "new"], 1, ["--role admin"]),
        (["keys", "create", "--data-dir", "DIR", "--role", "admin", "--name", "a\nb"], 1, ["printable"]),
        (["arms", "--server", "127.0.0.1:9", "--ca", "DIR/none"], 1, ["ca", "none", "PEM"]),
        (["keys", "list", "--data-dir", "DIR", "--server", "127.0.0.1:9"], 2, ["not allowed with"]),
    ],
)
def test_wrong_usage_of_keys(tmp_path: Path, arguments: list[str], code: int, words: list[str]) -> None:
    result = naiad(*(argument.replace("DIR", str(tmp_path)) for argument in arguments))
    assert result.returncode == code, result
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


# -- keys, limits, repetitions -----------------------------------------------------------------------------------------


@dataclass
class Keyed:
    """A server with keys of all kinds."""

    running: Live
    keys: dict[str, str]

    def caller(self, name: str) -> Caller:
        """Return a caller that holds a key; the test closes it."""
        return Caller(self.running.process.address, self.keys[name])


KEYS = {
    "admin": Wanted(Role.ADMIN),
    "client": Wanted(Role.CLIENT),
    "reviewer": Wanted(Role.REVIEWER, concurrent_calls=1),
    "slow": Wanted(Role.CLIENT, requests_per_minute=12),
    "other": Wanted(Role.ADMIN, tenant="other"),
}


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """Serve with the keys; at the end the logs of both tenants must verify, also where they lie."""
    folder = tmp_path_factory.mktemp("keyed")
    (folder / "data").mkdir()
    keys = make_keys(folder / "data" / "naiad.db", KEYS)
    with live(folder, key=keys["admin"]) as running:
        yield Keyed(running, keys)
        running.caller.verify()
        other = Caller(running.process.address, keys["other"])
        other.verify()
        other.close()
    result = naiad("replay", "--config", str(folder / "naiad.toml"), "--data-dir", str(folder / "data"))
    assert result.returncode == 0, result
    assert result.stdout.count("Equal to the bit.") == 2
    assert "of tenant other" in result.stdout


def test_a_key_has_its_facts_and_its_secret_once(keyed: Keyed) -> None:
    admin = keyed.running.caller
    fields: dict[str, Any] = {"name": "ci", "role": 1, "requests_per_minute": 90, "concurrent_calls": 4}
    made = admin.call(CREATE, request_id="once", expire_time={"seconds": 4_000_000_000}, **fields)
    again = admin.call(CREATE, request_id="once", expire_time={"seconds": 4_000_000_000}, **fields)
    assert made.secret.startswith(f"naiad_{made.key.key_id}_")
    assert (again.key.key_id, again.secret) == (made.key.key_id, "")
    assert admin.refused(CREATE, request_id="once", **fields).reason == "REQUEST_ID_REUSED"
    key = next(k for k in admin.call(LIST).keys if k.key_id == made.key.key_id)
    assert (key.name, key.role, key.tenant, key.requests_per_minute, key.concurrent_calls) == (
        "ci",
        1,
        "default",
        90,
        4,
    )
    assert key.expire_time.seconds == 4_000_000_000
    rotated = admin.call("AdminService/RotateKey", key_id=key.key_id, request_id="r")
    assert admin.call("AdminService/RotateKey", key_id=key.key_id, request_id="r").secret == ""
    day_s = rotated.old_secret_expire_time.seconds - rotated.key.rotate_time.seconds
    assert day_s == 86_400
    for secret in (made.secret, rotated.secret):
        holder = Caller(admin.address, secret)
        holder.decide()
        holder.close()
    revoked = admin.call("AdminService/RevokeKey", key_id=key.key_id, reason="done", request_id="e").key
    assert admin.call("AdminService/RevokeKey", key_id=key.key_id).key.revoke_time == revoked.revoke_time
    assert admin.refused("AdminService/RotateKey", key_id=key.key_id).reason == "KEY_ENDED"
    assert key.key_id not in [k.key_id for k in admin.call(LIST).keys]
    assert key.key_id in [k.key_id for k in admin.call(LIST, include_ended=True).keys]
    events = admin.call("AdminService/ListAuditEvents", page_size=1_000).events
    mine = [e for e in events if e.resource == f"keys/{key.key_id}"]
    assert [e.action.rpartition("/")[2] for e in mine] == ["RevokeKey", "RotateKey", "CreateKey"]
    assert {e.key_id for e in mine} == {key_id_of(keyed.keys["admin"])}
    assert (mine[0].reason, dict(mine[2].facts)) == ("done", {"name": "ci", "role": "client"})
    proof = admin.call("AdminService/VerifyAudit", known_digest=mine[1].digest)
    assert (proof.intact, proof.events_checked) == (True, events[0].sequence)
    assert not admin.call("AdminService/VerifyAudit", known_digest=b"n" * 32).intact


def test_lists_of_keys_and_of_the_trail_come_in_pages(keyed: Keyed) -> None:
    admin = keyed.running.caller
    for method, field, name in ((LIST, "keys", "key_id"), ("AdminService/ListAuditEvents", "events", "sequence")):
        whole = [getattr(item, name) for item in getattr(admin.call(method, page_size=1_000), field)]
        found, token = [], ""
        for _ in range(len(whole) + 1):
            page = admin.call(method, page_size=1, page_token=token)
            found += [getattr(item, name) for item in getattr(page, field)]
            token = page.next_page_token
            if not token:
                break
        assert found == whole
        assert len(whole) > 3
    only = admin.call("AdminService/ListAuditEvents", key_id="nobody")
    assert len(only.events) == 0


def test_the_trail_tells_which_key_changed_what_and_which_was_refused(keyed: Keyed) -> None:
    admin, client, other = keyed.running.caller, keyed.caller("client"), keyed.caller("other")
    mine, theirs = key_id_of(keyed.keys["admin"]), key_id_of(keyed.keys["other"])
    foreign = {"decision_id": client.decide().decision_id, "score": 1.0, "source": 1}
    admin.call("CatalogService/CreateTaskClass", task_class={"name": "told"})
    other.call("CatalogService/CreateTaskClass", task_class={"name": "told"})
    assert other.refused("FeedbackService/ReportFeedback", **foreign).reason == "DECISION_ID_FOREIGN"
    budget = {"budget_id": "told", "limit_nano_usd": 10**12, "period": 1}
    admin.call("AdminService/CreateBudget", budget=budget)
    assert client.refused("AdminService/CreateBudget", budget=budget).reason == "PERMISSION_DENIED"
    stranger = Caller(admin.address, altered(keyed.keys["other"]))
    assert stranger.refused("RouterService/Decide").reason == "UNAUTHENTICATED"

    def told(caller: Caller) -> list[tuple[str, str, str, str]]:
        events = caller.call("AdminService/ListAuditEvents", page_size=1_000).events
        return [(e.action.rpartition("/")[2], e.resource, e.key_id, e.reason) for e in events]

    assert told(admin)[:4] == [
        ("Decide", "", "", "UNAUTHENTICATED"),
        ("CreateBudget", "", key_id_of(keyed.keys["client"]), "PERMISSION_DENIED"),
        ("CreateBudget", "budgets/told", mine, ""),
        ("CreateTaskClass", "task_classes/told", mine, ""),
    ]
    assert told(other)[:2] == [
        ("ReportFeedback", "", theirs, "DECISION_ID_FOREIGN"),
        ("CreateTaskClass", "task_classes/told", theirs, ""),
    ]
    for caller in (admin, other):
        assert caller.call("AdminService/VerifyAudit").intact
    where = ("--server", admin.address)
    assert naiad("audit", "verify", *where, key=keyed.keys["other"]).returncode == 0
    listed_ = naiad("audit", "list", *where, "--key", theirs, key=keyed.keys["other"])
    assert "task_classes/told" in listed_.stdout
    assert mine not in listed_.stdout
    refused_ = naiad("audit", "list", *where)
    assert (refused_.returncode, "--key-file" in refused_.stderr) == (1, True)
    for one in (client, other, stranger):
        one.close()


def test_a_key_s_budget_binds_that_key_alone(keyed: Keyed) -> None:
    admin, client, other = keyed.running.caller, keyed.caller("client"), keyed.caller("other")
    mine = key_id_of(keyed.keys["client"])
    budget = {"budget_id": "of-the-client", "key_id": mine, "limit_nano_usd": 30_004, "period": 5}
    one: dict[str, Any] = {"allowed_models": ["echo/small"], "max_output_tokens": 100}  # costs 30,004 at most
    assert other.refused("AdminService/CreateBudget", budget=budget).reason == "UNKNOWN_KEY"
    admin.call("AdminService/CreateBudget", budget=budget)
    client.decide(**one)
    refusal = client.refused("RouterService/Decide", task_class="e2e", input_tokens=100, **one)
    assert (refusal.reason, refusal.metadata["budget_id"]) == ("BUDGET_EXHAUSTED", "of-the-client")
    admin.decide(**one)
    (left,) = [b for b in admin.call("AdminService/ListBudgets").budgets if b.budget_id == "of-the-client"]
    assert (left.key_id, left.reserved_nano_usd) == (mine, 30_004)
    assert not other.call("AdminService/ListBudgets").budgets
    admin.call("AdminService/DeleteBudget", budget_id="of-the-client")
    client.close()
    other.close()


@pytest.mark.parametrize(
    ("method", "request_", "reason", "field"),
    [
        (CREATE, {"role": 1}, "FIELD_REQUIRED", "name"),
        (CREATE, {"name": "a"}, "UNKNOWN_ENUM_VALUE", "role"),
        (CREATE, {"name": "a", "role": 9}, "UNKNOWN_ENUM_VALUE", "role"),
        (CREATE, {"name": "a" * 129, "role": 1}, "INVALID_ID", "name"),
        (CREATE, {"name": "a", "role": 1, "requests_per_minute": 0}, "NUMBER_OUT_OF_RANGE", "requests_per_minute"),
        (CREATE, {"name": "a", "role": 1, "concurrent_calls": -1}, "NUMBER_OUT_OF_RANGE", "concurrent_calls"),
        (CREATE, {"name": "a", "role": 1, "expire_time": {"seconds": 1}}, "NUMBER_OUT_OF_RANGE", "expire_time"),
        (CREATE, {"name": "a", "role": 1, "allowed_models": ["small"]}, "INVALID_ID", "allowed_models[0]"),
        (CREATE, {"name": "a", "role": 1, "allowed_models": ["echo/small", "echo/smal"]}, "UNKNOWN_MODEL", ""),
        (CREATE, {"name": "a", "role": 1, "allowed_models": ["acme/*"]}, "UNKNOWN_MODEL", ""),
        (CREATE, {"name": "a", "role": 1, "allowed_models": ["echo/[a]*"]}, "INVALID_ID", "allowed_models[0]"),
        (CREATE, {"name": "a", "role": 1, "allowed_models": ["*"] * 101}, "TOO_MANY_ITEMS", "allowed_models"),
        (CREATE, {"name": "a", "role": 1, "tokens_per_minute": 0}, "NUMBER_OUT_OF_RANGE", "tokens_per_minute"),
        (CREATE, {"name": "a", "role": 1, "tokens_per_minute": 1 << 41}, "NUMBER_OUT_OF_RANGE", "tokens_per_minute"),
        (CREATE, {"name": "a", "role": 1, "data_class": "secret"}, "UNKNOWN_DATA_CLASS", "data_class"),
        ("AdminService/RotateKey", {"key_id": "a", "grace": {"seconds": 2_592_001}}, "NUMBER_OUT_OF_RANGE", "grace"),
        ("AdminService/RotateKey", {"key_id": "a"}, "UNKNOWN_KEY", ""),
        ("AdminService/RevokeKey", {"key_id": "a", "reason": "x" * 4_001}, "FIELD_TOO_LONG", "reason"),
        ("AdminService/VerifyAudit", {"known_digest": b"short"}, "INVALID_FORMAT", "known_digest"),
        (LIST, {"page_token": "x"}, "PAGE_TOKEN_INVALID", "page_token"),
        ("AdminService/ListAuditEvents", {"page_token": "x"}, "PAGE_TOKEN_INVALID", "page_token"),
    ],
)
def test_bad_input_about_keys(keyed: Keyed, method: str, request_: dict[str, Any], reason: str, field: str) -> None:
    admin = keyed.running.caller
    before = [key.key_id for key in admin.call(LIST, include_ended=True).keys]
    refusal = admin.refused(method, **request_)
    assert (refusal.reason, refusal.metadata.get("field", "")) == (reason, field)
    assert [key.key_id for key in admin.call(LIST, include_ended=True).keys] == before


def test_a_key_s_rate_and_calls_at_a_time(keyed: Keyed) -> None:
    slow, reviewer = keyed.caller("slow"), keyed.caller("reviewer")
    try:
        slow.decide()  # 12 a minute are two at once
        slow.decide()
        refusal = slow.refused("RouterService/Decide")
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED")
        assert refusal.metadata["limit"] == "requests_per_minute"
        assert refusal.retry_after_s is not None
        assert 0 < refusal.retry_after_s <= 5
        assert keyed.running.caller.decide().decision_id  # nobody else is slowed down
        with grpc.insecure_channel(reviewer.address) as channel:
            stub = insight_service_pb2_grpc.InsightServiceStub(channel)
            watch = stub.WatchArms(insight_service_pb2.WatchArmsRequest(), metadata=reviewer.metadata)
            next(iter(watch))
            refusal = reviewer.refused("InsightService/ListArms")
            assert (refusal.reason, refusal.metadata["limit"]) == ("RATE_LIMITED", "concurrent_calls")
            watch.cancel()
    finally:
        slow.close()
        reviewer.close()


def test_the_message_never_tells_what_was_wrong_with_a_credential(keyed: Keyed) -> None:
    told = set()
    for key in (altered(keyed.keys["admin"]), "naiad_" + "a" * 13 + "_" + "A" * 43, "zzz", keyed.keys["admin"] + "A"):
        caller = Caller(keyed.running.process.address, key)
        refusal = caller.refused("RouterService/Decide")
        told.add((refusal.code, refusal.reason, refusal.message))
        assert key not in refusal.message
        caller.close()
    assert len(told) == 1


# -- the client --------------------------------------------------------------------------------------------------------


def test_the_clients_keep_keys(keyed: Keyed) -> None:
    address, secret = keyed.running.process.address, keyed.keys["admin"]
    with Client(address, key=secret) as client:
        made = client.create_key("py", role="reviewer", requests_per_minute=600)
        assert made.secret not in repr(made)
        assert (made.key.role, made.key.requests_per_minute, made.key.concurrent_calls) == ("reviewer", 600, None)
        rotated = client.rotate_key(made.key.key_id, grace_s=0)
        assert rotated.secret not in repr(rotated)
        assert client.revoke_key(made.key.key_id, reason="r").revoke_time is not None
        assert made.key.key_id in [key.key_id for key in client.list_keys(include_ended=True, page_size=2)]
        assert secret not in repr(client)

    async def asynchronously() -> None:
        async with AsyncClient(address, key=made.secret) as client:
            with pytest.raises(Unauthenticated) as caught:
                await client.get_model("echo/small")
            assert made.secret not in f"{caught.value!r}{caught.value.__cause__!r}"
        async with AsyncClient(address, key=secret) as client:
            assert (await client.decide("x", task_class="async")).task_class == "async"

    asyncio.run(asynchronously())


def test_the_client_over_tls(tmp_path: Path) -> None:
    files = Certificates.make(tmp_path)
    (tmp_path / "data").mkdir()
    key = make_keys(tmp_path / "data" / "naiad.db", {"admin": Wanted(Role.ADMIN)})["admin"]
    config = BASE + (
        f'[server.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\nclient_ca = "{files.ca}"\n'
    )
    trust = grpc.ssl_channel_credentials(
        files.ca.read_bytes(), files.client_key.read_bytes(), files.client.read_bytes()
    )
    once = RetryPolicy(max_attempts=1)
    with live(tmp_path, config, key=key, credentials=trust) as running:
        address, own = running.process.address, (files.client, files.client_key)
        with Client(address, key=key, ca=files.ca, certificate=own) as client:
            assert client.get_model("echo/small").name == "echo/small"
            assert "TLS" in repr(client)
        for options in ({"ca": files.ca}, {"ca": files.ca, "certificate": (files.stranger, files.stranger_key)}, {}):
            with Client(address, key=key, retry=once, **options) as client, pytest.raises(Unavailable):
                client.get_model("echo/small")

        async def asynchronously() -> None:
            async with AsyncClient(address, key=key, ca=str(files.ca), certificate=own) as client:
                assert (await client.get_model("echo/small")).name == "echo/small"

        asyncio.run(asynchronously())
    with pytest.raises(ValueError, match=r"none\.pem"):
        Client("127.0.0.1:1", ca=tmp_path / "none.pem")
