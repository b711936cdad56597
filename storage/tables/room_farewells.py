"""How users of ours left rooms that were purged since."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, many, nothing, query


class Farewell(Struct, frozen=True):
    """The event that ended a user's stay; `json` is the canonical PDU."""

    pos: int
    room_id: RoomID
    nid: int
    event_id: EventID
    room_version: str
    received_ts: int
    json: str


class Farewells(Queries):
    @query(
        """select pos, room_id, nid, event_id, room_version, received_ts, json from room_farewells
           where user_id = %(user_id)s and pos > %(since)s and pos <= %(upto)s order by pos""",
        many(Farewell),
    )
    def between(self, user_id: UserID, since: int, upto: int) -> list[Farewell]: ...

    @query("delete from room_farewells where received_ts <= %(before)s", nothing)
    def expire(self, before: int) -> None: ...
