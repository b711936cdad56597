"""Which events notify, and in which thread they are: found out once an event, when it is written.

What an event does to a user's counts depends on the user's rules. But nearly all users have rules that *count* like
the default ones, and for those the outcome is the same but for who is mentioned. So that outcome is stored with the
event, as marks, and a row of `mentions` for each local user in the room whom it names. A message into a room of 2,000
members costs one evaluation (8 µs) and no further row. Counts are derived from the marks when somebody asks
(`services.sync.unread`), and the rules of users that count differently are tried on events then.

Threads: https://spec.matrix.org/v1.19/client-server-api/#threaded-read-receipts. An event that relates to one in a
thread by any other relation is in that thread too; as parents are marked before their children, one look suffices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from homeserver.protocol.events.content import relation_of
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import (
    EventID,
    ServerName,
    StateKey,
    UserID,
    is_user_id,
    server_of,
)
from homeserver.protocol.push_rules.conditions import Circumstances
from homeserver.protocol.push_rules.evaluation import Verdict, default_rules
from homeserver.services.rooms.draft import RoomDraft
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.powers import POWER_KEYS, power_levels_in
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.rooms.stored_event import StoredEvent
from storage.bulk import Entry
from storage.snapshots import Snapshot
from storage.tables.mentions import MENTIONS

NOTIFIES: Final = 1
HIGHLIGHTS: Final = 2
MENTIONS_SOMEBODY: Final = 4
WAS_REDACTED: Final = 8
"""Marks of an event: what it does to everybody in the room but its sender; that there are rows of `mentions`; or that
it had marks before it was redacted: it counts no more, but who sent it has still read what was before it."""
NOTIFIES_SUBSCRIBERS: Final = 16
"""It notifies those who are subscribed to its thread, and not everybody."""

THREAD: Final = "m.thread"

_NOBODY: Final = UserID("")
_MANY: Final = 3
"""No default rule counts differently in a room of two."""


class Notability:
    """Marks events."""

    def __init__(
        self, server_name: ServerName, events: EventStore, states: StateStore, *, threads: bool = False
    ) -> None:
        """``threads``: users subscribe to threads."""
        self._server_name = server_name
        self._events = events
        self._states = states
        self._threads = threads
        self._crowd = default_rules(_NOBODY, threads=threads)

    async def mark(self, draft: RoomDraft, timeline: Sequence[StoredEvent]) -> list[Entry]:
        """Mark new events of a draft, in order; gives the rows of whom they mention."""
        entries: list[Entry] = []
        for at, stored in enumerate(timeline):
            event = stored.event
            stored.thread = await self.thread(event, draft.by_id)
            if stored.redacted_by is None:
                mentioned = await self.judge(stored, draft.state, draft.unsaved)
                entries += [MENTIONS.row(user_id, at, event.room_id, stored.nid) for user_id in mentioned]
        return entries

    async def judge(
        self, stored: StoredEvent, state: Snapshot, unsaved: Mapping[int, StoredEvent]
    ) -> list[UserID]:
        """Set the marks of an event, by the room's state; gives those who are mentioned and in the room."""
        event = stored.event
        powers: Mapping[StateKey, StoredEvent] = {}
        named = [name for name in mentioned_by(event) if server_of(name) == self._server_name]
        if mentions_room(event):
            powers = await self._states.lookup(state, POWER_KEYS, unsaved)
        stored.notable = self._marks(stored, _circumstances(event, _NOBODY, powers))
        if not named or not self._highlights(event, named[0], powers):
            return []
        members = await self._states.lookup(state, [("m.room.member", name) for name in named], unsaved)
        inside = [UserID(key[1]) for key, member in members.items() if member.event.membership == "join"]
        if inside:
            stored.notable |= MENTIONS_SOMEBODY
        return inside

    def _marks(self, stored: StoredEvent, circumstances: Circumstances) -> int:
        """What the default rules say to who is not mentioned."""
        if not self._threads or stored.thread is None:
            return _marks(self._crowd.evaluate(stored.event, circumstances))
        marks = _marks(self._crowd.evaluate(stored.event, replace(circumstances, subscribed=False)))
        if marks & NOTIFIES:
            return marks
        followed = self._crowd.evaluate(stored.event, replace(circumstances, subscribed=True))
        return marks | (NOTIFIES_SUBSCRIBERS if followed.notify else 0)

    def _highlights(self, event: Event, user_id: UserID, powers: Mapping[StateKey, StoredEvent]) -> bool:
        return default_rules(user_id).evaluate(event, _circumstances(event, user_id, powers)).highlight

    async def thread(self, event: Event, near: Mapping[EventID, StoredEvent]) -> EventID | None:
        """The root of the thread that an event is in; its parent may be in ``near``."""
        relation = relation_of(event)
        if relation is None:
            return None
        if relation.rel_type == THREAD:
            return relation.event_id
        parent = near.get(relation.event_id) or await self._events.find(relation.event_id)
        return parent.thread if parent is not None and parent.event.room_id == event.room_id else None


def mentioned_by(event: Event) -> list[UserID]:
    """The users whom an event mentions, but for its sender.

    https://spec.matrix.org/v1.19/client-server-api/#user-and-room-mentions
    """
    names = _mentions(event).get("user_ids")
    if not isinstance(names, list):
        return []
    found = {name: None for name in names if isinstance(name, str) and is_user_id(name)}
    found.pop(event.sender, None)
    return [UserID(name) for name in found]


def mentions_room(event: Event) -> bool:
    """Whether an event wants to mention everybody in the room."""
    return _mentions(event).get("room") is True


def _mentions(event: Event) -> Mapping[str, Any]:
    mentions = event.content.get("m.mentions")
    return mentions if isinstance(mentions, dict) else {}


def _marks(verdict: Verdict) -> int:
    return (NOTIFIES if verdict.notify else 0) | (HIGHLIGHTS if verdict.highlight else 0)


def _circumstances(event: Event, user_id: UserID, state: Mapping[StateKey, StoredEvent]) -> Circumstances:
    def may_notify(sender: UserID, key: str) -> bool:
        levels = power_levels_in(event.version, state)
        return levels.user(sender) >= levels.notification(key)

    return Circumstances(user_id, _MANY, may_notify)
