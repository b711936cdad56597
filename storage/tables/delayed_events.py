"""Events that users scheduled, and what became of them."""

from msgspec import Struct

from homeserver.protocol.identifiers import DeviceID, EventID, RoomID, UserID
from storage.query import Queries, affected, each, many, maybe, nothing, one, query

_COLUMNS = """delayed.delay_id, delayed.user_id, delayed.device_id, delayed.appservice_id, delayed.room_id,
              delayed.type, delayed.state_key, delayed.content, delayed.origin_ts, delayed.sticky_ms, delayed.delay_ms,
              delayed.since_ts, delayed.due_ts, delayed.begun_ts"""


class DelayedEvent(Struct, frozen=True):
    """A delayed event; `content` is JSON, `due_ts` is None once it is finalised."""

    delay_id: str
    user_id: UserID
    device_id: DeviceID | None
    appservice_id: str | None
    room_id: RoomID
    type: str
    state_key: str | None
    content: str
    origin_ts: int | None
    sticky_ms: int | None
    delay_ms: int
    since_ts: int
    due_ts: int | None
    begun_ts: int | None


class Outcome(Struct, frozen=True):
    """How a delayed event ended: sent, failed for an `error` (JSON), or else cancelled."""

    finalised_ts: int
    event_id: EventID | None
    error: str | None


class DelayedEvents(Queries):
    @query(
        """insert into delayed_events (delay_id, user_id, device_id, appservice_id, txn, room_id, type, state_key,
                                       content, origin_ts, sticky_ms, delay_ms, since_ts, due_ts)
           values (%(delay_id)s, %(user_id)s, %(device_id)s, %(appservice_id)s, %(txn)s, %(room_id)s, %(type_)s,
                   %(state_key)s, %(content)s, %(origin_ts)s, %(sticky_ms)s, %(delay_ms)s, %(now)s,
                   %(now)s + %(delay_ms)s)""",
        nothing,
    )
    def add(
        self,
        delay_id: str,
        user_id: UserID,
        device_id: DeviceID | None,
        appservice_id: str | None,
        txn: str | None,
        room_id: RoomID,
        type_: str,
        state_key: str | None,
        content: str,
        origin_ts: int | None,
        sticky_ms: int | None,
        delay_ms: int,
        now: int,
    ) -> None: ...

    @query("select delay_id from delayed_events where user_id = %(user_id)s and txn = %(txn)s", maybe(str))
    def of_transaction(self, user_id: UserID, txn: str) -> str | None: ...

    @query(
        """select count(*), min(due_ts) from delayed_events where user_id = %(user_id)s and due_ts is not null""",
        one(tuple[int, int | None]),
    )
    def scheduled(self, user_id: UserID) -> tuple[int, int | None]:
        """How many of a user's events are to come, and when the first of them is due."""

    @query(
        f"select {_COLUMNS} from delayed_events as delayed where delay_id = %(delay_id)s", maybe(DelayedEvent)
    )
    def find(self, delay_id: str) -> DelayedEvent | None: ...

    @query(
        "select finalised_ts, event_id, error from delayed_event_outcomes where delay_id = %(delay_id)s",
        maybe(Outcome),
    )
    def outcome(self, delay_id: str) -> Outcome | None: ...

    @query(
        f"""select {_COLUMNS} from delayed_events as delayed
            where user_id = %(user_id)s and due_ts is not null order by due_ts, delay_id""",
        many(DelayedEvent),
    )
    def of_user(self, user_id: UserID) -> list[DelayedEvent]:
        """Those to come, the first one first."""

    @query(
        f"""select {_COLUMNS} from delayed_events as delayed
            where due_ts <= %(now)s and delay_id <> all(%(but)s) order by due_ts, delay_id limit %(limit)s""",
        many(DelayedEvent),
    )
    def due(self, now: int, but: list[str], limit: int) -> list[DelayedEvent]: ...

    @query(
        "select min(due_ts) from delayed_events where due_ts is not null and delay_id <> all(%(but)s)",
        maybe(int),
    )
    def next_due(self, but: list[str]) -> int | None: ...

    @query(
        """update delayed_events set since_ts = %(now)s, due_ts = %(now)s + delay_ms
           where delay_id = %(delay_id)s and due_ts is not null""",
        affected,
    )
    def restart(self, delay_id: str, now: int) -> int: ...

    @query(
        """update delayed_events set begun_ts = %(now)s
           where delay_id = %(delay_id)s and begun_ts is null and due_ts is not null""",
        affected,
    )
    def begin(self, delay_id: str, now: int) -> int: ...

    @query(
        """with old as (
             select delay_id, due_ts from delayed_events
             where delay_id = %(delay_id)s and due_ts = coalesce(%(due_ts)s, due_ts) for update
           ), done as (
             update delayed_events set due_ts = null from old where delayed_events.delay_id = old.delay_id
           )
           insert into delayed_event_outcomes (delay_id, due_ts, finalised_ts, event_id, error)
           select delay_id, due_ts, %(now)s, %(event_id)s, %(error)s from old""",
        affected,
    )
    def finalise(
        self, delay_id: str, due_ts: int | None, now: int, event_id: EventID | None, error: str | None
    ) -> int:
        """End one that is still to come, and due when it was thought to be."""

    @query("delete from delayed_events where user_id = %(user_id)s", nothing)
    def forget_user(self, user_id: UserID) -> None: ...

    @query(
        """delete from delayed_events where delay_id in (
             select delay_id from (
               select delay_id, finalised_ts,
                      row_number() over (partition by user_id order by finalised_ts desc) as place
               from delayed_event_outcomes join delayed_events using (delay_id)
             ) as ended
             where finalised_ts < %(before_ts)s or place > %(kept)s
           )""",
        affected,
    )
    def forget_ended(self, before_ts: int, kept: int) -> int: ...


SENT = each(
    """with done as (
         update delayed_events set due_ts = null where delay_id = %(delay_id)s and due_ts = %(due_ts)s
         returning %(due_ts)s::bigint as was_due
       )
       insert into delayed_event_outcomes (delay_id, due_ts, finalised_ts, event_id)
       values (%(delay_id)s, (select was_due from done), %(finalised_ts)s, %(event_id)s)""",
    ("delay_id", "due_ts", "finalised_ts", "event_id"),
)
"""A delayed event that is sent in the same transaction. It fails, and the event with it, if the delayed one was ended
or restarted meanwhile.
"""
