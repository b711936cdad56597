"""Rooms of which this server was not told most members yet."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from storage.query import Queries, bulk, bulk_delete, many, maybe, nothing, one, query
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
        """select event_id from events join partial_rooms on nid = join_nid
           where partial_rooms.room_id = %(room_id)s""",
        one(EventID),
    )
    def join_of(self, room_id: RoomID) -> EventID:
        """The event by which a room was entered."""

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
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and pos >= %(since)s and status = 0 order by pos""",
        many(EventRow),
    )
    def events_since(self, room_id: RoomID, since: int) -> list[EventRow]:
        """What was accepted in a room from a position on."""


NEW_PARTIAL_ROOMS = bulk("partial_rooms", ("room_id", "join_nid", "server", "servers", "since_ts"))
WHOLE_ROOMS = bulk_delete("partial_rooms", ("room_id",))
