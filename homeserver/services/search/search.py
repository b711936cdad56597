"""Searching messages, and what is shown with the results.

https://spec.matrix.org/v1.19/client-server-api/#server-side-search
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from homeserver.protocol.errors import Forbidden, InvalidParam
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.search_text import SearchTerm
from homeserver.services.rooms.access import Reader
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.search.finding import Finder, Found
from homeserver.services.search.index import searchable
from homeserver.services.search.model import Around, Criteria, Group, GroupKey, Match, Results
from homeserver.services.search.rooms import SearchedRooms
from homeserver.services.search.surroundings import Surroundings


class Search:
    """Finds messages that a user may see."""

    def __init__(self, rooms: SearchedRooms, finder: Finder, surroundings: Surroundings) -> None:
        self._rooms = rooms
        self._finder = finder
        self._surroundings = surroundings

    async def search(self, who: Requester, criteria: Criteria) -> Results:
        """A page of results. Raises InvalidParam."""
        term = SearchTerm.of(criteria.term)
        if not term.words:
            return Results()
        readers = await self._rooms.of(who.user_id, criteria.filter)
        criteria, readers = _within_group(criteria, readers)
        if not readers:
            return Results()
        found = await self._finder.find(who.user_id, readers, term, criteria)
        return Results(
            matches=found.matches,
            count=found.count,
            highlights=_highlights(term, found.matches),
            next=found.next,
            around=await self._around(who.user_id, criteria, found.matches),
            groups={key: _groups(key, found) for key in criteria.groups},
            state=await self._state(who.user_id, criteria, found.matches),
        )

    async def _around(self, user_id: UserID, criteria: Criteria, matches: Sequence[Match]) -> list[Around]:
        if criteria.context is None:
            return []
        return [await self._surroundings.around(user_id, match.seen, criteria.context) for match in matches]

    async def _state(
        self, user_id: UserID, criteria: Criteria, matches: Sequence[Match]
    ) -> dict[RoomID, Sequence[StoredEvent]]:
        state: dict[RoomID, Sequence[StoredEvent]] = {}
        for match in matches if criteria.include_state else ():
            room_id = match.seen.stored.event.room_id
            if room_id not in state:
                senders = {each.seen.stored.event.sender for each in matches}
                lazy = criteria.filter.lazy_load_members
                try:
                    state[room_id] = await self._surroundings.state(
                        user_id, room_id, senders if lazy else None
                    )
                except Forbidden:
                    state[room_id] = []
        return state


def _within_group(
    criteria: Criteria, readers: Mapping[RoomID, Reader]
) -> tuple[Criteria, Mapping[RoomID, Reader]]:
    """The criteria with the rooms or senders that the group of the token stands for. Raises InvalidParam."""
    place, filter = criteria.place, criteria.filter
    if place.group == "room_id":
        readers = {room_id: each for room_id, each in readers.items() if room_id == place.group_value}
    if place.group == "sender":
        if not filter.matches_sender(place.group_value):
            raise InvalidParam("The token is of another search")
        filter = replace(filter, senders=(UserID(place.group_value),))
    plain = replace(filter, rooms=None)
    return (
        Criteria(
            term=criteria.term,
            types=criteria.types,
            limit=criteria.limit,
            order=criteria.order,
            filter=plain,
            place=place,
            context=criteria.context,
            include_state=criteria.include_state,
            groups=criteria.groups,
        ),
        readers,
    )


def _highlights(term: SearchTerm, matches: Sequence[Match]) -> list[str]:
    """The words looked for, and how results write them where that is otherwise."""
    words = set(term.words)
    for match in matches:
        event = match.seen.stored.event
        found = searchable(event.type, event.content)
        if found is not None:
            words |= term.spellings(found.text)
    return sorted(words)


def _groups(key: GroupKey, found: Found) -> dict[str, Group]:
    members: dict[str, list[EventID]] = {}
    for match in found.matches:
        event = match.seen.stored.event
        members.setdefault(event.room_id if key == "room_id" else event.sender, []).append(event.event_id)
    return {
        value: Group(order, results, found.next and replace(found.next, group=key, group_value=value))
        for order, (value, results) in enumerate(members.items())
    }
