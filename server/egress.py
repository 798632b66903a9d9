"""The choke point: the only way to a provider.

The adapters are held here and nowhere else. Every call brings its permit and its kind, and is checked at the moment it
leaves: the model must be in the permit, and the rules of that moment must let the request go there. Nothing is awaited
between the check and the adapter, so a change that is acknowledged binds every call that leaves afterwards. There is no
kind of call with a rule of its own, no default that lets through, and no way around.

The same check is made once more when the request is about to be sent: an adapter may have to connect first, and the
rules may change meanwhile. Then nothing is sent, and the call ends as one that was never made. What had been sent
before a change is on the wire; `on_wire` tells which calls, and under which epoch they were last let through. Those are
not cut off. Whatever waits (a budget, a limiter, a delay before a hedge) waits before it calls here, not in an adapter.

The breakers learn here how every call ended, whatever its kind. They are asked when a call is let through, and not
again when it is sent: then it has its place, perhaps as the one probe.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Awaitable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import replace
from enum import Enum, unique
from typing import NamedTuple, TypeVar, final

import structlog

from naiad.adapters.base import Adapter, Answer, Finished, Request, StreamEvent
from naiad.adapters.departure import Withheld, checked
from naiad.adapters.errors import ProviderError, Truncated
from naiad.adapters.listing import ListedModel, ModelLister
from naiad.server.breakers import Breakers
from naiad.server.callback import AnswerChecker, Question, Verdict
from naiad.server.catalog import Catalog
from naiad.server.eligibility import Eligibility, Permit, Reason
from naiad.server.records import Exclusion, ModelPut

log = structlog.get_logger(__name__)
Result = TypeVar("Result")

NO_MODEL = -1


@final
@unique
class Kind(Enum):
    """Why a call is made. Every kind is checked alike; one that is to come gets a name here, and no rule."""

    PRIMARY = "primary"
    RETRY = "retry"
    FALLBACK = "fallback"
    HEDGE = "hedge"
    ENSEMBLE = "ensemble"
    CASCADE = "cascade"
    JUDGE = "judge"
    EMBEDDING = "embedding"
    CACHE = "cache"
    SHADOW = "shadow"
    CHAOS = "chaos"
    LISTING = "listing"  # asks a provider for its models: see Egress.list_models
    CHECK = "check"  # asks a callback about an answer: see Egress.check_answer


class NotPermitted(Exception):
    """The rules of this moment do not let the call leave; nothing was sent, or of a large body not all."""

    def __init__(self, kind: Kind, exclusion: Exclusion) -> None:
        super().__init__(f"a {kind.value} call may not leave: {exclusion.detail}")
        self.kind = kind
        self.exclusion = exclusion


class NotListable(Exception):
    """An endpoint has no list of models to ask for; nothing was sent."""


class Dispatch(NamedTuple):
    """A call that has left."""

    kind: Kind
    model: int  # NO_MODEL for a listing; of a check the cascade
    epoch: int  # of the rules that let it leave
    callback: str = ""  # of a check: whom it asks


class Departure:
    """A call that was let through, and is asked for again when its request is about to be sent."""

    def __init__(self, egress: Egress, permit: Permit | None, dispatch: Dispatch) -> None:
        self._egress = egress
        self._permit = permit
        self.dispatch = dispatch
        self.refused: NotPermitted | None = None

    def __repr__(self) -> str:
        return f"Departure({self.dispatch}, refused={self.refused is not None})"

    def __call__(self) -> None:
        """Raise Withheld if the rules of this moment do not let the call leave any more."""
        self.refused = self._egress.withdrawn(self._permit, self.dispatch)
        if self.refused is not None:
            raise Withheld("the rules have changed")
        self.dispatch = self.dispatch._replace(epoch=self._egress.epoch)


class Egress:
    """Owner of the adapters, and of the breakers that eligibility reads from now on."""

    def __init__(
        self,
        catalog: Catalog,
        eligibility: Eligibility,
        adapters: Mapping[str, Adapter],
        breakers: Breakers | None = None,
        callbacks: Mapping[str, AnswerChecker] | None = None,
    ) -> None:
        self._catalog = catalog
        self._eligibility = eligibility
        self.breakers = eligibility.breakers = Breakers(time.monotonic) if breakers is None else breakers
        self.__adapters = dict(adapters)  # by endpoint; the name is mangled, so that reaching for it shows
        self.__callbacks = dict(callbacks or {})
        self.__on_wire: dict[int, Departure] = {}
        self.__dispatched = 0

    def __repr__(self) -> str:
        return f"Egress(endpoints={sorted(self.__adapters)}, on_wire={len(self.__on_wire)})"

    def refusal(self, permit: Permit | None, model: int, *, at_present: bool = True) -> Exclusion | None:
        """Return why a model may not be called at this moment, None if it may. Asking permits nothing.

        at_present: whether its breaker is asked, too.
        """
        if not isinstance(permit, Permit):
            return Exclusion(model, Reason.NOT_ALLOWED, "the request has no permit")
        return self._eligibility.recheck(permit, model, at_present=at_present)

    @property
    def epoch(self) -> int:
        """The epoch of the rules in force."""
        return self._eligibility.epoch

    def refused(self, permit: Permit | None, kind: Kind, model: int, *, at_present: bool = True) -> NotPermitted | None:
        """Return, and log, why a call may not leave at this moment, None if it may."""
        excluded = self.refusal(permit, model, at_present=at_present)
        if excluded is None:
            return None
        log.warning("egress_refused", kind=kind.value, model=self._catalog.model_names[model], why=excluded.reason)
        return NotPermitted(kind, excluded)

    def refused_check(self, permit: Permit | None, callback: str) -> NotPermitted | None:
        """Return, and log, why a callback may not be asked about an answer at this moment, None if it may."""
        if not isinstance(permit, Permit):
            excluded: Exclusion | None = Exclusion(NO_MODEL, Reason.NOT_ALLOWED, "the request has no permit")
        else:
            excluded = self._eligibility.recheck_callback(permit, callback)
        if excluded is None:
            return None
        log.warning("egress_refused", kind=Kind.CHECK.value, callback=callback, why=excluded.reason)
        return NotPermitted(Kind.CHECK, excluded)

    def withdrawn(self, permit: Permit | None, dispatch: Dispatch) -> NotPermitted | None:
        """Return, and log, why a call that was let through may not be sent any more, None if it may."""
        if dispatch.callback:
            return self.refused_check(permit, dispatch.callback)
        return self.refused(permit, dispatch.kind, dispatch.model, at_present=False)

    def recall(self, permit: Permit | None, model: int) -> bool:
        """Return whether an answer that a model gave before may be given again: checked as a call of it would be.

        Nothing leaves, so whether its provider is well does not matter.
        """
        return self.refused(permit, Kind.CACHE, model, at_present=False) is None

    async def call(
        self, permit: Permit | None, kind: Kind, model: int, request: Request, *, timeout_s: float, fair_s: float = 0.0
    ) -> Answer:
        """Ask a model of the catalogue, and wait for the whole answer.

        The request's model is filled in here. fair_s: how long an answer may well take; that none came within
        `timeout_s` speaks against the provider only if that is longer. Raises NotPermitted before anything is sent,
        else as the adapter does.
        """
        with self._leaving(permit, kind, model, fair_s) as (adapter, entry, departure):
            asked = adapter.complete(replace(request, model=entry.upstream_model), timeout_s=timeout_s)
            answer = await self._sent(departure, asked)
        self.breakers.rest(entry, answer.pause_s)
        return answer

    async def stream(
        self, permit: Permit | None, kind: Kind, model: int, request: Request, *, timeout_s: float, fair_s: float = 0.0
    ) -> AsyncGenerator[StreamEvent, None]:
        """Ask, and yield the answer piece by piece; checked when the first piece is asked for, as `call` is."""
        with self._leaving(permit, kind, model, fair_s) as (adapter, entry, departure):
            asked = adapter.stream(replace(request, model=entry.upstream_model), timeout_s=timeout_s)
            async with aclosing(asked) as events:
                while (event := await self._sent(departure, anext(events, None))) is not None:
                    yield event
                    if isinstance(event, Finished):
                        self.breakers.rest(entry, event.answer.pause_s)
                        return
            raise Truncated("the stream ended without its last event", provider=entry.endpoint, model=entry.name)

    async def list_models(self, endpoint: str, *, timeout_s: float) -> tuple[ListedModel, ...]:
        """Ask the provider behind an endpoint for its models; raises NotListable, else as the adapter does.

        It carries no data of anybody's, so it needs no permit; it goes to a configured endpoint and nowhere else, and
        is on the wire like every other call.
        """
        adapter: object = self.__adapters.get(endpoint)
        if not isinstance(adapter, ModelLister):
            raise NotListable(endpoint)
        with self._on_wire(Departure(self, None, Dispatch(Kind.LISTING, NO_MODEL, self.epoch))):
            return await adapter.list_models(timeout_s)

    async def check_answer(
        self, permit: Permit | None, callback: str, question: Question, *, timeout_s: float
    ) -> Verdict:
        """Ask a callback about an answer, under the permit for a cascade's parts.

        timeout_s: what the caller has left for it. Raises NotPermitted before anything is sent, else CallbackFailed.
        """
        refused = self.refused_check(permit, callback)
        if refused is not None or permit is None:
            raise refused or TypeError("a check has a permit")
        checker = self.__callbacks[callback]
        departure = Departure(self, permit, Dispatch(Kind.CHECK, permit.via or 0, self.epoch, callback))
        with self._on_wire(departure):
            return await self._sent(departure, checker.check(question, timeout_s=timeout_s))

    @staticmethod
    async def _sent(departure: Departure, asked: Awaitable[Result]) -> Result:
        """Wait for an adapter, which asks once more before it sends; raises NotPermitted, or as the adapter does."""
        try:
            with checked(departure):
                return await asked
        except (Withheld, ProviderError):
            if departure.refused is not None:
                raise departure.refused from None
            raise

    @contextmanager
    def _leaving(
        self, permit: Permit | None, kind: Kind, model: int, fair_s: float = 0.0
    ) -> Iterator[tuple[Adapter, ModelPut, Departure]]:
        """Check a call, and keep it among those on the wire; nothing may be awaited before the adapter is called."""
        if not isinstance(kind, Kind):
            raise TypeError(f"{kind!r} is no kind of call; give it a name in egress.Kind")
        refused = self.refused(permit, kind, model)
        if refused is not None:
            raise refused
        entry = self._catalog.models[model]
        adapter = self.__adapters.get(entry.endpoint)
        if adapter is None:
            detail = f"endpoint {entry.endpoint!r} is not configured"
            raise NotPermitted(kind, Exclusion(model, Reason.NO_ENDPOINT, detail))
        departure = Departure(self, permit, Dispatch(kind, model, self.epoch))
        leave = self.breakers.begin(entry)
        with self._on_wire(departure):
            try:
                yield adapter, entry, departure
            except ProviderError as error:
                self.breakers.failed(leave, error, fair_s)
                raise
            except BaseException:  # the caller left, or the rules changed, or a defect: nothing is known
                self.breakers.abandoned(leave)
                raise
            else:
                self.breakers.succeeded(leave)

    @contextmanager
    def _on_wire(self, departure: Departure) -> Iterator[None]:
        self.__dispatched = number = self.__dispatched + 1
        self.__on_wire[number] = departure
        try:
            yield
        finally:
            del self.__on_wire[number]

    def on_wire(self, before_epoch: int | None = None) -> list[Dispatch]:
        """Return the calls that have left and are not back, those that left under an earlier epoch if one is given."""
        found = [departure.dispatch for departure in self.__on_wire.values()]
        return [d for d in found if before_epoch is None or d.epoch < before_epoch]

    async def aclose(self) -> None:
        """Close every adapter, and every channel to a callback."""
        for adapter in self.__adapters.values():
            await adapter.aclose()
        for callback in self.__callbacks.values():
            await callback.aclose()
