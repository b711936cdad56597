"""Whom the events of a room name, where most of its members are not known yet.

A client that loads members lazily is told who they are that say something. In a partial room that is not in the state,
but their events name the memberships by which they may speak.
"""

from collections.abc import Collection, Iterable

from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.stored_event import Status, StoredEvent
from homeserver.services.sync.model import MEMBER, Timeline


class NamedMembers:
    """Finds them."""

    def __init__(self, events: EventStore, partial: PartialRooms) -> None:
        self._events = events
        self._partial = partial

    async def of(
        self,
        room_id: RoomID,
        timeline: Timeline,
        wanted: Collection[UserID],
        told: Iterable[StoredEvent],
    ) -> list[StoredEvent]:
        """The memberships of those of the ``wanted`` who speak in a timeline and are not in what is told anyway; none
        where all members are known.
        """
        if room_id not in self._partial or not wanted:
            return []
        events = [seen.stored.event for seen in timeline.events]
        missing = set(wanted) - {stored.event.state_key for stored in told if stored.event.type == MEMBER}
        missing -= {event.state_key for event in events if event.type == MEMBER}
        speaking = [event for event in events if event.sender in missing]
        named = await self._events.by_ids({one for event in speaking for one in event.auth_event_ids})
        found: dict[str, StoredEvent] = {}
        for event in speaking:
            for auth_id in event.auth_event_ids:
                stored = named.get(auth_id)
                if stored is not None and stored.event.key == (MEMBER, event.sender):
                    if stored.status is not Status.REJECTED:
                        found[event.sender] = stored
        return list(found.values())
