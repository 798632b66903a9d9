"""The channel to a callback: connected on first use, kept, and closed with the server.

gRPC is kept from everything that would let a request go elsewhere: names are resolved here and each address is checked,
so that its target is addresses alone; proxies of the environment and service configurations from DNS are off. A
callback that fails again and again is left alone by a breaker, so that it does not cost every request its timeout.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import structlog
from google.protobuf.message import DecodeError

from naiad.adapters.departure import depart
from naiad.adapters.resolving import Refused, Resolve, permitted_addresses, system_resolve
from naiad.server.address import is_loopback
from naiad.server.breaker import Breaker, State
from naiad.server.callback import LONGEST_REASON, Callback, CallbackFailed, Failure, Question, Verdict
from naiad.server.callback_messages import request_of
from naiad.v1 import check_service_pb2

log = structlog.get_logger(__name__)

_SERVICE = check_service_pb2.DESCRIPTOR.services_by_name["CheckService"]
METHOD = f"/{_SERVICE.full_name}/{_SERVICE.methods[0].name}"
_REPLY_BYTES = 65_536
_REMEMBER_S = 10.0  # how long a resolved name is kept
_SLACK_S = 0.1  # beyond the deadline that gRPC keeps by itself
_READY, _FAILED, _CLOSED = (
    grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN,
)  # fmt: skip
_FAILURES = {
    grpc.StatusCode.DEADLINE_EXCEEDED: Failure.TIMEOUT,
    grpc.StatusCode.UNAVAILABLE: Failure.UNREACHABLE,
    grpc.StatusCode.UNAUTHENTICATED: Failure.UNAUTHORIZED,
    grpc.StatusCode.PERMISSION_DENIED: Failure.UNAUTHORIZED,
    grpc.StatusCode.UNIMPLEMENTED: Failure.UNIMPLEMENTED,
}


class CallbackChannel:
    """One callback; monotonic: seconds."""

    def __init__(
        self, name: str, settings: Callback, monotonic: Callable[[], float], resolve: Resolve = system_resolve
    ) -> None:
        self._name = name
        self._settings = settings
        self._monotonic = monotonic
        self._resolve = resolve
        self._places = asyncio.Semaphore(settings.concurrent)
        self._breaker = Breaker()
        self._dialling = asyncio.Lock()
        self._addresses: Sequence[str] = ()
        self._resolved_s = -math.inf
        self._channels: list[grpc.aio.Channel] = []  # one for each family of addresses: gRPC takes no mixed target
        self._closing: set[asyncio.Future[None]] = set()

    def __repr__(self) -> str:
        return f"CallbackChannel({self._name!r}, {self._settings.address}, {self._breaker.state})"

    async def check(self, question: Question, *, timeout_s: float) -> Verdict:
        """Ask about an answer; raises CallbackFailed, and Withheld where it may not leave any more."""
        own_s = self._settings.timeout_s
        ends_s = self._monotonic() + min(own_s, timeout_s)
        self._look()
        async with self._place(ends_s):
            self._look()
            self._breaker = self._breaker.begin(self._monotonic())
            era = self._breaker.era
            try:
                verdict = await self._asked(question, ends_s, whole=own_s <= timeout_s)
            except CallbackFailed as failed:
                now = self._breaker
                self._turn(now.failed(era, self._monotonic()) if failed.failure.speaks else now.abandoned(era))
                raise
            except BaseException:  # the caller left, or the rules changed: nothing is known
                self._turn(self._breaker.abandoned(era))
                raise
            self._turn(self._breaker.succeeded(era))
            return verdict

    async def aclose(self) -> None:
        """Close the channels, and end what is under way."""
        channels, self._channels = self._channels, []
        await asyncio.gather(*(channel.close() for channel in channels), *self._closing)

    # -- whether it is well ----------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Raise CallbackFailed where the callback is to be left alone."""
        if not self._breaker.ready(self._monotonic()):
            raise CallbackFailed(Failure.RESTING, f"it is left alone for a moment: {self._breaker.why}")

    def _turn(self, after: Breaker) -> None:
        """Take in what a question made of the breaker."""
        before, self._breaker = self._breaker, after
        if after.state is State.OPEN and after.opened != before.opened:
            wait_s = round(after.until_s - self._monotonic(), 3)
            log.warning("callback_rests", callback=self._name, why=after.why, wait_s=wait_s)
        elif after.state is State.CLOSED and before.state is not State.CLOSED:
            log.info("callback_well", callback=self._name)

    @asynccontextmanager
    async def _place(self, ends_s: float) -> AsyncIterator[None]:
        """Wait for one of the places there are; raises CallbackFailed where none is free in time."""
        try:
            async with asyncio.timeout(ends_s - self._monotonic()):
                await self._places.acquire()
        except TimeoutError:
            most = self._settings.concurrent
            raise CallbackFailed(
                Failure.BUSY, f"{most} questions are under way; concurrent_calls allows no more"
            ) from None
        try:
            yield
        finally:
            self._places.release()

    # -- asking ----------------------------------------------------------------------------------------------------

    async def _asked(self, question: Question, ends_s: float, *, whole: bool) -> Verdict:
        """Connect, send and read within the time; whole: that is the callback's own, and not what a caller has left."""
        connected = False
        try:
            async with asyncio.timeout(max(0.0, ends_s - self._monotonic()) + _SLACK_S):
                async with asyncio.timeout(max(0.0, ends_s - self._monotonic())):
                    channel = await self._connected()
                connected = True
                return _verdict(await self._send(channel, question, ends_s))
        except TimeoutError:
            failure = Failure.TIMEOUT if connected else Failure.UNREACHABLE
        except CallbackFailed as failed:
            if failed.failure is not Failure.TIMEOUT:
                raise
            failure = failed.failure
        what = "it gave no answer" if connected else "it could not be connected to"
        raise CallbackFailed(failure if whole else Failure.NO_TIME, f"{what} within the time") from None

    async def _send(self, channel: grpc.aio.Channel, question: Question, ends_s: float) -> bytes:
        settings, data = self._settings, request_of(question, self._settings).SerializeToString()
        ask: Any = channel.unary_unary(METHOD)
        depart()  # nothing is awaited between this and sending
        token = settings.endpoint.key
        metadata = () if token is None else (("authorization", token.prefixed("Bearer ").reveal()),)
        call = ask(data, timeout=max(0.001, ends_s - self._monotonic()), metadata=metadata, wait_for_ready=False)
        try:
            reply: bytes = await call
        except grpc.aio.AioRpcError as error:
            code = error.code()  # its details are the callback's words, which may hold anything
            raise CallbackFailed(
                _FAILURES.get(code, Failure.ERROR), f"it ended with {code.name}: {_REMEDIES.get(code, 'see its log')}"
            ) from None
        return reply

    # -- connecting ------------------------------------------------------------------------------------------------

    async def _connected(self) -> grpc.aio.Channel:
        """Return a channel that is connected; raises CallbackFailed."""
        async with self._dialling:
            try:
                await self._dial()
            except (OSError, ValueError) as error:
                why = str(error) if isinstance(error, Refused) else "its name, or its ca, cannot be read"
                raise CallbackFailed(Failure.UNREACHABLE, why) from None
            channels = tuple(self._channels)
        for channel in channels:
            if channel.get_state() is _READY:
                return channel
        for channel in channels:
            if await _comes_up(channel):
                return channel
        raise CallbackFailed(Failure.UNREACHABLE, f"nobody answers at {self._settings.address}, or TLS failed")

    async def _dial(self) -> None:
        """Resolve, if that is due, and make channels where there are none to these addresses.

        Those that failed to connect are not waited for: gRPC keeps them so until they succeed, at a pace of its own.
        """
        now_s = self._monotonic()
        if self._channels and all(channel.get_state() is _FAILED for channel in self._channels):
            self._let_go()
        if now_s - self._resolved_s < _REMEMBER_S:
            return
        addresses = await permitted_addresses(self._settings.endpoint, self._resolve)
        if self._settings.plaintext and (away := [one for one in addresses if not is_loopback(one)]):
            raise Refused(f"it resolves to {away[0][:45]}, and without TLS only loopback may be connected to")
        if set(addresses) != set(self._addresses):
            fresh = self._channels_to(addresses)
            self._let_go()
            self._addresses, self._channels = addresses, fresh
        self._resolved_s = now_s

    def _let_go(self) -> None:
        """Make no further calls on the channels there are; what is under way may end."""
        for channel in self._channels:
            closing = asyncio.ensure_future(channel.close(self._settings.timeout_s))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        self._channels, self._addresses, self._resolved_s = [], (), -math.inf

    def _channels_to(self, addresses: Sequence[str]) -> list[grpc.aio.Channel]:
        settings, place = self._settings, self._settings.endpoint.place
        options: list[tuple[str, Any]] = [
            ("grpc.max_receive_message_length", _REPLY_BYTES),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.enable_retries", 0),
            ("grpc.use_local_subchannel_pool", 1),  # shares its connection with nobody
            ("grpc.default_authority", settings.address),
        ]
        families = [[one for one in addresses if (":" in one) is six] for six in (False, True)]
        targets = [
            f"ipv6:{','.join(f'[{one}]:{place.port}' for one in family)}"
            if ":" in family[0]
            else f"ipv4:{','.join(f'{one}:{place.port}' for one in family)}"
            for family in families
            if family
        ]
        if settings.plaintext:
            return [grpc.aio.insecure_channel(target, options) for target in targets]
        ca = settings.endpoint.ca
        credentials = grpc.ssl_channel_credentials(None if ca is None else Path(ca).read_bytes())
        options.append(("grpc.ssl_target_name_override", place.host))  # that the certificate must hold for
        return [grpc.aio.secure_channel(target, credentials, options) for target in targets]


_REMEDIES = {
    grpc.StatusCode.UNAUTHENTICATED: "set token_env to a token that it knows",
    grpc.StatusCode.PERMISSION_DENIED: "set token_env to a token that it lets in",
    grpc.StatusCode.UNIMPLEMENTED: "it must serve naiad.v1.CheckService",
}


async def _comes_up(channel: grpc.aio.Channel) -> bool:
    """Wait until a channel is connected, or has failed to."""
    while (state := channel.get_state(try_to_connect=True)) is not _READY:
        if state in (_FAILED, _CLOSED):
            return False
        try:
            await channel.wait_for_state_change(state)
        except grpc.aio.UsageError:  # it was let go meanwhile
            return False
    return True


def _verdict(data: bytes) -> Verdict:
    """Return what a reply says; raises CallbackFailed for one that says nothing of use."""
    try:
        reply = check_service_pb2.CheckAnswerResponse.FromString(data)
    except DecodeError:
        raise CallbackFailed(Failure.INVALID_REPLY, "its reply is no CheckAnswerResponse") from None
    if not reply.HasField("accepted"):
        raise CallbackFailed(Failure.INVALID_REPLY, "its reply lacks accepted; set it to true or false")
    score = reply.score if reply.HasField("score") else float(reply.accepted)
    if not 0.0 <= score <= 1.0:  # NaN is not
        raise CallbackFailed(Failure.INVALID_REPLY, "its score is no number from 0 to 1; leave it out, or correct it")
    reason = "".join(char if char.isprintable() else " " for char in reply.reason[:LONGEST_REASON]).strip()
    return Verdict(reply.accepted, score, reason)


def connect(callbacks: Mapping[str, Callback], monotonic: Callable[[], float]) -> dict[str, CallbackChannel]:
    """Return a channel for each callback; nothing is connected before the first question."""
    return {name: CallbackChannel(name, settings, monotonic) for name, settings in callbacks.items()}


async def tried(callbacks: Mapping[str, Callback], monotonic: Callable[[], float]) -> dict[str, str]:
    """Ask each callback an empty question, which holds nobody's data; return what is wrong with those that fail."""

    async def trouble(channel: CallbackChannel, settings: Callback) -> str:
        try:
            await channel.check(Question(), timeout_s=settings.timeout_s)
        except CallbackFailed as failed:
            return f"{failed.failure}: {failed}"
        finally:
            await channel.aclose()
        return ""

    channels = connect(callbacks, monotonic)
    found = await asyncio.gather(*(trouble(channel, callbacks[name]) for name, channel in channels.items()))
    return {name: said for name, said in zip(channels, found, strict=True) if said}
