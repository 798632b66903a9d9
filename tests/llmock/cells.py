"""The faults of llmock, and what a caller of Naiad is to get when its model meets one.

A cell is one call. It has models and endpoints of its own, so that neither breakers nor budgets of retries carry what
one fault did into the next, and all can be played at once.

llmock takes requests of one body at one path for tries of one call. So it sees that another model took over only where
that is the same model at another endpoint (`twin`); where it is not, it takes the first call for one that was given
up. What it says in error of Naiad is in `says` or `may_say`, with the reason beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

WHOLE, STREAM = "Complete", "StreamComplete"
ANSWERED, REJECTED, FAILED, CUT = "", "ALL_ATTEMPTS_REJECTED", "ALL_ATTEMPTS_FAILED", "STREAM_CUT"
FAIL_FAST = {"failure_mode": 2}
SCHEMA = (
    '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], '
    '"additionalProperties": false}'
)
TOOL = {"name": "weather", "description": "Says the weather.", "parameters_json_schema": SCHEMA}
ECHO = "Hello! You said: {}"  # what llmock answers to a prompt


@dataclass(frozen=True)
class Cell:
    """One call, the fault that it meets, and what is to come of it."""

    name: str
    script: tuple[Mapping[str, Any], ...] = ()  # llmock's behaviours
    rpc: str = WHOLE
    models: int = 1  # that may answer
    twin: bool = False  # they are one model at two endpoints
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    asks: Mapping[str, Any] = field(default_factory=dict)  # further fields of the request
    ends: str = ANSWERED  # or the reason of the error
    failed: tuple[str, ...] = ()  # kinds of the attempts that failed, in their order
    says: frozenset[str] = frozenset()
    may_say: frozenset[str] = frozenset()
    text: str = ECHO  # of the answer
    tool: str | None = None  # the tool that is called
    finish: int = 1

    @property
    def id(self) -> str:
        """Name of the cell, unique for a provider."""
        return f"{'stream' if self.rpc == STREAM else 'whole'}-{self.name}"

    @property
    def apart(self) -> bool:
        """Whether it needs endpoints of its own: for their settings, or because retries have a budget at each."""
        return bool(self.endpoint) or (bool(self.failed) and self.ends != REJECTED)


def fail(status: int, **more: Any) -> dict[str, Any]:
    """Return llmock's behaviour of an error, once if not said otherwise."""
    return {"type": "fail", "status": status, **more}


def broken(kind: str, after: int, **more: Any) -> dict[str, Any]:
    """Return llmock's behaviour of a stream that breaks after so many events."""
    return {"type": "stream_fault", "kind": kind, "after_chunks": after, **more}


_KINDS = {
    400: "INVALID_REQUEST", 401: "AUTHENTICATION", 402: "RATE_LIMITED", 403: "AUTHENTICATION",
    404: "MODEL_NOT_FOUND", 408: "SERVER", 409: "SERVER", 413: "INVALID_REQUEST", 422: "INVALID_REQUEST",
    429: "RATE_LIMITED", 500: "SERVER", 501: "SERVER", 502: "SERVER", 503: "OVERLOADED", 504: "SERVER",
    529: "OVERLOADED",
}  # fmt: skip
PASSING = (408, 409, 429, 500, 502, 503, 504, 529)
LASTING = (400, 401, 403, 404, 413, 422)
OF_GEMINI = {402: "AUTHENTICATION", 422: "AUTHENTICATION", 502: "OVERLOADED"}
"""By the `status` in llmock's bodies: FAILED_PRECONDITION is an account without billing, UNAVAILABLE an overload."""


def _statuses(provider: str) -> list[Cell]:
    kinds = {**_KINDS, **(OF_GEMINI if provider == "gemini" else {})}
    cells = [Cell(f"{status}-once", (fail(status, retry_after=0.2),), failed=(kinds[status],)) for status in PASSING]
    cells += [Cell("500-bare", (fail(500),), failed=("SERVER",))]
    cells += [
        Cell(f"{status}-lasting", (fail(status, times=None),), failed=(kinds[status],), ends=REJECTED)
        for status in LASTING
    ]
    paid = REJECTED if provider == "gemini" else FAILED
    cells += [Cell("402-lasting", (fail(402, times=None),), failed=(kinds[402],), ends=paid)]
    if provider in ("gemini", "cohere"):  # "the model cannot do it", as they document it
        cells.append(Cell("501-lasting", (fail(501, times=None),), failed=("INVALID_REQUEST",), ends=REJECTED))
    else:
        cells.append(Cell("501-once", (fail(501),), failed=("SERVER",)))
    return [
        *cells,
        Cell("rate-limit-twice", (fail(429, retry_after=0.4, times=2),), failed=("RATE_LIMITED",) * 2),
        Cell("outage", (fail(503, times=None),), failed=("OVERLOADED",) * 3, ends=FAILED),
        # Full jitter may well draw two waits of which the second is the shorter; llmock wants each to be longer.
        Cell(
            "500-outage", (fail(500, times=None),), failed=("SERVER",) * 3, ends=FAILED,
            may_say=frozenset({"no_backoff"}),
        ),
        # Another model takes over at once; llmock does not see that it is the same call.
        Cell(
            "long-wait-beside-another", (fail(429, retry_after=20),), models=2, failed=("RATE_LIMITED",),
            says=frozenset({"gave_up"}),
        ),
        Cell("401-beside-another", (fail(401),), models=2, failed=("AUTHENTICATION",)),
        Cell("503-beside-another", (fail(503, retry_after=0.3),), models=2, failed=("OVERLOADED",)),
    ]  # fmt: skip


def _waits() -> list[Cell]:
    hasty = {"first_byte_s": 1.5}
    return [
        Cell("delay", ({"type": "delay", "seconds": 0.5},)),
        Cell("hangs", ({"type": "delay", "seconds": 4.0},), endpoint=hasty, failed=("TIMEOUT",), ends=FAILED),
        Cell(
            "hangs-beside-a-twin", ({"type": "delay", "seconds": 4.0},), endpoint=hasty, models=2, twin=True,
            failed=("TIMEOUT",),
        ),
    ]  # fmt: skip


def _contexts(provider: str) -> list[Cell]:
    """Prompts that are too long, in the words that the provider has for it; Cohere's are not llmock's."""
    if provider == "cohere":
        words = {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}
        return [Cell("context", (fail(400, times=None, **words),), failed=("CONTEXT_OVERFLOW",), ends=REJECTED)]
    return [
        Cell(
            "context", asks={"messages": [{"role": 2, "parts": [{"text": "word " * 6_000}]}]},
            failed=("CONTEXT_OVERFLOW",), ends=REJECTED,
        )
    ]  # fmt: skip


def _streams() -> list[Cell]:
    cells = []
    for after in (0, 1, 3):
        for kind, failure in (
            ("disconnect", "TRUNCATED"), ("truncate", "TRUNCATED"), ("malformed", "MALFORMED_ANSWER"),
            ("stall", "TIMEOUT"),
        ):  # fmt: skip
            more = {"stall_seconds": 20.0} if kind == "stall" else {}
            endpoint = {"idle_s": 1.5} if kind == "stall" else {}
            cell = Cell(
                f"{kind}-after-{after}", (broken(kind, after, **more),), STREAM, endpoint=endpoint, failed=(failure,)
            )
            # After garbage we hang up and ask the twin before llmock has noticed: it may take that for another call.
            may_say = frozenset({"malformed_chunk_ignored"}) if kind == "malformed" else frozenset[str]()
            cells.append(replace(cell, name=f"{cell.name}-beside-a-twin", models=2, twin=True, may_say=may_say))
            if failure == "TRUNCATED":
                cells.append(cell)
            else:  # not to be repeated with the same model: the caller is told. llmock takes an error for none
                says = frozenset({"malformed_chunk_ignored"}) if kind == "malformed" else frozenset[str]()
                cells.append(replace(cell, ends=FAILED, says=says))
    # So says llmock of each stream that is not asked for again; the caller got an error.
    accepted = frozenset({"truncated_stream_accepted"})
    return [
        *cells,
        Cell(
            "truncate-lasting", (broken("truncate", 3, times=None),), STREAM, failed=("TRUNCATED",) * 3, ends=FAILED,
            says=accepted, may_say=frozenset({"no_backoff"}),
        ),
        Cell(
            "truncate-fail-fast", (broken("truncate", 4),), STREAM, asks=FAIL_FAST, failed=("TRUNCATED",), ends=CUT,
            says=accepted,
        ),
        Cell("slow-first-token", ({"type": "slow_first_token", "seconds": 0.5},), STREAM),
        Cell(
            "no-first-token-beside-a-twin", ({"type": "slow_first_token", "seconds": 20.0},), STREAM, models=2,
            twin=True, endpoint={"idle_s": 1.5}, failed=("TIMEOUT",),
        ),
    ]  # fmt: skip


def _answers(provider: str) -> list[Cell]:
    offered = {"generation": {"tools": [TOOL]}}
    call = {"type": "reply", "tool_calls": [{"name": "weather", "arguments": {"city": "Köln"}}]}
    cells = [
        Cell("plain"),
        Cell("reply", ({"type": "reply", "text": "Ünlike\nthe echo"},), text="Ünlike\nthe echo"),
        Cell("length", ({"type": "reply", "text": "Short", "finish_reason": "length"},), text="Short", finish=2),
        Cell("tool", asks=offered, text="", tool="weather", finish=3),
        Cell("tool-scripted", (call,), asks=offered, text="", tool="weather", finish=3),
        *_filtered(provider),
        # llmock follows no schema for Anthropic: it reads `output_format`, which the API calls `output_config` by now.
        Cell(
            "schema", asks={"generation": {"response_json_schema": SCHEMA}},
            text=ECHO if provider == "anthropic" else '{"city": "mock-city"}',
        ),
        # Whether a tool exists is for the caller to see, who runs it.
        Cell(
            "tool-unknown", ({"type": "tool_fault", "kind": "unknown_tool"},), asks=offered, text="",
            tool="llmock_unknown_tool", finish=3,
        ),
    ]  # fmt: skip
    return cells


def _filtered(provider: str) -> list[Cell]:
    """What was filtered is an outcome. Cohere has no word for it: llmock sends ERROR, a failure of the provider's."""
    told = ({"type": "reply", "text": "No", "finish_reason": "content_filter"},)
    if provider == "cohere":
        return [Cell("filtered", told, failed=("SERVER",))]
    return [Cell("filtered", told, text="No", finish=5 if provider == "anthropic" else 4)]


def _broken_calls(provider: str, rpc: str) -> list[Cell]:
    """A model that writes half a tool call and says that it is done. Where it sends objects, llmock makes it {}."""
    broken_call = Cell(
        "tool-malformed", ({"type": "tool_fault", "kind": "malformed_arguments"},), rpc,
        asks={"generation": {"tools": [TOOL]}}, text="", tool="weather", finish=3,
    )  # fmt: skip
    if provider == "gemini" or (provider, rpc) == ("anthropic", WHOLE):
        return [broken_call]
    return [
        replace(broken_call, failed=("MALFORMED_ANSWER",), ends=FAILED),
        replace(
            broken_call, name="tool-malformed-beside-another", models=2, failed=("MALFORMED_ANSWER",)
        ),
    ]  # fmt: skip


def cells_of(provider: str) -> list[Cell]:
    """Return the cells of a provider."""
    both = [*_answers(provider), *_statuses(provider), *_waits(), *_contexts(provider)]
    calls = [cell for rpc in (WHOLE, STREAM) for cell in _broken_calls(provider, rpc)]
    return [*both, *(replace(cell, rpc=STREAM) for cell in both), *calls, *_streams()]
