"""The provider that gateways are measured against: nginx with fixed answers, or a bare asyncio server without nginx.

`/plain/v1/chat/completions` answers every POST with one chat completion, `/sse/v1/chat/completions` with the same as a
stream, all of it at once: what remains is what the gateway takes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.children import Process, free_port, wait_for_port

FIRST, LAST = "Paris is", "Seine."  # the first text of every answer, and its last
_PIECES = (FIRST, " the", " capital", " of", " France", " and", " lies", " on", " the", " river ", LAST)
_USAGE = {"prompt_tokens": 12, "completion_tokens": len(_PIECES), "total_tokens": 12 + len(_PIECES)}
PATHS = {"whole": "/plain/v1", "stream": "/sse/v1"}
MISSING = "nginx is not installed (Debian: apt-get install nginx-light); a bare asyncio server stands in"


def whole() -> bytes:
    """Return the answer in one piece."""
    message = {"role": "assistant", "content": "".join(_PIECES)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _dumped(
        {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": _USAGE}
    )


def stream() -> bytes:
    """Return the answer as server-sent events, usage and end included."""
    chunks = [_chunk({"role": "assistant", "content": ""})]
    chunks += [_chunk({"content": piece}) for piece in _PIECES]
    chunks += [_chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": _USAGE}]
    return b"".join(b"data: %b\n\n" % _dumped(chunk) for chunk in chunks) + b"data: [DONE]\n\n"


def _chunk(delta: dict[str, str], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _dumped(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def configuration(folder: Path, port: int) -> str:
    """Return nginx.conf: one worker, no log, connections kept for good."""
    paths = "".join(
        f"location = {PATHS[name]}/chat/completions {{ error_page 405 =200 /{name}; return 405; }}\n"
        f"location = /{name} {{ internal; default_type {kind}; }}\n"
        for name, kind in (("whole", "application/json"), ("stream", "text/event-stream"))
    )
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""  # else its workers could not read the folder
    return (
        f"{user}worker_processes 1;\ndaemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\n"
        "events { worker_connections 4096; }\n"
        f"http {{\naccess_log off;\nkeepalive_requests 100000000;\nkeepalive_timeout 1h;\nopen_file_cache max=10;\n"
        f"tcp_nodelay on;\n{temporary}"
        f"server {{\nlisten 127.0.0.1:{port} backlog=4096;\nroot {folder}/answers;\n{paths}}}\n}}\n"
    )


def found() -> str | None:
    """Return where nginx is, None where it is not."""
    return shutil.which("nginx") or shutil.which("/usr/sbin/nginx")


def version() -> str:
    """Return which provider `started` takes, e.g. "nginx/1.22.1"."""
    nginx = found()
    if nginx is None:
        return "bare asyncio server"
    done = subprocess.run([nginx, "-v"], capture_output=True, text=True, timeout=20, check=True)
    return done.stderr.strip().rpartition(": ")[2]


def started(folder: Path, cores: set[int]) -> Process:
    """Start the provider with its files in a folder; raises RuntimeError if it does not come up."""
    (folder / "answers").mkdir(parents=True)
    (folder / "answers" / "whole").write_bytes(whole())
    (folder / "answers" / "stream").write_bytes(stream())
    port, log, nginx = free_port(), folder / "provider.log", found()
    if nginx is None:
        command = [sys.executable, "-m", "benchmarks.answering", str(folder / "answers"), str(port)]
    else:
        (folder / "nginx.conf").write_text(configuration(folder, port), encoding="utf-8")
        command = [nginx, "-e", str(folder / "nginx.log"), "-c", str(folder / "nginx.conf")]
    return wait_for_port(Process(command, log=log, cores=cores), f"127.0.0.1:{port}")
