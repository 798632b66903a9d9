"""A cascade's check by a callback: what a service of the user's is asked about an answer, and how that may fail.

Values and the seam alone; the channel to it is in `callback_channel`. The egress holds the callbacks and lets each
question leave, as it does calls to providers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from naiad.adapters.base import FinishReason, Message
from naiad.adapters.endpoint import Endpoint

RATER = "callback:"  # before its name: the rater of its feedback
LONGEST_NAME = 64  # characters
LONGEST_REASON = 500  # characters that are taken over


@dataclass(frozen=True, slots=True)
class Callback:
    """A CheckService of the configuration: where it is, and what it may be told."""

    endpoint: Endpoint  # its place is https, or http for plaintext to loopback; its key is the token
    zone: str = ""  # where it runs, as a model's data_zone
    send_task: bool = False  # whether it is sent the conversation, besides the answer
    timeout_s: float = 2.0  # of one question: place, connection and reply
    concurrent: int = 64  # questions at a time

    @property
    def plaintext(self) -> bool:
        """Whether it is reached without TLS, which is for loopback alone."""
        return self.endpoint.place.scheme == "http"

    @property
    def address(self) -> str:
        """HOST:PORT, an IPv6 address in brackets."""
        place = self.endpoint.place
        return f"[{place.host}]:{place.port}" if ":" in place.host else f"{place.host}:{place.port}"


@dataclass(frozen=True, slots=True)
class Question:
    """What a callback is asked about; empty in a trial."""

    decision_id: str = ""
    attempt_id: str = ""
    task_class: str = ""
    workflow: str = ""
    model: str = ""
    cascade: str = ""
    request_id: str = ""
    data_class: str = ""
    answer: str = ""
    finish: FinishReason = FinishReason.STOP
    messages: tuple[Message, ...] = ()  # sent only where the callback may have them


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a callback said."""

    accepted: bool
    score: float  # from 0 to 1: its own, or what acceptance amounts to
    reason: str = ""


class Failure(StrEnum):
    """How a callback failed; told in the API as AnswerCheck.failure."""

    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    NO_TIME = "no_time"  # the caller's deadline left it less than its own timeout, and it did not answer
    UNAUTHORIZED = "unauthorized"  # it refused the token
    UNIMPLEMENTED = "unimplemented"  # it serves no naiad.v1.CheckService
    INVALID_REPLY = "invalid_reply"
    BUSY = "busy"  # as many questions as may be were under way
    RESTING = "resting"  # it failed before and is left alone for a moment
    NOT_PERMITTED = "not_permitted"  # the rules changed meanwhile
    ERROR = "error"  # another status

    @property
    def speaks(self) -> bool:
        """Whether it says something about the callback, and not about us or the caller."""
        return self not in (Failure.NO_TIME, Failure.BUSY, Failure.RESTING, Failure.NOT_PERMITTED)


class CallbackFailed(Exception):
    """There is no verdict; the message holds nothing that the callback said."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


class AnswerChecker(Protocol):
    """Whoever can be asked about answers."""

    async def check(self, question: Question, *, timeout_s: float) -> Verdict:
        """Ask; asks `departure` when it is about to send. timeout_s: what the caller has left for it.

        Raises CallbackFailed, and Withheld from the departure.
        """
        ...

    async def aclose(self) -> None:
        """Close its channel."""
        ...
