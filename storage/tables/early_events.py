"""Events that came before what they build on, kept until that can be had."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, ServerName
from storage.query import Queries, many, maybe, nothing, query


class EarlyEvent(Struct, frozen=True):
    """One of them: `origin` sent it, `pdu` is its JSON, `attempts` is how often it was tried again."""

    event_id: EventID
    room_id: RoomID
    origin: ServerName
    pdu: str
    attempts: int


class EarlyEvents(Queries):
    """Reads and writes them. Taking one puts off its next turn, so that nodes do not take the same."""

    @query(
        """insert into early_events (event_id, room_id, origin, missing, pdu, retry_at)
           select %(event_id)s, %(room_id)s, %(origin)s, %(missing)s::text[], %(pdu)s, %(retry_at)s
           where (select count(*) from (select from early_events where origin = %(origin)s
                                        limit %(most_of_a_server)s) theirs) < %(most_of_a_server)s
             and (select count(*) from (select from early_events where room_id = %(room_id)s
                                        and origin = %(origin)s limit %(most_of_a_room)s) here) < %(most_of_a_room)s
           on conflict (event_id) do update set missing = excluded.missing
           returning event_id""",
        maybe(EventID),
    )
    def keep(
        self,
        event_id: EventID,
        room_id: RoomID,
        origin: ServerName,
        missing: list[EventID],
        pdu: str,
        retry_at: int,
        most_of_a_server: int,
        most_of_a_room: int,
    ) -> EventID | None:
        """Keep one, unless there are too many; its ID if it is kept."""

    @query("update early_events set missing = %(missing)s::text[] where event_id = %(event_id)s", nothing)
    def still_missing(self, event_id: EventID, missing: list[EventID]) -> None: ...

    @query(
        """update early_events set attempts = attempts + 1,
               retry_at = %(now)s + (%(first_ms)s * power(%(factor)s, attempts + 1))::bigint
           where event_id in (select event_id from early_events where retry_at <= %(now)s
                              order by retry_at limit %(limit)s for update skip locked)
           returning event_id, room_id, origin, pdu, attempts""",
        many(EarlyEvent),
    )
    def take_due(self, now: int, first_ms: int, factor: int, limit: int) -> list[EarlyEvent]: ...

    @query(
        """select event_id, room_id, origin, pdu, attempts from early_events
           where room_id = %(room_id)s and missing && %(arrived)s::text[] limit %(limit)s""",
        many(EarlyEvent),
    )
    def waiting_for(self, room_id: RoomID, arrived: list[EventID], limit: int) -> list[EarlyEvent]: ...

    @query("delete from early_events where event_id = %(event_id)s", nothing)
    def remove(self, event_id: EventID) -> None: ...

    @query("select distinct room_id from early_events", many(RoomID))
    def rooms(self) -> list[RoomID]: ...
