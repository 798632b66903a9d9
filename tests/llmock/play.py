"""Play cells: a real Naiad server over gRPC, llmock behind it, the calls to a provider side by side."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from naiad.v1 import decision_pb2, error_pb2
from tests.e2e.live import METHODS, build, live, path_of, refusal_of
from tests.llmock.cells import STREAM, Cell, cells_of
from tests.llmock.mock import Finding, Mock, Seen, mock

TOGETHER = 16  # calls at a time
TIMEOUT_S = 30.0
WINDOW = 3_000  # tokens, of llmock's models
ENV = "TEST_LLMOCK_KEY"


@dataclass(frozen=True)
class Vendor:
    """How a provider is reached at llmock."""

    path: str
    stem: str  # names of its models begin so
    more: Mapping[str, str] = field(default_factory=dict)


VENDORS = {
    "openai": Vendor("/v1", "gpt-4o"),
    "anthropic": Vendor("/anthropic", "claude"),
    "gemini": Vendor("/gemini", "gemini", {"api_version": "v1beta"}),  # llmock knows no other
    "mistral": Vendor("/mistral/v1", "mistral"),
    "cohere": Vendor("/cohere", "command"),
}


@dataclass
class Result:
    """What a caller got."""

    reason: str = ""  # of the error, "" for an answer
    code: str = ""
    retry_after_s: float | None = None
    attempts: tuple[Any, ...] = ()
    answer: Any = None
    finish: int = 0
    usage: Any = None
    streamed: str = ""  # the pieces since the last restart
    seen: list[Seen] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer's text."""
        return "".join(part.text for part in self.answer.parts)

    @property
    def calls(self) -> list[Any]:
        """The answer's tool calls."""
        return [part.tool_call for part in self.answer.parts if part.HasField("tool_call")]

    @property
    def failed(self) -> tuple[str, ...]:
        """Kinds of the attempts that failed."""
        kinds = decision_pb2.AttemptErrorKind
        return tuple(
            kinds.Name(attempt.error.kind).removeprefix("ATTEMPT_ERROR_KIND_")
            for attempt in self.attempts
            if attempt.HasField("error")
        )


Results: TypeAlias = dict[str, Result]
"""By `Cell.id`."""


def upstream(vendor: Vendor, cell: Cell, place: int) -> str:
    """Return the provider's name of one of a cell's models."""
    return f"{vendor.stem}-{cell.id}.{0 if cell.twin else place}"


def config(url: str, provider: str, cells: list[Cell]) -> str:
    """Return the configuration of a server with the models of all cells."""
    vendor = VENDORS[provider]
    endpoints: dict[str, dict[str, Any]] = {}
    models: list[dict[str, Any]] = []
    for cell in cells:
        for place in range(cell.models):
            endpoint = f"{cell.id}-{place}" if cell.apart else "shared"
            endpoints[endpoint] = {
                "kind": provider, "base_url": url + vendor.path, "private": True, "api_key_env": ENV, **vendor.more,
                **cell.endpoint,
            }  # fmt: skip
            models.append({
                "name": f"{provider}/{cell.id}-{place}", "upstream_model": upstream(vendor, cell, place),
                "endpoint": endpoint, "input_usd_per_million": 1.0, "output_usd_per_million": 2.0,
                "context_window": 100_000, "capabilities": ["streaming", "tools", "json_schema", "system_prompt"],
            })  # fmt: skip
    lines = ["[storage]", 'path = ":memory:"']
    for name, settings in endpoints.items():
        lines += [f"[endpoints.{name}]", *_toml(settings)]
    for model in models:
        lines += ["[[models]]", *_toml(model)]
    return "\n".join(lines) + "\n"


def _toml(values: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in values.items()]


class Stage:
    """Plays the cells of a provider when they are first asked for: one llmock for all, a Naiad for each provider."""

    def __init__(self, there: Mock, folder: Path) -> None:
        self._there, self._folder = there, folder
        self._played: dict[str, Results] = {}

    def results(self, provider: str) -> Results:
        """Return what came of each cell of a provider."""
        if provider not in self._played:
            self._played[provider] = play(self._there, provider, cells_of(provider), self._folder / provider)
        return self._played[provider]


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Run llmock for the length of a block; skips the test where it is absent."""
    with mock(folder, "--context-window", str(WINDOW)) as there:
        yield Stage(there, folder)


def play(there: Mock, provider: str, cells: list[Cell], folder: Path) -> Results:
    """Play cells and return what came of each."""
    vendor = VENDORS[provider]
    there.reset()
    there.script({**told, "match": {"model": f"{vendor.stem}-{cell.id}.*"}} for cell in cells for told in cell.script)
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(ENV, "a-key-that-llmock-does-not-look-at")
        with live(folder, config(there.url, provider, cells)) as served:
            results = asyncio.run(_all(served.process.address, provider, cells))
    whose = {upstream(vendor, cell, place): results[cell.id] for cell in cells for place in range(cell.models)}
    numbers = {}
    for request in there.seen():
        numbers[request.seq] = whose[request.model]
        whose[request.model].seen.append(request)
    for finding in there.verdict():
        numbers[finding.requests[0]].findings.append(finding)
    return results


async def _all(address: str, provider: str, cells: list[Cell]) -> Results:
    turn = asyncio.Semaphore(TOGETHER)
    async with grpc.aio.insecure_channel(address) as channel:

        async def one(cell: Cell) -> Result:
            async with turn:
                return await _ask(channel, provider, cell)

        found = await asyncio.gather(*(one(cell) for cell in cells))
    return {cell.id: result for cell, result in zip(cells, found, strict=True)}


def prompt(cell: Cell) -> str:
    """Return what a cell asks, which no other does."""
    return f"what of {cell.id}, in more than a word or two?"


async def _ask(channel: grpc.aio.Channel, provider: str, cell: Cell) -> Result:
    method = f"RouterService/{cell.rpc}"
    fields = {
        "task_class": "llmock",
        "messages": [{"role": 2, "parts": [{"text": prompt(cell)}]}],
        "allowed_models": [f"{provider}/{cell.id}-{place}" for place in range(cell.models)],
        **cell.asks,
    }
    make: Any = channel.unary_stream if cell.rpc == STREAM else channel.unary_unary
    call = make(
        path_of(method),
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(METHODS[method].output_type).FromString,
    )(build(method, fields), timeout=TIMEOUT_S)
    result = Result()
    try:
        reply = await _streamed(call, result) if cell.rpc == STREAM else await call
    except grpc.aio.AioRpcError as error:
        refusal = refusal_of(error)
        result.reason, result.code, result.retry_after_s = refusal.reason, refusal.code, refusal.retry_after_s
        for detail in refusal.others:
            failed = error_pb2.AttemptsFailedDetail()
            if detail.Unpack(failed):
                result.attempts = tuple(failed.attempts)
        return result
    result.attempts, result.answer = tuple(reply.attempts), reply.answer
    result.finish, result.usage = reply.finish_reason, reply.usage
    return result


async def _streamed(call: Any, result: Result) -> Any:
    """Read a stream as a caller does, who discards what came before a restart."""
    async for event in call:
        kind = event.WhichOneof("event")
        if kind == "restarted":
            result.streamed = ""
        elif kind == "text_delta":
            result.streamed += event.text_delta.text
        elif kind == "completed":
            return event.completed.response
    raise AssertionError("the stream ended without an answer and without an error")
