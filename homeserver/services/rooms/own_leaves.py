"""Leave events that only this server knows of: how an invite or a knock ended, in a room that it is not in.

The room's servers make an event of their own of it, at its place in the room. Ours is for the user's clients.
"""

from typing import Any

from homeserver.protocol.base64 import encode_base64
from homeserver.protocol.events.building import build_event
from homeserver.protocol.events.event import Event
from homeserver.protocol.events.hashes import reference_hash
from homeserver.protocol.identifiers import EventID, UserID
from homeserver.protocol.room_versions import EventIDFormat
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.local_events import Author
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.stored_event import StoredEvent


class OwnLeaves:
    """Makes them."""

    def __init__(self, events: EventStore, nids: BlockSequence, author: Author) -> None:
        self._events = events
        self._nids = nids
        self._author = author

    async def after(self, nid: int, user_id: UserID, content: dict[str, Any]) -> StoredEvent | None:
        """The leave after a membership event of that number; None if that is not here."""
        stored = (await self._events.by_nids((nid,))).get(nid)
        if stored is None:
            return None
        leave = self._build(stored.event, user_id, content)
        return StoredEvent(
            leave, await self._nids.take(), received_ts=self._author.clock.now_ms(), auth_nids=(nid,)
        )

    def _build(self, before: Event, user_id: UserID, content: dict[str, Any]) -> Event:
        author, version = self._author, before.version
        event_id = None
        if version.event_id_format is EventIDFormat.CHOSEN_BY_SENDER:
            event_id = EventID(f"${author.random.letters(24)}:{author.server_name}")
        return build_event(
            version,
            room_id=before.room_id,
            sender=user_id,
            type="m.room.member",
            content=content,
            state_key=user_id,
            prev_events=(before.event_id,),
            auth_events=(before.event_id,),
            depth=before.depth + 1,
            origin_server_ts=author.clock.now_ms(),
            server_name=author.server_name,
            signing_key=author.signing_key,
            event_id=event_id,
            reference_hashes={before.event_id: encode_base64(reference_hash(before.pdu, version))},
        )
