"""What was said before and after an event.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidcontexteventid
"""

from collections.abc import Sequence
from dataclasses import dataclass

from homeserver.protocol.errors import InvalidParam
from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import EventID, RoomID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import PageToken
from homeserver.services.rooms.access import Access, Seen
from homeserver.services.rooms.history import MAX_LIMIT, History, Page
from homeserver.services.rooms.page_places import just_before, of_event
from homeserver.services.rooms.shown_state import ShownState
from homeserver.services.rooms.stored_event import StoredEvent


@dataclass(frozen=True, slots=True)
class EventContext:
    """An event with its neighbours, nearest first, the tokens on either side, and the state at the last of
    them.
    """

    event: Seen
    before: Sequence[Seen]
    after: Sequence[Seen]
    start: PageToken
    end: PageToken
    state: Sequence[StoredEvent]


class Contexts:
    """Reads events with their surroundings."""

    def __init__(self, access: Access, history: History, shown_state: ShownState) -> None:
        self._access = access
        self._history = history
        self._shown_state = shown_state

    async def around(
        self, who: Requester, room_id: RoomID, event_id: EventID, limit: int, filter: RoomEventFilter
    ) -> EventContext:
        """An event and about ``limit`` of its neighbours. Raises Forbidden, NotFound, InvalidParam."""
        if limit < 0:
            raise InvalidParam("`limit` must not be negative")
        limit = min(limit, MAX_LIMIT)
        standing = await self._access.standing(room_id, who.user_id)
        event = await self._access.event(room_id, who.user_id, event_id)
        after_limit = limit - limit // 2
        before, after = await self._history.around(standing, event.stored, limit // 2, after_limit, filter)
        last = after.events[-1] if after.events else event
        senders = {seen.stored.event.sender for seen in (*before.events, event, *after.events)}
        state = await self._shown_state.at(last.stored, filter, senders)
        return EventContext(
            event, before.events, after.events, _start(event, before), _end(event, after), state
        )


def _start(event: Seen, before: Page) -> PageToken:
    return before.end or just_before((before.events[-1] if before.events else event).stored)


def _end(event: Seen, after: Page) -> PageToken:
    return after.end or of_event((after.events[-1] if after.events else event).stored)
