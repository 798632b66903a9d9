"""`naiad audit list` and `naiad audit verify`: what a running server's audit trail says, and whether it is whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
from rich.console import Console

from naiad.client.status import error_of
from naiad.server import process
from naiad.server.options import KEY_VARIABLE
from naiad.server.report.access import Access, connected
from naiad.server.report.screen import clean, complain, console, table, unreachable
from naiad.v1 import admin_pb2, admin_service_pb2, admin_service_pb2_grpc

_CALL_S = 60.0
_LARGEST_PAGE = 1_000
Metadata = tuple[tuple[str, str], ...]


def print_audit(
    server: str | Access, count: int, action: str = "", key: str = "", screen: Console | None = None
) -> int:
    """Print the latest entries, the latest first; return the exit code."""

    def step(stub: Any, metadata: Metadata) -> int:
        entries: list[admin_pb2.AuditEvent] = []
        token = ""
        while len(entries) < count:
            reply = stub.ListAuditEvents(
                admin_service_pb2.ListAuditEventsRequest(
                    page_size=min(_LARGEST_PAGE, count - len(entries)), page_token=token, action=action, key_id=key
                ),
                timeout=_CALL_S,
                metadata=metadata,
            )
            entries.extend(reply.events)
            token = reply.next_page_token
            if not token:
                break
        _print(entries, screen or console())
        return 0

    return _asking(server, step)


def _print(entries: list[admin_pb2.AuditEvent], out: Console) -> None:
    if not entries:
        out.print("No entries.")
        return
    made = table("", "when (UTC)", "key", "action", "what", "outcome")
    for entry in entries:
        facts = " ".join(f"{name}={value}" for name, value in sorted(entry.facts.items()) if value)
        outcome = "done" if entry.succeeded else f"refused {entry.reason}".rstrip()
        made.add_row(
            str(entry.sequence),
            entry.create_time.ToDatetime().isoformat(" ", "seconds"),
            clean(entry.key_id),
            clean(entry.action.removeprefix("naiad.v1.")),
            clean(f"{entry.resource} {facts}".strip()),
            clean(outcome),
        )
    out.print(made)


def verify_audit(server: str | Access, digest: bytes = b"", screen: Console | None = None) -> int:
    """Check the trail; return 0 if it is whole, else 1. digest: of an entry that must still be there, b"" for none."""

    def step(stub: Any, metadata: Metadata) -> int:
        request = admin_service_pb2.VerifyAuditRequest(known_digest=digest)
        reply = stub.VerifyAudit(request, timeout=_CALL_S, metadata=metadata)
        return _judge(reply, screen or console())

    return _asking(server, step)


def _judge(reply: admin_service_pb2.VerifyAuditResponse, out: Console) -> int:
    if reply.intact:
        out.print(f"Whole: {_entries(reply)} checked.", style="green")
        out.print(f"Keep this digest elsewhere, and check against it later: {reply.last_digest.hex()}", soft_wrap=True)
        return 0
    if reply.first_broken_sequence:
        out.print(
            f"NOT whole: entry {reply.first_broken_sequence} was changed, moved or left out, or the event of the log "
            "that it tells of. Keep the file, and compare it with a backup.",
            style="bold red",
        )
    else:
        out.print(
            f"NOT whole: none of {_entries(reply)} has the digest that was given; the end of the trail was cut off, "
            "or the digest is another server's.",
            style="bold red",
        )
    return 1


def _entries(reply: admin_service_pb2.VerifyAuditResponse) -> str:
    return f"{reply.events_checked:,} {'entry' if reply.events_checked == 1 else 'entries'}"


def _asking(server: str | Access, step: Callable[[Any, Metadata], int]) -> int:
    access = server if isinstance(server, Access) else Access(server)
    try:
        channel, metadata = connected(access)
    except ValueError as wrong:
        complain(f"--server {access.server!r}: {wrong}")
        return 1
    with channel:
        try:
            stub = admin_service_pb2_grpc.AdminServiceStub(channel)
            return process.apart(lambda: step(stub, metadata), channel.close)
        except grpc.RpcError as failure:
            error = error_of(failure)
            down = error.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
            unknown = error.code is grpc.StatusCode.UNAUTHENTICATED
            hint = f": give its file with --key-file, or the key itself in {KEY_VARIABLE}" if unknown else ""
            complain(unreachable(access.server, error) if down else error.message + hint)
            return 1
