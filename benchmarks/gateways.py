"""The gateways that are measured side by side, each behind one interface: `run(kind, in_flight, seconds)`.

kind is "whole" for an answer in one piece and "stream" for one piece by piece. The peers live in .venv-gateway, which
`make gateway-peers` makes; one that is not there raises Absent, with what to do. Each is a process of its own, listens
on the loopback alone and reports to nobody.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from benchmarks import http_load, provider, rpc_load
from benchmarks.children import ROOT, Process, free_port, wait_for_port
from benchmarks.http_load import Found
from benchmarks.wire import Connection
from naiad.v1 import content_pb2, router_service_pb2

HOME = ROOT / ".venv-gateway"
QUESTION = "What is the capital of France?"
KINDS = ("whole", "stream")
_HINT = "run make gateway-peers"
_MARKS = {"first": provider.FIRST.encode(), "last": provider.LAST.encode()}
_LITELLM_S = 180.0  # to start: it imports a great deal


class Absent(Exception):
    """A peer is not installed; the message says what is missing and how it comes."""


class Gateway(Protocol):
    """Something that answers by way of the provider, or the provider itself."""

    @property
    def processes(self) -> Mapping[str, Process]:
        """Return the process that answers, by kind."""
        ...

    def run(self, kind: str, in_flight: int, seconds: float) -> Found:
        """Load it in closed loop."""
        ...


class Http:
    """Speaks OpenAI's chat completions. paths, headers: by kind."""

    def __init__(self, process: Process, paths: Mapping[str, str], headers: Mapping[str, Mapping[str, str]]) -> None:
        self.processes: Mapping[str, Process] = dict.fromkeys(paths, process)
        self._address = address = process.address
        self._requests = {
            kind: http_load.post(address, path, headers.get(kind, {}), _body(kind)) for kind, path in paths.items()
        }

    def run(self, kind: str, in_flight: int, seconds: float) -> Found:
        """Load it over as many connections."""
        return http_load.closed_loop(self._address, self._requests[kind], in_flight, seconds, **_MARKS)


class Rpc:
    """Naiad, or its echo: one connection to the server of each kind."""

    def __init__(self, processes: Mapping[str, Process]) -> None:
        self.processes: Mapping[str, Process] = processes
        self.connections = {kind: Connection(process.address) for kind, process in processes.items()}

    def run(self, kind: str, in_flight: int, seconds: float) -> Found:
        """Load it over the one connection."""
        method = rpc_load.STREAM if kind == "stream" else rpc_load.COMPLETE
        return rpc_load.closed_loop(self.connections[kind], method, asked(kind), in_flight, seconds, **_MARKS)

    def close(self) -> dict[str, dict[str, int]]:
        """Close the connections; return how many replies had which status, by kind."""
        counts = {}
        for kind, connection in self.connections.items():
            counts[kind] = {f"{method} {status}": n for (method, status), n in connection.statuses.items()}
            connection.close()
        return counts


class Embedded:
    """TensorZero in a process that calls it and measures."""

    def __init__(self, process: Process) -> None:
        self.processes: Mapping[str, Process] = dict.fromkeys(KINDS, process)
        self._process = process
        self._read()

    def run(self, kind: str, in_flight: int, seconds: float) -> Found:
        """Have it load itself."""
        assert self._process.process.stdin is not None
        self._process.process.stdin.write(f"{kind} {in_flight} {seconds}\n")
        self._process.process.stdin.flush()
        return self._read()

    def _read(self) -> Found:
        assert self._process.process.stdout is not None
        for line in self._process.process.stdout:
            if line.startswith("FOUND "):
                return Found(**json.loads(line[6:]))
        raise RuntimeError(f"tensorzero ended: {self._process.tail()}")


def direct(process: Process) -> Http:
    """Return the provider itself."""
    return Http(process, {kind: f"{path}/chat/completions" for kind, path in provider.PATHS.items()}, {})


def litellm(folder: Path, cores: set[int], upstream: str) -> tuple[Process, Http]:
    """Start LiteLLM's proxy; raises Absent, or RuntimeError where it does not come up."""
    program = HOME / "bin" / "litellm"
    if not program.exists():
        raise Absent(f"litellm is absent: {_HINT}")
    models = "".join(
        f"  - model_name: {kind}\n    litellm_params:\n      model: openai/m\n"
        f"      api_base: http://{upstream}{path}\n      api_key: none\n"
        for kind, path in provider.PATHS.items()
    )
    (folder / "litellm.yaml").write_text(
        f"model_list:\n{models}litellm_settings:\n  telemetry: false\n  num_retries: 0\n", encoding="utf-8"
    )
    port = free_port()
    command = [
        str(program), "--config", str(folder / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port),
        "--num_workers", "1", "--telemetry", "False",
    ]  # fmt: skip
    env = {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION",
        "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # on the loopback; no key is quicker than one
    }  # fmt: skip
    process = Process(command, log=folder / "litellm.log", cores=cores, env=_alone(env), folder=folder)
    wait_for_port(process, f"127.0.0.1:{port}", _LITELLM_S)
    return process, Http(process, dict.fromkeys(KINDS, "/v1/chat/completions"), {})


def portkey(folder: Path, cores: set[int], upstream: str) -> tuple[Process, Http]:
    """Start Portkey's gateway; raises Absent, or RuntimeError where it does not come up."""
    script = HOME / "node" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"
    node = shutil.which("node")
    if node is None or not script.exists():
        missing = "node" if node is None else "@portkey-ai/gateway"
        raise Absent(f"portkey is absent ({missing} is missing): {_HINT}")
    port = free_port()
    guard = ROOT / "benchmarks" / "loopback.cjs"
    command = [node, "--require", str(guard), str(script), f"--port={port}", "--headless"]
    env = _alone({"NODE_ENV": "production", "PORT": str(port)})
    process = Process(command, log=folder / "portkey.log", cores=cores, env=env, folder=script.parent)
    wait_for_port(process, f"127.0.0.1:{port}", 60.0)
    headers = {
        kind: {
            "x-portkey-provider": "openai", "x-portkey-custom-host": f"http://{upstream}{path}",
            "authorization": "Bearer none",
        }
        for kind, path in provider.PATHS.items()
    }  # fmt: skip
    return process, Http(process, dict.fromkeys(KINDS, "/v1/chat/completions"), headers)


def tensorzero(folder: Path, cores: set[int], upstream: str) -> tuple[Process, Embedded]:
    """Start TensorZero in a process; raises Absent, or RuntimeError where it does not come up."""
    python = HOME / "bin" / "python"
    if not list(HOME.glob("lib/python3*/site-packages/tensorzero")):
        raise Absent(f"tensorzero is absent: {_HINT}")
    models = "".join(
        f'[models.{kind}]\nrouting = ["it"]\n[models.{kind}.providers.it]\ntype = "openai"\nmodel_name = "m"\n'
        f'api_base = "http://{upstream}{path}/"\napi_key_location = "none"\n'
        for kind, path in provider.PATHS.items()
    )
    config = folder / "tensorzero.toml"
    config.write_text(
        "[gateway]\ndisable_pseudonymous_usage_analytics = true\nobservability.enabled = false\n" + models,
        encoding="utf-8",
    )
    script = ROOT / "benchmarks" / "tensorzero_load.py"
    process = Process(
        [str(python), str(script), str(config), provider.FIRST, provider.LAST],
        log=folder / "tensorzero.log", cores=cores, folder=folder, piped=subprocess.PIPE,
        env=_alone({"TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS": "1"}),
    )  # fmt: skip
    try:
        return process, Embedded(process)
    except BaseException:
        process.stop(5.0)
        raise


Starter = Callable[[Path, set[int], str], tuple[Process, Gateway]]
PEERS: Mapping[str, Starter] = {"litellm": litellm, "portkey": portkey, "tensorzero": tensorzero}


def versions() -> dict[str, str]:
    """Return what the peers' environment holds; "absent" for what is not there."""
    found = {}
    for name in ("litellm", "tensorzero"):
        facts = sorted(HOME.glob(f"lib/python3*/site-packages/{name}-*.dist-info"))
        found[name] = facts[0].name.removeprefix(f"{name}-").removesuffix(".dist-info") if facts else "absent"
    package = HOME / "node" / "node_modules" / "@portkey-ai" / "gateway" / "package.json"
    found["portkey"] = json.loads(package.read_bytes())["version"] if package.exists() else "absent"
    node = shutil.which("node")
    if node is not None:
        found["node"] = subprocess.run(
            [node, "--version"], capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()
    return found | {"provider": provider.version(), "python": sys.version.split()[0]}


def _body(kind: str) -> bytes:
    question: dict[str, Any] = {"model": kind, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 64}
    return json.dumps(question | ({"stream": True} if kind == "stream" else {})).encode()


def asked(kind: str) -> bytes:
    """Return the question as the request of Complete or of StreamComplete."""
    request = router_service_pb2.StreamCompleteRequest() if kind == "stream" else router_service_pb2.CompleteRequest()
    request.task_class = "class.0"
    request.messages.add(role=content_pb2.ROLE_USER).parts.add(text=QUESTION)
    request.max_output_tokens = 64
    return request.SerializeToString()


def _alone(env: Mapping[str, str]) -> dict[str, str]:
    """Return variables that also keep a client from a proxy."""
    return {**env, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
