"""What users reported to the administrators."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, affected, many, nothing, query


class Report(Struct, frozen=True):
    """One report: of an event (`room_id`, `event_id`, and its sender as `user_id`), of a room or of a user.
    `received_ts` is in milliseconds since the epoch.
    """

    id: int
    received_ts: int
    reporter: UserID
    room_id: RoomID | None
    event_id: EventID | None
    user_id: UserID | None
    reason: str


class Reports(Queries):
    @query(
        """insert into reports (received_ts, reporter, room_id, event_id, user_id, reason)
           values (%(received_ts)s, %(reporter)s, %(room_id)s, %(event_id)s, %(user_id)s, %(reason)s)""",
        nothing,
    )
    def add(
        self,
        received_ts: int,
        reporter: UserID,
        room_id: RoomID | None,
        event_id: EventID | None,
        user_id: UserID | None,
        reason: str,
    ) -> None: ...

    @query(
        """select id, received_ts, reporter, room_id, event_id, user_id, reason from reports
           where id < %(before)s order by id desc limit %(limit)s""",
        many(Report),
    )
    def page(self, before: int, limit: int) -> list[Report]:
        """The latest ones before one of them."""

    @query("delete from reports where id = %(report_id)s", affected)
    def delete(self, report_id: int) -> int: ...
