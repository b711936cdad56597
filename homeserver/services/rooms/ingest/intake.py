"""Reading the events of long lists while these arrive, batch by batch on a thread.

No more than a batch is read at a time and no more than another one waits: until there is room, whoever brings more is
told to wait, and so the other server.
"""

from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from homeserver.clock import OffReactor
from homeserver.protocol.identifiers import EventID
from homeserver.services.rooms.ingest.pdu_batches import AT_ONCE, FEW, PdusOf, Read, read


class PduIntake:
    """The events of some lists, each of which has a name: `take` is given (name, PDU), `finish` ends it."""

    def __init__(self, of: PdusOf, off_reactor: OffReactor) -> None:
        self._of = of
        self._off_reactor = off_reactor
        self._waiting: deque[tuple[str, Any]] = deque()
        self._busy: Deferred[None] | None = None
        self._failure: Exception | None = None
        self._read = Read()
        self._lists: dict[str, list[EventID | None]] = {}

    def take(self, items: Sequence[tuple[str, Any]]) -> Deferred[None] | None:
        """Take some more. If the result is a Deferred, bring no more before it has fired."""
        self._waiting.extend(items)
        if len(self._waiting) < AT_ONCE:
            return None
        if self._busy is None:
            self._begin()
        return self._busy

    async def finish(self) -> Read:
        """All events, when they are read."""
        if self._busy is not None:
            await self._busy
        while self._waiting and self._failure is None:
            await self._next_batch()
        if self._failure is not None:
            raise self._failure
        return self._read

    def given(self, name: str) -> list[EventID | None]:
        """What the PDUs of a list were, in its order."""
        return self._lists.get(name, [])

    def _begin(self) -> None:
        work = Deferred.fromCoroutine(self._work())
        if not work.called:
            self._busy = work

    async def _work(self) -> None:
        try:
            while len(self._waiting) >= AT_ONCE:
                await self._next_batch()
        except Exception as error:
            self._failure = error
            self._waiting.clear()
        finally:
            self._busy = None

    async def _next_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        pdus = [pdu for _, pdu in batch]
        if len(pdus) <= FEW:
            result = read(self._of, pdus)
        else:
            result = await self._off_reactor(partial(read, self._of, pdus))
        self._merge(batch, result)

    def _merge(self, batch: list[tuple[str, Any]], result: Read) -> None:
        events, wanted = self._read.events, self._read.wanted
        for event_id, event in result.events.items():
            events.setdefault(event_id, event)
        for server, keys in result.wanted.items():
            known = wanted.setdefault(server, {})
            for key_id, timestamp in keys.items():
                known[key_id] = max(timestamp, known.get(key_id, timestamp))
        self._read.given += result.given
        for (name, _), given in zip(batch, result.given, strict=True):
            self._lists.setdefault(name, []).append(given)
