"""How events of other servers come into rooms, and who may bring them."""

from collections.abc import Sequence
from typing import Any

from homeserver.protocol.errors import MatrixError
from homeserver.protocol.events.parsing import parse_pdu
from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from homeserver.protocol.room_versions import RoomVersion
from homeserver.services.keyed_locks import KeyedLocks
from homeserver.services.rooms.heads import RoomHead
from homeserver.services.rooms.inbound_invites import InboundInvites
from homeserver.services.rooms.ingest.early import EarlyEvents, pdu_of
from homeserver.services.rooms.ingest.receiving import EventReceiver, Outcome
from homeserver.services.rooms.server_access import ServerAccess
from storage.tables.early_events import EarlyEvent


class Rooms:
    """Takes the events of one room after the other's. `early` are those that came too early."""

    def __init__(
        self,
        receiver: EventReceiver,
        access: ServerAccess,
        invites: InboundInvites,
        early: EarlyEvents,
    ) -> None:
        self._receiver = receiver
        self._access = access
        self._invites = invites
        self.early = early
        self._queues: KeyedLocks[RoomID] = KeyedLocks()

    async def take(self, origin: ServerName, room_id: RoomID, pdus: Sequence[Any]) -> Outcome:
        """Take the events of one room. One server's wait for another's: their events mostly build on each other."""
        async with self._queues.holding(room_id):
            head = await self._receiver.participating(room_id)
            if head is None:
                return await self._outside(origin, room_id, pdus)
            if not await self._access.is_allowed(head, origin):
                return all_refused(pdus, "The room keeps your server out", head.room_version)
            received = await self._receiver.receive(origin, head, pdus)
            kept = await self.early.keep(origin, room_id, received.early)
            await self._take_those_that_waited(head, received.placed)
            # Those are in our hands: their server need not care for them any more.
            return received.outcome | dict.fromkeys(kept)

    async def try_again(self, server: ServerName, early: EarlyEvent) -> None:
        """Give an event that came too early another chance; ``server`` is asked for what comes before it."""
        async with self._queues.holding(early.room_id):
            head = await self._receiver.present(early.room_id)
            if head is None or not await self._access.is_allowed(head, early.origin):
                await self.early.tried(early, ())
                return
            placed = await self._receive_early(server, head, early)
            await self._take_those_that_waited(head, placed)

    async def _take_those_that_waited(self, head: RoomHead, arrived: Sequence[EventID]) -> None:
        while waiting := await self.early.waiting_for(head.room_id, arrived):
            arrived = []
            for early in waiting:
                arrived += await self._receive_early(early.origin, head, early)

    async def _receive_early(self, server: ServerName, head: RoomHead, early: EarlyEvent) -> list[EventID]:
        received = await self._receiver.receive(server, head, [pdu_of(early)])
        await self.early.tried(early, received.early)
        return received.placed

    async def _outside(self, origin: ServerName, room_id: RoomID, pdus: Sequence[Any]) -> Outcome:
        outcome: Outcome = {}
        for pdu in pdus:
            if not await self._invites.withdrawn(origin, room_id, pdu):
                outcome.update(all_refused([pdu], "This server is not in the room"))
        return outcome


def all_refused(pdus: Sequence[Any], reason: str, version: RoomVersion | None = None) -> Outcome:
    """The same answer for all that name their event ID; the others' IDs depend on the version of a room that
    we may not know.
    """
    outcome: Outcome = {}
    for pdu in pdus:
        try:
            event_id = pdu["event_id"] if version is None else parse_pdu(pdu, version).event_id
        except (KeyError, TypeError, MatrixError):
            continue
        if isinstance(event_id, str):
            outcome[EventID(event_id)] = reason
    return outcome
