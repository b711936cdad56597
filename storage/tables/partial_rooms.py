"""Rooms of which this server was not told most members yet."""

from msgspec import Struct

from homeserver.protocol.identifiers import RoomID, ServerName
from storage.query import Queries, bulk, bulk_delete, many, maybe, nothing, query
from storage.tables.events import EVENT_COLUMNS, EventRow

_COLUMNS = "room_id, join_nid, server, servers, since_ts, attempts"


class PartialRoom(Struct, frozen=True):
    """One of them: the event by which it was entered, the server that let us in, and those that are in the room as it
    said. Times are in milliseconds since the epoch.
    """

    room_id: RoomID
    join_nid: int
    server: ServerName
    servers: list[ServerName]
    since_ts: int
    attempts: int


class PartialRooms(Queries):
    """Finds them, and those among them that nobody works at."""

    @query("select room_id, since_ts from partial_rooms", many(tuple[RoomID, int]))
    def all(self) -> list[tuple[RoomID, int]]: ...

    @query(f"select {_COLUMNS} from partial_rooms where room_id = %(room_id)s", maybe(PartialRoom))
    def find(self, room_id: RoomID) -> PartialRoom | None: ...

    @query(
        f"""update partial_rooms set alive_until = %(alive_until)s, attempts = attempts + 1
            where alive_until < %(now)s returning {_COLUMNS}""",
        many(PartialRoom),
    )
    def take_over(self, now: int, alive_until: int) -> list[PartialRoom]:
        """Those that nobody works at, which are the caller's from now on."""

    @query("update partial_rooms set alive_until = %(alive_until)s where room_id = %(room_id)s", nothing)
    def is_alive(self, room_id: RoomID, alive_until: int) -> None: ...

    @query(
        """update partial_rooms set alive_until = 0, attempts = greatest(attempts - 1, 0)
           where room_id = any(%(rooms)s)""",
        nothing,
    )
    def let_go(self, rooms: list[RoomID]) -> None:
        """Leave some to others, as if nobody had begun."""

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and (pos >= %(since)s
              or pos is null and ordering is null and state_before is not null)
            order by nid <> %(join_nid)s, received_ts, pos, nid""",
        many(EventRow),
    )
    def events_since(self, room_id: RoomID, join_nid: int, since: int) -> list[EventRow]:
        """What got a place in a room from a join and its position on, also what was not accepted: about as it came."""


NEW_PARTIAL_ROOMS = bulk("partial_rooms", ("room_id", "join_nid", "server", "servers", "since_ts"))
WHOLE_ROOMS = bulk_delete("partial_rooms", ("room_id",))
