"""What moves from a room to the one that replaces it."""

from homeserver.protocol.identifiers import RoomID
from storage.query import Queries, affected, query


class RoomUpgrades(Queries):
    @query("update room_aliases set room_id = %(new)s where room_id = %(old)s", affected)
    def move_aliases(self, old: RoomID, new: RoomID) -> int: ...

    @query(
        """with unlisted as (
             update room_summaries set published = false where room_id = %(old)s and published
               and exists (select from room_summaries where room_id = %(new)s) returning room_id
           )
           update room_summaries set published = true
           where room_id = %(new)s and exists (select from unlisted)""",
        affected,
    )
    def move_listing(self, old: RoomID, new: RoomID) -> int:
        """List the new room in the directory in place of the old one, if that is listed."""
