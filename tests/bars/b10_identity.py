"""Bar B10: who may do what, exactly; a revocation holds at once; tenants are apart; no secret is written.

`python tests/bars/b10_identity.py --seed S --n TRIALS [--json FILE] [--mutant NAME]`

A real server process for each transport: plaintext, TLS, mTLS. On each:

- every RPC is called by every identity (no key, malformed, unknown, a wrong secret, another scheme, two headers,
  expired, revoked, replaced, the four roles, another tenant's), and must end with exactly the code and the reason of a
  table that was written by hand; over the wrong transport none gets through. An RPC without a row fails;
- n times a key is made, opens a watch and is revoked, rotated without grace, or expires: the watch ends within a second
  as UNAUTHENTICATED, and nothing is answered to it from then on;
- what one tenant made is neither seen nor usable by another: decisions, feedback, models, arms, lists, page tokens,
  request ids, cursors, keys and the audit trail;
- n arbitrary messages to each RPC, with prompts in them, by anybody and with odd metadata: none ends by a defect;
- a call ends by a defect, so that there is a traceback. Then the server's log at level debug, the details of every
  status, the database and its write-ahead log are searched for all secrets that were sent or given, and for prompts:
  raw, base64, hexadecimal, URL-quoted, reversed, and any 8 characters of them. 0 hits.

With --mutant the exit code is 0 only if the sabotage was caught.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from naiad.server.credentials import new_id, new_secret
from tests.bars import tenancy
from tests.bars.canaries import fragments, hits
from tests.bars.cells import IDENTITIES, KEYS, PROMPT, REQUESTS, ROLE_OF, TURN, expected
from tests.bars.mutants.identity import DEFECT, SABOTAGES
from tests.bars.process import CONFIG, ServerProcess
from tests.certificates import Certificates
from tests.e2e.live import METHODS, path_of, refusal_of
from tests.fuzz.messages import arbitrary, conversing
from tests.keys import altered, made_keys

TRANSPORTS = ("plaintext", "TLS", "mTLS")
_CALL_S = 20.0
_REACH_S = 1.0  # within which a revocation holds
Headers = tuple[tuple[str, str], ...]


class Api:
    """One channel, over which anybody calls; keeps what every refusal said."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None) -> None:
        self._channel = (
            grpc.insecure_channel(address) if credentials is None else grpc.secure_channel(address, credentials)
        )
        self.said: list[bytes] = []

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def open(self, method: str, headers: Headers, timeout_s: float = _CALL_S, **fields: Any) -> Any:
        """Begin a call with the fields of its request."""
        return self.begin(method, headers, GetMessageClass(METHODS[method].input_type)(**fields), timeout_s)

    def begin(self, method: str, headers: Headers, message: Message, timeout_s: float = _CALL_S) -> Any:
        """Begin a call of any kind; replies of all kinds are iterated over."""
        kind = METHODS[method]
        build: Any = getattr(
            self._channel,
            f"{'stream' if kind.client_streaming else 'unary'}_{'stream' if kind.server_streaming else 'unary'}",
        )
        call = build(
            path_of(method),
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(kind.output_type).FromString,
        )
        request = iter([message]) if kind.client_streaming else message
        if kind.server_streaming:
            return call(request, timeout=timeout_s, metadata=headers)
        return iter([call(request, timeout=timeout_s, metadata=headers)])

    def ended(self, failed: grpc.RpcError) -> tuple[str, str]:
        """Return code and reason of a failed call, and keep all that it said."""
        error: Any = failed
        for key, value in error.trailing_metadata() or ():
            self.said.append(key.encode() + b"=" + (value if isinstance(value, bytes) else value.encode()))
        self.said.append((error.details() or "").encode())
        refusal = refusal_of(failed)
        return refusal.code, refusal.reason

    def end_of(self, method: str, headers: Headers, **fields: Any) -> tuple[str, str]:
        """Return how a call ends; of a stream, how it begins."""
        try:
            replies = self.open(method, headers, **fields)
            next(replies)
            if METHODS[method].server_streaming:
                replies.cancel()
        except grpc.RpcError as failed:
            return self.ended(failed)
        return "OK", ""

    def call(self, method: str, headers: Headers, **fields: Any) -> Any:
        """Return the reply of a call that must succeed."""
        return next(self.open(method, headers, **fields))


def bearer(credential: str) -> Headers:
    """Return the metadata of a credential."""
    return (("authorization", f"Bearer {credential}"),)


class Bar:
    """The bar's run over the transports, and what went wrong."""

    def __init__(self, seed: int, n: int, mutant: str = "", *, reach_s: float = _REACH_S) -> None:
        self.rng = random.Random(seed)
        self.n, self.mutant, self.reach_s = n, mutant, reach_s
        self.failures: list[str] = []
        self.cells = self.revocations = self.fuzzed = 0
        self.slowest_s = 0.0
        self.searched = 0  # bytes

    async def run(self, transports: tuple[str, ...] = TRANSPORTS) -> None:
        """Go through the transports, or until the mutant was caught."""
        missing = sorted(METHODS.keys() ^ ROLE_OF.keys())
        if missing:
            self.failures.append(f"no row, or one too many, in the table of cells: {missing}")
            return
        for transport in transports:
            folder = Path(tempfile.mkdtemp(prefix="naiad-b10-"))
            try:
                await self._transport(transport, folder)
            finally:
                shutil.rmtree(folder)
            if self.mutant and self.failures:
                return

    async def _transport(self, transport: str, folder: Path) -> None:
        files = Certificates.make(folder / "pem")
        config = CONFIG.replace('log_level = "warning"', 'log_level = "debug"')
        if transport != "plaintext":
            ca = f'client_ca = "{files.ca}"\n' if transport == "mTLS" else ""
            config += f'\n[server.tls]\ncertificate = "{files.certificate}"\nkey = "{files.key}"\n{ca}'
        (folder / "naiad.toml").write_text(config, encoding="utf-8")
        keys = await made_keys(folder / "naiad.db", KEYS)
        server = ServerProcess(folder, "identity")
        os.environ["B10_SABOTAGE"] = self.mutant
        try:
            await server.start()
        finally:
            del os.environ["B10_SABOTAGE"]
        right = channel_credentials(transport, files)
        api = Api(server.address, right)
        said: list[bytes] = []
        canaries = {PROMPT}
        try:
            canaries |= {credential.split("_", 2)[2] for credential in keys.values()}
            await asyncio.to_thread(self._all, transport, api, keys, canaries)
            for name, credentials in wrong_transports(transport, files).items():
                await asyncio.to_thread(self._kept_out, f"{transport}, {name}", server.address, credentials, keys)
            self._search(transport, folder, api.said, canaries)  # while the write-ahead log is there
        finally:
            api.close()
            code = await server.terminate()
        if code != 0:
            self.failures.append(f"{transport}: the server ended with exit code {code}")
        self._search(transport, folder, said, canaries)

    def _all(self, transport: str, api: Api, keys: dict[str, str], canaries: set[str]) -> None:
        headers = self._headers(keys, canaries)
        cells = [(method, identity) for method in sorted(METHODS) for identity in IDENTITIES]
        self.rng.shuffle(cells)
        for method, identity in cells:
            self.cells += 1
            ended = api.end_of(method, headers[identity], **REQUESTS.get(method, {}))
            if ended != expected(method, identity):
                self.failures.append(
                    f"{transport}: {method} by {identity} ended as {ended}, not as {expected(method, identity)}"
                )
        for trial in range(self.n):
            self._end_a_key(transport, api, bearer(keys["admin"]), canaries, trial)
        told = tenancy.leaks(api, bearer(keys["admin"]), bearer(keys["other admin"]))
        self.failures += [f"{transport}: {leak}" for leak in told]
        self._fuzz(transport, api, headers, canaries)
        ended = api.end_of("RouterService/Decide", headers["client"], task_class=DEFECT, messages=[TURN])
        if ended != ("INTERNAL", "INTERNAL"):
            self.failures.append(f"{transport}: the defect ended as {ended}")

    def _fuzz(self, transport: str, api: Api, headers: dict[str, Headers], canaries: set[str]) -> None:
        """Send arbitrary messages with prompts in them, by anybody and with odd metadata: none ends by a defect."""
        odd = [
            (("authorization", value),)
            for value in (
                "",
                "Bearer",
                "Bearer ",
                "bearer  x",
                "Bearer naiad__",
                "Bearer " + "n" * 3_000,
                "' OR 1=1; --",
            )
        ]
        for method in sorted(METHODS.keys() - {"AdminService/VerifyLog"}):  # which starts a process each time
            for _ in range(self.n):
                self.fuzzed += 1
                message = arbitrary(METHODS[method].input_type, self.rng)
                conversing(message, self.rng)
                if "messages" in message.DESCRIPTOR.fields_by_name and self.rng.random() < 0.5:
                    del message.messages[:]  # type: ignore[attr-defined]
                    message.messages.add(**TURN)  # type: ignore[attr-defined]
                who = self.rng.choice([*headers.values(), headers["admin"], headers["admin"], *odd])
                try:
                    replies = api.begin(method, who, message)
                    reply = next(replies)
                    if METHODS[method].server_streaming:
                        replies.cancel()
                    if getattr(reply, "secret", ""):
                        canaries.add(reply.secret.split("_", 2)[2])
                except StopIteration:
                    continue
                except grpc.RpcError as failed:
                    ended = api.ended(failed)
                    if ended[0] in ("INTERNAL", "UNKNOWN", "CANCELLED", "DATA_LOSS", "UNAVAILABLE"):
                        self.failures.append(f"{transport}: {method} ended as {ended} for an arbitrary message")

    def _headers(self, keys: dict[str, str], canaries: set[str]) -> dict[str, Headers]:
        unknown, wrong = new_secret(new_id()).reveal(), altered(keys["admin"])
        canaries |= {unknown.split("_", 2)[2], wrong.split("_", 2)[2]}
        return {name: bearer(credential) for name, credential in keys.items()} | {
            "none": (),
            "malformed": bearer(unknown.replace("naiad_", "raiad_")),
            "unknown": bearer(unknown),
            "wrong secret": bearer(wrong),
            "basic": (("authorization", f"Basic {keys['admin']}"),),
            "twice": bearer(keys["admin"]) + bearer(keys["admin"]),
        }

    def _end_a_key(self, transport: str, api: Api, admin: Headers, canaries: set[str], trial: int) -> None:
        """Make a key, let it watch, end it in one of three ways, and see what still goes."""
        self.revocations += 1
        way = ("revoked", "rotated", "expired")[trial % 3]
        fields: dict[str, Any] = {"name": f"trial {trial}", "role": 2}
        if way == "expired":
            at = time.time() + self.rng.uniform(0.3, 0.6)
            fields["expire_time"] = {"seconds": int(at), "nanos": int(at % 1 * 1e9)}
        made = api.call("AdminService/CreateKey", admin, **fields)
        canaries.add(made.secret.split("_", 2)[2])
        watch = api.open("InsightService/WatchArms", bearer(made.secret), timeout_s=60.0)
        next(watch)
        if way == "revoked":
            api.call("AdminService/RevokeKey", admin, key_id=made.key.key_id, reason="b10")
        elif way == "rotated":
            rotated = api.call("AdminService/RotateKey", admin, key_id=made.key.key_id, grace={})
            canaries.add(rotated.secret.split("_", 2)[2])
        else:
            time.sleep(max(0.0, at - time.time()))
        began = time.monotonic()
        after = api.end_of("RouterService/Decide", bearer(made.secret), task_class="b10")
        ended = ("", "it did not end")
        patience = threading.Timer(self.reach_s + 1.0, watch.cancel)
        patience.start()
        try:
            for _ in watch:
                pass
        except grpc.RpcError as failed:
            ended = api.ended(failed)
        finally:
            patience.cancel()
        took_s = time.monotonic() - began
        self.slowest_s = max(self.slowest_s, took_s)
        for what, found in (("a call", after), ("a watch", ended)):
            if found[0] != "UNAUTHENTICATED":
                self.failures.append(f"{transport}: {what} with a key that was {way} ended as {found}")
        if took_s > self.reach_s:
            self.failures.append(f"{transport}: a watch with a key that was {way} went on for {took_s:.2f} s")

    def _kept_out(
        self, what: str, address: str, credentials: grpc.ChannelCredentials | None, keys: dict[str, str]
    ) -> None:
        api = Api(address, credentials)
        try:
            for method in sorted(METHODS):
                self.cells += 1
                ended = api.end_of(method, bearer(keys["admin"]), **REQUESTS.get(method, {}))
                if ended != ("UNAVAILABLE", ""):
                    self.failures.append(f"{what}: {method} ended as {ended}, not as UNAVAILABLE")
        finally:
            api.close()

    def _search(self, transport: str, folder: Path, said: list[bytes], canaries: set[str]) -> None:
        wanted = fragments(canaries)
        sinks = {"status details": b"\n".join(said)}
        sinks |= {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        if b"Traceback" not in sinks["server.log"] or b"call_refused" not in sinks["server.log"]:
            self.failures.append(f"{transport}: the log lacks what the search is about")
        for name, data in sinks.items():
            self.searched += len(data)
            self.failures += [f"{transport}: a secret in {name}: {hit}" for hit in hits(data, wanted)]


def channel_credentials(transport: str, files: Certificates) -> grpc.ChannelCredentials | None:
    """Return the client's side of a transport."""
    if transport == "plaintext":
        return None
    if transport == "TLS":
        return grpc.ssl_channel_credentials(files.ca.read_bytes())
    return grpc.ssl_channel_credentials(files.ca.read_bytes(), files.client_key.read_bytes(), files.client.read_bytes())


def wrong_transports(transport: str, files: Certificates) -> dict[str, grpc.ChannelCredentials | None]:
    """Return what must not get through to a server of a transport."""
    ca = files.ca.read_bytes()
    if transport == "plaintext":
        return {"by TLS": grpc.ssl_channel_credentials(ca)}
    found: dict[str, grpc.ChannelCredentials | None] = {"in plaintext": None}
    if transport == "TLS":
        found["by TLS with the system's authorities"] = grpc.ssl_channel_credentials()
    else:
        found["without a certificate"] = grpc.ssl_channel_credentials(ca)
        found["with a stranger's certificate"] = grpc.ssl_channel_credentials(
            ca, files.stranger_key.read_bytes(), files.stranger.read_bytes()
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run the bar and print its figures as JSON; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--n", type=int, default=60, help="keys ended on each transport, and arbitrary messages to each RPC"
    )
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--mutant", choices=sorted(SABOTAGES), default="", help="a sabotage that the bar must catch")
    options = parser.parse_args(arguments)
    bar = Bar(options.seed, options.n, options.mutant)
    began = time.monotonic()
    asyncio.run(bar.run())
    caught = bool(bar.failures)
    report = {
        "bar": "B10", "seed": options.seed, "mutant": options.mutant,
        "trials": bar.cells + bar.revocations + bar.fuzzed, "cells": bar.cells, "keys_ended": bar.revocations,
        "arbitrary_messages": bar.fuzzed, "slowest_end_s": round(bar.slowest_s, 3), "bytes_searched": bar.searched,
        "failures": len(bar.failures), "examples": bar.failures[:20], "seconds": round(time.monotonic() - began, 1),
        "python": platform.python_version(), "grpc": grpc.__version__,
        "pass": caught if options.mutant else not caught,
    }  # fmt: skip
    print(json.dumps(report, indent=2))
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0 if report["pass"] else 1


if __name__ == "__main__":
    sys.exit(main())
