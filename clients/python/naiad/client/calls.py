"""A call as a value: what to send, where, and how to read the reply. Nothing here does I/O.

The functions of `naiad.client.operations` build calls; `Client` and `AsyncClient` carry them out.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

T = TypeVar("T")
U = TypeVar("U")
R = TypeVar("R", bound=Message)


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long calls may take, retries included, unless a call says otherwise; in seconds, math.inf for ever.

    Raises:
        ValueError: a time is not above 0.
    """

    decide_s: float = 5.0
    complete_s: float = 120.0
    report_s: float = 10.0  # outcomes and feedback
    catalog_s: float = 10.0
    insight_s: float = 30.0  # each page

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if not value > 0:
                raise ValueError(f"{item.name} is {value}; it must be above 0 seconds")


@dataclass(frozen=True)
class Call(Generic[T]):
    """One logical call. Its repr does not show the request, which may hold a prompt."""

    method: str  # "/naiad.v1.RouterService/Decide"
    request: Message = field(repr=False)
    response: type[Message] = field(repr=False)
    parse: Callable[[Any], T] = field(repr=False)
    timeout_s: Callable[[Timeouts], float] = field(repr=False)

    def read_as(self, parse: Callable[[Any], U]) -> Call[U]:
        """Return the same call with its reply read in another way."""
        return Call(self.method, self.request, self.response, parse, self.timeout_s)

    @property
    def request_id(self) -> str:
        """The id that makes a repetition harmless; "" for calls that change nothing."""
        return getattr(self.request, "request_id", "")


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list; `next_token` is empty in the last."""

    items: tuple[T, ...]
    next_token: str


@dataclass(frozen=True)
class Listing(Generic[T]):
    """A list that is fetched page by page."""

    page: Callable[[str], Call[Page[T]]]


@dataclass(frozen=True)
class Streaming(Generic[T]):
    """A call whose reply comes in pieces and ends by itself; one that cannot be read yet is None, and left out."""

    call: Call[T | None]
    last: Callable[[T], bool] = field(repr=False)  # whether a piece is the end


def call(
    method: str,
    request: Message,
    response: type[R],
    parse: Callable[[R], T],
    group: Callable[[Timeouts], float],
    timeout_s: float | None,
) -> Call[T]:
    """Return a call of "Service/Method" that may take `timeout_s`, or else what the group of timeouts says.

    Raises:
        ValueError: timeout_s is not a number.
    """
    if timeout_s is None:
        return Call(f"/naiad.v1.{method}", request, response, parse, group)
    chosen_s = float(timeout_s)
    if chosen_s != chosen_s:
        raise ValueError("timeout_s is NaN; give seconds, or None for the client's default")
    return Call(f"/naiad.v1.{method}", request, response, parse, lambda _: chosen_s)


def new_id() -> str:
    """Return an id that nobody else has: 32 hexadecimal digits."""
    return uuid.uuid4().hex
