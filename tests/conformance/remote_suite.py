"""The Adapter suite for a wire format that `Remote` carries over a real socket."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator

import pytest

from naiad.adapters.base import Adapter, Request, user
from naiad.adapters.errors import Overloaded, ProviderError
from naiad.adapters.remote import Remote
from naiad.adapters.transport import Transport
from naiad.adapters.wire_format import WireFormat
from tests.adapters.peer import KEY, Peer, Script, endpoint, peer_elsewhere
from tests.conformance.adapter_suite import AdapterSuite


class RemoteSuite(AdapterSuite):
    """A subclass says which format is spoken and what the peer answers in it, as `formats.speaking` does."""

    secrets = (KEY,)

    @abstractmethod
    def wire(self) -> WireFormat:
        """Make the format."""

    @abstractmethod
    def script(self) -> Script:
        """Make the provider: it overloads and hangs where the question says so."""

    @pytest.fixture(autouse=True)
    async def there(self) -> AsyncIterator[Peer]:
        """Listen, and see that nothing is left open."""
        self.made: list[Remote] = []
        with peer_elsewhere(self.script()) as self.peer:
            yield self.peer
            for adapter in self.made:
                assert adapter.out.open_exchanges == 0
                await adapter.aclose()

    def make(self) -> Adapter:
        self.made.append(Remote(self.wire(), Transport(endpoint(self.peer.url()))))
        return self.made[-1]

    def request(self) -> Request:
        return Request("any", (user("What happens after something dies?"),))

    def slow(self) -> tuple[Adapter, Request]:
        return self.make(), Request("any", (user("hang"),))

    def failing(self) -> tuple[Adapter, Request, type[ProviderError]]:
        return self.make(), Request("any", (user("overload, please"),)), Overloaded

    def open_calls(self, adapter: Adapter) -> int:
        assert isinstance(adapter, Remote)
        return adapter.out.open_exchanges
