"""Why a room's state is as it is: each change of an entry, and what brought it about.

State may also move without the event that is current now having just arrived: where a room forked, it is resolved
anew with each event (https://spec.matrix.org/v1.19/server-server-api/#room-state-resolution). Such moves are told.
"""

from collections.abc import Sequence
from typing import Final

import structlog

from homeserver.protocol.errors import NotFound
from homeserver.protocol.identifiers import RoomID
from homeserver.services.rooms.persist import RoomCommit
from storage.database import Database
from storage.journal import Journal, Landed
from storage.tables.rooms import Rooms
from storage.tables.state_history import StateHistory as Stored
from storage.tables.state_history import StateHistoryRow as StateHistoryRow
from storage.transaction import Transaction

__all__ = ["StateHistory", "StateHistoryRow", "StateMoves"]

log = structlog.get_logger(__name__)

TOLD_AT_ONCE: Final = 10
"""Entries that one line of the log names."""


class StateHistory:
    """Reads it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(
        self, room_id: RoomID, type: str | None, state_key: str | None, limit: int
    ) -> list[StateHistoryRow]:
        """The last changes of the room, of a type, or of one entry; the latest first. Raises NotFound."""

        def read(tx: Transaction) -> list[StateHistoryRow]:
            if Rooms(tx).head(room_id) is None:
                raise NotFound("This server has no such room")
            return Stored(tx).latest(room_id, type or "", state_key or "", state_key is None, limit)

        return await self._database.read(read)


class StateMoves:
    """Counts the entries of current state that were moved by resolution, on this node since it started."""

    def __init__(self, journal: Journal) -> None:
        self.count = 0
        journal.listen(self._landed)

    def _landed(self, first: int, last: int, landed: Sequence[Landed]) -> None:
        for each in landed:
            if isinstance(each.payload, RoomCommit):
                self._look(each.payload)

    def _look(self, commit: RoomCommit) -> None:
        if len(commit.changes) == len(commit.events) == 1 and commit.changes[0].current is commit.events[0]:
            return  # almost all are
        moved = [
            change
            for change in commit.changes
            if change.previous is not None
            and (change.current is None or change.current.nid != change.cause.nid)
        ]
        if moved:
            self.count += len(moved)
            log.info(
                "state moved by resolution",
                room_id=commit.head.room_id,
                cause=moved[0].cause.event.event_id,
                entries=[change.key for change in moved[:TOLD_AT_ONCE]],
                count=len(moved),
            )
