"""News of devices between servers: what of ours others are to be told, in order, and who begins or ceases to share
rooms with whom.

https://spec.matrix.org/v1.19/server-server-api/#device-management
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import orjson
import structlog
from twisted.internet.defer import CancelledError, Deferred

from homeserver.clock import Clock
from homeserver.protocol.identifiers import DeviceID, RoomID, ServerName, UserID, is_user_id, server_of
from homeserver.services.device_lists import CROSS_SIGNING, DeviceLists
from homeserver.services.remote_device_lists import RemoteDeviceLists
from homeserver.services.rooms.persist import RoomCommit
from homeserver.services.rooms.room_elsewhere import RoomElsewhere
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.device_keys import CrossSigningKeys, DeviceKeysRow
from storage.tables.device_keys import DeviceKeys as StoredKeys
from storage.tables.device_lists import DeviceLists as StoredLists
from storage.tables.device_lists import Move, OwedDevice
from storage.tables.outbox import Outbox
from storage.transaction import Transaction

log = structlog.get_logger(__name__)

Json = dict[str, Any]

READ_AT_ONCE: Final = 1000
NOTE_EVERY: Final = 200
"""After so many moves, progress is put on record; after a crash they are looked at again, which harms nobody."""


class _Missed(NamedTuple):
    """Moves between two positions are to be read from the database."""

    after: int
    upto: int


class DeviceListExchange:
    """What other servers are told, and when what they told is forgotten."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        journal: Journal,
        lists: DeviceLists,
        remote: RemoteDeviceLists,
        clock: Clock,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._journal = journal
        self._lists = lists
        self._remote = remote
        self._clock = clock
        self._moves: deque[Move | _Missed] = deque()
        self._seen = 0
        self._following = False
        self._started = False
        self._running: Deferred[None] | None = None
        self._stopped = False
        journal.listen(self._landed, self._missed)

    async def start(self) -> None:
        """Look at what happened since the progress on record, and from now on; on one node at a time."""
        self._following, self._stopped, self._seen = True, False, self._journal.position
        after = await self._database.read(lambda tx: StoredLists(tx).progress()) or 0
        self._moves.extendleft(reversed(await self._all_moves(after, self._journal.position)))
        self._started = True
        self._work()

    async def _all_moves(self, after: int, upto: int) -> list[Move]:
        missed: list[Move] = []
        while True:
            moves = await self._moves_after(after, upto)
            missed += moves
            if len(moves) < READ_AT_ONCE:
                break
            after = moves[-1].pos - 1 if moves[0].pos < moves[-1].pos else moves[-1].pos
            missed = [move for move in missed if move.pos <= after]
        return missed

    async def _moves_after(self, after: int, upto: int) -> list[Move]:
        return await self._database.read(lambda tx: StoredLists(tx).moves(after, upto, READ_AT_ONCE))

    async def stop(self) -> None:
        """Look no more, until the next start."""
        self._stopped, self._following, self._started = True, False, False
        running = self._running  # ending, it forgets itself
        if running is not None:
            running.cancel()
            await running
        self._moves.clear()

    async def devices(self, user_id: UserID) -> tuple[int, list[DeviceKeysRow], dict[str, Json]]:
        """All devices of a local user with their stream ID, and the cross-signing keys."""

        def read(tx: Transaction) -> tuple[int, list[DeviceKeysRow], dict[str, Json]]:
            stream_id = StoredLists(tx).position(user_id)  # first: what changes meanwhile is told again
            rows = StoredKeys(tx).all_devices(user_id)
            signing = CrossSigningKeys(tx).of_users([user_id])
            stream_id += StoredLists(tx).stream_offset()
            return stream_id, rows, {row.usage: orjson.loads(row.json) for row in signing}

        return await self._database.read(read)

    async def owed(self, destination: ServerName, limit: int) -> tuple[list[OwedDevice], list[Json]]:
        """What a server is to be told next, as EDUs of what is now."""
        return await self._database.read(lambda tx: _owed(tx, destination, limit))

    async def delivered(self, destination: ServerName, owed: Sequence[OwedDevice]) -> None:
        """It was told."""
        users, devices = [each.user_id for each in owed], [each.device_id for each in owed]
        positions = [each.pos for each in owed]
        await self._database.transact(lambda tx: StoredLists(tx).sent(destination, users, devices, positions))

    # Who shares rooms with whom.

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        if not self._following:
            return
        for _, payload, _ in landed:
            if isinstance(payload, RoomCommit) and payload.changes:
                for change in payload.changes:
                    if change.key[0] == "m.room.member":
                        self._note_move(last, payload.head.room_id, change.key[1], change.memberships)
            elif isinstance(payload, RoomElsewhere):
                for user_id, was, now in payload.moves:
                    self._note_move(last, payload.room_id, user_id, (was, now))
        self._seen = max(self._seen, last)
        if self._moves and self._started:
            self._work()

    def _missed(self, upto: int) -> None:
        if self._following:
            self._moves.append(_Missed(self._seen, upto))
            self._seen = max(self._seen, upto)
            if self._started:
                self._work()

    def _note_move(self, pos: int, room_id: RoomID, user_id: str, memberships: tuple[str, str]) -> None:
        was, now = memberships
        if (was == "join") != (now == "join") and is_user_id(user_id):
            self._moves.append(Move(pos, room_id, user_id, now == "join"))

    def _work(self) -> None:
        if self._moves and self._running is None and not self._stopped:
            self._running = Deferred()  # until the coroutine is a Deferred, it may end
            running = Deferred.fromCoroutine(self._run())
            if not running.called:
                self._running = running

    async def _run(self) -> None:
        done = noted = 0
        try:
            while self._moves and not self._stopped:
                first = self._moves[0]
                try:
                    if isinstance(first, _Missed):
                        moves = await self._all_moves(first.after, first.upto)
                        self._moves.popleft()
                        self._moves.extendleft(reversed(moves))
                        continue
                    group = self._next_group(first)
                    await self._look(group)
                except CancelledError:
                    raise
                except Exception:
                    log.exception("comings and goings could not be looked at", first=first)
                    await self._clock.sleep(1.0)
                    continue
                for _ in group:
                    self._moves.popleft()
                done += len(group)
                if done - noted >= NOTE_EVERY or not self._moves:
                    noted = done
                    await self._note(group[-1].pos)
        except CancelledError:
            return
        except Exception:
            log.exception("progress could not be recorded")
        finally:
            self._running = None

    async def _note(self, pos: int) -> None:
        await self._database.transact(lambda tx: StoredLists(tx).set_progress(pos))

    def _next_group(self, first: Move) -> list[Move]:
        """Moves of one position: mostly one, or all of a room that this server has joined."""
        group = []
        for move in self._moves:
            if isinstance(move, _Missed) or (move.pos, move.room_id) != (first.pos, first.room_id):
                break
            group.append(move)
        return group

    async def _look(self, group: Sequence[Move]) -> None:
        room_id = group[0].room_id
        came = [UserID(move.user_id) for move in group if move.joined]
        went = [UserID(move.user_id) for move in group if not move.joined]
        if came:
            await self._announce(room_id, came)
        if went:
            await self._forget_sent(went)
            gone = [user_id for user_id in went if server_of(user_id) != self._server_name]
            if len(gone) < len(went):
                gone += await self._database.read(lambda tx: StoredLists(tx).remotes_in([room_id]))
            if gone:
                await self._remote.left(gone, group[0].pos)

    async def _forget_sent(self, went: Sequence[UserID]) -> None:
        ours = [user_id for user_id in went if server_of(user_id) == self._server_name]
        servers = sorted({server_of(user_id) for user_id in went} - {self._server_name})
        await self._database.transact(lambda tx: StoredLists(tx).forget_sent(ours, servers))

    async def _announce(self, room_id: RoomID, came: Sequence[UserID]) -> None:
        """Tell servers of users that they share a room with now: of those who came all servers in the room, and
        servers that came of all our users in it.
        """
        local = [user_id for user_id in came if server_of(user_id) == self._server_name]
        servers = {server_of(user_id) for user_id in came} - {self._server_name}
        there, members = await self._database.read(
            lambda tx: (Outbox(tx).servers(room_id, 2**62), StoredLists(tx).locals_in(room_id))
        )
        present = {each.server for each in there if each.left_pos is None} - {self._server_name}
        for user_id in members:
            wanted = present if user_id in local else present & servers
            if wanted:
                await self._tell(room_id, sorted(wanted), user_id)

    async def _tell(self, room_id: RoomID, servers: Sequence[ServerName], user_id: UserID) -> None:
        told, elsewhere = await self._database.read(
            lambda tx: (
                StoredLists(tx).told(user_id),
                StoredLists(tx).servers_elsewhere(user_id, room_id, list(servers)),
            )
        )
        new = [server for server in servers if server not in told or server not in elsewhere]
        if new:
            await self._lists.tell(new, user_id)


def _owed(tx: Transaction, destination: ServerName, limit: int) -> tuple[list[OwedDevice], list[Json]]:
    lists = StoredLists(tx)
    owed = lists.owed(destination, limit)
    if not owed:
        return [], []
    found = {
        (row.user_id, row.device_id): row
        for row in lists.as_they_are([each.user_id for each in owed], [each.device_id for each in owed])
    }
    signing: dict[UserID, dict[str, Json]] = {}
    if users := [each.user_id for each in owed if each.device_id == CROSS_SIGNING]:
        for row in CrossSigningKeys(tx).of_users(users):
            signing.setdefault(row.user_id, {})[row.usage] = orjson.loads(row.json)
    edus: list[Json] = []
    offset = lists.stream_offset()
    sent: dict[UserID, int] = {}
    for each in owed:
        if each.device_id == CROSS_SIGNING:
            edus += _signing_edu(each.user_id, signing.get(each.user_id, {}))
            continue
        prev = sent.get(each.user_id, each.prev)
        content: Json = {
            "user_id": each.user_id,
            "device_id": each.device_id,
            "stream_id": each.pos + offset,
            "prev_id": [] if prev is None else [prev + offset],
        }
        sent[each.user_id] = each.pos
        device = found.get((each.user_id, DeviceID(each.device_id)))
        if device is None:
            content["deleted"] = True
        else:
            if device.display_name is not None:
                content["device_display_name"] = device.display_name
            if device.json is not None:
                content["keys"] = orjson.loads(device.json)
        edus.append({"edu_type": "m.device_list_update", "content": content})
    return owed, edus


def _signing_edu(user_id: UserID, keys: dict[str, Json]) -> list[Json]:
    """The keys under the name of the specification, and under the one that was in use before it."""
    content: Json = {"user_id": user_id}
    for usage in ("master", "self_signing"):
        if usage in keys:
            content[f"{usage}_key"] = keys[usage]
    if len(content) == 1:
        return []
    return [{"edu_type": "m.signing_key_update", "content": content}]
