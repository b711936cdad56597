"""Making rooms whole that were joined without their members: work in the background that a restart does not lose.

One server after the other is asked until one has told all, and again after a pause, for as long as any of our users is
in the room. Whoever works at a room says so again and again; one at which nobody works is taken over by another node.
"""

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from twisted.internet.defer import CancelledError, Deferred

from federation.client.errors import RemoteError
from federation.wire.state import RoomStateIDs
from homeserver.clock import Clock, Randomness
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.services.rooms.asking_around import AskingAround
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.ingest.finishing import Finishing
from homeserver.services.rooms.ingest.missing import MissingHistory
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.tables.partial_rooms import PartialRoom
from storage.tables.partial_rooms import PartialRooms as Stored
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

ALIVE_MS: Final = 30_000
"""Who has not said for so long that they work at a room does so no more."""
MAX_SERVERS: Final = 20
"""Servers that are asked before a pause."""
PAUSE_MS: Final = 10_000
MAX_PAUSE_MS: Final = 3_600_000


class NotTold(MatrixError, says="No server has told the members of the room"):
    """Nobody has told the state before a join."""


class Completing:
    """Does it, for all rooms that are partial."""

    def __init__(
        self,
        database: Database,
        partial: PartialRooms,
        missing: MissingHistory,
        finishing: Finishing,
        heads: RoomHeads,
        clock: Clock,
        random: Randomness,
    ) -> None:
        self._database = database
        self._partial = partial
        self._missing = missing
        self._finishing = finishing
        self._heads = heads
        self._clock = clock
        self._random = random
        self._working: dict[RoomID, Deferred[None]] = {}
        self._nap: Deferred[None] | None = None
        self._stopped = False
        partial.when_new(self._wake)

    async def keep_going(self) -> None:
        """Take up what nobody works at, until cancelled."""
        while True:
            try:
                await self._partial.load()
                await self._take_over()
            except CancelledError:
                raise
            except Exception:
                log.exception("partial rooms could not be taken up")
            await self._rest()

    async def stop(self) -> None:
        """Work no more, so that another node, or this one when it is started again, goes on at once."""
        self._stopped = True
        rooms = list(self._working)
        for working in list(self._working.values()):
            working.cancel()
        if rooms:
            await self._database.transact(lambda tx: Stored(tx).let_go(rooms))

    def _wake(self) -> None:
        if self._nap is not None and not self._nap.called:
            self._nap.callback(None)

    async def _rest(self) -> None:
        self._nap = Deferred()
        timer = self._clock.call_later(ALIVE_MS / 3000, self._wake)
        try:
            await self._nap
        finally:
            self._nap = None
            if timer.active():
                timer.cancel()

    async def _take_over(self) -> None:
        if self._stopped or not len(self._partial):
            return
        now = self._clock.now_ms()
        for record in await self._database.transact(lambda tx: Stored(tx).take_over(now, now + ALIVE_MS)):
            if record.room_id not in self._working:
                work = Deferred.fromCoroutine(self._work(record))
                if not work.called:
                    self._working[record.room_id] = work

    async def _work(self, record: PartialRoom) -> None:
        """Make one room whole, or note when it is to be tried again."""
        room_id = record.room_id
        alive = Deferred.fromCoroutine(self._say_so(room_id))
        try:
            await self._complete(record)
        except CancelledError:
            return
        except Exception as error:
            if self._stopped:
                return  # whoever goes on with it finds it let go
            pause = min(PAUSE_MS * 2 ** min(record.attempts - 1, 20), MAX_PAUSE_MS)
            if isinstance(error, MatrixError):
                log.info("room not whole yet", room_id=room_id, error=error.message, again_in_ms=pause)
            else:
                log.exception("room could not be made whole", room_id=room_id, again_in_ms=pause)
            await self._database.transact(self._alive(room_id, pause))
        finally:
            alive.cancel()
            self._working.pop(room_id, None)

    async def _complete(self, record: PartialRoom) -> None:
        head = await self._heads.find(record.room_id)
        if head is None or head.summary.local_members == 0:
            await self._finishing.give_up(record)
            return
        began = self._clock.seconds()
        state = await self._told(record, head)
        await self._finishing.finish(record, state)
        seconds = self._clock.seconds() - began
        log.info("room is whole", room_id=record.room_id, state=len(state), seconds=round(seconds, 3))

    async def _told(self, record: PartialRoom, head: RoomHead) -> Sequence[StoredEvent]:
        """The state before the join, as one of the servers in the room tells it. Raises NotTold."""
        join = (await self._finishing.join(record)).event

        async def ask(server: ServerName) -> tuple[EventID, RoomStateIDs]:
            return await self._state_ids(server, join)

        answers = AskingAround(self._clock, self._servers(record), ask)
        try:
            while (answered := await answers.next()) is not None:
                server, told = answered
                if isinstance(told, MatrixError):
                    log.info("members not told", room_id=record.room_id, server=server, error=told.message)
                    continue
                at, ids = told
                state = await self._missing.fetch_state(server, head, at, ids)
                if state and any(one.event.type == "m.room.create" for one in state):
                    if at != join.event_id:
                        last = await self._missing.state_event(server, head, at)
                        state += [] if last is None else [last]
                    return state
                log.info("members could not be had", room_id=record.room_id, server=server)
        finally:
            answers.stop()
        raise NotTold

    async def _state_ids(self, server: ServerName, join: Event) -> tuple[EventID, RoomStateIDs]:
        """The state before the event before the join, which other servers have sooner than the join; or if there are
        several or the server does not have it, the state before the join. Raises BadGateway.
        """
        room_id = join.room_id
        try:
            if len(join.prev_event_ids) == 1:
                before = join.prev_event_ids[0]
                return before, await self._missing.state_ids(server, room_id, before)
        except RemoteError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        return join.event_id, await self._missing.state_ids(server, room_id, join.event_id)

    def _servers(self, record: PartialRoom) -> list[ServerName]:
        """Whom to ask: who let us in, and others by chance."""
        others = [server for server in record.servers if server != record.server]
        order = {server: self._random.uniform(0, 1) for server in others}
        return [record.server, *sorted(others, key=order.__getitem__)][:MAX_SERVERS]

    async def _say_so(self, room_id: RoomID) -> None:
        while True:
            try:
                await self._clock.sleep(ALIVE_MS / 3000)
            except CancelledError:
                return
            await self._database.transact(self._alive(room_id, ALIVE_MS))

    def _alive(self, room_id: RoomID, ms: int) -> Callable[[Transaction], None]:
        until = self._clock.now_ms() + ms
        return lambda tx: Stored(tx).is_alive(room_id, until)
