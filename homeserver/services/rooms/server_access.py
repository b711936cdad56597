"""What other servers may have of a room: whether they may take part at all, and which events they may see.

https://spec.matrix.org/v1.19/server-server-api/#server-access-control-lists-acls
https://spec.matrix.org/v1.19/client-server-api/#server-behaviour-5
"""

from collections.abc import Collection, Iterable, Sequence

from homeserver.protocol.errors import Forbidden, NotFound
from homeserver.protocol.events.content import history_visibility_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.redaction import redacted
from homeserver.protocol.identifiers import RoomID, ServerName, StateKey, UserID, server_of
from homeserver.protocol.partial_state import UnableDueToPartialState
from homeserver.protocol.server_acl import ServerAcl
from homeserver.protocol.visibility import server_can_see
from homeserver.services.rooms.closed_rooms import ClosedRooms
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.heads import RoomHead, RoomHeads
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.caches import CacheBudget
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.rooms import Rooms
from storage.tables.users import Users

_VISIBILITY: StateKey = ("m.room.history_visibility", "")
_SEEN_BY_ALL = frozenset(("shared", "world_readable"))


class ServerAccess:
    """The rules of other servers' access."""

    def __init__(
        self,
        server_name: ServerName,
        database: Database,
        caches: CacheBudget,
        heads: RoomHeads,
        states: StateStore,
        events: EventStore,
    ) -> None:
        self._server_name = server_name
        self._database = database
        self._heads = heads
        self._states = states
        self._events = events
        self._acls = caches.cache("server_acls", lambda acl: 2000)

    async def participating(self, room_id: RoomID, server: ServerName) -> RoomHead:
        """The head of a room that this server is in and lets the other one take part in. Raises NotFound, Forbidden."""
        head = await self._heads.find(room_id)
        if head is None or head.summary.local_members == 0:
            raise NotFound("This server is not in the room")
        await self.check_acl(head, server)
        return head

    async def shared(self, room_id: RoomID, server: ServerName) -> RoomHead:
        """The head of a room that both servers are in. Raises NotFound, Forbidden."""
        head = await self.participating(room_id, server)
        if not await self.is_in_room(room_id, server):
            raise Forbidden("Your server is not in the room")
        return head

    async def participating_whole(self, room_id: RoomID, server: ServerName) -> RoomHead:
        """`participating`, for what needs all members. Raises UnableDueToPartialState besides."""
        return _whole(await self.participating(room_id, server))

    async def enterable_whole(self, room_id: RoomID, server: ServerName) -> RoomHead:
        """`participating_whole`, for users who want to come in. Raises Forbidden also where that is closed here."""
        head = await self.participating_whole(room_id, server)
        await ClosedRooms(self._database).require_open(room_id)
        return head

    async def is_in_room(self, room_id: RoomID, server: ServerName) -> bool:
        """Whether a server has joined users in a room."""
        return bool(await self._database.read(lambda tx: Rooms(tx).has_server(room_id, server)))

    async def check_acl(self, head: RoomHead, server: ServerName) -> None:
        """Raises Forbidden for a server that the room keeps out."""
        if not await self.is_allowed(head, server):
            raise Forbidden("Your server is kept out of the room")

    async def is_allowed(self, head: RoomHead, server: ServerName) -> bool:
        """Whether the room's access control list lets a server take part."""
        stored = await self._states.find(head.state, "m.room.server_acl")
        if stored is None:
            return True
        acl = self._acls.get(stored.event.event_id)
        if acl is None:
            acl = ServerAcl(stored.event)
            self._acls.put(stored.event.event_id, acl)
        return bool(acl.allows(server))

    async def select(self, head: RoomHead, server: ServerName, events: Sequence[StoredEvent]) -> list[Event]:
        """Events as a server that is in the room may have them: those that it may not see are redacted. Raises
        UnableDueToPartialState where it cannot be told.
        """
        before = await self._states.snapshots(
            {stored.state_before for stored in events if stored.state_before is not None}
        )
        visibilities: dict[int, str] = {}
        for snapshot_id, snapshot in before.items():
            found = await self._states.find(snapshot, *_VISIBILITY)
            visibilities[snapshot_id] = history_visibility_of(None if found is None else found.event)
        erased = await self._erased({stored.event.sender for stored in events})
        if _SEEN_BY_ALL.issuperset(visibilities.values()):
            return [_unless(stored.event.sender in erased, stored.event) for stored in events]
        keys = await self._members_of(_whole(head).room_id, server)
        chosen = []
        for stored in events:
            event = stored.event
            if stored.state_before is not None and visibilities[stored.state_before] not in _SEEN_BY_ALL:
                members = await self._states.lookup(before[stored.state_before], keys)
                memberships = {
                    UserID(key[1]): member.event.membership or "leave" for key, member in members.items()
                }
                visibility = visibilities[stored.state_before]
                if not server_can_see(
                    event, server, visibility=visibility, memberships=memberships, joined_since=True
                ):
                    event = redacted(event)
            chosen.append(_unless(event.sender in erased, event))
        return chosen

    async def _erased(self, senders: Iterable[UserID]) -> Collection[UserID]:
        """Those of them who want to be forgotten."""
        ours = [user_id for user_id in senders if server_of(user_id) == self._server_name]
        return await self._database.read(lambda tx: Users(tx).erased_among(ours)) if ours else ()

    async def _members_of(self, room_id: RoomID, server: ServerName) -> list[StateKey]:
        users = await self._database.read(lambda tx: Memberships(tx).users_of_server(room_id, server))
        return [("m.room.member", user_id) for user_id in users]


def _whole(head: RoomHead) -> RoomHead:
    if head.partial:
        raise UnableDueToPartialState
    return head


def _unless(hidden: bool, event: Event) -> Event:
    return redacted(event) if hidden else event
