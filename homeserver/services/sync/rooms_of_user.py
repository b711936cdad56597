"""In which rooms a user is, was or may be at a position of the stream, and what became of it since an
earlier one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from homeserver.protocol.identifiers import RoomID, UserID
from storage.database import Database
from storage.tables.memberships import MembershipChangeRow, MembershipRow, Memberships
from storage.tables.room_farewells import Farewell, Farewells
from storage.transaction import Transaction

_FURTHEST = 2**63 - 1


@dataclass(slots=True)
class Stay:
    """A user and a room. ``before`` is the membership at the earlier position (None: none yet), ``changes``
    what happened after it up to the later one, ``membership`` and ``event_nid`` how it is there. ``row``
    is as of now.
    """

    room_id: RoomID
    before: str | None
    membership: str
    event_nid: int
    changes: Sequence[MembershipChangeRow] = ()
    row: MembershipRow | None = None

    @property
    def came(self) -> bool:
        """Whether the user is in the room, but was not all the time since the earlier position; or is to be shown it
        anew.
        """
        return self.membership == "join" and (
            self.before != "join"
            or any(change.membership != "join" or change.renewed for change in self.changes)
        )

    def left_at(self) -> MembershipChangeRow | None:
        """What ended the last stay in the room within the changes; without a stay, the latest change."""
        ended, inside = None, self.before == "join"
        for change in self.changes:
            joined = change.membership == "join"
            if inside and not joined:
                ended = change
            inside = joined
        return ended or (self.changes[-1] if self.changes else None)

    @property
    def was_inside(self) -> bool:
        """Whether the user was in the room at some time within the changes or before."""
        return self.before == "join" or any(change.membership == "join" for change in self.changes)


@dataclass(slots=True)
class Stays:
    """All of a user's rooms by ID."""

    by_room: dict[RoomID, Stay] = field(default_factory=dict)
    farewells: Sequence[Farewell] = ()
    """How the user left rooms of which nothing is left, since the earlier position."""

    def hide(self, rooms: Iterable[RoomID]) -> None:
        """Leave out those of some rooms that the user is in."""
        for room_id in rooms:
            stay = self.by_room.get(room_id)
            if stay is not None and stay.membership == "join":
                del self.by_room[room_id]

    def joined(self) -> list[Stay]:
        """Rooms that the user is in."""
        return [stay for stay in self.by_room.values() if stay.membership == "join"]


class RoomsOfUser:
    """Reads memberships of one user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, user_id: UserID, since: int | None, upto: int, *, left: bool) -> Stays:
        """The user's rooms at ``upto``. Without ``since``, as for someone who knows nothing; with ``left``
        also those left long ago.
        """
        (rows, changes, before), farewells = await self._database.read(
            lambda tx: (
                _read(tx, user_id, upto if since is None else since, left),
                [] if since is None else Farewells(tx).between(user_id, since, upto),
            )
        )
        now = {row.room_id: row for row in rows}
        stays = Stays(farewells=farewells)
        for row in rows:
            if row.room_id not in changes:
                stays.by_room[row.room_id] = Stay(
                    row.room_id, row.membership, row.membership, row.event_nid, (), row
                )
        for room_id, all_changes in changes.items():
            within = [change for change in all_changes if change.pos <= upto]
            earlier = before.get(room_id)
            at = within[-1] if within else earlier
            if at is not None:
                was = None if earlier is None else earlier.membership
                stays.by_room[room_id] = Stay(
                    room_id, was, at.membership, at.event_nid, within, now.get(room_id)
                )
        return stays


def _read(
    tx: Transaction, user_id: UserID, after: int, left: bool
) -> tuple[list[MembershipRow], dict[RoomID, list[MembershipChangeRow]], dict[RoomID, MembershipChangeRow]]:
    table = Memberships(tx)
    rows = table.shown_to(user_id, left)
    changes: dict[RoomID, list[MembershipChangeRow]] = {}
    for change in table.changes(user_id, after, _FURTHEST):
        changes.setdefault(change.room_id, []).append(change)
    before = table.at_in(user_id, list(changes), after) if changes else []
    return rows, changes, {row.room_id: row for row in before}
