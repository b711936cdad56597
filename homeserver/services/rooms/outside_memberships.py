"""Recording invites and knocks of our users in rooms that this server is not in."""

from collections.abc import Sequence
from typing import Any

import orjson

from homeserver.clock import Clock
from homeserver.protocol.events.client_format import stripped_from_untrusted
from homeserver.protocol.events.event import Event
from homeserver.protocol.identifiers import RoomID, ServerName, UserID, server_of
from homeserver.services.rooms.event_store import EventStore
from homeserver.services.rooms.forgetting import Forgetting
from homeserver.services.rooms.numbers import BlockSequence
from homeserver.services.rooms.persist import event_row
from homeserver.services.rooms.stored_event import StoredEvent
from homeserver.services.rooms.summary import storable_text
from storage.bulk import Entry
from storage.database import Database
from storage.journal import Changes, Journal, Write
from storage.tables.events import OUTLIERS
from storage.tables.memberships import LOCAL_MEMBERSHIP_CHANGES, MEMBERSHIPS, MembershipRow, Memberships
from storage.tables.outside_memberships import OUTSIDE_MEMBERSHIPS, OutsideMemberships

MAX_STRIPPED_BYTES = 256 * 1024
"""Of a room's stripped state more is not kept: it goes to clients with every initial sync."""


class OutsideMembershipRecords:
    """Writes them, so that clients see them."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        events: EventStore,
        nids: BlockSequence,
        clock: Clock,
        forgetting: Forgetting,
    ) -> None:
        self._database = database
        self._journal = journal
        self._events = events
        self._nids = nids
        self._clock = clock
        self._forgetting = forgetting

    async def find(self, event: Event) -> MembershipRow | None:
        """What is on record of the member that an event is about."""
        user_id = UserID(event.state_key or "")
        return await self._database.read(lambda tx: Memberships(tx).find(event.room_id, user_id))

    async def outside(
        self, room_id: RoomID, user_id: UserID
    ) -> tuple[StoredEvent | None, MembershipRow | None, list[ServerName]]:
        """A user's membership: its event, its row, and the servers that know of it."""
        row, servers = await self._database.read(
            lambda tx: (
                Memberships(tx).find(room_id, user_id),
                OutsideMemberships(tx).servers(room_id, user_id),
            )
        )
        stored = None
        if row is not None:
            stored = (await self._events.by_nids((row.event_nid,))).get(row.event_nid)
        return stored, row, servers or []

    async def record(
        self, event: Event, membership: str, state: Any = None, servers: Sequence[ServerName] = ()
    ) -> None:
        """Make ``event`` the present membership of the user that it is about.

        ``state`` is what the room's server showed us of the room, which is trusted in nothing; ``servers``
        know of the membership.
        """
        user_id = UserID(event.state_key or "")
        known = await self._events.find(event.event_id)
        row = await self.find(event)
        if row is not None and known is not None and row.event_nid == known.nid:
            return
        entries: list[Entry] = []
        stored = known or StoredEvent(event, await self._nids.take(), received_ts=self._clock.now_ms())
        if known is None:
            entries.append(OUTLIERS.row(*event_row(stored)))
        entries.append(LOCAL_MEMBERSHIP_CHANGES.row(user_id, event.room_id, membership, stored.nid))
        entries.append(
            MEMBERSHIPS.row(
                event.room_id,
                user_id,
                server_of(user_id),
                membership,
                stored.nid,
                event.sender,
                0,
                True,
                _stripped(state),
                storable_text(event.content, "displayname"),
                storable_text(event.content, "avatar_url"),
                self._forgetting.is_forced(user_id, membership),
            )
        )
        if servers:
            entries.append(OUTSIDE_MEMBERSHIPS.row(event.room_id, user_id, list(dict.fromkeys(servers))))
        await self._journal.write(Write(entries=entries, changes=Changes(users=frozenset((user_id,)))))
        self._events.remember(stored)


def _stripped(state: Any) -> bytes | None:
    """As the client's stripped state, within bounds."""
    kept = []
    size = 0
    for entry in stripped_from_untrusted(state):
        size += len(orjson.dumps(entry))
        if size > MAX_STRIPPED_BYTES:
            break
        kept.append(entry)
    return orjson.dumps(kept) if kept else None
