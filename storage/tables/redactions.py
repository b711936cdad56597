"""Redactions that are not at their end: of many events, and of those that come later."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, bulk, bulk_delete, many, maybe, nothing, query

OWED_REDACTIONS = bulk(
    "owed_redactions",
    ("cause", "room_id", "user_id", "after_pos", "upto_pos"),
    "on conflict (cause) do update set upto_pos = excluded.upto_pos",
)
PAID_REDACTIONS = bulk_delete("owed_redactions", ("cause",))


class OwedRedaction(Struct, frozen=True):
    """What a user said between two positions is yet to be redacted, as the event `cause` says."""

    cause: int
    room_id: RoomID
    user_id: UserID
    after_pos: int
    upto_pos: int


class OwedRedactions(Queries):
    @query("select cause, room_id, user_id, after_pos, upto_pos from owed_redactions", many(OwedRedaction))
    def all(self) -> list[OwedRedaction]: ...

    @query(
        "select cause, room_id, user_id, after_pos, upto_pos from owed_redactions where cause = %(cause)s",
        maybe(OwedRedaction),
    )
    def find(self, cause: int) -> OwedRedaction | None: ...


class StandingRedaction(Struct, frozen=True):
    """A user's redaction of an event and of all that relates to it in some ways (None: in any)."""

    event_id: EventID
    user_id: UserID
    room_id: RoomID
    rel_types: list[str] | None
    reason: str | None


class StandingRedactions(Queries):
    @query(
        """insert into standing_redactions (event_id, user_id, room_id, rel_types, reason)
           values (%(event_id)s, %(user_id)s, %(room_id)s, %(rel_types)s, %(reason)s)
           on conflict (event_id, user_id) do update
           set rel_types = excluded.rel_types, reason = excluded.reason""",
        nothing,
    )
    def put(
        self,
        event_id: EventID,
        user_id: UserID,
        room_id: RoomID,
        rel_types: list[str] | None,
        reason: str | None,
    ) -> None: ...

    @query(
        """select event_id, user_id, room_id, rel_types, reason from standing_redactions
           where event_id = any(%(event_ids)s)""",
        many(StandingRedaction),
    )
    def of(self, event_ids: list[EventID]) -> list[StandingRedaction]: ...

    @query(
        """select distinct standing.event_id from standing_redactions as standing
           join relations on relations.parent = standing.event_id and relations.room_id = standing.room_id
           where standing.rel_types is null or relations.rel_type = any(standing.rel_types)""",
        many(EventID),
    )
    def with_more(self) -> list[EventID]:
        """The events to which others relate that are not redacted yet, or may not be."""
