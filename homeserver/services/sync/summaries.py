"""Room summaries: how many members a room has, and by whom it may be called.

https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv3sync, `RoomSummary`
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from homeserver.protocol.identifiers import RoomID, UserID
from storage.database import Database
from storage.tables.memberships import Memberships
from storage.tables.rooms import MemberCounts, Rooms
from storage.transaction import Transaction

HEROES: Final = 5


@dataclass(frozen=True, slots=True)
class Summary:
    """``candidates`` are one more than there are heroes, as nobody is their own; None for a room that has a
    name.
    """

    joined: int
    invited: int
    candidates: Sequence[UserID] | None

    def heroes_for(self, user_id: UserID) -> list[UserID]:
        """The heroes as a member sees them; none for a room that has a name."""
        return [hero for hero in self.candidates or () if hero != user_id][:HEROES]

    def json(self, user_id: UserID) -> bytes:
        """As `/sync` shows it to a member."""
        shown: dict[str, object] = {
            "m.joined_member_count": self.joined,
            "m.invited_member_count": self.invited,
        }
        if self.candidates is not None:
            shown["m.heroes"] = self.heroes_for(user_id)
        return orjson.dumps(shown)


class Summaries:
    """Reads summaries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, rooms: Sequence[RoomID]) -> dict[RoomID, Summary]:
        """The summaries of some rooms, as they are now."""
        if not rooms:
            return {}
        counts, heroes = await self._database.read(lambda tx: _read(tx, list(rooms)))
        return {
            row.room_id: Summary(
                row.joined_members,
                row.invited_members,
                None if _is_named(row) else heroes.get(row.room_id, [])[: HEROES + 1],
            )
            for row in counts
        }


def _read(tx: Transaction, rooms: list[RoomID]) -> tuple[list[MemberCounts], dict[RoomID, list[UserID]]]:
    counts = Rooms(tx).member_counts(rooms)
    nameless = {row.room_id: row for row in counts if not _is_named(row)}
    table = Memberships(tx)
    heroes: dict[RoomID, list[UserID]] = {}
    for room_id, member, _ in table.first_members(list(nameless), HEROES + 1) if nameless else ():
        heroes.setdefault(room_id, []).append(member)
    alone = [room_id for room_id, row in nameless.items() if row.joined_members + row.invited_members <= 1]
    for room_id, member, _ in table.first_gone(alone, HEROES + 1) if alone else ():
        heroes.setdefault(room_id, []).append(member)
    return counts, heroes


def _is_named(row: MemberCounts) -> bool:
    return bool(row.name or row.canonical_alias)
