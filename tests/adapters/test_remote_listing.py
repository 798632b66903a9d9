"""Listing models over the transport: page by page, within the time, each name once, and never without an end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest

from naiad.adapters import remote
from naiad.adapters.errors import (
    AuthenticationFailed,
    ContextTooLong,
    InvalidRequest,
    MalformedAnswer,
    ProviderError,
    Timeout,
    TimeoutKind,
)
from naiad.adapters.exchange import Reply
from naiad.adapters.failures import failure_of, recast
from naiad.adapters.listing import ListedModel, ModelLister
from naiad.adapters.remote import Remote
from naiad.adapters.secret import Secret
from naiad.adapters.wire_format import Listing
from tests.adapters.peer import KEY, Script, Talk, peer, response, serving, transport


class Pages:
    """A wire format that lists and does nothing else: a page is `{"names": [...], "next": PAGE}`."""

    def __init__(self, *, post: bool = False) -> None:
        self._post = post

    def key_headers(self, key: Secret) -> Mapping[str, Secret]:
        return {"authorization": key.prefixed("Bearer ")}

    def listing(self, page: str) -> Listing:
        return Listing(
            "/list", {"page": page} if page else {}, {"x-version": "7"}, {"page": page} if self._post else None
        )

    def listed(self, reply: Reply, page: str) -> tuple[Sequence[ListedModel], str]:
        body = reply.json(dict[str, Any])
        return [ListedModel(name) for name in body["names"]], body["next"]

    def failure(self, reply: Reply, *secrets: Secret, now: Any) -> ProviderError:
        return failure_of(reply, *secrets, now=now)


def paged(*pages: dict[str, Any]) -> Script:
    """Answer the first request of a connection with the first page, and so on."""

    async def script(talk: Talk) -> None:
        for page in pages:
            await talk.request()
            await talk.send(response(msgspec.json.encode(page)))
        await talk.gone()

    return script


async def listed(url: str, wire: Pages | None = None, timeout_s: float = 30.0) -> list[str]:
    """Return the names that an endpoint lists."""
    async with transport(url) as out:
        speaks: Any = wire or Pages()
        adapter = Remote(speaks, out, headers={"x-team": "search"})
        assert isinstance(adapter, ModelLister)
        return [model.name for model in await adapter.list_models(timeout_s)]


async def test_pages_are_followed_and_each_name_comes_once() -> None:
    script = paged({"names": ["b", "a", "b"], "next": "two"}, {"names": ["a", "c"], "next": ""})
    async with peer(script) as there:
        assert await listed(there.url()) == ["b", "a", "c"]
    first, second = there.requests
    assert first.startswith(b"GET /v1/list HTTP/1.1\r\n")
    assert second.startswith(b"GET /v1/list?page=two HTTP/1.1\r\n")
    for line in (f"authorization: Bearer {KEY}", "x-version: 7", "x-team: search"):
        assert line.encode() in first.replace(b"Authorization", b"authorization"), line


async def test_a_list_that_must_be_asked_for_with_a_body() -> None:
    async with peer(paged({"names": ["a"], "next": ""})) as there:
        assert await listed(there.url(), Pages(post=True)) == ["a"]
    assert there.requests[0].startswith(b"POST /v1/list")
    assert there.requests[0].endswith(b'\r\n\r\n{"page":""}')


async def test_a_list_without_an_end_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_PAGES", 5)
    async with peer(serving(response(b'{"names": ["a"], "next": "again"}'))) as there:
        with pytest.raises(MalformedAnswer, match="5 pages"):
            await listed(there.url())
    assert len(there.requests) == 5


async def test_a_list_that_is_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MOST_MODELS", 2)
    async with peer(serving(response(b'{"names": ["a", "b", "c"], "next": "again"}'))) as there:
        with pytest.raises(MalformedAnswer, match="2 models"):
            await listed(there.url())
    assert len(there.requests) == 1


async def test_the_time_bounds_all_pages_together() -> None:
    async def slow(talk: Talk) -> None:
        await talk.request()
        await talk.send(response(b'{"names": ["a"], "next": "two"}'))
        await talk.request()
        await talk.gone()

    async with peer(slow) as there:
        with pytest.raises(Timeout) as caught:
            await listed(there.url(), timeout_s=0.3)
    assert caught.value.kind is TimeoutKind.TOTAL
    assert caught.value.provider == "peer"


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_no_time_left(timeout_s: float) -> None:
    async with peer(serving(b"")) as there:
        with pytest.raises(Timeout):
            await listed(there.url(), timeout_s=timeout_s)
    assert there.accepted == 0


async def test_a_refusal_has_its_type_and_not_the_key() -> None:
    body = f'{{"error": {{"message": "wrong key {KEY}", "code": "invalid_api_key"}}}}'
    async with peer(serving(response(body.encode(), status="401 No"))) as there:
        with pytest.raises(AuthenticationFailed) as caught:
            await listed(there.url())
    assert caught.value.status == 401
    assert KEY not in str(caught.value)


def test_an_error_of_another_class_has_the_same_facts() -> None:
    facts: dict[str, Any] = {"status": 400, "retry_after_s": 2.0, "provider_request_id": "r-1"}
    error = InvalidRequest("status 400", provider="peer", model="m", **facts)
    found = recast(error, ContextTooLong)
    assert type(found) is ContextTooLong
    assert repr(found) == repr(error).replace("InvalidRequest", "ContextTooLong")
