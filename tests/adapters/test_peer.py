"""The peer that tests talk to ends what it accepted, even at its own end."""

from __future__ import annotations

import contextlib
import gc
import socket

from tests.adapters.peer import peer_elsewhere, response, serving


def test_a_connection_that_comes_as_the_peer_goes_is_closed() -> None:
    for _ in range(20):
        with peer_elsewhere(serving(response())) as there, socket.socket() as caller:
            caller.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                caller.connect(("127.0.0.1", there.port))
            caller.close()
    gc.collect()  # an unclosed transport is a warning, and so an error of this test
