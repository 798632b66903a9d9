"""The running sums of cost as the journal writes them: what moved in a transaction, added to what is kept."""

from __future__ import annotations

from collections import OrderedDict

import structlog

from naiad.server.costs import NOTHING, Gathered, Sums
from naiad.server.store.base import Batch, CostKey, Store, StoreError

log = structlog.get_logger(__name__)

_RECENT = 4_000  # rows kept in memory to spare reads: those of the present hour, mostly


class CostRows:
    """The journal's own view of the sums; nobody else writes them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[CostKey, Sums] = OrderedDict()
        self.moved = Gathered()  # since the last transaction

    async def settle(self, batch: Batch) -> None:
        """Put the new value of every row that moved into a batch.

        Sums that cannot be read keep no outcome from being acknowledged: the log has all that they are made of. They
        are marked as broken, and made anew at the next start.
        """
        moved = {key: sums for key, sums in self.moved.rows.items() if any(sums)}
        self.moved = Gathered()
        unread = [key for key in moved if key not in self._known]
        if unread:
            try:
                for key, payload in (await self._store.costs(unread)).items():
                    self._known[key] = Sums.decode(payload)
            except StoreError as error:
                batch.costs_broken = True
                log.error("costs_not_read", error=str(error), rows=len(unread))
        for key, sums in moved.items():
            self._known[key] = now = self._known.get(key, NOTHING).plus(sums)
            self._known.move_to_end(key)
            batch.costs[key] = now.encode()
        while len(self._known) > _RECENT:
            self._known.popitem(last=False)
