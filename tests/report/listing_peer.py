"""A provider on loopback that answers GET /v1/models, and says nothing else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Provider:
    """What it lists, the status that it answers with, and what it was asked."""

    url: str = ""
    models: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    asked: list[tuple[str, str]] = field(default_factory=list)  # (path, authorization)


@contextmanager
def provider() -> Iterator[Provider]:
    """Run it on a free port."""
    state = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("authorization", "")))
            body = json.dumps(
                {"object": "list", "data": state.models} if state.status == 200 else {"error": {}}
            ).encode()
            self.send_response(state.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield state
        finally:
            server.shutdown()
            thread.join(20)
