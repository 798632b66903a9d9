"""The events of an answer that is being written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from naiad.client.convert import read
from naiad.client.results import Completion
from naiad.client.values import Attempt
from naiad.v1 import router_service_pb2


@dataclass(frozen=True, kw_only=True)
class Started:
    """The first attempt has begun."""

    decision_id: str = field(repr=False)
    attempt_id: str
    model: str  # "provider/model"
    policy_version: int
    raw: router_service_pb2.StreamStarted = field(
        default_factory=router_service_pb2.StreamStarted, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class TextDelta:
    """More text of the answer, to append."""

    text: str = field(repr=False)  # an answer: never in a log by accident
    raw: router_service_pb2.TextDelta = field(default_factory=router_service_pb2.TextDelta, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ToolCallDelta:
    """More of a tool call; id and name come with its first piece only."""

    index: int  # which call, from 0 within the attempt
    tool_call_id: str
    name: str
    arguments_json: str = field(repr=False)  # to append
    raw: router_service_pb2.ToolCallDelta = field(
        default_factory=router_service_pb2.ToolCallDelta, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class Restarted:
    """An attempt failed, or was refused, and another has begun: discard all since Started or the last Restarted."""

    failed: Attempt
    attempt_id: str
    model: str  # that is called now
    raw: router_service_pb2.StreamRestarted = field(
        default_factory=router_service_pb2.StreamRestarted, repr=False, compare=False
    )


@dataclass(frozen=True, kw_only=True)
class Completed:
    """The answer is whole: the last event."""

    response: Completion
    raw: router_service_pb2.StreamCompleted = field(
        default_factory=router_service_pb2.StreamCompleted, repr=False, compare=False
    )

    @property
    def completion(self) -> Completion:
        """What Complete would have returned."""
        return self.response


StreamEvent = Started | TextDelta | ToolCallDelta | Restarted | Completed

_KINDS: dict[str, type[Any]] = {
    "started": Started,
    "text_delta": TextDelta,
    "tool_call_delta": ToolCallDelta,
    "restarted": Restarted,
    "completed": Completed,
}


def event_of(response: router_service_pb2.StreamCompleteResponse) -> StreamEvent | None:
    """Return the event that a response holds; None for one that is newer than this client."""
    kind = response.WhichOneof("event")
    if kind is None:
        return None
    event: StreamEvent = read(_KINDS[kind], getattr(response, kind))
    return event
