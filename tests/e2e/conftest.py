"""One server process for each module of end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.live import BASE, Caller, Live, live


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Live]:
    """Return a server with the module's CONFIG, or else BASE; at the end its log must verify."""
    config = getattr(request.module, "CONFIG", BASE)
    with live(tmp_path_factory.mktemp("served"), config) as running:
        yield running
        running.caller.verify()


@pytest.fixture
def api(served: Live) -> Caller:
    """Return a caller of the module's server."""
    return served.caller
