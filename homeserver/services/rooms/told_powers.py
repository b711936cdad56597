"""Whether the powers by which somebody acts in a partial room will hold when its members are known.

Who was banned may act there with an old membership, and change powers with it: what comes of it is undone when the
members are known (`ingest.completion`). What cannot be undone is done then, and not before.
"""

from typing import Final

from homeserver.protocol.identifiers import ServerName, StateKey, UserID, server_of
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.powers import POWER_KEYS
from homeserver.services.rooms.state_store import StateStore
from storage.database import Database
from storage.tables.partial_rooms import PartialRooms

_MEMBER: Final = "m.room.member"


class ToldPowers:
    """Compares what decides with what was told when we joined, which stays."""

    def __init__(
        self, database: Database, events: EventStore, states: StateStore, server_name: ServerName
    ) -> None:
        self._database = database
        self._events = events
        self._states = states
        self._server_name = server_name

    async def hold(self, draft: RoomDraft, sender: UserID) -> bool:
        """Whether those of a user do, in the draft's room as it is. That our own users are in it we know."""
        if not draft.partial:
            return True
        record = await self._database.read(lambda tx: PartialRooms(tx).find(draft.head.room_id))
        if record is None:
            return False
        keys: list[StateKey] = [*POWER_KEYS]
        if server_of(sender) != self._server_name:
            keys.append((_MEMBER, sender))
        join = (await self._events.by_nids((record.join_nid,)))[record.join_nid]
        told = await self._states.lookup(await self._states.snapshot(join.state_before or 0), keys)
        now = await self._states.lookup(draft.state, keys, draft.unsaved)
        if (keys[-1][0] == _MEMBER) and keys[-1] not in told:
            return False
        return {key: one.nid for key, one in now.items()} == {key: one.nid for key, one in told.items()}
