"""Simulated failures: without one nothing changes, and each shows as the error that the real one shows as."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.adapters.base import Adapter, Answer, Finished, Request, StreamEvent, user
from naiad.adapters.chaos import Chaos
from naiad.adapters.departure import Withheld, checked
from naiad.adapters.echo import Echo
from naiad.adapters.endpoint import Patience
from naiad.adapters.errors import (
    AuthenticationFailed,
    ConnectionFailed,
    MalformedAnswer,
    Overloaded,
    ProviderError,
    QuotaExhausted,
    RateLimited,
    ServerError,
    Timeout,
    TimeoutKind,
    Truncated,
)
from naiad.adapters.faults import Fault, FaultKind
from naiad.adapters.gemini import Gemini
from naiad.adapters.streams import parts_of
from naiad.adapters.transport import Transport
from tests.adapters.peer import CHUNKED, KEY, Peer, Script, Talk, chunk, endpoint, peer, peer_elsewhere
from tests.adapters.peer import response as http
from tests.adapters.scripted import Scripted, reply
from tests.adapters.talking import NOW
from tests.adapters.wired import Wired, provider
from tests.conformance.adapter_suite import PATIENCE_S, AdapterSuite

REQUEST = Request("gpt-x", (user("one two three four"),))
QUICK = Patience(connect_s=5.0, first_byte_s=0.05, idle_s=0.05)


def chaos(*faults: Fault, inner: Adapter | None = None, seed: int = 0, at_s: list[float] | None = None,
          **more: Any) -> Chaos:  # fmt: skip
    """Wrap an echo; at_s: a clock that a test sets."""
    now = at_s or [0.0]
    return Chaos(inner or Echo(), faults, endpoint="openai", rng=Random(seed), clock=lambda: now[0],
                 **{"patience": QUICK, **more})  # fmt: skip


async def ask(adapter: Adapter, how: str, timeout_s: float = PATIENCE_S) -> tuple[list[StreamEvent], Answer | None]:
    if how == "complete":
        return [], await adapter.complete(REQUEST, timeout_s=timeout_s)
    async with aclosing(adapter.stream(REQUEST, timeout_s=timeout_s)) as stream:
        events = [event async for event in stream]
    assert isinstance(events[-1], Finished)
    return events[:-1], events[-1].answer


class TestNoFaults(AdapterSuite):
    """An adapter over a real socket, wrapped."""

    secrets = (KEY,)

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        self.made: list[Wired] = []
        with peer_elsewhere(provider()) as self.peer:
            yield self.peer
            for adapter in self.made:
                assert adapter.out.open_exchanges == 0
                await adapter.aclose()

    def make(self) -> Adapter:
        self.made.append(Wired(Transport(endpoint(self.peer.url()))))
        elsewhere = Fault(FaultKind.REFUSE, endpoint="other")
        return chaos(elsewhere, Fault(FaultKind.REFUSE, model="none"), inner=self.made[-1])

    def request(self) -> Request:
        return Request("any", (user("What happens after something dies?"),))

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("any", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("any", (user("overload"),)), Overloaded


class TestDelayed(AdapterSuite):
    cannot_fail = "a delay is no failure"

    def make(self) -> Adapter:
        return chaos(Fault(FaultKind.DELAY, delay_s=0.001))

    def request(self) -> Request:
        return REQUEST

    def slow(self) -> tuple[Adapter, Request]:
        return chaos(Fault(FaultKind.DELAY, delay_s=3600.0)), REQUEST


class TestStatus(AdapterSuite):
    """Every call fails that a fault befalls; the others are as ever."""

    def make(self) -> Adapter:
        return chaos(Fault(FaultKind.STATUS, status=529, model="bad*"))

    def request(self) -> Request:
        return REQUEST

    def slow(self) -> tuple[Adapter, Request]:
        return chaos(Fault(FaultKind.STALL), patience=Patience()), REQUEST

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), replace(REQUEST, model="bad-1"), Overloaded


# --- each fault shows as the real one does ---


@pytest.mark.parametrize("how", ["complete", "stream"])
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(FaultKind.STATUS, status=500), ServerError),
        (Fault(FaultKind.STATUS, status=401), AuthenticationFailed),
        (Fault(FaultKind.STATUS, status=429, retry_after_s=7.0), RateLimited),
        (Fault(FaultKind.REFUSE), ConnectionFailed),
        (Fault(FaultKind.CUT), Truncated),
        (Fault(FaultKind.GARBAGE), MalformedAnswer),
    ],
)
async def test_a_fault_is_the_typed_error(how: str, fault: Fault, kind: type[ProviderError]) -> None:
    told: list[tuple[Fault, str]] = []
    adapter = chaos(fault, on_fault=lambda fault, model: told.append((fault, model)))
    with pytest.raises(kind) as caught:
        await ask(adapter, how)
    assert type(caught.value) is kind
    assert (caught.value.provider, caught.value.model) == ("openai", "gpt-x")
    assert caught.value.retry_after_s == fault.retry_after_s
    assert told == [(fault, "gpt-x")]


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_silence_ends_with_the_patience_of_the_endpoint_or_the_caller(how: str) -> None:
    with pytest.raises(Timeout) as first:
        await ask(chaos(Fault(FaultKind.STALL)), how)
    assert first.value.kind is TimeoutKind.FIRST_BYTE
    with pytest.raises(Timeout) as total:
        await ask(chaos(Fault(FaultKind.STALL), patience=Patience()), how, timeout_s=0.05)
    assert total.value.kind is TimeoutKind.TOTAL


@pytest.mark.parametrize("deltas", [1, 2, 99])
@pytest.mark.parametrize(
    ("kind", "error"), [(FaultKind.CUT, Truncated), (FaultKind.STALL, Timeout), (FaultKind.GARBAGE, MalformedAnswer)]
)
async def test_a_stream_breaks_off_after_so_many_pieces(
    deltas: int, kind: FaultKind, error: type[ProviderError]
) -> None:
    inner = Scripted([reply("one two three four")], loop=True)
    whole, _ = await ask(inner, "stream")
    seen: list[StreamEvent] = []
    with pytest.raises(error) as caught:
        async with aclosing(chaos(Fault(kind, deltas=deltas), inner=inner).stream(REQUEST, timeout_s=5.0)) as stream:
            async for event in stream:
                seen.append(event)
    assert seen == whole[:deltas], "what came is the beginning of the answer, never its end"
    assert inner.open_calls == 0
    if isinstance(caught.value, Timeout):
        assert caught.value.kind is TimeoutKind.IDLE


async def same_as_real(fault: Fault, script: Script, how: str) -> None:
    """Compare the simulated failure with that of a provider that really does so."""
    patience = Patience(connect_s=5.0, first_byte_s=0.2, idle_s=0.2)
    async with peer(script) as there:
        real = Wired(Transport(endpoint(there.url(), patience=patience)))
        with pytest.raises(ProviderError) as caught:
            await ask(real, how)
        await real.aclose()
    with peer_elsewhere(provider("one two three")) as well:
        inner = Wired(Transport(endpoint(well.url())))
        with pytest.raises(ProviderError) as simulated:
            await ask(chaos(fault, inner=inner, patience=patience), how)
        await inner.aclose()
    assert type(simulated.value) is type(caught.value)
    for fact in ("status", "retry_after_s", "kind", "retryable", "fallback_worthy", "blames_provider"):
        assert getattr(simulated.value, fact, None) == getattr(caught.value, fact, None), fact


def streaming(*pieces: bytes, hang: bool = False) -> Script:
    async def script(talk: Talk) -> None:
        await talk.request()
        await talk.send(http(headers=["content-type: text/event-stream", CHUNKED], length=False, body=b""))
        await talk.send(*(chunk(piece) for piece in pieces))
        if hang:
            await talk.gone()

    return script


async def silent(talk: Talk) -> None:
    await talk.request()
    await talk.gone()


async def busy(talk: Talk) -> None:
    await talk.request()
    await talk.send(http(b"{}", status="503 Busy", headers=["retry-after: 3"]))


PIECE = b'event: piece\ndata: {"say": "one "}\n\n'


@pytest.mark.parametrize(
    ("fault", "script", "how"),
    [
        (Fault(FaultKind.STATUS, status=503, retry_after_s=3.0), busy, "complete"),
        (Fault(FaultKind.STATUS, status=503, retry_after_s=3.0), busy, "stream"),
        (Fault(FaultKind.STALL), silent, "complete"),
        (Fault(FaultKind.STALL, deltas=1), streaming(PIECE, hang=True), "stream"),
        (Fault(FaultKind.GARBAGE, deltas=1), streaming(PIECE, b"data: <html>\n\n", hang=True), "stream"),
    ],
)
async def test_what_is_simulated_is_what_the_real_one_shows(fault: Fault, script: Script, how: str) -> None:
    await same_as_real(fault, script, how)


@pytest.mark.parametrize(
    ("fault", "script"), [(Fault(FaultKind.CUT, deltas=1), streaming(PIECE))]
)  # fmt: skip
async def test_a_cut_is_what_a_real_one_shows(fault: Fault, script: Script) -> None:
    async with peer(script) as there:
        real = Wired(Transport(endpoint(there.url())))
        with pytest.raises(Truncated) as caught:
            await ask(real, "stream")
        await real.aclose()
    with pytest.raises(Truncated) as simulated:
        await ask(chaos(fault), "stream")
    assert simulated.value.retryable is caught.value.retryable


async def test_a_refused_connection_is_what_a_real_one_shows() -> None:
    async with peer(silent) as there:
        url = there.url()
    real = Wired(Transport(endpoint(url)))
    with pytest.raises(ConnectionFailed) as caught:
        await ask(real, "complete")
    await real.aclose()
    with pytest.raises(ConnectionFailed) as simulated:
        await ask(chaos(Fault(FaultKind.REFUSE)), "complete")
    assert (simulated.value.status, simulated.value.retryable) == (caught.value.status, caught.value.retryable)


async def test_a_code_means_what_it_means_to_the_wire_format() -> None:
    wire = Gemini()
    fault = Fault(FaultKind.STATUS, status=400, code="PERMISSION_DENIED")
    with pytest.raises(AuthenticationFailed, match="PERMISSION_DENIED"):
        await ask(chaos(fault, failure=lambda reply: wire.failure(reply, now=NOW)), "complete")
    with pytest.raises(QuotaExhausted):
        await ask(chaos(Fault(FaultKind.STATUS, status=402)), "complete")


# --- answers ---


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_every_answer_says_that_failures_are_simulated(how: str) -> None:
    _, plain = await ask(Echo(), how)
    deltas, found = await ask(chaos(), how)
    _, late = await ask(chaos(Fault(FaultKind.DELAY, delay_s=0.01)), how)
    assert plain is not None
    assert found is not None
    assert late is not None
    notice = "Simulated failures are on at the endpoint 'openai'."
    assert replace(found, notices=plain.notices) == plain
    assert found.notices == (*plain.notices, notice)
    assert late.notices == (*plain.notices, notice, "This answer was held back for 0.01 s.")
    assert not deltas or parts_of(e for e in deltas if not isinstance(e, Finished)) == plain.parts


async def test_a_stated_latency_grows_by_the_delay() -> None:
    _, plain = await ask(Echo(), "complete")
    assert plain is not None

    class Stating(Echo):
        async def complete(self, request: Request, *, timeout_s: float) -> Answer:
            return replace(await super().complete(request, timeout_s=timeout_s), latency_s=2.0)

    _, found = await ask(chaos(Fault(FaultKind.DELAY, delay_s=0.01), inner=Stating()), "complete")
    assert found is not None
    assert found.latency_s == pytest.approx(2.01)


@pytest.mark.parametrize("how", ["complete", "stream"])
async def test_a_call_that_waited_asks_once_more_whether_it_may_leave(how: str) -> None:
    asked = []

    def no() -> None:
        asked.append(True)
        raise Withheld

    inner = Scripted([reply("never")], loop=True)
    with checked(no), pytest.raises(Withheld):
        await ask(chaos(Fault(FaultKind.DELAY, delay_s=0.01), inner=inner), how)
    assert asked
    assert inner.calls == []


# --- which calls ---


async def befallen(adapter: Chaos, calls: int) -> list[bool]:
    found = []
    for _ in range(calls):
        try:
            await adapter.complete(REQUEST, timeout_s=PATIENCE_S)
            found.append(False)
        except ConnectionFailed:
            found.append(True)
    return found


@given(every=st.integers(1, 5), calls=st.integers(0, 20))
async def test_each_nth_call(every: int, calls: int) -> None:
    found = await befallen(chaos(Fault(FaultKind.REFUSE, every=every)), calls)
    assert found == [n % every == 0 for n in range(1, calls + 1)]


async def test_the_same_seed_befalls_the_same_calls() -> None:
    fault = Fault(FaultKind.REFUSE, probability=0.3)
    one, again, other = [await befallen(chaos(fault, seed=seed), 300) for seed in (1, 1, 2)]
    assert one == again != other
    assert 50 < sum(one) < 130  # 90 by the binomial, whose standard deviation is 8


async def test_the_first_of_several_faults_befalls_the_call() -> None:
    adapter = chaos(Fault(FaultKind.STATUS, status=500, every=2), Fault(FaultKind.REFUSE, every=3))
    kinds = Counter[str]()
    for _ in range(12):
        try:
            await adapter.complete(REQUEST, timeout_s=PATIENCE_S)
            kinds["answer"] += 1
        except ProviderError as error:
            kinds[type(error).__name__] += 1
    assert kinds == {"ServerError": 6, "ConnectionFailed": 2, "answer": 4}


async def test_a_window_of_time() -> None:
    now = [0.0]
    adapter = chaos(Fault(FaultKind.REFUSE, from_s=10.0, until_s=20.0), at_s=now)
    found = []
    for now[0] in (0.0, 9.9, 10.0, 19.9, 20.0, 99.0):
        found += await befallen(adapter, 1)
    assert found == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("endpoint_", "model", "matches"),
    [
        ("*", "*", True),
        ("open*", "gpt-?", True),
        ("open*", "gpt-y", False),
        ("azure", "*", False),
        ("OPENAI", "*", False),
    ],
)
def test_patterns(endpoint_: str, model: str, matches: bool) -> None:
    assert Fault(FaultKind.REFUSE, endpoint=endpoint_, model=model).matches("openai", "gpt-x", 0.0) is matches


# --- faults that cannot be ---


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kind": "status"}, "status is None"),
        ({"kind": "status", "status": 200}, "from 300 to 599"),
        ({"kind": "delay"}, "delay_s is None"),
        ({"kind": "delay", "delay_s": float("nan")}, "delay_s is nan"),
        ({"kind": "cut", "status": 500}, "status has no meaning for a fault of kind 'cut'"),
        ({"kind": "refuse", "deltas": 1}, "deltas has no meaning"),
        ({"kind": "cut", "deltas": -1}, "at least 0"),
        ({"kind": "refuse", "every": 0}, "every is 0"),
        ({"kind": "refuse", "probability": 0.0}, "probability is 0"),
        ({"kind": "refuse", "probability": 1.5}, "probability is 1.5"),
        ({"kind": "refuse", "probability": 0.5, "every": 2}, "exclude each other"),
        ({"kind": "refuse", "from_s": 5.0, "until_s": 5.0}, "a window that begins before it ends"),
        ({"kind": "refuse", "from_s": -1.0}, "a window that begins"),
        ({"kind": "status", "status": 429, "retry_after_s": -1.0}, "retry_after_s is -1"),
    ],
)  # fmt: skip
def test_a_fault_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fault(FaultKind(fields.pop("kind")), **fields)


def test_a_fault_in_words() -> None:
    fault = Fault(FaultKind.STATUS, endpoint="openai", model="gpt-*", every=3, status=429, code="insufficient_quota",
                  retry_after_s=2.0, from_s=5.0)  # fmt: skip
    assert str(fault) == (
        "endpoint openai, model gpt-*, call 3, 6, 9 and so on, from 5 s on after the start: "
        "fails with status 429 (insufficient_quota), retry after 2 s"
    )
    assert str(Fault(FaultKind.CUT, deltas=2, probability=0.25)) == (
        "all endpoints, all models, 0.25 of the calls: breaks off after 2 pieces of a stream"
    )
