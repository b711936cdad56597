"""Events, the client transactions that made them, redactions and gaps in a room's history."""

from msgspec import Struct

from homeserver.protocol.identifiers import EventID, RoomID, UserID
from storage.query import Queries, bulk, bulk_delete, each, many, maybe, nothing, query

EVENT_COLUMNS = """nid, event_id, room_id, room_version, pos, ordering, depth, received_ts, outbound, status,
              state_before, state_after,
              transaction, redacted_by, thread, notable, json"""


_QUALIFIED = ", ".join(f"event.{name.strip()}" for name in EVENT_COLUMNS.split(","))


class EventRow(Struct, frozen=True):
    """A stored event; `json` is the canonical PDU. `ordering` is None for outliers."""

    nid: int
    event_id: EventID
    room_id: RoomID
    room_version: str
    pos: int | None
    ordering: int | None
    depth: int
    received_ts: int
    outbound: bool
    status: int
    state_before: int | None
    state_after: int | None
    transaction: str | None
    redacted_by: EventID | None
    thread: EventID | None
    notable: int
    json: str


class Events(Queries):
    @query(f"select {EVENT_COLUMNS} from events where event_id = any(%(event_ids)s)", many(EventRow))
    def by_ids(self, event_ids: list[EventID]) -> list[EventRow]: ...

    @query(f"select {EVENT_COLUMNS} from events where nid = any(%(nids)s)", many(EventRow))
    def by_nids(self, nids: list[int]) -> list[EventRow]: ...

    @query("select json from events where nid = any(%(nids)s)", many(str))
    def json_of(self, nids: list[int]) -> list[str]:
        """Canonical PDUs, in no order."""

    @query("select event_id from events where nid = any(%(nids)s)", many(EventID))
    def ids_of(self, nids: list[int]) -> list[EventID]:
        """Event IDs, in no order."""

    @query("select nid from events where nid = any(%(nids)s) and type <> %(type)s", many(int))
    def of_other_types(self, nids: list[int], type: str) -> list[int]: ...

    @query(
        "select nid, auth from events where nid = any(%(nids)s) and auth is not null", many(tuple[int, bytes])
    )
    def auth_edges(self, nids: list[int]) -> list[tuple[int, bytes]]:
        """The auth events of state events, as packed int64 numbers."""

    @query("select event_id, nid from events where event_id = any(%(event_ids)s)", many(tuple[EventID, int]))
    def numbers(self, event_ids: list[EventID]) -> list[tuple[EventID, int]]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and ordering is not null and status = 0
              and (depth, ordering) < (%(depth)s, %(ordering)s) and (pos is null or pos <= %(upto)s)
            order by depth desc, ordering desc limit %(limit)s""",
        many(EventRow),
    )
    def before(self, room_id: RoomID, depth: int, ordering: int, upto: int, limit: int) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and ordering is not null and status = 0
              and (depth, ordering) > (%(depth)s, %(ordering)s) and (pos is null or pos > %(since)s)
            order by depth, ordering limit %(limit)s""",
        many(EventRow),
    )
    def after(self, room_id: RoomID, depth: int, ordering: int, since: int, limit: int) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and pos > %(since)s and pos <= %(upto)s and sender = %(sender)s
              and status = 0 and redacted_by is null
            order by pos desc limit %(limit)s""",
        many(EventRow),
    )
    def sent_by(self, room_id: RoomID, sender: UserID, since: int, upto: int, limit: int) -> list[EventRow]:
        """The latest events of a user in a room between two positions, but for redacted ones."""

    @query(
        f"""select {_QUALIFIED} from current_state as state join events as event on event.nid = state.event_nid
            where state.room_id = %(room_id)s and event.sender = %(sender)s and event.pos > %(since)s
              and event.redacted_by is null""",
        many(EventRow),
    )
    def present_state_by(self, room_id: RoomID, sender: UserID, since: int) -> list[EventRow]:
        """The events of a user after a position that are a room's state now, but for redacted ones."""

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and ordering is not null and status = 0
              and (depth, ordering) <= (%(depth)s, %(ordering)s) and (pos is null or pos <= %(upto)s)
              and (%(types)s::text[] is null or type = any(%(types)s))
            order by depth desc, ordering desc limit %(limit)s""",
        many(EventRow),
    )
    def page_up_to(
        self, room_id: RoomID, depth: int, ordering: int, upto: int, types: list[str] | None, limit: int
    ) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and pos > %(since)s and pos <= %(upto)s and status = 0
              and (depth, ordering) <= (%(depth)s, %(ordering)s)
              and (%(types)s::text[] is null or type = any(%(types)s))
            order by depth desc, ordering desc limit %(limit)s""",
        many(EventRow),
    )
    def page_between(
        self,
        room_id: RoomID,
        depth: int,
        ordering: int,
        since: int,
        upto: int,
        types: list[str] | None,
        limit: int,
    ) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and ordering is not null and status = 0
              and (depth, ordering) > (%(depth)s, %(ordering)s) and (pos is null or pos <= %(upto)s)
              and (%(types)s::text[] is null or type = any(%(types)s))
            order by depth, ordering limit %(limit)s""",
        many(EventRow),
    )
    def page_after(
        self, room_id: RoomID, depth: int, ordering: int, upto: int, types: list[str] | None, limit: int
    ) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from events
            where room_id = %(room_id)s and pos > %(since)s and pos <= %(upto)s and status = 0
              and (%(types)s::text[] is null or type = any(%(types)s))
            order by pos limit %(limit)s""",
        many(EventRow),
    )
    def page_since(
        self, room_id: RoomID, since: int, upto: int, types: list[str] | None, limit: int
    ) -> list[EventRow]: ...

    @query(
        f"""select {EVENT_COLUMNS} from unnest(%(rooms)s::text[], %(sinces)s::bigint[], %(uptos)s::bigint[])
              as wanted (room, since, upto)
            cross join lateral (
              select {EVENT_COLUMNS} from events
              where room_id = wanted.room and pos > wanted.since and pos <= wanted.upto and status = 0
                and (%(types)s::text[] is null or type = any(%(types)s))
              order by pos desc limit %(limit)s
            ) as latest
            order by room_id, pos""",
        many(EventRow),
    )
    def latest_in(
        self, rooms: list[RoomID], sinces: list[int], uptos: list[int], types: list[str] | None, limit: int
    ) -> list[EventRow]:
        """The latest events of some rooms, in each between two positions of its own."""

    @query(
        """select max(depth) from (select depth from events where room_id = %(room_id)s and pos <= %(upto)s
                                   order by pos desc limit 100) as latest""",
        maybe(int),
    )
    def deepest_at(self, room_id: RoomID, upto: int) -> int | None:
        """The greatest depth among the last events up to a position."""

    @query(
        """select depth from events where room_id = %(room_id)s and pos > %(pos)s order by pos limit 1""",
        maybe(int),
    )
    def depth_after(self, room_id: RoomID, pos: int) -> int | None:
        """The depth of the first event after a position: before it may be a gap that was filled since."""


class ClientTransactions(Queries):
    @query(
        """select event_id from client_transactions
           where user_id = %(user_id)s and device_id = %(device_id)s and scope = %(scope)s and txn_id = %(txn_id)s""",
        maybe(EventID),
    )
    def event_id(self, user_id: UserID, device_id: str, scope: str, txn_id: str) -> EventID | None: ...

    @query("delete from client_transactions where created_ts < %(before_ts)s", nothing)
    def expire(self, before_ts: int) -> None: ...


class Redactions(Queries):
    @query(
        """select redacts, event_id from redactions where room_id = %(room_id)s and redacts = any(%(event_ids)s)""",
        many(tuple[EventID, EventID]),
    )
    def of(self, room_id: RoomID, event_ids: list[EventID]) -> list[tuple[EventID, EventID]]: ...


class BackwardExtremities(Queries):
    @query(
        "select event_id, depth from backward_extremities where room_id = %(room_id)s order by depth desc",
        many(tuple[EventID, int]),
    )
    def of_room(self, room_id: RoomID) -> list[tuple[EventID, int]]: ...

    @query(
        """select event_id from backward_extremities
           where room_id = %(room_id)s and event_id = any(%(event_ids)s)""",
        many(EventID),
    )
    def among(self, room_id: RoomID, event_ids: list[EventID]) -> list[EventID]: ...


class TimelineGaps(Queries):
    @query(
        """select gap.room_id, max(events.pos)
           from unnest(%(rooms)s::text[], %(sinces)s::bigint[], %(uptos)s::bigint[]) as wanted (room, since, upto)
           join timeline_gaps as gap on gap.room_id = wanted.room
           join events on events.nid = gap.nid and events.pos > wanted.since and events.pos <= wanted.upto
           group by gap.room_id""",
        many(tuple[RoomID, int]),
    )
    def latest_in(self, rooms: list[RoomID], sinces: list[int], uptos: list[int]) -> list[tuple[RoomID, int]]:
        """The positions of the last events behind a gap, in each room between two positions of its own."""


_PLACED = (
    "nid", "event_id", "room_id", "room_version", "depth", "type", "state_key", "sender", "origin_server_ts",
    "received_ts", "outbound",
    "status", "state_before", "state_after", "transaction", "redacted_by", "auth", "thread", "notable", "json",
)  # fmt: skip
_PLACE = """on conflict (nid) do update set pos = excluded.pos, ordering = excluded.ordering, status = excluded.status,
            outbound = excluded.outbound, state_before = excluded.state_before, state_after = excluded.state_after,
            thread = excluded.thread, notable = excluded.notable"""

TIMELINE_EVENTS = bulk("events", _PLACED, _PLACE, position=("pos", "ordering"))
"""Events that clients see as new. An outlier of the same number gets its place."""

UNLISTED_EVENTS = bulk("events", (*_PLACED, "ordering"), _PLACE.replace("pos = excluded.pos, ", ""))
"""Events that take no position: outliers (no `ordering`), backfilled, soft-failed and rejected ones."""

OUTLIERS = bulk("events", _PLACED, "on conflict (event_id) do nothing")
"""Events without a place, which another node may be storing too: ask for their numbers afterwards."""

OUTLIER_AUTH = each(
    "update events set auth = %(auth)s, status = %(status)s where nid = %(nid)s and state_before is null",
    ("auth", "status", "nid"),
)
"""What authorises an event that was stored before that was known."""

CLIENT_TRANSACTIONS = bulk(
    "client_transactions", ("user_id", "device_id", "scope", "txn_id", "event_id", "created_ts")
)
REDACTIONS = bulk(
    "redactions", ("redacts", "event_id", "room_id"), "on conflict (redacts, event_id) do nothing"
)
REDACTED_EVENTS = each(
    """update events set json = %(json)s, redacted_by = %(redacted_by)s,
                         notable = case when notable > 0 then 8 else 0 end
       where nid = %(nid)s""",
    ("nid", "redacted_by", "json"),
    rank=1,
)
RESTATED_EVENTS = each(
    """update events set status = %(status)s, state_before = %(state_before)s, state_after = %(state_after)s,
                         notable = case when %(status)s = 0 then notable else 0 end
       where nid = %(nid)s""",
    ("nid", "status", "state_before", "state_after"),
    rank=1,
)
"""Events that stay where they are in a room of which more state is known now."""
BACKWARD_EXTREMITIES = bulk(
    "backward_extremities", ("room_id", "event_id", "depth"), "on conflict (room_id, event_id) do nothing"
)
TIMELINE_GAPS = bulk("timeline_gaps", ("room_id", "nid"), "on conflict (room_id, nid) do nothing")
FILLED_GAPS = bulk_delete("backward_extremities", ("room_id", "event_id"))
