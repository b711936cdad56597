"""What a server that is in a room tells one that joins it: the state before the join, whole or without most members.

https://spec.matrix.org/v1.19/server-server-api/#put_matrixfederationv2send_joinroomideventid
"""

from dataclasses import dataclass

from homeserver.protocol.identifiers import RoomID, ServerName, StateKey, UserID, server_of
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.exports import auth_chain_numbers, json_array
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.database import Database
from storage.snapshots import Snapshot
from storage.tables.events import Events
from storage.tables.memberships import Memberships
from storage.tables.rooms import Rooms
from storage.threaded import ThreadedReads
from storage.transaction import Transaction

HEROES = 5
"""Members that a nameless room is called after: as many as `/sync` names."""

MEMBER = "m.room.member"
_NAMES: tuple[StateKey, ...] = (("m.room.name", ""), ("m.room.canonical_alias", ""))


@dataclass(frozen=True, slots=True)
class JoinAnswer:
    """The state and what authorises it and the join, as JSON arrays of PDUs; the servers that were in the room."""

    state: bytes
    auth_chain: bytes
    servers: list[ServerName]
    members_omitted: bool = False


class JoinAnswers:
    """Reads rooms for servers that join them."""

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, reads: ThreadedReads
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._reads = reads

    async def whole(self, join: StoredEvent) -> JoinAnswer:
        """All of the state. Its events are not looked into, so a large one costs little."""
        nids = list((await self._before(join)).entries().values())
        servers = await self._servers(join)

        def read(tx: Transaction) -> JoinAnswer:
            table = Events(tx)
            chain = auth_chain_numbers(tx, [*nids, join.nid])
            return JoinAnswer(
                json_array(table.json_of(nids)), json_array(table.json_of(list(chain))), servers
            )

        return await self._reads.read(read)

    async def without_members(self, join: StoredEvent) -> JoinAnswer:
        """The state but for members whom nothing here needs, and of what authorises it and the join only what is not
        in it already. The members are those whom the join names, and in a room without a name its heroes.
        """
        before = await self._before(join)
        nids = list(before.entries().values())
        members = {*await self._named(join), *await self._heroes(join, before)} & set(nids)
        servers = await self._servers(join)

        def read(tx: Transaction) -> JoinAnswer:
            table = Events(tx)
            kept = members.union(table.of_other_types(nids, MEMBER))
            chain = auth_chain_numbers(tx, [*kept, join.nid]) - kept
            return JoinAnswer(
                json_array(table.json_of(list(kept))),
                json_array(table.json_of(list(chain))),
                servers,
                members_omitted=len(kept) < len(nids),
            )

        return await self._reads.read(read)

    async def _before(self, join: StoredEvent) -> Snapshot:
        return await self._states.snapshot(join.state_before or 0)

    async def _named(self, join: StoredEvent) -> set[int]:
        found = await self._events.by_ids(join.event.auth_event_ids)
        return {stored.nid for stored in found.values() if stored.event.type == MEMBER}

    async def _heroes(self, join: StoredEvent, before: Snapshot) -> set[int]:
        """https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync, `m.heroes`."""
        if await self._states.lookup(before, _NAMES):
            return set()
        joining = UserID(join.event.sender)
        heroes = await self._database.read(lambda tx: _heroes(tx, join.event.room_id, joining))
        keys = [(MEMBER, str(hero)) for hero in heroes[:HEROES]]
        return {stored.nid for stored in (await self._states.lookup(before, keys)).values()}

    async def _servers(self, join: StoredEvent) -> list[ServerName]:
        """Those in the room without the user who has just joined it."""
        room_id, user_id = join.event.room_id, UserID(join.event.sender)
        server = server_of(user_id)

        def read(tx: Transaction) -> list[ServerName]:
            servers = Rooms(tx).servers(room_id)
            if Memberships(tx).has_others(room_id, server, user_id):
                return servers
            return [each for each in servers if each != server]

        return await self._database.read(read)


def _heroes(tx: Transaction, room_id: RoomID, joining: UserID) -> list[UserID]:
    table = Memberships(tx)
    present = [user_id for _, user_id, _ in table.first_members([room_id], HEROES + 1) if user_id != joining]
    return present or [user_id for _, user_id, _ in table.first_gone([room_id], HEROES) if user_id != joining]
