"""Joins through other servers as work that a restart does not lose.

The other server may have let the user in when this one stops. Without a record the user would be in a room that this
server knows nothing of. Whoever works at a join says so again and again; a join of which nobody does is taken over by a
node that runs.
"""

from collections.abc import Callable, Sequence
from typing import Final

import orjson
import structlog
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.python.failure import Failure

from homeserver.clock import Clock
from homeserver.protocol.errors import MatrixError
from homeserver.protocol.identifiers import RoomID, ServerName, UserID
from homeserver.services.rooms.membership_requests import MembershipWish
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.remote_joining import RemoteJoining
from storage.database import Database
from storage.tables.remote_joins import RemoteJoin
from storage.tables.remote_joins import RemoteJoins as Stored
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

ALIVE_MS: Final = 60_000
"""Who has not said for so long that they work at a join does so no more."""
MAX_ATTEMPTS: Final = 5


class RemoteJoins:
    """Does joins, and goes on with those of nodes that died."""

    def __init__(
        self, database: Database, joining: RemoteJoining, partial: PartialRooms, clock: Clock
    ) -> None:
        self._partial = partial
        self._database = database
        self._joining = joining
        self._clock = clock
        self._under_way: dict[tuple[RoomID, UserID], Deferred[None]] = {}
        self._stopped = False

    async def join(self, wish: MembershipWish, servers: Sequence[ServerName]) -> None:
        """Join through one of the servers. Raises what `RemoteJoining.join` does."""
        content, alive = orjson.dumps(wish.content).decode(), self._clock.now_ms() + ALIVE_MS
        await self._database.transact(
            lambda tx: Stored(tx).put(wish.room_id, wish.user_id, content, list(servers), alive)
        )
        await self._joined(wish, servers)
        await self._partial.whole_soon(wish.room_id)

    async def keep_trying(self) -> None:
        """Take over what nobody works at, every now and then, until cancelled."""
        while True:
            try:
                await self._take_over()
            except CancelledError:
                raise
            except Exception:
                log.exception("joins that were interrupted could not be gone on with")
            await self._clock.sleep(ALIVE_MS / 2000)

    async def stop(self) -> None:
        """Leave what is under way to another node, or to this one when it is started again, at once."""
        self._stopped = True
        for work in list(self._under_way.values()):
            work.cancel()
        rooms = [room_id for room_id, _ in self._under_way]
        users = [user_id for _, user_id in self._under_way]
        if rooms:
            await self._database.transact(lambda tx: Stored(tx).let_go(rooms, users))

    async def _take_over(self) -> None:
        now = self._clock.now_ms()
        found = await self._database.transact(lambda tx: Stored(tx).take_over(now, now + ALIVE_MS))
        await DeferredList([Deferred.fromCoroutine(self._again(each)) for each in found])

    async def _again(self, join: RemoteJoin) -> None:
        wish = MembershipWish(join.room_id, join.user_id, orjson.loads(join.content))
        if join.attempts > MAX_ATTEMPTS:
            log.warning("join given up", room_id=join.room_id, user=join.user_id)
            await self._ended(wish)
            return
        log.info("join gone on with", room_id=join.room_id, user=join.user_id, attempt=join.attempts)
        try:
            await self._joined(wish, join.servers)
        except MatrixError as error:
            log.info("join not possible", room_id=join.room_id, user=join.user_id, error=error.message)

    async def _joined(self, wish: MembershipWish, servers: Sequence[ServerName]) -> None:
        """Join, also if whoever waits for it gives up. Raises what `RemoteJoining.join` does."""
        waiting: Deferred[None] = Deferred()
        key = wish.room_id, wish.user_id
        self._under_way[key] = work = Deferred.fromCoroutine(self._work(wish, servers))

        def ended(result: object) -> None:
            if not self._stopped and self._under_way.get(key) is work:
                del self._under_way[key]
            if waiting.called:
                return
            if isinstance(result, Failure):
                waiting.errback(result)
            else:
                waiting.callback(None)

        _ = work.addBoth(ended)
        await waiting

    async def _work(self, wish: MembershipWish, servers: Sequence[ServerName]) -> None:
        """Join, and strike the record at the end, whatever that is. It stays if this node is told to stop."""
        alive = Deferred.fromCoroutine(self._say_so(wish))
        try:
            await self._joining.join(wish, servers)
        except CancelledError:
            raise
        except Exception:
            if not self._stopped:  # else that is what failed
                await self._ended(wish)
            raise
        else:
            await self._ended(wish)
        finally:
            alive.cancel()

    async def _say_so(self, wish: MembershipWish) -> None:
        while True:
            try:
                await self._clock.sleep(ALIVE_MS / 3000)
            except CancelledError:
                return
            await self._database.transact(self._alive(wish))

    def _alive(self, wish: MembershipWish) -> Callable[[Transaction], None]:
        until = self._clock.now_ms() + ALIVE_MS
        return lambda tx: Stored(tx).is_alive(wish.room_id, wish.user_id, until)

    async def _ended(self, wish: MembershipWish) -> None:
        await self._database.transact(lambda tx: Stored(tx).remove(wish.room_id, wish.user_id))
