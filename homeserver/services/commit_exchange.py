"""What nodes tell each other of their commits, and how each comes to know of all commits even if it is told nothing.

Every commit takes positions, and they have no gaps: so a node sees when it was not told of one. It waits a moment for
it, as messages of two nodes may overtake each other, and then counts it as missed: what is in memory is forgotten, and
read from the database again. Once a second it looks in the database up to where things are committed.
"""

from collections.abc import Sequence
from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.bus import Bus, Node
from homeserver.clock import Clock, Timer
from homeserver.services.elsewhere import decoded, encoded
from storage import metrics
from storage.database import Database
from storage.journal import Journal, Landed, Stream

log = structlog.get_logger(__name__)

COMMITS: Final = "commits"
GAP_S: Final = 0.2
"""So long what comes after a missing commit waits for it."""
POLL_S: Final = 1.0


class CommitExchange:
    """The journal's `Peers`."""

    def __init__(self, bus: Bus, database: Database, journal: Journal, clock: Clock) -> None:
        self._bus = bus
        self._database = database
        self._journal = journal
        self._clock = clock
        self._timer: Timer | None = None
        self._waiting: list[tuple[int, Deferred[None]]] = []
        self._closing: Deferred[None] | None = None
        self._looks_to_go = 0
        if bus.is_shared:
            bus.subscribe(COMMITS, self._heard)
            journal.join(self)
            journal.listen(self._landed, self._missed)

    def committed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        """This node has committed a group: tell the others."""
        self._bus.publish(COMMITS, encoded(first, last, landed))

    def gap(self, upto: int) -> None:
        """Something is missing, and what came after it waits."""
        if self._timer is None and self._closing is None:
            seconds = GAP_S if self._bus.is_connected else 0.0
            self._timer = self._clock.call_later(seconds, self._close_gap, self._journal.position)

    async def heard(self, pos: int) -> None:
        """Wait a moment until commits up to a position are heard of."""
        if pos <= self._journal.position or not self._bus.is_connected:
            return
        done: Deferred[None] = Deferred()
        waiting = (pos, done)
        self._waiting.append(waiting)
        timer = self._clock.call_later(GAP_S, done.callback, None)
        try:
            await done
        finally:
            if timer.active():
                timer.cancel()
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    async def keep_up(self) -> None:
        """Look every second for commits that were not heard of, until cancelled."""
        while True:
            await self._clock.sleep(POLL_S)
            try:
                await self.look()
            except CancelledError:
                raise
            except Exception:
                log.exception("what other nodes have committed could not be looked for")

    async def look(self) -> None:
        """See whether there are commits that were not heard of."""
        upto = await self._database.read(lambda tx: Stream(tx).position())
        if upto > self._journal.position:
            await self.heard(upto)
            if upto > self._journal.position:
                await self._journal.catch_up()
                return
        if self._looks_to_go:
            self._looks_to_go -= 1
            if not self._looks_to_go:
                self._journal.forget()
                self._looks_to_go = 0

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()

    def _heard(self, node: Node, message: bytes) -> None:
        group = decoded(message)
        if group is None:
            log.warning("a message of another node cannot be understood", node=node)
        elif group.writes is None:
            self._begin_to_catch_up()
        else:
            self._journal.hear(group.first, group.last, group.landed())

    def _close_gap(self, position: int) -> None:
        self._timer = None
        if self._journal.position != position:
            self._journal.go_on()  # it was another gap
        else:
            self._begin_to_catch_up()

    def _begin_to_catch_up(self) -> None:
        if self._closing is None:
            self._closing = Deferred()
            _ = Deferred.fromCoroutine(self._catch_up())

    async def _catch_up(self) -> None:
        try:
            await self._journal.catch_up()
        except Exception:
            log.exception("what other nodes have committed could not be read")
        self._closing = None
        self._journal.go_on()

    def _landed(self, first: int, last: int, landed: object) -> None:
        if self._waiting:
            self._fire()

    def _missed(self, upto: int) -> None:
        metrics.MISSED.inc()
        self._looks_to_go = 2
        if self._waiting:
            self._fire()

    def _fire(self) -> None:
        position = self._journal.position
        for done in [done for pos, done in self._waiting if pos <= position]:
            if not done.called:
                done.callback(None)
