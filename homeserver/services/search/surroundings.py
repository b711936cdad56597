"""What is shown with a result of a search: what was said around it, by whom, and the state of its room."""

from collections.abc import Collection, Sequence

from homeserver.protocol.errors import Forbidden
from homeserver.protocol.events.content import text_of
from homeserver.protocol.filters import RoomEventFilter
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.services.rooms.access import MEMBER, Access, Seen
from homeserver.services.rooms.history import History
from homeserver.services.rooms.page_places import just_before, of_event
from homeserver.services.rooms.shown_state import ShownState
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.search.model import Around, ContextWish

MAX_CONTEXT = 50
_OPEN = RoomEventFilter()


class Surroundings:
    """Reads them as the searcher may see them."""

    def __init__(self, access: Access, history: History, shown_state: ShownState, states: StateStore) -> None:
        self._access = access
        self._history = history
        self._shown_state = shown_state
        self._states = states

    async def around(self, user_id: UserID, match: Seen, wish: ContextWish) -> Around:
        """What was said before and after a result."""
        stored = match.stored
        before_limit, after_limit = min(wish.before, MAX_CONTEXT), min(wish.after, MAX_CONTEXT)
        try:
            standing = await self._access.standing(stored.event.room_id, user_id)
        except Forbidden:
            return Around((), (), just_before(stored), of_event(stored), await self._who(wish, [match]))
        before, after = await self._history.around(standing, stored, before_limit, after_limit, _OPEN)
        shown = [*before.events, match, *after.events]
        return Around(
            before.events,
            after.events,
            before.end or just_before((before.events[-1] if before.events else match).stored),
            after.end or of_event((after.events[-1] if after.events else match).stored),
            await self._who(wish, shown),
        )

    async def state(
        self, user_id: UserID, room_id: RoomID, members: Collection[UserID] | None
    ) -> Sequence[StoredEvent]:
        """The state of a room as its reader is shown it, with all members or some. Raises Forbidden."""
        standing = await self._access.standing(room_id, user_id)
        events = await self._states.whole_events(standing.state)
        if members is None:
            return events
        return [each for each in events if each.event.type != MEMBER or each.event.state_key in members]

    async def _who(self, wish: ContextWish, shown: Sequence[Seen]) -> dict[UserID, dict[str, str]] | None:
        """How those called themselves then who said something."""
        if not wish.profiles:
            return None
        events = [seen.stored for seen in shown]
        members = await self._shown_state.members(events, {stored.event.sender for stored in events})
        return {UserID(each.event.state_key or ""): _profile(each) for each in members}


def _profile(member: StoredEvent) -> dict[str, str]:
    texts = {key: text_of(member.event.content, key) for key in ("displayname", "avatar_url")}
    return {key: text for key, text in texts.items() if text is not None}
