"""The stream of events, for clients from before `/sync`, and for those who watch a room that they are not in.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3events
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.clock import Clock
from homeserver.notifier import Notifier
from homeserver.protocol.errors import GuestAccessForbidden
from homeserver.protocol.identifiers import RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.protocol.stream_tokens import LiveToken, SyncToken, parse_page_token, parse_sync_token
from homeserver.services.account_data import changed_between
from homeserver.services.old_sync.initial import RoomViews
from homeserver.services.old_sync.old_events import of_room, old_events
from homeserver.services.rooms.access import Seen
from homeserver.services.rooms.invite_permission import unwanted_inviters
from homeserver.services.rooms.rendering import Viewer
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.sync.ephemera import receipt_events, typing_event
from homeserver.services.sync.following import Following
from homeserver.services.sync.here import Here
from homeserver.services.sync.live import LiveUser
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.events import EventRow
from storage.tables.memberships import MembershipChangeRow, Memberships
from storage.tables.receipts import Receipts
from storage.tables.room_stream import RoomStream
from storage.transaction import Transaction

Content = dict[str, Any]

MAX_LIMIT: Final = 100
MAX_TIMEOUT_MS: Final = 300_000
MAX_PRESENCE: Final = 1000
LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Watching:
    """What tells that something happened."""

    clock: Clock
    journal: Journal
    notifier: Notifier
    following: Following
    here: Here


@dataclass(frozen=True, slots=True)
class _Ask:
    """Who wants what happened after a position; in one room, or in all of theirs."""

    who: Requester
    room_id: RoomID | None
    since: int
    told: int
    limit: int


class EventStream:
    """Answers polls."""

    def __init__(self, database: Database, views: RoomViews, watching: Watching) -> None:
        self._database = database
        self._events = views.events
        self._views = views
        self._watching = watching
        self._watchers: dict[RoomID, list[UserID]] = {}
        watching.journal.listen(self._landed)

    async def poll(
        self, who: Requester, room_id: RoomID | None, start: str | None, timeout_ms: int, limit: int
    ) -> Content:
        """What happened after ``start``, or will happen within the timeout. Raises Forbidden, InvalidParam,
        GuestAccessForbidden.
        """
        if who.is_guest and room_id is None:
            raise GuestAccessForbidden("Guests can watch single rooms only")
        watching = self._watching
        watching.following.start()
        token = _token(start) if start else self._now()
        told = watching.here.ephemeral.known_to(token)
        ask = _Ask(who, room_id, token.pos, told, max(1, min(limit, MAX_LIMIT)))
        watching.here.presence.sync_began(who, None)
        self._watch(ask)
        try:
            return await self._wait(ask, str(token), min(timeout_ms, MAX_TIMEOUT_MS) / 1000)
        finally:
            self._unwatch(ask)
            watching.here.presence.sync_ended(who, None)

    async def _wait(self, ask: _Ask, start: str, seconds: float) -> Content:
        watching = self._watching
        deadline = watching.clock.seconds() + seconds
        while True:
            now = self._now()
            chunk, upto = await self._chunk(ask, now)
            left = deadline - watching.clock.seconds()
            if chunk or left <= 0 or watching.notifier.closing:
                end = watching.here.ephemeral.token(upto, now.ephemeral)
                return {"chunk": chunk, "start": start, "end": str(end)}
            # Nobody tells of the presence of people whom the user shares no room with: look again now and then.
            await watching.notifier.wait(ask.who.user_id, left if ask.room_id is None else min(left, LOOK_S))

    async def _chunk(self, ask: _Ask, now: SyncToken) -> tuple[list[Content], int]:
        """Events, and the position up to which they go: it is earlier than now where there are many."""
        user = await self._watching.here.live.user(ask.who.user_id)
        if ask.room_id is not None:
            await self._views.access.standing(ask.room_id, ask.who.user_id)
        rows, changes = await self._database.read(lambda tx: _read(tx, ask, user, now.pos))
        upto = now.pos if len(rows) < ask.limit else rows[-1].pos or now.pos
        chunk = await self._timeline(ask, [each for each in self._events.load(rows) if _is_heard(each, user)])
        chunk += await self._invites(ask, user, [change for change in changes if change.pos <= upto])
        chunk += await self._passing(ask, user, upto)
        return chunk, upto

    async def _timeline(self, ask: _Ask, stored: Sequence[StoredEvent]) -> list[Content]:
        by_room: dict[RoomID, list[StoredEvent]] = {}
        for each in stored:
            by_room.setdefault(each.event.room_id, []).append(each)
        access, user_id = self._views.access, ask.who.user_id
        groups = [(await access.reader(room_id, user_id), events) for room_id, events in by_room.items()]
        seen: list[Seen] = [each for group in await access.select_each(user_id, groups) for each in group]
        seen.sort(key=lambda each: each.stored.pos or 0)
        return old_events(await self._views.renderer.timeline(Viewer.of(ask.who), seen))

    async def _invites(
        self, ask: _Ask, user: LiveUser, changes: Sequence[MembershipChangeRow]
    ) -> list[Content]:
        """The user's own membership events in rooms whose timeline they do not see."""
        nids = [change.event_nid for change in changes if change.membership in ("invite", "knock")]
        if not nids:
            return []
        found = (await self._events.by_nids(nids)).values()
        inviters = {each.event.sender for each in found if each.event.membership == "invite"}
        hidden = await self._database.read(lambda tx: unwanted_inviters(tx, ask.who.user_id, inviters))
        events = [
            each
            for each in found
            if each.event.membership != "invite" or each.event.sender not in hidden | user.ignored
        ]
        return old_events(await self._views.renderer.state(events, Viewer.of(ask.who)))

    async def _passing(self, ask: _Ask, user: LiveUser, upto: int) -> list[Content]:
        """What is no part of history: receipts, account data, typing notices and presence."""
        here, user_id = self._watching.here, ask.who.user_id
        rooms, threads = _rooms(ask, user), here.thread_rules
        receipts, data = await self._database.read(
            lambda tx: (
                Receipts(tx).between(rooms, ask.since, upto, user_id),
                changed_between(tx, user_id, ask.since, upto, thread_rules=threads)
                if ask.room_id is None
                else [],
            )
        )
        chunk: list[Content] = []
        for room_id in dict.fromkeys(row.room_id for row in receipts):
            rows = [row for row in receipts if row.room_id == room_id]
            chunk += of_room(receipt_events(rows, user.ignored), room_id)
        for datum in data:
            event = {"type": datum.type, "content": orjson.loads(bytes(datum.content))}
            chunk.append({**event, "room_id": datum.room_id} if datum.room_id else event)
        for room_id in here.typing.changed(rooms, ask.told):
            chunk += of_room((typing_event(here.typing.users(room_id), user.ignored),), room_id)
        return chunk + await self._presence(ask, user)

    async def _presence(self, ask: _Ask, user: LiveUser) -> list[Content]:
        here = self._watching.here
        changed = {status.user_id: status for status in here.presence.changed_since(ask.told)}
        shown = await self._sharing(ask, user, list(changed)[:MAX_PRESENCE]) if changed else set()
        return [
            {
                "type": "m.presence",
                "sender": user_id,
                "content": {**here.presence.content(status), "user_id": user_id},
            }
            for user_id, status in changed.items()
            if user_id in shown and user_id not in user.ignored
        ]

    async def _sharing(self, ask: _Ask, user: LiveUser, others: list[UserID]) -> set[UserID]:
        """Those of some users who are in the rooms that are watched, or who asks."""
        room_id = ask.room_id
        if room_id is None:
            return await self._watching.here.live.shared_with(user, others) | {ask.who.user_id}
        return set(await self._database.read(lambda tx: RoomStream(tx).joined_among(room_id, others)))

    def _now(self) -> SyncToken:
        ephemeral = self._watching.here.ephemeral
        return ephemeral.token(self._watching.journal.position, ephemeral.position)

    def _watch(self, ask: _Ask) -> None:
        if ask.room_id is not None:
            self._watchers.setdefault(ask.room_id, []).append(ask.who.user_id)

    def _unwatch(self, ask: _Ask) -> None:
        if ask.room_id is not None:
            watchers = self._watchers[ask.room_id]
            watchers.remove(ask.who.user_id)
            if not watchers:
                del self._watchers[ask.room_id]

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        """Wake those who watch a room without being in it."""
        if not self._watchers:
            return
        for changes, _, _ in landed:
            for room_id in changes.rooms:
                if room_id in self._watchers:
                    self._watching.notifier.wake(list(self._watchers[room_id]))


def _read(
    tx: Transaction, ask: _Ask, user: LiveUser, upto: int
) -> tuple[list[EventRow], list[MembershipChangeRow]]:
    if ask.room_id is not None:
        return RoomStream(tx).between([ask.room_id], ask.since, upto, ask.limit), []
    changes = Memberships(tx).changes(ask.who.user_id, ask.since, upto)
    rooms = list(user.rooms.union(change.room_id for change in changes))
    return RoomStream(tx).between(rooms, ask.since, upto, ask.limit), changes


def _is_heard(stored: StoredEvent, user: LiveUser) -> bool:
    """Whether an event is not a message of somebody whom the user ignores."""
    return stored.event.is_state or stored.event.sender not in user.ignored


def _rooms(ask: _Ask, user: LiveUser) -> list[RoomID]:
    return list(user.rooms) if ask.room_id is None else [ask.room_id]


def _token(text: str) -> SyncToken:
    """Any token that `initialSync` gave."""
    if text[:1] == "m":
        return parse_sync_token(text)
    place = parse_page_token(text)
    return SyncToken(place.pos if isinstance(place, LiveToken) else 0)
