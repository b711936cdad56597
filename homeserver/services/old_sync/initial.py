"""The state of everything, for clients from before `/sync`.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3initialsync,
https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3roomsroomidinitialsync
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import EventID, RoomID, UserID
from homeserver.protocol.requester import Requester
from homeserver.services.account_data import GLOBAL, PUSH_RULES, changed_between, of_rooms
from homeserver.services.old_sync.old_events import of_room, old_event, old_events
from homeserver.services.rooms.access import Access, Standing
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.history import History, PageRequest
from homeserver.services.rooms.ignored_users import ignored_by
from homeserver.services.rooms.invite_permission import unwanted_inviters
from homeserver.services.rooms.partial_rooms import PartialRooms
from homeserver.services.rooms.rendering import Renderer, Viewer
from homeserver.services.rooms.state_store import StateStore
from homeserver.services.sync.ephemera import receipt_events
from homeserver.services.sync.here import Here
from storage.database import Database
from storage.journal import Journal
from storage.tables.account_data import AccountDatum
from storage.tables.memberships import MembershipRow, Memberships
from storage.tables.receipts import ReceiptRow, Receipts
from storage.tables.rooms import Rooms
from storage.transaction import Transaction

Content = dict[str, Any]

MAX_LIMIT: Final = 100
_MAX_RECEIPTS: Final = 500
_MAX_MEMBERS: Final = 500


@dataclass(frozen=True, slots=True)
class RoomViews:
    """What reads rooms for a user."""

    access: Access
    history: History
    states: StateStore
    events: EventStore
    renderer: Renderer
    partial: PartialRooms


@dataclass(frozen=True, slots=True)
class _Own:
    """What a user has in some rooms."""

    receipts: Sequence[ReceiptRow]
    data: Sequence[AccountDatum]
    published: frozenset[RoomID]

    def account_data(self, room_id: RoomID) -> list[Content]:
        return [_datum(datum) for datum in self.data if datum.room_id == room_id]

    def receipt_events(self, room_id: RoomID) -> list[Content]:
        rows = [row for row in self.receipts if row.room_id == room_id]
        return of_room(receipt_events(rows, ()), room_id) if rows else []


def hidden_inviters(tx: Transaction, user_id: UserID, rows: Iterable[MembershipRow]) -> frozenset[str]:
    """Those who have invited a user and whose invites the user is not to see: they ignore them, or their rules do."""
    inviters = {UserID(row.sender) for row in rows if row.membership == "invite"}
    if not inviters:
        return frozenset()
    return ignored_by(tx, user_id) | unwanted_inviters(tx, user_id, inviters)


class InitialSync:
    """Answers the two forms."""

    def __init__(self, database: Database, journal: Journal, views: RoomViews, here: Here) -> None:
        self._database = database
        self._journal = journal
        self._views = views
        self._here = here

    async def event(self, who: Requester, event_id: EventID) -> bytes:
        """One event, of whatever room. Raises NotFound if it is not there for the user."""
        views = self._views
        stored = await views.events.find(event_id)
        if stored is None:
            raise NotFound("Event not found")
        seen = await views.access.event(RoomID(stored.event.room_id), who.user_id, event_id)
        return (await views.renderer.timeline(Viewer.of(who), (seen,)))[0]

    async def everything(self, who: Requester, limit: int, archived: bool) -> Content:
        """All rooms of a user, with the last ``limit`` events of each; with ``archived`` also those they left. Raises
        NotYetWhole.
        """
        self._here.presence.sync_began(who, None)
        self._here.presence.sync_ended(who, None)
        pos, end = self._now()
        rows = await self._database.read(lambda tx: Memberships(tx).shown_to(who.user_id, archived))
        for row in rows:
            if row.membership == "join":
                await self._views.partial.whole(row.room_id)
        entered = [row.room_id for row in rows if row.membership not in ("invite", "knock")]
        own = await self._database.read(lambda tx: _own(tx, who.user_id, entered, pos))
        threads = self._here.thread_rules
        data = await self._database.read(
            lambda tx: changed_between(tx, who.user_id, 0, pos, thread_rules=threads)
        )
        joined = [row.room_id for row in rows if row.membership == "join"]
        members = await self._members(joined)
        hidden = await self._database.read(lambda tx: hidden_inviters(tx, who.user_id, rows))
        rooms = []
        for row in rows:
            if row.membership == "invite" and row.sender in hidden:
                continue
            if row.membership in ("invite", "knock"):
                rooms.append(await self._invited(who, row))
            elif row.membership in ("join", "leave"):
                standing = await self._views.access.standing(row.room_id, who.user_id)
                rooms.append(await self._room(who, standing, own, limit, end))
        return {
            "rooms": rooms,
            "end": end,
            "presence": self._presence([who.user_id, *members]),
            "receipts": [event for room_id in joined for event in own.receipt_events(room_id)],
            "account_data": [_datum(datum) for datum in data if _is_shown(datum)],
        }

    async def room(self, who: Requester, room_id: RoomID, limit: int) -> Content:
        """One room: as its members see it, as it was for who left it, or as anybody may see it. Raises Forbidden,
        NotYetWhole.
        """
        await self._views.partial.whole(room_id)
        pos, end = self._now()
        standing = await self._views.access.standing(room_id, who.user_id)
        own = await self._database.read(lambda tx: _own(tx, who.user_id, [room_id], pos))
        joined = standing.membership == "join"
        members = await self._members([room_id]) if joined else []
        return {
            **await self._room(who, standing, own, limit, end),
            "presence": self._presence(members, everybody=True),
            "receipts": own.receipt_events(room_id) if joined else [],
        }

    async def _room(self, who: Requester, standing: Standing, own: _Own, limit: int, end: str) -> Content:
        room_id, viewer = standing.head.room_id, Viewer.of(who)
        state = await self._views.states.whole_events(standing.state)
        messages: Content = {"chunk": [], "start": end, "end": end}
        if limit > 0:
            page = await self._views.history.page(
                who, room_id, PageRequest(backwards=True, limit=min(limit, MAX_LIMIT))
            )
            shown = await self._views.renderer.timeline(viewer, page.events[::-1])
            last = end if standing.upto is None else str(page.start)
            messages = {"chunk": old_events(shown), "start": str(page.end or page.start), "end": last}
        return {
            "room_id": room_id,
            "membership": standing.membership,
            "visibility": "public" if room_id in own.published else "private",
            "messages": messages,
            "state": old_events(await self._views.renderer.state(state, viewer)),
            "account_data": own.account_data(room_id),
        }

    async def _invited(self, who: Requester, row: MembershipRow) -> Content:
        events = list((await self._views.events.by_nids((row.event_nid,))).values())
        shown = await self._views.renderer.state(events, Viewer.of(who))
        room: Content = {"room_id": row.room_id, "membership": row.membership, "inviter": row.sender}
        if shown:
            room[row.membership] = old_event(shown[0])
        return room

    async def _members(self, rooms: Iterable[RoomID]) -> list[UserID]:
        wanted = list(rooms)
        rows = await self._database.read(lambda tx: Memberships(tx).first_members(wanted, _MAX_MEMBERS))
        return list(dict.fromkeys(user_id for _, user_id, membership in rows if membership == "join"))

    def _presence(self, users: Iterable[UserID], *, everybody: bool = False) -> list[Content]:
        """Of those who were here, or of ``everybody``."""
        presence = self._here.presence
        known = [presence.of(user_id) for user_id in dict.fromkeys(users)]
        known = [status for status in known if everybody or status.active_at is not None]
        return [
            {
                "type": "m.presence",
                "sender": status.user_id,
                "content": {"status_msg": None, **presence.content(status), "user_id": status.user_id},
            }
            for status in known
        ]

    def _now(self) -> tuple[int, str]:
        """The position up to which is told, and its token."""
        pos = self._journal.position
        return pos, str(self._here.ephemeral.token(pos, self._here.ephemeral.position))


def _own(tx: Transaction, user_id: UserID, rooms: list[RoomID], upto: int) -> _Own:
    return _Own(
        Receipts(tx).latest(rooms, upto, user_id, _MAX_RECEIPTS),
        of_rooms(tx, user_id, rooms, upto),
        frozenset(Rooms(tx).published_among(rooms)),
    )


def _is_shown(datum: AccountDatum) -> bool:
    """Push rules were not account data then."""
    return datum.room_id == GLOBAL and datum.type != PUSH_RULES


def _datum(datum: AccountDatum) -> Content:
    return {"type": datum.type, "content": orjson.loads(bytes(datum.content))}
